"""Charts as inline SVG: lines with error bars, and horizontal bars. Values in, text out; every text is escaped here.

Colours are classes (``s0`` to ``s7``) that the page defines for light and dark; axes and texts take the text colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

WIDTH = 640
HEIGHT = 340
LEFT, RIGHT, TOP, BOTTOM = 92, 16, 12, 46  # margins around the plot; to the left, room for 10,000,000 and a title
COLOURS = 8
BAR = 18  # height of a bar
BAR_GAP = 8
LABEL_CHARACTER = 6.6  # width of a character of a label, about
TICKS = 6  # at most, on a linear axis


class Point(NamedTuple):
    """A value with its range; equal ends draw no bar."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """A line with its name in the legend; ``colour`` stays with a peer through the whole page."""

    name: str
    colour: int
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar."""

    value: float
    colour: int
    name: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar of one or more pieces, with what is written behind it."""

    label: str
    parts: Sequence[Part]
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """From a value to a place: linear from zero, or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(max(value, self.low)), math.log10(low), math.log10(high)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        return list(_decades(self.low, self.high)) if self.logarithmic else _round_steps(self.low, self.high)


def lines(
    series: Sequence[Series], *, title: str, x_title: str, y_title: str, logarithmic: bool = False,
    x_names: Sequence[str] = (),
) -> str:  # fmt: skip
    """A line chart. ``x_names`` label whole numbers from 0 on; without them x is a number from zero."""
    points = [point for each in series for point in each.points]
    if not points:
        return ""
    x = _x_axis(points, len(x_names))
    y = _y_axis(points, logarithmic)
    parts = [*_y_grid(y, y_title), *_x_grid(x, x_title, x_names)]
    for each in series:
        parts += _line(each, x, y)
    return _svg(title, WIDTH, HEIGHT, parts)


def bars(rows: Sequence[Bar], *, title: str, x_title: str, mark: float | None = None) -> str:
    """Horizontal bars from zero; ``mark`` draws a line at a value that matters."""
    if not rows:
        return ""
    left = 14 + LABEL_CHARACTER * max(len(row.label) for row in rows)
    height = TOP + len(rows) * (BAR + BAR_GAP) + BOTTOM
    most = max(sum(part.value for part in row.parts) for row in rows)
    x = Axis(0, _ceiling(max(most, mark or 0) * 1.12), left, WIDTH - RIGHT - 40)
    bottom = height - BOTTOM
    parts = [*_x_lines(x, bottom), _text((x.start + x.end) / 2, height - 8, x_title, "middle")]
    for number, row in enumerate(rows):
        parts += _bar(row, x, TOP + number * (BAR + BAR_GAP))
    if mark is not None:
        at = x.at(mark)
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
    return _svg(title, WIDTH, height, parts)


def legend(names: Sequence[tuple[str, int]]) -> str:
    """Names with their colour, as HTML above the charts they belong to."""
    items = (f'<li><span class="key s{colour % COLOURS}"></span>{escape(name)}</li>' for name, colour in names)
    return f'<ul class="legend">{"".join(items)}</ul>'


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _x_axis(points: Sequence[Point], names: int) -> Axis:
    if names:
        return Axis(-0.4, names - 0.6, LEFT, WIDTH - RIGHT)
    return Axis(0, _ceiling(max(point.x for point in points) * 1.05), LEFT, WIDTH - RIGHT)


def _y_axis(points: Sequence[Point], logarithmic: bool) -> Axis:
    high = max(point.high for point in points)
    if logarithmic:
        positive = [point.low for point in points if point.low > 0] or [1.0]
        low = 10 ** math.floor(math.log10(min(positive)))
        return Axis(low, max(10 ** math.ceil(math.log10(max(high, low * 1.001))), low * 10), HEIGHT - BOTTOM, TOP, True)
    low = min(0.0, *(point.low for point in points))
    return Axis(-_ceiling(-low) if low < 0 else 0.0, _ceiling(high * 1.05), HEIGHT - BOTTOM, TOP)


def _y_grid(axis: Axis, title: str) -> Iterator[str]:
    for tick in axis.ticks():
        at = axis.at(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield _text(LEFT - 6, at + 4, _number(tick), "end")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    place = f'text-anchor="middle" transform="translate(14 {middle:.0f}) rotate(-90)"'
    yield f'<text class="title" {place}>{escape(title)}</text>'


def _x_grid(axis: Axis, title: str, names: Sequence[str]) -> Iterator[str]:
    base = HEIGHT - BOTTOM
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'
    for at, text in [*enumerate(names)] if names else [(tick, _number(tick)) for tick in axis.ticks()]:
        yield _text(axis.at(at), base + 17, text, "middle")
    yield _text((axis.start + axis.end) / 2, HEIGHT - 8, title, "middle", "title")


def _x_lines(axis: Axis, bottom: float) -> Iterator[str]:
    for tick in axis.ticks():
        at = axis.at(tick)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
        yield _text(at, bottom + 16, _number(tick), "middle")


def _line(series: Series, x: Axis, y: Axis) -> Iterator[str]:
    colour = f"s{series.colour % COLOURS}"
    points = sorted(series.points)
    places = [(x.at(point.x), y.at(point.y)) for point in points]
    if len(places) > 1:
        path = " ".join(f"{at:.1f},{height:.1f}" for at, height in places)
        yield f'<polyline class="line {colour}" points="{path}"/>'
    for point, (at, height) in zip(points, places, strict=True):
        if point.high > point.low:
            yield f'<path class="range {colour}" d="{_range(at, y.at(point.low), y.at(point.high))}"/>'
        told = escape(f"{series.name}: {_number(point.y)} ({_number(point.low)} to {_number(point.high)})")
        yield f'<circle class="dot {colour}" cx="{at:.1f}" cy="{height:.1f}" r="4"><title>{told}</title></circle>'


def _range(at: float, low: float, high: float) -> str:
    cap = 4
    return f"M{at - cap:.1f} {low:.1f}h{2 * cap}M{at:.1f} {low:.1f}V{high:.1f}M{at - cap:.1f} {high:.1f}h{2 * cap}"


def _bar(row: Bar, x: Axis, top: float) -> Iterator[str]:
    yield _text(x.start - 6, top + BAR - 5, row.label, "end")
    at = 0.0
    for part in row.parts:
        start, width = x.at(at), max(0.0, x.at(at + part.value) - x.at(at))
        at += part.value
        colour = f"s{part.colour % COLOURS}"
        told = escape(f"{part.name}: {_number(part.value)}")
        yield (
            f'<rect class="bar {colour}" x="{start:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BAR}">'
            f"<title>{told}</title></rect>"
        )
    yield _text(x.at(at) + 5, top + BAR - 5, row.text, "start")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ceiling(value: float) -> float:
    """A round number that is not below a value; 1 for what is not above zero."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    fits: Callable[[float], bool] = lambda step: step * unit >= value * (1 - 1e-9)  # noqa: E731
    return next(step for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if fits(step)) * unit


def _round_steps(low: float, high: float) -> list[float]:
    unit = 10 ** math.floor(math.log10((high - low) / TICKS))
    step = next(step * unit for step in (1, 2, 2.5, 5, 10) if (high - low) / (step * unit) <= TICKS)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> Iterator[float]:
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        yield 10.0**power
