"""TLS connections read from their octets and a key log: what comes out is what the ends said."""

from __future__ import annotations

import base64
import itertools
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from unit.capture.tls_sessions import TLS12, TLS13, Connection, Ends, Wire, joined, segments

from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.tls import TlsReader
from srtpgw.capture.tls_wire import RETRY_RANDOM

SUITES_13 = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
]

# The 2048-bit group of RFC 3526, section 3.
MODP_2048 = (
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD"
    "3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F"
    "24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552"
    "BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF0"
    "6F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF"
)


def dh_parameters() -> str:
    """PKCS #3 in PEM: SEQUENCE { INTEGER prime, INTEGER 2 }."""
    der = bytes.fromhex("308201080282010100" + MODP_2048 + "020102")
    return f"-----BEGIN DH PARAMETERS-----\n{base64.encodebytes(der).decode()}-----END DH PARAMETERS-----\n"


def offered_12() -> list[str]:
    """OpenSSL's names of the AEAD suites of TLS 1.2 that it offers and that certificates serve."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_cipher_list(b"ALL:!PSK:!aDSS:@SECLEVEL=0")
    names = SSL.Connection(context, None).get_cipher_list()
    return [name for name in names if re.search("GCM|CCM|CHACHA", name) and not name.startswith("TLS_")]


def reader_for(ends: Ends) -> TlsReader:
    keylog = KeyLog()
    keylog.add(ends.log)
    return TlsReader(keylog)


def read(reader: TlsReader, wire: Wire, seed: int = 1) -> Wire:
    return [piece for part in segments(wire, seed) for piece in reader.feed(*part)]


def alternations(pieces: Wire) -> list[bool]:
    return [from_client for from_client, _ in itertools.groupby(pieces, key=lambda piece: piece[0])]


def check(connection: Connection, ends: Ends, seed: int = 1) -> TlsReader:
    reader = reader_for(ends)
    found = read(reader, connection.wire, seed)
    assert reader.fault is None
    assert joined(found) == joined(connection.sent)
    assert alternations(found) == alternations(connection.sent)
    return reader


@pytest.fixture
def dh_file(tmp_path: Path) -> str:
    path = tmp_path / "dh.pem"
    path.write_text(dh_parameters())
    return str(path)


def test_openssl_offers_what_is_tested() -> None:
    assert len(offered_12()) >= 20
    assert {"ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-CHACHA20-POLY1305", "AES256-CCM8"} <= set(offered_12())


@pytest.mark.parametrize("suite", [name for name in offered_12() if "ARIA" not in name])
def test_every_suite_of_tls_12(suite: str, dh_file: str) -> None:
    ends = Ends.tls(TLS12, suite, key="ecdsa" if "ECDSA" in suite else "rsa")
    ends.server.load_tmp_dh(dh_file)
    connection = ends.connect()
    connection.talk()
    reader = check(connection, ends)
    assert (reader.version, reader.state) == ("TLS 1.2", "open")
    assert reader.suite is not None
    assert reader.suite.startswith("TLS_")
    connection.close()
    assert check(connection, ends, seed=2).state == "closed"


@pytest.mark.parametrize("suite", SUITES_13)
def test_every_suite_of_tls_13(suite: str) -> None:
    ends = Ends.tls(TLS13, suite)
    connection = ends.connect()
    connection.talk()
    reader = check(connection, ends)
    assert (reader.version, reader.suite, reader.state) == ("TLS 1.3", suite, "open")
    assert reader.client_random == connection.ends[True].client_random()
    connection.close()
    assert check(connection, ends, seed=2).state == "closed"


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("seed", range(5))
def test_any_segments(version: int, seed: int) -> None:
    ends = Ends.tls(version)
    connection = ends.connect()
    connection.talk()
    reader = reader_for(ends)
    found = [piece for part in segments(connection.wire, seed, longest=7) for piece in reader.feed(*part)]
    assert joined(found) == joined(connection.sent)


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("suite", ["tickets", "identifiers"])
def test_resumed_sessions(version: int, suite: str) -> None:
    ends = Ends.tls(version)
    if suite == "identifiers":
        ends.server.set_options(SSL.OP_NO_TICKET)
        ends.server.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    first = ends.connect()
    first.talk()
    session = first.ends[True].get_session()
    assert session is not None
    second = ends.connect(session)
    second.talk()
    handshake = sum(len(octets) for _, octets in first.wire) - sum(len(octets) for _, octets in second.wire)
    assert handshake > 500  # no certificate was sent
    assert check(second, ends).client_random != check(first, ends).client_random


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_client_with_a_certificate(version: int) -> None:
    ends = Ends.tls(version)
    ends.ask_client()
    connection = ends.connect()
    connection.talk()
    assert connection.ends[False].get_peer_certificate() is not None
    check(connection, ends)


def test_a_retried_hello() -> None:
    ends = Ends.tls(TLS13)
    ends.server.set_tmp_ecdh(ec.SECP521R1())
    connection = ends.connect()
    connection.talk()
    said, client_random = joined(connection.wire), connection.ends[True].client_random()
    assert client_random is not None
    assert said[True].count(client_random) == 2
    assert RETRY_RANDOM in said[False]
    check(connection, ends)


def test_renegotiation_of_tls_12() -> None:
    ends = Ends.tls(TLS12)
    connection = ends.connect()
    connection.talk()
    first = connection.ends[True].client_random()
    connection.renegotiate()
    connection.send(True, b"behind")
    connection.send(False, b"and back")
    assert connection.ends[True].client_random() != first
    assert check(connection, ends).client_random == connection.ends[True].client_random()
