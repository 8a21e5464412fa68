"""The second reading under hostile captures: whatever comes, counts add up, and memory is bounded."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from native.examined import (
    CM80,
    ONE_KEY,
    SSRC,
    START_NS,
    Sent,
    capture,
    examine,
    paced,
    protected,
    rtp,
    run,
    sender_for,
    sender_report,
    stream,
    trial_keys,
)
from support import campaign

from srtpgw import _native
from srtpgw.srtp import SUITES

STREAMS_MOST = 65536


def sums_hold(result: dict[str, Any]) -> None:
    assert result["packets"] == result["authenticated"] + result["failed"] + result["unchecked"]
    assert result["packets"] == sum(result["payload_types"].values()) + result["other_payload_types"]
    assert result["encrypted"] <= result["authenticated"]
    assert sum(use["packets"] for use in result["key_uses"]) == result["authenticated"]
    assert result["lost"] >= 0
    if result["timeline"]:
        assert [sum(row[i] for row in result["timeline"]) for i in (1, 3, 4)] == [
            result["packets"], result["authenticated"], result["failed"],
        ]  # fmt: skip
    for name in ("failed", "replay", "conflict", "restart", "clear"):
        frames = result[f"{name}_frames"]
        assert len(frames) <= 8
        assert list(frames) == sorted(frames)


def test_a_stream_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        _native.Examiner(trial_keys(), [stream(), stream()])


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(IndexError, match="no key 1"):
        _native.Examiner(trial_keys(ONE_KEY), [stream(keys=[(1, 0, 0)])])


def test_too_many_streams_are_refused() -> None:
    with pytest.raises(ValueError, match="65536 streams"):
        _native.Examiner(trial_keys(), [stream()] * (STREAMS_MOST + 1))


@pytest.mark.parametrize(
    "key", [(), (0, 4, b"", 1, b"", 2, 3, False), (0, 5, bytes(4), 1, bytes(4), 2, 3, False), None]
)
def test_what_is_no_stream_key_is_refused(key: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        _native.Examiner(trial_keys(), [{"key": key, "keys": []}])


def test_no_streams_and_no_keys_are_fine() -> None:
    assert examine(paced(protected(range(3))), trial_keys(), []) == []


def test_more_candidates_than_lines_are_left_out() -> None:
    """The first forty that say something of their own."""
    seeds = range(1, 60)
    keys = trial_keys(*[(CM80, seed) for seed in seeds])
    packets = [octets for seed in seeds for octets in protected(range(seed * 2, seed * 2 + 2), sender_for(seed=seed))]
    rows = [(0, 0, i) for i in range(50)] + [(seed - 1, 0, seed * 2) for seed in seeds]
    result = examine(paced(packets), keys, [stream(keys=rows)])
    assert (result["authenticated"], result["failed"]) == (80, 38)
    assert [use["key"] for use in result["key_uses"]] == list(range(40))
    sums_hold(result)


def test_payload_types_beyond_eight_are_counted_together() -> None:
    result = examine(paced([rtp(i, kind=i % 20) for i in range(200)]), trial_keys(), [stream(clock_rates={19: 8000})])
    assert result["payload_types"] == dict.fromkeys([*range(7), 19], 10)
    assert result["other_payload_types"] == 120


def test_many_small_streams_take_little_memory() -> None:
    """8,000 of two packets each: features and timelines are for those that have more."""
    count = 8000
    packets = [Sent(START_NS + i, rtp(i // count, ssrc=i % count, payload=b"x")) for i in range(2 * count)]
    octets = capture(packets)
    rows = [stream(ssrc, packets=2) for ssrc in range(count)]
    keys = trial_keys()
    before = resident()
    examiner = _native.Examiner(keys, rows)
    run(examiner, octets)
    assert resident() - before < count * 2560
    assert {result["packets"] for result in examiner.results()} == {2}


def resident() -> int:
    """Octets of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def test_plaintext_tests_have_a_limit_and_what_it_leaves_out_is_counted() -> None:
    """Room for the features of three parts of streams, about 16 KB each."""
    packets = [Sent(START_NS + i, rtp(i, ssrc=i % 10, payload=b"x")) for i in range(100)]
    rows = [stream(ssrc, packets=1000) for ssrc in range(10)]
    examiner = _native.Examiner(trial_keys(), rows, test_octets=60_000)
    run(examiner, capture(packets))
    assert examiner.untested == 70
    assert [result["features"]["packets"] for result in examiner.results()] == [10] * 3 + [0] * 7


def mutated(chance: random.Random, packets: list[bytes]) -> bytes:
    octets = bytearray(chance.choice(packets))
    for _ in range(chance.choice([0, 0, 0, 1, 1, 3])):
        at = chance.randrange(len(octets)) if octets else 0
        match chance.randrange(4):
            case 0 if octets:
                octets[at] = chance.randrange(256)
            case 1:
                del octets[at:]
            case 2:
                octets[at:at] = chance.randbytes(chance.randrange(30))
            case _ if octets:
                octets[chance.randrange(4) % len(octets)] ^= 1 << chance.randrange(8)
    return bytes(octets)


def any_stream(chance: random.Random, rtcp: bool, keys: int) -> dict[str, Any]:
    candidates = [
        (chance.randrange(keys), chance.choice([None, 0, 5, (1 << 32) - 1]), chance.choice([None, 0, 65535]))
        for _ in range(chance.choice([0, 1, 9]))
    ]
    rate = chance.choice([0, 8000, 1 << 30])
    return stream(rtcp=rtcp, packets=chance.choice([1, 10, 600]), clock_rates={8: rate}, keys=candidates)


def test_mutated_packets_in_any_order() -> None:
    """Streams with all suites, right and wrong keys and numbers, with a writer and without."""
    chance = random.Random(99)
    suites = list(SUITES)
    keys = trial_keys(*[(suite, 1) for suite in suites], *[(suite, 2, b"\1") for suite in suites])
    for _ in range(campaign(300)):
        suite, mki = chance.randrange(len(suites)), chance.choice([b"", b"\1"])
        sender = sender_for(suites[suite], 2 if mki else 1, mki=mki, roc=chance.choice([0, 5]))
        media = [sender.protect(rtp(i, payload=chance.randbytes(chance.randrange(60)))) for i in range(65500, 65580)]
        media += [sender.protect_rtcp(sender_report(i)) for i in range(20)] + [
            chance.randbytes(40),
            b"\x80",
            b"\x80\xc8",
        ]
        packets = [
            Sent(chance.choice([START_NS + i * 1000, chance.randrange(1 << 60)]), mutated(chance, media), cut=cut)
            for i in range(600) for cut in [chance.choice([0] * 20 + [5])]
        ]  # fmt: skip
        rows = [any_stream(chance, rtcp, len(keys)) for rtcp in (False, True)]
        rows[0]["keys"].insert(0, (suite + len(suites) * bool(mki), 5, 65500))
        readings = []
        for writer in (None, _native.BlockWriter()):
            examiner = _native.Examiner(keys, rows, writer, reuse=[0, 1])
            run(examiner, capture(packets))
            readings.append(examiner.results())
        assert readings[0] == readings[1]
        for result in readings[0]:
            sums_hold(result)


def test_the_histogram_is_of_the_payload_as_captured() -> None:
    packets = protected(range(200))
    keyed = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)], packets=200)])
    assert keyed["features"] == _native.payload_features([packet[12:-10] for packet in packets])
    assert keyed["histogram"] == keyed["features"]["octets"]
    parts = examine(paced(packets), trial_keys(), [stream(packets=200)])
    whole = _native.payload_features([packet[12:] for packet in packets])
    for name in ("packets", "looked", "octets", "short", "long"):
        assert parts["features"][name] == whole[name]
    # the tail of the first packet of a part is held against nothing, and its steps are left out
    assert 0 <= whole["steps"][0] - parts["features"]["steps"][0] <= 4 * 144
    assert parts["key"][6] == SSRC
