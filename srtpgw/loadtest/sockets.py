"""The sockets of the far ends, the callees' in a network namespace of their own if asked for."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from srtpgw import _native, hardening
from srtpgw.address import Address
from srtpgw.loadtest.faults import LoadError, ScenarioError
from srtpgw.loadtest.plan import Party, Plan
from srtpgw.media.endpoint import endpoint_of

CLONE_NEWNET: Final = 0x40000000  # <sched.h>
NAMED_NAMESPACES: Final = Path("/run/netns")

Result = TypeVar("Result")


class FarEnds(NamedTuple):
    """Numbers of sockets by address, and of the one whose packets a gateway has to refuse (-1: none)."""

    rtp: dict[Address, int]
    rtcp: dict[Address, int]  # by the address of RTP
    stranger: int


def open_far_ends(load: _native.Load, plan: Plan) -> FarEnds:
    """All sockets of a plan. LoadError names the address and what stands against it."""
    scenario = plan.scenario
    hardening.need_descriptors(2 * scenario.calls)
    ends = FarEnds({}, {}, _stranger(load, plan))
    _open_all(load, ends, [call.caller for call in plan.calls])
    callees = [call.callee for call in plan.calls]
    if scenario.callee_netns is None:
        _open_all(load, ends, callees)
    else:
        in_namespace(scenario.callee_netns, lambda: _open_all(load, ends, callees))
    return ends


def in_namespace(name: str, work: Callable[[], Result]) -> Result:
    """Do something in a network namespace, by its name or path: in a thread that ends there."""
    path = Path(name) if "/" in name else NAMED_NAMESPACES / name
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            _enter(path)
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=enter, name="namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ScenarioError("--callee-netns", f"{path} cannot be opened: {error.strerror}") from None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise ScenarioError("--callee-netns", f"{path} cannot be entered: {reason}")
    finally:
        os.close(handle)


def _open_all(load: _native.Load, ends: FarEnds, parties: list[Party]) -> None:
    for party in parties:
        address = party.address
        if address not in ends.rtp:
            ends.rtp[address] = _open(load, address)
            ends.rtcp[address] = _open(load, address.next_port)


def _open(load: _native.Load, address: Address) -> int:
    try:
        return load.open_socket(endpoint_of(address))
    except OSError as error:
        raise LoadError(f"the far end {address} cannot be opened: {error.strerror}; --port moves the ports") from None


def _stranger(load: _native.Load, plan: Plan) -> int:
    """Plain packets are forged by sending them from an address that the gateway was not told of."""
    scenario = plan.scenario
    suites = {scenario.caller_suite, scenario.callee_suite if scenario.two_way else scenario.caller_suite}
    if not scenario.forge or None not in suites:
        return -1
    return _open(load, Address(scenario.caller_address, 0))
