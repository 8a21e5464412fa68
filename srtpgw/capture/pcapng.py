"""The pcapng that is written: its head, and its packets read back (draft-ietf-opsawg-pcapng).

Packet blocks come from ``_native.BlockWriter``. All is in this machine's byte order, as the format allows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
PACKET: Final = 6
BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
LINK_TYPE: Final = 101  # raw IP: the header's first four bits tell its version
NANOSECONDS: Final = 9
UNKNOWN_LENGTH: Final = (1 << 64) - 1  # of the section: it is written before its end is known

COMMENT: Final = 1
APPLICATION: Final = 4
NAME: Final = 2
DESCRIPTION: Final = 3
TIME_RESOLUTION: Final = 9
TEXT_MAX: Final = 256  # octets of a name that is taken over

_HEAD = struct.Struct("=2I")
_PACKET = struct.Struct("=7I")


def section(comment: str) -> bytes:
    """Section header: says that srtpgw wrote it, and nothing of the host."""
    body = struct.pack("=I2HQ", BYTE_ORDER_MAGIC, 1, 0, UNKNOWN_LENGTH)
    return _block(SECTION, body + _option(COMMENT, comment) + _option(APPLICATION, "srtpgw") + _end())


def interface(name: str, description: str = "") -> bytes:
    """Interface description: raw IP, nanoseconds, packets of any length."""
    body = struct.pack("=2HI", LINK_TYPE, 0, 0)
    texts = [_option(code, text) for code, text in ((NAME, name), (DESCRIPTION, description)) if text]
    return _block(INTERFACE, body + b"".join(texts) + _option(TIME_RESOLUTION, bytes([NANOSECONDS])) + _end())


class Datagram(NamedTuple):
    """A packet read back. Addresses are their octets."""

    interface: int
    time_ns: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    payload: bytes


def datagrams(blocks: bytes) -> Iterator[Datagram]:
    """What whole blocks hold that ``_native.BlockWriter`` made; nothing else is to be read with this."""
    at = 0
    while at < len(blocks):
        kind, length, number, high, low, captured, _ = _PACKET.unpack_from(blocks, at)
        if kind != PACKET:
            raise ValueError("not a packet block of our own")
        begin = at + _PACKET.size
        addresses, width = (begin + 12, 4) if blocks[begin] >> 4 == 4 else (begin + 8, 16)
        udp = addresses + 2 * width
        yield Datagram(
            number,
            high << 32 | low,
            blocks[addresses : addresses + width],
            blocks[udp] << 8 | blocks[udp + 1],
            blocks[addresses + width : udp],
            blocks[udp + 2] << 8 | blocks[udp + 3],
            blocks[udp + 8 : begin + captured],
        )
        at += length


def _block(kind: int, body: bytes) -> bytes:
    length = _HEAD.size + len(body) + 4
    return _HEAD.pack(kind, length) + body + struct.pack("=I", length)


def _option(code: int, value: str | bytes) -> bytes:
    octets = value.encode("utf-8", "replace")[:TEXT_MAX] if isinstance(value, str) else value
    return struct.pack("=2H", code, len(octets)) + octets + bytes(-len(octets) % 4)


def _end() -> bytes:
    """Of the options."""
    return bytes(4)
