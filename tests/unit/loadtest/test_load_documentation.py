"""docs/load.md against what it speaks of."""

from __future__ import annotations

import re

import click
from support import ROOT
from unit.loadtest.results import result

from srtpgw import _native
from srtpgw.loadtest.command import find_command, load, plan_command, run_command
from srtpgw.loadtest.scenario import Scenario
from srtpgw.loadtest.search import SearchSettings, search

PAGE = (ROOT / "docs/load.md").read_text(encoding="utf-8")


def table(first_column: str) -> dict[str, str]:
    """Rows of the table with this title, by what stands in backquotes in the first column."""
    lines = PAGE.partition(f"| {first_column} |")[2].splitlines()[2:]
    rows: dict[str, str] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, second = (cell.strip() for cell in line.strip("|").split("|", 1))
        rows |= dict.fromkeys(re.findall(r"`([^`]+)`", first), second)
    return rows


def test_counters_are_those_of_the_native_part() -> None:
    told = {name: text.rstrip("| ") for name, text in table("counter").items()}
    assert told == dict(zip(_native.LOAD_COUNTER_NAMES, _native.LOAD_COUNTER_HELP, strict=True))


def test_fields_of_a_run() -> None:
    assert set(table("field of a run")) == set(result().to_json())


def test_fields_of_a_search() -> None:
    found = search(Scenario(), SearchSettings(high=2), lambda *_: result())
    told = found.to_json()
    for name in ("scenario", "search", "results", "trials", *told["results"][0], "calls", "outcomes", "run"):
        assert f"`{name}`" in PAGE


def test_options_that_it_names_are_there() -> None:
    commands: tuple[click.Command, ...] = (run_command, find_command, plan_command)
    known = {option for command in commands for each in command.params for option in each.opts}
    text = re.sub(r"\$ rtpengine .*\n.*\n", "", PAGE)
    assert set(re.findall(r"(?<![-+])--[a-z][a-z-]+", text)) <= known
    assert set(load.commands) == {"run", "find", "plan"}
