"""ip_extension and extension_unregistration: who is logged on, and how that ends (spec 4 and 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.control.requests import NOW, applied, done, extension, perform, request, state
from unit.control.stored_rows import registration

from srtpgw.control.model import Registration, State

NOBODY = ("No terminal is logged on.",)
NOBODY_TO_END = ("NOT EXECUTED", "SIP AND H.323 ARE NOT SERVED YET: NO TERMINAL IS LOGGED ON")
MISSING = ("NOT EXECUTED", "DIRECTORY NUMBERS DO NOT EXIST")


def terminal(number: str, place: int = 1, **changes: Any) -> Registration:
    row = replace(registration(f"{number}/{place}", number), registered=NOW - 60 + place, expires=NOW + 3600)
    return replace(row, **changes)


def system(*rows: Registration) -> State:
    return state(*(extension(number) for number in ("99", "100", "101")), *rows)


def numbers(before: State, **options: Any) -> list[str]:
    value = perform(request(before, **options), "ip_extension", "print").value["registrations"]
    return [row["number"] for row in value]


def test_every_field_of_the_specification() -> None:
    plain = terminal(
        "100", protocol="h323", terminal_type="DBC42201", transport="tcp", remote="[2001:db8::7]:1719", local_port=1719,
        encrypted=False, offered_srtp=True, authenticated=False, policy=3,
    )  # fmt: skip
    outcome = perform(request(system(plain, terminal("99"))), "ip_extension", "print")
    assert outcome.value["registrations"] == [
        {
            "number": "99", "protocol": "sip", "terminal_type": "Mitel 6920", "remote": "192.0.2.7:40000",
            "local_port": 5061, "transport": "tls", "signaling_encrypted": True, "offered_srtp": None,
            "authenticated": True, "registered": "2027-01-15T07:59:01Z", "seconds_left": 3600, "policy": None,
        },
        {
            "number": "100", "protocol": "h323", "terminal_type": "DBC42201", "remote": "[2001:db8::7]:1719",
            "local_port": 1719, "transport": "tcp", "signaling_encrypted": False, "offered_srtp": True,
            "authenticated": False, "registered": "2027-01-15T07:59:01Z", "seconds_left": 3600, "policy": 3,
        },
    ]  # fmt: skip
    heading, first, second = outcome.lines
    for cell in ("NUMBER", "PROTOCOL", "TERMINAL TYPE", "REMOTE", "LOCAL PORT", "SIGNALING", "SRTP OFFERED", "POLICY",
                 "AUTHENTICATED", "REGISTERED", "SECONDS LEFT"):  # fmt: skip
        assert cell in heading
    for cell in ("99", "sip", "Mitel 6920", "192.0.2.7:40000", "5061", "encrypted", "no policy", "3600"):
        assert cell in first
    for cell in ("100", "h323", "DBC42201", "[2001:db8::7]:1719", "1719", "not encrypted", "ALL_SECURE + EXC_TYPE"):
        assert cell in second


@pytest.mark.parametrize(
    ("changes", "live"),
    [({}, True), ({"ending": True}, False), ({"expires": NOW}, False), ({"expires": NOW + 0.1}, True)],
)
def test_who_is_logged_on(changes: dict[str, Any], live: bool) -> None:
    before = system(terminal("100", **changes))
    assert numbers(before) == (["100"] if live else [])
    outcome = perform(request(before, d="100"), "extension_unregistration")
    assert (len(outcome.changes), outcome.refused) == (int(live), not live)


def test_some_and_all() -> None:
    before = system(terminal("101"), terminal("99"), terminal("100", 2), terminal("100", 1))
    assert numbers(before) == numbers(before, d="all") == ["99", "100", "100", "101"]
    assert numbers(before, d="100..101") == ["100", "100", "101"]
    assert numbers(system()) == []
    assert perform(request(system()), "ip_extension", "print").lines == NOBODY
    partly = perform(request(before, d="99,555"), "ip_extension", "print")
    assert partly.warnings == ("these numbers do not exist: 555",)
    assert perform(request(before, d="555"), "ip_extension", "print").lines == (*MISSING, "555")


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("100", ["99", "101"]),
        ("99,101", ["100", "100"]),
        ("100..101", ["99"]),
        ("all", []),
        ("99,555", ["100", "100", "101"]),
    ],
)
def test_unregistration(typed: str, left: list[str]) -> None:
    before = system(terminal("101"), terminal("99"), terminal("100", 2), terminal("100", 1))
    after = done(request(before, d=typed), "extension_unregistration")
    assert numbers(after) == left
    assert after.registrations.keys() == before.registrations.keys()  # the service tells them, then takes them away
    assert sum(row.ending for row in after.registrations.values()) == 4 - len(left)
    again = perform(request(after, d=typed), "extension_unregistration")
    assert (again.refused, again.lines, again.changes) == (True, NOBODY_TO_END, ())


def test_what_unregistration_says() -> None:
    before = system(terminal("99"), terminal("100", 2), terminal("100", 1))
    outcome = perform(request(before, d="all"), "extension_unregistration")
    assert outcome.lines == ("3 registrations ended: 99, 100",)
    assert outcome.value == {"ended": {"99": 1, "100": 2}}
    assert len(outcome.warnings) == 1
    assert "could tell the terminals" in outcome.warnings[0]


def test_numbers_that_do_not_exist() -> None:
    outcome = perform(request(system(terminal("100")), d="555,556"), "extension_unregistration")
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, (*MISSING, "555, 556"), ())
    with pytest.raises(ValueError, match="needs d"):
        perform(request(system()), "extension_unregistration")


def test_a_long_description_does_not_hide_the_rest() -> None:
    before = system(terminal("100", terminal_type="x" * 5000 + "\x1b[2J"))
    (_, row) = perform(request(before), "ip_extension", "print").lines
    assert len(row) < 250


def test_ending_is_part_of_what_is_stored() -> None:
    before = system(terminal("100"))
    outcome = perform(request(before, d="100"), "extension_unregistration")
    row = applied(before, outcome.changes).registrations["100/1"]
    assert row == terminal("100", ending=True)
    assert not row.live(NOW)
