"""The configuration files of D4 and D5 terminals: the line that turns TLS and SRTP on (specification, section 7).

::

    # telephones of the first floor        kept: comments, settings not known here, blank lines, line ends, octets
    SECURITY = enabled                     set: every line with this key, for nobody says which of two a terminal obeys

A file is taken as lines of octets in any encoding that has ASCII in it; only the value of that key is ever replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from srtpgw.control.model import PolicyNumber
from srtpgw.errors import ConfigError

Security = Literal["enabled", "disabled"]

FILES: Final[Mapping[str, str]] = MappingProxyType({
    "d42x02-config.txt": "DBC42x02 (D4)",
    "d44x01-config.txt": "DBC44601 (D5)",
})  # fmt: skip
KEY: Final = "SECURITY"
FILE_MAX = 1 << 18  # octets
LINES_MAX = 1 << 14

_SETTING = re.compile(rb"(?:\xef\xbb\xbf)?[ \t]*SECURITY[ \t]*=[ \t]*", re.IGNORECASE)  # a mark of UTF-8 may go before
_COMMENT = re.compile(rb"[#;]")


def security_called_for(policy: PolicyNumber | None, extension_encryption: bool) -> Security:
    """What the files are to say. A file is for all terminals of a type, not for one number, so one number that must log
    on securely decides for all: under each policy the files say enabled (a secure logon is welcome everywhere). Without
    a policy they do where media encryption is on for extensions, which needs keys over TLS, and else not: VoIP security
    is off by default."""
    return "enabled" if policy is not None or extension_encryption else "disabled"


@dataclass(frozen=True, slots=True, repr=False)
class TerminalFile:
    """A file as lines with their ends. It may hold passwords that are no business of ours, so no repr shows it."""

    name: str
    lines: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"TerminalFile({self.name!r}, ...)"

    @property
    def octets(self) -> bytes:
        """The file, to the octet."""
        return b"".join(self.lines)

    def security(self) -> Security | None:
        """What it says; None where it does not. ConfigError where it says neither enabled nor disabled, or both."""
        values = {value.lower() for _, value, _ in self._settings()}
        if not values:
            return None
        if values == {b"enabled"}:
            return "enabled"
        if values == {b"disabled"}:
            return "disabled"
        both = values == {b"enabled", b"disabled"}
        raise ConfigError(self.name, KEY, "is both enabled and disabled" if both else "is neither enabled nor disabled")

    def with_security(self, value: Security) -> TerminalFile:
        """The same file saying this: in every line that has the key, or in a new one at the end."""
        lines = list(self.lines)
        wanted = value.encode()
        count = 0
        for index, old, start in self._settings():
            line = lines[index]
            rest = line[start + len(old) :]
            gap = b" " if not old and _COMMENT.match(rest) else b""  # the comment must not become a part of the value
            lines[index] = line[:start] + wanted + gap + rest
            count += 1
        if not count:
            lines = self._with_line(f"{KEY} = {value}".encode())
        return TerminalFile(self.name, tuple(lines))

    def _settings(self) -> Iterator[tuple[int, bytes, int]]:
        """Each line with the key: its index, the value, and where in the line the value starts."""
        for index, line in enumerate(self.lines):
            if setting := _SETTING.match(line):
                text = line.rstrip(b"\r\n")
                comment = _COMMENT.search(text, setting.end())
                value = text[setting.end() : comment.start() if comment else len(text)]
                yield index, value.rstrip(b" \t"), setting.end()

    def _with_line(self, text: bytes) -> list[bytes]:
        """The lines and one more; it ends as the first one does."""
        lines = list(self.lines)
        first = lines[0] if lines else b""
        end = first[len(first.rstrip(b"\r\n")) :] or b"\n"
        if lines and not lines[-1].endswith((b"\r", b"\n")):
            lines[-1] += end
        return [*lines, text + end]


def read_terminal_file(name: str, octets: bytes) -> TerminalFile:
    """A file as the operator made it; ``name`` is for messages. ConfigError where it is too large or not text."""
    if len(octets) > FILE_MAX:
        raise ConfigError(name, "", f"is larger than {FILE_MAX} octets")
    if b"\0" in octets:
        raise ConfigError(name, "", "is not text in an encoding with ASCII in it: save it as UTF-8")
    lines = tuple(octets.splitlines(keepends=True))
    if len(lines) > LINES_MAX:
        raise ConfigError(name, "", f"has more than {LINES_MAX} lines")
    return TerminalFile(name, lines)
