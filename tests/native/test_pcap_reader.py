"""The reader of captures: formats, sections, times, secrets, damage. tests/interop holds it against tshark."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from native.captures import (
    COOKED_V2,
    LINKS,
    SECOND_NS,
    Blocks,
    Frame,
    cooked_v2,
    ethernet,
    feed,
    ip4,
    ip6,
    pcap,
    pcapng,
    read,
    udp,
)

from srtpgw import _native

NOW_NS = 1_700_000_000 * SECOND_NS + 123_456_789
PORTIONS = (1, 7, 64, 1 << 20)  # octets that come at a time
BLOCKS = Blocks()
HEAD = BLOCKS.section() + BLOCKS.interface(1, "eth0")
ONE = Frame(ethernet(ip4(udp(b"one"))), NOW_NS)


def frames(link: str) -> list[Frame]:
    wrap = LINKS[link][1]
    datagrams = [ip4(udp(b"four", 1, 2)), ip6(udp(b"six", 3, 4))]
    fitting = [ip for ip in datagrams if not link.startswith("ipv") or int(link[-1]) == ip[0] >> 4]
    return [Frame(wrap(ip), NOW_NS + number) for number, ip in enumerate(fitting)]


def described(octets: bytes) -> dict[str, Any]:
    return read(octets)[1]


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
def test_pcap(link: str, order: str, magic: int) -> None:
    made = frames(link)
    octets = pcap(made, linktype=LINKS[link][0], order=order, magic=magic)
    packets, found = read(octets)
    unit = 1 if magic == 0xA1B23C4D else 1000
    assert all(packet.payload == {4: b"four", 6: b"six"}[packet.family] for packet in packets)
    assert [packet.time_ns for packet in packets] == [frame.time_ns // unit * unit for frame in made]
    assert (found["format"], found["frames"], found["fault"]) == ("pcap", len(made), None)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", ["enhanced", "obsolete", "simple"])
def test_pcapng_in_portions(link: str, order: str, form: str) -> None:
    """How the octets come makes no difference."""
    octets = pcapng(frames(link), linktype=LINKS[link][0], order=order, form=form)
    answers = [read(octets, portion) for portion in PORTIONS]
    assert all(answer == answers[0] for answer in answers)
    packets, found = answers[0]
    assert {packet.payload for packet in packets} <= {b"four", b"six"}
    assert len(packets) == len(frames(link)) == found["frames"]


def test_times() -> None:
    """Resolutions up to what fits into 64 bits, offsets, and times that nanoseconds since 1970 do not reach."""
    cases = [
        (12, 0, 5_333_333_333_333, 5_333_333_333),
        (19, 0, 15_000_000_000_000_000_000, 1_500_000_000),
        (0x80 | 63, 0, 3 << 62, 1_500_000_000),
        (127, 0, 12345, 0),
        (0xFF, 0, 1 << 63, 500_000_000),
        (9, -2, 1, 1 - 2 * SECOND_NS),
        (0, 1, 9, 10 * SECOND_NS),
        (0, 0, 1 << 63, 4_611_686_017 * SECOND_NS),
        (0, -(1 << 63), 5, (5 - 4_611_686_017) * SECOND_NS),
        (0, (1 << 63) - 1, (1 << 64) - 1, 4_611_686_017 * SECOND_NS),
    ]
    for resolution, offset, ticks, expected in cases:
        octets = (
            BLOCKS.section() + BLOCKS.interface(resolution=resolution, offset_s=offset) + BLOCKS.enhanced(ONE, ticks)
        )
        assert [packet.time_ns for packet in read(octets)[0]] == [expected], (resolution, offset)


def test_first_and_last_time() -> None:
    """The earliest and the latest; a packet without time takes that of the one before, and does not count."""
    times = (SECOND_NS * 7, SECOND_NS * 3, SECOND_NS * 5)
    timed = b"".join(BLOCKS.enhanced(ONE._replace(time_ns=at)) for at in times)
    packets, found = read(HEAD + BLOCKS.simple(ONE) + timed + BLOCKS.simple(ONE))
    assert [packet.time_ns for packet in packets] == [0, *times, times[-1]]
    assert (found["first_ns"], found["last_ns"]) == (3 * SECOND_NS, 7 * SECOND_NS)
    assert found["counters"]["without-time"] == 2
    assert described(HEAD + BLOCKS.simple(ONE))["first_ns"] is None


def test_sections_number_their_interfaces_anew() -> None:
    big = Blocks(">")
    octets = HEAD + BLOCKS.interface(101, "tun0", "a tunnel") + BLOCKS.enhanced(Frame(ip4(udp(b"tun")), interface=1))
    octets += big.section() + big.interface(0, "lo0") + big.enhanced(Frame(LINKS["null-big"][1](ip4(udp(b"lo")))))
    packets, found = read(octets)
    assert [(packet.interface, packet.payload) for packet in packets] == [(1, b"tun"), (2, b"lo")]
    assert found["interfaces"][1] == {"name": "tun0", "description": "a tunnel", "linktype": 101, "snaplen": 0}
    assert [interface["name"] for interface in found["interfaces"]] == ["eth0", "tun0", "lo0"]


def test_interfaces_of_cooked_headers() -> None:
    """Each has a place of its own, as far as there are not too many."""
    numbers = (3, 9, 3, 0, 9)
    made = [Frame(cooked_v2(ip4(udp(b"x")), ifindex)) for ifindex in numbers]
    packets, found = read(pcap(made, linktype=COOKED_V2))
    assert [packet.interface for packet in packets] == [1, 2, 1, 0, 2]
    assert [interface["name"] for interface in found["interfaces"]] == ["", "ifindex 3", "ifindex 9"]
    many = [Frame(cooked_v2(ip4(udp(b"x")), ifindex)) for ifindex in range(1, 301)]
    found = described(pcap(many, linktype=COOKED_V2))
    assert len(found["interfaces"]) == 257
    assert found["counters"] == {"packets": 300, "interface-limit": 44}


def test_the_number_of_interfaces_is_bounded() -> None:
    """Those beyond are not there: their packets are counted."""
    limit = 16384
    octets = BLOCKS.section() + BLOCKS.interface() * (limit + 1)
    octets += BLOCKS.enhanced(ONE._replace(interface=limit - 1)) + BLOCKS.enhanced(ONE._replace(interface=limit))
    packets, found = read(octets)
    assert [(packet.frame, packet.interface) for packet in packets] == [(1, limit - 1)]
    assert found["counters"] == {"packets": 1, "no-interface": 1, "interface-limit": 1}


def test_options_are_bounded() -> None:
    """Options that lie about their length end the list; names are cut."""
    for options in (b"\2\0\xff\xff", b"\2\0\5\0abcd", b"\2", b"\0\0\0\0\2\0\4\0abcd"):
        block = BLOCKS.block(1, BLOCKS.pack("2HI", 1, 0, 0) + options)
        found = described(BLOCKS.section() + block)
        assert (found["interfaces"][0]["name"], found["fault"]) == ("", None)
    found = described(BLOCKS.section() + BLOCKS.interface(name="n" * 300, description="\N{EURO SIGN}" * 100))
    assert found["interfaces"][0]["name"] == "n" * 128
    assert found["interfaces"][0]["description"] == "\N{EURO SIGN}" * 42 + "\ufffd"


def test_secrets() -> None:
    """Once, with what they are, in both byte orders; a length beyond the block gives what is there."""
    big = Blocks(">")
    octets = (
        HEAD
        + BLOCKS.secrets(b"CLIENT_RANDOM")
        + BLOCKS.enhanced(ONE)
        + BLOCKS.block(10, BLOCKS.pack("2I", 5, 99) + b"abcd")
    )
    octets += big.section() + big.secrets(b"", kind=7)
    for secrets_only in (False, True):
        reader = _native.CaptureReader(secrets_only=secrets_only)
        assert len(feed(reader, octets)) == (0 if secrets_only else 1)
        assert reader.take_secrets() == [(0x544C534B, b"CLIENT_RANDOM"), (5, b"abcd"), (7, b"")]
        assert reader.take_secrets() == []
        assert reader.describe()["frames"] == 1
        assert reader.describe()["counters"]["secrets"] == 3


def test_secrets_that_nobody_takes_are_bounded() -> None:
    block = BLOCKS.secrets(bytes(8 << 20))
    reader = _native.CaptureReader()
    feed(reader, HEAD + block * 9)
    assert len(reader.take_secrets()) == 7
    assert reader.describe()["counters"] == {"secrets": 9, "secrets-limit": 2}


@pytest.mark.parametrize("octets", [pcap([ONE] * 3), pcapng([ONE] * 3), pcapng([ONE] * 3, form="simple")])
def test_secrets_only_counts_frames(octets: bytes) -> None:
    for portion in PORTIONS:
        reader = _native.CaptureReader(secrets_only=True)
        assert feed(reader, octets, portion) == []
        assert (reader.describe()["frames"], reader.describe()["fault"]) == (3, None)


def test_secrets_only_notices_the_end() -> None:
    for octets in (pcap([ONE] * 2), pcapng([ONE] * 2)):
        reader = _native.CaptureReader(secrets_only=True)
        feed(reader, octets[:-7])
        assert "is cut off: what begins at octet" in str(reader.fault)
        assert reader.describe()["frames"] == 2


def test_old_versions_of_pcap_have_their_lengths_the_other_way_round() -> None:
    short = Frame(ONE.octets[:50], NOW_NS, 80)
    for version in ((2, 2), (2, 3), (2, 4)):
        packets, found = read(pcap([short, ONE], version=version))
        assert [packet.payload for packet in packets] == [b"one", b"one"]
        assert found["fault"] is None
    swapped = pcap([short], version=(2, 2))
    assert read(swapped[:6] + b"\3" + swapped[7:])[0][0].payload == b"one"  # written by a program of 2.2 as 2.3


def test_large_blocks() -> None:
    """Packets as large as they may be, and blocks over which the reader goes without holding them."""
    largest = Frame(ethernet(ip4(udp(b"x"))).ljust(262144, b"\0"), NOW_NS)
    for octets in (pcap([largest, ONE]), pcapng([largest, ONE])):
        for portion in (4096, 1 << 20):
            packets, found = read(octets, portion)
            assert [packet.payload for packet in packets] == [b"x", b"one"]
            assert found["fault"] is None
    reader = _native.CaptureReader(room=64)
    assert len(feed(reader, HEAD + BLOCKS.block(0x77, bytes(30 << 20)) + BLOCKS.simple(ONE))) == 1
    assert len(reader.space()) < 4096  # it did not grow for the block


def test_simple_packets_end_at_the_snap_length() -> None:
    """What stands behind it is padding; without a snap length all of it was captured."""
    octets = ethernet(ip4(udp(bytes(100))))
    for snaplen, captured in ((64, 22), (62, 20), (0, 100)):
        head = BLOCKS.section() + BLOCKS.interface(snaplen=snaplen)
        (packet,) = read(head + BLOCKS.simple(Frame(octets[: snaplen or None], wire=len(octets))))[0]
        assert (len(packet.payload), packet.wire_len) == (captured, 100)


# --- damage ----------------------------------------------------------------------------------------------------------

CAPTURE = HEAD + BLOCKS.enhanced(ONE)
AT = f"{len(CAPTURE):,}"
DAMAGED = "; the file is damaged from here"
TOO_LARGE = "says it has 262,145 octets, and 262,144 is the most there can be" + DAMAGED
FAULTS = [
    (b"", "the file is empty"),
    (b"\xa1", "not a capture: it begins like neither pcap nor pcapng"),
    (b"GIF89a and so on", "not a capture: it begins like neither pcap nor pcapng"),
    (HEAD[:8] + b"\0\0\0\0" + HEAD[12:], "not a capture: it begins like neither pcap nor pcapng"),
    (pcap([], version=(3, 1)), "the file says it is version 3.1 of its format, which is not known here"),
    (BLOCKS.section((2, 0)), "the file says it is version 2.0 of its format, which is not known here"),
    (pcap([])[:20], "the file is cut off: what begins at octet 0 has 24 octets, of which 20 are there"),
    (pcap([ONE])[:30], "the file is cut off: what begins at octet 24 has 16 octets, of which 6 are there"),
    (pcap([ONE])[:60], "the file is cut off: what begins at octet 24 has 76 octets, of which 36 are there"),
    (pcap([ONE]) + struct.pack("<4I", 0, 0, 262145, 262145),
     "packet at octet 100 " + TOO_LARGE),
    (CAPTURE + b"\6\0\0", f"the file is cut off: what begins at octet {AT} has 8 octets, of which 3 are there"),
    (CAPTURE + BLOCKS.block(6, b"", length=3), f"block at octet {AT} says it has 3 octets" + DAMAGED),
    (CAPTURE + BLOCKS.block(6, b"", length=18), f"block at octet {AT} says it has 18 octets" + DAMAGED),
    (CAPTURE + BLOCKS.block(6, b"", length=1 << 28),
     f"block at octet {AT} says it has 268,435,456 octets, and 16,777,216 is the most that is read"),
    (CAPTURE + BLOCKS.block(6, bytes(20), end=36),
     f"block at octet {AT} says it has 32 octets at its begin and 36 at its end" + DAMAGED),
    (CAPTURE + BLOCKS.block(5, bytes(20), end=36),
     f"block at octet {AT} says it has 32 octets at its begin and 36 at its end" + DAMAGED),
    (CAPTURE + BLOCKS.block(5, bytes(20))[:20],
     f"the file is cut off: what begins at octet {AT} has 32 octets, of which 20 are there"),
    (CAPTURE + BLOCKS.block(5, bytes(20))[:30],
     f"the file is cut off: what begins at octet {AT} has 32 octets, of which 30 are there"),
    (CAPTURE + BLOCKS.block(6, bytes(16)),
     f"block at octet {AT} has 28 octets, too few for what it is" + DAMAGED),
    (CAPTURE + BLOCKS.block(6, BLOCKS.pack("5I", 0, 0, 0, 9, 9) + bytes(8)),
     f"block at octet {AT} has 40 octets and says that it holds 9 of a packet" + DAMAGED),
    (CAPTURE + BLOCKS.block(3, BLOCKS.pack("I", 0xFFFFFFFF)),
     f"block at octet {AT} has 16 octets and says that it holds 4,294,967,295 of a packet" + DAMAGED),
    (CAPTURE + BLOCKS.block(6, BLOCKS.pack("5I", 0, 0, 0, 262145, 0) + bytes(262145)),
     f"packet at octet {AT} " + TOO_LARGE),
    (CAPTURE + BLOCKS.simple(Frame(bytes(262145))),
     f"packet at octet {AT} " + TOO_LARGE),
    *((CAPTURE + BLOCKS.block(kind, b"\1"), f"block at octet {AT} has 16 octets, too few for what it is" + DAMAGED)
      for kind in (1, 10)),
    (CAPTURE + BLOCKS.block(3, b""), f"block at octet {AT} has 12 octets, too few for what it is" + DAMAGED),
    (CAPTURE + BLOCKS.block(0x0A0D0D0A, bytes(16)),
     f"section header at octet {AT} has no byte-order magic" + DAMAGED),
    (CAPTURE + BLOCKS.block(0x0A0D0D0A, BLOCKS.pack("I", 0x1A2B3C4D) + bytes(12), length=12),
     f"block at octet {AT} says it has 12 octets" + DAMAGED),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "fault"), FAULTS)
def test_damage_is_told_and_what_came_before_stays(octets: bytes, fault: str) -> None:
    for portion in PORTIONS:
        packets, found = read(octets, portion)
        assert found["fault"] == fault
        assert found["frames"] == len(packets) == octets.count(b"one")


def test_a_packet_of_no_interface_is_counted() -> None:
    octets = BLOCKS.section() + BLOCKS.simple(ONE) + BLOCKS.enhanced(ONE) + BLOCKS.interface(1) + BLOCKS.enhanced(ONE)
    packets, found = read(octets)
    assert [packet.frame for packet in packets] == [3]
    assert found["counters"] == {"packets": 1, "no-interface": 2}


def test_nothing_is_read_behind_damage() -> None:
    reader = _native.CaptureReader()
    behind = BLOCKS.enhanced(ONE) * 4000  # more than the buffer holds: there is room for it all the same
    assert len(feed(reader, CAPTURE + BLOCKS.block(6, b"", length=4) + behind)) == 1
    assert reader.packets() == []


# --- how it is used --------------------------------------------------------------------------------------------------


def test_packets_have_to_be_taken_before_more_octets_come() -> None:
    reader = _native.CaptureReader(room=64)
    reader.filled(len(reader.space()))
    with pytest.raises(RuntimeError, match="taken first"):
        reader.space()
    with pytest.raises(ValueError, match="do not fit"):
        reader.filled(1)


def test_a_view_outlives_its_buffer() -> None:
    """The buffer grows for a large packet; the room that somebody still holds is not taken from them."""
    reader = _native.CaptureReader(room=64)
    first = reader.space()
    octets = pcap([Frame(ethernet(ip4(udp(bytes(1000)))))])
    assert len(feed(reader, octets)) == 1
    del reader
    first[:] = bytes(len(first))
    assert bytes(first) == bytes(len(first))


def test_every_counter_has_a_text() -> None:
    assert len(_native.CAPTURE_COUNTERS) == 21
    assert all(_native.CAPTURE_COUNTERS.values())
