"""Two results beside each other: what changed by more than it varies anyway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from srtpgw.loadtest.bench import figures, machine
from srtpgw.loadtest.bench.errors import BenchError
from srtpgw.loadtest.bench.result import drops

# Below this two medians are equal, however close together the repeats were: a few repeats can agree by chance.
NOISE_FLOOR = 0.03
# A maximum is found by steps of this size, so it cannot be known better.
MAXIMUM_NOISE = 0.05

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "same", "unknown"

# Figures by where they lie in a peer's figures; all are better when lower.
METRICS: dict[str, tuple[str, ...]] = {
    "cost": ("cost_ns",), "in process": ("in_process_ns",), "latency p99": ("latency_us", "p99"),
}  # fmt: skip
DOUBTFUL = {figures.VOID, figures.FAULTY, figures.FAILED}  # what such runs show is no change of the gateway
SATURATED = {name: METRICS[name] for name in ("cost", "in process")}  # latency there is the length of a queue


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one peer in one case: medians before and after, and what is noise."""

    case: str
    peer: str
    metric: str
    before: float
    after: float
    noise: float | None  # share of the median; None: a single repeat tells nothing of it
    verdict: str

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before else float("inf")


def compare(before: dict[str, Any], after: dict[str, Any], *, anyway: bool = False) -> list[Change]:
    """Every figure that both results have. Raises :class:`BenchError` where the machines differ, unless ``anyway``, and
    where nothing is common."""
    differences = machine.differences(before["machine"], after["machine"])
    ways = [", ".join(drops(side)) for side in (before, after)]
    if ways[0] and ways[1] and ways[0] != ways[1]:
        differences.append(f"drop: {ways[0]} and {ways[1]}")
    if differences and not anyway:
        raise BenchError(f"not measured alike ({'; '.join(differences)}): times cannot be compared, or --anyway")
    changes = list(_changes(before, after))
    if not changes:
        raise BenchError("the two results have no figure in common")
    return changes


def noise_of(*sides: figures.Summary) -> float | None:
    """The widest of the spreads (largest less smallest, by the median), at least :data:`NOISE_FLOOR`."""
    if any(side["count"] < 2 for side in sides):
        return None
    return max(NOISE_FLOOR, *((side["max"] - side["min"]) / abs(side["median"] or 1) for side in sides))


def judge(before: float, after: float, noise: float | None, *, lower_is_better: bool = True) -> str:
    """By how far the medians are apart, as a factor, either way."""
    if noise is None or before <= 0 or after <= 0:
        return UNKNOWN
    factor = after / before
    if 1 / (1 + noise) <= factor <= 1 + noise:
        return SAME
    return BETTER if (factor < 1) == lower_is_better else WORSE


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    earlier = {case["id"]: case for case in before["cases"]}
    for case in after["cases"]:
        then = earlier.get(case["id"])
        if then is None:
            continue
        for peer in case["figures"]:
            if peer in then["figures"]:
                judged = METRICS if case["load"]["kind"] != "saturation" else SATURATED
                for change in _figures(case["id"], peer, judged, then["figures"][peer], case["figures"][peer]):
                    doubtful = {then["figures"][peer]["quality"], case["figures"][peer]["quality"]} & DOUBTFUL
                    yield replace(change, verdict=UNKNOWN) if doubtful else change
        for peer in case["maximum"].keys() & then["maximum"].keys():
            yield from _maxima(case["id"], peer, then["maximum"][peer], case["maximum"][peer])


def _figures(
    case: str, peer: str, metrics: dict[str, tuple[str, ...]], before: dict[str, Any], after: dict[str, Any]
) -> Iterator[Change]:
    for metric, path in metrics.items():
        sides = [_summary(found, path) for found in (before, after)]
        if sides[0] and sides[1]:
            noise = noise_of(sides[0], sides[1])
            medians = sides[0]["median"], sides[1]["median"]
            yield Change(case, peer, metric, *medians, noise, judge(*medians, noise))


def _summary(found: dict[str, Any], path: tuple[str, ...]) -> figures.Summary | None:
    value: dict[str, Any] | None = found
    for step in path:
        value = value.get(step) if value else None
    return value


def _maxima(case: str, peer: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    earlier = {each["loss_limit"]: each.get("packets_per_second") for each in before["results"]}
    for each in after["results"]:
        then, now = earlier.get(each["loss_limit"]), each.get("packets_per_second")
        if then and now:
            verdict = judge(then, now, MAXIMUM_NOISE, lower_is_better=False)
            yield Change(case, peer, f"maximum at loss {each['loss_limit']:g}", then, now, MAXIMUM_NOISE, verdict)


def report(changes: list[Change]) -> RenderableType:
    """What changed on top, then the rest."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("case", "peer", "figure"):
        table.add_column(column)
    for column in ("before", "after", "ratio", "noise", ""):
        table.add_column(column, justify="right", no_wrap=True)
    order = {WORSE: 0, BETTER: 1, UNKNOWN: 2, SAME: 3}
    styles = {WORSE: "red", BETTER: "green", UNKNOWN: "yellow", SAME: ""}
    for change in sorted(changes, key=lambda each: order[each.verdict]):
        noise = "?" if change.noise is None else f"{change.noise * 100:.0f} %"
        table.add_row(
            Text(change.case), Text(change.peer), change.metric, f"{change.before:,.0f}", f"{change.after:,.0f}",
            f"{change.ratio:.3f}", noise, Text(change.verdict, style=styles[change.verdict]),
        )  # fmt: skip
    counts = {verdict: sum(change.verdict == verdict for change in changes) for verdict in order}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return Group(table, Text(f"{len(changes)} figures: {told}"))


def as_json(changes: list[Change]) -> list[dict[str, Any]]:
    return [{**asdict(change), "ratio": change.ratio} for change in changes]
