"""``srtpgw relay`` at work: builds the parts, runs them until a signal, and takes them down in order.

Nothing here touches a packet: the native workers relay, this process reads counters once in a while and shows them.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from srtpgw import hardening
from srtpgw.address import Address
from srtpgw.composition import missing_cores, open_gateway
from srtpgw.errors import ConfigError, SrtpgwError, StateError
from srtpgw.media.gateway import MediaGateway
from srtpgw.media.statistics import Event, GatewayStatistics
from srtpgw.media.store import SendingStates
from srtpgw.relay.file import RelayConfig, load_relay
from srtpgw.relay.output import Output, choose_output, say, show_faults
from srtpgw.relay.sessions import Changes, Relay
from srtpgw.relay.stored import register_path, stored_flags
from srtpgw.terms import Provider

EXIT_STOPPED, EXIT_FAILED, EXIT_FILE = 0, 1, 2

KEEP_SECONDS = 1.0  # how soon the state of a new source is on disk


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


def run(file: Path, options: Options) -> int:
    """Relay as the file says until SIGINT or SIGTERM. Returns the exit status; faults are told on stderr."""
    try:
        if not options.allow_core:
            hardening.forbid_dumps()
        config = load_relay(file, options.crypto, stored_flags)
        with ExitStack() as stack:
            gateway = _open_gateway(stack, config, options)
            output = stack.enter_context(choose_output(options.as_json))
            daemon = _Daemon(gateway, config, options, output)
            metrics = options.metrics or config.gateway.metrics
            if metrics is not None:
                from srtpgw.metrics import serve

                stack.enter_context(serve(metrics, daemon.statistics))
            asyncio.run(daemon.serve())
    except ConfigError as error:
        show_faults(error)
        return EXIT_FILE
    except (SrtpgwError, OSError) as error:
        say(str(error))
        return EXIT_FAILED
    return EXIT_STOPPED


def check(file: Path, as_json: bool, crypto: Provider | None = None) -> int:
    """Read the file and open nothing. Returns the exit status."""
    try:
        config = load_relay(file, crypto, stored_flags)
    except ConfigError as error:
        show_faults(error)
        if as_json:
            faults = [{"file": fault.file, "key": fault.key, "reason": fault.reason} for fault in error.faults]
            print(json.dumps({"file": str(file), "good": False, "faults": faults}))
        return EXIT_FILE
    sessions, source = len(config.sessions), config.flags_source
    good = {"file": str(file), "good": True, "sessions": sessions, "media_encryption": source, "faults": []}
    told = f"{file}: good, {sessions} session{'s' if sessions != 1 else ''}, media encryption {source}"
    print(json.dumps(good) if as_json else told)
    return EXIT_STOPPED


def _open_gateway(stack: ExitStack, config: RelayConfig, options: Options) -> MediaGateway:
    if reason := missing_cores(config.gateway):
        raise ConfigError(config.file, "gateway.cpus", reason)
    hardening.need_descriptors(2 * len(config.sessions))
    _want_locked_memory(config)
    made = open_gateway(config.gateway, config.media_encryption, workers=options.workers, crypto=options.crypto)
    return stack.enter_context(made)


def _want_locked_memory(config: RelayConfig) -> None:
    warning = hardening.want_locked_memory(sum(leg.encrypted for each in config.sessions for leg in each.legs))
    if warning:
        say(f"warning: {warning}")


class _Daemon:
    """The loop around a relay: signals, readings, reloads."""

    def __init__(self, gateway: MediaGateway, config: RelayConfig, options: Options, output: Output) -> None:
        self._gateway = gateway
        self._config = config
        self._start = config.gateway
        self._options = options
        self._output = output
        self._crypto: Provider = options.crypto or config.gateway.crypto
        native = self._crypto == "native"
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
        self._output.closed = lambda reason: _call_in(loop, lambda: self._signal_closed(reason))
        try:
            with self._gate:
                self._relay.open(self._config)
            loop.add_reader(self._gateway.event_fd(), self._drain)
            self._output.started(self._config, self._relay, self.statistics())
            await self._run(loop)
            self._drain()
            self._output.finished(self.statistics(), self._take_events())
        finally:
            loop.remove_reader(self._gateway.event_fd())
            self._close()

    def _close(self) -> None:
        try:
            with self._gate:
                self._relay.close()
        except StateError as error:
            raise SrtpgwError(f"{error}: sending state not saved: sources are renamed at the next start") from error

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
            if now >= show_at:
                show_at = max(show_at + self._options.interval, now)
                self._output.reading(self.statistics(), self._take_events())
            if now >= keep_at:
                keep_at = max(keep_at + KEEP_SECONDS, now)
                await self._keep()

    async def _keep(self) -> None:
        """On disk in another thread: a slow disk holds up no signal."""
        try:
            await asyncio.to_thread(self._relay.keep_states, self._gate)
            self._keeping = True
        except StateError as error:
            if self._keeping:
                say(f"warning: {error}: after a crash, SSRCs in use now would not be known")
            self._keeping = False

    async def _reload(self) -> None:
        """Whatever stands against it, what runs goes on."""
        try:
            config = await asyncio.to_thread(load_relay, self._config.file, self._crypto, stored_flags)
            self._make_room(config)
            changes = self._apply(config)
        except (SrtpgwError, OSError) as error:
            show_faults(error) if isinstance(error, ConfigError) else say(str(error))
            say("what runs stays as it is")
            return
        if config.gateway != self._start:
            say(f"warning: {config.file}: gateway: changes take effect at the next start")
        for fault in changes.failed.values():
            say(f"{fault}: the session is not running until the file is read again")
        for fault in changes.refused.values():
            say(str(fault))
        for fault in changes.unsaved:
            say(f"warning: {fault}: sending state not saved: after a restart its sources are renamed")
        self._config = config
        self._output.reloaded(changes)

    def _make_room(self, config: RelayConfig) -> None:
        """For the new sessions beside those that leave: some of these close only when the new ones are open."""
        wanted = {session.name for session in config.sessions}
        leaving = sum(name not in wanted for name in self._relay.names)
        hardening.need_descriptors(2 * (len(wanted) + leaving))
        _want_locked_memory(config)

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

    def _signal_closed(self, reason: str) -> None:
        say(f"stdout was closed ({reason}): the relay stops")
        self._signal_stop()

    def _signal_reload(self) -> None:
        self._reloading = True
        self._wake.set()

    def _drain(self) -> None:
        with self._gate:
            self._events += self._gateway.events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: the relay has stopped already
        loop.call_soon_threadsafe(call)
