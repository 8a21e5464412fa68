"""`srtpgw.media.MediaGateway` driven from Python, in a child process so that its CPU time stands apart."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from typing import Any

from srtpgw.address import Address
from srtpgw.loadtest.faults import TargetError
from srtpgw.loadtest.plan import Party, Plan
from srtpgw.loadtest.targets.base import CallRoutes, TargetSettings, planned_routes
from srtpgw.loadtest.targets.process import Child, ChildTarget


class GatewayTarget(ChildTarget):
    """The child reads its legs from stdin (`gateway_child`), and ends with the pipe."""

    def __init__(self, settings: TargetSettings) -> None:
        super().__init__(settings, "MediaGateway")

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """Start the child, hand it the legs, wait until they are joined. TargetError."""
        settings = self.settings
        child = [sys.executable, "-P", "-m", "srtpgw.loadtest.targets.gateway_child"]
        self.child = Child([*settings.prefix, *child])
        gateway = {"workers": settings.workers, "cpus": settings.cpus, "crypto": settings.crypto}
        flags = {"extension": bool(plan.scenario.caller_suite), "route": bool(plan.scenario.callee_suite)}
        sessions = []
        for call in plan.calls:
            caller, callee = settings.legs(call.number)
            sessions.append([_leg("extension", caller, call.caller), _leg("route", callee, call.callee)])
        self.child.tell({**gateway, "media_encryption": flags, "sessions": sessions})
        try:
            line = self.child.await_line("started")
            if "fault" in line:
                raise TargetError(f"the gateway refused: {line['fault']}")
        except BaseException:
            self.close()
            raise
        return [planned_routes(settings, call) for call in plan.calls]


def _leg(kind: str, local: Address, party: Party) -> dict[str, Any]:
    keys = [base64.b64encode(key).decode("ascii") for key in (party.sends, party.hears)]
    return {"type": kind, "local": str(local), "remote": str(party.address), "suite": party.suite, "keys": keys}
