"""Rows of measurements as tables, against the targets, and as a file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from srtpgw import libsrtp
from srtpgw.srtp import kernels

from . import ipsec_mb
from .flows import CM, GCM
from .pairs import TURN_SECONDS, TURNS_LEAST, TURNS_MOST

Row = dict[str, Any]
Write = Callable[[str], None]

TABLES = {
    "kernels": "kernels alone",
    "contexts": "whole contexts, one loop for both providers",
    "relay": "the relay's ceiling, memory engine",
    "python": "Python API",
}
COLUMNS = (
    f"{'suite':24}{'operation':>14}{'octets':>7}{'keys':>7}{'batch':>6}"
    f"{'ns':>8}{'least':>8}{'cycles':>8}{'c/octet':>8}{'peer':>10}{'its ns':>8}{'ratio':>7}"
)


@dataclass(frozen=True)
class Target:
    """A figure to reach: the worst of the rows that it picks, against a limit."""

    what: str
    limit: float
    at_least: bool
    unit: str
    pick: Callable[[Row], float | None]

    def figure(self, rows: Iterable[Row]) -> float | None:
        found = [value for value in map(self.pick, rows) if value is not None]
        if not found:
            return None
        return min(found) if self.at_least else max(found)

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.at_least else figure <= self.limit


def ratio_of(table: str, peer: str, batches: tuple[int, ...], suite: str, payload: int = 160) -> Callable[[Row], Any]:
    """The ratio of rows with 500 flows that protect."""

    def pick(row: Row) -> float | None:
        wanted = (table, suite, payload, 500, "protect")
        if tuple(row.get(name) for name in ("table", "suite", "payload", "flows", "operation")) != wanted:
            return None
        return row["peers"][peer]["ratio"] if row["batch"] in batches and peer in row["peers"] else None

    return pick


def ceiling_of(flows: int) -> Callable[[Row], Any]:
    def pick(row: Row) -> float | None:
        wanted = ("relay", "RTP to SRTP", flows, CM)
        found = tuple(row.get(name) for name in ("table", "operation", "flows", "suite"))
        return row["median_ns"] if found == wanted else None

    return pick


def capture_seconds(target: str) -> Callable[[Row], Any]:
    return lambda row: row["seconds"] if row.get("target") == target else None


FULL = (16, 32, 64)


def faster(what: str, limit: float, pick: Callable[[Row], Any]) -> Target:
    return Target(what, limit, True, "x", pick)


def at_most(what: str, limit: float, unit: str, pick: Callable[[Row], Any]) -> Target:
    return Target(what, limit, False, unit, pick)


TARGETS = (
    faster(f"{CM}, batch 16 and more, to libsrtp", 5.0, ratio_of("contexts", "libsrtp", FULL, CM)),
    faster(f"{CM}, single, to libsrtp", 2.2, ratio_of("contexts", "libsrtp", (1,), CM)),
    faster(f"{CM}, batch 8 and 64, to ipsec-mb", 1.0, ratio_of("kernels", "ipsec-mb", (8, 64), CM)),
    faster(f"{GCM}, batch 16 and more, to libsrtp", 4.5, ratio_of("contexts", "libsrtp", FULL, GCM)),
    faster(f"{GCM}, 1200 octets, the same", 2.0, ratio_of("contexts", "libsrtp", FULL, GCM, 1200)),
    faster("protect_many in Python, 500 keys, to libsrtp", 3.0, ratio_of("python", "libsrtp", (500,), CM)),
    at_most("relay RTP to SRTP, 500 flows", 200.0, "ns", ceiling_of(500)),
    at_most("relay RTP to SRTP, 20,000 flows", 260.0, "ns", ceiling_of(20000)),
    at_most("native memory per encrypted direction", 4096.0, "octets", lambda row: row.get("octets_per_direction")),
    at_most("2,000 sessions above idle", 64.0, "MiB", lambda row: row.get("resident_mib")),
    at_most("capture: 2,000 keys to 2,000 streams in no order", 1.0, "s", capture_seconds("match")),
    at_most("capture: 512 MiB of 2,000 streams authenticated", 1.5, "s", capture_seconds("examine")),
    at_most("an operator command beside 10,000 extensions", 150.0, "ms", lambda row: row.get("command_ms")),
    at_most("srtpgw verify, 1 GiB of 1,000 calls", 8.0, "s", lambda row: row.get("gibioctet_s")),
)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown, as git is not installed"
    return answer.stdout.strip() or "not a checkout"


def circumstances(rows: list[Row]) -> Row:
    """Where and what was measured."""
    library = ipsec_mb.library()
    frequencies = [row["ghz"] for row in rows if "ghz" in row]
    return {
        "processor": processor(),
        "system": f"Linux {platform.release()}",
        "python": platform.python_version(),
        "commit": commit(),
        "tier": kernels()["in_use"],
        "libsrtp": libsrtp.status()["version"],
        "ipsec_mb": f"left out: {library} (it needs libipsec-mb-dev and gcc)"
        if isinstance(library, str)
        else library.version,
        "ghz": round(median(frequencies), 3) if frequencies else 0.0,
    }


def per_octet(row: Row, rows: list[Row]) -> float | None:
    """Cycles that an octet of payload adds: the slope from the shorter packets of the same row."""
    same = ("table", "suite", "operation", "flows", "batch")
    shorter = [each for each in rows if all(each.get(name) == row[name] for name in same)]
    shorter = [each for each in shorter if each["payload"] < row["payload"]]
    if not shorter:
        return None
    least = min(shorter, key=lambda each: each["payload"])
    return float((row["cycles"] - least["cycles"]) / (row["payload"] - least["payload"]))


def line(row: Row, rows: list[Row]) -> str:
    """A row of a table. A tilde behind it: for half of its turns or more the core was taken away."""
    slope = per_octet(row, rows)
    text = f"{row['suite']:24}{row['operation']:>14}{row['payload']:7}{row['flows']:7}{row['batch']:6}"
    text += f"{row['median_ns']:8.1f}{row['min_ns']:8.1f}{row['cycles']:8.0f}"
    text += f"{'-':>8}" if slope is None else f"{slope:8.2f}"
    for name, peer in row["peers"].items():
        note = f" {peer['note']}" if "note" in peer else ""
        text += f"{name:>10}{peer['median_ns']:8.1f}{peer['ratio']:7.2f}{note}"
    return text + (" ~" if 2 * row["disturbed"] >= row["turns"] else "")


def memory_line(row: Row) -> str:
    parts = ", ".join(f"{name} {octets}" for name, octets in row["arenas_per_direction"].items() if octets)
    return (
        f"engine {row['engine']:7}{row['sessions']} sessions: {row['octets_per_direction']} octets per encrypted"
        f" direction ({parts}); {row['resident_mib']} MiB resident above idle"
    )


def verify_line(row: Row) -> str:
    peer = row["peer"]
    text = f"{row['mebioctets']} MiB, {row['packets']:,} packets, {row['streams']:,} streams, {row['keys']:,} keys:"
    text += f" {row['cpu_s']:.2f} s of a core, {row['wall_s']:.2f} s in all, {row['resident_mib_most']} MiB at most"
    return text + (f"; {peer['what']}: {peer['ratio']:.1f} times as long" if peer else "")


def control_line(row: Row) -> str:
    """CPU time of the quickest turn, and the peers' of the same turns."""
    text = f"{row['what']:56}{row['cpu_ms']:9.3f} ms"
    peers = (f"{name} {peer['cpu_ms']:.2f} ms, ratio {peer['ratio']:.2f}" for name, peer in row["peers"].items())
    return "; ".join([text, *peers])


def write_tables(rows: list[Row], section: Write, write: Write) -> None:
    facts = circumstances(rows)
    section("measured")
    write(f"{facts['processor']} at {facts['ghz']:.2f} GHz, {facts['system']}, Python {facts['python']}")
    write(f"commit {facts['commit']}, kernel tier {facts['tier']}")
    write(f"libsrtp {facts['libsrtp']}, ipsec-mb {facts['ipsec_mb']}")
    write(
        "ns and cycles: median per packet; c/octet: from 160 octets on; ratio: the peer's time over ours, turn by turn"
    )
    for table, title in TABLES.items():
        chosen = [row for row in rows if row["table"] == table]
        if chosen:
            section(title)
            write(COLUMNS)
            for row in chosen:
                write(line(row, chosen))
    for table, told in (("memory", memory_line), ("verify", verify_line), ("control", control_line)):
        chosen = [row for row in rows if row["table"] == table]
        if chosen:
            section(table)
        for row in chosen:
            write(told(row))
    write_captures([row for row in rows if row["table"] == "capture"], section, write)
    write_targets(rows, section, write)


def write_captures(rows: list[Row], section: Write, write: Write) -> None:
    if rows:
        section("captures, the quickest turn")
    for row in rows:
        unit = next((unit for unit in ("trials", "packets") if row.get(unit)), None)
        each = f"{row['seconds'] / row[unit] * 1e9:8.1f} ns a {unit[:-1]}" if unit else ""
        write(f"{row['what']:76}{row['seconds']:9.4f} s{each}")


def write_targets(rows: list[Row], section: Write, write: Write) -> None:
    reached = [(target, figure) for target in TARGETS if (figure := target.figure(rows)) is not None]
    if reached:
        section("targets, the worst row of each")
    for target, figure in reached:
        bound = "at least" if target.at_least else "at most"
        verdict = "met" if target.met(figure) else "MISSED"
        write(f"{target.what:62}{figure:10.2f} {target.unit:8}{bound} {target.limit:g}: {verdict}")


def save(rows: list[Row], path: Path, selected: str) -> None:
    """Everything above as JSON, one row a line, so that two runs can be compared as text."""
    settings = {
        "selected": selected,
        "SRTPGW_KERNELS": os.environ.get("SRTPGW_KERNELS", ""),
        "seconds_per_test": TURN_SECONDS,
        "turns": [TURNS_LEAST, TURNS_MOST],
    }
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    head = circumstances(rows) | {"measured_at": now, "settings": settings}
    targets = [
        {"what": target.what, "figure": figure, "limit": target.limit, "unit": target.unit, "met": target.met(figure)}
        for target in TARGETS
        if (figure := target.figure(rows)) is not None
    ]
    parts = [f'"{name}": {json.dumps(value)}' for name, value in head.items()]
    for name, listed in (("targets", targets), ("rows", rows)):
        parts.append(f'"{name}": [\n' + ",\n".join(f"  {json.dumps(each)}" for each in listed) + "\n]")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
