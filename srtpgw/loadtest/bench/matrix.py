"""What is measured: cases (what is relayed) by peers (who relays it), as data.

A case is one direction, suite, payload and load. Every case is run with the cable and the drop too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

DIRECTIONS = ("rtp-srtp", "srtp-rtp", "srtp-srtp", "rtp-rtp")
CM128 = "AES_CM_128_HMAC_SHA1_80"
CM256 = "AES_256_CM_HMAC_SHA1_80"
GCM128 = "AEAD_AES_128_GCM"
GCM256 = "AEAD_AES_256_GCM"

BASELINES = ("cable", "drop")
OURS = ("srtpgw-socket",)
PEERS = ("rtpengine", "rtpengine-kernel", "asyncio-pylibsrtp")

G711 = 160  # octets of payload, 20 ms
VIDEO = 1200
SPEECH_RATE = 50  # packets per second of one stream of speech

LIMIT_SHARE = 0.95  # of the packets offered must be relayed at the load that is called a peer's limit
LOWEST_RUNG = 12_500  # packets per second
LIMIT_TRIALS = 4  # runs that find it, by halving

RUN_OVERHEAD = 2.5  # seconds that starting and stopping a run takes on top of its traffic
TRIALS = 12  # of one search for the loss-free maximum, about


@dataclass(frozen=True, slots=True)
class Load:
    """What is offered.

    ``one-way``: ``flows`` streams that share ``packets_per_second``; ``saturation``: the same, but each peer at its own
    limit, the highest of :func:`rungs` of which it relays :data:`LIMIT_SHARE`, so that neither latency nor the
    generator's punctuality are judged; ``calls``: ``flows`` two-way calls of 50
    packets a second each way with RTCP; ``maximum``: the search for the most that passes without loss, up to
    ``packets_per_second``.
    """

    name: str
    kind: str
    packets_per_second: int
    flows: int

    @property
    def streams(self) -> int:
        return self.flows * (2 if self.kind == "calls" else 1)

    @property
    def stream_rate(self) -> int:
        """Packets per second of one stream."""
        return SPEECH_RATE if self.kind == "maximum" else self.packets_per_second // self.streams


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the matrix."""

    direction: str
    suite: str
    payload: int
    load: Load
    family: int = 4

    @property
    def id(self) -> str:
        suite = "plain" if self.direction == "rtp-rtp" else self.suite
        family = "" if self.family == 4 else "/ipv6"
        return f"{self.direction}/{suite}/{self.payload}/{self.load.name}{family}"

    @property
    def suites(self) -> tuple[str, str]:
        """Of the caller and the callee; ``plain`` is RTP."""
        from_, _, to = self.direction.partition("-")
        return (self.suite if from_ == "srtp" else "plain", self.suite if to == "srtp" else "plain")


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cases, peers and how often; times in seconds."""

    name: str
    about: str
    cases: tuple[Case, ...]
    peers: tuple[str, ...] = OURS + PEERS
    repeats: int = 3
    duration: float = 4.0
    warm_up: float = 1.0
    drain: float = 0.5

    def runs(self, peers: int) -> int:
        """How many runs there are, about, with so many peers. A limit takes some to find, and its own baselines."""
        total = 0
        for case in self.cases:
            if case.load.kind == "maximum":
                total += peers * TRIALS
            elif case.load.kind == "saturation":
                total += peers * LIMIT_TRIALS + self.repeats * peers * (1 + len(BASELINES))
            else:
                total += self.repeats * (peers + len(BASELINES))
        return total

    def seconds(self, peers: int) -> float:
        """How long it takes, about."""
        return self.runs(peers) * (self.duration + self.warm_up + self.drain + RUN_OVERHEAD)


def rungs(load: Load) -> list[Load]:
    """Loads of a saturation case, ascending: up to its own in steps of a quarter."""
    rates = [load.stream_rate]
    while rates[-1] * load.flows > LOWEST_RUNG:
        rates.append(round(rates[-1] / 1.25))
    return [replace(load, packets_per_second=each * load.flows) for each in reversed(rates)]


def rate(name: str, packets_per_second: int, flows: int = 500) -> Load:
    return Load(name, "one-way", packets_per_second, flows)


def calls(count: int) -> Load:
    return Load(f"{count}-calls", "calls", 2 * SPEECH_RATE * count, count)


def maximum(packets_per_second: int) -> Load:
    """Of streams of speech, as they are; 4,800 calls need as many descriptors as most systems allow root to have."""
    return Load("maximum", "maximum", packets_per_second, packets_per_second // SPEECH_RATE)


LOW, MIDDLE = rate("50kpps", 50_000), rate("120kpps", 120_000)
SATURATION = Load("saturation", "saturation", 320_000, 500)


def cases(
    loads: Sequence[Load],
    directions: Sequence[str] = ("rtp-srtp",),
    suites: Sequence[str] = (CM128,),
    payloads: Sequence[int] = (G711,),
) -> Iterator[Case]:
    """Every combination; a suite makes no difference where nothing is encrypted, so RTP to RTP comes once."""
    seen = set()
    for direction, suite, payload, load in product(directions, suites, payloads, loads):
        case = Case(direction, suite, payload, load)
        if case.id not in seen:
            seen.add(case.id)
            yield case


SELF_TEST = Matrix(
    "self-test",
    "seconds: whether everything works; its figures mean nothing",
    tuple(cases([rate("1kpps", 1000, flows=10)])),
    peers=("srtpgw-socket", "asyncio-pylibsrtp"),
    repeats=1,
    duration=0.5,
    warm_up=0.2,
    drain=0.2,
)

QUICK = Matrix(
    "quick",
    "RTP to SRTP, G.711, at 50 kpps and saturated",
    tuple(cases([LOW, SATURATION])),
    peers=("srtpgw-socket", "rtpengine", "rtpengine-kernel"),
    repeats=3,
    duration=2.0,
    warm_up=0.5,
    drain=0.3,
)

STANDARD = Matrix(
    "standard",
    "the directions at 50 kpps, 120 kpps and saturated, 500 two-way calls, and the loss-free maximum",
    (
        *cases([LOW, MIDDLE, SATURATION], ("rtp-srtp", "rtp-rtp")),
        *cases([SATURATION], ("srtp-rtp", "srtp-srtp")),
        *cases([SATURATION], suites=(GCM128,)),
        *cases([calls(500), maximum(240_000)]),
    ),
    duration=3.0,
)

FULL = Matrix(
    "full",
    "every direction, four suites, two payloads, more flows, IPv6, two-way calls, the loss-free maximum: hours",
    (
        *cases([LOW, MIDDLE, SATURATION], DIRECTIONS),
        *cases([LOW, SATURATION], DIRECTIONS[:3], (CM256, GCM128, GCM256)),
        *cases([LOW, SATURATION], ("rtp-srtp", "rtp-rtp"), (CM128, GCM128), (VIDEO,)),
        *(replace(case, family=6) for case in cases([LOW, SATURATION])),
        *cases([rate("50kpps-5000", 50_000, flows=5000), calls(250), calls(1000), maximum(240_000)]),
    ),
    repeats=5,
    duration=5.0,
)

MATRICES = {matrix.name: matrix for matrix in (QUICK, STANDARD, FULL, SELF_TEST)}
