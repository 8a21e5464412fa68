"""How commands put things: rows under headings, counts, and refusals with the numbers they are about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from srtpgw.control.numbers import lines_of, listed

GAP = "  "
NOTHING_CHANGED = "Nothing is changed."


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """One line for the headings and one for each row, each column as wide as its widest cell."""
    widths = [max(map(len, cells)) for cells in zip(headings, *rows, strict=True)]
    return tuple(
        GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (headings, *rows)
    )


def yes_no(value: bool | None) -> str:
    """None, not known, is a dash."""
    return "-" if value is None else "yes" if value else "no"


def counted(count: int, noun: str) -> str:
    """``1 number``, ``12,345 numbers``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def told(numbers: Collection[str], noun: str, verb: str) -> str:
    """What was done, and to which numbers: ``2 extensions changed: 100, 200``."""
    return f"{counted(len(numbers), noun)} {verb}: {listed(numbers)}" if numbers else NOTHING_CHANGED


def not_served(protocol: str) -> str:
    """A warning beside a route of a protocol whose service this version does not have."""
    return f"this version does not serve {protocol} yet: the route is kept, and no call goes by it"


def rejection(rejected: Mapping[str, Iterable[str]], asked: int) -> Iterator[str]:
    """The rules' texts, each with the numbers that it rejects where more than one was asked for."""
    for text, numbers in rejected.items():
        yield text
        if asked > 1:
            yield from lines_of(numbers)
