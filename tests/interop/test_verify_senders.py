"""Media without signaling from ffmpeg and GStreamer, recorded, verified with and without keys, and decrypted."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from interop.phones.place import Place
from interop.phones.senders import GST_FORMS, ffmpeg, gstreamer
from model.oracle import Oracle
from support import require_peer

from srtpgw import _native
from srtpgw.capture.keyfile import read_keys
from srtpgw.capture.report import Report, StreamReport, Verdict
from srtpgw.capture.source import open_capture
from srtpgw.capture.verify import decrypt, verify
from srtpgw.srtp import SUITES

pytestmark = [pytest.mark.netns, pytest.mark.peer("ffmpeg", "gst-launch-1.0", "dumpcap", "tshark"),
              pytest.mark.timeout(120)]  # fmt: skip

CM128: Final = "AES_CM_128_HMAC_SHA1_80"
BEFORE_WRAP: Final = 65520  # sequence number of GStreamer's first packet; 60 follow
TOGETHER: Final = 4  # programs at a time
PLAIN: Final = {7000: "PCMU", 7004: "G722", 7008: "opus"}  # of ffmpeg, by port
SECURE: Final = {7100: "PCMA", 7104: "G722", 7108: "opus"}
SUITE_AT: Final = dict(zip(range(7200, 7240, 4), GST_FORMS, strict=False))  # of GStreamer
SSRC: Final = 0x5EED0000  # of GStreamer, plus the port


@dataclass(frozen=True)
class Recorded:
    capture: Path
    keys: dict[int, tuple[str, bytes]]  # suite and key by port

    def known(self) -> dict[str, object]:
        text = "".join(f"{suite} {octets.hex()}\n" for suite, octets in self.keys.values())
        return {"keys": read_keys(text, "keys.txt").keys}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """All of them in one capture of dumpcap's."""
    folder, rng = tmp_path_factory.mktemp("senders"), random.Random(4)
    suites = {**dict.fromkeys(SECURE, CM128), **SUITE_AT}
    keys = {port: (suite, rng.randbytes(length(suite))) for port, suite in suites.items()}
    with Place(folder) as place, place.recorded(folder / "media.pcapng"), ThreadPoolExecutor(TOGETHER) as pool:
        started = [pool.submit(ffmpeg, place, port, codec) for port, codec in PLAIN.items()]
        started += [pool.submit(ffmpeg, place, port, codec, key=keys[port][1]) for port, codec in SECURE.items()]
        started += [
            pool.submit(gstreamer, place, port, *keys[port], ssrc=SSRC + port, first=BEFORE_WRAP) for port in SUITE_AT
        ]
        for each in started:
            each.result()
    return Recorded(folder / "media.pcapng", keys)


@pytest.fixture(scope="module")
def twin(recorded: Recorded) -> Path:
    path = recorded.capture.with_name("plain.pcapng")
    assert decrypt(recorded.capture, path, **recorded.known()).undecrypted == 0  # type: ignore[arg-type]
    return path


def length(suite: str) -> int:
    return SUITES[suite].key_length + SUITES[suite].salt_length


def by_port(report: Report) -> dict[int, StreamReport]:
    return {stream.destination.port: stream for stream in report.streams if stream.kind == "rtp"}


def payloads(path: Path) -> dict[int, list[bytes]]:
    """UDP payloads by destination port, in the order of the capture."""
    found: dict[int, list[bytes]] = {}
    reader = _native.CaptureReader()
    with open_capture(path) as source:
        for _ in source.read_through(reader):
            for packet in reader.packets():
                found.setdefault(packet[8], []).append(packet[9])
    return found


def rtcp(octets: bytes) -> bool:
    return 192 <= octets[1] <= 223  # RFC 5761 4


def test_with_keys_everything_is_what_was_sent(recorded: Recorded) -> None:
    expected = [f"srtp=192.0.2.1:{port}" for port in recorded.keys] + [f"rtp=192.0.2.1:{port}" for port in PLAIN]
    report = verify(recorded.capture, expect=expected, **recorded.known())  # type: ignore[arg-type]
    found = by_port(report)
    assert set(found) == {*PLAIN, *SECURE, *SUITE_AT}
    for port, (suite, _) in recorded.keys.items():
        assert (found[port].verdict, found[port].suite) == (Verdict.AUTHENTICATED, suite)
        assert found[port].authenticated.count == found[port].authenticated.of == found[port].packets >= 50
    assert {found[port].verdict for port in PLAIN} == {Verdict.PLAINTEXT}
    assert {stream.verdict for stream in report.streams if stream.kind == "rtcp"} <= {
        Verdict.AUTHENTICATED, Verdict.PLAINTEXT, Verdict.INCONCLUSIVE
    }  # fmt: skip
    assert report.outcome == "pass"


def test_a_wrap_of_the_sequence_number_is_followed_under_every_suite(recorded: Recorded) -> None:
    found = by_port(verify(recorded.capture, **recorded.known()))  # type: ignore[arg-type]
    for port in SUITE_AT:
        assert (found[port].ssrc, found[port].packets) == (SSRC + port, 60)
        assert (found[port].roc, found[port].wraps, found[port].lost) == ((0, 1), 1, 0)


def test_without_keys_the_tests_tell_them_apart(recorded: Recorded) -> None:
    found = by_port(verify(recorded.capture))
    assert {port for port, stream in found.items() if stream.verdict is Verdict.PLAINTEXT} == set(PLAIN)
    assert {found[port].verdict for port in recorded.keys} == {Verdict.CONSISTENT}


def test_what_is_decrypted_equals_what_libsrtp_makes_of_it(recorded: Recorded, twin: Path) -> None:
    captured, written = payloads(recorded.capture), payloads(twin)
    compared = 0
    for port, (suite, octets) in recorded.keys.items():
        peer = Oracle(suite, [(octets, b"")], "receiver")
        for offset in (0, 1):  # the port of RTCP is one above
            wanted = list(opened(peer, captured.get(port + offset, [])))
            assert written.get(port + offset, []) == wanted
            compared += len(wanted)
    assert compared >= 50 * len(recorded.keys)
    for port in PLAIN:
        assert written[port] == captured[port]


def opened(peer: Oracle, packets: list[bytes]) -> Iterator[bytes]:
    for packet in packets:
        yield peer.unprotect_rtcp(packet) if rtcp(packet) else peer.unprotect(packet)


def test_wireshark_reads_the_twin_without_a_complaint(recorded: Recorded, twin: Path) -> None:
    assert tshark(twin, "_ws.malformed || _ws.expert.severity >= warning", "frame.number") == []
    ports = {int(line) for line in tshark(twin, "rtp", "udp.dstport")}
    assert ports == {*PLAIN, *SECURE, *SUITE_AT}
    assert tshark(twin, "srtp.enc_payload || srtcp.e", "frame.number") == []


def tshark(path: Path, wanted: str, field: str) -> list[str]:
    command = [require_peer("tshark"), "-n", "-r", str(path), "-Y", wanted, "-T", "fields", "-e", field]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
