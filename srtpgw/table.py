"""The live table of a running relay, and the summary at its end. Text only: what is drawn, not where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from srtpgw.media.statistics import DirectionStatistics, GatewayStatistics, LegStatistics

FRAME_LINES = 6  # lines around the rows: title, header, rules, what is hidden
EVENT_LINES = 4
STALE_SECONDS = 2.0  # without a packet for so long, a leg is shown dim


class Rates(NamedTuple):
    """Packets per second since the last reading; None at the first."""

    received: float | None = None
    sent: float | None = None


class Column(NamedTuple):
    """A column of the live table, and how wide (characters) a screen must be to have room for it."""

    title: str
    screen: int
    text: Callable[[LegStatistics, Rates], str]
    number: bool = True


COLUMNS = (
    Column("leg", 0, lambda leg, _: leg.name, number=False),
    Column("type", 150, lambda leg, _: leg.type, number=False),
    Column("local", 150, lambda leg, _: str(leg.local), number=False),
    Column("remote", 110, lambda leg, _: str(leg.remote or "-"), number=False),
    Column("suite", 0, lambda leg, _: suite_text(leg), number=False),
    Column("in/s", 0, lambda _, rates: _whole(rates.received)),
    Column("out/s", 0, lambda _, rates: _whole(rates.sent)),
    Column("lost", 0, lambda leg, _: str(leg.rtp.lost_packets)),
    Column("jitter ms", 130, lambda leg, _: f"{leg.rtp.jitter_ms:.1f}"),
    Column("p50/p99 us", 100, lambda leg, _: _times(leg)),
    Column("dropped", 0, lambda leg, _: drops_text(leg), number=False),
)


@dataclass(slots=True)
class LiveTable:
    """Remembers the last reading, so that packets per second can be shown."""

    title: str
    _time: float = 0.0
    _packets: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)  # by number and name

    def draw(
        self, statistics: GatewayStatistics, now: float, events: Sequence[str], screen: tuple[int, int]
    ) -> RenderableType:
        """The picture for a screen of (width, height) characters; ``now`` in seconds, monotonic."""
        width, height = screen
        legs = statistics.legs
        room = max(1, height - FRAME_LINES - min(len(events), EVENT_LINES))
        columns = [column for column in COLUMNS if column.screen <= width]
        table = _frame(self.title, columns)
        for leg in legs[:room]:
            rates = self._rates(leg, now)
            cells = (_cell(column.text(leg, rates)) for column in columns)
            table.add_row(*cells, style="dim" if _is_stale(leg) else "")
        self._packets = {(leg.id, leg.name): _packets(leg) for leg in legs}
        self._time = now
        lines: list[RenderableType] = [table]
        if len(legs) > room:
            lines.append(Text(f"... and {len(legs) - room} more (--json shows all)", style="dim"))
        lines += [Text(event, style="yellow", overflow="ellipsis", no_wrap=True) for event in events[-EVENT_LINES:]]
        return Group(*lines)

    def _rates(self, leg: LegStatistics, now: float) -> Rates:
        before = self._packets.get((leg.id, leg.name))
        if before is None or now <= self._time:
            return Rates()
        return Rates(*((new - old) / (now - self._time) for new, old in zip(_packets(leg), before, strict=True)))


def summary(statistics: GatewayStatistics, seconds: float) -> RenderableType:
    """What passed and what was dropped, per leg, over the whole run."""
    table = Table(title=f"Relayed for {seconds:.1f} s", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("leg", "suite"):
        table.add_column(name, min_width=12)
    for name in ("RTP in", "out", "RTCP in", "out", "lost", "dropped"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    lines: list[RenderableType] = [table]
    for leg in statistics.legs:
        ways = (leg.rtp, leg.rtcp)
        counts = [str(count) for way in ways for count in (way.received_packets, way.sent_packets)]
        dropped = leg.rtp.dropped + leg.rtcp.dropped
        table.add_row(_cell(leg.name), _cell(suite_text(leg)), *counts, str(leg.rtp.lost_packets), str(dropped))
        if dropped:
            lines.append(Text(f"{leg.name} dropped: {drops_text(leg)}"))
    return Group(*lines)


def drops_text(leg: LegStatistics) -> str:
    """Drop reasons of RTP and RTCP together, the most frequent first."""
    total: dict[str, int] = {}
    for reasons in (leg.rtp.drops, leg.rtcp.drops):
        _add(total, reasons)
    ranked = sorted(total.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} {count}" for reason, count in ranked) or "-"


def suite_text(leg: LegStatistics) -> str:
    """The suite without its middle, which all of them share, and that of what is sent where it is another; ``plain``
    for RTP."""
    if not leg.encrypted:
        return "plain"
    suites = dict.fromkeys((leg.suite or "", leg.transmit_suite or ""))
    return " / ".join(name.replace("_HMAC_SHA1", "") for name in suites)


def _frame(title: str, columns: Sequence[Column]) -> Table:
    """An empty table whose numbers are never cut; text gives way to them."""
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        width = len(column.title)
        if column.number:
            table.add_column(column.title, justify="right", no_wrap=True, min_width=max(6, width))
        else:
            table.add_column(column.title, min_width=width)
    return table


def _cell(text: str) -> Text:
    """Shown as it is, for names may look like markup, on one line. Only columns that may wrap give way to others, so it
    is the cell that does not."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _whole(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.0f}"


def _times(leg: LegStatistics) -> str:
    times = leg.rtp.relay_time
    return f"{times.p50_us:.0f}/{times.p99_us:.0f}" if times.count else "-"


def _packets(leg: LegStatistics) -> tuple[int, int]:
    ways: Iterable[DirectionStatistics] = (leg.rtp, leg.rtcp)
    received = sent = 0
    for way in ways:
        received += way.received_packets
        sent += way.sent_packets
    return received, sent


def _is_stale(leg: LegStatistics) -> bool:
    return leg.rtp.last_packet_age is None or leg.rtp.last_packet_age > STALE_SECONDS


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        total[reason] = total.get(reason, 0) + count


def kernels_report(report: Mapping[str, Any]) -> RenderableType:
    """What ``srtpgw.srtp.kernels()`` says, to read."""
    tiers = Table(title="Crypto kernels", title_justify="left")
    for name in ("tier", "needs", "here"):
        tiers.add_column(name)
    for tier in report["tiers"]:
        here = "in use" if tier["name"] == report["in_use"] else "available" if tier["available"] else "not available"
        tiers.add_row(tier["name"], tier["needs"] or "any CPU", here)
    lines: list[RenderableType] = [tiers, Text(_locked_text(bool(report["keys_locked"]))), *_libsrtp(report["libsrtp"])]
    return Group(*lines)


def _locked_text(locked: bool) -> str:
    if locked:
        return "Key memory is locked: it is never swapped out."
    return "Key memory is NOT locked (RLIMIT_MEMLOCK): it can be swapped out."


def _libsrtp(report: Mapping[str, Any]) -> list[RenderableType]:
    if not report["available"]:
        return [Text(f"libsrtp cannot be used: {report['fault']}")]
    suites = Table(title=f"libsrtp {report['version']} (--crypto libsrtp)", title_justify="left")
    suites.add_column("suite")
    suites.add_column("here")
    for name in report["suites"]:
        suites.add_row(name, "yes")
    for name, reason in report["missing_suites"].items():
        suites.add_row(name, f"no: {reason}")
    return [suites, Text("Its limits:"), *(Text(f"  - {limit}") for limit in report["limits"])]
