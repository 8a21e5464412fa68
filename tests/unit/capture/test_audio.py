"""Sound files: samples against other decoders, and each packet at its place in time."""

from __future__ import annotations

import math
import os
import struct
import wave
from array import array
from collections.abc import Iterable, Iterator
from errno import ENOSPC
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from interop.programs import decode as mulaw_decode
from interop.programs import sound

from srtpgw import _native
from srtpgw.capture.audio import AudioFile, AudioFiles
from srtpgw.capture.twin import TwinPlan, TwinStream
from srtpgw.errors import OutputError
from srtpgw.sdp.payload import PayloadFormat

ENDS = (4, bytes([127, 0, 0, 1]), 5004), (4, bytes([127, 0, 0, 2]), 6004)
TIME_NS = 1_700_000_000_000_000_000
FRAME = 160  # samples and octets of G.711 in 20 ms
FRAME_NS = 20_000_000
SSRC = 0x1234ABCD
QUIET = bytes(2 * FRAME)
OPUS = PayloadFormat("opus", 48000, 2)
EVENTS = PayloadFormat("telephone-event", 8000)
VOICE = [sound(1, seed) for seed in range(100)]
HEARD = [mulaw_decode(payload) for payload in VOICE]

Packet = tuple[float, bytes]  # milliseconds, RTP


def rtp(number: int, payload: bytes, payload_type: int = 0, timestamp: int | None = None, ssrc: int = SSRC) -> bytes:
    at = number * FRAME if timestamp is None else timestamp
    return struct.pack(">BBHII", 0x80, payload_type, number & 0xFFFF, at & 0xFFFFFFFF, ssrc) + payload


def in_time(packets: Iterable[bytes], step_ms: float = 20) -> Iterator[Packet]:
    return ((number * step_ms, packet) for number, packet in enumerate(packets))


def plan_of(formats: dict[int, PayloadFormat] | None = None) -> TwinPlan:
    (_, source, source_port), (_, destination, destination_port) = ENDS
    key = (0, 4, source, source_port, destination, destination_port, SSRC, False)
    return TwinPlan(("eth0",), (TwinStream(1, key, 1, TIME_NS, (0,), formats or {}),))


def write(folder: Path, packets: Iterable[Packet], plan: TwinPlan | None = None, interface: int = 0) -> AudioFiles:
    blocks = _native.BlockWriter()
    pieces = []
    for at_ms, packet in packets:
        if not blocks.put(interface, TIME_NS + round(at_ms * 1_000_000), *ENDS, packet):
            pieces.append(blocks.take())
            assert blocks.put(interface, TIME_NS + round(at_ms * 1_000_000), *ENDS, packet)
    with AudioFiles(folder, plan or plan_of()) as audio:
        for piece in [*pieces, blocks.take()]:
            audio.feed(piece)
    return audio


def samples_of(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        return bytes(file.readframes(file.getnframes()))


def heard(folder: Path, packets: Iterable[Packet], **given: Any) -> bytes:
    """Of one file."""
    audio = write(folder, packets, **given)
    assert [each.path for each in audio.files] == list(folder.iterdir())
    return samples_of(audio.files[0].path)


def test_what_was_sent_is_heard(tmp_path: Path) -> None:
    audio = write(tmp_path / "wav", in_time(rtp(number, payload) for number, payload in enumerate(VOICE)))
    path = tmp_path / "wav" / "1-0x1234abcd-PCMU-127.0.0.1_5004.wav"
    assert audio.files == [AudioFile(1, path, "PCMU", 8000, 1, 2.0, 100, 0, False)]
    assert samples_of(path) == b"".join(HEARD)
    assert path.stat().st_mode & 0o777 == 0o600
    assert audio.undecodable == {}


@pytest.mark.parametrize(("codec", "payload_type", "name"), [("PCMU", 0, "pcm_mulaw"), ("PCMA", 8, "pcm_alaw")])
def test_g711_is_that_of_ffmpeg(tmp_path: Path, codec: str, payload_type: int, name: str) -> None:
    octets = bytes(range(256))
    packet = rtp(0, octets, payload_type)
    assert heard(tmp_path, [(0, packet)]) == decoded(name, "mono", 8000, [octets])


def decoded(name: str, layout: str, rate: int, payloads: Iterable[bytes]) -> bytes:
    """By FFmpeg's libraries, straight."""
    context: Any = av.CodecContext.create(name, "r")
    context.format, context.layout, context.sample_rate = "s16", layout, rate
    width = 2 if layout == "mono" else 4
    frames = [frame for payload in payloads for frame in context.decode(av.Packet(payload))]
    return b"".join(bytes(frame.planes[0])[: width * frame.samples] for frame in frames)


def encoded(name: str, layout: str, rate: int, size: int, frequency: float, count: int) -> list[bytes]:
    """`count` frames of a tone."""
    context: Any = av.CodecContext.create(name, "w")
    context.format, context.layout, context.sample_rate = "s16", layout, rate
    context.time_base = Fraction(1, rate)
    payloads = []
    for number in range(count):
        frame = av.AudioFrame(format="s16", layout=layout, samples=size)
        frame.sample_rate, frame.pts = rate, number * size
        tone = tone_of(frequency, rate, range(number * size, (number + 1) * size))
        frame.planes[0].update(array("h", [each for each in tone for _ in range(1 + (layout == "stereo"))]).tobytes())
        payloads += [bytes(packet) for packet in context.encode(frame)]
    return payloads


def tone_of(frequency: float, rate: int, places: Iterable[int]) -> list[int]:
    return [round(9000 * math.sin(2 * math.pi * frequency * at / rate)) for at in places]


def strength(samples: array[int], frequency: float, rate: int) -> float:
    """Amplitude of one frequency."""
    step = 2 * math.pi * frequency / rate
    real = sum(each * math.cos(step * at) for at, each in enumerate(samples))
    imaginary = sum(each * math.sin(step * at) for at, each in enumerate(samples))
    return 2 * math.hypot(real, imaginary) / len(samples)


def test_g722_is_that_of_ffmpeg(tmp_path: Path) -> None:
    """Its clock ticks at half the rate of its samples."""
    payloads = encoded("g722", "mono", 16000, 320, 2000, 50)
    samples = heard(tmp_path, in_time(rtp(number, payload, 9) for number, payload in enumerate(payloads)))
    assert samples == decoded("g722", "mono", 16000, payloads)
    assert strength(array("h", samples), 2000, 16000) > 8000


def test_opus_is_that_of_ffmpeg(tmp_path: Path) -> None:
    payloads = encoded("libopus", "stereo", 48000, 960, 1000, 30)
    packets = in_time(rtp(number, payload, 111, 960 * number) for number, payload in enumerate(payloads))
    audio = write(tmp_path, packets, plan_of({111: OPUS}))
    assert [(each.codec, each.rate, each.channels, each.seconds) for each in audio.files] == [("OPUS", 48000, 2, 0.6)]
    samples = samples_of(audio.files[0].path)
    assert samples == decoded("libopus", "stereo", 48000, payloads)
    assert strength(array("h", samples)[::2], 1000, 48000) > 6000


def test_what_the_decoder_refuses_is_counted(tmp_path: Path) -> None:
    payloads = encoded("libopus", "stereo", 48000, 960, 1000, 10)
    payloads[4] = b"\xff" * 3  # more frames than it has octets for
    packets = in_time(rtp(number, payload, 111, 960 * number) for number, payload in enumerate(payloads))
    audio = write(tmp_path, packets, plan_of({111: OPUS}))
    assert [(each.packets, each.broken, each.seconds) for each in audio.files] == [(9, 1, 0.2)]
    assert samples_of(audio.files[0].path)[960 * 4 * 4 : 960 * 4 * 5] == bytes(960 * 4)


def test_ipv6_is_named_without_colons(tmp_path: Path) -> None:
    ends = (6, bytes(15) + b"\x01", 5004), (6, bytes(15) + b"\x02", 6004)
    key = (0, 6, ends[0][1], 5004, ends[1][1], 6004, SSRC, False)
    blocks = _native.BlockWriter()
    blocks.put(0, TIME_NS, *ends, rtp(0, VOICE[0]))
    with AudioFiles(tmp_path, TwinPlan(("eth0",), (TwinStream(7, key, 1, TIME_NS, (0,)),))) as audio:
        audio.feed(blocks.take())
    assert [path.name for path in tmp_path.iterdir()] == ["7-0x1234abcd-PCMU-..1_5004.wav"]


def test_lost_packets_are_silent(tmp_path: Path) -> None:
    lost = {3, 4, 50, 98}
    packets = [each for number, each in enumerate(in_time(map(rtp, range(100), VOICE))) if number not in lost]
    expected = [QUIET if number in lost else samples for number, samples in enumerate(HEARD)]
    assert heard(tmp_path, packets) == b"".join(expected)


def test_reordered_and_doubled_packets(tmp_path: Path) -> None:
    order = [0, 2, 1, 1, 3, 9, 8, 7, 6, 5, 4, 4, 9, *range(10, 100), 40, 99]
    audio = write(tmp_path, in_time((rtp(number, VOICE[number]) for number in order), 19))
    assert samples_of(audio.files[0].path) == b"".join(HEARD)
    assert audio.files[0].packets == 100


def test_numbers_and_timestamps_wrap(tmp_path: Path) -> None:
    packets = in_time(rtp(65500 + number, VOICE[number], 0, (1 << 32) - 4000 + number * FRAME) for number in range(100))
    assert heard(tmp_path, packets) == b"".join(HEARD)


def test_talkspurts_are_at_their_true_place(tmp_path: Path) -> None:
    """Silence suppression: numbers go on, timestamps leap."""
    packets = [
        *((number * 20, rtp(number, VOICE[number])) for number in range(10)),
        *((number * 20 + 5000, rtp(number, VOICE[number], 0, number * FRAME + 40000)) for number in range(10, 20)),
    ]
    assert heard(tmp_path, packets) == b"".join(HEARD[:10]) + bytes(80000) + b"".join(HEARD[10:20])


def test_a_timestamp_that_leaps_alone_is_not_believed(tmp_path: Path) -> None:
    packets = [
        *((number * 20, rtp(number, VOICE[number])) for number in range(10)),
        *((number * 20, rtp(number, VOICE[number], 0, number * FRAME + 123_456_789)) for number in range(10, 20)),
    ]
    assert heard(tmp_path, packets) == b"".join(HEARD[:20])


def test_a_timestamp_that_stands_still_is_not_believed(tmp_path: Path) -> None:
    """On hold for ten seconds, and the sender's clock with it."""
    packets = [
        *((number * 20, rtp(number, VOICE[number])) for number in range(10)),
        *((number * 20 + 10_000, rtp(number, VOICE[number])) for number in range(10, 20)),
    ]
    assert heard(tmp_path, packets) == b"".join(HEARD[:10]) + bytes(160000) + b"".join(HEARD[10:20])


def test_what_overlaps_is_heard_once(tmp_path: Path) -> None:
    """A timestamp that goes back by less than what is believed: only what lies behind the end is new."""
    stamps = [*range(10), 5, 11, 11.5, 13, 8]
    packets = in_time(rtp(number, VOICE[number], 0, int(at * FRAME)) for number, at in enumerate(stamps))
    half = FRAME  # octets
    expected = [*HEARD[:10], QUIET, HEARD[11], HEARD[12][half:], bytes(half), HEARD[13]]
    assert heard(tmp_path, packets) == b"".join(expected)


def test_a_restarted_source_goes_on(tmp_path: Path) -> None:
    """Numbers and timestamps begin anew: the packet that tells is lost, as in RFC 3550 A.1."""
    packets = [
        *((number * 20, rtp(30000 + number, VOICE[number], 0, 77 + number * FRAME)) for number in range(10)),
        *((number * 20, rtp(number, VOICE[number], 0, 5_000_000 + number * FRAME)) for number in range(10, 20)),
    ]
    assert heard(tmp_path, packets) == b"".join([*HEARD[:10], QUIET, *HEARD[11:20]])


def test_events_and_comfort_noise_are_silent(tmp_path: Path) -> None:
    packets = [
        (number * 20, rtp(number, VOICE[number], *((101, 800) if 5 <= number < 10 else (0,))))
        for number in range(20)
        if number < 5 or number % 2 or number >= 12
    ]
    packets[12:12] = [(11 * 20, rtp(11, b"\x40", 13))]
    audio = write(tmp_path, packets, plan_of({101: EVENTS}))
    quiet = {5, 6, 7, 8, 9, 10}
    expected = [QUIET if number in quiet else samples for number, samples in enumerate(HEARD[:20])]
    assert samples_of(audio.files[0].path) == b"".join(expected)
    assert audio.undecodable == {}


def test_a_codec_that_changes_goes_on_in_the_file(tmp_path: Path) -> None:
    alaw = bytes(range(160))
    packets = in_time([rtp(0, VOICE[0]), rtp(1, alaw, 8), rtp(2, VOICE[2])])
    samples = heard(tmp_path, packets)
    assert samples == HEARD[0] + decoded("pcm_alaw", "mono", 8000, [alaw]) + HEARD[2]


def test_another_rate_is_another_file(tmp_path: Path) -> None:
    payload = encoded("g722", "mono", 16000, 320, 2000, 1)[0]
    audio = write(tmp_path, in_time([rtp(0, VOICE[0]), rtp(1, payload, 9)]))
    assert [(each.codec, each.rate, each.packets) for each in audio.files] == [("PCMU", 8000, 1), ("G722", 16000, 1)]
    assert len(list(tmp_path.iterdir())) == 2


def test_other_codecs_are_told(tmp_path: Path) -> None:
    packets = in_time(rtp(number, b"?", 18 if number % 2 else 96) for number in range(5))
    audio = write(tmp_path, packets)
    assert audio.files == []
    assert audio.undecodable == {(1, "G729"): 2, (1, "payload type 96"): 3}


def test_headers_of_all_sizes(tmp_path: Path) -> None:
    """CSRCs, an extension, padding; and lengths that lie."""
    head = rtp(1, b"")
    full = bytes([0xB2]) + head[1:] + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + VOICE[1] + b"\x00\x00\x00\x04"
    lies = [
        (0x8F, bytes(20)),
        (0x90, b"\x00\x00\xff\xff"),
        (0x90, b""),
        (0xA0, b"\xff" * 9),
        (0xA0, b"\xff" * 234),
        (0x40, VOICE[2]),
        (0x80, b""),
    ]
    broken = [bytes([first]) + rtp(number, payload)[1:] for number, (first, payload) in enumerate(lies, 2)]
    audio = write(tmp_path, in_time([rtp(0, VOICE[0]), full, *broken, rtp(9, b"")[:11]]))
    assert samples_of(audio.files[0].path) == HEARD[0] + HEARD[1]
    assert (audio.files[0].packets, audio.files[0].broken) == (2, 0)


def test_only_what_is_in_the_plan_is_heard(tmp_path: Path) -> None:
    audio = write(tmp_path, in_time([rtp(0, VOICE[0], ssrc=SSRC + 1), b"\x80\xc8" + rtp(1, VOICE[1])[2:]]))
    assert (audio.files, audio.undecodable) == ([], {})
    assert write(tmp_path, in_time([rtp(0, VOICE[0])]), interface=1).files == []


def test_a_long_silence_is_cut(tmp_path: Path) -> None:
    hours = 3
    leap = 8000 * 3600 * hours
    packets = [(0.0, rtp(0, VOICE[0])), (3_600_000.0 * hours, rtp(1, VOICE[1], 0, leap)), *in_later(hours)]
    (file,) = write(tmp_path, packets).files
    assert file.cut
    assert file.seconds == 3600 + 3 * 0.02
    assert file.path.stat().st_blocks * 512 < 100_000
    with wave.open(str(file.path)) as sounds:
        sounds.setpos(sounds.getnframes() - 2 * FRAME)
        assert sounds.readframes(2 * FRAME) == HEARD[1] + HEARD[2]


def in_later(hours: int) -> list[Packet]:
    """The packet right after the silence."""
    return [(3_600_000.0 * hours + 20, rtp(2, VOICE[2], 0, 8000 * 3600 * hours + FRAME))]


def test_the_length_of_a_file_is_bounded(tmp_path: Path) -> None:
    packets = [(3_600_000.0 * hour, rtp(hour, VOICE[hour], 0, 8000 * 3600 * hour)) for hour in range(10)]
    (file,) = write(tmp_path, packets).files
    assert file.cut
    assert 5 * 3600 < file.seconds <= 6 * 3600


def test_files_are_not_overwritten(tmp_path: Path) -> None:
    packets = list(in_time([rtp(0, VOICE[0])]))
    (file,) = write(tmp_path, packets).files
    file.path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="is there already"):
        write(tmp_path, packets)
    assert file.path.read_bytes() == b"mine"
    with AudioFiles(tmp_path, plan_of(), force=True) as audio:
        blocks = _native.BlockWriter()
        blocks.put(0, TIME_NS, *ENDS, packets[0][1])
        audio.feed(blocks.take())
    assert samples_of(file.path) == HEARD[0]


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    blocks = _native.BlockWriter()
    for number in range(60):
        blocks.put(0, TIME_NS + number * FRAME_NS, *ENDS, rtp(number, VOICE[number]))

    def listen() -> None:
        with AudioFiles(tmp_path, plan_of()) as audio:
            audio.feed(blocks.take())
            raise RuntimeError(*(path.name for path in tmp_path.iterdir()))

    with pytest.raises(RuntimeError, match="1-0x1234abcd-PCMU"):
        listen()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OutputError, match=r"cannot write .*No space left"):
        write(tmp_path, in_time([rtp(0, VOICE[0]), rtp(5, VOICE[5])]))  # held until the end
    assert list(tmp_path.iterdir()) == []
