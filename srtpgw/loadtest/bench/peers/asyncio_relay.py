"""A plain relay in Python, run as a program: python asyncio_relay.py FILE.

It does the least that relays a call: a socket per leg for RTP and one for RTCP, unprotect, protect, send. No
statistics, no checks of the source address, no care for sequence numbers: more of it would only make it slower.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pylibsrtp import Error, Policy, Session

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
BUFFER = 4 << 20  # octets of each socket's receive buffer: a pause of the interpreter must not lose packets

Address = tuple[str, int]
Transform = Callable[[bytes], bytes]


class Side(asyncio.DatagramProtocol):
    """One socket: what arrives is unprotected, protected for the other leg and sent from there."""

    def __init__(self, unprotect: Transform, protect: Transform, to: Address) -> None:
        self.unprotect, self.protect, self.to = unprotect, protect, to
        self.out: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        del addr
        assert self.out is not None
        with suppress(Error):
            self.out.sendto(self.protect(self.unprotect(data)), self.to)


def unchanged(data: bytes) -> bytes:
    return data


def transforms(leg: dict[str, Any], key: str, inbound: bool) -> tuple[Transform, Transform]:
    """Of RTP and RTCP, one way of one leg."""
    if key not in leg:
        return unchanged, unchanged
    kind = Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND
    octets = base64.b64decode(leg[key].removeprefix("inline:").partition("|")[0])
    session = Session(Policy(key=octets, ssrc_type=kind, srtp_profile=PROFILES[leg["suite"]]))
    return (session.unprotect, session.unprotect_rtcp) if inbound else (session.protect, session.protect_rtcp)


def address(text: str, above: int = 0) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port) + above


async def open_side(local: Address, side: Side) -> asyncio.DatagramTransport:
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    handle = socket.socket(family, socket.SOCK_DGRAM)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    handle.bind(local)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: side, sock=handle)
    return transport


async def open_session(legs: list[dict[str, Any]]) -> None:
    """Both ways of RTP and RTCP between two legs."""
    for above in (0, 1):
        sides = [
            Side(
                transforms(here, "receive-key", inbound=True)[above],
                transforms(there, "transmit-key", inbound=False)[above],
                address(there["remote"], above),
            )
            for here, there in (legs, legs[::-1])
        ]
        opened = [await open_side(address(leg["local"], above), side) for leg, side in zip(legs, sides, strict=True)]
        sides[0].out, sides[1].out = opened[1], opened[0]


async def main(text: str) -> None:
    for session in tomllib.loads(text)["session"]:
        await open_session(session["leg"])
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_text(encoding="utf-8")))
