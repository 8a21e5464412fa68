"""Captures that a program is to play."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from srtpgw.srtp import Sender

FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
ADDRESS = b"\x7f\0\0\1"
SSRC = 0x11223344
PCMA = 8
STEP_US = 20_000


def rtp_pcap(path: Path, payloads: Sequence[bytes], sender: Sender | None = None, *, ssrc: int = SSRC) -> None:
    """One stream of 20 ms packets from sequence number 1 on; under SRTP where there is a sender."""
    records = [FILE_HEADER]
    for number, payload in enumerate(payloads):
        packet = struct.pack("!BBHII", 0x80, PCMA, number + 1, number * 160, ssrc) + payload
        packet = sender.protect(packet) if sender else packet
        udp = struct.pack("!HHHH", 7200, 7202, 8 + len(packet), 0) + packet
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0, ADDRESS, ADDRESS)
        frame = bytes(12) + b"\x08\0" + ip + udp
        seconds, rest = divmod(number * STEP_US, 1_000_000)
        records.append(struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(records))
