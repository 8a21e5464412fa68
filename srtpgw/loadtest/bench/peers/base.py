"""What a peer is: something that can be found, started with a case, and ended."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from srtpgw.loadtest.bench.load import GATEWAY_PORT, PORTS_PER_CALL, Drive
from srtpgw.loadtest.bench.matrix import Case
from srtpgw.loadtest.bench.namespaces import Addresses, Testbed

START_SECONDS = 60.0  # for a gateway to have its sockets: thousands of them
FILES = 65_536  # descriptors that a gateway may open


@dataclass(frozen=True, slots=True)
class Place:
    """Where and for what a peer is started. ``folder`` is empty, its owner's alone, and removed after the run."""

    bed: Testbed
    case: Case
    cpus: Sequence[int]
    folder: Path
    plan: Drive

    @property
    def addresses(self) -> Addresses:
        return Addresses.of(self.case.family)

    @property
    def ports(self) -> range:
        """Of the gateway, RTP and RTCP of both legs of every call."""
        return range(GATEWAY_PORT, GATEWAY_PORT + PORTS_PER_CALL * self.case.load.flows)

    def relay_file(self) -> Path:
        """Legs and keys of the load, as `srtpgw relay` takes them."""
        file = self.folder / "relay.toml"
        self.plan.plan(self.case, self.cpus, file)
        return file


@dataclass(frozen=True, slots=True)
class Started:
    """A peer at work: its processes, the options by which `srtpgw load` reaches it, and what is worth keeping."""

    pids: Sequence[int]
    target: Sequence[str]
    notes: Mapping[str, str]


class Peer(Protocol):
    """One way to relay. ``title`` is what reports call it."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def missing(self, case: Case | None) -> str | None:
        """Why it cannot be run here, or for this case; None if it can."""

    def version(self) -> str: ...

    def settings(self) -> Sequence[str]:
        """How it is started, for the report."""

    def start(self, place: Place) -> AbstractContextManager[Started]: ...


def program_version(command: Sequence[str]) -> str:
    """The first line that a program says of itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def not_installed(program: str, package: str) -> str | None:
    return None if shutil.which(program) else f"{program} is not installed (Debian package {package})"


def shown(command: Sequence[str]) -> str:
    return shlex.join(command)
