"""What the fuzz driver sends: valid packets of every form, and what becomes of them under mutation."""

from __future__ import annotations

import random

from model.packet import random_rtcp, random_rtp, rtcp, rtp
from native import rtcp as forms

LONGEST = 65507  # octets of UDP payload over IPv4
SIZES = (0, 1, 2, 3, 7, 8, 11, 12, 13, 16, 20, 27, 28, 29, 60, 172, 1400)
EXTREMES = (LONGEST - 100, LONGEST - 16, LONGEST - 10, LONGEST, LONGEST + 1, 65535)
LENGTHS = (b"\0\0", b"\0\1", b"\0\7", b"\0\x40", b"\x40\0", b"\xff\xff")  # in words
OCTETS = (0, 1, 0x7F, 0x80, 0x81, 0x90, 0xBF, 0xC0, 0xC8, 0xFF)


def media(rng: random.Random, sequence: int, ssrc: int) -> bytes:
    """RTP of any shape; now and then as long as a datagram may be. Payloads are random, so no two are alike."""
    if rng.random() < 0.002:
        return rtp(sequence, ssrc, rng.randbytes(rng.choice(EXTREMES[:4]) - 12))
    return random_rtp(rng, sequence, ssrc, rng.choice((32, 60, 172, 172, 172, 333, 1400)))


def control(rng: random.Random, ssrc: int, others: list[int]) -> bytes:
    """Compound RTCP about `ssrc` and the sources heard; ends with an APP packet of random octets."""
    heard = tuple(rng.choices(others, k=rng.randint(0, 4)))
    one = heard[0] if heard else ssrc
    parts = [
        forms.sender_report(ssrc, heard),
        forms.receiver_report(ssrc, heard),
        forms.description(forms.chunk(ssrc, rng.randbytes(rng.randint(0, 20)))),
        forms.goodbye((ssrc, *heard), b"bye"),
        forms.feedback(forms.PSFB, forms.FIR, ssrc, 0, heard),
        forms.feedback(forms.RTPFB, forms.TMMBR, ssrc, one, heard),
        forms.feedback(forms.PSFB, forms.VBCM, ssrc, one, heard),
        forms.extended(ssrc, forms.dlrr(*heard), forms.source_block(7, one, 28)),
        random_rtcp(rng, ssrc, rng.choice((8, 28, 64, 200))),
        rtcp(ssrc, rng.randbytes(20)),
    ]
    chosen = b"".join(rng.choices(parts, k=rng.randint(1, 4)))
    return chosen + forms.application(ssrc, rng.randbytes(12))


def nonsense(rng: random.Random) -> bytes:
    """Octets that nobody made, of lengths that somebody may not have thought of."""
    if rng.random() < 0.01:
        return rng.choice((b"\x80", b"\x90", b"\xbf", b"\x00")) + bytes(rng.choice(EXTREMES) - 1)
    octets = rng.randbytes(rng.choice(SIZES))
    return bytes([rng.choice(OCTETS)]) + octets if rng.random() < 0.5 else octets


def flip_bits(rng: random.Random, octets: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)


def set_octet(rng: random.Random, octets: bytearray) -> None:
    octets[rng.randrange(len(octets))] = rng.choice(OCTETS)


def change_header(rng: random.Random, octets: bytearray) -> None:
    """Most decisions are made over the first twelve octets."""
    octets[rng.randrange(min(12, len(octets)))] = rng.getrandbits(8)


def put(octets: bytearray, place: int, what: bytes) -> None:
    """Overwrite, as far as there is something to overwrite."""
    fitting = what[: max(len(octets) - place, 0)]
    octets[place : place + len(fitting)] = fitting


def lie_about_length(rng: random.Random, octets: bytearray) -> None:
    """CSRC count, extension and its length, RTCP length words, padding: whatever says how much follows."""
    kind = rng.randrange(4)
    if kind == 0:
        octets[0] = octets[0] & 0xF0 | rng.randrange(16)
    elif kind == 1:
        octets[0] |= 0x10
        place = 12 + 4 * (octets[0] & 15) + 2
        put(octets, place, rng.choice(LENGTHS))
    elif kind == 2:
        place = rng.randrange(max(len(octets) // 4, 1)) * 4 + 2
        put(octets, place, rng.choice(LENGTHS))
    else:
        octets[0] |= 0x20
        octets[-1] = rng.choice((0, 1, 4, 20, 255))


def change_trailer(rng: random.Random, octets: bytearray) -> None:
    """Tag, MKI, SRTCP index and E bit."""
    place = len(octets) - 1 - rng.randrange(min(24, len(octets)))
    octets[place] ^= 0x80 if rng.random() < 0.5 else rng.randint(1, 255)


def truncate(rng: random.Random, octets: bytearray) -> None:
    del octets[rng.randrange(len(octets)) :]


def extend(rng: random.Random, octets: bytearray) -> None:
    octets += rng.randbytes(rng.choice((1, 3, 4, 16, 100)))


def change_source(rng: random.Random, octets: bytearray) -> None:
    """Another sequence number or SSRC: another place in the windows."""
    if rng.random() < 0.5:
        octets[2:4] = rng.randbytes(2)
    else:
        octets[8:12] = rng.choice((rng.randbytes(4), b"\0\0\0\1", bytes(octets[4:8])))


MUTATIONS = (
    flip_bits, set_octet, change_header, lie_about_length, change_trailer, truncate, extend, change_source,
)  # fmt: skip


def mutated(rng: random.Random, octets: bytes) -> bytes:
    """One to three mutations, or two packets in one."""
    changed = bytearray(octets)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if changed:
            rng.choice(MUTATIONS)(rng, changed)
    return bytes(changed[: LONGEST + 1])


def spliced(rng: random.Random, one: bytes, other: bytes) -> bytes:
    """The head of one packet and the tail of another."""
    return one[: rng.randint(0, len(one))] + other[rng.randint(0, len(other)) :]
