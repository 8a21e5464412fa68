"""What a Python programmer would write: asyncio datagram endpoints and one pylibsrtp session per leg and way."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from srtpgw.loadtest.bench.matrix import Case
from srtpgw.loadtest.bench.peers.base import FILES, START_SECONDS, Place, Started
from srtpgw.loadtest.bench.process import running, wait_for

SCRIPT = Path(__file__).with_name("asyncio_relay.py")


class AsyncioPylibsrtp:
    """The relay in asyncio_relay.py, over the same relay file as ours."""

    name = "asyncio-pylibsrtp"
    title = "asyncio + pylibsrtp"

    def missing(self, case: Case | None) -> str | None:
        from srtpgw.loadtest.bench.peers.asyncio_relay import PROFILES

        absent = set() if case is None else set(case.suites) - {"plain", *PROFILES}
        return f"pylibsrtp has not {', '.join(sorted(absent))}" if absent else None

    def version(self) -> str:
        from importlib.metadata import version

        return f"pylibsrtp {version('pylibsrtp')}, Python {sys.version.split()[0]}"

    def settings(self) -> Sequence[str]:
        return ("one process, one event loop, on one core",)

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        log = place.folder / "asyncio.log"
        command = [sys.executable, str(SCRIPT), str(place.relay_file())]
        with running(command, log, netns=place.bed.path("gateway"), cpus=place.cpus, files=FILES) as process:
            wait_for(lambda: b"ready" in log.read_bytes(), process, self.title, log, START_SECONDS)
            yield Started((process.pid,), ("--target", "static"), {})
