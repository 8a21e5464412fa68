"""Payloads that need no encoder, byte by byte as their RFCs draw them, from a seed."""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator

import av
from unit.capture.corpus import WORDS

EVENT_STEP = 160  # samples: 20 ms
NTP_2025 = 3_944_678_400  # seconds since 1900


def telephone_events(draw: random.Random, count: int) -> Iterator[bytes]:
    """RFC 4733: a digit's packets every 20 ms, the last one three times with the end bit."""
    while count > 0:
        digit, length = draw.randrange(12), draw.randint(4, 12)
        for number in range(1, length + 3):
            end = 0x80 if number >= length else 0
            yield struct.pack("!BBH", digit, end | 10, EVENT_STEP * min(number, length))
            count -= 1


def comfort_noise(draw: random.Random, coefficients: int) -> Iterator[bytes]:
    """RFC 3389: the level, and where the spectrum is sent too, reflection coefficients that change slowly."""
    level, spectrum = 68.0, [draw.uniform(40, 215) for _ in range(coefficients)]
    while True:
        level = min(max(level + draw.gauss(0, 0.8), 40), 90)
        spectrum = [min(max(each + draw.gauss(0, 3), 0), 254) for each in spectrum]
        yield bytes([int(level), *map(int, spectrum)])


def text(draw: random.Random) -> Iterator[bytes]:
    """RFC 4103 without redundancy: what was typed in 300 ms."""
    typed = ""
    while True:
        typed = typed or draw.choice(WORDS) + " "
        size = draw.randint(1, 4)
        yield typed[:size].encode()
        typed = typed[size:]


def redundant(payloads: list[bytes], payload_type: int, step: int) -> Iterator[bytes]:
    """RFC 2198: each packet repeats the one before."""
    before = b""
    for payload in payloads:
        header = struct.pack("!BI", 0x80 | payload_type, step << 10 | len(before))
        yield header[:1] + header[2:] + bytes([payload_type]) + before + payload
        before = payload[:1023]


def retransmitted(payloads: list[bytes], sequence: int) -> Iterator[bytes]:
    """RFC 4588: the original sequence number, then the payload."""
    for number, payload in enumerate(payloads):
        yield struct.pack("!H", sequence + number & 0xFFFF) + payload


def with_events(draw: random.Random, speech: list[bytes]) -> Iterator[bytes]:
    """Speech in which digits are dialled now and then."""
    for number, payload in enumerate(speech):
        if number % 50 == 20:
            yield from telephone_events(draw, 1)
        yield payload


def adaptive_multirate(speech: list[bytes], bit_rate: int) -> Iterator[bytes]:
    """RFC 4867, octet-aligned, from L16 at 8,000 Hz: any mode requested, then the frame with its table of contents."""
    encoder = av.CodecContext.create("libopencore_amrnb", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 8000, "mono", "s16", bit_rate
    for samples in speech:
        if len(samples) != 2 * EVENT_STEP:
            continue
        frame = av.AudioFrame(format="s16", layout="mono", samples=EVENT_STEP)
        frame.sample_rate = 8000
        native = array("h", samples)
        native.byteswap()
        frame.planes[0].update(native.tobytes())
        yield from (b"\xf0" + bytes(packet) for packet in encoder.encode(frame))


def reports(draw: random.Random, *, sender: bool) -> Iterator[bytes]:
    """Whole RTCP packets: SR or RR with one block, and SDES (RFC 3550 6)."""
    own, other = draw.randbytes(4), draw.randbytes(4)
    name = f"user{draw.randrange(100)}@host{draw.randrange(1000)}.example".encode()
    item = own + bytes([1, len(name)]) + name
    item += bytes(4 - len(item) % 4)
    described = struct.pack("!BBH", 0x81, 202, len(item) // 4) + item
    moment, packets, highest = NTP_2025 + draw.random() * 1e6, draw.randrange(1000), draw.randrange(30_000)
    while True:
        moment += draw.uniform(2.5, 7.5)
        packets += 250
        highest += 250
        lost = draw.choice((0, 0, 0, draw.randrange(20)))
        block = other + struct.pack("!BBHIIII", lost, 0, 0, highest, draw.randrange(200), draw.getrandbits(32), 7000)
        stamp = struct.pack("!II", int(moment), int(moment % 1 * 2**32))
        info = stamp + struct.pack("!III", int(moment * 8000) & 0xFFFFFFFF, packets, packets * 160) if sender else b""
        body = own + info + block
        yield struct.pack("!BBH", 0x81, 200 if sender else 201, len(body) // 4) + body + described
