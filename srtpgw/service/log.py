"""The service's log: one line per event on standard error, structured, never a secret.

2026-11-24T10:15:00.250Z info media-encryption extension=on route=off intermgw=off revision=12
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

from srtpgw.writer import Writer

Level = Literal["info", "warning", "error"]

TEXT_MAX: Final = 1000  # characters of a value
_BARE = re.compile(r"[^\s\"=\\]+")


class Log:
    """Writes events. Whoever reads them may stall: the service does not wait, and lines beyond a bound are left out."""

    def __init__(self, writer: Writer | None, *, as_json: bool = False) -> None:
        self._writer = writer
        self._format = json_line if as_json else text_line

    def __call__(self, event: str, /, *, level: Level = "info", **fields: Any) -> None:
        """One event with its fields, in their order."""
        if self._writer is not None:
            self._writer.put(self._format(time.time(), level, event, fields).encode())

    def warning(self, event: str, /, **fields: Any) -> None:
        """Something that an operator should look at."""
        self(event, level="warning", **fields)


@contextmanager
def open_log(*, as_json: bool) -> Iterator[Log]:
    """The log on standard error, as long as it lasts."""
    if sys.stderr is None:
        yield Log(None)
        return
    writer = Writer(sys.stderr.fileno())
    try:
        yield Log(writer, as_json=as_json)
    finally:
        writer.close()


def text_line(now: float, level: Level, event: str, fields: Mapping[str, Any]) -> str:
    """A line for people and for tools that split at spaces; a value with others than bare characters is in quotes."""
    told = "".join(f" {name.replace('_', '-')}={_text(value)}" for name, value in fields.items() if value is not None)
    return f"{_time(now)} {level} {event}{told}\n"


def json_line(now: float, level: Level, event: str, fields: Mapping[str, Any]) -> str:
    """The same as one JSON object."""
    return json.dumps({"time": _time(now), "level": level, "event": event, **fields}, default=str) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if len(text) > TEXT_MAX:
        text = text[: TEXT_MAX - 3] + "..."
    return text if _BARE.fullmatch(text) and text.isprintable() else json.dumps(text)


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
