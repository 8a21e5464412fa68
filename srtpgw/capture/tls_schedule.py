"""From the secrets of a session to the keys of its records, and records opened with them.

TLS 1.2 expands the master secret by its pseudorandom function (RFC 5246, sections 5 and 6.3), TLS 1.3 each traffic
secret by HKDF (RFC 8446, section 7.3). The ciphers are those of `cryptography`::

    GCM and CCM of TLS 1.2      nonce = 4 octets of the key block || 8 octets ahead of each record  (RFC 5288, RFC 6655)
    ChaCha20, and all of 1.3    nonce = 12 octets XOR the record's number             (RFC 7905, RFC 8446, 5.3)
"""

from __future__ import annotations

import hmac
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .tls_suites import TlsSuite
from .tls_wire import Record, TlsFault

NONCE_LENGTH = 12  # octets, of every cipher here
EXPLICIT_LENGTH = 8  # octets of the nonce that a TLS 1.2 record carries
TAG_LENGTH = 16  # octets; 8 of CCM_8

_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {"sha256": hashes.SHA256, "sha384": hashes.SHA384}


class _Aead(Protocol):
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


def prf(hash_name: str, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """P_hash of RFC 5246, section 5."""
    seed = label + seed
    out, chain = b"", seed
    while len(out) < length:
        chain = hmac.digest(secret, chain, hash_name)
        out += hmac.digest(secret, chain + seed, hash_name)
    return out[:length]


def prf_of_10(secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """The pseudorandom function of DTLS 1.0: each half of the secret by a hash of its own (RFC 2246, section 5)."""
    half = (len(secret) + 1) // 2
    md5, sha1 = prf("md5", secret[:half], label, seed, length), prf("sha1", secret[-half:], label, seed, length)
    return (int.from_bytes(md5, "big") ^ int.from_bytes(sha1, "big")).to_bytes(length, "big")


def expand_label(hash_name: str, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446, section 7.1."""
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context)]) + context
    return HKDFExpand(_HASHES[hash_name](), length, info).derive(secret)


def next_secret(suite: TlsSuite, secret: bytes) -> bytes:
    """The traffic secret behind a KeyUpdate (RFC 8446, section 7.2)."""
    return expand_label(suite.hash_name, secret, b"traffic upd", b"", len(secret))


def _aead(suite: TlsSuite, key: bytes) -> _Aead:
    if suite.cipher == "GCM":
        return AESGCM(key)
    if suite.cipher == "CHACHA20_POLY1305":
        return ChaCha20Poly1305(key)
    return AESCCM(key, tag_length=8 if suite.cipher == "CCM_8" else TAG_LENGTH)


class Opener:
    """Opens the records of one direction under one key, in order. Raises TlsFault for one that is not authentic."""

    __slots__ = ("_aead", "_explicit", "_iv", "_tag_length", "_tls13", "number")

    def __init__(self, suite: TlsSuite, key: bytes, iv: bytes, *, tls13: bool) -> None:
        self._aead = _aead(suite, key)
        self._iv = iv
        self._tls13 = tls13
        self._explicit = EXPLICIT_LENGTH if len(iv) < NONCE_LENGTH else 0
        self._tag_length = 8 if suite.cipher == "CCM_8" else TAG_LENGTH
        self.number = 0  # of the next record

    def open(self, record: Record) -> tuple[int, bytes]:
        """The content type and the plain text; the number goes on only where the record is authentic."""
        explicit, sealed = record.body[: self._explicit], record.body[self._explicit :]
        length = len(sealed) - self._tag_length
        if length < 0:
            raise _not_authentic()
        if self._tls13:
            associated = record.header
        else:
            associated = self.number.to_bytes(8, "big") + record.header[:3] + length.to_bytes(2, "big")
        try:
            plain = self._aead.decrypt(self._nonce(explicit), sealed, associated)
        except InvalidTag:
            raise _not_authentic() from None
        self.number += 1
        return _inner(plain) if self._tls13 else (record.kind, plain)

    def _nonce(self, explicit: bytes) -> bytes:
        if explicit:
            return self._iv + explicit
        return (int.from_bytes(self._iv, "big") ^ self.number).to_bytes(NONCE_LENGTH, "big")


def _not_authentic() -> TlsFault:
    return TlsFault("not-authentic", "a record did not authenticate: wrong secret or lost octets")


def _inner(plain: bytes) -> tuple[int, bytes]:
    """Padding and the true content type stand behind the text (RFC 8446, section 5.4)."""
    content = plain.rstrip(b"\0")
    if not content:
        raise TlsFault("malformed", "a record holds nothing but padding")
    return content[-1], content[:-1]


def openers_of_master(
    suite: TlsSuite, master: bytes, client_random: bytes, server_random: bytes
) -> tuple[Opener, Opener]:
    """The client's and the server's opener of a TLS 1.2 session."""
    iv_length = NONCE_LENGTH if suite.cipher == "CHACHA20_POLY1305" else NONCE_LENGTH - EXPLICIT_LENGTH
    size = suite.key_length
    block = prf(suite.hash_name, master, b"key expansion", server_random + client_random, 2 * (size + iv_length))
    keys, ivs = block[: 2 * size], block[2 * size :]
    return (
        Opener(suite, keys[:size], ivs[:iv_length], tls13=False),
        Opener(suite, keys[size:], ivs[iv_length:], tls13=False),
    )


def opener_of_traffic(suite: TlsSuite, secret: bytes) -> Opener:
    """The opener of one direction of TLS 1.3 under a traffic secret."""
    key = expand_label(suite.hash_name, secret, b"key", b"", suite.key_length)
    iv = expand_label(suite.hash_name, secret, b"iv", b"", NONCE_LENGTH)
    return Opener(suite, key, iv, tls13=True)
