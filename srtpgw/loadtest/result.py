"""What one run came to: counters of the native part, times, and the verdict over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from srtpgw import _native
from srtpgw.loadtest.cpu import Cpu
from srtpgw.loadtest.histogram import Histogram
from srtpgw.loadtest.scenario import Scenario

FORMAT: Final = "srtpgw-load-1"

Verdict = Literal["passed", "loss", "faulty", "void", "target-failed"]

# Counters of packets that no gateway may let out, whatever the load.
FAULTS: Final[Mapping[str, str]] = {
    "in_clear": "left in clear on an encrypted side",
    "rtcp_in_clear": "RTCP packets left in clear on an encrypted side",
    "wrong_content": "came out with another content",
    "wrong_length": "came out with another length",
    "wrong_source": "came from an address that is not that of the gateway's leg",
    "wrong_socket": "came out at a far end that they were not for",
    "never_sent": "came out under a number that was never sent",
    "auth_failed": "came out with a tag that does not verify",
    "rtcp_auth_failed": "RTCP packets came out with a tag that does not verify",
    "forged_received": "were forged and came out all the same",
}
# Counters of our own failures: the load was not what was asked for, or what arrived was not all seen.
VOIDS: Final[Mapping[str, str]] = {
    "send_failed": "packets could not be sent by this host",
    "unsent": "packets were not sent in time for the end of the run",
    "refused": "packets were refused by the generator's own SRTP",
    "sink_dropped": "packets were dropped at the sink's full buffer (raise net.core.rmem_max, or give it a core)",
}


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of all calls."""

    sent: int
    received: int
    duplicates: int
    reordered: int
    jitter_mean_us: float  # over the streams
    jitter_max_us: float
    latency_max_us: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One run. ``counters`` are those of `_native.LOAD_COUNTER_NAMES`, of the measured window."""

    scenario: Scenario
    counters: dict[str, int]
    latency: Histogram
    lateness: Histogram
    ways: dict[str, Way]
    window_ns: tuple[int, int]  # of scheduled times, CLOCK_MONOTONIC
    cpu: Cpu | None
    target: dict[str, Any]
    target_fault: str = ""
    loss_limit: float | None = None
    send_error: str = ""  # why the kernel refused to send, the last time
    timeline: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def refused(cls, scenario: Scenario, kind: str, reason: str) -> RunResult:
        """A run that never was, because the gateway did not take its calls."""
        empty = Histogram((), (0,))
        return cls(
            scenario=scenario,
            counters=dict.fromkeys(_native.LOAD_COUNTER_NAMES, 0),
            latency=empty,
            lateness=empty,
            ways={},
            window_ns=(0, 0),
            cpu=None,
            target={"kind": kind, "description": kind, "pid": None, "statistics": None},
            target_fault=reason,
        )

    @property
    def loss_ratio(self) -> float:
        """Lost of those sent; what was held back on purpose was not sent."""
        sent = self.counters["sent"]
        return self.counters["lost"] / sent if sent else 0.0

    @property
    def void_reasons(self) -> list[str]:
        """Why this run says nothing about the gateway."""
        reasons = []
        late = self.lateness.percentile(99) / 1000
        if late > self.scenario.lateness_limit:
            limit = self.scenario.lateness_limit
            reasons.append(f"the generator was late: {late:.0f} us at the 99th percentile, {limit:g} allowed")
        reasons += [f"{self.counters[name]} {text}" for name, text in VOIDS.items() if self.counters[name]]
        if self.send_error:
            reasons.append(f"the last that could not be sent: {self.send_error}")
        if not self.counters["sent"]:
            reasons.append("no packet was sent")
        return reasons

    @property
    def faults(self) -> list[str]:
        """What the gateway did that it may not do under any load."""
        if self.target.get("kind") == "cable":
            return []  # what was forged comes out of a cable
        return [f"{self.counters[name]} {text}" for name, text in FAULTS.items() if self.counters[name]]

    @property
    def verdict(self) -> Verdict:
        """Decided in this order: a dead gateway explains loss; a void run explains nothing."""
        if self.target_fault:
            return "target-failed"
        if self.void_reasons:
            return "void"
        if self.faults:
            return "faulty"
        limited = self.loss_limit is not None and self.loss_ratio > self.loss_limit
        return "loss" if limited or not self.counters["received"] else "passed"

    @property
    def reasons(self) -> list[str]:
        """Sentences that explain the verdict."""
        reasons = [self.target_fault] if self.target_fault else []
        reasons += self.void_reasons
        if self.verdict == "void":
            reasons.append("fewer calls, a core for the load alone (--cpu) or a quieter host may help")
        reasons += self.faults
        if not self.counters["received"]:
            reasons.append("nothing arrived: does the gateway relay to these far ends, under these keys?")
        elif self.loss_limit is not None and self.loss_ratio > self.loss_limit:
            reasons.append(f"{self.counters['lost']} packets lost, a ratio of {self.loss_ratio:.2e}")
        return reasons

    def to_json(self, *, trial: bool = False) -> dict[str, Any]:
        """Plain values; as one trial of many without what all share."""
        begin, end = self.window_ns
        result: dict[str, Any] = {} if trial else {"format": FORMAT, "kind": "run", "scenario": self.scenario.to_json()}
        result |= {
            "passed": self.verdict == "passed",
            "verdict": self.verdict,
            "reasons": self.reasons,
            "calls": self.scenario.calls,
            "streams": self.scenario.streams,
            "packets_per_second": self.scenario.packets_per_second,
            "window": {"begin_ns": begin, "end_ns": end, "seconds": (end - begin) / 1e9},
            "loss_limit": self.loss_limit,
            "loss_ratio": self.loss_ratio,
            "counters": self.counters,
            "latency_us": self.latency.to_json(),
            "lateness_us": self.lateness.to_json(),
            "ways": {name: way.to_json() for name, way in self.ways.items()},
            "cpu": None if self.cpu is None else self.cpu.to_json(),
            "target": self.target,
        }
        if not trial:
            result["timeline"] = self.timeline
            result["latency_histogram"] = self.latency.buckets()
            result["lateness_histogram"] = self.lateness.buckets()
        return result
