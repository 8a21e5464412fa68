"""What the gateway counts, as typed values. Names and help texts come from the one native table (ext/stats.h)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from srtpgw import _native
from srtpgw.address import Address
from srtpgw.media.endpoint import address_of

COUNTERS: Final[Mapping[str, str]] = dict(zip(_native.COUNTER_NAMES, _native.COUNTER_HELP, strict=True))
DROP_REASONS: Final[Mapping[str, str]] = dict(zip(_native.DROP_NAMES[1:], _native.DROP_HELP[1:], strict=True))
EVENTS: Final[Mapping[str, str]] = dict(zip(_native.EVENT_NAMES[1:], _native.EVENT_HELP[1:], strict=True))


@dataclass(frozen=True, slots=True)
class RelayTime:
    """From the kernel's receive stamp until after the send, in microseconds; percentiles to within an eighth octave."""

    p50_us: float
    p99_us: float
    max_us: float
    count: int


@dataclass(frozen=True, slots=True)
class DirectionStatistics:
    """What arrived at and left from a leg, for RTP or for RTCP. Its counters are those of ``COUNTERS``, in order."""

    received_packets: int
    received_octets: int
    sent_packets: int
    sent_octets: int
    auth_failed_previous_key: int
    auth_failed_other_roc: int
    ssrc_changes: int
    source_restarts: int
    ssrc_collisions: int
    remote_changes: int
    roc_recoveries: int
    reordered_packets: int
    drops: dict[str, int]  # by reason, only those over zero
    lost_packets: int  # RFC 3550 A.3, over all sources
    ssrc: int | None
    roc: int | None  # rollover counter of the newest packet received; None where it is not known
    sending_ssrc: int | None
    sending_roc: int | None  # 0 where media leaves in clear
    jitter_ms: float  # RFC 3550 6.4.1
    last_packet_age: float | None  # seconds
    relay_time: RelayTime

    @property
    def dropped(self) -> int:
        """Packets dropped, all reasons together."""
        return sum(self.drops.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "relay_time": asdict(self.relay_time)}


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """One leg. ``remote`` is where media goes now, which an authentic packet may have moved."""

    id: int
    name: str
    type: str
    local: Address
    remote: Address | None
    encrypted: bool
    suite: str | None  # of what is received
    transmit_suite: str | None
    rtp: DirectionStatistics
    rtcp: DirectionStatistics

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "local": str(self.local),
            "remote": None if self.remote is None else str(self.remote),
            "encrypted": self.encrypted,
            "suite": self.suite,
            "transmit_suite": self.transmit_suite,
            "rtp": self.rtp.to_json(),
            "rtcp": self.rtcp.to_json(),
        }


class LegLabel(NamedTuple):
    """What a leg is called by; the rest of its statistics comes from the native record."""

    id: int
    name: str
    type: str
    local: Address
    suite: str | None
    transmit_suite: str | None


class GatewayStatistics:
    """A snapshot of all legs, decoded as they are asked for."""

    def __init__(self, labels: list[LegLabel], records: bytes, now_ns: int, workers: list[dict[str, int]]) -> None:
        self._labels = labels
        self._records = records
        self._now_ns = now_ns
        self.workers = workers

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def legs(self) -> list[LegStatistics]:
        """Every leg, in the order they were opened."""
        return [self.leg(position) for position in range(len(self._labels))]

    def leg(self, position: int) -> LegStatistics:
        """The leg at a position of that order."""
        label = self._labels[position]
        rtp, rtcp, times, remote, _ = _native.leg_numbers(self._records, position, self._now_ns)
        p50, p99, most, count = times
        relay_time = RelayTime(p50 / 1000, p99 / 1000, most / 1000, count)
        return LegStatistics(
            label.id,
            label.name,
            label.type,
            label.local,
            address_of(remote),
            label.suite is not None,
            label.suite,
            label.transmit_suite,
            DirectionStatistics(**rtp, relay_time=relay_time),
            DirectionStatistics(**rtcp, relay_time=RelayTime(0.0, 0.0, 0.0, 0)),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"legs": [leg.to_json() for leg in self.legs], "workers": self.workers}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a leg; ``kind`` is a name of ``EVENTS``, ``time`` seconds of the monotonic clock."""

    kind: str
    leg: int
    name: str
    time: float
    detail: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"event": self.kind, "leg": self.leg, "name": self.name, "time": self.time, **self.detail}
