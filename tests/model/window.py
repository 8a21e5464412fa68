"""What sender and receiver share: index estimation and the window (RFC 3711 3.3.1, 3.3.2), master keys, refusals."""

from __future__ import annotations

from typing import NamedTuple

SEQUENCE = 1 << 16
HALF = SEQUENCE // 2
SRTP_INDICES = 1 << 48
SRTCP_INDICES = 1 << 31


class Refused(Exception):
    """A packet that does not pass; args[0] is the drop reason."""

    @property
    def reason(self) -> str:
        return str(self.args[0])


class Key(NamedTuple):
    """A master key as the tests hold it. Not redacted: these are test keys."""

    key: bytes
    salt: bytes
    mki: bytes = b""
    lifetime: int | None = None


def estimate(highest: int, seq: int) -> int:
    """RFC 3711 3.3.1: the index nearest to `highest` whose low 16 bits are `seq`. Below 0 there is none: negative."""
    roc, s_l = divmod(highest, SEQUENCE)
    if s_l < HALF and seq - s_l > HALF:
        roc -= 1
    elif s_l >= HALF and s_l - HALF > seq:
        roc += 1
    return roc * SEQUENCE + seq


class Window:
    """The newest `size` indices and which of them were seen. Until `started`, `newest` serves estimation only."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.newest: int | None = None
        self.started = False
        self.seen: set[int] = set()

    def judge(self, index: int) -> str:
        """ "new", "seen" or "behind"."""
        if not self.started or self.newest is None:
            return "new"
        if index <= self.newest - self.size:
            return "behind"
        return "seen" if index in self.seen else "new"

    def add(self, index: int) -> None:
        self.newest = index if not self.started or self.newest is None else max(self.newest, index)
        self.started = True
        self.seen.add(index)
        if len(self.seen) > 2 * self.size:
            self.seen = {old for old in self.seen if old > self.newest - self.size}

    def set_rollover_counter(self, roc: int) -> None:
        """Told from outside. The middle of the sequence space makes any next sequence number one of this ROC."""
        if self.newest is None:
            self.newest = roc * SEQUENCE + HALF
        elif roc != self.newest // SEQUENCE:
            if self.started and roc < self.newest // SEQUENCE:
                raise ValueError("would go back")
            self.newest = roc * SEQUENCE + self.newest % SEQUENCE
            self.seen.clear()
