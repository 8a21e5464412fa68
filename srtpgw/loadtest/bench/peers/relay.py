"""Our own gateway: `srtpgw relay`, by engine and crypto provider."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from srtpgw.loadtest.bench.matrix import Case
from srtpgw.loadtest.bench.peers.base import FILES, START_SECONDS, Place, Started, shown
from srtpgw.loadtest.bench.process import running, wait_for
from srtpgw.terms import PACING_US

COMMAND = (sys.executable, "-P", "-m", "srtpgw.cli", "relay", "--json", "--interval", "3600", "--allow-index-reuse")


@dataclass(frozen=True, slots=True)
class Relay:
    """``engine``, ``crypto`` and ``pacing_us`` as a relay file names them."""

    name: str
    engine: str = "socket"
    crypto: str = "native"
    pacing_us: int = PACING_US

    @property
    def title(self) -> str:
        crypto = "" if self.crypto == "native" else f", {self.crypto}"
        pacing = "" if self.pacing_us == PACING_US else ", unpaced"
        return f"srtpgw ({self.engine}{crypto}{pacing})"

    def missing(self, case: Case | None) -> str | None:
        if case is None or self.crypto == "native":
            return None
        from srtpgw.srtp import kernels

        here = kernels()["libsrtp"]
        if not here["available"]:
            return f"libsrtp cannot be used: {here['fault']}"
        absent = set(case.suites) - {"plain", *here["suites"]}
        return f"this libsrtp has not {', '.join(sorted(absent))}" if absent else None

    def version(self) -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"srtpgw {version('srtpgw')}"
        except PackageNotFoundError:
            return "srtpgw, not installed"

    def settings(self) -> Sequence[str]:
        how = f"engine {self.engine}, one worker on its core, crypto {self.crypto}, pacing {self.pacing_us} us"
        return (shown(("srtpgw", *COMMAND[4:])), how)

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        file = place.relay_file()
        text = file.read_text(encoding="utf-8")
        table = f'[gateway]\nengine = "{self.engine}"\npacing-us = {self.pacing_us}\n'
        text = text.replace("[gateway]\n", table, 1) if "[gateway]\n" in text else f"{table}workers = 1\n\n{text}"
        file.write_text(text, encoding="utf-8")
        log = place.folder / "relay.log"
        command = [*COMMAND, "--crypto", self.crypto, str(file)]
        netns, state = place.bed.path("gateway"), {"SRTPGW_STATE_DIR": str(place.folder)}
        with running(command, log, netns=netns, cpus=place.cpus, files=FILES, environment=state) as process:
            wait_for(lambda: _has_started(log), process, self.title, log, START_SECONDS)
            yield Started((process.pid,), ("--target", "static"), {})


def _has_started(log: Path) -> bool:
    with log.open("rb") as output:
        return b'"started"' in output.read(1 << 20)
