"""A capture file of TLS connections, packet by packet: raw IP, IPv4, TCP, nanoseconds since 1970."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from unit.capture.tls_sessions import Wire

RAW_IP, NANOSECOND_MAGIC = 101, 0xA1B23C4D
START, STEP = 1_700_000_000, 1_000_000  # seconds, nanoseconds between packets
SYN, PSH_ACK, SYN_ACK = 0x02, 0x18, 0x12
SEGMENT = 1400  # octets
HOSTS = {True: bytes([192, 0, 2, 1]), False: bytes([192, 0, 2, 2])}  # by from_client


def segments_of(wire: Wire, ports: tuple[int, int]) -> Iterable[bytes]:
    """IP packets of one connection, its opening first."""
    sequence = {True: 1000, False: 5_000_000}
    yield _packet(True, ports, sequence, SYN, b"")
    sequence[True] += 1
    yield _packet(False, ports, sequence, SYN_ACK, b"")
    sequence[False] += 1
    for from_client, octets in wire:
        for at in range(0, len(octets), SEGMENT):
            piece = octets[at : at + SEGMENT]
            yield _packet(from_client, ports, sequence, PSH_ACK, piece)
            sequence[from_client] += len(piece)


def _packet(from_client: bool, ports: tuple[int, int], sequence: dict[bool, int], flags: int, data: bytes) -> bytes:
    source, destination = ports if from_client else ports[::-1]
    numbers = sequence[from_client], sequence[not from_client]
    tcp = struct.pack("!HHIIBBHHH", source, destination, *numbers, 5 << 4, flags, 65535, 0, 0) + data
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)
    return ip + HOSTS[from_client] + HOSTS[not from_client] + tcp


def write_capture(path: Path, packets: Iterable[bytes]) -> None:
    parts = [struct.pack("<IHHiIII", NANOSECOND_MAGIC, 2, 4, 0, 0, 65535, RAW_IP)]
    for number, packet in enumerate(packets):
        parts += [struct.pack("<IIII", START, number * STEP, len(packet), len(packet)), packet]
    path.write_bytes(b"".join(parts))
