"""Pictures of a stream as inline SVG: its timeline, and how often each octet value occurs in its payload.

Classes carry the colours, which the page defines for light and dark. Coordinates are whole numbers, for a page may hold
hundreds of pictures. No text from a capture gets in here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from srtpgw.capture.report import SECOND, StreamReport, TimelineBin
from srtpgw.capture.wording import seconds

WIDTH: Final = 720
HEIGHT: Final = 170
LEFT: Final = 56  # room for the numbers of the vertical axis
RIGHT: Final = 14
TOP: Final = 16  # and for the marks of wraps
BOTTOM: Final = 24
BASE: Final = HEIGHT - BOTTOM
ROOM: Final = BASE - TOP
VALUES: Final = 256
OCTETS_MIN: Final = 10 * VALUES  # of fewer, chance makes any picture
LEAST: Final = 2  # height of what is there at all
BINS_MAX: Final = 240
MILLION: Final = 1_000_000
HEADROOM: Final = 1.6  # the line of even distribution stands below the top by this factor at least
BAND: Final = 3.0  # standard deviations that chance alone hardly leaves


class Layer(NamedTuple):
    """What a part of a timeline's bar stands for."""

    name: str
    text: str
    count: Callable[[TimelineBin], int]


def _unchecked(each: TimelineBin) -> int:
    return max(0, each.packets - each.authenticated - each.failed)


# From the bottom of a bar to its top.
LAYERS: Final = (
    Layer("good", "authenticated", lambda each: each.authenticated),
    Layer("bad", "failed authentication", lambda each: each.failed),
    Layer("unchecked", "not checked (no key, or not whole)", _unchecked),
    Layer("lost", "lost", lambda each: each.lost),
)


def timeline(stream: StreamReport) -> str:
    """Packets over time, by what became of them, with the wraps of the rollover counter; empty if there is nothing."""
    bins = sorted(stream.timeline[:BINS_MAX], key=lambda each: each.start_ns)
    most = max((sum(layer.count(each) for layer in LAYERS) for each in bins), default=0)
    if not most:
        return ""
    start = bins[0].start_ns
    width = _bin_width(bins, stream.last_ns)
    end = max(bins[-1].start_ns + width, start + 1)
    at = [_place(each.start_ns - start, end - start) for each in bins]
    edges = [_place(each.start_ns - start + width, end - start) for each in bins]
    parts = [*_grid(most), *_time_axis(end - start)]
    floor = [BASE] * len(bins)
    for layer in LAYERS:
        path = "".join(_stack(layer, bins, at, edges, floor, most))
        parts += [f'<path class="{layer.name}" d="{path}"/>'] if path else []
    parts += _wraps(bins, at, edges)
    return _svg(f"Packets over {seconds(end - start)} s", parts)


def _place(time: int, span: int) -> int:
    return LEFT + (WIDTH - LEFT - RIGHT) * time // span


def _bin_width(bins: Sequence[TimelineBin], last_ns: int) -> int:
    """All bins are as wide as the narrowest distance of two; a single one holds the whole stream."""
    steps = [after.start_ns - before.start_ns for before, after in pairwise(bins)]
    return max(1, min((step for step in steps if step > 0), default=last_ns - bins[0].start_ns))


def _stack(
    layer: Layer, bins: Sequence[TimelineBin], at: Sequence[int], edges: Sequence[int], floor: list[int], most: int
) -> Iterator[str]:
    """Bars of one layer on those below; ``floor`` rises by them."""
    for number, each in enumerate(bins):
        count = layer.count(each)
        if count > 0:
            height = max(LEAST, round(ROOM * count / most))
            top = floor[number] - height
            width = max(1, edges[number] - at[number] - (1 if edges[number] - at[number] > 2 else 0))
            yield f"M{at[number]} {floor[number]}V{top}h{width}V{floor[number]}z"
            floor[number] = top


def _wraps(bins: Sequence[TimelineBin], at: Sequence[int], edges: Sequence[int]) -> Iterator[str]:
    for number, each in enumerate(bins):
        if each.wraps > 0:
            middle = (at[number] + edges[number]) // 2
            said = "wrap" if each.wraps == 1 else f"{each.wraps} wraps"
            yield f'<path class="wrap" d="M{middle} {TOP - 2}V{BASE}"/>'
            yield _text(middle, TOP - 5, said, "middle")


def _tells(histogram: Sequence[int]) -> bool:
    """Whether there are so many octets that their frequencies mean something."""
    return len(histogram) == VALUES and sum(histogram) >= OCTETS_MIN


def distribution(histogram: Sequence[int]) -> str:
    """A bar for each of the 256 octet values, against the line of even distribution and what chance leaves of it.

    Empty for too few octets.
    """
    total = sum(histogram)
    if not _tells(histogram):
        return ""
    even = total / VALUES
    most = max(*histogram, math.ceil(HEADROOM * even))
    step = (WIDTH - LEFT - RIGHT) / VALUES
    bars = "".join(_bar(LEFT + value * step, step, count, most) for value, count in enumerate(histogram) if count > 0)
    line = BASE - ROOM * even / most
    spread = ROOM * BAND * math.sqrt(even) / most
    band = f'<rect class="band" x="{LEFT}" width="{WIDTH - LEFT - RIGHT}"'
    parts = [
        *_grid(most),
        f'{band} y="{max(TOP, line - spread):.1f}" height="{min(BASE, line + spread) - max(TOP, line - spread):.1f}"/>',
        f'<path class="octets" d="{bars}"/>',
        f'<path class="even" d="M{LEFT} {line:.1f}H{WIDTH - RIGHT}"/>',
        *(_text(LEFT + value * step, BASE + 16, f"0x{value:02x}", "middle") for value in range(0, VALUES, 32)),
    ]
    return _svg("How often each octet value occurs in the payload", parts)


def _bar(at: float, step: float, count: int, most: int) -> str:
    return f"M{at:.1f} {BASE}v{-max(1, round(ROOM * count / most))}h{step - 0.4:.1f}V{BASE}z"


def distribution_text(histogram: Sequence[int]) -> str:
    """What the picture shows, in a sentence."""
    total = sum(histogram)
    if not _tells(histogram):
        return ""
    most = max(range(VALUES), key=lambda value: histogram[value])
    times = histogram[most] * VALUES / total
    return f"The most frequent octet, 0x{most:02x}, occurs {times:,.2f} times as often as an even distribution has it."


def _grid(most: int) -> Iterator[str]:
    """Lines at nothing, half and all, with what they stand for."""
    for height, value in ((BASE, 0), (BASE - ROOM // 2, most / 2), (BASE - ROOM, most)):
        yield f'<path class="{"axis" if height == BASE else "grid"}" d="M{LEFT} {height}H{WIDTH - RIGHT}"/>'
        yield _text(LEFT - 6, height + 4, _amount(value), "end")


def _amount(value: float) -> str:
    """Short enough for the room beside the axis."""
    if value >= MILLION:
        return f"{value / MILLION:.3g} M"
    return f"{value:,.0f}" if value >= 10 or not value % 1 else f"{value:.1f}"


def _time_axis(span: int) -> Iterator[str]:
    """Five times from the start, in seconds or, of a long stream, in minutes."""
    minutes = span > 600 * SECOND
    for quarter in range(5):
        value = span * quarter / 4 / SECOND / (60 if minutes else 1)
        at = LEFT + (WIDTH - LEFT - RIGHT) * quarter // 4
        anchor = ("start", "middle", "middle", "middle", "end")[quarter]
        yield _text(at, BASE + 16, f"{value:.1f} {'min' if minutes else 's'}", anchor)


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>'
