"""Calls in signals: which description answers which, what applied when, which keys were announced to whom."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.capture.sip_text import ACK, ALICE, BOB, FIN, PROXY, SUITE, SYN, Wire, crypto, invite, octets, ok, sdp, sip

from srtpgw.capture.announced import SHARED_MAX
from srtpgw.capture.calls import KnownKey
from srtpgw.capture.findings import SIGNALED
from srtpgw.capture.negotiation import CRYPTO_LINES_PER_MEDIUM
from srtpgw.capture.report import Address
from srtpgw.capture.signaling import SILENT_MAX, Signaling
from srtpgw.sdp.crypto import FaultKind

OFFER = sdp(ALICE, 4000, crypto(1))
ANSWER = sdp(BOB, 4002, crypto(2))
NOWHERE = ".".join("0000")
A, B = Address(ALICE, 4000), Address(BOB, 4002)


def call(wire: Wire, number: int = 1, offer: str = OFFER, answer: str = ANSWER) -> None:
    """A call from INVITE to ACK."""
    name = f"call-{number}@example.org"
    wire.udp(ALICE, BOB, invite(offer, call=name))
    wire.udp(BOB, ALICE, ok("", "100 Trying", call=name, tags=("alice-1", "")))
    wire.udp(BOB, ALICE, ok(answer, call=name))
    wire.udp(ALICE, BOB, sip("ACK sip:bob@example.org SIP/2.0", cseq="1 ACK", call=name, tags=("alice-1", "bob-1")))


def roles(signaling: Signaling) -> list[tuple[str, int | None, str, int | None]]:
    return [(each.method, each.status, each.role, each.answers) for each in signaling.descriptions]


def known(wire: Wire) -> list[KnownKey]:
    return wire.signaling.keys()


def codes(signaling: Signaling) -> list[str]:
    found = [finding.code for finding in signaling.findings()]
    assert SIGNALED.keys() >= set(found)
    return found


# --- descriptions ----------------------------------------------------------------------------------------------------


def test_a_call() -> None:
    wire = Wire()
    call(wire)
    offer, answer = wire.signaling.descriptions
    assert (offer.frame, offer.time_ns, offer.transport, offer.method, offer.status) == (
        1,
        10**9,
        "udp",
        "INVITE",
        None,
    )
    assert (offer.from_uri, offer.to_uri) == ("sip:alice@example.org", "sip:bob@example.org")
    assert (offer.sender, offer.receiver) == (Address(ALICE, 5060), Address(BOB, 5060))
    assert (offer.media, offer.rtcp, offer.profile, offer.kind) == (A, Address(ALICE, 4001), "RTP/SAVP", "audio")
    assert [form.codec for form in offer.payload_types.values()] == ["PCMA", "telephone-event"]
    assert (offer.suites, offer.secure, offer.role, offer.answers, offer.owner) == (
        (SUITE,),
        True,
        "offer",
        None,
        "alice-1",
    )
    assert (answer.frame, answer.status, answer.media, answer.role, answer.answers, answer.owner) == (
        3, 200, B, "answer", 0, "bob-1",
    )  # fmt: skip


def test_keys_go_from_the_describer_to_its_peer() -> None:
    wire = Wire()
    call(wire)
    first, second = known(wire)
    assert (first.key_and_salt, first.suites, first.declared, first.description) == (octets(1), (SUITE,), True, 0)
    assert (first.senders, first.receivers) == ((A, Address(ALICE, 4001)), (B, Address(BOB, 4003)))
    assert (second.senders, second.receivers) == (first.receivers, first.senders)
    assert (first.source, second.source) == (
        "a=crypto in frame 1 (sip over udp)",
        "a=crypto in frame 3 (sip over udp)",
    )
    assert wire.signaling.keys_in_clear() == (1, 3)
    assert codes(wire.signaling) == []


def test_an_offer_in_the_response_is_answered_in_the_ack() -> None:
    wire = Wire()
    wire.udp(ALICE, BOB, invite())
    wire.udp(BOB, ALICE, ok(ANSWER))
    wire.udp(ALICE, BOB, sip("ACK sip:b SIP/2.0", OFFER, cseq="1 ACK", tags=("alice-1", "bob-1")))
    assert roles(wire.signaling) == [("INVITE", 200, "offer", None), ("ACK", None, "answer", 0)]
    assert known(wire)[0].receivers == (A, Address(ALICE, 4001))


def test_reliable_provisional_responses() -> None:
    """An offer in 183, answered in PRACK; then a further offer in PRACK, answered in its 200 (RFC 3262 5)."""
    wire = Wire()
    wire.udp(ALICE, BOB, invite())
    wire.udp(BOB, ALICE, ok(ANSWER, "183 Session Progress", headers="RSeq: 7\r\nRequire: 100rel\r\n"))
    wire.udp(ALICE, BOB, sip("PRACK sip:b SIP/2.0", OFFER, cseq="2 PRACK", headers="RAck: 7 1 INVITE\r\n"))
    assert roles(wire.signaling) == [("INVITE", 183, "offer", None), ("PRACK", None, "answer", 0)]
    wire = Wire()
    wire.udp(ALICE, BOB, invite(OFFER))
    wire.udp(BOB, ALICE, ok(ANSWER, "183 Session Progress", headers="RSeq: 7\r\nRequire: 100rel\r\n"))
    wire.udp(ALICE, BOB, sip("PRACK sip:b SIP/2.0", OFFER, cseq="2 PRACK", headers="RAck: 7 1 INVITE\r\n"))
    wire.udp(BOB, ALICE, ok(ANSWER, cseq="2 PRACK"))
    wire.udp(BOB, ALICE, ok(ANSWER))
    assert roles(wire.signaling) == [
        ("INVITE", None, "offer", None),
        ("INVITE", 183, "answer", 0),
        ("PRACK", None, "offer", None),
        ("PRACK", 200, "answer", 2),
        ("INVITE", 200, "answer", 0),
    ]


def test_hold_resume_and_rekey_within_a_call() -> None:
    wire = Wire()
    call(wire)
    steps = [
        ("2 INVITE", sdp(ALICE, 4000, crypto(1), "a=sendonly"), sdp(BOB, 4002, crypto(2), "a=recvonly")),
        ("3 INVITE", sdp(NOWHERE, 4000, crypto(1)), sdp(BOB, 4002, crypto(2))),
        ("4 UPDATE", sdp(ALICE, 4000, crypto(3)), sdp(BOB, 4002, crypto(4))),
    ]
    for cseq, offer, answer in steps:
        method = cseq.split()[1]
        wire.udp(ALICE, BOB, sip(f"{method} sip:b SIP/2.0", offer, cseq=cseq, tags=("alice-1", "bob-1")))
        wire.udp(BOB, ALICE, ok(answer, cseq=cseq))
    found = wire.signaling.descriptions
    assert [each.held for each in found] == [False, False, True, False, True, False, False, False]
    assert [each.answers for each in found] == [None, 0, None, 2, None, 4, None, 6]
    assert [each.direction for each in found[2:4]] == ["sendonly", "recvonly"]
    assert [each.time_ns for each in found] == sorted(each.time_ns for each in found)
    assert len({each.dialog for each in found}) == 2
    assert [key.key_and_salt for key in known(wire)] == [octets(number) for number in (1, 2, 3, 4)]
    assert {end.host for key in known(wire) for end in key.senders} == {ALICE, BOB}
    assert codes(wire.signaling) == []


def test_the_other_side_changes_the_call() -> None:
    """In a request of the callee, From names the callee."""
    wire = Wire()
    call(wire)
    wire.udp(
        BOB, ALICE, sip("INVITE sip:a SIP/2.0", sdp(BOB, 4002, crypto(2)), cseq="9 INVITE", tags=("bob-1", "alice-1"))
    )
    wire.udp(ALICE, BOB, ok(sdp(ALICE, 4000, crypto(1)), cseq="9 INVITE", tags=("bob-1", "alice-1")))
    assert [each.owner for each in wire.signaling.descriptions] == ["alice-1", "bob-1", "bob-1", "alice-1"]
    assert codes(wire.signaling) == []


def test_what_tells_of_abilities_describes_no_media() -> None:
    wire = Wire()
    wire.udp(ALICE, BOB, sip("OPTIONS sip:b SIP/2.0", OFFER, cseq="1 OPTIONS"))
    wire.udp(BOB, ALICE, ok(ANSWER, cseq="1 OPTIONS"))
    wire.udp(ALICE, BOB, invite(OFFER, cseq="2 INVITE"))
    wire.udp(BOB, ALICE, ok(ANSWER, "488 Not Acceptable Here", cseq="2 INVITE"))
    assert roles(wire.signaling) == [("INVITE", None, "offer", None)]


def test_sending_again_adds_nothing() -> None:
    wire = Wire()
    call(wire)
    call(wire)
    assert len(wire.signaling.descriptions) == 2
    assert wire.signaling.counters["sip-sent-again"] == 4


def test_a_proxy_between_keeps_the_hops_apart() -> None:
    """A relay of media rewrites the address on each hop; an answer belongs to the offer of its own hop."""
    wire = Wire()
    wire.udp(ALICE, PROXY, invite(OFFER))
    wire.udp(PROXY, BOB, invite(OFFER.replace(f"c=IN IP4 {ALICE}", f"c=IN IP4 {PROXY}").replace("4000", "7000")))
    wire.udp(BOB, PROXY, ok(ANSWER))
    wire.udp(PROXY, ALICE, ok(ANSWER.replace(f"c=IN IP4 {BOB}", f"c=IN IP4 {PROXY}").replace("4002", "7002")))
    assert [each.answers for each in wire.signaling.descriptions] == [None, None, 1, 0]
    first, second = known(wire)
    assert first.senders[::2] == (A, Address(PROXY, 7000))
    assert second.senders[::2] == (B, Address(PROXY, 7002))
    assert codes(wire.signaling) == []


def test_a_message_on_two_hops_is_on_both() -> None:
    wire = Wire()
    wire.udp(ALICE, PROXY, invite(OFFER))
    wire.udp(PROXY, BOB, invite(OFFER))
    assert [each.sender.host for each in wire.signaling.descriptions] == [ALICE, PROXY]
    assert len(known(wire)) == 1


def test_another_call_on_the_next_hop_repeats_the_description() -> None:
    wire = Wire()
    wire.udp(ALICE, PROXY, invite(OFFER))
    wire.udp(PROXY, BOB, invite(OFFER, call="other@example.org", tags=("proxy-1", "")))
    assert len(known(wire)) == 1
    assert codes(wire.signaling) == []


def test_a_capture_that_begins_in_the_middle_of_a_call() -> None:
    wire = Wire()
    wire.udp(BOB, ALICE, ok(ANSWER))
    wire.udp(ALICE, BOB, sip("ACK sip:b SIP/2.0", OFFER, cseq="7 ACK", tags=("alice-1", "bob-1")))
    assert roles(wire.signaling) == [("INVITE", 200, "answer", None), ("ACK", None, "answer", None)]


def test_a_forked_call_has_two_answers_to_one_offer() -> None:
    wire = Wire()
    wire.udp(ALICE, PROXY, invite(OFFER))
    wire.udp(PROXY, ALICE, ok(ANSWER, "183 Session Progress", tags=("alice-1", "bob-1")))
    wire.udp(PROXY, ALICE, ok(sdp(BOB, 4444, crypto(9)), tags=("alice-1", "bob-2")))
    assert [each.answers for each in wire.signaling.descriptions] == [None, 0, 0]
    assert Address(BOB, 4444) in known(wire)[0].receivers


def test_several_media_and_a_refused_one() -> None:
    wire = Wire()
    offer = sdp(ALICE, 4000, crypto(1), "m=video 4010 RTP/SAVPF 96", "a=rtpmap:96 H264/90000", "a=rtcp-mux", crypto(3))
    wire.udp(ALICE, BOB, invite(offer))
    wire.udp(BOB, ALICE, ok(sdp(BOB, 4002, crypto(2), "m=video 0 RTP/SAVPF 96")))
    audio, video, first, refused = wire.signaling.descriptions
    assert (video.kind, video.index, video.media, video.rtcp_mux) == ("video", 1, Address(ALICE, 4010), True)
    assert (first.answers, refused.answers, refused.media.port) == (audio.number, video.number, 0)
    assert known(wire)[1].receivers == ()
    assert codes(wire.signaling) == []


def test_ipv6() -> None:
    wire = Wire()
    wire.udp(ALICE, BOB, invite(sdp("2001:0DB8::1", 4000, crypto(1)).replace("IP4", "IP6")))
    assert wire.signaling.descriptions[0].media == Address("2001:db8::1", 4000)


def test_several_keys_and_suites_of_one_attribute() -> None:
    wire = Wire()
    several = f"{crypto(1)}|2^20|1:1;{crypto(3).split()[-1]}|2^20|2:1"
    lines = (
        several,
        crypto(5, "AES_CM_256_HMAC_SHA1_80", 2),
        crypto(6, "F8_128_HMAC_SHA1_80", 3),
        crypto(7, SUITE, 4, "|x"),
    )
    lines = (lines[0], lines[1].replace(crypto(5).split(":")[-1], ""), *lines[2:])
    wire.udp(ALICE, BOB, invite(sdp(ALICE, 4000, *lines)))
    (found,) = wire.signaling.descriptions
    assert [(key.key_and_salt, key.mki) for key in known(wire)] == [
        (octets(1), b"\1"),
        (octets(3), b"\2"),
    ]
    assert [fault.kind for fault in found.crypto_faults] == [FaultKind.KEY, FaultKind.SUITE, FaultKind.KEY]
    assert found.suites == (SUITE, "AES_256_CM_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80")
    assert codes(wire.signaling) == ["signaled-crypto-broken"]


def test_dtls_descriptions() -> None:
    wire = Wire()
    lines = "a=fingerprint:sha-256 AB", "a=setup:actpass", "a=candidate:1 1 UDP 99 192.0.2.66 7000 typ host"
    wire.udp(ALICE, BOB, invite(sdp(ALICE, 4000, *lines, profile="UDP/TLS/RTP/SAVPF")))
    (found,) = wire.signaling.descriptions
    assert (found.fingerprint, found.setup, found.secure) == (True, "actpass", True)
    assert found.candidates == (Address("192.0.2.66", 7000),)
    assert codes(wire.signaling) == []


# --- findings --------------------------------------------------------------------------------------------------------


def test_keys_under_avp_and_savp_without_keys() -> None:
    wire = Wire()
    call(wire, 1, sdp(ALICE, 4000, crypto(1), profile="RTP/AVP"), sdp(BOB, 4002, profile="RTP/AVP"))
    call(wire, 2, sdp(ALICE, 4100), sdp(BOB, 4102))
    keyed, keyless = wire.signaling.findings()
    assert (keyed.code, keyed.frames, keyless.code, keyless.frames) == (
        "signaled-key-under-avp", (1,), "signaled-savp-without-key", (5, 7),
    )  # fmt: skip
    assert "RTP/AVP" in keyed.text
    assert wire.signaling.keys_in_clear() == (1,)


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        ([(OFFER, ANSWER), (sdp(ALICE, 4100, crypto(1)), sdp(BOB, 4102, crypto(5)))], "calls"),
        ([(OFFER, sdp(BOB, 4002, crypto(1)))], "two sides"),
        ([(sdp(ALICE, 4000, crypto(1), "m=video 4010 RTP/SAVP 96", crypto(1)), ANSWER)], "two media"),
        # the same o= line in every call, as some programs have it; the same port, too
        ([(OFFER, ANSWER), (OFFER, sdp(BOB, 4102, crypto(5)))], "calls"),
        ([(sdp(ALICE, 4000, crypto(1), session=5), ANSWER),
          (sdp(ALICE, 4100, crypto(1), session=5), sdp(BOB, 4102, crypto(5)))], "calls"),
    ],
)  # fmt: skip
def test_one_key_in_two_places(calls: list[tuple[str, str]], says: str) -> None:
    wire = Wire()
    for number, (offer, answer) in enumerate(calls):
        call(wire, number, offer, answer)
    (finding,) = wire.signaling.findings()
    assert finding.code == "signaled-key-twice"
    assert says in finding.text
    assert sum(key.key_and_salt == octets(1) for key in known(wire)) == 2


def test_keys_that_are_shared_are_told_up_to_a_bound() -> None:
    wire = Wire()
    for number in range(2 * (SHARED_MAX + 5)):
        wire.udp(ALICE, BOB, invite(sdp(ALICE, 4000 + number, crypto(number // 2)), call=f"call-{number}"))
    assert len(codes(wire.signaling)) == SHARED_MAX


def test_alternatives_of_one_medium_may_share_a_key() -> None:
    wire = Wire()
    offer = sdp(ALICE, 4000, crypto(1), crypto(1, "AES_CM_128_HMAC_SHA1_32", 2))
    call(wire, 1, offer)
    assert codes(wire.signaling) == []
    assert [key.suites[0][-2:] for key in known(wire)] == ["80", "32", "80"]


# --- connections -----------------------------------------------------------------------------------------------------


def segments(stream: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    edges = [0, *sorted(cuts), len(stream)]
    return [(start, stream[start:end]) for start, end in pairwise(edges)]


@given(st.data())
def test_messages_over_tcp_however_they_are_cut(data: st.DataObject) -> None:
    wire = Wire()
    stream = invite(OFFER) + sip("ACK sip:b SIP/2.0", cseq="1 ACK", tags=("alice-1", "bob-1"))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=5))
    pieces = data.draw(st.permutations(segments(stream, cuts)))
    wire.tcp(b"", 1000, SYN)
    wire.tcp(b"", 2000, SYN | ACK, back=True)
    for start, payload in pieces:
        wire.tcp(payload, 1000 + start)
    wire.tcp(ok(ANSWER), 2000, back=True)
    offer, answer = wire.signaling.descriptions
    assert (offer.transport, offer.sender, offer.receiver) == ("tcp", Address(ALICE, 40000), Address(BOB, 5060))
    assert (answer.sender, answer.answers) == (Address(BOB, 5060), 0)
    assert 3 <= offer.frame <= 2 + len(pieces)
    assert wire.signaling.counters["sip-messages"] == 3


def test_a_connection_that_lost_octets_goes_on_with_the_next_message() -> None:
    wire = Wire()
    wire.tcp(invite(OFFER), 1000)
    wire.tcp(invite(sdp(ALICE, 4100, crypto(3)), cseq="2 INVITE"), 3000)  # what is between is not captured
    assert len(wire.signaling.descriptions) == 1
    wire.signaling.finish()
    assert [each.media.port for each in wire.signaling.descriptions] == [4000]
    wire.tcp(invite(OFFER, cseq="3 INVITE") + invite(OFFER, cseq="4 INVITE"), 10_000)
    assert [each.frame for each in wire.signaling.descriptions] == [1, 3, 3]


def test_a_connection_that_never_says_anything_is_given_up() -> None:
    wire = Wire()
    for start in range(0, SILENT_MAX + 20_000, 10_000):
        wire.tcp(b"A" * 10_000, start)
    assert len(wire.signaling.ignored_flows()) == 1
    wire.tcp(invite(OFFER), start + 10_000, ACK | FIN)
    wire.signaling.finish()
    assert wire.signaling.descriptions == ()


# --- hostile ---------------------------------------------------------------------------------------------------------


def test_what_is_kept_of_a_capture_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("DESCRIPTIONS_MAX", 4), ("CRYPTO_LINES_MAX", 5), ("TRANSACTIONS_MAX", 3), ("MESSAGES_MAX", 3)):
        monkeypatch.setattr(f"srtpgw.capture.negotiation.{name}", most)
    wire = Wire()
    for number in range(10):
        call(wire, number, sdp(ALICE, 4000, crypto(1), crypto(2, tag=2), crypto(3, tag=3)))
    assert len(wire.signaling.descriptions) == 4
    assert sum(len(each.crypto) for each in wire.signaling.descriptions) == 5
    assert wire.signaling.counters["sdp-beyond-limit"] == 16
    assert wire.signaling.counters["crypto-beyond-limit"] == 3
    wire = Wire()
    many = [crypto(1, tag=number) for number in range(CRYPTO_LINES_PER_MEDIUM + 5)]
    monkeypatch.setattr("srtpgw.capture.negotiation.CRYPTO_LINES_MAX", 1000)
    wire.udp(ALICE, BOB, invite(sdp(ALICE, 4000, *many)))
    assert len(wire.signaling.descriptions[0].crypto) == CRYPTO_LINES_PER_MEDIUM


def test_nothing_that_is_kept_shows_a_key() -> None:
    wire = Wire()
    call(wire, 1, sdp(ALICE, 4000, crypto(1), crypto(7, SUITE, 4, "|x")))
    shown = repr((wire.signaling.descriptions, known(wire), wire.signaling.findings(), wire.signaling.counters))
    for number in (1, 2, 7):
        assert crypto(number).split("inline:")[1][:8] not in shown
        assert octets(number).hex()[:8] not in shown
        assert repr(octets(number))[2:12] not in shown
