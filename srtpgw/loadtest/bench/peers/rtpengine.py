"""rtpengine: in userspace at its best settings, and with its kernel module where a machine has it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from srtpgw.loadtest.bench.errors import BenchError
from srtpgw.loadtest.bench.matrix import Case
from srtpgw.loadtest.bench.namespaces import in_namespace
from srtpgw.loadtest.bench.peers.base import FILES, START_SECONDS, Place, Started, not_installed, program_version, shown
from srtpgw.loadtest.bench.process import running, wait_for

NG_PORT = 2223
PACKAGE = "rtpengine-daemon"
TABLE = 42  # of the kernel module
CONTROL = Path("/proc/rtpengine/control")
MODULES = ("xt_RTPENGINE", "nft_rtpengine")

# The quickest of its settings when the gateway has one core: more threads only take turns on it.
BEST = ("--num-threads=1", "--poller-per-thread")
COMMON = ("--foreground", "--config-file=none", "--log-stderr", "--log-level=4", "--timeout=3600",
          "--silent-timeout=3600", "--delete-delay=0")  # fmt: skip


class Rtpengine:
    """Without the kernel module (``--table=-1``)."""

    name = "rtpengine"
    title = "rtpengine userspace (no kernel module)"
    table = -1

    def missing(self, case: Case | None) -> str | None:
        if case is not None and case.load.kind == "maximum" and case.family == 6:
            return "the search is run over IPv4 only"
        if case is not None and case.direction == "srtp-srtp":
            return "between sides of one suite it forwards packets as they are: there is no crypto to measure"
        return not_installed("rtpengine", PACKAGE)

    def version(self) -> str:
        return f"rtpengine {program_version(['rtpengine', '--version']).removeprefix('Version: ')}"

    def settings(self) -> Sequence[str]:
        return (shown(("rtpengine", f"--table={self.table}", *BEST)), "one media thread, all threads on one core")

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        log = place.folder / "rtpengine.log"
        address = place.addresses.gateway
        shown_address = f"[{address}]" if ":" in address else address
        command = [
            "rtpengine", f"--table={self.table}", *BEST, *COMMON, f"--interface={address}",
            f"--listen-ng={shown_address}:{NG_PORT}", "--port-min=10000", "--port-max=65000",
        ]  # fmt: skip
        netns = place.bed.path("gateway")
        with running(command, log, netns=netns, cpus=place.cpus, files=FILES) as process:

            def ready() -> bool:
                return in_namespace(place.bed.path("caller"), lambda: _answers(address))

            wait_for(ready, process, self.title, log, START_SECONDS)
            yield Started((process.pid,), ("--target", "rtpengine", "--ng", f"{shown_address}:{NG_PORT}"), {})


class RtpengineKernel(Rtpengine):
    """With the kernel module, which relays without userspace once a stream is known: published even where it wins."""

    name = "rtpengine-kernel"
    title = "rtpengine with its kernel module"
    table = TABLE

    def missing(self, case: Case | None) -> str | None:
        reason = super().missing(case)
        if reason is not None or CONTROL.exists():
            return reason
        folder = Path("/lib/modules") / os.uname().release
        if not any(path for name in MODULES for path in folder.rglob(f"{name}.ko*")):
            return f"no kernel module {' or '.join(MODULES)} for {os.uname().release} (Debian: rtpengine-kernel-dkms)"
        return None if shutil.which("modprobe") else "modprobe is not installed (Debian package kmod)"

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        _load_module()
        with suppress(OSError):  # it may be there from before
            CONTROL.write_text(f"add {TABLE}\n", encoding="ascii")
        try:
            _redirect(place)
            with super().start(place) as started:
                yield Started(started.pids, started.target, {"table": str(TABLE)})
        finally:
            with suppress(OSError):
                CONTROL.write_text(f"del {TABLE}\n", encoding="ascii")


def _load_module() -> None:
    if not CONTROL.exists() and not any(_done(["modprobe", name]) for name in MODULES):
        raise BenchError(f"none of {', '.join(MODULES)} can be loaded; see `dmesg`")


def _redirect(place: Place) -> None:
    """Have the netfilter target take UDP in the gateway's namespace, as rtpengine's own documentation says. Its newer
    releases do this by themselves through nftables."""
    program = "iptables" if place.case.family == 4 else "ip6tables"
    rule = [program, "-w", "-I", "INPUT", "-p", "udp", "-j", "RTPENGINE", "--id", str(TABLE)]
    if shutil.which(program) and not _rule_exists(place, rule):
        in_namespace(place.bed.path("gateway"), lambda: _done(rule))


def _rule_exists(place: Place, rule: list[str]) -> bool:
    return in_namespace(place.bed.path("gateway"), lambda: _done([word if word != "-I" else "-C" for word in rule]))


def _done(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _answers(address: str) -> bool:
    """Whether the control port answers a ping: a cookie, then bencode."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as handle:
        handle.settimeout(0.5)
        try:
            handle.connect((address, NG_PORT))
            handle.send(b"1 d7:command4:pinge")
            return b"pong" in handle.recv(2048)
        except OSError:
            return False
