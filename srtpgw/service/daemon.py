"""``srtpgw run`` at work: the store, a media gateway that takes its flags from it, and whoever asks for the status.

A change that any command commits is seen within ``WATCH_SECONDS`` and holds for what is set up afterwards; legs that
are open keep their mode and keys. Nothing here touches a packet.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from srtpgw import hardening
from srtpgw.composition import missing_cores, open_gateway
from srtpgw.config import SETTINGS, ProcessConfig, shown
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import State
from srtpgw.control.store import Store
from srtpgw.control.tls import ServerTls
from srtpgw.control.vault import Vault
from srtpgw.errors import CertificateError, ConfigError, SrtpgwError, StoreError, VaultError
from srtpgw.media.gateway import MediaGateway
from srtpgw.media.statistics import GatewayStatistics
from srtpgw.service import start
from srtpgw.service.log import Log, open_log
from srtpgw.service.overview import changed_settings, flags, overview, warnings
from srtpgw.service.status import StatusServer
from srtpgw.service.supervision import ServiceManager, only_one

EXIT_STOPPED, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

WATCH_SECONDS: Final = 0.1  # how often the store, and sessions that end, are looked at
CHECK_SECONDS: Final = 60.0  # how often it is looked whether a licence or certificate has ended
REMIND_SECONDS: Final = 86_400.0  # how often warnings are told again
LEGS_ROOM: Final = 1000  # descriptors for so many are asked for at the start
RETRY_SECONDS: Final = 5.0  # after registrations could not be ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line of ``srtpgw run``, process settings aside. ``ask`` puts a question to whoever sits at the
    terminal."""

    as_json: bool = False
    accept_realm_change: bool = False
    allow_core: bool = False
    ask: Callable[[str], bool] | None = None


def run(config: ProcessConfig, options: Options) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status; what happens is told on standard error."""
    with open_log(as_json=options.as_json) as log:
        try:
            if not options.allow_core:
                hardening.forbid_dumps()
            with open_service(config, options, log) as service:
                asyncio.run(service.serve())
        except ConfigError as error:
            for fault in error.faults:
                log("refused", level="error", reason=fault)
            return EXIT_USAGE
        except (SrtpgwError, OSError) as error:
            log("failed", level="error", reason=error)
            return EXIT_FAILED
        log("stopped")
    return EXIT_STOPPED


@contextmanager
def open_service(config: ProcessConfig, options: Options, log: Log) -> Iterator[Service]:
    """Everything that a service is made of, ready to serve; taken down in order at the end. Raises SrtpgwError."""
    if reason := missing_cores(config.gateway):
        raise ConfigError(config.sources.get("cpus", ""), "cpus", reason)
    with ExitStack() as stack:
        directory = StateDirectory(config.state_dir, parents=config.at_default_place)
        stack.enter_context(only_one(directory.path))
        store = stack.enter_context(closing(Store(directory.database)))
        store.check()
        sealed = store.read().holds_secrets
        vault = Vault(lambda: _vault_key(directory, make=not sealed))
        _prepare(store, vault, config, options, log)
        hardening.need_descriptors(LEGS_ROOM)
        if warning := hardening.want_locked_memory(LEGS_ROOM):
            log.warning("memory", reason=warning)
        state = store.read()
        gateway = stack.enter_context(open_gateway(config.gateway, flags(state)))
        service = Service(config, directory, store, vault, gateway, log)
        service.take(state)
        if config.gateway.metrics is not None:
            from srtpgw.metrics import serve

            stack.enter_context(serve(config.gateway.metrics, service.statistics))
        yield service


def _prepare(store: Store, vault: Vault, config: ProcessConfig, options: Options, log: Log) -> None:
    """Bring the store to where it can be served from."""
    now, host = time.time(), os.uname().nodename
    accepted = _accept_realm(store, config.realm, options)
    names = (*config.certificate_names, host)
    for step in (
        lambda state: start.realm_step(state, config.realm, accepted),
        lambda state: start.first_licence(state, vault, now, host, config.realm),
        start.ended_step,
        lambda state: start.first_certificate(state, vault, now, names),
    ):
        try:
            line = start.carry_out(store, step, now)
        except (CertificateError, VaultError) as error:
            # The TLS ports stay closed; the rest is served.
            log.warning("certificate", reason=f"no testbed certificate was made: {error}")
            continue
        if line:
            log("store", what=line)


def _vault_key(directory: StateDirectory, *, make: bool) -> bytes:
    """The key file's octets. VaultError: only what is sealed is out of reach then, and the rest can be served."""
    try:
        return directory.vault_key(make=make)
    except StoreError as error:
        raise VaultError(str(error)) from None


def _accept_realm(store: Store, realm: str, options: Options) -> str | None:
    """The question about the realm that was answered with yes, empty where there is none; None: any is accepted."""
    if options.accept_realm_change:
        return None
    try:
        start.realm_step(store.read(), realm, "")
    except start.RealmRefused as refused:
        question = str(refused)
        if options.ask is None:
            raise SrtpgwError(f"{question} Nothing was changed: --accept-realm-change says yes") from None
        if not options.ask(question):
            raise SrtpgwError("the realm stays, so the service does not start: set the old one again") from None
        return question
    return ""


class Service:
    """A service and its gateway. Sessions may be opened through ``gateway``, from the thread that serves, with ``gate``
    held."""

    def __init__(
        self,
        config: ProcessConfig,
        directory: StateDirectory,
        store: Store,
        vault: Vault,
        gateway: MediaGateway,
        log: Log,
    ) -> None:
        self.gateway = gateway
        self.gate = threading.Lock()  # the gateway takes one call at a time, and metrics are read by another thread
        self.tls = ServerTls(vault)
        self.state = State()  # what is in force for what is set up from now on
        self.draining = False
        self._config = config
        self.directory = directory
        self._store = store
        self._log = log
        self._manager = ServiceManager(os.environ)
        self._started = time.time()
        self._since = time.monotonic()
        self._signals = 0
        self._wake = asyncio.Event()
        self._warned: tuple[str, ...] = ()
        self._check_at = 0.0
        self._remind_at = 0.0
        self._beat_at = 0.0
        self._retry_at = 0.0
        self._unread = ""  # why the store cannot be read
        self._ending = False  # there are registrations to end

    # -- what the store says

    def take(self, state: State) -> None:
        """Let this hold for what is set up from now on. What is open stays as it is."""
        with self.gate:
            self.gateway.media_encryption = flags(state)
        if flags(state) != flags(self.state) or self.state.revision == 0:
            told: dict[str, Any] = {name: "on" if on else "off" for name, on in flags(state).items()}
            self._log("media-encryption", **told, revision=state.revision)
        if self.tls.update(state):
            self._log("certificate", what="new connections get the one that is installed now")
        elif self.tls.fault is not None and state.certificates != self.state.certificates:
            self._log.warning("certificate", reason=self.tls.fault)
        if state.policy != self.state.policy:
            self._log("policy", number=state.policy or "none", revision=state.revision)
        names = changed_settings(self.state, state)
        if names and self.state.revision:
            self._log("settings", changed=names, revision=state.revision)
        self.state = state
        self._ending = any(row.ending for row in state.registrations.values())
        self._warn()

    def _warn(self) -> None:
        """Warnings when they are new, and again each day."""
        self._check_at = time.monotonic() + CHECK_SECONDS
        found = warnings(self.state, now=time.time(), host=os.uname().nodename)
        if found != self._warned or time.monotonic() >= self._remind_at:
            self._warned = found
            self._remind_at = time.monotonic() + REMIND_SECONDS
            for text in found:
                self._log.warning("attention", what=text)

    def look(self) -> None:
        """See whether the store was changed, by whomever."""
        try:
            state = self._store.changed()
        except StoreError as error:
            if not self._unread:
                self._log.warning("store", reason=f"{error}; what holds now goes on holding")
            self._unread = f"{error}; what held at revision {self.state.revision} goes on holding"
            return
        self._unread = ""
        if state is not None:
            self.take(state)

    def statistics(self) -> GatewayStatistics:
        """Counters of all legs; from any thread."""
        with self.gate:
            return self.gateway.statistics()

    # -- serving

    async def serve(self) -> None:
        """Until a signal, and then until the sessions in progress end, ``drain_seconds`` pass, or a second signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._signal_reload)
        loop.add_reader(self.gateway.event_fd(), self._drain_events)
        status = StatusServer(self.directory.path, self.report)
        try:
            await status.start()
            place = self.directory.path
            self._log("started", pid=os.getpid(), state_dir=place, realm=self._config.realm, workers=self._workers())
            self._manager.tell("READY=1", f"STATUS=serving from {place}")
            await self._watch()
            await self._drain()
        finally:
            await status.close()
            loop.remove_reader(self.gateway.event_fd())

    async def _watch(self) -> None:
        while not self.draining:
            await self._turn()

    async def _turn(self) -> None:
        """What is done again and again, until the end."""
        self.look()
        await self._end_registrations()
        if time.monotonic() >= self._check_at:
            self._warn()
        if self._manager.watchdog_seconds and time.monotonic() >= self._beat_at:
            self._beat_at = time.monotonic() + self._manager.watchdog_seconds
            self._manager.tell("WATCHDOG=1")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), WATCH_SECONDS)
        self._wake.clear()

    async def _end_registrations(self) -> None:
        """Those that the operator ended. In a thread: other writers may be waited for."""
        if not self._ending or self._unread or time.monotonic() < self._retry_at:
            return
        try:
            if line := await asyncio.to_thread(_end_registrations, self.directory):
                self._log("registrations", what=line)
        except StoreError as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._log.warning("registrations", reason=error)

    async def _drain(self) -> None:
        """Take no new sessions, and let those in progress end."""
        seconds = self._config.drain_seconds
        self._log("draining", sessions=self._sessions(), seconds=seconds)
        self._manager.tell("STOPPING=1", f"STATUS=waiting for {self._sessions()} sessions")
        until = time.monotonic() + seconds
        while self._sessions() and self._signals < 2 and time.monotonic() < until:
            await self._turn()
        if left := self._sessions():
            self._log.warning("draining", what="sessions are cut off", sessions=left)

    def stop(self) -> None:
        """End in order: drain, and at the second call do not wait for sessions."""
        self._signals += 1
        self.draining = True
        self._wake.set()

    def _signal_reload(self) -> None:
        self._log(
            "nothing-to-reload", what="settings are taken over as they are committed; process settings at a start"
        )

    def _drain_events(self) -> None:
        with self.gate:
            events = self.gateway.events()
        for event in events:
            self._log("media", leg=event.name, kind=event.kind)

    def _sessions(self) -> int:
        return sum(leg.session is not None for leg in self.gateway.legs) // 2

    def _workers(self) -> int:
        return len(self.statistics().workers)

    # -- the status

    async def report(self) -> dict[str, Any]:
        """What ``srtpgw status`` shows of a service that runs."""
        counted = await asyncio.to_thread(lambda: totals(self.statistics()))
        stored = overview(self.state, now=time.time(), host=os.uname().nodename)
        return {
            "running": True,
            "pid": os.getpid(),
            "version": version(),
            "started": self._started,
            "uptime_seconds": round(time.monotonic() - self._since, 1),
            "state_dir": str(self.directory.path),
            "draining": self.draining,
            "sessions": self._sessions(),
            **counted,
            "process_settings": process_settings(self._config),
            **stored,
            "warnings": [*self._faults(), *stored["warnings"]],
        }

    def _faults(self) -> list[str]:
        """What stands between this process and what the store says."""
        tls = f"the TLS ports: {self.tls.fault}" if self.tls.fault is not None else ""
        return [text for text in (self._unread, tls) if text]


def totals(statistics: GatewayStatistics) -> dict[str, int]:
    """Workers, legs, and packets of all legs, RTP and RTCP together."""
    ways = [way for leg in statistics.legs for way in (leg.rtp, leg.rtcp)]
    return {
        "workers": len(statistics.workers),
        "legs": len(statistics),
        "received_packets": sum(way.received_packets for way in ways),
        "sent_packets": sum(way.sent_packets for way in ways),
        "dropped_packets": sum(way.dropped for way in ways),
    }


def process_settings(config: ProcessConfig) -> Mapping[str, Any]:
    """Each as a plain value."""
    return {entry.name: shown(config.value(entry.name)) for entry in SETTINGS}


def version() -> str:
    """Of the package that runs; empty where it is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("srtpgw")
    except PackageNotFoundError:
        return ""


def _end_registrations(directory: StateDirectory) -> str:
    with closing(Store(directory.database)) as store:
        return start.carry_out(store, start.ended_step, time.time())
