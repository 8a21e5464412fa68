"""From a scenario to its calls: addresses, keys, sources and phases. The same seed gives the same plan, on any machine.

Keys that follow from a seed are known to whoever knows the seed: for testbeds, never for media worth protecting.

Far ends, `port` being the scenario's and j the number of the socket (the call's, or the call's modulo the sockets)::

    port + 4j      callers' RTP        port + 4j + 1  callers' RTCP
    port + 4j + 2  callees' RTP        port + 4j + 3  callees' RTCP
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from srtpgw.address import Address
from srtpgw.loadtest.scenario import PORTS_PER_SOCKET, Scenario
from srtpgw.srtp import SUITES

BURST_GAP_NS = 3000  # between the packets of a burst: about what a send takes, so that they leave back to back
FIRST_SEQUENCE_MASK = 0x7FFF  # RFC 3711, 3.3.1: a first number far from the wrap leaves no doubt about the index
_SSRC_STRIDE = 0x9E3779B1  # odd: multiples of it are all different, modulo 2^32


@dataclass(frozen=True, slots=True)
class Party:
    """One far end of a call, and the stream that it sends.

    ``sends`` and ``hears`` are key and salt of what it sends and of what it would hear under its own keys; empty where
    it speaks plain RTP. RTCP is on the port above ``address``.
    """

    address: Address
    suite: str | None
    sends: bytes = field(repr=False)
    hears: bytes = field(repr=False)
    ssrc: int
    sequence: int
    timestamp: int
    phase_ns: int  # of the first RTP packet, from the origin of the run
    rtcp_phase_ns: int


@dataclass(frozen=True, slots=True)
class Call:
    """Two far ends, numbered from 0."""

    number: int
    caller: Party
    callee: Party

    @property
    def name(self) -> str:
        """As sessions of relays are named by."""
        return f"call-{self.number}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All calls of a scenario."""

    scenario: Scenario
    calls: tuple[Call, ...]

    @property
    def parties(self) -> Iterator[Party]:
        """Callers and callees, call by call."""
        for call in self.calls:
            yield call.caller
            yield call.callee


def make_plan(scenario: Scenario) -> Plan:
    """ScenarioError where the scenario contradicts itself."""
    scenario.check()
    return Plan(scenario, tuple(_call(scenario, number) for number in range(scenario.calls)))


def derive(seed: int, what: str, octets: int) -> bytes:
    """Octets that follow from the seed and a label alone."""
    return hashlib.shake_256(f"srtpgw load {seed} {what}".encode()).digest(octets)


def _call(scenario: Scenario, number: int) -> Call:
    caller = _party(scenario, number, 0, scenario.caller_address, scenario.caller_suite)
    return Call(number, caller, _party(scenario, number, 1, scenario.callee_address, scenario.callee_suite))


def _party(scenario: Scenario, number: int, side: int, host: str, suite: str | None) -> Party:
    """``side`` 0: the caller."""
    label = f"call {number} side {side}"
    key_octets = SUITES[suite].key_length + SUITES[suite].salt_length if suite else 0
    keys = derive(scenario.seed, f"{label} keys", 2 * key_octets)
    start = derive(scenario.seed, f"{label} run {scenario.run_number}", 6)
    base = derive(scenario.seed, f"sources of run {scenario.run_number}", 4)
    stream = 2 * number + side
    socket = number % scenario.socket_pairs
    return Party(
        address=Address(host, scenario.port + PORTS_PER_SOCKET * socket + 2 * side),
        suite=suite,
        sends=keys[:key_octets],
        hears=keys[key_octets:],
        ssrc=(int.from_bytes(base) + _SSRC_STRIDE * stream) & 0xFFFFFFFF,
        sequence=int.from_bytes(start[:2]) & FIRST_SEQUENCE_MASK,
        timestamp=int.from_bytes(start[2:]),
        phase_ns=_phase(scenario, number, side),
        rtcp_phase_ns=_rtcp_phase(scenario, number, side),
    )


def _phase(scenario: Scenario, number: int, side: int) -> int:
    """When in the packet interval a stream sends."""
    interval = scenario.codec.interval_ns
    position = 2 * number + side if scenario.two_way else number
    if scenario.spread == "even":
        return position * interval // scenario.streams
    if scenario.spread == "burst":
        return min(position * BURST_GAP_NS, position * interval // scenario.streams)
    return int.from_bytes(derive(scenario.seed, f"phase {number} {side}", 8)) % interval


def _rtcp_phase(scenario: Scenario, number: int, side: int) -> int:
    """Reports are spread evenly over their interval, whatever the media's spread."""
    interval = round(scenario.rtcp * 1e9)
    position = 2 * number + side if scenario.two_way else number
    return position * interval // scenario.streams
