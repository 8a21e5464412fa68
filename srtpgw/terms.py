"""Words and bounds of the field that several parts share; nothing below knows more than these."""

from __future__ import annotations

from typing import Final, Literal

LegType = Literal["extension", "route", "intermgw"]
LEG_TYPES: Final[tuple[LegType, ...]] = ("extension", "route", "intermgw")

Provider = Literal["native", "libsrtp"]
PROVIDERS: Final[tuple[Provider, ...]] = ("native", "libsrtp")

FIRST_PORT: Final = 1024  # of those that legs may have
LAST_PORT: Final = 65535
PORT_RANGE: Final = (16384, 32767)  # below Linux's ephemeral ports, so that no client socket takes one by chance

WORKERS_MAX: Final = 256
PACING_US: Final = 250  # a frame of speech is 20,000
PACING_MAX_US: Final = 10_000


def first_pair(first: int, last: int) -> int | None:
    """The lowest even port with the one above it in the range: RTP and RTCP need such a pair (RFC 3550, section 11)."""
    even = first + first % 2
    return even if even < last else None
