"""protect and unprotect through the Python API: one call per packet, and `protect_many` over many keys.

They hold Python's share of each call: the list, the call, one new `bytes` object per packet. The relay does not pay it.
"""

from __future__ import annotations

import gc
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from srtpgw.srtp import Receiver, Sender, protect_many, unprotect_many
from srtpgw.terms import Provider

from .flows import CM, ENCRYPTING, GCM, master_keys, skip_without_libsrtp
from .pairs import TIMER, Loop, Setting, compare

PAYLOAD = 160  # octets: 20 ms of G.711
BATCH = 64
PACKETS = 2000  # of one turn
SSRC = 0x5EED0000
PROVIDERS: tuple[Provider, ...] = ("native", "libsrtp")
CONTENT = bytes(range(PAYLOAD))
OPERATIONS = ("protect", "unprotect")

Case = tuple[str, int, str, int]

CASES: list[Case] = [
    *((suite, 1, operation, batch) for suite in ENCRYPTING for operation in OPERATIONS for batch in (1, BATCH)),
    *((suite, 500, operation, batch) for suite in (CM, GCM) for operation in OPERATIONS for batch in (BATCH, 500)),
    *((suite, flows, "protect", BATCH) for suite in (CM, GCM) for flows in (5000, 20000)),
]


@dataclass
class ApiLoop:
    """Packets of the flows in turn, made before the time is taken. Feeders are where `lines` are receivers."""

    lines: list[Sender] | list[Receiver]
    feeders: list[Sender]
    sent: int = 0  # packets so far

    def jobs(self) -> Iterator[tuple[Any, bytes]]:
        for place in range(self.sent, self.sent + PACKETS):
            turn, flow = divmod(place, len(self.lines))
            header = struct.pack("!BBHII", 0x80, 0, turn & 0xFFFF, 160 * turn & 0xFFFFFFFF, SSRC + flow)
            packet = header + CONTENT
            yield self.lines[flow], self.feeders[flow].protect(packet) if self.feeders else packet

    def run(self, batch: int = BATCH) -> tuple[int, int, int]:
        """Nanoseconds in the calls, twice, and of their CPU time. The garbage collector rests meanwhile: what it takes
        depends on all that the process holds, not on these calls."""
        jobs = list(self.jobs())
        self.sent += PACKETS
        batches = [jobs[at : at + batch] for at in range(0, len(jobs), batch)]
        gc.disable()
        cpu, start = time.thread_time_ns(), time.perf_counter_ns()
        results = called(batches)
        elapsed, cpu = time.perf_counter_ns() - start, time.thread_time_ns() - cpu
        gc.enable()
        assert all(isinstance(each, bytes) for each in results)
        return elapsed, elapsed, cpu


def called(batches: list[list[tuple[Any, bytes]]]) -> Sequence[object]:
    """Every batch through the call that is measured; the last answer."""
    results: Sequence[object] = ()
    sends = isinstance(batches[0][0][0], Sender)
    if len(batches[0]) == 1:
        single = Sender.protect if sends else Receiver.unprotect
        for ((line, packet),) in batches:
            results = (single(line, packet),)
        return results
    many = protect_many if sends else unprotect_many
    for jobs in batches:
        results = many(jobs)
    return results


def loop_of(suite: str, flows: int, operation: str, provider: Provider) -> ApiLoop:
    keys = master_keys(suite, flows)
    if operation == "protect":
        return ApiLoop([Sender(suite, key, provider=provider) for key in keys], [])
    opening = [Receiver(suite, key, provider=provider) for key in keys]
    return ApiLoop(opening, [Sender(suite, key) for key in keys])


def case_id(case: Case) -> str:
    suite, flows, operation, batch = case
    return f"{suite}-{operation}-{flows}flows-batch{batch}"


@pytest.mark.benchmark(timer=TIMER)
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_python_api(benchmark: BenchmarkFixture, case: Case) -> None:
    suite, flows, operation, batch = case
    skip_without_libsrtp(suite)
    loops: dict[str, Loop] = {provider: loop_of(suite, flows, operation, provider) for provider in PROVIDERS}
    compare(benchmark, Setting("python", operation, suite, PAYLOAD, flows, batch), loops, PACKETS)
