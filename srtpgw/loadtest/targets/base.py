"""What every target has in common: its settings, where calls go, and how it is opened and closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from srtpgw.address import MAX_PORT, Address, host_fault
from srtpgw.loadtest.faults import ScenarioError
from srtpgw.loadtest.plan import Call, Party, Plan
from srtpgw.loadtest.scenario import CPU_MAX, PORT_MIN, Scenario, is_near
from srtpgw.terms import Provider

TargetKind = Literal["relay", "gateway", "rtpengine", "static", "cable"]
TARGET_KINDS: Final = ("relay", "gateway", "rtpengine", "static", "cable")

PORT_STEP = 4  # from one call's ports of the gateway to the next one's
WORKERS_MAX = 256
NG_ADDRESS: Final = Address("127.0.0.1", 2223)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """The gateway of a load test. Legs of call i: ``port`` + i * ``step`` at the callers' side, ``callee_port`` + i *
    ``step`` at the callees', RTCP on the port above each."""

    kind: TargetKind = "relay"
    address: str = "127.0.0.1"
    callee_address: str = "127.0.0.1"
    port: int = 20000
    callee_port: int = 20002
    step: int = PORT_STEP
    workers: int = 1
    cpus: tuple[int, ...] = ()
    crypto: Provider = "native"
    prefix: tuple[str, ...] = ()  # words before the command that starts the gateway
    ng: Address = NG_ADDRESS
    ng_direction: tuple[str, ...] = ()  # rtpengine's names of the callers' and the callees' interface
    static_file: Path | None = None
    pid: int | None = None  # of a gateway that is not started here, for its CPU time
    allow_public: bool = False

    @property
    def has_ports(self) -> bool:
        """Whether the ports of the legs are settled here, not by the gateway or by a file."""
        return self.kind in {"relay", "gateway"} or (self.kind == "static" and self.static_file is None)

    def legs(self, number: int) -> tuple[Address, Address]:
        """Where the gateway takes RTP of a call: from its caller, and from its callee."""
        offset = number * self.step
        return Address(self.address, self.port + offset), Address(self.callee_address, self.callee_port + offset)

    def check(self, scenario: Scenario) -> None:
        """ScenarioError for the first thing wrong."""
        for fault in _faults(self, scenario):
            raise fault

    def to_json(self) -> dict[str, Any]:
        """Plain values by option."""
        return {
            "target": self.kind,
            "gateway": self.address,
            "gateway_callee": self.callee_address,
            "gateway_port": self.port,
            "gateway_callee_port": self.callee_port,
            "port_step": self.step,
            "workers": self.workers,
            "gateway_cpus": list(self.cpus),
            "crypto": self.crypto,
            "prefix": list(self.prefix),
            "ng": str(self.ng),
            "ng_direction": list(self.ng_direction),
            "static_file": None if self.static_file is None else str(self.static_file),
            "gateway_pid": self.pid,
            "allow_public": self.allow_public,
        }


@dataclass(frozen=True, slots=True)
class Route:
    """Where one far end of a call sends to, and what comes back to it from there."""

    destination: Address
    rtcp_destination: Address
    suite_heard: str | None
    key_heard: bytes = field(repr=False)


class CallRoutes(NamedTuple):
    """The routes of a call's two far ends."""

    caller: Route
    callee: Route


class Target(Protocol):
    """A gateway under test. ``open`` and ``close`` pair; between them it relays the calls of one plan."""

    description: str

    @property
    def pid(self) -> int | None:
        """Its process, where it is one of ours."""

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """Have it relay the plan's calls; their routes, in order. TargetError when it will not."""

    def fault(self, *, ask: bool = False) -> str:
        """Why it does not relay any more; empty while it does. ``ask`` it, if it can be asked: that takes time."""

    def close(self) -> dict[str, Any] | None:
        """Take the calls down. What it counted, as plain values, if it tells."""


def route_to(leg: Address, party: Party) -> Route:
    """The route of a far end to a leg that uses the keys of the plan."""
    return Route(leg, leg.next_port, party.suite, party.hears)


def planned_routes(settings: TargetSettings, call: Call) -> CallRoutes:
    """Routes through a gateway whose legs are where the settings say."""
    caller, callee = settings.legs(call.number)
    return CallRoutes(route_to(caller, call.caller), route_to(callee, call.callee))


def check_destinations(settings: TargetSettings, routes: Sequence[CallRoutes]) -> None:
    """Hold back a load from addresses that may be someone else's. ScenarioError."""
    if settings.allow_public:
        return
    hosts = {route.destination.host for pair in routes for route in pair}
    hosts |= {route.rtcp_destination.host for pair in routes for route in pair}
    for host in sorted(hosts):
        if not is_near(host):
            raise ScenarioError("--allow-public", f"is needed to send a load to {host}: is that address yours to load?")


def _faults(settings: TargetSettings, scenario: Scenario) -> Iterator[ScenarioError]:
    if settings.kind not in TARGET_KINDS:
        yield ScenarioError("--target", f"is not one of {', '.join(TARGET_KINDS)}")
    if not 1 <= settings.workers <= WORKERS_MAX:
        yield ScenarioError("--workers", f"is outside 1 to {WORKERS_MAX}")
    if settings.cpus and len(settings.cpus) != settings.workers:
        yield ScenarioError("--gateway-cpus", f"names {len(settings.cpus)} cores for --workers {settings.workers}")
    if not all(0 <= cpu <= CPU_MAX for cpu in settings.cpus):
        yield ScenarioError("--gateway-cpus", f"holds a core outside 0 to {CPU_MAX}")
    if settings.prefix and settings.kind not in {"relay", "gateway"}:
        yield ScenarioError("--prefix", "is for --target relay and gateway: others are not started here")
    if settings.kind == "rtpengine":
        yield from _ng_faults(settings)
    if settings.kind != "cable":
        yield from _address_faults(settings, scenario)


def _ng_faults(settings: TargetSettings) -> Iterator[ScenarioError]:
    if not settings.allow_public and not is_near(settings.ng.host):
        yield ScenarioError("--ng", "is a public address, and ng carries keys in clear: --allow-public if it is yours")
    if len(settings.ng_direction) not in {0, 2}:
        yield ScenarioError("--ng-direction", "is not two names of interfaces: callers,callees")


def _address_faults(settings: TargetSettings, scenario: Scenario) -> Iterator[ScenarioError]:
    sides = (
        ("--gateway", settings.address, "--caller-address", scenario.caller_address),
        ("--gateway-callee", settings.callee_address, "--callee-address", scenario.callee_address),
    )
    for option, host, other_option, other in sides if settings.has_ports else ():
        if reason := host_fault(host):
            yield ScenarioError(option, reason)
        elif (":" in host) != (":" in other):
            yield ScenarioError(option, f"is not of the same family as {other_option}")
        elif not settings.allow_public and not is_near(host):
            yield ScenarioError("--allow-public", f"is needed to send a load to {host}: is that address yours to load?")
    if settings.has_ports:
        yield from _port_faults(settings, scenario)


def _port_faults(settings: TargetSettings, scenario: Scenario) -> Iterator[ScenarioError]:
    offset = (scenario.calls - 1) * settings.step
    spans = (
        ("--gateway-port", settings.address, settings.port),
        ("--gateway-callee-port", settings.callee_address, settings.callee_port),
    )
    if not 2 <= settings.step <= MAX_PORT:
        yield ScenarioError("--port-step", "is below 2: RTP and RTCP of a leg take two ports")
        return
    far_ends = {scenario.caller_address, scenario.callee_address}
    for option, host, first in spans:
        last = first + offset + 1
        if first < PORT_MIN or last > MAX_PORT:
            yield ScenarioError(option, f"leaves no room for {scenario.calls} calls between {PORT_MIN} and {MAX_PORT}")
        elif host in far_ends and first <= scenario.last_port and scenario.port <= last:
            yield ScenarioError(
                option,
                f"{first} to {last} overlap the far ends' ports {scenario.port} to {scenario.last_port}:"
                " move one of them by --gateway-port or --port",
            )
    apart = abs(settings.callee_port - settings.port)
    if settings.address == settings.callee_address and not _disjoint(apart, settings.step, scenario.calls):
        yield ScenarioError("--gateway-callee-port", "overlaps the ports of the callers' side")


def _disjoint(apart: int, step: int, calls: int) -> bool:
    """Whether two rows of port pairs, one every ``step`` ports, share no port."""
    return all(abs(apart - call * step) >= 2 for call in range(-calls + 1, calls))
