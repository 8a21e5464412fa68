"""CPU accounting on recorded texts of /proc, and the figures that come of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from unit.bench_results import CORES, DROP_NS, FAR_END_NS, SECONDS, baselines, run

from srtpgw.loadtest.bench import cpu, figures
from srtpgw.loadtest.bench.cpu import Core, Process, Reading

# Two readings of a machine of two cores, 10 s apart, with a tick of 1/100 s.
STAT = """\
cpu  300 20 200 5000 50 0 30 10 0 0
cpu0 100 10 100 3000 20 0 10 4 0 0
cpu1 200 10 100 2000 30 0 20 6 0 0
intr 12345 0 0
ctxt 999
"""
STAT_LATER = """\
cpu  1300 20 400 5600 50 0 110 30 0 0
cpu0 600 10 200 3390 20 0 10 4 0 0
cpu1 700 10 200 2210 30 0 100 26 0 0
"""
OLD_STAT = "cpu0 1 2 3 4\n"  # of a kernel before I/O wait, steal and softirq were told apart

# The name of a process may hold blanks and brackets.
PROCESS = "4242 (a) b (c) R 17 4242 4242 0 -1 4194304 100 0 0 0 310 90 20 5 20 0 1 0 1000 0 0 18446744073709551615 0 0"
KERNEL_THREAD = "15 (ksoftirqd/0) S 2 0 0 0 -1 69238848 0 0 0 0 7 3 0 0 20 0 1 0 5 0 0 18446744073709551615 0 0"


def reading(seconds: float, text: str, watched: dict[int, int], others: dict[int, Process]) -> Reading:
    return Reading(int(seconds * 1e9), cpu.parse_stat(text), watched, others)


def test_cores_are_read_and_the_sum_of_them_is_not() -> None:
    assert cpu.parse_stat(STAT) == {
        "cpu0": Core(100, 10, 100, 3000, 20, 0, 10, 4),
        "cpu1": Core(200, 10, 100, 2000, 30, 0, 20, 6),
    }


def test_an_old_kernel_has_fewer_columns() -> None:
    assert cpu.parse_stat(OLD_STAT) == {"cpu0": Core(1, 2, 3, 4, 0, 0, 0, 0)}


def test_a_process_is_read_whatever_its_name() -> None:
    assert cpu.parse_process(PROCESS) == Process(own=400, children=25, kernel=False, parent=17)
    assert cpu.parse_process(KERNEL_THREAD) == Process(own=10, children=0, kernel=True, parent=2)


def test_busy_is_what_is_neither_idle_nor_stolen() -> None:
    if cpu.TICKS != 100:
        pytest.skip("the recorded texts have 100 ticks a second")
    spent = cpu.usage(reading(1, STAT, {7: 100}, {}), reading(11, STAT_LATER, {7: 2_000_000_100, 8: 500_000_000}, {}))
    assert spent.seconds == 10
    assert spent.cores == 2
    assert spent.steal == pytest.approx(0.2)
    assert spent.busy == pytest.approx(20 - (3.9 + 2.1) - 0.2)
    assert (spent.user, spent.system, spent.softirq) == pytest.approx((10.0, 2.0, 0.8))
    assert spent.watched == {7: 2.0, 8: 0.5}


def test_a_sum_that_cannot_be_is_refused() -> None:
    backwards = STAT.replace("5000", "1").replace(" 3000 ", " 30000 ")
    with pytest.raises(ValueError, match=r"busy|steal"):
        cpu.usage(reading(1, STAT_LATER, {}, {}), reading(1.001, backwards.replace(" 4 0 0", " 9000 0 0"), {}, {}))


def process(own: int, children: int = 0, kernel: bool = False) -> Process:
    return Process(own, children, kernel, 1)


def test_foreign_time_is_that_of_other_programs() -> None:
    before = {1: process(100), 2: process(50), 3: process(10, kernel=True)}
    after = {1: process(130), 2: process(50), 3: process(500, kernel=True), 4: process(20)}
    assert cpu.foreign_seconds(before, after) == (30 + 20) / cpu.TICKS


def test_a_program_that_ended_counts_through_its_parent_once() -> None:
    """It had used 40 ticks before and uses 5 more: the parent that waited for it is then charged with all 45."""
    before = {1: process(100, children=7), 2: process(40)}
    after = {1: process(100, children=52)}
    assert cpu.foreign_seconds(before, after) == 5 / cpu.TICKS


def test_a_program_that_nobody_waited_for_makes_no_time_negative() -> None:
    assert cpu.foreign_seconds({2: process(40)}, {}) == 0


def test_this_process_is_read() -> None:
    first = cpu.read([os.getpid()])
    total = sum(number * number for number in range(300_000))
    second = cpu.read([os.getpid()])
    assert total > 0
    spent = cpu.usage(first, second)
    assert spent.cores == os.cpu_count()
    assert 0 < spent.watched[os.getpid()] <= spent.seconds * spent.cores
    assert os.getpid() not in second.others
    assert 1 in second.others


def test_cpu_time_of_a_process_that_is_gone_is_nothing() -> None:
    assert cpu.process_nanoseconds(2**22 + 1) == 0


def test_a_process_that_ended_is_told_before_it_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not cpu.has_ended(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert cpu.has_ended(process.pid)
    assert cpu.has_ended(process.pid)


def test_the_cost_is_what_the_gateway_takes() -> None:
    """Spinning, the observer and foreign processes make no difference."""
    for made in (run(5000), run(5000, foreign=0.3), run(5000, gateway=0.3), run(5000, relayed=60_000)):
        assert figures.cost(made, DROP_NS) == pytest.approx(5000, abs=1)


def test_the_window_of_the_readings_may_be_longer() -> None:
    """The readings are taken as the events arrive; the load counts from the scheduled begin to the scheduled end."""
    made = run(5000)
    for name in ("seconds", "busy", "foreign"):
        made["usage"][name] *= 1.05
    for name in made["processes"]:
        made["processes"][name] *= 1.05
    made["threads_seconds"] *= 1.02
    for thread in made["threads"]:
        thread.update(cpu_ns=thread["cpu_ns"] * 1.02, spin_ns=thread["spin_ns"] * 1.02)
    assert figures.cost(made, DROP_NS) == pytest.approx(5000, abs=1)
    assert figures.in_process(made) == pytest.approx(0.1e9 / 100_000)


def test_no_cost_without_knowing_the_spinning() -> None:
    made = run(5000)
    made["threads"][0]["spin_ns"] = None
    assert figures.cost(made, DROP_NS) is None
    assert figures.cost({**run(5000), "threads": []}, DROP_NS) is None


def test_no_cost_without_packets_or_drop() -> None:
    assert figures.cost(run(5000, relayed=0), DROP_NS) is None
    assert figures.cost(run(5000), None) is None


def test_figures_of_a_case() -> None:
    runs = {**baselines(), "ours": [run(4000), run(4400), run(4100)]}
    found = figures.case_figures(runs)
    ours = found["ours"]
    assert ours["cost_ns"] == pytest.approx({"median": 4100, "min": 4000, "max": 4400, "mad": 100, "count": 3}, abs=1)
    assert ours["net_ns"]["median"] == pytest.approx(4100 - FAR_END_NS, abs=1)
    assert ours["in_process_ns"]["median"] == pytest.approx(0.1e9 / 100_000)
    assert ours["relayed_pps"]["median"] == 100_000 / SECONDS
    assert ours["latency_us"]["p99"]["median"] == 200
    assert found["drop"]["cost_ns"]["median"] == pytest.approx(DROP_NS, abs=1)
    assert found["drop"]["loss_ratio"] is None
    assert found["cable"]["cost_ns"]["median"] == pytest.approx(FAR_END_NS, abs=1)
    assert found["cable"]["net_ns"] is None
    assert found["cable"]["in_process_ns"] is None


def test_each_peer_is_compared_with_the_baselines_at_its_own_load() -> None:
    """At its limit each peer has another rate, and a packet costs the generator more at the lower one."""
    low = [run(0, rate=100, relayed=0) for _ in range(2)]
    for made in low:
        made["usage"]["busy"] += 0.05  # 500 ns for each of 100,000 packets
    slow = run(9000, rate=100)
    slow["usage"]["busy"] += 0.05
    runs = {"drop": [*low, run(0, rate=200, relayed=0)], "ours": [run(4000, rate=200)], "slow": [slow]}
    found = figures.case_figures(runs)
    assert found["ours"]["cost_ns"]["median"] == pytest.approx(4000, abs=1)
    assert found["slow"]["cost_ns"]["median"] == pytest.approx(9000, abs=1)
    assert found["drop"]["cost_ns"]["median"] == pytest.approx(DROP_NS, abs=1)


@pytest.mark.parametrize(
    ("made", "judged"),
    [
        (run(1), "good"),
        (run(1, foreign=0.051 * SECONDS * CORES), "disturbed"),
        (run(1, steal=0.051 * SECONDS * CORES), "disturbed"),
        (run(1, verdict="void"), "void"),
        (run(1, verdict="faulty"), "faulty"),
        (run(1, verdict="loss"), "good"),
        (run(1, verdict="void", failure="it ended"), "failed"),
    ],
)
def test_how_far_a_run_is_trusted(made: dict[str, object], judged: str) -> None:
    assert figures.outcome(made) == judged


def test_figures_come_from_the_best_runs() -> None:
    good, disturbed, void, failed = run(1), run(2, foreign=1.0), run(3, verdict="void"), run(4, failure="no")
    assert figures.best([failed, void, disturbed, good]) == ("good", [good])
    assert figures.best([failed, void, disturbed]) == ("disturbed", [disturbed])
    assert figures.best([failed, void]) == ("void", [void])
    assert figures.best([failed]) == ("failed", [])


def test_a_figure_is_no_better_than_what_is_subtracted() -> None:
    disturbed = [run(0, relayed=0, gateway=None, foreign=1.0)]
    assert figures.case_figures({"drop": disturbed, "ours": [run(4000)]})["ours"]["quality"] == "disturbed"
    assert figures.case_figures({**baselines(), "ours": [run(4000)]})["ours"]["quality"] == "good"


def test_a_fault_shows_beside_good_runs() -> None:
    runs = {**baselines(), "ours": [run(4000), run(4000, verdict="faulty"), run(4000)]}
    assert figures.case_figures(runs)["ours"]["quality"] == "faulty"


def test_nothing_known_has_no_summary() -> None:
    assert figures.summary([None, None]) is None
    assert figures.summary([None, 3.0, 1.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "mad": 1.0, "count": 2}


def test_shares_and_ratios() -> None:
    one, two = figures.summary([1000.0]), figures.summary([4000.0])
    assert figures.ratio(two, one) == 4
    assert figures.ratio(None, one) is None
    assert figures.crypto_share(two, one) == 0.75
    assert figures.crypto_share(one, two) == 0  # noise; a share is never negative
