"""Results of benchmarks for tests, from chosen costs: what the figures must come out as is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from srtpgw.loadtest.bench import figures
from srtpgw.loadtest.bench.result import FORMAT

DROP_NS = 1000.0  # CPU of the generator per packet that it sends
FAR_END_NS = 400.0  # softirq work at the far end per packet that arrives
SECONDS = 2.0
CORES = 2
SPIN = 0.5  # seconds
OBSERVER = 0.01


def run(
    cost_ns: float, *, offered: int = 100_000, relayed: int | None = None, foreign: float = 0.0, steal: float = 0.0,
    verdict: str = "passed", gateway: float | None = 0.1, latency: float = 50.0, failure: str | None = None,
    rate: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A run of a gateway that costs ``cost_ns`` per relayed packet, on top of the drop."""
    relayed = offered if relayed is None else relayed
    sending = (cost_ns * relayed + DROP_NS * offered) / 1e9 - (gateway or 0.0)
    threads = [{"role": "generator", "cpu_ns": int((sending + SPIN) * 1e9), "spin_ns": int(SPIN * 1e9)}]
    load = sending + SPIN
    busy = load + (gateway or 0.0) + OBSERVER + foreign
    usage = {"seconds": SECONDS, "cores": CORES, "busy": busy, "steal": steal, "user": 0.1, "system": 0.2, "irq": 0.0,
             "softirq": 0.1, "foreign": foreign}  # fmt: skip
    return {
        "window_seconds": SECONDS, "usage": usage, "threads": threads, "threads_seconds": SECONDS,
        "processes": {"gateway": gateway or 0.0, "observer": OBSERVER, "load": load},
        "gateway_pids": 0 if gateway is None else 1, "offered": offered, "relayed": relayed,
        "loss_ratio": 1 - relayed / offered,
        "latency_us": {"p50": latency, "p90": latency * 2, "p99": latency * 4, "p99_9": latency * 9, "count": relayed},
        "lateness_us": {"p99": 9.0}, "verdict": verdict, "reasons": [], "notes": {}, "failure": failure, "attempt": 0,
        "rate": rate or int(offered / SECONDS),
    }  # fmt: skip


def baselines(repeats: int = 3, offered: int = 100_000) -> dict[str, list[dict[str, Any]]]:
    """The cable and the drop."""
    return {
        "cable": [run(FAR_END_NS, gateway=None, latency=10, offered=offered) for _ in range(repeats)],
        "drop": [run(0, relayed=0, gateway=None, offered=offered) for _ in range(repeats)],
    }


def case(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], *, direction: str = "rtp-srtp", load: str = "50kpps",
    kind: str = "one-way", suite: str = "AES_CM_128_HMAC_SHA1_80",
) -> dict[str, Any]:  # fmt: skip
    return {
        "id": f"{direction}/{suite}/160/{load}", "direction": direction, "suite": suite, "payload": 160, "family": 4,
        "load": {"name": load, "kind": kind, "packets_per_second": 50_000, "flows": 500}, "runs": dict(runs),
        "figures": figures.case_figures(runs), "skipped": {}, "maximum": {},
    }  # fmt: skip


def result(cases: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """A whole result; ``changes`` replace top-level parts."""
    peers = dict.fromkeys(peer for each in cases for peer in (*each["runs"], *each["maximum"]))
    machine = {"processor": "Test CPU", "cores": CORES, "kernel": "6.1", "virtual": "no", "mitigations": "off"}
    software = {"srtpgw": "0.1.0", "commit": "0123456789abcdef", "changed": False, "crypto_tier": "generic",
                "python": "3.11"}  # fmt: skip
    return {
        "format": FORMAT, "complete": True, "started": "2026-01-01T00:00:00+00:00", "seconds": 60.0,
        "matrix": {"name": "quick", "repeats": 3, "duration": SECONDS}, "settings": {"seed": 1}, "machine": machine,
        "software": software, "accounting": {},
        "peers": [
            {"name": name, "title": f"peer {name}", "version": "1", "settings": ["--best"], "missing": None}
            for name in peers
        ],
        "cases": list(cases), **changes,
    }  # fmt: skip


def typical(ours: float = 4000.0, theirs: float = 8000.0, spread: float = 0.04) -> dict[str, Any]:
    """RTP to SRTP and RTP to RTP at two loads, three repeats each, with a peer, and a search."""
    cases = []
    for direction, part in (("rtp-srtp", 1.0), ("rtp-rtp", 0.8)):
        for load, offered, kind in (("50kpps", 100_000, "one-way"), ("saturation", 500_000, "saturation")):
            runs = baselines(offered=offered)
            for peer, cost in (("srtpgw-socket", ours), ("rtpengine", theirs)):
                values = (cost * part * factor for factor in (1 - spread / 2, 1.0, 1 + spread / 2))
                runs[peer] = [run(value, offered=offered, relayed=min(offered, 300_000)) for value in values]
            cases.append(case(runs, direction=direction, load=load, kind=kind))
    search = case({}, load="maximum", kind="maximum")
    for peer, pps in (("srtpgw-socket", 210_000), ("rtpengine", 130_000)):
        found = {"loss_limit": 0.0, "calls": pps // 50, "packets_per_second": pps, "limited_by": "loss"}
        search["maximum"][peer] = {"failure": None, "verdict": "found", "results": [found], "trials": []}
    return result([*cases, search])
