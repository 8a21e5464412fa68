"""Runs a matrix: in each case and repeat every peer in turn, every other time backwards, so that what changes on the
machine changes for all."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from srtpgw.loadtest.bench import cpu, figures, machine, result
from srtpgw.loadtest.bench.errors import BenchError
from srtpgw.loadtest.bench.load import Drive
from srtpgw.loadtest.bench.matrix import BASELINES, LIMIT_SHARE, Case, Load, Matrix, rungs
from srtpgw.loadtest.bench.namespaces import OFFLOADS, Testbed
from srtpgw.loadtest.bench.peers import PEERS
from srtpgw.loadtest.bench.peers.base import Peer, Place, Started
from srtpgw.loadtest.bench.process import PRIORITY

RETRIES = 2  # of a run that was void or disturbed; then it is kept as what it is
SETTLE_SECONDS = 0.2  # between two runs, for what the last one left behind in the kernel

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: the gateway alone on its own, generator and sink on others, we beside the load."""

    gateway: Sequence[int]
    load: Sequence[int]

    @classmethod
    def choose(cls, gateway: int | None = None, load: Sequence[int] = ()) -> Cores:
        """The last core for the gateway, the ones before it for the load, unless told otherwise."""
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise BenchError("two cores are needed: one for the gateway, one for the load")
        own = allowed[-1] if gateway is None else gateway
        others = list(load) or [core for core in allowed[-3:] if core != own][-2:]
        unknown = {own, *others} - set(allowed)
        if unknown or own in others:
            raise BenchError(f"cores {own} and {others} must differ and be among {allowed}")
        return cls((own,), tuple(others))


@dataclass
class Bench:
    """One benchmark. ``tell`` gets a line per run, ``save`` the result after each."""

    matrix: Matrix
    peers: Sequence[Peer]
    cores: Cores
    seed: int
    tell: Tell
    save: Callable[[dict[str, Any]], None]
    keep: Path | None = None  # where the programs' logs of the last run stay; else they are removed
    _bed: Testbed = field(default_factory=Testbed)
    _interrupted: str = ""  # the signal that did it
    _ending: bool = False

    def run(self) -> dict[str, Any]:
        """Everything; the result. It is complete unless SIGINT or SIGTERM came in between."""
        began = time.monotonic()
        report = self._head()
        with _signals(self._stop), self._bed:
            os.sched_setaffinity(0, set(self.cores.load))
            try:
                for case in self.matrix.cases:
                    report["cases"].append(entry := _case_entry(case))
                    self._case(case, entry, report, began)
                report["complete"] = True
            except KeyboardInterrupt:
                self.tell(f"interrupted by {self._interrupted}: what was measured so far is kept")
            finally:
                self._ending = True  # a signal from here on has to wait for the clearing up
        report["seconds"] = time.monotonic() - began
        self.save(report)
        return report

    def _stop(self, number: int) -> None:
        if not (self._interrupted or self._ending):
            self._interrupted = signal.Signals(number).name
            raise KeyboardInterrupt

    def _case(self, case: Case, entry: dict[str, Any], report: dict[str, Any], began: float) -> None:
        here = []
        for peer in self.peers:
            reason = peer.missing(None) or peer.missing(case)
            if reason is None:
                here.append(peer)
            else:
                entry["skipped"][peer.name] = reason
        if case.load.kind == "maximum":
            for peer in here:
                self._maximum(case, peer, entry)
                self._saved(report, began)
            return
        loads = {peer.name: self._limit(case, peer, entry) for peer in here}
        rates = sorted(set(loads.values()), key=lambda load: load.packets_per_second)
        order = [(PEERS[name], load) for load in rates for name in BASELINES]
        order += [(peer, loads[peer.name]) for peer in here]
        for repeat in range(self.matrix.repeats):
            for peer, load in order if repeat % 2 == 0 else order[::-1]:
                run = self._repeated(replace(case, load=load), peer, f"{repeat + 1}/{self.matrix.repeats}")
                entry["runs"].setdefault(peer.name, []).append(run)
                entry["figures"] = figures.case_figures(entry["runs"])
                self._saved(report, began)

    def _limit(self, case: Case, peer: Peer, entry: dict[str, Any]) -> Load:
        """The load for a peer: that of the case, or in a saturation case the highest that it can still relay. Some
        gateways give a stream up for good when its queue is too long, so more than that would measure nothing. The
        trials are kept: a void one may have told of the load instead of the gateway."""
        if case.load.kind != "saturation":
            return case.load
        loads = rungs(case.load)
        trials: list[dict[str, Any]] = []
        entry["limits"][peer.name] = trials

        def relays(load: Load) -> bool:
            run = self._repeated(replace(case, load=load), peer, f"limit, {load.packets_per_second / 1000:.0f} kpps")
            kept = {name: run.get(name) for name in ("rate", "offered", "relayed", "failure", "reasons")}
            trials.append({**kept, "outcome": figures.outcome(run)})
            return not run["failure"] and run["relayed"] >= LIMIT_SHARE * run["offered"] > 0

        low, high = 0, len(loads)  # the lowest is taken as relayed, beyond the highest nothing is
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if relays(loads[middle]) else (low, middle)
        return loads[low]

    def _saved(self, report: dict[str, Any], began: float) -> None:
        report["seconds"] = time.monotonic() - began
        self.save(report)

    def _repeated(self, case: Case, peer: Peer, what: str) -> dict[str, Any]:
        """A run, once more if something spoilt it; the best of them. What a gateway did wrong is not tried away."""
        runs = []
        for attempt in range(1 + RETRIES):
            try:
                run = self._once(case, peer)
            except BenchError as error:
                run = _failed(str(error))
            run.update(rate=case.load.packets_per_second, attempt=attempt)
            runs.append(run)
            judged = figures.outcome(run)
            self.tell(f"{case.id}  {peer.name}  {what}: {_short(run, judged)}")
            if judged == figures.FAULTY:
                return run
            if judged in {figures.GOOD, figures.FAILED}:
                break
        return min(runs, key=lambda each: figures.OUTCOMES.index(figures.outcome(each)))

    def _once(self, case: Case, peer: Peer) -> dict[str, Any]:
        with self._place(case) as place, peer.start(place) as started:
            readings: list[cpu.Reading] = []
            children = cpu.children(os.getpid()) - {os.getpid()}

            def stamp(event: str) -> None:
                if event in {"measuring", "measured"}:
                    readings.append(cpu.read([os.getpid()]))

            loaded = self._drive(place.folder, started.target).run(case, self.matrix, stamp)
            if any(cpu.has_ended(pid) for pid in started.pids):
                raise BenchError(f"{peer.title} ended during the run; --logs FOLDER keeps what it said")
            gateway = [pid for pid in children if pid in readings[0].watched] if readings else []
            return _run_entry(started, loaded, readings, gateway)

    def _maximum(self, case: Case, peer: Peer, entry: dict[str, Any]) -> None:
        try:
            with self._place(case) as place, peer.start(place) as started:
                found = self._drive(place.folder, started.target).find(case, self.matrix)
            entry["maximum"][peer.name] = _maximum_entry(found)
        except BenchError as error:
            entry["maximum"][peer.name] = {"failure": str(error), "results": [], "trials": []}
        self.tell(f"{case.id}  {peer.name}: {_maximum_text(entry['maximum'][peer.name])}")

    def _drive(self, folder: Path, target: Sequence[str] = ()) -> Drive:
        return Drive(self._bed, self.cores.load, folder, self.seed, target)

    @contextmanager
    def _place(self, case: Case) -> Iterator[Place]:
        """A folder of its own for keys, state and logs, gone after the run."""
        folder = Path(tempfile.mkdtemp(prefix="srtpgw-bench-"))
        try:
            yield Place(self._bed, case, self.cores.gateway, folder, self._drive(folder))
        finally:
            if self.keep is not None:
                _copy_logs(folder, self.keep)
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(SETTLE_SECONDS)

    def _head(self) -> dict[str, Any]:
        matrix = asdict(self.matrix)
        matrix["cases"] = [case.id for case in self.matrix.cases]
        return {
            "format": result.FORMAT,
            "complete": False,
            "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "matrix": matrix,
            "settings": {
                "seed": self.seed,
                "gateway_cores": list(self.cores.gateway),
                "load_cores": list(self.cores.load),
                "priority": PRIORITY,
                "offloads_off": list(OFFLOADS),
                "checksums": "full UDP checksums computed and verified at every end",
            },
            "machine": machine.machine(),
            "software": machine.software(),
            "accounting": machine.accounting(),
            "peers": [_peer_entry(PEERS[name]) for name in BASELINES] + [_peer_entry(peer) for peer in self.peers],
            "cases": [],
        }


def _peer_entry(peer: Peer) -> dict[str, Any]:
    missing = peer.missing(None)
    version = "" if missing else peer.version()
    return {
        "name": peer.name, "title": peer.title, "version": version, "settings": list(peer.settings()),
        "missing": missing,
    }  # fmt: skip


def _case_entry(case: Case) -> dict[str, Any]:
    return {"id": case.id, **asdict(case), "runs": {}, "figures": {}, "skipped": {}, "limits": {}, "maximum": {}}


def _run_entry(
    started: Started, loaded: dict[str, Any], readings: Sequence[cpu.Reading], gateway: Sequence[int]
) -> dict[str, Any]:
    """What is kept of a run: no keys, no addresses, no ports."""
    if len(readings) != 2 or "counters" not in loaded or loaded["verdict"] == "target-failed":
        reasons = "; ".join(map(str, loaded.get("reasons", []))) or "no measured window"
        return _failed(f"srtpgw load did not measure: {reasons}")
    try:
        spent = cpu.usage(*readings)
    except ValueError as error:
        return _failed(f"the CPU time that was counted cannot be: {error}")
    observer = os.getpid()
    own = spent.watched.get(observer, 0.0)
    relays = sum(spent.watched.get(pid, 0.0) for pid in gateway)
    counters, accounted = loaded["counters"], loaded["cpu"]
    return {
        "window_seconds": loaded["window"]["seconds"],
        "usage": {name: value for name, value in asdict(spent).items() if name != "watched"},
        "processes": {"gateway": relays, "observer": own, "load": sum(spent.watched.values()) - own - relays},
        "gateway_pids": len(started.pids),
        "threads": accounted["threads"],
        "threads_seconds": (accounted["end_ns"] - accounted["begin_ns"]) / cpu.NANOSECONDS,
        "offered": counters["sent"] + counters["rtcp_sent"],
        "relayed": counters["received"] + counters["rtcp_received"],
        "loss_ratio": loaded["loss_ratio"],
        "counters": {name: count for name, count in counters.items() if count},
        "latency_us": loaded["latency_us"],
        "lateness_us": loaded["lateness_us"],
        "verdict": loaded["verdict"],
        "reasons": loaded.get("reasons", []),
        "notes": dict(started.notes),
        "failure": None,
    }


def _failed(reason: str) -> dict[str, Any]:
    return {"failure": reason, "verdict": "failed", "usage": None, "threads": []}


def _maximum_entry(found: dict[str, Any]) -> dict[str, Any]:
    kept = ("calls", "verdict", "loss_ratio", "lateness_us")
    trials = [{name: trial["run"].get(name) for name in kept} for trial in found.get("trials", [])]
    results, reasons = found.get("results", []), "; ".join(map(str, found.get("reasons", [])))
    failure = None if results else reasons or f"the search ended without a result: {found.get('verdict')}"
    return {"failure": failure, "verdict": found.get("verdict"), "results": results, "trials": trials}


def _maximum_text(entry: dict[str, Any]) -> str:
    if entry["failure"]:
        return f"failed: {entry['failure']}"
    found = [f"{each['packets_per_second'] / 1000:.0f} kpps at loss {each['loss_limit']:g}" for each in entry["results"]
             if each.get("packets_per_second")]  # fmt: skip
    return ", ".join(found) or str(entry["verdict"])


def _short(run: dict[str, Any], judged: str) -> str:
    if run["failure"]:
        return f"failed: {run['failure']}"
    rate = run["relayed"] / run["window_seconds"] / 1000
    text = f"{rate:.1f} kpps"
    inside = figures.in_process(run)
    if inside is not None:
        text += f", {inside:.0f} ns in process"
    if judged != figures.GOOD:
        text += f" ({judged})"
    return text


def _copy_logs(folder: Path, keep: Path) -> None:
    """Logs only: relay files hold keys."""
    keep.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, keep)


@contextmanager
def _signals(stop: Callable[[int], None]) -> Iterator[None]:
    """SIGTERM and SIGHUP end the run in order, like SIGINT; a second one has to wait for the clearing up. What was
    ignored before (nohup) stays so."""

    def caught(number: int, frame: FrameType | None) -> None:
        del frame
        stop(number)

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, caught) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
