"""Secrets at rest: sealed with AES-256-GCM under the key file of the state directory.

A sealed secret is a version octet, a random nonce of 12 octets, and ciphertext with its tag. The label (table, column
and key of the row) is authenticated with it, so a secret that is moved to another row does not open there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from srtpgw.errors import VaultError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_LENGTH: Final = 32  # octets
NONCE_LENGTH: Final = 12
VERSION: Final = b"\x01"


def label(table: type, field: str, key: object) -> str:
    """What a secret of a row is sealed for: ``label(SipRoute, "password", 7)`` is ``SipRoute.password:7``."""
    return f"{table.__name__}.{field}:{key}"


class Vault:
    """Seals and opens. ``read_key`` gives the key's 32 octets at first use; it may make the key file."""

    def __init__(self, read_key: Callable[[], bytes]) -> None:
        self._read_key = read_key
        self._aead: AESGCM | None = None

    def __repr__(self) -> str:
        return "Vault(...)"

    def seal(self, label: str, secret: bytes) -> bytes:
        """The secret as it may be stored."""
        nonce = os.urandom(NONCE_LENGTH)
        return VERSION + nonce + self._cipher().encrypt(nonce, secret, label.encode())

    def open(self, label: str, sealed: bytes) -> bytes:
        """The secret again. VaultError where it was not sealed by this key and label."""
        from cryptography.exceptions import InvalidTag

        head = len(VERSION) + NONCE_LENGTH
        if len(sealed) < head or sealed[: len(VERSION)] != VERSION:
            raise VaultError(f"{label} is not a sealed secret")
        try:
            return self._cipher().decrypt(sealed[len(VERSION) : head], sealed[head:], label.encode())
        except InvalidTag:
            raise VaultError(f"{label} was sealed with another key file, or is damaged") from None

    def _cipher(self) -> AESGCM:
        """Made once: a command may seal thousands."""
        if self._aead is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            key = self._read_key()
            if len(key) != KEY_LENGTH:
                raise VaultError(f"the key file does not hold {KEY_LENGTH} octets")
            self._aead = AESGCM(key)
        return self._aead
