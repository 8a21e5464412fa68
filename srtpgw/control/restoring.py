"""What putting a backup back would change: pure rules over rows, before and after.

A backup replaces settings, extensions, codes, routes and certificates as a whole. Licences and their issuers are only
added: one that is installed here stays, so that a backup of another machine does not take this one's licence away.
Registrations are no part of a backup; those of numbers that there are no more end.

A secret that the backup leaves out stays as it is here, where its row is the same: the code of a number under the same
realm, the password of a route to the same peer, the key of the same certificate chain. Else the row is without it, and
the plan tells which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from srtpgw.control.license import LICENSE_MISSING, VOIP_SECURITY, allows
from srtpgw.control.model import (
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
from srtpgw.control.policy import policy_change
from srtpgw.control.vault import Vault, label
from srtpgw.errors import VaultError

LEFT_OUT: Final = bytes(29)  # stands for a sealed secret that a backup does not hold; no vault seals to this
Key = tuple[type[Row], object]

# What each table is called, in the order in which a plan tells of them.
NAMES: Final[Mapping[type[Row], str]] = MappingProxyType({
    SecurityPolicy: "security policy",
    MediaEncryption: "media encryption flags",
    Setting: "other settings",
    Extension: "extensions",
    Realm: "realm",
    AuthorizationCode: "authorization codes",
    SipRoute: "SIP routes",
    H323Route: "H.323 routes",
    License: "licences",
    LicenseIssuer: "licence issuers",
    Certificate: "certificates",
})  # fmt: skip
KEPT: Final = (License, LicenseIssuer)  # tables that a backup only adds to


class Fault(NamedTuple):
    """A rule that stands against a restore: its text, and the directory numbers that it is about."""

    text: str
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a restore does. Without ``changes`` everything is so already. The lists name what is left without the
    secret that it had when the backup was written."""

    changes: tuple[Change, ...]
    replaces: bool  # something of now is changed, removed or left without its secret
    summary: tuple[str, ...]  # ``extensions: 3 new, 1 removed``
    faults: tuple[Fault, ...]
    without_code: tuple[str, ...]  # extensions without a security exception that cannot register now
    lost_codes: tuple[str, ...]
    lost_passwords: tuple[int, ...]
    lost_keys: tuple[str, ...]
    ended: tuple[str, ...]  # numbers that are registered, and are extensions no more


def rows_of(state: State) -> Iterator[Row]:
    """The rows of a state that belong in a backup: all but registrations."""
    if state.policy is not None:
        yield SecurityPolicy(state.policy)
    if state.realm:
        yield Realm(state.realm)
    for leg_type, enabled in state.media_encryption.items():
        yield MediaEncryption(leg_type, enabled)
    for name, text in state.settings.items():
        yield Setting(name, text)
    tables: tuple[Mapping[Any, Row], ...] = (
        state.extensions,
        state.authorization_codes,
        state.sip_routes,
        state.h323_routes,
        state.license_issuers,
        state.licenses,
        state.certificates,
    )
    for table in tables:
        yield from table.values()


def without_secrets(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, each secret marked as left out."""
    for row in rows:
        held = [name for name in _secrets(row) if getattr(row, name)]
        yield _with(row, dict.fromkeys(held, LEFT_OUT))


def resealed(rows: Iterable[Row], opening: Vault, sealing: Vault) -> Iterator[Row]:
    """The rows, each secret sealed for another vault. VaultError."""
    for row in rows:
        yield _with(
            row,
            {
                name: sealing.seal(_label(row, name), opening.open(_label(row, name), getattr(row, name)))
                for name in _secrets(row)
                if getattr(row, name)
            },
        )


def plan(
    state: State, rows: Iterable[Row], *, opening: Vault | None, vault: Vault, realm: str, host: str, now: float
) -> Plan:
    """What to do to have the rows of a backup in the place of those of ``state``.

    ``opening`` opens the secrets of the backup, None: they are left out. ``vault``, ``realm``, ``host`` and ``now`` are
    this system's. VaultError where ``opening`` does not open a secret.
    """
    present = {_key(row): row for row in rows_of(state)}
    restoring = _Restoring(present, opening, vault, realm)
    for row in rows:
        restoring.add(row)
    after = restoring.finished()
    return _plan(state, present, after, restoring.lost, now=now, host=host)


# --- one row after the other


class _Restoring:
    """The rows as they will be, and what they are left without."""

    def __init__(self, present: Mapping[Key, Row], opening: Vault | None, vault: Vault, realm: str) -> None:
        self._present = present
        self._opening = opening
        self._vault = vault
        self._realm = realm
        self._after: dict[Key, Row] = {key: row for key, row in present.items() if isinstance(row, KEPT)}
        self.lost: list[Key] = []

    def add(self, row: Row) -> None:
        """Take a row of the backup."""
        if isinstance(row, Realm) or (isinstance(row, KEPT) and _key(row) in self._after):
            return
        if isinstance(row, AuthorizationCode) and row.realm != self._realm:
            self.lost.append(_key(row))  # it cannot authenticate under another realm
            return
        taken = row if not any(getattr(row, name) for name in _secrets(row)) else self._with_secrets(row)
        if taken is not None:
            self._after[_key(row)] = taken

    def finished(self) -> dict[Key, Row]:
        """The rows by their keys."""
        if any(isinstance(row, AuthorizationCode) for row in self._after.values()):
            realm = Realm(self._realm)
            self._after[_key(realm)] = realm
        if self._opening is None:
            # A backup without keys destroys none.
            held = {key: row for key, row in self._present.items() if isinstance(row, Certificate) and row.key}
            self._after = held | self._after
        return self._after

    def _with_secrets(self, row: Row) -> Row | None:
        """The row with secrets of this vault. None: it is nothing without them, or stays what it is."""
        here = self._present.get(_key(row))
        same = here is not None and _public(here) == _public(row)
        secrets_here = self._opened(here, self._vault) if here is not None and same else None
        if self._opening is None:
            if here is not None and secrets_here is not None and _held(row) <= secrets_here.keys():
                return _with(row, {name: getattr(here, name) for name in secrets_here})
            self.lost.append(_key(row))
            # A user name and a password go together.
            return replace(row, username="", password=b"") if isinstance(row, SipRoute) else None
        secrets = {name: self._opening.open(_label(row, name), getattr(row, name)) for name in _held(row)}
        if here is not None and secrets == secrets_here:
            return _with(row, {name: getattr(here, name) for name in secrets})
        return _with(row, {name: self._vault.seal(_label(row, name), secret) for name, secret in secrets.items()})

    def _opened(self, row: Row, vault: Vault) -> dict[str, bytes] | None:
        """The secrets of a row; None where the key file is not the one that they were sealed under."""
        try:
            return {name: vault.open(_label(row, name), getattr(row, name)) for name in _held(row)}
        except VaultError:
            return None


# --- before and after


def _plan(
    state: State, before: Mapping[Key, Row], after: Mapping[Key, Row], lost: list[Key], *, now: float, host: str
) -> Plan:
    extensions = {row.number: row for row in after.values() if isinstance(row, Extension)}
    codes = {row.number for row in after.values() if isinstance(row, AuthorizationCode)}
    orphans = [row for row in state.registrations.values() if row.number not in extensions]
    # Policy 2 takes every extension, so it stands for none.
    number: Any = next((row.number for row in after.values() if isinstance(row, SecurityPolicy)), 2)
    judged = policy_change(number, extensions.values(), codes)
    faults = [Fault(judged.refusal, judged.excepted)] if judged.refusal else []
    faults += _unlicensed(before, after, now=now, host=host)
    changes = (*(Remove(Registration, row.binding) for row in orphans), *_difference(before, after))
    replaced = any(after.get(key) != row for key, row in before.items())
    return Plan(
        changes=changes,
        replaces=replaced or bool(lost and changes),
        summary=_summary(before, after),
        faults=tuple(faults),
        without_code=judged.without_code if changes else (),
        lost_codes=_lost(lost, AuthorizationCode),
        lost_passwords=_lost(lost, SipRoute),
        lost_keys=_lost(lost, Certificate),
        ended=tuple(sorted({row.number for row in orphans})),
    )


def _unlicensed(before: Mapping[Key, Row], after: Mapping[Key, Row], *, now: float, host: str) -> list[Fault]:
    """A restore enables nothing that its command would refuse to enable; what is enabled here already stays so."""
    enabled = {key for key, row in after.items() if _enables(row) and before.get(key) != row}
    if not enabled:
        return []
    licences = State(
        licenses={row.serial: row for row in after.values() if isinstance(row, License)},
        license_issuers={row.public: row for row in after.values() if isinstance(row, LicenseIssuer)},
    )
    return [] if allows(licences, VOIP_SECURITY, now=now, host=host) else [Fault(LICENSE_MISSING)]


def _enables(row: Row) -> bool:
    return isinstance(row, SecurityPolicy) or (isinstance(row, MediaEncryption) and row.enabled)


def _difference(before: Mapping[Key, Row], after: Mapping[Key, Row]) -> Iterator[Change]:
    """Removals first, so that nothing of before stands in the way."""
    yield from (Remove(*key) for key in before if key not in after)
    yield from (Put(row) for key, row in after.items() if before.get(key) != row)


def _summary(before: Mapping[Key, Row], after: Mapping[Key, Row]) -> tuple[str, ...]:
    lines = []
    for table, name in NAMES.items():
        old = {key: row for key, row in before.items() if key[0] is table}
        new = {key: row for key, row in after.items() if key[0] is table}
        counts = {
            "new": len(new.keys() - old.keys()),
            "changed": sum(old[key] != new[key] for key in old.keys() & new.keys()),
            "removed": len(old.keys() - new.keys()),
        }
        told = [f"{count:,} {what}" for what, count in counts.items() if count]
        if told:
            lines.append(f"{name}: {', '.join(told)}")
    return tuple(lines)


def _lost(keys: Iterable[Key], table: type[Row]) -> tuple[Any, ...]:
    return tuple(key for of, key in keys if of is table)


# --- rows and their secrets


def _key(row: Row) -> Key:
    return type(row), getattr(row, row.KEY)


def _secrets(row: Row) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(row, "SECRETS", ())
    return names


def _held(row: Row) -> set[str]:
    return {name for name in _secrets(row) if getattr(row, name)}


def _label(row: Row, name: str) -> str:
    return label(type(row), name, getattr(row, row.KEY))


def _with(row: Row, secrets: Mapping[str, bytes]) -> Row:
    changes: dict[str, Any] = dict(secrets)
    return replace(row, **changes) if changes else row


def _public(row: Row) -> Row:
    """What of a row must be the same for its secret to be the same: all that says whose it is and whom it is for."""
    blank = _with(row, dict.fromkeys(_secrets(row), b""))
    if isinstance(blank, SipRoute):
        return SipRoute(
            blank.route, blank.protocol, blank.proxyip, blank.proxyport, (), (), blank.peer_names, blank.username
        )
    if isinstance(blank, Certificate):
        return replace(blank, installed=0.0, testbed=False)
    return blank
