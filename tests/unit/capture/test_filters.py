"""Display filters, tried by Wireshark's own engine."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from support import require_peer

from srtpgw.capture.filters import frames_filter, stream_filter
from srtpgw.capture.report import Address

PHONE, GATEWAY = Address("192.0.2.1", 4000), Address("192.0.2.9", 5004)
PHONE6, GATEWAY6 = Address("2001:db8::1", 4000), Address("2001:db8::9", 5004)
RAW_IP = 101  # link type


def rtp(ssrc: int) -> bytes:
    return struct.pack(">BBHII", 0x80, 0, 7, 160, ssrc) + bytes(160)


def rtcp(ssrc: int) -> bytes:
    return struct.pack(">BBHI", 0x80, 201, 1, ssrc)


def datagram(source: Address, destination: Address, payload: bytes) -> bytes:
    """IP and UDP without checksums."""
    udp = struct.pack(">HHHH", source.port, destination.port, 8 + len(payload), 0) + payload
    if ":" in source.host:
        import ipaddress

        ends = (ipaddress.ip_address(each.host).packed for each in (source, destination))
        return struct.pack(">IHBB", 6 << 28, len(udp), 17, 64) + b"".join(ends) + udp
    ends4 = (bytes(map(int, each.host.split("."))) for each in (source, destination))
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + b"".join(ends4) + udp


FRAMES = [
    datagram(PHONE, GATEWAY, rtp(1)),
    datagram(PHONE, GATEWAY, rtp(0xABCDEF01)),
    datagram(GATEWAY, PHONE, rtp(1)),
    datagram(PHONE6, GATEWAY6, rtp(1)),
    datagram(PHONE, GATEWAY, rtcp(1)),
    datagram(Address("192.0.2.1", 4001), GATEWAY, rtp(1)),
    datagram(PHONE, GATEWAY, rtp(1)),
]


def matching(path: Path, display_filter: str) -> list[int]:
    command = [
        require_peer("tshark"),
        "-n",
        "-r",
        str(path),
        "-Y",
        display_filter,
        "-T",
        "fields",
        "-e",
        "frame.number",
    ]
    return [int(line) for line in subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()]


def test_filters_find_exactly_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "frames.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW_IP)
    records = (struct.pack("<IIII", 1, number, len(each), len(each)) + each for number, each in enumerate(FRAMES))
    path.write_bytes(head + b"".join(records))
    assert matching(path, stream_filter("rtp", PHONE, GATEWAY, 1)) == [1, 7]
    assert matching(path, stream_filter("rtp", PHONE, GATEWAY, 0xABCDEF01)) == [2]
    assert matching(path, stream_filter("rtp", GATEWAY, PHONE, 1)) == [3]
    assert matching(path, stream_filter("rtp", PHONE6, GATEWAY6, 1)) == [4]
    assert matching(path, stream_filter("rtcp", PHONE, GATEWAY, 1)) == [5]
    assert matching(path, frames_filter([2, 5])) == [2, 5]
    assert matching(path, frames_filter([6])) == [6]
