"""Packet blocks as they are written: read back field by field, their checksums summed anew."""

from __future__ import annotations

import ipaddress
import random
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from srtpgw import _native

TIME_NS = 1_700_000_000_123_456_789
CAPACITY_MIN = 1 << 17
SIDES = {
    4: ((4, bytes([192, 0, 2, 1]), 5004), (4, bytes([198, 51, 100, 255]), 65535)),
    6: ((6, ipaddress.ip_address("2001:db8::1").packed, 1), (6, ipaddress.ip_address("fe80::ffff").packed, 40000)),
}
HEADERS = {4: 28, 6: 48}
PAYLOAD_MAX = {4: 65507, 6: 65527}


class Block(NamedTuple):
    interface: int
    time_ns: int
    wire: int
    packet: bytes
    comment: bytes | None


def blocks_of(octets: bytes) -> Iterator[Block]:
    """By the description of pcapng (draft-ietf-opsawg-pcapng 4.3), apart from what the package reads it with."""
    at = 0
    while at < len(octets):
        kind, length, interface, high, low, captured, wire = struct.unpack_from("=7I", octets, at)
        assert kind == 6
        assert length % 4 == 0
        assert octets[at + length - 4 : at + length] == octets[at + 4 : at + 8]
        packet = octets[at + 28 : at + 28 + captured]
        end = at + 28 + (captured + 3) // 4 * 4
        assert not any(octets[at + 28 + captured : end])
        options = octets[end : at + length - 4]
        yield Block(interface, high << 32 | low, wire, packet, comment_of(options))
        at += length
    assert at == len(octets)


def comment_of(options: bytes) -> bytes | None:
    if not options:
        return None
    code, length = struct.unpack_from("=2H", options)
    assert code == 1
    assert options[4 + length :] == bytes(-length % 4 + 4)
    return options[4 : 4 + length]


def internet_sum(octets: bytes) -> int:
    """RFC 1071, two octets at a time; 0xFFFF where the sum that is in them is right."""
    total: int = sum(struct.unpack(f">{(len(octets) + 1) // 2}H", octets + bytes(len(octets) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def check_ipv4(packet: bytes, wire: int) -> bytes:
    """The UDP datagram in it; addresses as in SIDES."""
    assert packet[:2] == b"\x45\x00"
    assert int.from_bytes(packet[2:4], "big") == wire
    assert packet[6:8] == b"\x40\x00"
    assert packet[9] == 17
    assert packet[12:20] == SIDES[4][0][1] + SIDES[4][1][1]
    assert internet_sum(packet[:20]) == 0xFFFF
    return packet[20:]


def check_ipv6(packet: bytes, wire: int) -> bytes:
    assert packet[:4] == b"\x60\x00\x00\x00"
    assert int.from_bytes(packet[4:6], "big") == wire - 40
    assert packet[6] == 17
    assert packet[8:40] == SIDES[6][0][1] + SIDES[6][1][1]
    return packet[40:]


def payload_of(block: Block, family: int) -> bytes:
    """What is behind headers that say what they should."""
    datagram = (check_ipv4 if family == 4 else check_ipv6)(block.packet, block.wire)
    source, destination, length, checksum = struct.unpack_from(">4H", datagram)
    assert (source, destination) == (SIDES[family][0][2], SIDES[family][1][2])
    assert length == block.wire - HEADERS[family] + 8
    assert checksum != 0
    pseudo = SIDES[family][0][1] + SIDES[family][1][1] + struct.pack(">2H", 17, length)
    assert internet_sum(pseudo + datagram) == 0xFFFF
    return datagram[8:]


def written(family: int, payload: bytes, comment: bytes | None = None, wire_length: int | None = None) -> Block:
    writer = _native.BlockWriter()
    assert writer.put(1, TIME_NS, *SIDES[family], payload, comment, wire_length=wire_length)
    (block,) = blocks_of(writer.take())
    assert (block.interface, block.time_ns) == (1, TIME_NS)
    return block


@pytest.mark.parametrize("family", [4, 6])
def test_every_length_comes_back(family: int) -> None:
    rng = random.Random(family)
    for length in [*range(70), 172, 1199, 1200, 1472, 9000, PAYLOAD_MAX[family] - 1, PAYLOAD_MAX[family]]:
        payload = rng.randbytes(length)
        block = written(family, payload)
        assert payload_of(block, family) == payload
        assert block.wire == len(block.packet) == HEADERS[family] + length
        assert block.comment is None


def test_a_sum_of_zero_is_written_as_ones() -> None:
    """Zero would say that there is no checksum (RFC 768), which IPv6 forbids."""
    before = int.from_bytes(written(6, b"\x00\x00").packet[46:48], "big")
    block = written(6, before.to_bytes(2, "big"))
    assert block.packet[46:48] == b"\xff\xff"
    assert payload_of(block, 6) == before.to_bytes(2, "big")


@pytest.mark.parametrize("length", [1, 2, 3, 4, 1023, 1024])
def test_comments(length: int) -> None:
    text = bytes(97 + place % 26 for place in range(length))
    assert written(4, b"payload", text).comment == text


def test_nothing_of_earlier_packets_is_left() -> None:
    """Not in the padding either."""
    writer = _native.BlockWriter()
    for payload, comment in ((b"\xff" * 400, b"?" * 99), (b"x", b"y"), (b"", b"")):
        writer.put(1, TIME_NS, *SIDES[4], payload, comment)
        (block,) = blocks_of(writer.take())
        assert (payload_of(block, 4), block.comment) == (payload, comment or None)


def test_a_long_comment_is_cut() -> None:
    assert written(4, b"payload", b"x" * 5000).comment == b"x" * 1024
    assert written(4, b"payload", b"").comment is None


@pytest.mark.parametrize("family", [4, 6])
def test_a_truncated_packet_keeps_its_length_on_the_wire(family: int) -> None:
    block = written(family, b"0123456", wire_length=172)
    assert len(block.packet) == HEADERS[family] + 7
    assert block.wire == HEADERS[family] + 172
    length = int.from_bytes(block.packet[HEADERS[family] - 4 : HEADERS[family] - 2], "big")
    assert length == 180


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("claimed", [0, 3, 65535, 1 << 31])
def test_a_length_on_the_wire_is_not_believed(family: int, claimed: int) -> None:
    """Never below what is there, never more than a datagram holds."""
    block = written(family, b"0123456", wire_length=claimed)
    assert block.wire == HEADERS[family] + (7 if claimed < 7 else PAYLOAD_MAX[family])


@pytest.mark.parametrize("family", [4, 6])
def test_what_no_datagram_holds_is_skipped_and_counted(family: int) -> None:
    writer = _native.BlockWriter()
    assert writer.put(0, TIME_NS, *SIDES[family], bytes(PAYLOAD_MAX[family] + 1))
    assert (writer.skipped, writer.packets, writer.take()) == (1, 0, b"")


def test_a_full_buffer_takes_nothing_until_it_is_emptied() -> None:
    writer = _native.BlockWriter(CAPACITY_MIN)
    payload = bytes(1000)
    taken = 0
    while writer.put(0, TIME_NS + taken, *SIDES[4], payload):
        taken += 1
    octets = writer.take()
    assert CAPACITY_MIN - 1100 < len(octets) <= CAPACITY_MIN
    assert [block.time_ns for block in blocks_of(octets)] == [TIME_NS + number for number in range(taken)]
    assert writer.packets == taken
    assert writer.put(0, TIME_NS, *SIDES[4], payload)
    assert len(list(blocks_of(writer.take()))) == 1
    assert writer.take() == b""


def test_the_longest_block_fits_the_smallest_buffer() -> None:
    writer = _native.BlockWriter(CAPACITY_MIN)
    assert writer.put(0, TIME_NS, *SIDES[6], bytes(PAYLOAD_MAX[6]), b"x" * 1024)


def test_times_before_1970_are_set_to_it() -> None:
    writer = _native.BlockWriter()
    assert writer.put(0, -1, *SIDES[4], b"")
    assert [block.time_ns for block in blocks_of(writer.take())] == [0]


def pieces(count: int, octets: int) -> list[tuple[int, bytes]]:
    return [(10 * (number + 1), bytes([number + 1]) * octets) for number in range(count)]


def test_scheduled_blocks_stand_before_their_frame() -> None:
    writer = _native.BlockWriter()
    writer.schedule(pieces(3, 12))
    parts = []
    for frame in (1, 9, 10, 11, 35):
        assert writer.put(0, TIME_NS, *SIDES[4], b"", frame=frame)
        parts.append(writer.take())
    block = parts[0]
    assert parts == [block, block, bytes([1]) * 12 + block, block, bytes([2]) * 12 + bytes([3]) * 12 + block]


def test_scheduled_blocks_wait_for_room() -> None:
    writer = _native.BlockWriter(CAPACITY_MIN)
    writer.schedule(pieces(3, CAPACITY_MIN))
    for number in range(3):
        assert not writer.put(0, TIME_NS, *SIDES[4], b"", frame=99)
        assert writer.take() == bytes([number + 1]) * CAPACITY_MIN
    assert writer.put(0, TIME_NS, *SIDES[4], b"", frame=99)
    assert len(list(blocks_of(writer.take()))) == 1


def test_a_schedule_is_checked() -> None:
    writer = _native.BlockWriter()
    with pytest.raises(ValueError, match="in order"):
        writer.schedule([(2, b""), (1, b"")])
    with pytest.raises(ValueError, match="at most"):
        writer.schedule([(1, bytes(CAPACITY_MIN + 1))])
    writer.schedule([])
    assert writer.put(0, TIME_NS, *SIDES[4], b"", frame=sys.maxsize)


@pytest.mark.parametrize("capacity", [0, CAPACITY_MIN - 1, (1 << 26) + 1])
def test_a_capacity_is_checked(capacity: int) -> None:
    with pytest.raises(ValueError, match="octets"):
        _native.BlockWriter(capacity)


@pytest.mark.parametrize(
    "sides",
    [
        (SIDES[4][0], SIDES[6][1]),
        ((5, b"1234", 1), (5, b"1234", 1)),
        ((4, b"123", 1), SIDES[4][1]),
        (SIDES[6][0], (6, b"1" * 17, 1)),
    ],
)
def test_addresses_are_checked(sides: tuple[tuple[int, bytes, int], tuple[int, bytes, int]]) -> None:
    with pytest.raises(ValueError, match=r"famil|octets"):
        _native.BlockWriter().put(0, TIME_NS, *sides, b"")
