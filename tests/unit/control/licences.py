"""Licences for tests: an issuer, its terms, and files made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from unit.control.requests import NOW

from srtpgw.control.license import DAY, VOIP_SECURITY, Document, Terms, sign
from srtpgw.control.model import License, LicenseIssuer

ISSUER_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ISSUER: Final = LicenseIssuer(ISSUER_KEY.public_key().public_bytes_raw(), False)
STRANGER_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))

TERMS: Final = Terms(
    serial="9f86d081884c7d65",
    subject="Example Ltd, Leeds",
    features=(VOIP_SECURITY,),
    issued=int(NOW) - DAY,
    expires=int(NOW) + 365 * DAY,
)


def document(key: Ed25519PrivateKey = ISSUER_KEY, **terms: Any) -> Document:
    """A licence, with terms other than ``TERMS`` where they are given."""
    return sign(replace(TERMS, **terms), key)


def row(key: Ed25519PrivateKey = ISSUER_KEY, **terms: Any) -> License:
    """The same, installed."""
    made = document(key, **terms)
    return License(made.terms.serial, made.text(), NOW)
