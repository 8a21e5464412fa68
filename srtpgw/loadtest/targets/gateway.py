"""`srtpgw.media.MediaGateway` driven from Python, in a child process so that its CPU time stands apart."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from typing import Any

from srtpgw.loadtest.faults import TargetError
from srtpgw.loadtest.plan import Party, Plan
from srtpgw.loadtest.targets.base import CallRoutes, TargetSettings, planned_routes
from srtpgw.loadtest.targets.process import Child
from srtpgw.media.address import Address


class GatewayTarget:
    """The child reads its legs from stdin (`gateway_child`), and ends with the pipe."""

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        self._child: Child | None = None
        self.description = f"MediaGateway, {settings.workers} worker(s), {settings.crypto}, at {settings.address}"

    @property
    def pid(self) -> int | None:
        """The child."""
        return None if self._child is None else self._child.pid

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """Start the child, hand it the legs, wait until they are joined. TargetError."""
        settings = self._settings
        child = [sys.executable, "-m", "srtpgw.loadtest.targets.gateway_child"]
        self._child = Child([*settings.prefix, *child])
        gateway = {"workers": settings.workers, "cpus": settings.cpus, "crypto": settings.crypto}
        flags = {"extension": bool(plan.scenario.caller_suite), "route": bool(plan.scenario.callee_suite)}
        sessions = []
        for call in plan.calls:
            caller, callee = settings.legs(call.number)
            sessions.append([_leg("extension", caller, call.caller), _leg("route", callee, call.callee)])
        self._child.tell({**gateway, "media_encryption": flags, "sessions": sessions})
        try:
            line = self._child.await_line("started")
            if "fault" in line:
                raise TargetError(f"the gateway refused: {line['fault']}")
        except BaseException:
            self.close()
            raise
        return [planned_routes(settings, call) for call in plan.calls]

    def fault(self, *, ask: bool = False) -> str:
        """Why the child ended."""
        del ask
        return "" if self._child is None else self._child.fault()

    def close(self) -> dict[str, Any] | None:
        """Stop the child; its counters over the whole run."""
        statistics = None
        if self._child is not None:
            statistics = self._child.end()
            self._child = None
        return statistics


def _leg(kind: str, local: Address, party: Party) -> dict[str, Any]:
    keys = [base64.b64encode(key).decode("ascii") for key in (party.sends, party.hears)]
    return {"type": kind, "local": str(local), "remote": str(party.address), "suite": party.suite, "keys": keys}
