"""sip_route: what a route may hold, what is refused, what is warned of, and where a number goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from unit.control.requests import EMPTY, VAULT, done, perform, request, state

from srtpgw.control import routes
from srtpgw.control.commands.sip_route import NOT_SERVED
from srtpgw.control.commands.table import Outcome
from srtpgw.control.model import MediaEncryption, Put, SipRoute, State

SPEC: dict[str, Any] = {
    "route": "1",
    "protocol": "tls",
    "proxyip": "192.0.2.9",
    "proxyport": "5061",
    "dest": "00",
    "match": "192.0.2.9",
}
ANY = str(IPv4Address(0))
SECRET, OTHER = "s3cret-word", "other-word"
OF_NO_USE = "media encryption is enabled for routes, and keys do not go over udp"
TLS = SipRoute(1, "tls", "192.0.2.9", 5061, ("00",), ("192.0.2.9",))


def put(before: State = EMPTY, /, **options: Any) -> Outcome:
    return perform(request(before, **options), "sip_route", "set")


def routed(route: int, *destinations: str, **values: Any) -> SipRoute:
    return replace(TLS, route=route, destinations=destinations, match=(), **values)


def test_the_line_of_the_specification_makes_a_route() -> None:
    outcome = put(**SPEC)
    assert outcome.lines == ("Route 1 is made.",)
    assert outcome.warnings == (NOT_SERVED,)
    assert outcome.changes == (Put(TLS),)


@pytest.mark.parametrize(("protocol", "port"), [("udp", 5060), ("tcp", 5060), ("tls", 5061)])
def test_a_new_route_needs_protocol_and_peer_only(protocol: Any, port: int) -> None:
    after = done(request(EMPTY, route="7", protocol=protocol, proxyip="PBX.example"), "sip_route", "set")
    assert after.sip_routes[7] == SipRoute(7, protocol, "pbx.example", port, (), ())
    assert perform(request(EMPTY, route="7", protocol=protocol), "sip_route", "set").refused
    refusal = put(route="7", proxyip="192.0.2.9")
    assert refusal.lines == ("Route 7 does not exist.", "To make it, give -protocol and -proxyip too.")


def test_setting_an_existing_route_changes_what_is_named_and_says_it() -> None:
    outcome = put(state(TLS), route="1", fallback="yes", dest="00,0044")
    assert outcome.lines == ("Route 1 is changed: dest, fallback.",)
    assert outcome.changes == (Put(replace(TLS, destinations=("00", "0044"), fallback=True)),)


def test_setting_what_is_so_changes_nothing() -> None:
    outcome = put(state(TLS), **SPEC)
    assert (outcome.lines, outcome.changes, outcome.refused) == (("Route 1 is so already.",), (), False)
    assert put(state(TLS), route="1").refused


def test_lists_are_emptied_by_none() -> None:
    (change,) = put(state(replace(TLS, peer_names=("a.example",))), route="1", dest="none", match="none",
                    peername="none").changes  # fmt: skip
    assert change == Put(replace(TLS, destinations=(), match=(), peer_names=()))


GOOD = {
    "route": ["1", "999", "005"],
    "proxyip": ["192.0.2.9", "2001:DB8::9", "fe80::1%eth0", "pbx", "pbx.example", "PBX-1.example", "3com.example"],
    "proxyport": ["1", "65535"],
    "dest": ["0", "00,0044", "+44", "1234567890123456", "none", "00, 01"],
    "match": ["192.0.2.9", "192.0.2.0/24,2001:db8::/32", "0.0.0.0/0", "192.0.2.9/32", "none"],
    "peername": ["pbx.example", "192.0.2.9,pbx.example", "none"],
    "authname": ["alice", "none", "müller 1", "a@b"],
}
BAD = {
    "route": ["0", "1000", "-1", "1.5", "x", "", "٣", "0001"],
    "proxyip": ["", "192.0.2.300", "1.2.3", "224.0.0.1", ANY, "::", "255.255.255.255", "::ffff:192.0.2.1",
                "fe80::1", "fe80::1%\x1b[2J", "pbx..example", "-pbx", "pbx-", "p_bx", "pbx.example.", "a b",
                "ü.example", "p" * 64, ".".join(["p" * 63] * 4), "http://pbx", "pbx:5060", "[2001:db8::1]",
                "192.0.2.9\n"],
    "proxyport": ["0", "65536", "5060x", "", "+5060", "\uff19"],
    "dest": ["", "0,,1", "abc", "12345678901234567", "+", "0-9", "*21", "٣", ",".join(map(str, range(101)))],
    "match": ["192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "/24", "pbx.example", ANY, "",
              "192.0.2", "fe80::1%eth0/64", "fe80::%eth0/64", "192.0.2.0/255.255.255.0",
              ",".join(f"192.0.2.{last}" for last in range(33))],
    "peername": ["", "*.example", "a b", ",".join(f"n{number}" for number in range(33))],
    "authname": ["", "a:b", 'a"b', "a\\b", "a\nb", "a" * 65, "\u202e"],
    "password": ["", "a\nb", "p" * 129],
}  # fmt: skip
READERS: dict[str, Callable[[str], Any]] = {
    "route": routes.read_route, "proxyip": routes.read_host, "proxyport": routes.read_port,
    "dest": routes.read_destinations, "match": routes.read_match, "peername": routes.read_peer_names,
    "authname": routes.read_username, "password": routes.read_password,
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good_values_are_taken(name: str) -> None:
    for text in GOOD[name]:
        put(**{**SPEC, "password": "x", "authname": "a", name: text})


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_wrong_usage_and_not_repeated(name: str) -> None:
    for text in BAD[name]:
        with pytest.raises(ValueError, match=r"^(is|has|lists) ") as caught:
            put(**{**SPEC, "authname": "a", "password": "x", name: text})
        assert len(text) < 8 or text not in str(caught.value), text


def test_what_is_read_is_read_again_the_same() -> None:
    for name, texts in GOOD.items():
        for text in texts:
            first = READERS[name](text)
            again = ",".join(first) or "none" if isinstance(first, tuple) else str(first) or "none"
            assert READERS[name](again) == first


@pytest.mark.parametrize(("before", "options", "told"), [
    (EMPTY, {**SPEC, "protocol": "udp", "peername": "pbx.example"}, "Only TLS has certificates."),
    (state(replace(TLS, peer_names=("a.example",))), {"route": "1", "protocol": "tcp"}, "Only TLS has certificates."),
    (EMPTY, {**SPEC, "authname": "alice"}, "A user name and a password go together."),
    (EMPTY, {**SPEC, "password": "x"}, "A user name and a password go together."),
])  # fmt: skip
def test_rules_between_values(before: State, options: dict[str, Any], told: str) -> None:
    outcome = put(before, **options)
    assert outcome.refused
    assert outcome.lines[0] == told
    assert outcome.changes == ()


def test_credentials_are_kept_sealed_and_shown_nowhere() -> None:
    outcome = put(**SPEC, authname="alice", password=SECRET)
    assert outcome.lines == ("Route 1 is made.",)
    (change,) = outcome.changes
    assert isinstance(change, Put)
    assert isinstance(change.row, SipRoute)
    assert routes.password(change.row, VAULT) == SECRET
    assert b"s3cret" not in change.row.password
    printed = perform(request(state(change.row)), "sip_route", "print")
    assert "  authname alice, with a password" in printed.lines
    assert printed.value["routes"][0]["password"] is True
    for shown in (repr(outcome), repr(printed), json.dumps(outcome.value), json.dumps(printed.value)):
        assert "s3cret" not in shown
        assert repr(change.row.password)[2:-1] not in shown


def test_a_password_can_be_changed_alone_and_goes_with_the_name() -> None:
    held = done(request(EMPTY, **SPEC, authname="alice", password=SECRET), "sip_route", "set")
    after = done(request(held, route="1", password=OTHER), "sip_route", "set")
    assert routes.password(after.sip_routes[1], VAULT) == OTHER
    gone = done(request(after, route="1", authname="none"), "sip_route", "set")
    assert (gone.sip_routes[1].username, gone.sip_routes[1].password) == ("", b"")
    assert routes.password(gone.sip_routes[1], VAULT) == ""


@pytest.mark.parametrize(("before", "options", "told"), [
    (EMPTY, {"proxyport": "5060"}, "port 5060 with tls: its usual port is 5061"),
    (EMPTY, {"protocol": "udp"}, "port 5061 with udp: its usual port is 5060"),
    (state(routed(2, "00", "01"), routed(3, "00")), {},
     "00 is sent to route 2, 3 as well: the lowest number goes first"),
    (state(replace(TLS, route=2, destinations=())), {}, "192.0.2.9 is let in by route 2 as well"),
    (EMPTY, {"match": "::/0"}, "every address is let in by this route"),
    (EMPTY, {"proxyip": "pbx.example", "match": "none"},
     "nobody is let in by this route: names are not resolved for it; -match gives addresses"),
    (EMPTY, {"fallback": "yes"}, "calls of this route that cannot be encrypted go on in clear"),
    (state(MediaEncryption("route", True)), {"protocol": "udp", "proxyport": "5060"},
     f"{OF_NO_USE}: calls of this route are refused without -fallback yes"),
])  # fmt: skip
def test_what_may_not_be_meant_is_warned_of(before: State, options: dict[str, Any], told: str) -> None:
    assert put(before, **{**SPEC, **options}).warnings == (told, NOT_SERVED)


@pytest.mark.parametrize(("before", "options"), [
    (state(TLS), {}),  # the route itself is no other route
    (state(replace(TLS, route=2, destinations=("01",), protocol="udp")), {}),
    (state(MediaEncryption("route", True)), {}),
    (state(MediaEncryption("route", True)), {"protocol": "udp", "proxyport": "5060", "fallback": "yes"}),
    (state(MediaEncryption("extension", True)), {"protocol": "udp", "proxyport": "5060"}),
])  # fmt: skip
def test_what_is_usual_is_not_warned_of(before: State, options: dict[str, Any]) -> None:
    assert put(before, **{**SPEC, **options}).warnings == (NOT_SERVED,)


def test_printing_shows_all_of_a_route() -> None:
    held = state(replace(TLS, peer_names=("pbx.example",)), SipRoute(2, "udp", "pbx", 5060, (), (), fallback=True))
    outcome = perform(request(held), "sip_route", "print")
    assert outcome.lines == (
        "route 1: tls to 192.0.2.9 port 5061",
        "  dest 00",
        "  match 192.0.2.9",
        "  peername pbx.example",
        "  fallback no",
        "route 2: udp to pbx port 5060",
        "  dest none",
        "  match nobody (-match gives addresses)",
        "  fallback yes",
    )
    assert json.loads(json.dumps(outcome.value))["routes"][0] == {
        "route": 1, "protocol": "tls", "proxyip": "192.0.2.9", "proxyport": 5061, "dest": ["00"],
        "match": ["192.0.2.9"], "peername": ["pbx.example"], "authname": "", "password": False, "fallback": False,
    }  # fmt: skip
    assert outcome.warnings == (NOT_SERVED,)
    itself = state(replace(TLS, match=()))
    assert "  match the peer itself" in perform(request(itself), "sip_route", "print").lines
    one = perform(request(held, route="2"), "sip_route", "print")
    assert [line for line in one.lines if line.startswith("route")] == ["route 2: udp to pbx port 5060"]
    assert perform(request(EMPTY), "sip_route", "print").lines == ("There is no SIP route.",)
    assert perform(request(held, route="3"), "sip_route", "print").lines == ("Route 3 does not exist.",)


def test_removing_a_route() -> None:
    held = state(TLS, routed(2, "01"))
    assert list(done(request(held, route="1"), "sip_route", "remove").sip_routes) == [2]
    refusal = perform(request(held, route="3"), "sip_route", "remove")
    assert (refusal.refused, refusal.lines, refusal.changes) == (True, ("Route 3 does not exist.",), ())


@pytest.mark.parametrize(("number", "found"), [
    ("0046", [3, 9]),  # the longest prefix, the lowest route first
    ("004", [1, 3]),
    ("00", [1, 3]),
    ("0", []),
    ("1", []),
    ("", []),
    ("+441", [5]),
    ("441", []),
    ("7000", [5]),  # a whole number
    ("70001", [5]),
])  # fmt: skip
def test_the_longest_prefix_decides(number: str, found: list[int]) -> None:
    held = state(routed(9, "0046"), routed(3, "0046", "00"), routed(1, "00"), routed(5, "+44", "7000"), routed(6))
    assert [route.route for route in routes.find_routes(held, number)] == found


@pytest.mark.parametrize(("match", "proxyip", "let_in", "kept_out"), [
    (("192.0.2.0/24", "2001:db8::1"), "198.51.100.1", ["192.0.2.255", "2001:DB8:0::1"],
     ["198.51.100.1", "192.0.3.0", "2001:db8::2", "::ffff:192.0.2.1", "pbx", ""]),
    ((), "198.51.100.1", ["198.51.100.1"], ["198.51.100.2", "::1"]),
    ((), "pbx.example", [], ["198.51.100.1", "pbx.example"]),
    (("fe80::1%eth0",), "pbx", ["fe80::1%eth0"], ["fe80::1", "fe80::1%eth1"]),
    (("0.0.0.0/0",), "pbx", ["203.0.113.1"], ["::1"]),
])  # fmt: skip
def test_who_is_let_in(match: tuple[str, ...], proxyip: str, let_in: list[str], kept_out: list[str]) -> None:
    route = replace(TLS, match=match, proxyip=proxyip)
    assert {address: routes.accepts(route, address) for address in (*let_in, *kept_out)} == {
        **dict.fromkeys(let_in, True),
        **dict.fromkeys(kept_out, False),
    }


def test_a_certificate_is_for_the_names_or_for_the_peer() -> None:
    assert routes.accepted_names(TLS) == ("192.0.2.9",)
    assert routes.accepted_names(replace(TLS, peer_names=("a.example",))) == ("a.example",)
