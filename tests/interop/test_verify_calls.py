"""Captures of calls between real phones, verified and decrypted: what is said of them, and what is heard in them."""

from __future__ import annotations

import base64
import math
import secrets
import subprocess
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from interop.phones import sipp
from interop.phones.baresip import Baresip
from interop.phones.captures import rtp_pcap
from interop.phones.linphone import Linphone
from interop.phones.place import HOST, Place
from interop.programs import FRAME, RATE, sound
from interop.wire import until
from support import require_peer

from srtpgw.capture.report import Report, StreamReport, Verdict
from srtpgw.capture.verify import decrypt, verify
from srtpgw.srtp import Sender

pytestmark = [pytest.mark.netns, pytest.mark.peer("baresip"), pytest.mark.timeout(180)]

CM128, CM256 = "AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80"
LOUD = 3000  # of 32767: less is no tone


@dataclass(frozen=True)
class Call:
    """A recorded call, and what is known of it besides."""

    capture: Path
    keylog: Path | None = None
    tones: tuple[int, ...] = ()  # Hz, in any order
    heard: tuple[Path, ...] = ()  # recordings of the phones

    def logs(self) -> list[bytes]:
        return [self.keylog.read_bytes()] if self.keylog else []


@pytest.fixture(scope="module")
def baresip_call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """TLS 1.3, dumpcap, pcapng."""
    folder = tmp_path_factory.mktemp("baresip")
    with Place(folder) as place:
        callee, caller = Baresip(place, "1002", 25060, 880), Baresip(place, "1001", 15060, 440)
        call = Call(folder / "call.pcapng", folder / "keys.log", (440, 880))
        with place.recorded(call.capture):
            place.tls_middle(5061, 25061, folder / "keys.log", "TLSv1_3")
            callee.answer(20)
            caller.call(f"sip:1002@{HOST}:5061;transport=tls", 2).ends()
        yield call


@pytest.fixture(scope="module")
def linphone_call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """TLS 1.2 to a proxy, TCP behind it; AES-256; tcpdump on all interfaces: pcap of Linux cooked packets."""
    folder = tmp_path_factory.mktemp("linphone")
    write_tone(folder / "tone.wav", 660)
    with Place(folder) as place:
        callee = Linphone(place, "1004", 36061, suites=CM256)
        caller = Linphone(place, "1003", 35061, suites=CM256)
        call = Call(folder / "call.pcap", folder / "keys.log", (660,))
        with place.recorded(call.capture, program="tcpdump", interface="any"):
            place.tls_middle(5061, 36060, folder / "keys.log", "clear", name="localhost")
            callee.answer()
            program = caller.call("sip:1004@localhost:5061;transport=tls", folder / "tone.wav")
            until(lambda: call.capture.stat().st_size > 60_000, "media to be recorded")
            program.type("terminate")
            program.says(b"ended")
        yield call


def write_tone(path: Path, frequency: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        turn = 2 * math.pi * frequency / RATE
        file.writeframes(
            b"".join(int(9000 * math.sin(turn * at)).to_bytes(2, "little", signed=True) for at in range(4 * RATE))
        )


def streams(report: Report, kind: str = "rtp") -> list[StreamReport]:
    return [stream for stream in report.streams if stream.kind == kind]


def codes(report: Report) -> set[str]:
    return {each.code for each in report.findings} | {
        each.code for stream in report.streams for each in stream.findings
    }


def strength(path: Path, frequency: int) -> float:
    """Amplitude of a frequency in a WAV file, over its loudest second (Goertzel)."""
    with wave.open(str(path)) as file:
        rate, octets = file.getframerate(), file.readframes(file.getnframes())
    samples = memoryview(octets).cast("h")
    return max(
        goertzel(samples[start : start + rate], frequency / rate)
        for start in range(0, max(1, len(samples) - rate), rate // 2)
    )


def goertzel(samples: memoryview, turns: float) -> float:
    turn = 2 * math.cos(2 * math.pi * turns)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + turn * last - before
    power = last * last + before * before - turn * last * before
    return 2 * math.sqrt(max(power, 0.0)) / max(len(samples), 1)


def test_a_call_of_baresip_is_authentic_by_its_own_signaling(baresip_call: Call) -> None:
    report = verify(baresip_call.capture, keylogs=baresip_call.logs())
    media = streams(report)
    assert [stream.verdict for stream in media] == [Verdict.AUTHENTICATED] * 2
    for stream in media:
        assert stream.authenticated.count == stream.authenticated.of == stream.packets
        assert stream.encrypted.percent == 100
    for stream in report.streams:
        assert stream.suite == CM128
        assert {(each.profile, each.transport) for each in stream.declared} == {("RTP/SAVP", "tls")}
    assert {stream.payload_types[0].codec for stream in media} == {"PCMA"}
    assert "keys-in-clear" not in codes(report)


def test_the_first_and_last_reports_of_baresip_are_found_to_be_in_clear(baresip_call: Call) -> None:
    """It opens the way through a NAT by an RTCP packet that it sends before it has a key, and says goodbye without."""
    report = verify(baresip_call.capture, keylogs=baresip_call.logs(), expect=["srtp"])
    reports = streams(report, "rtcp")
    assert [stream.verdict for stream in reports] == [Verdict.PLAINTEXT] * 2
    assert [(stream.packets - stream.authenticated.count, stream.failed_frames[0]) for stream in reports] == [
        (2, stream.first_frame) for stream in reports
    ]
    assert report.exit_status == 1


def test_without_the_secrets_of_tls_the_call_still_looks_encrypted(baresip_call: Call) -> None:
    report = verify(baresip_call.capture)
    assert [stream.verdict for stream in streams(report)] == [Verdict.CONSISTENT] * 2
    assert not report.keys
    assert "tls-closed" in codes(report)


def test_secrets_within_the_file_do_as_well(baresip_call: Call, tmp_path: Path) -> None:
    inside = tmp_path / "inside.pcapng"
    secrets_option = f"tls,{baresip_call.keylog}"
    subprocess.run(
        [require_peer("editcap"), "--inject-secrets", secrets_option, baresip_call.capture, inside], check=True
    )
    assert [stream.verdict for stream in streams(verify(inside))] == [Verdict.AUTHENTICATED] * 2


def test_linphone_with_aes_256_and_signaling_partly_in_clear(linphone_call: Call) -> None:
    report = verify(linphone_call.capture, keylogs=linphone_call.logs())
    media = [stream for stream in streams(report) if stream.packets > 10]
    assert {stream.suite for stream in media} == {CM256}
    assert {stream.verdict for stream in media} == {Verdict.AUTHENTICATED}
    # the proxy goes on over TCP, where anybody can read the keys
    assert "keys-in-clear" in codes(report)


@pytest.mark.parametrize("answered", [CM128, "AES_CM_128_HMAC_SHA1_32"])
def test_a_call_of_sipp_that_plays_srtp(tmp_path: Path, answered: str) -> None:
    key = secrets.token_bytes(30)
    octets = sound(40, 7)
    packets = [octets[at : at + FRAME] for at in range(0, len(octets), FRAME)]
    rtp_pcap(tmp_path / "media.pcap", packets, Sender(answered, key))
    line = f"1 {answered} inline:{base64.b64encode(key).decode()}"
    own = f"1 {answered} inline:{base64.b64encode(secrets.token_bytes(30)).decode()}"
    with Place(tmp_path) as place, place.recorded(tmp_path / "call.pcapng"):
        sipp.call(place, tmp_path / "media.pcap", line, own, pause_ms=1000)
    report = verify(tmp_path / "call.pcapng")
    (stream,) = streams(report)
    assert (stream.verdict, stream.suite, stream.packets) == (Verdict.AUTHENTICATED, answered, 40)
    assert "keys-in-clear" in codes(report)


def test_a_liar_says_savp_and_sends_rtp(tmp_path: Path) -> None:
    """Wireshark shows this call as SRTP, with a made-up tag."""
    octets = sound(40, 8)
    rtp_pcap(tmp_path / "media.pcap", [octets[at : at + FRAME] for at in range(0, len(octets), FRAME)])
    line = f"1 {CM128} inline:{base64.b64encode(secrets.token_bytes(30)).decode()}"
    own = f"1 {CM128} inline:{base64.b64encode(secrets.token_bytes(30)).decode()}"
    with Place(tmp_path) as place, place.recorded(tmp_path / "call.pcapng"):
        sipp.call(place, tmp_path / "media.pcap", line, own, pause_ms=1000)
    report = verify(tmp_path / "call.pcapng")
    (stream,) = streams(report)
    assert stream.verdict is Verdict.PLAINTEXT
    assert stream.encrypted.count == 0
    assert "rtp-under-savp" in codes(report)


def test_both_tones_of_the_call_are_heard_in_its_plain_twin(baresip_call: Call, tmp_path: Path) -> None:
    decrypt(baresip_call.capture, tmp_path / "plain.pcapng", keylogs=baresip_call.logs(), wav=tmp_path / "wav")
    files = sorted((tmp_path / "wav").iterdir())
    assert len(files) == 2
    heard = {frequency for frequency in (440, 660, 880) for file in files if strength(file, frequency) > LOUD}
    assert heard == {440, 880}
