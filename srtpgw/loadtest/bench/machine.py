"""The machine and the software of a run, as far as figures depend on them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Results are compared only where these are the same.
IDENTITY = ("processor", "cores", "kernel", "virtual", "mitigations")

CPU = Path("/sys/devices/system/cpu")


def machine() -> dict[str, Any]:
    """What it is; a part that cannot be read is None."""
    info = _read(Path("/proc/cpuinfo"))
    return {
        "processor": _field(info, "model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_allowed": sorted(os.sched_getaffinity(0)),
        "memory_mib": _number(_field(_read(Path("/proc/meminfo")), "MemTotal"), 1024),
        "kernel": platform.release(),
        "system": _field(_read(Path("/etc/os-release")).replace("=", ":"), "PRETTY_NAME", '"'),
        "virtual": _virtual(info),
        "mitigations": mitigations(CPU / "vulnerabilities", _read(Path("/proc/cmdline"))),
        "governor": _read(CPU / "cpu0/cpufreq/scaling_governor").strip() or None,
        "idle_driver": _read(CPU / "cpuidle/current_driver").strip() or None,
        "load_average": list(os.getloadavg()),
    }


def software() -> dict[str, Any]:
    """Versions: ours with its commit where it runs from a git tree, Python, the kernels in use."""
    from srtpgw.srtp import kernels

    found = kernels()
    return {
        "srtpgw": _version(),
        **commit(Path(__file__).resolve().parent),
        "python": sys.version.split()[0],
        "crypto_tier": found["in_use"],
        "libsrtp": found["libsrtp"].get("version"),
    }


def commit(folder: Path) -> dict[str, Any]:
    """The commit of the tree that ``folder`` is tracked in, and whether tracked files differ from it."""
    if not _git(folder, "ls-files", "--", "."):
        return {"commit": None, "changed": None}
    head = _git(folder, "rev-parse", "HEAD")
    return {"commit": head or None, "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def mitigations(folder: Path, command_line: str) -> str:
    """In one line: switched off altogether, or which are at work."""
    if "mitigations=off" in command_line.split():
        return "off"
    at_work = [
        entry.name
        for entry in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if _read(entry).startswith("Mitigation")
    ]
    return f"on: {', '.join(at_work)}" if at_work else "none at work"


def accounting() -> dict[str, Any]:
    """How precisely this kernel counts CPU time."""
    return {
        "idle": "exact, shown in hundredths of a second per core",
        "process": "exact (CPU clock of the process)",
        "user_system_softirq": "sampled at each tick" if not _precise() else "exact",
        "clock_ticks_per_second": os.sysconf("SC_CLK_TCK"),
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What makes two machines two, as sentences."""
    return [f"{name}: {one.get(name)} and {other.get(name)}" for name in IDENTITY if one.get(name) != other.get(name)]


def _precise() -> bool:
    """Whether the kernel accounts at each change of context, as far as its configuration can be read."""
    import gzip

    path = Path("/proc/config.gz")
    try:
        text = gzip.decompress(path.read_bytes()).decode() if path.exists() else ""
    except (OSError, EOFError):
        return False
    return "CONFIG_VIRT_CPU_ACCOUNTING_NATIVE=y" in text or "CONFIG_IRQ_TIME_ACCOUNTING=y" in text


def _virtual(cpuinfo: str) -> str:
    flags = _field(cpuinfo, "flags").split()
    if "hypervisor" not in flags:
        return "no"
    product = _read(Path("/sys/class/dmi/id/product_name")).strip()
    return f"yes ({product})" if product else "yes"


def _version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("srtpgw")
    except PackageNotFoundError:
        return None


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _field(text: str, name: str, quotes: str = "") -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip().strip(quotes)
    return ""


def _number(text: str, divisor: int) -> int | None:
    first = text.partition(" ")[0]
    return int(first) // divisor if first.isdigit() else None
