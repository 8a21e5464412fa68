"""The reader of captures against tshark: the same frames, times, addresses, ports, lengths from every kind of file."""

from __future__ import annotations

import ipaddress
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from native.captures import (
    LINKS,
    SECOND_NS,
    Blocks,
    Frame,
    Packet,
    ethernet,
    fragment6,
    fragments4,
    fragments6,
    ip4,
    ip6,
    pcap,
    pcapng,
    read,
    tcp,
    udp,
)
from support import require_peer

pytestmark = pytest.mark.peer

START_NS = 1_700_000_000 * SECOND_NS + 123_456_789
FIELDS = (
    "frame.number", "frame.time_epoch", "frame.interface_name", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst",
    "udp.srcport", "udp.dstport", "udp.length", "tcp.srcport", "tcp.dstport", "tcp.len", "tcp.seq_raw",
)  # fmt: skip
Row = tuple[object, ...]


def datagrams() -> list[bytes]:
    """IP of every form that the reader takes apart."""
    hops, route = (0, bytes([0, 1, 4, 0, 0, 0, 0])), (43, bytes(7))
    long = udp(bytes(range(256)) * 8, 4002, 5002)
    return [
        ip4(udp(b"a")),
        ip4(udp(b"with options"), options=b"\1\1\1\1"),
        ip4(udp(b"", 1, 2)),
        ip4(udp(b"longer in IP than in UDP", length=20)),
        ip6(udp(b"version 6")),
        ip6(
            udp(b"extended"), extensions=[hops, route, (60, bytes([0, 1, 4, 0, 0, 0, 0])), (51, bytes([4]) + bytes(22))]
        ),
        ip6(udp(b"the only fragment"), extensions=[(44, fragment6(0, False, 5))]),
        ip4(tcp(b"text", options=b"\1\1\1\1"), protocol=6),
        ip6(tcp(b"text", 4000, 5999, sequence=9), protocol=6),
        *fragments4(long, 512, identification=7),
        *reversed(fragments4(long, 1024, identification=8)),
        *fragments6(long, 1000, identification=9),
        ip4(b"\x08\0\0\0", protocol=1),
        ip4(udp(b"longer than IP", length=90)),
        ip4(udp(b"shorter than itself", length=7)),
    ]


def frames(link: str, interface: int = 0) -> list[Frame]:
    wrap = LINKS[link][1]
    fitting = [ip for ip in datagrams() if not link.startswith("ipv") or int(link[-1]) == ip[0] >> 4]
    return [Frame(wrap(ip), START_NS + 1_000_000 * number, None, interface) for number, ip in enumerate(fitting)]


def by_tshark(path: Path) -> list[Row]:
    """(frame, ns, interface, source, port, destination, port, payload octets, sequence number) of UDP and TCP."""
    fields = [part for field in FIELDS for part in ("-e", field)]
    command = [require_peer("tshark"), "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=f", *fields]
    # UDP lengths that cannot be: the reader does not believe them, tshark shows them with a remark
    command += ["-Y", "(udp and not udp.length.bad and not udp.length.bad_zero) or tcp"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    rows: list[Row] = []
    for line in lines:
        frame, time, interface, source4, target4, source6, target6, sport, dport, length, *connection = line.split("\t")
        over_tcp = connection[0] != ""
        octets = int(connection[2]) if over_tcp else int(length) - 8
        ports = (connection[0], connection[1]) if over_tcp else (sport, dport)
        time_ns = int(Decimal(time) * SECOND_NS) if time else 0
        ends = (source4 or source6, int(ports[0]), target4 or target6, int(ports[1]))
        rows.append((int(frame), time_ns, interface, *ends, octets, int(connection[3] or 0)))
    return rows


def row(packet: Packet, interfaces: list[dict[str, str]]) -> Row:
    """A packet of the reader in the same form."""
    name = interfaces[packet.interface]["name"]
    source, destination = (str(ipaddress.ip_address(octets)) for octets in (packet.source, packet.destination))
    return (packet.frame, packet.time_ns, name, source, packet.source_port, destination, packet.destination_port,
            packet.wire_len, packet.tcp_sequence)  # fmt: skip


def compare(octets: bytes, path: Path, least: int, *, named: bool = True) -> list[dict[str, str]]:
    """Both read the same, and so much of it at least. Gives the interfaces.

    Not named: tshark 4.0 looks names up in the first section always.
    """
    path.write_bytes(octets)
    packets, found = read(octets)
    interfaces: list[dict[str, str]] = found["interfaces"]
    assert found["fault"] is None
    rows = by_tshark(path)
    assert len(rows) >= least
    assert [kept(row(packet, interfaces), named) for packet in packets] == [kept(line, named) for line in rows]
    return interfaces


def kept(line: Row, named: bool) -> Row:
    return line if named else (*line[:2], *line[3:])


PCAP = {
    "ethernet": ("<", 0xA1B2C3D4),
    "qinq": (">", 0xA1B2C3D4),
    "cooked": ("<", 0xA1B23C4D),
    "raw-bsd": (">", 0xA1B23C4D),
    "null-little": ("<", 0xA1B2CD34),
    "loop": (">", 0xA1B2CD34),
    "ipv4": ("<", 0xA1B2C3D4),
    "ipv6": (">", 0xA1B23C4D),
    "raw": ("<", 0xA1B23C4D),
}


@pytest.mark.parametrize("link", PCAP)
def test_pcap(link: str, tmp_path: Path) -> None:
    order, magic = PCAP[link]
    octets = pcap(frames(link), linktype=LINKS[link][0], order=order, magic=magic)
    compare(octets, tmp_path / "a.pcap", 4 if link.startswith("ipv") else 12)


@pytest.mark.parametrize("form", ["enhanced", "obsolete"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_an_interface_of_every_link_type(form: str, order: str, tmp_path: Path) -> None:
    """But for cooked v2, whose interface is that of its header here; to tshark it is the file's."""
    links = [link for link in LINKS if link != "cooked-v2"]
    blocks = Blocks(order)
    parts = [blocks.section()]
    parts += [blocks.interface(LINKS[link][0], f"{link} {number}") for number, link in enumerate(links)]
    for number, link in enumerate(links):
        for frame in frames(link, number):
            parts.append(blocks.enhanced(frame) if form == "enhanced" else blocks.obsolete(frame))
    compare(b"".join(parts), tmp_path / "a.pcapng", 100)


RESOLUTIONS = (0, 3, 6, 9, 0x80, 0x8A, 0xA0)  # beyond these tshark 4.0 loses bits


def test_resolutions_and_offsets(tmp_path: Path) -> None:
    """Powers of ten and of two, and what is to be added."""
    blocks, one = Blocks(), frames("ethernet")[0]
    parts = [blocks.section()]
    for number, resolution in enumerate(RESOLUTIONS):
        parts += [blocks.interface(1, f"a{number}", resolution=resolution)]
        parts += [blocks.interface(1, f"b{number}", resolution=resolution, offset_s=1_000_000_000)]
        units = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        for interface in (2 * number, 2 * number + 1):
            parts += [
                blocks.enhanced(one._replace(interface=interface), ticks) for ticks in (0, 1, 5 * units + units // 3)
            ]
    compare(b"".join(parts), tmp_path / "a.pcapng", 6 * len(RESOLUTIONS))


def test_sections_and_blocks_between(tmp_path: Path) -> None:
    """Numbering of frames and interfaces through all that may stand in a file."""
    little, big, one = Blocks("<"), Blocks(">"), frames("ethernet")[0]
    parts = [little.section(options=[(4, b"program")]), little.interface(1, "eth0", "first"), little.secrets(b"none")]
    parts += [little.enhanced(one), little.section(), big.section(), big.interface(113, "any", resolution=9)]
    parts += [big.interface(1, "eth1"), big.enhanced(Frame(LINKS["cooked"][1](ip4(udp(b"x")))), START_NS)]
    parts += [big.block(0x0BAD, big.pack("I", 32473)), big.enhanced(one._replace(interface=1))]
    parts += [big.block(9, b"__REALTIME_TIMESTAMP=1700000000123456\n\n"), big.enhanced(one._replace(interface=1))]
    parts += [big.block(4, bytes(4)), big.block(5, bytes(12)), big.block(0x77, b"unknown")]
    parts += [big.interface(101, "late"), big.enhanced(Frame(ip4(udp(b"x")), interface=2))]
    parts += [little.section(), little.interface(1, "eth2"), little.enhanced(one, options=[(1, b"comment")])]
    interfaces = compare(b"".join(parts), tmp_path / "a.pcapng", 6, named=False)
    assert [interface["name"] for interface in interfaces] == ["eth0", "any", "eth1", "late", "eth2"]


def test_packets_cut_short(tmp_path: Path) -> None:
    """By a snap length; simple packets have no time and end where the interface says."""
    whole = frames("ethernet")
    cut = [
        Frame(frame.octets[:length], frame.time_ns, len(frame.octets)) for frame in whole[:2] for length in (46, 50, 60)
    ]
    compare(pcap(cut, snaplen=60), tmp_path / "a.pcap", 6)
    compare(pcapng(whole[:9], form="simple"), tmp_path / "b.pcapng", 9)
    blocks = Blocks()
    octets = ethernet(ip4(udp(bytes(100))))
    simple = blocks.simple(Frame(octets[:64], wire=len(octets)))
    compare(blocks.section() + blocks.interface(name="eth0", snaplen=64) + simple, tmp_path / "c.pcapng", 1)


def test_cooked_v2(tmp_path: Path) -> None:
    """tshark names no interface of pcap; the reader names those of the headers."""
    path = tmp_path / "a.pcap"
    octets = pcap(frames("cooked-v2"), linktype=276, magic=0xA1B23C4D)
    path.write_bytes(octets)
    packets, found = read(octets)
    assert [interface["name"] for interface in found["interfaces"]] == ["", "ifindex 3"]
    nameless = [{"name": ""}, {"name": ""}]
    assert [row(packet, nameless) for packet in packets] == by_tshark(path)
