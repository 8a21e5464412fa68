"""The first reading: what is taken for media and what is not, samples, signaling, and bounds under hostile files."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from native.captures import (
    RAW,
    SECOND_NS,
    TCP,
    Frame,
    ip4,
    ip6,
    packed,
    pcap,
    tcp,
    udp,
)

from srtpgw import _native

HOSTS = ("192.0.2.1", "192.0.2.2")
INVITE = b"INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n"
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(196)
DTLS_HELLO = b"\x16\xfe\xff" + bytes(8) + b"\0\x10" + bytes(16)
SYN, FIN, ACK, PUSH = 2, 1, 16, 8


def rtp(ssrc: int, sequence: int, kind: int = 0, size: int = 20, timestamp: int | None = None) -> bytes:
    stamp = sequence * 160 if timestamp is None else timestamp
    return struct.pack("!2BHII", 0x80, kind, sequence & 0xFFFF, stamp & 0xFFFFFFFF, ssrc) + bytes(size)


def rtcp(ssrc: int, kind: int = 201) -> bytes:
    return struct.pack("!2BHI", 0x80, kind, 1, ssrc)


def datagram(payload: bytes, source_port: int = 4000, destination_port: int = 5000, **names: Any) -> bytes:
    return ip4(udp(payload, source_port, destination_port), **names)


def segment(payload: bytes, source_port: int, destination_port: int, flags: int = ACK | PUSH, **names: Any) -> bytes:
    return ip4(tcp(payload, source_port, destination_port, flags=flags), protocol=TCP, **names)


def pour(survey: _native.Survey, reader: _native.CaptureReader, octets: bytes, step: int) -> list[Any]:
    found = []
    for at in range(0, len(octets), step):
        rest = memoryview(octets)[at : at + step]
        while rest:
            space = reader.space()
            count = min(len(space), len(rest))
            space[:count] = rest[:count]
            space.release()
            reader.filled(count)
            rest = rest[count:]
            found += survey.run(reader)
    reader.finish()
    return found + survey.run(reader)


def surveyed(
    datagrams: Iterable[bytes | Frame], step: int = 1 << 20, **options: int
) -> tuple[_native.Survey, list[Any]]:
    """The survey of a capture of raw IP, and the signals that it gave."""
    frames = [
        each if isinstance(each, Frame) else Frame(each, SECOND_NS * number) for number, each in enumerate(datagrams)
    ]
    survey = _native.Survey(**options)
    return survey, pour(survey, _native.CaptureReader(), pcap(frames, linktype=RAW), step)


def streams(datagrams: Iterable[bytes | Frame], **options: int) -> list[dict[str, Any]]:
    return surveyed(datagrams, **options)[0].streams()


def plausible(datagrams: Iterable[bytes | Frame]) -> list[bool]:
    return [stream["plausible"] for stream in streams(datagrams)]


# --- media -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 77, 1 << 20])
def test_a_call(step: int) -> None:
    """Both ways, RTP and RTCP on one port, another SSRC in the middle, IPv6 beside IPv4; however the octets come."""
    made: list[bytes] = []
    for place in range(6):
        made += [datagram(rtp(1, 65533 + place, 8)), datagram(rtp(2, place), 5000, 4000)]
        made += [ip6(udp(rtp(3, place), 6, 7))] + ([datagram(rtcp(1))] if place % 3 == 2 else [])
    found = surveyed(made, step)[0].streams()
    here, there = packed("192.0.2.1"), packed("192.0.2.2")
    assert [stream["key"] for stream in found] == [
        (0, 4, here, 4000, there, 5000, 1, False),
        (0, 4, here, 5000, there, 4000, 2, False),
        (0, 6, packed("2001:db8::1"), 6, packed("2001:db8::2"), 7, 3, False),
        (0, 4, here, 4000, there, 5000, 1, True),
    ]
    assert [stream["first_frame"] for stream in found] == [1, 2, 3, 10]
    assert [stream["packets"] for stream in found] == [6, 6, 6, 2]
    assert [stream["payload_types"] for stream in found] == [{8: 6}, {0: 6}, {0: 6}, {201: 2}]
    assert all(stream["plausible"] for stream in found)
    assert found[0]["samples"] == [rtp(1, 65533 + place, 8) for place in (0, 1, 2, 3)]
    assert found[3]["samples"] == [rtcp(1), rtcp(1)]


@pytest.mark.parametrize("field", range(5))
def test_what_tells_streams_apart(field: int) -> None:
    names = [{}, {"source": "192.0.2.9"}, {"destination": "192.0.2.9"}, {}, {}, {}][field]
    other = datagram(
        rtp(2 if field == 3 else 1, 1), 4001 if field == 4 else 4000, 5001 if field == 0 else 5000, **names
    )
    assert [stream["packets"] for stream in streams([datagram(rtp(1, 0)), other, datagram(rtp(1, 2))])] == [2, 1]


@pytest.mark.parametrize("packets", range(1, 7))
def test_few_packets_are_not_enough(packets: int) -> None:
    assert plausible(datagram(rtp(1, place)) for place in range(packets)) == [packets >= 4]


@pytest.mark.parametrize("numbers", [
    [0, 2, 5, 9, 60], [0, 1, 3, 2, 4, 6, 5], [0, 0, 1, 1, 2, 2, 3, 3], [5, 6, 7, 8, 40000, 40001, 40002, 40003],
    [65534, 65535, 0, 1],
])  # fmt: skip
def test_loss_reordering_duplicates_and_jumps(numbers: list[int]) -> None:
    made = [datagram(rtp(1, number, timestamp=160 * place)) for place, number in enumerate(numbers)]
    assert plausible(made) == [True]


@pytest.mark.parametrize(
    "numbers", [[7] * 50, list(range(0, 65000, 900)), [0, 1, 500, 900, 40000, 2, 700, 9000, 3, 800]]
)
def test_numbers_that_do_not_follow(numbers: list[int]) -> None:
    assert plausible(datagram(rtp(1, number, timestamp=0)) for number in numbers) == [False]


def test_times_that_leap() -> None:
    rng = random.Random(1)
    made = [datagram(rtp(1, place, timestamp=rng.getrandbits(32))) for place in range(50)]
    assert plausible(made) == [False]


def test_a_ninth_payload_type() -> None:
    made = [datagram(rtp(1, place, place % 40)) for place in range(80)]
    assert plausible(made) == [False]
    assert sum(streams(made)[0]["payload_types"].values()) == 16


def test_a_single_report_counts_with_its_media() -> None:
    media = [datagram(rtp(1, place)) for place in range(5)]
    assert plausible([*media, datagram(rtcp(1), 4001, 5001)]) == [True, True]
    assert plausible([*media, datagram(rtcp(2), 4001, 5001)]) == [True, False]
    assert plausible([*media, datagram(rtcp(1, 222)), datagram(rtcp(1, 222))]) == [True, False]


def test_truncated_packets_count_and_are_no_samples() -> None:
    made = [datagram(rtp(1, place)) for place in range(6)]
    frames = [Frame(octets[:42], wire=len(octets)) for octets in made]
    found = streams([*frames, made[5]])
    assert [(stream["packets"], stream["plausible"]) for stream in found] == [(7, True)]
    assert found[0]["samples"] == [rtp(1, 5)]
    assert streams([Frame(octets[:39], wire=len(octets)) for octets in made]) == []


@pytest.mark.parametrize("packets", [1, 3, 4, 5, 8, 12, 13, 100, 1000, 5000])
def test_samples_are_spread(packets: int) -> None:
    sent = [rtp(1, place) for place in range(packets)]
    found = streams(datagram(packet) for packet in sent)[0]["samples"]
    places = [sent.index(packet) for packet in found]
    assert places[:4] == list(range(min(packets, 4)))
    assert places == sorted(set(places))
    assert len(places) <= 8
    if packets >= 100:
        assert len(places) >= 6
        assert (
            max(later - before for before, later in zip(places[3:], [*places[4:], packets], strict=True)) <= packets / 2
        )


# --- what is no media ------------------------------------------------------------------------------------------------


def quic(rng: random.Random, place: int) -> bytes:
    """One long header, then short ones (RFC 9000 17.2, 17.3)."""
    first = 0xC0 | rng.getrandbits(4) if place == 0 else 0x40 | rng.getrandbits(6)
    return bytes([first]) + rng.randbytes(1199)


def dns(rng: random.Random, place: int) -> bytes:
    return rng.randbytes(2) + b"\x81\x80\0\1\0\1\0\0\0\0\7example\3org\0\0\1\0\1"


STRANGERS: dict[str, Callable[[random.Random, int], bytes]] = {
    "random": lambda rng, place: rng.randbytes(rng.randrange(200)),
    "version 2, then random": lambda rng, place: b"\x80" + rng.randbytes(160),
    "quic": quic,
    "dns": dns,
    "stun": lambda rng, place: b"\0\1\0\0\x21\x12\xa4\x42" + rng.randbytes(12),
    "turn channel": lambda rng, place: b"\x40\0\0\x20" + rtp(1, place),
    "zrtp": lambda rng, place: b"\x10\0" + place.to_bytes(2, "big") + b"ZRTP" + rng.randbytes(60),
    "dtls data": lambda rng, place: b"\x17\xfe\xfd\0\1" + bytes(6) + b"\0\x20" + rng.randbytes(32),
    "ntp": lambda rng, place: b"\x23\2\6\xe8" + rng.randbytes(44),
    "radius": lambda rng, place: b"\1" + bytes([place]) + b"\0\x40" + rng.randbytes(60),
    "wireguard": lambda rng, place: b"\4\0\0\0\1\2\3\4" + place.to_bytes(8, "little") + rng.randbytes(80),
    "vxlan": lambda rng, place: b"\x08\0\0\0\0\0\5\0" + rng.randbytes(80),
    "udptl": lambda rng, place: (0x8000 + place).to_bytes(2, "big") + b"\1\6\0" + rng.randbytes(20),
    "header only": lambda rng, place: b"\x80\0",
    "extension beyond the end": lambda rng, place: b"\x90" + rtp(1, place)[1:12] + b"\0\0\1\0" + bytes(60),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_media(name: str) -> None:
    rng = random.Random(name)
    survey, signals = surveyed(datagram(STRANGERS[name](rng, place)) for place in range(200))
    assert not any(stream["plausible"] for stream in survey.streams())
    assert signals == []


def test_a_flood_leaves_the_streams_that_are() -> None:
    """A full table gives the places of single packets away, not those of streams."""
    rng = random.Random(2)
    made = []
    for place in range(2000):
        made.append(datagram(b"\x80\0" + rng.randbytes(20), rng.randrange(65536)))
        if place % 10 < 2:
            made.append(datagram(rtp(7, place)))
    survey, _ = surveyed(made, stream_limit=16)
    found = survey.streams()
    assert len(found) == 16
    assert [stream["packets"] for stream in found if stream["key"][6] == 7] == [400]
    assert [stream["first_frame"] for stream in found] == sorted(stream["first_frame"] for stream in found)
    assert survey.counters()["streams-evicted"] == 2001 - 16
    assert all(len(stream["samples"]) == 1 for stream in found if stream["key"][6] != 7)


def test_a_table_full_of_streams_refuses_more() -> None:
    made = [datagram(rtp(ssrc, place)) for place in range(4) for ssrc in range(4)]
    survey, _ = surveyed([*made, *(datagram(rtp(9, place)) for place in range(5))], stream_limit=4)
    assert [stream["packets"] for stream in survey.streams()] == [4] * 4
    assert survey.counters() == {
        "streams-evicted": 0, "packets-without-stream": 5, "tcp-connections-refused": 0, "samples-without-room": 0,
    }  # fmt: skip


# --- signaling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [
    INVITE, b"SIP/2.0 200 OK\r\n\r\n", b"\r\n\r\n" + INVITE, b"REGISTER sips:example.org SIP/2.0\r\n",
    b"OPTIONS tel:+1234 SIP/2.0\r\n", b"X sip:a",
])  # fmt: skip
@pytest.mark.parametrize("ports", [(5060, 5060), (40000, 50000)])
def test_sip_over_udp(payload: bytes, ports: tuple[int, int]) -> None:
    _, signals = surveyed([datagram(b"\r\n\r\n", *ports), datagram(payload, *ports)])
    here, there = packed("192.0.2.1"), packed("192.0.2.2")
    assert signals == [("sip", 2, SECOND_NS, 0, 4, here, ports[0], there, ports[1], payload, 0, 0)]


@pytest.mark.parametrize("payload", [
    b"GET / HTTP/1.1\r\n\r\n", b"DESCRIBE rtsp://a RTSP/1.0\r\n", b"invite sip:a SIP/2.0\r\n", b"SIP/2.0", b"",
    b"A" * 100, b"HELLO WORLD", b"\r" * 50, b"NOTIFY * HTTP/1.1\r\nHost: SIP/2.0\r\n",
])  # fmt: skip
def test_what_is_no_sip(payload: bytes) -> None:
    assert surveyed([datagram(payload, 5060, 5060)])[1] == []


@pytest.mark.parametrize(("payload", "wanted"), [
    (DTLS_HELLO, True), (b"\x14\xfe\xfd" + bytes(8) + b"\0\1\1" + DTLS_HELLO, True),
    (b"\x14\xfe\xfd" + bytes(8) + b"\0\1\1", False), (b"\x17\xfe\xfd" + bytes(8) + b"\xff\xff" + DTLS_HELLO, False),
    (b"\x16\3\1" + bytes(30), False), (DTLS_HELLO[:12], False), (b"\x14\xfe\xfd" + bytes(10), False),
])  # fmt: skip
def test_dtls(payload: bytes, wanted: bool) -> None:
    assert [signal[0] for signal in surveyed([datagram(payload)])[1]] == ["dtls"] * wanted


def test_tcp_at_the_ports_of_sip() -> None:
    made = [
        segment(b"", 40000, 5061, SYN), segment(b"", 5061, 40000, SYN | ACK), segment(b"", 40000, 5061, ACK),
        segment(b"anything", 40000, 5061), segment(b"", 5061, 40000, FIN | ACK),
    ]  # fmt: skip
    signals = surveyed(made)[1]
    assert [(signal[1], signal[9], signal[11]) for signal in signals] == [
        (1, b"", SYN), (2, b"", SYN | ACK), (4, b"anything", ACK | PUSH), (5, b"", FIN | ACK),
    ]  # fmt: skip
    assert {signal[0] for signal in signals} == {"tcp"}


@pytest.mark.parametrize("first", [INVITE, HELLO, b"\x16\3\3\0\x40\2" + bytes(60), b"SIP/2.0 100 Trying\r\n"])
def test_tcp_that_begins_like_signaling(first: bytes) -> None:
    back = ip4(tcp(b"back", 443, 40000), *HOSTS[::-1], protocol=TCP)
    signals = surveyed([segment(first, 40000, 443), back, segment(b"more", 40000, 443)])[1]
    assert [signal[9] for signal in signals] == [first, b"back", b"more"]
    assert [signal[6] for signal in signals] == [40000, 443, 40000]


def test_tcp_of_something_else_is_looked_at_a_few_times() -> None:
    other = [segment(b"GET / HTTP/1.1\r\n", 40000, 80)]
    assert surveyed([*other * 3, segment(INVITE, 40000, 80)])[1] != []
    assert surveyed([*other * 4, segment(INVITE, 40000, 80)])[1] == []
    begun_anew = [*other * 4, segment(b"", 40000, 80, SYN), segment(INVITE, 40000, 80)]
    assert [signal[9] for signal in surveyed(begun_anew)[1]] == [INVITE]
    other_flow = [*other * 4, segment(INVITE, 40000, 80, source="192.0.2.7")]
    assert len(surveyed(other_flow)[1]) == 1


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_ignored_connections(turned: bool, known: bool) -> None:
    survey, reader = _native.Survey(), _native.CaptureReader()
    ends = [(packed("192.0.2.1"), 40000), (packed("192.0.2.2"), 5061)]
    both = [segment(HELLO, 40000, 5061), ip4(tcp(b"back", 5061, 40000), *HOSTS[::-1], protocol=TCP)]
    octets = pcap([Frame(each) for each in both], linktype=RAW)
    if known:
        assert len(pour(survey, reader, octets, 1 << 20)) == 2
        reader = _native.CaptureReader()
    (source, source_port), (destination, destination_port) = ends[::-1] if turned else ends
    survey.ignore(4, source, source_port, destination, destination_port)
    assert pour(survey, reader, octets, 1 << 20) == []
    again = pcap([Frame(segment(b"", 40000, 5061, SYN)), Frame(both[0])], linktype=RAW)
    assert len(pour(survey, _native.CaptureReader(), again, 1 << 20)) == 2


@pytest.mark.parametrize("wrong", [(5, bytes(4)), (4, bytes(16)), (6, bytes(4)), (4, None)])
def test_no_address(wrong: tuple[int, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        _native.Survey().ignore(wrong[0], wrong[1], 1, bytes(4), 2)


@pytest.mark.parametrize("limit", [0, -1, 1 << 25])
def test_a_limit_out_of_range(limit: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        _native.Survey(stream_limit=limit)
