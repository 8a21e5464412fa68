"""Every combination of a logon against section 4.2 of the specification, typed here by hand and not from the code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Final

import pytest

from srtpgw.control.model import PolicyNumber, Registration
from srtpgw.control.policy import (
    POLICY_NAMES,
    REGISTRATION_TEXTS,
    RegistrationDecision,
    admission_policy,
    registration,
)

# Each line: terminal, security exception, RAC, logon, then what follows: "PIN" where it is validated, and the signaling
# of the row; or "-" and why not. The first four words of a line are the combination; all sixteen are there.
NO_POLICY = """
secure    yes  no   secure    allowed  -    not encrypted
secure    yes  no   insecure  allowed  -    not encrypted
secure    yes  yes  secure    allowed  PIN  encrypted
secure    yes  yes  insecure  allowed  PIN  encrypted
secure    no   yes  secure    allowed  PIN  encrypted
secure    no   yes  insecure  allowed  PIN  encrypted
secure    no   no   secure    refused  code-missing
secure    no   no   insecure  refused  code-missing
insecure  yes  yes  secure    allowed  PIN  not encrypted
insecure  yes  yes  insecure  allowed  PIN  not encrypted
insecure  yes  no   secure    allowed  -    not encrypted
insecure  yes  no   insecure  allowed  -    not encrypted
insecure  no   yes  secure    allowed  PIN  not encrypted
insecure  no   yes  insecure  allowed  PIN  not encrypted
insecure  no   no   secure    refused  code-missing
insecure  no   no   insecure  refused  code-missing
"""

ALL_SECURE = """
secure    yes  no   secure    refused  exception-not-allowed
secure    yes  no   insecure  refused  exception-not-allowed
secure    yes  yes  secure    refused  exception-not-allowed
secure    yes  yes  insecure  refused  exception-not-allowed
secure    no   yes  secure    allowed  PIN  encrypted
secure    no   yes  insecure  refused  insecure-logon
secure    no   no   secure    refused  code-missing
secure    no   no   insecure  refused  code-missing
insecure  yes  yes  secure    refused  terminal-insecure
insecure  yes  yes  insecure  refused  terminal-insecure
insecure  yes  no   secure    refused  terminal-insecure
insecure  yes  no   insecure  refused  terminal-insecure
insecure  no   yes  secure    refused  terminal-insecure
insecure  no   yes  insecure  refused  terminal-insecure
insecure  no   no   secure    refused  terminal-insecure
insecure  no   no   insecure  refused  terminal-insecure
"""

EXCEPTIONS_BY_EXTENSION = """
secure    yes  no   secure    allowed  -    not encrypted
secure    yes  no   insecure  allowed  -    not encrypted
secure    yes  yes  secure    allowed  PIN  encrypted
secure    yes  yes  insecure  allowed  PIN  encrypted
secure    no   yes  secure    allowed  PIN  encrypted
secure    no   yes  insecure  refused  insecure-logon
secure    no   no   secure    refused  code-missing
secure    no   no   insecure  refused  code-missing
insecure  yes  yes  secure    allowed  PIN  not encrypted
insecure  yes  yes  insecure  allowed  PIN  not encrypted
insecure  yes  no   secure    allowed  -    not encrypted
insecure  yes  no   insecure  allowed  -    not encrypted
insecure  no   yes  secure    refused  terminal-insecure
insecure  no   yes  insecure  refused  terminal-insecure
insecure  no   no   secure    refused  code-missing
insecure  no   no   insecure  refused  code-missing
"""

EXCEPTIONS_BY_TYPE = """
secure    yes  no   secure    refused  exception-not-allowed
secure    yes  no   insecure  refused  exception-not-allowed
secure    yes  yes  secure    refused  exception-not-allowed
secure    yes  yes  insecure  refused  exception-not-allowed
secure    no   yes  secure    allowed  PIN  encrypted
secure    no   yes  insecure  refused  insecure-logon
secure    no   no   secure    refused  code-missing
secure    no   no   insecure  refused  code-missing
insecure  yes  yes  secure    refused  unlisted
insecure  yes  yes  insecure  refused  unlisted
insecure  yes  no   secure    refused  unlisted
insecure  yes  no   insecure  refused  unlisted
insecure  no   yes  secure    allowed  PIN  not encrypted
insecure  no   yes  insecure  allowed  PIN  not encrypted
insecure  no   no   secure    refused  code-missing
insecure  no   no   insecure  refused  code-missing
"""

BY_POLICY: Final[list[tuple[PolicyNumber | None, str, str, int]]] = [
    (None, "sip", NO_POLICY, 1),
    (None, "h323", NO_POLICY, 1),
    (1, "sip", ALL_SECURE, 2),
    (1, "h323", ALL_SECURE, 2),
    (2, "sip", EXCEPTIONS_BY_EXTENSION, 3),
    (2, "h323", EXCEPTIONS_BY_EXTENSION, 3),
    (3, "sip", ALL_SECURE, 2),
    (3, "h323", EXCEPTIONS_BY_TYPE, 4),
]


def judged(policy: Any, protocol: Any, words: Sequence[str]) -> RegistrationDecision:
    terminal: Any = words[0]
    return registration(
        policy,
        protocol,
        terminal,
        security_exception=words[1] == "yes",
        code_configured=words[2] == "yes",
        secure_logon=words[3] == "secure",
    )


def told(decision: RegistrationDecision) -> list[str]:
    if not decision.allowed:
        return ["refused", decision.reason]
    return ["allowed", "PIN" if decision.authenticate else "-", *(decision.signaling or "").split()]


@pytest.mark.parametrize(("policy", "protocol", "text", "table"), BY_POLICY)
def test_every_combination(policy: PolicyNumber | None, protocol: str, text: str, table: int) -> None:
    expected = {tuple(words[:4]): words[4:] for line in text.split("\n") if (words := line.split())}
    every = set(product(("secure", "insecure"), ("yes", "no"), ("yes", "no"), ("secure", "insecure")))
    assert set(expected) == every
    for combination, result in expected.items():
        decision = judged(policy, protocol, combination)
        assert told(decision) == result, (policy, protocol, combination)
        assert decision.table == table


# The rows of the specification in its order; the number of the row that decided is shown to people who look it up.
ROWS = [
    (None, "sip", "secure yes no", 1), (None, "sip", "secure yes yes", 2), (None, "sip", "secure no yes", 3),
    (None, "sip", "insecure yes yes", 4), (None, "sip", "insecure yes no", 5), (None, "sip", "insecure no yes", 6),
    (None, "sip", "secure no no", 0), (None, "sip", "insecure no no", 0),
    (1, "sip", "secure yes no", 1), (1, "sip", "secure yes yes", 2), (1, "sip", "secure no yes", 3),
    (1, "sip", "insecure yes no", 4), (1, "sip", "insecure no no", 4), (1, "sip", "secure no no", 0),
    (2, "sip", "secure yes no", 1), (2, "sip", "secure yes yes", 2), (2, "sip", "secure no yes", 3),
    (2, "sip", "insecure yes yes", 4), (2, "sip", "insecure yes no", 4), (2, "sip", "insecure no yes", 5),
    (2, "sip", "secure no no", 0), (2, "sip", "insecure no no", 0),
    (3, "h323", "secure yes no", 1), (3, "h323", "secure yes yes", 1), (3, "h323", "secure no yes", 2),
    (3, "h323", "insecure no yes", 3), (3, "h323", "insecure yes yes", 0), (3, "h323", "insecure yes no", 0),
    (3, "h323", "secure no no", 0), (3, "h323", "insecure no no", 0),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "protocol", "words", "row"), ROWS)
def test_the_row_that_decided(policy: PolicyNumber | None, protocol: str, words: str, row: int) -> None:
    assert judged(policy, protocol, (*words.split(), "secure")).row == row


@pytest.mark.parametrize("secure_logon", [True, False])
@pytest.mark.parametrize(
    ("policy", "protocol", "terminal"),
    [(0, "sip", "secure"), (4, "sip", "secure"), ("1", "sip", "secure"), (2, "mgcp", "secure"), (None, "", "secure"),
     (None, "sip", "by-logon"), (2, "sip", ""), (2, "sip", None)],
)  # fmt: skip
def test_what_nobody_thought_of_is_refused(policy: Any, protocol: Any, terminal: Any, secure_logon: bool) -> None:
    decision = registration(
        policy, protocol, terminal, security_exception=True, code_configured=True, secure_logon=secure_logon
    )
    assert told(decision) == ["refused", "unlisted"]


@pytest.mark.parametrize("unknown", [None, "yes", "no", 2])
def test_neither_yes_nor_no_is_refused(unknown: Any) -> None:
    for policy, protocol in product((None, 1, 2, 3), ("sip", "h323")):
        for terminal in ("secure", "insecure"):
            given: Any = (policy, protocol, terminal)
            assert not registration(*given, security_exception=unknown, code_configured=True, secure_logon=True).allowed
            assert not registration(*given, security_exception=True, code_configured=unknown, secure_logon=True).allowed


def test_texts_fit_a_warning_header() -> None:
    for text in REGISTRATION_TEXTS.values():
        assert text.isascii()
        assert text.isprintable()
        assert not set('"\\') & set(text)
    assert set(POLICY_NAMES) == {None, 1, 2, 3}


# --- the policy a logon is judged by ----------------------------------------------------------------------------------

LIVE = Registration(
    binding="1",
    number="12000",
    protocol="sip",
    contact="sip:12000@192.0.2.1:5060",
    instance="<urn:uuid:1>",
    call_id="a1@192.0.2.1",
    terminal_type="Phone",
    transport="udp",
    remote="192.0.2.1:5060",
    local_port=5060,
    encrypted=False,
    offered_srtp=None,
    authenticated=False,
    registered=100.0,
    expires=200.0,
    policy=None,
)


def test_a_refresh_keeps_the_policy_it_was_admitted_under() -> None:
    assert admission_policy(1, LIVE, LIVE, now=150.0) is None
    assert admission_policy(None, replace(LIVE, policy=2), LIVE, now=150.0) == 2
    moved = replace(LIVE, contact="sip:12000@192.0.2.2:5060")
    assert admission_policy(1, LIVE, moved, now=150.0) is None  # the same instance
    other_instance = replace(LIVE, instance="<urn:uuid:2>")
    assert admission_policy(1, LIVE, other_instance, now=150.0) is None  # the same contact


@pytest.mark.parametrize(
    "difference",
    [{"transport": "tcp"}, {"transport": "tls"}, {"call_id": "b2@192.0.2.1"}, {"number": "12001"}, {"protocol": "h323"},
     {"contact": "sip:12000@192.0.2.2:5060", "instance": "<urn:uuid:2>"},
     {"contact": "sip:12000@192.0.2.2:5060", "instance": ""}],
)  # fmt: skip
def test_any_other_logon_is_judged_by_the_policy_in_force(difference: dict[str, Any]) -> None:
    assert admission_policy(1, LIVE, replace(LIVE, **difference), now=150.0) == 1


def test_terminals_without_an_instance_are_not_one_instance() -> None:
    nameless = replace(LIVE, instance="")
    assert admission_policy(1, nameless, replace(nameless, contact="sip:12000@192.0.2.2"), now=150.0) == 1


@pytest.mark.parametrize("gone", [None, replace(LIVE, expires=150.0), replace(LIVE, ending=True)])
def test_a_binding_that_is_gone_protects_nothing(gone: Registration | None) -> None:
    assert admission_policy(1, gone, LIVE, now=150.0) == 1
