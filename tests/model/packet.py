"""RTP and RTCP packets by RFC 3550: where the header ends, and packets of every shape for tests.

0                   1                   2                   3
|V=2|P|X|  CC   |M|     PT      |       sequence number         |
|                           timestamp                           |
|                             SSRC                              |
|                       CSRC, CC of them                        |
|    defined by profile         |   length in 32-bit words      |   if X
"""

from __future__ import annotations

import random
import struct

RTP_HEADER_LENGTH = 12
RTCP_HEADER_LENGTH = 8
EXTENSION_PROFILES = (0xBEDE, 0x1000, 0x0000, 0x8BAD)  # RFC 8285 one-byte, two-byte, others


class Malformed(Exception):
    """The packet contradicts itself; args[0] is the drop reason."""


def rtp_header_length(packet: bytes, end: int | None = None) -> int:
    """Octets in clear; raises Malformed when they do not fit in front of `end`."""
    end = len(packet) if end is None else end
    if end < RTP_HEADER_LENGTH:
        raise Malformed("too-short")
    if packet[0] >> 6 != 2:
        raise Malformed("malformed")
    length = RTP_HEADER_LENGTH + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if length + 4 > end:
            raise Malformed("malformed")
        length += 4 + 4 * int.from_bytes(packet[length + 2 : length + 4], "big")
    if length > end:
        raise Malformed("malformed")
    return length


def rtp(seq: int, ssrc: int, payload: bytes = b"\xd5" * 20, *, pt: int = 0, timestamp: int = 0) -> bytes:
    """The plain shape: no CSRC, no extension, no padding."""
    return struct.pack("!BBHII", 0x80, pt, seq, timestamp, ssrc) + payload


def random_rtp(rng: random.Random, seq: int, ssrc: int, length: int) -> bytes:
    """A packet of exactly `length` octets (12 or more) with random CSRCs, extension and padding that fit it."""
    room = length - RTP_HEADER_LENGTH
    csrcs = rng.choice((0, 0, 0, 1, 2, 15))
    csrcs = min(csrcs, room // 4)
    room -= 4 * csrcs
    extension = b""
    if room >= 4 and rng.random() < 0.4:
        words = min(rng.choice((0, 1, 2, 7, 60)), (room - 4) // 4)
        extension = struct.pack("!HH", rng.choice(EXTENSION_PROFILES), words) + rng.randbytes(4 * words)
        room -= len(extension)
    payload = bytearray(rng.randbytes(room))
    padded = room > 0 and rng.random() < 0.2
    if padded:
        payload[-1] = rng.randint(1, min(room, 255))
    first = 0x80 | padded << 5 | bool(extension) << 4 | csrcs
    # Payload types 64..95 with the marker would read as RTCP (RFC 5761 4).
    pt = rng.choice((0, 8, 9, 18, 96, 101, 127)) | rng.choice((0, 0x80))
    header = struct.pack("!BBHII", first, pt, seq, rng.getrandbits(32), ssrc)
    return header + rng.randbytes(4 * csrcs) + extension + bytes(payload)


def rtcp(ssrc: int, body: bytes = b"\x5a" * 20, *, pt: int = 200) -> bytes:
    """One RTCP packet with the sender's SSRC first; `body` in whole 32-bit words."""
    return struct.pack("!BBHI", 0x80, pt, 1 + len(body) // 4, ssrc) + body


def bye(ssrc: int) -> bytes:
    return struct.pack("!BBHI", 0x81, 203, 1, ssrc)


def random_rtcp(rng: random.Random, ssrc: int, length: int) -> bytes:
    """A compound packet of `length` octets (at least 8, rounded down to words): SR or RR, then APP (RFC 3550 6)."""
    words = max(length // 4, 2)
    parts = []
    pt = rng.choice((200, 201))
    while words:
        part = words if words < 6 else rng.randint(2, words)
        if words - part == 1:
            part = words
        parts.append(struct.pack("!BBHI", 0x80, pt, part - 1, ssrc) + rng.randbytes(4 * (part - 2)))
        words -= part
        pt = 204
    return b"".join(parts)
