"""Databases and backups for tests: whole ones, and ones that someone has been at."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import Any, Final

from unit.control import licences
from unit.control.requests import NOW, REALM, VAULT, perform, request, state

from srtpgw.control import authority, backup
from srtpgw.control.commands.table import FileContent, Outcome
from srtpgw.control.digest import seal_code
from srtpgw.control.model import (
    Certificate,
    Change,
    Extension,
    H323Route,
    MediaEncryption,
    Put,
    Realm,
    Registration,
    Row,
    SecurityPolicy,
    Setting,
    SipRoute,
    State,
)
from srtpgw.control.restoring import rows_of
from srtpgw.control.routes import seal_password
from srtpgw.control.rows import TABLES
from srtpgw.control.store import empty_database
from srtpgw.control.vault import Vault, label

PIN: Final = "8305174"
PASSWORD: Final = "swordfish-of-the-route"  # noqa: S105 - of a test
PASSPHRASE: Final = "correct horse battery staple"  # noqa: S105 - of a test
SEALED: Final[dict[str, Any]] = {"passphrase": PASSPHRASE}  # options of a command
OTHER_VAULT: Final = Vault(lambda: bytes(range(32, 64)))  # of another machine
ROUTE: Final = SipRoute(7, "tls", "192.0.2.9", 5061, ("00", "0044"), ("192.0.2.0/24",), ("pbx.example",), "gw")
REGISTRATION: Final = Registration(
    binding="100/one", number="100", protocol="sip", contact="sip:100@198.51.100.7", instance="", call_id="marked-call",
    terminal_type="Mitel 6869", transport="tls", remote="198.51.100.7:5061", local_port=5061, encrypted=True,
    offered_srtp=None, authenticated=True, registered=NOW - 60, expires=NOW + 60, policy=None,
)  # fmt: skip


@cache
def certificates() -> tuple[Certificate, ...]:
    """A testbed's authority and server certificate, with their keys sealed."""
    changes: Iterable[Change] = authority.first_run(State(), VAULT, NOW, ["gateway.example"])
    return tuple(change.row for change in changes if isinstance(change, Put) and isinstance(change.row, Certificate))


@cache
def route(password: str = PASSWORD, peer: str = ROUTE.proxyip) -> SipRoute:
    """A route with credentials."""
    return replace(ROUTE, proxyip=peer, password=seal_password(ROUTE.route, password, VAULT))


@cache
def rows() -> tuple[Row, ...]:
    """One row of each kind, at least: what a store may hold."""
    return (
        MediaEncryption("extension", True),
        MediaEncryption("route", False),
        SecurityPolicy(2),
        Realm(REALM),
        Setting("direct-media", "off"),
        Setting("lockout-time", "60"),
        Extension("100", 1, 1, False),
        Extension("0100", 2, 3, True),
        Extension("12000", 1, 1, False),
        seal_code(VAULT, "100", REALM, PIN),
        seal_code(VAULT, "999", REALM, PIN),  # its extension is still to come
        route(),
        H323Route(5, "192.0.2.9", 1300, True, ("00", "0044"), ("192.0.2.0/24",), ("pbx.example",), True),
        licences.ISSUER,
        licences.row(),
        *certificates(),
        REGISTRATION,
    )


def whole() -> State:
    """The state of ``rows``."""
    return state(*rows())


def database(held: Iterable[Row], *statements: str) -> bytes:
    """A copy of a store that holds these rows, after further statements."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(empty_database(wal=False))
        for row in held:
            table = TABLES[type(row)]
            connection.execute(table.put, table.values(row))
        for statement in statements:
            connection.executescript(statement)
        return bytes(connection.serialize())


def backed_up(held: Iterable[Row], **options: Any) -> bytes:
    """The file that data_backup writes of a store with these rows."""
    held = tuple(held)
    outcome = perform(request(state(*held), database=lambda: database(held), **options), "data_backup")
    assert outcome.write is not None
    return outcome.write.octets


def restored(now: State, octets: bytes, *, confirmed: bool = True, vault: Vault = VAULT, **more: Any) -> Outcome:
    """What data_restore says, on a state."""
    asked = request(now, vault=vault, confirmed=confirmed, file=FileContent("some.backup", octets), **more)
    return perform(asked, "data_restore")


def sealed_up(content: bytes, *, proof: bytes = backup.UNAUTHENTICATED, magic: bytes = b"srtpgw backup 1\n") -> bytes:
    """A database with a trailer that fits it."""
    before = content + magic + proof
    return before + hashlib.sha256(before).digest()


def content_of(octets: bytes) -> bytes:
    """The database of a backup."""
    return octets[: -backup.TRAILER_LENGTH]


def tampered(octets: bytes, *statements: str) -> bytes:
    """A backup that someone changed by SQL, with a digest that fits again, and the old proof."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(content_of(octets))
        for statement in statements:
            connection.executescript(statement)
        changed = bytes(connection.serialize())
    return sealed_up(changed, proof=octets[-2 * backup.DIGEST_LENGTH : -backup.DIGEST_LENGTH])


def opened(held: State, vault: Vault) -> list[Any]:
    """The rows with their secrets in clear, to be compared: the same secret is sealed otherwise each time."""
    found: list[Any] = []
    for row in rows_of(held):
        names = getattr(row, "SECRETS", ())
        key = getattr(row, row.KEY)
        sealed = {name: getattr(row, name) for name in names if getattr(row, name)}
        clear = {name: vault.open(label(type(row), name, key), octets) for name, octets in sealed.items()}
        blank: Mapping[str, Any] = dict.fromkeys(names, b"")
        found.append((replace(row, **blank), clear))
    return found
