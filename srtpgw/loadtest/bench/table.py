"""The result as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from srtpgw.loadtest.bench import figures
from srtpgw.loadtest.bench.matrix import OURS
from srtpgw.loadtest.bench.result import drops, titles

COLUMNS = (
    "relayed kpps",
    "cost ns",
    "min-max",
    "net ns",
    "in process",
    "times ours",
    "net",
    "p50 us",
    "p99 us",
    "loss %",
)


def report(result: dict[str, Any]) -> RenderableType:
    """Everything: one table per case, what was left out, and where and when it was measured."""
    lines: list[RenderableType] = []
    for case in result["cases"]:
        lines.append(maximum_table(case, titles(result)) if case["maximum"] else case_table(case, titles(result)))
        lines += [Text(f"  not run: {name}: {reason}", style="dim") for name, reason in case["skipped"].items()]
    lines.append(Text(foot(result)))
    if not result["complete"]:
        lines.append(Text("Interrupted: these are the runs until then.", style="yellow"))
    return Group(*lines)


def case_table(case: dict[str, Any], names: dict[str, str]) -> Table:
    """One row per peer; medians."""
    table = Table(title=Text(case["id"]), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for peer, found in case["figures"].items():
        mark = "" if found["quality"] == figures.GOOD else f" ({found['quality']})"
        judged = case["load"]["kind"] != "saturation"
        latency = [number(found["latency_us"][name], 0) if judged else "-" for name in ("p50", "p99")]
        table.add_row(
            Text(names.get(peer, peer) + mark), number(found["relayed_pps"], 1, 1 / 1000), number(found["cost_ns"], 0),
            spread(found["cost_ns"]), number(found["net_ns"], 0), number(found["in_process_ns"], 0),
            *ratios(case, found), *latency, number(found["loss_ratio"], 2, 100),
        )  # fmt: skip
    return table


def maximum_table(case: dict[str, Any], names: dict[str, str]) -> Table:
    """The loss-free maximum of each peer."""
    table = Table(title=Text(case["id"]), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("", "loss limit", "kpps", "limited by", "trials"):
        table.add_column(column, justify="left" if not column else "right")
    for peer, found in case["maximum"].items():
        name = Text(names.get(peer, peer))
        if found["failure"]:
            table.add_row(name, "-", "failed", Text(found["failure"]), "-")
        for each in found["results"]:
            pps = each.get("packets_per_second")
            table.add_row(
                name, f"{each['loss_limit']:g}", "-" if pps is None else f"{pps / 1000:.1f}",
                str(each.get("limited_by")), str(len(found["trials"])),
            )  # fmt: skip
    return table


def times(case: dict[str, Any], found: dict[str, Any], part: str) -> float | None:
    """How many times ours a peer's cost is (``cost_ns`` or ``net_ns``); None for the baselines."""
    ours: dict[str, Any] = case["figures"].get(OURS[0], {})
    return figures.ratio(found[part], ours.get(part)) if found["net_ns"] else None


def ratios(case: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Both of them as text."""
    both = (times(case, found, part) for part in ("cost_ns", "net_ns"))
    return ["-" if value is None else f"{value:.2f}" for value in both]


def number(found: figures.Summary | None, digits: int, factor: float = 1.0) -> str:
    return "-" if found is None else f"{found['median'] * factor:,.{digits}f}"


def spread(found: figures.Summary | None) -> str:
    return "-" if found is None else f"{found['min']:,.0f}-{found['max']:,.0f}"


def foot(result: dict[str, Any]) -> str:
    """Where, with what, when."""
    machine, software = result["machine"], result["software"]
    matrix = result["matrix"]
    commit = (software["commit"] or "no commit")[:12] + (" with changes" if software["changed"] else "")
    return (
        f"{machine['processor']}, {machine['cores']} cores, virtual: {machine['virtual']}, Linux {machine['kernel']}, "
        f"mitigations {machine['mitigations']}\nsrtpgw {software['srtpgw'] or 'from a checkout'} ({commit}), kernels "
        f"{software['crypto_tier']}, Python {software['python']}; {result['started']}, {result['seconds']:.0f} s, "
        f"matrix {matrix['name']}, {matrix['repeats']} repeats of {matrix['duration']:g} s; dropped by: "
        f"{', '.join(drops(result)) or '-'}"
    )
