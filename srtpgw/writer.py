"""Octets to a stream whose reader may stall: a pipe that nobody empties, a terminal held with Ctrl-S."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

OUTPUT_PATIENCE = 2.0  # seconds that the last lines wait for a reader that has stalled
PIECES_MAX = 64  # that wait for such a reader, or more of them up to OCTETS_MAX; what comes on top is left out
OCTETS_MAX = 1 << 20


class Writer:
    """Octets to a descriptor from a thread of its own. What waits is bounded."""

    def __init__(self, handle: int) -> None:
        self.broken: Callable[[str], None] = nothing
        self._handle = handle
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._octets = 0  # that wait
        self._writing = False
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether something waits to be read: what is merely the latest figures can be left out."""
        return self._writing or bool(self._waiting)

    def put(self, octets: bytes) -> None:
        """Have them written behind what waits."""
        with self._changed:
            room = len(self._waiting) < PIECES_MAX or self._octets + len(octets) <= OCTETS_MAX
            if room and not self._closed:
                self._waiting.append(octets)
                self._octets += len(octets)
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, as far as someone reads it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(OUTPUT_PATIENCE)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                octets = self._waiting.popleft()
                self._octets -= len(octets)
                self._writing = True
            try:
                while octets:
                    octets = octets[self._write_some(octets) :]
            except OSError as error:
                with self._changed:
                    self._closed = True
                    self._waiting.clear()
                # Nobody reads any more: stop as if asked to, so that sending states are settled.
                self.broken(error.strerror or type(error).__name__)
                return

    def _write_some(self, octets: bytes) -> int:
        try:
            return os.write(self._handle, octets)
        except BlockingIOError:
            # Whoever else has the descriptor made it so. It stays so, for it is theirs too.
            poll = select.poll()
            poll.register(self._handle, select.POLLOUT)
            poll.poll()
            return 0


def nothing(reason: str) -> None:
    """Nobody wants to know."""
    del reason
