"""Times as text, also those that only a wrong clock tells."""

from __future__ import annotations

import pytest

from srtpgw.control.times import date_text, time_text


@pytest.mark.parametrize(
    ("seconds", "time", "date"),
    [
        (0.0, "1970-01-01T00:00:00Z", "1970-01-01"),
        (1_800_000_000.9, "2027-01-15T08:00:00Z", "2027-01-15"),
        (-1.0, "1969-12-31T23:59:59Z", "1969-12-31"),
        (1e15, "1000000000000000 s", "1000000000000000 s"),
        (-1e15, "-1000000000000000 s", "-1000000000000000 s"),
    ],
)
def test_a_time(seconds: float, time: str, date: str) -> None:
    assert (time_text(seconds), date_text(seconds)) == (time, date)
