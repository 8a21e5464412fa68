"""What a running relay shows on stdout: JSON lines, or a live table on a terminal.

Both leave through one thread (`Writer`), because whoever reads may stall: a pipe that nobody empties, a terminal held
with Ctrl-S. The event loop never waits for them, so a signal stops the relay whatever its reader does.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Any, Protocol

from srtpgw.errors import ConfigError, SrtpgwError
from srtpgw.media.statistics import Event, GatewayStatistics
from srtpgw.relay.file import RelayConfig
from srtpgw.relay.sessions import Changes, Relay
from srtpgw.writer import Writer, nothing

EVENTS_MAX = 10_000  # held back for it; older ones are left out
EVENTS_SHOWN = 10


class Output(Protocol):
    """Where a running relay shows itself. ``closed`` is called with the reason, from any thread, when nobody can see it
    any more."""

    closed: Callable[[str], None]

    def started(self, config: RelayConfig, relay: Relay, statistics: GatewayStatistics) -> None: ...

    def reading(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None: ...

    def reloaded(self, changes: Changes) -> None: ...

    def finished(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None: ...


def say(text: str) -> None:
    """One line for the operator, on stderr so that it never mixes with JSON lines."""
    if sys.stderr is not None:  # else print() would take stdout
        with suppress(OSError, ValueError):
            print(f"srtpgw: {text}", file=sys.stderr, flush=True)


def show_faults(error: ConfigError) -> None:
    """Every fault of a file, one line each: file, key, reason."""
    for fault in error.faults:
        say(str(fault))


@contextmanager
def choose_output(as_json: bool) -> Iterator[Output]:
    """The table where stdout is a terminal, unless JSON is asked for."""
    if sys.stdout is None:
        raise SrtpgwError("stdout is closed: redirect it to /dev/null if nobody is to see it")
    writer = Writer(sys.stdout.fileno())
    try:
        with _told_aside():
            if as_json or not sys.stdout.isatty():
                yield JsonOutput(writer)
                return
            from rich.console import Console
            from rich.live import Live

            console = Console(file=_Terminal(writer), force_terminal=True)
            # What is said meanwhile goes above the table, if it goes to a terminal at all.
            aside = os.isatty(2)
            with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=aside) as live:
                yield TableOutput(writer, console, live)
    finally:
        writer.close()


@contextmanager
def _told_aside() -> Iterator[None]:
    """Let stderr, too, be written by a thread: who reads it may stall as well."""
    if sys.stderr is None:
        yield
        return
    errors = Writer(sys.stderr.fileno())
    try:
        with redirect_stderr(_Terminal(errors)):
            yield
    finally:
        errors.close()


class JsonOutput:
    """One object per line."""

    def __init__(self, writer: Writer) -> None:
        self.closed: Callable[[str], None] = nothing
        self._writer = writer
        self._writer.broken = self._broken
        self._start = time.monotonic()
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)

    def _broken(self, reason: str) -> None:
        self.closed(reason)

    def started(self, config: RelayConfig, relay: Relay, statistics: GatewayStatistics) -> None:
        """The legs with their addresses."""
        del statistics
        legs = [
            {
                "id": leg.id,
                "name": leg.name,
                "type": leg.settings.type,
                "local": str(leg.local),
                "local_rtcp": str(leg.local_rtcp),
                "advertised": str(leg.advertised),
                "encrypted": leg.settings.encrypted,
            }
            for leg in relay.legs
        ]
        self._put("started", {"file": config.file, "pid": os.getpid(), "legs": legs})

    def reading(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None:
        """A reader that stalls misses readings; their events come with the next one that it takes."""
        self._events += events
        if not self._writer.busy:
            self._put("statistics", self._report(statistics))

    def reloaded(self, changes: Changes) -> None:
        """Names of sessions by what became of them."""
        done = {name: getattr(changes, name) for name in ("added", "removed", "changed", "reopened")}
        told = {name: str(error) for name, error in changes.failed.items()}
        refused = {name: str(error) for name, error in changes.refused.items()}
        self._put("reloaded", {**done, "failed": told, "refused": refused})

    def finished(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None:
        """As a reading."""
        self._events += events
        self._put("summary", self._report(statistics))

    def _report(self, statistics: GatewayStatistics) -> dict[str, Any]:
        """Statistics and the events held back, their time, monotonic in the gateway, as that of the line."""
        since_epoch = time.time() - time.monotonic()
        told = [{**event.to_json(), "time": event.time + since_epoch} for event in self._events]
        self._events.clear()
        return {**statistics.to_json(), "events": told}

    def _put(self, kind: str, body: dict[str, Any]) -> None:
        elapsed = round(time.monotonic() - self._start, 3)
        document = {"type": kind, "time": time.time(), "elapsed": elapsed, **body}
        self._writer.put(json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n")


class _Terminal(io.StringIO):
    """What rich writes to: text goes to the writer, a flush at a time."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer
        self._text: list[str] = []

    def write(self, text: str) -> int:
        self._text.append(text)
        return len(text)

    def flush(self) -> None:
        if self._text:
            text, self._text = "".join(self._text), []
            self._writer.put(text.encode("utf-8", "replace"))

    def isatty(self) -> bool:
        return True


class TableOutput:
    """A live table, and a summary at the end."""

    def __init__(self, writer: Writer, console: Any, live: Any) -> None:
        from srtpgw.table import LiveTable

        self.closed: Callable[[str], None] = nothing
        self._writer = writer
        self._writer.broken = self._broken
        self._console = console
        self._live = live
        self._start = time.monotonic()
        self._table = LiveTable("srtpgw relay")
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)

    def _broken(self, reason: str) -> None:
        self.closed(reason)

    def started(self, config: RelayConfig, relay: Relay, statistics: GatewayStatistics) -> None:
        """The table with nothing in it yet."""
        self._table.title = f"srtpgw relay {config.file}: {len(relay.legs)} legs (Ctrl-C stops)"
        self.reading(statistics, ())

    def reading(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None:
        """Draw anew, unless the picture before has not been taken yet: rich draws over what is on the screen."""
        self._events += (f"{event.name}: {event.kind}" for event in events)
        if self._writer.busy:
            return
        screen = self._console.size.width, self._console.size.height
        picture = self._table.draw(statistics, time.monotonic(), list(self._events), screen)
        self._live.update(picture, refresh=True)

    def reloaded(self, changes: Changes) -> None:
        """One line among the events."""
        names = ("added", "removed", "changed", "reopened", "failed", "refused")
        told = ", ".join(f"{len(getattr(changes, name))} {name}" for name in names if getattr(changes, name))
        self._events.append(f"file read again: {told or 'nothing differs'}")
        if not self._writer.busy:
            self._live.refresh()  # so that a terminal that has gone is noticed at the hangup it sent

    def finished(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None:
        """What passed over the whole run, in the table's place."""
        from srtpgw.table import summary

        del events
        self._live.update("", refresh=True)
        self._console.print(summary(statistics, time.monotonic() - self._start))
