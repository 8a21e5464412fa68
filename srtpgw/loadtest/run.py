"""One run: far ends and gateway are opened, the load is sent, stragglers are awaited, everything is closed."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Literal

from srtpgw import _native, hardening
from srtpgw.loadtest.cpu import Cpu, Reading
from srtpgw.loadtest.faults import LoadError
from srtpgw.loadtest.histogram import Histogram
from srtpgw.loadtest.plan import Party, Plan, make_plan
from srtpgw.loadtest.result import RunResult, Way
from srtpgw.loadtest.scenario import Scenario
from srtpgw.loadtest.sockets import FarEnds, open_far_ends
from srtpgw.loadtest.targets import CallRoutes, Route, Target, TargetSettings, make_target
from srtpgw.loadtest.targets.base import check_destinations
from srtpgw.media.endpoint import endpoint_of
from srtpgw.srtp import Receiver, Sender

Event = Literal["ready", "measuring", "measured", "ended"]

LOOK_SECONDS = 0.25  # how often the state of a run is read: each reading takes CPU time from the load
START_NS = 200_000_000  # from the setting up until the first packet
END_SECONDS = 10.0  # that the native threads have to end after their time
CALLER_TO_CALLEE, CALLEE_TO_CALLER = "caller_to_callee", "callee_to_caller"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: seconds of how many, and packets so far."""

    done: float
    total: float
    counters: dict[str, int]


@dataclass(slots=True)
class Watch:
    """Who looks on. ``event`` is called at changes of phase with CLOCK_MONOTONIC in ns and the gateway's process."""

    progress: Callable[[Progress], None] = lambda _: None
    event: Callable[[Event, int, int | None], None] = lambda *_: None
    trial: Callable[[str], None] = lambda _: None  # a line of text for each that a search has run


QUIET: Final = Watch()


def run(
    scenario: Scenario, settings: TargetSettings, *, loss_limit: float | None = None, watch: Watch = QUIET
) -> RunResult:
    """Run a scenario against a target. ScenarioError, TargetError, LoadError when it cannot; never for its outcome."""
    plan = make_plan(scenario)
    settings.check(scenario)
    target = make_target(settings)
    with closing(_native.Load(scenario.seed)) as load:
        ends = open_far_ends(load, plan)  # before the gateway: what it sends early finds a socket
        try:
            routes = target.open(plan)
            check_destinations(settings, routes)
            _add_streams(load, plan, routes, ends)
            _impair(load, scenario, ends)
            measured = _Measured(load, scenario, target, watch)
            fault = measured.drive()
        except BaseException:
            load.stop()
            target.close()
            raise
        if not fault and load.counters()["lost"]:
            fault = target.fault(ask=True)
        about: dict[str, Any] = {"kind": settings.kind, "description": target.description, "pid": target.pid}
        about["statistics"] = target.close()
        return measured.result(about, fault, loss_limit)


def _add_streams(load: _native.Load, plan: Plan, routes: Sequence[CallRoutes], ends: FarEnds) -> None:
    """The callers' stream of each call, and the callees' where calls are two-way, in turn."""
    hardening.want_locked_memory(len(plan.calls))
    for call, pair in zip(plan.calls, routes, strict=True):
        _add_stream(load, plan.scenario, ends, (call.caller, pair.caller), (call.callee, pair.callee))
        if plan.scenario.two_way:
            _add_stream(load, plan.scenario, ends, (call.callee, pair.callee), (call.caller, pair.caller))


def _add_stream(
    load: _native.Load, scenario: Scenario, ends: FarEnds, source: tuple[Party, Route], sink: tuple[Party, Route]
) -> None:
    codec = scenario.codec
    (speaker, out), (listener, back) = source, sink
    load.add_stream(
        ssrc=speaker.ssrc,
        first_sequence=speaker.sequence,
        first_timestamp=speaker.timestamp,
        timestamp_step=codec.timestamp_step,
        payload_type=codec.payload_type,
        payload_octets=codec.payload_octets,
        interval_ns=codec.interval_ns,
        phase_ns=speaker.phase_ns,
        socket=ends.rtp[speaker.address],
        destination=endpoint_of(out.destination),
        sender=Sender(speaker.suite, speaker.sends).context if speaker.suite else None,
        sink_socket=ends.rtp[listener.address],
        source=endpoint_of(back.destination),
        receiver=Receiver(back.suite_heard, back.key_heard).context if back.suite_heard else None,
        rtcp_interval_ns=round(scenario.rtcp * 1e9),
        rtcp_phase_ns=speaker.rtcp_phase_ns,
        rtcp_socket=ends.rtcp[speaker.address],
        rtcp_destination=endpoint_of(out.rtcp_destination),
        rtcp_sink_socket=ends.rtcp[listener.address],
        rtcp_source=endpoint_of(back.rtcp_destination),
    )


def _impair(load: _native.Load, scenario: Scenario, ends: FarEnds) -> None:
    load.impair(
        loss=scenario.lose,
        duplicate=scenario.duplicate,
        reorder=scenario.reorder,
        forge=scenario.forge,
        stranger=ends.stranger,
    )


class _Measured:
    """The run itself, with the readings at both ends of its window."""

    def __init__(self, load: _native.Load, scenario: Scenario, target: Target, watch: Watch) -> None:
        self._load = load
        self._scenario = scenario
        self._target = target
        self._watch = watch
        self._window = (0, 0)
        self._cpu: Cpu | None = None

    def drive(self) -> str:
        """Send, and wait for the end. Why the gateway failed meanwhile, if it did."""
        scenario, watch = self._scenario, self._watch
        warm_up, duration = round(scenario.warm_up * 1e9), round(scenario.duration * 1e9)
        cpus = scenario.cpus
        watch.event("ready", time.monotonic_ns(), self._target.pid)
        origin = self._load.start(
            duration_ns=duration,
            warmup_ns=warm_up,
            drain_ns=round(scenario.drain * 1e9),
            sample=max(1, round(1 / scenario.sample)),
            origin_ns=_native.now_ns() + START_NS,
            generator_cpu=cpus[0] if cpus else -1,
            sink_cpu=cpus[1] if len(cpus) > 1 else None,
        )
        self._window = (origin + warm_up, origin + warm_up + duration)
        fault = self._wait_until(self._window[0])
        before = self._read_cpu()
        watch.event("measuring", before.time_ns, self._target.pid)
        fault = fault or self._wait_until(self._window[1])
        after = self._read_cpu()
        watch.event("measured", after.time_ns, self._target.pid)
        self._cpu = before.until(after, cpus)
        if fault:
            self._load.stop()
        elif not self._load.wait(scenario.drain + END_SECONDS):
            self._load.stop()
            raise LoadError("the load did not end in time")
        watch.event("ended", time.monotonic_ns(), self._target.pid)
        return fault

    def _read_cpu(self) -> Reading:
        return Reading.take(self._load.times(), self._target.pid)

    def _wait_until(self, instant_ns: int) -> str:
        """Until an instant, or the gateway's end, which is told."""
        scenario = self._scenario
        total = scenario.warm_up + scenario.duration
        end_ns = self._window[1]
        while (left := (instant_ns - _native.now_ns()) / 1e9) > 0:
            if fault := self._target.fault():
                return fault
            if self._load.wait(min(left, LOOK_SECONDS)):
                break
            done = total - (end_ns - _native.now_ns()) / 1e9
            self._watch.progress(Progress(max(0.0, done), total, self._load.counters()))
        return ""

    def result(self, target: dict[str, Any], fault: str, loss_limit: float | None) -> RunResult:
        """What the native part counted, as values."""
        times, edges = self._load.times(), _native.load_bucket_edges()
        latency = self._load.histogram("latency"), times["latency_min_ns"], times["latency_max_ns"]
        return RunResult(
            scenario=self._scenario,
            counters=self._load.counters(),
            latency=Histogram.of(latency[0], edges, latency[1], latency[2]),
            lateness=Histogram.of(self._load.histogram("lateness"), edges, None, times["lateness_max_ns"]),
            ways=_ways(self._load.streams(), self._scenario.two_way),
            window_ns=self._window,
            cpu=self._cpu,
            target=target,
            target_fault=fault,
            loss_limit=loss_limit,
            send_error=os.strerror(times["send_errno"]) if times["send_errno"] else "",
            timeline={name: list(array("Q", octets)) for name, octets in self._load.timeline().items()},
        )


def _ways(streams: dict[str, bytes], two_way: bool) -> dict[str, Way]:
    """Sums over the streams of either direction: they were added in turn."""
    values = {name: array("Q", octets) for name, octets in streams.items()}
    if not two_way:
        return {CALLER_TO_CALLEE: _way(values)}
    return {
        CALLER_TO_CALLEE: _way({name: numbers[0::2] for name, numbers in values.items()}),
        CALLEE_TO_CALLER: _way({name: numbers[1::2] for name, numbers in values.items()}),
    }


def _way(values: dict[str, array[int]]) -> Way:
    jitter = values["jitter_ns"]
    return Way(
        sent=sum(values["sent"]),
        received=sum(values["received"]),
        duplicates=sum(values["duplicates"]),
        reordered=sum(values["reordered"]),
        jitter_mean_us=round(sum(jitter) / len(jitter) / 1000, 3),
        jitter_max_us=max(values["jitter_max_ns"]) / 1000,
        latency_max_us=max(values["latency_max_ns"]) / 1000,
    )
