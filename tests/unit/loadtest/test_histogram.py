"""Percentiles from buckets, against the values themselves."""

from __future__ import annotations

import random
from array import array

import pytest

from srtpgw.loadtest.histogram import PERCENTILES, Histogram

EDGES = tuple(range(1001))  # a bucket per ns


def fill(values: list[int]) -> Histogram:
    counts = [0] * (len(EDGES) - 1)
    for value in values:
        counts[value] += 1
    return Histogram(counts, EDGES)


def test_percentiles_are_those_of_the_values() -> None:
    values = [random.Random(7).randrange(999) for _ in range(5000)]
    filled, ranked = fill(values), sorted(values)
    for _, percent in PERCENTILES:
        rank = max(1, -(-len(ranked) * percent // 100))
        assert filled.percentile(percent) == ranked[int(rank) - 1]
    assert (filled.minimum, filled.maximum, filled.count) == (ranked[0], ranked[-1], 5000)
    assert filled.mean == pytest.approx(sum(values) / 5000)


def test_half_of_two_values_is_the_first() -> None:
    assert fill([3, 5]).percentile(50) == 3


def test_without_values() -> None:
    empty = fill([])
    assert set(empty.to_json().values()) == {0}
    assert empty.buckets() == []


def test_exact_ends_are_used_where_they_are_known() -> None:
    wide = Histogram((0, 4, 1), (0, 100, 200, 400), least=120, most=250)
    assert (wide.minimum, wide.maximum, wide.percentile(50), wide.percentile(99)) == (120, 250, 199, 250)


def test_the_last_bucket_has_no_upper_end() -> None:
    assert Histogram((0, 1), (0, 100, 200)).maximum == 100
    assert Histogram((0, 1), (0, 100, 200), most=5000).maximum == 5000


def test_native_arrays_and_json() -> None:
    made = Histogram.of(array("Q", [1, 3]).tobytes(), array("Q", [0, 1000, 2000]).tobytes(), 5, 1500)
    assert made.to_json() == {"count": 4, "min": 0.005, "mean": 1.062, "p50": 1.5, "p90": 1.5, "p99": 1.5, "p99_9": 1.5,
                              "p99_99": 1.5, "max": 1.5}  # fmt: skip
    assert made.buckets() == [[999, 1], [1500, 3]]
