"""Small runs for tests: ports that are free, and a generator that may be late on a busy machine."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from srtpgw.loadtest.scenario import Scenario
from srtpgw.loadtest.targets import TargetSettings

FAR_ENDS = (10_000, 20_000)  # below the ports that the system gives to others, and apart
GATEWAYS = (20_000, 32_000)
LATE = 1_000_000.0  # microseconds: no test fails because of another process
SRTP = "AES_CM_128_HMAC_SHA1_80"


def free_block(count: int, host: str = "127.0.0.1", bounds: tuple[int, int] = GATEWAYS) -> int:
    """The first of so many free ports in a row, an even one."""
    for _ in range(1000):
        first = random.randrange(bounds[0], bounds[1] - count, 2)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)).bind((host, port))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {count} free ports in a row at {host}")


def small(**changes: Any) -> Scenario:
    """A few calls for half a second, all packets checked."""
    host = changes.get("caller_address", "127.0.0.1")
    scenario = Scenario(calls=3, duration=0.5, warm_up=0.1, drain=0.5, rtcp=0.1, lateness_limit=LATE)
    return replace(scenario, **{"port": free_block(16, host, FAR_ENDS), **changes})


def through(kind: str, calls: int = 3, **changes: Any) -> TargetSettings:
    """A target at free ports."""
    port = free_block(4 * calls, changes.get("address", "127.0.0.1"))
    return TargetSettings(kind=kind, port=port, callee_port=port + 2, **changes)  # type: ignore[arg-type]
