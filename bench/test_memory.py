"""What encrypted sessions take: octets in the arenas by direction, and resident memory above an idle gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SESSIONS = 2000
DIRECTIONS = 4  # encrypted ones of a session: both legs, both ways
SECONDS = 100


@pytest.mark.parametrize("engine", ["memory", "socket"])
def test_memory(rows: list[dict[str, Any]], engine: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("footprint.py")), engine, str(SESSIONS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode and "open files" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["packets"] == 2 * SESSIONS, "not every packet came in"
    arenas: dict[str, int] = answer["arenas"]
    rows.append(
        {
            "table": "memory",
            "engine": engine,
            "sessions": SESSIONS,
            "octets_per_direction": round(sum(arenas.values()) / SESSIONS / DIRECTIONS),
            "arenas_per_direction": {
                name: round(all_ / SESSIONS / DIRECTIONS) for name, all_ in answer["arenas"].items()
            },
            "resident_mib": round(answer["resident"] / 2**20, 1),
        }
    )
