"""RTCP through a relay where sources go out under other SSRCs: what speaks of a source is mapped as its media was, in
both directions, and nothing else changes (RFC 3550 7.3)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from model.packet import rtcp, rtp
from model.suites import SUITES
from native import rtcp as forms
from native.rig import RELAY_SUITES, SSRC, End, Rig, masters
from support import campaign

A1, A2, B1 = 0xAAAA0001, 0xAAAA0002, 0xBBBB0001
OTHER = 0x12345678  # a source that neither end sends


def restart(rig: Rig, talker: End, listener: End, *sources: int) -> dict[int, int]:
    """Restart sources of a plain end. What they are called at the other one."""
    for ssrc in sources:
        for sequence in (5000, 1, 2):
            talker.send(rtp(sequence, ssrc))
            rig.run()
    listener_hears = [packet for packet in listener.heard() if packet[2:4] == b"\x00\x02"]
    renamed = [int.from_bytes(packet[8:12], "big") for packet in listener_hears]
    assert len(set(renamed) | set(sources)) == 2 * len(sources)
    return dict(zip(sources, renamed, strict=True))


def through(rig: Rig, talker: End, listener: End, compound: bytes) -> bytes:
    talker.send_rtcp(talker.seal_rtcp(compound))
    rig.run()
    heard = listener.heard_rtcp()
    assert len(heard) == 1
    return heard[0]


def about(speaker: Sequence[int], heard: Sequence[int], other: int) -> list[bytes]:
    """Every kind of packet that holds an SSRC: `speaker` are the talker's sources, `heard` the listener's."""
    first, second = speaker[0], speaker[-1]
    return [
        forms.sender_report(first, (heard[0], other)),
        forms.sender_report(first),
        forms.receiver_report(second, tuple(heard) * 2 + (other,), b"profile's own!!!"),
        forms.receiver_report(other),
        forms.description(
            forms.chunk(first, b"user@example", b"name of three"), forms.chunk(second), forms.chunk(other, b"12345")
        ),
        forms.goodbye((first, second, other), b"so long"),
        forms.goodbye((second,)),
        forms.application(first),
        forms.feedback(forms.RTPFB, forms.NACK, first, heard[0], tail=b"\x00\x07\x00\x00"),
        forms.feedback(forms.RTPFB, forms.TMMBR, first, 0, (*heard, other)),
        forms.feedback(forms.RTPFB, forms.TMMBN, second, 0, (heard[0],)),
        forms.feedback(forms.PSFB, forms.PLI, second, heard[0]),
        forms.feedback(forms.PSFB, forms.FIR, first, 0, (heard[0], other)),
        forms.feedback(forms.PSFB, forms.TSTR, first, 0, (heard[0],)),
        forms.feedback(forms.PSFB, forms.TSTN, first, 0, (heard[0],)),
        forms.feedback(forms.PSFB, forms.VBCM, first, heard[0], (heard[0],), b"octets.."),
        forms.extended(
            first,
            *(forms.source_block(kind, heard[0], length) for kind, length in ((1, 4), (2, 8), (3, 12))),
            forms.block(4, b"NTP time"),
            forms.dlrr(heard[0], other, heard[-1]),
            forms.source_block(6, other, 36),
            forms.source_block(7, heard[0], 28),
            forms.block(99, forms.word(heard[0])),
        ),
    ]


def mapped(packet: forms.Packet, speakers: dict[int, int], heard: dict[int, int]) -> forms.Packet:
    return packet._replace(
        speakers=tuple(speakers.get(ssrc, ssrc) for ssrc in packet.speakers),
        heard=tuple(heard.get(ssrc, ssrc) for ssrc in packet.heard),
    )


def test_the_parser_reads_what_it_made() -> None:
    compound = b"".join(about((1, 2), (3, 4), 5))
    packets = forms.read(compound)
    assert len(packets) == len(about((1, 2), (3, 4), 5))
    assert packets[0].speakers == (1,)
    assert packets[0].heard == (3, 5)
    assert packets[4].speakers == (1, 2, 5)
    assert packets[-1].heard == (3, 3, 3, 3, 5, 4, 5, 3)
    with pytest.raises(ValueError, match="cut short"):
        forms.read(compound[:-4])


@pytest.mark.parametrize("number", range(len(about((1, 2), (3,), 5))))
@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
def test_each_kind_both_ways(number: int, suite: str) -> None:
    """The plain end's sources restarted. Its packets speak of the new SSRCs, those about it come back with the old."""
    with Rig() as rig:
        phone, trunk = rig.secure(suite), rig.plain()
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, B1)))
        rig.run()
        names = restart(rig, trunk, phone, A1, A2)
        sent = about((A1, A2), (B1,), OTHER)[number]
        assert forms.read(through(rig, trunk, phone, sent)) == [mapped(p, names, {}) for p in forms.read(sent)]
        sent = about((B1,), tuple(names.values()), OTHER)[number]
        back = {outgoing: incoming for incoming, outgoing in names.items()}
        assert forms.read(through(rig, phone, trunk, sent)) == [mapped(p, {}, back) for p in forms.read(sent)]


@pytest.mark.parametrize("seed", range(campaign(60)))
def test_compound_packets_with_both_sides_renamed(seed: int) -> None:
    rng = random.Random(seed)
    with Rig(seed=seed) as rig:
        phone, trunk = rig.secure(rng.choice(RELAY_SUITES)), rig.secure(rng.choice(RELAY_SUITES))
        rig.join(phone, trunk)
        renamed: list[dict[int, int]] = []
        for talker, listener, ssrc in ((phone, trunk, A1), (trunk, phone, B1)):
            # what the far end protects goes up; what it plays after a restart comes under a new key, from 1 again
            for sequence in (5000, 1, 2):
                if sequence == 1:
                    fresh = rig.keys(talker.sends.suite.name) if talker.sends else rig.keys()
                    rig.gateway.change(talker.leg, receive_keys=masters(fresh))
                    talker.sends = fresh
                talker.send(talker.seal(rtp(sequence, ssrc)))
                rig.run()
            outgoing = int.from_bytes(listener.heard()[-1][8:12], "big")
            renamed.append({ssrc: outgoing})
            assert outgoing != ssrc
        for _ in range(10):
            for talker, listener, speak, hear in ((phone, trunk, 0, 1), (trunk, phone, 1, 0)):
                heard = {outgoing: incoming for incoming, outgoing in renamed[hear].items()}
                kinds = about(tuple(renamed[speak]), tuple(heard), rng.getrandbits(32))
                sent = b"".join(rng.choices(kinds, k=rng.randint(1, 6)))
                got = forms.read(through(rig, talker, listener, sent))
                assert got == [mapped(packet, renamed[speak], heard) for packet in forms.read(sent)]


def test_nothing_changes_where_nothing_was_renamed() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        sent = b"".join(about((A1, A2), (B1,), OTHER))
        assert through(rig, trunk, phone, sent) == sent
        assert through(rig, phone, trunk, sent) == sent


def test_each_outgoing_source_has_srtcp_indices_of_its_own() -> None:
    """One index per outgoing SSRC, each once: the keystream of SRTCP depends on both (RFC 3711 4.1.1)."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        assert phone.hears is not None
        seen = []
        for _ in range(3):
            trunk.send_rtcp(rtcp(A1))
        rig.run()
        restart(rig, trunk, phone, A1)
        for ssrc in (A1, A2, A1, A2):
            trunk.send_rtcp(rtcp(ssrc))
        rig.run()
        for wire in phone.raw():
            phone.hears.open_rtcp(wire)
            seen.append((wire[4:8], phone.hears.index(wire)))
        assert len(set(seen)) == len(seen) == 7
        assert {index for _, index in seen} == {0, 1, 2}


def test_authentic_but_malformed_rtcp_is_left_alone_from_there() -> None:
    """Behind the point where the lengths do not add up nothing is touched, and nothing is read beyond the packet."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        names = restart(rig, trunk, phone, A1)
        back = names[A1]
        lying = [
            forms.receiver_report(B1)[:2] + b"\xff\xff" + forms.word(back),  # length over the end
            b"\x9f" + forms.receiver_report(B1, (back,))[1:],  # 31 reports where one is
            b"\x9f" + forms.goodbye((B1,))[1:],
            b"\x9f" + forms.description(forms.chunk(B1, b"abc"))[1:],
            forms.description(forms.chunk(B1, b"abc"))[:-5] + b"\xff" * 4 + b"\x01",  # an item past the end
            forms.extended(B1, b"\x07\x00\xff\xff" + forms.word(back)),  # a block past the end
            forms.extended(B1, b"\x07\x00\x00\x00"),  # a block too short for its SSRC
            forms.extended(B1, b"\x05\x00\x00\x01" + forms.word(back)),  # an entry cut short
            forms.feedback(forms.PSFB, forms.FIR, B1, back)[:2] + b"\x00\x01" + forms.word(B1),
            forms.feedback(forms.PSFB, forms.FIR, B1, back, tail=forms.word(back)),  # half an entry
            forms.feedback(forms.PSFB, forms.VBCM, B1, back),
            forms.receiver_report(B1) + b"\x00\x00\x00\x00\x00\x00\x00\x00",  # version 0
            forms.receiver_report(B1) + b"\x81\xca\x00\x00",
        ]
        for packet in lying:
            got = through(rig, phone, trunk, packet)
            assert len(got) == len(packet)
            changed = {at // 4 for at, (a, b) in enumerate(zip(packet, got, strict=True)) if a != b}
            for place in changed:
                assert packet[4 * place : 4 * place + 4] == forms.word(back)
                assert got[4 * place : 4 * place + 4] == forms.word(A1)


def test_random_octets_under_a_good_tag() -> None:
    """The far end is authentic and sends nonsense: one packet out for each in, of the same length."""
    rng = random.Random("nonsense")
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        restart(rig, trunk, phone, A1)
        for _ in range(campaign(2000)):
            words = rng.randint(1, 40)
            body = b"".join(
                struct_word(rng) if rng.random() < 0.5 else rng.randbytes(4) for _ in range(words)
            )  # plausible headers among the noise
            sent = bytes([0x80 | rng.getrandbits(5), rng.randint(192, 223)]) + rng.randbytes(2) + forms.word(B1) + body
            assert len(through(rig, phone, trunk, sent)) == len(sent)


def struct_word(rng: random.Random) -> bytes:
    return bytes([0x80 | rng.getrandbits(5), rng.randint(200, 207), 0, rng.randint(0, 9)])


def test_bye_does_not_end_a_leg() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        for number, (talker, listener) in enumerate([(phone, trunk), (trunk, phone)] * 2, 1):
            goodbye = forms.goodbye((SSRC,), b"teardown")
            assert through(rig, talker, listener, goodbye) == goodbye
            talker.send(talker.seal(rtp(number, SSRC)))
            rig.run()
            assert listener.heard() == [rtp(number, SSRC)]
        assert rig.drops() == {}
        assert rig.kinds() == []


def test_a_rekey_keeps_the_names() -> None:
    """Between the new key and the first RTP packet under it, RTCP speaks of the source as before."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        names = restart(rig, trunk, phone, A1)
        fresh = rig.keys()
        rig.gateway.change(phone.leg, transmit_keys=masters(fresh))
        phone.hears = fresh
        for sequence in (3, 4):
            report = through(rig, trunk, phone, forms.sender_report(A1))
            assert forms.read(report)[0].speakers == (names[A1],)
            answer = through(rig, phone, trunk, forms.receiver_report(B1, (names[A1],)))
            assert forms.read(answer)[0].heard == (A1,)
            trunk.send(rtp(sequence, A1))
            rig.run()
            assert [packet[8:12] for packet in phone.heard()] == [forms.word(names[A1])]


@pytest.mark.parametrize("rule", ["all", "unknown"])
def test_a_report_ahead_of_its_media(rule: str) -> None:
    """Where every source goes out under another SSRC, the report that comes before the first RTP packet does, too."""
    with Rig() as rig:
        phone, trunk = rig.secure(rename_sources=rule), rig.plain()
        rig.join(phone, trunk)
        report = forms.read(through(rig, trunk, phone, forms.sender_report(A1)))[0]
        trunk.send(rtp(1, A1))
        rig.run()
        assert [packet[8:12] for packet in phone.heard()] == [forms.word(report.speakers[0])]
        assert report.speakers != (A1,)


@pytest.mark.parametrize("suite", RELAY_SUITES)
def test_rtcp_never_leaves_in_clear_on_an_encrypted_leg(suite: str) -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(suite), rig.plain()
        rig.join(phone, trunk)
        sent = forms.sender_report(A1) + forms.description(forms.chunk(A1, b"a name to be hidden"))
        trunk.send_rtcp(sent)
        rig.run()
        (wire,) = phone.raw()
        assert len(wire) == len(sent) + SUITES[suite].rtcp_tag_length + 4
        assert wire[:8] == sent[:8]
        assert b"hidden" not in wire
        assert phone.hears is not None
        assert phone.hears.open_rtcp(wire) == sent
