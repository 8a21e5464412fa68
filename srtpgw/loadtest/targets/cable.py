"""No gateway: what a caller sends goes straight to its callee's socket. What is measured is the load test itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from srtpgw.loadtest.plan import Party, Plan
from srtpgw.loadtest.targets.base import CallRoutes, Route


class CableTarget:
    """Each far end hears the other under the keys that the other sends with."""

    def __init__(self) -> None:
        self.description = "no gateway (cable)"

    @property
    def pid(self) -> int | None:
        """There is none."""
        return None

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """Routes from far end to far end."""
        return [CallRoutes(_route(call.callee), _route(call.caller)) for call in plan.calls]

    def fault(self, *, ask: bool = False) -> str:
        """A cable does not break."""
        del ask
        return ""

    def close(self) -> dict[str, Any] | None:
        """Nothing was counted."""
        return None


def _route(other: Party) -> Route:
    return Route(other.address, other.address.next_port, other.suite, other.sends)
