"""Secrets at rest: sealed, bound to their place, and never shown."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srtpgw.control.model import AuthorizationCode, SipRoute
from srtpgw.control.vault import KEY_LENGTH, NONCE_LENGTH, VERSION, Vault, label
from srtpgw.errors import VaultError

KEY = bytes(range(KEY_LENGTH))
SECRET = b"correct horse"
TAG_LENGTH = 16  # octets


def vault(key: bytes = KEY) -> Vault:
    return Vault(lambda: key)


@given(st.text(max_size=50), st.binary(max_size=200))
def test_what_is_sealed_opens(place: str, secret: bytes) -> None:
    name = place.encode(errors="replace").decode()
    sealed = vault().seal(name, secret)
    assert vault().open(name, sealed) == secret
    assert len(sealed) == len(VERSION) + NONCE_LENGTH + len(secret) + TAG_LENGTH


def test_every_changed_octet_is_noticed() -> None:
    sealed = vault().seal("place", SECRET)
    for place in range(len(sealed)):
        broken = bytearray(sealed)
        broken[place] ^= 1
        with pytest.raises(VaultError):
            vault().open("place", bytes(broken))


def test_every_cut_is_noticed() -> None:
    sealed = vault().seal("place", SECRET)
    for length in range(len(sealed)):
        with pytest.raises(VaultError):
            vault().open("place", sealed[:length])
    with pytest.raises(VaultError):
        vault().open("place", sealed + b"\0")


def test_another_place_and_another_key() -> None:
    sealed = vault().seal("place", SECRET)
    with pytest.raises(VaultError, match="other place was sealed with another key file, or is damaged"):
        vault().open("other place", sealed)
    with pytest.raises(VaultError, match="another key file"):
        vault(KEY[::-1]).open("place", sealed)


@pytest.mark.parametrize("key", [b"", KEY[1:], KEY + b"\0"])
def test_a_key_of_another_length(key: bytes) -> None:
    with pytest.raises(VaultError, match="does not hold 32 octets") as caught:
        vault(key).seal("place", SECRET)
    assert SECRET.decode() not in "".join(traceback.format_exception(caught.value))


def test_the_key_is_read_at_first_use_and_once() -> None:
    reads = []

    def read() -> bytes:
        reads.append(1)
        return KEY

    made = Vault(read)
    assert reads == []
    assert made.open("a", made.seal("a", SECRET)) == SECRET
    assert len(reads) == 1


def test_a_nonce_is_never_used_again() -> None:
    made = vault()
    head = slice(len(VERSION), len(VERSION) + NONCE_LENGTH)
    assert len({made.seal("a", SECRET)[head] for _ in range(1000)}) == 1000


def test_places_have_names_of_their_own() -> None:
    names = [
        label(AuthorizationCode, "md5", "1"),
        label(AuthorizationCode, "sha256", "1"),
        label(AuthorizationCode, "md5", "11"),
        label(SipRoute, "password", 1),
    ]
    assert len(set(names)) == len(names)


def test_no_key_in_what_is_shown() -> None:
    made = vault()
    made.seal("a", SECRET)
    assert repr(made) == str(made) == "Vault(...)"
