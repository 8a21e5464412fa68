"""``srtpgw relay`` at work: builds the parts, runs them until a signal, and takes them down in order.

Nothing here touches a packet: the native workers relay, this process reads counters once in a while and shows them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from srtpgw import hardening
from srtpgw.config import GatewayConfig, RelayConfig, load_relay
from srtpgw.errors import ConfigError, MediaError, SrtpgwError, StateError
from srtpgw.media.address import Address
from srtpgw.media.gateway import MediaGateway
from srtpgw.media.statistics import Event, GatewayStatistics
from srtpgw.media.store import SendingStates
from srtpgw.relay import Changes, Relay
from srtpgw.srtp import Provider

EXIT_STOPPED, EXIT_FAILED, EXIT_FILE = 0, 1, 2

KEEP_SECONDS = 1.0  # how soon the state of a new source is on disk
OUTPUT_PATIENCE = 2.0  # seconds that the last lines wait for a reader that has stalled


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line of ``srtpgw relay``; None leaves a setting to the file."""

    as_json: bool = False
    interval: float = 1.0  # seconds
    metrics: Address | None = None
    crypto: Provider | None = None
    workers: int | None = None
    allow_index_reuse: bool = False
    allow_core: bool = False


class Output(Protocol):
    """Where a running relay shows itself. ``closed`` is called, from any thread, when nobody can see it any more."""

    closed: Callable[[], None]

    def started(self, config: RelayConfig, relay: Relay) -> None: ...

    def reading(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None: ...

    def reloaded(self, changes: Changes) -> None: ...

    def finished(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None: ...


def run(file: Path, options: Options) -> int:
    """Relay as the file says until SIGINT or SIGTERM. Returns the exit status; faults are told on stderr."""
    try:
        if not options.allow_core:
            hardening.forbid_dumps()
        config = load_relay(file)
        with ExitStack() as stack:
            gateway = _open_gateway(stack, config, options)
            output = stack.enter_context(_choose_output(options))
            daemon = _Daemon(gateway, config, options, output)
            metrics = options.metrics or config.gateway.metrics
            if metrics is not None:
                stack.enter_context(_serve_metrics(metrics, daemon.statistics))
            asyncio.run(daemon.serve())
    except ConfigError as error:
        show_faults(error)
        return EXIT_FILE
    except (SrtpgwError, OSError) as error:
        say(str(error))
        return EXIT_FAILED
    return EXIT_STOPPED


def check(file: Path, as_json: bool) -> int:
    """Read the file and open nothing. Returns the exit status."""
    try:
        config = load_relay(file)
    except ConfigError as error:
        show_faults(error)
        if as_json:
            faults = [{"file": fault.file, "key": fault.key, "reason": fault.reason} for fault in error.faults]
            print(json.dumps({"file": str(file), "good": False, "faults": faults}))
        return EXIT_FILE
    sessions = len(config.sessions)
    good = json.dumps({"file": str(file), "good": True, "sessions": sessions, "faults": []})
    print(good if as_json else f"{file}: good, {sessions} session{'s' if sessions != 1 else ''}")
    return EXIT_STOPPED


def say(text: str) -> None:
    """One line for the operator, on stderr so that it never mixes with JSON lines."""
    with suppress(OSError, ValueError):
        print(f"srtpgw: {text}", file=sys.stderr, flush=True)


def show_faults(error: ConfigError) -> None:
    """Every fault of a file, one line each: file, key, reason."""
    for fault in error.faults:
        say(str(fault))


def register_path() -> Path:
    """The register of used keys: one per user, whatever file a key stands in."""
    chosen = os.environ.get("SRTPGW_STATE_DIR")
    if chosen:
        return Path(chosen) / "used-keys"
    try:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        raise StateError("used-keys", "", "has no place: set SRTPGW_STATE_DIR") from None
    return base / "srtpgw" / "used-keys"


def _open_gateway(stack: ExitStack, config: RelayConfig, options: Options) -> MediaGateway:
    hardening.need_descriptors(2 * len(config.sessions))
    warning = hardening.want_locked_memory(sum(leg.encrypted for each in config.sessions for leg in each.legs))
    if warning:
        say(f"warning: {warning}")
    settings: GatewayConfig = config.gateway
    return stack.enter_context(
        MediaGateway(
            workers=options.workers or settings.workers,
            cpus=settings.cpus,
            engine=settings.engine,
            crypto=options.crypto or settings.crypto,
            port_range=settings.port_range,
            bind_ipv4=settings.bind_ipv4,
            bind_ipv6=settings.bind_ipv6,
            advertised_ipv4=settings.advertised_ipv4,
            advertised_ipv6=settings.advertised_ipv6,
            media_encryption=config.media_encryption,
        )
    )


@contextmanager
def _serve_metrics(address: Address, read: Callable[[], GatewayStatistics]) -> Iterator[None]:
    from prometheus_client import start_http_server

    from srtpgw.metrics import registry

    try:
        server, thread = start_http_server(address.port, address.host, registry(read))
    except OSError as error:
        raise SrtpgwError(f"metrics cannot be served at {address}: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Daemon:
    """The loop around a relay: signals, readings, reloads."""

    def __init__(self, gateway: MediaGateway, config: RelayConfig, options: Options, output: Output) -> None:
        self._gateway = gateway
        self._config = config
        self._options = options
        self._output = output
        native = (options.crypto or config.gateway.crypto) == "native"
        self._relay = Relay(gateway, self._open_states, keeps_state=native, allow_reuse=options.allow_index_reuse)
        self._gate = threading.Lock()  # the gateway takes one call at a time, and metrics are read by another thread
        self._wake = asyncio.Event()
        self._stopping = False
        self._reloading = False
        self._keeping = True
        self._events: list[Event] = []

    def statistics(self) -> GatewayStatistics:
        """Counters of all legs; from any thread."""
        with self._gate:
            return self._gateway.statistics()

    async def serve(self) -> None:
        """Open the sessions, run until a signal, close them. Raises ConfigError or MediaError when they cannot open."""
        loop = asyncio.get_running_loop()
        # Before anything opens: a signal that comes while legs open stops the relay in order, just later.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signal_stop)
        loop.add_signal_handler(signal.SIGHUP, self._signal_reload)
        self._output.closed = lambda: _call_in(loop, self._signal_stop)
        try:
            with self._gate:
                self._relay.open(self._config)
            loop.add_reader(self._gateway.event_fd(), self._drain)
            self._output.started(self._config, self._relay)
            await self._run(loop)
            self._drain()
            self._output.finished(self.statistics(), self._take_events())
        finally:
            loop.remove_reader(self._gateway.event_fd())
            with self._gate:
                self._relay.close()

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        show_at = loop.time() + self._options.interval
        keep_at = loop.time() + KEEP_SECONDS
        while not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, min(show_at, keep_at) - loop.time()))
            self._wake.clear()
            if self._reloading:
                self._reloading = False
                await self._reload()
            now = loop.time()
            if now >= min(show_at, keep_at):
                statistics = self.statistics()
                if now >= show_at:
                    show_at = max(show_at + self._options.interval, now)
                    self._output.reading(statistics, self._take_events())
                if now >= keep_at:
                    keep_at = max(keep_at + KEEP_SECONDS, now)
                    await self._keep(statistics)

    async def _keep(self, statistics: GatewayStatistics) -> None:
        """On disk in another thread: a slow disk holds up no signal."""
        try:
            await asyncio.to_thread(self._relay.keep_states, statistics)
            self._keeping = True
        except StateError as error:
            if self._keeping:
                say(f"warning: {error}: after a crash, SSRCs in use now would not be known")
            self._keeping = False

    async def _reload(self) -> None:
        try:
            config = await asyncio.to_thread(load_relay, self._config.file)
            hardening.need_descriptors(2 * (len(config.sessions) + len(self._config.sessions)))
            changes = self._apply(config)
        except (ConfigError, MediaError) as error:
            show_faults(error) if isinstance(error, ConfigError) else say(str(error))
            say("what runs stays as it is")
            return
        if config.gateway != self._config.gateway:
            say(f"warning: {config.file}: gateway: changes take effect at the next start")
        for fault in changes.failed.values():
            say(f"{fault}: the session is down until the file is read again")
        self._config = config
        self._output.reloaded(changes)

    def _apply(self, config: RelayConfig) -> Changes:
        flags = self._gateway.media_encryption
        with self._gate:
            self._gateway.media_encryption = dict(config.media_encryption)
            try:
                return self._relay.apply(config)
            except BaseException:
                self._gateway.media_encryption = flags
                raise

    def _open_states(self) -> SendingStates:
        path = Path(f"{self._config.file}.state")
        return SendingStates(path, register_path(), allow_reuse=self._options.allow_index_reuse)

    def _signal_stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def _signal_reload(self) -> None:
        self._reloading = True
        self._wake.set()

    def _drain(self) -> None:
        self._events += self._gateway.events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: the relay has stopped already
        loop.call_soon_threadsafe(call)


# --- output ----------------------------------------------------------------------------------------------------------


def _nothing() -> None:
    pass


@contextmanager
def _choose_output(options: Options) -> Iterator[Output]:
    if options.as_json or not sys.stdout.isatty():
        output = _JsonOutput()
        try:
            yield output
        finally:
            output.end()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        yield _TableOutput(console, live)


class _Lines:
    """Lines to stdout from a thread of its own: a reader that stalls must not keep a signal from stopping the relay.

    While one line waits to be read, the next replaces the one behind it, so memory stays bounded.
    """

    def __init__(self, broken: Callable[[], None]) -> None:
        self._broken = broken
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def put(self, document: dict[str, Any], *, replaceable: bool = False) -> None:
        line = json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"
        with self._changed:
            if replaceable and self._waiting:
                return
            self._waiting.append(line)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(OUTPUT_PATIENCE)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                line = self._waiting.pop(0)
            try:
                while line:
                    line = line[os.write(sys.stdout.fileno(), line) :]
            except OSError:
                # Nobody reads any more: stop as if asked to, so that sending states are settled.
                self._broken()
                return


class _JsonOutput:
    def __init__(self) -> None:
        self.closed: Callable[[], None] = _nothing
        self._lines = _Lines(self._broken)
        self._start = time.monotonic()

    def end(self) -> None:
        self._lines.close()

    def started(self, config: RelayConfig, relay: Relay) -> None:
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
        # A reading with events must not be lost to a slow reader; one without is as good as the next.
        self._put("statistics", _report(statistics, events), replaceable=not events)

    def reloaded(self, changes: Changes) -> None:
        failed = {name: str(error) for name, error in changes.failed.items()}
        done = {name: getattr(changes, name) for name in ("added", "removed", "changed", "reopened")}
        self._put("reloaded", {**done, "failed": failed})

    def finished(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None:
        self._put("summary", _report(statistics, events))

    def _broken(self) -> None:
        self.closed()

    def _put(self, kind: str, body: dict[str, Any], *, replaceable: bool = False) -> None:
        elapsed = round(time.monotonic() - self._start, 3)
        self._lines.put({"type": kind, "time": time.time(), "elapsed": elapsed, **body}, replaceable=replaceable)


def _report(statistics: GatewayStatistics, events: Sequence[Event]) -> dict[str, Any]:
    """Statistics and events as plain values; the time of an event, monotonic in the gateway, as that of the line."""
    since_epoch = time.time() - time.monotonic()
    told = [{**event.to_json(), "time": event.time + since_epoch} for event in events]
    return {**statistics.to_json(), "events": told}


class _TableOutput:
    def __init__(self, console: Any, live: Any) -> None:
        from srtpgw.table import LiveTable

        self.closed: Callable[[], None] = _nothing
        self._console = console
        self._live = live
        self._start = time.monotonic()
        self._table = LiveTable("srtpgw relay")
        self._events: list[str] = []

    def started(self, config: RelayConfig, relay: Relay) -> None:
        self._table.title = f"srtpgw relay {config.file}: {len(relay.legs)} legs (Ctrl-C stops)"

    def reading(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None:
        self._events = (self._events + [f"{event.name}: {event.kind}" for event in events])[-10:]
        screen = self._console.size.width, self._console.size.height
        self._live.update(self._table.draw(statistics, time.monotonic(), self._events, screen), refresh=True)

    def reloaded(self, changes: Changes) -> None:
        counts = {name: len(getattr(changes, name)) for name in ("added", "removed", "changed", "reopened", "failed")}
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        self._events.append(f"file read again: {told or 'nothing differs'}")

    def finished(self, statistics: GatewayStatistics, events: Sequence[Event]) -> None:
        from srtpgw.table import summary

        del events
        self._live.update("", refresh=True)
        self._console.print(summary(statistics, time.monotonic() - self._start))
