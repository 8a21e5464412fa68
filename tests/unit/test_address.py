"""Addresses as text, and which of them media may use."""

from __future__ import annotations

import pytest

from srtpgw.address import Address, host_fault, parse_host


@pytest.mark.parametrize(
    ("text", "host", "port", "family"),
    [
        ("127.0.0.1:20000", "127.0.0.1", 20000, 4),
        ("[::1]:1", "::1", 1, 6),
        ("[2001:DB8:0:0::1]:65535", "2001:db8::1", 65535, 6),
        ("[fe80::1%eth0]:5004", "fe80::1%eth0", 5004, 6),
    ],
)
def test_an_address_reads_and_writes(text: str, host: str, port: int, family: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.family) == (host, port, family)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:\u0661",
        "127.1:5",
        "::1:5000",
        "[::1]5000",
        "[127.0.0.1]:5000",
        "[::ffff:192.0.2.1]:5000",
        "localhost:5000",
        "0x7f.0.0.1:5000",
        "[::1]:5000" + " " * 100,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) ") as caught:
        Address.parse(text)
    assert not text or text not in str(caught.value)


def test_hosts_that_cannot_take_media() -> None:
    assert host_fault("192.0.2.1") == ""
    assert "multicast" in host_fault("224.0.0.1")
    assert "multicast" in host_fault("ff02::1")
    assert "broadcast" in host_fault("255.255.255.255")
    assert "unspecified" in host_fault("0.0.0.0")  # noqa: S104 - refused, not bound
    assert host_fault("::", wildcard=True) == ""
    assert host_fault("phone") != ""


def test_a_host_may_be_of_either_family() -> None:
    assert parse_host("0:0::1") == "::1"
    with pytest.raises(ValueError, match="brackets"):
        parse_host("::1", 4)
