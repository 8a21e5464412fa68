"""Keys in a relay: every pair of suites, verify-and-forward, rollover counters found again, several master keys,
windows, sources that come and go at the limit, and the sending state."""

from __future__ import annotations

import itertools
import random

import pytest
from model.packet import random_rtp, rtcp, rtp
from model.suites import SUITES
from model.transform import BadTag
from model.window import SEQUENCE
from native.rig import RELAY_SUITES, SSRC, SUITE, Keys, Rig, masters, sequences
from support import campaign

from srtpgw.errors import KeyReuse, MediaError

# --- suites


@pytest.mark.parametrize(("one", "other"), list(itertools.product([*RELAY_SUITES, None], repeat=2)))
def test_every_pair_of_suites(one: str | None, other: str | None) -> None:
    """RTP and RTCP both ways between legs of any two suites, None being plain."""
    rng = random.Random(f"{one} {other}")
    with Rig(seed=f"{one} {other}") as rig:
        a = rig.secure(one) if one else rig.plain()
        b = rig.secure(other) if other else rig.plain()
        rig.join(a, b)
        for number in range(8):
            for talker, listener in ((a, b), (b, a)):
                packet = random_rtp(rng, number, SSRC, rng.choice((12, 60, 172, 1400)))
                if packet[0] & 0x20 and talker.sends is None:
                    packet = bytes([packet[0] & ~0x20]) + packet[1:]
                talker.send(talker.seal(packet))
                talker.send_rtcp(talker.seal_rtcp(rtcp(SSRC)))
                rig.run()
                assert listener.heard() == [packet]
                assert listener.heard_rtcp() == [rtcp(SSRC)]
        assert rig.drops() == {}


def test_another_suite_each_way() -> None:
    with Rig() as rig:
        phone = rig.secure(sends=rig.keys("AEAD_AES_256_GCM"), hears=rig.keys("AES_256_CM_HMAC_SHA1_32"))
        trunk = rig.plain()
        rig.join(phone, trunk)
        phone.say(1)
        trunk.say(2)
        assert (sequences(trunk.heard()), sequences(phone.heard())) == ([1], [2])


@pytest.mark.parametrize("suite", RELAY_SUITES)
def test_no_plain_octets_leave_an_encrypted_leg(suite: str) -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(suite), rig.plain()
        rig.join(phone, trunk)
        marker = b"sixteen octets.."
        trunk.send(rtp(1, SSRC, marker * 10))
        trunk.send_rtcp(rtcp(SSRC, marker * 4))
        rig.run()
        wires = phone.raw()
        assert len(wires) == 2
        assert all(marker not in wire for wire in wires)


# --- verify and forward


@pytest.mark.parametrize("suite", RELAY_SUITES)
@pytest.mark.parametrize("mki", [b"", b"\x01\x02"])
def test_verify_and_forward(suite: str, mki: bytes) -> None:
    """The very octets that arrived leave; what is not authentic does not; the other way is re-encrypted."""
    with Rig() as rig:
        shared = rig.keys(suite, mki=mki)
        phone, far = rig.secure(sends=shared, hears=rig.keys(suite)), rig.secure(sends=rig.keys(suite), hears=shared)
        rig.join(phone, far)
        good = [phone.seal(rtp(sequence, SSRC)) for sequence in range(5)]
        reports = [phone.seal_rtcp(rtcp(SSRC)) for _ in range(3)]
        for wire in (*good, good[2]):
            phone.send(wire)
        for wire in (*reports, reports[0]):
            phone.send_rtcp(wire)
        phone.send(good[0][:-1] + bytes([good[0][-1] ^ 1]))
        phone.send(phone.seal(rtp(9, SSRC))[:-1])
        phone.send_rtcp(reports[2][:-1] + bytes([reports[2][-1] ^ 1]))
        rig.run()
        assert far.raw() == good + reports
        assert sum(phone.counted.rtp.drops.values()) == 3
        assert sum(phone.counted.rtcp.drops.values()) == 2
        far.say(1)
        wire = phone.raw()[0]
        assert phone.hears is not None
        assert phone.hears.open(wire) == rtp(1, SSRC)
        assert wire not in good


def test_verify_and_forward_both_ways_over_a_rollover() -> None:
    with Rig() as rig:
        there, back = rig.keys(), rig.keys()
        phone, far = rig.secure(sends=there, hears=back), rig.secure(sends=back, hears=there)
        rig.join(phone, far)
        for talker, listener in ((phone, far), (far, phone)):
            wires = [talker.seal(rtp(index % SEQUENCE, SSRC), index // SEQUENCE) for index in range(65530, 65545)]
            for wire in wires:
                talker.send(wire)
            rig.run()
            assert listener.raw() == wires
            assert talker.counted.rtp.roc == 1


def test_verify_and_forward_leaves_sources_as_they_are() -> None:
    """Nothing is renamed: a restarted source is the far end's to sort out, and RTCP is under its tag."""
    with Rig() as rig:
        shared = rig.keys()
        phone, far = rig.secure(sends=shared), rig.secure(hears=shared)
        rig.join(phone, far)
        wires = [phone.seal(rtp(sequence, SSRC)) for sequence in (3000, 2000, 2500)]
        for wire in wires:
            phone.send(wire)
        rig.run()
        assert far.raw() == wires
        assert rig.kinds() == []


def test_parted_legs_do_not_forward_any_more() -> None:
    """A leg that was verified and forwarded is decrypted again when joined to another."""
    with Rig() as rig:
        shared = rig.keys()
        phone, far, trunk = rig.secure(sends=shared), rig.secure(hears=shared), rig.plain()
        rig.join(phone, far)
        phone.say(1)
        rig.close(far)
        rig.join(phone, trunk)
        phone.say(2)
        assert trunk.raw() == [rtp(2, SSRC)]


def test_a_joined_leg_does_not_change_to_or_from_forwarding() -> None:
    with Rig() as rig:
        shared = rig.keys()
        phone, far = rig.secure(sends=shared), rig.secure(hears=shared)
        rig.join(phone, far)
        with pytest.raises(MediaError):
            rig.gateway.change(phone.leg, receive_keys=masters(rig.keys()))
        phone.say(1)
        assert sequences(far.heard()) == [1]


def test_a_key_in_two_places_is_refused() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        assert phone.sends is not None
        assert phone.hears is not None
        there, back = phone.sends, phone.hears
        for sends, hears in ((there, None), (None, back), (back, None), (None, there)):
            with pytest.raises(KeyReuse):
                rig.secure(sends=sends, hears=hears)
        assert len(rig.gateway.legs) == 2
        phone.say(1)
        assert sequences(trunk.heard()) == [1]


# --- a rollover counter that is not known


@pytest.mark.parametrize("suite", [SUITE, "AEAD_AES_128_GCM"])
@pytest.mark.parametrize(("roc", "hints"), [(1, ()), (3, ()), (70000, (9, 70000))])
def test_late_join(suite: str, roc: int, hints: tuple[int, ...]) -> None:
    """Three failures, one that is found and not yet believed, and from the next on all pass."""
    with Rig() as rig:
        phone, trunk = rig.secure(suite, roc_hints=hints), rig.plain()
        rig.join(phone, trunk)
        phone.say(*range(100, 120), roc=roc)
        assert sequences(trunk.heard()) == list(range(104, 120))
        assert phone.counted.rtp.drops == {"auth-failed": 3, "roc-unknown": 1}
        assert phone.counted.rtp.roc == roc
        assert rig.kinds() == ["roc-recovered"]
        phone.send(phone.seal(rtp(103, SSRC), roc))  # was committed with the next: a replay now
        rig.run()
        assert phone.counted.rtp.drops["replay"] == 1


def test_late_join_beside_a_forger() -> None:
    """Forged packets of the source use up trials, not state: the search goes on when there are trials again."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        forger = rig.keys()
        for sequence in range(100):
            phone.send(forger.seal(rtp(sequence, SSRC)))
        rig.run()
        rig.advance(2)
        phone.say(*range(500, 510), roc=2)
        assert sequences(trunk.heard()) == list(range(501, 510))
        assert phone.counted.rtp.drops == {"auth-failed": 100, "roc-unknown": 1}


def test_a_lost_rollover_is_found_again() -> None:
    """More than half the sequence space is lost: the estimate is one rollover behind."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        phone.say(100)
        phone.say(*range(40000, 40010), roc=1)
        assert sequences(trunk.heard()) == [100, *range(40004, 40010)]
        phone.say(101)  # what was received before cannot come back
        assert trunk.heard() == []
        assert phone.counted.rtp.drops == {"auth-failed": 4, "roc-unknown": 1}


# --- several master keys, lifetimes, windows


@pytest.mark.parametrize("suite", [SUITE, "AEAD_AES_128_GCM"])
def test_several_master_keys(suite: str) -> None:
    """A packet may come under any; we go on to the next one when a lifetime is used up."""
    with Rig() as rig:
        parts = [rig.keys(suite, mki=bytes([number]), lifetime=3) for number in range(3)]
        sends = Keys(SUITES[suite], tuple(part.keys[0] for part in parts))
        hears = Keys(SUITES[suite], tuple(rig.keys(suite, mki=bytes([n]), lifetime=2).keys[0] for n in range(2)))
        phone, trunk = rig.secure(sends=sends, hears=hears), rig.plain()
        rig.join(phone, trunk)
        for sequence in range(9):
            phone.send(sends.seal(rtp(sequence, SSRC), which=sequence % 3))
        phone.send(sends.seal(rtp(9, SSRC), which=1))
        for sequence in range(5):
            trunk.send(rtp(sequence, SSRC))
        rig.run()
        assert sequences(trunk.heard()) == list(range(9))
        assert phone.counted.rtp.drops == {"receive-key-expired": 1}
        opened = [hears.open(wire, which=number // 2) for number, wire in enumerate(phone.raw())]
        assert opened == [rtp(number, SSRC) for number in range(4)]
        assert trunk.counted.rtp.drops == {"tx-key-expired": 1}
        assert rig.kinds() == ["key-expired"]


def test_a_new_key_starts_a_stream_that_had_expired() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(hears=rig.keys(lifetime=2)), rig.plain()
        rig.join(phone, trunk)
        trunk.say(1, 2, 3)
        fresh = rig.keys()
        rig.gateway.change(phone.leg, transmit_keys=masters(fresh))
        phone.raw()
        phone.hears = fresh
        trunk.say(4)
        assert sequences(phone.heard()) == [4]


@pytest.mark.parametrize("window", [64, 1024, 5000, 32767])
def test_window(window: int) -> None:
    """Both windows of a leg reach back just so far."""
    with Rig() as rig:
        phone, trunk = rig.secure(window=window), rig.plain()
        rig.join(phone, trunk)
        phone.say(40000, 40000 - window, 40001 - window, 40001 - window)
        trunk.say(40000, 40000 - window)
        trunk.say(40001 - window, 40001 - window)
        assert sequences(trunk.heard()) == sequences(phone.heard()) == [40000, 40001 - window]
        assert phone.counted.rtp.drops == {"too-old": 1, "replay": 1}
        assert trunk.counted.rtp.drops == {"tx-too-old": 1, "tx-duplicate": 1}


# --- sources at the limit


def test_senders_at_the_limit_take_turns() -> None:
    """The source used least recently is forgotten; coming back it gets another SSRC, so no index is used twice."""
    with Rig() as rig:
        phone, trunk = rig.secure(max_ssrcs=2), rig.plain()
        rig.join(phone, trunk)
        for ssrc in (1, 2, 1, 3, 2, 1):
            trunk.say(7 if ssrc != 1 else 7 + trunk.counted.rtp.received_packets, ssrc=ssrc)
        outgoing = [int.from_bytes(packet[8:12], "big") for packet in phone.heard()]
        assert outgoing[:3] == [1, 2, 1]
        assert len(set(outgoing)) == 5  # 3, 2 and 1 under new names
        assert not set(outgoing[3:]) & {1, 2, 3}
        assert rig.drops() == {}


@pytest.mark.parametrize("seed", range(campaign(30)))
def test_no_index_leaves_twice(seed: int) -> None:
    """Whatever a plain end does with its numbers: no two packets leave under one SSRC and index, and few are lost."""
    rng = random.Random(seed)
    with Rig(seed=seed) as rig:
        phone, trunk = rig.secure(window=64, max_ssrcs=3), rig.plain()
        rig.join(phone, trunk)
        seen: dict[bytes, bytes] = {}
        position = {ssrc: rng.getrandbits(16) for ssrc in range(5)}
        for _ in range(400):
            ssrc = rng.randrange(5)
            kind = rng.random()
            if kind < 0.05:
                position[ssrc] = rng.getrandbits(16)
            elif kind < 0.1:
                position[ssrc] = max(position[ssrc] - rng.randint(1, 40), 0)
            position[ssrc] = (position[ssrc] + 1) % SEQUENCE
            trunk.send(rtp(position[ssrc], ssrc, rng.randbytes(20)))
            if kind > 0.8:
                rig.run()
        rig.run()
        wires = phone.raw()
        for wire in wires:
            # under one key the keystream is that of the SSRC and the index: equal ones would decrypt each other
            roc = next(roc for roc in range(8) if opens(phone.hears, wire, roc))
            place = wire[8:12] + roc.to_bytes(4, "big") + wire[2:4]
            assert place not in seen
            seen[place] = wire
        assert len(wires) > 200


def opens(keys: Keys | None, wire: bytes, roc: int) -> bool:
    assert keys is not None
    try:
        keys.open(wire, roc)
    except BadTag:
        return False
    return True


def test_sending_state_is_taken_up_again() -> None:
    """A leg opened anew with the state of before sends no index again, and keeps the names it gave."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        trunk.say(5000, 1, 2, 30000, 62000, 65000, 3)
        outgoing = {packet[8:12] for packet in phone.raw()}
        trunk.send_rtcp(rtcp(SSRC))
        rig.run()
        assert phone.hears is not None
        indices = [phone.hears.index(wire) for wire in phone.raw()]
        state, hears = phone.leg.export_sending_state(), phone.hears
        rig.close(phone, trunk)
        phone, trunk = rig.secure(hears=hears, sending_state=state), rig.plain()
        rig.join(phone, trunk)
        trunk.say(65000, 3, 4)
        trunk.send_rtcp(rtcp(SSRC))
        rig.run()
        wires = phone.raw()
        assert trunk.counted.rtp.drops == {"tx-duplicate": 2}
        assert hears.open(wires[0], 1)[2:4] == b"\x00\x04"
        assert wires[0][8:12] in outgoing
        assert hears.index(wires[1]) == indices[0] + 1
