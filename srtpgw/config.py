"""The relay file: TOML in, checked settings out.

The whole file is checked before anything is opened, and every fault found is reported, each by file, key and reason.
A reason never repeats a value of the file, because any value might be a key in the wrong place.

What a table may hold is data (``GATEWAY_KEYS``, ``LEG_KEYS``): the name in the file with the function that reads its
value. docs/relay.md describes each.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from srtpgw.errors import ConfigError, KeyFormatError
from srtpgw.media.address import Address, is_wildcard, parse_host
from srtpgw.media.keys import parse_key, relay_suites, same_keys
from srtpgw.media.leg import LEG_TYPES, SOURCE_RULES, LegSettings
from srtpgw.media.ports import FIRST as FIRST_PORT
from srtpgw.media.ports import LAST as LAST_PORT
from srtpgw.srtp import HINTS_MAX, KEYS_MAX, MasterKey, Provider, fingerprint

FILE_MAX = 16 << 20  # octets: some 20,000 sessions
SESSIONS_MAX = 20_000
NAME_MAX = 64  # characters of a session's name
WORKERS_MAX = 256
CPUS_MAX = 4096

_ON_OFF: Final = {"on": True, "off": False}
_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_HOLDS_KEYS = re.compile(rb"""inline:|^\s*["']?(receive|transmit)-key""", re.IGNORECASE | re.MULTILINE)
_KEY_FIELDS: Final = ("suite", "transmit_suite", "receive_keys", "transmit_keys", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The ``[gateway]`` table; what a relay cannot change while it runs."""

    workers: int | None = None
    cpus: tuple[int, ...] = ()
    engine: Literal["socket"] = "socket"
    crypto: Provider = "native"
    port_range: tuple[int, int] = (16384, 32767)
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
        here, there = self.legs[source], self.legs[1 - source]
        return (
            bool(here.receive_keys)
            and here.suite == there.sending_suite
            and same_keys(here.receive_keys, there.transmit_keys)
        )


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """One relay file, checked."""

    file: str
    gateway: GatewayConfig
    media_encryption: Mapping[str, bool]
    sessions: tuple[SessionConfig, ...]


def load_relay(file: str | Path) -> RelayConfig:
    """Read and check a relay file. Raises ConfigError, whose ``faults`` are all that was found."""
    reader = _Reader(str(file))
    octets = reader.read()
    document = reader.parse(octets)
    config = reader.relay(document)
    if reader.faults:
        raise ConfigError.of(reader.faults)
    return config


# --- values ----------------------------------------------------------------------------------------------------------
# Each takes what TOML gave and returns the setting, or raises ValueError with a reason that reads on from the key.


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text in quotes")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is not a whole number")
    return value


def _number(value: object) -> float:
    return float(value) if isinstance(value, float) else float(_bounded(-(1 << 53), 1 << 53)(value))


def _bounded(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = _whole(value)
        if not low <= number <= high:
            raise ValueError(f"is outside {low} to {high}")
        return number

    return read


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return read


def _host(version: int) -> Callable[[object], str]:
    return lambda value: parse_host(_text(value), version)


def _address(value: object) -> Address:
    return Address.parse(_text(value))


def _family(value: object) -> int:
    if _whole(value) not in (4, 6):
        raise ValueError("is neither 4 nor 6")
    return _whole(value)


def _wholes(most: int, low: int, high: int) -> Callable[[object], tuple[int, ...]]:
    def read(value: object) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"is not a list of at most {most} whole numbers")
        return tuple(_bounded(low, high)(item) for item in value)

    return read


def _port_range(value: object) -> tuple[int, int]:
    ports = _wholes(2, FIRST_PORT, LAST_PORT)(value)
    if len(ports) != 2 or ports[0] >= ports[1]:
        raise ValueError("is not [LOWEST, HIGHEST]")
    return ports[0], ports[1]


_Read = Callable[[object], Any]

GATEWAY_KEYS: Final[Mapping[str, _Read]] = {
    "workers": _bounded(1, WORKERS_MAX),
    "cpus": _wholes(WORKERS_MAX, 0, CPUS_MAX),
    "engine": _one_of(("socket",)),
    "crypto": _one_of(("native", "libsrtp")),
    "port-range": _port_range,
    "bind-ipv4": _host(4),
    "bind-ipv6": _host(6),
    "advertised-ipv4": _host(4),
    "advertised-ipv6": _host(6),
    "metrics": _address,
}

LEG_KEYS: Final[Mapping[str, _Read]] = {
    "type": _one_of(LEG_TYPES),
    "local": _address,
    "family": _family,
    "rtcp-mux": _flag,
    "remote": _address,
    "remote-rtcp": _address,
    "source": _one_of(SOURCE_RULES),
    "suite": _one_of(relay_suites()),
    "transmit-suite": _one_of(relay_suites()),
    "window": _whole,
    "max-ssrcs": _whole,
    "dscp": _whole,
    "hold": _flag,
    "media-timeout": _number,
    "clock-rate": _whole,
    "roc-hints": _wholes(HINTS_MAX, 0, (1 << 32) - 1),
}
# Read once the suite is known, for their lengths hang on it.
SECRET_KEYS: Final[Mapping[str, str]] = {"receive-key": "receive_keys", "transmit-key": "transmit_keys"}


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
            return tomllib.loads(octets.decode("utf-8"))
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
        encryption = self.media_encryption(self.table(document, "media-encryption"))
        sessions, legs = self.sessions(document)
        self.check_legs(legs, encryption)
        self.faults += [ConfigError(self.file, key, reason) for key, reason in _shared_ports(legs)]
        self.faults += [ConfigError(self.file, key, reason) for key, reason in _shared_keys(legs)]
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
        self, table: Mapping[str, object], path: str, keys: Mapping[str, _Read], more: tuple[str, ...] = ()
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

    def media_encryption(self, table: Mapping[str, object]) -> dict[str, bool]:
        flags, _ = self.values(table, "media-encryption", dict.fromkeys(LEG_TYPES, _one_of(tuple(_ON_OFF))))
        return {name: _ON_OFF[flags.get(name, "off")] for name in LEG_TYPES}

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
            self.fault(_join(path, "leg"), f"is there {len(tables)} times: a session has exactly two legs")
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
                keys.append(parse_key(_text(item), suite))
            except (KeyFormatError, ValueError) as error:
                self.fault(f"{path}[{number}]" if several else path, str(error))
        return tuple(keys) if len(keys) == len(items) else ()

    def check_legs(self, sessions: list[tuple[_Leg, ...]], encryption: Mapping[str, bool]) -> None:
        """What legs say against themselves and the flags; what follows from an unread setting is left out."""
        for leg in (leg for legs in sessions for leg in legs):
            settings = leg.settings
            keys_unread = leg.unread.intersection(_KEY_FIELDS)
            found = [
                fault for fault in settings.faults()
                if fault.field not in leg.unread and not (keys_unread and fault.field in _KEY_FIELDS)
            ]  # fmt: skip
            if not keys_unread and "type" not in leg.unread and (refusal := settings.policy_fault(encryption)):
                found.append(refusal)
            for fault in found:
                self.fault(_join(leg.path, _file_name(fault.field)), fault.reason)
            if settings.remote is None and not leg.unread and settings.source_rule == "strict":
                self.fault(_join(leg.path, "remote"), "is missing: the source rule strict hears only that address")


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


def _toml_reason(message: str) -> str:
    """The parser's message with its position; its words only where they quote nothing of the file."""
    words, _, position = message.partition(" (at ")
    place = f" (at {position}" if position else ""
    return f"is not TOML{place}" if set("'\"(") & set(words) else f"is not TOML: {words}{place}"


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
