"""The highest load that a gateway passes at a stated loss ratio, by trials as in RFC 2544, section 26.1.

Halving between a load that passed and one that failed assumes that more load loses more. It need not be so, therefore:
the load that was found is run again (`confirm`), loads below it are looked at (`checks`), and whatever contradicts is
shown. A void trial tells of the generator, not of the gateway: it is never counted as passed or failed, but repeated a
few times, and then bounds the search as the generator's limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from srtpgw.loadtest.faults import ScenarioError
from srtpgw.loadtest.result import FORMAT, RunResult
from srtpgw.loadtest.scenario import CALLS_MAX, Scenario

Outcome = Literal["pass", "fail", "void"]
LimitedBy = Literal["loss", "high", "generator", "trials"]

CONFIRM_MAX = 20
RETRIES_MAX = 10
CHECKS_MAX = 20
TRIALS_MAX = 1000
LIMITS_MAX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """Bounds and thoroughness, loads in calls."""

    low: int = 1
    high: int = 1000
    resolution: int = 0  # 0: a hundredth of high
    confirm: int = 2  # times that the load found has to pass again
    checks: int = 3  # loads below it that are looked at
    void_retries: int = 3
    trials_max: int = 60
    loss_limits: tuple[float, ...] = (0.0,)

    @property
    def step(self) -> int:
        """Calls between a load that passed and one that failed at which the search ends."""
        return self.resolution or max(1, self.high // 100)

    def check(self) -> None:
        """ScenarioError for the first thing wrong."""
        for fault in self._faults():
            raise fault

    def _faults(self) -> Iterator[ScenarioError]:
        if not 1 <= self.low <= self.high <= CALLS_MAX:
            yield ScenarioError("--low", f"and --high are not 1 <= low <= high <= {CALLS_MAX}")
        bounds = (
            ("--resolution", self.resolution, 0, CALLS_MAX),
            ("--confirm", self.confirm, 0, CONFIRM_MAX),
            ("--checks", self.checks, 0, CHECKS_MAX),
            ("--void-retries", self.void_retries, 0, RETRIES_MAX),
            ("--trials-max", self.trials_max, 1, TRIALS_MAX),
        )
        for option, value, low, high in bounds:
            if not low <= value <= high:
                yield ScenarioError(option, f"is outside {low} to {high}")
        if not 1 <= len(self.loss_limits) <= LIMITS_MAX or not all(0 <= each < 1 for each in self.loss_limits):
            yield ScenarioError("--loss-limit", f"is not up to {LIMITS_MAX} ratios from 0 to below 1")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"resolution": self.step}


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a search, numbered from 0."""

    number: int
    calls: int
    run: RunResult

    def outcome(self, loss_limit: float) -> Outcome:
        """Judged by a limit that may not be the one it was run for: the same trial serves several."""
        if self.run.verdict == "void":
            return "void"
        good = self.run.verdict in {"passed", "loss"} and bool(self.run.counters["received"])
        return "pass" if good and self.run.loss_ratio <= loss_limit else "fail"

    def to_json(self, loss_limits: tuple[float, ...]) -> dict[str, Any]:
        """Plain values."""
        outcomes = [{"loss_limit": limit, "outcome": self.outcome(limit)} for limit in loss_limits]
        head = {"number": self.number, "calls": self.calls, "outcomes": outcomes, "loss_ratio": self.run.loss_ratio}
        return {**head, "run": self.run.to_json(trial=True)}


@dataclass(frozen=True, slots=True)
class Found:
    """The answer for one loss limit. ``calls`` is 0 when even the lowest load failed.

    ``failed_below`` lists loads under the one found that failed, ``passed_above`` those over it that passed: with
    either, the gateway's loss does not just grow with its load, and one number does not describe it.
    """

    loss_limit: float
    calls: int
    packets_per_second: float
    confirmed: int
    limited_by: LimitedBy
    failed_below: list[int]
    passed_above: list[int]
    enough_packets: bool  # whether one trial could show a ratio as small as the limit

    @property
    def monotonic(self) -> bool:
        """Whether no trial contradicts the load found."""
        return not self.failed_below and not self.passed_above

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"monotonic": self.monotonic}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Every answer, and every trial behind them."""

    scenario: Scenario
    settings: SearchSettings
    found: list[Found]
    trials: list[Trial]

    @property
    def verdict(self) -> str:
        """``found`` where each limit has a load that passed as often as was asked for, ``unconfirmed`` where it did not
        come to that; without a load ``all-failed``, or ``generator-limit`` if void trials hid it."""
        if all(each.calls for each in self.found):
            confirmed = all(each.confirmed >= self.settings.confirm for each in self.found)
            return "found" if confirmed else "unconfirmed"
        return (
            "generator-limit" if any(not e.calls and e.limited_by == "generator" for e in self.found) else "all-failed"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format": FORMAT,
            "kind": "find",
            "passed": self.verdict == "found",
            "verdict": self.verdict,
            "scenario": self.scenario.to_json(),
            "search": self.settings.to_json(),
            "results": [each.to_json() for each in self.found],
            "trials": [trial.to_json(self.settings.loss_limits) for trial in self.trials],
        }


RunTrial = Callable[[int, int], RunResult]  # calls and number of the trial


def search(
    scenario: Scenario,
    settings: SearchSettings,
    run_trial: RunTrial,
    tell: Callable[[Trial], None] = lambda _: None,
) -> SearchResult:
    """Search for each limit in turn, the smallest ratio first: its trials serve the others."""
    settings.check()
    searcher = _Searcher(settings, run_trial, tell)
    limits = sorted(settings.loss_limits)
    found = [_Limit(searcher, limit, scenario).find() for limit in limits]
    return SearchResult(scenario, settings, found, searcher.trials)


@dataclass(slots=True)
class _Searcher:
    """Runs trials and remembers them."""

    settings: SearchSettings
    run_trial: RunTrial
    tell: Callable[[Trial], None]
    trials: list[Trial] = field(default_factory=list)

    @property
    def exhausted(self) -> bool:
        return len(self.trials) >= self.settings.trials_max

    def at(self, calls: int) -> list[Trial]:
        """Trials of a load so far."""
        return [trial for trial in self.trials if trial.calls == calls]

    def run(self, calls: int) -> Trial:
        """One more trial of a load."""
        trial = Trial(len(self.trials), calls, self.run_trial(calls, len(self.trials)))
        self.trials.append(trial)
        self.tell(trial)
        return trial

    def counted(self, calls: int) -> Trial | None:
        """A new trial that is not void, or None when the generator cannot, or no trial is left."""
        for _ in range(1 + self.settings.void_retries):
            if self.exhausted:
                return None
            trial = self.run(calls)
            if trial.run.verdict != "void":
                return trial
        return None


class _Limit:
    """The search for one loss limit."""

    def __init__(self, searcher: _Searcher, loss_limit: float, scenario: Scenario) -> None:
        self._searcher = searcher
        self._settings = searcher.settings
        self._limit = loss_limit
        self._scenario = scenario
        self._limited_by: LimitedBy = "high"

    def find(self) -> Found:
        """Halve, confirm, look below."""
        low, high, step = self._settings.low, self._settings.high, self._settings.step
        best = self._halve(low, high, step)
        while best and not self._confirmed(best):
            # It passed once and failed once: the limit lies below it.
            best = self._halve(low, best - 1, step) if best > low else 0
        if best:
            self._look_below(best)
        return self._found(best)

    def _halve(self, low: int, high: int, step: int) -> int:
        """The highest load that passed between two, to within ``step``; 0 if the lowest fails."""
        if self._passes(high):
            return high
        if high == low or not self._passes(low):
            return 0
        while high - low > step:
            middle = (low + high) // 2
            if self._passes(middle):
                low = middle
            else:
                high = middle
        return low

    def _passes(self, calls: int) -> bool:
        """By the trials there are, or a new one. A load that cannot be generated does not pass."""
        known = self._judged(calls)
        if not known:
            if self._searcher.at(calls):  # all of them void
                self._limited_by = "generator"
                return False
            if self._searcher.counted(calls) is None:
                self._limited_by = "trials" if self._searcher.exhausted else "generator"
                return False
            known = self._judged(calls)
        passed = all(outcome == "pass" for outcome in known)
        if not passed:
            self._limited_by = "loss"
        return passed

    def _confirmed(self, calls: int) -> bool:
        """Whether it passes as often as is asked for."""
        while len(known := self._judged(calls)) <= self._settings.confirm:
            if "fail" in known or self._searcher.counted(calls) is None:
                break
        if "fail" in self._judged(calls):
            self._limited_by = "loss"
            return False
        return True

    def _look_below(self, best: int) -> None:
        """At loads evenly between the lowest and the one found, those that were not tried."""
        low, checks = self._settings.low, self._settings.checks
        for number in range(1, checks + 1):
            calls = low + (best - low) * number // (checks + 1)
            if low < calls < best and not self._judged(calls):
                self._searcher.counted(calls)

    def _judged(self, calls: int) -> list[Outcome]:
        """Outcomes of a load's trials, void ones aside."""
        outcomes = (trial.outcome(self._limit) for trial in self._searcher.at(calls))
        return [outcome for outcome in outcomes if outcome != "void"]

    def _found(self, best: int) -> Found:
        trials = [(trial.calls, trial.outcome(self._limit)) for trial in self._searcher.trials]
        streams = 2 if self._scenario.two_way else 1
        rate = best * streams * self._scenario.codec.rate
        return Found(
            loss_limit=self._limit,
            calls=best,
            packets_per_second=rate,
            confirmed=max(0, len(self._judged(best)) - 1) if best else 0,
            limited_by=self._limited_by,
            failed_below=sorted({calls for calls, outcome in trials if outcome == "fail" and calls < best}),
            passed_above=sorted({calls for calls, outcome in trials if outcome == "pass" and calls > best}),
            enough_packets=not self._limit or rate * self._scenario.duration * self._limit >= 1,
        )
