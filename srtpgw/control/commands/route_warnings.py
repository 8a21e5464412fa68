"""What goes in a route, SIP or H.323, and may not be meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from srtpgw.control import routes
from srtpgw.control.model import Route, SipRoute, State


def route_warnings(state: State, route: Route, *, allow: str) -> Iterator[str]:
    """Warnings beside a route as it is stored. ``allow``: what is typed so that calls may go on in clear."""
    others = [other for other in routes.all_routes(state) if not _same(other, route)]
    way, usual = _way(route), routes.usual_port(type(route), tls=route.tls)
    if route.port == routes.usual_port(type(route), tls=not route.tls):
        yield f"port {route.port} with {way}: its usual port is {usual}"
    for prefix, found in _shared(route, route.destinations, ((other, other.destinations) for other in others)):
        yield f"{prefix} is sent to {found} as well: the lowest number goes first"
    alike = ((other, other.match) for other in others if _way(other) == way)
    for peer, found in _shared(route, route.match, alike):
        yield f"{peer} is let in by {found} as well"
    if any(peer.endswith("/0") for peer in route.match):
        yield "every address is let in by this route"
    if route.fallback and route.tls:
        yield "calls of this route that cannot be encrypted go on in clear"
    if not route.fallback and not route.tls and state.media_encryption.get("route", False):
        yield (f"media encryption is enabled for routes, and keys do not go over {way}: calls of this route "
               f"are refused without {allow}")  # fmt: skip


def _same(other: Route, route: Route) -> bool:
    return type(other) is type(route) and other.route == route.route


def _way(route: Route) -> str:
    """How signaling goes to the peer."""
    if isinstance(route, SipRoute):
        return route.protocol
    return "H.323 over TLS" if route.tls else "H.323 without TLS"


def _shared(
    route: Route, own: tuple[str, ...], others: Iterable[tuple[Route, tuple[str, ...]]]
) -> Iterator[tuple[str, str]]:
    """What other routes have too: (the word, those routes)."""
    having: dict[str, list[Route]] = {word: [] for word in own}
    for other, words in others:
        for word in having.keys() & set(words):
            having[word].append(other)
    return ((word, _numbers(route, found)) for word, found in having.items() if found)


def _numbers(route: Route, found: list[Route]) -> str:
    """``route 2, 3 and H.323 route 5``, for a SIP route."""
    alike = ", ".join(str(each.route) for each in found if type(each) is type(route))
    unlike = ", ".join(str(each.route) for each in found if type(each) is not type(route))
    kind = "H.323" if isinstance(route, SipRoute) else "SIP"
    return " and ".join([f"route {alike}"] * bool(alike) + [f"{kind} route {unlike}"] * bool(unlike))
