"""What stands against a load test. No message holds a key."""

from __future__ import annotations

from srtpgw.errors import SrtpgwError


class ScenarioError(SrtpgwError):
    """A setting that cannot be used: the option it came from, what is wrong with it, and what to do."""

    def __init__(self, option: str, reason: str) -> None:
        self.option = option
        self.reason = reason
        super().__init__(f"{option}: {reason}")


class LoadError(SrtpgwError):
    """The load test cannot go on here: sockets, limits, a namespace."""


class TargetError(LoadError):
    """The gateway under test cannot be started, refused a call, or ended before its time."""
