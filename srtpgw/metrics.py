"""Prometheus series of the legs, generated from the native counter table.

Names and help texts are the table's: a counter ``received_packets`` is ``srtpgw_leg_received_packets_total``. Every
series carries the leg's number, name and type, and whether it counts RTP or RTCP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from srtpgw.address import Address
from srtpgw.errors import SrtpgwError
from srtpgw.media.statistics import COUNTERS, DirectionStatistics, GatewayStatistics, LegStatistics

PREFIX = "srtpgw_leg_"
LABELS = ("leg", "name", "type", "media")

Ways = list[tuple[tuple[str, ...], DirectionStatistics]]


class LegCollector(Collector):
    """Reads the statistics anew at every scrape."""

    def __init__(self, read: Callable[[], GatewayStatistics]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known without a scrape, and only one collector uses them."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All series of all legs."""
        legs = self._read().legs
        ways = [way for leg in legs for way in _ways(leg)]
        yield from _counters(ways)
        yield from _gauges(ways)
        yield _relay_times(ways)


def registry(read: Callable[[], GatewayStatistics]) -> CollectorRegistry:
    """A registry of its own, so that nothing but the legs is served."""
    own = CollectorRegistry(auto_describe=False)
    own.register(LegCollector(read))
    return own


@contextmanager
def serve(at: Address, read: Callable[[], GatewayStatistics]) -> Iterator[None]:
    """Serve the series over HTTP, from a thread of its own. Raises SrtpgwError where the address cannot be had."""
    try:
        server, thread = start_http_server(at.port, at.host, registry(read))
    except OSError as error:
        raise SrtpgwError(f"metrics cannot be served at {at}: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _ways(leg: LegStatistics) -> Iterator[tuple[tuple[str, ...], DirectionStatistics]]:
    for media, way in (("rtp", leg.rtp), ("rtcp", leg.rtcp)):
        yield (str(leg.id), leg.name, leg.type, media), way


def _counters(ways: Ways) -> Iterator[Metric]:
    for name, text in COUNTERS.items():
        counter = CounterMetricFamily(PREFIX + name, text, labels=LABELS)
        for labels, way in ways:
            counter.add_metric(labels, getattr(way, name))
        yield counter
    dropped = CounterMetricFamily(
        PREFIX + "dropped_packets", "packets not forwarded, by reason", labels=[*LABELS, "reason"]
    )
    for labels, way in ways:
        for reason, count in way.drops.items():
            dropped.add_metric((*labels, reason), count)
    yield dropped


def _gauges(ways: Ways) -> Iterator[Metric]:
    gauges: tuple[tuple[str, str, Callable[[DirectionStatistics], float | None]], ...] = (
        ("jitter_seconds", "interarrival jitter (RFC 3550, section 6.4.1)", lambda way: way.jitter_ms / 1000),
        ("lost_packets", "expected less received (RFC 3550, section 6.4.1)", lambda way: way.lost_packets),
        ("rollover_counter", "rollover counter of the present source", lambda way: way.roc),
        ("last_packet_age_seconds", "time since the last accepted packet", lambda way: way.last_packet_age),
    )
    for name, text, value_of in gauges:
        gauge = GaugeMetricFamily(PREFIX + name, text, labels=LABELS)
        for labels, way in ways:
            value = value_of(way)
            if value is not None:
                gauge.add_metric(labels, value)
        yield gauge


def _relay_times(ways: Ways) -> Metric:
    gauge = GaugeMetricFamily(
        PREFIX + "relay_time_seconds",
        "from the kernel's receive stamp to the send call; quantile 1 is the longest",
        labels=[*LABELS, "quantile"],
    )
    for labels, way in ways:
        time = way.relay_time
        if time.count:
            for quantile, microseconds in (("0.5", time.p50_us), ("0.99", time.p99_us), ("1", time.max_us)):
                gauge.add_metric((*labels, quantile), microseconds / 1e6)
    return gauge
