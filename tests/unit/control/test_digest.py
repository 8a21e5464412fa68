"""What is kept of an authorization code: HA1 as RFC 7616 has it, and nothing else."""

from __future__ import annotations

import pickle
from hashlib import md5, sha256

import pytest
from unit.control.requests import VAULT

from srtpgw.control.digest import REALM_MAX, Algorithm, check_realm, ha1, read_code, seal_code
from srtpgw.control.model import AuthorizationCode
from srtpgw.errors import VaultError

# By hand: printf 12000:srtpgw:24680 | md5sum, and sha256sum.
MD5 = b"fdef6b5a9d7615924863601dda1c36c1"
SHA256 = b"0707defef33a4ac586c8fc0c4a1ed5bb31cb8a00dd4ba1c384f00a25eda47241"


@pytest.mark.parametrize(("algorithm", "digits"), [("MD5", MD5), ("SHA-256", SHA256)])
def test_ha1(algorithm: Algorithm, digits: bytes) -> None:
    code = seal_code(VAULT, "12000", "srtpgw", "24680")
    assert (code.number, code.realm) == ("12000", "srtpgw")
    assert ha1(VAULT, code, algorithm) == digits


def test_ha1_is_of_the_number_and_the_realm() -> None:
    of = [
        ha1(VAULT, seal_code(VAULT, number, realm, "24680"), "MD5")
        for number in ("1", "2")
        for realm in ("a", "\u00e9 pbx")
    ]
    assert len(set(of)) == 4
    assert of[3] == md5("2:\u00e9 pbx:24680".encode(), usedforsecurity=False).hexdigest().encode()


def test_leading_zeros_count() -> None:
    code = seal_code(VAULT, "1", "a", "007")
    assert ha1(VAULT, code, "SHA-256") == sha256(b"1:a:007").hexdigest().encode()


def test_a_sealed_code_opens_in_its_place_only() -> None:
    code = seal_code(VAULT, "1", "a", "24680")
    moved = AuthorizationCode("2", "a", code.md5, code.sha256)
    swapped = AuthorizationCode("1", "a", code.sha256, code.md5)
    for wrong in (moved, swapped):
        with pytest.raises(VaultError) as caught:
            ha1(VAULT, wrong, "MD5")
        assert "24680" not in repr(caught.value)


def test_sealing_twice_never_gives_the_same_octets() -> None:
    one, other = (seal_code(VAULT, "1", "a", "24680") for _ in range(2))
    assert one.md5 != other.md5
    assert one.sha256 != other.sha256


def test_nothing_of_the_code_is_in_what_is_stored() -> None:
    stored = pickle.dumps(seal_code(VAULT, "12000", "srtpgw", "24680"))
    for secret in (b"24680", MD5, SHA256, bytes.fromhex(MD5.decode()), bytes.fromhex(SHA256.decode())):
        assert secret not in stored


@pytest.mark.parametrize(
    "digits", ["", "12345678", "12a4", " 123", "12\n", "-123", "\u0661\u0662\u0663", "\ud8001", "1" * 9999]
)
def test_what_is_no_code(digits: str) -> None:
    for function in (read_code, lambda text: seal_code(VAULT, "1", "a", text)):
        with pytest.raises(ValueError, match="is not 1 to 7 digits") as caught:
            function(digits)
        assert str(caught.value) == "is not 1 to 7 digits"
        assert caught.value.__context__ is None


@pytest.mark.parametrize("digits", ["0", "7", "1234567", "0000000"])
def test_what_is_a_code(digits: str) -> None:
    assert read_code(digits) == digits


@pytest.mark.parametrize("realm", ["", 'a"b', "a\\b", "a\nb", "a\x00", "\ud800", "x" * (REALM_MAX + 1), "\u00e9" * 128])
def test_what_is_no_realm(realm: str) -> None:
    with pytest.raises(ValueError, match="is "):
        check_realm(realm)
    with pytest.raises(ValueError, match="is "):
        seal_code(VAULT, "1", realm, "24680")


@pytest.mark.parametrize("realm", ["a", "srtpgw", "pbx.example.com", "Example PBX", "x" * REALM_MAX])
def test_what_is_a_realm(realm: str) -> None:
    check_realm(realm)
