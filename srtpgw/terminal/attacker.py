"""Packets that a gateway must not pass on, from an address that is no party to the call, and an ear for answers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from types import TracebackType

from srtpgw.terminal.packets import PacketStream, parse_media
from srtpgw.terminal.transport import UdpAddress, UdpSocket
from srtpgw.terminal.voice import FRAME_SAMPLES

_HEADER_OCTETS = 12  # RTP without CSRC and extension, as the terminal sends it
_SEQUENCE = slice(2, 4)


class Attacker:
    """A socket of its own. Whatever comes back to it is counted: it should hear nothing at all."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self._socket: UdpSocket | None = None
        self.heard = 0

    async def __aenter__(self) -> Attacker:
        self._socket = await UdpSocket.open((self._host, 0), self._count)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()

    def send(self, datagram: bytes, to: UdpAddress) -> None:
        """Send from the attacker's own port."""
        assert self._socket is not None, "the attacker is not open"
        self._socket.send(datagram, to)

    def _count(self, datagram: bytes, source: UdpAddress) -> None:
        self.heard += 1


def forge(captured: bytes, count: int, ahead: int = 1) -> list[bytes]:
    """SRTP packets of a captured one's SSRC and length with random contents, numbered from ``ahead`` beyond it on.

    A number that the true source has used by the time of arrival makes a replay of the packet, not a forgery.
    """
    sequence = parse_media(captured).sequence + ahead
    packets = []
    for number in range(count):
        header = bytearray(captured[:_HEADER_OCTETS])
        header[_SEQUENCE] = ((sequence + number) & 0xFFFF).to_bytes(2, "big")
        packets.append(bytes(header) + secrets.token_bytes(len(captured) - _HEADER_OCTETS))
    return packets


def stranger(count: int, *, payload_type: int = 0) -> list[bytes]:
    """Plain RTP of a source that nobody knows."""
    stream = PacketStream(payload_type)
    return [stream.media(secrets.token_bytes(FRAME_SAMPLES), FRAME_SAMPLES) for _ in range(count)]


def inject(captured: bytes, count: int) -> list[bytes]:
    """Plain RTP that continues the source of a captured packet: what a listener on the path would try."""
    known = parse_media(captured)
    stream = PacketStream(
        known.payload_type,
        ssrc=known.ssrc,
        sequence=(known.sequence + 1) & 0xFFFF,
        timestamp=(known.timestamp + FRAME_SAMPLES) & 0xFFFFFFFF,
    )
    return [stream.media(secrets.token_bytes(FRAME_SAMPLES), FRAME_SAMPLES) for _ in range(count)]


def replay(captured: Sequence[bytes], count: int) -> list[bytes]:
    """The newest ``count`` of the captured packets, once more as they are."""
    return list(captured[-count:])
