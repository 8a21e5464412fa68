"""Session descriptions: kept line by line, read leniently; and payload types."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from srtpgw.sdp.payload import STATIC, PayloadFormat, payload_formats
from srtpgw.sdp.session import LINES_MAX, SECTIONS_MAX, MediaLine, read_session

TEXT = (
    "v=0\r\n"
    "o=alice 2890844526 2 IN IP4 192.0.2.1\r\n"
    "s=-\r\n"
    "c=IN IP4 192.0.2.1\r\n"
    "t=0 0\r\n"
    "a=recvonly\r\n"
    "a=fingerprint:sha-256 AB:CD\r\n"
    "m=audio 49170/2 RTP/SAVP 0 96\r\n"
    "a=rtpmap:96 opus/48000/2\r\n"
    "a=crypto:1 X inline:SECRETSECRET\r\n"
    "a=crypto:2 Y inline:SECRETSECRET\r\n"
    "m=video 51372 RTP/SAVPF 99\r\n"
    "c=IN IP6 2001:0db8::0001/127\r\n"
    "a=sendrecv\r\n"
    "a=rtcp:53020 IN IP6 2001:db8::2\r\n"
    "m=audio 0 RTP/AVP 8\r\n"
    "a=rtcp-mux\r\n"
)


def test_sections_lines_and_what_they_inherit() -> None:
    session = read_session(TEXT.encode())
    audio, video, refused = session.media
    assert audio.line == MediaLine("audio", 49170, 2, "RTP/SAVP", ("0", "96"))
    assert video.line == MediaLine("video", 51372, 1, "RTP/SAVPF", ("99",))
    assert session.media_address(audio) == ("192.0.2.1", 49170)
    assert session.media_address(video) == ("2001:db8::1", 51372)
    assert session.media_address(refused) == ("192.0.2.1", 0)
    assert session.rtcp_address(audio) == ("192.0.2.1", 49171)
    assert session.rtcp_address(video) == ("2001:db8::2", 53020)
    assert (session.direction_of(audio), session.direction_of(video)) == ("recvonly", "sendrecv")
    assert audio.attributes("crypto") == ["1 X inline:SECRETSECRET", "2 Y inline:SECRETSECRET"]
    assert session.attribute(video, "fingerprint") == "sha-256 AB:CD"
    assert session.attribute(video, "setup") is None
    assert session.origin is not None
    assert (session.origin.user, session.origin.session, session.origin.host) == ("alice", "2890844526", "192.0.2.1")
    assert session.left_out == 0


def test_the_text_comes_out_as_it_went_in() -> None:
    assert read_session(TEXT.encode()).text() == TEXT
    assert read_session(TEXT.replace("\r\n", "\n").encode()).text() == TEXT
    assert read_session(TEXT.replace("\r\n", "\r").encode()).text() == TEXT


def test_multiplexed_rtcp_shares_the_port() -> None:
    session = read_session(b"v=0\nc=IN IP4 192.0.2.9\nm=audio 4000 RTP/SAVP 0\na=rtcp:4005\na=rtcp-mux\n")
    assert session.rtcp_address(session.media[0]) == ("192.0.2.9", 4000)


def test_candidates_of_ice() -> None:
    lines = [
        "a=candidate:1 1 UDP 2130706431 192.0.2.5 8998 typ host",
        "a=candidate:1 2 udp 2130706430 2001:0DB8::5 8999 typ host",
        "a=candidate:2 1 UDP 1694498815 192.0.2.5 8998 typ srflx raddr 10.0.0.1 rport 9000",
        "a=candidate:3 1 TCP 1 192.0.2.5 9 typ host tcptype active",
        "a=candidate:4 1 UDP 1 192.0.2.6 x typ host",
        "a=candidate:5 1 UDP",
    ]
    session = read_session("\n".join(["v=0", "m=audio 4 RTP/AVP 0", *lines]).encode())
    assert session.candidates(session.media[0]) == [("192.0.2.5", 8998), ("2001:db8::5", 8999)]


def test_broken_lines_are_left_out_and_counted() -> None:
    session = read_session(
        b"hello\nv=0\n\n=x\nm=audio\na=crypto:1\nm=audio x/y RTP/AVP 0\nm=\nm=audio 70000 RTP/AVP\xff 0\n"
    )
    assert session.left_out == 2
    assert [media.line.port for media in session.media] == [None] * 4
    assert [media.index for media in session.media] == [0, 1, 2, 3]
    assert session.media[0].attributes("crypto") == ["1"]
    assert session.media_address(session.media[0]) == ("", 0)
    assert session.origin is None


def test_a_host_that_is_no_address_stays_text_unless_it_could_harm() -> None:
    for value, host in (("IN IP4 phone.example.org", "phone.example.org"), ("IN IP4 a\x1b[2J", ""), ("IN IP4", "")):
        assert read_session(f"v=0\nc={value}\nm=audio 4 RTP/AVP 0\n".encode()).host == host


def test_sizes_are_bounded() -> None:
    many = read_session(b"v=0\n" + b"a=x\n" * 10_000)
    assert len(many.lines) == LINES_MAX
    assert many.left_out == 10_001 - LINES_MAX
    sections = read_session(b"v=0\n" + b"m=audio 1 RTP/AVP 0\na=x\n" * 100)
    assert len(sections.media) == SECTIONS_MAX
    assert sections.left_out == 2 * (100 - SECTIONS_MAX)
    assert len(read_session(b"a=" + b"x" * 10_000_000).text()) < 70_000


def test_no_repr_shows_a_line() -> None:
    session = read_session(TEXT.encode())
    assert "SECRET" not in repr(session) + repr(session.media)


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from(TEXT.splitlines(keepends=True))).map(lambda x: "".join(x).encode())
)
def test_anything_is_read_and_reads_the_same_again(octets: bytes) -> None:
    session = read_session(octets)
    for media in session.media:
        session.media_address(media)
        session.rtcp_address(media)
        session.direction_of(media)
    again = read_session(session.text().encode("utf-8", "surrogateescape"))
    assert again.text() == session.text()
    assert again.left_out == 0


# --- payload types ---------------------------------------------------------------------------------------------------


def test_static_and_dynamic_payload_types() -> None:
    found = payload_formats(
        ["0", "9", "96", "101", "97", "0", "200", "x"],
        ["96 opus/48000/2", "101 telephone-event/8000", "0 PCMU/16000", "98 unlisted/8000", "97 broken", "97 a/0"],
        ["96 useinbandfec=1; maxptime=20", "101 0-15", "99 x"],
    )
    assert found == {
        0: PayloadFormat("PCMU", 16000),
        9: STATIC[9],
        96: PayloadFormat("opus", 48000, 2, "useinbandfec=1; maxptime=20"),
        101: PayloadFormat("telephone-event", 8000, 1, "0-15"),
        97: PayloadFormat("", None),
    }
    assert STATIC[9].clock_rate == 8000  # the historical error of RFC 3551 4.5.2


@given(st.lists(st.text(max_size=8)), st.lists(st.text(max_size=20)), st.lists(st.text(max_size=20)))
def test_any_text_gives_payload_types_in_range(formats: list[str], rtpmaps: list[str], fmtps: list[str]) -> None:
    assert all(0 <= number <= 127 for number in payload_formats(formats, rtpmaps, fmtps))
