"""Times as operators read them: seconds since the epoch become UTC text (RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(seconds: float) -> str:
    """To the second, ``2027-11-24T00:00:00Z``; what a wrong clock said and no calendar has is shown in seconds."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s"


def date_text(seconds: float) -> str:
    """The day alone, ``2027-11-24``."""
    return time_text(seconds).partition("T")[0]
