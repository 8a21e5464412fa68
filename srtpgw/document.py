"""Files of settings that people write: TOML, read within bounds, every fault of a file reported at once.

A reason never repeats a value of the file, because any value might be a secret in the wrong place.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from srtpgw.errors import ConfigError
from srtpgw.values import Read

NAME_MAX = 64  # characters of a name that is looked at for what it may have been meant to be

_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class Contents(NamedTuple):
    """What a file held when it was read, and who may use it."""

    octets: bytes
    mode: int
    foreign: bool  # it belongs neither to root nor to the user of the process


@dataclass(slots=True)
class Document:
    """One reading of one file. Faults gather here, so that one does not hide the next."""

    file: str
    faults: list[ConfigError] = field(default_factory=list)

    def fault(self, key: str, reason: str) -> None:
        """Note a fault; ``key`` is the path of the entry, empty for the file itself."""
        self.faults.append(ConfigError(self.file, key, reason))

    def contents(self, octets_max: int) -> Contents:
        """The file as it is. Raises ConfigError where it cannot be read, is no regular file, or too large."""
        try:
            # Without O_NONBLOCK a named pipe would hold us until someone writes to it.
            handle = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(handle)
                octets = _read_all(handle, octets_max) if stat.S_ISREG(status.st_mode) else None
            finally:
                os.close(handle)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "is not a file name"
            raise ConfigError(self.file, "", f"cannot be read: {reason}") from None
        if octets is None:
            raise ConfigError(self.file, "", "is not a regular file")
        if len(octets) > octets_max:
            raise ConfigError(self.file, "", f"is larger than {octets_max} octets")
        return Contents(octets, status.st_mode, status.st_uid not in (0, os.geteuid()))

    def parse(self, octets: bytes) -> dict[str, Any]:
        """The TOML document. Raises ConfigError with this fault and those before."""
        import tomllib

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

    def table(self, document: dict[str, Any], name: str) -> dict[str, Any]:
        """A table of the document, empty where it is not there."""
        table = document.get(name, {})
        if not isinstance(table, dict):
            self.fault(name, f"is not a table: write [{name}]")
            return {}
        return table

    def known(self, table: Mapping[str, object], path: str, names: tuple[str, ...]) -> None:
        """Fault every name in the table that is none of ``names``."""
        for name in table:
            if name not in names:
                self.fault(join(path, _shown(name)), f"is not known{meant(name, names)}")

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
                settings[field_name(name)] = read(table[name])
            except ValueError as error:
                self.fault(join(path, name), str(error))
                unread.add(field_name(name))
        return settings, unread


def meant(name: str, names: Iterable[str], closeness: float = 0.6) -> str:
    """What somebody may have meant, as the end of a sentence; empty where nothing is close."""
    import difflib

    close = difflib.get_close_matches(name, list(names), n=1, cutoff=closeness) if len(name) <= NAME_MAX else []
    return f"; did you mean {close[0]}?" if close else ""


def join(path: str, name: str) -> str:
    """The path of an entry."""
    return f"{path}.{name}" if path else name


def field_name(name: str) -> str:
    """The Python name of an entry."""
    return name.replace("-", "_")


def _read_all(handle: int, octets_max: int) -> bytes:
    """What a file holds, up to one octet more than may be."""
    pieces: list[bytes] = []
    size = 0
    while size <= octets_max and (piece := os.read(handle, octets_max + 1 - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


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
