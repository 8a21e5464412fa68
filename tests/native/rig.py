"""A gateway on the memory engine without a thread: a test injects datagrams, runs the loop and reads what left.

    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, SSRC)))
        rig.run()
        assert trunk.heard() == [rtp(1, SSRC)]

Time is virtual: it starts at the monotonic clock's now (the gateway reads that clock where a leg is opened or
re-keyed) and moves by `rig.advance`. Packets are protected and opened at the far ends by the model in tests/model. On
leaving, every datagram has to be accounted for: received = sent + dropped, and nothing is left in the arenas.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from model import transform
from model.compare import master_keys
from model.keys import session_keys
from model.packet import rtp
from model.suites import SUITES, Suite
from model.window import SEQUENCE, Key

from srtpgw import _native, libsrtp
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.endpoint import Endpoint, address_of, endpoint_of
from srtpgw.media.session import Leg, Session
from srtpgw.media.statistics import DirectionStatistics, Event, LegStatistics
from srtpgw.srtp import MasterKey
from srtpgw.terms import Provider

SUITE = "AES_CM_128_HMAC_SHA1_80"
RELAY_SUITES = tuple(name for name, suite in SUITES.items() if suite.cipher != "NULL")
SSRC = 0x51C0FFEE
SECOND = 10**9  # ns


@dataclass
class Datagram:
    """What left the gateway for a far end."""

    port: int  # of the leg: 0 RTP, 1 RTCP
    remote: Address
    octets: bytes


@dataclass
class Keys:
    """One direction of a leg: the suite and its master keys, the first of them in use."""

    suite: Suite
    keys: tuple[Key, ...]

    def seal(self, packet: bytes, roc: int = 0, which: int = 0) -> bytes:
        """An RTP packet as SRTP under its sequence number and `roc`."""
        key = self.keys[which]
        index = roc * SEQUENCE + int.from_bytes(packet[2:4], "big")
        return transform.protect_rtp(
            self.suite, session_keys(self.suite, key.key, key.salt), packet, index, mki=key.mki
        )

    def seal_rtcp(self, packet: bytes, index: int, which: int = 0, *, encrypt: bool = True) -> bytes:
        key = self.keys[which]
        session = session_keys(self.suite, key.key, key.salt, rtcp=True)
        return transform.protect_rtcp(self.suite, session, packet, index, mki=key.mki, encrypt=encrypt)

    def open(self, wire: bytes, roc: int = 0, which: int = 0) -> bytes:
        """BadTag where the packet is not authentic."""
        key = self.keys[which]
        index = roc * SEQUENCE + int.from_bytes(wire[2:4], "big")
        session = session_keys(self.suite, key.key, key.salt)
        return transform.unprotect_rtp(self.suite, session, wire, index, mki_length=len(key.mki))

    def open_rtcp(self, wire: bytes, which: int = 0) -> bytes:
        key = self.keys[which]
        session = session_keys(self.suite, key.key, key.salt, rtcp=True)
        return transform.unprotect_rtcp(self.suite, session, wire, mki_length=len(key.mki))

    def index(self, wire: bytes) -> int:
        """The SRTCP index that a packet carries."""
        return transform.srtcp_index(self.suite, wire, len(self.keys[0].mki))[1]


@dataclass
class Accounts:
    """What became of datagrams."""

    received: int = 0
    sent: int = 0
    dropped: int = 0

    def add(self, counted: DirectionStatistics) -> None:
        self.received += counted.received_packets
        self.sent += counted.sent_packets
        self.dropped += counted.dropped


@dataclass(eq=False)
class End:
    """The far end of a leg. `sends` is what the leg receives under; both are None on a plain leg."""

    rig: Rig
    leg: Leg
    address: Address
    sends: Keys | None = None
    hears: Keys | None = None
    inbox: list[Datagram] = field(default_factory=list)
    srtcp_index: int = 0

    # --- to the gateway

    def seal(self, packet: bytes, roc: int = 0) -> bytes:
        return packet if self.sends is None else self.sends.seal(packet, roc)

    def seal_rtcp(self, packet: bytes) -> bytes:
        """Under the next SRTCP index."""
        if self.sends is None:
            return packet
        self.srtcp_index += 1
        return self.sends.seal_rtcp(packet, self.srtcp_index)

    def send(self, octets: bytes, source: Address | Endpoint | None = None, received_ns: int = 0) -> None:
        """A datagram to the leg's RTP port."""
        self._inject(0, octets, self.address if source is None else source, received_ns)

    def send_rtcp(self, octets: bytes, source: Address | Endpoint | None = None) -> None:
        """A datagram to where the leg takes RTCP."""
        mux = self.leg.settings.rtcp_mux
        known = self.address if mux else self.address.next_port
        self._inject(0 if mux else 1, octets, known if source is None else source, 0)

    def _inject(self, port: int, octets: bytes, source: Address | Endpoint, received_ns: int) -> None:
        place = endpoint_of(source) if isinstance(source, Address) else source
        assert self.rig.worker.inject(2 * self.leg.id + port, place, octets, received_ns), "the queue is full"

    def say(self, *numbers: int, roc: int = 0, ssrc: int = SSRC) -> None:
        """RTP packets of these sequence numbers, relayed in one batch."""
        for number in numbers:
            self.send(self.seal(rtp(number, ssrc), roc))
        self.rig.run()

    # --- from the gateway

    def raw(self) -> list[bytes]:
        """Everything that arrived since the last look, as it arrived."""
        octets = [each.octets for each in self.inbox]
        self.inbox.clear()
        return octets

    def heard(self, roc: int = 0) -> list[bytes]:
        """RTP that arrived since the last look, opened."""
        return [wire if self.hears is None else self.hears.open(wire, roc) for wire in self._take(rtcp=False)]

    def heard_rtcp(self) -> list[bytes]:
        return [wire if self.hears is None else self.hears.open_rtcp(wire) for wire in self._take(rtcp=True)]

    def _take(self, *, rtcp: bool) -> list[bytes]:
        chosen = [each for each in self.inbox if (192 <= each.octets[1] <= 223) == rtcp]
        self.inbox = [each for each in self.inbox if each not in chosen]
        return [each.octets for each in chosen]

    # --- what the gateway says

    @property
    def counted(self) -> LegStatistics:
        return next(each for each in self.rig.gateway.statistics().legs if each.id == self.leg.id)

    def direction(self, rtcp: bool) -> DirectionStatistics:
        return self.counted.rtcp if rtcp else self.counted.rtp


class Rig:
    """A gateway whose `extension` legs are encrypted and whose other legs are plain."""

    in_use = 0  # rigs of this process: they share the arenas

    def __init__(self, *, crypto: Provider = "native", seed: object = "rig") -> None:
        Rig.in_use += 1
        self.records = live_records()
        self.gateway = MediaGateway(
            workers=1, engine="memory", crypto=crypto, threaded=False, media_encryption={"extension": True}
        )
        self.worker = self.gateway._workers[0]
        self.rng = random.Random(str(seed))
        self.ends: dict[int, End] = {}
        self.start = self.now = _native.now_ns()
        self.made: list[End] = []
        self.closed = [Accounts(), Accounts()]  # RTP, RTCP of legs that are closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.run()
                self.check_accounts()
        finally:
            self.gateway.shutdown()
            self.ends.clear()
            for end in self.made:
                del end.leg  # a leg's record lives as long as it is referred to
            Rig.in_use -= 1
        if kind is None and not Rig.in_use:
            kept = {name: live for name, live in live_records().items() if live > self.records[name]}
            assert not kept, f"records were not given back to the arenas: {kept}"

    # --- legs

    def keys(self, suite: str = SUITE, *, mki: bytes = b"", lifetime: int | None = None) -> Keys:
        """One fresh master key."""
        form = SUITES[suite]
        key = Key(self.rng.randbytes(form.key_length), self.rng.randbytes(form.salt_length), mki, lifetime)
        return Keys(form, (key,))

    def plain(self, **settings: Any) -> End:
        """A leg without keys."""
        return self._end({"type": "route", **settings})

    def secure(
        self, suite: str = SUITE, *, sends: Keys | None = None, hears: Keys | None = None, **settings: Any
    ) -> End:
        """A leg with keys, fresh ones where none are given."""
        sends, hears = sends or self.keys(suite), hears or self.keys(suite)
        keys = {
            "suite": sends.suite.name,
            "transmit_suite": None if hears.suite is sends.suite else hears.suite.name,
            "receive_keys": masters(sends),
            "transmit_keys": masters(hears),
        }
        end = self._end({"type": "extension", **keys, **settings})
        end.sends, end.hears = sends, hears
        return end

    def _end(self, settings: dict[str, Any]) -> End:
        number = len(self.made) + 1
        host = "2001:db8::10" if settings.get("family") == 6 else "192.0.2.10"
        address = Address(host, 40000 + 2 * number)
        leg = self.gateway.open_leg(LegSettings(**{"remote": address, **settings}))
        end = self.ends[leg.id] = End(self, leg, address)
        self.made.append(end)
        return end

    def join(self, a: End, b: End) -> Session:
        return self.gateway.join(a.leg, b.leg)

    def close(self, *ends: End) -> None:
        for end in ends:
            for is_rtcp, accounts in enumerate(self.closed):
                accounts.add(end.direction(bool(is_rtcp)))
            self.gateway.close(end.leg)
            del self.ends[end.leg.id]

    # --- time and the loop

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def step(self) -> int:
        """One batch; what left goes to the far ends."""
        count = self.worker.step(0, self.now)
        while (sent := self.worker.collect()) is not None:
            port, remote, octets = sent
            address = address_of(remote)
            assert address is not None
            self.ends[port >> 1].inbox.append(Datagram(port & 1, address, octets))
        return count

    def run(self) -> int:
        """Batches until nothing waits. The number of datagrams."""
        total = 0
        while count := self.step():
            total += count
        return total

    def events(self) -> list[Event]:
        return self.gateway.events()

    def kinds(self) -> list[str]:
        """The kinds of the events since the last look."""
        return [event.kind for event in self.gateway.events()]

    # --- accounts

    def drops(self) -> dict[tuple[int, bool], dict[str, int]]:
        """(leg, rtcp) -> drops by reason, where there are any."""
        legs = self.gateway.statistics().legs
        found = {(leg.id, rtcp): (leg.rtcp if rtcp else leg.rtp).drops for leg in legs for rtcp in (False, True)}
        return {place: drops for place, drops in found.items() if drops}

    def accounts(self, rtcp: bool) -> Accounts:
        """Datagrams of all legs that are open or were."""
        total = replace(self.closed[rtcp])
        for leg in self.gateway.statistics().legs:
            total.add(leg.rtcp if rtcp else leg.rtp)
        return total

    def check_accounts(self) -> None:
        """Every datagram received was sent on or dropped under one reason."""
        for rtcp in (False, True):
            total = self.accounts(rtcp)
            assert total.received == total.sent + total.dropped, f"rtcp={rtcp}: {total}"


def sequences(packets: list[bytes]) -> list[int]:
    """Their sequence numbers."""
    return [int.from_bytes(packet[2:4], "big") for packet in packets]


def masters(keys: Keys) -> tuple[MasterKey, ...]:
    """As LegSettings takes them."""
    return tuple(master_keys(*keys.keys))


def live_records() -> dict[str, int]:
    """Records in use, by arena."""
    arenas = _native.memory_use()["arenas"]
    return {name: use["live"] for name, use in arenas.items()}


_Call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))


@contextmanager
def libsrtp_answers(status: int) -> Iterator[None]:
    """Every call of the libsrtp provider (without MKI) comes back with this status and does nothing."""
    answer = _Call(lambda *_: status)
    address = ctypes.cast(answer, ctypes.c_void_p).value or 0
    real = libsrtp.functions()
    _native.use_provider({name: real[name] if name.endswith("_mki") else address for name in real})
    try:
        yield
    finally:
        _native.use_provider(real)
