"""`srtpgw load` as a subprocess: its command line for a case, its events and its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from srtpgw.loadtest.bench.errors import BenchError
from srtpgw.loadtest.bench.matrix import Case, Load, Matrix
from srtpgw.loadtest.bench.namespaces import Addresses, Testbed
from srtpgw.loadtest.bench.process import running, tail

COMMAND = (sys.executable, "-P", "-m", "srtpgw.cli", "load")
GATEWAY_PORT = 20_000  # of the first call's caller leg; the callee leg two above it, the next call four
PORTS_PER_CALL = 4
FAR_PORT = 20_000  # of the far ends, in namespaces of their own
CALLS_MAX = (65_536 - GATEWAY_PORT) // PORTS_PER_CALL
START_SECONDS = 60.0  # for a run to begin sending: thousands of calls are set up before
TRIAL_SECONDS = 900.0  # for a whole search
SAMPLE = 0.02  # of what arrives is decrypted and checked, so that the far end keeps up; it counts all of it
# p99 of the generator's own lateness; beyond it a run is void. Where latency is not judged a late generator is only a
# little harder on the gateway: what passes passes all the same.
LATENESS_LIMIT_US = {"one-way": 50, "calls": 50, "saturation": 20_000, "maximum": 1000}

Stamp = Callable[[str], None]  # called with "measuring" and "measured" as the window begins and ends


@dataclass(frozen=True, slots=True)
class Drive:
    """What a load run needs to know of its surroundings. ``target`` are options that name the gateway."""

    bed: Testbed
    cpus: Sequence[int]
    folder: Path
    seed: int
    target: Sequence[str] = ()

    def options(self, case: Case, *, cable: bool = False) -> list[str]:
        """The options that plan, run and find share."""
        there = Addresses.of(case.family)
        caller, callee = case.suites
        load = case.load
        return [
            "--caller-address", there.cable_caller if cable else there.caller,
            "--callee-address", there.cable_callee if cable else there.callee,
            "--callee-netns", str(self.bed.path("callee")),
            "--gateway", there.gateway, "--gateway-callee", there.gateway,
            "--gateway-port", str(GATEWAY_PORT), "--port", str(FAR_PORT),
            "--codec", f"{load.stream_rate}:{case.payload}",
            "--caller-suite", caller, "--callee-suite", callee,
            *([] if load.kind == "calls" else ["--one-way", "--rtcp", "0"]),
            "--family", str(case.family), "--seed", str(self.seed), "--sockets", "shared",
            "--cpu", ",".join(map(str, self.cpus)),
        ]  # fmt: skip

    def run(self, case: Case, matrix: Matrix, stamp: Stamp) -> dict[str, Any]:
        """One run; its JSON. Raises :class:`BenchError` when it does not come to an end of its own."""
        cable = "cable" in self.target
        seconds = [f"--{name}={value:g}" for name, value in
                   (("warm-up", matrix.warm_up), ("duration", matrix.duration), ("drain", matrix.drain))]  # fmt: skip
        options = ["--calls", str(case.load.flows), *seconds, *_judging(case.load), "--events"]
        limit = START_SECONDS + matrix.warm_up + matrix.duration + matrix.drain
        return self._call("run", [*self.target, *self.options(case, cable=cable), *options], stamp, limit)

    def find(self, case: Case, matrix: Matrix) -> dict[str, Any]:
        """The search for the most calls without loss; its JSON."""
        highest = min(case.load.flows, CALLS_MAX)
        search = ["--low", str(max(1, highest // 20)), "--high", str(highest), f"--duration={matrix.duration:g}",
                   f"--warm-up={matrix.warm_up:g}", f"--drain={matrix.drain:g}", "--resolution",
                   str(max(1, highest // 50)), "--confirm", "1"]  # fmt: skip
        options = [*self.target, *self.options(case), *search, *_judging(case.load)]
        return self._call("find", options, None, TRIAL_SECONDS)

    def plan(self, case: Case, gateway_cpus: Sequence[int], file: Path) -> None:
        """Write the relay file with the legs and keys of this load."""
        options = ["--target", "static", "--calls", str(case.load.flows), "--relay-file", str(file), "--workers",
                   str(len(gateway_cpus)), "--gateway-cpus", ",".join(map(str, gateway_cpus))]  # fmt: skip
        log = self.folder / "plan.log"
        with running([*COMMAND, "plan", *self.options(case), *options], log) as process:
            try:
                status = process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                raise BenchError("srtpgw load plan does not end") from None
        if status:
            raise BenchError(f"srtpgw load plan failed: {tail(log)}")

    def _call(self, verb: str, options: Sequence[str], stamp: Stamp | None, limit: float) -> dict[str, Any]:
        report, log = self.folder / f"{verb}.json", self.folder / f"{verb}.log"
        report.unlink(missing_ok=True)
        command = [*COMMAND, verb, *options, "--json", str(report)]
        place = {"netns": self.bed.path("caller"), "cpus": self.cpus, "files": 65_536}
        with running(command, log, errors=subprocess.PIPE, **place) as process:  # type: ignore[arg-type]
            watchdog = threading.Timer(limit, process.kill)
            watchdog.start()
            try:
                assert process.stderr is not None
                said = _follow(process.stderr, stamp)
                status = process.wait()
            finally:
                watchdog.cancel()
        if not report.exists():
            raise BenchError(f"srtpgw load {verb} left no report (status {status}): {said[-600:] or tail(log)}")
        return _parsed(report)


def _judging(load: Load) -> list[str]:
    return ["--sample", str(SAMPLE), "--lateness-limit", str(LATENESS_LIMIT_US[load.kind])]


def _follow(lines: IO[bytes], stamp: Stamp | None) -> str:
    """Read stderr to its end, call ``stamp`` at each event; the rest is returned."""
    said = []
    for line in lines:
        text = line.decode(errors="replace").strip()
        event = _event(text)
        if event is None:
            said.append(text)
        elif stamp is not None:
            stamp(event)
    return " ".join(said)


def _event(text: str) -> str | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text).get("event")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _parsed(report: Path) -> dict[str, Any]:
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BenchError(f"srtpgw load wrote a report that is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BenchError("srtpgw load wrote a report that is not an object")
    return found
