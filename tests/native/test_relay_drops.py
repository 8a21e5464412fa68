"""Every drop reason of ext/stats.h, made to happen in a relay by a scene named for it.

A scene gives where it expects drops; the reason is counted there once, and no leg counts anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from model.packet import rtcp, rtp
from model.suites import SUITES
from native.rig import SSRC, SUITE, End, Keys, Rig, libsrtp_answers

from srtpgw.media import Address
from srtpgw.media.gateway import _native_settings
from srtpgw.media.keys import same_keys
from srtpgw.media.statistics import DROP_REASONS
from srtpgw.srtp import MasterKey

STRANGER = Address("192.0.2.99", 4444)
LONGEST = 65507  # octets of UDP payload over IPv4


class Drops(NamedTuple):
    """What a scene expects at one leg: drops by reason, of RTP or of RTCP."""

    end: End
    drops: dict[str, int]
    rtcp: bool = False


Scene = Callable[[Rig], Drops]


def pair(rig: Rig) -> tuple[End, End]:
    """An encrypted leg joined to a plain one."""
    phone, trunk = rig.secure(), rig.plain()
    rig.join(phone, trunk)
    return phone, trunk


def one(rig: Rig, end: End, octets: bytes, reason: str, *, to_rtcp: bool = False, as_rtcp: bool = False) -> Drops:
    """One datagram, one drop."""
    (end.send_rtcp if to_rtcp else end.send)(octets)
    rig.run()
    return Drops(end, {reason: 1}, as_rtcp)


def forged(wire: bytes) -> bytes:
    return wire[:-1] + bytes([wire[-1] ^ 1])


# --- before the tag


def too_short(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], rtp(1, SSRC)[:11], "too-short")


def too_short_srtp(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    return one(rig, phone, phone.seal(rtp(1, SSRC, b""))[:-1], "too-short")


def too_short_rtcp(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], rtcp(SSRC, b"")[:7], "too-short", to_rtcp=True, as_rtcp=True)


def too_short_to_tell(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], b"\x80", "too-short")


def too_short_for_its_mki(rig: Rig) -> Drops:
    phone, trunk = rig.secure(sends=rig.keys(mki=b"\1\2\3\4")), rig.plain()
    rig.join(phone, trunk)
    return one(rig, phone, phone.seal(rtp(1, SSRC))[:13], "too-short")


def too_long_as_received(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], rtp(1, SSRC, bytes(LONGEST - 11)), "too-long")


def too_long_after_protection(rig: Rig) -> Drops:
    tag = SUITES[SUITE].rtp_tag_length
    return one(rig, pair(rig)[1], rtp(1, SSRC, bytes(LONGEST - 12 - tag + 1)), "too-long")


def too_long_srtcp(rig: Rig) -> Drops:
    trunk = pair(rig)[1]
    longest = LONGEST & ~3
    trunk.send_rtcp(rtcp(SSRC, bytes(longest - 8)))
    rig.run()
    return Drops(trunk, {"too-long": 1}, True)


def malformed_csrc_count(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], b"\x8f" + rtp(1, SSRC)[1:], "malformed")


def malformed_extension(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], b"\x90" + rtp(1, SSRC, b"\xbe\xde\x00\x10" + bytes(60))[1:], "malformed")


def malformed_under_the_tag(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    return one(rig, phone, b"\x8f" + phone.seal(rtp(1, SSRC))[1:], "malformed")


def malformed_rtcp(rig: Rig) -> Drops:
    lying = rtcp(SSRC)[:2] + b"\x00\x07" + rtcp(SSRC)[4:]
    return one(rig, pair(rig)[1], lying, "malformed", to_rtcp=True, as_rtcp=True)


def malformed_rtcp_of_odd_length(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], rtcp(SSRC) + b"\0", "malformed", to_rtcp=True, as_rtcp=True)


def malformed_rtcp_of_another_version(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], rtcp(SSRC) + b"\x40" + rtcp(SSRC)[1:], "malformed", to_rtcp=True, as_rtcp=True)


def not_media(rig: Rig) -> Drops:
    return one(rig, pair(rig)[1], b"\x7f" + rtp(1, SSRC)[1:], "not-media")


def stun(rig: Rig) -> Drops:
    binding_request = bytes.fromhex("000100002112a442") + bytes(12)
    return one(rig, pair(rig)[0], binding_request, "stun")


def dtls(rig: Rig) -> Drops:
    hello = bytes.fromhex("16fefd00000000000000000010") + bytes(16)
    return one(rig, pair(rig)[0], hello, "dtls")


def unexpected_rtcp(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    return one(rig, phone, phone.seal_rtcp(rtcp(SSRC)), "unexpected-rtcp", as_rtcp=True)


def unexpected_rtp(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    return one(rig, phone, phone.seal(rtp(1, SSRC)), "unexpected-rtp", to_rtcp=True)


def wrong_source(rig: Rig) -> Drops:
    trunk = pair(rig)[1]
    trunk.send(rtp(1, SSRC), source=STRANGER)
    rig.run()
    return Drops(trunk, {"wrong-source": 1})


# --- contexts


def auth_failed(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    return one(rig, phone, forged(phone.seal(rtp(1, SSRC))), "auth-failed")


def auth_failed_in_clear(rig: Rig) -> Drops:
    return one(rig, pair(rig)[0], rtp(1, SSRC), "auth-failed")


def auth_failed_rtcp(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    return one(rig, phone, forged(phone.seal_rtcp(rtcp(SSRC))), "auth-failed", to_rtcp=True, as_rtcp=True)


def replay(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    wire = phone.seal(rtp(1, SSRC))
    phone.send(wire)
    return one(rig, phone, wire, "replay")


def replay_rtcp(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    wire = phone.seal_rtcp(rtcp(SSRC))
    phone.send_rtcp(wire)
    return one(rig, phone, wire, "replay", to_rtcp=True, as_rtcp=True)


def too_old(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    phone.send(phone.seal(rtp(2000, SSRC)))
    return one(rig, phone, phone.seal(rtp(2000 - 1024, SSRC)), "too-old")


def unknown_mki(rig: Rig) -> Drops:
    phone, trunk = rig.secure(sends=rig.keys(mki=b"\x01")), rig.plain()
    rig.join(phone, trunk)
    assert phone.sends is not None
    other = phone.sends.keys[0]._replace(mki=b"\x02")
    return one(rig, phone, Keys(phone.sends.suite, (other,)).seal(rtp(1, SSRC)), "unknown-mki")


def srtcp_in_clear(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    assert phone.sends is not None
    return one(
        rig, phone, phone.sends.seal_rtcp(rtcp(SSRC), 1, encrypt=False), "srtcp-in-clear", to_rtcp=True, as_rtcp=True
    )


def ssrc_limit(rig: Rig) -> Drops:
    phone, trunk = rig.secure(max_ssrcs=2), rig.plain()
    rig.join(phone, trunk)
    for ssrc in (1, 2):
        phone.send(phone.seal(rtp(1, ssrc)))
    return one(rig, phone, phone.seal(rtp(1, 3)), "ssrc-limit")


def ssrc_limit_of_the_sender(rig: Rig) -> Drops:
    """Sources that push each other out get a new name each time, as long as the key has names that were never used."""
    phone, trunk = rig.secure(max_ssrcs=1), rig.plain()
    rig.join(phone, trunk)
    names = set()
    for number in range(1 << 17):
        trunk.send(rtp(1, number & 1, b""))
        rig.step()
        if not phone.inbox:
            break
        names.add(phone.raw()[0][8:12])
    assert len(names) == number > 10_000
    return Drops(trunk, {"ssrc-limit": 1})


def roc_unknown(rig: Rig) -> Drops:
    phone = pair(rig)[0]
    for seq in range(4):
        phone.send(phone.seal(rtp(seq, SSRC), roc=2))
    rig.run()
    return Drops(phone, {"auth-failed": 3, "roc-unknown": 1})


def receive_key_expired(rig: Rig) -> Drops:
    phone, trunk = rig.secure(sends=rig.keys(lifetime=2)), rig.plain()
    rig.join(phone, trunk)
    for seq in (1, 2):
        phone.send(phone.seal(rtp(seq, SSRC)))
    return one(rig, phone, phone.seal(rtp(3, SSRC)), "receive-key-expired")


def receive_index_at_its_end(rig: Rig) -> Drops:
    """Behind the last index, 2^48 - 1, there is none (RFC 3711 3.3.1)."""
    last = (1 << 32) - 1
    phone, trunk = rig.secure(roc_hints=(last,)), rig.plain()
    rig.join(phone, trunk)
    for sequence in range(65530, 65536):
        phone.send(phone.seal(rtp(sequence, SSRC), last))
    phone.send(phone.seal(rtp(0, SSRC)))
    rig.run()
    assert trunk.heard() == [rtp(65534, SSRC), rtp(65535, SSRC)]
    return Drops(phone, {"auth-failed": 3, "roc-unknown": 1, "receive-key-expired": 1})


def no_key(rig: Rig) -> Drops:
    """A leg that policy has encrypted, and that has no contexts: nothing passes, whatever it is."""
    trunk, phone = rig.plain(), rig.plain()
    rig.join(phone, trunk)
    settings = {**_native_settings(phone.leg.settings), "encrypted": True}
    phone.leg.native.update(settings, False)
    return one(rig, phone, rtp(1, SSRC), "no-key")


def no_key_to_send(rig: Rig) -> Drops:
    trunk, phone = rig.plain(), rig.plain()
    rig.join(phone, trunk)
    phone.leg.native.update({**_native_settings(phone.leg.settings), "encrypted": True}, False)
    return one(rig, trunk, rtp(1, SSRC), "no-key")


def provider(rig: Rig) -> Drops:
    """A refusal of libsrtp's that has no name here."""
    rig.gateway._crypto = "libsrtp"
    phone = pair(rig)[0]
    with libsrtp_answers(1):
        return one(rig, phone, phone.seal(rtp(1, SSRC)), "provider")


# --- where to


def not_joined(rig: Rig) -> Drops:
    return one(rig, rig.plain(), rtp(1, SSRC), "not-joined")


def hold(rig: Rig) -> Drops:
    phone, trunk = pair(rig)
    rig.gateway.change(phone.leg, hold=True)
    return one(rig, trunk, rtp(1, SSRC), "hold")


def hold_of_the_sender(rig: Rig) -> Drops:
    trunk = pair(rig)[1]
    rig.gateway.change(trunk.leg, hold=True)
    return one(rig, trunk, rtp(1, SSRC), "hold")


def no_remote(rig: Rig) -> Drops:
    phone, trunk = rig.secure(remote=None), rig.plain()
    rig.join(phone, trunk)
    return one(rig, trunk, rtp(1, SSRC), "no-remote")


# --- sending


def tx_duplicate(rig: Rig) -> Drops:
    trunk = pair(rig)[1]
    trunk.send(rtp(1, SSRC))
    return one(rig, trunk, rtp(1, SSRC, b"other octets"), "tx-duplicate")


def tx_too_old(rig: Rig) -> Drops:
    trunk = pair(rig)[1]
    trunk.send(rtp(3000, SSRC))
    return one(rig, trunk, rtp(3000 - 1024, SSRC), "tx-too-old")


def tx_key_expired(rig: Rig) -> Drops:
    phone, trunk = rig.secure(hears=rig.keys(lifetime=2)), rig.plain()
    rig.join(phone, trunk)
    for seq in (1, 2):
        trunk.send(rtp(seq, SSRC))
    return one(rig, trunk, rtp(3, SSRC), "tx-key-expired")


def foreign_key(rig: Rig) -> Drops:
    """The gateway refuses to join such a leg but for verify-and-forward; the loop holds to it by itself."""
    keys = rig.keys()
    shared = keys.keys[0]
    master = MasterKey(shared.key + shared.salt, foreign=True)
    phone, far = rig.secure(sends=keys), rig.secure(hears=keys, transmit_keys=(master,))
    assert same_keys(phone.leg.settings.receive_keys, far.leg.settings.transmit_keys)
    rig.join(phone, far)
    phone.leg.native.join(far.leg.native, False)
    return one(rig, phone, phone.seal(rtp(1, SSRC)), "foreign-key")


def tx_queue_full(rig: Rig) -> Drops:
    """The memory engine's queue holds 4096 datagrams that nobody collects."""
    a, b = rig.plain(), rig.plain()
    rig.join(a, b)
    for number in range(4097):
        a.send(rtp(number, SSRC, b""))
        if number % 64 == 0:
            rig.worker.step(0, rig.now)
    while rig.worker.step(0, rig.now):
        pass
    return Drops(a, {"tx-queue-full": 1})


def learnt_from(rig: Rig, source: tuple[int, bytes, int, int]) -> End:
    """The far end whose peer has learnt a remote address that nothing can be sent to."""
    a, b = rig.plain(remote=None, source="learn-once"), rig.plain()
    rig.join(a, b)
    a.send(rtp(1, SSRC), source=source)
    rig.run()
    return b


def tx_unreachable(rig: Rig) -> Drops:
    return one(rig, learnt_from(rig, (4, bytes(4), 5000, 0)), rtp(1, SSRC), "tx-unreachable")


def tx_refused(rig: Rig) -> Drops:
    return one(rig, learnt_from(rig, (4, bytes([192, 0, 2, 9]), 0, 0)), rtp(1, SSRC), "tx-refused")


SCENES: dict[str, tuple[Scene, ...]] = {
    "too-short": (too_short, too_short_srtp, too_short_rtcp, too_short_to_tell, too_short_for_its_mki),
    "too-long": (too_long_as_received, too_long_after_protection, too_long_srtcp),
    "malformed": (
        malformed_csrc_count,
        malformed_extension,
        malformed_under_the_tag,
        malformed_rtcp,
        malformed_rtcp_of_odd_length,
        malformed_rtcp_of_another_version,
    ),
    "not-media": (not_media,),
    "stun": (stun,),
    "dtls": (dtls,),
    "unexpected-rtcp": (unexpected_rtcp,),
    "unexpected-rtp": (unexpected_rtp,),
    "wrong-source": (wrong_source,),
    "not-joined": (not_joined,),
    "hold": (hold, hold_of_the_sender),
    "no-remote": (no_remote,),
    "auth-failed": (auth_failed, auth_failed_in_clear, auth_failed_rtcp),
    "replay": (replay, replay_rtcp),
    "too-old": (too_old,),
    "unknown-mki": (unknown_mki,),
    "srtcp-in-clear": (srtcp_in_clear,),
    "ssrc-limit": (ssrc_limit, ssrc_limit_of_the_sender),
    "roc-unknown": (roc_unknown,),
    "receive-key-expired": (receive_key_expired, receive_index_at_its_end),
    "tx-duplicate": (tx_duplicate,),
    "tx-too-old": (tx_too_old,),
    "tx-key-expired": (tx_key_expired,),
    "foreign-key": (foreign_key,),
    "no-key": (no_key, no_key_to_send),
    "provider": (provider,),
    "tx-queue-full": (tx_queue_full,),
    "tx-unreachable": (tx_unreachable,),
    "tx-refused": (tx_refused,),
}
ROWS = [pytest.param(name, scene, id=f"{name}:{scene.__name__}") for name, group in SCENES.items() for scene in group]


def test_every_reason_has_a_scene() -> None:
    assert set(SCENES) == set(DROP_REASONS)


@pytest.mark.parametrize(("name", "scene"), ROWS)
def test_drop(name: str, scene: Scene) -> None:
    with Rig() as rig:
        expected = scene(rig)
        assert expected.drops[name] == 1
        assert rig.drops() == {(expected.end.leg.id, expected.rtcp): expected.drops}
        while rig.worker.collect() is not None:  # what tx_queue_full left
            pass


def test_a_padded_packet_whose_padding_does_not_fit() -> None:
    """The padding's length is its last octet (RFC 3550 5.1): 0, or more than the payload, contradicts the packet."""
    with Rig() as rig:
        a, b = rig.plain(), rig.plain()
        rig.join(a, b)
        for count in (0, 21, 255):
            a.send(b"\xa0" + rtp(1, SSRC, bytes(19) + bytes([count]))[1:])
        a.send(fitting := b"\xa0" + rtp(1, SSRC, bytes(19) + b"\x14")[1:])
        rig.run()
        assert b.raw() == [fitting]
        assert rig.drops() == {(a.leg.id, False): {"malformed": 3}}


def test_the_longest_packet_passes() -> None:
    """65,507 octets arrive and leave; protection may take the last of them."""
    tag = SUITES[SUITE].rtp_tag_length
    with Rig() as rig:
        phone, trunk = pair(rig)
        full = rtp(1, SSRC, bytes(LONGEST - 12 - tag))
        phone.send(phone.seal(full))
        trunk.send(full)
        rig.run()
        assert trunk.heard() == [full]
        assert phone.heard() == [full]


def test_nothing_is_answered_to_a_stranger() -> None:
    """Whatever a stranger sends, nothing leaves the gateway."""
    with Rig() as rig:
        phone, trunk = pair(rig)
        for end in (phone, trunk):
            for first in range(256):
                end.send(bytes([first]) + rtp(1, SSRC)[1:], source=STRANGER)
                end.send_rtcp(bytes([first]) + rtcp(SSRC)[1:], source=STRANGER)
        rig.run()
        assert phone.raw() == trunk.raw() == []
        assert sum(sum(drops.values()) for drops in rig.drops().values()) == 4 * 256
