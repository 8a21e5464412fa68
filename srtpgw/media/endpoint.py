"""Addresses as the native module takes them: (family, packed octets, port, zone index), or () for none."""

from __future__ import annotations

import ipaddress

from srtpgw import _native
from srtpgw.address import Address
from srtpgw.errors import MediaError

Endpoint = tuple[int, bytes, int, int] | tuple[()]


def endpoint_of(address: Address | None) -> Endpoint:
    """MediaError where the zone of a link-local address names no interface of this host."""
    if address is None:
        return ()
    host, _, zone = address.host.partition("%")
    index = 0
    if zone:
        index = int(zone) if zone.isascii() and zone.isdigit() else _native.interface_number(zone)
        if not 0 < index < 1 << 32:
            raise MediaError(f"{address}: this host has no interface {zone}")
    packed = ipaddress.ip_address(host)
    return packed.version, packed.packed, address.port, index


def address_of(endpoint: Endpoint) -> Address | None:
    """The other way; a zone comes back as its index."""
    if not endpoint:
        return None
    _, packed, port, zone = endpoint
    host = str(ipaddress.ip_address(packed))
    return Address(f"{host}%{zone}" if zone else host, port)
