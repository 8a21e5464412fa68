"""A load whose packets come straight back to its own sink, or through a meddler.

    with Cable() as cable:
        cable.stream()
        counted = cable.run()
        assert counted["received"] == counted["sent"]

Without a gateway between, everything that the generator did has to be found by the sink, packet for packet. A meddler
stands where the gateway would: a function of a datagram that gives the datagrams that go on.
"""

from __future__ import annotations

import random
import socket
import threading
from array import array
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from srtpgw import _native
from srtpgw.media import Address
from srtpgw.media.endpoint import Endpoint, endpoint_of
from srtpgw.srtp import SUITES, Receiver, Sender

SUITE = "AES_CM_128_HMAC_SHA1_80"
MS = 1_000_000  # ns
INTERVAL = 2 * MS
PAYLOAD = 160
DRAIN = 100 * MS

Meddling = Callable[[bytes], Iterable[bytes]]


def numbers(octets: bytes) -> list[int]:
    """An array of 64-bit numbers."""
    return list(array("Q", octets))


class Meddler:
    """Takes datagrams at `address` and sends what `change` makes of them to `destination`. Remembers what came."""

    def __init__(self, change: Meddling, host: str = "127.0.0.1") -> None:
        self.change = change
        self.taken: list[bytes] = []
        self.destination = Address(host, 0)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.address = Address(*self.socket.getsockname())
        self.thread = threading.Thread(target=self._relay)
        self.thread.start()

    def _relay(self) -> None:
        while octets := self.socket.recv(4096):
            self.taken.append(octets)
            for changed in self.change(octets):
                self.socket.sendto(changed, tuple(self.destination))

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", tuple(self.address))
        self.thread.join()
        self.socket.close()


class Cable:
    """A load with one socket to send from and one that everything is expected at."""

    def __init__(self, seed: int = 1, meddle: Meddling | None = None, host: str = "127.0.0.1", **sink: Any) -> None:
        self.random = random.Random(seed)
        self.load = _native.Load(seed)
        local = endpoint_of(Address(host, 0))
        self.out = self.load.open_socket(local)
        self.sink = self.load.open_socket(local, **sink)
        self.destination: Endpoint = self.load.socket_endpoint(self.sink)
        self.source: Endpoint = self.load.socket_endpoint(self.out)
        self.meddler = Meddler(meddle) if meddle else None
        if self.meddler:
            self.meddler.destination = Address("127.0.0.1", self.destination[2])  # type: ignore[misc]
            self.destination = self.source = endpoint_of(self.meddler.address)
        self.keys: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.load.close()
        if self.meddler:
            self.meddler.close()

    def stream(self, suite: str | None = None, **changes: Any) -> int:
        """Another stream, encrypted or plain; its SSRC, numbers and keys are the seed's."""
        settings: dict[str, Any] = {
            "ssrc": self.random.getrandbits(32),
            "first_sequence": self.random.getrandbits(15),
            "first_timestamp": self.random.getrandbits(32),
            "timestamp_step": 160,
            "payload_type": 0,
            "payload_octets": PAYLOAD,
            "interval_ns": INTERVAL,
            "phase_ns": self.random.randrange(INTERVAL),
            "socket": self.out,
            "destination": self.destination,
            "sink_socket": self.sink,
            "source": self.source,
        }
        if suite:
            self.keys.append(self.random.randbytes(SUITES[suite].key_length + SUITES[suite].salt_length))
            settings["sender"] = Sender(suite, self.keys[-1]).context
            settings["receiver"] = Receiver(suite, self.keys[-1]).context
        return self.load.add_stream(**{**settings, **changes})

    def run(self, packets: int = 100, **changes: Any) -> dict[str, int]:
        """A run of so many packets of each stream of the usual interval; its counters."""
        drain = DRAIN if self.meddler is None else 50 * DRAIN
        settings = {"duration_ns": packets * INTERVAL, "drain_ns": drain, **changes}
        end = self.load.start(**settings) + settings.get("warmup_ns", 0) + settings["duration_ns"]
        before: dict[str, int] = {}
        while not self.load.wait(DRAIN / 1e9):
            # a meddler may be slow: the run is over when nothing moves any more
            now = self.load.counters()
            done = now["sent"] + now["withheld"] == now["planned"]
            if self.meddler and _native.now_ns() > end and done and now == before:
                self.load.stop()
            before = now
        return self.load.counters()
