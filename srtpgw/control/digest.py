"""What digest authentication needs of an authorization code, and nothing else of it: HA1 (RFC 7616, section 3.4.2).

The user name is the directory number. An HA1 is as good as the code to whoever holds it, and a code of a few digits is
found from it by trying all: so both are sealed at rest, under a label that names the row and the algorithm.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal

from srtpgw.control.model import AuthorizationCode
from srtpgw.control.vault import label

if TYPE_CHECKING:
    from srtpgw.control.vault import Vault

Algorithm = Literal["MD5", "SHA-256"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("MD5", "SHA-256")
CODE_MAX: Final = 7  # digits (regional authorization code)
REALM_MAX: Final = 255  # octets of UTF-8


def seal_code(vault: Vault, number: str, realm: str, digits: str) -> AuthorizationCode:
    """The code of a number as it is stored. ValueError where ``digits`` is not a code or ``realm`` not a realm; its
    text does not repeat the digits."""
    read_code(digits)
    check_realm(realm)
    a1 = f"{number}:{realm}:{digits}".encode()
    # MD5 is what telephones know (RFC 8760 keeps it for them); nothing is signed with it.
    md5 = hashlib.md5(a1, usedforsecurity=False).digest()
    sha256 = hashlib.sha256(a1).digest()
    return AuthorizationCode(
        number=number,
        realm=realm,
        md5=vault.seal(label(AuthorizationCode, "md5", number), md5),
        sha256=vault.seal(label(AuthorizationCode, "sha256", number), sha256),
    )


def ha1(vault: Vault, code: AuthorizationCode, algorithm: Algorithm) -> bytes:
    """H(A1) as the hexadecimal digits that RFC 7616 goes on with, in ASCII: 32 octets for MD5, 64 for SHA-256. A
    secret. VaultError where the vault did not seal it."""
    field = "md5" if algorithm == "MD5" else "sha256"
    return vault.open(label(AuthorizationCode, field, code.number), getattr(code, field)).hex().encode()


def read_code(digits: str) -> str:
    """The digits again. ValueError where they are not 1 to 7; its text does not repeat them."""
    if not 0 < len(digits) <= CODE_MAX or not digits.isascii() or not digits.isdigit():
        raise ValueError(f"is not 1 to {CODE_MAX} digits")
    return digits


def check_realm(realm: str) -> None:
    """ValueError where it cannot stand in a header field as it is (RFC 3261, section 25.1: ``quoted-string``), or would
    be read as two fields of A1."""
    if not realm or len(realm.encode(errors="replace")) > REALM_MAX:
        raise ValueError(f"is not a realm of 1 to {REALM_MAX} octets")
    if not realm.isprintable() or set(realm) & set('":\\'):
        raise ValueError("is a realm with a quotation mark, colon, backslash or control character")
