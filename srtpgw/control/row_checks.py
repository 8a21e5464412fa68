"""Whether a row that comes from outside is one that a command could have made.

The rules are those of the commands: each value is read again by the reader that took it from the operator, and must
come out as it is. Nothing here says what may be, but for the bounds that hold for every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from srtpgw.control.model import (
    AuthorizationCode,
    Certificate,
    Extension,
    H323Route,
    License,
    Realm,
    Route,
    Row,
    Setting,
    SipRoute,
)

TIME_MAX: Final = 253_402_300_799.0  # seconds since the epoch: the last of the year 9999
WHOLE_MAX: Final = (1 << 31) - 1
KEY_SHOWN_MAX: Final = 40  # characters
SECRET_MAX: Final = 64 << 10  # octets, sealed
PAGES: Final = {"chain", "text"}  # fields whose text has lines


def check(row: Row) -> None:
    """ValueError where no command makes such a row; its text holds nothing of the row."""
    for each in fields(row):
        _check_value(each.name, getattr(row, each.name), secret=each.name in getattr(row, "SECRETS", ()))
    rules = _RULES.get(type(row))
    if rules is not None:
        rules(row)


def unfit(rows: Iterable[Row]) -> str:
    """The first row that ``check`` refuses, as ``Extension 12000``; empty: none."""
    for row in rows:
        try:
            check(row)
        except ValueError:
            key = str(getattr(row, row.KEY))[:KEY_SHOWN_MAX]
            return f"{type(row).__name__} {key if key.isprintable() else ascii(key)}"
    return ""


def _check_value(name: str, value: object, *, secret: bool) -> None:
    if isinstance(value, tuple):
        for each in value:
            _check_value(name, each, secret=secret)
    elif isinstance(value, str):
        _need(value.isprintable() or name in PAGES, "text on one line")
    elif isinstance(value, float):
        _need(0 <= value <= TIME_MAX, "a time")
    elif isinstance(value, bytes):
        _need(not secret or len(value) <= SECRET_MAX, "a sealed secret")
    elif isinstance(value, int):
        _need(0 <= value <= WHOLE_MAX, "a number within bounds")


def _need(good: bool, what: str) -> None:
    if not good:
        raise ValueError(f"is not {what}")


def _extension(row: Extension) -> None:
    from srtpgw.control.numbers import read_number

    read_number(row.number)


def _code(row: AuthorizationCode) -> None:
    from srtpgw.control.digest import check_realm
    from srtpgw.control.numbers import read_number

    read_number(row.number)
    check_realm(row.realm)
    _need(bool(row.md5) and bool(row.sha256), "a code with both digests")


def _realm(row: Realm) -> None:
    from srtpgw.control.digest import check_realm

    check_realm(row.name)


def _license(row: License) -> None:
    from srtpgw.control.license import read
    from srtpgw.errors import LicenseError

    try:
        _need(read(row.document).terms.serial == row.serial, "the serial of its licence")
    except LicenseError:
        raise ValueError("is not a licence") from None


def _certificate(row: Certificate) -> None:
    from srtpgw.control.certificate_files import encode_chain, stored_chain
    from srtpgw.errors import CertificateError

    _need((row.role == "trusted") != bool(row.key), "a certificate with its key, or a trusted one without")
    try:
        _need(encode_chain(stored_chain(row.chain)) == row.chain, "a chain of certificates as PEM")
    except CertificateError:
        raise ValueError("is not a chain of certificates") from None


def _setting(row: Setting) -> None:
    from srtpgw.control.settings import read_settings
    from srtpgw.errors import StoreError

    try:
        read_settings({row.name: row.text})
    except StoreError:
        raise ValueError("is not a setting of this version") from None


def _sip_route(row: SipRoute) -> None:
    from srtpgw.control import routes

    _need(routes.read_host(row.proxyip) == row.proxyip, "an address in its canonical form")
    _need(routes.read_username(row.username or routes.NONE) == row.username, "a user name")
    _need(routes.has_whole_credentials(row), "a user name with its password")
    _route(row)


def _h323_route(row: H323Route) -> None:
    from srtpgw.control import routes

    _need(routes.read_address(row.address) == row.address, "an address in its canonical form")
    _route(row)


def _route(row: Route) -> None:
    from srtpgw.control import routes

    routes.read_route(str(row.route))
    routes.read_port(str(row.port))
    for values, read in (
        (row.destinations, routes.read_destinations),
        (row.match, routes.read_match),
        (row.peer_names, routes.read_peer_names),
    ):
        _need(read(routes.listed(values)) == values, "a list in its canonical form")
    _need(not routes.has_names_without_tls(row), "a route over TLS, so it has no names of certificates")


_RULES: Final[Mapping[type[Row], Callable[[Any], None]]] = {
    Extension: _extension,
    AuthorizationCode: _code,
    Realm: _realm,
    Setting: _setting,
    SipRoute: _sip_route,
    H323Route: _h323_route,
    License: _license,
    Certificate: _certificate,
}
