"""One good row of each table, and how to store rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from srtpgw.control.model import (
    AuditEntry,
    AuthorizationCode,
    Certificate,
    Change,
    Extension,
    H323Route,
    License,
    LicenseIssuer,
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
from srtpgw.control.store import Store


def registration(binding: str, number: str) -> Registration:
    return Registration(
        binding=binding,
        number=number,
        protocol="sip",
        contact=f"sip:{number}@192.0.2.7:5061",
        instance="urn:uuid:1",
        call_id="7@phone",
        terminal_type="Mitel 6920",
        transport="tls",
        remote="192.0.2.7:40000",
        local_port=5061,
        encrypted=True,
        offered_srtp=None,
        authenticated=True,
        registered=1000.5,
        expires=4600.5,
        policy=None,
    )


EVERY_ROW: Final[tuple[Row, ...]] = (
    MediaEncryption("route", enabled=True),
    SecurityPolicy(2),
    Realm("srtpgw"),
    Setting("direct-media", "yes"),
    Extension("12000", csp=1, lim=2, security_exception=True),
    AuthorizationCode("12000", "srtpgw", b"\x01sealed\0", b"\x01sealed too"),
    SipRoute(1, "tls", "pbx.example", 5061, ("00", "0049"), ("192.0.2.0/24",), ("pbx.example",), "user", b"\x01", True),
    H323Route(5, "192.0.2.9", 1300, True, ("00", "0049"), ("192.0.2.0/24",), ("pbx.example",), fallback=True),
    License("17", b"{}", 1000.25),
    LicenseIssuer(bytes(range(32)), testbed=True),
    Certificate("server", "server", "a chain", b"\x01", testbed=False, installed=1000.75),
    registration("12000/1", "12000"),
)


def entry(command: str, time: float = 1000.0, lines: tuple[str, ...] = ()) -> AuditEntry:
    return AuditEntry(time=time, user="root (uid 0)", command=command, result="done", lines=lines)


def put(*rows: Row) -> tuple[Change, ...]:
    return tuple(map(Put, rows))


def commit(store: Store, changes: Iterable[Change], *entries: AuditEntry) -> None:
    with store.change() as transaction:
        transaction.apply(changes)
        for each in entries:
            transaction.audit(each)


def same(found: State, expected: State) -> bool:
    """Whether they hold the same, whatever their revisions."""
    return replace(found, revision=0) == replace(expected, revision=0)


def sql(path: Path, text: str) -> list[tuple[Any, ...]]:
    """What another program does to the file, all rules switched off."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        return connection.execute(text).fetchall()
