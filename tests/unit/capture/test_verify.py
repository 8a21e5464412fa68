"""Whole captures, verified: what is found of streams, keys and suites, and what that means."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.capture.media import CALLED, CALLER, Stream, capture, crypto_line, described, key, sender_at, speech

from srtpgw.capture.keyfile import read_keys
from srtpgw.capture.report import Report, Verdict
from srtpgw.capture.verify import verify
from srtpgw.errors import CaptureError
from srtpgw.srtp import SUITES, MasterKey, Sender

CM, CM32, NULL = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "NULL_HMAC_SHA1_80"
SSRC = 0xCAFE0001
BACK = ((CALLED, 6004), (CALLER, 5004))


def known(*lines: tuple[str, bytes]) -> dict[str, object]:
    """Keys as a key file has them."""
    text = "".join(f"{suite} {octets.hex()}\n" for suite, octets in lines)
    return {"keys": read_keys(text, "keys.txt").keys}


def seen(tmp_path: Path, octets: bytes, **options: object) -> Report:
    path = tmp_path / "capture.pcap"
    path.write_bytes(octets)
    return verify(path, **options)  # type: ignore[arg-type]


def codes(report: Report) -> set[str]:
    return {each.code for each in report.findings} | {
        each.code for stream in report.streams for each in stream.findings
    }


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite(tmp_path: Path, suite: str) -> None:
    octets = key(1, SUITES[suite].key_length + SUITES[suite].salt_length)
    report = seen(tmp_path, capture(Stream(SSRC, Sender(suite, octets).protect)), **known((suite, octets)))
    (stream,) = report.streams
    assert (stream.suite, stream.authenticated.count, stream.authenticated.of) == (suite, 60, 60)
    encrypts = SUITES[suite].cipher != "NULL"
    assert stream.verdict is (Verdict.AUTHENTICATED if encrypts else Verdict.PLAINTEXT)
    assert stream.encrypted.count == (60 if encrypts else 0)
    assert ("null-cipher" in codes(report)) is not encrypts


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_by_the_octets_of_its_key_alone(tmp_path: Path, suite: str) -> None:
    """Under NULL the tag is the same as under AES-CM, so only the payload can tell that nothing is encrypted."""
    octets = key(1, SUITES[suite].key_length + SUITES[suite].salt_length)
    keys = read_keys(octets.hex(), "keys.txt").keys
    report = seen(tmp_path, capture(Stream(SSRC, Sender(suite, octets).protect)), keys=keys, expect=["srtp"])
    (stream,) = report.streams
    assert (stream.authenticated.count, stream.authenticated.of) == (60, 60)
    assert stream.verdict is (Verdict.PLAINTEXT if suite.startswith("NULL") else Verdict.AUTHENTICATED)
    assert report.outcome == ("fail" if suite.startswith("NULL") else "pass")


def test_plain_media_is_found_out_without_any_signaling(tmp_path: Path) -> None:
    report = seen(tmp_path, capture(Stream(SSRC)), expect=["srtp"])
    assert report.verdict is Verdict.PLAINTEXT
    assert report.exit_status == 1


def test_a_key_that_fits_nothing_leaves_the_tests(tmp_path: Path) -> None:
    report = seen(tmp_path, capture(Stream(SSRC, Sender(CM, key(1)).protect)), **known((CM, key(2))))
    assert [stream.verdict for stream in report.streams] == [Verdict.CONSISTENT]
    assert "unused-keys" in codes(report)


def test_few_packets_are_no_proof(tmp_path: Path) -> None:
    report = seen(tmp_path, capture(Stream(SSRC, Sender(CM, key(1)).protect, range(1, 25))), expect=["srtp"])
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.exit_status == 3


@pytest.mark.parametrize("suite", [CM, CM32, "AEAD_AES_128_GCM"])
def test_a_capture_that_begins_in_mid_call_past_a_wrap(tmp_path: Path, suite: str) -> None:
    octets = key(3, SUITES[suite].key_length + SUITES[suite].salt_length)
    sender = sender_at(suite, octets, SSRC, 4711)
    numbers = range(65536 * 4711 + 65500, 65536 * 4711 + 65600)
    report = seen(tmp_path, capture(Stream(SSRC, sender.protect, numbers)), **known((suite, octets)))
    (stream,) = report.streams
    assert (stream.authenticated.count, stream.roc, stream.wraps) == (100, (4711, 4712), 1)
    assert stream.verdict is Verdict.AUTHENTICATED
    assert "rollover-found" in codes(report)


@pytest.mark.parametrize("mki", [b"\7", b"\0\0\0\1"])
def test_an_mki_that_nothing_told_of_is_found(tmp_path: Path, mki: bytes) -> None:
    sender = Sender(CM, [MasterKey(key(1), mki=mki)])
    report = seen(tmp_path, capture(Stream(SSRC, sender.protect)), **known((CM, key(1))))
    (stream,) = report.streams
    assert (stream.verdict, stream.authenticated.count) == (Verdict.AUTHENTICATED, 60)
    assert [each.mki for each in report.keys] == [mki.hex()]


def test_one_key_for_two_calls_is_told(tmp_path: Path) -> None:
    other = Stream(SSRC + 1, Sender(CM, key(1)).protect, source=("192.0.2.30", 7000), destination=("192.0.2.40", 7002))
    report = seen(tmp_path, capture(Stream(SSRC, Sender(CM, key(1)).protect), other), **known((CM, key(1))))
    assert report.verdict is Verdict.AUTHENTICATED
    assert "key-shared" in codes(report)
    assert "keystream-shared" not in codes(report)


def test_the_same_keystream_in_two_calls_is_told(tmp_path: Path) -> None:
    ends = {"source": ("192.0.2.30", 7000), "destination": ("192.0.2.40", 7002)}
    other = Stream(SSRC, Sender(CM, key(1)).protect, payload=lambda number: speech(number + 200), **ends)  # type: ignore[arg-type]
    report = seen(
        tmp_path, capture(Stream(SSRC, Sender(CM, key(1)).protect), other), **known((CM, key(1))), expect=["srtp"]
    )
    assert "keystream-shared" in codes(report)
    assert report.exit_status == 1


def test_a_new_key_in_mid_call(tmp_path: Path) -> None:
    first, second = Sender(CM, key(1)), Sender(CM, key(2))
    streams = [Stream(SSRC, first.protect, range(1, 61)), Stream(SSRC, second.protect, range(61, 121), start=60)]
    report = seen(tmp_path, capture(*streams), **known((CM, key(1)), (CM, key(2))))
    (stream,) = report.streams
    assert (stream.verdict, stream.authenticated.count) == (Verdict.AUTHENTICATED, 120)
    assert [(use.frame, use.packets) for use in stream.key_uses] == [(1, 60), (61, 60)]
    assert "key-changed" in codes(report)


def test_a_stretch_in_clear_within_an_encrypted_stream(tmp_path: Path) -> None:
    sender = Sender(CM, key(1))
    parts = [Stream(SSRC, sender.protect, range(1, 101)), Stream(SSRC, bytes, range(101, 151), start=100),
             Stream(SSRC, sender.protect, range(151, 201), start=150)]  # fmt: skip
    report = seen(tmp_path, capture(*parts), **known((CM, key(1))))
    (stream,) = report.streams
    assert stream.verdict is Verdict.PLAINTEXT
    assert (stream.authenticated.count, stream.authenticated.of) == (150, 200)


def test_forged_packets_are_counted_and_allowed_for_on_request(tmp_path: Path) -> None:
    sender, rng = Sender(CM, key(1)), random.Random(1)
    forged = set(range(50, 55))

    def protect(packet: bytes) -> bytes:
        wire = sender.protect(packet)
        number = int.from_bytes(packet[2:4], "big")
        return wire[:-10] + rng.randbytes(10) if number in forged else wire

    octets = capture(Stream(SSRC, protect, range(1, 501)))
    strict = seen(tmp_path, octets, **known((CM, key(1))))
    assert strict.verdict is not Verdict.AUTHENTICATED
    assert strict.streams[0].failed_frames == tuple(sorted(forged))


def test_signaling_over_udp_tells_keys_and_is_warned_of(tmp_path: Path) -> None:
    forth, back = key(1), key(2)
    signaling = [
        described(crypto_line(CM, forth)),
        described(crypto_line(CM, back), who=(CALLED, 6004), status=True, at_ns=-1),
    ]
    media = [Stream(SSRC, Sender(CM, forth).protect),
             Stream(SSRC + 1, Sender(CM, back).protect, source=BACK[0], destination=BACK[1])]  # fmt: skip
    report = seen(
        tmp_path, capture(*media, signaling=signaling), expect=["srtp", f"srtp={CALLER}:5004", "srtp=ssrc:0xcafe0001"]
    )
    assert report.verdict is Verdict.AUTHENTICATED
    assert report.exit_status == 0
    assert "keys-in-clear" in codes(report)
    assert [key.streams for key in report.keys] == [(1,), (2,)]
    assert {each.profile for stream in report.streams for each in stream.declared} == {"RTP/SAVP"}


@pytest.mark.parametrize(("profile", "protect", "code"), [
    ("RTP/SAVP", bytes, "rtp-under-savp"),
    ("RTP/AVP", Sender(CM, key(1)).protect, "crypto-under-avp"),
])  # fmt: skip
def test_what_the_label_hides(tmp_path: Path, profile: str, protect: object, code: str) -> None:
    signaling = [described(crypto_line(CM, key(1)), profile=profile)]
    report = seen(tmp_path, capture(Stream(SSRC, protect), signaling=signaling))  # type: ignore[arg-type]
    assert code in codes(report)
    assert report.verdict is (Verdict.PLAINTEXT if protect is bytes else Verdict.AUTHENTICATED)


def test_no_key_octet_is_in_the_report(tmp_path: Path) -> None:
    octets = key(9)
    report = seen(tmp_path, capture(Stream(SSRC, Sender(CM, octets).protect)), **known((CM, octets)))
    text = repr(report)
    for form in forms(octets):
        assert form not in text


def forms(octets: bytes) -> Iterator[str]:
    import base64

    yield octets.hex()
    yield octets[:16].hex()
    yield base64.b64encode(octets).decode()
    yield repr(octets)


@pytest.mark.parametrize("octets", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(24)])
def test_what_is_no_capture_is_refused(tmp_path: Path, octets: bytes) -> None:
    with pytest.raises(CaptureError):
        seen(tmp_path, octets)


def test_a_torn_capture_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    octets = capture(Stream(SSRC, Sender(CM, key(1)).protect))
    report = seen(tmp_path, octets[:-100], **known((CM, key(1))))
    assert report.streams[0].authenticated.count == 59
    assert report.capture.fault
    assert "cut-short" in codes(report)
