"""From what was counted to what is reported. Values in, values out; the method is told in docs/benchmarking.md.

A run is a dict as :mod:`result` keeps it. Times are nanoseconds per packet unless a name says otherwise.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Run = Mapping[str, Any]
Row = Mapping[str, Any]
Summary = dict[str, float | int]

NANOSECONDS = 1e9
DISTURBED_SHARE = 0.05  # of all cores, taken by others or stolen: beyond it a run is told to be disturbed
GOOD, DISTURBED, VOID, FAULTY, FAILED = "good", "disturbed", "void", "faulty", "failed"
OUTCOMES = (GOOD, DISTURBED, VOID, FAULTY, FAILED)  # best first
PERCENTILES = ("p50", "p90", "p99", "p99_9")


def counted_seconds(run: Run) -> float | None:
    """CPU seconds of all cores in the window that have to do with packets: the gateway's, the generator's and sink's.

    Busy time less spinning, the observer and foreign processes. None when the load does not know its spinning.
    """
    threads = run["threads"]
    if not threads or any(thread["spin_ns"] is None for thread in threads):
        return None
    window = run["window_seconds"]
    scale = window / run["usage"]["seconds"]  # the readings are taken a little beside the window
    busy = (run["usage"]["busy"] - run["usage"]["foreign"] - run["processes"]["observer"]) * scale
    spin = sum(thread["spin_ns"] for thread in threads) / NANOSECONDS * window / run["threads_seconds"]
    return float(busy - spin)


def per_packet(seconds: float | None, packets: int) -> float | None:
    return None if seconds is None or packets <= 0 else float(seconds * NANOSECONDS / packets)


def cost(run: Run, drop: float | None) -> float | None:
    """Per relayed packet: what was counted less what the drop run takes for as many packets as were offered."""
    counted = counted_seconds(run)
    if counted is None or drop is None or run["relayed"] <= 0:
        return None
    return float((counted * NANOSECONDS - drop * run["offered"]) / run["relayed"])


def in_process(run: Run) -> float | None:
    """Per relayed packet: CPU of the gateway's own processes, softirq work in their context included."""
    if not run["gateway_pids"]:
        return None
    scale = run["window_seconds"] / run["usage"]["seconds"]
    return per_packet(run["processes"]["gateway"] * scale, run["relayed"])


def outcome(run: Run) -> str:
    """How far a run can be trusted. ``faulty``: packets came out that no gateway may let out."""
    if run["failure"]:
        return FAILED
    if run["verdict"] in {VOID, FAULTY}:
        return str(run["verdict"])
    usage = run["usage"]
    others = (usage["foreign"] + usage["steal"]) / (usage["seconds"] * usage["cores"])
    return DISTURBED if others > DISTURBED_SHARE else GOOD


def best(runs: Iterable[Run]) -> tuple[str, list[Run]]:
    """The runs that figures are taken from: the good ones, else the disturbed, else the void, else the faulty."""
    by_outcome: dict[str, list[Run]] = {name: [] for name in OUTCOMES}
    for run in runs:
        by_outcome[outcome(run)].append(run)
    for name in OUTCOMES[:-1]:
        if by_outcome[name]:
            return name, by_outcome[name]
    return FAILED, []


def summary(values: Iterable[float | None]) -> Summary | None:
    """Median, extremes and median absolute deviation of what is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    middle = statistics.median(known)
    deviation = statistics.median(abs(value - middle) for value in known)
    return {"median": middle, "min": min(known), "max": max(known), "mad": deviation, "count": len(known)}


def median_of(values: Iterable[float | None]) -> float | None:
    found = summary(values)
    return found["median"] if found else None


def case_figures(runs: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Any]]:
    """Figures of one case by peer, from the runs of every peer, ``drop`` and ``cable`` among them.

    In a saturation case every peer has a load of its own: it is compared with the baselines at that load.
    """
    return {peer: _peer_figures(peer, each, runs) for peer, each in runs.items()}


def _at(rate: int, runs: Sequence[Run]) -> list[Run]:
    return best(run for run in runs if run["rate"] == rate)[1]


def _peer_figures(peer: str, runs: Sequence[Run], everyone: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    rate = max(run["rate"] for run in runs)  # of the baselines the highest is shown
    quality, used = best(run for run in runs if run["rate"] == rate)
    drops = _at(rate, everyone.get("drop", ()))
    drop = median_of(per_packet(counted_seconds(run), run["offered"]) for run in drops)
    far_end = median_of(cost(run, drop) for run in _at(rate, everyone.get("cable", ())))
    costs = [cost(run, drop) for run in used]
    if peer == "drop":
        costs = [per_packet(counted_seconds(run), run["offered"]) for run in used]
    net = [None if value is None or far_end is None else value - far_end for value in costs]
    return {
        "quality": _quality(quality, runs, drops),
        "runs": len(used),
        "cost_ns": summary(costs),
        "net_ns": None if peer in {"drop", "cable"} else summary(net),
        "in_process_ns": summary(in_process(run) for run in used),
        "relayed_pps": summary(run["relayed"] / run["window_seconds"] for run in used),
        "offered_pps": summary(run["offered"] / run["window_seconds"] for run in used),
        "loss_ratio": None if peer == "drop" else summary(run["loss_ratio"] for run in used),
        "latency_us": _latencies(used),
        "steal_share": summary(_share(run, "steal") for run in used),
        "foreign_share": summary(_share(run, "foreign") for run in used),
    }


def _quality(quality: str, runs: Sequence[Run], drops: Sequence[Run]) -> str:
    """That of the runs that are used, unless a gateway was faulty in any, or what is subtracted was disturbed."""
    if any(outcome(run) == FAULTY for run in runs):
        return FAULTY
    return DISTURBED if quality == GOOD and any(outcome(run) == DISTURBED for run in drops) else quality


def _latencies(runs: Sequence[Run]) -> dict[str, Summary | None]:
    known = [run["latency_us"] for run in runs if run["latency_us"] and run["latency_us"].get("count")]
    return {name: summary(each.get(name) for each in known) for name in PERCENTILES}


def _share(run: Run, part: str) -> float:
    usage = run["usage"]
    return float(usage[part] / (usage["seconds"] * usage["cores"]))


def ratio(peer: Summary | None, ours: Summary | None) -> float | None:
    """How many times our cost the peer's is: above 1, ours is lower."""
    if not peer or not ours or ours["median"] <= 0:
        return None
    return peer["median"] / ours["median"]


def crypto_share(encrypted: Summary | None, plain: Summary | None) -> float | None:
    """The part of a cost that the same relay does not have where neither side is encrypted."""
    if not encrypted or not plain or encrypted["median"] <= 0:
        return None
    return min(1.0, max(0.0, 1 - plain["median"] / encrypted["median"]))
