"""Re-keying in mid-call: rollover counters kept or zero, packets under the key before, sources that were silent,
renamed or forgotten, and the sending state afterwards."""

from __future__ import annotations

import random

import pytest
from model.packet import rtcp, rtp
from native.rig import RELAY_SUITES, SSRC, SUITE, Rig, masters, sequences


@pytest.mark.parametrize("suite", RELAY_SUITES)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "zero"])
def test_receiving_rekey(suite: str, kept: bool) -> None:
    """The far end keeps its rollover counter (RFC 3711 3.3.1) or starts over; both are found, and nothing is lost."""
    roc = 3
    with Rig() as rig:
        phone, trunk = rig.secure(suite), rig.plain()
        rig.join(phone, trunk)
        for step in range(roc + 1):
            phone.say(10000, 30000, 50000, roc=step)
        rig.run()
        trunk.raw()
        fresh = rig.keys(suite)
        rig.gateway.change(phone.leg, receive_keys=masters(fresh))
        phone.sends = fresh
        phone.say(*range(50001, 50040), roc=roc if kept else 0)
        phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)))
        rig.run()
        assert sequences(trunk.heard()) == list(range(50001, 50040))
        assert trunk.heard_rtcp() == [rtcp(SSRC)]
        assert rig.drops() == {}
        assert phone.counted.rtp.roc == (roc if kept else 0)


@pytest.mark.parametrize("suite", [SUITE, "AEAD_AES_128_GCM"])
def test_packets_on_their_way_while_the_key_changes(suite: str) -> None:
    """Old and new interleaved within the overlap: all pass, none twice, in one batch or many."""
    rng = random.Random(suite)
    with Rig() as rig:
        phone, trunk = rig.secure(suite), rig.plain()
        rig.join(phone, trunk)
        old = [phone.seal(rtp(sequence, SSRC)) for sequence in range(60)]
        old_reports = [phone.seal_rtcp(rtcp(SSRC)) for _ in range(5)]
        for wire in old[:30]:
            phone.send(wire)
        rig.run()
        fresh = rig.keys(suite)
        rig.gateway.change(phone.leg, receive_keys=masters(fresh), overlap=2.0)
        phone.sends = fresh
        mixed = old[30:] + [phone.seal(rtp(sequence, SSRC)) for sequence in range(60, 90)]
        order = sorted(range(60), key=lambda place: place + rng.uniform(-15, 15))
        for place in order:
            phone.send(mixed[place])
            if rng.random() < 0.3:
                rig.run()
        for report in old_reports:
            phone.send_rtcp(report)
        rig.run()
        assert sorted(sequences(trunk.heard())) == list(range(90))
        assert len(trunk.heard_rtcp()) == 5
        assert rig.drops() == {}
        for wire in (*old, *mixed):
            phone.send(wire)
        for report in old_reports:
            phone.send_rtcp(report)
        rig.run()
        assert trunk.raw() == []
        # a replay under the key before is a failure under the key of now
        assert phone.counted.rtp.drops == {"replay": 30, "auth-failed": 90}
        assert phone.counted.rtcp.drops == {"auth-failed": 5}


def test_the_overlap_ends() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        old = phone.sends
        assert old is not None
        phone.say(1)
        fresh = rig.keys()
        rig.gateway.change(phone.leg, receive_keys=masters(fresh), overlap=2.0)
        phone.sends = fresh
        rig.advance(1.9)
        phone.send(old.seal(rtp(2, SSRC)))
        rig.run()
        rig.advance(60)  # the gateway reads a clock of its own for the start
        phone.send(old.seal(rtp(3, SSRC)))
        phone.send_rtcp(old.seal_rtcp(rtcp(SSRC), 7))
        rig.run()
        assert sequences(trunk.heard()) == [1, 2]
        counted = phone.counted
        assert (counted.rtp.drops, counted.rtcp.drops) == ({"auth-failed": 1}, {"auth-failed": 1})
        assert counted.rtp.auth_failed_previous_key == 1


def test_an_old_packet_does_not_move_the_address() -> None:
    """Under the key before, no packet is the newest."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        phone.say(1)
        late = phone.seal(rtp(2, SSRC))
        fresh = rig.keys()
        rig.gateway.change(phone.leg, receive_keys=masters(fresh))
        phone.sends = fresh
        phone.say(3)
        phone.send(late, source=phone.address._replace(port=9))
        rig.run()
        assert sequences(trunk.heard()) == [1, 3, 2]
        assert phone.counted.rtp.remote_changes == 0


def test_two_rekeys_within_the_overlap() -> None:
    """The key before last is gone."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        generations = [phone.sends, rig.keys(), rig.keys()]
        phone.say(1)
        for keys in generations[1:]:
            assert keys is not None
            rig.gateway.change(phone.leg, receive_keys=masters(keys))
        for sequence, keys in enumerate(generations, 2):
            assert keys is not None
            phone.send(keys.seal(rtp(sequence, SSRC)))
        rig.run()
        assert sequences(trunk.heard()) == [1, 3, 4]
        assert phone.counted.rtp.drops == {"auth-failed": 1}


def test_a_rekey_to_another_suite() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        phone.say(1)
        old = phone.sends
        phone.sends, phone.hears = rig.keys("AEAD_AES_256_GCM"), rig.keys("AEAD_AES_256_GCM")
        rig.gateway.change(
            phone.leg, suite="AEAD_AES_256_GCM", receive_keys=masters(phone.sends), transmit_keys=masters(phone.hears)
        )
        assert old is not None
        phone.say(3)
        phone.send(old.seal(rtp(2, SSRC)))
        trunk.say(1)
        assert sequences(trunk.heard()) == [1, 3, 2]
        assert sequences(phone.heard()) == [1]


def test_a_packet_too_short_for_the_suite_before() -> None:
    """While the cause of a failure is looked for: long enough for the tag of now, not for the one before."""
    with Rig() as rig:
        phone, trunk = rig.secure("AEAD_AES_128_GCM"), rig.plain()
        rig.join(phone, trunk)
        short = "AES_CM_128_HMAC_SHA1_32"
        rig.gateway.change(
            phone.leg,
            overlap=0.0,
            suite=short,
            receive_keys=masters(rig.keys(short)),
            transmit_keys=masters(rig.keys(short)),
        )
        rig.advance(1)
        phone.send(rtp(1, SSRC, bytes(6)))
        rig.run()
        assert phone.counted.rtp.drops == {"auth-failed": 1}
        assert phone.counted.rtp.auth_failed_previous_key == 0
        assert trunk.raw() == []


@pytest.mark.parametrize("suite", [SUITE, "AEAD_AES_256_GCM"])
def test_sending_rekey_keeps_the_rollover_counter(suite: str) -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(suite), rig.plain()
        rig.join(phone, trunk)
        trunk.say(40000, 65535, 10, 30000, 62000)
        assert phone.hears is not None
        first, second = phone.raw()[:2], 1
        assert [phone.hears.open(wire) for wire in first] == [rtp(40000, SSRC), rtp(65535, SSRC)]
        fresh = rig.keys(suite)
        rig.gateway.change(phone.leg, transmit_keys=masters(fresh))
        phone.hears = fresh
        trunk.say(62001)
        assert phone.heard(roc=second) == [rtp(62001, SSRC)]
        trunk.say(5)
        assert phone.heard(roc=second + 1) == [rtp(5, SSRC)]


def test_a_silent_source_is_known_after_two_rekeys() -> None:
    """Nothing passes under the key between the two, as on hold: rollover counter and name go on all the same."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        trunk.say(5000, 1, 2)
        name = phone.heard()[-1][8:12]
        for sequence, roc in ((20000, 0), (50000, 0), (20, 1)):
            trunk.send(rtp(sequence, SSRC))
            phone.send(phone.seal(rtp(sequence, SSRC), roc))
        rig.run()
        assert (len(phone.raw()), len(trunk.raw())) == (3, 3)
        for _ in range(2):
            phone.sends, phone.hears = rig.keys(), rig.keys()
            rig.gateway.change(phone.leg, receive_keys=masters(phone.sends), transmit_keys=masters(phone.hears))
        trunk.send(rtp(21, SSRC))
        phone.send(phone.seal(rtp(21, SSRC), 1))
        rig.run()
        assert trunk.heard() == [rtp(21, SSRC)]
        assert [packet[8:12] for packet in phone.heard(roc=1)] == [name]


def test_eviction_after_a_rekey() -> None:
    """A source that was forgotten under the new key does not go on from what it was under the one before."""
    with Rig() as rig:
        phone, trunk = rig.secure(max_ssrcs=2), rig.plain()
        rig.join(phone, trunk)
        trunk.say(100, ssrc=1)
        phone.raw()
        phone.hears = rig.keys()
        rig.gateway.change(phone.leg, transmit_keys=masters(phone.hears))
        for sequence, ssrc in ((101, 1), (7, 2), (7, 3), (101, 1)):
            trunk.say(sequence, ssrc=ssrc)
        sources = [packet[8:12] for packet in phone.heard()]
        assert len(set(sources)) == 4
        assert sources[:2] == [b"\0\0\0\1", b"\0\0\0\2"]


def test_sending_state_after_a_rekey() -> None:
    """It knows the sources that have not spoken under the new key yet: their rollover counters go on."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        trunk.say(40000, 65000, 20)
        phone.raw()
        fresh = rig.keys()
        rig.gateway.change(phone.leg, transmit_keys=masters(fresh))
        state = phone.leg.export_sending_state()
        rig.close(phone, trunk)
        phone, trunk = rig.secure(hears=fresh, sending_state=state), rig.plain()
        rig.join(phone, trunk)
        trunk.say(21)
        assert phone.heard(roc=1) == [rtp(21, SSRC)]
