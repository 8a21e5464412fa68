"""Result files, tables, the HTML page, comparisons."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from rich.console import Console
from unit.bench_results import baselines, case, result, run, typical

from srtpgw.loadtest.bench import chart, compare, html, table
from srtpgw.loadtest.bench import result as results
from srtpgw.loadtest.bench.cli import bench
from srtpgw.loadtest.bench.errors import BenchError

NASTY = "<script>alert('x')</script> & \"quoted\""


def parsed(page: str) -> ET.Element:
    """As XML, which is stricter than HTML: every element closed, everything escaped. Only the head is no XML."""
    text = page.replace("<!DOCTYPE html>\n", "").replace("<br>", "<br/>")
    return ET.fromstring(re.sub(r"<meta ([^>]*)>", r"<meta \1/>", text))  # noqa: S314 - our own


def shown(renderable: Any) -> str:
    output = io.StringIO()
    Console(file=output, width=200).print(renderable)
    return output.getvalue()


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_has_every_part() -> None:
    root = parsed(html.page(typical()))
    titles = [each.text for each in root.iter("h2")]
    assert titles == [
        "Cost against load", "Latency", "Ratio to each peer", "Crypto share", "Loss-free maximum", "All figures",
        "Peers, machine, settings",
    ]  # fmt: skip
    # cost: two directions; latency: those not saturated; ratio: four; crypto: two; maximum: one
    assert len(list(root.iter("svg"))) == 2 + 2 + 4 + 2 + 1


def test_the_page_loads_nothing() -> None:
    page = html.page(typical())
    assert not re.search(r"https?:|src=|href=|url\(|@import|<script|<link", page)


def test_the_page_is_light_and_dark() -> None:
    assert "prefers-color-scheme: dark" in html.page(typical())


def test_every_text_is_escaped() -> None:
    made = typical()
    made["matrix"]["name"] = NASTY
    made["machine"]["processor"] = NASTY
    for peer in made["peers"]:
        peer.update(title=NASTY, version=NASTY, settings=[NASTY])
    for each in made["cases"]:
        each["suite"] = each["load"]["name"] = NASTY
        each["skipped"] = {NASTY: NASTY}
    page = html.page(made)
    assert "<script" not in page
    parsed(page)


def test_empty_and_failed_cases_make_a_page() -> None:
    failed = case({"rtpengine": [run(1, failure="it ended")]})
    page = html.page(result([failed, case({})], complete=False))
    assert "Interrupted" in page
    assert "(failed)" in page
    parsed(page)


def test_the_crypto_part_is_the_difference() -> None:
    """RTP to RTP costs 0.8 of RTP to SRTP in the made result."""
    drawn = "".join(html.crypto_charts(typical()))
    assert drawn.count("20 % crypto") == 4
    assert "crypto: 800" in drawn
    assert "relay without crypto: 3,200" in drawn


def test_ratios_are_to_our_own_cost() -> None:
    drawn = "".join(html.ratio_charts(typical(), {"srtpgw-socket": 2, "rtpengine": 3}))
    assert drawn.count(">2.00x<") == 4
    assert ">srtpgw-socket<" not in drawn


def test_a_chart_of_odd_values() -> None:
    """Negative costs are noise around nothing; one point only; zero on a logarithmic axis."""
    points = [chart.Point(0, -50, -80, 10)]
    assert "<circle" in chart.lines([chart.Series("a", 0, points)], title="t", x_title="x", y_title="y")
    small = [chart.Point(0, 0, 0, 0), chart.Point(1, 5, 5, 5)]
    assert "<polyline" in chart.lines(
        [chart.Series("a", 9, small)], title="t", x_title="x", y_title="y", logarithmic=True, x_names=["p50", "p90"]
    )
    assert chart.lines([], title="t", x_title="x", y_title="y") == ""
    assert chart.bars([], title="t", x_title="x") == ""


@pytest.mark.parametrize("high", [0.7, 1, 9.99, 4321, 5e6])
def test_an_axis_has_round_ticks_that_cover_it(high: float) -> None:
    axis = chart.Axis(0, high, 100, 500)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= chart.TICKS + 1
    assert all(100 <= axis.at(tick) <= 500 for tick in ticks)
    assert len({f"{b - a:.6g}" for a, b in pairwise(ticks)}) == 1


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_shows_medians_and_ratios() -> None:
    text = shown(table.report(typical()))
    row = next(line for line in text.splitlines() if line.strip().startswith("peer rtpengine"))
    assert "8,000" in row
    assert "7,840-8,160" in row
    assert "2.00" in row
    assert "210.0" in text
    assert "Test CPU" in text


def test_the_table_tells_what_was_left_out_and_what_is_doubtful() -> None:
    each = case({**baselines(), "rtpengine": [run(1, verdict="void")]})
    each["skipped"] = {"rtpengine-kernel": "no module"}
    text = shown(table.report(result([each])))
    assert "rtpengine-kernel: no module" in text
    assert "(void)" in text


def test_what_a_program_said_is_no_markup() -> None:
    made = typical()
    made["cases"][-1]["maximum"]["rtpengine"] = {"failure": "it said [/var/x] [red]", "results": [], "trials": []}
    assert "[/var/x] [red]" in shown(table.report(made))


# --- result files ----------------------------------------------------------------------------------------------------


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = typical()
    results.write(made, tmp_path / "a.json")
    assert results.read(tmp_path / "a.json") == made
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_cannot_be_written_is_told_by_name(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "a.json"
    with pytest.raises(BenchError, match=r"a\.json cannot be written"):
        results.check_writable(file)
    with pytest.raises(BenchError, match=r"a\.json cannot be written"):
        results.write(typical(), file)


def test_a_file_that_is_there_is_left_alone_until_there_is_a_result(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("kept", encoding="utf-8")
    results.check_writable(file)
    assert [(each.name, each.read_text(encoding="utf-8")) for each in tmp_path.iterdir()] == [("a.json", "kept")]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "srtpgw-bench-0"}', '{"format": "srtpgw-bench-1"}'])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(BenchError, match=r"a\.json"):
        results.read(tmp_path / "a.json")


def test_a_result_with_half_a_case_is_refused(tmp_path: Path) -> None:
    made = typical()
    del made["cases"][0]["figures"]
    results.write(made, tmp_path / "a.json")
    with pytest.raises(BenchError, match="figures"):
        results.read(tmp_path / "a.json")


# --- comparison ------------------------------------------------------------------------------------------------------


def verdicts(before: dict[str, Any], after: dict[str, Any], metric: str = "cost") -> set[tuple[str, str]]:
    return {(each.peer, each.verdict) for each in compare.compare(before, after) if each.metric == metric}


def test_equal_results_are_the_same() -> None:
    assert {each.verdict for each in compare.compare(typical(), typical())} == {"same"}


def test_a_change_within_the_noise_is_none() -> None:
    before, after = typical(ours=4000, spread=0.10), typical(ours=4350, spread=0.02)
    assert ("srtpgw-socket", "same") in verdicts(before, after)
    assert ("srtpgw-socket", "worse") not in verdicts(before, after)


@pytest.mark.parametrize(("ours", "verdict"), [(4500, "worse"), (3500, "better")])
def test_a_change_beyond_the_noise_is_flagged(ours: float, verdict: str) -> None:
    found = verdicts(typical(ours=4000, spread=0.04), typical(ours=ours, spread=0.04))
    # The baselines and the peer did not change.
    assert found == {("srtpgw-socket", verdict), ("rtpengine", "same"), ("cable", "same"), ("drop", "same")}


def test_agreement_of_a_few_repeats_is_not_taken_for_precision() -> None:
    assert ("srtpgw-socket", "same") in verdicts(typical(ours=4000, spread=0), typical(ours=4100, spread=0))


def test_a_single_repeat_tells_nothing() -> None:
    once = result([case({**baselines(1), "srtpgw-socket": [run(4000)]})])
    twice = result([case({**baselines(1), "srtpgw-socket": [run(9000)]})])
    assert {each.verdict for each in compare.compare(once, twice)} == {"unknown"}


def test_void_runs_tell_nothing() -> None:
    void = [run(cost, verdict="void") for cost in (9000, 9100, 9200)]
    before = result([case({**baselines(), "srtpgw-socket": [run(cost) for cost in (4000, 4100, 4200)]})])
    after = result([case({**baselines(), "srtpgw-socket": void})])
    assert ("srtpgw-socket", "unknown") in verdicts(before, after)


def test_a_lower_maximum_is_worse() -> None:
    before, after = typical(), typical()
    after["cases"][-1]["maximum"]["rtpengine"]["results"][0]["packets_per_second"] = 100_000
    assert verdicts(before, after, "maximum at loss 0") == {("srtpgw-socket", "same"), ("rtpengine", "worse")}


def test_other_machines_are_not_compared() -> None:
    other = typical()
    other["machine"]["kernel"] = "6.2"
    with pytest.raises(BenchError, match=r"6\.1 and 6\.2"):
        compare.compare(typical(), other)
    assert compare.compare(typical(), other, anyway=True)


def test_other_drops_are_not_compared() -> None:
    """What the drop takes is subtracted from every cost."""
    before, after = typical(), typical()
    for made, way in ((before, "tcx ingress"), (after, "socket filter")):
        for each in made["cases"]:
            for dropped in each["runs"].get("drop", ()):
                dropped["notes"]["drop"] = way
    assert "dropped by: tcx ingress" in shown(table.report(before))
    assert "socket filter" in html.page(after)
    with pytest.raises(BenchError, match="tcx ingress and socket filter"):
        compare.compare(before, after)
    assert compare.compare(before, after, anyway=True)


def test_results_without_a_common_case_are_refused() -> None:
    with pytest.raises(BenchError, match="common"):
        compare.compare(result([case(baselines(), load="a")]), result([case(baselines(), load="b")]))


def test_the_command_compares(tmp_path: Path) -> None:
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    results.write(typical(ours=4000), Path(files[0]))
    results.write(typical(ours=6000), Path(files[1]))
    run_command = CliRunner().invoke
    assert run_command(bench, ["compare", *files]).exit_code == 0
    assert run_command(bench, ["compare", *files, "--fail"]).exit_code == 1
    assert run_command(bench, ["compare", *files[::-1], "--fail"]).exit_code == 0
    printed = json.loads(run_command(bench, ["compare", *files, "--json"]).stdout)
    assert {each["verdict"] for each in printed if each["peer"] == "srtpgw-socket" and each["metric"] == "cost"} == {
        "worse"
    }
    assert run_command(bench, ["compare", files[0], str(tmp_path / "none.json")]).exit_code == 2


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    results.write(typical(), tmp_path / "a.json")
    done = CliRunner().invoke(bench, ["report", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")])
    assert done.exit_code == 0
    parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "Test CPU" in CliRunner().invoke(bench, ["report", str(tmp_path / "a.json")]).stdout
