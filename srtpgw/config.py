"""The relay file: TOML in, checked settings out.

The whole file is checked before anything is opened, and every fault found is reported, each by file, key and reason.
A reason never repeats a value of the file, because any value might be a key in the wrong place.

What a table may hold is data (`srtpgw.values`): the name in the file with the function that reads its value.
docs/relay.md describes each.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from srtpgw.errors import ConfigError, KeyFormatError
from srtpgw.media.address import Address, is_wildcard
from srtpgw.media.gateway import PACING_US
from srtpgw.media.keys import parse_key
from srtpgw.media.leg import LEG_TYPES, LegSettings, forwards
from srtpgw.media.ports import DEFAULT_RANGE
from srtpgw.srtp import KEYS_MAX, MasterKey, Provider, fingerprint
from srtpgw.values import GATEWAY_KEYS, LEG_KEYS, SECRET_KEYS, Read, on_off, quoted

FILE_MAX = 16 << 20  # octets: some 20,000 sessions
SESSIONS_MAX = 20_000
NAME_MAX = 64  # characters of a session's name

_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,32}")
# A name that reads as base64 of a key and salt, the shortest of which have 28 octets: 38 characters without padding.
_LIKE_A_KEY = re.compile(r"[A-Za-z0-9+/]{38,}={0,2}")
_HOLDS_KEYS = re.compile(rb"""inline:|^\s*["']?(receive|transmit)-key""", re.IGNORECASE | re.MULTILINE)
_KEY_FIELDS: Final = ("suite", "transmit_suite", "receive_keys", "transmit_keys", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The ``[gateway]`` table; what a relay cannot change while it runs."""

    workers: int | None = None
    cpus: tuple[int, ...] = ()
    engine: Literal["socket"] = "socket"
    crypto: Provider = "native"
    pacing_us: int = PACING_US
    port_range: tuple[int, int] = DEFAULT_RANGE
    bind_ipv4: str = "127.0.0.1"
    bind_ipv6: str = "::1"
    advertised_ipv4: str | None = None
    advertised_ipv6: str | None = None
    metrics: Address | None = None


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
class RelayConfig:
    """One relay file, checked."""

    file: str
    gateway: GatewayConfig
    media_encryption: Mapping[str, bool]
    sessions: tuple[SessionConfig, ...]


def load_relay(file: str | Path, crypto: Provider | None = None) -> RelayConfig:
    """Read and check a relay file, for the provider that it names or the one given here.

    Raises ConfigError, whose ``faults`` are all that was found.
    """
    reader = _Reader(str(file))
    octets = reader.read()
    document = reader.parse(octets)
    config = reader.relay(document)
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


@dataclass(slots=True)
class _Reader:
    """One reading of one file. Faults gather here, so that one does not hide the next."""

    file: str
    faults: list[ConfigError] = field(default_factory=list)

    def fault(self, key: str, reason: str) -> None:
        self.faults.append(ConfigError(self.file, key, reason))

    def read(self) -> bytes:
        """The file's octets. Who else may read it is a fault as soon as it holds a key."""
        try:
            # Without O_NONBLOCK a named pipe would hold us until someone writes to it.
            handle = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(handle)
                octets = _read_all(handle) if stat.S_ISREG(status.st_mode) else None
            finally:
                os.close(handle)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "is not a file name"
            raise ConfigError(self.file, "", f"cannot be read: {reason}") from None
        if octets is None:
            raise ConfigError(self.file, "", "is not a regular file")
        if len(octets) > FILE_MAX:
            raise ConfigError(self.file, "", f"is larger than {FILE_MAX} octets")
        if _HOLDS_KEYS.search(octets):
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                self.fault("", "holds keys, but others than its owner may use it: chmod 600")
            if status.st_uid not in (0, os.geteuid()):
                self.fault("", "holds keys, but belongs to another user")
        return octets

    def parse(self, octets: bytes) -> dict[str, Any]:
        reason = ""
        try:
            return tomllib.loads(octets.decode("utf-8-sig"))
        except UnicodeDecodeError:
            reason = "is not UTF-8 text"
        except RecursionError:
            reason = "nests too deeply"
        except ValueError as error:
            reason = _toml_reason(str(error))
        self.fault("", reason)
        raise ConfigError.of(self.faults)

    def relay(self, document: dict[str, Any]) -> RelayConfig:
        self.known(document, "", ("gateway", "media-encryption", "session"))
        gateway = GatewayConfig(**self.values(self.table(document, "gateway"), "gateway", GATEWAY_KEYS)[0])
        if gateway.cpus and gateway.workers not in (None, len(gateway.cpus)):
            self.fault("gateway.cpus", f"names {len(gateway.cpus)} cores for {gateway.workers} workers")
        encryption, unread = self.media_encryption(document)
        sessions, legs = self.sessions(document)
        self.check_legs(legs, encryption, unread)
        for faults in (_shared_ports(legs), _shared_keys(legs), _circles(legs)):
            self.faults += [ConfigError(self.file, key, reason) for key, reason in faults]
        return RelayConfig(self.file, gateway, encryption, tuple(sessions))

    def table(self, document: dict[str, Any], name: str) -> dict[str, Any]:
        table = document.get(name, {})
        if not isinstance(table, dict):
            self.fault(name, f"is not a table: write [{name}]")
            return {}
        return table

    def known(self, table: Mapping[str, object], path: str, names: tuple[str, ...]) -> None:
        """Fault every name in the table that is none of ``names``."""
        for name in table:
            if name in names:
                continue
            close = difflib.get_close_matches(name, names, n=1) if len(name) <= NAME_MAX else []
            hint = f"; did you mean {close[0]}?" if close else ""
            self.fault(_join(path, _shown(name)), f"is not known{hint}")

    def values(
        self, table: Mapping[str, object], path: str, keys: Mapping[str, Read], more: tuple[str, ...] = ()
    ) -> tuple[dict[str, Any], set[str]]:
        """What ``keys`` makes of a table: settings by field name, and the fields that could not be read."""
        self.known(table, path, (*keys, *more))
        settings: dict[str, Any] = {}
        unread: set[str] = set()
        for name, read in keys.items():
            if name not in table:
                continue
            try:
                settings[_field(name)] = read(table[name])
            except ValueError as error:
                self.fault(_join(path, name), str(error))
                unread.add(_field(name))
        return settings, unread

    def media_encryption(self, document: dict[str, Any]) -> tuple[dict[str, bool], set[str]]:
        """The flag of each type, and the types whose flag could not be read."""
        name = "media-encryption"
        flags, unread = self.values(self.table(document, name), name, dict.fromkeys(LEG_TYPES, on_off))
        if not isinstance(document.get(name, {}), dict):
            unread = set(LEG_TYPES)
        return {each: flags.get(each, False) for each in LEG_TYPES}, unread

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
            self.fault(_join(path, "name"), "is missing" if name == "" else "is not text in quotes")
        elif len(name) > NAME_MAX or not name.isprintable() or "/" in name or "inline:" in name.lower():
            self.fault(_join(path, "name"), f"is not printable text of at most {NAME_MAX} characters without a slash")
        elif _LIKE_A_KEY.fullmatch(name):
            self.fault(_join(path, "name"), "looks like a key: a name is shown in messages")
        elif name in names:
            self.fault(_join(path, "name"), "is the name of an earlier session too")
        else:
            names.add(name)
            return name, f"session[{name}]"
        return f"#{number}", path

    def legs(self, table: Mapping[str, object], name: str, path: str) -> tuple[_Leg, ...]:
        tables = table.get("leg", [])
        if not isinstance(tables, list) or not all(isinstance(leg, dict) for leg in tables):
            self.fault(_join(path, "leg"), "is not a list of tables: write [[session.leg]]")
            return ()
        if len(tables) != 2:
            self.fault(_join(path, "leg"), f"is there {_times(len(tables))}: a session has exactly two legs")
        return tuple(
            self.leg(leg, f"{name}/{number}", f"{path}.leg[{number}]") for number, leg in enumerate(tables[:2], start=1)
        )

    def leg(self, table: Mapping[str, object], name: str, path: str) -> _Leg:
        settings, unread = self.values(table, path, LEG_KEYS, tuple(SECRET_KEYS))
        if "type" not in table:
            self.fault(_join(path, "type"), "is missing")
            unread.add("type")
        if "family" in table and "local" in table:
            self.fault(_join(path, "family"), "is given beside local, which says it already")
        suites = {"receive-key": settings.get("suite"), "transmit-key": settings.get("transmit_suite")}
        if "transmit_suite" not in unread:
            suites["transmit-key"] = suites["transmit-key"] or suites["receive-key"]
        given = [secret for secret in SECRET_KEYS if secret in table]
        if given and "suite" not in table:
            self.fault(_join(path, "suite"), f"is missing, but {given[0]} is there")
        for secret in given:
            suite, dest = suites[secret], SECRET_KEYS[secret]
            settings[dest] = self.keys(table[secret], suite, _join(path, secret)) if suite else ()
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

    def check_legs(
        self, sessions: list[tuple[_Leg, ...]], encryption: Mapping[str, bool], unread_flags: set[str]
    ) -> None:
        """What legs say against themselves and the flags; what follows from an unread setting is left out."""
        for leg in (leg for legs in sessions for leg in legs):
            settings = leg.settings
            keys_unread = leg.unread.intersection(_KEY_FIELDS)
            found = [
                fault for fault in settings.faults()
                if fault.field not in leg.unread and not (keys_unread and fault.field in _KEY_FIELDS)
            ]  # fmt: skip
            judged = not keys_unread and "type" not in leg.unread and settings.type not in unread_flags
            if judged and (refusal := settings.policy_fault(encryption)):
                found.append(refusal)
            for fault in found:
                self.fault(_join(leg.path, _file_name(fault.field)), fault.reason)
            if settings.remote is None and not leg.unread and settings.source_rule == "strict":
                self.fault(_join(leg.path, "remote"), "is missing: the source rule strict hears only that address")

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


def _read_all(handle: int) -> bytes:
    """What a file holds, up to one octet more than may be."""
    pieces: list[bytes] = []
    size = 0
    while size <= FILE_MAX and (piece := os.read(handle, FILE_MAX + 1 - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


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


def _toml_reason(message: str) -> str:
    """The parser's message with its position; its words only where they quote nothing of the file."""
    words, _, position = message.partition(" (at ")
    place = f" (at {position}" if position else ""
    # What the parser expected is its own text, quoted or not.
    quotes = set("'\"(") & set(words) and not words.startswith("Expected ")
    return f"is not TOML{place}" if quotes else f"is not TOML: {words}{place}"


def _shown(name: str) -> str:
    """A name from the file as messages may show it: nothing that might be a key in the wrong place."""
    if _SHOWABLE.fullmatch(name) and "inline" not in name.lower():
        return name
    return f"(a name of {len(name)} characters)"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _field(name: str) -> str:
    return name.replace("-", "_")


def _file_name(field_name: str) -> str:
    secrets = {dest: name for name, dest in SECRET_KEYS.items()}
    return secrets.get(field_name, field_name.replace("_", "-"))
