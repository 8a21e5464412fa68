"""The JSON of a benchmark: written after every run, so that an interrupted one is not lost; checked when read.

    {"format": "srtpgw-bench-1", "complete": bool, "started": ISO 8601, "seconds": N,
     "matrix": {...}, "settings": {...}, "machine": {...}, "software": {...}, "accounting": {...},
     "peers": [{"name", "title", "version", "settings": [...], "missing": reason or null}],
     "cases": [{"id", "direction", "suite", "payload", "family", "load": {...},
                "runs": {peer: [run, ...]}, "figures": {peer: {...}},
                "skipped": {peer: reason}, "limits": {peer: [trial, ...]}, "maximum": {peer: {...}}}]}

A run holds what was counted at its ``rate`` (packets per second): ``usage`` (seconds of all cores), ``processes``
(gateway, load, observer), ``threads`` of the load over ``threads_seconds``, ``offered``, ``relayed``, ``loss_ratio``,
``latency_us``, ``lateness_us``, the load's ``verdict`` and ``counters``, ``failure``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from srtpgw.loadtest.bench.errors import BenchError

FORMAT = "srtpgw-bench-1"
KEYS = ("format", "complete", "started", "matrix", "settings", "machine", "software", "peers", "cases")
CASE_KEYS = ("id", "direction", "suite", "payload", "family", "load", "runs", "figures", "skipped", "maximum")


def write(result: dict[str, Any], file: Path) -> None:
    """All of it or nothing: an interrupted write leaves the one before. Raises :class:`BenchError`."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        try:
            beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise BenchError(f"{file} cannot be written: {error.strerror}") from None


def check_writable(file: Path) -> None:
    """Raises :class:`BenchError` where a file cannot be made; one that is there stays as it is."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        beside.touch(exist_ok=False)
        beside.unlink()
    except OSError as error:
        raise BenchError(f"{file} cannot be written: {error.strerror}") from None


def read(file: Path) -> dict[str, Any]:
    """Raises :class:`BenchError` for what is not a result."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise BenchError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BenchError(f"{file} is not a result of `srtpgw bench run` (format {FORMAT})")
    missing = [key for key in KEYS if key not in found]
    if not missing:
        missing = [f"cases[].{key}" for key in CASE_KEYS if any(key not in case for case in found["cases"])]
    if missing:
        raise BenchError(f"{file} lacks {', '.join(missing)}")
    return found


def drops(result: dict[str, Any]) -> list[str]:
    """How the drop runs dropped; two ways in one result, or in two that are compared, subtract different things."""
    runs = (run for case in result["cases"] for run in case["runs"].get("drop", ()))
    return sorted({run["notes"]["drop"] for run in runs if run.get("notes", {}).get("drop")})


def titles(result: dict[str, Any]) -> dict[str, str]:
    """What peers are called, by name."""
    return {peer["name"]: peer["title"] for peer in result["peers"]}
