"""Calls through a running gateway, driven by the test: both ends of each, strangers, and everything counted.

    phone (an End) ==SRTP== leg a | gateway | leg b ==RTP or SRTP== trunk (an End)

The ends protect and open by the model in tests/model, which shares nothing with the gateway. No packet is sent before
there is room for it in the gateway's socket, so whatever is missing in the end was lost by the gateway. Nothing is
judged by time: the test waits for counters, and gives up after PATIENCE.
"""

from __future__ import annotations

import itertools
import random
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from model import packet, transform
from model.keys import SessionKeys, session_keys
from model.suites import SUITES
from model.window import estimate

from srtpgw.media import Address, Event, Leg, LegSettings, LegStatistics, MediaGateway
from srtpgw.media.statistics import DirectionStatistics
from srtpgw.srtp import MasterKey

PATIENCE = 30.0  # seconds
SOCKET_BUFFER = 4 << 20  # octets
IN_FLIGHT = 100_000  # octets of kernel memory: half of what a socket may hold by default
PACKET_COST = 1300  # octets of kernel memory that a short datagram takes at most
SUITE = "AES_CM_128_HMAC_SHA1_80"
HOSTS = {4: "127.0.0.1", 6: "::1"}
ALL_ON = {"extension": True, "route": False, "intermgw": True}
OPEN: list[Port] = []  # closed with the stage
SEEDS = itertools.count(1)  # each end has other packets, and the same ones in each run


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that another thread or process is about to do."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, f"still waiting after {PATIENCE:.0f} s: {what}"
        time.sleep(0.0005)


def fresh_key(suite: str = SUITE, **options: Any) -> MasterKey:
    sizes = SUITES[suite]
    return MasterKey(secrets.token_bytes(sizes.key_length + sizes.salt_length), **options)


class Port:
    """A UDP socket that remembers every datagram, in order."""

    def __init__(self, family: int = 4, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        self.socket.setblocking(False)
        self.socket.bind((HOSTS[family], port))
        self.address = Address(*self.socket.getsockname()[:2])
        self.heard: list[bytes] = []
        OPEN.append(self)

    def drain(self) -> list[bytes]:
        """What came since the last call."""
        new = []
        while True:
            try:
                new.append(self.socket.recv(65536))
            except BlockingIOError:
                self.heard += new
                return new


class Keyed:
    """One direction of SRTP and SRTCP under one master key, by the model. Remembers every index it opened."""

    def __init__(self, suite: str = SUITE, master: MasterKey | None = None, roc: int = 0) -> None:
        self.name = suite
        self.suite = SUITES[suite]
        self.master = master or fresh_key(suite)
        self.roc = roc
        self.newest: dict[int, int] = {}
        self.opened: dict[tuple[int, int], bytes] = {}
        self.opened_rtcp: dict[tuple[int, int], bytes] = {}

    def session(self, rtcp: bool) -> SessionKeys:
        key = self.master.key_and_salt
        return session_keys(self.suite, key[: self.suite.key_length], key[self.suite.key_length :], rtcp=rtcp)

    def seal(self, plain: bytes, index: int) -> bytes:
        return transform.protect_rtp(self.suite, self.session(False), plain, index, mki=self.master.mki)

    def seal_rtcp(self, plain: bytes, index: int, *, encrypt: bool = True) -> bytes:
        return transform.protect_rtcp(
            self.suite, self.session(True), plain, index, mki=self.master.mki, encrypt=encrypt
        )  # fmt: skip

    def open(self, wire: bytes) -> bytes:
        """BadTag where it is not authentic. One index may be used once: that the far end holds its window shut
        against a second use is not the question here."""
        sequence, ssrc = int.from_bytes(wire[2:4], "big"), int.from_bytes(wire[8:12], "big")
        newest = self.newest.get(ssrc)
        index = self.roc << 16 | sequence if newest is None else estimate(newest, sequence)
        index = index if index >= 0 else sequence
        plain = transform.unprotect_rtp(
            self.suite, self.session(False), wire, index, mki_length=len(self.master.mki)
        )  # fmt: skip
        assert (ssrc, index) not in self.opened, f"keystream of SSRC {ssrc:08x}, index {index:x} twice"
        self.opened[ssrc, index] = plain
        self.newest[ssrc] = max(index, newest or 0)
        return plain

    def open_rtcp(self, wire: bytes) -> bytes:
        encrypted, index = transform.srtcp_index(self.suite, wire, len(self.master.mki))
        assert encrypted, "SRTCP in clear"
        plain = transform.unprotect_rtcp(self.suite, self.session(True), wire, mki_length=len(self.master.mki))
        place = (int.from_bytes(wire[4:8], "big"), index)
        assert place not in self.opened_rtcp, f"keystream of SRTCP index {index:x} twice"
        self.opened_rtcp[place] = plain
        return plain


class End:
    """A far end: a phone with SRTP, a trunk without. What it says and hears is kept as plain packets."""

    def __init__(
        self, *, encrypted: bool, family: int = 4, mux: bool = False, suite: str = SUITE, reply_suite: str | None = None
    ) -> None:
        """`reply_suite` is what the gateway sends with, where that differs."""
        self.family = family
        self.mux = mux
        self.rtp = Port(family)
        self.rtcp = self.rtp if mux else Port(family)
        self.out = Keyed(suite) if encrypted else None
        self.into = Keyed(reply_suite or suite) if encrypted else None
        self.random = random.Random(next(SEEDS))
        self.ssrc = self.random.getrandbits(32)
        self.index = self.random.randrange(1, 0x4000)  # of the next packet; the rollover counter is its upper part
        self.rtcp_index = 1
        self.leg: Leg | None = None
        self.said: list[bytes] = []  # and as it went over the wire:
        self.wires: list[bytes] = []
        self.heard: list[bytes] = []
        self.said_rtcp: list[bytes] = []
        self.wires_rtcp: list[bytes] = []
        self.heard_rtcp: list[bytes] = []

    def settings(self, type: str, **options: Any) -> LegSettings:  # noqa: A002 - the setting's own name
        keys: dict[str, Any] = {}
        if self.out is not None and self.into is not None:
            other = self.into.name if self.into.name != self.out.name else None
            keys = {"suite": self.out.name, "transmit_suite": other}
            keys |= {"receive_keys": (self.out.master,), "transmit_keys": (self.into.master,)}
        remote_rtcp = None if self.mux else self.rtcp.address
        place = {"remote": self.rtp.address, "remote_rtcp": remote_rtcp, "rtcp_mux": self.mux, "family": self.family}
        return LegSettings(**{"type": type, **place, **keys, **options})

    def packet(self, payload: bytes | None = None, *, ssrc: int | None = None, ahead: int = 0) -> bytes:
        """The plain packet that would come next (`ahead`: later), without sending or counting it."""
        index = self.index + ahead
        payload = self.random.randbytes(160) if payload is None else payload
        ssrc = self.ssrc if ssrc is None else ssrc
        return packet.rtp(index & 0xFFFF, ssrc, payload, timestamp=index * 160 & 0xFFFFFFFF)

    def sealed(self, plain: bytes, index: int) -> bytes:
        return plain if self.out is None else self.out.seal(plain, index)

    def hear(self) -> None:
        """Take in what arrived. What cannot be opened, and anything in clear at an SRTP end, fails the test."""
        for port in {self.rtp, self.rtcp}:
            for wire in port.drain():
                rtcp = len(wire) > 1 and 192 <= wire[1] <= 223
                assert self.mux or rtcp == (port is self.rtcp), "media of the wrong kind at a port"
                if rtcp:
                    self.heard_rtcp.append(wire if self.into is None else self.into.open_rtcp(wire))
                else:
                    self.heard.append(wire if self.into is None else self.into.open(wire))

    def has_heard(self, count: int, rtcp_count: int = 0) -> bool:
        """Whether so many packets of media and of RTCP, or more, have come."""
        self.hear()
        return len(self.heard) >= count and len(self.heard_rtcp) >= rtcp_count


class Call:
    """Two ends and the session between them."""

    def __init__(self, stage: Stage, a: End, b: End, leg_a: Leg, leg_b: Leg) -> None:
        self.stage = stage
        self.a, self.b = a, b
        a.leg, b.leg = leg_a, leg_b
        self.leg_a, self.leg_b = leg_a, leg_b

    def say(self, end: End, payload: bytes | None = None, *, plain: bytes | None = None) -> bytes:
        """One RTP packet from an end, in sequence (`plain`: this one). The plain packet."""
        plain = plain or end.packet(payload)
        wire = end.sealed(plain, end.index)
        end.index += 1
        end.said.append(plain)
        end.wires.append(wire)
        self.stage.send(end.rtp, wire, self.leg_of(end))
        return plain

    def report(self, end: End, plain: bytes | None = None) -> bytes:
        """One RTCP packet (a sender report) from an end."""
        if plain is None:
            plain = packet.rtcp(end.ssrc, end.random.randbytes(20))
        wire = plain if end.out is None else end.out.seal_rtcp(plain, end.rtcp_index)
        end.rtcp_index += 1
        end.said_rtcp.append(plain)
        end.wires_rtcp.append(wire)
        self.stage.send(end.rtcp, wire, self.leg_of(end), rtcp=not end.mux)
        return plain

    def talk(self, count: int = 1) -> None:
        """`count` packets each way, and RTCP each way once."""
        for _ in range(count):
            for end in (self.a, self.b):
                self.say(end)
        for end in (self.a, self.b):
            self.report(end)
        self.listen()

    def listen(self) -> None:
        self.a.hear()
        self.b.hear()

    def settle(self) -> None:
        """Wait until everything sent was heard; then it was heard as it was sent, in order, each packet once."""
        for source, sink in ((self.a, self.b), (self.b, self.a)):
            until(partial(sink.has_heard, len(source.said), len(source.said_rtcp)), "everything at the far end")
            assert sink.heard == source.said
            assert sink.heard_rtcp == source.said_rtcp

    def leg_of(self, end: End) -> Leg:
        return self.leg_a if end is self.a else self.leg_b

    def statistics(self, end: End) -> LegStatistics:
        return self.stage.statistics(self.leg_of(end))


class Stage:
    """A gateway with the calls and strangers of a test. `beside` is a good call that has to lose nothing."""

    def __init__(self, gateway: MediaGateway, crypto: str) -> None:
        self.gateway = gateway
        self.crypto = crypto
        self.calls: list[Call] = []
        self.strangers: list[Port] = []
        self.sent: Counter[Leg] = Counter()  # datagrams
        self.in_flight: dict[tuple[Leg, bool], list[int]] = {}  # by leg and port: what each datagram takes
        self.sent_before: dict[Leg, tuple[int, int]] = {}  # RTP and RTCP that a leg sent for a peer it had before
        self.events: list[Event] = []
        self.settled = True  # whether `finish` is to be asked for at the end
        self.beside = self.call()

    def call(self, a: End | None = None, b: End | None = None, **options: Any) -> Call:
        """Two legs, joined. `options` go to leg a."""
        a, b = a or End(encrypted=True), b or End(encrypted=False)
        legs = [self.gateway.open_leg(self.settings(each, **extra)) for each, extra in ((a, options), (b, {}))]
        return self.joined(a, b, *legs)

    def joined(self, a: End, b: End, leg_a: Leg, leg_b: Leg) -> Call:
        self.gateway.join(leg_a, leg_b)
        self.calls.append(Call(self, a, b, leg_a, leg_b))
        return self.calls[-1]

    def rekey(self, call: Call, end: End, **changes: Any) -> None:
        """Fresh keys both ways at one end of a call whose packets have all arrived. Rollover counters go on."""
        assert end.out is not None
        assert end.into is not None
        call.settle()
        out, into = Keyed(end.out.name), Keyed(end.into.name)
        into.newest = dict(end.into.newest)
        leg = call.leg_of(end)
        self.gateway.change(leg, receive_keys=(out.master,), transmit_keys=(into.master,), **changes)
        end.out, end.into = out, into

    @staticmethod
    def settings(end: End, **options: Any) -> LegSettings:
        return end.settings("extension" if end.out is not None else "route", **options)

    def stranger(self, family: int = 4) -> Port:
        """A socket that should never hear anything."""
        self.strangers.append(Port(family))
        return self.strangers[-1]

    def statistics(self, leg: Leg) -> LegStatistics:
        return self.gateway.statistics().leg(self.gateway.legs.index(leg))

    def arrived(self, leg: Leg) -> int:
        """Datagrams that the gateway has taken from both sockets of a leg."""
        found = self.statistics(leg)
        return found.rtp.received_packets + found.rtcp.received_packets

    def send(self, port: Port, octets: bytes, leg: Leg, *, rtcp: bool = False) -> None:
        """Send to a leg, when its socket has room."""
        waiting = self.in_flight.setdefault((leg, rtcp), [])
        cost = PACKET_COST + 2 * len(octets)
        if waiting and sum(waiting) + cost > IN_FLIGHT:
            until(lambda: self.arrived(leg) == self.sent[leg], "the gateway to read its sockets")
            waiting.clear()
        waiting.append(cost)
        self.sent[leg] += 1
        port.socket.sendto(octets, leg.local_rtcp if rtcp else leg.local)

    def flood(
        self,
        port: Port,
        leg: Leg,
        datagrams: Iterable[bytes],
        *,
        rtcp: bool = False,
        every: int = 20,
        beside: Sequence[Call] | None = None,
    ) -> int:
        """Hostile datagrams to a leg, and with each `every` of them a packet each way on the calls beside (None: on
        all). How many."""
        count = 0
        for octets in datagrams:
            if count % every == 0:
                for call in self.calls if beside is None else beside:
                    call.talk()
            self.send(port, octets, leg, rtcp=rtcp)
            count += 1
        self.quiet(leg)
        return count

    def quiet(self, leg: Leg) -> None:
        """Wait until the gateway has done with all that was sent to a leg."""
        until(lambda: self.arrived(leg) == self.sent[leg] and self.done(leg), "the gateway to finish")

    def done(self, leg: Leg) -> bool:
        """Whether all that arrived at a leg was dropped or sent."""
        here = self.statistics(leg)
        if leg.session is None:
            return kept(here.rtp) == kept(here.rtcp) == 0
        peer = next(each for each in leg.session.legs if each is not leg)
        there = self.statistics(peer)
        sent = there.rtp.sent_packets, there.rtcp.sent_packets
        before = self.sent_before.get(peer, (0, 0))
        return (kept(here.rtp) + before[0], kept(here.rtcp) + before[1]) == sent

    def take_events(self, *kinds: str) -> list[Event]:
        """Events so far, of these kinds."""
        self.events += self.gateway.events()
        return [event for event in self.events if event.kind in kinds]

    def finish(self) -> None:
        """Every call heard everything, every packet was counted at both ends, and no stranger heard a thing."""
        for call in self.calls:
            call.talk(5)
            call.settle()
            check_counts(self, call)
        for port in self.strangers:
            assert port.drain() == [], "a stranger was sent something"
        assert all(worker["events_lost"] == 0 == worker["engine_error"] for worker in self.gateway.statistics().workers)


def kept(direction: DirectionStatistics) -> int:
    """Packets that arrived and were not dropped."""
    return direction.received_packets - direction.dropped


def check_counts(stage: Stage, call: Call) -> None:
    """One packet out per packet in, as the gateway counts it and as the sockets at both ends do."""
    for end, other in ((call.a, call.b), (call.b, call.a)):
        leg, peer = call.leg_of(end), call.leg_of(other)
        stage.quiet(leg)
        here, there = stage.statistics(leg), stage.statistics(peer)
        assert stage.arrived(leg) == stage.sent[leg]
        assert there.rtp.sent_packets == kept(here.rtp) == len(other.heard)
        assert there.rtcp.sent_packets == kept(here.rtcp) == len(other.heard_rtcp)


def drops(call: Call, end: End) -> dict[str, int]:
    """Everything dropped at an end's leg, RTP and RTCP together."""
    found = call.statistics(end)
    return dict(Counter(found.rtp.drops) + Counter(found.rtcp.drops))


@contextmanager
def stage(**options: Any) -> Iterator[Stage]:
    """A running gateway with one worker, so that what is attacked and what is beside share it. Ends with `finish`."""
    with MediaGateway(**{"workers": 1, "media_encryption": ALL_ON, **options}) as gateway:
        set_up = Stage(gateway, options.get("crypto", "native"))
        try:
            yield set_up
            if set_up.settled:
                set_up.finish()
        finally:
            while OPEN:
                OPEN.pop().socket.close()


def forged(end: End, count: int, *, first: int = 0, step: int = 1) -> list[bytes]:
    """SRTP packets of the end's own SSRC, `first` ahead of its next one, all of it but the header random."""
    return [end.packet(end.random.randbytes(170), ahead=first + number * step) for number in range(count)]
