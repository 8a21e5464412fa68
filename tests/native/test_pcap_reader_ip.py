"""The reader of captures: link layers, IP, fragments, UDP and TCP, and all that they may be instead."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from native.captures import (
    LOOP,
    NULL,
    SECOND_NS,
    Frame,
    Packet,
    cooked,
    ethernet,
    fragment6,
    fragments4,
    fragments6,
    ip4,
    ip6,
    loopback,
    packed,
    pcap,
    pcapng,
    read,
    tcp,
    udp,
)

MAC = bytes.fromhex("020000000002020000000001")
NANOSECONDS = 0xA1B23C4D
LONG = udp(bytes(range(256)) * 10)
HOP_BY_HOP = (0, bytes([0, 1, 4, 0, 0, 0, 0]))


def through(*octets: bytes, linktype: int = 1) -> tuple[list[Packet], dict[str, int]]:
    """Packets of these frames, and the counters."""
    packets, found = read(pcap([Frame(frame) for frame in octets], linktype=linktype))
    assert found["fault"] is None
    return packets, found["counters"]


def raw(*datagrams: bytes) -> tuple[list[Packet], dict[str, int]]:
    return through(*datagrams, linktype=101)


# --- link layers -----------------------------------------------------------------------------------------------------


def mpls(labels: int, ip: bytes) -> bytes:
    words = [0x1000 << 4 | (0x100 if number == labels - 1 else 0) | 64 for number in range(labels)]
    return MAC + struct.pack(f"!H{labels}I", 0x8847, *words) + ip


@pytest.mark.parametrize(
    "frame",
    [
        *(ethernet(ip4(udp(b"x")), [0x8100] * tags) for tags in range(9)),
        ethernet(ip6(udp(b"x")), (0x9100, 0x88A8, 0x8100)),
        MAC + struct.pack("!H", 0x8864) + bytes.fromhex("110000010023") + b"\x00\x21" + ip4(udp(b"x")),
        MAC + struct.pack("!H", 0x8864) + bytes.fromhex("110000010023") + b"\x00\x57" + ip6(udp(b"x")),
        MAC + struct.pack("!H", 37) + bytes.fromhex("aaaa030000000800") + ip4(udp(b"x")),
        *(mpls(labels, ip4(udp(b"x"))) for labels in (1, 2, 8)),
    ],
)
def test_what_may_stand_before_ip(frame: bytes) -> None:
    packets, counters = through(frame)
    assert [packet.payload for packet in packets] == [b"x"]
    assert counters == {"packets": 1}


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (ethernet(ip4(udp(b"x")), [0x8100] * 9), "not-ip"),
        (MAC + b"\x08\x06" + bytes(28), "not-ip"),
        (MAC + b"\x08\x00" + b"\x50" + bytes(40), "not-ip"),
        (MAC + b"\x08\x00", "not-ip"),
        (MAC + struct.pack("!H", 37) + bytes.fromhex("424203") + bytes(40), "not-ip"),
        (MAC + struct.pack("!H", 37) + bytes.fromhex("aaaa03000000"), "not-ip"),
        (MAC + struct.pack("!H", 37) + bytes.fromhex("aaaa0300000c2000") + ip4(udp(b"x")), "not-ip"),
        (MAC + struct.pack("!H", 0x8864) + bytes.fromhex("110000010023") + b"\xc0\x21" + ip4(udp(b"x")), "not-ip"),
        (MAC + struct.pack("!H", 0x8864) + bytes(7), "headers-cut"),
        (mpls(9, ip4(udp(b"x"))), "not-ip"),
        (mpls(2, b"")[:-1], "headers-cut"),
        (ethernet(ip4(udp(b"x")), [0x8100, 0x8100], pad=False)[:20], "headers-cut"),
        *((ethernet(ip4(udp(b"x")))[:length], "headers-cut") for length in range(14)),
    ],
)
def test_frames_without_ip(frame: bytes, counter: str) -> None:
    assert through(frame) == ([], {counter: 1})


@pytest.mark.parametrize("family", [10, 24, 28, 30])
def test_loopback_of_every_system(family: int) -> None:
    for order in "<>":
        packets, _ = through(loopback(ip6(udp(b"x")), order, family), linktype=NULL)
        assert [packet.payload for packet in packets] == [b"x"]
    assert through(loopback(ip4(udp(b"x")), "<", 7), linktype=LOOP) == ([], {"not-ip": 1})
    assert through(b"\2\0\0", linktype=NULL) == ([], {"headers-cut": 1})


@pytest.mark.parametrize(("linktype", "header"), [(113, 16), (276, 20)])
def test_cooked_headers_cut(linktype: int, header: int) -> None:
    for length in range(header):
        assert through(bytes(length), linktype=linktype) == ([], {"headers-cut": 1})


def test_cooked_other_protocols() -> None:
    frame = cooked(ip4(udp(b"x")))
    assert through(frame[:14] + b"\x00\x04" + frame[16:], linktype=113)[1] == {"not-ip": 1}


def test_other_link_types_are_told() -> None:
    """By number, as far as there are not too many."""
    assert through(bytes(60), bytes(60), linktype=105) == ([], {"link-type": 2, "link-type-105": 2})


# --- IP --------------------------------------------------------------------------------------------------------------


def test_addresses_and_ports() -> None:
    packets, _ = raw(ip4(udp(b"x", 1, 65535), "10.1.2.3", "10.4.5.6"), ip6(udp(b"y", 2, 3), "2001:db8::7", "fe80::8"))
    ends = [(p.family, p.source, p.source_port, p.destination, p.destination_port) for p in packets]
    assert ends == [
        (4, packed("10.1.2.3"), 1, packed("10.4.5.6"), 65535),
        (6, packed("2001:db8::7"), 2, packed("fe80::8"), 3),
    ]


def changed(octets: bytes, place: int, to: bytes) -> bytes:
    return octets[:place] + to + octets[place + len(to) :]


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (changed(ip4(udp(b"x")), 0, b"\x44"), "ip-malformed"),
        (ip4(udp(b"x"), length=19), "ip-malformed"),
        (changed(ip4(udp(b"x"), length=20), 0, b"\x4f"), "ip-malformed"),
        (ip4(b"", length=10)[:10], "ip-malformed"),
        (ip6(b"")[:39], "ip-malformed"),
        (ip4(udp(b"x"), protocol=47), "other-transport"),
        (ip6(udp(b"x"), protocol=59), "other-transport"),
        (ip6(udp(b"x"), protocol=50, extensions=[HOP_BY_HOP]), "other-transport"),
        (ip6(udp(b"x"), extensions=[HOP_BY_HOP] * 16), "ip-malformed"),
        (ip6(b"", extensions=[(0, b"\xff" + bytes(6))]), "ip-malformed"),
        (ip6(b"\x11", protocol=60), "ip-malformed"),
        (ip6(b"", protocol=60), "ip-malformed"),
        (ip6(b"\x11\0\0", protocol=44), "headers-cut"),
        (ip4(udp(b"x", length=0)), "udp-malformed"),
        (ip4(udp(b"x", length=7)), "udp-malformed"),
        (ip4(udp(b"x", length=10)), "udp-malformed"),
        (ip4(udp(b"")[:7]), "udp-malformed"),
        (ip4(tcp(b"")[:19], protocol=6), "tcp-malformed"),
        (ip4(changed(tcp(b""), 12, b"\x40"), protocol=6), "tcp-malformed"),
        (ip4(changed(tcp(b""), 12, b"\x60"), protocol=6), "tcp-malformed"),
    ],
)
def test_datagrams_that_are_none(datagram: bytes, counter: str) -> None:
    assert raw(datagram) == ([], {counter: 1})


def test_extension_headers() -> None:
    """As many as are gone over, of each kind."""
    kinds = [
        (43, bytes(7)),
        (51, b"\4" + bytes(22)),
        (60, bytes(7)),
        (135, bytes(7)),
        (139, b"\1" + bytes(14)),
        (140, bytes(7)),
    ]
    packets, _ = raw(ip6(udp(b"x"), extensions=[HOP_BY_HOP, *kinds]), ip6(udp(b"y"), extensions=[HOP_BY_HOP] * 15))
    assert [packet.payload for packet in packets] == [b"x", b"y"]


def test_lengths() -> None:
    """The payload ends where UDP says, within what IP says; padding is none of it."""
    datagrams = [
        ip4(udp(b"abcd", length=10)),
        ip4(udp(b"ab")) + b"padding",
        ip6(udp(b"")) + b"pad",
        ip4(udp(b"ab"), length=0),
    ]
    datagrams += [
        ip6(udp(b"abc", length=0)),
        ip4(tcp(b"ab", options=bytes(8)), protocol=6) + b"pad",
        ip6(udp(b"abcd"), length=0),
    ]
    packets, counters = raw(*datagrams)
    assert [packet.payload for packet in packets] == [b"ab", b"ab", b"", b"ab", b"abc", b"ab", b"abcd"]
    assert all(packet.wire_len == len(packet.payload) for packet in packets)
    assert counters == {"packets": 7}


@pytest.mark.parametrize("whole", [ip4(udp(b"abcdef")), ip6(udp(b"abcdef")), ip4(tcp(b"abcdef"), protocol=6),
                                   ip6(udp(b"abcdef"), extensions=[HOP_BY_HOP]), ip4(udp(b"abcdef"), options=bytes(8)),
                                   ip4(tcp(b"abcdef", options=bytes(8)), protocol=6),
                                   ip6(udp(b"abcdef"), extensions=[(44, fragment6(0, False, 1))])])  # fmt: skip
def test_a_packet_cut_anywhere(whole: bytes) -> None:
    """What is there of the payload, or nothing, never anything from behind."""
    for length in range(1, len(whole)):
        packets, found = read(pcap([Frame(whole[:length], wire=len(whole)), Frame(whole)], linktype=101))
        assert packets[-1].payload == b"abcdef"
        left = length - (len(whole) - 6)
        if left >= 0:
            assert (packets[0].payload, packets[0].wire_len) == (b"abcdef"[:left], 6)
            assert found["counters"] == {"packets": 2, "cut": 1}
        else:
            assert found["counters"] == {"packets": 1, "headers-cut": 1}


def test_a_frame_shorter_on_the_wire_than_captured() -> None:
    """The captured length holds, so that no length is below what is there."""
    frame = Frame(ethernet(ip4(udp(b"abcdef"), length=0), pad=False), wire=10)
    for octets in (pcap([frame]), pcapng([frame]), pcapng([frame], form="obsolete")):
        (packet,) = read(octets)[0]
        assert (packet.payload, packet.wire_len) == (b"abcdef", 6)


def test_tcp_numbers_its_octets() -> None:
    """SYN has a number of its own; a payload with it begins behind."""
    packets, _ = raw(*(ip4(tcp(b"x", sequence=2**32 - 1, flags=flags), protocol=6) for flags in (0x02, 0x10, 0x11)))
    assert [(packet.tcp_sequence, packet.tcp_flags) for packet in packets] == [(0, 2), (2**32 - 1, 16), (2**32 - 1, 17)]


# --- fragments -------------------------------------------------------------------------------------------------------


def both(size: int, **names: Any) -> list[list[bytes]]:
    return [fragments4(LONG, size, **names), fragments6(LONG, size, **names)]


@pytest.mark.parametrize("fragments", both(512) + both(8) + both(1280))
def test_fragments_in_any_order(fragments: list[bytes]) -> None:
    orders = [fragments, fragments[::-1], fragments[::2] + fragments[1::2], fragments[1:] + fragments[:1]]
    for order in orders:
        packets, counters = raw(*order)
        assert [(packet.payload, packet.reassembled, packet.frame) for packet in packets] == [
            (LONG[8:], True, len(order))
        ]
        assert counters == {"packets": 1, "fragments": len(order), "reassembled": 1}


def test_extension_headers_within_fragments() -> None:
    """What stands behind the fragment header of the first fragment begins the datagram."""
    inner = struct.pack("!BB", 17, 0) + bytes(6) + udp(bytes(100))
    packets, _ = raw(*fragments6(inner, 48, protocol=60))
    assert [(len(packet.payload), packet.protocol) for packet in packets] == [(100, 17)]
    nested = bytes([17]) + fragment6(0, False, 3) + udp(bytes(100))
    assert raw(*fragments6(nested, 48, protocol=44)) == ([], {"fragments": 3, "reassembled": 1, "ip-malformed": 1})


def test_datagrams_are_told_apart() -> None:
    """By identification, addresses, protocol and version; IPv6 does without the protocol."""
    datagrams = [fragments4(LONG, 1280, identification=number) for number in (1, 2)]
    datagrams += [fragments4(LONG, 1280, source="10.0.0.1"), fragments4(LONG, 1280, destination="10.0.0.1")]
    datagrams += [fragments6(LONG, 1280), fragments4(tcp(bytes(2000)), 1280, protocol=6)]
    frames = [fragments[number] for number in (1, 0, 2) for fragments in datagrams if number < len(fragments)]
    packets, counters = raw(*frames)
    assert counters["reassembled"] == len(packets) == 6
    assert "fragment-overlap" not in counters


def overlapping(one: bytes, offset: int) -> bytes:
    return ip4(one, identification=1, fragment=offset // 8 | 0x2000)


def test_a_fragment_twice() -> None:
    fragments = fragments4(LONG, 1280)
    packets, counters = raw(fragments[0], fragments[0], fragments[1], fragments[1], fragments[2])
    assert [packet.payload for packet in packets] == [LONG[8:]]
    assert counters == {"packets": 1, "fragments": 5, "reassembled": 1, "fragment-twice": 2}


FIRST = overlapping(LONG[:1280], 0)
LAST = fragments4(LONG, 1280)[-1]
CONTRADICTIONS = {
    "other octets": [overlapping(LONG[:1272] + b"!" * 8, 0), overlapping(LONG[1280:2560], 1280), LAST],
    "a part": [overlapping(b"!" * 8, 8), LAST],
    "one more unit": [overlapping(LONG[1272:2560], 1272), LAST],
    "behind the end": [LAST, overlapping(LONG[:8], 4000)],
    "up to the end": [LAST, overlapping(bytes(8), 2560)],
    "another end": [LAST, ip4(bytes(80), identification=1, fragment=2600 // 8)],
    "the end before others": [overlapping(bytes(8), 4000), ip4(bytes(8), identification=1, fragment=3000 // 8)],
}


@pytest.mark.parametrize("fragments", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_fragments_that_contradict_each_other(fragments: Sequence[bytes]) -> None:
    """Nothing comes of the datagram then, whatever else comes of it."""
    packets, counters = raw(FIRST, *fragments, *fragments4(LONG, 1280))
    assert packets == []
    assert counters["fragment-overlap"] >= 4
    assert "reassembled" not in counters


@pytest.mark.parametrize(
    "fragment",
    [
        ip4(b"", fragment=0x2000),
        ip4(bytes(9), fragment=0x2000),
        ip4(bytes(16), fragment=0x1FFF),
        ip6(bytes(9), extensions=[(44, fragment6(0, True, 1))]),
        ip6(bytes(8), extensions=[(44, fragment6(0xFFF8, False, 1))]),
    ],
)
def test_fragments_that_cannot_be(fragment: bytes) -> None:
    assert raw(fragment) == ([], {"fragments": 1, "ip-malformed": 1})


def test_the_longest_datagram() -> None:
    packets, _ = raw(*fragments4(udp(bytes(65507)), 65504))
    assert [len(packet.payload) for packet in packets] == [65507]


def test_a_cut_fragment_is_not_put_in() -> None:
    frames = [Frame(octets) for octets in fragments4(LONG, 1280)]
    frames[1] = Frame(frames[1].octets[:-1], wire=len(frames[1].octets))
    packets, found = read(pcap(frames, linktype=101))
    assert packets == []
    assert found["counters"] == {"fragments": 3, "fragment-cut": 1, "fragment-missing": 1}


def test_fragments_wait_for_a_while() -> None:
    """Thirty seconds of the capture's time, also where that runs backwards; then the datagram begins anew."""
    fragments = fragments4(LONG, 1280)
    for late, whole in ((30, True), (31, False), (-30, True), (-31, False)):
        start = 100 * SECOND_NS
        times = [start, start + late * SECOND_NS, start + late * SECOND_NS]
        frames = [Frame(octets, at) for octets, at in zip(fragments, times, strict=True)]
        packets, found = read(pcap(frames, linktype=101, magic=NANOSECONDS))
        assert len(packets) == whole
        assert found["counters"].get("fragment-missing", 0) == (0 if whole else 2)


def test_the_oldest_gives_way() -> None:
    """64 datagrams wait at a time. The first is whole soon, so the second is the oldest when there is no place."""
    parts = [fragments4(LONG, 1280, identification=number) for number in range(66)]
    order = [octets[0] for octets in parts[:64]] + parts[0][1:] + [octets[0] for octets in parts[64:]]
    order += [octets for fragments in [*parts[2:], parts[1]] for octets in fragments[1:]]
    frames = [Frame(octets, number) for number, octets in enumerate(order)]
    packets, found = read(pcap(frames, linktype=101, magic=NANOSECONDS))
    assert len(packets) == 65
    assert found["counters"]["fragment-missing"] == 2  # the second, and what came of it later
