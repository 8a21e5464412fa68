"""CPU time: of all cores, of processes, and of whoever else is on the machine.

What a gateway costs is spread over the machine: its own threads, the softirq that receives for it on the core of
whoever sent, and the softirq of what it sends. So the honest figure is how long all cores were not idle, less what was
not the gateway's:

    busy        wall time of all cores less idle, I/O wait and steal (/proc/stat)
    - spin      time in which the load only looked at the clock or at empty sockets (its own figure)
    - observer  the benchmark's own process
    - foreign   processes that have nothing to do with it

What is left is the sending and receiving at the far ends with all softirq work it sets off, and the gateway. `figures`
takes the drop run from it.

Precision. Idle time is kept to the microsecond by kernels with dynamic ticks and shown in hundredths of a second, so a
difference is exact to one hundredth per core. User, system and softirq time are sampled at each tick (CONFIG_HZ) unless
the kernel accounts precisely; they are shown beside the figures and never part of them. A process's time on a core
(its CPU clock) is exact to the nanosecond, and holds the softirq work done in its context.

All functions here take texts of /proc; only :func:`read` and those below it open files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")  # per second, unit of /proc/stat and /proc/PID/stat
KERNEL_THREAD = 0x00200000  # PF_KTHREAD of the flags in /proc/PID/stat
CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the scheduler's exact sum, of the process whose complement is shifted in
NANOSECONDS = 1_000_000_000


class Core(NamedTuple):
    """One line of /proc/stat: ticks since boot (proc(5)). Guest time is part of user time."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int
    irq: int
    softirq: int
    steal: int


class Process(NamedTuple):
    """Of /proc/PID/stat: ticks of CPU time, its own and that of children that were waited for."""

    own: int
    children: int
    kernel: bool
    parent: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What was counted at one instant. ``watched`` are nanoseconds of the processes in question, with all their
    threads; ``others`` every other process of the machine."""

    time_ns: int
    cores: Mapping[str, Core]
    watched: Mapping[int, int]
    others: Mapping[int, Process]


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds between two readings; ``watched`` by process."""

    seconds: float
    cores: int
    busy: float
    steal: float
    user: float
    system: float
    irq: float
    softirq: float
    foreign: float
    watched: Mapping[int, float]

    def __post_init__(self) -> None:
        """A sum that cannot be is a fault of the counting, not a figure."""
        most = self.seconds * self.cores
        slack = self.cores * 2 / TICKS
        for name in ("busy", "steal", "foreign"):
            value = getattr(self, name)
            if not -slack <= value <= most + slack:
                raise ValueError(f"{name} time of {value:.3f} s in {self.seconds:.3f} s on {self.cores} cores")


def parse_stat(text: str) -> dict[str, Core]:
    """The cores of /proc/stat by name."""
    cores = {}
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            numbers = [int(field) for field in fields[:8]]
            cores[name] = Core(*numbers, *[0] * (8 - len(numbers)))
    return cores


def parse_process(text: str) -> Process:
    """/proc/PID/stat; the name in brackets may hold anything."""
    fields = text.rpartition(")")[2].split()
    own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return Process(own, children, bool(int(fields[6]) & KERNEL_THREAD), int(fields[1]))


def usage(before: Reading, after: Reading) -> Usage:
    """What happened in between. Cores that came or went are left out."""
    seconds = (after.time_ns - before.time_ns) / NANOSECONDS
    names = before.cores.keys() & after.cores.keys()
    spent = [Core(*(b - a for a, b in zip(before.cores[n], after.cores[n], strict=True))) for n in names]

    def total(*fields: str) -> float:
        ticks: int = sum(getattr(core, field) for core in spent for field in fields)
        return ticks / TICKS

    steal = total("steal")
    watched = {
        pid: (nanoseconds - before.watched.get(pid, 0)) / NANOSECONDS for pid, nanoseconds in after.watched.items()
    }
    return Usage(
        seconds=seconds,
        cores=len(spent),
        busy=max(0.0, seconds * len(spent) - total("idle", "iowait") - steal),
        steal=steal,
        user=total("user", "nice"),
        system=total("system"),
        irq=total("irq"),
        softirq=total("softirq"),
        foreign=foreign_seconds(before.others, after.others),
        watched=watched,
    )


def foreign_seconds(before: Mapping[int, Process], after: Mapping[int, Process]) -> float:
    """CPU time of other processes: those that are there in both readings, new ones in full, and those that ended in
    between through the parent that waited for them. Kernel threads work for whoever sends, and are not foreign."""
    ticks = 0
    ended = sum(each.own + each.children for pid, each in before.items() if pid not in after and not each.kernel)
    for pid, each in after.items():
        if not each.kernel:
            then = before.get(pid)
            ticks += each.own + each.children - (then.own + then.children if then else 0)
    # A parent's figure holds the whole life of a child that ended, not only what fell between the readings.
    return max(0, ticks - ended) / TICKS


# --- reading ---------------------------------------------------------------------------------------------------------


def read(watched: Iterable[int]) -> Reading:
    """Read everything now. ``watched`` are processes that are counted to the nanosecond and are not foreign; their
    children are watched too."""
    others, family = _processes(set(watched))
    text = Path("/proc/stat").read_text(encoding="ascii")
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return Reading(now, parse_stat(text), {pid: process_nanoseconds(pid) for pid in family}, others)


def process_nanoseconds(pid: int) -> int:
    """CPU time of all threads that a process has or had, in nanoseconds; 0 for a process that is gone.

    Its CPU clock is read (clock_getcpuclockid(3)), which the kernel brings up to date for a thread that is running;
    /proc shows the same figure as of its last tick.
    """
    with suppress(OSError):
        return time.clock_gettime_ns(~pid << 3 | CPUCLOCK_SCHED)
    return 0


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or nothing of it is left but its status."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] in {"Z", "X"}


def children(pid: int) -> set[int]:
    """A process and everything below it."""
    return _family({pid}, _all_processes())


def _all_processes() -> dict[int, Process]:
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                text = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
                found[int(entry.name)] = parse_process(text)
    return found


def _family(roots: set[int], processes: Mapping[int, Process]) -> set[int]:
    family = set(roots)
    while True:
        more = {pid for pid, each in processes.items() if each.parent in family} - family
        if not more:
            return family & processes.keys()
        family |= more


def _processes(watched: set[int]) -> tuple[dict[int, Process], set[int]]:
    """Every other process, and the watched ones with their children."""
    processes = _all_processes()
    family = _family(watched, processes)
    return {pid: each for pid, each in processes.items() if pid not in family}, family
