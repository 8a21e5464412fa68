"""What a program takes, as a whole process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple


class Cost(NamedTuple):
    cpu_s: float
    wall_s: float
    resident_mib: int
    output: bytes


def cost(command: Sequence[str]) -> Cost:
    """Of a process that ends by itself with status 0."""
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command}: {output[-500:]!r}"
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - start, used.ru_maxrss >> 10, output)
