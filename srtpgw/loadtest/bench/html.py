"""The result as one HTML file: nothing is loaded from anywhere, every text is escaped, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from srtpgw.loadtest.bench import chart, figures
from srtpgw.loadtest.bench.matrix import OURS
from srtpgw.loadtest.bench.result import titles
from srtpgw.loadtest.bench.table import COLUMNS, foot, number, ratios, spread, times
from srtpgw.page import document, table

Result = dict[str, Any]
Case = dict[str, Any]

STYLE = """
.line, .range { fill: none; stroke-width: 2 } .range { stroke-width: 1.3 }
"""

ABOUT_COST = (
    "CPU time of all cores per relayed packet: busy time including softirq, less the generator's spinning, the far "
    "end's own work and foreign processes, less the same run with the gateway replaced by a drop. Points are medians "
    "of the repeats, bars their smallest and largest. Lower is better."
)
ABOUT_LATENCY = (
    "From the time at which a packet was scheduled to be sent until the far end's kernel received it. The cable run "
    "shows what of it is the test bed's. Lower is better."
)
ABOUT_RATIO = "Cost of each peer over that of srtpgw (socket) in the same case; above 1, srtpgw costs less."
ABOUT_CRYPTO = (
    "Each bar is a peer's cost. The second part is what the same peer does not need when both sides are plain RTP at "
    "the same load: ciphers, authentication, indices, replay windows and the octets of the tag. Where saturated, each "
    "is at its own limit, which is higher for plain RTP, and a packet is cheaper at a higher load: crypto looks larger "
    "there than it is. It is a difference of two measurements, so it carries the noise of both."
)
FACTS = ("machine", "software", "settings", "accounting")
ABOUT_MAXIMUM = "The highest load that passed without loss above the limit, by trials after RFC 2544."


def page(result: Result) -> str:
    """The whole report."""
    colours = {peer["name"]: number for number, peer in enumerate(result["peers"])}
    name = result["matrix"]["name"]
    parts = [
        f"<h1>srtpgw bench: {escape(name)}</h1>",
        f'<p class="quiet">{escape(foot(result)).replace(chr(10), "<br>")}</p>',
        "" if result["complete"] else "<p><strong>Interrupted: these are the runs until then.</strong></p>",
        *_section("Cost against load", ABOUT_COST, result, colours, list(cost_charts(result, colours))),
        *_section("Latency", ABOUT_LATENCY, result, colours, list(latency_charts(result, colours))),
        *_section("Ratio to each peer", ABOUT_RATIO, result, colours, list(ratio_charts(result, colours))),
        *_section("Crypto share", ABOUT_CRYPTO, result, {}, list(crypto_charts(result))),
        *_section("Loss-free maximum", ABOUT_MAXIMUM, result, colours, list(maximum_charts(result, colours))),
        "<h2>All figures</h2>",
        *(_case_table(case, result) for case in result["cases"] if case["figures"]),
        "<h2>Peers, machine, settings</h2>",
        _peers_table(result),
        *(_facts(title, result[title]) for title in FACTS if title in result),
    ]
    return document(f"srtpgw bench: {name}", "".join(parts), STYLE + _colour_rules())


def _colour_rules() -> str:
    return "".join(
        f".line.s{n}, .range.s{n} {{ stroke: var(--s{n}) }} .dot.s{n}, .bar.s{n} {{ fill: var(--s{n}) }} "
        f".key.s{n} {{ background: var(--s{n}) }}\n"
        for n in range(chart.COLOURS)
    )


def _section(title: str, about: str, result: Result, colours: dict[str, int], charts: list[str]) -> Iterator[str]:
    """Left out where there is nothing to draw."""
    if not charts:
        return
    yield f'<h2>{escape(title)}</h2><p class="quiet">{escape(about)}</p>'
    shown = {peer for case in result["cases"] for peer in (*case["figures"], *case["maximum"])} - {"drop"}
    names = titles(result)
    if colours:
        yield chart.legend([(names[peer], colour) for peer, colour in colours.items() if peer in shown])
    yield f'<div class="charts">{"".join(charts)}</div>'


def _figure(title: str, svg: str) -> str:
    return f"<figure><h3>{escape(title)}</h3>{svg}</figure>" if svg else ""


def what(case: Case) -> tuple[str, str, int, int]:
    """A case without its load."""
    return case["direction"], case["suite"], case["payload"], case["family"]


def named(case: Case) -> str:
    direction, suite, payload, family = what(case)
    plain = direction == "rtp-rtp"
    return ", ".join([
        direction.upper().replace("-", " to "), *([] if plain else [suite]), f"{payload} octets",
        *(["IPv6"] if family == 6 else []),
    ])  # fmt: skip


def _groups(cases: Iterable[Case]) -> dict[tuple[str, str, int, int], list[Case]]:
    groups: dict[tuple[str, str, int, int], list[Case]] = {}
    for case in cases:
        groups.setdefault(what(case), []).append(case)
    return groups


def _peers_of(cases: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(peer for case in cases for peer in case["figures"]))


def cost_charts(result: Result, colours: dict[str, int]) -> Iterator[str]:
    """One chart per direction, suite and payload; calls are two-way, so they have none."""
    loads = [case for case in result["cases"] if case["load"]["kind"] in {"one-way", "saturation"}]
    for group in _groups(loads).values():
        series = []
        for peer in _peers_of(group):
            points = [_cost_point(case["figures"][peer]) for case in group if peer in case["figures"]]
            if peer != "drop" and any(points):
                name = titles(result)[peer]
                series.append(chart.Series(name, colours[peer], [point for point in points if point]))
        title = named(group[0])
        drawn = chart.lines(series, title=title, x_title="relayed, thousand packets/s", y_title="CPU ns per packet")
        yield from filter(None, [_figure(title, drawn)])


def _cost_point(found: dict[str, Any]) -> chart.Point | None:
    cost, rate = found["cost_ns"], found["relayed_pps"]
    if not cost or not rate:
        return None
    return chart.Point(rate["median"] / 1000, cost["median"], cost["min"], cost["max"])


def latency_charts(result: Result, colours: dict[str, int]) -> Iterator[str]:
    """Percentiles of each case whose load everyone is asked to carry."""
    for case in result["cases"]:
        if case["load"]["kind"] in {"saturation", "maximum"}:
            continue
        series = [
            chart.Series(titles(result)[peer], colours[peer], points)
            for peer, found in case["figures"].items()
            if (points := list(_latency_points(found)))
        ]
        title = f"{named(case)}, {case['load']['name']}"
        names = [name.replace("_", ".") for name in figures.PERCENTILES]
        drawn = chart.lines(
            series, title=title, x_title="percentile", y_title="latency, microseconds", logarithmic=True, x_names=names
        )
        yield from filter(None, [_figure(title, drawn)])


def _latency_points(found: dict[str, Any]) -> Iterator[chart.Point]:
    for at, name in enumerate(figures.PERCENTILES):
        value = found["latency_us"][name]
        if value and value["median"] > 0:
            yield chart.Point(at, value["median"], value["min"], value["max"])


def ratio_charts(result: Result, colours: dict[str, int]) -> Iterator[str]:
    """How many times our cost each peer has."""
    for case in result["cases"]:
        rows = []
        for peer, found in case["figures"].items():
            factor = times(case, found, "cost_ns")
            if factor is not None and peer not in OURS:
                part = chart.Part(factor, colours[peer], titles(result)[peer])
                rows.append(chart.Bar(peer, [part], f"{factor:.2f}x"))
        title = f"{named(case)}, {case['load']['name']}"
        yield from filter(None, [_figure(title, chart.bars(rows, title=title, x_title="times our cost", mark=1.0))])


def crypto_charts(result: Result) -> Iterator[str]:
    """Cost as what the plain relay has and what encryption adds, where both were measured."""
    plain = {(c["payload"], c["family"], c["load"]["name"]): c for c in result["cases"] if c["direction"] == "rtp-rtp"}
    for case in result["cases"]:
        same = plain.get((case["payload"], case["family"], case["load"]["name"]))
        if same is None or case["direction"] == "rtp-rtp":
            continue
        rows = [row for peer in case["figures"] if (row := _crypto_bar(peer, case, same))]
        title = f"{named(case)}, {case['load']['name']}"
        yield from filter(None, [_figure(title, chart.bars(rows, title=title, x_title="CPU ns per packet"))])


def _crypto_bar(peer: str, case: Case, plain: Case) -> chart.Bar | None:
    whole = case["figures"][peer]["cost_ns"]
    without = plain["figures"].get(peer, {}).get("cost_ns")
    share = figures.crypto_share(whole, without)
    if share is None or peer in {"drop", "cable"}:
        return None
    rest = whole["median"] * (1 - share)
    parts = [chart.Part(rest, 0, "relay without crypto"), chart.Part(whole["median"] - rest, 1, "crypto")]
    return chart.Bar(peer, parts, f"{share * 100:.0f} % crypto")


def maximum_charts(result: Result, colours: dict[str, int]) -> Iterator[str]:
    for case in result["cases"]:
        rows = [
            chart.Bar(peer, [chart.Part(each["packets_per_second"] / 1000, colours[peer], peer)],
                      f"{each['packets_per_second'] / 1000:.0f} at {each['loss_limit']:g}")
            for peer, found in case["maximum"].items()
            for each in found["results"]
            if each.get("packets_per_second")
        ]  # fmt: skip
        yield from filter(
            None, [_figure(named(case), chart.bars(rows, title=named(case), x_title="thousand packets/s"))]
        )


def _case_table(case: Case, result: Result) -> str:
    rows = []
    judged = case["load"]["kind"] != "saturation"
    for peer, found in case["figures"].items():
        mark = "" if found["quality"] == figures.GOOD else f" ({found['quality']})"
        latency = [number(found["latency_us"][name], 0) if judged else "-" for name in ("p50", "p99")]
        rows.append([
            titles(result)[peer] + mark, number(found["relayed_pps"], 1, 1 / 1000), number(found["cost_ns"], 0),
            spread(found["cost_ns"]), number(found["net_ns"], 0), number(found["in_process_ns"], 0),
            *ratios(case, found), *latency, number(found["loss_ratio"], 2, 100),
            number(found["steal_share"], 1, 100), number(found["foreign_share"], 1, 100),
        ])  # fmt: skip
    skipped = "".join(
        f'<p class="quiet">not run: {escape(name)}: {escape(reason)}</p>' for name, reason in case["skipped"].items()
    )
    title = f"{named(case)}, {case['load']['name']}"
    return f"<h3>{escape(title)}</h3>{table(['', *COLUMNS, 'steal %', 'others %'], rows)}{skipped}"


def _peers_table(result: Result) -> str:
    rows = (
        (peer["title"], peer["missing"] or peer["version"], "; ".join(peer["settings"])) for peer in result["peers"]
    )
    return table(("peer", "version, or why it is not here", "how it runs"), rows, "facts")


def _facts(title: str, facts: dict[str, Any]) -> str:
    return table((title, ""), ((name, _plain(value)) for name, value in facts.items()), "facts")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)
