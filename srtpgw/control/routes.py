"""Routes to other systems (spec 6): what their values may be, which of them a number goes out by, and whom one lets in.

Readers take one word that an operator typed and raise ValueError with a reason that reads on from the option's name and
does not repeat the word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from srtpgw.control.model import H323Route, Route, SipProtocol, SipRoute, State
from srtpgw.control.reading import whole
from srtpgw.control.vault import Vault, label
from srtpgw.hosts import HOST_NAME_MAX, MAX_PORT, MIN_PORT, host_fault, parse_host, parse_host_name

ROUTE_MIN, ROUTE_MAX = 1, 999
SIP_PROTOCOLS: Final[tuple[SipProtocol, ...]] = ("udp", "tcp", "tls")
SIP_PORT, SIP_TLS_PORT = 5060, 5061  # spec 5
H323_PORT, H323_TLS_PORT = 1719, 3727
_PORTS: Final = {(SipRoute, False): SIP_PORT, (SipRoute, True): SIP_TLS_PORT,
                 (H323Route, False): H323_PORT, (H323Route, True): H323_TLS_PORT}  # fmt: skip
PREFIX_MAX = 16  # digits
DESTINATIONS_MAX = 100  # of one route
PEERS_MAX = 32  # addresses and networks, or names, of one route
USERNAME_MAX = 64  # characters
PASSWORD_MAX = 128
NONE: Final = "none"  # what is typed for an empty list

read_route = whole(ROUTE_MIN, ROUTE_MAX)
read_port = whole(MIN_PORT, MAX_PORT)


def read_address(text: str) -> str:
    """A numeric address that something can be sent to, in its canonical form."""
    if len(text) > HOST_NAME_MAX or not text.isascii() or not text.isprintable():
        raise ValueError("is not a numeric IP address (names are not resolved)")
    host = parse_host(text)
    reason = host_fault(host)
    if reason:
        raise ValueError(reason)
    return host


def read_host(text: str) -> str:
    """A numeric address, as ``read_address``, or the name of a host, in lower case."""
    return read_address(text) if is_numeric(text) else parse_host_name(text)


def read_destinations(text: str) -> tuple[str, ...]:
    """Numbers or prefixes that are sent to a route: ``00,0044``; ``none``: no calls go out by it."""
    return _listed(text, _prefix, DESTINATIONS_MAX)


def read_match(text: str) -> tuple[str, ...]:
    """Addresses and networks that are let in: ``192.0.2.9,198.51.100.0/24``; ``none``: the peer's own address."""
    return _listed(text, _network, PEERS_MAX)


def read_peer_names(text: str) -> tuple[str, ...]:
    """Names (or addresses) that the peer's certificate may be for; ``none``: the peer's own."""
    return _listed(text, read_host, PEERS_MAX)


def read_username(text: str) -> str:
    """The user name of digest credentials; ``none``: no credentials. Without a colon (RFC 7616, section 3.4.2)."""
    if text == NONE:
        return ""
    if not 0 < len(text) <= USERNAME_MAX or not text.isprintable() or any(mark in text for mark in ':"\\'):
        raise ValueError(f'is not printable text of 1 to {USERNAME_MAX} characters without : " and \\')
    return text


def read_password(text: str) -> str:
    """The password of digest credentials."""
    if not 0 < len(text) <= PASSWORD_MAX or not text.isprintable():
        raise ValueError(f"is not printable text of 1 to {PASSWORD_MAX} characters")
    return text


def listed(words: Sequence[str]) -> str:
    """A list as it is typed."""
    return ",".join(words) or NONE


def usual_port(kind: type[Route], *, tls: bool) -> int:
    """The port of a route's peer where nothing else is said (spec 5)."""
    return _PORTS[kind, tls]


def has_names_without_tls(route: Route) -> bool:
    """Whether it has names for certificates that its peer will never show."""
    return bool(route.peer_names) and not route.tls


def has_whole_credentials(route: SipRoute) -> bool:
    """Whether it has a user name and a password, or neither."""
    return bool(route.username) == bool(route.password)


def is_numeric(host: str) -> bool:
    """Whether this is a numeric address rather than a name."""
    return ":" in host or host.replace(".", "").isdigit()


def seal_password(route: int, text: str, vault: Vault) -> bytes:
    """A password as ``SipRoute`` keeps it."""
    return vault.seal(_password_label(route), text.encode())


def password(route: SipRoute, vault: Vault) -> str:
    """The password of a route's digest credentials; empty where it has none. Raises VaultError."""
    return vault.open(_password_label(route.route), route.password).decode() if route.password else ""


def all_routes(state: State) -> Iterator[Route]:
    """Every route, the lowest number first; of a SIP and an H.323 route with the same number, SIP."""
    found: list[Route] = [*state.sip_routes.values(), *state.h323_routes.values()]
    yield from sorted(found, key=lambda route: route.route)


def find_routes(state: State, number: str) -> tuple[Route, ...]:
    """The routes that a number goes out by, SIP and H.323: those with the longest prefix of it, as ``all_routes`` has
    them in order.

    Further ones are for when the first cannot be reached. Empty: no route leads there.
    """
    longest = 0
    found: list[Route] = []
    for route in all_routes(state):
        length = max((len(prefix) for prefix in route.destinations if number.startswith(prefix)), default=0)
        if length > longest:
            longest, found = length, []
        if length and length == longest:
            found.append(route)
    return tuple(found)


def accepts(route: Route, address: str) -> bool:
    """Whether a peer may come in by this route from this numeric address. A route that matches nothing lets its own
    peer in, if that is a numeric address: a name is not resolved for it.

    Over TLS the peer's certificate must also be for one of ``accepted_names``.
    """
    try:
        peer = ip_address(parse_host(address))
    except ValueError:
        return False
    peers = route.match or ((route.address,) if is_numeric(route.address) else ())
    return any(peer in ip_network(each) for each in peers if "%" not in each) or str(peer) in peers


def accepted_names(route: Route) -> tuple[str, ...]:
    """The names, one of which the certificate of a TLS route's peer must be for."""
    return route.peer_names or (route.address,)


def _password_label(route: int) -> str:
    return label(SipRoute, "password", route)


def _listed(text: str, read: Callable[[str], str], most: int) -> tuple[str, ...]:
    """Words with commas between them, each once, in their order."""
    if text == NONE:
        return ()
    words = text.split(",", most)
    if len(words) > most:
        raise ValueError(f"lists more than {most}")
    return tuple(dict.fromkeys(read(word.strip(" ")) for word in words))


def _prefix(text: str) -> str:
    digits = text.removeprefix("+")
    if not 0 < len(digits) <= PREFIX_MAX or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"lists what is not a number or prefix of 1 to {PREFIX_MAX} digits")
    return text


def _network(text: str) -> str:
    """A numeric address, or a network whose address has no host bits."""
    address, slash, length = text.partition("/")
    if not slash:
        return read_address(text)
    parse_host(address)
    if "%" in address or not (length.isascii() and length.isdigit()) or len(length) > 3:
        raise ValueError("lists a network that is not ADDRESS/LENGTH")
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("lists a network whose length does not fit, or with digits behind its length: "
                         "write 198.51.100.0/24") from None  # fmt: skip
