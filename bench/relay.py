"""A gateway on the memory engine with many joined sessions, and the far ends' senders."""

from __future__ import annotations

import random
from typing import Literal

from srtpgw import _native
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.endpoint import endpoint_of
from srtpgw.media.session import Leg
from srtpgw.srtp import SUITES, MasterKey, Sender
from srtpgw.terms import Provider

FAR_END = Address("192.0.2.10", 40000)  # of every leg
# Ports of the memory engine are the process's. Two relays are open at a time only where they are small.
FIRST_PORT = {"native": 1024, "libsrtp": 49152}

Kind = Literal["RTP", "SRTP"]


class Relay:
    """`flows` sessions of one leg that hears and one that speaks, without a thread: a loop drives the worker."""

    def __init__(self, suite: str, hears: Kind, speaks: Kind, crypto: Provider = "native") -> None:
        self.suite = suite
        self.kinds: tuple[Kind, Kind] = (hears, speaks)
        self.gateway = MediaGateway(
            workers=1, engine="memory", threaded=False, crypto=crypto, media_encryption={"extension": True}
        )
        self.worker = self.gateway._workers[0]
        self.rng = random.Random(f"{suite} {hears} {speaks} {crypto}")
        self.port = FIRST_PORT[crypto]
        self.ports: list[int] = []
        self.feeders: list[_native.Context] = []

    def grow(self, flows: int) -> None:
        """Open and join so many sessions. Both legs use one port each (RFC 5761), to have enough of them."""
        for _ in range(flows):
            hearing, key = self.leg(self.kinds[0])
            speaking, _ = self.leg(self.kinds[1])
            self.gateway.join(hearing, speaking)
            self.ports.append(2 * hearing.id)
            if key:
                self.feeders.append(Sender(self.suite, key).context)

    def leg(self, kind: Kind) -> tuple[Leg, bytes]:
        """A leg and the key that its far end sends under."""
        local = Address("127.0.0.1", self.port)
        self.port += 1
        if kind == "RTP":
            return self.gateway.open_leg(LegSettings(type="route", local=local, rtcp_mux=True, remote=FAR_END)), b""
        keys = [self.rng.randbytes(SUITES[self.suite].key_length + SUITES[self.suite].salt_length) for _ in range(2)]
        settings = LegSettings(
            type="extension", local=local, rtcp_mux=True, remote=FAR_END, suite=self.suite,
            receive_keys=(MasterKey(keys[0]),), transmit_keys=(MasterKey(keys[1]),),
        )  # fmt: skip
        return self.gateway.open_leg(settings), keys[0]

    def loop(self, payload: int, chunk: int) -> _native.RelayLoop:
        return _native.RelayLoop(self.worker, self.ports, endpoint_of(FAR_END), payload, chunk, self.feeders)

    def close(self) -> None:
        self.gateway.shutdown()
