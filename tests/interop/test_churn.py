"""Sessions that come, change and go by the thousand while media of others flows: nothing is lost, nothing left over."""

from __future__ import annotations

import gc
import os
import select
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from interop.wire import ALL_ON, SUITE, End, Port, Stage, fresh_key, stage, until
from model import packet
from support import FULL

from srtpgw import _native
from srtpgw.errors import KeyReuse, MediaError, PortUnavailable
from srtpgw.media import Leg, LegSettings, MediaGateway, Session

pytestmark = pytest.mark.load

SESSIONS = 10_000 if FULL else 1000
LIVE = 20  # churned sessions that are open at a time
PORTS = (28000, 28255)
GROWTH = 4 << 20  # octets of memory that may be in use more after the churn than after its first third
SUITES = [SUITE, "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]


class Pump(threading.Thread):
    """Keeps plain sessions busy, each way, from its own thread: a packet that arrives lets the next one go, so it never
    sends more than fits and needs no clock. Checks that each arrives once and in its place."""

    WINDOW = 8

    def __init__(self, gateway: MediaGateway, sessions: int) -> None:
        super().__init__(name="pump")
        self.ends: dict[int, tuple[Port, Port, Leg]] = {}  # by the descriptor of the sink: it, the speaker, its leg
        for _ in range(sessions):
            ports = Port(), Port()
            legs = [gateway.open_leg(LegSettings(type="route", remote=port.address, rtcp_mux=True)) for port in ports]
            gateway.join(legs[0], legs[1])
            for (speaker, leg), sink in zip(zip(ports, legs, strict=True), ports[::-1], strict=True):
                self.ends[sink.socket.fileno()] = (sink, speaker, leg)
        self.sent = dict.fromkeys(self.ends, 0)
        self.heard = dict.fromkeys(self.ends, 0)
        self.stopping = threading.Event()
        self.faults: list[str] = []

    def run(self) -> None:
        for descriptor in self.ends:
            for _ in range(self.WINDOW):
                self.send(descriptor)
        while self.heard != self.sent:
            ready = select.select(list(self.ends), [], [], 10)[0]
            if not ready or self.faults:
                self.faults.append("media stopped")
                return
            for descriptor in ready:
                self.hear(descriptor)

    def hear(self, descriptor: int) -> None:
        sink = self.ends[descriptor][0]
        for octets in sink.drain():
            if octets != packet.rtp(self.heard[descriptor] & 0xFFFF, descriptor):
                self.faults.append("not the packet that was to come")
            self.heard[descriptor] += 1
            if not self.stopping.is_set():
                self.send(descriptor)
        sink.heard.clear()

    def send(self, descriptor: int) -> None:
        _, speaker, leg = self.ends[descriptor]
        speaker.socket.sendto(packet.rtp(self.sent[descriptor] & 0xFFFF, descriptor), leg.local)
        self.sent[descriptor] += 1


@contextmanager
def pumping(scene: Stage, sessions: int) -> Iterator[Pump]:
    pump = Pump(scene.gateway, sessions)
    pump.start()
    try:
        yield pump
    finally:
        pump.stopping.set()
        pump.join(60)
    assert pump.faults == []
    assert pump.heard == pump.sent


class Churn:
    """Opens, changes and closes sessions of every kind. They share two sockets as far ends."""

    def __init__(self, scene: Stage) -> None:
        self.gateway = scene.gateway
        self.far = {family: Port(family) for family in (4, 6)}
        self.live: deque[tuple[Session, int]] = deque()
        self.taken = scene.beside.leg_a

    def settings(self, number: int, side: int) -> LegSettings:
        family = 6 if (number >> side) % 3 == 0 else 4
        encrypted = side == 0 or number % 4 == 0
        keys: dict[str, Any] = {}
        if encrypted:
            suite = SUITES[(number + side) % len(SUITES)]
            keys = {"suite": suite, "receive_keys": (fresh_key(suite),), "transmit_keys": (fresh_key(suite),)}
            keys["window"] = 4096 if number % 5 == 0 else 1024
        port = self.far[family].address
        return LegSettings(
            type="extension" if encrypted else "route", family=4 if family == 4 else 6, rtcp_mux=number % 2 == 0,
            remote=port, remote_rtcp=None if number % 2 == 0 else port, name=f"{number}.{side}", **keys,
        )  # fmt: skip

    def open(self, number: int) -> None:
        legs = [self.gateway.open_leg(self.settings(number, side)) for side in (0, 1)]
        self.spray(legs, number)
        self.live.append((self.gateway.join(legs[0], legs[1]), number))
        self.spray(legs, number)

    def spray(self, legs: list[Leg], number: int) -> None:
        """Packets on their way while the command side goes on."""
        for leg in legs:
            port = self.far[leg.local.family]
            for at in range(3):
                port.socket.sendto(packet.rtp(number + at & 0xFFFF, number), leg.local)
                port.socket.sendto(packet.rtcp(number), leg.local_rtcp)

    def change(self, session: Session, number: int) -> None:
        for leg in session.legs:
            suite = leg.settings.suite
            if suite is not None:
                for _ in range(2):  # the second takes away what the first had replaced
                    self.gateway.change(leg, receive_keys=(fresh_key(suite),), transmit_keys=(fresh_key(suite),))
                    self.spray([leg], number)
            self.gateway.change(leg, hold=True, dscp=number % 64)
            self.spray([leg], number + 10)
            self.gateway.change(leg, hold=False, remote=self.far[leg.local.family].address)
            leg.export_sending_state()

    def refused(self, number: int) -> None:
        """Attempts that fail half way must leave nothing either."""
        fresh = self.settings(number * 4, 0)
        with pytest.raises(PortUnavailable):
            self.gateway.open_leg(LegSettings(type="route", local=self.taken.local))
        in_use = self.taken.settings.transmit_keys
        with pytest.raises(KeyReuse):
            self.gateway.open_leg(replace(self.taken.settings, receive_keys=(fresh_key(),), transmit_keys=in_use))
        with pytest.raises(MediaError):
            self.gateway.open_leg(LegSettings(type="extension", suite=fresh.suite, receive_keys=fresh.receive_keys))

    def close(self) -> None:
        session, number = self.live.popleft()
        if number % 3 == 0:
            for leg in session.legs:
                self.spray([leg], number)
                self.gateway.close(leg)
        else:
            self.spray(list(session.legs), number)
            self.gateway.close(session)


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def in_use() -> dict[str, int]:
    """Native records, by arena, and descriptors."""
    gc.collect()
    arenas = {name: arena["live"] for name, arena in _native.memory_use()["arenas"].items()}
    return {**arenas, "descriptors": len(list(Path("/proc/self/fd").iterdir()))}


def capacity(gateway: MediaGateway) -> int:
    """How many more legs the port range has room for: opened until it is full, and closed again."""
    legs: list[Leg] = []
    with suppress(PortUnavailable):
        while True:
            legs.append(gateway.open_leg(LegSettings(type="route")))
    for leg in legs:
        gateway.close(leg)
    return len(legs)


@pytest.mark.parametrize("workers", [1, 2])
def test_sessions_come_and_go_under_load(workers: int) -> None:
    with stage(workers=workers, port_range=PORTS) as scene:
        for suite in SUITES:
            scene.call(End(encrypted=True, suite=suite))
        for call in scene.calls:
            call.talk()
            call.settle()
        churn = Churn(scene)
        with pumping(scene, 4) as pump:
            room = capacity(scene.gateway)
            before = in_use()
            early = 0
            for number in range(SESSIONS // workers):
                churn.open(number)
                churn.change(*churn.live[number % len(churn.live)])
                if len(churn.live) > LIVE:
                    churn.close()
                if number % 10 == 0:
                    churn.refused(number)
                if number % (SESSIONS // 100) == 0:  # what they hear is kept, and would show as growth
                    for call in scene.calls:
                        call.talk()
                scene.gateway.events()
                early = early or (resident() if number > SESSIONS // workers // 3 else 0)
            while churn.live:
                churn.close()
            late = resident()
            assert in_use() == before
            assert capacity(scene.gateway) == room
            assert late - early < GROWTH
            heard = sum(pump.heard.values())
        assert heard > SESSIONS // workers
        assert all(leg.rtp.drops == {} for leg in scene.gateway.statistics().legs)


def test_nothing_is_left_of_a_gateway() -> None:
    """A whole gateway with open calls, shut down: its descriptors and records, and those of the calls."""
    with stage():
        pass
    before = in_use()
    for _ in range(5):
        with stage(workers=2) as scene:
            scene.call(End(encrypted=True, family=6))
            scene.gateway.open_leg(LegSettings(type="route"))
    del scene
    assert in_use() == before


def test_ports_are_free_again_at_once() -> None:
    """Another program may have them when close returns."""
    with MediaGateway(workers=1, media_encryption=ALL_ON) as gateway:
        for _ in range(100):
            leg = gateway.open_leg(LegSettings(type="route"))
            ports = leg.local.port, leg.local_rtcp.port
            gateway.close(leg)
            for port in ports:
                Port(port=port).socket.close()


def test_an_event_stays_with_its_leg() -> None:
    """Numbers of legs are given again: what happened to the one before is not told of the next."""
    with stage() as scene:
        number = moved_and_closed(scene)
        gc.collect()
        fresh = [scene.gateway.open_leg(LegSettings(type="route", name="next")) for _ in range(2)]
        assert number in {leg.id for leg in fresh}
        assert [(event.kind, event.name) for event in scene.gateway.events()] == [("remote-changed", "before")]


def moved_and_closed(scene: Stage) -> int:
    """The number that a leg had whose far end moved, and that is gone since."""
    call = scene.call(name="before")
    call.talk(2)
    call.settle()
    call.a.rtp = Port()
    call.talk(1)
    until(lambda: call.statistics(call.a).remote == call.a.rtp.address, "the leg to move")
    for leg in (call.leg_b, call.leg_a):
        scene.gateway.close(leg)
        scene.sent.pop(leg)
    scene.in_flight.clear()
    scene.calls.remove(call)
    return leg.id
