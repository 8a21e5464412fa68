"""Settings: what each may be, and what becomes of a store that holds something else."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from srtpgw.control.settings import (
    DECLARED,
    SUITES,
    TEXT_MAX,
    Settings,
    close_name,
    read_settings,
    read_text,
    shown_name,
)
from srtpgw.control.terminals import DEFAULT_TYPES_TEXT, TerminalType, parse_types
from srtpgw.errors import StoreError
from srtpgw.media.keys import relay_suites

DEFAULTS: dict[str, Any] = {
    # The order of the specification, section 10.
    "suite-order": ("AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"),
    "allow-sdes-over-clear": False,
    "direct-media": False,
    "terminal-types": parse_types(DEFAULT_TYPES_TEXT),
    "lockout-number-failures": 10,
    "lockout-source-failures": 20,
    "lockout-window": 900,
    "lockout-time": 900,
    "lockout-delay": 1,
}
GOOD: dict[str, list[tuple[str, Any]]] = {
    "suite-order": [("AEAD_AES_256_GCM", ("AEAD_AES_256_GCM",)), (", ".join(SUITES), SUITES)],
    "allow-sdes-over-clear": [("on", True), ("off", False)],
    "direct-media": [("on", True), ("off", False)],
    "terminal-types": [
        (
            "*DBC42?02* = secure, Mitel*=by-logon",
            (TerminalType("*DBC42?02*", "secure"), TerminalType("Mitel*", "by-logon")),
        ),
    ],
    "lockout-number-failures": [("1", 1), ("1000", 1000), ("0010", 10)],
    "lockout-source-failures": [("1", 1), ("1000", 1000)],
    "lockout-window": [("1", 1), ("86400", 86400)],
    "lockout-time": [("1", 1), ("86400", 86400)],
    "lockout-delay": [("0", 0), ("10", 10)],
}
SWITCH = ["", "On", "yes", "1", "true", "on off"]
BAD: dict[str, list[str]] = {
    "suite-order": ["", ",", "AEAD_AES_256_GCM,", "NULL_HMAC_SHA1_80", "aead_aes_256_gcm", "AES_CM_128_HMAC_SHA1_80 80",
                    "AEAD_AES_256_GCM,AEAD_AES_256_GCM", ",".join([*SUITES, "X"]), "A," * TEXT_MAX],
    "allow-sdes-over-clear": SWITCH,
    "direct-media": SWITCH,
    "terminal-types": ["", "Mitel", "Mitel=safe", "a=secure,A=insecure"],
    "lockout-number-failures": ["0", "1001", "-1", "1.5", "", "x", "\u0663", " 1", "9" * 5000],
    "lockout-source-failures": ["0", "1001"],
    "lockout-window": ["0", "86401"],
    "lockout-time": ["0", "86401", "inf"],
    "lockout-delay": ["11", "-0"],
}  # fmt: skip


def test_the_tables_here_know_every_setting() -> None:
    assert set(DECLARED) == set(DEFAULTS) == set(GOOD) == set(BAD)
    assert [one.field for one in DECLARED.values()] == [one.name for one in fields(Settings)]


def test_the_suites_are_those_that_a_leg_may_use() -> None:
    assert relay_suites() == SUITES


def test_defaults() -> None:
    settings = read_settings({})
    assert {name: getattr(settings, one.field) for name, one in DECLARED.items()} == DEFAULTS


@pytest.mark.parametrize("name", GOOD)
def test_good_values_are_read_and_written_back(name: str) -> None:
    for text, value in GOOD[name]:
        settings = read_settings({name: text})
        assert getattr(settings, DECLARED[name].field) == value
        written = DECLARED[name].write(value)
        assert DECLARED[name].write(read_text(DECLARED[name], written)) == written
        others = {other: getattr(settings, one.field) for other, one in DECLARED.items() if other != name}
        assert others == {other: DEFAULTS[other] for other in others}


@pytest.mark.parametrize("name", BAD)
def test_other_values_are_refused_without_being_repeated(name: str) -> None:
    for text in BAD[name]:
        with pytest.raises(ValueError, match=r"^(is|names|holds|has|lists) ") as caught:
            read_text(DECLARED[name], text)
        assert len(text) < 10 or text not in str(caught.value)


@pytest.mark.parametrize("name", BAD)
def test_a_store_with_a_value_that_cannot_be_read_is_a_fault(name: str) -> None:
    for text in BAD[name]:
        with pytest.raises(StoreError, match=f"the stored setting {name} .*setting -remove"):
            read_settings({name: text})


def test_a_text_without_end_is_not_looked_at() -> None:
    for one in DECLARED.values():
        with pytest.raises(ValueError, match="is longer than 8192 characters"):
            read_text(one, "a" * (TEXT_MAX + 1))


def test_a_store_with_a_setting_that_is_not_known_is_a_fault() -> None:
    with pytest.raises(StoreError, match="the setting stricter, which this version does not know"):
        read_settings({"stricter": "on", "direct-media": "on"})
    with pytest.raises(StoreError) as caught:
        read_settings({"\x1b[2J" * 100: "on"})
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("typed", "meant"), [
    ("suite-ordre", "suite-order"),
    ("Suite_Order", "suite-order"),
    ("lockout-tme", "lockout-time"),
    ("allow-sdes", "allow-sdes-over-clear"),
    ("", ""),
    ("x" * 100_000, ""),
])  # fmt: skip
def test_the_name_that_was_meant_is_found(typed: str, meant: str) -> None:
    assert close_name(typed) == meant


def test_names_are_shown_harmlessly() -> None:
    assert shown_name("suite-ordre") == "suite-ordre"
    assert shown_name("a\nb") == r"'a\nb'"
    assert len(shown_name("x" * 1000)) < 50


@pytest.mark.parametrize(("name", "value", "told"), [
    ("allow-sdes-over-clear", True, "whoever sees the signaling"),
    ("suite-order", ("AES_CM_128_HMAC_SHA1_32",), "AES_CM_128_HMAC_SHA1_32: a tag of 32 bits"),
    ("terminal-types", parse_types("*=by-logon"), f"without {DEFAULT_TYPES_TEXT} of the shipped list"),
])  # fmt: skip
def test_what_gives_something_away_is_warned_of(name: str, value: Any, told: str) -> None:
    assert DECLARED[name].warn(value).startswith(told)


def test_defaults_give_nothing_away() -> None:
    assert {one.warn(read_text(one, one.default)) for one in DECLARED.values()} == {""}
