"""Key derivation: RFC 3711 4.3, with AES-192 and AES-256 as RFC 6188 3, and the 12 octet salt of RFC 7714 11."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .suites import AUTH_KEY_LENGTH, Suite

RTP_LABELS = (0, 1, 2)  # RFC 3711 4.3.1: encryption, authentication, salt
RTCP_LABELS = (3, 4, 5)  # RFC 3711 4.3.2


class SessionKeys(NamedTuple):
    cipher: bytes
    salt: bytes
    auth: bytes


def aes_cm(key: bytes, counter_block: int, length: int) -> bytes:
    """Keystream of AES in counter mode from a 128-bit initial counter block (RFC 3711 4.1.1)."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR(counter_block.to_bytes(16, "big"))).encryptor()
    return encryptor.update(bytes(length))


def derive(master_key: bytes, master_salt: bytes, label: int, length: int, index: int = 0, rate: int = 0) -> bytes:
    """One session key: the PRF of 4.3.3 at x = key_id XOR master_salt, key_id = label || (index DIV rate).

    `index` is the 48-bit SRTP index or the SRTCP index without its E bit; DIV by 0 is 0.
    """
    r = index // rate if rate else 0
    key_id = label << 48 | r
    salt = int.from_bytes(master_salt.ljust(14, b"\0"), "big")
    return aes_cm(master_key, (key_id ^ salt) << 16, length)


@lru_cache
def session_keys(
    suite: Suite, master_key: bytes, master_salt: bytes, *, index: int = 0, rate: int = 0, rtcp: bool = False
) -> SessionKeys:
    cipher, auth, salt = RTCP_LABELS if rtcp else RTP_LABELS
    auth_length = 0 if suite.cipher == "AES-GCM" else AUTH_KEY_LENGTH
    return SessionKeys(
        cipher=derive(master_key, master_salt, cipher, suite.key_length, index, rate),
        salt=derive(master_key, master_salt, salt, suite.salt_length, index, rate),
        auth=derive(master_key, master_salt, auth, auth_length, index, rate) if auth_length else b"",
    )
