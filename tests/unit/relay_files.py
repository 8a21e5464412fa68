"""Relay files for tests: a good one to start from, and keys that differ by number."""

from __future__ import annotations

import base64
import hashlib
import socket
from pathlib import Path

from srtpgw.srtp import SUITES, MasterKey

SUITE = "AES_CM_128_HMAC_SHA1_80"


def octets(number: int, suite: str = SUITE) -> bytes:
    """Key and salt of the ``number``-th test key."""
    sizes = SUITES[suite]
    return hashlib.shake_128(b"%d" % number).digest(sizes.key_length + sizes.salt_length)


def key(number: int, suite: str = SUITE) -> MasterKey:
    return MasterKey(octets(number, suite))


def key_text(number: int, suite: str = SUITE) -> str:
    return "inline:" + base64.b64encode(octets(number, suite)).decode()


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def free_ports(count: int) -> list[int]:
    """Even ports of 127.0.0.1 that are free, with the port above each, just now."""
    ports: list[int] = []
    sockets: list[socket.socket] = []
    while len(ports) < count:
        pair = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sockets += pair
        pair[0].bind(("127.0.0.1", 0))
        port = pair[0].getsockname()[1]
        if port % 2:
            continue
        try:
            pair[1].bind(("127.0.0.1", port + 1))
        except OSError:
            continue
        ports.append(port)
    for each in sockets:
        each.close()
    return ports


def session(
    name: str = "phone-to-trunk",
    *,
    local: tuple[int, int] = (20000, 20002),
    remote: tuple[int, int] = (30000, 30002),
    keys: tuple[int, int] = (1, 2),
    encrypted: str = "",
    plain: str = "",
) -> str:
    """An SRTP leg and a plain one; ``encrypted`` and ``plain`` are lines more for each."""
    return f"""
[[session]]
name = "{name}"

[[session.leg]]
type = "extension"
local = "127.0.0.1:{local[0]}"
remote = "127.0.0.1:{remote[0]}"
suite = "{SUITE}"
receive-key = "{key_text(keys[0])}"
transmit-key = "{key_text(keys[1])}"
{encrypted}

[[session.leg]]
type = "route"
local = "127.0.0.1:{local[1]}"
remote = "127.0.0.1:{remote[1]}"
{plain}
"""


HEAD = """
[media-encryption]
extension = "on"
route = "off"
"""

GOOD = HEAD + session()
