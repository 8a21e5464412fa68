"""The place of a benchmark: three network namespaces, joined by veth pairs, made and removed here.

::

    caller  10.231.1.1 ----- 10.231.1.2  gateway  10.231.2.1 ----- 10.231.2.2  callee
            10.231.3.1 ------------- the cable, past the gateway -- 10.231.3.2

The gateway's address is 10.231.1.2 on both sides, so that a gateway with one address can be measured like any other.
Offloads are off at every end: checksums are computed in full by whoever sends, and verified by whoever receives. Next
hops are permanent, so nothing asks for an address while packets are counted. Interfaces live inside the namespaces
only; the host's own network is not touched.

Names hold the number and the start time of the process that made them, so that what a killed run left over is told
from what is in use: the next run ends what still runs in there and removes it.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import itertools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from srtpgw.loadtest.bench.errors import BenchError
from srtpgw.loadtest.bench.launch import enter_namespace

PREFIX = "srtpgw-bench"
FOLDER = Path("/run/netns")
ROLES = ("caller", "gateway", "callee")
QUEUE_PACKETS = 10_000  # txqueuelen: veth has no queue by default, and gets none here either unless a qdisc is added
END_SECONDS = 5.0  # for processes in a leftover namespace to be gone after SIGKILL

SIOCETHTOOL = 0x8946
# linux/ethtool.h: receive and transmit checksums, scatter-gather, TSO, GSO, GRO. All off.
OFFLOADS = {"rx": 0x15, "tx": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}
GET_TX_CHECKSUM = 0x16

NEEDS_ROOT = "network namespaces need root: run it with sudo, or as root of a virtual machine or privileged container"

T = TypeVar("T")

_numbers = itertools.count()  # of test beds in this process


class Wire(NamedTuple):
    """One veth pair: role, interface and address of each end, IPv4 and IPv6."""

    near: str
    near_interface: str
    far: str
    far_interface: str
    net: int  # third number of the IPv4 network, and the group of the IPv6 one

    def address(self, end: int, family: int) -> str:
        return f"10.231.{self.net}.{end}" if family == 4 else f"fd00:e7:{self.net}::{end}"

    def hardware(self, end: int) -> str:
        return f"02:e7:00:00:{self.net:02x}:{end:02x}"  # locally administered


WIRES = (
    Wire("caller", "gateway", "gateway", "caller", 1),
    Wire("gateway", "callee", "callee", "gateway", 2),
    Wire("caller", "cable", "callee", "cable", 3),
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Who is where, for one family. ``gateway`` is reached from both sides."""

    family: int
    caller: str
    callee: str
    gateway: str
    cable_caller: str
    cable_callee: str

    @classmethod
    def of(cls, family: int) -> Addresses:
        to_gateway, to_callee, cable = WIRES
        return cls(
            family=family,
            caller=to_gateway.address(1, family),
            gateway=to_gateway.address(2, family),
            callee=to_callee.address(2, family),
            cable_caller=cable.address(1, family),
            cable_callee=cable.address(2, family),
        )


class Testbed:
    """The three namespaces, as a context. Whatever ends the block, they are removed."""

    __test__ = False  # not a test, whatever its name

    def __init__(self) -> None:
        self.stem = f"{PREFIX}-{os.getpid()}-{start_time(os.getpid())}-{next(_numbers)}"

    def __enter__(self) -> Testbed:
        check_possible()
        remove_leftovers()
        try:
            _ip(_commands(self))
            for role in ROLES:
                in_namespace(self.path(role), lambda role=role: _quiet(role))  # type: ignore[misc]
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def name(self, role: str) -> str:
        return f"{self.stem}-{role}"

    def path(self, role: str) -> Path:
        """What setns(2) opens."""
        return FOLDER / self.name(role)

    def remove(self) -> None:
        """Remove what is there; what is not there already is no fault."""
        for role in ROLES:
            remove_namespace(self.name(role))


def check_possible() -> None:
    """Raises :class:`BenchError` when this machine or user cannot make namespaces."""
    if os.geteuid() != 0:
        raise BenchError(NEEDS_ROOT)
    if shutil.which("ip") is None:
        raise BenchError("the program ip is missing: install iproute2")


def in_namespace(path: Path, act: Callable[[], T]) -> T:
    """Call ``act`` inside a namespace, in a thread of its own that ends with it: the namespace is the thread's."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            enter_namespace(str(path))
            done.append(act())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=run, name=path.name)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def remove_leftovers() -> list[str]:
    """Remove the namespaces of runs whose process is gone; their names."""
    gone = [name for name in _ours() if not _is_alive(name)]
    for name in gone:
        _end_processes(name)
        remove_namespace(name)
    return gone


def remove_namespace(name: str) -> None:
    """Unmount and unlink, as `ip netns delete` does. Its interfaces go when the last process in it does."""
    path = FOLDER / name
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(os.fsencode(path), 2)  # MNT_DETACH
    with suppress(FileNotFoundError):
        path.unlink()


def start_time(pid: int) -> int:
    """When a process was started, in clock ticks since boot; 0: no such process. With its number it names a process
    for good (proc(5), field 22 of stat)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def transmit_checksum_offload(interface: str) -> bool:
    """Whether an interface of the calling thread's namespace leaves UDP checksums to its driver."""
    return _ethtool(interface, GET_TX_CHECKSUM, 0) != 0


def _ours() -> Iterator[str]:
    if FOLDER.is_dir():
        yield from (entry.name for entry in FOLDER.iterdir() if _owner(entry.name))


def _owner(name: str) -> tuple[int, int] | None:
    found = re.fullmatch(rf"{PREFIX}-(\d+)-(\d+)-\d+-({'|'.join(ROLES)})", name)
    return (int(found[1]), int(found[2])) if found else None


def _is_alive(name: str) -> bool:
    owner = _owner(name)
    return owner is not None and start_time(owner[0]) == owner[1]


def _end_processes(name: str) -> None:
    """SIGKILL to what a killed run left running inside its namespace."""
    deadline = time.monotonic() + END_SECONDS
    while pids := _processes_inside(name):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise BenchError(f"processes in the leftover namespace {name} do not end: {pids}")
        time.sleep(0.02)


def _processes_inside(name: str) -> list[int]:
    """By the identity of the namespace, so a process elsewhere is never meant."""
    try:
        wanted = (FOLDER / name).stat()
    except OSError:
        return []
    inside = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found = (entry / "ns/net").stat()
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino) and not _is_defunct(entry):
                    inside.append(int(entry.name))
    return inside


def _is_defunct(entry: Path) -> bool:
    return (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] in {"Z", "X"}


def _commands(bed: Testbed) -> Iterator[str]:
    """What `ip -batch` is told."""
    for role in ROLES:
        yield f"netns add {bed.name(role)}"
    for wire in WIRES:
        ends = [
            f"{interface} address {wire.hardware(end)} txqueuelen {QUEUE_PACKETS} netns {bed.name(role)}"
            for end, role, interface in ((1, wire.near, wire.near_interface), (2, wire.far, wire.far_interface))
        ]
        yield f"link add {ends[0]} type veth peer name {ends[1]}"


def _ip(commands: Iterator[str] | Sequence[str], *options: str) -> None:
    """Run `ip` once for many commands; the first that fails ends it."""
    done = subprocess.run(
        ["ip", *options, "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"ip failed: {' '.join(done.stderr.split())}; are veth and namespaces allowed here?")


def _quiet(role: str) -> None:
    """Inside its namespace: addresses, next hops, offloads."""
    ends = [(wire, 1) for wire in WIRES if wire.near == role] + [(wire, 2) for wire in WIRES if wire.far == role]
    commands = ["link set lo up"]
    for wire, end in ends:
        commands += _end_commands(wire, end)
    _ip([*commands, *_routes(role)])
    for wire, end in ends:
        for request in OFFLOADS.values():
            with suppress(OSError):  # fixed ones stay; what matters is read back
                _ethtool(_interface(wire, end), request, 0)
        if transmit_checksum_offload(_interface(wire, end)):
            raise BenchError(f"checksum offload of a veth cannot be switched off ({role}): checksums would not be real")


def _end_commands(wire: Wire, end: int) -> Iterator[str]:
    interface, other = _interface(wire, end), 3 - end
    yield f"addr add {wire.address(end, 4)}/24 dev {interface}"
    yield f"addr add {wire.address(end, 6)}/64 dev {interface} nodad"
    yield f"link set {interface} up"
    for family in (4, 6):
        yield f"neigh add {wire.address(other, family)} lladdr {wire.hardware(other)} dev {interface} nud permanent"


def _routes(role: str) -> Iterator[str]:
    """The callee reaches the gateway's one address through its own side of it."""
    to_gateway, to_callee, _ = WIRES
    if role == "callee":
        for family, width in ((4, 32), (6, 128)):
            gateway = to_gateway.address(2, family)
            yield f"route add {gateway}/{width} via {to_callee.address(1, family)} dev {to_callee.far_interface}"


def _interface(wire: Wire, end: int) -> str:
    return wire.near_interface if end == 1 else wire.far_interface


def _ethtool(interface: str, request: int, value: int) -> int:
    """One old-style ethtool command, which every kernel still takes: struct ethtool_value through struct ifreq."""
    words = array.array("I", [request, value])
    asked = struct.pack("16sP16x", interface.encode(), words.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, SIOCETHTOOL, asked)
    return words[1]
