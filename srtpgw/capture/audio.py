"""Sound files of decrypted streams: each packet at its place in time, silence where nothing was heard.

    AudioFiles    whole blocks of the twin, by stream
    _Source       packets of one SSRC, put in order of their sequence numbers
    _Track        those of one sampling rate: decoded, placed by their timestamps
    _Sound        the WAV file: 16-bit samples; silence takes no room on the disk

G.711, G.722 and Opus. A timestamp is believed as long as it agrees with the time of capture to two seconds; beyond that
the source has restarted, or stood still, and the time of capture decides.
"""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from srtpgw.capture.described import format_of
from srtpgw.capture.pcapng import Datagram, datagrams
from srtpgw.capture.twin import TwinPlan, TwinStream
from srtpgw.capture.writer import create_private, make_private_folder, told
from srtpgw.sdp.payload import PayloadFormat

Decode = Callable[[bytes], bytes]

HELD_MAX: Final = 32  # packets that wait for earlier ones
LATE_MAX: Final = 1000  # sequence numbers; further back is a restarted source, or nothing
DRIFT_MAX_S: Final = 2  # between timestamps and times of capture
GAP_MAX_S: Final = 3600  # a longer silence is cut to it
DURATION_MAX_S: Final = 6 * 3600  # holds the longest WAV file: 4 GiB at 48 kHz in stereo
PENDING_MAX: Final = 1 << 14  # octets of a file that wait to be written
RATE_MAX: Final = 48000  # Hz, of G.711 under a strange clock
SILENT: Final = {"CN", "TELEPHONE-EVENT"}  # no sound of their own here
WAV_HEAD: Final = 44  # octets
SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A file that was written. ``cut`` where something was left out: it was too long, or a silence was."""

    stream: int
    path: Path
    codec: str
    rate: int  # Hz
    channels: int
    seconds: float
    packets: int  # decoded
    broken: int  # that the decoder refused
    cut: bool


class _Form(NamedTuple):
    """How a payload type sounds."""

    codec: str
    rate: int  # Hz, of the samples
    clock: int  # Hz, of the timestamps
    channels: int


class _Packet(NamedTuple):
    """Numbers as in the packet."""

    sequence: int
    timestamp: int
    time_ns: int
    payload_type: int
    payload: bytes


class AudioFiles:
    """``with AudioFiles(folder, plan) as audio: audio.feed(blocks)``. Files are for their owner alone.

    Afterwards ``files`` lists them, and ``undecodable`` the packets of other codecs by stream and codec. Raises
    OutputError where a file is there already and `force` does not allow to replace it, or the disk is full; then, as
    after any failure in the block, the files are removed.
    """

    def __init__(self, folder: Path, plan: TwinPlan, *, force: bool = False) -> None:
        self.files: list[AudioFile] = []
        self.undecodable: dict[tuple[int, str], int] = {}
        self._folder = folder
        self._force = force
        self._streams = {stream.key: stream for stream in plan.streams if not stream.rtcp}
        self._sources: dict[tuple[object, ...], _Source] = {}

    def __enter__(self) -> Self:
        make_private_folder(self._folder)
        return self

    def feed(self, blocks: bytes) -> None:
        """Whole blocks of the twin, in its order."""
        for datagram in datagrams(blocks):
            if (packet := _parse(datagram)) is not None:
                self._take(datagram, *packet)

    def _take(self, datagram: Datagram, ssrc: int, packet: _Packet) -> None:
        ends = (datagram.source, datagram.source_port, datagram.destination, datagram.destination_port)
        key = (datagram.interface, 4 if len(datagram.source) == 4 else 6, *ends, ssrc, False)
        source = self._sources.get(key)
        if source is None:
            stream = self._streams.get(key)
            if stream is None:
                return
            source = self._sources[key] = _Source(stream, self)
        source.take(packet)

    def new_sound(self, stream: TwinStream, form: _Form) -> _Sound:
        """The file of a stream, named by what it is."""
        host = stream.source.host.replace(":", ".")
        name = f"{stream.number}-0x{stream.ssrc:08x}-{form.codec}-{host}_{stream.source.port}.wav"
        return _Sound(self._folder / name, form, self._force)

    def count_undecodable(self, stream: TwinStream, codec: str) -> None:
        """One packet that is in no file."""
        self.undecodable[stream.number, codec] = self.undecodable.get((stream.number, codec), 0) + 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        complete = False
        try:
            if kind is None:
                for source in self._sources.values():
                    source.flush()
                self.files = [track.finish() for track in self._tracks()]
                complete = True
        finally:
            if not complete:
                for track in self._tracks():
                    track.sound.remove()

    def _tracks(self) -> list[_Track]:
        return [track for source in self._sources.values() for track in source.tracks.values()]


def _parse(datagram: Datagram) -> tuple[int, _Packet] | None:
    """SSRC and packet of RTP (RFC 3550 5.1); None for anything else."""
    octets = datagram.payload
    if len(octets) < 12 or octets[0] >> 6 != 2 or 192 <= octets[1] <= 223:
        return None
    begin, end = 12 + 4 * (octets[0] & 15), len(octets)
    if octets[0] & 0x10:
        begin += 4 + 4 * int.from_bytes(octets[begin + 2 : begin + 4], "big")
    if octets[0] & 0x20:
        end -= octets[-1]
    if begin > end:
        return None
    sequence, timestamp, ssrc = struct.unpack_from(">2xHII", octets)
    return ssrc, _Packet(sequence, timestamp, datagram.time_ns, octets[1] & 0x7F, octets[begin:end])


def _extended(value: int, near: int, bits: int) -> int:
    """The number nearest to `near` whose low bits are `value`. RFC 3550 A.1."""
    half = 1 << (bits - 1)
    return near + ((value - near + half) & ((1 << bits) - 1)) - half


class _Source:
    """One SSRC: duplicates left out, reordered packets put in order as far as ``HELD_MAX`` allows."""

    def __init__(self, stream: TwinStream, files: AudioFiles) -> None:
        self.tracks: dict[tuple[int, int], _Track] = {}
        self._stream = stream
        self._files = files
        self._forms: dict[int, tuple[_Form | None, str]] = {}
        self._held: list[tuple[int, _Packet]] = []  # with their extended numbers
        self._numbers: set[int] = set()  # of those held
        self._highest: int | None = None
        self._played = -1  # extended number of the last that left
        self._restart: int | None = None  # the number that would confirm a restart

    def take(self, packet: _Packet) -> None:
        """The next packet as captured."""
        if self._highest is None:
            self._highest = packet.sequence + (1 << 16)
            self._played = self._highest - LATE_MAX
        sequence = _extended(packet.sequence, self._highest, 16)
        if sequence < self._highest - LATE_MAX and not self._restarted(packet.sequence):
            return
        sequence = _extended(packet.sequence, self._highest, 16)
        if sequence <= self._played or sequence in self._numbers:
            return
        self._highest = max(self._highest, sequence)
        if sequence == self._played + 1:
            self._play(sequence, packet)
        else:
            self._numbers.add(sequence)
            heapq.heappush(self._held, (sequence, packet))
        while self._held and (len(self._held) > HELD_MAX or self._held[0][0] == self._played + 1):
            self._play(*heapq.heappop(self._held))

    def _restarted(self, sequence: int) -> bool:
        """Whether two in sequence say so (RFC 3550 A.1). Then what is held is played and numbers begin anew."""
        if sequence != self._restart:
            self._restart = (sequence + 1) & 0xFFFF
            return False
        self.flush()
        assert self._highest is not None
        self._highest = self._played = ((self._highest >> 16) + 1 << 16 | sequence) - 1
        return True

    def flush(self) -> None:
        """Play what is held."""
        while self._held:
            self._play(*heapq.heappop(self._held))

    def _play(self, sequence: int, packet: _Packet) -> None:
        self._numbers.discard(sequence)
        self._played = sequence
        if packet.payload_type not in self._forms:
            self._forms[packet.payload_type] = _form(format_of(packet.payload_type, self._stream.formats))
        form, codec = self._forms[packet.payload_type]
        if form is None:
            if codec not in SILENT:
                self._files.count_undecodable(self._stream, codec or f"payload type {packet.payload_type}")
        elif packet.payload:
            self._track(form).play(packet, form)

    def _track(self, form: _Form) -> _Track:
        """A file for each sampling rate; where the codec changes and the rate does not, it goes on."""
        kind = form.rate, form.channels
        if kind not in self.tracks:
            self.tracks[kind] = _Track(self._stream.number, form, self._files.new_sound(self._stream, form))
        return self.tracks[kind]


def _form(known: PayloadFormat | None) -> tuple[_Form | None, str]:
    """With the codec's name in capitals; None for one that is not decoded."""
    codec = known.codec.upper() if known is not None else ""
    clock = known.clock_rate or 8000 if known is not None else 0
    channels = known.channels if known is not None else 1
    if codec in {"PCMU", "PCMA"} and 8000 <= clock <= RATE_MAX and channels <= 2:
        return _Form(codec, clock, clock, channels), codec
    if codec == "G722":
        return _Form(codec, 16000, 8000, 1), codec  # RFC 3551 4.5.2: the clock that was registered by mistake
    if codec == "OPUS":
        return _Form(codec, 48000, 48000, 2), codec  # RFC 7587 4.1, whatever is inside
    return None, codec


class _Track:
    """Sound of one source at one sampling rate."""

    def __init__(self, number: int, form: _Form, sound: _Sound) -> None:
        self.sound = sound
        self._number = number
        self._form = form  # of the first packet
        self._decoders: dict[str, Decode] = {}
        self._timestamp: int | None = None  # the newest, extended
        self._origin = 0  # timestamp, extended, and
        self._origin_ns = 0  # time of the file's first sample
        self._packets = self._broken = 0

    def play(self, packet: _Packet, form: _Form) -> None:
        """Decode and place."""
        if form.codec not in self._decoders:
            self._decoders[form.codec] = _decoder(form.codec)
        samples = self._decoders[form.codec](packet.payload)
        if not samples:
            self._broken += 1
            return
        self._packets += 1
        self.sound.place(self._position(packet, form), samples)

    def _position(self, packet: _Packet, form: _Form) -> int:
        """The sample in the file at which the packet begins."""
        if self._timestamp is None:
            self._timestamp = self._origin = packet.timestamp
            self._origin_ns = packet.time_ns
        self._timestamp = _extended(packet.timestamp, self._timestamp, 32)
        scale = form.rate // form.clock
        position = (self._timestamp - self._origin) * scale
        heard = (packet.time_ns - self._origin_ns) * form.rate // SECOND_NS
        if abs(position - heard) > DRIFT_MAX_S * form.rate:
            position = max(heard, self.sound.samples)
        excess = position - self.sound.samples - GAP_MAX_S * form.rate
        if excess > 0:
            position -= excess
            self._origin_ns += excess * SECOND_NS // form.rate
            self.sound.cut = True
        self._origin = self._timestamp - position // scale
        return position

    def finish(self) -> AudioFile:
        """The file is complete then."""
        self.sound.finish()
        form, sound = self._form, self.sound
        seconds = sound.samples / form.rate
        return AudioFile(
            self._number,
            sound.path,
            form.codec,
            form.rate,
            form.channels,
            seconds,
            self._packets,
            self._broken,
            sound.cut,
        )


class _Sound:
    """A WAV file of 16-bit samples. It is open only while something is written: there may be thousands."""

    def __init__(self, path: Path, form: _Form, force: bool) -> None:
        self.path = path
        self.samples = 0  # so far, silence included
        self.cut = False
        self._rate = form.rate
        self._channels = form.channels
        self._width = 2 * form.channels  # octets of a sample of all channels
        self._limit = DURATION_MAX_S * form.rate
        self._pending = bytearray()
        self._pending_at = 0
        os.close(create_private(path, force=force))

    def place(self, position: int, octets: bytes) -> None:
        """Put samples at a position; what lies before the end of the file is left out."""
        octets = octets[max(self.samples - position, 0) * self._width :]
        position = max(position, self.samples)
        count = len(octets) // self._width
        if position + count > self._limit:
            self.cut = True
            return
        if position > self.samples or len(self._pending) > PENDING_MAX:
            self._write()
            self._pending_at = position
        self._pending += octets
        self.samples = position + count

    def finish(self) -> None:
        """Write what is left, and the head."""
        self._write()
        octets = self.samples * self._width
        rate, width = self._rate, self._width
        sizes = struct.pack("<4sI4s4sI", b"RIFF", WAV_HEAD - 8 + octets, b"WAVE", b"fmt ", 16)
        form = struct.pack("<2H2I2H4sI", 1, self._channels, rate, rate * width, width, 16, b"data", octets)
        self._put(0, sizes + form)

    def remove(self) -> None:
        """It is not complete."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        if self._pending:
            self._put(WAV_HEAD + self._pending_at * self._width, bytes(self._pending))
            self._pending.clear()
        self._pending_at = self.samples

    def _put(self, at: int, octets: bytes) -> None:
        with told(self.path):
            handle = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                while octets:
                    written = os.pwrite(handle, octets, at)
                    octets, at = octets[written:], at + written
            finally:
                os.close(handle)


def _decoder(codec: str) -> Decode:
    """From a payload to 16-bit samples, little-endian; no samples from what the codec refuses."""
    if codec in {"PCMU", "PCMA"}:
        return _g711_decoder(_mulaw if codec == "PCMU" else _alaw)
    return _av_decoder(*(("g722", 16000, "mono") if codec == "G722" else ("libopus", 48000, "stereo")))


def _g711_decoder(sample: Callable[[int], int]) -> Decode:
    table = [sample(octet) & 0xFFFF for octet in range(256)]
    low, high = bytes(each & 0xFF for each in table), bytes(each >> 8 for each in table)

    def decode(payload: bytes) -> bytes:
        samples = bytearray(2 * len(payload))
        samples[0::2] = payload.translate(low)
        samples[1::2] = payload.translate(high)
        return bytes(samples)

    return decode


def _mulaw(octet: int) -> int:
    """ITU-T G.711, table 2."""
    bits = ~octet
    magnitude = (((bits & 0x0F) << 3) + 132 << (bits >> 4 & 7)) - 132
    return -magnitude if bits & 0x80 else magnitude


def _alaw(octet: int) -> int:
    """ITU-T G.711, table 1."""
    bits = octet ^ 0x55
    segment = bits >> 4 & 7
    magnitude = ((bits & 0x0F) << 4) + 8 if segment == 0 else ((bits & 0x0F) << 4) + 264 << segment - 1
    return magnitude if bits & 0x80 else -magnitude


def _av_decoder(name: str, rate: int, layout: str) -> Decode:
    """By FFmpeg's libraries."""
    from av import AudioCodecContext, CodecContext, Packet
    from av.error import FFmpegError

    context = CodecContext.create(name, "r")
    assert isinstance(context, AudioCodecContext)
    context.format = "s16"
    context.layout = layout
    context.sample_rate = rate
    width = 2 if layout == "mono" else 4

    def decode(payload: bytes) -> bytes:
        try:
            frames = context.decode(Packet(payload))
        except FFmpegError:
            return b""
        return b"".join(bytes(frame.planes[0])[: width * frame.samples] for frame in frames)

    return decode
