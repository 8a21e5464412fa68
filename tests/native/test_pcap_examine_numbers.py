"""What the numbers of a stream tell: packets doubled, replayed, begun anew; keystream used twice; jitter; timeline."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from native.examined import (
    CM32,
    CM80,
    GCM,
    NULL80,
    ONE_KEY,
    SSRC,
    START_NS,
    STEP_NS,
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

from srtpgw import _native

NUMBERS = ("lost", "reordered", "duplicates", "replays", "conflicts", "restarts")


def numbers(result: dict[str, Any], **expected: int) -> None:
    """All that is not named is 0."""
    assert {name: result[name] for name in NUMBERS} == dict.fromkeys(NUMBERS, 0) | expected


def with_and_without_key(packets: list[Sent]) -> list[dict[str, Any]]:
    rows: list[list[tuple[Any, ...]]] = [[(0, 0, 0)], []]
    return [examine(packets, trial_keys(ONE_KEY), [stream(keys=row, packets=len(packets))]) for row in rows]


def test_a_packet_that_comes_twice_at_once_is_a_duplicate() -> None:
    packets = paced([octets for i, octets in enumerate(protected(range(500))) for _ in range(1 + (i % 50 == 7))])
    for result in with_and_without_key(packets):
        numbers(result, duplicates=10)
        assert result["features"]["packets"] == 500


def test_the_same_packet_later_is_a_replay() -> None:
    """64 packets later it is the network's still, 65 later no more."""
    octets = protected(range(500))
    for result in with_and_without_key(paced(octets[:101] + octets[36:37] + octets[101:201], step_ns=5_000_000)):
        numbers(result, duplicates=1)
    for result in with_and_without_key(paced(octets[:101] + octets[35:36] + octets[101:201], step_ns=5_000_000)):
        numbers(result, replays=1)
        assert result["replay_frames"] == (102,)


def test_the_same_packet_after_a_second_is_a_replay() -> None:
    packets = paced(protected(range(10)), step_ns=50_000_000)
    late = packets[5]._replace(time_ns=packets[5].time_ns + 1_002_000_000)
    for result in with_and_without_key([*packets, late]):
        numbers(result, replays=1)
    soon = packets[5]._replace(time_ns=packets[5].time_ns + 990_000_000)
    for result in with_and_without_key([*packets, soon]):
        numbers(result, duplicates=1)


def test_a_recording_played_back_is_replays() -> None:
    """A second of packets from far behind, between those that go on: the stream's own count is not moved."""
    octets = protected(range(65000, 69000))
    mixed = [packet for pair in zip(octets[3900:3950], octets[100:150], strict=True) for packet in pair]
    result = examine(paced(octets[:3900] + mixed), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65000)])])
    numbers(result, replays=50)
    assert result["authenticated"] == 4000
    assert result["rewound"]
    assert result["roc"] == (0, 1)


@pytest.mark.parametrize("suite", [CM80, CM32, GCM])
def test_keystream_used_twice_under_one_index(suite: str) -> None:
    """The same number, other octets: within a stream it shows at once."""
    first, again = (protected(range(300), sender_for(suite), payload=bytes([fill]) * 80) for fill in (1, 2))
    packets = paced([*first[:200], *again[150:153], *first[200:]])
    result = examine(packets, trial_keys((suite, 1)), [stream(keys=[(0, 0, 0)])])
    numbers(result, conflicts=3)
    assert result["conflict_frames"] == (201, 202, 203)
    assert result["authenticated"] == 303


def test_a_source_that_began_anew() -> None:
    """Without a key another line of numbers, as RFC 3550 A.1 has it; single strays begin none."""
    octets = [rtp(i) for i in [*range(100), 9000, *range(100, 150), *range(20000, 20100)]]
    result = examine(paced(octets), trial_keys(), [stream()])
    numbers(result, restarts=1)
    assert result["restart_frames"] == (100 + 1 + 50 + 4,)
    assert not result["rewound"]


def test_a_source_that_began_anew_under_its_key_is_rewound() -> None:
    """Its rollover counter begins at zero again: only another reading tells whether keystream was used twice."""
    packets = paced(protected(range(65000, 68000)) + protected(range(65000, 65500), payload=b"other" * 20))
    result = examine(packets, trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65000)])])
    numbers(result, restarts=1)
    assert result["authenticated"] == 3500
    assert result["rewound"]
    again = _native.Examiner(trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65000)])], reuse=[0])
    run(again, capture(packets))
    (group,) = again.reuse()
    assert group["streams"] == (0,)
    assert (group["reused"], group["copies"], group["unchecked"]) == (500, 0, 0)
    assert group["frames"][:2] == [(1, 3001), (2, 3002)]


def test_two_streams_of_one_key_and_ssrc_use_keystream_twice() -> None:
    """Two calls that share a key: other octets under the same indices. Another SSRC shares none."""
    calls = [protected(range(100 * i, 100 * i + 300), payload=bytes([i]) * 50) for i in range(3)]
    stranger = protected(range(300), ssrc=77)
    packets = [packet for i, call in enumerate(calls) for packet in paced(call, destination_port=5000 + 2 * i)]
    packets += paced(stranger, destination_port=5010)
    rows = [stream(keys=[(0, 0, 0)], port=5000 + 2 * i) for i in range(3)] + [stream(77, [(0, 0, 0)], port=5010)]
    examiner = _native.Examiner(trial_keys((CM80, 1), (NULL80, 1)), rows)
    run(examiner, capture(packets))
    (group,) = examiner.reuse()
    assert group["streams"] == (0, 1, 2)
    assert group["reused"] == 200 + 200
    assert group["frames"][0] == (101, 301)
    assert len(group["frames"]) == 8


def test_the_same_octets_elsewhere_are_copies() -> None:
    """A capture on two interfaces, RTP and RTCP; and the same master key under two tag lengths is one keystream."""
    media, control = protected(range(200)), [sender_for().protect_rtcp(sender_report(1))]
    short = protected(range(200), sender_for(CM32))
    packets = [packet for port in (5000, 5002) for packet in paced(media + control, destination_port=port)]
    packets += paced(short, destination_port=5004)
    rows = [stream(keys=[(0, 0, 0)], port=port) for port in (5000, 5002)]
    rows += [stream(keys=[(0,)], port=port, rtcp=True) for port in (5000, 5002)]
    rows += [stream(keys=[(1, 0, 0)], port=5004)]
    examiner = _native.Examiner(trial_keys((CM80, 1), (CM32, 1)), rows)
    run(examiner, capture(packets))
    found = {group["streams"]: (group["reused"], group["copies"]) for group in examiner.reuse()}
    assert found == {(0, 1, 4): (200, 200), (2, 3): (0, 1)}


def test_null_ciphers_have_no_keystream() -> None:
    packets = [packet for i in range(2) for packet in paced(
        protected(range(50), sender_for(NULL80), payload=bytes([i]) * 9), destination_port=5000 + i
    )]  # fmt: skip
    rows = [stream(keys=[(0, 0, 0)], port=5000 + i) for i in range(2)]
    examiner = _native.Examiner(trial_keys((NULL80, 1)), rows, reuse=[0])
    run(examiner, capture(packets))
    assert examiner.reuse() == []


def jitter_of(packets: list[Sent], rates: dict[int, int]) -> tuple[float, float]:
    """RFC 3550 A.8 in timestamp units, as the RFC has it: mean and highest, in ms."""
    value, values, before = 0.0, [], None
    for packet in packets:
        rate = rates[packet.payload[1] & 0x7F]
        transit = packet.time_ns * rate / 1e9 - int.from_bytes(packet.payload[4:8], "big")
        if before is not None:
            value += (abs(transit - before) - value) / 16
            values.append(1e3 * value / rate)
        before = transit
    return sum(values) / len(values), max(values)


def test_jitter_as_rfc_3550_has_it() -> None:
    chance = random.Random(8)
    octets = protected(range(3000), kind=0, payload=bytes(20))
    packets = sorted(packet._replace(time_ns=packet.time_ns + chance.randrange(30_000_000)) for packet in paced(octets))
    result = examine(packets, trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)], clock_rates={0: 8000, 101: 8000})])
    mean, highest = jitter_of(packets, {0: 8000})
    assert 5 < mean < 15
    assert result["jitter_ms"] == pytest.approx(mean, rel=1e-4)
    assert result["jitter_max_ms"] == pytest.approx(highest, rel=1e-4)


def test_no_jitter_without_a_clock_rate_nor_over_a_restart() -> None:
    result = examine(paced([rtp(i) for i in range(50)]), trial_keys(), [stream(clock_rates={3: 8000})])
    assert (result["jitter_ms"], result["jitter_max_ms"]) == (None, None)
    octets = [rtp(i) for i in [*range(50), *range(30000, 30050)]]
    result = examine(paced(octets), trial_keys(), [stream(clock_rates={8: 8000})])
    assert result["restarts"] == 1
    assert result["jitter_max_ms"] == 0.0


def test_events_are_left_out_of_the_jitter() -> None:
    """Their payload type has no clock rate here: what comes before and after is compared with nothing in between."""
    octets = [rtp(i, kind=101 if 20 <= i < 30 else 8, step=160 if not 20 <= i < 30 else 0) for i in range(60)]
    result = examine(paced(octets), trial_keys(), [stream(clock_rates={8: 8000})])
    assert result["jitter_max_ms"] == 0.0
    assert result["payload_types"] == {8: 50, 101: 10}


def test_the_timeline_holds_every_packet() -> None:
    """A stream of two hours in at most 120 bins, of a length that fits."""
    packets = paced(protected(range(3600), payload=b""), step_ns=2_000_000_000)
    del packets[1000:1100]
    result = examine(packets, trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])])
    rows = result["timeline"]
    assert 60 <= len(rows) <= 120
    assert rows[0][0] == START_NS
    assert [sum(row[i] for row in rows) for i in range(1, 6)] == [3500, 100, 3500, 0, 0]
    width = rows[1][0] - rows[0][0]
    assert all(later[0] - row[0] == width for row, later in pairwise(rows))
    (gap,) = [row for row in rows if row[2]]
    assert gap[0] <= packets[1000].time_ns < gap[0] + width


def test_times_that_go_back_or_far_ahead_are_harmless() -> None:
    octets = protected(range(40))
    times = [START_NS, 0, START_NS + (1 << 61), 1, START_NS] * 8
    packets = [Sent(time_ns % (1 << 62), packet) for time_ns, packet in zip(times, octets, strict=True)]
    result = examine(packets, trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)], clock_rates={8: 8000})])
    assert result["authenticated"] == sum(row[1] for row in result["timeline"]) == 40


def test_short_streams_have_rings_too_and_no_timeline() -> None:
    octets = protected(range(6))
    result = examine(paced([*octets, octets[2]]), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)], packets=7)])
    numbers(result, duplicates=1)
    assert result["timeline"] == []
    assert result["features"]["packets"] == 0


def test_the_last_frame_and_time_are_told() -> None:
    result = examine(paced(protected(range(5))), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])])
    assert (result["first_frame"], result["last_frame"]) == (1, 5)
    assert (result["first_ns"], result["last_ns"]) == (START_NS, START_NS + 4 * STEP_NS)
    assert result["key"][6] == SSRC
