"""Captures for tests: frames of every link layer as pcap and pcapng, made from scratch, with any mistake on request."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from srtpgw import _native

ETHERNET, COOKED, COOKED_V2, RAW, NULL, LOOP = 1, 113, 276, 101, 0, 108
UDP, TCP = 17, 6
SECOND_NS = 1_000_000_000


class Frame(NamedTuple):
    """One packet of a file: link-layer octets as captured, and how many there were on the wire (None: as many)."""

    octets: bytes
    time_ns: int = 0
    wire: int | None = None
    interface: int = 0

    @property
    def on_wire(self) -> int:
        return len(self.octets) if self.wire is None else self.wire


class Packet(NamedTuple):
    """What the reader hands out, as `CaptureReader.packets()` has it."""

    frame: int
    time_ns: int
    interface: int
    family: int
    protocol: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    payload: bytes
    wire_len: int
    tcp_sequence: int
    tcp_flags: int
    reassembled: bool


# --- IP --------------------------------------------------------------------------------------------------------------


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def checksum(octets: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets[: len(octets) & ~1]))
    total += octets[-1] << 8 if len(octets) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def udp(payload: bytes, source_port: int = 4000, destination_port: int = 5000, *, length: int | None = None) -> bytes:
    return (
        struct.pack("!4H", source_port, destination_port, 8 + len(payload) if length is None else length, 0) + payload
    )


def tcp(
    payload: bytes, source_port: int = 4000, destination_port: int = 5060, *, sequence: int = 1, flags: int = 0x18,
    options: bytes = b"",
) -> bytes:  # fmt: skip
    assert len(options) % 4 == 0
    header = (20 + len(options)) // 4 << 4
    fixed = struct.pack("!2H2I2B3H", source_port, destination_port, sequence, 0, header, flags, 65535, 0, 0)
    return fixed + options + payload


def ip4(
    payload: bytes, source: str = "192.0.2.1", destination: str = "192.0.2.2", *, protocol: int = UDP,
    options: bytes = b"", identification: int = 0, fragment: int = 0, length: int | None = None,
) -> bytes:  # fmt: skip
    """`fragment`: flags and offset as the header holds them."""
    assert len(options) % 4 == 0
    header = bytearray(20 + len(options))
    total = len(header) + len(payload) if length is None else length
    struct.pack_into("!2B3H2B", header, 0, 0x40 | len(header) // 4, 0, total, identification, fragment, 64, protocol)
    header[12:20] = packed(source) + packed(destination)
    header[20:] = options
    struct.pack_into("!H", header, 10, checksum(bytes(header)))
    return bytes(header) + payload


def ip6(
    payload: bytes, source: str = "2001:db8::1", destination: str = "2001:db8::2", *, protocol: int = UDP,
    extensions: Sequence[tuple[int, bytes]] = (), length: int | None = None,
) -> bytes:  # fmt: skip
    """`extensions`: (protocol number, octets behind its first, which names what follows)."""
    following = [*(number for number, _ in extensions), protocol]
    chain = b"".join(bytes([after]) + octets for (_, octets), after in zip(extensions, following[1:], strict=True))
    body = chain + payload
    fixed = struct.pack("!IHBB", 6 << 28, len(body) if length is None else length, following[0], 64)
    return fixed + packed(source) + packed(destination) + body


def fragments4(
    datagram: bytes, size: int, *, identification: int = 1, protocol: int = UDP, **names: str
) -> list[bytes]:
    """IPv4 fragments of `size` octets each (a multiple of 8) of what stands behind the IP header."""
    assert size % 8 == 0
    return [
        ip4(datagram[at : at + size], protocol=protocol, identification=identification,
            fragment=at // 8 | (0x2000 if at + size < len(datagram) else 0), **names)  # type: ignore[arg-type]
        for at in range(0, len(datagram), size)
    ]  # fmt: skip


def fragments6(datagram: bytes, size: int, *, identification: int = 1, protocol: int = UDP) -> list[bytes]:
    assert size % 8 == 0
    headers = [fragment6(at, at + size < len(datagram), identification) for at in range(0, len(datagram), size)]
    return [
        ip6(datagram[size * number : size * (number + 1)], protocol=protocol, extensions=[(44, header)])
        for number, header in enumerate(headers)
    ]


def fragment6(offset: int, more: bool, identification: int) -> bytes:
    """A fragment header behind its first octet."""
    return struct.pack("!BHI", 0, offset | more, identification)


# --- link layers -----------------------------------------------------------------------------------------------------


def ethertype(ip: bytes) -> int:
    return 0x86DD if ip[0] >> 4 == 6 else 0x0800


def tagged(ip: bytes, tags: Iterable[int]) -> bytes:
    """EtherType and IP, behind VLAN tags of these types."""
    octets = struct.pack("!H", ethertype(ip)) + ip
    for tag in reversed(list(tags)):
        octets = struct.pack("!2H", tag, 7) + octets
    return octets


def ethernet(ip: bytes, tags: Iterable[int] = (), *, pad: bool = True) -> bytes:
    octets = bytes.fromhex("020000000002020000000001") + tagged(ip, tags)
    return octets.ljust(60, b"\xee") if pad else octets


def cooked(ip: bytes, tags: Iterable[int] = ()) -> bytes:
    return struct.pack("!3H8s", 0, 1, 6, b"\2\0\0\0\0\1") + tagged(ip, tags)


def cooked_v2(ip: bytes, ifindex: int = 3, tags: Iterable[int] = ()) -> bytes:
    octets = tagged(ip, tags)
    return octets[:2] + struct.pack("!HIHBB8s", 0, ifindex, 1, 0, 6, b"\2\0\0\0\0\1") + octets[2:]


def loopback(ip: bytes, order: str = "<", family: int | None = None) -> bytes:
    if family is None:
        family = 30 if ip[0] >> 4 == 6 else 2
    return struct.pack(order + "I", family) + ip


# Every way to wrap an IP datagram, by name: link type and function.
LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "ethernet": (ETHERNET, ethernet),
    "vlan": (ETHERNET, lambda ip: ethernet(ip, (0x8100,))),
    "qinq": (ETHERNET, lambda ip: ethernet(ip, (0x88A8, 0x8100))),
    "cooked": (COOKED, cooked),
    "cooked-vlan": (COOKED, lambda ip: cooked(ip, (0x8100,))),
    "cooked-v2": (COOKED_V2, cooked_v2),
    "raw": (RAW, bytes),
    "raw-bsd": (12, bytes),
    "raw-openbsd": (14, bytes),
    "ipv4": (228, bytes),
    "ipv6": (229, bytes),
    "null-little": (NULL, lambda ip: loopback(ip, "<")),
    "null-big": (NULL, lambda ip: loopback(ip, ">")),
    "loop": (LOOP, lambda ip: loopback(ip, ">")),
}


# --- pcap ------------------------------------------------------------------------------------------------------------


def pcap(
    frames: Iterable[Frame], *, linktype: int = ETHERNET, order: str = "<", magic: int = 0xA1B2C3D4,
    snaplen: int = 262144, version: tuple[int, int] = (2, 4),
) -> bytes:  # fmt: skip
    """A pcap file; nanoseconds by magic 0xA1B23C4D, the longer record header by 0xA1B2CD34."""
    parts = [struct.pack(order + "I2H4I", magic, *version, 0, 0, snaplen, linktype)]
    unit = 1 if magic == 0xA1B23C4D else 1000
    for frame in frames:
        seconds, rest = divmod(frame.time_ns, SECOND_NS)
        lengths = (len(frame.octets), frame.on_wire)
        parts.append(
            struct.pack(order + "4I", seconds, rest // unit, *(lengths[::-1] if version < (2, 3) else lengths))
        )
        parts.append(bytes(8) if magic == 0xA1B2CD34 else b"")
        parts.append(frame.octets)
    return b"".join(parts)


# --- pcapng ----------------------------------------------------------------------------------------------------------


def padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


class Blocks:
    """Blocks of one byte order."""

    def __init__(self, order: str = "<") -> None:
        self.order = order

    def pack(self, form: str, *values: int) -> bytes:
        return struct.pack(self.order + form, *values)

    def block(self, kind: int, body: bytes, *, length: int | None = None, end: int | None = None) -> bytes:
        total = 12 + len(padded(body)) if length is None else length
        return self.pack("2I", kind, total) + padded(body) + self.pack("I", total if end is None else end)

    def options(self, options: Iterable[tuple[int, bytes]]) -> bytes:
        parts = [self.pack("2H", code, len(octets)) + padded(octets) for code, octets in options]
        return b"".join([*parts, bytes(4)]) if parts else b""

    def section(self, version: tuple[int, int] = (1, 0), options: Iterable[tuple[int, bytes]] = ()) -> bytes:
        body = self.pack("I2Hq", 0x1A2B3C4D, *version, -1) + self.options(options)
        return self.block(0x0A0D0D0A, body)

    def interface(
        self, linktype: int = ETHERNET, name: str = "", description: str = "", *, resolution: int | None = None,
        offset_s: int = 0, snaplen: int = 0,
    ) -> bytes:  # fmt: skip
        options = [(2, name.encode()), (3, description.encode())]
        options += [(9, bytes([resolution]))] if resolution is not None else []
        options += [(14, self.pack("q", offset_s))] if offset_s else []
        chosen = [option for option in options if option[1]]
        return self.block(1, self.pack("2HI", linktype, 0, snaplen) + self.options(chosen))

    def enhanced(self, frame: Frame, ticks: int | None = None, options: Iterable[tuple[int, bytes]] = ()) -> bytes:
        """`ticks` of the interface's resolution; without it microseconds."""
        ticks = frame.time_ns // 1000 if ticks is None else ticks
        head = self.pack("5I", frame.interface, ticks >> 32, ticks & 0xFFFFFFFF, len(frame.octets), frame.on_wire)
        return self.block(6, head + padded(frame.octets) + self.options(options))

    def obsolete(self, frame: Frame) -> bytes:
        ticks = frame.time_ns // 1000
        head = self.pack(
            "2H4I", frame.interface, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, len(frame.octets), frame.on_wire
        )
        return self.block(2, head + padded(frame.octets))

    def simple(self, frame: Frame) -> bytes:
        return self.block(3, self.pack("I", frame.on_wire) + frame.octets)

    def secrets(self, octets: bytes, kind: int = 0x544C534B) -> bytes:
        return self.block(10, self.pack("2I", kind, len(octets)) + octets)


def pcapng(
    frames: Iterable[Frame], *, linktype: int = ETHERNET, order: str = "<", form: str = "enhanced",
    resolution: int | None = None,
) -> bytes:  # fmt: skip
    """One section with one interface; `resolution` a power of ten."""
    blocks = Blocks(order)
    parts = [blocks.section(), blocks.interface(linktype, "eth0", resolution=resolution)]
    for frame in frames:
        if form == "enhanced":
            parts.append(blocks.enhanced(frame, frame.time_ns * 10 ** (resolution or 6) // SECOND_NS))
        else:
            parts.append(blocks.obsolete(frame) if form == "obsolete" else blocks.simple(frame))
    return b"".join(parts)


# --- reading ---------------------------------------------------------------------------------------------------------


def portions(reader: _native.CaptureReader, octets: bytes, step: int = 1 << 30) -> Iterator[None]:
    """Give it the octets of a file, up to `step` at a time; a consumer takes packets at each step."""
    at = 0
    while at < len(octets):
        space = reader.space()
        count = min(len(space), step, len(octets) - at)
        space[:count] = octets[at : at + count]
        space.release()
        reader.filled(count)
        at += count
        yield
    reader.finish()
    yield


def feed(reader: _native.CaptureReader, octets: bytes, step: int = 1 << 30) -> list[Packet]:
    """All packets of a file."""
    found = [packet for _ in portions(reader, octets, step) for packet in reader.packets()]
    return [Packet(*packet) for packet in found]


def read(octets: bytes, step: int = 1 << 30) -> tuple[list[Packet], dict[str, Any]]:
    """Packets of a file, and what the reader says of it."""
    reader = _native.CaptureReader()
    packets = feed(reader, octets, step)
    return packets, reader.describe()
