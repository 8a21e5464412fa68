"""Verdicts over counters, and what is shown of them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from unit.loadtest.results import result

from srtpgw import _native
from srtpgw.loadtest.plan import make_plan
from srtpgw.loadtest.report import plan_report, run_report, search_report
from srtpgw.loadtest.result import FAULTS, VOIDS
from srtpgw.loadtest.scenario import Scenario
from srtpgw.loadtest.search import SearchSettings, search
from srtpgw.loadtest.targets import TargetSettings
from srtpgw.loadtest.targets.base import planned_routes


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, "passed", ""),
        ({"lost": 5}, "passed", ""),
        ({"lost": 5, "loss_limit": 0.005}, "passed", ""),
        ({"lost": 6, "loss_limit": 0.005}, "loss", "6 packets lost"),
        ({"lost": 1, "loss_limit": 0.0}, "loss", "1 packets lost"),
        ({"lost": 1000}, "loss", "nothing arrived"),
        ({"late": True}, "void", "the generator was late: 100 us"),
        ({"late": True, "lost": 5, "loss_limit": 0.0}, "void", "late"),
        ({"sent": 0}, "void", "no packet was sent"),
        ({"target_fault": "the gateway ended", "lost": 500}, "target-failed", "the gateway ended"),
        *[({name: 2}, "void", f"2 {text}"[:20]) for name, text in VOIDS.items()],
        *[({name: 2}, "faulty", f"2 {text}"[:20]) for name, text in FAULTS.items()],
    ],
)
def test_verdicts(changes: dict[str, Any], verdict: str, reason: str) -> None:
    made = result(**changes)
    assert made.verdict == verdict
    assert any(reason in each for each in made.reasons) or not reason
    assert made.to_json()["passed"] == (verdict == "passed")


def test_the_counters_judged_are_there() -> None:
    assert set(FAULTS) | set(VOIDS) <= set(_native.LOAD_COUNTER_NAMES)


def test_what_a_cable_lets_out_is_not_a_gateways_fault() -> None:
    assert result(auth_failed=2, target={"kind": "cable", "description": "", "pid": None}).verdict == "passed"


def test_json_is_whole_and_a_trial_is_less() -> None:
    whole, part = (json.loads(json.dumps(result().to_json(trial=trial))) for trial in (False, True))
    assert whole["format"] == "srtpgw-load-1"
    assert whole["scenario"]["callee_suite"] == "AES_CM_128_HMAC_SHA1_80"
    assert whole["scenario"]["caller_suite"] == "plain"
    assert set(part) < set(whole)
    assert set(whole["counters"]) == set(_native.LOAD_COUNTER_NAMES)


def drawn(report: Any) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_to_read() -> None:
    text = drawn(run_report(result(lost=7, forged=12, duplicates=3, loss_limit=0.0)))
    assert "caller to callee" in text
    assert "forged 12" in text
    assert "duplicates 3" in text
    assert "LOSS" in text
    assert "7 packets lost" in text


def test_a_search_to_read() -> None:
    odd = search(
        Scenario(),
        SearchSettings(high=100, loss_limits=(0.0, 1e-6)),
        lambda calls, _: result(lost=1 if 40 <= calls <= 60 else 0, late=calls == 25),
    )
    text = drawn(search_report(odd))
    assert "NOT MONOTONIC: lower loads failed: 50" in text
    assert "fail (!)" in text
    assert "void" in text
    assert "too few packets" in text
    assert "FOUND" in text


def test_a_plan_to_read() -> None:
    plan = make_plan(Scenario(calls=12))
    text = drawn(plan_report(plan, [planned_routes(TargetSettings(), call) for call in plan.calls]))
    assert "127.0.0.1:20000" in text
    assert "... and 4 more" in text
    assert "by the gateway" in drawn(plan_report(plan, []))
