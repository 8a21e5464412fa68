"""sip_route: SIP trunks and tie lines (spec 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from srtpgw.control import routes
from srtpgw.control.commands.route_warnings import route_warnings
from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, refused
from srtpgw.control.commands.wording import not_served
from srtpgw.control.model import Put, Remove, SipRoute

NOT_SERVED: Final = not_served("SIP")
ROUTE: Final = Option(key="route", names=("-route",), metavar="N", read=routes.read_route,
                      help=f"The route's number, {routes.ROUTE_MIN} to {routes.ROUTE_MAX}.")  # fmt: skip

# Options whose values stand in the route as they were read: their keys, and the fields of SipRoute.
FIELDS: Final = {
    "protocol": "protocol",
    "proxyip": "proxyip",
    "proxyport": "proxyport",
    "dest": "destinations",
    "match": "match",
    "peername": "peer_names",
    "authname": "username",
    "fallback": "fallback",
}

COMMANDS: Final = (
    Command(
        name="sip_route",
        summary="Make, change, show and remove SIP routes.",
        options=(
            ROUTE,
            Option(key="protocol", names=("-protocol",), choices=routes.SIP_PROTOCOLS, metavar="udp|tcp|tls",
                   help="How SIP goes to the peer."),
            Option(key="proxyip", names=("-proxyip",), metavar="ADDR", read=routes.read_host,
                   help="The peer's numeric address or host name."),
            Option(key="proxyport", names=("-proxyport",), metavar="PORT", read=routes.read_port,
                   help=f"The peer's port; of a new route {routes.SIP_PORT}, or {routes.SIP_TLS_PORT} for tls."),
            Option(key="dest", names=("-dest",), metavar="PREFIXES", read=routes.read_destinations,
                   help="Numbers or prefixes sent to it, with commas between; the longest one decides. Or none."),
            Option(key="match", names=("-match",), metavar="PEERS", read=routes.read_match,
                   help="Addresses and networks (ADDR/LENGTH) let in by it, with commas between. "
                        "none: the peer's own address."),
            Option(key="peername", names=("-peername",), metavar="NAMES", read=routes.read_peer_names,
                   help="tls: names that the peer's certificate may be for, with commas between. "
                        "none: what -proxyip says."),
            Option(key="authname", names=("-authname", "-username"), metavar="NAME", read=routes.read_username,
                   help="User name where the peer challenges. none: no credentials."),
            Option(key="password", names=("-password",), metavar="PASSWORD", kind="secret",
                   read=routes.read_password, prompt="Password", twice=True,
                   help="Its password; -password alone asks for it."),
            Option(key="fallback", names=("-fallback",), metavar="yes|no", choices=("yes", "no"), read="yes".__eq__,
                   help="Whether a call that cannot be encrypted goes on in clear; of a new route no."),
        ),
        actions=(
            Action(
                key="set",
                effect="sip_route:set_route",
                summary="Make a route, or change what is named of one that is there.",
                chosen_by=Option(key="set", names=("-set",), kind="flag", help="Make or change a route."),
                needs=("route",),
                takes=(*FIELDS, "password"),
            ),
            Action(
                key="print",
                effect="sip_route:show",
                summary="Show one route or all.",
                chosen_by=Option(key="print", names=("-print",), kind="flag", help="Show routes."),
                takes=("route",),
                changes=False,
            ),
            Action(
                key="remove",
                effect="sip_route:remove",
                summary="Remove a route.",
                chosen_by=Option(key="remove", names=("-remove",), kind="flag", help="Remove a route."),
                needs=("route",),
            ),
        ),
        texts=(
            ("Route N does not exist.", "it cannot be shown or removed; making it takes -protocol and -proxyip"),
            ("Route N exists.", "-set with nothing of it to change"),
            ("Only TLS has certificates.", "-peername of a route over udp or tcp"),
            ("A user name and a password go together.", "one of -authname and -password without the other"),
        ),
        examples=(
            "sip_route -set -route 1 -protocol tls -proxyip 192.0.2.9 -proxyport 5061 -dest 00 -match 192.0.2.0/24",
            "sip_route -set -route 1 -fallback yes",
            "sip_route -print -route 1",
            "sip_route -print --json",
            "sip_route -remove -route 1",
        ),
    ),
)  # fmt: skip


def set_route(request: Request) -> Outcome:
    """sip_route -set."""
    number: int = request.options["route"]
    before = request.state.sip_routes.get(number)
    given = _given(request)
    if before is None and not {"protocol", "proxyip"} <= given.keys():
        return refused(f"Route {number} does not exist.", "To make it, give -protocol and -proxyip too.")
    if before is not None and not given:
        return refused(f"Route {number} exists.", "Say what of it is to change.")
    after = replace(before, **given) if before is not None else _new(number, given)
    if routes.has_names_without_tls(after):
        return refused("Only TLS has certificates.", "Give -protocol tls, or -peername none.")
    if not routes.has_whole_credentials(after):
        return refused("A user name and a password go together.", "Give -authname and -password, or -authname none.")
    changed = _changed(before, after)
    if before is None:
        line = f"Route {number} is made."
    else:
        line = f"Route {number} is changed: {', '.join(changed)}." if changed else f"Route {number} is so already."
    return Outcome(
        lines=(line,),
        value={"route": _shown(after), "changed": changed},
        warnings=(*_warnings(request, after), NOT_SERVED),
        changes=(Put(after),) if changed else (),
    )


def show(request: Request) -> Outcome:
    """sip_route -print."""
    wanted: int | None = request.options.get("route")
    if wanted is not None and wanted not in request.state.sip_routes:
        return refused(f"Route {wanted} does not exist.")
    rows = [_shown(route) for number, route in request.state.sip_routes.items() if wanted in {None, number}]
    lines = [line for row in rows for line in _block(row)] or ["There is no SIP route."]
    return Outcome(lines=tuple(lines), value={"routes": rows}, warnings=(NOT_SERVED,) if rows else ())


def remove(request: Request) -> Outcome:
    """sip_route -remove."""
    number: int = request.options["route"]
    if number not in request.state.sip_routes:
        return refused(f"Route {number} does not exist.")
    line = f"Route {number} is removed. Calls in progress go on."
    return Outcome(lines=(line,), value={"removed": number}, changes=(Remove(SipRoute, number),))


def _given(request: Request) -> dict[str, Any]:
    """The fields that were named, with their values; the password sealed."""
    options = request.options
    given = {field: options[key] for key, field in FIELDS.items() if options.get(key) is not None}
    if options.get("password") is not None:
        given["password"] = routes.seal_password(options["route"], options["password"], request.vault)
    elif given.get("username") == "":
        given["password"] = b""
    return given


def _new(number: int, given: dict[str, Any]) -> SipRoute:
    port = routes.usual_port(SipRoute, tls=given["protocol"] == "tls")
    return SipRoute(**{"route": number, "proxyport": port, "destinations": (), "match": (), **given})


def _changed(before: SipRoute | None, after: SipRoute) -> list[str]:
    """Names of what differs, as the options have them."""
    fields = {**FIELDS, "password": "password"}
    return [key for key, field in fields.items() if getattr(before, field, None) != getattr(after, field)]


def _warnings(request: Request, route: SipRoute) -> Iterator[str]:
    """What goes, and may not be meant."""
    yield from route_warnings(request.state, route, allow="-fallback yes")
    if not route.match and not routes.is_numeric(route.proxyip):
        yield "nobody is let in by this route: names are not resolved for it; -match gives addresses"


def _shown(route: SipRoute) -> dict[str, Any]:
    """All but the password, of which only that there is one."""
    return {
        "route": route.route,
        "protocol": route.protocol,
        "proxyip": route.proxyip,
        "proxyport": route.proxyport,
        "dest": list(route.destinations),
        "match": list(route.match),
        "peername": list(route.peer_names),
        "authname": route.username,
        "password": bool(route.password),
        "fallback": route.fallback,
    }


def _block(row: dict[str, Any]) -> Iterator[str]:
    """A route on a terminal."""
    yield f"route {row['route']}: {row['protocol']} to {row['proxyip']} port {row['proxyport']}"
    yield f"  dest {', '.join(row['dest']) or routes.NONE}"
    itself = "the peer itself" if routes.is_numeric(row["proxyip"]) else "nobody (-match gives addresses)"
    yield f"  match {', '.join(row['match']) or itself}"
    if row["protocol"] == "tls":
        yield f"  peername {', '.join(row['peername']) or row['proxyip']}"
    if row["authname"]:
        yield f"  authname {row['authname']}, with a password"
    yield f"  fallback {'yes' if row['fallback'] else 'no'}"
