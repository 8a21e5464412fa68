"""Log-linear histograms, as HdrHistogram has them: counts by bucket, percentiles that are upper ends of buckets."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

PERCENTILES: Final = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9), ("p99_99", 99.99))


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of nanoseconds. Bucket i holds ``edges[i] <= ns < edges[i + 1]``; ``least`` and ``most`` are exact where
    they are known, None elsewhere."""

    counts: Sequence[int]
    edges: Sequence[int]
    least: int | None = None
    most: int | None = None

    @classmethod
    def of(cls, counts: bytes, edges: bytes, least: int | None = None, most: int | None = None) -> Histogram:
        """From the native arrays of 64-bit numbers."""
        return cls(array("Q", counts), array("Q", edges), least, most)

    @property
    def count(self) -> int:
        """Values counted."""
        return sum(self.counts)

    def percentile(self, percent: float) -> int:
        """Nanoseconds that so many of 100 values do not exceed, to within a bucket; 0 without values."""
        total = self.count
        if not total:
            return 0
        wanted = total * percent / 100
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return self._upper(bucket)
        return self.maximum

    @property
    def maximum(self) -> int:
        """The largest value."""
        return self._upper(max((bucket for bucket, count in enumerate(self.counts) if count), default=-1))

    @property
    def minimum(self) -> int:
        """The smallest value."""
        if self.least is not None and self.count:
            return self.least
        return next((self.edges[bucket] for bucket, count in enumerate(self.counts) if count), 0)

    @property
    def mean(self) -> float:
        """Nanoseconds, each value taken for the middle of its bucket; 0 without values."""
        total = self.count
        middle = sum(
            count * (self.edges[bucket] + self._upper(bucket)) / 2 for bucket, count in enumerate(self.counts) if count
        )
        return middle / total if total else 0.0

    def to_json(self) -> dict[str, Any]:
        """Count and percentiles, microseconds."""
        values = {name: self.percentile(percent) for name, percent in PERCENTILES}
        nanoseconds = {"min": self.minimum, "mean": self.mean, **values, "max": self.maximum}
        return {"count": self.count, **{name: round(value / 1000, 3) for name, value in nanoseconds.items()}}

    def buckets(self) -> list[list[int]]:
        """[upper end in ns, count] of every bucket that is not empty."""
        return [[self._upper(bucket), count] for bucket, count in enumerate(self.counts) if count]

    def _upper(self, bucket: int) -> int:
        """The largest value that a bucket holds, as far as the largest of all is known."""
        if bucket < 0:
            return 0
        last = bucket == len(self.counts) - 1
        upper = self.edges[bucket] if last else self.edges[bucket + 1] - 1
        return upper if self.most is None or (self.most > upper and not last) else self.most
