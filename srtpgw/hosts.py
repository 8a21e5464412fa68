"""Numeric addresses and host names, as text: which are good for what. Names are never resolved here."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

MIN_PORT = 1
MAX_PORT = 65535
HOST_NAME_MAX = 253  # characters (RFC 1035, section 2.3.4, as text)

_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # RFC 1123, section 2.1


def parse_host(text: str, version: int = 0) -> str:
    """The canonical form of a numeric address; ``version`` 4 or 6 insists on that family.

    An IPv4 address in IPv6 clothing (``::ffff:192.0.2.1``) is refused: a socket of either family would take it for
    the other's. Raises ValueError with a reason that does not repeat the text.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("is not a numeric IP address (names are not resolved)") from None
    if version and address.version != version:
        raise ValueError("has an IPv6 address without brackets" if version == 4 else "has an IPv4 address in brackets")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError("is an IPv4-mapped IPv6 address: write the IPv4 address")
    return str(address)


def host_fault(host: str, *, wildcard: bool = False) -> str:
    """Why nothing can be sent to, or (with ``wildcard``) received at, this host; empty when it can."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "is not a numeric IP address"
    if address.is_multicast:
        return "is a multicast address"
    if address.is_unspecified and not wildcard:
        return "is the unspecified address"
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local and not address.scope_id:
        return "is a link-local address without its interface: write [fe80::1%eth0]:PORT"
    if str(address) == "255.255.255.255":
        return "is the broadcast address"
    return ""


def parse_host_name(text: str) -> str:
    """A host name, in lower case (RFC 1123, section 2.1). ValueError as for ``parse_host``."""
    labels = text[: HOST_NAME_MAX + 1].split(".")
    if len(text) > HOST_NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError("is neither a numeric IP address nor a host name")
    return text.lower()
