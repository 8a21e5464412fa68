"""The result as one HTML file: nothing is loaded from anywhere, every text is escaped, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from srtpgw.loadtest.bench import chart, figures
from srtpgw.loadtest.bench.matrix import OURS
from srtpgw.loadtest.bench.result import titles
from srtpgw.loadtest.bench.table import COLUMNS, foot, number, ratios, spread, times

Result = dict[str, Any]
Case = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1d2126; --quiet: #5b6570; --rule: #d9dee3; --band: #f4f6f8;
  --s0: #0b62c4; --s1: #c2410c; --s2: #15803d; --s3: #7e22ce; --s4: #a16207; --s5: #0e7490; --s6: #be185d;
  --s7: #64748b; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --text: #e4e8ec; --quiet: #9aa5b1; --rule: #333b44;
  --band: #1b2127; --s0: #6cb0ff; --s1: #ff9d6b; --s2: #63d58a; --s3: #c99bff; --s4: #e9c46a; --s5: #5cd0e6;
  --s6: #ff8fc0; --s7: #a7b4c4; } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem; max-width: 88rem; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; font-weight: 600 }
p { max-width: 60rem; margin: .3rem 0 } .quiet { color: var(--quiet) }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); gap: 1rem 2rem }
figure { margin: 0 } svg { width: 100%; height: auto; display: block }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .3rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap }
th { font-weight: 600; background: var(--band) } td:first-child, th:first-child { text-align: left }
table.facts td { text-align: left; white-space: normal } table.facts th { text-align: left }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; padding: 0; margin: .5rem 0 }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem }
text { fill: var(--text); font: 12px system-ui, sans-serif } text.title { fill: var(--quiet) }
.grid { stroke: var(--rule) } .axis { stroke: var(--quiet) } .mark { stroke: var(--text); stroke-dasharray: 4 3 }
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
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>srtpgw bench: {escape(name)}</title><style>{STYLE}{_colour_rules()}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


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


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles_ = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{titles_}</tr></thead><tbody>{body}</tbody></table></div>'


def _texts(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _table(head, rows).replace("<table>", '<table class="facts">')


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
    return f"<h3>{escape(title)}</h3>{_table(['', *COLUMNS, 'steal %', 'others %'], rows)}{skipped}"


def _peers_table(result: Result) -> str:
    rows = (
        (peer["title"], peer["missing"] or peer["version"], "; ".join(peer["settings"])) for peer in result["peers"]
    )
    return _texts(("peer", "version, or why it is not here", "how it runs"), rows)


def _facts(title: str, facts: dict[str, Any]) -> str:
    return _texts((title, ""), ((name, _plain(value)) for name, value in facts.items()))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)
