"""Keys matched to streams: every suite, rollover counters, MKI, re-key, short tags, no order, and what must not be."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pylibsrtp
import pytest

from srtpgw import _native
from srtpgw.srtp import SUITES, MasterKey, Sender

CM, CM_32, GCM = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"
NUMBERS = {name: number for number, name in enumerate(SUITES)}
BUDGET = 1 << 20
FIRST = 30000  # sequence number of a stream's first sample

Match = tuple[int, int, int, int]
Stream = tuple[bool, list[bytes]]


def octets(name: object, suite: str = CM) -> bytes:
    """The same master key and salt for the same name."""
    return random.Random(f"{name} {suite}").randbytes(SUITES[suite].key_length + SUITES[suite].salt_length)


def entry(name: object, suite: str = CM, mki: bytes = b"") -> tuple[int, bytes, bytes]:
    return NUMBERS[suite], octets(name, suite), mki


def rtp(ssrc: int, sequence: int, size: int = 33) -> bytes:
    head = bytes((0x80, 0)) + (sequence & 0xFFFF).to_bytes(2, "big") + (sequence * 160 & 0xFFFFFFFF).to_bytes(4, "big")
    return head + ssrc.to_bytes(4, "big") + random.Random(ssrc << 16 | sequence).randbytes(size)


def report(ssrc: int) -> bytes:
    """A receiver report without report blocks."""
    return bytes((0x80, 201, 0, 1)) + ssrc.to_bytes(4, "big")


def samples(
    name: object, suite: str = CM, *, ssrc: int = 1, roc: int = 0, indices: Sequence[int] = range(FIRST, FIRST + 8),
    mki: bytes = b"", size: int = 33,
) -> list[bytes]:  # fmt: skip
    """SRTP packets of these 48-bit indices, counted from the rollover counter `roc` on."""
    key = MasterKey(octets(name, suite), mki)
    senders = {rollovers: Sender(suite, key, roc=roc + rollovers) for rollovers in {index >> 16 for index in indices}}
    return [senders[index >> 16].protect(rtp(ssrc, index & 0xFFFF, size)) for index in indices]


def reports(name: object, suite: str = CM, *, ssrc: int = 1, count: int = 4, mki: bytes = b"") -> list[bytes]:
    sender = Sender(suite, MasterKey(octets(name, suite), mki))
    return [sender.protect_rtcp(report(ssrc)) for _ in range(count)]


def find(
    streams: Sequence[Stream], keys: list[tuple[int, bytes, bytes]], hints: list[list[int]] | None = None,
    budget: int = BUDGET, **options: Any,
) -> tuple[list[Match], dict[str, Any]]:  # fmt: skip
    empty: list[list[int]] = [[] for _ in streams]
    return _native.find_keys(
        list(streams), _native.TrialKeys(keys), empty if hints is None else hints, roc_budget=budget, **options
    )


def all_of(stream: int, key: int, roc: int = 0, count: int = 8) -> list[Match]:
    return [(stream, key, roc, place) for place in range(count)]


STRANGERS = [entry(f"stranger {suite}", suite) for suite in SUITES]


# --- every suite -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("roc", [0, 1, 3, 4, 255, 257, 65535])
def test_a_suite_at_a_rollover_counter(suite: str, roc: int) -> None:
    found, told = find([(False, samples("a", suite, roc=roc))], [entry("a", suite)])
    assert found == all_of(0, 0, roc)
    assert told["unsearched"] == []
    assert told["unknown_mki"] == []


@pytest.mark.parametrize("suite", SUITES)
def test_among_wrong_keys_of_every_suite(suite: str) -> None:
    keys = [*STRANGERS, entry("a", suite)]
    assert find([(False, samples("a", suite))], keys)[0] == all_of(0, len(STRANGERS))
    assert find([(True, reports("a", suite))], keys)[0] == all_of(0, len(STRANGERS), count=4)


@pytest.mark.parametrize("suite", SUITES)
def test_wrong_keys_open_nothing(suite: str) -> None:
    streams = [(False, samples("a", suite)), (True, reports("a", suite))]
    found, told = find(streams, STRANGERS)
    assert found == []
    assert told["unsearched"] == [] if told["trials"] < BUDGET else [0]


@pytest.mark.parametrize("suite", [CM, CM_32, GCM])
def test_damage_is_not_authentic(suite: str) -> None:
    damaged = []
    for place, packet in enumerate(samples("a", suite)):
        changed = bytearray(packet)
        changed[(place * 7 + 13) % len(packet) if place else -1] ^= 1
        damaged.append(bytes(changed))
    assert find([(False, damaged)], [entry("a", suite)], budget=100_000)[0] == []


def test_packets_of_libsrtp() -> None:
    policy = pylibsrtp.Policy(key=octets("a"), ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    session = pylibsrtp.Session(policy=policy)
    media = [session.protect(rtp(7, FIRST + place)) for place in range(8)]
    control = [session.protect_rtcp(report(7)) for _ in range(2)]
    found, _ = find([(False, media), (True, control)], [*STRANGERS, entry("a")])
    assert found == all_of(0, len(STRANGERS)) + all_of(1, len(STRANGERS), count=2)


def test_the_earlier_entry_names_what_authentication_cannot_tell_apart() -> None:
    """NULL ciphers authenticate as AES-CM does: the first entry is given, or the one that is hinted at."""
    keys = [entry("a", CM), entry("a", "NULL_HMAC_SHA1_80")]
    assert keys[0][1] != keys[1][1]
    keys[1] = (keys[1][0], keys[0][1], b"")
    streams = [(False, samples("a"))]
    assert find(streams, keys)[0] == all_of(0, 0)
    assert find(streams, keys, [[1]])[0] == all_of(0, 1)
    assert find(streams, keys[::-1])[0] == all_of(0, 0)


# --- rollover counters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [CM, CM_32, GCM])
@pytest.mark.parametrize("roc", [0, 9])
def test_samples_on_both_sides_of_a_wrap(suite: str, roc: int) -> None:
    indices = [65533, 65534, 65535, 65536, 65540, 2 * 65536 + 3, 9 * 65536 + 1, 9 * 65536 + 2]
    found, _ = find([(False, samples("a", suite, roc=roc, indices=indices))], [entry("a", suite)])
    assert found == [(0, 0, roc + (index >> 16), place) for place, index in enumerate(indices)]


def test_the_next_rollover_counter_is_tried_before_further_ones() -> None:
    """One trial for the first sample, three for each other."""
    packets = samples("a", indices=[65533, 65534, 65535, 65536, 65540, 2 * 65536 + 3])
    found, told = find([(False, packets)], [entry("a")], [[0]])
    assert [match[2] for match in found] == [0, 0, 0, 1, 1, 2]
    assert told["trials"] <= 1 + 3 * 5


def test_the_budget_ends_the_search() -> None:
    streams = [(False, samples("a", roc=500)), (False, samples("b"))]
    keys = [entry("a"), entry("b")]
    found, told = find(streams, keys, budget=300)
    assert found == all_of(1, 1)
    assert told["unsearched"] == [0]
    assert find(streams, keys, budget=0)[1]["unsearched"] == [0]
    found, told = find(streams, keys)
    assert found == all_of(0, 0, 500) + all_of(1, 1)
    assert told["unsearched"] == []


def test_a_hint_comes_first_in_the_search() -> None:
    """With these trials one key can be searched, and no more."""
    suite = GCM
    keys = [entry(number, suite) for number in range(30)]
    streams = [(False, samples(29, suite, roc=60000))]
    assert find(streams, keys, budget=70_000)[0] == []
    found, told = find(streams, keys, [[29]], budget=70_000)
    assert found == all_of(0, 29, 60000)
    assert told["trials"] < 70_000


def test_streams_of_a_packet_or_two_take_no_trials_from_the_others() -> None:
    """Whoever floods a port with SSRCs would otherwise hide the call that is on it."""
    flood = [(False, samples(f"stranger {ssrc}", GCM, ssrc=ssrc)[:3]) for ssrc in range(100, 110)]
    found, told = find([*flood, (False, samples("a", GCM, roc=60000))], [entry("a", GCM)], [[0]] * 11, budget=200_000)
    assert found == all_of(10, 0, 60000)
    assert told["unsearched"]


def test_srtcp_hints_at_the_key_of_its_source() -> None:
    """SRTCP carries its index: with these trials the right key can be searched, and no other before it. SRTCP has long
    tags under both suites, so the hint is of both."""
    keys = [entry(number) for number in range(20)]
    keys += [(NUMBERS[CM_32], key, b"") for _, key, _ in keys]
    media = Sender(CM_32, octets(19), roc=20000)
    packets = [media.protect(rtp(5, FIRST + place)) for place in range(8)]
    streams = [(False, packets), (True, reports(19, ssrc=5))]
    found, _ = find(streams, keys, budget=150_000)
    assert found == all_of(0, 39, 20000) + all_of(1, 19, count=4)
    assert find(streams[:1], keys, budget=150_000)[1]["unsearched"] == [0]


# --- MKI -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [CM, CM_32, GCM])
@pytest.mark.parametrize("mki", [b"\1", b"\0\2", b"abcd", bytes(range(128))])
def test_a_known_mki(suite: str, mki: bytes) -> None:
    other = bytes(len(mki) - 1) + b"\xee"
    keys = [entry("a", suite, other), entry("b", suite, mki), entry("a", suite, mki)]
    streams = [(False, samples("a", suite, mki=mki)), (True, reports("a", suite, mki=mki))]
    assert find(streams, keys)[0] == all_of(0, 2) + all_of(1, 2, count=4)


@pytest.mark.parametrize("suite", [CM, CM_32, GCM])
@pytest.mark.parametrize("mki", [b"\1", b"\0\2", b"abc", b"abcd", b"abcdefgh"])
def test_an_mki_that_no_entry_tells(suite: str, mki: bytes) -> None:
    found, told = find([(False, samples("a", suite, mki=mki))], [entry("b", suite), entry("a", suite)])
    assert found == []
    assert told["unknown_mki"] == [(0, 1, 0, place, mki) for place in range(8)]


def test_an_entry_with_an_mki_opens_no_packet_without() -> None:
    assert find([(False, samples("a"))], [entry("a", CM, b"\1")], budget=1000)[0] == []


# --- several keys ----------------------------------------------------------------------------------------------------


def test_one_key_of_two_streams() -> None:
    streams = [(False, samples("a", ssrc=1)), (False, samples("b", ssrc=2)), (False, samples("a", ssrc=3))]
    found, _ = find(streams, [entry("a"), entry("b"), entry("c")])
    assert found == all_of(0, 0) + all_of(1, 1) + all_of(2, 0)


@pytest.mark.parametrize("roc", [0, 2, 1000])
@pytest.mark.parametrize("kept", [True, False])
def test_a_rekey(roc: int, kept: bool) -> None:
    """The rollover counter is kept, or starts over."""
    later = roc if kept else 0
    packets = [*samples("a", roc=roc)[:4], *samples("b", roc=later)[4:6], *samples("c", roc=later)[6:]]
    found, _ = find([(False, packets)], [entry("d"), entry("c"), entry("b"), entry("a")])
    assert found == [(0, key, at, place) for place, (key, at) in enumerate(
        [(3, roc)] * 4 + [(2, later)] * 2 + [(1, later)] * 2
    )]  # fmt: skip


@pytest.mark.parametrize("later", [2, 3, 0])
def test_a_rekey_among_many_keys(later: int) -> None:
    """Too many for another search: the counters of the samples beside it are tried, and zero."""
    keys = [*STRANGERS, *(entry(number) for number in range(20)), entry("a"), entry("b")]
    packets = [*samples("a", roc=2)[:4], *samples("b", roc=later)[4:]]
    found, _ = find([(False, packets)], keys)
    assert [match[1:3] for match in found] == [(len(keys) - 2, 2)] * 4 + [(len(keys) - 1, later)] * 4


@pytest.mark.parametrize("suite", [CM, CM_32, GCM])
def test_foreign_packets_among_good_ones(suite: str) -> None:
    packets = samples("a", suite)
    packets[0] = samples("stranger", suite)[0]
    packets[5] = b"\x80\0\0\1" + bytes(8)
    found, _ = find([(False, packets)], [entry("b", suite), entry("a", suite)])
    assert [match[3] for match in found] == [1, 2, 3, 4, 6, 7]


def test_a_plain_beginning() -> None:
    packets = [rtp(1, FIRST + place) for place in range(7)] + samples("a")[7:]
    assert find([(False, packets)], [entry("b"), entry("a")])[0] == [(0, 1, 0, 7)]


def test_hundreds_in_no_order() -> None:
    count = 300
    order = list(range(count))
    random.Random(1).shuffle(order)
    suites = list(SUITES)[:8]
    streams = [(False, samples(number, suites[number % 8], ssrc=number)) for number in range(count)]
    keys = [entry(number, suites[number % 8]) for number in order]
    found, told = find(streams, keys, budget=0)
    assert found == [match for stream in range(count) for match in all_of(stream, order.index(stream))]
    assert told["trials"] < count * count / 2 + 20 * count  # keys that opened something come last


def test_hints_order_the_work() -> None:
    count = 100
    streams = [(False, samples(number, ssrc=number)) for number in range(count)]
    keys = [entry(number) for number in range(count)]
    found, told = find(streams, keys, [[number] for number in range(count)])
    assert found == [match for stream in range(count) for match in all_of(stream, stream)]
    assert told["trials"] < 30 * count


# --- edges -----------------------------------------------------------------------------------------------------------


def test_short_and_strange_samples() -> None:
    strange = [b"", b"\x80", bytes(12), b"\x80" + bytes(11), b"\x9f" + bytes(20), b"\xff" * 40, b"\x80" * 70_000]
    strange.append(b"\x90\0" + bytes(10) + b"\0\0\xff\xff")  # an extension longer than the packet
    streams = [(rtcp, strange) for rtcp in (False, True)] + [(False, []), (True, [])]
    found, _ = find(streams, STRANGERS, [[0], [0], [1], [1]], budget=10_000)
    assert found == []


@pytest.mark.parametrize("suite", SUITES)
def test_a_packet_without_payload(suite: str) -> None:
    assert find([(False, samples("a", suite, size=0, roc=700))], [entry("a", suite)])[0] == all_of(0, 0, 700)


@pytest.mark.parametrize("suite", [CM, CM_32])
def test_a_stream_of_one_packet(suite: str) -> None:
    """A tag of 32 bits that nothing confirms counts where few trials were made."""
    keys = [entry("b", suite), entry("a", suite)]
    assert find([(False, samples("a", suite)[:1])], keys)[0] == [(0, 1, 0, 0)]
    searched = find([(False, samples("a", suite, roc=5000)[:1])], keys)[0]
    assert searched == ([(0, 1, 5000, 0)] if suite == CM else [])


def test_a_short_tag_that_is_right_by_chance() -> None:
    """Of one packet in eight a tag of 32 bits is right: that is not taken for the key, unless it was expected."""
    packets = [samples("a", CM_32)[0], *samples("b", CM_32)[1:]]
    assert find([(False, packets)], [entry("a", CM_32)], budget=1000)[0] == []
    assert find([(False, packets)], [entry("a", CM_32)], [[0]], budget=1000)[0] == [(0, 0, 0, 0)]


def test_nothing_to_do() -> None:
    assert find([], []) == ([], {"trials": 0, "unsearched": [], "unknown_mki": []})
    assert find([(False, samples("a"))], [])[0] == []


def test_progress_grows_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    find([(False, samples("a", roc=40000))], [entry("b"), entry("a")], progress=lambda *at: seen.append(at))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_what_progress_raises_ends_the_search() -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find([(False, samples("a", roc=40000))], [entry("b")], progress=interrupt)


@pytest.mark.parametrize("hints", [[], [[0], [0]], [[1]], [[-1]], [["0"]], [[1 << 40]]])
def test_hints_that_name_no_key(hints: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        find([(False, samples("a"))], [entry("a")], hints)


@pytest.mark.parametrize("keys", [
    [(len(SUITES), bytes(30), b"")], [(-1, bytes(30), b"")], [(0, bytes(29), b"")], [(0, bytes(30), bytes(129))],
    [(0, None, b"")], [(0, bytes(30), None)], [(0, bytes(30))],
])  # fmt: skip
def test_refused_keys_leave_nothing(keys: Any) -> None:
    before = _native.memory_use()["arenas"]["keys"]["live"]
    with pytest.raises((ValueError, TypeError)):
        _native.TrialKeys([entry("a"), *keys])
    assert _native.memory_use()["arenas"]["keys"]["live"] == before


def test_records_are_given_back() -> None:
    before = {name: arena["live"] for name, arena in _native.memory_use()["arenas"].items()}
    keys = _native.TrialKeys(STRANGERS)
    assert len(keys) == len(STRANGERS)
    assert _native.memory_use()["arenas"]["keys"]["live"] == before["keys"] + 2 * len(STRANGERS)
    _native.find_keys([(False, samples("a"))], keys, [[]], roc_budget=10)
    assert "octets" not in repr(keys)
    del keys
    assert {name: arena["live"] for name, arena in _native.memory_use()["arenas"].items()} == before
