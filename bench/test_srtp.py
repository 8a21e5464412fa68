"""protect and unprotect through the Python API: the native engine, and libsrtp in the same run.

Each round takes fresh contexts over the same packets, so that no round meets its own replay window. One call per packet
pays Python's share each time; `batch64` shows how much of it a batch saves.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Literal

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from srtpgw import libsrtp
from srtpgw.srtp import SUITES, Receiver, Sender, protect_many, unprotect_many

PAYLOAD = 160  # octets: 20 ms of G.711
PACKETS = 2048  # per round
BATCH = 64
ROUNDS = 15
SSRC = 0x5EED0001

Provider = Literal["native", "libsrtp"]
Round = tuple[tuple[Callable[[], object]], dict[str, object]]

RANDOM = random.Random(3711)
RTP = [
    struct.pack("!BBHII", 0x80, 0, number, 160 * number, SSRC) + RANDOM.randbytes(PAYLOAD) for number in range(PACKETS)
]
ENCRYPTING = [name for name in SUITES if not name.startswith("NULL")]


def master_key(suite: str) -> bytes:
    return random.Random(suite).randbytes(SUITES[suite].key_length + SUITES[suite].salt_length)


def protecting(suite: str, provider: Provider, batch: int) -> Callable[[], object]:
    sender = Sender(suite, master_key(suite), provider=provider)
    if batch == 1:
        return lambda: [sender.protect(packet) for packet in RTP]
    batches = [[(sender, packet) for packet in RTP[at : at + batch]] for at in range(0, PACKETS, batch)]
    return lambda: [protect_many(jobs) for jobs in batches]


def unprotecting(suite: str, provider: Provider, batch: int, wire: Sequence[bytes]) -> Callable[[], object]:
    receiver = Receiver(suite, master_key(suite), provider=provider)
    if batch == 1:
        return lambda: [receiver.unprotect(packet) for packet in wire]
    batches = [[(receiver, packet) for packet in wire[at : at + batch]] for at in range(0, PACKETS, batch)]
    return lambda: [unprotect_many(jobs) for jobs in batches]


@pytest.mark.parametrize("provider", ["native", "libsrtp"])
@pytest.mark.parametrize("batch", [1, BATCH], ids=["single", f"batch{BATCH}"])
@pytest.mark.parametrize("operation", ["protect", "unprotect"])
@pytest.mark.parametrize("suite", ENCRYPTING)
def test_srtp(benchmark: BenchmarkFixture, suite: str, operation: str, batch: int, provider: Provider) -> None:
    if provider == "libsrtp" and suite not in libsrtp.suites():
        pytest.skip(f"this libsrtp does not run {suite}")
    sender = Sender(suite, master_key(suite))
    wire = [sender.protect(packet) for packet in RTP]
    receiver = Receiver(suite, master_key(suite), provider=provider)
    assert [receiver.unprotect(packet) for packet in wire] == RTP

    def fresh() -> Round:
        if operation == "protect":
            return (protecting(suite, provider, batch),), {}
        return (unprotecting(suite, provider, batch, wire),), {}

    mode = "single" if batch == 1 else f"batch{batch}"
    benchmark.extra_info.update(row=f"{suite} {operation} {mode}", provider=provider, packets=PACKETS)
    benchmark.pedantic(lambda work: work(), setup=fresh, rounds=ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
