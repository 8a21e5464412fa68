"""RTP packets and RTCP sender reports by aiortc. RFC 3550, sections 5.1, 6.4.1 and 6.5."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

_SEQUENCE_MASK = 0xFFFF
_WORD_MASK = 0xFFFFFFFF
_SDES_CNAME = 1  # RFC 3550, section 6.5.1


@dataclass(frozen=True)
class Media:
    """What the terminal uses of a received RTP packet."""

    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes


@dataclass(frozen=True)
class SenderReport:
    """What the terminal uses of a received sender report: the totals of the far end's stream."""

    ssrc: int
    packets: int
    octets: int


def parse_media(packet: bytes) -> Media:
    """Raises ValueError when the octets are not an RTP packet."""
    from aiortc.rtp import RtpPacket

    rtp = RtpPacket.parse(packet)
    return Media(rtp.ssrc, rtp.sequence_number, rtp.timestamp, rtp.payload_type, rtp.payload)


def parse_reports(packet: bytes) -> list[SenderReport]:
    """Sender reports of a compound RTCP packet. Raises ValueError when the octets are not RTCP."""
    from aiortc.rtp import RtcpPacket, RtcpSrPacket

    return [
        SenderReport(part.ssrc, part.sender_info.packet_count, part.sender_info.octet_count)
        for part in RtcpPacket.parse(packet)
        if isinstance(part, RtcpSrPacket)
    ]


def is_report(datagram: bytes) -> bool:
    """Whether a datagram on a shared port is RTCP or SRTCP. RFC 5761, section 4."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


class PacketStream:
    """Numbers the packets of one source (SSRC), from random starting points where none are given."""

    def __init__(
        self,
        payload_type: int,
        *,
        ssrc: int | None = None,
        sequence: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        self.payload_type = payload_type
        self.ssrc = secrets.randbits(32) if ssrc is None else ssrc
        self.sequence = secrets.randbits(16) if sequence is None else sequence
        self.timestamp = secrets.randbits(32) if timestamp is None else timestamp
        self.packets = 0
        self.octets = 0

    def media(self, payload: bytes, samples: int) -> bytes:
        """The next RTP packet, ``samples`` long in time. The first one carries the marker: a talkspurt begins."""
        from aiortc.rtp import RtpPacket

        packet = RtpPacket(
            payload_type=self.payload_type,
            marker=int(self.packets == 0),
            sequence_number=self.sequence,
            timestamp=self.timestamp,
            ssrc=self.ssrc,
            payload=payload,
        ).serialize()
        self.sequence = (self.sequence + 1) & _SEQUENCE_MASK
        self.timestamp = (self.timestamp + samples) & _WORD_MASK
        self.packets += 1
        self.octets += len(payload)
        return packet

    def report(self, name: str) -> bytes:
        """A compound of sender report and CNAME, as the stream stands now. ``name`` is the canonical name."""
        from aiortc.clock import current_ntp_time
        from aiortc.rtp import RtcpSdesPacket, RtcpSenderInfo, RtcpSourceInfo, RtcpSrPacket

        totals = RtcpSenderInfo(
            ntp_timestamp=current_ntp_time(),
            rtp_timestamp=self.timestamp,
            packet_count=self.packets,
            octet_count=self.octets,
        )
        source = RtcpSourceInfo(ssrc=self.ssrc, items=[(_SDES_CNAME, name.encode())])
        return bytes(RtcpSrPacket(ssrc=self.ssrc, sender_info=totals)) + bytes(RtcpSdesPacket(chunks=[source]))
