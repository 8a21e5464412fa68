"""Gathers what the benchmarks measured, prints it at the end and saves it where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .report import Row, save, write_tables

ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--save-results",
        type=Path,
        metavar="FILE",
        help="write what was measured, with machine, kernel, commit and settings, to a JSON file",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    # its table would give the time of a whole turn of one side: the tables here say it per packet, beside the peer's
    config.option.benchmark_quiet = True


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """Where a test that takes no time leaves its rows."""
    return request.config.stash[ROWS]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)  # pytest-benchmark has no public way to its results
    timed = [each.extra_info["row"] for each in (session.benchmarks if session else ()) if "row" in each.extra_info]
    measured = [*timed, *config.stash[ROWS]]
    if not measured:
        return
    write_tables(measured, terminalreporter.section, terminalreporter.write_line)
    path = config.getoption("--save-results")
    if path is not None:
        save(measured, path, config.getoption("-k"))
        terminalreporter.write_line(f"saved to {path}")
