"""Readers of single values in files that people write.

Each takes what TOML gave and returns the setting, or raises ValueError with a reason that reads on from the name and
does not repeat the value, which might be a secret in the wrong place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from srtpgw.address import Address, parse_host
from srtpgw.terms import FIRST_PORT, LAST_PORT, first_pair

Read = Callable[[object], Any]


def quoted(value: object) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError("is not text in quotes")
    return value


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def on_off(value: object) -> bool:
    """A media encryption flag."""
    if not isinstance(value, str) or value not in ("on", "off"):
        raise ValueError('is neither "on" nor "off"')
    return value == "on"


def whole(value: object) -> int:
    """A whole number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is not a whole number")
    return value


def number(value: object) -> float:
    """Any number that a float holds exactly enough."""
    return float(value) if isinstance(value, float) else float(bounded(-(1 << 53), 1 << 53)(value))


def bounded(low: int, high: int) -> Callable[[object], int]:
    """A whole number, bounds included."""

    def read(value: object) -> int:
        got = whole(value)
        if not low <= got <= high:
            raise ValueError(f"is outside {low} to {high}")
        return got

    return read


def one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    """One of several words."""

    def read(value: object) -> str:
        text = quoted(value)
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return read


def host(version: int) -> Callable[[object], str]:
    """A numeric address of IP version 4 or 6."""

    def read(value: object) -> str:
        text = parse_host(quoted(value))
        if (":" in text) != (version == 6):
            raise ValueError(f"is not an IPv{version} address")
        return text

    return read


def address(value: object) -> Address:
    """Address and port."""
    return Address.parse(quoted(value))


def wholes(most: int, low: int, high: int) -> Callable[[object], tuple[int, ...]]:
    """A list of whole numbers."""

    def read(value: object) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"is not a list of at most {most} whole numbers")
        return tuple(bounded(low, high)(item) for item in value)

    return read


def texts(most: int, read_one: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    """A list of texts, each of which ``read_one`` takes."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"is not a list of at most {most} texts")
        return tuple(read_one(item) for item in value)

    return read


def port_range(value: object) -> tuple[int, int]:
    """Lowest and highest port, with a pair for RTP and RTCP between them."""
    ports = wholes(2, FIRST_PORT, LAST_PORT)(value)
    if len(ports) != 2 or ports[0] >= ports[1]:
        raise ValueError("is not [LOWEST, HIGHEST]")
    if first_pair(*ports) is None:
        raise ValueError("has no even port with the one above it: RTP and RTCP need a pair")
    return ports[0], ports[1]
