"""The search for the highest load, against gateways that are functions: loss by load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from unit.loadtest.results import result

from srtpgw.loadtest.faults import ScenarioError
from srtpgw.loadtest.result import RunResult
from srtpgw.loadtest.scenario import Scenario
from srtpgw.loadtest.search import SearchResult, SearchSettings, search

Gateway = Callable[[int, int], RunResult]  # calls, number of the trial

SENT = 1_000_000


def find(gateway: Gateway, **settings: Any) -> SearchResult:
    wanted = SearchSettings(**{"high": 1000, "resolution": 1, **settings})
    return search(Scenario(), wanted, gateway)


def limited(limit: int, lost: int = SENT // 10) -> Gateway:
    return lambda calls, _: result(sent=SENT, lost=lost if calls > limit else 0)


def loads(found: SearchResult) -> list[int]:
    return [trial.calls for trial in found.trials]


@pytest.mark.parametrize("limit", [1, 2, 333, 998, 999])
def test_the_limit_is_found_to_the_call(limit: int) -> None:
    found = find(limited(limit))
    answer = found.found[0]
    assert (answer.calls, answer.limited_by, answer.monotonic, answer.confirmed) == (limit, "loss", True, 2)
    assert found.verdict == "found"
    assert answer.packets_per_second == limit * 100


def test_all_passes() -> None:
    found = find(limited(5000), checks=0)
    assert loads(found) == [1000, 1000, 1000]
    assert (found.found[0].calls, found.found[0].limited_by) == (1000, "high")


def test_all_fails() -> None:
    found = find(limited(0))
    assert loads(found) == [1000, 1]
    assert (found.found[0].calls, found.verdict) == (0, "all-failed")


def test_resolution_bounds_the_trials() -> None:
    found = find(limited(333), resolution=100, checks=0, confirm=0)
    assert 333 - 100 < found.found[0].calls <= 333
    assert len(found.trials) <= 6
    assert SearchSettings(high=1000).step == 10


def test_lower_loads_that_fail_are_looked_for_and_shown() -> None:
    """A gateway that fails between 400 and 700 only: halving alone would see nothing of it."""
    found = find(lambda calls, _: result(sent=SENT, lost=SENT // 10 if 400 <= calls <= 700 or calls > 900 else 0),
                 low=800)  # fmt: skip
    assert found.found[0].monotonic
    found = find(lambda calls, _: result(sent=SENT, lost=SENT // 10 if 400 <= calls <= 700 else 0))
    answer = found.found[0]
    assert answer.calls == 1000
    assert answer.failed_below == [500]
    assert not answer.monotonic
    assert found.to_json()["results"][0]["failed_below"] == [500]


def test_a_load_that_passes_once_only_is_given_up() -> None:
    """800 passes the first time and fails ever after; what lies below passes."""
    seen: list[int] = []

    def gateway(calls: int, _: int) -> RunResult:
        seen.append(calls)
        return result(sent=SENT, lost=100 if calls > 800 or (calls == 800 and seen.count(800) > 1) else 0)

    answer = find(gateway, high=800, checks=0).found[0]
    assert (answer.calls, answer.limited_by, answer.confirmed) == (799, "loss", 2)
    assert answer.passed_above == [800]


def test_void_trials_are_neither_passed_nor_failed() -> None:
    def gateway(calls: int, number: int) -> RunResult:
        return result(sent=SENT, lost=SENT // 2 if number % 2 == 0 or calls > 300 else 0, late=number % 2 == 0)

    found = find(gateway, trials_max=200)
    assert (found.found[0].calls, found.found[0].confirmed) == (300, 2)
    assert {trial.outcome(0.0) for trial in found.trials if trial.number % 2 == 0} == {"void"}


def test_the_generator_may_be_what_limits() -> None:
    def gateway(calls: int, _: int) -> RunResult:
        return result(sent=SENT, late=calls > 200)

    found = find(gateway, void_retries=2, checks=0, confirm=0)
    assert (found.found[0].calls, found.found[0].limited_by) == (200, "generator")
    assert loads(found).count(1000) == 3
    always = find(lambda *_: result(late=True))
    assert (always.verdict, always.found[0].calls) == ("generator-limit", 0)


def test_several_limits_share_their_trials() -> None:
    def gateway(calls: int, _: int) -> RunResult:
        return result(sent=SENT, lost=0 if calls <= 300 else 5 if calls <= 600 else 1000)

    both = find(gateway, loss_limits=(1e-5, 0.0), trials_max=200)
    assert [(each.loss_limit, each.calls) for each in both.found] == [(0.0, 300), (1e-5, 600)]
    alone = [len(find(gateway, loss_limits=(limit,)).trials) for limit in (0.0, 1e-5)]
    assert len(both.trials) < sum(alone)


def test_trials_are_bounded() -> None:
    found = find(limited(333), trials_max=4)
    assert len(found.trials) == 4
    assert found.found[0].calls <= 333
    assert (found.found[0].limited_by, found.found[0].confirmed, found.verdict) == ("trials", 0, "unconfirmed")


def test_a_gateway_that_leaks_fails_without_loss() -> None:
    found = find(lambda calls, _: result(sent=SENT, in_clear=1 if calls > 50 else 0))
    assert found.found[0].calls == 50


def test_too_few_packets_for_a_ratio_is_said() -> None:
    few = search(Scenario(duration=1.0), SearchSettings(high=10, loss_limits=(1e-5,)), lambda *_: result())
    many = search(Scenario(duration=100.0), SearchSettings(high=10, loss_limits=(1e-4,)), lambda *_: result())
    assert not few.found[0].enough_packets
    assert many.found[0].enough_packets


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"low": 0}, "--low"),
        ({"low": 11, "high": 10}, "--low"),
        ({"high": 20_001}, "--low"),
        ({"resolution": -1}, "--resolution"),
        ({"confirm": 21}, "--confirm"),
        ({"checks": 21}, "--checks"),
        ({"void_retries": 11}, "--void-retries"),
        ({"trials_max": 0}, "--trials-max"),
        ({"loss_limits": (1.0,)}, "--loss-limit"),
        ({"loss_limits": ()}, "--loss-limit"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], option: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        find(limited(5), **settings)
    assert caught.value.option == option
