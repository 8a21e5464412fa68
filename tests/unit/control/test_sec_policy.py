"""sec_policy -set, -remove and -print (spec 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.control import licences
from unit.control.requests import NOW, VAULT, applied, done, extension, perform, request, state
from unit.control.stored_rows import registration

from srtpgw.control.digest import seal_code
from srtpgw.control.license import DAY
from srtpgw.control.model import Certificate, MediaEncryption, PolicyNumber, Put, Realm, Registration, Row, State

PIN = "24680"
MISSING = ("NOT EXECUTED", "LICENSE VOIP-SECURITY MISSING")
EXCEPTIONS = ("NOT EXECUTED", "DIRECTORY NUMBERS WITH SECURITY EXCEPTION EXIST")
NAMES = {1: "ALL_SECURE", 2: "ALL_SECURE + EXC_EXT", 3: "ALL_SECURE + EXC_TYPE"}
# A system that gives nothing to warn of.
READY = state(
    licences.ISSUER,
    licences.row(),
    Realm("srtpgw"),
    Certificate("server", "server", "", b"", testbed=True, installed=NOW),
    MediaEncryption("extension", True),
    extension("100"),
    seal_code(VAULT, "100", "srtpgw", PIN),
)


def with_rows(*rows: Row) -> State:
    return applied(READY, [Put(row) for row in rows])


def logged_on(policy: PolicyNumber | None, **changes: Any) -> Registration:
    row = replace(registration("100/1", "100"), registered=NOW - 60, expires=NOW + 3600, policy=policy)
    return replace(row, **changes)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("2", 2), ("3", 3)])
def test_set_print_remove(text: str, number: int) -> None:
    outcome = perform(request(READY, set=text), "sec_policy", "set")
    assert (outcome.refused, outcome.warnings) == (False, ())
    assert outcome.lines == (f"Security policy {number} ({NAMES[number]}) is set.",)
    after = applied(READY, outcome.changes)
    assert after.policy == number
    shown = perform(request(after), "sec_policy", "print")
    assert shown.lines == (f"Security policy: {number} ({NAMES[number]})",)
    assert shown.value == {"policy": number, "name": NAMES[number]}
    assert done(request(after), "sec_policy", "remove").policy is None


@pytest.mark.parametrize("text", ["0", "4", "01", "ALL_SECURE", "", "-1", "1 "])
def test_there_are_three(text: str) -> None:
    with pytest.raises(ValueError, match="set is not one of"):
        perform(request(READY, set=text), "sec_policy", "set")


def test_none() -> None:
    assert perform(request(READY), "sec_policy", "print").lines == ("Security policy: no policy",)
    assert perform(request(READY), "sec_policy", "print").value == {"policy": None, "name": None}
    outcome = perform(request(READY), "sec_policy", "remove")
    assert (outcome.refused, outcome.changes) == (False, ())


@pytest.mark.parametrize("text", ["1", "2", "3"])
def test_no_licence(text: str) -> None:
    before = state(extension("100", exception=True))
    outcome = perform(request(before, set=text), "sec_policy", "set")
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, MISSING, ())
    late = perform(request(READY, now=licences.TERMS.expires, set=text), "sec_policy", "set")
    assert (late.refused, late.lines, late.changes) == (True, MISSING, ())


def test_removing_needs_no_licence() -> None:
    set_before = done(request(READY, set="1"), "sec_policy", "set")
    assert done(request(set_before, now=licences.TERMS.expires + DAY), "sec_policy", "remove").policy is None


@pytest.mark.parametrize("text", ["1", "3"])
def test_exceptions_stand_against_it(text: str) -> None:
    one = with_rows(extension("7", exception=True))
    assert perform(request(one, set=text), "sec_policy", "set").lines == (*EXCEPTIONS, "7")
    many = with_rows(*(extension(str(number), exception=True) for number in (99, 200, 201, 202, 101)))
    outcome = perform(request(many, set=text), "sec_policy", "set")
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, (*EXCEPTIONS, "99, 101, 200..202"), ())
    under_two = done(request(many, set="2"), "sec_policy", "set")
    assert perform(request(under_two, set=text), "sec_policy", "set").lines == outcome.lines


def test_every_exception_is_listed() -> None:
    odd = [str(number) for number in range(10_001, 20_000, 2)]
    outcome = perform(
        request(with_rows(*(extension(each, exception=True) for each in odd)), set="1"), "sec_policy", "set"
    )
    assert ", ".join(outcome.lines[2:]).split(", ") == odd


def test_numbers_without_a_code_are_a_warning() -> None:
    before = with_rows(extension("101"), extension("102"), seal_code(VAULT, "102", "another realm", PIN))
    for text in ("1", "2", "3"):
        outcome = perform(request(before, set=text), "sec_policy", "set")
        assert not outcome.refused
        assert outcome.warnings == ("101, 102 cannot register until a RAC is configured",)
        assert outcome.value["without_rac"] == ["101", "102"]


def test_ten_thousand_without_a_code_are_one_line() -> None:
    before = with_rows(*(extension(str(number)) for number in range(12_000, 22_000)))
    (warning,) = perform(request(before, set="1"), "sec_policy", "set").warnings
    assert warning == "12000..21999 cannot register until a RAC is configured"


def test_what_is_set_already() -> None:
    before = done(request(READY, set="3"), "sec_policy", "set")
    outcome = perform(request(before, set="3"), "sec_policy", "set")
    assert (outcome.refused, outcome.changes, outcome.value["changed"]) == (False, (), False)
    assert done(request(before, set="1"), "sec_policy", "set").policy == 1


@pytest.mark.parametrize(
    ("row", "warned"),
    [
        (logged_on(None), True),
        (logged_on(2), True),
        (logged_on(1), False),
        (logged_on(None, ending=True), False),
        (logged_on(None, expires=NOW), False),
    ],
)
def test_terminals_stay_logged_on(row: Registration, warned: bool) -> None:
    before = with_rows(row)
    outcome = perform(request(before, set="1"), "sec_policy", "set")
    assert applied(before, outcome.changes).registrations == before.registrations
    assert any("1 terminal logged on before" in each for each in outcome.warnings) == warned


def test_what_would_keep_terminals_out_is_a_warning() -> None:
    bare = state(licences.ISSUER, licences.row())
    warnings = perform(request(bare, set="1"), "sec_policy", "set").warnings
    assert [each for each in warnings if "certificate_install" in each]
    assert [each for each in warnings if "media_encryption_enable -type extension" in each]
