"""Selectors, and what passes, fails or stays open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.capture.facts import FEW, PLAIN, SUITE, facts, keyless, report, savp, use

from srtpgw.capture.expect import CHOICES_MAX, leg_types, parse_expected
from srtpgw.capture.report import Address, Share
from srtpgw.capture.verdict import Evidence, StreamFacts, Stretch

V6 = {"source": Address("2001:db8::1", 4000), "destination": Address("2001:db8::2", 5004)}
NULL = "NULL_HMAC_SHA1_80"

# Four streams: 1 of a phone, 2 of a route by its description, 3 over IPv6 and of an intermgw leg as declared, 4 a
# second source between the addresses of 1.
STREAMS = (
    facts(),
    facts(source=Address("192.0.2.50", 7000), interface="eth0", interface_description="tap leg=route 3", ssrc=2),
    facts(interface=None, declared=(savp(leg_type="intermgw"),), ssrc=3, **V6),
    facts(ssrc=0xFFFFFFFF),
)


def expect(*streams: StreamFacts, of: str = "srtp") -> Any:
    made = report(*streams, expect=(of,))
    (answer,) = made.expectations
    assert answer.outcome == made.outcome
    return answer


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("all", (1, 2, 3, 4)),
        ("192.0.2.1", (1, 4)),
        ("192.0.2.1:4000", (1, 4)),
        ("192.0.2.9:5004", (1, 2, 4)),
        ("192.0.2.1:5004", ()),
        ("2001:db8::1", (3,)),
        ("2001:0DB8:0:0::2", (3,)),
        ("[2001:db8::1]", (3,)),
        ("[2001:db8::2]:5004", (3,)),
        ("[2001:db8::2]:5005", ()),
        ("ssrc:0x2", (2,)),
        ("ssrc:0x00000003", (3,)),
        ("ssrc:0XfFfFfFfF", (4,)),
        ("interface:eth0", (2,)),
        ("interface:eth", ()),
        ("interface:extension phone", (1, 4)),
        ("extension", (1, 4)),
        ("route", (2,)),
        ("intermgw", (3,)),
    ],
)
def test_selectors(selector: str, numbers: tuple[int, ...]) -> None:
    answer = expect(*STREAMS, of=f"srtp={selector}")
    assert answer.streams == numbers
    assert answer.outcome == ("pass" if numbers else "inconclusive")
    assert answer.selector == selector


def test_without_a_selector_all_are_meant() -> None:
    assert expect(*STREAMS).streams == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "text",
    [
        "", "SRTP", "srtcp", "=all", "srtp=", "srtp=ssrc:1234", "srtp=ssrc:0x", "srtp=ssrc:0x123456789", "srtp=phone",
        "srtp=interface:", "srtp=192.0.2.1:0", "srtp=192.0.2.1:65536", "srtp=192.0.2.1:", "srtp=192.0.2.256",
        "srtp=[192.0.2.1", "srtp=[2001:db8::1]:x", "srtp=example.org:5004", "srtp=192.0.2.1:٤٠٠٠",
    ],
)  # fmt: skip
def test_what_is_no_expectation(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_expected(text)


def test_only_whole_words_are_leg_types() -> None:
    def types(**changes: Any) -> set[str]:
        return leg_types(facts(**changes).stream)

    assert types(interface="routes 1") == set()
    assert types(interface="extension", interface_description="leg=route") == {"extension", "route"}
    assert types(interface="lo", interface_description="leg=routes xleg=route") == set()
    assert types(interface="lo", declared=(savp(leg_type="core"),)) == set()


UNOPENED = keyless(declared=(savp(),), signaled_keys=(1,))
PART = Stretch("part", 600, 1200, 300, PLAIN)


@pytest.mark.parametrize(
    ("given", "srtp", "rtp"),
    [
        (facts(), "pass", "fail"),
        (keyless(), "pass", "fail"),
        (keyless(plaintext=PLAIN), "fail", "pass"),
        (keyless(plaintext=FEW), "inconclusive", "inconclusive"),
        (UNOPENED, "fail", "fail"),
        (replace(UNOPENED, stream=replace(UNOPENED.stream, plaintext=FEW)), "fail", "inconclusive"),
        (facts(key_uses=(use(suite=NULL),), plaintext=PLAIN), "fail", "fail"),
        (facts(plaintext=PLAIN), "fail", "fail"),
        (keyless(stretches=(PART,)), "fail", "fail"),
        (facts(reused=Evidence(1, (9,))), "fail", "fail"),
        (facts(authenticated=Share(1499, 1500)), "fail", "inconclusive"),
        (keyless(rollover_unfinished=True, signaled_keys=(1,)), "inconclusive", "fail"),
        (facts(replayed=Evidence(1, (9,))), "pass", "fail"),
        (facts(kind="rtcp", in_clear=Evidence(1, (9,))), "fail", "fail"),
    ],
)
def test_outcomes_of_one_stream(given: StreamFacts, srtp: str, rtp: str) -> None:
    assert expect(given).outcome == srtp
    assert expect(given, of="rtp").outcome == rtp


def test_the_worst_stream_and_the_worst_expectation_decide() -> None:
    few, plain = keyless(plaintext=FEW), keyless(plaintext=PLAIN, ssrc=5)
    assert expect(facts(), few).outcome == "inconclusive"
    assert expect(facts(), few, plain).outcome == "fail"
    made = report(facts(), few, plain, expect=("srtp=ssrc:0x1234abcd", "rtp=ssrc:0x5"))
    assert [each.outcome for each in made.expectations] == ["inconclusive", "pass"]
    assert (made.outcome, made.exit_status) == ("inconclusive", 3)
    assert report(facts(), plain, expect=("srtp", "rtp=ssrc:0x5")).exit_status == 1
    assert report(facts(), plain, expect=("srtp=ssrc:0x1234abcd", "rtp=ssrc:0x5")).exit_status == 0
    assert report(plain).outcome is None
    assert report(plain).exit_status == 0


def test_the_answer_names_streams_and_reasons() -> None:
    assert expect(facts(), facts()).text == "2 streams: encrypted and authentic (1, 2)"
    assert "authenticity was not checked (2)" in expect(facts(), keyless()).text
    text = expect(facts(), keyless(plaintext=PLAIN), UNOPENED, keyless(plaintext=PLAIN)).text
    assert text == "3 of 4 streams: not encrypted (2, 4); the signaled key does not open the stream (3)"
    assert expect(*[facts()] * 20).text.endswith("(1, 2, 3, 4, 5, 6, 7, 8, and 12 more)")


def test_what_there_is_to_choose_from() -> None:
    text = expect(*STREAMS, of="srtp=198.51.100.1").text
    for choice in ("ssrc:0x1234abcd", "192.0.2.50:7000", "[2001:db8::2]:5004", "interface:eth0"):
        assert choice in text
        assert expect(*STREAMS, of=f"srtp={choice}").streams
    assert "no stream was found" in expect(of="srtp").text
    many = [facts(ssrc=number, interface=f"if{number}") for number in range(1000)]
    assert len(expect(*many, of="srtp=198.51.100.1").text) < 100 * CHOICES_MAX
    assert SUITE not in text
