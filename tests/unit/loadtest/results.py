"""Results of runs that never were, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from srtpgw import _native
from srtpgw.loadtest.histogram import Histogram
from srtpgw.loadtest.result import RunResult, Way
from srtpgw.loadtest.scenario import Scenario

EDGES = (0, 1000, 10_000, 100_000, 1_000_000)  # ns


def histogram(*counts: int) -> Histogram:
    return Histogram((*counts, *([0] * (len(EDGES) - 1 - len(counts)))), EDGES)


def result(
    *, sent: int = 1000, lost: int = 0, late: bool = False, scenario: Scenario | None = None, **counts: Any
) -> RunResult:
    """A good run, unless told otherwise; ``late`` makes it void. ``counts`` are counters, or fields of the result."""
    counters = dict.fromkeys(_native.LOAD_COUNTER_NAMES, 0)
    counters |= {"planned": sent, "sent": sent, "received": sent - lost, "verified": sent - lost, "lost": lost}
    counters |= {name: counts.pop(name) for name in list(counts) if name in counters}
    way = Way(sent, sent - lost, 0, 0, 1.0, 2.0, 3.0)
    made = RunResult(
        scenario=scenario or Scenario(),
        counters=counters,
        latency=histogram(0, sent - lost),
        lateness=histogram(0, 0, 0, sent) if late else histogram(sent),
        ways={"caller_to_callee": way},
        window_ns=(1_000_000_000, 11_000_000_000),
        cpu=None,
        target={"kind": "relay", "description": "a relay", "pid": None, "statistics": None},
    )
    return replace(made, **counts)
