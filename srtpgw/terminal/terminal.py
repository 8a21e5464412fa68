"""The terminal: talks with a voice, listens, and keeps what it said and heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from srtpgw.terminal.codec import AudioCodec
from srtpgw.terminal.packets import (
    Media,
    PacketStream,
    SenderReport,
    is_report,
    parse_media,
    parse_reports,
)
from srtpgw.terminal.protection import Protection, TerminalKeys, Undecryptable
from srtpgw.terminal.recording import Recording, Track
from srtpgw.terminal.transport import UdpAddress, UdpSocket
from srtpgw.terminal.voice import FRAME_SAMPLES, FRAME_SECONDS, Voice

TICK = 0.02  # seconds between two looks at something that tells nobody when it changes


async def poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; False when it does not hold after so many seconds."""
    for _ in range(int(seconds / TICK)):
        if condition():
            return True
        await asyncio.sleep(TICK)
    return condition()


@dataclass(frozen=True)
class TerminalSettings:
    """``keys`` None talks in clear; ``first_sequence`` None begins at random; ``keep_wire`` keeps every datagram.

    A sender report follows every ``report_frames`` frames of 20 ms.
    """

    name: str
    voice: Voice
    codec: str = "PCMU"
    keys: TerminalKeys | None = None
    host: str = "127.0.0.1"
    rtcp_mux: bool = False
    first_sequence: int | None = None
    report_frames: int = 50
    keep_wire: bool = False


@dataclass
class TerminalCounters:
    """Packets. ``sent``, ``received`` and ``duplicates`` are RTP; reports are counted apart."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    duplicates: int = 0
    undecryptable: int = 0
    malformed: int = 0
    wrong_source: int = 0
    reports_sent: int = 0
    reports_received: int = 0

    @property
    def refused(self) -> int:
        """Datagrams that arrived and were no use."""
        return self.duplicates + self.undecryptable + self.malformed + self.wrong_source


class Terminal:
    """One end of a media session. An asynchronous context manager: the ports are held inside it."""

    def __init__(self, settings: TerminalSettings) -> None:
        self.settings = settings
        self.codec = AudioCodec(settings.codec)
        self.sent_wire: list[bytes] = []
        self.heard_wire: list[bytes] = []
        self.reports: list[SenderReport] = []
        self.heard = Recording()
        self._counters = TerminalCounters()
        self._stream = PacketStream(self.codec.payload_type, sequence=settings.first_sequence)
        self.sent = Track(self._stream.ssrc)
        self._protection = Protection(settings.keys) if settings.keys else None
        self._frames_said = 0
        self._rtp: UdpSocket | None = None
        self._rtcp: UdpSocket | None = None
        self._remote: UdpAddress | None = None
        self._remote_rtcp: UdpAddress | None = None

    async def __aenter__(self) -> Terminal:
        settings = self.settings
        receive = self._receive_any if settings.rtcp_mux else self._receive_media
        self._rtp = await UdpSocket.open((settings.host, 0), receive)
        if settings.rtcp_mux:
            self._rtcp = self._rtp
            return self
        try:
            self._rtcp = await UdpSocket.open((settings.host, 0), self._receive_report)
        except OSError:
            self._rtp.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._rtp, self._rtcp):
            if sock is not None:
                sock.close()

    @property
    def ssrc(self) -> int:
        """The SSRC under which this terminal sends."""
        return self._stream.ssrc

    @property
    def address(self) -> UdpAddress:
        """Where it receives RTP."""
        assert self._rtp is not None, "the terminal is not open"
        return self._rtp.address

    @property
    def rtcp_address(self) -> UdpAddress:
        """Where it receives RTCP; the same as for RTP when multiplexed."""
        assert self._rtcp is not None, "the terminal is not open"
        return self._rtcp.address

    @property
    def counters(self) -> TerminalCounters:
        """As they stand now. ``lost`` are gaps in what was heard."""
        self._counters.lost = self.heard.lost
        return self._counters

    def call(self, remote: UdpAddress, remote_rtcp: UdpAddress | None = None) -> None:
        """Name the far end; RTCP goes to the next port, or to the same one when multiplexed, unless given."""
        host, port = remote[0], remote[1]
        default = (host, port) if self.settings.rtcp_mux else (host, port + 1)
        self._remote = (host, port)
        self._remote_rtcp = (remote_rtcp[0], remote_rtcp[1]) if remote_rtcp else default

    async def talk(self, frames: int) -> None:
        """Say so many frames of 20 ms in real time, with their sender reports.

        The pace is the loop's clock: a late frame is sent at once and moves none of those after it.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number in range(frames):
            delay = start + number * FRAME_SECONDS - loop.time()
            await asyncio.sleep(max(0.0, delay))
            self._say_frame()
            if self._frames_said % self.settings.report_frames == 0:
                self._say_report()

    def send_raw(self, datagram: bytes) -> None:
        """Send octets as they are from the terminal's own RTP port, uncounted: for tests of what a relay refuses."""
        assert self._rtp is not None, "the terminal is not open"
        assert self._remote is not None, "call() comes first"
        self._rtp.send(datagram, self._remote)

    # --- sending -----------------------------------------------------------------------------------------------------

    def _say_frame(self) -> None:
        payload = self.codec.encode(self.settings.voice.frame(self._frames_said))
        self._frames_said += 1
        packet = self._stream.media(payload, FRAME_SAMPLES)
        self.sent.add(parse_media(packet))
        wire = self._protection.protect(packet) if self._protection else packet
        if self.settings.keep_wire:
            self.sent_wire.append(wire)
        self._counters.sent += 1
        self.send_raw(wire)

    def _say_report(self) -> None:
        assert self._rtcp is not None
        assert self._remote_rtcp is not None
        packet = self._stream.report(self.settings.name)
        wire = self._protection.protect_report(packet) if self._protection else packet
        self._counters.reports_sent += 1
        self._rtcp.send(wire, self._remote_rtcp)

    # --- receiving ---------------------------------------------------------------------------------------------------

    def _receive_any(self, datagram: bytes, source: UdpAddress) -> None:
        if is_report(datagram):
            self._receive_report(datagram, source)
        else:
            self._receive_media(datagram, source)

    def _receive_media(self, datagram: bytes, source: UdpAddress) -> None:
        if source != self._remote:
            self._counters.wrong_source += 1
            return
        if self.settings.keep_wire:
            self.heard_wire.append(datagram)
        media = self._open_media(datagram)
        if media is None:
            return
        if self.heard.add(media):
            self._counters.received += 1
        else:
            self._counters.duplicates += 1

    def _open_media(self, datagram: bytes) -> Media | None:
        """Unprotect and parse; None, and counted, when it cannot be done."""
        try:
            return parse_media(self._protection.unprotect(datagram) if self._protection else datagram)
        except Undecryptable as refusal:
            if refusal.replayed:
                self._counters.duplicates += 1
            else:
                self._counters.undecryptable += 1
        except ValueError:
            self._counters.malformed += 1
        return None

    def _receive_report(self, datagram: bytes, source: UdpAddress) -> None:
        if source != self._remote_rtcp:
            self._counters.wrong_source += 1
            return
        try:
            packet = self._protection.unprotect_report(datagram) if self._protection else datagram
            self.reports.extend(parse_reports(packet))
            self._counters.reports_received += 1
        except Undecryptable:
            self._counters.undecryptable += 1
        except ValueError:
            self._counters.malformed += 1
