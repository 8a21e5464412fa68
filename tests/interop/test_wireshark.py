"""The plain twin in Wireshark's own hands, with no setting: tshark finds nothing wrong with it, and sharkd's RTP player
returns the audio that was sent."""

from __future__ import annotations

import base64
import json
import math
import struct
import subprocess
from array import array
from collections.abc import Iterator, Sequence
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from av import AudioFrame, CodecContext
from interop.programs import FRAME, RATE, decode, mulaw_encoded
from pylibsrtp import Policy, Session
from support import require_peer

from srtpgw import _native
from srtpgw.capture import pcapng
from srtpgw.capture.calls import KnownKey
from srtpgw.capture.twin import TwinPlan, TwinStream, block_writer, parse_mapping, write_twin
from srtpgw.capture.verify import decrypt
from srtpgw.capture.writer import OutputFile
from srtpgw.sdp.payload import PayloadFormat

pytestmark = pytest.mark.peer("tshark", "sharkd")

TIME_NS = 1_700_000_000_000_000_000
FRAME_NS = 20_000_000
LATER_NS = 1_000_000_000
FRAMES = 100
PATIENCE = 60  # seconds
TONES = 440.0, 1250.0  # Hz, there and back
STRICT = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
SUITE = "AES_CM_128_HMAC_SHA1_80"
INTERFACE = "extension 7"
REASON = b"authentication failed under every known key"

End = tuple[int, bytes, int]


class Packet(NamedTuple):
    at_ns: int
    stream: TwinStream
    octets: bytes


def end(host: str, port: int) -> End:
    octets = ip_address(host).packed
    return (4 if len(octets) == 4 else 6), octets, port


def tone(frequency: float) -> list[bytes]:
    """G.711 mu-law, a frame each."""
    samples = (round(9000 * math.sin(2 * math.pi * frequency * at / RATE)) for at in range(FRAMES * FRAME))
    octets = bytes(map(mulaw_encoded, samples))
    return [octets[at : at + FRAME] for at in range(0, len(octets), FRAME)]


def stream(number: int, source: End, destination: End, ssrc: int, **given: Any) -> TwinStream:
    """A stream whose first packet is the capture's frame `number`."""
    key = (0, *source, *destination[1:], ssrc, given.pop("rtcp", False))
    return TwinStream(number, key, number, given.pop("first_ns", TIME_NS), **{"payload_types": (0,), **given})


def ends_of(each: TwinStream) -> tuple[End, End]:
    _, family, source, source_port, destination, destination_port, _, _ = each.key
    return (family, source, source_port), (family, destination, destination_port)


def rtp(each: TwinStream, payloads: Sequence[bytes], payload_type: int = 0, step: int = FRAME) -> Iterator[Packet]:
    """20 ms a payload."""
    for number, payload in enumerate(payloads):
        head = struct.pack(">BBHII", 0x80, payload_type | (number == 0) << 7, number, number * step, each.ssrc)
        yield Packet(TIME_NS + number * FRAME_NS, each, head + payload)


def report(each: TwinStream) -> Packet:
    """A sender report with a CNAME: RFC 3550 6.4.1, 6.5."""
    sender = struct.pack(">BBHIQIII", 0x80, 200, 6, each.ssrc, 0xE8FE_4F80 << 32, 0, 1, FRAME)
    source = struct.pack(">BBHIBB4s2x", 0x81, 202, 3, each.ssrc, 1, 4, b"a@b\x00")
    return Packet(TIME_NS + FRAME_NS // 2, each, sender + source)


def write(
    path: Path, packets: Sequence[Packet], refused: Sequence[Packet] = (), interface: str = "extension 7"
) -> Path:
    """What the examiner would write. Streams come in order of their numbers."""
    streams = {packet.stream.number: packet.stream for packet in packets}
    plan = TwinPlan((INTERFACE,), tuple(streams[number] for number in sorted(streams)))
    writer = block_writer(plan)

    def pieces() -> Iterator[bytes]:
        for number, packet in enumerate(sorted(packets, key=lambda packet: (packet.at_ns, packet.stream.number))):
            frame = max(number + 1, packet.stream.first_frame)
            assert writer.put(0, packet.at_ns, *ends_of(packet.stream), packet.octets, frame=frame)
        yield writer.take()
        for packet in refused:
            writer.put(plan.undecrypted, packet.at_ns, *ends_of(packet.stream), packet.octets, REASON)
        yield writer.take()

    with OutputFile(path) as out:
        write_twin(pieces(), plan, out.put)
    return path


def tshark(path: Path, *options: str) -> list[str]:
    """Lines that it prints."""
    command = [require_peer("tshark"), "-n", "-r", str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def fields(path: Path, wanted: str, *names: str) -> list[tuple[str, ...]]:
    """Of the packets that a display filter lets through."""
    options = [part for name in names for part in ("-e", name)]
    lines = tshark(path, "-Y", wanted, "-T", "fields", "-E", "separator=|", *options)
    return [tuple(line.split("|")) for line in lines]


def sharkd(path: Path, *requests: dict[str, Any]) -> list[Any]:
    """Its answers, after it has loaded a file."""
    load = {"method": "load", "params": {"file": str(path)}}
    lines = [{"jsonrpc": "2.0", "id": number, **each} for number, each in enumerate([load, *requests], 1)]
    told = "".join(json.dumps(line) + "\n" for line in lines)
    command = [require_peer("sharkd"), "-"]
    done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=PATIENCE, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert [answer.get("error") for answer in answers] == [None] * len(lines), done.stderr
    return [answer["result"] for answer in answers[1:]]


def download(each: TwinStream) -> dict[str, Any]:
    """The request for what the RTP player has of a stream. It knows those of IPv4 only."""
    ends = f"{each.source.host}_{each.source.port}_{each.destination.host}_{each.destination.port}"
    return {"method": "download", "params": {"token": f"rtp:{ends}_0x{each.ssrc:x}"}}


def played(answer: dict[str, Any]) -> tuple[int, bytes]:
    """Sampling rate and samples."""
    assert answer["mime"] == "audio/x-wav"
    octets = base64.b64decode(answer["data"])
    assert octets[:4] == b"RIFF"
    return int.from_bytes(octets[24:28], "little"), octets[octets.index(b"data") + 8 :]


def g722_tone() -> list[bytes]:
    """50 frames of the first tone, by FFmpeg's libraries."""
    rate, size = 2 * RATE, 2 * FRAME
    context: Any = CodecContext.create("g722", "w")
    context.format, context.layout, context.sample_rate, context.time_base = "s16", "mono", rate, Fraction(1, rate)
    payloads = []
    for number in range(50):
        places = range(number * size, (number + 1) * size)
        frame = AudioFrame(format="s16", layout="mono", samples=size)
        frame.sample_rate, frame.pts = rate, number * size
        tone = (round(9000 * math.sin(2 * math.pi * TONES[0] * at / rate)) for at in places)
        frame.planes[0].update(array("h", tone).tobytes())
        payloads += [bytes(packet) for packet in context.encode(frame)]
    return payloads


def strength(samples: bytes, frequency: float, rate: int) -> float:
    """Amplitude of one frequency."""
    step, values = 2 * math.pi * frequency / rate, array("h", samples)
    real = sum(each * math.cos(step * at) for at, each in enumerate(values))
    imaginary = sum(each * math.sin(step * at) for at, each in enumerate(values))
    return 2 * math.hypot(real, imaginary) / len(values)


def check_clean(path: Path) -> None:
    """No malformed packet, no expert's remark but our own comments, every checksum right, times in order."""
    remark = "_ws.malformed || (_ws.expert && !_ws.expert.group == Comment)"
    wrong = "udp.checksum.status != Good || (ip && ip.checksum.status != Good) || frame.time_delta < 0"
    assert tshark(path, *STRICT, "-Y", f"{remark} || {wrong}") == []


FOUR = end("10.0.0.1", 5004), end("10.0.0.2", 6004)
SIX = end("2001:db8:1::a", 5004), end("2001:db8:1::b", 6004)
SHOWN = (
    "frame.number", "frame.time_epoch", "frame.interface_name", "frame.comment", "rtp.ssrc", "rtp.setup-method",
    "rtcp.senderssrc", "sip.Method", "sip.Status-Code", "sip.User-Agent", "sip.Server", "sdp.media.proto",
    "sdp.connection_info.address", "sdp.media_attr",
)  # fmt: skip
Row = dict[str, str]


class Call(NamedTuple):
    path: Path
    streams: list[TwinStream]
    rows: list[Row]  # what tshark shows of each packet


@pytest.fixture(scope="module", params=[FOUR, SIX], ids=["ipv4", "ipv6"])
def call(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Both ways with RTCP on the next ports, and what could not be decrypted of another source."""
    one, two = request.param
    next_one, next_two = (*one[:2], one[2] + 1), (*two[:2], two[2] + 1)
    there, back = stream(1, one, two, 0x1111), stream(2, two, one, 0x2222)
    control = stream(3, next_one, next_two, 0x1111, rtcp=True, payload_types=())
    stranger = stream(9, one, two, 0x9999)
    packets = [*rtp(there, tone(TONES[0])), *rtp(back, tone(TONES[1])), report(control)]
    refused = [Packet(TIME_NS + 10**10, stranger, b"\x80\x00" + bytes(6) + b"\x00\x00\x99\x99" + bytes(90))]
    path = write(tmp_path_factory.mktemp("call") / "plain.pcapng", packets, refused)
    rows = [dict(zip(SHOWN, row, strict=True)) for row in fields(path, "frame", *SHOWN)]
    return Call(path, [there, back], rows)


def test_the_file_is_read_without_a_fault(call: Call) -> None:
    check_clean(call.path)
    done = subprocess.run([require_peer("capinfos"), str(call.path)], capture_output=True, text=True, check=True)
    told = dict(line.strip().split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert told["Capture application"].strip() == "srtpgw"
    assert "holds decrypted media" in told["Capture comment"]
    assert told["Number of packets"].strip() == str(2 * FRAMES + 5)
    assert told["Strict time order"].strip() == "True"
    assert not {"Capture oper-sys", "Capture hardware"} & set(told)


def test_the_player_finds_the_streams_and_returns_what_was_sent(call: Call) -> None:
    four = ":" not in call.streams[0].source.host
    tap = {"method": "tap", "params": {"tap0": "rtp-streams"}}
    answer, *sounds = sharkd(call.path, tap, *(map(download, call.streams) if four else ()))
    found = {each["ssrc"]: each for each in answer["taps"][0]["streams"]}
    for each in call.streams:
        told = found[each.ssrc]
        assert (told["pkts"], told["expectednr"], told["problem"], told["payload"]) == (FRAMES, FRAMES, False, "g711U")
        assert (told["saddr"], told["sport"]) == (each.source.host, each.source.port)
    assert len(sounds) == (2 if four else 0)
    for sound, frequency in zip(sounds, TONES, strict=False):
        rate, samples = played(sound)
        assert (rate, samples) == (RATE, decode(b"".join(tone(frequency))))
        assert strength(samples, frequency, rate) > 8000


def test_packets_keep_their_times_and_interface(call: Call) -> None:
    found = [row for row in call.rows if row["rtp.ssrc"] == "0x00001111"]
    assert len(found) == FRAMES
    assert {(row["frame.interface_name"], row["rtp.setup-method"]) for row in found} == {(INTERFACE, "SDP")}
    assert [found[number]["frame.time_epoch"] for number in (0, 99)] == ["1700000000.000000000", "1700000001.980000000"]
    (control,) = (row for row in call.rows if row["rtcp.senderssrc"])
    assert (control["rtcp.senderssrc"], control["frame.interface_name"]) == ("0x00001111", INTERFACE)


def test_what_was_refused_is_found_by_display_filters(call: Call) -> None:
    wanted = 'frame.interface_name == "undecrypted" && frame.comment contains "authentication failed"'
    assert fields(call.path, wanted, "frame.number", "frame.comment") == [(str(2 * FRAMES + 5), REASON.decode())]


def test_signaling_says_that_it_is_synthetic(call: Call) -> None:
    signaling = call.rows[:3]
    assert {row["frame.interface_name"] for row in signaling} == {"synthetic signaling"}
    assert {row["frame.interface_name"] for row in call.rows[3:]} == {INTERFACE, "undecrypted"}
    shown = [(row["sip.Method"], row["sip.Status-Code"], row["sdp.media.proto"]) for row in signaling]
    assert shown == [("INVITE", "", "RTP/AVP"), ("", "200", "RTP/AVP"), ("ACK", "", "")]
    assert all("synthetic" in row["sip.User-Agent"] + row["sip.Server"] for row in signaling)
    assert [row["sdp.connection_info.address"] for row in signaling[:2]] == [each.source.host for each in call.streams]
    assert [row["sdp.media_attr"] for row in signaling] == ["rtpmap:0 PCMU/8000,sendrecv"] * 2 + [""]


@pytest.mark.parametrize("payload_type", [9, 97])
def test_a_codec_plays_by_its_number_and_by_its_rtpmap(tmp_path: Path, payload_type: int) -> None:
    formats = {97: PayloadFormat("g722", 8000)}  # as this Wireshark spells it
    there = stream(1, *FOUR, 0x1111, payload_types=(payload_type,), formats=formats)
    path = write(tmp_path / "plain.pcapng", list(rtp(there, g722_tone(), payload_type)))
    check_clean(path)
    rate, samples = played(sharkd(path, download(there))[0])
    assert (rate, len(samples)) == (2 * RATE, 2 * 2 * FRAME * 50)
    assert strength(samples, TONES[0], rate) > 8000


def test_a_call_in_one_direction_plays(tmp_path: Path) -> None:
    there = stream(1, *FOUR, 0x1111)
    path = write(tmp_path / "plain.pcapng", list(rtp(there, tone(TONES[0]))))
    assert played(sharkd(path, download(there))[0]) == (RATE, decode(b"".join(tone(TONES[0]))))


@pytest.mark.parametrize("ports", [(5004, 6004), (9001, 9101)])
def test_rtcp_on_the_same_ports_and_elsewhere(tmp_path: Path, ports: tuple[int, int]) -> None:
    there = stream(1, *FOUR, 0x1111)
    ends = end("10.0.0.1", ports[0]), end("10.0.0.2", ports[1])
    control = stream(2, *ends, 0x1111, rtcp=True, payload_types=())
    path = write(tmp_path / "plain.pcapng", [*rtp(there, tone(TONES[0])[:10]), report(control)])
    check_clean(path)
    assert fields(path, "rtcp", "rtcp.senderssrc", "udp.srcport") == [("0x00001111", str(ports[0]))]


def test_names_of_codecs_are_kept(tmp_path: Path) -> None:
    """A dynamic payload type is known by its rtpmap; a later call on the same ports may give it another meaning."""
    events, opus = PayloadFormat("telephone-event", 8000, 1, "0-16"), PayloadFormat("opus", 48000, 2)
    first = stream(1, *FOUR, 0x1111, payload_types=(101,), formats={101: events})
    second = stream(6, *FOUR, 0x2222, payload_types=(101,), formats={101: opus}, first_ns=TIME_NS + LATER_NS)
    later = [each._replace(at_ns=each.at_ns + LATER_NS) for each in rtp(second, [b"\xf8\xff\xfe"] * 5, 101, 960)]
    path = write(tmp_path / "plain.pcapng", [*rtp(first, [b"\x05\x0a\x00\xa0"] * 5, 101), *later])
    check_clean(path)
    found = fields(path, "sip.Method == INVITE || rtpevent || opus", "rtp.ssrc", "rtpevent.event_id")
    assert found == [("", "")] + [("0x00001111", "5")] * 5 + [("", "")] + [("0x00002222", "")] * 5


def test_an_unknown_payload_type_does_no_harm(tmp_path: Path) -> None:
    there = stream(1, *FOUR, 0x1111, payload_types=(0, 96))
    path = write(tmp_path / "plain.pcapng", [*rtp(there, tone(TONES[0])[:10]), *rtp(there, [b"?"], 96)])
    check_clean(path)
    assert len(tshark(path, "-Y", "rtp")) == 11


def test_a_truncated_packet_is_shown_as_one(tmp_path: Path) -> None:
    writer = _native.BlockWriter()
    there = stream(1, *FOUR, 0x1111)
    path = tmp_path / "plain.pcapng"
    writer.put(0, TIME_NS, *ends_of(there), b"\x80\x00" + bytes(20), wire_length=172)
    with OutputFile(path) as out:
        write_twin([writer.take()], TwinPlan((INTERFACE,), (there,)), out.put)
    wanted = "!_ws.malformed && !(_ws.expert.severity >= warning)"
    assert fields(path, wanted, "frame.cap_len", "frame.len", "udp.length") == [("50", "200", "180")]


def test_an_encrypted_call_plays(tmp_path: Path) -> None:
    """From SRTP of libsrtp, with a forged packet and a stream of an unknown key among it."""
    there, back, closed = stream(1, *FOUR, 0x1111), stream(2, *FOUR[::-1], 0x2222), stream(3, *SIX, 0x3333)
    keys = [bytes([number] * 30) for number in range(3)]
    packets = [
        packet._replace(octets=wire)
        for each, key, frequency in zip((there, back, closed), keys, (*TONES, 100.0), strict=True)
        for packet, wire in protected(rtp(each, tone(frequency)), key)
    ]
    forged = packets[0].octets[:-1] + bytes([packets[0].octets[-1] ^ 1])
    capture = write_encrypted(tmp_path / "call.pcapng", [*packets, packets[0]._replace(octets=forged)])
    known = [KnownKey(f"key {number}", key, (SUITE,)) for number, key in enumerate(keys[:2])]
    path = tmp_path / "plain.pcapng"
    done = decrypt(capture, path, keys=known)
    assert (done.written, done.undecrypted) == (3 * FRAMES + 1, FRAMES + 1)
    check_clean(path)
    for answer, frequency in zip(sharkd(path, download(there), download(back)), TONES, strict=True):
        rate, samples = played(answer)
        assert abs(strength(samples, frequency, rate) - 9000) < 300
    refused = fields(path, 'frame.interface_name == "undecrypted"', "frame.comment", "rtp.ssrc", "ipv6")
    assert {row[0] for row in refused} == {"no key known", REASON.decode()}
    assert sorted(row[1] for row in refused) == [""] * FRAMES + ["0x00001111"]


@pytest.mark.parametrize("told", [False, True])
def test_a_codec_that_nothing_explains_plays_once_told(tmp_path: Path, told: bool) -> None:
    there, key = stream(1, *FOUR, 0x1111), bytes(range(30))
    wires = [packet._replace(octets=wire) for packet, wire in protected(rtp(there, g722_tone(), 97), key)]
    capture = write_encrypted(tmp_path / "call.pcapng", wires)
    path = tmp_path / "plain.pcapng"
    given = dict([parse_mapping("97=g722/8000")] if told else [])
    done = decrypt(capture, path, keys=[KnownKey("a key", key, (SUITE,))], rtpmaps=given)
    assert done.unexplained == ({} if told else {1: (97,)})
    (answer,) = sharkd(path, download(there))
    assert len(base64.b64decode(answer["data"])) == (44 + 2 * 2 * FRAME * 50 if told else 0)


def protected(packets: Iterator[Packet], key: bytes) -> Iterator[tuple[Packet, bytes]]:
    session = Session(
        Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80)
    )
    return ((packet, session.protect(packet.octets)) for packet in packets)


def write_encrypted(path: Path, packets: Sequence[Packet]) -> Path:
    """A capture without signaling."""
    writer = _native.BlockWriter()
    for packet in sorted(packets, key=lambda packet: packet.at_ns):
        assert writer.put(0, packet.at_ns, *ends_of(packet.stream), packet.octets)
    path.write_bytes(pcapng.section("") + pcapng.interface(INTERFACE) + writer.take())
    return path
