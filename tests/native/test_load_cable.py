"""Generator and sink without anything between: the sink finds what the generator did, packet for packet."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import pytest
from native.cable import INTERVAL, MS, PAYLOAD, SUITE, Cable, numbers

from srtpgw import _native
from srtpgw.media import Address
from srtpgw.media.endpoint import endpoint_of
from srtpgw.srtp import SUITES

GOOD = (
    "planned", "sent", "sent_octets", "warmup_sent", "rtcp_sent", "received", "received_octets", "warmup_received",
    "verified", "rtcp_received",
)  # fmt: skip
MASK = (1 << 64) - 1


def faults(counted: dict[str, int], *expected: str) -> dict[str, int]:
    """What is counted beside what a good run counts."""
    return {name: count for name, count in counted.items() if count and name not in (*GOOD, *expected)}


# --- the model of what is done on purpose


def mix64(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def fate(seed: int, ssrc: int, number: int, shares: Sequence[float]) -> tuple[bool, bool, bool, bool]:
    """(lost, twice, late, forged) of a packet."""
    stream = mix64((seed ^ 0x6C6F7373) + ssrc * 0xD1342543DE82EF95 & MASK)
    one = mix64(stream + number * 0x9E3779B97F4A7C15 & MASK)
    two = mix64(one + 1 & MASK)
    draws = (one >> 32, one & 0xFFFFFFFF, two >> 32, two & 0xFFFFFFFF)
    lost, twice, late, forged = (draw < round(share * 2**32) for draw, share in zip(draws, shares, strict=True))
    return (True, False, False, False) if lost else (False, twice, late, forged)


# --- good runs


@pytest.mark.parametrize("suite", [None, *SUITES])
def test_everything_sent_arrives_and_is_verified(suite: str | None) -> None:
    with Cable() as cable:
        for _ in range(20):
            cable.stream(suite, rtcp_interval_ns=50 * MS, rtcp_phase_ns=cable.random.randrange(50 * MS))
        counted = cable.run(100, warmup_ns=20 * INTERVAL)
        assert faults(counted) == {}
        assert counted["planned"] == counted["sent"] == counted["received"] == 2000
        assert counted["warmup_sent"] == counted["warmup_received"] == 400
        assert counted["verified"] == 2000
        assert counted["rtcp_sent"] == counted["rtcp_received"] >= 80
        assert counted["sent_octets"] == counted["received_octets"]
        overhead = SUITES[suite].rtp_tag_length if suite else 0
        assert counted["sent_octets"] == 2000 * (12 + PAYLOAD + overhead)


def test_two_threads_count_the_same() -> None:
    with Cable() as cable:
        for _ in range(20):
            cable.stream(SUITE)
        counted = cable.run(100, sink_cpu=-1)
        assert faults(counted) == {}
        assert counted["received"] == counted["verified"] == 2000


@pytest.mark.parametrize("payload", [1, 7, 8, 9, 16, 17, 1460])
def test_payloads_of_any_length_are_held_against_what_was_sent(payload: int) -> None:
    with Cable() as cable:
        cable.stream(SUITE, payload_octets=payload)
        cable.stream(None, payload_octets=payload)
        counted = cable.run(30)
        assert faults(counted) == {}
        assert counted["verified"] == 60


def test_ipv6() -> None:
    with Cable(host="::1") as cable:
        cable.stream(SUITE, rtcp_interval_ns=20 * MS)
        counted = cable.run(20)
        assert faults(counted) == {}
        assert counted["verified"] == 20
        assert counted["rtcp_received"] == 2


def test_many_sockets() -> None:
    """More than are asked in turn: those that epoll names."""
    local = endpoint_of(Address("127.0.0.1", 0))
    with Cable() as cable:
        sockets = [cable.load.open_socket(local) for _ in range(40)]
        for i in range(0, 40, 2):
            ends = {"socket": sockets[i], "source": cable.load.socket_endpoint(sockets[i])}
            there = {"sink_socket": sockets[i + 1], "destination": cable.load.socket_endpoint(sockets[i + 1])}
            cable.stream(SUITE, **ends, **there)
        counted = cable.run(50)
        assert faults(counted) == {}
        assert counted["verified"] == 1000


def test_different_intervals_and_codecs() -> None:
    with Cable() as cable:
        shapes = [(1 * MS, 80), (2 * MS, 160), (3 * MS, 33), (5 * MS, 1200)]
        for interval, octets in shapes:
            cable.stream(SUITE, interval_ns=interval, phase_ns=interval // 2, payload_octets=octets)
        counted = cable.run(duration_ns=300 * MS)
        assert faults(counted) == {}
        assert numbers(cable.load.streams()["sent"]) == [300, 150, 100, 60]
        assert numbers(cable.load.streams()["received"]) == [300, 150, 100, 60]


def test_a_burst_of_packets_due_at_once_leaves_whole() -> None:
    with Cable() as cable:
        for _ in range(300):
            cable.stream(None, phase_ns=0)
        counted = cable.run(10)
        assert faults(counted) == {}
        assert counted["received"] == 3000


def test_sequence_numbers_and_timestamps_wrap() -> None:
    with Cable() as cable:
        cable.stream(SUITE, first_sequence=0xFFF0, first_timestamp=0xFFFFFF00)
        cable.stream(None, first_sequence=0xFFF0, first_timestamp=0xFFFFFF00)
        counted = cable.run(40)
        assert faults(counted) == {}
        assert counted["verified"] == 80


def test_a_sample_is_verified_and_all_is_counted() -> None:
    with Cable() as cable:
        for _ in range(10):
            cable.stream(SUITE)
        counted = cable.run(200, sample=4)
        assert faults(counted) == {}
        assert counted["received"] == 2000
        assert 300 <= counted["verified"] <= 700


# --- on purpose


@pytest.mark.parametrize("suite", [None, SUITE])
@pytest.mark.parametrize("sample", [1, 8])
def test_what_is_done_on_purpose_is_exactly_what_the_sink_finds(suite: str | None, sample: int) -> None:
    shares = (0.05, 0.04, 0.03, 0.02)
    seed, packets = 77, 300
    with Cable(seed) as cable:
        ssrcs = [0x10000 + i for i in range(8)]
        for ssrc in ssrcs:
            cable.stream(suite, ssrc=ssrc)
        stranger = cable.load.open_socket(endpoint_of(Address("127.0.0.1", 0)))
        loss, duplicate, reorder, forge = shares
        cable.load.impair(loss=loss, duplicate=duplicate, reorder=reorder, forge=forge, stranger=stranger)
        counted = cable.run(packets, sample=sample)
    fates = [[fate(seed, ssrc, n, shares) for n in range(packets)] for ssrc in ssrcs]
    lost, twice, late, forged = (sum(f[i] for stream in fates for f in stream) for i in range(4))
    behind = sum(
        any(not lost and not late for lost, _, late, _ in stream[n + 1 : n + 2]) for stream in fates
        for n in range(packets) if stream[n][2]
    )  # fmt: skip
    assert counted["planned"] == packets * len(ssrcs)
    assert counted["withheld"] == lost > 0
    assert counted["sent"] == counted["received"] == packets * len(ssrcs) - lost
    assert counted["duplicated"] == counted["duplicates"] == twice > 0
    assert counted["delayed"] == late > 0
    assert counted["reordered"] == behind > 0
    assert counted["forged"] == forged > 0
    # of a plain stream they come from an address that is not the stream's
    assert counted["forged_received"] + counted["wrong_source"] + counted["unknown_ssrc"] == forged
    assert counted["forged_received"] == forged if suite else counted["wrong_source"] > 0
    known = ("withheld", "duplicated", "duplicates", "delayed", "reordered", "forged", "forged_received")
    assert faults(counted, *known, "wrong_source", "unknown_ssrc") == {}


def test_every_packet_may_have_both_copies() -> None:
    """Three datagrams for each: the queue of what is made ahead fills three times as fast."""
    with Cable() as cable:
        for _ in range(50):
            cable.stream(SUITE)
        cable.load.impair(duplicate=1.0, forge=1.0)
        counted = cable.run(50)
        assert faults(counted, "duplicated", "duplicates", "forged", "forged_received") == {}
        assert {counted[name] for name in ("verified", "duplicates", "forged_received", "forged")} == {2500}


def test_forgeries_of_plain_streams_need_a_stranger() -> None:
    with Cable() as cable:
        cable.stream(None)
        cable.load.impair(forge=1.0)
        assert faults(cable.run(20)) == {}


@pytest.mark.parametrize("depth", [1, 5])
def test_late_packets_arrive_behind_their_successors(depth: int) -> None:
    with Cable() as cable:
        for _ in range(4):
            cable.stream(SUITE)
        cable.load.impair(reorder=0.2, reorder_depth=depth)
        counted = cable.run(200)
        assert counted["received"] == 800
        assert counted["delayed"] > 100
        assert 0.5 * counted["delayed"] < counted["reordered"] <= counted["delayed"]
        assert sum(numbers(cable.load.streams()["reordered"])) == counted["reordered"]


def test_the_latency_of_late_packets_counts_from_when_they_were_due() -> None:
    with Cable() as cable:
        cable.stream(None, interval_ns=100 * MS, phase_ns=0)
        cable.load.impair(reorder=1.0, reorder_depth=16)
        counted = cable.run(duration_ns=300 * MS)
        assert counted["delayed"] == counted["received"] == 3
        assert cable.load.times()["latency_max_ns"] < 16.5 * 100 * MS


def test_all_may_be_lost() -> None:
    with Cable() as cable:
        cable.stream(None)
        cable.load.impair(loss=1.0)
        counted = cable.run(2000, duration_ns=200 * MS)
        assert counted["planned"] == counted["withheld"] == 100
        assert counted["sent"] == 0


# --- runs


def test_numbers_go_on_from_run_to_run() -> None:
    with Cable() as cable:
        for _ in range(4):
            cable.stream(SUITE, rtcp_interval_ns=10 * MS)
        first = cable.run(50, streams=2)
        second = cable.run(50)
        third = cable.run(50, sample=2)
        assert [run["received"] for run in (first, second, third)] == [100, 200, 200]
        assert [run["rtcp_received"] for run in (first, second, third)] == [20, 40, 40]
        assert all(faults(run) == {} for run in (first, second, third))
        assert len(numbers(cable.load.streams()["sent"])) == 4


def test_a_run_may_end_within_a_round() -> None:
    """Each stream goes on from its own number."""
    with Cable() as cable:
        cable.stream(SUITE, phase_ns=0)
        cable.stream(SUITE, phase_ns=INTERVAL * 3 // 4)
        for _ in range(3):
            counted = cable.run(duration_ns=10 * INTERVAL + INTERVAL // 2)
            assert faults(counted) == {}
            assert numbers(cable.load.streams()["received"]) == [11, 10]


def test_a_run_that_was_stopped_can_be_followed_by_another() -> None:
    with Cable() as cable:
        for _ in range(4):
            cable.stream(SUITE)
        cable.load.start(duration_ns=3600 * 1000 * MS)
        assert not cable.load.wait(0.1)
        assert cable.load.running
        cable.load.stop()
        cable.load.stop()
        assert cable.load.wait(0)
        stopped = cable.load.counters()
        assert stopped["planned"] == stopped["sent"] + stopped["unsent"]
        assert faults(stopped, "unsent", "lost") == {}
        counted = cable.run(50)
        assert faults(counted) == {}
        assert counted["received"] == 200


def test_a_run_that_cannot_keep_up_says_so() -> None:
    """A thousand streams of 10,000 packets a second."""
    with Cable() as cable:
        for _ in range(1000):
            cable.stream(SUITE, interval_ns=100_000, phase_ns=cable.random.randrange(100_000))
        counted = cable.run(duration_ns=20 * MS, drain_ns=0)
        assert counted["planned"] == 200_000
        assert counted["unsent"] > 0
        assert counted["sent"] == counted["planned"] - counted["unsent"]


def test_a_destination_that_cannot_be_reached_is_counted() -> None:
    """A broadcast address, which a socket may send to only if it asks for that."""
    with Cable() as cable:
        cable.stream(None)
        cable.stream(None, destination=(4, b"\xff\xff\xff\xff", 9, 0))
        counted = cable.run(20)
        assert faults(counted, "send_failed") == {}
        assert counted["planned"] == 40
        assert counted["sent"] == counted["received"] == counted["send_failed"] == 20
        assert cable.load.times()["send_errno"] == errno.EACCES


def test_the_sinks_own_overflow_is_told_apart() -> None:
    with Cable(receive_buffer=1) as cable:
        for _ in range(200):
            cable.stream(None, phase_ns=0)
        counted = cable.run(5, sink_cpu=-1)
        assert counted["sink_dropped"] > 0
        assert counted["lost"] == counted["sink_dropped"]
        assert counted["sent"] == 1000
        cable.load.close()
        assert cable.load.counters() == counted


def test_numbers_add_up() -> None:
    with Cable() as cable:
        for _ in range(10):
            cable.stream(None)
        counted = cable.run(650, warmup_ns=100 * INTERVAL)
        times, timeline, streams = cable.load.times(), cable.load.timeline(), cable.load.streams()
        lateness, latency = (numbers(cable.load.histogram(name)) for name in ("lateness", "latency"))
        assert sum(lateness) == sum(numbers(timeline["sent"])) == sum(numbers(streams["sent"])) == counted["sent"]
        assert sum(latency) == sum(numbers(timeline["received"])) == sum(numbers(streams["received"])) == 6500
        assert max(numbers(timeline["lateness_max_ns"])) == times["lateness_max_ns"]
        assert max(numbers(timeline["latency_max_ns"])) == max(numbers(streams["latency_max_ns"]))
        assert times["latency_min_ns"] <= times["latency_max_ns"] == max(numbers(streams["latency_max_ns"]))
        assert lateness[_bucket(times["lateness_max_ns"])] > 0 == sum(lateness[_bucket(times["lateness_max_ns"]) + 1 :])
        assert times["measured_ns"] == 650 * INTERVAL
        last_sent = 750 * INTERVAL - INTERVAL // 10  # of ten streams, whose packets are spread over the interval
        assert times["ended_ns"] - times["origin_ns"] >= last_sent + 100 * MS
        assert times["generator_cpu_ns"] > 0 == times["sink_cpu_ns"]
        assert times["generator_thread"] not in (0, os.getpid())
        assert times["sink_thread"] == times["send_errno"] == 0
        assert counted["unstamped"] == 0


def _bucket(ns: int) -> int:
    edges = numbers(_native.load_bucket_edges())
    return max(i for i, edge in enumerate(edges) if edge <= ns)


def test_a_forked_child_leaves_the_run_alone() -> None:
    with Cable() as cable:
        for _ in range(4):
            cable.stream(SUITE)
        cable.load.start(duration_ns=200 * INTERVAL, drain_ns=100 * MS)
        child = os.fork()
        if child == 0:
            try:
                cable.load.close()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert cable.load.wait(60)
        assert faults(cable.load.counters()) == {}
        assert cable.load.counters()["received"] == 800
