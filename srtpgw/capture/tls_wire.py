"""Octets of TLS and DTLS: a cursor that no length can lead astray, records, hellos (RFC 5246, RFC 6347, RFC 8446)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
RECORD_TYPES = range(CHANGE_CIPHER_SPEC, APPLICATION_DATA + 4)  # 24 heartbeat, 25 connection ID, 26 DTLS 1.3 ACK
RECORD_HEADER = 5  # octets
RECORD_MAX = (1 << 14) + 2048  # octets of a protected record (RFC 5246, section 6.2.3)

HELLO_REQUEST, CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY_REQUEST = 0, 1, 2, 3
FINISHED, KEY_UPDATE = 20, 24

USE_SRTP, EARLY_DATA, SUPPORTED_VERSIONS = 14, 42, 43  # extensions

# The random of a TLS 1.3 server hello that asks for another client hello (RFC 8446, section 4.1.3).
RETRY_RANDOM = hashlib.sha256(b"HelloRetryRequest").digest()

VERSIONS = {
    0x0300: "SSL 3.0",
    0x0301: "TLS 1.0",
    0x0302: "TLS 1.1",
    0x0303: "TLS 1.2",
    0x0304: "TLS 1.3",
    0xFEFF: "DTLS 1.0",
    0xFEFD: "DTLS 1.2",
    0xFEFC: "DTLS 1.3",
}


def version_name(number: int) -> str:
    return VERSIONS.get(number, f"0x{number:04X}")


FaultCode = Literal[
    "no-secret",  # the key log has none for this session
    "suite",  # of a kind that is not read here
    "version",
    "renegotiation",
    "start-missing",  # the capture begins within the session
    "not-authentic",
    "malformed",
    "one-sided",  # what the other side sent is missing
]


class TlsFault(Exception):
    """Why a session cannot be read, in words that hold nothing secret; ``code`` is stable."""

    def __init__(self, code: FaultCode, text: str) -> None:
        self.code = code
        super().__init__(text)


class Cursor:
    """Takes a message apart from front to back. Raises TlsFault where it ends too early."""

    __slots__ = ("_at", "_octets")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._octets)

    def take(self, count: int) -> bytes:
        taken = self._octets[self._at : self._at + count]
        if len(taken) < count:
            raise TlsFault("malformed", "a handshake message is shorter than its parts")
        self._at += count
        return taken

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "big")

    def vector(self, length_octets: int) -> bytes:
        return self.take(self.number(length_octets))


@dataclass(frozen=True, slots=True)
class Record:
    kind: int
    header: bytes
    body: bytes


class RecordBuffer:
    """Octets of one direction, taken as records. Raises TlsFault where they cannot be any."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = bytearray()

    def __len__(self) -> int:
        return len(self._octets)

    def append(self, octets: bytes) -> None:
        self._octets += octets

    def clear(self) -> None:
        self._octets.clear()

    def first(self) -> Record | None:
        """The first record, which stays; None until it is complete."""
        header = bytes(self._octets[:RECORD_HEADER])
        if len(header) < RECORD_HEADER:
            return None
        length = int.from_bytes(header[3:], "big")
        if header[0] not in RECORD_TYPES or header[1] != 3 or length > RECORD_MAX:
            raise TlsFault("malformed", "what follows is not a TLS record: lost octets, or not TLS")
        if len(self._octets) < RECORD_HEADER + length:
            return None
        return Record(header[0], header, bytes(self._octets[RECORD_HEADER : RECORD_HEADER + length]))

    def drop(self, record: Record) -> None:
        del self._octets[: RECORD_HEADER + len(record.body)]


@dataclass(frozen=True, slots=True)
class SrtpOffer:
    """The use_srtp extension (RFC 5764, section 4.1.1): several profiles offered, or the one chosen."""

    profiles: tuple[int, ...]
    mki: bytes = b""


@dataclass(frozen=True, slots=True)
class ClientHello:
    random: bytes
    early_data: bool = False
    srtp: SrtpOffer | None = None


@dataclass(frozen=True, slots=True)
class ServerHello:
    random: bytes
    version: int  # of the session, wherever the message says it
    suite: int
    compression: int
    srtp: SrtpOffer | None = field(default=None)

    @property
    def retry(self) -> bool:
        return self.random == RETRY_RANDOM


def parse_client_hello(body: bytes, *, datagram: bool = False) -> ClientHello:
    """Parse the body of a ClientHello; one of DTLS carries a cookie. Raises TlsFault."""
    cursor = Cursor(body)
    cursor.take(2)  # the version of TLS 1.2; supported_versions has the others
    random = cursor.take(32)
    cursor.vector(1)  # session identifier
    if datagram:
        cursor.vector(1)  # cookie
    cursor.vector(2)  # suites
    cursor.vector(1)  # compression methods
    extensions = parse_extensions(cursor)
    return ClientHello(random, EARLY_DATA in extensions, _srtp(extensions))


def parse_server_hello(body: bytes) -> ServerHello:
    """Parse the body of a ServerHello, of TLS or of DTLS. Raises TlsFault."""
    cursor = Cursor(body)
    version = cursor.number(2)
    random = cursor.take(32)
    cursor.vector(1)  # session identifier
    suite, compression = cursor.number(2), cursor.number(1)
    extensions = parse_extensions(cursor)
    chosen = extensions.get(SUPPORTED_VERSIONS, b"")
    if chosen:
        version = int.from_bytes(chosen, "big") if len(chosen) == 2 else 0
    return ServerHello(random, version, suite, compression, _srtp(extensions))


def parse_extensions(cursor: Cursor) -> dict[int, bytes]:
    """The extensions that end a hello, if there are any: the first of each kind."""
    extensions: dict[int, bytes] = {}
    block = Cursor(cursor.vector(2) if cursor else b"")
    while block:
        kind = block.number(2)
        extensions.setdefault(kind, block.vector(2))
    return extensions


def _srtp(extensions: dict[int, bytes]) -> SrtpOffer | None:
    octets = extensions.get(USE_SRTP)
    if octets is None:
        return None
    cursor = Cursor(octets)
    profiles = Cursor(cursor.vector(2))
    numbers = []
    while profiles:
        numbers.append(profiles.number(2))
    return SrtpOffer(tuple(numbers), cursor.vector(1))
