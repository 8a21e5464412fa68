"""auth_code: set, change, remove and print authorization codes (spec 4.1), and the realm that they count under."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from interop.control.secret_forms import Search
from unit.control.requests import EMPTY, NOW, REALM, VAULT, applied, done, extension, perform, request, state

from srtpgw.control.codes import configured, realm_change
from srtpgw.control.digest import ALGORITHMS, ha1, seal_code
from srtpgw.control.model import PolicyNumber, Put, Realm, Remove, SecurityPolicy, State
from srtpgw.control.vault import Vault
from srtpgw.errors import VaultError

PIN = "8249713"
EXIST = ("NOT EXECUTED", "AUTHORIZATION CODES EXIST ALREADY")
NONE = ("NOT EXECUTED", "AUTHORIZATION CODES DO NOT EXIST")


def coded(*numbers: str, realm: str = REALM, exception: bool = False, policy: PolicyNumber | None = None) -> State:
    """Extensions 100 to 103, codes for ``numbers``, under a realm that is in force."""
    rows = [extension(str(number), exception=exception) for number in range(100, 104)]
    policies = [] if policy is None else [SecurityPolicy(policy)]
    return state(Realm(realm), *rows, *policies, *(seal_code(VAULT, number, realm, PIN) for number in numbers))


def printed(of: State) -> dict[str, tuple[bool, bool]]:
    rows = perform(request(of), "auth_code", "print").value["authorization_codes"]
    return {row["number"]: (row["rac"], row["extension"]) for row in rows}


def test_set_change_remove() -> None:
    first = done(request(coded(), d="100..102", auth_code=PIN), "auth_code", "initiate")
    assert {number: ha1(VAULT, code, "MD5") for number, code in configured(first).items()} == {
        number: ha1(VAULT, seal_code(VAULT, number, REALM, PIN), "MD5") for number in ("100", "101", "102")
    }
    second = done(request(first, d="101", auth_code="13579"), "auth_code", "change")
    assert ha1(VAULT, second.authorization_codes["101"], "MD5") != ha1(VAULT, first.authorization_codes["101"], "MD5")
    assert second.authorization_codes["100"] == first.authorization_codes["100"]
    third = done(request(second, d="100,102"), "auth_code", "end")
    assert printed(third) == {"100": (False, True), "101": (True, True), "102": (False, True), "103": (False, True)}


def test_a_code_before_its_extension() -> None:
    outcome = perform(request(EMPTY, d="500", auth_code=PIN), "auth_code", "initiate")
    assert outcome.warnings == ("these numbers have no extension yet: 500",)
    after = applied(EMPTY, outcome.changes)
    assert (after.realm, printed(after)) == (REALM, {"500": (True, False)})
    assert done(request(after, d="500"), "auth_code", "end").authorization_codes == {}


def test_all() -> None:
    everyone = done(request(coded(), d="all", auth_code=PIN), "auth_code", "initiate")
    assert sorted(everyone.authorization_codes) == ["100", "101", "102", "103"]
    changed = done(request(everyone, d="all", auth_code="13579"), "auth_code", "change")
    assert all(changed.authorization_codes[number] != everyone.authorization_codes[number] for number in ("100", "103"))
    asked = perform(request(changed, d="all"), "auth_code", "end")
    assert "all authorization codes (4)" in asked.question
    assert asked.changes == ()
    assert done(request(changed, confirmed=True, d="all"), "auth_code", "end").authorization_codes == {}


@pytest.mark.parametrize(
    ("key", "numbers", "lines"),
    [
        ("initiate", "100..103", (*EXIST, "100, 102")),
        ("initiate", "102", (*EXIST, "102")),
        ("change", "100..103", (*NONE, "101, 103")),
        ("change", "999", (*NONE, "999")),
        ("end", "100..103", (*NONE, "101, 103")),
        ("print", "998,999", ("NOT EXECUTED", "DIRECTORY NUMBERS DO NOT EXIST", "998, 999")),
    ],
)
def test_all_or_none(key: str, numbers: str, lines: tuple[str, ...]) -> None:
    options: dict[str, Any] = {"d": numbers} | ({"auth_code": PIN} if key in {"initiate", "change"} else {})
    outcome = perform(request(coded("100", "102"), **options), "auth_code", key)
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, lines, ())


# Spec 4.1, last sentence: what may not be removed while a policy stands; None: it may.
@pytest.mark.parametrize(
    ("policy", "exception", "text"),
    [
        (None, True, None), (None, False, None),
        (1, False, "The PIN code may not be blank."),
        (2, True, None), (2, False, None),
        (3, False, "RAC is mandatory if security-exception = no."),
    ],
)  # fmt: skip
def test_removal_under_a_policy(policy: PolicyNumber | None, exception: bool, text: str | None) -> None:
    before = coded("100", "101", "900", exception=exception, policy=policy)
    one = perform(request(before, d="100"), "auth_code", "end")
    several = perform(request(before, d="100,101,900"), "auth_code", "end")
    if text is None:
        assert one.changes == (Remove(type(before.authorization_codes["100"]), "100"),)
        assert len(several.changes) == 3
        warned = ("100, 101 cannot register until a RAC is configured",)
        assert several.warnings == (() if exception else warned)
    else:
        assert (one.refused, one.lines, one.changes) == (True, (text,), ())
        assert (several.refused, several.lines, several.changes) == (True, (text, "100, 101"), ())
        assert done(request(before, d="900"), "auth_code", "end").authorization_codes.keys() == {"100", "101"}


def test_another_realm_asks_first() -> None:
    before = coded("100", "101", "103", realm="old")
    for key, numbers in (("initiate", "100"), ("initiate", "102"), ("change", "103")):
        outcome = perform(request(before, realm="new", d=numbers, auth_code=PIN), "auth_code", key)
        assert "'old'" in outcome.question
        assert "'new'" in outcome.question
        assert "100, 101, 103" in outcome.question
        assert outcome.changes == ()
        assert PIN not in outcome.question
    after = done(request(before, realm="new", confirmed=True, d="100", auth_code=PIN), "auth_code", "initiate")
    assert after.realm == "new"
    assert configured(after).keys() == {"100"}
    assert len(after.authorization_codes) == 3
    back = applied(after, realm_change(after, "old").changes)
    assert configured(back).keys() == {"101", "103"}


def test_codes_of_another_realm_count_as_absent() -> None:
    before = applied(coded("100"), [Put(seal_code(VAULT, "101", "other", PIN)), Put(SecurityPolicy(1))])
    assert printed(before)["101"] == (False, True)
    assert perform(request(before, d="101", auth_code=PIN), "auth_code", "change").lines == (*NONE, "101")
    assert "101" in configured(done(request(before, d="101", auth_code=PIN), "auth_code", "initiate"))
    assert "101" not in done(request(before, d="101"), "auth_code", "end").authorization_codes  # no terminal used it
    options: dict[str, Any] = {"d": "101", "security_exception": "no"}
    assert perform(request(before, **options), "extension", "change").lines == ("The PIN code may not be blank.",)


def test_realm_change() -> None:
    none = realm_change(EMPTY, "first")
    assert (none.question, none.changes) == ("", (Put(Realm("first")),))
    same = realm_change(coded("100"), REALM)
    assert (same.question, same.changes, same.losing) == ("", (), ())
    mixed = applied(coded("100", "99"), [Put(seal_code(VAULT, "101", "other", PIN))])
    other = realm_change(mixed, "other")
    assert (other.losing, other.regaining) == (("99", "100"), ("101",))
    assert realm_change(coded(), "other").question == ""


def test_a_realm_that_is_none_is_refused() -> None:
    outcome = perform(request(coded(), realm='a"b', d="100", auth_code=PIN), "auth_code", "initiate")
    assert outcome.refused
    assert outcome.changes == ()


@pytest.mark.parametrize(
    ("number", "digits", "weak"),
    [("100", "1", True), ("100", "123", True), ("100", "5555", True), ("1234", "1234", True), ("100", "1234", False)],
)
def test_weak_codes(number: str, digits: str, weak: bool) -> None:
    outcome = perform(request(EMPTY, d=number, auth_code=digits), "auth_code", "initiate")
    assert any("guessed at once" in warning for warning in outcome.warnings) == weak
    assert not any(digits in warning for warning in outcome.warnings if "guessed" in warning)


@pytest.mark.parametrize("digits", ["", "12345678", "1a", "\u0661\u0662", " 1"])
def test_what_is_no_code_is_wrong_usage(digits: str) -> None:
    with pytest.raises(ValueError, match="is not 1 to 7 digits") as caught:
        perform(request(EMPTY, d="100", auth_code=digits), "auth_code", "initiate")
    assert digits == "" or digits not in str(caught.value).replace("1 to 7", "")


def shown(value: Any) -> set[str]:
    """Which secrets of the codes of 100 and 101 can be found in a value."""
    search: dict[str, bytes | str] = {"the digits": PIN}
    for number in ("100", "101"):
        code = seal_code(VAULT, number, REALM, PIN)
        for algorithm in ALGORITHMS:
            search[f"{number}, {algorithm}"] = bytes.fromhex(ha1(VAULT, code, algorithm).decode())
    return Search(search).shown(b"\0".join(octets(value)))


def octets(value: Any) -> list[bytes]:
    """All texts and octets within a value, and its repr."""
    found = [repr(value).encode(errors="replace")]
    if isinstance(value, bytes | str):
        found.append(value if isinstance(value, bytes) else value.encode(errors="replace"))
    elif isinstance(value, Mapping):
        found += [part for pair in value.items() for part in octets(pair)]
    elif isinstance(value, list | tuple):
        found += [part for each in value for part in octets(each)]
    elif is_dataclass(value):
        found += [part for each in fields(value) for part in octets(getattr(value, each.name))]
    return found


@pytest.mark.parametrize("key", ["initiate", "change", "end", "print"])
def test_no_code_in_anything_that_comes_out(key: str) -> None:
    before = coded(*(() if key == "initiate" else ("100", "101")))
    options: dict[str, Any] = {"d": "100,101"} | ({"auth_code": PIN} if key in {"initiate", "change"} else {})
    asked = request(before, **options)
    outcome = perform(asked, "auth_code", key)
    assert not outcome.refused
    assert shown(outcome) == set()
    assert shown(repr((asked, before)) + str(asked)) == set()


def test_the_hunt_finds_what_is_there() -> None:
    code = ha1(VAULT, seal_code(VAULT, "101", REALM, PIN), "SHA-256")
    outcome = perform(request(coded("100"), d="100"), "auth_code", "end")
    for secret, name in ((PIN, "the digits"), (code, "101, SHA-256"), (bytes.fromhex(code.decode()), "101, SHA-256")):
        assert shown(replace(outcome, value={"left": [secret]})) == {name}


def test_no_code_in_an_exception() -> None:
    def unreadable() -> bytes:
        raise VaultError("the key file cannot be read")

    asked = request(coded(), vault=Vault(unreadable), d="100", auth_code=PIN)
    with pytest.raises(VaultError) as caught:
        perform(asked, "auth_code", "initiate")
    assert shown("".join(traceback.format_exception(caught.value))) == set()


def test_ten_thousand_numbers() -> None:
    after = done(request(EMPTY, now=NOW, d="10000..19999", auth_code=PIN), "auth_code", "initiate")
    assert len(configured(after)) == 10_000
    assert len({code.md5 for code in after.authorization_codes.values()}) == 10_000
    outcome = perform(request(after, d="10000..19999", auth_code=PIN), "auth_code", "change")
    assert outcome.lines == ("10,000 authorization codes changed: 10000..19999",)
