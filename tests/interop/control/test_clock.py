"""Commands under clocks that are wrong, and jump: nothing depends on the time but what it is for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from interop.control.children import Ended, command_line, ended_of
from support import require_peer

from srtpgw.control.directory import StateDirectory
from srtpgw.control.store import Store

EXTENSION = ("extension", "-i", "--csp", "1", "--lim", "1", "-d")
Clock = Callable[..., Ended]


@pytest.fixture
def at(tmp_path: Path) -> Clock:
    """Run an operator command in this year; 0: by the clock of this machine."""
    faketime = require_peer("faketime")

    def run(year: int, *words: str) -> Ended:
        clock = [faketime, f"{year}-07-01 12:00:00"] if year else []
        return ended_of([*clock, *command_line(tmp_path / "state", *words)])

    return run


def test_the_clock_that_is_set_is_the_one_they_see(at: Clock, tmp_path: Path) -> None:
    for year in (1990, 2040):
        assert at(year, *EXTENSION, str(year)).status == 0
    with Store(StateDirectory(tmp_path / "state").database) as store:
        years = [time.gmtime(each.time).tm_year for each in store.audit(9)]
    assert years == [1990, 2040]


def test_a_clock_that_jumps_changes_no_order_and_refuses_nothing(at: Clock, tmp_path: Path) -> None:
    years = [0, 1990, 2105, 0]
    for number, year in enumerate(years):
        ended = at(year, *EXTENSION, str(100 + number))
        assert ended.status == 0, ended
    assert at(1990, "auth_code", "-i", "-d", "100", "--auth-code", "4711").status == 0
    assert at(2040, "extension", "-e", "-d", "103").status == 0
    shown = at(1990, "audit", "-p", "--json")
    assert shown.status == 0
    assert isinstance(json.loads(shown.out), list | dict)
    with Store(StateDirectory(tmp_path / "state").database) as store:
        store.check()
        state = store.read()
        entries = store.audit(99)
    assert list(state.extensions) == ["100", "101", "102"]
    assert list(state.authorization_codes) == ["100"]
    assert state.revision == len(years) + 2
    initiated = [each.command for each in entries[: len(years)]]
    assert [command.split("-d ")[1].split()[0] for command in initiated] == [str(100 + n) for n in range(len(years))]
    assert [each.time for each in entries] != sorted(each.time for each in entries), "they are in the order of making"


def test_a_licence_ends_by_the_clock_and_comes_back_with_it(at: Clock, tmp_path: Path) -> None:
    assert at(0, "license_install", "--testbed").status == 0
    assert at(0, "media_encryption_enable", "-type", "route").status == 0
    late = at(2105, "media_encryption_enable", "-type", "intermgw")
    assert late.status == 1
    assert late.out.splitlines()[:2] == ["NOT EXECUTED", "LICENSE VOIP-SECURITY MISSING"]
    shown = at(2105, "media_encryption_print", "--json")
    assert shown.status == 0
    with Store(StateDirectory(tmp_path / "state").database) as store:
        assert store.read().media_encryption == {"route": True}, "what was enabled stays so"
    assert at(2105, "media_encryption_disable", "-type", "route").status == 0, "disabling needs no licence"
    assert at(0, "media_encryption_enable", "-type", "intermgw").status == 0
