"""The second reading: which packets are authentic, under which key and index. What the sender made is the oracle."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from native.examined import (
    CM32,
    CM80,
    GCM,
    NULL80,
    ONE_KEY,
    SSRC,
    Sent,
    capture,
    examine,
    octets_for,
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
from srtpgw.srtp import SUITES, Receiver, ReplayError, SrtpError


def all_authentic(result: dict[str, Any], count: int) -> None:
    assert (result["packets"], result["authenticated"], result["failed"], result["unchecked"]) == (count, count, 0, 0)


def forged(packet: bytes, place: int = -1) -> bytes:
    octets = bytearray(packet)
    octets[place] ^= 1
    return bytes(octets)


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite(suite: str) -> None:
    result = examine(
        paced(protected(range(300), sender_for(suite))), trial_keys((suite, 1)), [stream(keys=[(0, 0, 0)])]
    )
    all_authentic(result, 300)
    assert result["encrypted"] == (300 if SUITES[suite].cipher != "NULL" else 0)
    assert result["failed_frames"] == ()


def test_loss_and_reordering_past_a_wrap() -> None:
    """60,000 packets that begin before a wrap, against counts made here from what arrived."""
    chance = random.Random(4)
    indices = range(65000, 65000 + 60000)
    packets = list(zip(indices, protected(indices, payload=b"speech" * 3), strict=True))
    arriving = [(at + chance.choice([0] * 9 + [chance.uniform(0, 30)]), *packet) for at, packet in enumerate(packets)]
    arriving = sorted(packet for packet in arriving if chance.random() > 0.03)
    got = [index for _, index, _ in arriving]
    newest, late = got[0], 0
    for index in got[1:]:
        late += index < newest
        newest = max(newest, index)
    result = examine(paced([octets for _, _, octets in arriving]), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65000)])])
    all_authentic(result, len(got))
    assert result["lost"] == max(got) - min(got) + 1 - len(got)
    assert result["reordered"] == late > 2000
    assert result["wraps"] == 1
    assert result["roc"] == (0, 1)
    assert (result["duplicates"], result["replays"], result["conflicts"], result["restarts"]) == (0, 0, 0, 0)
    assert sum(row[2] for row in result["timeline"]) == result["lost"]
    assert sum(row[5] for row in result["timeline"]) == 1


@pytest.mark.parametrize("first", [0, 1, 30])
@pytest.mark.parametrize("roc", [0, 1, 77, 65535, 1 << 31])
def test_a_capture_that_begins_in_mid_call(roc: int, first: int) -> None:
    """The sample that was matched may lie past a wrap; what came before it has the rollover counter below."""
    packets = protected(range(65520, 65560), sender_for(roc=roc))
    known = (roc << 16) + 65520 + first
    result = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, known >> 16, known & 0xFFFF)])])
    all_authentic(result, 40)
    assert result["roc"] == (roc, roc + 1)
    assert result["key_uses"][0]["roc"] == roc


def test_a_sample_without_its_sequence_number_is_enough() -> None:
    all_authentic(examine(paced(protected(range(200))), trial_keys(ONE_KEY), [stream(keys=[(0, 0)])]), 200)
    all_authentic(examine(paced(protected(range(200))), trial_keys(ONE_KEY), [stream(keys=[(0,)])]), 200)


def test_a_gap_of_more_than_half_a_turn_is_searched() -> None:
    packets = protected(range(100)) + protected(range(40000, 40100)) + protected([40200], sender_for(roc=3))
    result = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0), (0, 3, 40200)])])
    all_authentic(result, 201)
    assert result["roc"] == (0, 3)
    assert result["lost"] == (3 << 16) + 40201 - 201


def test_the_counter_before_that_of_the_sample_is_searched() -> None:
    packets = protected(range(100, 200), sender_for(roc=5))
    result = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 6, 20000)])])
    all_authentic(result, 100)
    assert result["roc"] == (5, 5)


def test_authentic_packets_restore_what_forged_ones_used_up() -> None:
    """The gap behind needs a search, of which a flood of forged packets had left nothing."""
    packets = protected(range(100)) + [rtp(7) + bytes(10)] * 100 + protected(range(100, 200)) + protected([40200])
    result = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])])
    assert (result["authenticated"], result["failed"]) == (201, 100)


def test_forged_packets_in_the_midst() -> None:
    """They fail, and nothing that is authentic suffers: neither its counter nor its numbers."""
    packets = protected(range(65000, 66200))
    damaged = [forged(packets[i], -1 if i % 2 else 20) for i in range(100, 1100, 10)]
    for at, packet in zip(range(1100, 100, -10), reversed(damaged), strict=True):
        packets.insert(at, packet)
    result = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65000)], packets=1300)])
    assert (result["authenticated"], result["failed"]) == (1200, 100)
    assert (result["lost"], result["reordered"], result["conflicts"], result["replays"]) == (0, 0, 0, 0)
    assert result["failed_frames"] == tuple(range(111, 199, 11))
    assert sum(row[4] for row in result["timeline"]) == 100
    assert result["features"]["packets"] == 1200
    assert result["failed_features"]["packets"] == 100


def test_a_flood_of_forged_packets_hides_nothing() -> None:
    packets = protected(range(65000, 65100))
    flood = [forged(rtp(i * 37) + bytes(10)) for i in range(5000)]
    later = protected(range(65100, 65600), sender_for(roc=0))
    result = examine(paced(packets + flood + later), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65000)])])
    assert (result["authenticated"], result["failed"]) == (600, 5000)
    assert result["roc"] == (0, 0 + (65599 >> 16))
    assert result["lost"] == 0


def test_a_key_change_is_a_use_of_its_own() -> None:
    """A re-key in mid-stream, which keeps the rollover counter (RFC 3711 3.3.1), and one that starts over."""
    second = sender_for(seed=2, roc=1)
    packets = (
        protected(range(65500, 65600))
        + protected(range(64, 164), second)
        + protected(range(5000, 5100), sender_for(seed=3))
    )
    keys = trial_keys((CM80, 1), (CM80, 2), (CM80, 3))
    result = examine(paced(packets), keys, [stream(keys=[(0, 0, 65500), (1, 1, 100), (2, 0, 5050)])])
    all_authentic(result, 300)
    assert [(use["key"], use["frame"], use["roc"], use["packets"]) for use in result["key_uses"]] == [
        (0, 1, 0, 100), (1, 101, 1, 100), (2, 201, 0, 100),
    ]  # fmt: skip
    assert result["restarts"] == 1
    assert result["restart_frames"] == (201,)
    assert (result["lost"], result["replays"]) == (0, 0)


def test_packets_under_a_key_that_nobody_knows() -> None:
    packets = protected(range(100)) + protected(range(100, 150), sender_for(seed=9)) + protected(range(150, 200))
    result = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])])
    assert (result["authenticated"], result["failed"], result["lost"]) == (150, 50, 0)
    assert result["failed_frames"] == tuple(range(101, 109))


@pytest.mark.parametrize("suite", [CM80, CM32, GCM, NULL80])
def test_the_mki_names_the_key(suite: str) -> None:
    """Packets change between two keys all the time; another identifier fits none."""
    senders = [sender_for(suite, 1, mki=b"\0\1"), sender_for(suite, 2, mki=b"\0\2"), sender_for(suite, 1, mki=b"\0\3")]
    packets = [protected([i], senders[i % 2])[0] for i in range(200)] + protected(range(200, 220), senders[2])
    keys = trial_keys((suite, 1, b"\0\1"), (suite, 2, b"\0\2"))
    result = examine(paced(packets), keys, [stream(keys=[(0, 0, 0), (1, 0, 1)])])
    assert (result["authenticated"], result["failed"]) == (200, 20)
    assert [(use["key"], use["packets"]) for use in result["key_uses"]] == [(0, 100), (1, 100)]
    assert (result["lost"], result["conflicts"], result["restarts"]) == (0, 0, 0)


def test_an_mki_of_which_the_length_alone_is_known() -> None:
    packets = protected(range(100), sender_for(mki=b"\7\7\7\7"))
    all_authentic(examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0, 4)])]), 100)
    assert examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0, 2)])])["failed"] == 100


@pytest.mark.parametrize("suite", [CM80, CM32, GCM, NULL80])
def test_srtcp_in_clear_is_authentic_and_not_encrypted(suite: str) -> None:
    clear = sender_for(suite, encrypt_rtcp=False, srtcp_index=41)
    packets = [sender_for(suite, srtcp_index=i).protect_rtcp(sender_report(i)) for i in range(1, 41)]
    packets += [clear.protect_rtcp(sender_report(i)) for i in range(41, 61)]
    packets += [forged(packets[0], 20), sender_report(99)]
    result = examine(paced(packets), trial_keys((suite, 1)), [stream(keys=[(0,)], rtcp=True)])
    assert (result["authenticated"], result["failed"]) == (60, 2)
    assert result["encrypted"] == (40 if suite != NULL80 else 0)
    if suite != NULL80:
        assert result["srtcp_in_clear"] == 20
        assert result["clear_frames"][0] == 41
    assert result["well_formed_rtcp"] == 1
    assert result["payload_types"] == {200: 62}
    assert (result["lost"], result["roc"], result["wraps"]) == (0, None, 0)


def test_truncated_packets_are_not_checked() -> None:
    packets = [packet._replace(cut=30 if i % 10 == 3 else 0) for i, packet in enumerate(paced(protected(range(200))))]
    result = examine(packets, trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])])
    assert (result["authenticated"], result["failed"], result["unchecked"], result["truncated"]) == (180, 0, 20, 20)
    assert result["lost"] == 0
    plain = examine(packets, trial_keys(), [stream()])
    assert (plain["unchecked"], plain["truncated"], plain["lost"]) == (200, 20, 0)


def test_streams_are_told_apart_and_others_are_left_alone() -> None:
    count = 40
    keys = trial_keys(*[(CM80, seed) for seed in range(count)])
    made = [protected(range(1000), sender_for(seed=seed), ssrc=seed % 7, payload=bytes(20)) for seed in range(count)]
    packets = [
        Sent(1_000_000_000 + i, octets, 5000 + 2 * seed) for i, row in enumerate(zip(*made, strict=True))
        for seed, octets in enumerate(row)
    ]  # fmt: skip
    rows = [stream(seed % 7, [(seed, 0, 0)], port=5000 + 2 * seed) for seed in range(0, count, 2)]
    results = examine(packets, keys, rows)
    for row, result in zip(rows, results, strict=True):
        assert result["key"] == row["key"]
        all_authentic(result, 1000)
        assert result["octets"] == 1000 * (12 + 20 + 10)
        assert result["last_frame"] - result["first_frame"] == 999 * count


@pytest.mark.parametrize("portion", [1, 7, 100, 1 << 18])
def test_portions_of_the_file_make_no_difference(portion: int) -> None:
    packets = protected(range(65500, 65500 + 150))
    packets[70] = forged(packets[70])
    octets = capture(paced(packets))
    examiner = _native.Examiner(trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65500)])])
    run(examiner, octets, portion)
    whole = _native.Examiner(trial_keys(ONE_KEY), [stream(keys=[(0, 0, 65500)])])
    run(whole, octets)
    assert examiner.results() == whole.results()
    assert whole.results()[0]["failed_frames"] == (71,)


def test_extensions_and_contributing_sources_are_not_payload() -> None:
    extension = struct.pack("!II2HI", 7, 8, 0xBEDE, 1, 0)
    packets = protected(range(100), first=0x92, payload=extension + bytes(range(40)))
    result = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])])
    all_authentic(result, 100)
    assert sum(result["histogram"]) == 100 * 40
    unknown = examine(paced(packets), trial_keys(), [stream()])
    assert sum(unknown["histogram"]) == 100 * 50


def test_plaintext_in_a_part_of_a_stream_has_features_of_its_own() -> None:
    packets = protected(range(400)) + [rtp(i) for i in range(400, 500)]
    result = examine(paced(packets), trial_keys(), [stream(packets=500)])
    assert [part["features"]["packets"] for part in result["stretches"]] == [100] * 5
    assert [(part["first_frame"], part["last_frame"]) for part in result["stretches"]][4] == (401, 500)
    assert result["stretches"][4]["features"]["octets"][0xD5] == 100 * 160
    assert result["features"]["packets"] == 500
    known = examine(paced(packets), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)], packets=500)])
    assert known["failed_features"]["octets"][0xD5] == 100 * 160
    assert known["features"]["packets"] == 400


def test_a_receiver_takes_what_is_called_authentic() -> None:
    """Damage of every kind at once, held against srtpgw.srtp with a wide window."""
    chance = random.Random(11)
    packets = protected(range(65400, 65800), payload=bytes(40))
    arriving = []
    for packet in packets:
        copy = forged(packet, chance.randrange(4, len(packet))) if chance.random() < 0.3 else packet
        arriving += [copy] * chance.choice([0, 1, 1, 1, 1, 2])
    receiver = Receiver(CM80, octets_for(CM80), window=32767)
    good = set()
    for frame, packet in enumerate(arriving, 1):
        try:
            receiver.verify(packet)
            good.add(frame)
        except ReplayError:
            good.add(frame)  # a copy of an authentic one
        except SrtpError:
            pass
    rows = [stream(keys=[(0, 0, 65400)])]
    result = examine(paced(arriving), trial_keys(ONE_KEY), rows)
    assert result["packets"] == sum(int.from_bytes(packet[8:12], "big") == SSRC for packet in arriving)
    assert result["authenticated"] == len(good) < result["packets"]
