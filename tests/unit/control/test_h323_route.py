"""RIANI, RIANC, RIANP, RIANE: H.323 routes in the vendor's form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from unit.control.requests import EMPTY, done, perform, request, state

from srtpgw.control import routes
from srtpgw.control.commands.arguments import parse
from srtpgw.control.commands.h323_route import NO_NUMBERS, NOT_SERVED
from srtpgw.control.commands.table import find
from srtpgw.control.model import H323Route, MediaEncryption, Put, SipRoute, State

FIVE = H323Route(5, "192.0.2.9", 1300, True)
FULL = H323Route(6, "192.0.2.10", 3727, True, ("00", "0044"), ("192.0.2.10", "2001:db8::/32"), ("pbx.example",), True)
FULL_LINE = ("ROU=6,IPADR=192.0.2.10,PORT=3727,TLS=YES,DEST=00&0044,MATCH=192.0.2.10&2001:db8::/32,NAME=pbx.example,"
             "FALLBACK=YES")  # fmt: skip
OF_NO_USE = "media encryption is enabled for routes, and keys do not go over H.323 without TLS"
SIP = SipRoute(6, "tls", "192.0.2.10", 5061, ("00", "01"), ("192.0.2.10",))


def test_the_line_of_the_specification_makes_a_route() -> None:
    outcome = perform(request(EMPTY, route="5", address="192.0.2.9", port="1300", tls="YES"), "RIANI")
    assert outcome.lines == ("ROU=5,IPADR=192.0.2.9,PORT=1300,TLS=YES",)
    assert outcome.changes == (Put(FIVE),)
    assert outcome.warnings == (NO_NUMBERS, NOT_SERVED)


@pytest.mark.parametrize(("options", "made"), [
    ({}, H323Route(5, "192.0.2.9", 1719, False)),
    ({"tls": "no"}, H323Route(5, "192.0.2.9", 1719, False)),
    ({"tls": "yes"}, H323Route(5, "192.0.2.9", 3727, True)),
    ({"port": "1720"}, H323Route(5, "192.0.2.9", 1720, False)),
    ({"dest": "none", "match": "NONE", "name": "None"}, H323Route(5, "192.0.2.9", 1719, False)),
    ({"dest": "00 & 0044&00"}, H323Route(5, "192.0.2.9", 1719, False, ("00", "0044"))),
    ({"match": "192.0.2.0/24"}, H323Route(5, "192.0.2.9", 1719, False, (), ("192.0.2.0/24",))),
    ({"tls": "YES", "name": "PBX.example&192.0.2.7"},
     H323Route(5, "192.0.2.9", 3727, True, (), (), ("pbx.example", "192.0.2.7"))),
    ({"fallback": "yes"}, H323Route(5, "192.0.2.9", 1719, False, fallback=True)),
])  # fmt: skip
def test_what_a_new_route_has_by_default(options: dict[str, Any], made: H323Route) -> None:
    assert done(request(EMPTY, route="5", address="192.0.2.9", **options), "RIANI").h323_routes == {5: made}


@pytest.mark.parametrize(("name", "options", "told"), [
    ("RIANI", {"route": "5", "address": "192.0.2.9"}, "ROUTE ALREADY INITIATED"),
    ("RIANC", {"route": "6", "port": "1"}, "ROUTE NOT INITIATED"),
    ("RIANC", {"route": "5"}, "NOTHING TO CHANGE IS GIVEN"),
    ("RIANP", {"route": "6"}, "ROUTE NOT INITIATED"),
    ("RIANE", {"route": "6"}, "ROUTE NOT INITIATED"),
])  # fmt: skip
def test_refusals_in_the_vendors_form(name: str, options: dict[str, Any], told: str) -> None:
    outcome = perform(request(state(FIVE), **options), name)
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, ("NOT EXECUTED", told), ())


def test_a_change_is_of_what_is_named() -> None:
    outcome = perform(request(state(FIVE), route="5", port="1301"), "RIANC")
    assert outcome.changes == (Put(H323Route(5, "192.0.2.9", 1301, True)),)
    same = perform(request(state(FIVE), route="5", tls="YES", address="192.0.2.9"), "RIANC")
    assert (same.changes, same.refused) == ((), False)
    assert perform(request(state(FIVE), route="5", tls="NO"), "RIANC").value["route"]["tls"] is False


@pytest.mark.parametrize(("name", "before", "options"), [
    ("RIANI", EMPTY, {"route": "6", "address": "192.0.2.9", "name": "pbx.example"}),
    ("RIANC", state(FULL), {"route": "6", "tls": "NO"}),
])  # fmt: skip
def test_only_tls_has_names(name: str, before: State, options: dict[str, Any]) -> None:
    outcome = perform(request(before, **options), name)
    told = ("NOT EXECUTED", "ONLY TLS HAS CERTIFICATES", "Give TLS=YES, or NAME=NONE.")
    assert (outcome.refused, outcome.lines, outcome.changes) == (True, told, ())


def test_lists_are_emptied_by_none_and_else_stay() -> None:
    (change,) = perform(request(state(FULL), route="6", tls="NO", name="NONE", dest="none"), "RIANC").changes
    assert change == Put(replace(FULL, tls=False, peer_names=(), destinations=()))
    (change,) = perform(request(state(FULL), route="6", match="NONE", fallback="NO"), "RIANC").changes
    assert change == Put(replace(FULL, match=(), fallback=False))


@pytest.mark.parametrize(
    "route", [FIVE, FULL, replace(FULL, match=(), fallback=False), H323Route(1, "::1", 1719, False)]
)
def test_what_is_printed_can_be_typed_again(route: H323Route) -> None:
    (line,) = perform(request(state(route), route=str(route.route)), "RIANP").lines
    typed = parse(find("RIANI"), [f":{line};"])
    assert done(request(EMPTY, **typed.given), "RIANI").h323_routes == {route.route: route}
    assert line == FULL_LINE or route != FULL


@pytest.mark.parametrize(("before", "options", "told"), [
    (EMPTY, {"port": "1719"}, "port 1719 with H.323 over TLS: its usual port is 3727"),
    (EMPTY, {"port": "3727", "tls": "NO"}, "port 3727 with H.323 without TLS: its usual port is 1719"),
    (EMPTY, {"dest": "NONE"}, NO_NUMBERS),
    (EMPTY, {"match": "0.0.0.0/0"}, "every address is let in by this route"),
    (EMPTY, {"fallback": "YES"}, "calls of this route that cannot be encrypted go on in clear"),
    (state(FULL), {"dest": "0044"}, "0044 is sent to route 6 as well: the lowest number goes first"),
    (state(FULL, SIP), {}, "00 is sent to route 6 and SIP route 6 as well: the lowest number goes first"),
    (state(FULL), {"dest": "1", "match": "2001:db8::/32"}, "2001:db8::/32 is let in by route 6 as well"),
    (state(MediaEncryption("route", True)), {"port": "1300", "tls": "NO"},
     f"{OF_NO_USE}: calls of this route are refused without FALLBACK=YES"),
])  # fmt: skip
def test_what_may_not_be_meant_is_warned_of(before: State, options: dict[str, Any], told: str) -> None:
    spoken = {"route": "5", "address": "192.0.2.9", "tls": "YES", "dest": "00", **options}
    assert perform(request(before, **spoken), "RIANI").warnings == (told, NOT_SERVED)


def test_what_is_usual_is_not_warned_of() -> None:
    held = state(SIP, MediaEncryption("route", True))  # SIP lets the same peer in: by another protocol
    options: dict[str, Any] = {"route": "5", "address": "192.0.2.9", "tls": "YES", "dest": "1", "match": "192.0.2.10"}
    assert perform(request(held, **options), "RIANI").warnings == (NOT_SERVED,)
    assert perform(request(state(FULL), route="6", fallback="NO"), "RIANC").warnings == (NOT_SERVED,)


@pytest.mark.parametrize("option", [
    {"route": "0"}, {"route": "1000"}, {"route": "ALL"}, {"address": "pbx.example"}, {"address": "224.0.0.1"},
    {"port": "0"}, {"port": "65536"}, {"tls": "MAYBE"}, {"tls": ""}, {"fallback": "1"},
    {"dest": "00,0044"}, {"dest": "00&"}, {"dest": "&"}, {"dest": "00&none"}, {"dest": "x"}, {"dest": ""},
    {"dest": "&".join(map(str, range(101)))}, {"match": "pbx.example"}, {"match": "192.0.2.1/24"},
    {"name": "*.example"},
    {"name": "&".join(f"n{number}" for number in range(33))},
])  # fmt: skip
def test_bad_values_are_wrong_usage(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|lists) "):
        perform(request(EMPTY, **{"route": "5", "address": "192.0.2.9", **option}), "RIANI")


@pytest.mark.parametrize(("wanted", "numbers"), [(None, [5, 6]), ("ALL", [5, 6]), ("all", [5, 6]), ("6", [6])])
def test_printing(wanted: str | None, numbers: list[int]) -> None:
    held = state(FIVE, H323Route(6, "2001:db8::9", 1719, False))
    options: dict[str, Any] = {"route": wanted} if wanted else {}
    outcome = perform(request(held, **options), "RIANP")
    assert [row["route"] for row in json.loads(json.dumps(outcome.value))["routes"]] == numbers
    assert len(outcome.lines) == len(numbers)
    assert outcome.lines[-1] == "ROU=6,IPADR=2001:db8::9,PORT=1719,TLS=NO"
    assert outcome.warnings == (NOT_SERVED,)


def test_printing_shows_all_of_a_route_as_json() -> None:
    assert json.loads(json.dumps(perform(request(state(FULL)), "RIANP").value))["routes"] == [{
        "route": 6, "address": "192.0.2.10", "port": 3727, "tls": True, "dest": ["00", "0044"],
        "match": ["192.0.2.10", "2001:db8::/32"], "name": ["pbx.example"], "fallback": True,
    }]  # fmt: skip


def test_a_number_goes_out_by_routes_of_both_kinds() -> None:
    held = state(FULL, SIP, replace(FIVE, destinations=("00",)), replace(FULL, route=7, destinations=("0044",)))
    assert routes.find_routes(held, "001") == (held.h323_routes[5], SIP, FULL)
    assert routes.find_routes(held, "0044") == (FULL, held.h323_routes[7])
    assert routes.find_routes(held, "01") == (SIP,)


def test_who_is_let_in_and_under_which_name() -> None:
    assert routes.accepts(FULL, "2001:db8::7")
    assert not routes.accepts(FULL, "192.0.2.9")
    assert routes.accepts(FIVE, "192.0.2.9")
    assert not routes.accepts(FIVE, "192.0.2.10")
    assert routes.accepted_names(FULL) == ("pbx.example",)
    assert routes.accepted_names(FIVE) == ("192.0.2.9",)


def test_printing_nothing() -> None:
    outcome = perform(request(EMPTY), "RIANP")
    assert (outcome.lines, outcome.value, outcome.warnings) == (("There is no H.323 route.",), {"routes": []}, ())


def test_ending_a_route() -> None:
    after: State = done(request(state(FIVE), route="5"), "RIANE")
    assert after.h323_routes == {}
