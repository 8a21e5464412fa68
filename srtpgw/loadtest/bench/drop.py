"""The gateway that costs nothing: what arrives at its interfaces is dropped.

The cost of a gateway is what all cores do less what they do in the drop run, so where the drop sits decides what
belongs to the gateway. It sits as early as packets of an ordinary veth can be dropped without changing their way
there: a tcx program at the ingress of the interface. Sending, the crossing of the veth and the softirq that takes the
packet from the backlog are in the drop run too and cancel out; the IP and UDP layers, the socket, the wake-up and all
that the gateway does are the gateway's. A native XDP drop would be earlier, but it switches the veth to another way of
receiving, whose cost would then be subtracted from gateways that do not use it.

Where the kernel has no tcx (before 6.6), XDP in generic mode takes its place, which drops a step earlier after making
room in the buffer; where BPF is not allowed, bound sockets with a filter that accepts nothing: then the UDP receive
path is missing in every gateway's cost, and the report says so.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from srtpgw.loadtest.bench.errors import BenchError
from srtpgw.loadtest.bench.launch import raise_files

BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
BPF_PROG_LOAD = 5
BPF_LINK_CREATE = 28
SO_ATTACH_FILTER = 26
FILES_BESIDE = 256  # descriptors of this process besides


class Hook(NamedTuple):
    """One way to drop by a program: numbers of linux/bpf.h."""

    name: str
    program_type: int
    attach_type: int
    flags: int
    verdict: int


HOOKS = (
    Hook("tcx ingress", program_type=3, attach_type=46, flags=0, verdict=2),  # SCHED_CLS, TC_ACT_SHOT
    Hook("XDP generic", program_type=6, attach_type=37, flags=2, verdict=1),  # XDP_FLAGS_SKB_MODE, XDP_DROP
)
FILTER = "socket filter"
METHODS = (*(hook.name for hook in HOOKS), FILTER)


@dataclass
class Drop:
    """An installed drop; ``method`` is one of :data:`METHODS`. It ends with :meth:`close`, or with the process."""

    method: str
    refused: list[str]
    _held: ExitStack = field(repr=False)

    def close(self) -> None:
        self._held.close()


def install(interfaces: Sequence[str], ports: Iterable[int], families: Sequence[int] = (4, 6)) -> Drop:
    """Drop what arrives, in the calling thread's namespace; ``ports`` are bound where only sockets can do it.

    Raises :class:`BenchError` when nothing works.
    """
    refused = []
    for hook in HOOKS:
        held = ExitStack()
        try:
            for interface in interfaces:
                held.callback(os.close, attach(hook, interface))
        except OSError as error:
            held.close()
            refused.append(f"{hook.name}: {error.strerror}")
            continue
        return Drop(hook.name, refused, held)
    return _filtered(ports, families, refused)


def attach(hook: Hook, interface: str) -> int:
    """Load the program and link it to an interface; the link's descriptor, whose closing detaches it."""
    program = _load(hook)
    try:
        index = socket.if_nametoindex(interface)
        return _bpf(BPF_LINK_CREATE, struct.pack("<IIII32x", program, index, hook.attach_type, hook.flags))
    finally:
        os.close(program)


def _load(hook: Hook) -> int:
    """``r0 = verdict; exit``."""
    code = struct.pack("<BBhiBBhi", 0xB7, 0, 0, hook.verdict, 0x95, 0, 0, 0)
    code_buffer, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"BSD")
    # prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name,
    # prog_ifindex, expected_attach_type
    attributes = struct.pack(
        "<IIQQIIQII16sII", hook.program_type, 2, ctypes.addressof(code_buffer), ctypes.addressof(licence),
        0, 0, 0, 0, 0, b"srtpgw_drop", 0, hook.attach_type,
    )  # fmt: skip
    return _bpf(BPF_PROG_LOAD, attributes)


def _bpf(command: int, attributes: bytes) -> int:
    number = BPF_SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(0, f"bpf(2) has no known number on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    handle = int(libc.syscall(number, command, ctypes.byref(buffer), len(attributes)))
    if handle < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return handle


def _filtered(ports: Iterable[int], families: Sequence[int], refused: list[str]) -> Drop:
    """Sockets that take every packet and keep none; there are thousands."""
    ports = list(ports)
    raise_files(len(ports) * len(families) + FILES_BESIDE)
    held = ExitStack()
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0), 8)  # ret 0
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(code))
    try:
        for port in ports:
            for family in families:
                kind, anywhere = (socket.AF_INET, "0.0.0.0") if family == 4 else (socket.AF_INET6, "::")  # noqa: S104
                handle = held.enter_context(socket.socket(kind, socket.SOCK_DGRAM))
                if family == 6:
                    handle.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                handle.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
                handle.bind((anywhere, port))
    except OSError as error:
        held.close()
        reasons = "; ".join([*refused, f"{FILTER}: {error.strerror}"])
        raise BenchError(f"nothing can stand for a gateway that drops ({reasons}); run it as root") from None
    return Drop(FILTER, refused, held)
