"""Transport addresses of media: an IP address and a UDP port. Names are never resolved."""

from __future__ import annotations

from typing import NamedTuple

from srtpgw.hosts import MAX_PORT, MIN_PORT, host_fault, parse_host

__all__ = ["ADDRESS_TEXT_MAX", "MAX_PORT", "MIN_PORT", "Address", "host_fault", "is_wildcard", "parse_host"]

ADDRESS_TEXT_MAX = 80  # characters: the longest IPv6 address with a zone, brackets, colon and port


class Address(NamedTuple):
    """A host (in its canonical text form) and a port. Ordered and compared as a pair."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``127.0.0.1:20000`` or ``[::1]:20000``; an IPv6 host may carry a zone, ``[fe80::1%eth0]:20000``.

        Raises ValueError with a reason that does not repeat the text.
        """
        if len(text) > ADDRESS_TEXT_MAX:
            raise ValueError(f"is longer than {ADDRESS_TEXT_MAX} characters")
        if text.startswith("["):
            host, bracket, port = text[1:].rpartition("]:")
            version = 6
        else:
            host, bracket, port = text.rpartition(":")
            version = 4
        if not bracket:
            raise ValueError("is not ADDRESS:PORT or [IPV6]:PORT")
        return cls(parse_host(host, version), _port(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4

    @property
    def next_port(self) -> Address:
        """The same host with the port above: where RTCP goes when nothing else is said (RFC 3550, section 11)."""
        return Address(self.host, self.port + 1)


def is_wildcard(host: str) -> bool:
    """Whether the host stands for every local address of its family."""
    return host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        raise ValueError("has a port that is not a number")
    port = int(text)
    if not MIN_PORT <= port <= MAX_PORT:
        raise ValueError(f"has a port outside {MIN_PORT} to {MAX_PORT}")
    return port
