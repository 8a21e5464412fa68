"""States, requests and effects for tests, without a database and without a command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, Final

from srtpgw.control.commands.table import Action, Command, FileContent, Option, Outcome, Request, effect_of, find
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
    Remove,
    Row,
    SecurityPolicy,
    Setting,
    SipRoute,
    State,
)
from srtpgw.control.vault import Vault

NOW: Final = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
REALM: Final = "srtpgw"
HOST: Final = "gateway.example"
VAULT: Final = Vault(lambda: bytes(range(32)))
EMPTY: Final = State()

# Field of a State that holds the rows of a table, and what stands there for a row; None: the row itself.
_TABLES: Final[Mapping[type[Row], tuple[str, Callable[[Any], Any] | None]]] = {
    MediaEncryption: ("media_encryption", lambda row: row.enabled),
    Setting: ("settings", lambda row: row.text),
    Extension: ("extensions", None),
    AuthorizationCode: ("authorization_codes", None),
    SipRoute: ("sip_routes", None),
    H323Route: ("h323_routes", None),
    License: ("licenses", None),
    LicenseIssuer: ("license_issuers", None),
    Certificate: ("certificates", None),
    Registration: ("registrations", None),
}
# Tables of one row: the field, what it is with the row, and without.
_SINGLE: Final[Mapping[type[Row], tuple[str, Callable[[Any], Any], Any]]] = {
    SecurityPolicy: ("policy", lambda row: row.number, None),
    Realm: ("realm", lambda row: row.name, ""),
}


def applied(state: State, changes: Iterable[Change]) -> State:
    """The state that a store has after these changes."""
    now: dict[str, Any] = {each.name: getattr(state, each.name) for each in fields(State)}
    tables = {name: dict(now[name]) for name, _ in _TABLES.values()}
    for change in changes:
        table = type(change.row) if isinstance(change, Put) else change.table
        if table in _SINGLE:
            name, shown, without = _SINGLE[table]
            now[name] = shown(change.row) if isinstance(change, Put) else without
        elif isinstance(change, Put):
            name, value = _TABLES[table]
            tables[name][getattr(change.row, table.KEY)] = value(change.row) if value else change.row
        else:
            tables[_TABLES[table][0]].pop(change.key, None)
    for name, rows in tables.items():
        order = _by_value if name == "extensions" else None
        now[name] = MappingProxyType({key: rows[key] for key in sorted(rows, key=order)})
    return State(**{**now, "revision": state.revision + 1})


def _by_value(number: str) -> tuple[int, str]:
    return int(number), number


def state(*rows: Row) -> State:
    """A state that holds these rows."""
    return applied(EMPTY, [Put(row) for row in rows])


def without(before: State, table: type[Row], *keys: object) -> State:
    """The state without these rows of a table."""
    return applied(before, [Remove(table, key) for key in keys])


def extension(number: str, *, exception: bool = False, csp: int = 1, lim: int = 1) -> Extension:
    return Extension(number=number, csp=csp, lim=lim, security_exception=exception)


def request(
    before: State = EMPTY,
    /,
    *,
    now: float = NOW,
    realm: str = REALM,
    host: str = HOST,
    vault: Vault = VAULT,
    confirmed: bool = False,
    database: Callable[[], bytes] = bytes,
    audit: Callable[[int], tuple[AuditEntry, ...]] = lambda _: (),
    **options: Any,
) -> Request:
    """A request with ``options`` as the effect gets them: values that were read, by their keys."""
    return Request(
        state=before,
        options=MappingProxyType(options),
        now=now,
        realm=realm,
        host=host,
        vault=vault,
        database=database,
        audit=audit,
        confirmed=confirmed,
    )


def perform(asked: Request, name: str, key: str = "") -> Outcome:
    """What the command does whose options were typed as they stand in ``asked``: texts (also "secret"), True, or
    FileContent. ``key`` chooses the action where there are several. ValueError: wrong usage."""
    command = find(name)
    action = _action(command, key)
    known = {option.key: option for option in command.options}
    chosen = [action.chosen_by] if action.chosen_by else []
    allowed = [*chosen, *(known[each] for each in (*action.needs, *action.takes))]
    options = {option.key: () if option.multiple else option.default for option in allowed}
    for given, typed in asked.options.items():
        option = next((option for option in allowed if option.key == given), None)
        if option is None:
            raise ValueError(f"{given} does not go with {name} {key}")
        options[given] = _value(option, typed)
    for option in chosen:
        if option.kind == "flag":
            options[option.key] = True
    missing = [each for each in action.needs if each not in asked.options]
    if missing:
        raise ValueError(f"{name} {key} needs {', '.join(missing)}")
    return effect_of(action)(replace(asked, options=MappingProxyType(options)))


def done(asked: Request, name: str, key: str = "") -> State:
    """The state after a command that is carried out."""
    outcome = perform(asked, name, key)
    assert not outcome.refused, outcome.lines
    assert not outcome.question
    return applied(asked.state, outcome.changes)


def _action(command: Command, key: str) -> Action:
    if not key:
        (only,) = command.actions
        return only
    return next(action for action in command.actions if action.key == key)


def _value(option: Option, typed: Any) -> Any:
    if option.kind in {"flag", "file"}:
        assert isinstance(typed, bool if option.kind == "flag" else FileContent)
        return typed
    if option.multiple:
        return tuple(option.read(text) for text in typed)
    if option.choices and typed not in option.choices:
        raise ValueError(f"{option.key} is not one of {option.choices}")
    return option.read(typed)
