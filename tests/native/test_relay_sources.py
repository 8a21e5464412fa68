"""Where a leg hears from and sends to: the three source rules, hold, multiplexed RTCP, address families."""

from __future__ import annotations

import pytest
from model.packet import rtcp, rtp
from native.rig import SSRC, End, Rig, masters

from srtpgw.media import Address

STRANGER = Address("192.0.2.99", 4444)
MOVED = Address("192.0.2.77", 7000)


def places(end: End) -> list[str]:
    """Where datagrams to this end went since the last look."""
    found = [str(each.remote) for each in end.inbox]
    end.inbox.clear()
    return found


def to(rig: Rig, talker: End, listener: End, sequence: int) -> list[str]:
    """Where RTP and RTCP from `talker` go now."""
    talker.send(talker.seal(rtp(sequence, 4711)))
    talker.send_rtcp(talker.seal_rtcp(rtcp(4711)))
    rig.run()
    return places(listener)


# --- authenticated


def test_an_authentic_newest_packet_moves_the_address() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        assert to(rig, trunk, phone, 1) == [str(phone.address), str(phone.address.next_port)]
        phone.send(phone.seal(rtp(10, SSRC)), source=MOVED)
        rig.run()
        assert to(rig, trunk, phone, 2) == [str(MOVED), str(phone.address.next_port)]
        phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)), source=STRANGER)
        rig.run()
        assert to(rig, trunk, phone, 3) == [str(MOVED), str(STRANGER)]
        assert (phone.counted.rtp.remote_changes, phone.counted.rtcp.remote_changes) == (1, 1)
        assert phone.counted.remote == MOVED


def test_nothing_else_moves_it() -> None:
    """Forged, replayed, late, plain or malformed packets, STUN, DTLS: whatever else comes from a stranger."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        late, newest, report = phone.seal(rtp(9, SSRC)), phone.seal(rtp(10, SSRC)), phone.seal_rtcp(rtcp(SSRC))
        phone.send(newest)
        phone.send_rtcp(report)
        rig.run()
        wrong = phone.seal(rtp(11, SSRC))
        for octets in (
            newest, late, report, wrong[:-1] + bytes([wrong[-1] ^ 1]), wrong[:-1], wrong[:12], b"", b"\x80",
            rtp(11, SSRC), rtcp(SSRC), bytes(20), b"\x16\xfe\xfd" + bytes(30), b"\x8f" + wrong[1:],
        ):  # fmt: skip
            phone.send(octets, source=STRANGER)
            phone.send_rtcp(octets, source=STRANGER)
        rig.run()
        assert trunk.heard() == [rtp(10, SSRC), rtp(9, SSRC)]  # the late one is good media, from wherever
        assert to(rig, trunk, phone, 1) == [str(phone.address), str(phone.address.next_port)]
        assert (phone.counted.rtp.remote_changes, phone.counted.rtcp.remote_changes) == (0, 0)
        assert rig.kinds() == []


def test_a_signaled_address_takes_the_place_of_a_learnt_one() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, SSRC)), source=MOVED)
        rig.run()
        rig.gateway.change(phone.leg, dscp=0)
        assert to(rig, trunk, phone, 1)[0] == str(MOVED)
        rig.gateway.change(phone.leg, remote=STRANGER)
        assert to(rig, trunk, phone, 2) == [str(STRANGER), str(STRANGER.next_port)]


def test_an_authenticated_leg_without_a_remote_learns_it() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(remote=None), rig.plain()
        rig.join(phone, trunk)
        assert to(rig, trunk, phone, 1) == []
        phone.send(phone.seal(rtp(1, SSRC)), source=MOVED)
        rig.run()
        assert to(rig, trunk, phone, 2) == [str(MOVED)]
        assert rig.drops() == {(trunk.leg.id, False): {"no-remote": 1}, (trunk.leg.id, True): {"no-remote": 2}}


# --- strict


@pytest.mark.parametrize("secure", [True, False])
def test_strict_hears_the_signaled_address_only(secure: bool) -> None:
    with Rig() as rig:
        end, other = rig.secure(source="strict") if secure else rig.plain(), rig.plain()
        rig.join(end, other)
        near = Address(end.address.host, end.address.port + 1)
        for source in (STRANGER, near, Address("192.0.2.11", end.address.port)):
            end.send(end.seal(rtp(1, SSRC)), source=source)
        end.send_rtcp(end.seal_rtcp(rtcp(SSRC)), source=STRANGER)
        end.send_rtcp(end.seal_rtcp(rtcp(SSRC)), source=end.address)  # RTP's port
        rig.run()
        assert other.raw() == []
        assert rig.drops() == {(end.leg.id, False): {"wrong-source": 3}, (end.leg.id, True): {"wrong-source": 2}}
        end.send(end.seal(rtp(1, SSRC)))  # no window has moved
        end.send_rtcp(end.seal_rtcp(rtcp(SSRC)))
        rig.run()
        assert other.raw() == [rtp(1, SSRC), rtcp(SSRC)]
        assert to(rig, other, end, 2) == [str(end.address), str(end.address.next_port)]


def test_strict_without_a_remote_hears_nobody() -> None:
    with Rig() as rig:
        end, other = rig.plain(remote=None), rig.plain()
        rig.join(end, other)
        end.send(rtp(1, SSRC))
        rig.run()
        assert rig.drops() == {(end.leg.id, False): {"wrong-source": 1}}


def test_a_change_of_the_source_rule() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        rig.gateway.change(phone.leg, source="strict")
        phone.send(phone.seal(rtp(1, SSRC)), source=STRANGER)
        rig.run()
        rig.gateway.change(phone.leg, source="authenticated")
        phone.send(phone.seal(rtp(2, SSRC)), source=STRANGER)
        rig.run()
        assert trunk.heard() == [rtp(2, SSRC)]
        assert rig.drops() == {(phone.leg.id, False): {"wrong-source": 1}}


# --- learn-once


def test_learn_once_keeps_the_first_source() -> None:
    with Rig() as rig:
        end, other = rig.plain(remote=None, source="learn-once"), rig.plain()
        rig.join(end, other)
        for octets in (b"", rtp(1, SSRC)[:11], b"\x8f" + rtp(1, SSRC)[1:], bytes(20), b"\x16\xfe\xfd" + bytes(30)):
            end.send(octets, source=STRANGER)
            end.send_rtcp(octets, source=STRANGER)
        end.send(rtp(1, SSRC), source=MOVED)
        end.send(rtp(2, SSRC), source=STRANGER)
        rig.run()
        end.send_rtcp(rtcp(SSRC), source=MOVED.next_port)
        end.send_rtcp(rtcp(SSRC), source=STRANGER)
        rig.run()
        assert other.raw() == [rtp(1, SSRC), rtcp(SSRC)]
        assert to(rig, other, end, 1) == [str(MOVED), str(MOVED.next_port)]
        assert end.counted.rtp.drops["wrong-source"] == end.counted.rtcp.drops["wrong-source"] == 1
        assert rig.kinds() == ["remote-changed", "remote-changed"]


def test_learn_once_from_a_signaled_address_is_no_change() -> None:
    with Rig() as rig:
        end, other = rig.plain(source="learn-once"), rig.plain()
        rig.join(end, other)
        end.send(rtp(1, SSRC))
        end.send(rtp(2, SSRC), source=STRANGER)
        rig.run()
        assert other.raw() == [rtp(1, SSRC)]
        assert end.counted.rtp.remote_changes == 0
        rig.gateway.change(end.leg, remote=MOVED)  # signaled anew: it learns once more
        end.send(rtp(3, SSRC), source=STRANGER)
        end.send(rtp(4, SSRC), source=MOVED)
        rig.run()
        assert other.raw() == [rtp(3, SSRC)]
        assert to(rig, other, end, 1)[0] == str(STRANGER)


def test_learn_once_with_mux_learns_one_address_for_both() -> None:
    with Rig() as rig:
        end, other = rig.plain(remote=None, source="learn-once", rtcp_mux=True), rig.plain()
        rig.join(end, other)
        end.send_rtcp(rtcp(SSRC), source=MOVED)
        end.send(rtp(1, SSRC), source=STRANGER)
        end.send(rtp(2, SSRC), source=MOVED)
        rig.run()
        assert other.raw() == [rtcp(SSRC), rtp(2, SSRC)]
        assert to(rig, other, end, 1) == [str(MOVED), str(MOVED)]


# --- hold


@pytest.mark.parametrize("held", ["phone", "trunk"])
def test_hold(held: str) -> None:
    """RTP stops both ways, RTCP passes, and the receiver's state goes on: window, rollover counter, address, counts."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        before = [(0xFFF0, 0), (0xFFF1, 0)]
        during = [(0xFFFE, 0), (0xFFFF, 0), (0, 1), (1, 1)]
        wires = {place: phone.seal(rtp(place[0], SSRC), place[1]) for place in (*before, *during, (2, 1))}
        for place in before:
            phone.send(wires[place])
        rig.run()
        rig.gateway.change((phone if held == "phone" else trunk).leg, hold=True)
        for place in during:
            phone.send(wires[place], source=MOVED)
            trunk.send(rtp(place[0], 9))
        phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)))
        trunk.send_rtcp(rtcp(9))
        rig.run()
        assert trunk.raw() == [*(rtp(sequence, SSRC) for sequence, _ in before), rtcp(SSRC)]
        assert phone.heard() == []
        assert phone.heard_rtcp() == [rtcp(9)]
        rig.gateway.change((phone if held == "phone" else trunk).leg, hold=False)
        for wire in wires.values():
            phone.send(wire, source=MOVED)
        trunk.send(rtp(2, 9))
        rig.run()
        assert trunk.heard() == [rtp(2, SSRC)]  # all else was received before
        assert places(phone) == [str(MOVED)]
        counted = phone.counted.rtp
        assert counted.drops == {"hold": 4, "replay": 6}
        assert (counted.roc, counted.lost_packets, counted.remote_changes) == (1, 12, 1)
        assert trunk.counted.rtp.drops == {"hold": 4}


def test_what_was_held_was_not_sent() -> None:
    """Packets dropped by hold take no index of the sender's: after it, they may be sent."""
    with Rig() as rig:
        phone, trunk = rig.secure(hold=True), rig.plain()
        rig.join(phone, trunk)
        trunk.send(rtp(5, SSRC))
        rig.run()
        rig.gateway.change(phone.leg, hold=False)
        trunk.send(rtp(5, SSRC))
        rig.run()
        assert phone.heard() == [rtp(5, SSRC)]


# --- multiplexed RTCP (RFC 5761), families, ports


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("peer_mux", [True, False])
def test_mux(secure: bool, peer_mux: bool) -> None:
    with Rig() as rig:
        end = rig.secure(rtcp_mux=True) if secure else rig.plain(rtcp_mux=True)
        other = rig.plain(rtcp_mux=peer_mux)
        rig.join(end, other)
        end.send(end.seal(rtp(1, SSRC)))
        end.send(end.seal_rtcp(rtcp(SSRC)))
        rig.run()
        rtcp_place = (0, other.address) if peer_mux else (1, other.address.next_port)
        assert [(each.port, each.remote) for each in other.inbox] == [(0, other.address), rtcp_place]
        assert other.raw() == [rtp(1, SSRC), rtcp(SSRC)]
        other.send(rtp(1, 9))
        other.send_rtcp(rtcp(9))
        rig.run()
        assert [(each.port, each.remote) for each in end.inbox] == [(0, end.address), (0, end.address)]
        assert (end.heard(), end.heard_rtcp()) == ([rtp(1, 9)], [rtcp(9)])
        counted = end.counted
        assert (counted.rtp.received_packets, counted.rtcp.received_packets) == (1, 1)
        assert (counted.rtp.sent_packets, counted.rtcp.sent_packets) == (1, 1)


def test_mux_tells_rtcp_by_its_packet_type() -> None:
    """RFC 5761 4: types 192 to 223, that is payload types 64 to 95 with the marker bit."""
    with Rig() as rig:
        end, other = rig.plain(rtcp_mux=True), rig.plain()
        rig.join(end, other)
        for kind in range(256):
            end.send(bytes([0x80, kind, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9]))
        rig.run()
        as_rtcp = [each.octets[1] for each in other.inbox if each.port == 1]
        as_rtp = [each.octets[1] for each in other.inbox if each.port == 0]
        assert as_rtcp == list(range(192, 224))
        assert as_rtp == [*range(192), *range(224, 256)]
        other.inbox.clear()


@pytest.mark.parametrize("first", range(256))
def test_demultiplexing_by_the_first_octet(first: int) -> None:
    """RFC 7983 7: 0 to 3 STUN, 20 to 63 DTLS, 128 to 191 RTP or RTCP; the rest is nobody's here."""
    expected = "stun" if first <= 3 else "dtls" if 20 <= first <= 63 else "not-media"
    with Rig() as rig:
        end = rig.secure()
        end.send(bytes([first]) + bytes(60))
        end.send_rtcp(bytes([first, 200]) + bytes(60))
        rig.run()
        if 128 <= first <= 191:
            assert set(end.counted.rtp.drops) <= {"auth-failed", "malformed"}
            assert set(end.counted.rtcp.drops) <= {"srtcp-in-clear"}
        else:
            assert rig.drops() == {(end.leg.id, False): {expected: 1}, (end.leg.id, True): {expected: 1}}


def test_an_rtcp_address_of_its_own() -> None:
    with Rig() as rig:
        far = Address("192.0.2.200", 9999)
        end, other = rig.plain(remote_rtcp=far), rig.plain()
        rig.join(end, other)
        assert to(rig, other, end, 1) == [str(end.address), str(far)]
        end.send_rtcp(rtcp(SSRC), source=far)
        end.send_rtcp(rtcp(SSRC))
        rig.run()
        assert other.raw() == [rtcp(SSRC)]


def test_legs_of_different_families() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(family=6), rig.plain()
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, SSRC)))
        phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)))
        rig.run()
        assert trunk.raw() == [rtp(1, SSRC), rtcp(SSRC)]
        assert to(rig, trunk, phone, 1) == [str(phone.address), str(phone.address.next_port)]
        moved = Address("2001:db8::77", 5000)
        phone.send(phone.seal(rtp(2, SSRC)), source=moved)
        rig.run()
        assert to(rig, trunk, phone, 2)[0] == str(moved)
        assert phone.counted.remote == moved


def test_a_leg_that_is_parted_and_joined_again() -> None:
    """What arrives in between is received, counted and dropped; its state is kept."""
    with Rig() as rig:
        phone, trunk, new = rig.secure(), rig.plain(), rig.plain()
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, SSRC)))
        rig.run()
        rig.close(trunk)
        phone.send(phone.seal(rtp(2, SSRC)))
        rig.run()
        rig.join(phone, new)
        for sequence in (2, 3):
            phone.send(phone.seal(rtp(sequence, SSRC)))
        rig.run()
        assert trunk.raw() == [rtp(1, SSRC)]
        assert new.raw() == [rtp(3, SSRC)]
        assert phone.counted.rtp.drops == {"not-joined": 1, "replay": 1}


def test_frames_of_a_leg_that_was_closed_meanwhile() -> None:
    """Datagrams that wait in the queue when their leg is closed belong to nobody, not to the next leg of its number."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        trunk.send(rtp(1, SSRC))
        number = trunk.leg.id
        rig.close(trunk)
        del trunk.leg
        rig.made.remove(trunk)
        again = rig.plain()
        assert again.leg.id == number
        rig.join(phone, again)
        assert rig.run() == 0
        assert phone.raw() == []
        assert again.counted.rtp.received_packets == 0


def test_a_rekey_does_not_forget_what_was_learnt() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, SSRC)), source=MOVED)
        rig.run()
        fresh = rig.keys()
        rig.gateway.change(phone.leg, transmit_keys=masters(fresh))
        phone.hears = fresh
        assert to(rig, trunk, phone, 1)[0] == str(MOVED)
