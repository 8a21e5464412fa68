"""The built-in test terminal by itself: signal, codec, packets, protection, recording, and calls without a gateway."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from srtpgw.terminal.attacker import Attacker, forge, inject, replay, stranger
from srtpgw.terminal.codec import AudioCodec
from srtpgw.terminal.comparison import (
    AudioComparison,
    compare_audio,
    compare_wire,
    correlation,
    decoded,
    snr_db,
    spoken,
)
from srtpgw.terminal.packets import Media, PacketStream, is_report, parse_media, parse_reports
from srtpgw.terminal.protection import TERMINAL_SUITES, Protection, TerminalKeys, Undecryptable, key_length
from srtpgw.terminal.recording import Recording, Track, extend
from srtpgw.terminal.terminal import Terminal, TerminalSettings, poll
from srtpgw.terminal.transport import UdpAddress, UdpSocket
from srtpgw.terminal.voice import FRAME_SAMPLES, HIGH_VOICE, LOW_VOICE, Voice

FRAMES = 30  # 0.6 s of speech
REPORT_FRAMES = 20  # so one sender report
PATIENCE = 20.0  # seconds that an arrival on loopback may take before a test gives up


def key_pair(suite: str) -> tuple[TerminalKeys, TerminalKeys]:
    """Keys of two terminals that talk to each other."""
    one, other = (secrets.token_bytes(key_length(suite)) for _ in range(2))
    return TerminalKeys(suite, send=one, receive=other), TerminalKeys(suite, send=other, receive=one)


def speech(voice: Voice, frames: int) -> array[int]:
    return array("h", b"".join(voice.frame(number).tobytes() for number in range(frames)))


# --- voice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", [LOW_VOICE, HIGH_VOICE])
def test_a_frame_depends_on_its_number_alone(voice: Voice) -> None:
    twin = Voice(voice.pitch, voice.formants, voice.syllables)
    assert [voice.frame(n) for n in range(8)] == [twin.frame(n) for n in reversed(range(8))][::-1]


@pytest.mark.parametrize("voice", [LOW_VOICE, HIGH_VOICE])
def test_the_voice_is_loud_and_does_not_clip(voice: Voice) -> None:
    samples = speech(voice, 100)
    assert 8000 < max(map(abs, samples)) < 16000
    assert len({voice.frame(number).tobytes() for number in range(500)}) == 500


def test_the_voice_is_continuous_from_frame_to_frame() -> None:
    steps = [abs(b - a) for a, b in pairwise(speech(LOW_VOICE, 200))]
    inside = max(step for place, step in enumerate(steps, 1) if place % FRAME_SAMPLES)
    assert max(steps[FRAME_SAMPLES - 1 :: FRAME_SAMPLES]) < 1.1 * inside


def test_two_voices_do_not_correlate() -> None:
    low, high = speech(LOW_VOICE, 150), speech(HIGH_VOICE, 150)
    assert abs(correlation(low, high)) < 0.05
    assert correlation(low, low) == pytest.approx(1.0)


# --- codec -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "payload_type"), [("PCMU", 0), ("PCMA", 8)])
def test_g711_is_faithful(name: str, payload_type: int) -> None:
    codec = AudioCodec(name)
    assert codec.payload_type == payload_type
    payloads = [codec.encode(HIGH_VOICE.frame(number)) for number in range(50)]
    assert {len(payload) for payload in payloads} == {FRAME_SAMPLES}
    decoded = array("h", b"".join(codec.decode(payload).tobytes() for payload in payloads))
    snr = snr_db(speech(HIGH_VOICE, 50), decoded)
    assert snr is not None
    assert snr > 30  # G.711 at speech levels


def test_g711_decodes_what_g711_recommends() -> None:
    """ITU-T G.711: the silence codes, and the ends of the scale."""
    assert AudioCodec("PCMU").decode(b"\xff\x7f\x00\x80").tolist() == [0, 0, -32124, 32124]
    assert AudioCodec("PCMA").decode(b"\xd5\x55").tolist() == [8, -8]


def test_the_codec_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="G729"):
        AudioCodec("G729")
    with pytest.raises(ValueError, match="160"):
        AudioCodec("PCMU").encode(array("h", [0] * 80))
    assert AudioCodec("PCMU").decode(b"") == array("h")


# --- packets ---------------------------------------------------------------------------------------------------------


def test_a_stream_numbers_its_packets_and_wraps() -> None:
    stream = PacketStream(8, ssrc=0xFFFFFFFE, sequence=0xFFFF, timestamp=0xFFFFFFFF)
    first, second = (stream.media(b"\x01\x02", 160) for _ in range(2))
    assert first == bytes.fromhex("8088ffff fffffffff ffffffe 0102".replace(" ", ""))
    assert parse_media(second) == Media(0xFFFFFFFE, 0, 159, 8, b"\x01\x02")


def test_a_sender_report_tells_the_totals() -> None:
    stream = PacketStream(0, ssrc=7)
    for _ in range(3):
        stream.media(bytes(160), 160)
    packet = stream.report("phone")
    (report,) = parse_reports(packet)
    assert (report.ssrc, report.packets, report.octets) == (7, 3, 480)
    assert is_report(packet)
    assert not is_report(stream.media(bytes(160), 160))
    assert b"phone" in packet


@pytest.mark.parametrize("octets", [b"", b"\x80", bytes(12), b"\x8f" + bytes(20), b"\x80\xc8\x00\x09" + bytes(4)])
def test_octets_that_are_no_packet(octets: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (aiortc's texts are its own)
        parse_media(octets) if not is_report(octets) else parse_reports(octets)


# --- protection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", TERMINAL_SUITES)
def test_protection_both_ways(suite: str) -> None:
    phone, trunk = map(Protection, key_pair(suite))
    stream = PacketStream(0, sequence=0xFFFF)
    for _ in range(3):  # over the wrap
        packet = stream.media(b"speech" * 20, 160)
        wire = phone.protect(packet)
        assert wire[:12] == packet[:12]
        assert b"speech" not in wire
        assert trunk.unprotect(wire) == packet
    report = stream.report("phone")
    assert trunk.unprotect_report(phone.protect_report(report)) == report


def test_refusals_are_told_apart() -> None:
    phone, trunk = map(Protection, key_pair("AES_CM_128_HMAC_SHA1_80"))
    wire = phone.protect(PacketStream(0).media(bytes(160), 160))
    trunk.unprotect(wire)
    for datagram, replayed in ((wire, True), (forge(wire, 1)[0], False), (bytes(3), False), (bytes(2000), False)):
        with pytest.raises(Undecryptable) as refusal:
            trunk.unprotect(datagram)
        assert refusal.value.replayed == replayed


def test_keys_are_checked_and_never_shown() -> None:
    keys, _ = key_pair("AEAD_AES_256_GCM")
    assert "send" not in repr(keys)
    assert repr(keys) == "TerminalKeys(suite='AEAD_AES_256_GCM')"
    with pytest.raises(ValueError, match="44 octets"):
        TerminalKeys("AEAD_AES_256_GCM", send=bytes(44), receive=bytes(43))
    with pytest.raises(ValueError, match="not one of the terminal's"):
        TerminalKeys("AES_192_CM_HMAC_SHA1_80", send=bytes(38), receive=bytes(38))


# --- recording -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "near", "bits", "extended"),
    [
        (0, 65535, 16, 65536),
        (65535, 65536, 16, 65535),
        (10, 10, 16, 10),
        (5, 3 * 65536 + 2, 16, 3 * 65536 + 5),
        (65535, 0, 16, -1),
        (0, 0xFFFFFFFF, 32, 1 << 32),
    ],
)
def test_extend(value: int, near: int, bits: int, extended: int) -> None:
    assert extend(value, near, bits) == extended


def media(sequence: int, ssrc: int = 1) -> Media:
    return Media(ssrc, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, 0, sequence.to_bytes(4, "big"))


def test_a_track_puts_packets_in_order_over_the_wrap() -> None:
    track = Track(1)
    order = [65534, 65536, 65535, 65539, 65537]
    assert all(track.add(media(sequence)) for sequence in order)
    assert not track.add(media(65535))
    assert [frame.sequence for frame in track] == sorted(order)
    assert [frame.timestamp - 65534 * 160 for frame in track] == [0, 160, 320, 480, 800]
    assert (len(track), track.lost) == (5, 1)
    assert track.payload(0) == (65536).to_bytes(4, "big")
    assert track.payload(2) is None
    assert Track(1).payload(2) is None


def test_a_recording_keeps_sources_apart() -> None:
    recording = Recording()
    for sequence in (1, 2, 4):
        recording.add(media(sequence, ssrc=1))
    recording.add(media(9, ssrc=2))
    assert sorted(recording.tracks) == [1, 2]
    assert (len(recording), recording.lost) == (4, 1)
    assert len(recording.track(3)) == 0
    assert Track(1).lost == 0


# --- comparison ------------------------------------------------------------------------------------------------------


def said(frames: int, timestamp: int = 1000, sequence: int = 5) -> Track:
    codec = AudioCodec("PCMU")
    stream = PacketStream(0, ssrc=1, timestamp=timestamp, sequence=sequence)
    track = Track(1)
    for number in range(frames):
        track.add(parse_media(stream.media(codec.encode(LOW_VOICE.frame(number)), FRAME_SAMPLES)))
    return track


def part(track: Track, keep: Iterable[int], change: int | None = None) -> Track:
    """Some frames of a track as a listener would get them, one of them with an octet changed."""
    frames = list(track)
    result = Track(track.ssrc)
    for number in keep:
        frame = frames[number]
        payload = bytes([frame.payload[0] ^ 0x80]) + frame.payload[1:] if number == change else frame.payload
        result.add(Media(track.ssrc, frame.sequence & 0xFFFF, frame.timestamp & 0xFFFFFFFF, 0, payload))
    return result


def compared(sent: Track, heard: Track) -> AudioComparison:
    return compare_audio(decoded(sent, AudioCodec("PCMU")), heard, AudioCodec("PCMU"))


def assert_good_speech(result: AudioComparison) -> None:
    assert result.heard == result.samples
    assert result.correlation > 0.999
    assert result.snr_db is not None
    assert result.snr_db > 30


def test_the_same_audio_is_exact_and_has_no_noise() -> None:
    sent = said(30)
    result = compared(sent, part(sent, range(30)))
    assert result.exact
    assert (result.samples, result.snr_db) == (4800, None)
    assert result.correlation == pytest.approx(1.0)


@pytest.mark.parametrize("timestamp", [1000, (1 << 32) - 1600])
def test_a_missing_start_does_not_shift_the_rest(timestamp: int) -> None:
    """The first frame heard may lie behind the wrap of the sender's timestamps."""
    sent = said(30, timestamp)
    result = compared(sent, part(sent, range(12, 30)))
    assert not result.exact
    assert (result.heard, result.extra) == (18 * 160, 0)
    assert result.equal >= 18 * 160
    assert result.snr_db is not None


def test_one_changed_octet_is_one_unequal_sample() -> None:
    sent = said(30)
    result = compared(sent, part(sent, range(30), change=20))
    assert (result.samples - result.equal, result.exact) == (1, False)


def test_what_was_never_sent_is_extra() -> None:
    sent = said(30)
    result = compared(part(sent, range(20)), sent)
    assert (result.samples, result.equal, result.extra, result.exact) == (3200, 3200, 1600, False)


def test_silence_is_not_exact() -> None:
    assert not compared(Track(1), Track(1)).exact
    nothing = compared(said(3), Track(1))
    assert (nothing.heard, nothing.correlation) == (0, 0.0)


def test_wire_octets_of_a_protected_stream_agree_by_chance_only() -> None:
    phone, _ = key_pair("AES_CM_128_HMAC_SHA1_80")
    protection, stream, codec, track = Protection(phone), PacketStream(0), AudioCodec("PCMU"), Track(0)
    packets = [stream.media(codec.encode(LOW_VOICE.frame(number)), FRAME_SAMPLES) for number in range(100)]
    for packet in packets:
        track.add(parse_media(packet))
    plain = compare_wire(packets, track)
    assert (plain.packets, plain.identical, plain.share) == (100, 100, 1.0)
    protected = compare_wire(map(protection.protect, packets), track)
    assert (protected.packets, protected.identical) == (100, 0)
    assert protected.share < 0.02


# --- attacker --------------------------------------------------------------------------------------------------------


def test_attack_packets_are_what_they_say() -> None:
    phone, trunk = map(Protection, key_pair("AES_CM_128_HMAC_SHA1_80"))
    stream = PacketStream(0, ssrc=9, sequence=65535)
    captured = [phone.protect(stream.media(bytes(160), 160)) for _ in range(4)]
    assert replay(captured, 2) == captured[2:]
    forged = forge(captured[0], 3)
    assert [parse_media(packet).sequence for packet in forged] == [0, 1, 2]
    assert {(parse_media(packet).ssrc, len(packet)) for packet in forged} == {(9, len(captured[0]))}
    for packet in forged:
        with pytest.raises(Undecryptable):
            trunk.unprotect(packet)
    known = parse_media(inject(captured[0], 2)[1])
    assert (known.ssrc, known.sequence, len(known.payload)) == (9, 1, 160)
    assert len({parse_media(packet).ssrc for packet in stranger(3)}) == 1


# --- calls -----------------------------------------------------------------------------------------------------------


class Forwarder:
    """Two UDP ports: what arrives at one leaves from the other, each to its own party."""

    def __init__(self, change: Callable[[bytes], Iterable[bytes]] = lambda datagram: [datagram]) -> None:
        self._change = change
        self.ports: list[UdpSocket] = []
        self.parties: list[UdpAddress] = []
        self.received = [0, 0]
        self.sent = [0, 0]

    async def open(self, stack: AsyncExitStack, parties: list[UdpAddress]) -> list[UdpAddress]:
        """The two addresses to call, in the order of the parties."""
        self.parties = parties
        for side in range(2):
            port = await UdpSocket.open(("127.0.0.1", 0), self._receiver(side))
            stack.callback(port.close)
            self.ports.append(port)
        return [port.address for port in self.ports]

    def _receiver(self, side: int) -> Callable[[bytes, UdpAddress], None]:
        def receive(datagram: bytes, source: UdpAddress) -> None:
            assert source == self.parties[side]
            self.received[side] += 1
            for copy in self._change(datagram):
                self.ports[1 - side].send(copy, self.parties[1 - side])
                self.sent[1 - side] += 1

        return receive


async def open_pair(stack: AsyncExitStack, settings: Iterable[TerminalSettings]) -> list[Terminal]:
    return [await stack.enter_async_context(Terminal(one)) for one in settings]


def settings_of(suite: str | None, **more: object) -> list[TerminalSettings]:
    keys: tuple[TerminalKeys | None, TerminalKeys | None] = key_pair(suite) if suite else (None, None)
    voices = (("phone", LOW_VOICE), ("trunk", HIGH_VOICE))
    return [
        TerminalSettings(name, voice, keys=own, keep_wire=True, report_frames=REPORT_FRAMES, **more)  # type: ignore[arg-type]
        for (name, voice), own in zip(voices, keys, strict=True)
    ]


async def talk_direct(settings: list[TerminalSettings]) -> list[Terminal]:
    async with AsyncExitStack() as stack:
        one, other = await open_pair(stack, settings)
        one.call(other.address, other.rtcp_address)
        other.call(one.address, one.rtcp_address)
        await asyncio.gather(one.talk(FRAMES), other.talk(FRAMES))
        await poll(lambda: all(end.counters.received >= FRAMES and end.reports for end in (one, other)), PATIENCE)
        return [one, other]


@pytest.mark.parametrize(
    ("suite", "more"),
    [
        (None, {}),
        (None, {"codec": "PCMA"}),
        ("AES_CM_128_HMAC_SHA1_80", {"first_sequence": 65520}),
        ("AEAD_AES_256_GCM", {"rtcp_mux": True}),
        ("AES_CM_128_HMAC_SHA1_32", {"host": "::1"}),
    ],
)
def test_two_terminals_hear_each_other_exactly(suite: str | None, more: dict[str, object]) -> None:
    one, other = asyncio.run(talk_direct(settings_of(suite, **more)))
    for speaker, listener in ((one, other), (other, one)):
        counters = listener.counters
        assert (counters.sent, counters.received, counters.lost, counters.refused) == (FRAMES, FRAMES, 0, 0)
        assert (counters.reports_sent, counters.reports_received) == (1, 1)
        assert [(report.ssrc, report.packets) for report in listener.reports] == [(speaker.ssrc, REPORT_FRAMES)]
        heard = listener.heard.track(speaker.ssrc)
        assert compare_audio(decoded(speaker.sent, speaker.codec), heard, listener.codec).exact
        assert_good_speech(compare_audio(spoken(speaker.sent, speaker.settings.voice), heard, listener.codec))
        wrong_voice = compare_audio(spoken(speaker.sent, listener.settings.voice), heard, listener.codec)
        assert abs(wrong_voice.correlation) < 0.3
        assert compare_wire(listener.heard_wire, speaker.sent).identical == (0 if suite else FRAMES)


async def talk_forwarded(change: Callable[[bytes], Iterable[bytes]], suite: str | None) -> list[Terminal]:
    async with AsyncExitStack() as stack:
        ends = await open_pair(stack, settings_of(suite))
        forwarder = Forwarder(change)
        report_ways = await Forwarder().open(stack, [end.rtcp_address for end in ends])
        ways = await forwarder.open(stack, [end.address for end in ends])
        for end, way, report_way in zip(ends, ways, report_ways, strict=True):
            end.call(way, report_way)
        await asyncio.gather(*(end.talk(FRAMES) for end in ends))

        def all_heard() -> bool:
            heard = [len(end.heard_wire) for end in ends]
            return forwarder.received == [FRAMES, FRAMES] and heard == forwarder.sent

        await poll(all_heard, PATIENCE)
        return ends


@pytest.mark.parametrize("suite", [None, "AES_CM_128_HMAC_SHA1_80"])
def test_a_forwarder_between_is_not_noticed(suite: str | None) -> None:
    for end in asyncio.run(talk_forwarded(lambda datagram: [datagram], suite)):
        assert (end.counters.received, end.counters.lost, end.counters.refused) == (FRAMES, 0, 0)


def lose_every_fifth(datagram: bytes) -> list[bytes]:
    return [] if parse_media(datagram).timestamp // 160 % 5 == 0 else [datagram]


def damage_every_fifth(datagram: bytes) -> list[bytes]:
    good = parse_media(datagram).timestamp // 160 % 5
    return [datagram] if good else [datagram[:-1] + bytes([datagram[-1] ^ 1])]


@pytest.mark.parametrize(
    ("change", "suite", "counter", "at_least"),
    [
        (lose_every_fifth, None, "lost", 4),  # a gap at either end of the call is not seen as one
        (lose_every_fifth, "AEAD_AES_128_GCM", "lost", 4),
        (lambda datagram: [datagram] * 2, None, "duplicates", FRAMES),
        (lambda datagram: [datagram] * 2, "AES_CM_128_HMAC_SHA1_80", "duplicates", FRAMES),
        (damage_every_fifth, "AES_CM_128_HMAC_SHA1_80", "undecryptable", 6),
        (lambda datagram: [datagram, b"\x80"], None, "malformed", FRAMES),
    ],
)
def test_each_damage_has_its_counter(
    change: Callable[[bytes], Iterable[bytes]], suite: str | None, counter: str, at_least: int
) -> None:
    for end in asyncio.run(talk_forwarded(change, suite)):
        assert at_least <= getattr(end.counters, counter) <= FRAMES
        assert end.counters.wrong_source == 0


def test_a_stranger_is_counted_and_not_recorded() -> None:
    async def scenario() -> tuple[Terminal, int]:
        async with AsyncExitStack() as stack:
            one, other = await open_pair(stack, settings_of(None))
            attacker = await stack.enter_async_context(Attacker())
            one.call(other.address)
            for datagram in stranger(5):
                attacker.send(datagram, one.address)
                attacker.send(datagram, one.rtcp_address)
            await poll(lambda: one.counters.wrong_source == 10, PATIENCE)
            return one, attacker.heard

    end, answered = asyncio.run(scenario())
    assert (end.counters.wrong_source, len(end.heard), end.reports, answered) == (10, 0, [], 0)


def test_waiting_gives_up() -> None:
    looks = iter([False, False, True, False])
    assert asyncio.run(poll(lambda: next(looks), PATIENCE))
    assert not asyncio.run(poll(lambda: False, 0.01))


def test_an_address_that_cannot_be_had_leaves_nothing_open() -> None:
    async def scenario() -> None:
        async with Terminal(settings_of(None, host="192.0.2.1")[0]):
            pass

    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        asyncio.run(scenario())


def test_importing_the_terminal_does_not_load_aiortc() -> None:
    names = ["voice", "codec", "packets", "protection", "recording", "comparison", "transport", "terminal", "attacker"]
    lines = [f"import srtpgw.terminal.{name}" for name in names]
    script = "; ".join([*lines, "import sys; print('aiortc' in sys.modules, 'av' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
