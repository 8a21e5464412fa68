"""What the fuzz driver of captures feeds: small valid files of every kind, and what becomes of them under mutation.

A mutation works on the octets as they are, or on the parts of the file (header, records, blocks): then the lengths that
tell the parts apart are mostly put right again, so that what is wrong inside of a part is reached.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from native.captures import (
    COOKED_V2,
    LINKS,
    Blocks,
    Frame,
    cooked_v2,
    ethernet,
    fragments4,
    fragments6,
    ip4,
    ip6,
    pcap,
    pcapng,
    tcp,
    udp,
)

LONGEST = 65536  # octets of a mutated file
NOW_NS = 1_700_000_000_123_456_000
RECORD = 16  # octets before a packet of pcap
BLOCK = 12  # octets of a block without body
EDGES = (0, 1, 2, 3, 4, 7, 8, 11, 12, 16, 20, 27, 28, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x100, 1500, 0x7FFF, 0x8000,
         0xFFFF, 0x10000, 262144, 262145, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)  # fmt: skip
SIP = b"INVITE sip:b@192.0.2.2 SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"


def rtp(sequence: int, ssrc: int = 7, length: int = 60) -> bytes:
    return struct.pack("!BBHII", 0x80, sequence % 2 * 8, sequence, 160 * sequence, ssrc) + bytes(range(length))


def datagrams() -> list[bytes]:
    """IP packets: media, control, signaling, fragments."""
    rtcp = struct.pack("!BBHII", 0x80, 200, 6, 7, 0) + bytes(20)
    media = [ip4(udp(rtp(sequence), 4000, 4002)) for sequence in range(4)]
    control = [ip4(udp(rtcp, 4001, 4003)), ip6(udp(rtcp + bytes(14), 4001, 4003))]
    text = [
        ip4(udp(SIP, 5060, 5060)),
        ip4(tcp(SIP, 4000, 5060), protocol=6),
        ip6(tcp(b"\x16\3\1\0\5hello", 4, 5061), protocol=6),
    ]
    handshake = [ip4(udp(b"\x16\xfe\xfd" + bytes(8) + b"\0\4abcd", 4000, 4002))]
    hops = [ip6(udp(rtp(9)), extensions=[(0, bytes([0, 1, 4, 0, 0, 0, 0])), (60, bytes(7))])]
    return [
        *media,
        *control,
        *text,
        *handshake,
        *hops,
        *fragments4(udp(rtp(5, 8, 200)), 104),
        *fragments6(udp(rtp(6, 8, 200)), 104),
    ]


def framed(link: str) -> list[Frame]:
    """As frames of a link layer; where it carries one version of IP, those that it carries."""
    wrap = LINKS[link][1]
    fitting = [ip for ip in datagrams() if not link.startswith("ipv") or int(link[-1]) == ip[0] >> 4]
    return [Frame(wrap(ip), NOW_NS + 20_000_000 * number) for number, ip in enumerate(fitting)]


def mixed(order: str) -> bytes:
    """Two sections with all kinds of blocks."""
    blocks, other = Blocks(order), Blocks("<" if order == ">" else ">")
    parts = [
        blocks.section(),
        blocks.interface(1, "eth0", "first", resolution=9, offset_s=5),
        blocks.secrets(b"CLIENT_RANDOM a b\n"),
    ]
    frames = framed("ethernet")
    parts += [blocks.enhanced(frame, frame.time_ns, [(1, b"comment")]) for frame in frames[:4]]
    parts += [
        blocks.block(5, bytes(12)),
        blocks.block(0xBAD, bytes(8)),
        blocks.obsolete(frames[4]),
        blocks.simple(frames[5]),
    ]
    parts += [other.section(), other.interface(COOKED_V2, "any"), other.interface(101, "tun0", resolution=0x8A)]
    parts += [other.enhanced(Frame(cooked_v2(ip, number))) for number, ip in enumerate(datagrams()[:3])]
    parts += [other.enhanced(Frame(ip, interface=1)) for ip in datagrams()[-6:]]
    return b"".join(parts)


def seeds() -> list[bytes]:
    """A valid file of each format and link type."""
    files = [mixed("<"), mixed(">"), pcap([Frame(ethernet(ip4(udp(b"x"))), NOW_NS)], version=(2, 2))]
    for number, (link, (linktype, _)) in enumerate(LINKS.items()):
        order = "<>"[number % 2]
        files.append(
            pcap(framed(link), linktype=linktype, order=order, magic=(0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34)[number % 3])
        )
        files.append(
            pcapng(framed(link), linktype=linktype, order=order, form=("enhanced", "obsolete", "simple")[number % 3])
        )
    return files


# --- parts -----------------------------------------------------------------------------------------------------------


def byte_order(octets: bytes) -> str:
    return "<" if octets[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\x34\xcd\xb2\xa1") else ">"


def is_pcapng(octets: bytes) -> bool:
    return octets[:4] == b"\x0a\x0d\x0d\x0a"


def parts_of(octets: bytes) -> list[bytes]:
    """Header and records, or blocks, as far as their lengths are right; what is behind stays together."""
    if not is_pcapng(octets):
        return [
            octets[:24],
            *records_of(
                octets, byte_order(octets), 24 if octets[:4] in (b"\xa1\xb2\xcd\x34", b"\x34\xcd\xb2\xa1") else RECORD
            ),
        ]
    parts, at, order = [], 0, "<"
    while at + BLOCK <= len(octets):
        if octets[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if octets[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        length: int = struct.unpack_from(order + "I", octets, at + 4)[0]
        if not BLOCK <= length <= len(octets) - at:
            break
        parts.append(octets[at : at + length])
        at += length
    return [*parts, octets[at:]] if at < len(octets) else parts


def records_of(octets: bytes, order: str, header: int) -> list[bytes]:
    parts, at = [], 24
    while at + header <= len(octets):
        length: int = struct.unpack_from(order + "I", octets, at + 8)[0]
        if length > len(octets) - at - header:
            break
        parts.append(octets[at : at + header + length])
        at += header + length
    return [*parts, octets[at:]] if at < len(octets) else parts


def joined(parts: list[bytes], *, right: bool) -> bytes:
    """One file again; `right`: with lengths that tell the parts apart."""
    if not right or not parts:
        return b"".join(parts)
    if not is_pcapng(parts[0]):
        order = byte_order(parts[0])
        header = 24 if parts[0][:4] in (b"\xa1\xb2\xcd\x34", b"\x34\xcd\xb2\xa1") else RECORD
        fixed = [
            part[:8] + struct.pack(order + "I", len(part) - header) + part[12:]
            for part in parts[1:]
            if len(part) >= header
        ]
        return parts[0] + b"".join(fixed)
    fixed, order = [], "<"
    for part in parts:
        if is_pcapng(part):
            order = "<" if part[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
        body = part[8:-4]
        length = struct.pack(order + "I", BLOCK + len(body) + -len(body) % 4)
        fixed.append(part[:4] + length + body + bytes(-len(body) % 4) + length)
    return b"".join(fixed)


# --- mutations -------------------------------------------------------------------------------------------------------


def flip_bits(rng: random.Random, octets: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)


def set_octet(rng: random.Random, octets: bytearray) -> None:
    octets[rng.randrange(len(octets))] = rng.choice((0, 1, 4, 6, 17, 44, 51, 60, 0x45, 0x60, 0x7F, 0x80, 0xFF))


def set_word(rng: random.Random, octets: bytearray) -> None:
    """A length, a count, a number of an interface: two or four octets at an even place."""
    size = rng.choice((2, 4))
    at = rng.randrange(max(len(octets) - size + 1, 1)) & ~1
    value = rng.choice(EDGES) + rng.choice((0, 0, 1, -1)) & (1 << 8 * size) - 1
    octets[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def copy_within(rng: random.Random, octets: bytearray) -> None:
    """Octets of one place at another."""
    length = rng.randint(1, min(64, len(octets)))
    source, target = rng.randrange(len(octets)), rng.randrange(len(octets))
    octets[target : target + length] = octets[source : source + length]


def truncate(rng: random.Random, octets: bytearray) -> None:
    del octets[rng.randrange(len(octets)) :]


def cut_out(rng: random.Random, octets: bytearray) -> None:
    at = rng.randrange(len(octets))
    del octets[at : at + rng.choice((1, 2, 4, 8, 20, 60))]


def insert(rng: random.Random, octets: bytearray) -> None:
    at = rng.randint(0, len(octets))
    octets[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 20, 60)))


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    flip_bits, flip_bits, set_octet, set_octet, set_word, set_word, copy_within, truncate, cut_out, insert,
)  # fmt: skip


def changed(rng: random.Random, octets: bytes) -> bytes:
    """One to four mutations of the octets as they are."""
    mutable = bytearray(octets)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if mutable:
            rng.choice(MUTATIONS)(rng, mutable)
    return bytes(mutable)


def rearranged(rng: random.Random, parts: list[bytes], others: list[bytes]) -> list[bytes]:
    """Parts changed, doubled, left out, moved, or taken from another file."""
    parts = parts or [b""]
    at, to = rng.randrange(len(parts)), rng.randrange(len(parts))
    kind = rng.randrange(8)
    if kind < 4:
        parts[at] = changed(rng, parts[at])
    elif kind == 4:
        parts[to:to] = [parts[at]] * rng.choice((1, 2, 30))
    elif kind == 5:
        del parts[at]
    elif kind == 6:
        parts[at], parts[to] = parts[to], parts[at]
    else:
        first = rng.randrange(len(others) or 1)
        parts[at:at] = others[first : first + rng.choice((1, 3, 10))]
    return parts


def mutated(rng: random.Random, octets: bytes, other: bytes) -> bytes:
    """A file made of `octets`, now and then with parts of `other`."""
    if rng.random() < 0.3:
        return changed(rng, octets)[:LONGEST]
    if rng.random() < 0.05:
        return (octets[: rng.randint(0, len(octets))] + other[rng.randint(0, len(other)) :])[:LONGEST]
    parts = parts_of(octets)
    for _ in range(rng.choice((1, 1, 2, 5))):
        parts = rearranged(rng, parts, parts_of(other))
    return joined(parts, right=rng.random() < 0.9)[:LONGEST]
