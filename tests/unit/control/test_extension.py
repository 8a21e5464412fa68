"""extension -i, -c, -e and -p: the table of spec 4.1 as commands, on lists and ranges, all or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.control.requests import NOW, VAULT, applied, done, extension, perform, request, state
from unit.control.stored_rows import commit, put, registration

from srtpgw.control.commands.table import Outcome
from srtpgw.control.digest import seal_code
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import Extension, PolicyNumber, Put, Realm, Row, SecurityPolicy, State
from srtpgw.control.store import Store

NOT_ALLOWED = "Security exception is not allowed."
BLANK = "The PIN code may not be blank."
MANDATORY = "RAC is mandatory if security-exception = no."
OMITTED = "--security-exception no"
EXIST = ("NOT EXECUTED", "DIRECTORY NUMBERS EXIST ALREADY")
MISSING = ("NOT EXECUTED", "DIRECTORY NUMBERS DO NOT EXIST")
ACCEPTED, WARNED = "", "cannot register until a RAC is configured"
PROFILE: dict[str, Any] = {"csp": "1", "lim": "1"}

CHANGE: dict[str, Any] = {"csp": "2"}

# Spec 4.1, row by row: security exception yes; no with a RAC; no without.
TABLE: dict[PolicyNumber | None, tuple[str, str, str]] = {
    None: (ACCEPTED, ACCEPTED, WARNED),
    1: (NOT_ALLOWED, ACCEPTED, BLANK),
    2: (ACCEPTED, ACCEPTED, WARNED),
    3: (NOT_ALLOWED, ACCEPTED, MANDATORY),
}
CASES = [
    (policy, exception, code, row[0] if exception else row[1 if code else 2])
    for policy, row in TABLE.items()
    for exception in (True, False)
    for code in (True, False)
]


def system(policy: PolicyNumber | None = None, codes: str = "", *rows: Row) -> State:
    """A state with a policy, codes for some numbers, and rows."""
    policies = [] if policy is None else [SecurityPolicy(policy)]
    sealed = [seal_code(VAULT, number, "srtpgw", "24680") for number in codes.split()]
    return state(Realm("srtpgw"), *policies, *sealed, *rows)


def assert_as_the_table_says(outcome: Outcome, text: str) -> None:
    refused = text not in {ACCEPTED, WARNED}
    assert outcome.refused == refused
    assert (outcome.lines == (text,)) == refused
    assert outcome.warnings == ((f"100 {WARNED}",) if text == WARNED else ())
    assert bool(outcome.changes) != refused


@pytest.mark.parametrize(("policy", "exception", "code", "text"), CASES)
def test_initiate(policy: PolicyNumber | None, exception: bool, code: bool, text: str) -> None:
    before = system(policy, "100" if code else "")
    options: dict[str, Any] = {"d": "100", **PROFILE, "security_exception": "yes" if exception else "no"}
    outcome = perform(request(before, **options), "extension", "initiate")
    assert_as_the_table_says(outcome, text)
    if outcome.changes:
        assert outcome.changes == (Put(Extension("100", 1, 1, exception)),)


@pytest.mark.parametrize(("policy", "exception", "code", "text"), CASES)
def test_change(policy: PolicyNumber | None, exception: bool, code: bool, text: str) -> None:
    before = system(policy, "100" if code else "", extension("100", exception=not exception))
    options: dict[str, Any] = {"d": "100", "security_exception": "yes" if exception else "no"}
    outcome = perform(request(before, **options), "extension", "change")
    assert_as_the_table_says(outcome, text)
    if outcome.changes:
        assert outcome.changes == (Put(extension("100", exception=exception)),)


@pytest.mark.parametrize("policy", [None, 1, 2, 3])
@pytest.mark.parametrize("current", [None, False, True])
def test_security_exception_omitted(policy: PolicyNumber | None, current: bool | None) -> None:
    rows = [] if current is None else [extension("100", exception=current)]
    key = "initiate" if current is None else "change"
    options = PROFILE if current is None else CHANGE
    outcome = perform(request(system(policy, "100", *rows), d="100", **options), "extension", key)
    assert outcome.refused == (policy in {1, 3})
    if outcome.refused:
        assert OMITTED in outcome.lines[0]
        assert outcome.changes == ()
    else:
        (change,) = outcome.changes
        assert isinstance(change, Put)
        assert isinstance(change.row, Extension)
        assert change.row.security_exception is bool(current)


def test_lists_and_ranges() -> None:
    made = done(request(system(), d="100,200,0300..0302", **PROFILE), "extension", "initiate")
    assert list(made.extensions) == ["100", "200", "0300", "0301", "0302"]
    changed = done(request(made, d="0300..0301", lim="2"), "extension", "change")
    assert [each.lim for each in changed.extensions.values()] == [1, 1, 2, 2, 1]
    assert {each.csp for each in changed.extensions.values()} == {1}
    ended = done(request(changed, d="200,0300..0302"), "extension", "end")
    assert list(ended.extensions) == ["100"]


@pytest.mark.parametrize(
    ("key", "options", "lines"),
    [
        ("initiate", {"d": "100..103", **PROFILE}, (*EXIST, "100..102")),
        ("initiate", {"d": "102", **PROFILE}, (*EXIST, "102")),
        ("change", {"d": "100..105", "csp": "2"}, (*MISSING, "103..105")),
        ("change", {"d": "0100", "csp": "2"}, (*MISSING, "0100")),
        ("end", {"d": "99,100"}, (*MISSING, "99")),
        ("print", {"d": "98,99"}, (*MISSING, "98, 99")),
    ],
)
def test_all_or_none(key: str, options: dict[str, Any], lines: tuple[str, ...]) -> None:
    before = system(None, "", *(extension(str(number)) for number in (100, 101, 102)))
    outcome = perform(request(before, **options), "extension", key)
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, lines, ())


def test_one_number_against_the_rule_stops_all() -> None:
    before = system(1, "100 102 103")
    options: dict[str, Any] = {"d": "100..103", **PROFILE, "security_exception": "no"}
    outcome = perform(request(before, **options), "extension", "initiate")
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, (BLANK, "101"), ())


@pytest.mark.parametrize(
    ("option", "text"),
    [("csp", "-1"), ("csp", "10000"), ("csp", ""), ("csp", "1.5"), ("csp", "\u0661"), ("lim", "0"), ("lim", "1000"),
     ("lim", "9" * 5000), ("security_exception", "maybe"), ("security_exception", "YES"), ("d", "12a"), ("d", "")],
)  # fmt: skip
def test_wrong_values(option: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|has "):
        perform(request(system(), **{"d": "100", **PROFILE, option: text}), "extension", "initiate")


@pytest.mark.parametrize("missing", ["d", "csp", "lim"])
def test_what_is_mandatory(missing: str) -> None:
    options: dict[str, Any] = {"d": "100", **PROFILE}
    del options[missing]
    with pytest.raises(ValueError, match=f"needs {missing}"):
        perform(request(system(), **options), "extension", "initiate")


def test_nothing_to_change() -> None:
    before = system(None, "", extension("100"))
    assert perform(request(before, d="100"), "extension", "change").refused
    same = perform(request(before, d="100", csp="1"), "extension", "change")
    assert (same.refused, same.changes, same.lines) == (False, (), ("Nothing is changed.",))


def test_exceptions_off_for_all() -> None:
    before = system(
        2, "100 101 102", extension("100", exception=True), extension("101"), extension("102", exception=True)
    )
    after = done(request(before, d="all", security_exception="no"), "extension", "change")
    assert not any(each.security_exception for each in after.extensions.values())
    assert perform(request(after, d="all", **PROFILE), "extension", "initiate").refused


def test_end_takes_code_and_registrations_along() -> None:
    rows: list[Row] = [
        extension("100"),
        extension("101"),
        *(registration(f"{number}/1", number) for number in ("100", "101")),
    ]
    before = system(None, "100 101", *rows)
    outcome = perform(request(before, d="100"), "extension", "end")
    assert outcome.lines == ("1 extension ended with 1 authorization code and 1 registration: 100",)
    after = applied(before, outcome.changes)
    assert [*after.extensions, *after.authorization_codes, *after.registrations] == ["101", "101", "101/1"]


@pytest.mark.parametrize("expires", [NOW + 60, NOW - 60])
def test_end_goes_into_the_store_while_somebody_is_logged_on(tmp_path: Path, expires: float) -> None:
    """A row that stays behind its extension is refused there, and with it the whole command."""
    logged_on = replace(registration("100/1", "100"), expires=expires)
    with Store(StateDirectory(tmp_path / "state").database) as store:
        commit(store, put(extension("100"), extension("101"), logged_on))
        commit(store, perform(request(store.read(), d="100"), "extension", "end").changes)
        assert list(store.read().extensions) == ["101"]
        assert store.read().registrations == {}


def test_end_of_all_asks() -> None:
    before = system(None, "", extension("100"), extension("101"))
    outcome = perform(request(before, d="all"), "extension", "end")
    assert "all extensions (2)" in outcome.question
    assert outcome.changes == ()
    assert done(request(before, confirmed=True, d="all"), "extension", "end").extensions == {}


def test_print() -> None:
    before = system(None, "100 999", extension("100", csp=12, lim=3), extension("0101", exception=True))
    outcome = perform(request(before), "extension", "print")
    assert outcome.lines == (
        "NUMBER  CSP  LIM  SECURITY EXCEPTION  RAC",
        "100     12   3    no                  yes",
        "0101    1    1    yes                 no",
    )
    first = {"number": "100", "csp": 12, "lim": 3, "security_exception": False, "rac": True}
    second = {"number": "0101", "csp": 1, "lim": 1, "security_exception": True, "rac": False}
    assert outcome.value == {"extensions": [first, second]}
    part = perform(request(before, d="100,102"), "extension", "print")
    assert part.value == {"extensions": [first]}
    assert part.warnings == ("these numbers do not exist: 102",)
    assert perform(request(before, d="all"), "extension", "print").value == outcome.value
    assert perform(request(system()), "extension", "print").lines == ("There are no extensions.",)


def test_more_than_the_system_holds() -> None:
    before = done(request(system(), d="100000..199999", **PROFILE), "extension", "initiate")
    assert len(before.extensions) == 100_000
    outcome = perform(request(before, now=NOW, d="5", **PROFILE), "extension", "initiate")
    assert (outcome.refused, outcome.lines[0]) == (True, "NOT EXECUTED")


def test_outcomes_are_plain_values() -> None:
    plain = (str, int, bool, type(None))

    def check(value: Any) -> None:
        if isinstance(value, dict | list):
            for each in value.values() if isinstance(value, dict) else value:
                check(each)
        else:
            assert isinstance(value, plain)

    before = system(None, "", extension("100"))
    check(perform(request(before), "extension", "print").value)
    check(perform(request(before, d="101", **PROFILE), "extension", "initiate").value)
    check(perform(request(before, d="100", csp="9"), "extension", "change").value)
    check(perform(request(before, d="100"), "extension", "end").value)
