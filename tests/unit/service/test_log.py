"""Lines of the service's log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srtpgw.service.log import TEXT_MAX, Log, json_line, text_line

AT = 1_795_000_000.25
TIME = "2026-11-18T11:06:40.250Z"


def test_a_line_has_time_level_event_and_fields() -> None:
    fields = {"state_dir": Path("/s"), "legs": 2, "on": True, "off": False, "cpus": (0, 1), "nothing": None}
    assert text_line(AT, "info", "started", fields) == (
        f"{TIME} info started state-dir=/s legs=2 on=yes off=no cpus=0,1\n"
    )


@pytest.mark.parametrize("text", ["two words", "", 'quo"te', "a=b", "back\\slash", "line\nend", "\x1b[2J", "\u202e"])
def test_a_value_cannot_be_taken_for_something_else(text: str) -> None:
    line = text_line(AT, "warning", "told", {"what": text})
    assert line.count("\n") == 1
    assert line.isascii()
    assert json.loads(line.split("what=", 1)[1]) == text


def test_a_long_value_is_cut() -> None:
    line = text_line(AT, "info", "told", {"what": "x" * 10_000})
    assert line == f"{TIME} info told what={'x' * (TEXT_MAX - 3)}...\n"


def test_json_has_the_same() -> None:
    line = json_line(AT, "error", "failed", {"reason": ValueError("no\nroom"), "legs": 2})
    assert line.count("\n") == 1
    assert json.loads(line) == {"time": TIME, "level": "error", "event": "failed", "reason": "no\nroom", "legs": 2}


def test_nobody_who_reads_is_no_fault() -> None:
    Log(None)("started", pid=1)
    Log(None).warning("told")
