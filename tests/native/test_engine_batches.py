"""A batch gives what single calls give, bit for bit: keys, suites, lengths, SRTP and SRTCP mixed, with replays,
duplicates, forgeries, rollovers, late joiners and restarted sources inside one batch.

Two sets of contexts with the same keys see the same packets, one by single calls and one by batches.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from model import packet, transform
from model.compare import NOW, master_keys, outcome, random_key, random_length, result
from model.keys import session_keys
from model.packet import rtp_header_length
from model.suites import SUITES
from model.window import SEQUENCE, Key
from support import campaign

from srtpgw.srtp import Receiver, ReplayError, Sender, protect_many, unprotect_many

ROUNDS = campaign(2000)
SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 65, 128, 200)


@dataclass
class Stream:
    """The far end of one source of one context."""

    suite: str
    key: Key
    ssrc: int
    index: int
    srtcp_index: int = 0
    sent: list[bytes] = field(default_factory=list)


def is_rtcp(wire: bytes) -> bool:
    return len(wire) > 1 and 192 <= wire[1] <= 223


def streams(rng: random.Random) -> list[tuple[Stream, int]]:
    """Two sources under each of two keys of every suite, and the number of their context."""
    made: list[tuple[Stream, int]] = []
    for number, suite in enumerate([*SUITES, *SUITES]):
        key = random_key(rng, suite, rng.choice((b"", b"\x09")))
        for _ in range(2):
            roc = rng.choice((0, 0, 0, 1, 3))
            made.append((Stream(suite, key, rng.getrandbits(32), roc * SEQUENCE + rng.choice((5, 65500))), number))
    return made


def arriving(rng: random.Random, stream: Stream) -> bytes:
    """The next thing to come from a far end: mostly good, sometimes not."""
    suite, key, kind = SUITES[stream.suite], stream.key, rng.random()
    if kind < 0.08 and stream.sent:
        return rng.choice(stream.sent[-40:])
    if kind < 0.2:
        stream.srtcp_index += 1
        session = session_keys(suite, key.key, key.salt, rtcp=True)
        plain = packet.random_rtcp(rng, stream.ssrc, random_length(rng, 8))
        wire = transform.protect_rtcp(suite, session, plain, stream.srtcp_index, mki=key.mki)
    else:
        step = rng.choice((1, 1, 1, 1, 2, 30, 900, 0x7000))
        index = stream.index + step if kind < 0.9 else max(stream.index - rng.randint(0, 1100), 0)
        stream.index = max(stream.index, index)
        plain = packet.random_rtp(rng, index % SEQUENCE, stream.ssrc, random_length(rng, 12))
        session = session_keys(suite, key.key, key.salt)
        wire = transform.protect_rtp(suite, session, plain, index, mki=key.mki)
    stream.sent.append(wire)
    if kind > 0.96:
        changed = bytearray(wire)
        changed[rng.randrange(2, len(wire))] ^= 1 << rng.randrange(8)
        wire = bytes(changed)
    return wire[: rng.randrange(len(wire))] if kind > 0.99 else wire


def test_unprotect() -> None:
    rng = random.Random("unprotect batches")
    ends = streams(rng)
    keys = {number: (stream.suite, stream.key) for stream, number in ends}
    alone = {number: Receiver(suite, master_keys(key)) for number, (suite, key) in keys.items()}
    batched = {number: Receiver(suite, master_keys(key)) for number, (suite, key) in keys.items()}
    seen: Counter[str] = Counter()
    now = NOW
    for _ in range(ROUNDS):
        now += rng.randrange(10**9)
        # few sources in some batches, so that one batch holds long runs of one source
        chosen = rng.sample(ends, rng.choice((1, 2, len(ends))))
        work = [(number, arriving(rng, stream)) for stream, number in rng.choices(chosen, k=rng.choice(SIZES))]
        expected = []
        for number, wire in work:
            call = alone[number].unprotect_rtcp if is_rtcp(wire) else alone[number].unprotect
            expected.append(outcome(call, wire, now=now))
        got = [result(value) for value in unprotect_many([(batched[number], wire) for number, wire in work], now=now)]
        assert got == expected
        seen.update(value if isinstance(value, str) else "octets" for value in got)
        for stream, number in ends:
            assert alone[number].rollover_counter(stream.ssrc) == batched[number].rollover_counter(stream.ssrc)
    assert {"octets", "replay", "too-old", "auth-failed", "roc-unknown", "too-short"} <= set(seen)


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
def test_one_batch_across_rollover_counters(suite: str) -> None:
    """A new source's packets of before and behind a rollover in one batch: the estimate of the later ones depends on
    the earlier, which were not yet known when the batch went to the kernel."""
    rng = random.Random(suite)
    for _ in range(ROUNDS):
        key = random_key(rng, suite)
        session = session_keys(SUITES[suite], key.key, key.salt)
        indices = [
            rng.choice((0, 1, 0x7FFE, 0x8000, 0xFFF0, 0xFFFF, 0x10000, 0x10005, 0x1FFFF, 0x20001)) for _ in range(12)
        ]
        wires = [
            transform.protect_rtp(SUITES[suite], session, packet.rtp(index % SEQUENCE, 1), index)
            for index in (sorted(indices) if rng.random() < 0.5 else indices)
        ]
        alone, batched = Receiver(suite, master_keys(key)), Receiver(suite, master_keys(key))
        expected = [outcome(alone.unprotect, wire, now=NOW) for wire in wires]
        assert [result(value) for value in unprotect_many([(batched, wire) for wire in wires], now=NOW)] == expected
        assert alone.rollover_counter(1) == batched.rollover_counter(1)


def test_failures_in_a_batch_count_towards_the_search() -> None:
    """A late joiner is found after as many packets, whether they came in a batch or not: also where a packet was
    authentic under the estimate of before the batch and is not any more."""
    suite = "AES_CM_128_HMAC_SHA1_80"
    key = random_key(random.Random(suite), suite)
    session = session_keys(SUITES[suite], key.key, key.salt)

    def wire(index: int) -> bytes:
        return transform.protect_rtp(SUITES[suite], session, packet.rtp(index % SEQUENCE, 1), index)

    first = [wire(index) for index in (0xFFF0, 5, 6, 7)]  # 5, 6, 7 of ROC 0 after 0xFFF0: taken for ROC 1
    then = [wire(3 * SEQUENCE + seq) for seq in (100, 101)]
    alone, batched = Receiver(suite, master_keys(key)), Receiver(suite, master_keys(key))
    expected = [outcome(alone.unprotect, one, now=NOW) for one in first + then]
    assert expected[1:5] == ["auth-failed", "auth-failed", "auth-failed", "roc-unknown"]
    got = [result(value) for value in unprotect_many([(batched, one) for one in first], now=NOW)]
    assert got + [outcome(batched.unprotect, one, now=NOW) for one in then] == expected


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM", "NULL_HMAC_SHA1_32"])
def test_a_packet_opened_too_early_can_still_be_searched(suite: str) -> None:
    """40000 of ROC 1 is authentic for a new source, and behind 0 of ROC 1 it is taken for 40000 of ROC 0, inside a wide
    window: the search finds it again, with the octets as they came."""
    key = random_key(random.Random(suite), suite)
    session = session_keys(SUITES[suite], key.key, key.salt)
    indices = [SEQUENCE, *range(SEQUENCE + 40000, SEQUENCE + 40006)]
    wires = [transform.protect_rtp(SUITES[suite], session, packet.rtp(index % SEQUENCE, 1), index) for index in indices]
    for call in ("unprotect", "verify"):
        alone = Receiver(suite, master_keys(key), roc=1, window=32767)
        expected = [outcome(getattr(alone, call), wire, now=NOW) for wire in wires]
        assert expected[1:5] == ["auth-failed", "auth-failed", "auth-failed", "roc-unknown"]
        assert isinstance(expected[5], bytes)
        if call == "unprotect":
            batched = Receiver(suite, master_keys(key), roc=1, window=32767)
            assert [result(value) for value in unprotect_many([(batched, wire) for wire in wires], now=NOW)] == expected


def test_protect() -> None:
    rng = random.Random("protect batches")
    keys = [(suite, random_key(rng, suite, rng.choice((b"", b"\x09")))) for suite in SUITES for _ in range(2)]
    alone = [Sender(suite, master_keys(key), window=64) for suite, key in keys]
    batched = [Sender(suite, master_keys(key), window=64) for suite, key in keys]
    newest = dict.fromkeys(range(len(keys)), 65400)
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        chosen = rng.sample(range(len(keys)), rng.choice((1, 2, len(keys))))
        work = []
        for number in rng.choices(chosen, k=rng.choice(SIZES)):
            if rng.random() < 0.1:
                work.append((number, packet.random_rtcp(rng, number, random_length(rng, 8))))
                continue
            seq = newest[number] + rng.choice((1, 1, 1, 1, 1, 2, 500, 0x7000, 0, -3))
            newest[number] = max(newest[number], seq)
            work.append((number, packet.random_rtp(rng, seq % SEQUENCE, number, random_length(rng, 12))))
        expected = [
            outcome(alone[number].protect_rtcp if is_rtcp(plain) else alone[number].protect, plain)
            for number, plain in work
        ]
        got = [result(value) for value in protect_many([(batched[number], plain) for number, plain in work])]
        assert got == expected
        seen.update(value if isinstance(value, str) else "octets" for value in got)
    assert {"octets", "tx-duplicate"} <= set(seen)


def test_sources_that_restart_inside_a_batch() -> None:
    """The outgoing SSRC is drawn, so it differs between the two sets; all else is equal behind a receiver."""
    rng = random.Random("restarts")
    for suite in SUITES:
        key = random_key(rng, suite)
        positions = [*range(1000, 1010), *range(1000, 1010), *range(100, 105), 104, *range(1, 4)]
        plains = [packet.rtp(seq, ssrc, bytes([seq % 256])) for seq in positions for ssrc in (1, 2)]
        alone = Sender(suite, master_keys(key), window=64)
        batched = Sender(suite, master_keys(key), window=64)
        expected = [outcome(alone.protect, plain) for plain in plains]
        got = [result(value) for value in protect_many([(batched, plain) for plain in plains])]
        assert opened(suite, key, got) == opened(suite, key, expected)
        new = {wire[8:12] for wire in got if isinstance(wire, bytes)}
        assert len(new) == 2 * 4  # both sources: as they came, played again, gone back twice


def opened(suite: str, key: Key, wires: list[bytes | str]) -> list[bytes | str]:
    """What a receiver makes of them, with the SSRC blanked."""
    receiver = Receiver(suite, master_keys(key))
    plains: list[bytes | str] = []
    for wire in wires:
        plain = receiver.unprotect(wire) if isinstance(wire, bytes) else wire
        plains.append(plain[:8] + bytes(4) + plain[12:] if isinstance(plain, bytes) else plain)
    return plains


@pytest.mark.parametrize("excess", range(-2, 3))
@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
def test_the_longest_packet(suite: str, excess: int) -> None:
    """A full UDP datagram passes both ways, and the limit is the same for one packet and for a batch."""
    tag = SUITES[suite].rtp_tag_length
    key = random_key(random.Random(suite), suite)
    full = packet.rtp(1, 1, bytes(65507 - 12 - tag))
    wire = Sender(suite, master_keys(key)).protect(full)
    assert len(wire) == 65507
    assert Receiver(suite, master_keys(key)).unprotect(wire) == full
    longest = longest_packet(suite, key)
    plain = packet.rtp(1, 1, bytes(longest + excess - 12))
    assert rtp_header_length(plain) == 12
    one = outcome(Sender(suite, master_keys(key)).protect, plain)
    assert [result(value) for value in protect_many([(Sender(suite, master_keys(key)), plain)])] == [one]
    assert isinstance(one, bytes) if excess <= 0 else one == "too-long"


def longest_packet(suite: str, key: Key) -> int:
    low, high = 60000, 70000
    while low < high:
        middle = (low + high + 1) // 2
        taken = outcome(Sender(suite, master_keys(key)).protect, packet.rtp(1, 1, bytes(middle - 12))) != "too-long"
        low, high = (middle, high) if taken else (low, middle - 1)
    return low


def test_an_empty_batch_and_the_wrong_direction() -> None:
    key = bytes(30)
    sender, receiver = Sender("AES_CM_128_HMAC_SHA1_80", key), Receiver("AES_CM_128_HMAC_SHA1_80", key)
    assert protect_many([]) == []
    assert unprotect_many([]) == []
    with pytest.raises(TypeError):
        protect_many([(receiver, packet.rtp(1, 1))])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        unprotect_many([(sender, packet.rtp(1, 1))])  # type: ignore[list-item]
    assert isinstance(sender.protect(packet.rtp(1, 1)), bytes)  # nothing was sent by the call that was refused


class Reentrant(bytes):
    """A packet that uses the same buffers while it is asked for its octets."""

    other: Sender

    def __bytes__(self) -> bytes:
        self.other.protect(packet.rtp(1, 9, b"\xff" * 500))
        assert len(protect_many([(self.other, packet.rtp(n, 8, b"\xfe" * 500)) for n in range(64)])) == 64
        return bytes(memoryview(self))


def test_pairs_and_packets_of_every_kind() -> None:
    """Lists, iterators, buffers: what runs Python is over before the first packet is copied."""
    key = bytes(range(30))
    batched, single = (Sender("AES_CM_128_HMAC_SHA1_80", key) for _ in range(2))
    plains = [packet.rtp(n, 1, bytes([n]) * n) for n in range(1, 131)]
    expected = [single.protect(plain) for plain in plains]
    reentrant = Reentrant(plains[100])
    reentrant.other = Sender("AES_CM_128_HMAC_SHA1_80", bytes(30))
    wires = protect_many((batched, plain) for plain in plains[:50])
    wires += protect_many([[batched, bytearray(plain)] for plain in plains[50:90]])  # type: ignore[misc]
    wires += protect_many([(batched, memoryview(plain)) for plain in plains[90:100]])
    wires += protect_many(((batched, plains[99]), (batched, reentrant), *((batched, plain) for plain in plains[101:])))
    assert isinstance(wires.pop(100), ReplayError)
    assert wires == expected


@pytest.mark.parametrize("pair", [(1, b""), (None, b""), (Sender.__new__(Sender), b"")])
def test_pairs_that_are_none(pair: tuple[Sender, bytes]) -> None:
    sender = Sender("AES_CM_128_HMAC_SHA1_80", bytes(30))
    plain = packet.rtp(1, 1)
    with pytest.raises(TypeError, match="senders"):
        protect_many([(sender, plain), pair])
    with pytest.raises(ValueError, match="unpack"):
        protect_many([(sender, plain), (sender, plain, 3)])  # type: ignore[list-item]
    assert isinstance(sender.protect(plain), bytes)  # nothing was sent by the calls that were refused
