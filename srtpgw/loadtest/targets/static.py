"""A gateway that relays already: its port pairs follow a pattern, or stand in a file. Nothing is started or asked.

The file has a line per call, ``CALLER-LEG CALLEE-LEG``, each an ADDRESS:PORT that takes RTP (RTCP on the port above);
blank lines and lines that begin with # are left out. Encrypted sides use the plan's keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srtpgw.address import Address, host_fault
from srtpgw.loadtest.faults import ScenarioError
from srtpgw.loadtest.plan import Plan
from srtpgw.loadtest.targets.base import CallRoutes, TargetSettings, planned_routes, route_to

FILE_MAX = 4 << 20  # octets


class StaticTarget:
    """Whatever listens at the ports that were named."""

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        file = settings.static_file
        self.description = f"static relay at {settings.address}" if file is None else f"static relay of {file}"

    @property
    def pid(self) -> int | None:
        """As it was told: it is not ours."""
        return self._settings.pid

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """ScenarioError where the file does not fit the plan."""
        file = self._settings.static_file
        if file is None:
            return [planned_routes(self._settings, call) for call in plan.calls]
        legs = read_legs(file, plan.scenario.calls)
        return [
            CallRoutes(route_to(caller, call.caller), route_to(callee, call.callee))
            for call, (caller, callee) in zip(plan.calls, legs, strict=True)
        ]

    def fault(self, *, ask: bool = False) -> str:
        """It may be gone, but nobody tells: then packets are lost."""
        del ask
        return ""

    def close(self) -> dict[str, Any] | None:
        """What it counted is its own."""
        return None


def read_legs(file: Path, calls: int) -> list[tuple[Address, Address]]:
    """The first ``calls`` pairs of legs of a file. ScenarioError names the line."""
    try:
        with file.open("rb") as opened:
            text = opened.read(FILE_MAX + 1).decode("ascii")
    except OSError as error:
        raise ScenarioError("--static-file", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError("--static-file", "is not ASCII text") from None
    if len(text) > FILE_MAX:
        raise ScenarioError("--static-file", f"is larger than {FILE_MAX} octets")
    legs = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise ScenarioError("--static-file", f"line {number} is not CALLER-LEG CALLEE-LEG")
        legs.append((_leg(words[0], number), _leg(words[1], number)))
        if len(legs) == calls:
            return legs
    raise ScenarioError("--static-file", f"lists {len(legs)} calls, but --calls asks for {calls}")


def _leg(text: str, line: int) -> Address:
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise ScenarioError("--static-file", f"line {line}: {error}") from None
    if reason := host_fault(address.host):
        raise ScenarioError("--static-file", f"line {line}: {reason}")
    return address
