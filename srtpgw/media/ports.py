"""Which local ports a leg gets: even RTP port with RTCP above (RFC 3550 11), or one port for both (RFC 5761)."""

from __future__ import annotations

from collections.abc import Iterator

from srtpgw.errors import MediaError
from srtpgw.terms import FIRST_PORT, LAST_PORT, first_pair


class PortRange:
    """Hands out candidates in turn, so that a port just given back rests as long as possible."""

    def __init__(self, first: int, last: int) -> None:
        pair = first_pair(first, last)
        if pair is None or first < FIRST_PORT or last > LAST_PORT:
            raise MediaError(
                f"port range {first}-{last}: an even port and the one above at least, {FIRST_PORT} to {LAST_PORT}"
            )
        self.first = pair
        self.last = last
        self._next = self.first
        self._taken: set[int] = set()

    def candidates(self) -> Iterator[int]:
        """Even ports that are not in use here, each once. A caller that binds one calls `take`."""
        pairs = (self.last + 1 - self.first) // 2
        start = (self._next - self.first) // 2
        for step in range(pairs):
            port = self.first + 2 * ((start + step) % pairs)
            if port not in self._taken:
                self._next = self.first + 2 * ((start + step + 1) % pairs)
                yield port

    def take(self, port: int) -> None:
        """Mark a port (pair) as in use."""
        self._taken.add(port)

    def give_back(self, port: int) -> None:
        """The port (pair) is free again; one that was never taken is no error."""
        self._taken.discard(port)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"
