"""Captures: the second reading, which authenticates and counts every packet. A core's time, with that of reading."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srtpgw import _native
from srtpgw.srtp import SUITES

from .captures import SUITE, headers, streams, write_calls

CALLS = 1000
OCTETS = 512 << 20
TURNS = 3
PCMU = {0: 8000}  # Hz
PORTS = 34  # octets of a frame before the UDP header
IP_SOURCE = 26

Known = list[tuple[int, int, int]]  # (key, rollover counter, sequence number)


def spent(capture: Path, run: Callable[[_native.CaptureReader], Any]) -> float:
    """Seconds of a core, system calls included."""
    begun = time.thread_time()
    reader = _native.CaptureReader()
    with capture.open("rb", buffering=0) as file:
        while True:
            space = reader.space()
            count = file.readinto(space)
            space.release()
            if not count:
                break
            reader.filled(count)
            run(reader)
    reader.finish()
    run(reader)
    return time.thread_time() - begun


def described(packets: int, known: Callable[[int, int], Known]) -> list[dict[str, Any]]:
    """The streams of the capture. `known`: keys by the stream's number and its first sequence number."""
    rows = []
    for number, stream in enumerate(streams(CALLS)):
        source, destination = stream.headers[IP_SOURCE : IP_SOURCE + 4], stream.headers[IP_SOURCE + 4 : PORTS]
        port = int.from_bytes(stream.headers[PORTS : PORTS + 2], "big")
        rows.append({
            "key": (0, 4, source, port, destination, port, stream.ssrc, False), "packets": packets,
            "keys": known(number, stream.sequence), "clock_rates": PCMU,
        })  # fmt: skip
    assert len(headers(1, 1, 1)) == PORTS + 8
    return rows


WAYS: dict[str, tuple[Callable[[int, int], Known], bool, str]] = {
    "authenticated": (lambda number, sequence: [(number, 0, sequence)], False, "examine"),
    "decrypted": (lambda number, sequence: [(number, 0, sequence)], True, ""),
    "failing under every key": (lambda number, sequence: [(number ^ 1, 0, sequence)], False, ""),
    "without keys": (lambda number, sequence: [], False, ""),
}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Any:
    capture, _, packets = write_calls(tmp_path_factory.mktemp("calls"), CALLS, OCTETS)
    yield capture, packets
    capture.unlink()


def test_reading_alone(rows: list[dict[str, Any]], calls: tuple[Path, int]) -> None:
    capture, packets = calls
    took = min(spent(capture, lambda reader: reader.skip()) for _ in range(TURNS))
    rows.append({"table": "capture", "what": f"{OCTETS >> 20} MiB read", "seconds": took, "packets": packets})


@pytest.mark.parametrize("way", WAYS)
def test_examining(rows: list[dict[str, Any]], calls: tuple[Path, int], way: str) -> None:
    known, decrypts, target = WAYS[way]
    capture, packets = calls
    number = list(SUITES).index(SUITE)
    keys = _native.TrialKeys([(number, stream.key, b"") for stream in streams(CALLS)])
    wanted = described(packets // (2 * CALLS), known)
    random.Random(2).shuffle(wanted)
    times = []
    for _ in range(TURNS):
        examiner = _native.Examiner(keys, wanted, _native.BlockWriter() if decrypts else None)
        times.append(spent(capture, examiner.run))
    counted = examiner.results()
    assert sum(each["packets"] for each in counted) == packets
    assert sum(each["authenticated"] for each in counted) == (packets if way in ("authenticated", "decrypted") else 0)
    rows.append({
        "table": "capture", "what": f"{OCTETS >> 20} MiB of {2 * CALLS:,} streams examined, {way}",
        "seconds": min(times), "packets": packets, "target": target,
    })  # fmt: skip
