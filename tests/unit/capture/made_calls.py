"""Signaling of calls between two phones, message by message, for captures made with media.py."""

from __future__ import annotations

from dataclasses import dataclass

from native.captures import Frame
from unit.capture.media import CALLED, CALLER, STEP_NS, crypto_line, datagram

CM = "AES_CM_128_HMAC_SHA1_80"
SIP_PORT = 5060
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\n"
NAMES = {CALLER: "a", CALLED: "b"}


def line(octets: bytes, suite: str = CM, tag: int = 1) -> str:
    return crypto_line(suite, octets, tag)


@dataclass
class Call:
    """One call over UDP. Messages are placed in time by packets of 20 ms, as streams are."""

    name: str = "1"
    media: tuple[tuple[str, int], tuple[str, int]] = ((CALLER, 5004), (CALLED, 6004))
    profile: str = "RTP/SAVP"
    sequence: int = 1

    def offer(self, lines: str, at: int, *, by: str = CALLER) -> Frame:
        return self._message(f"INVITE sip:x@{self._other(by)} SIP/2.0", self._body(lines, by), at, by, by)

    def answer(self, lines: str, at: int, *, by: str = CALLED) -> Frame:
        return self._message("SIP/2.0 200 OK", self._body(lines, by), at, by, self._other(by))

    def agree(self, offered: str, answered: str, at: int) -> list[Frame]:
        """An offer of the caller and its answer; a further one is a re-INVITE."""
        frames = [self.offer(offered, at), self.answer(answered, at + 1)]
        self.sequence += 1
        return frames

    def bye(self, at: int, *, by: str = CALLER) -> Frame:
        return self._message(f"BYE sip:x@{self._other(by)} SIP/2.0", "", at, by, by, "BYE")

    def _other(self, host: str) -> str:
        return CALLED if host == CALLER else CALLER

    def _body(self, lines: str, by: str) -> str:
        host, port = self.media[by == CALLED]
        head = f"v=0\r\no=- {self.name}{NAMES[by]} {self.sequence} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        return f"{head}m=audio {port} {self.profile} 0\r\n{lines}"

    def _message(self, start: str, body: str, at: int, by: str, asks: str, method: str = "INVITE") -> Frame:
        """``asks`` sent the request."""
        one, other = (
            f"<sip:{NAMES[host]}@example.net>;tag={NAMES[host]}{self.name}" for host in (asks, self._other(asks))
        )
        head = (
            f"{start}\r\nVia: SIP/2.0/UDP {asks};branch=z9hG4bK{self.name}{self.sequence}{method}\r\n"
            f"From: {one}\r\nTo: {other}\r\nCall-ID: {self.name}@example.net\r\nCSeq: {self.sequence} {method}\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        )
        ends = (by, SIP_PORT), (self._other(by), SIP_PORT)
        return datagram(f"{head}\r\n{body}".encode(), *ends, at * STEP_NS)
