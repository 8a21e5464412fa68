"""A minimal client of the ng protocol, by which rtpengine and what is compatible with it are controlled.

One UDP datagram each way: a cookie, a blank, a bencoded dictionary. The cookie names the request: a repeated one is
answered again, not carried out again, so that retransmission is safe. Only what a load test needs is here.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping
from typing import Final

from srtpgw.address import Address
from srtpgw.loadtest.faults import TargetError

Value = int | str | list["Value"] | dict[str, "Value"]

REPLY_MAX = 65535  # octets of a datagram
DEPTH_MAX = 16  # of nested lists and dictionaries
DIGITS_MAX = 20
TRIES = 5
TRY_SECONDS = 1.0
REASON_MAX = 200  # characters of a reason that a message repeats


class NgRefused(TargetError):
    """The far side is there, and says no."""


class BencodeError(ValueError):
    """Octets that are not one bencoded value."""


def encode(value: Value) -> bytes:
    """Text as UTF-8. Dictionaries in their own order: receivers of ng take any."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        octets = value.encode("utf-8")
        return b"%d:%b" % (len(octets), octets)
    if isinstance(value, list):
        return b"l%be" % b"".join(map(encode, value))
    return b"d%be" % b"".join(encode(name) + encode(item) for name, item in value.items())


def decode(octets: bytes) -> Value:
    """BencodeError where it is not exactly one value, nests too deep or has keys that are no text."""
    value, end = _decode(octets, 0, 0)
    if end != len(octets):
        raise BencodeError("something stands behind the value")
    return value


def _decode(octets: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > DEPTH_MAX:
        raise BencodeError("nests too deep")
    kind = octets[at : at + 1]
    if kind == b"i":
        return _number(octets, at + 1, b"e", signed=True)
    if kind.isdigit():
        length, start = _number(octets, at, b":")
        if start + length > len(octets):
            raise BencodeError("a text is cut short")
        return octets[start : start + length].decode("utf-8", "replace"), start + length
    if kind == b"l":
        return _items(octets, at + 1, depth)
    if kind == b"d":
        items, end = _items(octets, at + 1, depth)
        names, values = items[::2], items[1::2]
        if len(names) != len(values) or not all(isinstance(name, str) for name in names):
            raise BencodeError("a dictionary is not made of pairs of text and value")
        return {str(name): value for name, value in zip(names, values, strict=True)}, end
    raise BencodeError("a value is missing")


def _items(octets: bytes, at: int, depth: int) -> tuple[list[Value], int]:
    items = []
    while octets[at : at + 1] != b"e":
        item, at = _decode(octets, at, depth + 1)
        items.append(item)
    return items, at + 1


def _number(octets: bytes, at: int, mark: bytes, signed: bool = False) -> tuple[int, int]:
    end = octets.find(mark, at, at + DIGITS_MAX + 2)
    digits = octets[at:end] if end >= 0 else b""
    if not (digits.removeprefix(b"-") if signed else digits).isdigit():
        raise BencodeError("a number is not one")
    return int(digits), end + 1


class NgClient:
    """Requests one after the other. TargetError names what the far side says against one, or that it says nothing."""

    def __init__(self, address: Address, *, tries: int = TRIES, seconds: float = TRY_SECONDS) -> None:
        self.address = address
        self._tries = tries
        self._seconds = seconds
        self._prefix: Final = f"{os.getpid()}_{secrets.token_hex(4)}"
        self._count = 0
        self._socket = socket.socket(socket.AF_INET6 if address.family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.connect((address.host, address.port))
        except OSError as error:
            self._socket.close()
            raise TargetError(f"ng at {address} cannot be reached: {error.strerror}") from None

    def close(self) -> None:
        """The socket goes; calls stay."""
        self._socket.close()

    def request(self, command: str, fields: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """The reply to a command, its ``result`` being ``ok`` or ``pong``."""
        self._count += 1
        cookie = f"{self._prefix}_{self._count} ".encode("ascii")
        wire = cookie + encode({**(fields or {}), "command": command})
        for _ in range(self._tries):
            reply = self._exchange(wire, cookie)
            if reply is not None:
                return self._judge(command, reply)
        waited = self._tries * self._seconds
        raise TargetError(f"ng at {self.address} does not answer {command} within {waited:g} s: is rtpengine there?")

    def _exchange(self, wire: bytes, cookie: bytes) -> bytes | None:
        """Send once, and wait for the reply with this cookie; others are late ones."""
        until = time.monotonic() + self._seconds
        try:
            self._socket.send(wire)
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                octets = self._socket.recv(REPLY_MAX)
                if octets.startswith(cookie):
                    return octets[len(cookie) :]
        except TimeoutError:
            pass
        except ConnectionRefusedError:
            time.sleep(max(0.0, until - time.monotonic()))  # it may be starting
        except OSError as error:
            raise TargetError(f"ng at {self.address} cannot be reached: {error.strerror}") from None
        return None

    def _judge(self, command: str, octets: bytes) -> dict[str, Value]:
        try:
            reply = decode(octets)
        except BencodeError as error:
            raise TargetError(f"ng at {self.address} answers {command} with something else than ng: {error}") from None
        if not isinstance(reply, dict) or reply.get("result") not in {"ok", "pong"}:
            reason = reply.get("error-reason", reply.get("message")) if isinstance(reply, dict) else None
            told = str(reason or "no reason given")[:REASON_MAX]
            raise NgRefused(f"ng at {self.address} refuses {command}: {told}")
        return reply
