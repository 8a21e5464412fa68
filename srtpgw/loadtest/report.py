"""Results of load tests to read: tables. Text only, what is drawn and not where."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from srtpgw.loadtest.histogram import PERCENTILES, Histogram
from srtpgw.loadtest.plan import Plan
from srtpgw.loadtest.result import FAULTS, VOIDS, RunResult
from srtpgw.loadtest.scenario import Scenario
from srtpgw.loadtest.search import Found, SearchResult, Trial
from srtpgw.loadtest.targets.base import CallRoutes

# Counters that the tables show anyway, or that say the same as another.
SHOWN_ELSEWHERE = frozenset(
    {"planned", "sent", "sent_octets", "warmup_sent", "received", "received_octets", "warmup_received", "verified",
     "lost", "rtcp_sent", "rtcp_received", *FAULTS, *VOIDS}
)  # fmt: skip
VERDICT_STYLES = {
    "passed": "green",
    "found": "green",
    "pass": "green",
    "void": "yellow",
    "generator-limit": "yellow",
    "unconfirmed": "yellow",
}
PLAN_ROWS = 8


def scenario_text(scenario: Scenario) -> str:
    """A scenario in one line."""
    codec = scenario.codec
    sides = " - ".join(suite or "RTP" for suite in (scenario.caller_suite, scenario.callee_suite))
    return (
        f"{_number(scenario.calls, 'call')}, {'two-way' if scenario.two_way else 'one-way'},"
        f" {codec.rate:g}/s of {codec.payload_octets} octets each, {sides}:"
        f" {scenario.packets_per_second:.0f} packets/s for {scenario.duration:g} s"
    )


def run_report(result: RunResult) -> RenderableType:
    """One run."""
    lines: list[RenderableType] = [
        Text(scenario_text(result.scenario), style="bold"),
        Text(f"through {result.target['description']}"),
        _ways_table(result),
        _times_table(result),
    ]
    lines += [Text(line) for line in _remarks(result)]
    lines.append(_verdict(result.verdict, result.reasons))
    return Group(*lines)


def search_report(result: SearchResult) -> RenderableType:
    """A search: its trials in the order they were run, then the answers."""
    limits = [found.loss_limit for found in result.found]
    table = _table("Trials", "trial,calls,packets/s,lost,loss ratio,p99 us,late us")
    for limit in limits:
        table.add_column(f"loss <= {limit:g}")
    for trial in result.trials:
        table.add_row(*_trial_cells(trial), *(_outcome(trial, found) for found in result.found))
    lines: list[RenderableType] = [Text(scenario_text(result.scenario), style="bold"), table]
    for found in result.found:
        lines += [Text(line) for line in _found_lines(found)]
    lines.append(_verdict(result.verdict, []))
    return Group(*lines)


def plan_report(plan: Plan, routes: list[CallRoutes]) -> RenderableType:
    """The first calls of a plan; without routes where only the gateway can tell them."""
    columns = "call,caller RTP,caller leg,callee leg,callee RTP,caller SSRC,callee SSRC"
    table = _table("Calls (RTCP on the port above each)", columns)
    for call in plan.calls[:PLAN_ROWS]:
        legs = [str(route.destination) for route in routes[call.number]] if routes else ["by the gateway"] * 2
        sources = (f"{party.ssrc:08x}" for party in (call.caller, call.callee))
        table.add_row(str(call.number), str(call.caller.address), *legs, str(call.callee.address), *sources)
    lines: list[RenderableType] = [Text(scenario_text(plan.scenario), style="bold"), table]
    if len(plan.calls) > PLAN_ROWS:
        lines.append(Text(f"... and {len(plan.calls) - PLAN_ROWS} more", style="dim"))
    return Group(*lines)


def _ways_table(result: RunResult) -> Table:
    table = _table("", "way,sent,received,lost,duplicates,reordered,jitter us,max", numbers_from=1)
    for name, way in result.ways.items():
        counts = (way.sent, way.received, way.sent - way.received, way.duplicates, way.reordered)
        jitter = (f"{way.jitter_mean_us:.1f}", f"{way.jitter_max_us:.1f}")
        table.add_row(name.replace("_", " "), *map(str, counts), *jitter)
    return table


def _times_table(result: RunResult) -> Table:
    names = ",".join(name.replace("_", ".") for name, _ in PERCENTILES)
    table = _table("", f"microseconds,min,mean,{names},max", numbers_from=1)
    for name, histogram in (("latency", result.latency), ("generator lateness", result.lateness)):
        table.add_row(name, *_times(histogram))
    return table


def _times(histogram: Histogram) -> Iterator[str]:
    values = histogram.to_json()
    if not values.pop("count"):
        return ("-" for _ in values)
    return (f"{value:.0f}" if value >= 100 else f"{value:.1f}" for value in values.values())


def _remarks(result: RunResult) -> Iterator[str]:
    counters, cpu = result.counters, result.cpu
    yield f"RTCP: {counters['rtcp_sent']} sent, {counters['rtcp_received']} received"
    yield f"authenticated and compared: {counters['verified']} packets"
    shown = SHOWN_ELSEWHERE if result.faults else SHOWN_ELSEWHERE - set(FAULTS)
    others = {name: count for name, count in counters.items() if count and name not in shown}
    if others:
        yield "also counted: " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in others.items())
    if cpu is not None and cpu.target_ns is not None and counters["received"]:
        each = cpu.target_ns / counters["received"] / 1e3
        yield f"gateway: {cpu.target_ns / 1e9:.2f} s of CPU, {each:.2f} us per packet relayed (softirq apart)"
    drops = (result.target.get("statistics") or {}).get("rtp_drops")
    if drops:
        yield "gateway dropped: " + ", ".join(f"{reason} {count}" for reason, count in drops.items())


def _trial_cells(trial: Trial) -> Iterator[str]:
    run = trial.run
    yield str(trial.number)
    yield str(trial.calls)
    yield f"{run.scenario.packets_per_second:.0f}"
    yield str(run.counters["lost"])
    yield f"{run.loss_ratio:.1e}" if run.counters["lost"] else "0"
    yield f"{run.latency.percentile(99) / 1000:.0f}"
    yield f"{run.lateness.percentile(99) / 1000:.0f}"


def _outcome(trial: Trial, found: Found) -> Text:
    outcome = trial.outcome(found.loss_limit)
    odd = (outcome == "fail" and trial.calls in found.failed_below) or (
        outcome == "pass" and trial.calls in found.passed_above
    )
    return Text(f"{outcome}{' (!)' if odd else ''}", style=VERDICT_STYLES.get(outcome, "red"))


def _found_lines(found: Found) -> Iterator[str]:
    what = f"loss <= {found.loss_limit:g}"
    if not found.calls:
        yield f"{what}: no load passed"
        return
    limits = {
        "loss": "more lost packets",
        "high": "more was not tried: raise --high",
        "generator": "more could not be generated here",
        "trials": "more was not tried: raise --trials-max",
    }
    confirmed = f"confirmed {found.confirmed} times" if found.confirmed else "not confirmed"
    load = f"{_number(found.calls, 'call')}, {found.packets_per_second:.0f} packets/s"
    yield f"{what}: {load}, {confirmed}; {limits[found.limited_by]}"
    if found.failed_below:
        yield f"  (!) NOT MONOTONIC: lower loads failed: {_list(found.failed_below)} calls"
    if found.passed_above:
        yield f"  (!) NOT MONOTONIC: higher loads passed: {_list(found.passed_above)} calls"
    if not found.enough_packets:
        yield "  a trial has too few packets to show so small a ratio: it stands for none; take a longer --duration"


def _verdict(verdict: str, reasons: list[str]) -> Text:
    return Text("\n".join([verdict.upper(), *(f"  {reason}" for reason in reasons)]), style=_style(verdict))


def _style(verdict: str) -> str:
    return f"bold {VERDICT_STYLES.get(verdict, 'red')}"


def _table(title: str, columns: str, numbers_from: int = 0) -> Table:
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns.split(",")):
        table.add_column(
            name, justify="right" if position >= numbers_from else "left", no_wrap=True, min_width=len(name)
        )
    return table


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
