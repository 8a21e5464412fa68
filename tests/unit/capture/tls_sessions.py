"""Real TLS and DTLS sessions between two ends of OpenSSL in memory, with every octet on the wire and their key log.

The ends are pyOpenSSL's, since these let a test choose suites of TLS 1.3, resume, renegotiate and export keys.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

TLS12, TLS13 = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION
ROUNDS_MAX = 100  # flights of one exchange

Result = TypeVar("Result")
Wire = list[tuple[bool, bytes]]  # (from client, octets)


def certificate_of(key: CertificateIssuerPrivateKeyTypes) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    return builder.sign(key, hashes.SHA256())


@functools.cache
def identity(kind: str) -> tuple[x509.Certificate, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey]:
    """A self-signed certificate with its key: "rsa" or "ecdsa"."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    return certificate_of(key), key


@dataclass
class Ends:
    """Contexts of a client and a server; both write to one key log."""

    client: SSL.Context
    server: SSL.Context
    keylog: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, method: int = SSL.TLS_METHOD, key: str = "rsa") -> Ends:
        ends = cls(SSL.Context(method), SSL.Context(method))
        certificate, private = identity(key)
        ends.server.use_certificate(certificate)
        ends.server.use_privatekey(private)
        ends.server.set_session_id(b"test")
        for context in (ends.client, ends.server):
            context.set_keylog_callback(lambda _, line: ends.keylog.append(line + b"\n"))
        return ends

    @classmethod
    def tls(cls, version: int, suite: str | None = None, key: str = "rsa") -> Ends:
        ends = cls.of(key=key)
        for context in (ends.client, ends.server):
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
            context.set_cipher_list(
                b":".join([suite.encode() if suite and version == TLS12 else b"ALL", b"@SECLEVEL=0"])
            )
            if suite is not None and version == TLS13:
                context.set_tls13_ciphersuites(suite.encode())
        return ends

    @classmethod
    def dtls(cls, version: int, suite: str, profiles: str, key: str = "ecdsa") -> Ends:
        ends = cls.of(SSL.DTLS_METHOD, key)
        for context in (ends.client, ends.server):
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
            context.set_cipher_list(suite.encode() + b":@SECLEVEL=0")
            context.set_tlsext_use_srtp(profiles.encode())
        return ends

    @property
    def log(self) -> bytes:
        return b"".join(self.keylog)

    def ask_client(self) -> None:
        """Have the server ask for the client's certificate, and the client present one."""
        certificate, private = identity("ecdsa")
        self.client.use_certificate(certificate)
        self.client.use_privatekey(private)
        self.server.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)

    def connect(self, session: SSL.Session | None = None) -> Connection:
        client, server = SSL.Connection(self.client, None), SSL.Connection(self.server, None)
        client.set_connect_state()
        server.set_accept_state()
        if session is not None:
            client.set_session(session)
        return Connection({True: client, False: server})


@dataclass
class Connection:
    ends: dict[bool, SSL.Connection]
    wire: Wire = field(default_factory=list)
    sent: Wire = field(default_factory=list)

    def handshake(self) -> None:
        def try_both() -> None:
            for end in self.ends.values():
                _unless_waiting(end.do_handshake)

        self._exchange(try_both)

    def send(self, from_client: bool, data: bytes) -> None:
        self.sent.append((from_client, data))
        self.ends[from_client].sendall(data)
        received = bytearray()

        def receive() -> None:
            while part := _unless_waiting(lambda: self.ends[not from_client].recv(65536)):
                received.extend(part)

        self._exchange(receive)
        assert received == data

    def talk(self) -> None:
        """A handshake, then data both ways of the lengths that matter to records."""
        self.handshake()
        for length in (1, 2, 400, 16384, 40000):
            self.send(True, random.Random(length).randbytes(length))
            self.send(False, random.Random(-length).randbytes(length))

    def close(self) -> None:
        for end in self.ends.values():
            end.shutdown()
        self._exchange(self._hear)

    def renegotiate(self) -> None:
        """By the server: it asks, the client says hello again within the session."""
        self.ends[False].renegotiate()
        self._exchange(self._hear)
        self.handshake()

    def _hear(self) -> None:
        """Both ends take what came, where it is no data."""
        for end in self.ends.values():
            if data := _unless_waiting(functools.partial(end.recv, 1)):
                raise AssertionError(f"{len(data)} octets that nobody waited for")

    def _exchange(self, work: Callable[[], object]) -> None:
        """Work at both ends and carry what they say across, until neither says anything more."""
        for _ in range(ROUNDS_MAX):
            work()
            flights = [(side, flight) for side, end in self.ends.items() if (flight := _pending(end))]
            for from_client, octets in flights:
                self.wire.append((from_client, octets))
                self.ends[not from_client].bio_write(octets)
            if not flights:
                return
        raise AssertionError("the two ends never finish")


def _unless_waiting(call: Callable[[], Result]) -> Result | None:
    try:
        return call()
    except (SSL.WantReadError, SSL.ZeroReturnError):
        return None


def _pending(end: SSL.Connection) -> bytes:
    parts = []
    while part := _unless_waiting(lambda: end.bio_read(1 << 20)):
        parts.append(part)
    return b"".join(parts)


def segments(wire: Wire, seed: int, longest: int = 1460) -> Iterator[tuple[bool, bytes]]:
    """The same octets in pieces of any length."""
    rng = random.Random(seed)
    for from_client, octets in wire:
        at = 0
        while at < len(octets):
            length = rng.randint(1, longest)
            yield from_client, octets[at : at + length]
            at += length


def joined(pieces: Iterable[tuple[bool, bytes]]) -> dict[bool, bytes]:
    """What each direction says as a whole."""
    whole = {True: bytearray(), False: bytearray()}
    for from_client, octets in pieces:
        whole[from_client] += octets
    return {from_client: bytes(octets) for from_client, octets in whole.items()}
