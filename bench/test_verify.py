"""``srtpgw verify`` as a process: a gibioctet of 1,000 calls, every packet authenticated, keys in no order.

Its CPU time counts, that of all its threads: what it would take with one core for itself. Beside it tshark reads a
smaller capture of the same kind, and only lists the streams: it opens nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from .captures import write_calls
from .cost import Cost, cost

CALLS = 1000
GIBIOCTET = 1 << 30
SHARED = 256 << 20  # octets that both read
READINGS = 3  # of which the quickest counts
DISK_SPARE = 2 * GIBIOCTET


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
