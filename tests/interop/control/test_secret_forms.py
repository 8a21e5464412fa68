"""The search for secrets finds each form, wherever it stands: what it cannot find, no other test here can."""

from __future__ import annotations

import base64
import binascii
import json
import random
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from interop.control.secret_forms import PIECE, Search, files_below

PIN = "8305174"
PASSPHRASE = 'a "passphrase" of Zoë'  # noqa: S105 - of a test
KEY = random.Random(5).randbytes(32)
SECRETS: dict[str, bytes | str] = {"PIN": PIN, "passphrase": PASSPHRASE, "key": KEY}
SEARCH = Search(SECRETS)
NOISE = random.Random(6)


def octets_of(secret: bytes | str) -> bytes:
    return secret if isinstance(secret, bytes) else secret.encode()


# How someone might write octets, each made by the usual library call and not by what is under test.
WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "hex": binascii.hexlify,
    "HEX": lambda octets: binascii.hexlify(octets).upper(),
    "hex with colons": lambda octets: octets.hex(":").encode(),
    "HEX with blanks": lambda octets: octets.hex(" ").upper().encode(),
    "escapes": lambda octets: "".join(f"\\x{octet:02x}" for octet in octets).encode(),
    "percent": lambda octets: "".join(f"%{octet:02X}" for octet in octets).encode(),
    "URL": lambda octets: urllib.parse.quote_from_bytes(octets).encode(),
    "repr": lambda octets: repr(octets).encode(),
    "list": lambda octets: json.dumps(list(octets)).encode(),
    "list, narrow": lambda octets: json.dumps(list(octets), separators=(",", ":")).encode(),
    "hex in UTF-16": lambda octets: octets.hex().encode("utf-16"),
    "latin-1 in UTF-16": lambda octets: octets.decode("latin-1").encode("utf-16-be"),
    "hex in lines": lambda octets: b"\n".join(binascii.hexlify(octets)[at : at + 10] for at in range(0, 99, 10)),
}


def coded(coder: Callable[[bytes], bytes], ahead: int) -> Callable[[bytes], bytes]:
    """Base64 of the octets with others around them."""
    return lambda octets: coder(NOISE.randbytes(ahead) + octets + NOISE.randbytes(5))


WRITERS |= {
    f"{coder.__name__} behind {ahead}": coded(coder, ahead)
    for coder in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes)
    for ahead in (0, 1, 2, 40)
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", SECRETS)
def test_each_form_is_found(name: str, writer: str) -> None:
    written = WRITERS[writer](octets_of(SECRETS[name]))
    assert SEARCH.shown(b"{" + NOISE.randbytes(50) + written + NOISE.randbytes(50)) >= {name}


@pytest.mark.parametrize("name", ["PIN", "passphrase"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_text_is_found_in_each_encoding(name: str, encoding: str) -> None:
    assert SEARCH.shown(f"x{SECRETS[name]!s}x".encode(encoding)) == {name}


def test_text_in_json_is_found() -> None:
    assert SEARCH.shown(json.dumps({"typed": PASSPHRASE}).encode()) == {"passphrase"}


@pytest.mark.parametrize("first", range(len(KEY) - 2 * PIECE + 2))
def test_any_fifteen_octets_of_a_key_are_found(first: int) -> None:
    assert SEARCH.shown(KEY[first : first + 2 * PIECE - 1].hex().encode()) == {"key"}


def test_nothing_is_found_where_nothing_is() -> None:
    other = random.Random(7)
    digits = "".join(str(other.random()) for _ in range(100)).encode()
    assert SEARCH.shown(other.randbytes(100_000) + digits + b"8305173 305174 830517") == set()


def test_every_file_is_looked_at_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/one").write_bytes(b"text " + PIN.encode())
    (tmp_path / f"about-{PIN}").touch()
    (tmp_path / "clean").write_bytes(b"text")
    assert [name for name, octets in files_below(tmp_path) if SEARCH.shown(octets)] == [f"about-{PIN}", "below/one"]
