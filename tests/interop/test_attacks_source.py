"""Who may speak, and where media goes: RTP bleed, injection, other protocols at a media port.

Every packet here comes from a stranger or is not authentic, and good calls run beside it through the same worker.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from interop.wire import SUITE, Call, End, Port, Stage, drops, forged, fresh_key, until
from model import packet

from srtpgw.media import Address, Leg

GCM = "AEAD_AES_128_GCM"
SHORT_TAG = "AES_CM_128_HMAC_SHA1_32"


def spray(end: End, count: int) -> list[bytes]:
    """What a scanner sends to a media port: RTP of its own, RTP that continues the end's, RTCP, empty datagrams."""
    own = [packet.rtp(number, 0xDEAD0000 | number, secrets.token_bytes(160)) for number in range(count // 4)]
    guessed = [end.packet(ahead=number) for number in range(count // 4)]
    reports = [packet.rtcp(end.ssrc if number % 2 else number, bytes(20)) for number in range(count // 4)]
    return [*own, *guessed, *reports, *[b""] * (count - 3 * (count // 4))]


def spray_everywhere(scene: Stage, stranger: Port, call: Call, count: int) -> None:
    for end in (call.a, call.b):
        for rtcp in (False, True):
            scene.flood(stranger, call.leg_of(end), spray(end, count), rtcp=rtcp)


# --- row 1: RTP bleed ------------------------------------------------------------------------------------------------


def test_bleed_before_and_during_a_call(scene: Stage) -> None:
    """CVE-2017-14099, CVE-2025-53399: the first to send gets no media, nor does the last."""
    stranger = scene.stranger()
    phone, trunk = End(encrypted=True), End(encrypted=False)
    legs = [scene.gateway.open_leg(scene.settings(end)) for end in (phone, trunk)]
    for leg in legs:
        for rtcp in (False, True):
            scene.flood(stranger, leg, spray(phone, 40), rtcp=rtcp)
    call = scene.joined(phone, trunk, *legs)
    call.talk(20)
    spray_everywhere(scene, stranger, call, 200)
    call.talk(20)
    assert scene.take_events("remote-changed") == []
    assert sum(drops(call, phone).values()) == sum(drops(call, trunk).values()) == 2 * 40 + 2 * 200


def test_bleed_before_the_far_ends_are_known(scene: Stage) -> None:
    """As while a call is answered: ports are open, but nobody's address was signaled yet."""
    stranger = scene.stranger()
    phone, trunk = End(encrypted=True), End(encrypted=False)
    legs = [scene.gateway.open_leg(scene.settings(end, remote=None, remote_rtcp=None)) for end in (phone, trunk)]
    call = scene.joined(phone, trunk, *legs)
    for end in (phone, trunk):
        scene.flood(stranger, call.leg_of(end), spray(end, 100), beside=[scene.beside])
    for end, leg in zip((phone, trunk), legs, strict=True):
        scene.gateway.change(leg, remote=end.rtp.address, remote_rtcp=end.rtcp.address)
    call.talk(20)
    spray_everywhere(scene, stranger, call, 40)


def test_bleed_on_a_learning_leg(scene: Stage) -> None:
    """learn-once is open to the first to send; from then on it is as strict as the others."""
    phone, trunk = End(encrypted=True), End(encrypted=False)
    signaled = Address(trunk.rtp.address.host, 9)
    leg_a = scene.gateway.open_leg(scene.settings(phone))
    leg_b = scene.gateway.open_leg(scene.settings(trunk, source="learn-once", remote=signaled, remote_rtcp=None))
    call = scene.joined(phone, trunk, leg_a, leg_b)
    call.say(trunk)
    call.report(trunk)
    until(lambda: call.statistics(trunk).remote == trunk.rtp.address, "the leg to learn")
    call.talk(20)
    spray_everywhere(scene, scene.stranger(), call, 200)


@pytest.mark.parametrize("family", [4, 6])
def test_bleed_by_replay_from_elsewhere(scene: Stage, family: int) -> None:
    """Captured authentic packets, sent from another address, do not move the leg; nor do late ones that are new."""
    call = scene.call(End(encrypted=True, family=family))
    call.talk(10)
    phone = call.a
    stranger = scene.stranger(family)
    hostile = scene.flood(stranger, call.leg_a, phone.wires * 20)
    assert call.statistics(phone).remote == phone.rtp.address
    assert drops(call, phone) == {"replay": hostile}
    assert scene.take_events("remote-changed") == []


def test_an_authentic_packet_moves_the_address_only_when_it_is_the_newest(scene: Stage) -> None:
    """Media follows a phone whose NAT was rebound. A late packet from the old address does not turn it back."""
    call = scene.call()
    call.talk(5)
    call.settle()
    phone = call.a
    late, moved = phone.packet(), phone.packet(ahead=1)
    old_port = phone.rtp
    phone.rtp = Port()
    scene.send(phone.rtp, phone.sealed(moved, phone.index + 1), call.leg_a)
    until(lambda: call.statistics(phone).remote == phone.rtp.address, "the address to move")
    scene.send(old_port, phone.sealed(late, phone.index), call.leg_a)
    phone.said += [moved, late]
    phone.index += 2
    call.talk(20)
    call.settle()
    assert call.statistics(phone).remote == phone.rtp.address
    assert [event.detail["remote"] for event in scene.take_events("remote-changed")] == [str(phone.rtp.address)]
    assert old_port.drain() == []
    old_port.socket.close()


# --- row 2: RTP inject -----------------------------------------------------------------------------------------------


def injections(end: End) -> list[bytes]:
    """Packets for an SRTP leg, not authentic, but as likely as can be: of the source's own next sequence number."""
    assert end.out is not None
    good = end.sealed(end.packet(), end.index)
    flipped = [good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :] for at in range(len(good)) for bit in (0, 7)]
    cut = [good[:length] for length in range(len(good) - 24, len(good))] + [good + b"\0", good + good[-10:]]
    other_key = type(end.out)(end.out.name, fresh_key(end.out.name))
    salted = end.out.master.key_and_salt[:-1] + bytes([end.out.master.key_and_salt[-1] ^ 1])
    other_salt = type(end.out)(end.out.name, type(end.out.master)(salted))
    sealed = [each.seal(end.packet(), end.index) for each in (other_key, other_salt)]
    other_roc = [end.out.seal(end.packet(), end.index + roc * 0x10000) for roc in (5, 0xFFFF, 0xFFFFFFFE)]
    return [*flipped, *cut, *sealed, *other_roc, *forged(end, 100), *spray(end, 40)]


@pytest.mark.parametrize("suite", [SUITE, SHORT_TAG, GCM])
def test_injection_at_any_time(scene: Stage, suite: str) -> None:
    """From the true address and from another: before the first packet, in the call, on hold, after a re-key."""
    call = scene.call(End(encrypted=True, suite=suite))
    stranger, phone = scene.stranger(), call.a
    hostile = 0

    def attack(*beside: Call) -> None:
        nonlocal hostile
        for port in (phone.rtp, stranger):
            hostile += scene.flood(port, call.leg_a, injections(phone), beside=[scene.beside, *beside], every=40)

    attack()
    call.talk(20)
    attack(call)
    call.settle()
    scene.gateway.change(call.leg_a, hold=True)
    attack()
    scene.gateway.change(call.leg_a, hold=False)
    call.talk(20)
    scene.rekey(call, phone)
    attack(call)
    call.talk(20)
    assert sum(drops(call, phone).values()) == hostile


def test_injection_into_a_plain_leg(scene: Stage) -> None:
    """A stranger that knows source, sequence number and timestamp is refused for its address alone."""
    call = scene.beside
    call.talk(5)
    packets = [call.b.packet(ahead=number % 5) for number in range(1000)]
    hostile = scene.flood(scene.stranger(), call.leg_b, packets)
    assert drops(call, call.b) == {"wrong-source": hostile}


def test_what_the_gateway_sent_does_not_come_back_in(scene: Stage) -> None:
    """A reflection of our own packets: authentic, but under the key of the other direction."""
    call = scene.call()
    call.talk(50)
    call.settle()
    assert len(call.a.rtp.heard) == 50
    reflected = scene.flood(call.a.rtp, call.leg_a, call.a.rtp.heard * 4)
    reflected += scene.flood(call.a.rtcp, call.leg_a, call.a.rtcp.heard * 20, rtcp=True)
    assert drops(call, call.a) == {"auth-failed": reflected}


# --- row 12: other protocols at a media port -------------------------------------------------------------------------

DTLS_HELLO = bytes.fromhex("16feff0000000000000000002f010000230000000000000023fefd") + bytes(34)
DTLS_ALERT = bytes.fromhex("15fefd00000000000000010002022f")
STUN_BINDING = bytes.fromhex("000100002112a442") + b"transaction!"
ZRTP_HELLO = bytes.fromhex("1000000a5a525450") + bytes(40)
TURN_CHANNEL = bytes.fromhex("40000010") + bytes(16)
OTHERS = {
    "dtls": [DTLS_HELLO, DTLS_ALERT, b"\x14\xfe\xfd" + bytes(11)],
    "stun": [STUN_BINDING, bytes.fromhex("010100002112a442") + bytes(12)],
    "not-media": [ZRTP_HELLO, TURN_CHANNEL, b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", b"\xff" * 100],
}


@pytest.mark.parametrize("mux", [False, True])
def test_other_protocols_are_ignored(scene: Stage, mux: bool) -> None:
    call = scene.call(End(encrypted=True, mux=mux), End(encrypted=False, mux=mux))
    stranger = scene.stranger()
    for end in (call.a, call.b):
        for port in (end.rtp, stranger):
            for datagrams in OTHERS.values():
                scene.flood(port, call.leg_of(end), datagrams * 20)
                if not mux:
                    scene.flood(port, call.leg_of(end), datagrams * 20, rtcp=True)
        rounds = 2 * 20 * (1 if mux else 2)
        assert drops(call, end) == {reason: len(octets) * rounds for reason, octets in OTHERS.items()}


# --- nothing that an unauthenticated packet does can be read back ----------------------------------------------------

SECOND_SOURCE = 0x5EC0  # beside the phone's own, under the same key
COUNTED = {"received_packets", "received_octets", "drops", "last_packet_age"}


def readable(scene: Stage, *legs: Leg) -> list[Any]:
    """Everything that can be read of legs, but how much arrived and what was refused."""
    read: list[Any] = []
    for leg in legs:
        plain = scene.statistics(leg).to_json()
        for kind in ("rtp", "rtcp"):
            plain[kind] = {name: value for name, value in plain[kind].items() if name not in COUNTED}
        native: Any = leg.native
        read += [plain, leg.export_sending_state(), native.receiver and native.receiver.export_state()]
    return read


def many_sources(end: End) -> list[bytes]:
    """More sources than a context holds, and sequence numbers all over."""
    return [packet.rtp(at * 7919 & 0xFFFF, at * 2654435761 & 0xFFFFFFFF, secrets.token_bytes(90)) for at in range(2000)]


def huge_jumps(end: End) -> list[bytes]:
    return [datagram for step in (1, 0x100, 0x1FFF, 0x7FFF) for datagram in forged(end, 200, first=step, step=step)]


@pytest.mark.parametrize("datagrams", [injections, many_sources, huge_jumps], ids=lambda made: made.__name__)
def test_nothing_of_a_forged_packet_can_be_read_back(scene: Stage, datagrams: Callable[[End], list[bytes]]) -> None:
    call = scene.call()
    for number in range(20):
        call.talk()
        plain = packet.rtp(number, SECOND_SOURCE, secrets.token_bytes(160))
        call.a.said.append(plain)
        scene.send(call.a.rtp, call.a.sealed(plain, number), call.leg_a)
    call.settle()
    ages = [call.statistics(call.a).rtp.last_packet_age, call.statistics(call.a).rtcp.last_packet_age]
    before = readable(scene, call.leg_a, call.leg_b)
    for port in (call.a.rtp, scene.stranger()):
        scene.flood(port, call.leg_a, datagrams(call.a), beside=[scene.beside])
        scene.flood(port, call.leg_a, [packet.rtcp(call.a.ssrc, bytes(40))] * 50, rtcp=True, beside=[scene.beside])
    assert readable(scene, call.leg_a, call.leg_b) == before
    after = [call.statistics(call.a).rtp.last_packet_age, call.statistics(call.a).rtcp.last_packet_age]
    assert all(late > early for early, late in zip(ages, after, strict=True) if late and early)
    assert {event.kind for event in scene.gateway.events()} <= {"roc-unknown"}


def test_a_media_timeout_is_not_put_off_by_strangers(scene: Stage) -> None:
    """Forged packets are no sign of life."""
    call = scene.call()
    call.talk(5)
    call.settle()
    scene.gateway.change(call.leg_a, media_timeout=0.2)
    stranger = scene.stranger()

    def timed_out() -> bool:
        scene.flood(stranger, call.leg_a, forged(call.a, 20), beside=[scene.beside])
        return [event.leg for event in scene.take_events("media-timeout")] == [call.leg_a.id]

    until(timed_out, "the media timeout")
    assert scene.take_events("media-resumed") == []
    call.talk(1)
    until(lambda: len(scene.take_events("media-resumed")) == 1, "media to be noticed")
