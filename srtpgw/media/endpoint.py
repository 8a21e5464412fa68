"""Addresses as the native module takes them: (family, packed octets, port, zone index), or () for none."""

from __future__ import annotations

import ipaddress

from srtpgw.media.address import Address

Endpoint = tuple[int, bytes, int, int] | tuple[()]


def endpoint_of(address: Address | None) -> Endpoint:
    """ValueError where the zone of a link-local address is not the number of an interface."""
    if address is None:
        return ()
    host, _, zone = address.host.partition("%")
    if zone and not (zone.isascii() and zone.isdigit()):
        raise ValueError(f"{address}: write the zone as the interface's number")
    packed = ipaddress.ip_address(host)
    return packed.version, packed.packed, address.port, int(zone or 0)


def address_of(endpoint: Endpoint) -> Address | None:
    """The other way; a zone comes back as its index."""
    if not endpoint:
        return None
    _, packed, port, zone = endpoint
    host = str(ipaddress.ip_address(packed))
    return Address(f"{host}%{zone}" if zone else host, port)
