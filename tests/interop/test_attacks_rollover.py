"""Rollover counters and key lifetimes: late join, jumps, reordering over the wrap, forged floods, the end of a key."""

from __future__ import annotations

from typing import Any

import pytest
from interop.wire import SUITE, Call, End, Keyed, Stage, drops, forged, fresh_key, until
from model import packet

from srtpgw.srtp import Sender

GCM = "AEAD_AES_128_GCM"
WRAP = 1 << 16
LAST_ROC = (1 << 32) - 1
SRTCP_END = 1 << 31


def hear_only(call: Call, count: int) -> None:
    """The phone sends `count` packets, with the other calls going on."""
    for _ in range(count):
        call.say(call.a)
        call.stage.beside.talk()
    call.stage.quiet(call.leg_a)


# --- row 5: rollover counter and window ------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [SUITE, GCM])
@pytest.mark.parametrize(("roc", "hints"), [(1, ()), (2, ()), (3, ()), (77, (5, 77)), (LAST_ROC, (LAST_ROC,))])
def test_late_join(scene: Stage, suite: str, roc: int, hints: tuple[int, ...]) -> None:
    """Three failures, one packet that shows the counter, and from the fifth on all pass."""
    call = scene.call(End(encrypted=True, suite=suite), roc_hints=hints)
    phone = call.a
    phone.index = roc * WRAP + 1000
    for _ in range(6):
        call.say(phone)
    hear_only(call, 10)
    phone.said = phone.said[4:]
    call.talk(20)
    call.settle()
    assert drops(call, phone) == {"auth-failed": 3, "roc-unknown": 1}
    found = call.statistics(phone).rtp
    assert (found.roc, found.roc_recoveries) == (roc, 1)
    assert [event.leg for event in scene.take_events("roc-recovered")] == [call.leg_a.id]


def test_late_join_at_a_counter_that_nobody_named(scene: Stage) -> None:
    """Refused and reported, however long it goes on; nothing of it is kept."""
    call = scene.call(roc_hints=(100,))
    call.a.index = 9 * WRAP
    hear_only(call, 50)
    assert drops(call, call.a) == {"auth-failed": 50}
    assert call.statistics(call.a).rtp.ssrc is None
    assert {event.detail["ssrc"] for event in scene.take_events("roc-unknown")} == {call.a.ssrc}
    call.a.said, call.a.index = [], 20
    call.talk(20)


def test_late_join_after_a_forged_flood_of_the_same_source(scene: Stage) -> None:
    """The flood uses up the trials, which come back with time; it cannot name a counter of its own."""
    call = scene.call()
    phone = call.a
    phone.index = 2 * WRAP + 500
    scene.flood(phone.rtp, call.leg_a, forged(phone, 500), beside=[scene.beside])

    def found() -> bool:
        hear_only(call, 1)
        return call.statistics(phone).rtp.roc_recoveries == 1

    until(found, "the rollover counter to be found")
    phone.said = phone.said[-1:]
    call.talk(20)
    call.settle()
    assert call.statistics(phone).rtp.roc == 2


@pytest.mark.parametrize("suite", [SUITE, GCM])
def test_reordering_over_the_wrap(scene: Stage, suite: str) -> None:
    """Both ways, shuffled in blocks over three wraps, with replays and forged packets between: each passes once."""
    call = scene.call(End(encrypted=True, suite=suite))
    for end in (call.a, call.b):
        end.index = WRAP - 300
    hostile = 0
    for block in range(30):
        for end in (call.a, call.b):
            shuffled_block(call, end)
            if block % 10 == 9:
                end.index += 15000 if block < 20 else 29000
        hostile += scene.flood(call.a.rtp, call.leg_a, forged(call.a, 5, step=7000), every=1000)
        hostile += scene.flood(call.a.rtp, call.leg_a, call.a.wires[-3:], every=1000)
    call.settle()
    assert sum(drops(call, call.a).values()) == hostile
    assert drops(call, call.b) == {}
    assert call.statistics(call.a).rtp.roc_recoveries == call.statistics(call.b).rtp.source_restarts == 0


def shuffled_block(call: Call, end: End) -> None:
    """Forty packets, the first in its place (what the first packet of all decides is another question)."""
    tail = list(range(1, 40))
    end.random.shuffle(tail)
    for ahead in (0, *tail):
        plain = end.packet(ahead=ahead)
        wire = end.sealed(plain, end.index + ahead)
        end.said.append(plain)
        end.wires.append(wire)
        call.stage.send(end.rtp, wire, call.leg_of(end))
    end.index += 40
    call.listen()


@pytest.mark.parametrize("jump", [1000, 5000, 20000, 32000])
def test_jumps_forward(scene: Stage, jump: int) -> None:
    """Lost stretches shorter than half the sequence space, over many wraps, at both ends: nothing is refused."""
    call = scene.call()
    for _ in range(40):
        call.talk(2)
        for end in (call.a, call.b):
            end.index += jump
    call.settle()
    assert drops(call, call.a) == drops(call, call.b) == {}
    newest = call.a.index - jump - 1
    assert call.statistics(call.a).rtp.roc == newest // WRAP


def test_a_jump_further_than_the_estimate_reaches(scene: Stage) -> None:
    """Over half the sequence space, at rollover counter 1: looks old at first, and is found as a lost counter is."""
    call = scene.call()
    call.a.index = WRAP - 10
    call.talk(30)
    call.settle()
    call.a.index += 40000
    hear_only(call, 5)
    assert drops(call, call.a) == {"too-old": 3, "roc-unknown": 1}
    assert call.statistics(call.a).rtp.roc == 1
    del call.a.said[-5:-1]
    call.talk(20)


def test_a_source_is_not_moved_back(scene: Stage) -> None:
    """Authentic packets of rollover counter 0, never sent before, when the source is at 2: behind the window."""
    call = scene.call()
    call.a.index = 10
    call.talk(5)
    for _ in range(5):
        call.a.index += 30000
        call.talk(5)
    call.settle()
    old = [packet.rtp(index, call.a.ssrc, bytes(160)) for index in range(20000, 20050)]
    scene.flood(call.a.rtp, call.leg_a, [call.a.sealed(plain, 20000 + at) for at, plain in enumerate(old)])
    call.talk(20)
    call.settle()
    assert sum(drops(call, call.a).values()) == 50


# --- row 8: the lifetime of a key ------------------------------------------------------------------------------------


def exhausted(call: Call, end: End) -> None:
    """The call has no media that way any more: keep what was counted, and leave it out of the final comparison."""
    call.stage.calls.remove(call)
    assert call.leg_of(end).open


@pytest.mark.parametrize("suite", [SUITE, GCM])
def test_a_sending_key_ends(scene: Stage, suite: str) -> None:
    """50 packets of SRTP and 50 of SRTCP each, not one more, with an event; a fresh key takes up again."""
    phone = End(encrypted=True, suite=suite)
    assert phone.into is not None
    phone.into.master = fresh_key(suite, lifetime=50)
    call = scene.call(phone)
    for _ in range(60):
        call.say(call.b)
        call.report(call.b)
        scene.beside.talk()
    scene.quiet(call.leg_b)
    assert drops(call, call.b) == {"tx-key-expired": 20}
    assert [event.leg for event in scene.take_events("key-expired")] == [call.leg_b.id] * 2
    call.b.said, call.b.said_rtcp = call.b.said[:50], call.b.said_rtcp[:50]
    scene.rekey(call, phone)
    call.talk(30)


def test_one_key_after_the_other(scene: Stage) -> None:
    """Two master keys with MKI: the second takes over where the first ends, and then it is over."""
    keys = tuple(fresh_key(mki=bytes([number]), lifetime=20) for number in (1, 2))
    phone = End(encrypted=True)
    call = scene.call(phone, transmit_keys=keys)
    for _ in range(50):
        call.say(call.b)
    scene.quiet(call.leg_b)
    until(lambda: len(phone.rtp.heard) + len(phone.rtp.drain()) >= 40, "the packets of two keys")
    heard = []
    for key, mki in zip(keys, (b"\1", b"\2"), strict=True):
        opener = Keyed(SUITE, key)
        heard += [opener.open(wire) for wire in phone.rtp.heard if wire[-11:-10] == mki]
    assert heard == call.b.said[:40]
    assert drops(call, call.b) == {"tx-key-expired": 10}
    assert len(scene.take_events("key-expired")) == 1
    exhausted(call, call.b)


def test_a_receiving_key_ends(scene: Stage) -> None:
    phone = End(encrypted=True)
    assert phone.out is not None
    phone.out.master = fresh_key(lifetime=50)
    call = scene.call(phone)
    for _ in range(60):
        call.say(phone)
        call.report(phone)
    scene.quiet(call.leg_a)
    assert drops(call, phone) == {"receive-key-expired": 20}
    phone.said, phone.said_rtcp = phone.said[:50], phone.said_rtcp[:50]
    scene.rekey(call, phone)
    call.talk(30)


def state_near_the_end(end: End, ssrc: int, **options: Any) -> bytes:
    """The sending state of someone who used a key almost up. A stand-in sender makes it; it sends nothing."""
    assert end.into is not None
    sender = Sender(end.into.name, end.into.master, **options)
    if not options:
        sender.set_rollover_counter(ssrc, LAST_ROC)
    return sender.export_state()


def test_the_last_srtp_index(scene: Stage) -> None:
    """2^48 packets (RFC 3711 9.2): the sequence number wraps, the stream stops, and the index never starts over."""
    phone, trunk = End(encrypted=True), End(encrypted=False)
    assert phone.into is not None
    phone.into.roc = LAST_ROC
    trunk.index = WRAP - 5
    call = scene.call(phone, trunk, sending_state=state_near_the_end(phone, trunk.ssrc))
    for _ in range(50):
        call.say(trunk)
    scene.quiet(call.leg_b)
    assert drops(call, trunk) == {"tx-key-expired": 45}
    assert [event.leg for event in scene.take_events("key-expired")] == [call.leg_b.id]
    until(lambda: phone.has_heard(5), "the last packets")
    assert phone.heard == trunk.said[:5]
    assert [index for _, index in phone.into.opened] == list(range((1 << 48) - 5, 1 << 48))
    exhausted(call, trunk)


def test_the_last_srtcp_index(scene: Stage) -> None:
    """2^31 packets (RFC 3711 9.2), likewise."""
    phone, trunk = End(encrypted=True), End(encrypted=False)
    assert phone.into is not None
    call = scene.call(phone, trunk, sending_state=state_near_the_end(phone, trunk.ssrc, srtcp_index=SRTCP_END - 5))
    for _ in range(50):
        call.report(trunk)
    scene.quiet(call.leg_b)
    assert drops(call, trunk) == {"tx-key-expired": 45}
    assert len(scene.take_events("key-expired")) == 1
    until(lambda: phone.has_heard(0, 5), "the last packets")
    assert [index for _, index in phone.into.opened_rtcp] == list(range(SRTCP_END - 5, SRTCP_END))
    exhausted(call, trunk)


def test_the_last_received_index(scene: Stage) -> None:
    """A sender that wraps its index, as it must not: what comes after is refused, under rollover counter 0 too."""
    call = scene.call(roc_hints=(LAST_ROC,))
    phone = call.a
    phone.index = (1 << 48) - 30
    hear_only(call, 30)
    del phone.said[:4]
    call.settle()
    phone.index = 0
    hear_only(call, 40)
    assert drops(call, phone) == {"auth-failed": 3, "roc-unknown": 1, "receive-key-expired": 40}
    exhausted(call, phone)
