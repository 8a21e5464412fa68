"""The engine's ceiling: a worker on the memory engine, with everything that a packet meets but the network.

Timed is one turn of the worker at a time: 64 datagrams received, parsed, looked up, unprotected, learnt from, counted,
addressed, protected, sent and counted. What the far ends do is not.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from .flows import CHUNK, CM, GCM
from .pairs import TIMER, Loop, Setting, compare
from .relay import Kind, Relay

PAYLOAD = 160  # octets: 20 ms of G.711
FEW, MANY = 500, 20000  # sessions, one flow each
BATCH = 64

Case = tuple[str, Kind, Kind, int]

WAYS: tuple[tuple[Kind, Kind], ...] = (("RTP", "SRTP"), ("SRTP", "RTP"), ("SRTP", "SRTP"))
CASES: list[Case] = [
    *((CM, "RTP", "RTP", flows) for flows in (FEW, MANY)),
    *((suite, hears, speaks, flows) for suite in (CM, GCM) for hears, speaks in WAYS for flows in (FEW, MANY)),
]


def case_id(case: Case) -> str:
    suite, hears, speaks, flows = case
    return f"{suite}-{hears}-{speaks}-{flows}flows"


@pytest.mark.benchmark(timer=TIMER)
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_relay(benchmark: BenchmarkFixture, case: Case) -> None:
    suite, hears, speaks, flows = case
    relays = [Relay(suite, hears, speaks)]
    if flows == FEW and (hears, speaks) != ("RTP", "RTP"):
        relays.append(Relay(suite, hears, speaks, "libsrtp"))
    try:
        loops: dict[str, Loop] = {}
        for name, relay in zip(("native", "libsrtp"), relays, strict=False):
            relay.grow(flows)
            loops[name] = relay.loop(PAYLOAD, CHUNK)
        kind = "none" if hears == speaks == "RTP" else suite
        setting = Setting("relay", f"{hears} to {speaks}", kind, PAYLOAD, flows, BATCH)
        compare(benchmark, setting, loops, CHUNK)
    finally:
        for relay in relays:
            relay.close()
