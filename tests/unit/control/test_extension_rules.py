"""The rules on extensions, codes and changes of policy against sections 3, 4 and 4.1 of the specification."""

from __future__ import annotations

from typing import Any

import pytest

from srtpgw.control.model import Extension, PolicyNumber
from srtpgw.control.policy import code_removal_rule, disabling_refusal, extension_rule, omitted_exception, policy_change

NOT_ALLOWED = "Security exception is not allowed."
BLANK = "The PIN code may not be blank."
MANDATORY = "RAC is mandatory if security-exception = no."
WARNING = "cannot register until a RAC is configured"

# Policy, security exception, RAC: the text of a refusal, the warning.
EXTENSIONS: list[tuple[PolicyNumber | None, bool, bool, str, str]] = [
    (None, True, True, "", ""),
    (None, True, False, "", ""),
    (None, False, True, "", ""),
    (None, False, False, "", WARNING),
    (1, True, True, NOT_ALLOWED, ""),
    (1, True, False, NOT_ALLOWED, ""),
    (1, False, True, "", ""),
    (1, False, False, BLANK, ""),
    (2, True, True, "", ""),
    (2, True, False, "", ""),
    (2, False, True, "", ""),
    (2, False, False, "", WARNING),
    (3, True, True, NOT_ALLOWED, ""),
    (3, True, False, NOT_ALLOWED, ""),
    (3, False, True, "", ""),
    (3, False, False, MANDATORY, ""),
]


@pytest.mark.parametrize(("policy", "exception", "code", "refusal", "warning"), EXTENSIONS)
def test_every_extension(policy: PolicyNumber | None, exception: bool, code: bool, refusal: str, warning: str) -> None:
    rule = extension_rule(policy, security_exception=exception, code_configured=code)
    assert (rule.refusal, rule.warning, rule.accepted) == (refusal, warning, not refusal)


@pytest.mark.parametrize("policy", [0, 4, "1"])
def test_a_policy_that_does_not_exist_allows_nothing(policy: Any) -> None:
    with pytest.raises(KeyError):
        extension_rule(policy, security_exception=False, code_configured=True)
    with pytest.raises(KeyError):
        omitted_exception(policy, None)
    with pytest.raises(KeyError):
        policy_change(policy, (), ())


# Policy; the exception of the extension that is changed (None: initiated); what it is then (None: refused).
OMITTED: list[tuple[PolicyNumber | None, bool | None, bool | None]] = [
    (None, None, False),
    (None, True, True),
    (None, False, False),
    (1, None, None),
    (1, True, None),
    (1, False, None),
    (2, None, False),
    (2, True, True),
    (2, False, False),
    (3, None, None),
    (3, True, None),
    (3, False, None),
]


@pytest.mark.parametrize(("policy", "current", "expected"), OMITTED)
def test_an_omitted_exception(policy: PolicyNumber | None, current: bool | None, expected: bool | None) -> None:
    assert omitted_exception(policy, current) is expected


def extension(number: str, exception: bool) -> Extension:
    return Extension(number, csp=1, lim=1, security_exception=exception)


# Policy; the exception of the extension (None: there is no extension); the text that refuses the removal of its RAC.
REMOVALS: list[tuple[PolicyNumber | None, bool | None, str]] = [
    (None, False, ""), (None, True, ""), (None, None, ""),
    (1, False, BLANK), (1, True, ""), (1, None, ""),
    (2, False, ""), (2, True, ""), (2, None, ""),
    (3, False, MANDATORY), (3, True, ""), (3, None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "exception", "refusal"), REMOVALS)
def test_a_mandatory_code_stays(policy: PolicyNumber | None, exception: bool | None, refusal: str) -> None:
    rule = code_removal_rule(policy, None if exception is None else extension("12000", exception))
    assert rule.refusal == refusal
    assert rule.warning == (WARNING if policy in (None, 2) and exception is False else "")


EXCEPTIONS_EXIST = "DIRECTORY NUMBERS WITH SECURITY EXCEPTION EXIST"
MIXED = [extension("200", True), extension("9", False), extension("12", True), extension("13", False)]


@pytest.mark.parametrize("policy", [1, 3])
def test_exceptions_stand_against_a_policy_that_allows_none(policy: PolicyNumber) -> None:
    change = policy_change(policy, MIXED, {"9", "12"})
    assert change == (EXCEPTIONS_EXIST, ("200", "12"), ("13",))


@pytest.mark.parametrize("policy", [1, 3])
def test_a_missing_code_is_a_warning(policy: PolicyNumber) -> None:
    assert policy_change(policy, MIXED[1::2], ()) == ("", (), ("9", "13"))
    assert policy_change(policy, MIXED[1::2], ("9", "13")) == ("", (), ())


def test_exceptions_by_extension_are_what_policy_2_is_for() -> None:
    # Those with an exception and no RAC may register under it, so there is nothing to warn of.
    assert policy_change(2, MIXED, {"9"}) == ("", (), ("13",))


def test_only_the_flag_of_extensions_is_bound_to_the_policy() -> None:
    policies: tuple[PolicyNumber | None, ...] = (None, 1, 2, 3)
    assert [bool(disabling_refusal("extension", policy)) for policy in policies] == [False, True, True, True]
    assert not any(disabling_refusal(kind, policy) for kind in ("route", "intermgw") for policy in policies)
