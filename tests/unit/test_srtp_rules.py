"""The rules of a stream, one by one: what tests/native/test_engine_sender.py and _receiver.py try at random."""

from __future__ import annotations

import random

import pytest
from model import packet, transform
from model.compare import NOW, outcome
from model.keys import session_keys
from model.suites import SUITES as FORMS
from model.window import SEQUENCE

from srtpgw.srtp import Receiver, Sender

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = bytes(range(0x60, 0x60 + 30))
SECOND = 10**9  # ns


def made(index: int, ssrc: int = 1, key: bytes = KEY, payload: bytes = b"media") -> bytes:
    session = session_keys(FORMS[SUITE], key[:16], key[16:])
    return transform.protect_rtp(FORMS[SUITE], session, packet.rtp(index % SEQUENCE, ssrc, payload), index)


def made_rtcp(index: int, *, suite: str = SUITE, encrypt: bool = True, plain: bytes | None = None) -> bytes:
    form = FORMS[suite]
    session = session_keys(form, KEY[: form.key_length], KEY[form.key_length :][: form.salt_length], rtcp=True)
    return transform.protect_rtcp(form, session, packet.rtcp(1) if plain is None else plain, index, encrypt=encrypt)


def forged(wire: bytes) -> bytes:
    return wire[:-1] + bytes([wire[-1] ^ 1])


def seqs(sender: Sender, sequence_numbers: list[int] | range, ssrc: int = 1) -> list[bytes | str]:
    return [outcome(sender.protect, packet.rtp(seq, ssrc, bytes(16))) for seq in sequence_numbers]


def ssrc_of(wire: bytes | str) -> int:
    assert isinstance(wire, bytes)
    return int.from_bytes(wire[8:12], "big")


# --- sender: no keystream twice, and no silence ----------------------------------------------------------------------


def test_the_same_index_never_leaves_twice() -> None:
    sender = Sender(SUITE, KEY)
    seqs(sender, range(100))
    assert seqs(sender, [99, 98, 50, 0]) == ["tx-duplicate"] * 4
    assert isinstance(seqs(sender, [100])[0], bytes)


def test_late_packets_inside_the_window_leave_once() -> None:
    sender = Sender(SUITE, KEY, window=64)
    seqs(sender, [100, 163])
    assert isinstance(seqs(sender, [101])[0], bytes)
    assert seqs(sender, [101, 100]) == ["tx-duplicate"] * 2
    sender = Sender(SUITE, KEY, window=64)
    seqs(sender, [100, 164])
    assert seqs(sender, [100]) == ["tx-too-old"]


def test_a_restarted_source_goes_on_under_a_new_ssrc() -> None:
    """RFC 3550 A.1: one packet far behind is a straggler, two in sequence are a restart."""
    sender = Sender(SUITE, KEY)
    before = seqs(sender, range(30000, 30100))
    after = seqs(sender, [7, 8, 9, 10])
    assert after[0] == "tx-too-old"
    new = ssrc_of(after[1])
    assert new != 1
    assert after[1:] == [made(seq, new, payload=bytes(16)) for seq in (8, 9, 10)]
    streams = [wire[12:28] for wire in before + after if isinstance(wire, bytes)]
    assert len(streams) == len(set(streams))


def test_stragglers_apart_are_not_a_restart() -> None:
    sender = Sender(SUITE, KEY, window=64)
    seqs(sender, range(30000, 30010))
    assert seqs(sender, [7, 9, 11, 7, 9, 30010, 10, 12, 7]) == [
        *["tx-too-old"] * 5, made(30010, payload=bytes(16)), *["tx-too-old"] * 3
    ]  # fmt: skip
    # what was in sequence before a good packet does not count behind it
    assert seqs(sender, [20, 30011, 21])[::2] == ["tx-too-old", "tx-too-old"]


def test_a_short_recording_played_again_and_again_is_never_silent() -> None:
    """Shorter than the window, so that every packet is a duplicate: the eighth in sequence restarts the source."""
    sender = Sender(SUITE, KEY)
    rounds = [seqs(sender, range(500, 550)) for _ in range(3)]
    assert [sum(isinstance(wire, bytes) for wire in round_) for round_ in rounds] == [50, 43, 43]
    assert rounds[1][:7] == rounds[2][7:14] == ["tx-duplicate"] * 7
    assert len({ssrc_of(round_[-1]) for round_ in rounds}) == 3
    streams = [wire[12:28] for round_ in rounds for wire in round_ if isinstance(wire, bytes)]
    assert len(streams) == len(set(streams))


def test_duplicates_from_the_network_are_not_a_restart() -> None:
    sender = Sender(SUITE, KEY)
    doubled = [seq for seq in range(100) for _ in range(2)]
    assert {ssrc_of(wire) for wire in seqs(sender, doubled) if isinstance(wire, bytes)} == {1}


def test_reordering_over_the_rollover() -> None:
    sender, receiver = Sender(SUITE, KEY), Receiver(SUITE, KEY)
    order = [65533, 65535, 0, 65534, 2, 1, 65532, 3]
    for seq in order:
        assert receiver.unprotect(sender.protect(packet.rtp(seq, 1))) == packet.rtp(seq, 1)
    assert sender.rollover_counter(1) == receiver.rollover_counter(1) == 1


def test_an_incoming_ssrc_that_leaves_already_is_renamed() -> None:
    sender = Sender(SUITE, KEY, window=64)
    seqs(sender, range(1000, 1003))
    renamed = ssrc_of(seqs(sender, [5, 6])[1])
    collided = seqs(sender, range(20), renamed)
    assert len({ssrc_of(wire) for wire in collided}) == 1
    assert {ssrc_of(wire) for wire in collided}.isdisjoint({renamed, 1})


def test_no_ssrc_is_drawn_twice_or_in_use() -> None:
    sender = Sender(SUITE, KEY, window=64)
    seen = set()
    for start in range(60000, 0, -200):
        seen.add(ssrc_of(seqs(sender, range(start, start + 3))[-1]))
    assert len(seen) == 300


# --- receiver: state only after authentication -----------------------------------------------------------------------


def test_replays() -> None:
    receiver = Receiver(SUITE, KEY, window=64)
    for seq in (100, 102, 163):
        receiver.unprotect(made(seq))
    results = {seq: outcome(receiver.unprotect, made(seq)) for seq in (99, 100, 101, 102, 163, 164)}
    assert [results[seq] for seq in (99, 100, 102, 163)] == ["too-old", "replay", "replay", "replay"]
    assert results[101] == packet.rtp(101, 1, b"media")


def test_ten_thousand_forged_packets_move_nothing() -> None:
    """attacks: forged tags from the true address, sequence numbers all over; then every good packet passes."""
    rng = random.Random("flood")
    receiver = Receiver(SUITE, KEY)
    for seq in range(100):
        receiver.unprotect(made(seq))
    state = receiver.export_state()
    now = NOW
    for _ in range(10000):
        now += 100_000
        wire = bytearray(made(rng.getrandbits(16), rng.choice((1, 2)), payload=b""))
        wire[12:] = rng.randbytes(10)
        assert outcome(receiver.unprotect, bytes(wire), now=now) in ("auth-failed", "replay", "too-old")
    assert receiver.export_state() == state
    for seq in range(100, 200):
        assert receiver.unprotect(made(seq), now=now) == packet.rtp(seq, 1, b"media")


def test_a_forged_jump_moves_neither_rollover_counter_nor_window() -> None:
    receiver = Receiver(SUITE, KEY)
    receiver.unprotect(made(65530))
    for seq in (5, 0x7000, 65535, 32000):
        assert outcome(receiver.unprotect, forged(made(SEQUENCE + seq)), now=NOW) == "auth-failed"
    assert receiver.rollover_counter(1) == 0
    for index in (65531, 65529, 65536):
        receiver.unprotect(made(index))


@pytest.mark.parametrize("roc", [1, 2, 3])
def test_late_join_at_a_small_rollover_counter(roc: int) -> None:
    """Three failures, then the first good trial is refused still, and the second commits."""
    receiver = Receiver(SUITE, KEY)
    results = [outcome(receiver.unprotect, made(roc * SEQUENCE + seq), now=NOW) for seq in range(500, 506)]
    assert results[:4] == ["auth-failed", "auth-failed", "auth-failed", "roc-unknown"]
    assert results[4:] == [packet.rtp(seq, 1, b"media") for seq in (504, 505)]
    assert receiver.rollover_counter(1) == roc
    assert outcome(receiver.unprotect, made(roc * SEQUENCE + 503)) == "replay"  # committed with the second


def test_late_join_at_a_hint() -> None:
    receiver = Receiver(SUITE, KEY, roc_hints=[77])
    results = [outcome(receiver.unprotect, made(77 * SEQUENCE + seq), now=NOW) for seq in range(5)]
    assert results[3:] == ["roc-unknown", packet.rtp(4, 1, b"media")]


def test_an_unknown_rollover_counter_stays_unknown() -> None:
    receiver = Receiver(SUITE, KEY)
    results = {outcome(receiver.unprotect, made(9 * SEQUENCE + n), now=NOW + n * SECOND) for n in range(50)}
    assert results == {"auth-failed"}
    receiver.set_rollover_counter(1, 9)
    assert receiver.unprotect(made(9 * SEQUENCE + 60)) == packet.rtp(60, 1, b"media")


def test_a_lost_rollover_counter_is_searched_upwards_only() -> None:
    receiver = Receiver(SUITE, KEY)
    receiver.set_rollover_counter(1, 2)
    receiver.unprotect(made(2 * SEQUENCE + 10))
    down = [outcome(receiver.unprotect, made(SEQUENCE + seq), now=NOW) for seq in range(100, 108)]
    assert set(down) == {"auth-failed"}
    up = [outcome(receiver.unprotect, made(3 * SEQUENCE + seq), now=NOW + 9 * SECOND) for seq in range(100, 108)]
    assert up[-1] == packet.rtp(107, 1, b"media")


def test_one_replayed_packet_never_commits_a_rollover_counter() -> None:
    """An attacker has one old packet of ROC 1 and repeats it."""
    receiver = Receiver(SUITE, KEY)
    old = made(SEQUENCE + 9)
    results = {outcome(receiver.unprotect, old, now=NOW + n * SECOND) for n in range(20)}
    assert results == {"auth-failed", "roc-unknown"}
    assert receiver.rollover_counter(1) is None


@pytest.mark.parametrize("ahead", [-1, 0, 65, 1000])
def test_the_two_packets_are_in_order_near_and_soon(ahead: int) -> None:
    """Until the first one lapses, two seconds later, nothing else is tried for the source."""
    receiver = Receiver(SUITE, KEY)
    assert [outcome(receiver.unprotect, made(SEQUENCE + seq), now=NOW) for seq in range(100, 104)][3] == "roc-unknown"
    assert outcome(receiver.unprotect, made(SEQUENCE + 103 + ahead), now=NOW + SECOND) == "auth-failed"
    assert outcome(receiver.unprotect, made(2 * SEQUENCE + 104), now=NOW + SECOND) == "auth-failed"
    assert receiver.rollover_counter(1) is None
    assert outcome(receiver.unprotect, made(SEQUENCE + 105), now=NOW + 2 * SECOND + 1) == "roc-unknown"
    assert receiver.unprotect(made(SEQUENCE + 106), now=NOW + 3 * SECOND) == packet.rtp(106, 1, b"media")


def test_a_good_packet_starts_the_count_again() -> None:
    receiver = Receiver(SUITE, KEY)
    receiver.unprotect(made(10))
    for index in (2 * SEQUENCE + 20, 2 * SEQUENCE + 21, 11, 2 * SEQUENCE + 22, 2 * SEQUENCE + 23, 2 * SEQUENCE + 24):
        result = outcome(receiver.unprotect, made(index), now=NOW)
        assert result == (packet.rtp(11, 1, b"media") if index == 11 else "auth-failed")
    assert outcome(receiver.unprotect, made(2 * SEQUENCE + 25), now=NOW) == "roc-unknown"


@pytest.mark.parametrize(("forgeries", "reason"), [(5, "roc-unknown"), (6, "auth-failed")])
def test_ten_trials_at_once(forgeries: int, reason: str) -> None:
    """Seen from outside: a forger uses up three from the fourth packet on (ROC 1 to 3), and one of the ten is kept back
    for a confirmation."""
    receiver = Receiver(SUITE, KEY)
    for seq in range(forgeries):
        outcome(receiver.unprotect, forged(made(seq, 2)), now=NOW)
    results = [outcome(receiver.unprotect, made(SEQUENCE + seq), now=NOW) for seq in range(4)]
    assert results == ["auth-failed"] * 3 + [reason]


def test_trials_that_come_one_at_a_time_reach_every_candidate() -> None:
    """After a flood has emptied the bucket, a late joiner at ROC 3 is still found: each failure goes on where the last
    one stopped."""
    receiver = Receiver(SUITE, KEY)
    for seq in range(40):
        outcome(receiver.unprotect, forged(made(seq, 2)), now=NOW)
    step = SECOND // 50
    results = [outcome(receiver.unprotect, made(3 * SEQUENCE + seq), now=NOW + seq * step) for seq in range(100)]
    assert results.count("roc-unknown") == 1
    assert isinstance(results[-1], bytes)


def test_ten_trials_a_second() -> None:
    receiver = Receiver(SUITE, KEY)
    for seq in range(7):  # three failures, then 3 + 3 + 3 + 1 trials
        outcome(receiver.unprotect, forged(made(seq, 2)), now=NOW)
    for seq in range(8):
        assert outcome(receiver.unprotect, made(2 * SEQUENCE + seq), now=NOW) == "auth-failed"
    tenth = SECOND // 10
    assert outcome(receiver.unprotect, made(2 * SEQUENCE + 8), now=NOW + tenth) == "auth-failed"  # one: ROC 1
    assert outcome(receiver.unprotect, made(2 * SEQUENCE + 9), now=NOW + 3 * tenth) == "roc-unknown"  # two: ROC 1 and 2


def test_a_big_jump_before_the_first_rollover() -> None:
    """RFC 3711 3.3.1 has ROC 2^32 - 1 for a sequence number far ahead at ROC 0; there is none before 0."""
    receiver = Receiver(SUITE, KEY)
    for index in (5, 40000, 39999):
        assert receiver.unprotect(made(index)) == packet.rtp(index, 1, b"media")
    assert receiver.rollover_counter(1) == 0


def test_verify_keeps_the_same_books_as_unprotect() -> None:
    receiver = Receiver(SUITE, KEY)
    for seq in (65534, 65535, 0, 1):
        index = seq if seq > 9 else SEQUENCE + seq
        assert receiver.verify(made(index)) == made(index)
        assert outcome(receiver.unprotect, made(index)) == "replay"
    results = [outcome(receiver.verify, made(3 * SEQUENCE + seq, 5), now=NOW) for seq in range(5)]
    assert results[3:] == ["roc-unknown", made(3 * SEQUENCE + 4, 5)]


# --- SRTCP -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 2**31 - 2])
def test_srtcp_starts_at_any_index(first: int) -> None:
    receiver = Receiver(SUITE, KEY)
    for index in (first, first + 1):
        assert receiver.unprotect_rtcp(made_rtcp(index)) == packet.rtcp(1)
        assert outcome(receiver.unprotect_rtcp, made_rtcp(index)) == "replay"


def test_srtcp_window() -> None:
    receiver = Receiver(SUITE, KEY, window=64)
    for index in (100, 163):
        receiver.unprotect_rtcp(made_rtcp(index))
    assert outcome(receiver.unprotect_rtcp, made_rtcp(99)) == "too-old"
    assert outcome(receiver.unprotect_rtcp, made_rtcp(100)) == "replay"
    assert receiver.unprotect_rtcp(made_rtcp(101)) == packet.rtcp(1)


def test_srtcp_in_clear_is_dropped_where_encryption_was_agreed() -> None:
    """Authentic or not, plain RTCP or a forged BYE (attacks: E bit cleared)."""
    receiver = Receiver(SUITE, KEY)
    receiver.unprotect_rtcp(made_rtcp(1))
    authentic = made_rtcp(2, encrypt=False)
    assert outcome(receiver.unprotect_rtcp, authentic) == "srtcp-in-clear"
    assert outcome(receiver.unprotect_rtcp, packet.bye(1)) == "too-short"
    assert outcome(receiver.unprotect_rtcp, packet.bye(1) + b"\0\0\0\2" + bytes(10)) == "srtcp-in-clear"
    assert outcome(receiver.unprotect_rtcp, packet.bye(1) + b"\x80\0\0\2" + bytes(10)) == "auth-failed"
    assert receiver.unprotect_rtcp(made_rtcp(2)) == packet.rtcp(1)
    assert Receiver(SUITE, KEY, encrypt_rtcp=False).unprotect_rtcp(authentic) == packet.rtcp(1)


def test_the_e_bit_is_under_the_tag() -> None:
    wire = bytearray(made_rtcp(1))
    wire[-14] &= 0x7F
    assert outcome(Receiver(SUITE, KEY, encrypt_rtcp=False).unprotect_rtcp, bytes(wire)) == "auth-failed"


def test_srtcp_that_is_encrypted_all_the_same_is_taken() -> None:
    """UNENCRYPTED_SRTCP was agreed (RFC 4568 6.3.2) and a packet comes with E set: the packet says what it is."""
    assert Receiver(SUITE, KEY, encrypt_rtcp=False).unprotect_rtcp(made_rtcp(1)) == packet.rtcp(1)


def test_srtcp_encrypted_with_the_null_cipher() -> None:
    """RFC 3711 3.4 with 4.1.3: E may be set under a NULL suite, and the octets are what they are."""
    suite = "NULL_HMAC_SHA1_80"
    session = session_keys(FORMS[suite], KEY[:16], KEY[16:], rtcp=True)
    body = packet.rtcp(1) + (transform.E_BIT | 1).to_bytes(4, "big")
    wire = body + transform.hmac_sha1(session.auth, body, 10)
    assert Receiver(suite, KEY).unprotect_rtcp(wire) == packet.rtcp(1)


@pytest.mark.parametrize("words", [0, 1, 2, 5, 300])
@pytest.mark.parametrize("suite", FORMS)
def test_srtcp_round_trip(suite: str, words: int) -> None:
    form = FORMS[suite]
    key = bytes(range(form.key_length + form.salt_length))
    plain = packet.rtcp(1, bytes(4 * words))
    sender, receiver = Sender(suite, key), Receiver(suite, key)
    for _ in range(3):
        assert receiver.unprotect_rtcp(sender.protect_rtcp(plain)) == plain


# --- unauthenticated SRTP (RFC 4568 6.3.3) ---------------------------------------------------------------------------


def test_unauthenticated_srtp() -> None:
    sender, receiver = Sender(SUITE, KEY, authenticate_rtp=False), Receiver(SUITE, KEY, authenticate_rtp=False)
    wire = sender.protect(packet.rtp(1, 1))
    assert len(wire) == len(packet.rtp(1, 1))
    assert wire == made(1, payload=b"\xd5" * 20)[:-10]
    assert receiver.unprotect(wire) == packet.rtp(1, 1)
    assert outcome(receiver.unprotect, wire) == "replay"
    assert receiver.unprotect_rtcp(sender.protect_rtcp(packet.rtcp(1))) == packet.rtcp(1)
