"""``srtpgw verify`` as a process: a gibioctet of 1,000 calls, every packet authenticated, keys in no order.

Its CPU time counts, that of all its threads: what it would take with one core for itself. Beside it tshark reads a
smaller capture of the same kind, and only lists the streams: it opens nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .captures import write_calls

CALLS = 1000
GIBIOCTET = 1 << 30
SHARED = 256 << 20  # octets that both read
READINGS = 3  # of which the quickest counts
DISK_SPARE = 2 * GIBIOCTET


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


def verify(capture: Path, keys: Path) -> Cost:
    program = [sys.executable, "-P", "-m", "srtpgw.cli"]
    command = [*program, "verify", str(capture), "--keys", str(keys), "--expect", "srtp", "--json"]
    found = min((cost(command) for _ in range(READINGS)), key=lambda each: each.cpu_s)
    report = json.loads(found.output)
    assert report["verdicts"]["AUTHENTICATED"] == 2 * CALLS, "not every stream was opened"
    return found


def tshark(capture: Path) -> Cost | None:
    program = shutil.which("tshark")
    if program is None:
        return None
    return cost([program, "-n", "-r", str(capture), "--enable-heuristic", "rtp_udp", "-q", "-z", "rtp,streams"])


@pytest.mark.parametrize("octets", [SHARED, GIBIOCTET])
def test_verify(rows: list[dict[str, Any]], tmp_path: Path, octets: int) -> None:
    if shutil.disk_usage(tmp_path).free < octets + DISK_SPARE:
        pytest.skip("not enough room on the disk")
    capture, keys, packets = write_calls(tmp_path, CALLS, octets)
    try:
        ours = verify(capture, keys)
        theirs = tshark(capture) if octets == SHARED else None
    finally:
        capture.unlink()
    row: dict[str, Any] = {
        "table": "verify",
        "mebioctets": octets >> 20,
        "packets": packets,
        "streams": 2 * CALLS,
        "keys": 2 * CALLS,
        "cpu_s": round(ours.cpu_s, 3),
        "wall_s": round(ours.wall_s, 3),
        "resident_mib_most": ours.resident_mib,
        "peer": theirs and {"what": "tshark -z rtp,streams", "cpu_s": theirs.cpu_s, "ratio": theirs.cpu_s / ours.cpu_s},
    }
    if octets == GIBIOCTET:
        row["gibioctet_s"] = row["cpu_s"]
    rows.append(row)
