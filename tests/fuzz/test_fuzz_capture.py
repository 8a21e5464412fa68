"""Ten thousand mutated captures, and the driver itself: what it watches is noticed when it goes wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from fuzz.capture_mutation import is_pcapng, joined, parts_of, seeds
from fuzz.capture_readings import READINGS, Violation
from fuzz.fuzz_capture import Fuzzer, check_numbers, main, run
from native.captures import Packet, read
from support import campaign

FILES = 10_000


def test_mutated_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tenth of them; all under SRTPGW_FULL=1. Nothing is raised, and what comes out fits what went in."""
    report = tmp_path / "report"
    assert main(["--seed", "4", "--files", str(campaign(FILES)), "--report", str(report)]) == 0
    assert "all invariants hold" in capsys.readouterr().out
    assert not report.exists()


@pytest.mark.parametrize("through", READINGS)
def test_mutated_files_through_the_readings(through: str, tmp_path: Path) -> None:
    """Fewer of these, since the sanitizers have their turn with them."""
    report = tmp_path / "report"
    arguments = ["--seed", "6", "--files", str(campaign(FILES // 4)), "--report", str(report), "--through", through]
    assert main(arguments) == 0


def test_mutated_files_are_not_all_refused_at_once() -> None:
    """Enough of each comes through for the mutations to reach what is behind the formats."""
    fuzzer = Fuzzer(5, "reader", [])
    counters: dict[str, int] = {}
    whole = 0

    def count(octets: bytes, rng: random.Random) -> None:
        nonlocal whole
        found = read(octets)[1]
        whole += found["fault"] is None
        for name in found["counters"]:
            counters[name] = counters.get(name, 0) + 1

    fuzzer.try_one = count
    for _ in range(500):
        fuzzer.step(bytearray(1 << 17))
    assert 150 < whole < 490
    assert counters["packets"] > 300
    assert {"ip-malformed", "udp-malformed", "fragment-missing", "fragment-overlap", "reassembled", "cut"} <= set(
        counters
    )


def test_seeds_are_valid_and_come_apart() -> None:
    for octets in seeds():
        packets, found = read(octets)
        assert found["fault"] is None
        assert packets
        parts = parts_of(octets)
        assert len(parts) > found["frames"]
        assert joined(parts, right=True) == octets or not is_pcapng(octets)
        assert joined(parts, right=False) == octets


def test_a_violation_is_reported(tmp_path: Path) -> None:
    fuzzer = Fuzzer(2, "reader", [])
    tried: list[bytes] = []

    def fail(octets: bytes, rng: random.Random) -> None:
        tried.append(octets)
        if len(tried) == 3:
            raise Violation("broken")

    fuzzer.try_one = fail
    report = tmp_path / "report"
    assert run(fuzzer, 0, 10, report) == "Violation: broken"
    assert report.read_bytes() == tried[2]


def changed(packets: list[Packet], **fields: Any) -> list[Packet]:
    return [packets[0]._replace(**fields), *packets[1:]]


@pytest.mark.parametrize(
    ("field", "to", "fault"),
    [
        ("frame", 99, "frame numbers"),
        ("frame", 2, "frame numbers"),
        ("interface", 5, "an interface that is none"),
        ("payload", bytes(70000), "a payload that is too long"),
        ("wire_len", 9999, "1 packets cut"),
    ],
)
def test_wrong_packets_are_noticed(field: str, to: object, fault: str) -> None:
    octets = seeds()[0]
    packets, found = read(octets)
    check_numbers(octets, packets, found)
    with pytest.raises(Violation, match=fault):
        check_numbers(octets, changed(packets, **{field: to}), found)


@pytest.mark.parametrize(
    ("counters", "frames", "fault"),
    [
        ({"packets": 1}, None, "packets, "),
        ({"unheard-of": 1}, None, "a counter"),
        ({"not-ip": 100}, None, "frames, "),
        ({}, 100, "frames, "),
        ({}, 100_000, "100000 frames in"),
    ],
)
def test_wrong_counters_are_noticed(counters: dict[str, int], frames: int | None, fault: str) -> None:
    octets = seeds()[0]
    packets, found = read(octets)
    wrong = {**found, "counters": {**found["counters"], **counters}, "frames": frames or found["frames"]}
    with pytest.raises(Violation, match=fault):
        check_numbers(octets, packets, wrong)
