"""What stops a benchmark. The text is for the user: what is wrong, and what to do about it."""

from __future__ import annotations


class BenchError(Exception):
    """The benchmark cannot start, or cannot go on."""


class Unavailable(BenchError):
    """A peer is not on this machine; the text is the reason that the report prints."""
