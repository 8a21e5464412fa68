"""How the model's classes lie in the database: one table of tables, and all SQL about rows made from it.

A table has the columns that its class has fields, by name; the key of the class is the table's primary key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from itertools import starmap
from types import MappingProxyType
from typing import Any, Final

from srtpgw.control.model import (
    AuthorizationCode,
    Certificate,
    Extension,
    H323Route,
    License,
    LicenseIssuer,
    MediaEncryption,
    Realm,
    Registration,
    Row,
    SecurityPolicy,
    Setting,
    SipRoute,
    State,
)

_BY_VALUE: Final = "CAST(number AS INTEGER), number"  # directory numbers: 99 before 100
_EMPTY: Final = State()

Values = Sequence[Any]


def _texts(stored: str) -> tuple[str, ...]:
    texts = json.loads(stored)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a list of texts")
    return tuple(texts)


def _flag(stored: int | None) -> bool | None:
    return None if stored is None else bool(stored)


# Fields that SQLite has no type for: how the stored value is read, and how the field's is written.
_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "bool": bool,
    "bool | None": _flag,
    "tuple[str, ...]": _texts,
}


def stored(value: object) -> object:
    """A field's value as SQLite takes it."""
    if isinstance(value, tuple):
        return json.dumps(value, ensure_ascii=False)
    return int(value) if isinstance(value, bool) else value


class Table:
    """One class of rows: its table, and what a State has of it.

    ``shown`` names the field that stands in the State for a row (none: the row itself). ``single``: a State has the
    one row's, not a mapping. ``cascade``: what goes with a row that is removed.
    """

    def __init__(
        self,
        row: type[Row],
        name: str,
        state: str,
        *,
        shown: str = "",
        single: bool = False,
        order: str = "",
        cascade: tuple[type[Row], ...] = (),
    ) -> None:
        self.row = row
        self.name = name
        self.state = state
        self.cascade = cascade
        self.columns = tuple(each.name for each in fields(row))
        self._shown = self.columns.index(shown) if shown else None
        self._single = single
        self._order = order or f'"{row.KEY}"'
        self._key = self.columns.index(row.KEY)

    @cached_property
    def select(self) -> str:
        return f"SELECT {_quoted(self.columns)} FROM {self.name} ORDER BY {self._order}"  # noqa: S608 - names of our own

    @cached_property
    def put(self) -> str:
        # Not INSERT OR REPLACE: that would remove the row first, and what goes with it.
        others = [column for column in self.columns if column != self.row.KEY]
        update = ", ".join(f'"{column}" = excluded."{column}"' for column in others)
        marks = ", ".join("?" * len(self.columns))
        return (
            f"INSERT INTO {self.name} ({_quoted(self.columns)}) VALUES ({marks}) "  # noqa: S608
            f'ON CONFLICT ("{self.row.KEY}") DO UPDATE SET {update}'
        )

    @cached_property
    def remove(self) -> str:
        return f'DELETE FROM {self.name} WHERE "{self.row.KEY}" = ?'  # noqa: S608

    @cached_property
    def _readers(self) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
        types = [str(each.type) for each in fields(self.row)]
        return tuple((index, _READ[name]) for index, name in enumerate(types) if name in _READ)

    def values(self, row: Row) -> tuple[object, ...]:
        """The columns of a row, as SQLite takes them."""
        return tuple([stored(getattr(row, column)) for column in self.columns])

    def read(self, found: Iterable[Values]) -> Any:
        """What a State has in ``state``, from what ``select`` found. ValueError where that cannot be."""
        rows = list(map(self._converted, found) if self._readers else found)
        if self._single:
            assert self._shown is not None
            return rows[0][self._shown] if rows else getattr(_EMPTY, self.state)
        keys = [row[self._key] for row in rows]
        shown = starmap(self.row, rows) if self._shown is None else [row[self._shown] for row in rows]
        return MappingProxyType(dict(zip(keys, shown, strict=True)))

    def _converted(self, values: Values) -> Values:
        converted = list(values)
        for index, read in self._readers:
            converted[index] = read(converted[index])
        return converted


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


TABLES: Final[Mapping[type[Row], Table]] = {
    table.row: table
    for table in (
        Table(MediaEncryption, "media_encryption", "media_encryption", shown="enabled"),
        Table(SecurityPolicy, "security_policy", "policy", shown="number", single=True),
        Table(Realm, "realm", "realm", shown="name", single=True),
        Table(Setting, "setting", "settings", shown="text"),
        Table(Extension, "extension", "extensions", order=_BY_VALUE, cascade=(Registration,)),
        Table(AuthorizationCode, "authorization_code", "authorization_codes", order=_BY_VALUE),
        Table(SipRoute, "sip_route", "sip_routes"),
        Table(H323Route, "h323_route", "h323_routes"),
        Table(License, "license", "licenses"),
        Table(LicenseIssuer, "license_issuer", "license_issuers"),
        Table(Certificate, "certificate", "certificates"),
        Table(Registration, "registration", "registrations"),
    )
}
