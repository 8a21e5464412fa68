"""A session description (RFC 8866) kept line by line, read leniently: what is not understood stays where it is.

::

    v=0                                          session section: lines up to the first m=
    o=alice 2890844526 2 IN IP4 192.0.2.1
    c=IN IP4 192.0.2.1
    m=audio 49170/2 RTP/SAVP 0 96                media section: an m= line and the lines up to the next
    a=crypto:1 ...                                     kind, port/number of ports, profile, formats

Nothing here is refused: a line that is not of the form ``letter=text`` is left out and counted, a media line that
cannot be read leaves a section without a port. Sizes are bounded. Lines may hold keys: no repr shows them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Final, NamedTuple

TEXT_MAX = 65536  # octets that are looked at
LINES_MAX = 4096
SECTIONS_MAX = 64  # media sections
CANDIDATES_MAX = 32  # of one medium that are looked at
HOST_MAX = 255  # characters

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")

_LINE = re.compile(r"[ \t]*([A-Za-z])=(.*)", re.DOTALL)
_BREAK = re.compile(rb"\r\n|\n|\r")


class Line(NamedTuple):
    kind: str  # one letter
    value: str


class Origin(NamedTuple):
    """Who made the description, and which of theirs it is: RFC 8866 5.2 makes this unique."""

    user: str
    session: str
    version: str
    host: str


class MediaLine(NamedTuple):
    kind: str  # "audio"
    port: int | None  # None: could not be read
    ports: int  # consecutive RTP ports
    profile: str
    formats: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Section:
    """The lines of the session part, or of one medium."""

    lines: tuple[Line, ...]

    def first(self, kind: str) -> str | None:
        return next((line.value for line in self.lines if line.kind == kind), None)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for line in self.lines:
            if line.kind == "a":
                name, _, value = line.value.partition(":")
                found[name.strip()].append(value.strip())
        return dict(found)

    def attributes(self, name: str) -> list[str]:
        """The values of all ``a=name:value`` and ``a=name`` ("") lines, in order."""
        return self._by_name.get(name, [])

    def has(self, name: str) -> bool:
        return name in self._by_name

    @cached_property
    def direction(self) -> str | None:
        """The first direction attribute, in the order of DIRECTIONS; None without one."""
        return next((name for name in DIRECTIONS if self.has(name)), None)

    @cached_property
    def host(self) -> str:
        """Of the connection line, numeric ones in their usual form; empty without one."""
        words = (self.first("c") or "").split()
        return _host(words[2].partition("/")[0]) if len(words) >= 3 and words[0].upper() == "IN" else ""


@dataclass(frozen=True, repr=False)
class Media(Section):
    """One m= section; its first line is the m= line."""

    index: int

    @cached_property
    def line(self) -> MediaLine:
        words = self.lines[0].value.split()
        kind, port_text, profile, *formats = [*words, "", "", ""] if len(words) < 3 else words
        first, _, number = port_text.partition("/")
        port, ports = _port(first), _port(number)
        return MediaLine(kind[:32], port, ports or 1, profile[:64], tuple(filter(None, formats)))


@dataclass(frozen=True, repr=False)
class Session(Section):
    """The session section, with the media sections behind it."""

    media: tuple[Media, ...] = ()
    left_out: int = 0  # lines that are not of the form letter=text, or beyond a bound

    @cached_property
    def origin(self) -> Origin | None:
        words = (self.first("o") or "").split()
        return Origin(words[0], words[1], words[2], _host(words[5])) if len(words) >= 6 else None

    def text(self) -> str:
        """As it would be sent."""
        lines = [*self.lines, *(line for media in self.media for line in media.lines)]
        return "".join(f"{line.kind}={line.value}\r\n" for line in lines)

    def media_address(self, media: Media) -> tuple[str, int]:
        """(host, port) where the medium is received; a port of 0 refuses it, a host of "" is not told."""
        return media.host or self.host, media.line.port or 0

    def rtcp_address(self, media: Media) -> tuple[str, int]:
        """(host, port) for RTCP: the same port if multiplexed (RFC 5761), as told (RFC 3605), else the next."""
        host, port = self.media_address(media)
        if not port or media.has("rtcp-mux") or media.has("rtcp-mux-only"):
            return host, port
        words = next(iter(media.attributes("rtcp")), "").split()
        told = _port(words[0]) if words else None
        if told is None:
            return host, min(port + 1, 65535)
        return (_host(words[3]) if len(words) >= 4 else host), told

    def candidates(self, media: Media) -> list[tuple[str, int]]:
        """(host, port) of each UDP candidate of ICE (RFC 8839 5.1), of RTP and of RTCP."""
        found: dict[tuple[str, int], None] = {}
        for value in media.attributes("candidate")[:CANDIDATES_MAX]:
            words = value.split(maxsplit=6)  # foundation, component, transport, priority, address, port, type
            if (
                len(words) == 7
                and words[2].upper() == "UDP"
                and (host := _host(words[4]))
                and (port := _port(words[5]))
            ):
                found[host, port] = None
        return list(found)

    def direction_of(self, media: Media) -> str:
        return media.direction or self.direction or "sendrecv"

    def attribute(self, media: Media, name: str) -> str | None:
        """The first value of an attribute that may stand at either level, the medium's own first."""
        return next(iter(media.attributes(name) or self.attributes(name)), None)


def read_session(octets: bytes) -> Session:
    """Read a description, from wherever its first line starts."""
    text = octets[:TEXT_MAX]
    raw = [line for line in _BREAK.split(text) if line.strip()]
    matches = [_LINE.fullmatch(line.decode("utf-8", "surrogateescape")) for line in raw[:LINES_MAX]]
    lines = [Line(match[1], match[2]) for match in matches if match]
    parts = list(_sections(lines))
    media = tuple(Media(tuple(part), index) for index, part in enumerate(parts[1 : SECTIONS_MAX + 1]))
    kept = len(parts[0]) + sum(len(section.lines) for section in media)
    return Session(tuple(parts[0]), media, len(raw) - kept)


def _sections(lines: list[Line]) -> Iterator[list[Line]]:
    """The session's lines, then those of each medium."""
    part: list[Line] = []
    for line in lines:
        if line.kind == "m":
            yield part
            part = []
        part.append(line)
    yield part


def _port(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        return None
    return port if (port := int(text)) <= 0xFFFF else None


def _host(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        return text[:HOST_MAX] if text.isascii() and text.isprintable() else ""
