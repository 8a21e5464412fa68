"""The head of what is written, block by block, and packets read back."""

from __future__ import annotations

import struct

import pytest

from srtpgw import _native
from srtpgw.capture import pcapng

FOUR = (bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
SIX = (bytes(range(16)), bytes(range(16, 32)))


def options_of(block: bytes, fixed: int) -> dict[int, bytes]:
    """Of a block whose body has `fixed` octets before them. Checks lengths and the end."""
    length = int.from_bytes(block[4:8], "little" if struct.pack("=H", 1)[0] else "big")
    assert length == len(block)
    assert block[-4:] == block[4:8]
    at, found = 8 + fixed, {}
    while (head := struct.unpack_from("=2H", block, at))[0]:
        found[head[0]] = block[at + 4 : at + 4 + head[1]]
        at += 4 + (head[1] + 3) // 4 * 4
    assert at == len(block) - 8
    return found


def test_the_section_names_no_host() -> None:
    block = pcapng.section("sensitive")
    assert struct.unpack_from("=I", block)[0] == 0x0A0D0D0A
    assert struct.unpack_from("=I2HQ", block, 8) == (0x1A2B3C4D, 1, 0, (1 << 64) - 1)
    assert options_of(block, 16) == {1: b"sensitive", 4: b"srtpgw"}


def test_an_interface_is_raw_ip_in_nanoseconds() -> None:
    block = pcapng.interface("extension 7", "a leg")
    assert struct.unpack_from("=I", block)[0] == 1
    assert struct.unpack_from("=2HI", block, 8) == (101, 0, 0)
    assert options_of(block, 8) == {2: b"extension 7", 3: b"a leg", 9: b"\x09"}
    assert options_of(pcapng.interface(""), 8) == {9: b"\x09"}


def test_long_and_broken_names_are_taken() -> None:
    assert options_of(pcapng.interface("x" * 1000), 8)[2] == b"x" * 256
    assert options_of(pcapng.interface("\udcff"), 8)[2] == b"?"


@pytest.mark.parametrize(("family", "hosts"), [(4, FOUR), (6, SIX)])
def test_packets_come_back(family: int, hosts: tuple[bytes, bytes]) -> None:
    writer = _native.BlockWriter()
    sent = [bytes([length] * length) for length in range(9)]
    for number, payload in enumerate(sent):
        comment = b"why" if number % 2 else None
        writer.put(number, 1 << 60 | number, (family, hosts[0], 5004), (family, hosts[1], 65535), payload, comment)
    found = list(pcapng.datagrams(writer.take()))
    assert found == [
        (number, 1 << 60 | number, hosts[0], 5004, hosts[1], 65535, payload) for number, payload in enumerate(sent)
    ]


def test_other_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="our own"):
        list(pcapng.datagrams(pcapng.interface("eth0") + bytes(64)))
