"""media_encryption_enable, -disable and -print (spec 2 and 3)."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from unit.control import licences
from unit.control.requests import EMPTY, HOST, applied, done, perform, request, state

from srtpgw.control.license import DAY
from srtpgw.control.model import LicenseIssuer, MediaEncryption, PolicyNumber, Put, SecurityPolicy, State
from srtpgw.terms import LEG_TYPES, LegType

LICENSED = state(licences.ISSUER, licences.row())
MISSING = ("NOT EXECUTED", "LICENSE VOIP-SECURITY MISSING")


def flags(of: State) -> dict[str, bool]:
    value = perform(request(of), "media_encryption_print").value["media_encryption"]
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("leg_type", LEG_TYPES)
def test_each_type_by_itself(leg_type: LegType) -> None:
    on = done(request(LICENSED, type=leg_type), "media_encryption_enable")
    assert flags(on) == {each: each == leg_type for each in LEG_TYPES}
    off = done(request(on, type=leg_type), "media_encryption_disable")
    assert flags(off) == dict.fromkeys(LEG_TYPES, False)


@pytest.mark.parametrize(
    "unlicensed",
    [
        EMPTY,
        state(licences.row()),  # an issuer that is not known
        state(licences.ISSUER, licences.row(expires=licences.TERMS.issued + DAY)),
        state(licences.ISSUER, licences.row(host="other.example")),
        state(licences.ISSUER, licences.row(features=("SOMETHING-ELSE",))),
        state(LicenseIssuer(bytes(32), True), licences.row(licences.STRANGER_KEY)),
    ],
)
def test_no_licence(unlicensed: State) -> None:
    was_on = applied(unlicensed, [Put(MediaEncryption("route", True))])
    for before, leg_type in product((unlicensed, was_on), LEG_TYPES):
        outcome = perform(request(before, type=leg_type), "media_encryption_enable")
        assert (outcome.refused, outcome.lines, outcome.changes) == (True, MISSING, ())
    assert flags(was_on)["route"] is True  # what is enabled stays
    assert flags(done(request(was_on, type="route"), "media_encryption_disable"))["route"] is False


def test_a_licence_for_this_host() -> None:
    bound = state(licences.ISSUER, licences.row(host=HOST))
    assert flags(done(request(bound, type="extension"), "media_encryption_enable"))["extension"] is True


def test_a_licence_that_ends_soon_is_told() -> None:
    asked = request(LICENSED, now=licences.TERMS.expires - DAY, type="route")
    (warning,) = perform(asked, "media_encryption_enable").warnings
    assert "expires on" in warning
    assert perform(request(LICENSED, type="route"), "media_encryption_enable").warnings == ()


@pytest.mark.parametrize(("policy", "on", "leg_type"), [*product((None, 1, 2, 3), (False, True), LEG_TYPES)])
def test_disabling_under_a_policy(policy: PolicyNumber | None, on: bool, leg_type: LegType) -> None:
    rows = [] if policy is None else [SecurityPolicy(policy)]
    outcome = perform(request(state(MediaEncryption(leg_type, on), *rows), type=leg_type), "media_encryption_disable")
    if leg_type == "extension" and policy is not None:
        assert outcome.refused
        assert outcome.lines == ("NOT EXECUTED", "SECURITY POLICY IS SET")
        assert outcome.changes == ()
    else:
        assert not outcome.refused
        assert outcome.changes == ((Put(MediaEncryption(leg_type, False)),) if on else ())


def test_what_is_so_already() -> None:
    on = done(request(LICENSED, type="route"), "media_encryption_enable")
    for before, name in ((on, "media_encryption_enable"), (LICENSED, "media_encryption_disable")):
        outcome = perform(request(before, type="route"), name)
        assert not outcome.refused
        assert outcome.changes == ()
        assert "already" in outcome.lines[0]
        assert outcome.value["changed"] is False


def test_print() -> None:
    on = done(request(LICENSED, type="intermgw"), "media_encryption_enable")
    assert perform(request(on), "media_encryption_print").lines == (
        "TYPE       MEDIA ENCRYPTION",
        "extension  disabled",
        "route      disabled",
        "intermgw   enabled",
    )
    one = perform(request(on, type="intermgw"), "media_encryption_print")
    assert one.lines[1:] == ("intermgw  enabled",)
    assert one.value == {"media_encryption": {"intermgw": True}}


WRONG: list[dict[str, Any]] = [{}, {"type": "trunk"}, {"type": "EXTENSION"}, {"type": ""}]


@pytest.mark.parametrize("name", ["media_encryption_enable", "media_encryption_disable"])
def test_wrong_usage(name: str) -> None:
    for options in WRONG:
        with pytest.raises(ValueError, match="type"):
            perform(request(LICENSED, **options), name)
