"""SIP messages and session descriptions for tests, and the signals that a survey would hand out for them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from srtpgw.capture.calls import Signal
from srtpgw.capture.signaling import Signaling

SUITE = "AES_CM_128_HMAC_SHA1_80"
ALICE, BOB, PROXY = "192.0.2.1", "192.0.2.2", "192.0.2.9"
SYN, ACK, FIN, RST = 0x02, 0x10, 0x01, 0x04


def octets(number: int, length: int = 30) -> bytes:
    """A key and salt that is easy to tell apart."""
    return (number.to_bytes(2, "big") * length)[:length]


def crypto(number: int, suite: str = SUITE, tag: int = 1, rest: str = "") -> str:
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(octets(number)).decode()}{rest}"


def sdp(host: str, port: int, *lines: str, profile: str = "RTP/SAVP", session: int | None = None) -> str:
    """A description with one audio medium; further `lines` may start further media."""
    text = [
        "v=0",
        f"o=- {session if session is not None else port} 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} {profile} 8 101",
        "a=rtpmap:101 telephone-event/8000",
        *lines,
    ]
    return "".join(line + "\r\n" for line in text)


def sip(
    start: str,
    body: str = "",
    *,
    cseq: str = "1 INVITE",
    call: str = "call-1@example.org",
    tags: tuple[str, str] = ("alice-1", ""),
    headers: str = "",
    kind: str = "application/sdp",
) -> bytes:
    """A message; `tags` are those of From and To. `headers` are whole lines."""
    to_tag = f";tag={tags[1]}" if tags[1] else ""
    head = (
        f"{start}\r\nVia: SIP/2.0/UDP {ALICE}:5060;branch=z9hG4bK{cseq.replace(' ', '')}\r\n"
        f'From: "Alice <a>" <sip:alice@example.org>;tag={tags[0]}\r\nTo: <sip:bob@example.org>{to_tag}\r\n'
        f"Call-ID: {call}\r\nCSeq: {cseq}\r\n{headers}"
    )
    if body:
        head += f"Content-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


def invite(body: str = "", **options: object) -> bytes:
    return sip("INVITE sip:bob@example.org SIP/2.0", body, **options)  # type: ignore[arg-type]


def ok(body: str = "", status: str = "200 OK", **options: object) -> bytes:
    options.setdefault("tags", ("alice-1", "bob-1"))
    return sip(f"SIP/2.0 {status}", body, **options)  # type: ignore[arg-type]


@dataclass
class Wire:
    """Feeds messages to a Signaling, with frame numbers and times that go up by one and by a second."""

    signaling: Signaling = field(default_factory=Signaling)
    frame: int = 0

    def _ends(self, source: tuple[str, int], destination: tuple[str, int]) -> tuple[bytes, int, bytes, int]:
        first, second = (bytes(map(int, end[0].split("."))) for end in (source, destination))
        return first, source[1], second, destination[1]

    def signal(
        self,
        kind: str,
        source: tuple[str, int],
        destination: tuple[str, int],
        payload: bytes,
        sequence: int = 0,
        flags: int = 0,
    ) -> None:
        self.frame += 1
        ends = self._ends(source, destination)
        time_ns = self.frame * 1_000_000_000
        self.signaling.feed(tuple(Signal(kind, self.frame, time_ns, 0, 4, *ends, payload, sequence, flags)))

    def udp(self, source: str, destination: str, message: bytes) -> None:
        self.signal("sip", (source, 5060), (destination, 5060), message)

    def tcp(self, payload: bytes, sequence: int, flags: int = ACK, *, back: bool = False, port: int = 5060) -> None:
        """A segment between Alice's port 40000 and Bob's."""
        ends = (ALICE, 40000), (BOB, port)
        self.signal("tcp", *(reversed(ends) if back else ends), payload, sequence, flags)  # type: ignore[call-arg]
