"""Captures made for a purpose: streams of G.711 with any protection, and the descriptions that announce them."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from interop.programs import FRAME, sound
from native.captures import Frame, ethernet, ip4, pcap, udp

from srtpgw.srtp import Sender

CALLER, CALLED = "192.0.2.10", "192.0.2.20"
START_NS = 1_700_000_000_000_000_000
STEP_NS = 20_000_000
SPEECH = sound(512, 3)
Protect = Callable[[bytes], bytes]


def speech(number: int) -> bytes:
    """20 ms of sound that no other of 512 packets repeats."""
    at = number % 512 * FRAME
    return SPEECH[at : at + FRAME]


def rtp(sequence: int, ssrc: int, payload: bytes, payload_type: int = 0) -> bytes:
    extended = sequence & 0xFFFFFFFF
    return struct.pack("!BBHII", 0x80, payload_type, extended & 0xFFFF, extended * FRAME & 0xFFFFFFFF, ssrc) + payload


@dataclass
class Stream:
    """From `source` to `destination`, packets of these (extended) sequence numbers; `protect` what comes out of it."""

    ssrc: int
    protect: Protect = bytes
    numbers: Iterable[int] = field(default_factory=lambda: range(1, 61))
    source: tuple[str, int] = (CALLER, 5004)
    destination: tuple[str, int] = (CALLED, 6004)
    start: int = 0  # first packet's place in time, in packets
    payload: Callable[[int], bytes] = speech

    def frames(self) -> Iterator[Frame]:
        for place, number in enumerate(self.numbers, self.start):
            packet = self.protect(rtp(number, self.ssrc, self.payload(number)))
            yield datagram(packet, self.source, self.destination, place * STEP_NS)


def datagram(payload: bytes, source: tuple[str, int], destination: tuple[str, int], at_ns: int) -> Frame:
    return Frame(ethernet(ip4(udp(payload, source[1], destination[1]), source[0], destination[0])), START_NS + at_ns)


def sender_at(suite: str, key: bytes, ssrc: int, roc: int) -> Sender:
    """One that protects a source from a rollover counter on."""
    sender = Sender(suite, key)
    sender.set_rollover_counter(ssrc, roc)
    return sender


def capture(*streams: Stream, signaling: Iterable[Frame] = ()) -> bytes:
    """A pcap file of all of them, in order of time."""
    frames = [*signaling, *(frame for stream in streams for frame in stream.frames())]
    return pcap(sorted(frames, key=lambda frame: frame.time_ns), magic=0xA1B23C4D)


def key(seed: int, length: int = 30) -> bytes:
    return random.Random(seed).randbytes(length)


def crypto_line(suite: str, octets: bytes, tag: int = 1, parameters: str = "") -> str:
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(octets).decode()}{parameters}\r\n"


def described(
    lines: str, *, who: tuple[str, int] = (CALLER, 5004), status: bool = False, profile: str = "RTP/SAVP",
    at_ns: int = -2, call: str = "1",
) -> Frame:  # fmt: skip
    """An INVITE of the caller, or the 200 of the called, over UDP."""
    host, port = who
    body = (
        f"v=0\r\no=- {call} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} {profile} 0\r\n{lines}"
    )
    head = "SIP/2.0 200 OK" if status else "INVITE sip:b@example.net SIP/2.0"
    fields = f"Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK{call}\r\nFrom: <sip:a@example.net>;tag=a{call}\r\n"
    fields += f"To: <sip:b@example.net>{';tag=b' + call if status else ''}\r\n"
    fields += f"Call-ID: {call}@example.net\r\nCSeq: 1 INVITE\r\n"
    fields += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
    ends = ((CALLED, 5060), (CALLER, 5060)) if status else ((CALLER, 5060), (CALLED, 5060))
    return datagram(f"{head}\r\n{fields}\r\n{body}".encode(), *ends, at_ns)
