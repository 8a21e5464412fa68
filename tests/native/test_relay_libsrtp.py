"""A relay whose keys are in the hands of libsrtp (`crypto="libsrtp"`): the same packets in and out, and its refusals by
name."""

from __future__ import annotations

import random

import pytest
from model.packet import random_rtp, rtcp, rtp
from native import rtcp as forms
from native.rig import RELAY_SUITES, SSRC, Rig, libsrtp_answers

from srtpgw import libsrtp
from srtpgw.errors import MediaError, PacketError
from srtpgw.media import Address
from srtpgw.srtp import Sender

STRANGER = Address("192.0.2.99", 4444)
OFFERED = [name for name in RELAY_SUITES if name in libsrtp.suites()]


def test_libsrtp_offers_enough() -> None:
    assert len(OFFERED) >= 6


@pytest.mark.parametrize("suite", OFFERED)
@pytest.mark.parametrize("mki", [b"", b"\x01\x02\x03\x04"])
def test_both_ways(suite: str, mki: bytes) -> None:
    rng = random.Random(suite)
    with Rig(crypto="libsrtp", seed=suite) as rig:
        phone = rig.secure(sends=rig.keys(suite, mki=mki), hears=rig.keys(suite, mki=mki))
        trunk = rig.plain()
        rig.join(phone, trunk)
        for number in range(65500, 65570):
            packet = random_rtp(rng, number % 65536, SSRC, rng.choice((12, 60, 172, 1400)))
            packet = bytes([packet[0] & ~0x20]) + packet[1:]
            phone.send(phone.seal(packet, number // 65536))
            trunk.send(packet)
            rig.run()
            assert trunk.raw() == [packet]
            assert phone.heard(roc=number // 65536) == [packet]
        report = forms.sender_report(SSRC, (1, 2)) + forms.description(forms.chunk(SSRC, b"name"))
        phone.send_rtcp(phone.seal_rtcp(report))
        trunk.send_rtcp(report)
        rig.run()
        assert (trunk.raw(), phone.heard_rtcp()) == ([report], [report])
        assert rig.drops() == {}


def test_refusals_by_name() -> None:
    with Rig(crypto="libsrtp") as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        good = [phone.seal(rtp(sequence, SSRC)) for sequence in (2000, 2001)]
        report = phone.seal_rtcp(rtcp(SSRC))
        for wire in (
            good[0], good[0], good[1][:-1] + bytes([good[1][-1] ^ 1]), good[1], phone.seal(rtp(900, SSRC)),
            good[0][:20], b"\x8f" + good[0][1:], rtp(5, SSRC),
        ):  # fmt: skip
            phone.send(wire)
        forged = phone.seal_rtcp(rtcp(SSRC))
        for wire in (report, report, forged[:-1] + bytes([forged[-1] ^ 1]), report[:17]):
            phone.send_rtcp(wire)
        for packet in (rtp(3000, SSRC), rtp(3000, SSRC), rtp(1900, SSRC), rtp(3001, SSRC, bytes(65507 - 12 - 9))):
            trunk.send(packet)
        rig.run()
        assert trunk.raw() == [rtp(2000, SSRC), rtp(2001, SSRC), rtcp(SSRC)]
        assert phone.heard() == [rtp(3000, SSRC)]
        counted = phone.counted
        assert counted.rtp.drops == {"replay": 1, "auth-failed": 1, "too-old": 2, "too-short": 1, "malformed": 1}
        assert counted.rtcp.drops == {"replay": 1, "auth-failed": 1, "too-short": 1}
        assert trunk.counted.rtp.drops == {"tx-duplicate": 1, "tx-too-old": 1, "too-long": 1}


def test_verify_and_forward_never_gives_plain_octets() -> None:
    """libsrtp has no way to authenticate and leave the octets alone: the join is refused, or nothing passes."""

    with Rig(crypto="libsrtp") as rig:
        shared = rig.keys()
        phone, far = rig.secure(sends=shared), rig.secure(hears=shared)
        with pytest.raises(MediaError):
            rig.join(phone, far)
        phone.send(phone.seal(rtp(1, SSRC)))
        rig.run()
        assert far.raw() == []


# libsrtp's srtp_err_status_t: what it stands for when we receive and when we send.
STATUS = {
    1: ("provider", "provider"),
    7: ("auth-failed", "auth-failed"),
    9: ("replay", "tx-duplicate"),
    10: ("too-old", "tx-too-old"),
    13: ("provider", "provider"),
    15: ("receive-key-expired", "tx-key-expired"),
    25: ("unknown-mki", "unknown-mki"),
    26: ("too-old", "tx-too-old"),
}


@pytest.mark.parametrize(("status", "reasons"), STATUS.items())
def test_every_status_has_a_name(status: int, reasons: tuple[str, str]) -> None:
    with Rig(crypto="libsrtp") as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        with libsrtp_answers(status):
            phone.send(phone.seal(rtp(1, SSRC)))
            phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)))
            trunk.send(rtp(1, SSRC))
            trunk.send_rtcp(rtcp(SSRC))
            rig.run()
        assert phone.raw() == trunk.raw() == []
        for end, reason in zip((phone, trunk), reasons, strict=True):
            assert end.counted.rtp.drops == end.counted.rtcp.drops == {reason: 1}


def test_an_old_packet_does_not_move_the_address() -> None:
    with Rig(crypto="libsrtp") as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        late, newest = phone.seal(rtp(9, SSRC)), phone.seal(rtp(10, SSRC))
        phone.send(newest)
        phone.send(late, source=STRANGER)
        rig.run()
        assert phone.counted.rtp.remote_changes == 0
        phone.send(phone.seal(rtp(11, SSRC)), source=STRANGER)
        rig.run()
        assert phone.counted.remote == STRANGER
        assert len(trunk.raw()) == 3


def test_sources_past_the_limit_do_not_move_the_address() -> None:
    """libsrtp takes any number of sources; which packet is the newest is followed for as many as the leg may have."""
    with Rig(crypto="libsrtp") as rig:
        phone, trunk = rig.secure(max_ssrcs=1), rig.plain()
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, SSRC)))
        phone.send(phone.seal(rtp(1, 77)), source=STRANGER)
        rig.run()
        assert len(trunk.raw()) == 2
        assert phone.counted.rtp.remote_changes == 0


def test_packets_that_no_leg_would_hand_over() -> None:
    """The checks in front of libsrtp hold for a caller of the API too."""
    sender = Sender("AES_CM_128_HMAC_SHA1_80", bytes(30), provider="libsrtp")
    for call, packet, reason in (
        (sender.protect, rtp(1, SSRC)[:11], "too-short"),
        (sender.protect_rtcp, rtcp(SSRC)[:7], "too-short"),
        (sender.protect, b"\x8f" + rtp(1, SSRC)[1:], "malformed"),
    ):
        with pytest.raises(PacketError) as error:
            call(packet)
        assert error.value.reason == reason


@pytest.mark.parametrize("suite", OFFERED)
def test_srtcp_in_clear(suite: str) -> None:
    """Whatever libsrtp makes of the E bit."""
    with Rig(crypto="libsrtp") as rig:
        phone, trunk = rig.secure(suite), rig.plain()
        rig.join(phone, trunk)
        assert phone.sends is not None
        phone.send_rtcp(phone.sends.seal_rtcp(rtcp(SSRC), 1, encrypt=False))
        rig.run()
        assert phone.counted.rtcp.drops == {"srtcp-in-clear": 1}
        assert trunk.raw() == []


def test_what_is_left_to_libsrtp_has_no_sending_state() -> None:
    """Its indices cannot be taken out of it: nothing is exported that would start them over."""
    with Rig(crypto="libsrtp") as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        trunk.send(rtp(1, SSRC))
        rig.run()
        assert len(phone.raw()) == 1
        state, hears = phone.leg.export_sending_state(), phone.hears
        rig.close(phone)
        with pytest.raises(MediaError):
            rig.secure(hears=hears, sending_state=state)
