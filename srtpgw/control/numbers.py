"""Directory numbers as operators type and read them: one, a list ``100,200``, a range ``12000..12099``, or ``all``.

A number is 1 to 16 digits, and its zeros in front count: ``0100`` and ``100`` are two numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal

NUMBER_MAX: Final = 16  # digits
NUMBERS_MAX: Final = 100_000  # that one command may name
SHOWN_MAX: Final = 20  # characters of what was typed that a fault repeats
SPANS_MAX: Final = 50  # ranges and numbers that one sentence lists
LINE_MAX: Final = 100  # characters
EVERY: Final = "all"

Numbers = tuple[str, ...] | Literal["all"]


def read_numbers(text: str) -> tuple[str, ...]:
    """The numbers that a text names, each once, in ``order``. ValueError with what is wrong, to read on from the
    option's name."""
    found: set[str] = set()
    for part in text.split(","):
        found.update(_span(part.strip(" ")))
        if len(found) > NUMBERS_MAX:
            raise ValueError(f"names more than {NUMBERS_MAX:,} numbers; use several commands")
    return tuple(sorted(found, key=order))


def read_numbers_or_all(text: str) -> Numbers:
    """As ``read_numbers``, or ``EVERY``: every number there is."""
    return EVERY if text.lower() == EVERY else read_numbers(text)


def read_number(text: str) -> str:
    """One number. ValueError as for ``read_numbers``."""
    if not 0 < len(text) <= NUMBER_MAX or not text.isascii() or not text.isdigit():
        raise ValueError(f"has {_shown(text)}, which is not a directory number of 1 to {NUMBER_MAX} digits")
    return text


def order(number: str) -> tuple[int, str]:
    """Sorts numbers by value, as the store does: 99 before 100, and 0100 beside 100."""
    return int(number), number


def chosen(rows: Collection[str], numbers: Numbers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(those of ``numbers`` that are keys of ``rows``, those that are not), in ``order``."""
    if numbers == EVERY:
        return tuple(sorted(rows, key=order)), ()
    return tuple(each for each in numbers if each in rows), tuple(each for each in numbers if each not in rows)


def spans(numbers: Iterable[str]) -> tuple[str, ...]:
    """The numbers in as few words as they can be typed again: ``12000..12099``, ``13000``; two in a row stay two."""
    words: list[str] = []
    for run in _runs(sorted(set(numbers), key=lambda number: (len(number), number))):
        words += [f"{run[0]}..{run[-1]}"] if len(run) > 2 else run
    return tuple(words)


def lines_of(numbers: Iterable[str]) -> tuple[str, ...]:
    """All of the numbers, as ``spans``, on lines of at most ``LINE_MAX`` characters."""
    lines: list[str] = []
    for word in spans(numbers):
        if lines and len(lines[-1]) + len(word) + 2 <= LINE_MAX:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return tuple(lines)


def listed(numbers: Iterable[str]) -> str:
    """The numbers in a sentence: the first ``SPANS_MAX`` of their ``spans``, and how many more there are."""
    words = spans(numbers)
    more = len(words) - SPANS_MAX
    return ", ".join([*words[:SPANS_MAX], *([f"and {more:,} more"] if more > 0 else [])])


def _span(part: str) -> Iterable[str]:
    first, dots, last = part.partition("..")
    if not dots:
        return (read_number(part),)
    read_number(first), read_number(last)
    if len(first) != len(last):
        raise ValueError(f"has {_shown(part)}: both ends of a range have the same number of digits")
    low, high = int(first), int(last)
    if low > high:
        raise ValueError(f"has {_shown(part)}: a range goes from the lower number to the higher one")
    if high - low >= NUMBERS_MAX:
        raise ValueError(f"has {_shown(part)}: a command takes at most {NUMBERS_MAX:,} numbers; use several commands")
    return (str(number).zfill(len(first)) for number in range(low, high + 1))


def _runs(ordered: list[str]) -> list[list[str]]:
    """Numbers in the order of their length, cut where the next number is not one higher with as many digits."""
    runs: list[list[str]] = []
    after = ""
    for number in ordered:
        if number == after and len(number) == len(runs[-1][-1]):
            runs[-1].append(number)
        else:
            runs.append([number])
        after = str(int(number) + 1).zfill(len(number))
    return runs


def _shown(text: str) -> str:
    """What was typed, cut and with control characters escaped."""
    cut = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."
    return ascii(cut)
