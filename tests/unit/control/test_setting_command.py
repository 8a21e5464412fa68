"""setting: showing, setting and resetting; names and values that do not go."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from unit.control.requests import EMPTY, applied, request, state

from srtpgw.control.commands.setting import remove, set_value, show
from srtpgw.control.commands.table import Outcome
from srtpgw.control.model import Put, Setting, State
from srtpgw.control.settings import DECLARED, read_settings
from srtpgw.control.terminals import DEFAULT_TYPES_TEXT

ORDER = "AEAD_AES_256_GCM,AES_256_CM_HMAC_SHA1_80"


def put(before: State, name: str, text: str) -> Outcome:
    return set_value(request(before, set=(name, text)))


def words(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def test_setting_a_value() -> None:
    outcome = put(EMPTY, "suite-order", ORDER.replace(",", " , "))
    assert outcome.lines == (f"suite-order is now {ORDER}.",)
    assert outcome.changes == (Put(Setting("suite-order", ORDER)),)
    assert (outcome.value["name"], outcome.value["value"]) == ("suite-order", ORDER.split(","))
    after = applied(EMPTY, outcome.changes)
    assert read_settings(after.settings).suite_order == tuple(ORDER.split(","))
    again = put(after, "suite-order", ORDER)
    assert (again.lines, again.changes) == ((f"suite-order is already {ORDER}.",), ())


def test_the_default_is_not_stored() -> None:
    held = state(Setting("lockout-time", "60"))
    outcome = put(held, "lockout-time", "0900")
    assert outcome.lines == ("lockout-time is now 900.",)
    assert applied(held, outcome.changes).settings == {}
    assert put(EMPTY, "lockout-time", "900").changes == ()


def test_resetting_a_value() -> None:
    held = state(Setting("lockout-time", "60"))
    outcome = remove(request(held, remove="lockout-time"))
    assert outcome.lines == ("lockout-time has its default again: 900.",)
    assert applied(held, outcome.changes).settings == {}
    assert remove(request(EMPTY, remove="lockout-time")).changes == ()


def test_a_setting_of_another_version_can_be_removed_and_nothing_else_done_with_it() -> None:
    held = state(Setting("stricter", "on"))
    outcome = remove(request(held, remove="stricter"))
    assert (outcome.lines, outcome.refused) == (("stricter is removed.",), False)
    assert applied(held, outcome.changes).settings == {}
    assert put(held, "stricter", "off").refused
    printed = show(request(held))
    assert "stricter = on" in printed.lines
    assert printed.warnings == ("stricter is not known to this version: setting -remove takes it away",)


@pytest.mark.parametrize(("name", "told"), [
    ("suite-ordre", ("There is no setting suite-ordre.", "Did you mean suite-order?")),
    ("", ("There is no setting .", f"They are {', '.join(DECLARED)}.")),
])  # fmt: skip
def test_a_name_that_is_none(name: str, told: tuple[str, ...]) -> None:
    for outcome in (
        put(EMPTY, name, "on"),
        remove(request(EMPTY, remove=name)),
        show(request(EMPTY, name=name)),
    ):
        assert (outcome.refused, outcome.lines, outcome.changes) == (True, told, ())


def test_a_value_that_does_not_go() -> None:
    outcome = put(EMPTY, "lockout-time", "forever")
    assert outcome.refused
    assert outcome.lines == ("lockout-time is not a whole number from 1 to 86400.", "Its default is 900.")
    assert outcome.changes == ()


def test_what_gives_something_away_is_warned_of_whenever_it_is_shown() -> None:
    outcome = put(EMPTY, "allow-sdes-over-clear", "on")
    told = ("allow-sdes-over-clear: whoever sees the signaling can decrypt the media: for testbeds only",)
    assert outcome.warnings == told
    assert show(request(applied(EMPTY, outcome.changes))).warnings == told
    assert put(EMPTY, "allow-sdes-over-clear", "off").warnings == ()


@pytest.mark.parametrize(("types", "dropped"), [
    (f"*Yealink*=insecure,{DEFAULT_TYPES_TEXT}", ""),
    (DEFAULT_TYPES_TEXT.lower(), ""),
    (DEFAULT_TYPES_TEXT.replace("*DBC44601*=secure,", ""), "*DBC44601*=secure"),
    (DEFAULT_TYPES_TEXT.replace("*DBC42?02*=secure", "*DBC42?02*=by-logon").replace(",*DBC42501*=insecure", ""),
     "*DBC42?02*=secure,*DBC42501*=insecure"),
])  # fmt: skip
def test_shipped_terminal_types_that_are_dropped_are_named(types: str, dropped: str) -> None:
    outcome = put(EMPTY, "terminal-types", types)
    told = (f"terminal-types: without {dropped} of the shipped list",) if dropped else ()
    assert (outcome.refused, outcome.warnings) == (False, told)


def test_printing_shows_all_with_their_defaults() -> None:
    held = state(Setting("lockout-time", "60"))
    outcome = show(request(held))
    rows = json.loads(json.dumps(outcome.value))["settings"]
    assert list(rows) == list(DECLARED)
    assert rows["lockout-time"]["value"] == 60
    assert rows["lockout-time"]["default"] == "900"
    assert rows["direct-media"]["value"] is False
    assert rows["terminal-types"]["value"][0] == {"pattern": "*DBC42?02*", "class": "secure"}
    assert "lockout-time = 60 (default 900)" in outcome.lines
    assert "lockout-delay = 1" in outcome.lines
    assert len(outcome.lines) == 2 * len(DECLARED)
    one = show(request(held, name="lockout-time"))
    assert list(one.value["settings"]) == ["lockout-time"]


def test_a_stored_value_that_cannot_be_read_is_shown_as_a_fault() -> None:
    outcome = show(request(state(Setting("lockout-time", "\x1b[2Jnever"))))
    assert "value" not in outcome.value["settings"]["lockout-time"]
    assert "\x1b" not in words((*outcome.lines, *outcome.warnings))
    assert outcome.warnings == (
        "lockout-time cannot be read by this version: it is not a whole number from 1 to 86400",
    )
    assert put(state(Setting("lockout-time", "never")), "lockout-time", "60").changes
