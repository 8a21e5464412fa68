"""The relay file: TOML in, checked settings out.

The whole file is checked before anything is opened, and every fault found is reported, each by file, key and reason.
A reason never repeats a value of the file, because any value might be a key in the wrong place.

What a table may hold is data (`srtpgw.relay.values`): the name in the file with the function that reads its value.
docs/relay.md describes each.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from srtpgw.address import is_wildcard
from srtpgw.config import GATEWAY_KEYS, GatewayConfig
from srtpgw.document import Document, join
from srtpgw.errors import ConfigError, KeyFormatError
from srtpgw.media.keys import parse_key
from srtpgw.media.leg import LegSettings, forwards
from srtpgw.relay.values import LEG_KEYS, SECRET_KEYS
from srtpgw.srtp import KEYS_MAX, MasterKey, fingerprint
from srtpgw.terms import LEG_TYPES, Provider
from srtpgw.values import on_off, quoted

FILE_MAX = 16 << 20  # octets: some 20,000 sessions
SESSIONS_MAX = 20_000
SESSION_NAME_MAX = 64  # characters
FROM_FILE = "from the file"

# A name that reads as base64 of a key and salt, the shortest of which have 28 octets: 38 characters without padding.
_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+/]{38,}={0,2}")
_HOLDS_KEYS = re.compile(rb"""inline:|^\s*["']?(receive|transmit)-key""", re.IGNORECASE | re.MULTILINE)
_KEY_FIELDS: Final = ("suite", "transmit_suite", "receive_keys", "transmit_keys", "source")


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Two legs and the name by which a changed file finds them again."""

    name: str
    legs: tuple[LegSettings, LegSettings]

    def forwards(self, source: int) -> bool:
        """Whether what arrives at leg ``source`` (0 or 1) leaves at the other one octet for octet the same.

        So it is where one key stands on both sides: the packets are verified and passed on, never protected here.
        """
        return forwards(self.legs[source], self.legs[1 - source])


@dataclass(frozen=True, slots=True)
class Flags:
    """Media encryption by leg type, absent types off, and where that was said."""

    on: Mapping[str, bool]
    source: str


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """One relay file, checked. ``flags_source``: who set the media encryption flags."""

    file: str
    gateway: GatewayConfig
    media_encryption: Mapping[str, bool]
    sessions: tuple[SessionConfig, ...]
    flags_source: str = FROM_FILE


def _all_off() -> Flags:
    return Flags({}, "all off")


def load_relay(file: str | Path, crypto: Provider | None = None, stored: Callable[[], Flags] = _all_off) -> RelayConfig:
    """Read and check a relay file, for the provider that it names or the one given here. ``stored`` gives the flags of
    a file without ``[media-encryption]``.

    Raises ConfigError, whose ``faults`` are all that was found.
    """
    reader = _Reader(str(file))
    octets = reader.read()
    document = reader.parse(octets)
    config = reader.relay(document, stored)
    if (crypto or config.gateway.crypto) == "libsrtp":
        reader.check_libsrtp(config.sessions)
    if reader.faults:
        raise ConfigError.of(reader.faults)
    return config


# --- the file --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Leg:
    """A leg with its place in the file, and which of its settings could not be read."""

    path: str
    settings: LegSettings
    unread: set[str] = field(default_factory=set)


class _Reader(Document):
    """One reading of one relay file."""

    def read(self) -> bytes:
        """The file's octets. Who else may read it is a fault as soon as it holds a key."""
        octets, mode, foreign = self.contents(FILE_MAX)
        if _HOLDS_KEYS.search(octets):
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                self.fault("", "holds keys, but others than its owner may use it: chmod 600")
            if foreign:
                self.fault("", "holds keys, but belongs to another user")
        return octets

    def relay(self, document: dict[str, Any], stored: Callable[[], Flags]) -> RelayConfig:
        self.known(document, "", ("gateway", "media-encryption", "session"))
        gateway = GatewayConfig(**self.values(self.table(document, "gateway"), "gateway", GATEWAY_KEYS)[0])
        if reason := gateway.fault():
            self.fault("gateway.cpus", reason)
        flags, unread = self.media_encryption(document, stored)
        sessions, legs = self.sessions(document)
        self.check_legs(legs, flags, unread)
        for faults in (_shared_ports(legs), _shared_keys(legs), _circles(legs)):
            self.faults += [ConfigError(self.file, key, reason) for key, reason in faults]
        return RelayConfig(self.file, gateway, flags.on, tuple(sessions), flags.source)

    def media_encryption(self, document: dict[str, Any], stored: Callable[[], Flags]) -> tuple[Flags, set[str]]:
        """The flag of each type, and the types whose flag could not be read."""
        name = "media-encryption"
        if name not in document:
            try:
                return stored(), set()
            except ConfigError as error:
                self.faults += error.faults
                return Flags({}, ""), set(LEG_TYPES)
        flags, unread = self.values(self.table(document, name), name, dict.fromkeys(LEG_TYPES, on_off))
        if not isinstance(document.get(name, {}), dict):
            unread = set(LEG_TYPES)
        return Flags({each: flags.get(each, False) for each in LEG_TYPES}, FROM_FILE), unread

    def sessions(self, document: dict[str, Any]) -> tuple[list[SessionConfig], list[tuple[_Leg, ...]]]:
        tables = document.get("session", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.fault("session", "is not a list of tables: write [[session]]")
            tables = []
        elif not tables:
            self.fault("session", "is missing: there is nothing to relay")
        elif len(tables) > SESSIONS_MAX:
            self.fault("session", f"is there more than {SESSIONS_MAX} times")
            tables = tables[:SESSIONS_MAX]
        sessions: list[SessionConfig] = []
        all_legs: list[tuple[_Leg, ...]] = []
        names: set[str] = set()
        for number, table in enumerate(tables, start=1):
            name, path = self.session_name(table, number, names)
            self.known(table, path, ("name", "leg"))
            legs = self.legs(table, name, path)
            all_legs.append(legs)
            if len(legs) == 2:
                sessions.append(SessionConfig(name, (legs[0].settings, legs[1].settings)))
        return sessions, all_legs

    def session_name(self, table: Mapping[str, object], number: int, names: set[str]) -> tuple[str, str]:
        """The session's name and its path in messages; a session without a usable name goes by its number."""
        name = table.get("name", "")
        path = f"session[#{number}]"
        if not isinstance(name, str) or not name:
            self.fault(join(path, "name"), "is missing" if name == "" else "is not text in quotes")
        elif len(name) > SESSION_NAME_MAX or not name.isprintable() or "/" in name or "inline:" in name.lower():
            reason = f"is not printable text of at most {SESSION_NAME_MAX} characters without a slash"
            self.fault(join(path, "name"), reason)
        elif _LIKE_A_KEY.fullmatch(name):
            self.fault(join(path, "name"), "looks like a key: a name is shown in messages")
        elif name in names:
            self.fault(join(path, "name"), "is the name of an earlier session too")
        else:
            names.add(name)
            return name, f"session[{name}]"
        return f"#{number}", path

    def legs(self, table: Mapping[str, object], name: str, path: str) -> tuple[_Leg, ...]:
        tables = table.get("leg", [])
        if not isinstance(tables, list) or not all(isinstance(leg, dict) for leg in tables):
            self.fault(join(path, "leg"), "is not a list of tables: write [[session.leg]]")
            return ()
        if len(tables) != 2:
            self.fault(join(path, "leg"), f"is there {_times(len(tables))}: a session has exactly two legs")
        return tuple(
            self.leg(leg, f"{name}/{number}", f"{path}.leg[{number}]") for number, leg in enumerate(tables[:2], start=1)
        )

    def leg(self, table: Mapping[str, object], name: str, path: str) -> _Leg:
        settings, unread = self.values(table, path, LEG_KEYS, tuple(SECRET_KEYS))
        if "type" not in table:
            self.fault(join(path, "type"), "is missing")
            unread.add("type")
        if "family" in table and "local" in table:
            self.fault(join(path, "family"), "is given beside local, which says it already")
        suites = {"receive-key": settings.get("suite"), "transmit-key": settings.get("transmit_suite")}
        if "transmit_suite" not in unread:
            suites["transmit-key"] = suites["transmit-key"] or suites["receive-key"]
        given = [secret for secret in SECRET_KEYS if secret in table]
        if given and "suite" not in table:
            self.fault(join(path, "suite"), f"is missing, but {given[0]} is there")
        for secret in given:
            suite, dest = suites[secret], SECRET_KEYS[secret]
            settings[dest] = self.keys(table[secret], suite, join(path, secret)) if suite else ()
            if not settings[dest]:
                unread.add(dest)
        return _Leg(path, LegSettings(**{"type": "extension", "name": name, **settings}), unread)

    def keys(self, value: object, suite: str, path: str) -> tuple[MasterKey, ...]:
        """One key or a list of keys; empty, with its faults noted, when any of them cannot be read."""
        several = isinstance(value, list)
        items: list[object] = value if isinstance(value, list) else [value]
        if not 1 <= len(items) <= KEYS_MAX:
            self.fault(path, f"is not a list of 1 to {KEYS_MAX} keys")
            return ()
        keys: list[MasterKey] = []
        for number, item in enumerate(items, start=1):
            try:
                keys.append(parse_key(quoted(item), suite))
            except (KeyFormatError, ValueError) as error:
                self.fault(f"{path}[{number}]" if several else path, str(error))
        return tuple(keys) if len(keys) == len(items) else ()

    def check_legs(self, sessions: list[tuple[_Leg, ...]], flags: Flags, unread_flags: set[str]) -> None:
        """What legs say against themselves and the flags; what follows from an unread setting is left out."""
        for leg in (leg for legs in sessions for leg in legs):
            settings = leg.settings
            keys_unread = leg.unread.intersection(_KEY_FIELDS)
            found = [
                fault for fault in settings.faults()
                if fault.field not in leg.unread and not (keys_unread and fault.field in _KEY_FIELDS)
            ]  # fmt: skip
            judged = not keys_unread and "type" not in leg.unread and settings.type not in unread_flags
            if judged and (refusal := settings.policy_fault(flags.on)):
                found.append(
                    refusal
                    if flags.source == FROM_FILE
                    else refusal._replace(reason=f"{refusal.reason} ({flags.source})")
                )
            for fault in found:
                self.fault(join(leg.path, _file_name(fault.field)), fault.reason)
            if settings.remote is None and not leg.unread and settings.source_rule == "strict":
                self.fault(join(leg.path, "remote"), "is missing: the source rule strict hears only that address")

    def check_libsrtp(self, sessions: Sequence[SessionConfig]) -> None:
        """What this host's libsrtp cannot do of what the file asks for."""
        from srtpgw import libsrtp

        status = libsrtp.status()
        if not status["available"]:
            self.fault("gateway.crypto", f"libsrtp cannot be used: {status['fault']}")
            return
        missing = status["missing_suites"]
        assert isinstance(missing, dict)
        for session in sessions:
            path = f"session[{session.name}]"
            if any(session.forwards(number) for number in (0, 1)):
                self.fault(path, "libsrtp cannot verify a packet and leave it as it is")
            for number, leg in enumerate(session.legs, start=1):
                for name, suite in (("suite", leg.suite), ("transmit-suite", leg.transmit_suite)):
                    if suite in missing:
                        self.fault(f"{path}.leg[{number}].{name}", "is not in the libsrtp of this host")


def _shared_ports(sessions: list[tuple[_Leg, ...]]) -> Iterator[tuple[str, str]]:
    """Legs that want one port: an RTCP port is the port above, and a wildcard address covers all of its family."""
    taken: dict[tuple[int, int], list[tuple[str, _Leg]]] = {}
    for leg in (leg for legs in sessions for leg in legs):
        for address in {leg.settings.local, leg.settings.local_rtcp} - {None}:
            assert address is not None
            holders = taken.setdefault((address.family, address.port), [])
            for host, other in holders:
                if other is not leg and (host == address.host or is_wildcard(host) or is_wildcard(address.host)):
                    yield f"{leg.path}.local", f"needs port {address.port}, which {other.path}.local needs too"
            holders.append((address.host, leg))


def _shared_keys(sessions: list[tuple[_Leg, ...]]) -> Iterator[tuple[str, str]]:
    """Keys in two places. One key may stand as a leg's receiving and the other leg's sending key of one session:
    then packets are verified and passed on unchanged. Anywhere else keystream would be used twice."""
    seen: dict[bytes, list[tuple[int, _Leg, str]]] = {}
    for number, legs in enumerate(sessions):
        session = SessionConfig("", (legs[0].settings, legs[1].settings)) if len(legs) == 2 else None
        for place, leg in enumerate(legs):
            for name, dest in SECRET_KEYS.items():
                # The leg that this one's octets come from, or go to, if they pass unchanged.
                source = place if name == "receive-key" else 1 - place
                forwarded = session is not None and session.forwards(source)
                for key in getattr(leg.settings, dest):
                    holders = seen.setdefault(fingerprint(key), [])
                    for other_number, other, other_name in holders:
                        # Both ways of one leg, and one list twice, are the leg's own faults.
                        paired = forwarded and other_number == number and other_name != name
                        if other is not leg and not paired:
                            yield f"{leg.path}.{name}", f"is the key of {other.path}.{other_name} too"
                            break
                    holders.append((number, leg, name))


def _circles(sessions: list[tuple[_Leg, ...]]) -> Iterator[tuple[str, str]]:
    """Sessions that send to themselves: what leaves at one leg arrives at the other, and so on for ever."""
    for legs in sessions:
        for leg, other in zip(legs, reversed(legs), strict=True):
            own = {other.settings.local, other.settings.local_rtcp} - {None}
            if leg is not other and own & {leg.settings.remote, leg.settings.rtcp_target}:
                yield f"{leg.path}.remote", f"is where {other.path} receives: the session would send to itself"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _file_name(field_name: str) -> str:
    secrets = {dest: name for name, dest in SECRET_KEYS.items()}
    return secrets.get(field_name, field_name.replace("_", "-"))
