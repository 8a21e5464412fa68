"""From measured facts to verdicts and findings: every row says which finding must come of which fact."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest
from unit.capture.facts import (
    CAPTURE,
    FEW,
    PACKETS,
    PLAIN,
    RANDOM,
    SUITE,
    bins,
    facts,
    key,
    keyless,
    report,
    savp,
    stream,
    use,
)

from srtpgw.capture.findings import FINDINGS, FRAMES_MAX, finding
from srtpgw.capture.report import Address, Finding, Share, Verdict, worst
from srtpgw.capture.verdict import Evidence, Rules, StreamFacts, Stretch, judge_stream

A, C, P, I = Verdict.AUTHENTICATED, Verdict.CONSISTENT, Verdict.PLAINTEXT, Verdict.INCONCLUSIVE  # noqa: E741
NULL = "NULL_HMAC_SHA1_80"
KEYS = {1: key()}


def partly(failed: int = 3, **changes: Any) -> StreamFacts:
    """Some packets fail; in the midst of the stream unless the timeline says otherwise."""
    shown = {
        "failed_frames": tuple(range(100, 100 + min(failed, 8))),
        "timeline": bins((700, 0), (700, failed), (97, 0)),
    }
    return facts(authenticated=Share(PACKETS - failed, PACKETS), **{**shown, **changes})


def failed_part(result: Any) -> tuple[Stretch, ...]:
    return (Stretch("failed", 100, 900, 400, result),)


PART = (Stretch("part", 600, 1200, 300, PLAIN),)
OPENED = {"authenticated": Share(PACKETS, PACKETS)}

CASES = {
    # authenticated, and what takes that away
    "authentic": (facts(), A, set()),
    "authentic though few": (facts(plaintext=FEW), A, set()),
    "gcm": (facts(suite="AEAD_AES_128_GCM", key_uses=(use(suite="AEAD_AES_128_GCM"),)), A, {"suite-differs"}),
    "null cipher": (
        facts(key_uses=(use(suite=NULL),), suite=NULL, plaintext=PLAIN), P, {"null-cipher", "suite-differs"},
    ),
    "null cipher that looks random": (facts(key_uses=(use(suite=NULL),), suite=NULL, declared=()), P, {"null-cipher"}),
    "null cipher for a while": (
        facts(key_uses=(use(packets=9), use(key=2, suite=NULL, frame=99, packets=4))),
        P,
        {"null-cipher", "key-changed", "suite-differs"},
    ),
    "authentic but plain": (facts(plaintext=PLAIN), P, {"unencrypted-srtp"}),
    "declared unencrypted, plain": (
        facts(plaintext=PLAIN, declared=(savp(unencrypted=("UNENCRYPTED_SRTP",)),)),
        P,
        {"unencrypted-srtp", "declared-unencrypted"},
    ),
    "declared unencrypted, few": (
        facts(plaintext=FEW, declared=(savp(unencrypted=("UNENCRYPTED_SRTP",)),)), I, {"declared-unencrypted"},
    ),
    "declared unencrypted, random": (
        facts(declared=(savp(unencrypted=("UNENCRYPTED_SRTP",)),)), C, {"declared-unencrypted"},
    ),
    "declared unencrypted of RTCP alone": (
        facts(declared=(savp(unencrypted=("UNENCRYPTED_SRTCP",)),)), A, {"declared-unencrypted"},
    ),
    "srtcp with E = 0": (
        facts(kind="rtcp", in_clear=Evidence(4, (7, 8)), encrypted=Share(5, 9)), P, {"srtcp-in-clear"},
    ),
    # failures among authentic packets
    "three fail": (partly(), I, {"authentication-failed"}),
    "many fail and look random": (partly(400, stretches=failed_part(RANDOM)), C, {"authentication-failed"}),
    "many fail and are plain": (
        partly(400, stretches=failed_part(PLAIN)), P, {"authentication-failed", "plaintext-stretch"},
    ),
    # no packet opens
    "no key, looks encrypted": (keyless(), C, {"no-key"}),
    "no key, plain": (keyless(plaintext=PLAIN), P, {"plaintext"}),
    "authentic but plain, some fail": (
        partly(3, plaintext=PLAIN, stretches=failed_part(FEW)), P, {"unencrypted-srtp", "authentication-failed"},
    ),
    "no key, few": (keyless(plaintext=FEW), I, {"no-key", "few-packets"}),
    "no key, a plain stretch": (keyless(stretches=PART), P, {"no-key", "plaintext-stretch"}),
    "plain throughout is told once": (keyless(plaintext=PLAIN, stretches=PART), P, {"plaintext"}),
    "liar": (keyless(plaintext=PLAIN, declared=(savp(),), signaled_keys=(1,)), P, {"plaintext", "rtp-under-savp"}),
    "liar over dtls": (
        keyless(plaintext=PLAIN, declared=(savp(profile="UDP/TLS/RTP/SAVPF", suites=()),)),
        P,
        {"plaintext", "rtp-under-savp"},
    ),
    "liar of reports": (
        keyless(kind="rtcp", plaintext=PLAIN, declared=(savp(),)), P, {"plaintext", "rtcp-under-savp"},
    ),
    "from srtp to rtp by a new offer": (
        keyless(plaintext=PLAIN, declared=(savp(), savp(profile="RTP/AVP", suites=(), frame=9))), P, {"plaintext"},
    ),
    "wrong key": (keyless(declared=(savp(),), signaled_keys=(1,)), C, {"key-does-not-open"}),
    "wrong key, few": (keyless(plaintext=FEW, signaled_keys=(1,)), I, {"key-does-not-open", "few-packets"}),
    "no tag, as declared": (
        keyless(declared=(savp(unencrypted=("UNAUTHENTICATED_SRTP",)),), signaled_keys=(1,)),
        C,
        {"unauthenticated-srtp", "declared-unencrypted"},
    ),
    "no index is used twice where nothing encrypts": (
        facts(key_uses=(use(suite=NULL),), declared=(), reused=Evidence(1, (9,))), P, {"null-cipher", "number-reused"},
    ),
    "a report in clear among others": (
        facts(kind="rtcp", authenticated=Share(8, 9), plain_rtcp=Evidence(1, (22,))), P, {"rtcp-in-between"},
    ),
    "a report in clear and others that fail": (
        facts(kind="rtcp", authenticated=Share(7, 9), plain_rtcp=Evidence(1)),
        P,
        {"rtcp-in-between", "authentication-failed"},
    ),
    "search cut short": (keyless(rollover_unfinished=True), C, {"no-key", "rollover-unfinished"}),
    "search for a signaled key cut short": (
        keyless(rollover_unfinished=True, signaled_keys=(1,)), C, {"rollover-unfinished"},
    ),
    "nothing whole to check a signaled key by": (keyless(truncated=PACKETS, signaled_keys=(1,)), C, {"truncated"}),
    "one number twice without a key": (keyless(reused=Evidence(2, (50, 60))), C, {"no-key", "number-reused"}),
    # what weakens an authentic stream
    "keystream reused": (facts(reused=Evidence(2, (50, 60))), A, {"keystream-reused"}),
    "keystream of another": (facts(reused_in=((2, Evidence(9, (50,))),)), A, {"keystream-shared"}),
    "replayed": (facts(replayed=Evidence(2, (50, 60))), A, {"replayed"}),
    "weak tag": (
        facts(key_uses=(use(suite="AES_CM_128_HMAC_SHA1_32"),), declared=(savp(suites=("AES_CM_128_HMAC_SHA1_32",)),)),
        A,
        {"weak-tag"},
    ),
    "weak tag does not concern reports": (
        facts(kind="rtcp", key_uses=(use(suite="AES_CM_128_HMAC_SHA1_32"),), declared=()), A, set(),
    ),
    "key change": (facts(key_uses=(use(packets=9), use(key=2, frame=99))), A, {"key-changed"}),
    "back to the same key": (facts(key_uses=(use(packets=9), use(frame=99))), A, set()),
    "mid-call": (facts(rollover_found=7, roc=(7, 7)), A, {"rollover-found"}),
    "cut packets": (facts(truncated=3), A, {"truncated"}),
    "restarted": (facts(restarts=2), A, {"restarted"}),
    # signaling
    "key under AVP": (facts(declared=(savp(profile="RTP/AVP"),)), A, {"crypto-under-avp"}),
    "key under AVP, plain": (
        keyless(plaintext=PLAIN, declared=(savp(profile="RTP/AVP"),)), P, {"plaintext", "crypto-under-avp"},
    ),
    "plain RTP as declared": (
        keyless(plaintext=PLAIN, declared=(savp(profile="RTP/AVP", suites=()),)), P, {"plaintext"},
    ),
    "unknown suite": (keyless(declared=(savp(suites=("F8_128_HMAC_SHA1_80",)),)), C, {"no-key", "unknown-suite"}),
    "one offer in many messages": (
        facts(declared=tuple(savp(profile="RTP/AVP", frame=n) for n in range(1, 9))), A, {"crypto-under-avp"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_facts_to_verdict(name: str) -> None:
    given, verdict, codes = CASES[name]
    judged = judge_stream(given, KEYS)
    assert judged.verdict is verdict
    assert sorted(each.code for each in judged.findings) == sorted(codes)
    severities = [each.severity for each in judged.findings]
    assert severities == sorted(severities, key=["fail", "warning", "note"].index)


def test_the_cases_reach_every_finding_of_a_stream() -> None:
    """So that no sentence has a field that nothing fills."""
    told = {each.code for given, _, _ in CASES.values() for each in judge_stream(given, KEYS).findings}
    of_captures = {
        "key-shared", "keys-in-clear", "tls-closed", "tls-unread", "dtls-closed", "unused-keys", "no-streams",
        "cut-short",
    }  # fmt: skip
    assert told == set(FINDINGS) - of_captures - {"forged", "rtcp-beside-srtp"}


@pytest.mark.parametrize("name", CASES)
def test_every_sentence_is_whole(name: str) -> None:
    for each in judge_stream(CASES[name][0], KEYS).findings:
        assert each.text[0] not in string.whitespace
        assert each.text.rstrip()[-1] in ".)", each.text
        assert "{" not in each.text
        assert "  " not in each.text


def only(given: StreamFacts, code: str, rules: Rules | None = None) -> Finding:
    judged = judge_stream(given, KEYS, rules or Rules())
    return next(each for each in judged.findings if each.code == code)


@pytest.mark.parametrize(
    ("timeline", "cause"),
    [
        (bins((700, 0), (700, 400), (97, 0)), "many among authentic ones"),
        (bins((1100, 0), (0, 200), (0, 200)), "end the stream"),
        (bins((0, 400), (1100, 0)), "begin the stream"),
        ((), "many among"),
    ],
)
def test_causes_of_many_failures(timeline: Any, cause: str) -> None:
    assert cause in only(partly(400, timeline=timeline), "authentication-failed").text


def test_few_failures_look_forged_and_are_named() -> None:
    told = only(partly(3), "authentication-failed")
    assert "forged, damaged" in told.text
    assert "3 of 1,500 packets" in told.text
    assert told.frames == (100, 101, 102)


def test_the_rule_on_forged_packets() -> None:
    """Strict unless asked; never beyond the share, at an edge, or for what looks plain."""
    lenient = Rules(forged_share=3 / PACKETS)
    judged = judge_stream(partly(3), KEYS, lenient)
    assert judged.verdict is A
    assert "up to 0.2 %" in only(partly(3), "forged", lenient).text
    refused = [
        partly(4),
        partly(3, timeline=bins((1497, 0), (0, 3))),
        partly(3, timeline=bins((0, 3), (1497, 0))),
        partly(3, stretches=failed_part(PLAIN)),
    ]
    judged_all = [judge_stream(each, KEYS, lenient) for each in refused]
    assert [each.verdict for each in judged_all] == [I, I, I, P]
    assert all("forged" not in {each.code for each in stream.findings} for stream in judged_all)


def test_the_encrypted_share_is_what_was_found() -> None:
    """Suites promise it; a plain payload breaks the promise; without a key it is none or unknown."""
    shares = {name: judge_stream(CASES[name][0], KEYS).encrypted for name in CASES}
    assert shares["authentic"] == Share(PACKETS, PACKETS)
    assert shares["authentic but plain"] == Share(0, PACKETS)
    assert shares["srtcp with E = 0"] == Share(5, 9)
    assert shares["no key, plain"] == Share(0, PACKETS)
    assert shares["no key, looks encrypted"].percent is None


def test_frames_are_bounded() -> None:
    assert len(finding("key-shared", range(1000), streams="1", sources="x").frames) == FRAMES_MAX


# --- captures --------------------------------------------------------------------------------------------------------


def codes(made: Any) -> list[str]:
    return [each.code for each in made.findings]


def test_the_worst_stream_decides() -> None:
    assert report(facts(), facts()).verdict is A
    assert report(facts(), keyless()).verdict is C
    assert report(facts(), keyless(), keyless(plaintext=FEW)).verdict is I
    assert report(keyless(plaintext=FEW), keyless(plaintext=PLAIN)).verdict is P
    assert worst([]) is I


def test_plain_reports_beside_srtp() -> None:
    rtcp = keyless(kind="rtcp", plaintext=PLAIN, source=Address("192.0.2.1", 4001))
    beside = report(facts(), rtcp)
    assert [each.code for each in beside.streams[1].findings] == ["plaintext", "rtcp-beside-srtp"]
    assert beside.verdict is P
    twin = report(facts(), keyless(plaintext=PLAIN))
    assert [each.code for each in twin.streams[1].findings] == ["plaintext"]
    for other in (keyless(plaintext=PLAIN), facts(ssrc=1), facts(source=Address("192.0.2.2", 4000))):
        assert [each.code for each in report(other, rtcp).streams[1].findings] == ["plaintext"]


def test_a_key_of_several_senders() -> None:
    there = facts(source=Address("192.0.2.9", 5004), destination=Address("192.0.2.1", 4000), ssrc=2)
    made = report(facts(), there)
    assert codes(made) == ["key-shared"]
    assert made.findings[0].frames == (10, 10)
    # RTCP, a second SSRC, and the same stream on its next hop are nothing of that kind
    reports = facts(kind="rtcp", source=Address("192.0.2.1", 4001))
    assert codes(report(facts(), reports, facts(ssrc=2), facts(source=Address("192.0.2.77", 9)))) == []


def test_equal_keys_of_two_calls() -> None:
    other = facts(source=Address("192.0.2.2", 6000), ssrc=2, key_uses=(use(key=2),))
    keys = (key(1, (1,)), key(2, (2,)))
    assert codes(report(facts(), other, keys=keys)) == []
    made = report(facts(), other, keys=keys, equal_keys=((1, 2),))
    assert codes(made) == ["key-shared"]
    assert "frame 3" in made.findings[0].text
    assert "frame 4" in made.findings[0].text


def test_what_concerns_the_capture() -> None:
    clear = facts(declared=(savp(transport="udp", frame=5), savp(transport="tls")))
    made = report(
        clear, capture=replace(CAPTURE, fault="a block of 3 octets in frame 9"), keys=(key(), key(2, ())),
        keys_in_clear=(2, 5), tls_closed=Evidence(2, (1, 4)), tls_faults=((7, "no such suite"), (9, "no such suite")),
        dtls_faults=((8, "no secret"),), findings=(Finding("from-signaling", "warning", "Odd."),),
    )  # fmt: skip
    assert codes(made) == [
        "cut-short", "keys-in-clear", "from-signaling", "tls-closed", "tls-unread", "dtls-closed", "unused-keys",
    ]  # fmt: skip
    assert made.findings[1].frames == (2, 5)
    assert "2 TLS connections" in made.findings[3].text
    assert made.findings[4].frames == (7, 9)
    assert made.findings[4].text.count("no such suite") == 1
    assert "1 DTLS handshake could not be derived: no secret" in made.findings[5].text
    assert "1 of 2 known keys opened no stream" in made.findings[6].text


def test_a_capture_without_media() -> None:
    made = report()
    assert codes(made) == ["no-streams"]
    assert made.verdict is I
    assert stream().verdict is I
    assert SUITE in stream().key_uses[0].suite
