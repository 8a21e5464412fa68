"""What calls agree on while they last, verified: which keys are in force for a stream, and which were never, or no
longer are. A wrong answer here accuses a call that is well encrypted."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from native.captures import Frame
from unit.capture.made_calls import CM, FINGERPRINT, Call, line
from unit.capture.media import CALLED, CALLER, STEP_NS, Protect, Stream, capture, datagram, key, speech
from unit.capture.test_dtls import datagrams, exported, handshake
from unit.capture.test_verify import codes, seen

from srtpgw.capture.report import Verdict
from srtpgw.capture.verify import decrypt
from srtpgw.srtp import Sender

FORTH, BACK = 0xA1, 0xB1
THERE = ((CALLER, 5004), (CALLED, 6004))
REPORTS = ((CALLER, 5005), (CALLED, 6005))


def under(number: int) -> Protect:
    return Sender(CM, key(number)).protect


def forth(protect: Protect, ssrc: int = FORTH, numbers: range = range(1, 61), start: int = 0) -> Stream:
    return Stream(ssrc, protect, numbers, start=start)


def back(protect: Protect, ssrc: int = BACK, numbers: range = range(1, 61), start: int = 0) -> Stream:
    return Stream(ssrc, protect, numbers, (CALLED, 6004), (CALLER, 5004), start)


def test_an_offered_key_that_the_answer_passed_over_for_dtls_accuses_nobody(tmp_path: Path) -> None:
    signaling = Call().agree(line(key(1)) + FINGERPRINT, FINGERPRINT.replace("actpass", "active"), -2)
    report = seen(tmp_path, capture(forth(under(8)), back(under(9)), signaling=signaling), expect=["srtp"])
    assert {stream.verdict for stream in report.streams} == {Verdict.CONSISTENT}
    assert "key-does-not-open" not in codes(report)
    assert report.outcome == "pass"


@pytest.mark.parametrize("offered", [line(key(1)) + FINGERPRINT, line(key(1)) + line(key(2), tag=2)])
def test_an_agreed_key_that_opens_nothing_is_told(tmp_path: Path, offered: str) -> None:
    signaling = Call().agree(offered, line(key(3)), -2)
    report = seen(tmp_path, capture(forth(under(8)), back(under(3)), signaling=signaling), expect=["srtp"])
    assert "key-does-not-open" in codes(report)
    assert report.outcome == "fail"


def test_the_keys_of_a_call_that_was_hung_up_say_nothing_of_the_next_on_its_ports(tmp_path: Path) -> None:
    """Whose signaling is not in the capture, as behind a TLS trunk."""
    first = Call()
    signaling = [*first.agree(line(key(1)), line(key(2)), -2), first.bye(70)]
    media = [forth(under(1)), back(under(2)), forth(under(8), 0xA2, start=100), back(bytes, 0xB2, start=100)]
    report = seen(tmp_path, capture(*media, signaling=signaling))
    assert [stream.verdict for stream in report.streams] == [
        Verdict.AUTHENTICATED, Verdict.AUTHENTICATED, Verdict.CONSISTENT, Verdict.PLAINTEXT
    ]  # fmt: skip
    assert [bool(stream.declared) for stream in report.streams] == [True, True, False, False]
    assert not {"key-does-not-open", "rtp-under-savp"} & codes(report)


def test_packets_after_the_bye_are_still_of_the_call(tmp_path: Path) -> None:
    call = Call()
    signaling = [*call.agree(line(key(1)), line(key(2)), -2), call.bye(30)]
    report = seen(tmp_path, capture(forth(under(1)), back(under(2)), signaling=signaling), expect=["srtp"])
    assert [bool(stream.declared) for stream in report.streams] == [True, True]
    assert report.outcome == "pass"


def test_a_later_call_under_its_own_key_and_the_old_ssrc_reuses_no_keystream(tmp_path: Path) -> None:
    """Players of recordings send every call under one SSRC, from one sequence number on."""
    signaling = [
        *Call("1").agree(line(key(1)), line(key(2)), -2), *Call("2").agree(line(key(3)), line(key(4)), 98),
    ]  # fmt: skip
    media = [forth(under(1)), back(under(2)), forth(under(3), start=100), back(under(4), start=100)]
    report = seen(tmp_path, capture(*media, signaling=signaling), expect=["srtp"])
    assert [stream.authenticated.percent for stream in report.streams] == [100, 100]
    assert not {"keystream-reused", "number-reused", "replayed"} & codes(report)
    assert report.outcome == "pass"


def test_keystream_that_is_reused_after_a_change_of_keys_is_told_all_the_same(tmp_path: Path) -> None:
    other = Stream(FORTH, under(1), range(1, 61), start=200, payload=lambda number: speech(number + 200))
    signaling = [*Call().agree(line(key(1)) + line(key(3), tag=2), line(key(2)), -2)]
    media = [forth(under(1)), forth(under(3), start=100), other]
    report = seen(tmp_path, capture(*media, signaling=signaling), expect=["srtp"])
    (stream,) = report.streams
    assert stream.authenticated.percent == 100
    assert "keystream-reused" in codes(report)
    assert report.outcome == "fail"


def test_a_call_that_changes_its_keys_at_every_refresh(tmp_path: Path) -> None:
    call, rounds = Call(), 24
    agreed = [call.agree(line(key(number)), line(key(99)), 40 * number - 2) for number in range(rounds)]
    media = [
        forth(under(number), numbers=range(40 * number, 40 * number + 40), start=40 * number)
        for number in range(rounds)
    ]
    report = seen(tmp_path, capture(*media, signaling=[each for pair in agreed for each in pair]), expect=["srtp"])
    (stream,) = report.streams
    assert (stream.authenticated.count, stream.authenticated.of) == (40 * rounds, 40 * rounds)
    assert [use.packets for use in stream.key_uses] == [40] * rounds
    assert report.outcome == "pass"


def report_of(ssrc: int, at: int) -> Frame:
    """A sender report, and the name of its source."""
    sender = struct.pack("!BBHI5I", 0x80, 200, 6, ssrc, *range(at, at + 5))
    return datagram(sender + struct.pack("!BBHI8s", 0x81, 202, 3, ssrc, b"\x01\x02ab"), *REPORTS, at * STEP_NS)


def test_the_only_report_of_a_plain_source_is_plain_too(tmp_path: Path) -> None:
    octets = capture(forth(bytes), signaling=[report_of(FORTH, 30)])
    report = seen(tmp_path, octets, expect=["rtp"])
    assert {stream.kind: stream.verdict for stream in report.streams} == {
        "rtp": Verdict.PLAINTEXT, "rtcp": Verdict.PLAINTEXT
    }  # fmt: skip
    assert report.outcome == "pass"
    done = decrypt(tmp_path / "capture.pcap", tmp_path / "plain.pcapng")
    assert (done.written, done.undecrypted) == (61, 0)


def test_the_only_report_of_another_source_is_no_proof(tmp_path: Path) -> None:
    report = seen(tmp_path, capture(forth(bytes), forth(under(1), 0xA2), signaling=[report_of(0xA2, 30)]))
    assert [stream.verdict for stream in report.streams if stream.kind == "rtcp"] == [Verdict.INCONCLUSIVE]


def test_a_call_of_dtls_srtp(tmp_path: Path) -> None:
    """On the ports of an earlier call that had its keys in SDP."""
    ends, connection = handshake()
    forth_key, back_key = exported(connection, CM)
    first = Call()
    signaling = first.agree(line(key(1)), line(key(2)), -2)
    signaling += Call("2").agree(FINGERPRINT, FINGERPRINT.replace("actpass", "active"), 98)
    signaling += [
        datagram(octets, *(THERE if from_client else THERE[::-1]), 99 * STEP_NS + number)
        for number, (from_client, octets) in enumerate(datagrams(connection.wire))
    ]
    media = [forth(under(1)), back(under(2)), forth(Sender(CM, forth_key).protect, 0xA2, start=100),
             back(Sender(CM, back_key).protect, 0xB2, start=100)]  # fmt: skip
    octets = capture(*media, signaling=signaling)
    opened = seen(tmp_path, octets, keylogs=[ends.log], expect=["srtp"])
    assert {stream.verdict for stream in opened.streams} == {Verdict.AUTHENTICATED}
    assert [known.source.split(" in ")[0] for known in opened.keys] == ["a=crypto"] * 2 + ["DTLS handshake"] * 2
    closed = seen(tmp_path, octets, expect=["srtp"])
    assert [stream.verdict for stream in closed.streams] == [Verdict.AUTHENTICATED] * 2 + [Verdict.CONSISTENT] * 2
    assert "key-does-not-open" not in codes(closed)
    assert closed.outcome == "pass"


def test_the_key_of_a_handshake_that_opens_nothing_is_told(tmp_path: Path) -> None:
    ends, connection = handshake()
    signaling = [
        datagram(octets, *(THERE if from_client else THERE[::-1]), number - STEP_NS)
        for number, (from_client, octets) in enumerate(datagrams(connection.wire))
    ]
    report = seen(tmp_path, capture(forth(under(1)), signaling=signaling), keylogs=[ends.log], expect=["srtp"])
    assert "key-does-not-open" in codes(report)
    assert report.outcome == "fail"


def test_the_shortest_reports_in_clear_are_told(tmp_path: Path) -> None:
    """Shorter than what any plaintext test looks into."""
    reports = [
        datagram(struct.pack("!BBHI4s", 0x80, 204, 2, FORTH, name), *REPORTS, number * STEP_NS)
        for number, name in enumerate((b"PING", b"PONG", b"GONE"))
    ]
    report = seen(tmp_path, capture(forth(under(1)), signaling=reports))
    assert [stream.verdict for stream in report.streams if stream.kind == "rtcp"] == [Verdict.PLAINTEXT]
