"""RIANI, RIANC, RIANP, RIANE: H.323 trunks and tie lines, in the vendor's form (spec 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from srtpgw.control import routes
from srtpgw.control.commands.route_warnings import route_warnings
from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, not_executed
from srtpgw.control.commands.wording import not_served
from srtpgw.control.model import H323Route, Put, Remove

ALL: Final = "ALL"
NOT_SERVED: Final = not_served("H.323")
EXISTS: Final = "ROUTE ALREADY INITIATED"
MISSING: Final = "ROUTE NOT INITIATED"
ONLY_TLS: Final = "ONLY TLS HAS CERTIFICATES"
NO_NUMBERS: Final = "no number goes out by this route: DEST gives numbers or prefixes"
NONE: Final = routes.NONE.upper()
JOINT: Final = "&"  # between the words of a list, as a comma separates parameters


def _route_or_all(text: str) -> int | str:
    return ALL if text.upper() == ALL else routes.read_route(text)


def _yes_no(text: str) -> bool:
    if text.upper() not in {"YES", "NO"}:
        raise ValueError("is neither YES nor NO")
    return text.upper() == "YES"


def _list(read: Callable[[str], tuple[str, ...]]) -> Callable[[str], tuple[str, ...]]:
    """Reads a list as it is typed here: ``00&0044``, or ``NONE``."""

    def read_list(text: str) -> tuple[str, ...]:
        if "," in text:
            raise ValueError(f"lists with commas between: write {JOINT}")
        return read(routes.NONE if text.upper() == NONE else text.replace(JOINT, ","))

    return read_list


ROUTE: Final = Option(key="route", names=("ROU",), metavar="N", read=routes.read_route,
                      help=f"The route's number, {routes.ROUTE_MIN} to {routes.ROUTE_MAX}.")  # fmt: skip
ADDRESS: Final = Option(key="address", names=("IPADR",), metavar="ADDR", read=routes.read_address,
                        help="The peer's numeric address.")  # fmt: skip
PORT: Final = Option(key="port", names=("PORT",), metavar="PORT", read=routes.read_port,
                     help=f"The peer's port; of a new route {routes.H323_PORT}, or {routes.H323_TLS_PORT} "
                          "with TLS=YES.")  # fmt: skip
TLS: Final = Option(key="tls", names=("TLS",), metavar="YES|NO", read=_yes_no,
                    help="Whether signaling goes over TLS; of a new route NO.")  # fmt: skip
DEST: Final = Option(
    key="dest",
    names=("DEST",),
    metavar="PREFIXES",
    read=_list(routes.read_destinations),
    help=f"Numbers or prefixes sent to it, with {JOINT} between; the longest one decides. Or {NONE}.",
)
MATCH: Final = Option(key="match", names=("MATCH",), metavar="PEERS", read=_list(routes.read_match),
                      help=f"Addresses and networks (ADDR/LENGTH) let in by it, with {JOINT} between. "
                           f"{NONE}: the peer's own address.")  # fmt: skip
NAME: Final = Option(key="name", names=("NAME",), metavar="NAMES", read=_list(routes.read_peer_names),
                     help=f"TLS=YES: names that the peer's certificate may be for, with {JOINT} between. "
                          f"{NONE}: what IPADR says.")  # fmt: skip
FALLBACK: Final = Option(
    key="fallback",
    names=("FALLBACK",),
    metavar="YES|NO",
    read=_yes_no,
    help="Whether a call that cannot be encrypted goes on in clear; of a new route NO.",
)

# Parameters of a route behind its number: their keys, and the fields of H323Route.
FIELDS: Final = {
    "address": "address",
    "port": "port",
    "tls": "tls",
    "dest": "destinations",
    "match": "match",
    "name": "peer_names",
    "fallback": "fallback",
}
PARAMETERS: Final = (ROUTE, ADDRESS, PORT, TLS, DEST, MATCH, NAME, FALLBACK)
NAMES_FAULT: Final = (ONLY_TLS, f"NAME of a route without TLS: give TLS=YES, or NAME={NONE}")

COMMANDS: Final = (
    Command(
        name="RIANI",
        summary="Initiate an H.323 route.",
        form="parameters",
        options=PARAMETERS,
        actions=(Action(key="initiate", effect="h323_route:initiate", summary="Make a route.",
                        needs=("route", "address"), takes=tuple(FIELDS)[1:]),),
        texts=((EXISTS, "a route of this number is there: RIANC changes it"), NAMES_FAULT),
        examples=("RIANI 'ROU=5,IPADR=192.0.2.9,PORT=1300,TLS=YES;'",
                  "RIANI 'ROU=6,IPADR=192.0.2.10,TLS=YES,DEST=00&0044,MATCH=192.0.2.10&198.51.100.0/24;'"),
    ),
    Command(
        name="RIANC",
        summary="Change an H.323 route.",
        form="parameters",
        options=PARAMETERS,
        actions=(Action(key="change", effect="h323_route:change", summary="Change what is named of a route.",
                        needs=("route",), takes=tuple(FIELDS)),),
        texts=((MISSING, "there is no route of this number"), NAMES_FAULT),
        examples=("RIANC ROU=5,PORT=3727", "RIANC 'ROU=5,TLS=YES,DEST=00&0044,NAME=pbx.example;'",
                  "RIANC ROU=5,MATCH=NONE"),
    ),
    Command(
        name="RIANP",
        summary="Print H.323 routes.",
        form="parameters",
        options=(replace(ROUTE, read=_route_or_all, metavar="N|ALL", help="The route's number; without it, or with "
                         "ALL, every one.", default=ALL),),
        actions=(Action(key="print", effect="h323_route:show", summary="Show one route or all.", takes=("route",),
                        changes=False),),
        texts=((MISSING, "there is no route of this number"),),
        examples=("RIANP ROU=5", "RIANP ROU=ALL", "RIANP"),
    ),
    Command(
        name="RIANE",
        summary="End an H.323 route.",
        form="parameters",
        options=(ROUTE,),
        actions=(Action(key="end", effect="h323_route:end", summary="Remove a route.", needs=("route",)),),
        texts=((MISSING, "there is no route of this number"),),
        examples=("RIANE ROU=5",),
    ),
)  # fmt: skip


def initiate(request: Request) -> Outcome:
    """RIANI."""
    number: int = request.options["route"]
    if number in request.state.h323_routes:
        return not_executed(EXISTS)
    given = _given(request)
    tls = given.setdefault("tls", False)
    return _kept(request, H323Route(**{"route": number, "port": routes.usual_port(H323Route, tls=tls), **given}))


def change(request: Request) -> Outcome:
    """RIANC."""
    before = request.state.h323_routes.get(request.options["route"])
    if before is None:
        return not_executed(MISSING)
    given = _given(request)
    if not given:
        return not_executed("NOTHING TO CHANGE IS GIVEN")
    return _kept(request, replace(before, **given))


def show(request: Request) -> Outcome:
    """RIANP."""
    wanted = request.options.get("route")
    rows = [row for number, row in request.state.h323_routes.items() if wanted in {None, ALL, number}]
    if isinstance(wanted, int) and not rows:
        return not_executed(MISSING)
    lines = tuple(map(_line, rows)) or ("There is no H.323 route.",)
    return Outcome(lines=lines, value={"routes": list(map(_shown, rows))}, warnings=(NOT_SERVED,) if rows else ())


def end(request: Request) -> Outcome:
    """RIANE."""
    number: int = request.options["route"]
    if number not in request.state.h323_routes:
        return not_executed(MISSING)
    return Outcome(
        lines=(f"Route {number} is removed.",), value={"removed": number}, changes=(Remove(H323Route, number),)
    )


def _given(request: Request) -> dict[str, Any]:
    """The fields that were named, with their values."""
    options = request.options
    return {field: options[key] for key, field in FIELDS.items() if options.get(key) is not None}


def _kept(request: Request, route: H323Route) -> Outcome:
    if routes.has_names_without_tls(route):
        return not_executed(ONLY_TLS, f"Give TLS=YES, or NAME={NONE}.")
    return Outcome(
        lines=(_line(route),),
        value={"route": _shown(route)},
        warnings=(*_warnings(request, route), NOT_SERVED),
        changes=(Put(route),) if route != request.state.h323_routes.get(route.route) else (),
    )


def _warnings(request: Request, route: H323Route) -> Iterator[str]:
    yield from route_warnings(request.state, route, allow="FALLBACK=YES")
    if not route.destinations:
        yield NO_NUMBERS


def _line(route: H323Route) -> str:
    """The route as RIANI takes it. What is not there is NONE, or NO."""
    parts = [
        f"ROU={route.route}",
        f"IPADR={route.address}",
        f"PORT={route.port}",
        f"TLS={'YES' if route.tls else 'NO'}",
    ]
    lists = (("DEST", route.destinations), ("MATCH", route.match), ("NAME", route.peer_names))
    parts += [f"{name}={JOINT.join(words)}" for name, words in lists if words]
    parts += ["FALLBACK=YES"] * route.fallback
    return ",".join(parts)


def _shown(route: H323Route) -> dict[str, Any]:
    values = ((key, getattr(route, field)) for key, field in FIELDS.items())
    return {"route": route.route, **{key: list(value) if isinstance(value, tuple) else value for key, value in values}}
