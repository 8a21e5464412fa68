"""A gateway in a process of its own: started, heard line by line, watched, stopped by SIGINT."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from srtpgw.loadtest.faults import TargetError
from srtpgw.loadtest.targets.base import TargetSettings

START_SECONDS = 60.0  # until a gateway with thousands of legs is ready
STOP_SECONDS = 20.0  # until it has ended after the signal
ERRORS_MAX = 2000  # octets of its last words that a message repeats


class Child:
    """A command whose stdout is JSON lines. Its stderr is kept for the message if it fails."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C is ours: the gateway ends when the run has
            )
        except OSError as error:
            self._errors.close()
            raise TargetError(f"{command[0]} cannot be started: {error.strerror}") from None
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, name="target output", daemon=True)
        self._reader.start()

    def tell(self, document: object) -> None:
        """One JSON line to its stdin."""
        assert self.process.stdin is not None
        with suppress(OSError):  # it has ended: await_line() tells why
            self.process.stdin.write(json.dumps(document).encode("ascii") + b"\n")
            self.process.stdin.flush()

    def await_line(self, kind: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        """The next line whose ``type`` is this. TargetError when the process ends before, or takes too long."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise TargetError(f"the gateway was not ready within {seconds:g} s{self._last_words()}") from None
            if line is None:
                self._lines.put(None)  # for whoever asks next
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(STOP_SECONDS)
                raise TargetError(self.fault() or f"the gateway closed its output{self._last_words()}")
            if line.get("type") == kind:
                return line

    def fault(self) -> str:
        """Why it has ended; empty while it runs."""
        status = self.process.poll()
        return "" if status is None else f"the gateway ended with status {status}{self._last_words()}"

    def interrupt(self) -> None:
        """SIGINT: it says what it counted, and ends."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGINT)

    def end(self) -> dict[str, Any] | None:
        """Interrupt it and wait; sums over the legs of its summary, None when it died without."""
        self.interrupt()
        statistics = None
        with suppress(TargetError):  # fault() has told
            statistics = drops_of(self.await_line("summary", STOP_SECONDS)["legs"])
        self.stop()
        return statistics

    def stop(self) -> None:
        """Wait until it has ended, not for ever."""
        if self.process.poll() is None:
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(STOP_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._errors.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for octets in self.process.stdout:
            with suppress(ValueError):
                line = json.loads(octets)
                if isinstance(line, dict):
                    self._lines.put(line)
        self._lines.put(None)

    def _last_words(self) -> str:
        """What it said last on stderr, on one line."""
        size = os.fstat(self._errors.fileno()).st_size
        text = os.pread(self._errors.fileno(), ERRORS_MAX, max(0, size - ERRORS_MAX)).decode(errors="replace")
        return f": {' | '.join(text.split(chr(10)))[:ERRORS_MAX].strip(' |')}" if text.strip() else ""


class ChildTarget:
    """What targets that are a process of ours share: `open`, which is their own, sets ``child``."""

    def __init__(self, settings: TargetSettings, what: str) -> None:
        self.settings = settings
        self.child: Child | None = None
        self.description = f"{what}, {settings.workers} worker(s), {settings.crypto}, at {settings.address}"

    @property
    def pid(self) -> int | None:
        """The child's."""
        return None if self.child is None else self.child.pid

    def fault(self, *, ask: bool = False) -> str:
        """Why the child ended."""
        del ask
        return "" if self.child is None else self.child.fault()

    def close(self) -> dict[str, Any] | None:
        """Stop the child in order; its counters over the whole run."""
        child, self.child = self.child, None
        return None if child is None else child.end()


def drops_of(legs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the legs of a gateway's statistics: packets each way, and drops by reason."""
    result: dict[str, Any] = {}
    for kind in ("rtp", "rtcp"):
        drops: dict[str, int] = {}
        for leg in legs:
            for reason, count in leg[kind]["drops"].items():
                drops[reason] = drops.get(reason, 0) + count
        result[f"{kind}_received_packets"] = sum(leg[kind]["received_packets"] for leg in legs)
        result[f"{kind}_sent_packets"] = sum(leg[kind]["sent_packets"] for leg in legs)
        result[f"{kind}_drops"] = drops
    return result
