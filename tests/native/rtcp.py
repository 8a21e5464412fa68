"""RTCP for tests: compound packets are made from values and read back into them. Written from the RFCs alone.

RFC 3550 6 (SR, RR, SDES, BYE, APP), RFC 4585 6 (feedback), RFC 5104 4 (FIR, TMMBR, TSTR, VBCM), RFC 3611 4 (XR). Each
value names the SSRCs that its packet holds by what they speak of: `speaker`, who sends the packet, and `heard`, whose
media it is about.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
NACK, TMMBR, TMMBN = 1, 3, 4  # RTPFB formats
PLI, FIR, TSTR, TSTN, VBCM = 1, 4, 5, 6, 7  # PSFB formats
REPORT = 20  # octets of a report block behind its SSRC
SENDER_INFO = 20


class Packet(NamedTuple):
    """One packet: what it is, the SSRCs in it, and every other octet."""

    kind: int
    format: int  # the five bits of the first octet: count, format or subtype
    speakers: tuple[int, ...]
    heard: tuple[int, ...]
    rest: bytes


def header(kind: int, count: int, body: bytes) -> bytes:
    assert len(body) % 4 == 0
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def word(ssrc: int) -> bytes:
    return ssrc.to_bytes(4, "big")


def reports(heard: tuple[int, ...]) -> bytes:
    return b"".join(word(ssrc) + bytes([number + 1]) * REPORT for number, ssrc in enumerate(heard))


def sender_report(speaker: int, heard: tuple[int, ...] = ()) -> bytes:
    return header(SR, len(heard), word(speaker) + b"\x5a" * SENDER_INFO + reports(heard))


def receiver_report(speaker: int, heard: tuple[int, ...] = (), extension: bytes = b"") -> bytes:
    """`extension` is the profile's own part behind the report blocks (RFC 3550 6.4.3)."""
    return header(RR, len(heard), word(speaker) + reports(heard) + extension)


def chunk(speaker: int, *items: bytes) -> bytes:
    """Items of types 1, 2, ...; ends with one to four zero octets."""
    octets = word(speaker) + b"".join(bytes([1 + n, len(item)]) + item for n, item in enumerate(items)) + b"\0"
    return octets + bytes(-len(octets) % 4)


def description(*chunks: bytes) -> bytes:
    return header(SDES, len(chunks), b"".join(chunks))


def goodbye(speakers: tuple[int, ...], reason: bytes = b"") -> bytes:
    text = bytes([len(reason)]) + reason if reason else b""
    return header(BYE, len(speakers), b"".join(map(word, speakers)) + text + bytes(-len(text) % 4))


def application(speaker: int, data: bytes = b"datadata") -> bytes:
    return header(APP, 1, word(speaker) + b"name" + data)


def feedback(kind: int, form: int, speaker: int, media: int, entries: tuple[int, ...] = (), tail: bytes = b"") -> bytes:
    """Entries of eight octets that begin with an SSRC (RFC 5104 4.2.1.1, 4.3.1.1)."""
    body = b"".join(word(ssrc) + bytes([0x30 + n]) * 4 for n, ssrc in enumerate(entries))
    return header(kind, form, word(speaker) + word(media) + body + tail)


def extended(speaker: int, *blocks: bytes) -> bytes:
    return header(XR, 0, word(speaker) + b"".join(blocks))


def block(kind: int, body: bytes) -> bytes:
    assert len(body) % 4 == 0
    return struct.pack("!BBH", kind, 0x11, len(body) // 4) + body


def source_block(kind: int, heard: int, length: int) -> bytes:
    """An XR block that begins with the SSRC of a source: types 1, 2, 3, 6 and 7."""
    return block(kind, word(heard) + b"\x22" * length)


def dlrr(*heard: int) -> bytes:
    """RFC 3611 4.5: one entry of twelve octets for each receiver."""
    return block(5, b"".join(word(ssrc) + b"\x33" * 8 for ssrc in heard))


# --- reading


def lengths(compound: bytes) -> list[int]:
    """Octets of each packet. ValueError where they do not add up (RFC 3550 A.2)."""
    found = []
    while compound:
        if len(compound) < 4 or compound[0] >> 6 != 2:
            raise ValueError("not RTCP")
        found.append(4 + 4 * int.from_bytes(compound[2:4], "big"))
        if found[-1] > len(compound):
            raise ValueError("cut short")
        compound = compound[found[-1] :]
    return found


def read(compound: bytes) -> list[Packet]:
    """ValueError where the lengths do not add up."""
    found = []
    for length in lengths(compound):
        found.append(read_one(compound[0] & 31, compound[1], compound[4:length]))
        compound = compound[length:]
    return found


def read_one(form: int, kind: int, body: bytes) -> Packet:
    places = list(ssrc_places(form, kind, body))
    speakers = tuple(number(body, at) for at, speaks in places if speaks)
    heard = tuple(number(body, at) for at, speaks in places if not speaks)
    rest = bytearray(body)
    for at, _ in places:
        rest[at : at + 4] = b"...."
    return Packet(kind, form, speakers, heard, bytes(rest))


def number(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 4], "big")


def ssrc_places(form: int, kind: int, body: bytes) -> Iterator[tuple[int, bool]]:
    """(offset, whether it is the speaker's) of every SSRC in a packet's body."""
    if kind == SDES:
        yield from ((at, True) for at in chunk_places(form, body))
    elif kind == BYE:
        yield from ((4 * n, True) for n in range(form))
    elif kind in (SR, RR, APP, XR):
        yield 0, True
        if kind in (SR, RR):
            start = 4 + (SENDER_INFO if kind == SR else 0)
            yield from ((start + 24 * n, False) for n in range(form))
        if kind == XR:
            yield from ((at, False) for at in block_places(body))
    elif kind in (RTPFB, PSFB):
        yield from ((0, True), (4, False))
        listed = (kind == RTPFB and form in (TMMBR, TMMBN)) or (kind == PSFB and form in (FIR, TSTR, TSTN))
        if listed:
            yield from ((at, False) for at in range(8, len(body), 8))
        if kind == PSFB and form == VBCM:
            yield 8, False


def chunk_places(count: int, body: bytes) -> Iterator[int]:
    at = 0
    for _ in range(count):
        yield at
        at += 4
        while body[at]:
            at += 2 + body[at + 1]
        at += 4 - at % 4


def block_places(body: bytes) -> Iterator[int]:
    at = 4
    while at < len(body):
        end = at + 4 + 4 * int.from_bytes(body[at + 2 : at + 4], "big")
        if body[at] in (1, 2, 3, 6, 7):
            yield at + 4
        elif body[at] == 5:
            yield from range(at + 4, end, 12)
        at = end


def masked(compound: bytes) -> bytes | None:
    """The octets with every SSRC taken out; None where the packet's lengths do not add up."""
    octets, start = bytearray(compound), 4
    try:
        for length in lengths(compound):
            body = compound[start : start - 4 + length]
            for at, _ in ssrc_places(compound[start - 4] & 31, compound[start - 3], body):
                if at + 4 <= len(body):
                    octets[start + at : start + at + 4] = bytes(4)
            start += length
    except (ValueError, IndexError):
        return None
    return bytes(octets)
