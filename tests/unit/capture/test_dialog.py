"""The signaling that is made up: well-formed, true to what was seen, silent about everything else."""

from __future__ import annotations

import re

import pytest

from srtpgw.capture import pcapng
from srtpgw.capture.dialog import Conversation, Message, messages
from srtpgw.capture.report import Address
from srtpgw.capture.twin import (
    TwinPlan,
    TwinStream,
    block_writer,
    conversations,
    head,
    parse_mapping,
    unexplained,
    write_twin,
)
from srtpgw.sdp.payload import PayloadFormat

ONE, TWO = Address("10.0.0.1", 5004), Address("10.0.0.2", 6004)
SIX = Address("2001:db8:1::a", 5004), Address("2001:db8:1::b", 6004)
PCMU = PayloadFormat("PCMU", 8000)
OPUS = PayloadFormat("opus", 48000, 2, "minptime=10;useinbandfec=1")
EVENTS = PayloadFormat("telephone-event", 8000, 1, "0-16")
TIME_NS = 1_700_000_000_000_000_000
HOSTS = {"a": bytes([10, 0, 0, 1]), "b": bytes([10, 0, 0, 2]), "c": bytes([10, 0, 0, 3])}


def parts(message: Message) -> tuple[str, dict[str, str], str]:
    """Start line, header fields, body; every line ends as RFC 3261 asks, and the length is right."""
    above, _, body = message.text.partition(b"\r\n\r\n")
    lines = above.decode("ascii").split("\r\n")
    assert not any("\n" in line or "\r" in line for line in lines)
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert len(fields) == len(lines) - 1
    assert int(fields["Content-Length"]) == len(body)
    return lines[0], fields, body.decode("ascii")


def described(message: Message) -> list[str]:
    body = parts(message)[2]
    assert body.endswith("\r\n")
    return body.split("\r\n")[:-1]


def conversation(**changes: object) -> Conversation:
    given = {"number": 3, "first": ONE, "second": TWO, "two_way": True, "formats": {0: PCMU}, **changes}
    return Conversation(**given)  # type: ignore[arg-type]


def stream(number: int, way: str, *, ssrc: int = 0, rtcp: bool = False, **changes: object) -> TwinStream:
    """From host and port to host and port, as in "a5004 b6004"."""
    source, destination = way.split()
    key = (0, 4, HOSTS[source[0]], int(source[1:]), HOSTS[destination[0]], int(destination[1:]), ssrc or number, rtcp)
    given = {"payload_types": () if rtcp else (0,), **changes}
    return TwinStream(number, key, 10 * number, TIME_NS + number, **given)  # type: ignore[arg-type]


def talks(*streams: TwinStream) -> list[Conversation]:
    return conversations(TwinPlan(("eth0",), streams))


def test_the_three_messages_are_one_dialog() -> None:
    invite, ok, ack = messages(conversation())
    assert (invite.source, invite.destination) == (ok.destination, ok.source) == (ack.source, ack.destination)
    assert invite.source == (4, bytes([192, 0, 2, 1]), 5060)
    starts, fields, _ = zip(*map(parts, (invite, ok, ack)), strict=True)
    assert starts == (
        "INVITE sip:called@synthetic.invalid SIP/2.0",
        "SIP/2.0 200 OK",
        "ACK sip:called@synthetic.invalid SIP/2.0",
    )
    assert {each["Call-ID"] for each in fields} == {"3@synthetic.invalid"}
    assert [each["CSeq"] for each in fields] == ["1 INVITE", "1 INVITE", "1 ACK"]
    assert {each["From"] for each in fields} == {'"10.0.0.1:5004" <sip:caller@synthetic.invalid>;tag=a3'}
    assert fields[1]["To"] == fields[2]["To"] == fields[0]["To"] + ";tag=b3"
    assert fields[0]["Via"] == fields[1]["Via"] != fields[2]["Via"]
    assert all("synthetic" in each.get("User-Agent", each.get("Server", "")) for each in fields)


def test_each_side_describes_its_own_address() -> None:
    invite, ok, ack = messages(conversation(formats={0: PCMU, 101: EVENTS}))
    assert described(invite) == [
        "v=0",
        "o=- 3 1 IN IP4 10.0.0.1",
        "s=synthetic",
        "i=Made up by srtpgw for media that was captured",
        "c=IN IP4 10.0.0.1",
        "t=0 0",
        "m=audio 5004 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=sendrecv",
    ]
    assert "m=audio 6004 RTP/AVP 0 101" in described(ok)
    assert "c=IN IP4 10.0.0.2" in described(ok)
    assert parts(ack)[2] == ""


def test_ipv6_one_way_mux() -> None:
    invite, ok, _ = messages(conversation(first=SIX[0], second=SIX[1], two_way=False, mux=True))
    assert invite.source[0] == 6
    assert parts(invite)[1]["Via"].startswith("SIP/2.0/UDP [2001:db8::1]:5060;")
    assert parts(invite)[1]["From"].startswith('"[2001:db8:1::a]:5004" ')
    assert {"c=IN IP6 2001:db8:1::a", "a=sendonly", "a=rtcp-mux"} <= set(described(invite))
    assert {"c=IN IP6 2001:db8:1::b", "a=recvonly", "a=rtcp-mux"} <= set(described(ok))


def test_channels_and_parameters_are_kept() -> None:
    lines = described(messages(conversation(formats={111: OPUS}))[0])
    assert lines[7:9] == ["a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1"]


def test_an_unknown_payload_type_is_listed_and_told() -> None:
    lines = described(messages(conversation(formats={0: PCMU, 96: None}))[0])
    assert "m=audio 5004 RTP/AVP 0 96" in lines
    assert not any(line.startswith("a=rtpmap:96") for line in lines)
    assert lines[3].endswith(": nothing tells what payload type 96 carries")


@pytest.mark.parametrize(
    "known",
    [
        PayloadFormat("x\r\na=crypto:1", 8000),
        PayloadFormat("two words", 8000),
        PayloadFormat("", 8000),
        PayloadFormat("e\u0301", 8000),
        PayloadFormat("opus", None),
    ],
)
def test_a_hostile_name_is_not_repeated(known: PayloadFormat) -> None:
    lines = described(messages(conversation(formats={96: known}))[0])
    assert not any(line.startswith(("a=rtpmap", "a=crypto")) for line in lines)
    assert lines[3].endswith("payload type 96 carries")


@pytest.mark.parametrize("fmtp", ["a\r\na=crypto:1 x", "tab\t", "key=INLINE:abcd", "\u00e9", "", "line\n"])
def test_hostile_parameters_are_left_out(fmtp: str) -> None:
    lines = described(messages(conversation(formats={96: OPUS._replace(fmtp=fmtp)}))[0])
    assert lines[7] == "a=rtpmap:96 opus/48000/2"
    assert not any(line.startswith(("a=fmtp", "a=crypto")) for line in lines)


def test_the_size_of_a_description_is_bounded() -> None:
    formats = {number: OPUS._replace(fmtp="x" * 1024) for number in range(128)}
    assert all(len(message.text) < 10_000 for message in messages(conversation(formats=formats)))


@pytest.mark.parametrize(
    ("codecs", "kind", "expected"),
    [
        (["VP8"], "", "video"),
        (["VP8", "h264"], "", "video"),
        (["VP8", "opus"], "", "audio"),
        (["strange"], "", "audio"),
        (["strange"], "video", "video"),
        (["strange"], "evil\r\n", "audio"),
    ],
)
def test_kinds(codecs: list[str], kind: str, expected: str) -> None:
    formats = {96 + number: PayloadFormat(codec, 90000) for number, codec in enumerate(codecs)}
    lines = described(messages(conversation(formats=formats, kind=kind))[0])
    assert lines[6].startswith(f"m={expected} 5004 ")


def test_streams_are_paired_by_addresses() -> None:
    pairs = talks(stream(1, "a5004 b6004"), stream(2, "c5004 b6004"), stream(3, "b6004 a5004"))
    assert [(str(talk.first), str(talk.second), talk.two_way) for talk in pairs] == [
        ("10.0.0.1:5004", "10.0.0.2:6004", True),
        ("10.0.0.3:5004", "10.0.0.2:6004", False),
    ]
    assert [talk.number for talk in pairs] == [1, 2]


def test_another_source_of_the_same_side_is_no_other_direction() -> None:
    (talk,) = talks(stream(1, "a5004 b6004"), stream(2, "a5004 b6004"))
    assert not talk.two_way


def test_the_first_packet_decides_who_calls() -> None:
    (talk,) = talks(stream(2, "a5004 b6004"), stream(1, "b6004 a5004"))
    assert talk.first == TWO


def test_formats_of_a_pair_are_put_together() -> None:
    (talk,) = talks(
        stream(1, "a5004 b6004", payload_types=(0, 96)),
        stream(2, "b6004 a5004", payload_types=(96, 97), formats={96: OPUS}),
    )
    assert talk.formats == {0: PCMU, 96: OPUS, 97: None}


def test_another_meaning_of_a_payload_type_is_another_call() -> None:
    pairs = talks(
        stream(1, "a5004 b6004", payload_types=(96,), formats={96: OPUS}),
        stream(2, "a5004 b6004", payload_types=(96,), formats={96: EVENTS}),
        stream(3, "b6004 a5004", payload_types=(96,), formats={96: EVENTS}),
    )
    assert [(talk.formats[96], talk.two_way) for talk in pairs] == [(OPUS, False), (EVENTS, True)]


def test_names_of_codecs_differ_in_case_only() -> None:
    one, other = OPUS, OPUS._replace(codec="OPUS", fmtp="")
    assert (
        len(talks(*(stream(n, "a1 b2", payload_types=(96,), formats={96: f}) for n, f in ((1, one), (2, other))))) == 1
    )


def test_rtcp_on_the_same_ports_is_mux() -> None:
    (talk,) = talks(stream(1, "a5004 b6004"), stream(2, "b6004 a5004", rtcp=True))
    assert (talk.mux, talk.rtcp) == (True, (None, None))


def test_rtcp_on_the_next_ports_is_understood() -> None:
    (talk,) = talks(stream(1, "a5004 b6004", ssrc=7), stream(2, "a5005 b6005", ssrc=7, rtcp=True))
    assert (talk.mux, talk.rtcp) == (False, (None, None))


@pytest.mark.parametrize(("way", "ssrc"), [("a5005 b7001", 7), ("b7001 a5005", 8)])
def test_rtcp_elsewhere_is_found_by_its_source(way: str, ssrc: int) -> None:
    media = [stream(1, "a5004 b6004", ssrc=7), stream(2, "b6004 a5004", ssrc=8)]
    (talk,) = talks(*media, stream(3, way, ssrc=ssrc, rtcp=True))
    assert talk.rtcp == (None, 7001)
    assert "a=rtcp:7001 IN IP4 10.0.0.2" in described(messages(talk)[1])
    assert not any(line.startswith("a=rtcp") for line in described(messages(talk)[0]))


def test_rtcp_of_nobody_says_nothing() -> None:
    assert talks(stream(1, "a5005 b6005", rtcp=True)) == []
    (talk,) = talks(stream(1, "a5004 b6004", ssrc=7), stream(2, "a9000 b9001", ssrc=9, rtcp=True))
    assert (talk.mux, talk.rtcp) == (False, (None, None))


def test_what_stays_encrypted_is_not_signaled() -> None:
    closed = [
        stream(1, "c5004 b6004", payload_types=(96,), readable=False),
        stream(2, "a1 b2", rtcp=True, readable=False),
    ]
    assert talks(*closed) == []
    assert unexplained(TwinPlan(("eth0",), tuple(closed))) == {}
    (talk,) = talks(*closed, stream(3, "a1 b2"))
    assert not talk.mux


def test_what_nothing_explains_is_told() -> None:
    streams = (stream(1, "a1 b2", payload_types=(0, 96, 111), formats={111: OPUS}), stream(2, "b2 a1"))
    assert unexplained(TwinPlan(("eth0",), streams)) == {1: (96,)}


def test_signaling_stands_before_the_first_packet_of_its_pair() -> None:
    plan = TwinPlan(("eth0", ""), (stream(1, "a5004 b6004"), stream(2, "c5004 b6004"), stream(3, "b6004 a5004")))
    writer = block_writer(plan)
    sides = (4, HOSTS["a"], 5004), (4, HOSTS["b"], 6004)
    for frame in (5, 10, 11, 20, 30):
        writer.put(1, TIME_NS + frame // 10, *sides, bytes([frame]), frame=frame)
    piece = writer.take()
    assert writer.packets == 5
    written: list[bytes] = []
    heard: list[bytes] = []
    write_twin([piece], plan, written.append, heard.append)
    assert written == [head(plan), piece]
    assert heard == [piece]
    found = list(pcapng.datagrams(piece))
    assert [each.interface for each in found] == [1, 3, 3, 3, 1, 1, 3, 3, 3, 1, 1]
    assert b"".join(each.payload[:1] for each in found) == b"\x05ISA\x0a\x0bISA\x14\x1e"
    times = [each.time_ns for each in found]
    assert times[1:5] == [TIME_NS - 2, TIME_NS - 1, TIME_NS, TIME_NS + 1]
    assert times[7:10] == [TIME_NS, TIME_NS + 1, TIME_NS + 2]


def test_the_head_names_the_interfaces() -> None:
    plan = TwinPlan(("extension 7", ""), ())
    names = re.findall(rb"\x02\x00.\x00([ -~]+)", head(plan), re.DOTALL)
    assert [name.decode() for name in names] == ["extension 7", "capture", "undecrypted", "synthetic signaling"]
    assert (plan.undecrypted, plan.signaling) == (2, 3)
    assert b"Sensitive" in head(plan)


def test_mappings_of_the_user() -> None:
    assert parse_mapping("96=opus/48000/2") == (96, OPUS._replace(fmtp=""))
    assert parse_mapping("0=G726-32/8000") == (0, PayloadFormat("G726-32", 8000))


BROKEN = ["", "96", "opus/48000", "128=opus/48000", "96=opus", "0=PCMU", "0=PCMU/x", "96=/8000", "96=opus/x", "0="]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_mappings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not like 96=opus/48000/2"):
        parse_mapping(text)
