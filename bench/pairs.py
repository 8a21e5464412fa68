"""Measures ours and its peers in turns, within one test: A B, B A, A B, ...

What disturbs a shared machine comes and goes slower than a turn, so it meets both sides alike, and the median of the
turns' ratios is steadier than the ratio of any two figures. A turn in which the core was taken away is made again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Protocol

from pytest_benchmark.fixture import BenchmarkFixture

from srtpgw import _native
from srtpgw.srtp import kernels

TURN_SECONDS = 0.5  # a test's share of the run
TURNS_LEAST, TURNS_MOST = 8, 40
TRIES = 4  # of one turn, as long as the test is not late
LATE_SECONDS = 2.0
DISTURBED = 0.03  # part of a turn that the thread did not have the core
NS = 1e9

Taken = tuple[int, int, int]  # ns in what is measured, ns in all, CPU ns in all


class Loop(Protocol):
    def run(self, batch: int = 64) -> Taken: ...


@dataclass(frozen=True)
class Setting:
    """What a row was measured with."""

    table: str
    operation: str
    suite: str
    payload: int  # octets
    flows: int
    batch: int  # packets


@dataclass
class Side:
    """One side of a comparison, in nanoseconds per packet."""

    turns: list[float] = field(default_factory=list)
    note: str = ""

    def figures(self, ours: Side | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"median_ns": round(median(self.turns), 2), "min_ns": round(min(self.turns), 2)}
        if ours is not None:
            found["ratio"] = round(median(peer / own for own, peer in zip(ours.turns, self.turns, strict=True)), 3)
        if self.note:
            found["note"] = self.note
        return found


class VirtualTimer:
    """pytest-benchmark's clock: it moves by what was measured, and by nothing else."""

    __name__ = "ns of the measured part"

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


TIMER = VirtualTimer()


def disturbed(turn: Mapping[str, Taken]) -> bool:
    return any(elapsed - cpu > DISTURBED * elapsed for _, elapsed, cpu in turn.values())


def one_turn(loops: Mapping[str, Loop], batch: int, backwards: bool, tries: int) -> tuple[dict[str, Taken], bool]:
    """What each side took, and whether it was disturbed every time that it was tried."""
    names = list(reversed(list(loops))) if backwards else list(loops)
    for _ in range(tries):
        turn = {name: loops[name].run(batch) for name in names}
        if not disturbed(turn):
            return turn, False
    return turn, True


def turns_for(loops: Mapping[str, Loop], batch: int, rounds: int) -> int:
    """As many as the test's share allows. Warms both sides up: every flow has had a packet."""
    for loop in loops.values():
        for _ in range(rounds):
            loop.run(batch)
    seconds = sum(loop.run(batch)[1] for loop in loops.values()) / NS
    return max(TURNS_LEAST, min(TURNS_MOST, int(TURN_SECONDS / seconds)))


def compare(
    benchmark: BenchmarkFixture,
    setting: Setting,
    loops: Mapping[str, Loop],
    packets: int,
    *,
    less: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Measure `loops`, of which the first is ours, over `packets` each, and leave a row for the report.

    less: peer -> loop whose time is taken off the peer's, and is no peer itself. notes: a word on a peer.
    """
    less = less or {}
    names = [name for name in loops if name not in less.values()]
    sides = {name: Side(note=(notes or {}).get(name, "")) for name in names}
    frequencies: list[float] = []
    spoilt = 0

    def turn() -> None:
        nonlocal spoilt
        frequencies.append(_native.measure_ghz())
        tries = TRIES if time.monotonic() < late else 1
        taken, was_disturbed = one_turn(loops, setting.batch, len(frequencies) % 2 == 0, tries)
        spoilt += was_disturbed
        for name in names:
            ns = taken[name][0] - (taken[less[name]][0] if name in less else 0)
            sides[name].turns.append(max(ns, 1) / packets)
        TIMER.seconds += taken[names[0]][0] / NS

    turns = turns_for(loops, setting.batch, 1 + setting.flows // packets)
    late = time.monotonic() + LATE_SECONDS
    benchmark.pedantic(turn, rounds=turns)  # type: ignore[no-untyped-call]
    ours = sides[names[0]]
    row = asdict(setting) | {
        "tier": kernels()["in_use"],
        "packets": packets,
        "turns": len(frequencies),
        "disturbed": spoilt,
        "ghz": round(median(frequencies), 3),
        **ours.figures(),
        "cycles": round(median(ns * ghz for ns, ghz in zip(ours.turns, frequencies, strict=True)), 1),
        "peers": {name: sides[name].figures(ours) for name in names[1:]},
    }
    benchmark.extra_info["row"] = row


def quickest(loops: Mapping[str, Loop], batch: int, turns: int = 7) -> str:
    """The name of the loop that takes least: which of a peer's ways is the best here. They take turns, too."""
    least = dict.fromkeys(loops, float("inf"))
    for _ in range(turns):
        for name, loop in loops.items():
            least[name] = min(least[name], loop.run(batch)[0])
    return min(least, key=lambda name: least[name])
