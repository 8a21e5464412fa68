"""Captures: keys matched to streams in no order, and the search for a rollover counter in mid-call."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from srtpgw import _native
from srtpgw.srtp import SUITES, Sender

from .flows import CM, GCM

STREAMS = 2000
SAMPLES = 8  # packets of each stream that keys are tried on
PAYLOAD = 160  # octets: 20 ms of G.711
TURNS = 5
ROC_END = 1 << 16

Stream = tuple[bool, list[bytes]]


def made(suite: str, count: int, roc: int = 0) -> tuple[list[Stream], list[tuple[int, bytes, bytes]]]:
    """Streams, and their keys in the same order."""
    rng = random.Random(suite)
    number = list(SUITES).index(suite)
    keys = [rng.randbytes(SUITES[suite].key_length + SUITES[suite].salt_length) for _ in range(count)]
    streams = []
    for ssrc, key in enumerate(keys):
        sender, first = Sender(suite, key, roc=roc), rng.randrange(60000)
        heads = [b"\x80\0" + (first + place).to_bytes(2, "big") + bytes(4) for place in range(SAMPLES)]
        packets = [head + ssrc.to_bytes(4, "big") + rng.randbytes(PAYLOAD) for head in heads]
        streams.append((False, [sender.protect(packet) for packet in packets]))
    return streams, [(number, key, b"") for key in keys]


def seconds(work: Callable[[], Any]) -> float:
    """Of the quickest of several turns: whatever disturbs a shared machine only adds."""
    best = float("inf")
    for _ in range(TURNS):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


@pytest.mark.parametrize("suite", [CM, GCM])
def test_keys_in_no_order(rows: list[dict[str, Any]], suite: str) -> None:
    """What takes the keys' octets and gives the matches, so with the derivation of session keys."""
    streams, keys = made(suite, STREAMS)
    random.Random(1).shuffle(keys)
    hints: list[list[int]] = [[] for _ in streams]

    def match() -> tuple[list[Any], dict[str, Any]]:
        return _native.find_keys(streams, _native.TrialKeys(keys), hints, roc_budget=0)

    found, told = match()
    assert len(found) == STREAMS * SAMPLES
    took = seconds(match)
    rows.append({
        "table": "capture", "what": f"{STREAMS:,} keys to as many streams in no order, {suite}", "seconds": took,
        "trials": told["trials"], "target": "match",
    })  # fmt: skip


@pytest.mark.parametrize("suite", [CM, GCM])
def test_a_rollover_counter(rows: list[dict[str, Any]], suite: str) -> None:
    streams, keys = made(suite, 1, ROC_END - 1)

    def search() -> tuple[list[Any], dict[str, Any]]:
        return _native.find_keys(streams, _native.TrialKeys(keys), [[0]], roc_budget=2 * ROC_END)

    found, told = search()
    assert [match[2] for match in found] == [ROC_END - 1] * SAMPLES
    took = seconds(search)
    rows.append({
        "table": "capture", "what": f"all {ROC_END:,} rollover counters of a stream, {suite}", "seconds": took,
        "trials": told["trials"], "target": "search",
    })  # fmt: skip
