"""Prints nanoseconds per packet and the ratio of the providers at the end of a benchmark run."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from srtpgw.srtp import kernels


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "not a checkout"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)  # pytest-benchmark has no public way to its results
    rows: dict[str, dict[str, float]] = {}
    for result in session.benchmarks if session else ():
        info = result.extra_info
        if "packets" in info and result.stats is not None:
            rows.setdefault(info["row"], {})[info["provider"]] = result.stats.median / info["packets"] * 1e9
    if not rows:
        return
    write = terminalreporter.write_line
    terminalreporter.section("ns per packet, median")
    write(f"{processor()}, Linux {platform.release()}, Python {platform.python_version()}, commit {commit()}")
    write(f"{'kernel ' + kernels()['in_use']:52}{'native':>10}{'libsrtp':>10}{'libsrtp / native':>18}")
    for row, by in rows.items():
        native, peer = by.get("native"), by.get("libsrtp")
        figures = "".join(f"{value:10.0f}" if value else f"{'-':>10}" for value in (native, peer))
        write(f"{row:52}{figures}" + (f"{peer / native:18.2f}" if native and peer else ""))
