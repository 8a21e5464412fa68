"""What the demonstration says where it cannot be run. What it shows where it can is an end-to-end test."""

from __future__ import annotations

import pytest

from srtpgw.demo import DemoError, DemoPlan, run_demo
from srtpgw.terminal.terminal import Terminal

BRIEF = DemoPlan(frames=10, attack_packets=1, patience=0.1)


def break_talk(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def talk(*_: object) -> None:
        raise error

    monkeypatch.setattr(Terminal, "talk", talk)


def test_what_its_tasks_meet_is_a_clear_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    break_talk(monkeypatch, OSError(101, "Network is unreachable"))
    with pytest.raises(DemoError, match=r"the calls cannot go on: .*Network is unreachable"):
        run_demo(BRIEF)


def test_a_fault_of_its_own_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    break_talk(monkeypatch, ZeroDivisionError())
    with pytest.raises(ExceptionGroup):
        run_demo(BRIEF)
