"""CPU time of processes and threads, and what a run used of it between two readings.

Linux numbers the CPU clock of a process or thread by its id (clock_getcpuclockid(3)); any of them can be read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_SCHEDULED: Final = 2  # the clock that the scheduler keeps, in ns
_THREAD: Final = 4
ROLES: Final = ("generator", "sink")


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time between the two instants (CLOCK_MONOTONIC, ns) at which it was read, at either end of the window."""

    begin_ns: int
    end_ns: int
    threads: list[dict[str, Any]]  # of the load: role, tid, cpu (the core it is held to, or None), cpu_ns, spin_ns
    process_ns: int  # of the load's process, all threads
    target_ns: int | None  # of the gateway's, where it is known

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU times at one instant. ``threads`` are the load's, by tid, generator and sink or one for both; ``spun_ns`` is
    what the generator has polled in vain so far: a sink of its own sleeps instead."""

    time_ns: int
    threads: dict[int, int]
    spun_ns: int
    process_ns: int
    target_ns: int | None

    @classmethod
    def take(cls, times: Mapping[str, int], target: int | None) -> Reading:
        """Now. ``times`` are those of the native part: they name its threads, and tell of one that has ended."""
        used = {}
        for role in ROLES:
            if tid := times[f"{role}_thread"]:
                live = thread_ns(tid)
                used[tid] = times[f"{role}_cpu_ns"] if live is None else live
        return cls(time.monotonic_ns(), used, times["spun_ns"], time.process_time_ns(), process_ns(target))

    def until(self, after: Reading, cores: Sequence[int]) -> Cpu:
        """What was used from here on; ``cores`` are those that the threads are held to."""
        threads = []
        for place, (tid, before) in enumerate(self.threads.items()):
            core = cores[place] if place < len(cores) else None
            used, spun = after.threads[tid] - before, 0 if place else after.spun_ns - self.spun_ns
            threads.append({"role": ROLES[place], "tid": tid, "cpu": core, "cpu_ns": used, "spin_ns": spun})
        here = after.process_ns - self.process_ns
        return Cpu(self.time_ns, after.time_ns, threads, here, _between(self.target_ns, after.target_ns))


def thread_ns(tid: int) -> int | None:
    """CPU time of a thread of this process, nanoseconds; None when it has ended."""
    return _clock_ns((~tid << 3) | _THREAD | _SCHEDULED)


def process_ns(pid: int | None) -> int | None:
    """CPU time of a process, all its threads, nanoseconds; None when it has ended or is not known."""
    return None if pid is None else _clock_ns((~pid << 3) | _SCHEDULED)


def _clock_ns(clock: int) -> int | None:
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return None


def _between(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
