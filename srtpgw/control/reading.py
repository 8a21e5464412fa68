"""Readers that several families share: what an operator typed becomes a value, or ValueError with a reason that reads
on from the option's name and does not repeat the text."""

from __future__ import annotations

from collections.abc import Callable


def whole(low: int, high: int) -> Callable[[str], int]:
    """Reads a whole number within bounds, which are not negative."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > len(str(high)) or not low <= int(text) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(text)

    return read
