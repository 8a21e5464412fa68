"""One UDP socket on asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

UdpAddress = tuple[str, int]  # host and port; what IPv6 adds to it (flow, scope) is left out

RECEIVE_BUFFER = 1 << 20  # octets asked for; the system grants what it allows


class UdpSocket(asyncio.DatagramProtocol):
    """Receives for a callback and sends to anyone. Made by :meth:`open`."""

    def __init__(self, receive: Callable[[bytes, UdpAddress], None]) -> None:
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None
        self.refusals = 0  # times that the far end's system answered with an ICMP error

    @classmethod
    async def open(cls, local: UdpAddress, receive: Callable[[bytes, UdpAddress], None]) -> UdpSocket:
        """Bind; port 0 lets the system choose. Raises OSError, naming the address, when it cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.create_datagram_endpoint(lambda: cls(receive), local_addr=local)
        except OSError as error:
            raise OSError(error.errno, f"UDP {local[0]} port {local[1]}: {error.strerror}") from None
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return protocol

    @property
    def address(self) -> UdpAddress:
        """Where the socket is bound."""
        assert self._transport is not None
        name = self._transport.get_extra_info("sockname")
        return name[0], name[1]

    def send(self, datagram: bytes, to: UdpAddress) -> None:
        """Hand a datagram to the system."""
        assert self._transport is not None
        self._transport.sendto(datagram, to)

    def close(self) -> None:
        """Release the port. May be called twice."""
        if self._transport is not None:
            self._transport.close()

    # --- what asyncio calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._receive(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        self.refusals += 1
