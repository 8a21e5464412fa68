"""What a load test is to be: calls, their media, the far ends. Values and their checks; nothing is opened here."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, NamedTuple

from srtpgw import _native
from srtpgw.address import MAX_PORT, host_fault
from srtpgw.loadtest.faults import ScenarioError
from srtpgw.media.keys import relay_suites

Spread = Literal["even", "burst", "random"]
SocketUse = Literal["shared", "per-call"]

SPREADS: Final = ("even", "burst", "random")
SOCKET_USES: Final = ("shared", "per-call")

CALLS_MAX = 20_000
RATE_MAX = 10_000.0  # packets per second of one stream
RATE_MIN = 0.1
TOTAL_RATE_MAX = 5_000_000.0  # packets per second of all streams
DURATION_MAX = 86_400.0  # seconds
PAUSE_MAX = 600.0  # seconds of warm-up, or of waiting for stragglers
FRACTION_MAX = 0.5
SEED_MAX = (1 << 64) - 1
RUN_NUMBER_MAX = 1_000_000
CPU_MAX = 4095
SHARED_SOCKETS = 4  # of each side
PORTS_PER_SOCKET = 4  # callers' RTP and RTCP, callees' RTP and RTCP
PORT_MIN = 1024
RTCP_INTERVAL_MIN = 0.01  # seconds
DYNAMIC_TYPE = 96  # first dynamic payload type, RFC 3551 section 3


class Codec(NamedTuple):
    """The shape of a stream: how often, how much, and what its packets say of themselves."""

    name: str
    rate: float  # packets per second
    payload_octets: int
    payload_type: int
    clock_rate: int  # Hz
    encoding: str  # as in SDP's rtpmap

    @property
    def interval_ns(self) -> int:
        """From one packet to the next."""
        return round(1e9 / self.rate)

    @property
    def timestamp_step(self) -> int:
        """Ticks of the RTP clock from one packet to the next."""
        return max(1, round(self.clock_rate / self.rate))


CODECS: Final[Mapping[str, Codec]] = {
    codec.name: codec
    for codec in (
        Codec("g711", 50, 160, 0, 8000, "PCMU"),
        Codec("g729", 50, 20, 18, 8000, "G729"),
        Codec("opus", 50, 80, 111, 48000, "opus"),
        Codec("video", 100, 1200, 97, 90000, "H264"),
    )
}
_SHAPE = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,6})?):([0-9]{1,5})")


def parse_codec(text: str) -> Codec:
    """One of ``CODECS`` by name, or ``RATE:SIZE``, packets per second and octets of payload."""
    if text in CODECS:
        return CODECS[text]
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ScenarioError("--codec", f"is neither one of {', '.join(CODECS)} nor RATE:SIZE, such as 50:160")
    rate, octets = float(match[1]), int(match[2])
    if not RATE_MIN <= rate <= RATE_MAX:
        raise ScenarioError("--codec", f"has a rate outside {RATE_MIN:g} to {RATE_MAX:g} packets per second")
    if not 1 <= octets <= _native.LOAD_PAYLOAD_LIMIT:
        raise ScenarioError("--codec", f"has a payload outside 1 to {_native.LOAD_PAYLOAD_LIMIT} octets")
    return Codec(text, rate, octets, DYNAMIC_TYPE, 90000, "X-LOAD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One load: what is sent, from where, for how long. ``check`` says what is wrong with it.

    Fractions are of the RTP packets. Durations in seconds. The suites are those of the far ends, None for plain RTP.
    """

    calls: int = 10
    two_way: bool = True
    codec: Codec = CODECS["g711"]
    caller_suite: str | None = None
    callee_suite: str | None = "AES_CM_128_HMAC_SHA1_80"
    spread: Spread = "even"
    rtcp: float = 5.0  # seconds between reports of a stream; 0: none
    lose: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    forge: float = 0.0
    duration: float = 10.0
    warm_up: float = 1.0
    drain: float = 1.0
    sample: float = 1.0  # fraction of packets that the sink authenticates and decrypts
    seed: int = 1
    run_number: int = 0
    caller_address: str = "127.0.0.1"
    callee_address: str = "127.0.0.1"
    callee_netns: str | None = None
    port: int = 10000
    sockets: SocketUse = "shared"
    cpus: tuple[int, ...] = ()  # of the generator, and of the sink where it has its own thread
    lateness_limit: float = 50.0  # microseconds at the 99th percentile

    @property
    def streams(self) -> int:
        """RTP streams of all calls."""
        return self.calls * (2 if self.two_way else 1)

    @property
    def packets_per_second(self) -> float:
        """RTP packets that are scheduled, of all streams."""
        return self.streams * self.codec.rate

    @property
    def socket_pairs(self) -> int:
        """RTP and RTCP sockets of each side."""
        return self.calls if self.sockets == "per-call" else min(self.calls, SHARED_SOCKETS)

    @property
    def last_port(self) -> int:
        """Highest port of the far ends."""
        return self.port + PORTS_PER_SOCKET * self.socket_pairs - 1

    def check(self) -> None:
        """ScenarioError for the first thing wrong."""
        for fault in _faults(self):
            raise fault

    def to_json(self) -> dict[str, Any]:
        """Plain values by option."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        codec = self.codec
        shape = {"name": codec.name, "packets_per_second": codec.rate, "payload_octets": codec.payload_octets}
        suites = {name: plain[name] or "plain" for name in ("caller_suite", "callee_suite")}
        return {**plain, **suites, "codec": shape, "cpus": list(self.cpus)}


def _faults(scenario: Scenario) -> Iterator[ScenarioError]:
    yield from _load_faults(scenario)
    yield from _time_faults(scenario)
    yield from _impairment_faults(scenario)
    yield from _far_end_faults(scenario)


def _load_faults(scenario: Scenario) -> Iterator[ScenarioError]:
    if not 1 <= scenario.calls <= CALLS_MAX:
        yield ScenarioError("--calls", f"is outside 1 to {CALLS_MAX}")
    if scenario.packets_per_second > TOTAL_RATE_MAX:
        yield ScenarioError(
            "--calls", f"would make more than {TOTAL_RATE_MAX:.0f} packets per second: take fewer calls"
        )
    for option, suite in (("--caller-suite", scenario.caller_suite), ("--callee-suite", scenario.callee_suite)):
        if suite is not None and suite not in relay_suites():
            yield ScenarioError(option, f"is not plain or one of {', '.join(relay_suites())}")
    if scenario.spread not in SPREADS:
        yield ScenarioError("--spread", f"is not one of {', '.join(SPREADS)}")
    if not 0 <= scenario.seed <= SEED_MAX:
        yield ScenarioError("--seed", f"is outside 0 to {SEED_MAX}")
    if not 0 <= scenario.run_number <= RUN_NUMBER_MAX:
        yield ScenarioError("--run-number", f"is outside 0 to {RUN_NUMBER_MAX}")


def _time_faults(scenario: Scenario) -> Iterator[ScenarioError]:
    bounds = (
        ("--duration", scenario.duration, 2 * scenario.codec.interval_ns / 1e9, DURATION_MAX),
        ("--warm-up", scenario.warm_up, 0.0, PAUSE_MAX),
        ("--drain", scenario.drain, 0.0, PAUSE_MAX),
        ("--lateness-limit", scenario.lateness_limit, 1.0, 1e6),
    )
    for option, value, low, high in bounds:
        if not math.isfinite(value) or not low <= value <= high:
            yield ScenarioError(option, f"is outside {low:g} to {high:g}")
    if scenario.rtcp and not RTCP_INTERVAL_MIN <= scenario.rtcp <= DURATION_MAX:
        yield ScenarioError("--rtcp", f"is neither 0 (none) nor {RTCP_INTERVAL_MIN:g} to {DURATION_MAX:g} seconds")


def _impairment_faults(scenario: Scenario) -> Iterator[ScenarioError]:
    for name in ("lose", "reorder", "duplicate", "forge"):
        value: float = getattr(scenario, name)
        if not 0 <= value <= FRACTION_MAX:
            yield ScenarioError(f"--{name}", f"is outside 0 to {FRACTION_MAX:g} of the packets")
    if not 0 < scenario.sample <= 1:
        yield ScenarioError("--sample", "is not a fraction above 0 and up to 1")
    if scenario.forge and scenario.two_way and scenario.callee_suite is None and scenario.callee_netns is not None:
        # Forged plain packets come from a stranger's address, and there is one stranger, in the callers' namespace.
        yield ScenarioError("--forge", "cannot reach plain callees in a namespace of their own: add --one-way")


def _far_end_faults(scenario: Scenario) -> Iterator[ScenarioError]:
    for option, host in (("--caller-address", scenario.caller_address), ("--callee-address", scenario.callee_address)):
        if reason := host_fault(host):
            yield ScenarioError(option, reason)
    if scenario.sockets not in SOCKET_USES:
        yield ScenarioError("--sockets", f"is not one of {', '.join(SOCKET_USES)}")
    if scenario.port < PORT_MIN or scenario.last_port > MAX_PORT:
        needed = PORTS_PER_SOCKET * scenario.socket_pairs
        yield ScenarioError("--port", f"leaves no room for the {needed} ports of the far ends below {MAX_PORT + 1}")
    elif scenario.port % 2:
        yield ScenarioError("--port", "is odd: RTP takes even ports, RTCP the ones above (RFC 3550, section 11)")
    if len(scenario.cpus) > 2 or not all(0 <= cpu <= CPU_MAX for cpu in scenario.cpus):
        yield ScenarioError("--cpu", "is not one core, or two for generator and sink: 1 or 0,1")


def is_near(host: str) -> bool:
    """Whether an address is loopback, link-local or of a private or testing network: nobody else's."""
    address = ipaddress.ip_address(host)
    return address.is_loopback or address.is_link_local or address.is_private or address in _SHARED


_SHARED: Final = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598
