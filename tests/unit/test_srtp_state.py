"""What a context remembers: rollover counters, lifetimes, exported state, sources and their limit, re-keying."""

from __future__ import annotations

import random
import sys

import pytest
from model import packet, transform
from model.compare import NOW, outcome
from model.keys import session_keys
from model.suites import SUITES

from srtpgw import _native
from srtpgw.srtp import MasterKey, Receiver, ReplayError, Sender, protect_many

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = bytes(range(0x60, 0x60 + 30))
OTHER = KEY[::-1]
STREAM_FLAGS = 30  # octets from a source's SSRC to `taken` and `is_wide` of its record (ext/state.h)


def made(index: int, ssrc: int = 1, key: bytes = KEY) -> bytes:
    """The SRTP packet of an index, without a sender's rules."""
    return transform.protect_rtp(
        SUITES[SUITE], session_keys(SUITES[SUITE], key[:16], key[16:]), packet.rtp(index & 0xFFFF, ssrc), index
    )


def made_rtcp(index: int, ssrc: int = 1) -> bytes:
    session = session_keys(SUITES[SUITE], KEY[:16], KEY[16:], rtcp=True)
    return transform.protect_rtcp(SUITES[SUITE], session, packet.rtcp(ssrc), index)


# --- rollover counter ------------------------------------------------------------------------------------------------


def test_first_packet_takes_the_initial_rollover_counter() -> None:
    sender, receiver = Sender(SUITE, KEY, roc=9), Receiver(SUITE, KEY, roc=9)
    assert sender.rollover_counter(1) is None
    assert sender.protect(packet.rtp(65535, 1)) == made(9 << 16 | 65535)
    assert sender.protect(packet.rtp(0, 1)) == made(10 << 16)
    assert receiver.unprotect(made(9 << 16 | 65535)) == packet.rtp(65535, 1)
    assert receiver.unprotect(made(10 << 16)) == packet.rtp(0, 1)
    assert sender.rollover_counter(1) == receiver.rollover_counter(1) == 10


@pytest.mark.parametrize("seq", [0, 1, 0x7FFF, 0x8000, 0xFFFF])
@pytest.mark.parametrize("roc", [0, 1, 0xFFFFFFFF])
def test_a_rollover_counter_told_before_the_first_packet(roc: int, seq: int) -> None:
    sender, receiver = Sender(SUITE, KEY), Receiver(SUITE, KEY)
    sender.set_rollover_counter(1, roc)
    receiver.set_rollover_counter(1, roc)
    assert sender.rollover_counter(1) == roc
    wire = sender.protect(packet.rtp(seq, 1))
    assert wire == made(roc << 16 | seq)
    assert receiver.unprotect(wire) == packet.rtp(seq, 1)
    assert sender.rollover_counter(1) == roc


def test_a_rollover_counter_told_between_packets() -> None:
    sender, receiver = Sender(SUITE, KEY), Receiver(SUITE, KEY)
    receiver.unprotect(sender.protect(packet.rtp(5, 1)))
    sender.set_rollover_counter(1, 3)
    receiver.set_rollover_counter(1, 3)
    assert receiver.unprotect(sender.protect(packet.rtp(6, 1))) == packet.rtp(6, 1)
    assert sender.rollover_counter(1) == receiver.rollover_counter(1) == 3


def test_a_rollover_counter_never_goes_back() -> None:
    """Back at ROC 0 the same sequence number would be the same keystream."""
    sender, receiver = Sender(SUITE, KEY, roc=1), Receiver(SUITE, KEY, roc=1)
    receiver.unprotect(sender.protect(packet.rtp(5, 1)))
    for context in (sender, receiver):
        with pytest.raises(ValueError, match="rollover counter"):
            context.set_rollover_counter(1, 0)
        context.set_rollover_counter(1, 1)
    assert outcome(sender.protect, packet.rtp(5, 1)) == "tx-duplicate"
    assert outcome(receiver.unprotect, made(1 << 16 | 5)) == "replay"


def test_a_rollover_counter_told_for_an_outgoing_ssrc_does_not_reuse_it() -> None:
    """A restarted source left under an SSRC of ours. Whoever then names that SSRC gets another."""
    for restarts in (1, 2):  # twice: the first of ours is no longer in use, and must still not come back
        sender = Sender(SUITE, KEY, window=64)
        drawn = []
        for start in (1000, 500, 100)[: restarts + 1]:
            sent = [outcome(sender.protect, packet.rtp(start + n, 1, bytes(16))) for n in range(3)]
            drawn.append(
                (int.from_bytes(sent[2][8:12], "big") if isinstance(sent[2], bytes) else -1, start + 2, sent[2])
            )
        ssrc, seq, before = drawn[1]
        sender.set_rollover_counter(ssrc, 0)
        after = sender.protect(packet.rtp(seq, ssrc, bytes(16)))
        assert after[8:12] != before[8:12]
        assert after[12:28] != before[12:28]


# --- lifetimes -------------------------------------------------------------------------------------------------------


def test_srtp_ends_after_the_last_index() -> None:
    """RFC 3711 3.3.1, 9.2: 2^48 packets, then the stream stops. It never wraps."""
    sender, receiver = Sender(SUITE, KEY, roc=0xFFFFFFFF), Receiver(SUITE, KEY, roc=0xFFFFFFFF)
    for seq in (65534, 65535):
        assert receiver.unprotect(sender.protect(packet.rtp(seq, 1))) == packet.rtp(seq, 1)
    for seq in (0, 1, 65533, 100):
        assert outcome(sender.protect, packet.rtp(seq, 1)) == "tx-key-expired"
    assert outcome(receiver.unprotect, made(0)) == "receive-key-expired"
    assert sender.rollover_counter(1) == 0xFFFFFFFF


def test_srtcp_ends_after_the_last_index() -> None:
    sender, receiver = Sender(SUITE, KEY, srtcp_index=2**31 - 2), Receiver(SUITE, KEY)
    for _ in range(2):
        receiver.unprotect_rtcp(sender.protect_rtcp(packet.rtcp(1)))
    for _ in range(3):
        assert outcome(sender.protect_rtcp, packet.rtcp(1)) == "tx-key-expired"
    assert isinstance(sender.protect(packet.rtp(1, 1)), bytes)


def test_an_index_at_its_end_ends_every_key_of_the_context() -> None:
    """No change of key may start an index again (RFC 3711 3.3.1, 3.4)."""
    keys = [MasterKey(KEY, mki=b"\x01"), MasterKey(OTHER, mki=b"\x02")]
    sender = Sender(SUITE, keys, roc=0xFFFFFFFF, srtcp_index=2**31 - 1)
    assert isinstance(sender.protect(packet.rtp(65535, 1)), bytes)
    assert isinstance(sender.protect_rtcp(packet.rtcp(1)), bytes)
    for ssrc in (1, 1, 2):
        assert outcome(sender.protect, packet.rtp(0 if ssrc == 1 else 9, ssrc)) == "tx-key-expired"
        assert outcome(sender.protect_rtcp, packet.rtcp(ssrc)) == "tx-key-expired"


def test_an_expired_srtcp_source_does_not_come_back_when_forgotten() -> None:
    sender = Sender(SUITE, KEY, srtcp_index=2**31 - 1, max_ssrcs=1)
    first = sender.protect_rtcp(packet.rtcp(1))
    wires = [first, *(outcome(sender.protect_rtcp, packet.rtcp(ssrc)) for ssrc in (2, 1, 2, 1))]
    sent = [wire for wire in wires if isinstance(wire, bytes)]
    assert len(sent) == len({(wire[4:8], wire[-14:-10]) for wire in sent})


def test_a_forgotten_srtcp_source_goes_on_behind_its_last_index() -> None:
    sender, receiver = Sender(SUITE, KEY, max_ssrcs=2), Receiver(SUITE, KEY)
    rng = random.Random("srtcp")
    for _ in range(200):
        ssrc = rng.randrange(5)
        assert receiver.unprotect_rtcp(sender.protect_rtcp(packet.rtcp(ssrc))) == packet.rtcp(ssrc)


def test_master_key_lifetime() -> None:
    """RFC 4568 6.1: packets under the key, over all its sources; SRTP and SRTCP are counted each for itself."""
    sender = Sender(SUITE, MasterKey(KEY, lifetime=4))
    for seq in range(2):
        for ssrc in (1, 2):
            assert isinstance(sender.protect(packet.rtp(seq, ssrc)), bytes)
    assert outcome(sender.protect, packet.rtp(2, 1)) == "tx-key-expired"
    assert outcome(sender.protect, packet.rtp(0, 3)) == "tx-key-expired"
    for _ in range(4):
        assert isinstance(sender.protect_rtcp(packet.rtcp(1)), bytes)
    assert outcome(sender.protect_rtcp, packet.rtcp(1)) == "tx-key-expired"


def test_refused_packets_do_not_use_up_a_key() -> None:
    sender, receiver = Sender(SUITE, MasterKey(KEY, lifetime=2)), Receiver(SUITE, MasterKey(KEY, lifetime=2))
    first = sender.protect(packet.rtp(1, 1))
    receiver.unprotect(first)
    for _ in range(5):
        assert outcome(sender.protect, packet.rtp(1, 1)) == "tx-duplicate"
        assert outcome(receiver.unprotect, first) == "replay"
        assert outcome(receiver.unprotect, made(2)[:-1] + b"\0", now=NOW) == "auth-failed"
    assert receiver.unprotect(sender.protect(packet.rtp(2, 1))) == packet.rtp(2, 1)
    assert outcome(receiver.unprotect, made(3)) == "receive-key-expired"


def test_a_receiver_counts_each_master_key_for_itself() -> None:
    keys = [MasterKey(KEY, mki=b"\x01", lifetime=2), MasterKey(OTHER, mki=b"\x02", lifetime=2)]
    receiver = Receiver(SUITE, keys)
    first, second = (Sender(SUITE, MasterKey(key.key_and_salt, mki=key.mki)) for key in keys)
    for seq in (1, 2):
        receiver.unprotect(second.protect(packet.rtp(seq, 1)))
    assert outcome(receiver.unprotect, second.protect(packet.rtp(3, 1))) == "receive-key-expired"
    assert receiver.unprotect(first.protect(packet.rtp(4, 1))) == packet.rtp(4, 1)


def test_the_next_master_key_takes_over() -> None:
    keys = [MasterKey(KEY, mki=b"\x01", lifetime=3), MasterKey(OTHER, mki=b"\x02", lifetime=3)]
    sender, receiver = Sender(SUITE, keys), Receiver(SUITE, keys)
    mkis = []
    for seq in range(65534, 65540):
        wire = sender.protect(packet.rtp(seq & 0xFFFF, 1))
        mkis.append(wire[-11])
        assert receiver.unprotect(wire) == packet.rtp(seq & 0xFFFF, 1)
    assert mkis == [1, 1, 1, 2, 2, 2]
    assert outcome(sender.protect, packet.rtp(10, 1)) == "tx-key-expired"
    assert sender.rollover_counter(1) == 1  # kept over the change of key


# --- exported state --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [64, 1024, 1025, 32767])
def test_state_survives(window: int) -> None:
    """A sender goes on where it was and repeats nothing; a receiver takes nothing twice."""
    sender, receiver = Sender(SUITE, KEY, window=window, roc=2), Receiver(SUITE, KEY, window=window, roc=2)
    sent = []
    for seq in [*range(65500, 65536), *range(20)]:
        if seq % 5:
            sent.append(sender.protect(packet.rtp(seq, 1)))
            receiver.unprotect(sent[-1])
    control = [sender.protect_rtcp(packet.rtcp(1)) for _ in range(3)]
    for wire in control:
        receiver.unprotect_rtcp(wire)
    sender2, receiver2 = Sender(SUITE, KEY, window=window), Receiver(SUITE, KEY, window=window)
    sender2.restore_state(sender.export_state())
    receiver2.restore_state(receiver.export_state())
    assert [outcome(receiver2.unprotect, wire) for wire in sent] == ["replay"] * len(sent)
    assert [outcome(receiver2.unprotect_rtcp, wire) for wire in control] == ["replay"] * 3
    assert outcome(sender2.protect, packet.rtp(19, 1)) == "tx-duplicate"
    assert sender2.protect(packet.rtp(15, 1)) == made(3 << 16 | 15)  # not sent before: still inside the window
    assert sender2.protect(packet.rtp(20, 1)) == made(3 << 16 | 20)
    assert sender2.protect_rtcp(packet.rtcp(1)) == made_rtcp(3)


def test_state_keeps_renamed_sources_and_lifetimes() -> None:
    sender = Sender(SUITE, MasterKey(KEY, lifetime=6), window=64)
    for seq in (1000, 1001, 10, 11):
        wire = outcome(sender.protect, packet.rtp(seq, 1))
    assert isinstance(wire, bytes)
    renamed = int.from_bytes(wire[8:12], "big")
    assert renamed != 1
    after = Sender(SUITE, MasterKey(KEY, lifetime=6), window=64)
    after.restore_state(sender.export_state())
    assert after.protect(packet.rtp(12, 1)) == made(12, renamed)
    assert after.protect(packet.rtp(12, renamed))[8:12] != wire[8:12]
    assert isinstance(after.protect(packet.rtp(13, 1)), bytes)
    assert outcome(after.protect, packet.rtp(14, 1)) == "tx-key-expired"


def test_state_keeps_which_source_is_the_oldest() -> None:
    sender = Sender(SUITE, KEY, max_ssrcs=3)
    for ssrc in (1, 2, 3):
        sender.protect(packet.rtp(1, ssrc))
    after = Sender(SUITE, KEY, max_ssrcs=3)
    after.restore_state(sender.export_state())
    after.protect(packet.rtp(1, 4))
    assert [after.rollover_counter(ssrc) for ssrc in (1, 2, 3)] == [None, 0, 0]


def test_state_of_another_kind_is_refused() -> None:
    sender = Sender(SUITE, KEY)
    sender.protect(packet.rtp(1, 1))
    state = sender.export_state()
    others = [
        Receiver(SUITE, KEY),
        Sender("AES_CM_128_HMAC_SHA1_32", KEY),
        Sender(SUITE, [MasterKey(KEY, mki=b"a"), MasterKey(OTHER, mki=b"b")]),
        Sender(SUITE, KEY, window=2000),
    ]
    for other in others:
        with pytest.raises(ValueError, match="state"):
            other.restore_state(state)


def test_damaged_state_is_refused() -> None:
    sender = Sender(SUITE, KEY, max_ssrcs=2)
    for ssrc in (1, 2):
        sender.protect(packet.rtp(1, ssrc))
    state = sender.export_state()
    damaged = [state[:length] for length in range(0, len(state), 7)] + [state + b"x", b"x" + state[1:], state + state]
    for octets in damaged:
        with pytest.raises(ValueError, match="state"):
            Sender(SUITE, KEY, max_ssrcs=2).restore_state(octets)
    with pytest.raises(ValueError, match="state"):
        Sender(SUITE, KEY, max_ssrcs=1).restore_state(state)


def test_random_damage_does_no_harm() -> None:
    """Whatever a state file holds: refused, or taken; the context works, and nothing crashes."""
    rng = random.Random("damage")
    sender = Sender(SUITE, KEY, window=64)
    for seq in (1000, 1001, 10, 11):
        outcome(sender.protect, packet.rtp(seq, 1))
    state = sender.export_state()
    refused = 0
    for _ in range(500):
        octets = bytearray(state)
        for _ in range(rng.randint(1, 4)):
            octets[rng.randrange(len(octets))] = rng.getrandbits(8)
        target = Sender(SUITE, KEY, window=64)
        try:
            target.restore_state(bytes(octets))
        except ValueError:
            refused += 1
        for seq in (1000, 11, 12, 13, 60000):
            outcome(target.protect, packet.rtp(seq, 1))
        outcome(target.protect_rtcp, packet.rtcp(1))
        target.export_state()
    assert 0 < refused < 500


@pytest.mark.parametrize("window", [64, 3000])
def test_a_source_keeps_its_record_whatever_the_state_says(window: int) -> None:
    """Which record a source lies in, and of which kind, is this context's own knowledge."""
    sender = Sender(SUITE, KEY, window=window)
    sender.protect(packet.rtp(1, 0x01020304))
    octets = bytearray(sender.export_state())
    last = octets.index((0x01020304).to_bytes(4, sys.byteorder)) + STREAM_FLAGS
    assert octets[last : last + 2] == bytes([1, window > 1024])
    octets[last : last + 2] = bytes([0, window <= 1024])
    restored = Sender(SUITE, KEY, window=window)
    restored.restore_state(bytes(octets))
    for ssrc in (5, 6):
        restored.protect(packet.rtp(1, ssrc))
    for ssrc in (5, 0x01020304, 6):
        for seq in (1, 2000):
            with pytest.raises(ReplayError):
                restored.protect(packet.rtp(1, ssrc))
            restored.protect(packet.rtp(seq + 1, ssrc))
        with pytest.raises(ReplayError):
            restored.protect(packet.rtp(2, ssrc))


def test_state_is_not_restored_over_what_was_sent() -> None:
    """A source of the state may leave under an SSRC that this context has used: two would share its indices."""
    sender = Sender(SUITE, KEY, window=64)
    for seq in (1000, 1001, 10, 11):
        wire = outcome(sender.protect, packet.rtp(seq, 1, bytes(16)))
    assert isinstance(wire, bytes)
    other = Sender(SUITE, KEY, window=64)
    other.protect(packet.rtp(20, int.from_bytes(wire[8:12], "big"), bytes(16)))
    with pytest.raises(ValueError, match="state"):
        other.restore_state(sender.export_state())


# --- sources ---------------------------------------------------------------------------------------------------------


def test_sources_are_apart() -> None:
    sender, receiver = Sender(SUITE, KEY), Receiver(SUITE, KEY)
    for seq in (65535, 0):
        for ssrc in range(64):
            assert receiver.unprotect(sender.protect(packet.rtp((seq + 100 * ssrc) & 0xFFFF, ssrc))) is not None
    assert sender.rollover_counter(0) == receiver.rollover_counter(0) == 1
    assert sender.rollover_counter(1) == receiver.rollover_counter(1) == 0


@pytest.mark.parametrize("limit", [1, 3, 64])
def test_a_receiver_takes_no_more_sources_than_its_limit(limit: int) -> None:
    receiver = Receiver(SUITE, KEY, max_ssrcs=limit)
    for ssrc in range(limit):
        receiver.unprotect(made(1, ssrc))
        receiver.unprotect_rtcp(made_rtcp(1, ssrc))
    assert outcome(receiver.unprotect, made(1, limit)) == "ssrc-limit"
    assert outcome(receiver.unprotect_rtcp, made_rtcp(1, limit)) == "ssrc-limit"
    assert receiver.unprotect(made(2, 0)) == packet.rtp(2, 0)


def test_forged_sources_take_no_room() -> None:
    receiver = Receiver(SUITE, KEY, max_ssrcs=1)
    for ssrc in range(1000):
        assert outcome(receiver.unprotect, made(1, ssrc, OTHER), now=NOW) == "auth-failed"
    assert receiver.unprotect(made(1, 5)) == packet.rtp(1, 5)


def test_a_sender_gives_up_the_source_used_least_recently() -> None:
    """It may not take the SSRC of a source that it no longer knows: that one comes back under another."""
    sender = Sender(SUITE, KEY, max_ssrcs=2)
    first = sender.protect(packet.rtp(1, 1, bytes(16)))
    sender.protect(packet.rtp(1, 2))
    sender.protect(packet.rtp(1, 3))
    assert sender.rollover_counter(1) is None
    again = sender.protect(packet.rtp(1, 1, bytes(16)))
    assert again[8:12] != first[8:12]
    assert again[12:28] != first[12:28]


# --- re-keying -------------------------------------------------------------------------------------------------------


def test_rekey_keeps_rollover_counters() -> None:
    """RFC 3711 3.3.1: the ROC is not reset by a change of key."""
    sender, receiver = Sender(SUITE, KEY, roc=4), Receiver(SUITE, KEY, roc=4)
    receiver.unprotect(sender.protect(packet.rtp(100, 1)))
    sender.rekey(OTHER)
    receiver.rekey(OTHER)
    wire = sender.protect(packet.rtp(101, 1))
    assert wire == made(4 << 16 | 101, key=OTHER)
    assert receiver.unprotect(wire) == packet.rtp(101, 1)


def test_rekey_takes_packets_on_their_way_until_the_overlap_ends() -> None:
    receiver = Receiver(SUITE, KEY)
    receiver.unprotect(made(1))
    receiver.rekey(OTHER, overlap=1000.0)
    assert receiver.unprotect(made(2)) == packet.rtp(2, 1)
    assert outcome(receiver.unprotect, made(1)) != packet.rtp(1, 1)
    assert receiver.unprotect(made(3, key=OTHER)) == packet.rtp(3, 1)
    receiver.rekey(KEY[:29] + b"\0")
    assert outcome(receiver.unprotect, made(4, key=OTHER)) == "auth-failed"


def test_rekey_takes_a_far_end_that_started_over() -> None:
    """RFC 4568 7.1.4: with a new key some start again from ROC 0."""
    receiver = Receiver(SUITE, KEY)
    receiver.set_rollover_counter(1, 3)
    receiver.unprotect(made(3 << 16 | 7))
    receiver.rekey(OTHER)
    assert receiver.unprotect(made(8, key=OTHER)) == packet.rtp(8, 1)


def test_rekey_to_a_key_used_before_is_refused() -> None:
    """The new context has an empty window: the indices of before would be open again."""
    sender = Sender(SUITE, KEY)
    sender.protect(packet.rtp(5, 1))
    with pytest.raises(ValueError, match="key"):
        sender.rekey(KEY)
    assert outcome(sender.protect, packet.rtp(5, 1)) == "tx-duplicate"
    sender.rekey(OTHER)
    with pytest.raises(ValueError, match="key"):
        sender.rekey(KEY)


def test_a_refused_rekey_changes_nothing() -> None:
    sender = Sender(SUITE, KEY)
    sender.protect(packet.rtp(5, 1))
    with pytest.raises(ValueError, match="octets"):
        sender.rekey(KEY[:5])
    assert sender.protect(packet.rtp(6, 1)) == made(6)


def test_contexts_give_their_records_back() -> None:
    before = _native.memory_use()["arenas"]
    for _ in range(50):
        contexts = [Sender(SUITE, KEY, window=2000), Receiver(SUITE, KEY)]
        protect_many([(contexts[0], packet.rtp(1, ssrc)) for ssrc in range(70)])  # type: ignore[misc]
        contexts[0].rekey(OTHER)
        del contexts
    assert _native.memory_use()["arenas"] == before
