"""SIP messages out of datagrams and streams, however they are written, cut, or broken."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import shared_dir
from unit.capture.sip_text import ALICE, invite, ok, sdp, sip

from srtpgw.capture.mime import PARTS_MAX, descriptions
from srtpgw.capture.sip import BODY_MAX, HEADERS_MAX, Message, StreamFramer, read_datagram

BODY = sdp(ALICE, 4000)
INVITE = invite(BODY)
OK = ok(BODY)
BYE = sip("BYE sip:bob@example.org SIP/2.0", cseq="2 BYE")


def framed(stream: bytes, *cuts: int) -> tuple[list[Message], Counter[str]]:
    """The messages of a stream fed in pieces."""
    counters: Counter[str] = Counter()
    framer = StreamFramer(counters)
    found = []
    for start, end in zip((0, *cuts), (*cuts, len(stream)), strict=True):
        found += framer.feed(stream[start:end])
    return found + framer.finish(), counters


def datagram(octets: bytes) -> Message:
    message = read_datagram(octets)
    assert isinstance(message, Message), message
    return message


# --- one message -----------------------------------------------------------------------------------------------------


def test_a_request() -> None:
    message = datagram(INVITE)
    assert (message.request, message.status, message.method, message.sequence) == ("INVITE", None, "INVITE", 1)
    assert message.call_id == "call-1@example.org"
    assert message.party("from") == ("sip:alice@example.org", "alice-1")
    assert message.party("to") == ("sip:bob@example.org", "")
    assert message.body == BODY.encode()
    assert not message.fault
    assert not message.truncated


def test_a_response() -> None:
    message = datagram(OK)
    assert (message.request, message.status, message.method) == (None, 200, "INVITE")
    assert message.party("to") == ("sip:bob@example.org", "bob-1")


def test_compact_folded_and_oddly_written_headers() -> None:
    message = datagram(
        b"\r\n\r\nINVITE sip:bob@b SIP/2.0\n"
        b"i :  x@y\nf: sip:alice@a;x=y;TAG = t1\nT\t:\r\n <sip:bob@b>\r\n\t;tag=t2\nCSEQ: 0007\n  INVITE\n"
        b"c: application/sdp\nnonsense\nl: 3\nCall-ID: second\n\nv=0rest"
    )
    assert message.call_id == "x@y"
    assert message.party("from") == ("sip:alice@a", "t1")
    assert message.party("to") == ("sip:bob@b", "t2")
    assert (message.sequence, message.method) == (7, "INVITE")
    assert message.body == b"v=0"


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"", "no-start-line"),
        (b"\r\n\r\n", "no-start-line"),
        (b"HELLO\r\n\r\n", "no-start-line"),
        (b"GET / HTTP/1.1\r\n\r\n", "no-start-line"),
        (b"INVITE sip:x SIP/3.0\r\n\r\n", "no-start-line"),
        (b"SIP/2.0 000 x\r\n\r\n", "no-start-line"),
        (b"INVITE sip:x SIP/2.0", "no-start-line"),
        (b"INVITE sip:x SIP/2.0\r\nCall-ID: x\r\n", "no-end-of-headers"),
        (b"INVITE sip:x SIP/2.0\r\nCall-ID: x\r\nINVITE sip:x SIP/2.0\r\n\r\n", "no-end-of-headers"),
        (b"INVITE sip:x SIP/2.0\r\n" + b"X: y\r\n" * HEADERS_MAX + b"\r\n", "no-end-of-headers"),
    ],
)
def test_what_is_no_message_is_named(octets: bytes, fault: str) -> None:
    assert read_datagram(octets) == fault


@pytest.mark.parametrize(
    ("headers", "fault"),
    [("", "no-call-id"), ("Call-ID: x\r\n", "no-cseq"), ("Call-ID: x\r\nCSeq: x INVITE\r\n", "no-cseq"),
     ("Call-ID: x\r\nCSeq: 12345678901 INVITE\r\n", "no-cseq"), ("Call-ID: x\r\nCSeq: 1 INVITE\r\n", "")],
)  # fmt: skip
def test_a_message_that_belongs_nowhere(headers: str, fault: str) -> None:
    assert datagram(f"INVITE sip:x SIP/2.0\r\n{headers}\r\n".encode()).fault == fault


def test_a_datagram_and_its_content_length() -> None:
    assert datagram(INVITE + b"padding").body == BODY.encode()
    short = datagram(INVITE[:-10])
    assert short.truncated
    assert short.body == BODY.encode()[:-10]
    without = datagram(INVITE.replace(b"Content-Length", b"X-Length"))
    assert (without.body, without.truncated) == (BODY.encode(), False)
    for lie in (b"-1", b"9" * 40, b"x", b""):
        length = b"Content-Length: " + lie + b"\r\n"
        assert datagram(INVITE.replace(f"Content-Length: {len(BODY)}\r\n".encode(), length)).body == BODY.encode()


def test_what_is_kept_for_display_is_bounded_and_harmless() -> None:
    message = datagram(invite(BODY, tags=("x" * 10_000, "")).replace(b"alice@", b"\x1b[2J\xff\xe2\x80\xae@"))
    uri, tag = message.party("from")
    assert len(tag) < 2000
    assert not any(character in uri for character in "\x1b\u202e")
    assert BODY[:10] not in repr(message)


# --- streams ---------------------------------------------------------------------------------------------------------


def test_messages_behind_one_another_with_keep_alives_and_garbage() -> None:
    found, counters = framed(INVITE + b"\r\n\r\n" + OK + b"garbage\0\r\nmore\r\n" + BYE + OK[:-5])
    assert [message.request or message.status for message in found] == ["INVITE", 200, "BYE", 200]
    assert [message.truncated for message in found] == [False, False, False, True]
    assert counters == {"sip-garbage": 1}


def test_each_run_of_garbage_counts_once() -> None:
    found, counters = framed(b"one\r\ntwo\r\n" + BYE + b"\r\n\r\nthree\r\n" + BYE, 3, 9)
    assert len(found) == 2
    assert counters == {"sip-garbage": 2}


def test_a_stream_that_starts_in_the_middle_of_a_message() -> None:
    found, counters = framed(INVITE[150:] + OK)
    assert [message.status for message in found] == [200]
    assert counters == {"sip-garbage": 1}


def test_a_content_length_that_lies_loses_one_message_at_most() -> None:
    length = f"Content-Length: {len(BODY)}".encode()
    longer, shorter, huge, absent = (
        INVITE.replace(length, other)
        for other in (b"Content-Length: 900", b"Content-Length: 20", b"Content-Length: 999999999", b"X: y")
    )
    assert [message.body for message in framed(longer + OK + BYE)[0]] == [BODY.encode(), BODY.encode(), b""]
    found, counters = framed(shorter + OK + BYE)
    assert [message.body for message in found] == [BODY.encode()[:20], BODY.encode(), b""]
    assert counters == {"sip-garbage": 1}
    found, counters = framed(huge + OK)
    assert [message.status for message in found] == [200]
    assert counters["sip-body-too-long"] == 1
    assert [message.body for message in framed(absent + OK)[0]] == [BODY.encode()] * 2
    assert [message.body for message in framed(absent)[0]] == [BODY.encode()]


def test_a_message_in_a_message_is_no_message() -> None:
    body = "SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\nINVITE sip:x SIP/2.0\r\n\r\n"
    for kind in ("message/sipfrag;version=2.0", "multipart/mixed;boundary=x"):
        found, counters = framed(sip("NOTIFY sip:a SIP/2.0", body, kind=kind) + BYE)
        assert [(message.request, message.body) for message in found] == [("NOTIFY", body.encode()), ("BYE", b"")]
        assert not counters


def test_headers_without_end_and_headers_that_were_cut() -> None:
    found, counters = framed(b"INVITE sip:x SIP/2.0\r\n" + b"X: y\r\n" * HEADERS_MAX + BYE)
    assert [message.request for message in found] == ["BYE"]
    assert counters["sip-headers-too-long"] == 1
    found, counters = framed(INVITE[:100] + b"\r\n" + OK)
    assert [message.status for message in found] == [200]
    assert counters == {"sip-cut": 1}


def test_a_gap_ends_the_message_before_it_and_the_line_behind_it() -> None:
    counters: Counter[str] = Counter()
    framer = StreamFramer(counters)
    assert framer.feed(INVITE[:-30]) == []
    (message,) = framer.gap()
    assert (message.truncated, message.body) == (True, BODY.encode()[:-30])
    assert framer.feed(b"BYE sip:x SIP/2.0\r\n\r\n" + BYE)[0].call_id
    framer.feed(OK[:40])
    assert framer.gap() == []
    assert counters == {"sip-cut": 1}


PIECES = [
    INVITE, OK, BYE, INVITE[:90], INVITE[200:], OK[:-20], b"\r\n\r\n", b"\n", b"\r", b"garbage ", b"\0\xff\x80",
    b"SIP/2.0 ", INVITE.replace(b"Content-Length", b"X-Length"), INVITE.replace(b"\r\n", b"\n"), b"x" * 9000,
    INVITE.replace(f"Length: {len(BODY)}".encode(), b"Length: 700"), INVITE.replace(b"Length: ", b"Length: 99999999"),
    sip("NOTIFY sip:a SIP/2.0", "SIP/2.0 200 OK\r\n", kind="message/sipfrag"),
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=6).map(b"".join), st.data())
def test_any_split_of_a_stream_gives_the_same_messages(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole, counted = framed(stream)
    found, counters = framed(stream, *cuts)
    assert list(map(content, found)) == list(map(content, whole))
    assert counters == counted


def content(message: Message) -> tuple[object, ...]:
    return message.request, message.status, message.headers, message.body, message.truncated


def test_every_octet_by_itself() -> None:
    stream = INVITE + OK + b"x\r\n" + BYE
    assert len(framed(stream, *range(1, len(stream)))[0]) == 3


@pytest.mark.parametrize(
    "piece",
    [b"\r\n", b"a", b"INVITE ", b"INVITE x ", b"INVITE x SIP/2.0\r\n", b"INVITE x SIP/2.0\r\nContent-Type: a\r\n\r\n",
     b"SIP/2.0 200 ", b" SIP/2.0", b"\r\n\t", b"A" * 63 + b" "],
)  # fmt: skip
def test_hostile_streams_stay_within_bounds(piece: bytes) -> None:
    stream = piece * (300_000 // len(piece))
    counters: Counter[str] = Counter()
    framer = StreamFramer(counters)
    for at in range(0, len(stream), 3):
        framer.feed(stream[at : at + 3])
        assert len(framer._buffer) <= HEADERS_MAX + BODY_MAX + 3
    framer.finish()
    assert not framer._buffer


# --- bodies ----------------------------------------------------------------------------------------------------------


def multipart(*parts: str, boundary: str = "=b:1") -> bytes:
    return (
        "preamble\r\n" + "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\nend"
    ).encode()


def test_a_description_among_other_parts() -> None:
    nested = multipart(f"Content-Type: application/sdp\r\n\r\n{BODY}", boundary="in").decode()
    body = multipart(
        "Content-Type: text/plain\r\n\r\nv=0",
        f"content-type:\r\n Multipart/Alternative;boundary=in\r\nX: y\r\n\r\n{nested}",
    )
    for value in ('multipart/mixed;boundary="=b:1"', 'Multipart/Mixed ; x=y; boundary="=b:1"'):
        (found,) = descriptions(value, body)
        assert found.strip() == BODY.encode().strip()
    (found,) = descriptions("multipart/mixed", multipart(f"Content-Type: application/sdp\r\n\r\n{BODY}")[10:])
    assert found.strip() == BODY.encode().strip()


def test_descriptions_by_type_and_by_look() -> None:
    assert list(descriptions("Application/SDP; charset=utf-8", b"v=0\n")) == [b"v=0\n"]
    assert list(descriptions("", b"\nv=0\n")) == [b"\nv=0\n"]
    assert list(descriptions("text/plain", b"v=0\n")) == []
    assert list(descriptions("", b"hello")) == []


def test_nothing_is_taken_from_behind_the_last_part() -> None:
    part = f"Content-Type: application/sdp\r\n\r\n{BODY}"
    body = multipart(part) + b"\r\n" + multipart(part)
    assert len(list(descriptions('multipart/mixed;boundary="=b:1"', body))) == 1


def test_parts_and_depth_are_bounded() -> None:
    part = "Content-Type: application/sdp\r\n\r\nv=0\r\n"
    assert len(list(descriptions('multipart/mixed;boundary="=b:1"', multipart(*[part] * 1000)))) == PARTS_MAX
    body = multipart(part).decode()
    for _ in range(5):
        body = multipart(f'Content-Type: multipart/mixed;boundary="=b:1"\r\n\r\n{body}').decode()
    assert len(list(descriptions('multipart/mixed;boundary="=b:1"', body.encode()))) <= PARTS_MAX
    assert not list(descriptions("multipart/mixed;boundary=" + "x" * 100, b"--" + b"x" * 100))


@given(st.text(max_size=60), st.binary(max_size=200))
def test_any_body_is_taken(kind: str, body: bytes) -> None:
    for value in (kind, f"multipart/mixed;boundary={kind}", 'multipart/x;boundary="b"'):
        assert all(len(found) <= len(body) for found in descriptions(value, body))


# --- torture ---------------------------------------------------------------------------------------------------------

TAIL = "Call-ID: x\nCSeq: 1 INVITE\n"
TORTURE = {  # after the ideas of RFC 4475 and RFC 5118
    name: text.replace("\n", "\r\n").encode()
    for name, text in {
        "tortuous white space": "INVITE sip:vivekg@example.com;unknownparam SIP/2.0\nTO :\n sip:v@x ;   tag    = 19\n"
        'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n'
        "call-id: x\ncseq: 0009\n  INVITE\nl: 0\n\n",
        "odd method": f"!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be)&isn't SIP/2.0\n{TAIL}\n",
        "odd name": "BYE sip:a SIP/2.0\nCall-ID: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\nCSeq: 139122385 BYE\n\n",
        "no reason": f"SIP/2.0 100 \n{TAIL}Content-Length: 0\n\n",
        "a zero octet": f"INVITE sip:a SIP/2.0\n{TAIL}To: x\0y\n\n",
        "an address in brackets": f"INVITE sip:[2001:db8::10] SIP/2.0\nTo: sip:[::1]\n{TAIL}\n",
        "a scalar too large": "REGISTER sip:x SIP/2.0\nCall-ID: x\nCSeq: 36893488147419103232 REGISTER\n\n",
        "two lengths": f"OPTIONS sip:x SIP/2.0\n{TAIL}Content-Length: 3\nl: 9\n\nabcdefghi",
        "two requests": f"REGISTER sip:x SIP/2.0\n{TAIL}Content-Length: 0\n\n\nINVITE sip:x SIP/2.0\n\n",
    }.items()
}


def torture() -> dict[str, bytes]:
    """Ours, and those of the RFCs where they are beside this checkout."""
    folder = shared_dir()
    return TORTURE | ({path.name: path.read_bytes() for path in (folder / "torture").rglob("*.dat")} if folder else {})


@pytest.mark.parametrize(("name", "octets"), torture().items())
def test_torture_messages_read_the_same_alone_and_in_a_stream(name: str, octets: bytes) -> None:
    message = read_datagram(octets)
    found, _ = framed(octets, *range(1, len(octets), 7))
    if name in TORTURE:
        assert isinstance(message, Message)
    if isinstance(message, Message):
        assert found[0].headers == message.headers
        assert "\0" not in "".join(message.headers.values())


def test_the_tortuous_parties() -> None:
    message = datagram(TORTURE["tortuous white space"])
    assert message.party("to") == ("sip:v@x", "19")
    assert message.party("from") == ("sip:jdrosen@example.com", "98asjd8")
    assert message.sequence == 9
