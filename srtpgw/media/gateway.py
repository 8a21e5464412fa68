"""The media gateway: opens legs, joins them, changes and closes them while media flows.

    >>> from srtpgw.media import Address, LegSettings, MediaGateway
    >>> with MediaGateway(workers=1) as gateway:
    ...     a = gateway.open_leg(LegSettings(type="extension", remote=Address("127.0.0.1", 30000)))
    ...     b = gateway.open_leg(LegSettings(type="route", remote=Address("127.0.0.1", 30002)))
    ...     session = gateway.join(a, b)
    ...     received = gateway.statistics().legs[0].rtp.received_packets
    ...     gateway.close(session)

Every refusal is a ``MediaError`` and leaves things as they were. Calls come from one thread at a time; media does not
wait for them.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal, Self

from srtpgw import _native
from srtpgw.address import Address
from srtpgw.errors import KeyReuse, LibsrtpError, LimitReached, MediaError, PortUnavailable
from srtpgw.media.endpoint import address_of, endpoint_of
from srtpgw.media.keys import same_keys
from srtpgw.media.leg import SOURCE_RULES, LegSettings, forwards
from srtpgw.media.ports import PortRange
from srtpgw.media.registry import KeyRegistry
from srtpgw.media.session import Leg, Session
from srtpgw.media.statistics import Event, GatewayStatistics
from srtpgw.srtp import Receiver, Sender
from srtpgw.terms import LEG_TYPES, PACING_MAX_US, PACING_US, PORT_RANGE, WORKERS_MAX, Provider

ADDRESSING = ("remote", "remote_rtcp", "source")
FIXED = ("type", "local", "family", "rtcp_mux")  # of a leg, as long as it is open
SRTCP_SKIP = 1 << 20  # SRTCP indices passed over when the kept state is older than the last packet
EVENTS_KEPT = 10_000  # that nobody has asked for yet; older ones are forgotten
OVERLAP = 2.0  # seconds that packets under the key before are taken after a re-key


class MediaGateway:
    """Relays RTP and SRTP between legs on `workers` threads (None: one per core of the process).

    ``cpus`` pins worker n to core ``cpus[n]``. ``media_encryption`` holds the flag of each leg type, absent ones off: a
    leg with keys needs its type's flag on, one without needs it off. It may be set anew at any time: legs are judged as
    they open, and those that are open keep their mode and keys. ``crypto`` selects the provider for all legs. A worker
    rests ``pacing_us`` microseconds between batches that come close to each other, as a wake-up costs more than
    a packet; 0 to 10,000, 0: it never rests.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        cpus: Sequence[int] = (),
        engine: Literal["socket", "memory"] = "socket",
        crypto: Provider = "native",
        port_range: tuple[int, int] = PORT_RANGE,
        bind_ipv4: str = "127.0.0.1",
        bind_ipv6: str = "::1",
        advertised_ipv4: str | None = None,
        advertised_ipv6: str | None = None,
        media_encryption: Mapping[str, bool] | None = None,
        pacing_us: int = PACING_US,
        threaded: bool = True,
    ) -> None:
        count = workers if workers is not None else len(cpus) or _native.core_count()
        if not 1 <= count <= WORKERS_MAX or (cpus and len(cpus) != count):
            cores = f"{len(cpus)} named cores"
            raise MediaError(f"{count} workers on {cores}: 1 to {WORKERS_MAX} workers, and one core for each")
        if not 0 <= pacing_us <= PACING_MAX_US:
            raise MediaError(f"pacing of {pacing_us} us: 0 to {PACING_MAX_US}")
        self._ports = PortRange(*port_range)
        self._bind = {4: bind_ipv4, 6: bind_ipv6}
        self._advertised = {4: advertised_ipv4, 6: advertised_ipv6}
        self._crypto = crypto
        self.media_encryption = dict(media_encryption or {})
        self._keys = KeyRegistry()
        self._legs: dict[int, Leg] = {}
        self._event_fd = _native.open_event_fd()
        self._events: list[Event] = []
        self._workers: list[_native.Worker] = []
        try:
            for number in range(count):
                cpu = cpus[number] if cpus else -1
                ports = 2 * _native.LEG_CAPACITY
                self._workers.append(_native.Worker(engine, ports, self._event_fd, cpu, threaded, pacing_us))
        except OSError as error:
            self.shutdown()
            raise LimitReached(error.strerror or str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def __del__(self) -> None:
        # without this a gateway that is dropped in use would take contexts away under its running workers
        if hasattr(self, "_workers"):
            self.shutdown()

    @property
    def legs(self) -> list[Leg]:
        """All open legs, in the order they were opened."""
        return list(self._legs.values())

    @property
    def keys_refused(self) -> int:
        """How often a key was refused because it was in use elsewhere."""
        return self._keys.refused

    # --- legs ------------------------------------------------------------------------------------------------------

    def open_leg(self, settings: LegSettings) -> Leg:
        """Bind the leg's ports and set up its keys. What arrives is authenticated and counted, but goes nowhere until
        the leg is joined.

        PolicyRefused, KeyReuse, PortUnavailable, LimitReached, or MediaError for settings that contradict themselves.
        """
        self._check_settings(settings, self.media_encryption)
        self._check_keys(0, settings)
        if not settings.sending_state:
            self._keys.check_unused(settings.transmit_keys)
        receiver, sender = self._contexts(settings)
        worker = min(self._workers, key=lambda each: each.leg_count)
        try:
            native = _native.Leg(worker, _native_settings(settings))
        except MemoryError as error:
            raise LimitReached(str(error)) from error
        local, handles = self._bind_ports(settings, worker)
        leg = Leg(_without_state(settings), local, native)
        leg.handles = handles
        leg.advertised = Address(self._advertised[settings.address_family] or local.host, local.port)
        self._set_contexts(leg, receiver, sender, 0.0)
        native.activate()
        try:
            for kind, handle in enumerate(handles):
                worker.attach(2 * native.number + kind, handle)
        except OSError as error:
            self._take_down(leg)
            raise LimitReached(f"cannot receive at {local}: {error.strerror}") from error
        self._keys.put(leg.id, settings.receive_keys, settings.transmit_keys)
        self._legs[leg.id] = leg
        return leg

    def change(self, leg: Leg, *, overlap: float = OVERLAP, **changes: Any) -> None:
        """Change a leg while media flows: any field of LegSettings but its type, local address, family and rtcp_mux.

        New keys, either way or both, re-key the leg: rollover counters go on (RFC 3711 3.3.1), and packets under the
        receiving keys before are taken for ``overlap`` more seconds. What belongs to a key changes with the key only.
        """
        self._must_be_open(leg)
        known = {each.name for each in fields(LegSettings)}
        for name in changes:
            if name in FIXED or name not in known:
                raise MediaError(f"{name} cannot be changed on an open leg")
        settings = replace(leg.settings, **changes)
        self._check_settings(settings, None)
        if settings.encrypted != leg.settings.encrypted:
            raise MediaError("a leg does not change between plain and encrypted: open another")
        told = _native_settings(settings)
        receive, transmit = _rekeyed(leg.settings, settings)
        if receive or transmit:
            self._check_rekey(leg, settings, receive, transmit)
        receiver, sender = self._contexts(settings, receive, transmit)
        self._set_dscp(leg, settings.dscp)
        if receive or transmit:
            self._keys.put(leg.id, settings.receive_keys, settings.transmit_keys)
            if transmit and leg.session is not None:
                self._keys.use(settings.transmit_keys, self._forwarded_to(leg))
            self._set_contexts(leg, receiver, sender, overlap)
        # an address that is only said again does not undo what was learnt since
        addressed = any(getattr(settings, name) != getattr(leg.settings, name) for name in ADDRESSING)
        leg.native.update(told, addressed)
        leg.settings = _without_state(settings)

    def join(self, a: Leg, b: Leg) -> Session:
        """Relay between two legs, both ways. Where one leg sends under the very key that the other receives under, its
        packets are verified and forwarded as the identical octets (that way)."""
        for leg in (a, b):
            self._must_be_open(leg)
            if leg.session is not None:
                raise MediaError(f"{leg!r} is joined already")
        if a is b:
            raise MediaError(f"{a!r} cannot be joined to itself")
        onward, back = forwards(a.settings, b.settings), forwards(b.settings, a.settings)
        if (onward or back) and self._crypto != "native":
            raise MediaError(f"{self._crypto} cannot verify a packet and leave it as it is")
        self._keys.check_join(b.id, b.settings.transmit_keys, a.id if onward else 0)
        self._keys.check_join(a.id, a.settings.transmit_keys, b.id if back else 0)
        for leg, forwarded in ((b, onward), (a, back)):
            if not forwarded and any(key.foreign for key in leg.settings.transmit_keys):
                self._keys.refuse(f"{leg!r}: its sending key was not generated here, and may forward only")
            self._keys.check_use(leg.settings.transmit_keys, forwarded)
        self._move(b, a.native.worker)
        self._keys.use(b.settings.transmit_keys, onward)
        self._keys.use(a.settings.transmit_keys, back)
        a.native.join(b.native, onward)
        b.native.join(a.native, back)
        session = Session((a, b))
        a.session = b.session = session
        return session

    def close(self, what: Leg | Session) -> None:
        """Close a leg, or both legs of a session. Ports, descriptors and keys are free when this returns."""
        for leg in what.legs if isinstance(what, Session) else (what,):
            self._must_be_open(leg)
            self._part(leg)
            self._take_down(leg)

    def shutdown(self) -> None:
        """Close everything and end the workers. Again is harmless; in a forked child nothing happens."""
        if any(worker.forked for worker in self._workers):
            return
        for leg in self.legs:
            self._part(leg)
            self._take_down(leg)
        for worker in self._workers:
            worker.stop()
        if self._event_fd >= 0:
            self._workers.clear()
            _native.close_event_fd(self._event_fd)
            self._event_fd = -1

    # --- what happens ------------------------------------------------------------------------------------------------

    def statistics(self) -> GatewayStatistics:
        """Counters of all legs, read without disturbing the workers."""
        labels = [leg.label for leg in self._legs.values()]
        records = _native.snapshot_legs(list(self._legs))
        return GatewayStatistics(labels, records, _native.now_ns(), [worker.numbers() for worker in self._workers])

    def source_marks(self, reports: int) -> dict[int, bytes]:
        """By leg, octets that change when a source comes or goes there, and with every ``reports`` RTCP packets that it
        sends. Far cheaper than statistics."""
        return dict(zip(self._legs, _native.source_marks(list(self._legs), reports), strict=True))

    def events(self) -> list[Event]:
        """What happened since the last call, each event once, oldest first per worker."""
        _native.take_event_fd(self._event_fd)
        self._gather_events()
        found, self._events = self._events, []
        return found

    def _gather_events(self) -> None:
        """Name the legs of what the workers told, while their numbers are theirs."""
        for worker in self._workers:
            for kind, number, rtcp, time_ns, ssrc, out_ssrc, remote in worker.events():
                leg = self._legs.get(number)
                if leg is not None:
                    detail: dict[str, Any] = {"rtcp": rtcp}
                    if kind != "media-timeout":
                        detail |= {"ssrc": ssrc, "outgoing_ssrc": out_ssrc}
                    if remote:
                        detail["remote"] = str(address_of(remote))
                    self._events.append(Event(kind, number, leg.name, time_ns / 1e9, detail))
        del self._events[:-EVENTS_KEPT]

    def event_fd(self) -> int:
        """A descriptor that is readable when `events` has something, for an event loop."""
        return self._event_fd

    # --- how ---------------------------------------------------------------------------------------------------------

    def _check_settings(self, settings: LegSettings, media_encryption: Mapping[str, bool] | None) -> None:
        try:
            settings.check(media_encryption)
        except KeyReuse:
            self._keys.refused += 1
            raise

    def _check_keys(self, leg: int, settings: LegSettings) -> None:
        """Before a leg opens: its keys are nowhere else, but at a peer yet to be joined that it forwards to or from."""
        self._keys.check(leg, settings.receive_keys, settings.transmit_keys)
        crossed = self._keys.receivers(settings.transmit_keys) | self._keys.senders(settings.receive_keys)
        for number in crossed - {leg}:
            if self._legs[number].session is not None:
                self._keys.refuse(f"leg {number}, which is joined already, uses the same key the other way")

    def _forwarded_to(self, leg: Leg) -> bool:
        """Whether packets of the leg's peer leave it as they are."""
        return leg.session is not None and any(
            forwards(peer.settings, leg.settings) for peer in leg.session.legs if peer is not leg
        )

    def _check_rekey(self, leg: Leg, settings: LegSettings, receive: bool, transmit: bool) -> None:
        if receive:
            self._keys.check_receiving(leg.id, settings.receive_keys)
        if transmit and not settings.sending_state and not self._forwarded_to(leg):
            self._keys.check_unused(settings.transmit_keys)
        self._keys.check(leg.id, settings.receive_keys, settings.transmit_keys)
        if leg.session is None:
            self._check_keys(leg.id, settings)
            return
        peer = next(each for each in leg.session.legs if each is not leg).settings
        onward, back = forwards(leg.settings, peer), forwards(peer, leg.settings)
        if (forwards(settings, peer), forwards(peer, settings)) != (onward, back):
            raise MediaError("a leg does not change to or from verify-and-forward while it is joined")
        self._keys.check_use(settings.transmit_keys, back)
        if not back:
            self._keys.check_join(leg.id, settings.transmit_keys, 0)
            if any(key.foreign for key in settings.transmit_keys):
                self._keys.refuse(f"{leg!r}: a sending key must be generated here")
        if not onward and self._keys.senders(settings.receive_keys):
            self._keys.refuse(f"{leg!r}: another leg sends under its new receiving key")

    def _contexts(
        self, settings: LegSettings, receive: bool = True, transmit: bool = True
    ) -> tuple[Receiver | None, Sender | None]:
        """Fresh contexts for a leg's keys, each way as asked; none for a plain leg."""
        receiver: Receiver | None = None
        sender: Sender | None = None
        window, most = settings.window, settings.max_ssrcs
        try:
            if receive and settings.suite is not None:
                receiver = Receiver(
                    settings.suite, settings.receive_keys, window=window, max_ssrcs=most,
                    roc_hints=settings.roc_hints, provider=self._crypto,
                )  # fmt: skip
            if transmit and settings.sending_suite is not None:
                keys = settings.transmit_keys
                sender = Sender(settings.sending_suite, keys, window=window, max_ssrcs=most, provider=self._crypto)
                _resume(sender, settings)
        except (ValueError, LibsrtpError) as error:
            raise MediaError(str(error)) from error
        except MemoryError as error:
            raise LimitReached(str(error)) from error
        return receiver, sender

    def _set_dscp(self, leg: Leg, dscp: int) -> None:
        if dscp == leg.settings.dscp:
            return
        try:
            for handle in leg.handles:
                leg.native.worker.set_dscp(handle, dscp)
        except OSError as error:
            raise MediaError(f"the system refuses DSCP {dscp}: {error.strerror}") from error

    def _set_contexts(self, leg: Leg, receiver: Receiver | None, sender: Sender | None, overlap: float) -> None:
        until = _native.now_ns() + int(overlap * 1e9)
        receiving = None if receiver is None else receiver.context
        sending = None if sender is None else sender.context
        leg.native.set_contexts(receiving, sending, until)

    def _bind_ports(self, settings: LegSettings, worker: _native.Worker) -> tuple[Address, list[int]]:
        """The leg's RTP address and the handles of its one or two ports."""
        if settings.local is not None:
            local, handles, reason = self._try_ports(settings, settings.local, worker)
            if reason:
                raise PortUnavailable(reason)
            return local, handles
        host = self._bind[settings.address_family]
        for port in self._ports.candidates():
            local, handles, reason = self._try_ports(settings, Address(host, port), worker)
            if not reason:
                self._ports.take(port)
                return local, handles
        raise PortUnavailable(f"no free port is left in {self._ports} at {host}")

    def _try_ports(
        self, settings: LegSettings, local: Address, worker: _native.Worker
    ) -> tuple[Address, list[int], str]:
        """Bind RTP and, without mux, RTCP above it. The reason is empty on success; a port that is merely taken gives
        one, anything worse raises."""
        handles: list[int] = []
        wanted = [local] if settings.rtcp_mux else [local, local.next_port]
        for address in wanted:
            try:
                handle, _ = worker.bind(endpoint_of(address), settings.dscp)
            except OSError as error:
                for bound in handles:
                    worker.release(bound)
                return local, [], self._bind_fault(address, error)
            handles.append(handle)
        return local, handles, ""

    def _bind_fault(self, address: Address, error: OSError) -> str:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise LimitReached(
                "no file descriptor is left for another port: raise the limit on open files (ulimit -n)"
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortUnavailable(f"{address}: this host has no such address") from error
        if error.errno == errno.EACCES:
            return f"{address}: not permitted (ports below 1024 need CAP_NET_BIND_SERVICE)"
        return f"{address}: {'the port is taken' if error.errno == errno.EADDRINUSE else error.strerror}"

    def _move(self, leg: Leg, worker: _native.Worker) -> None:
        """Have another worker serve the leg. What arrives meanwhile waits in the sockets."""
        before = leg.native.worker
        if before is worker:
            return
        for kind in range(len(leg.handles)):
            before.detach(2 * leg.id + kind)
        leg.native.move(worker)
        try:
            for kind, handle in enumerate(leg.handles):
                worker.attach(2 * leg.id + kind, handle)
        except OSError as error:
            for kind in range(len(leg.handles)):
                worker.detach(2 * leg.id + kind)
            leg.native.move(before)
            for kind, handle in enumerate(leg.handles):
                before.attach(2 * leg.id + kind, handle)
            raise LimitReached(f"another worker cannot receive at {leg.local}: {error.strerror}") from error

    def _part(self, leg: Leg) -> None:
        session, leg.session = leg.session, None
        if session is not None:
            for each in session.legs:
                each.native.join(None, False)
                each.session = None

    def _take_down(self, leg: Leg) -> None:
        worker = leg.native.worker
        for kind, handle in enumerate(leg.handles):
            worker.detach(2 * leg.id + kind)
            worker.release(handle)
        leg.last_sending_state = leg.native.export_sending_state()
        leg.native.deactivate()
        self._gather_events()
        leg.open = False
        self._keys.forget(leg.id)
        self._legs.pop(leg.id, None)
        if leg.settings.local is None:
            self._ports.give_back(leg.local.port)

    def _must_be_open(self, leg: Leg) -> None:
        if not leg.open or self._legs.get(leg.id) is not leg:
            raise MediaError(f"{leg!r} is not open on this gateway")


def _native_settings(settings: LegSettings) -> dict[str, Any]:
    """The part of a leg that the packet loop looks at."""
    return {
        "type": LEG_TYPES.index(settings.type),
        "encrypted": settings.encrypted,
        "source_rule": SOURCE_RULES.index(settings.source_rule),
        "mux": settings.rtcp_mux,
        "hold": settings.hold,
        "clock_rate": settings.clock_rate,
        "timeout_ns": int(settings.media_timeout * 1e9),
        "remote": endpoint_of(settings.remote),
        "remote_rtcp": endpoint_of(settings.rtcp_target),
    }


def _rekeyed(before: LegSettings, after: LegSettings) -> tuple[bool, bool]:
    """Whether receiving and sending get new keys. MediaError where something changed that new keys must come with: no
    context is made twice of one key."""
    receive = not same_keys(before.receive_keys, after.receive_keys)
    transmit = not same_keys(before.transmit_keys, after.transmit_keys)
    tied = (
        (receive, ("suite", "roc_hints")),
        (transmit, ("sending_suite", "sending_state", "rename_sources")),
        (receive or transmit, ("window", "max_ssrcs")),
    )
    for fresh, names in tied:
        for name in names:
            if not fresh and getattr(before, name) != getattr(after, name):
                raise MediaError(f"{name} changes with new keys only")
    return receive, transmit


def _without_state(settings: LegSettings) -> LegSettings:
    """The sending state was for the keys it came with: no later key starts from it."""
    return replace(settings, sending_state=b"", rename_sources="none")


def _resume(sender: Sender, settings: LegSettings) -> None:
    """Take up the indices that these keys were last used with."""
    if settings.rename_sources != "none" and sender.provider != "native":
        raise ValueError(f"{sender.provider} cannot rename sources")
    if settings.sending_state:
        sender.restore_state(settings.sending_state)
    if settings.rename_sources == "all":
        sender.context.forget_sources(SRTCP_SKIP)
    elif settings.rename_sources == "unknown":
        sender.context.rename_unknown()
