"""Which local ports a leg gets: even RTP port with RTCP above (RFC 3550 11), or one port for both (RFC 5761)."""

from __future__ import annotations

from collections.abc import Iterator

from srtpgw.errors import MediaError

DEFAULT_RANGE = (16384, 32767)  # below Linux's ephemeral ports, so that no client socket takes one by chance
FIRST, LAST = 1024, 65535


class PortRange:
    """Hands out candidates in turn, so that a port just given back rests as long as possible."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first + first % 2
        if not FIRST <= first <= last <= LAST or last <= self.first:
            raise MediaError(f"port range {first}-{last}: an even port and the one above at least, {FIRST} to {LAST}")
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
