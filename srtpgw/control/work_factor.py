"""How much work an encrypted key file asks for before its passphrase can be tried.

The count of iterations stands in the file, so a file can ask for hours. It is looked up in the DER encoding (X.690)
before any library gets the file: the parameters of PBKDF2 (RFC 8018), scrypt (RFC 7914), the PKCS#12 functions
(RFC 7292, appendix B and C), and the count of a PKCS#12 file's own checksum.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

ITERATIONS_MAX: Final = 2_000_000  # some seconds of work; what tools write by themselves is 2,048 to 600,000
SCRYPT_BLOCKS_MAX: Final = 1 << 20  # N times r times p: 128 MB and some seconds
DEPTH_MAX: Final = 24  # nesting; honest files have about 12
INTEGER_LENGTH_MAX: Final = 16  # octets; a count is shorter

_SEQUENCE, _INTEGER, _OCTETS, _OBJECT = 0x30, 0x02, 0x04, 0x06
_SPLIT_OCTETS: Final = 0x24  # BER only
_CONSTRUCTED: Final = 0x20
_OPEN_LENGTH: Final = 0x80  # BER only: the value goes on to a mark
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")
_DERIVATIONS: Final = (
    bytes.fromhex("2a864886f70d01050c"),  # PBKDF2
    bytes.fromhex("2a864886f70d010c01"),  # PKCS#12, with one more octet
    bytes.fromhex("2a864886f70d010501"),  # PBES1 with MD2, and its kin below
    *(bytes.fromhex(f"2a864886f70d0105{last:02x}") for last in (3, 4, 6, 10, 11)),
)
_PEM_BODY: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{1,40}-----\s([^-]{0,1048576})-----END")

Element = tuple[int, bytes]  # tag, content


class _Unclear(Exception):
    """BER with open or split lengths, or nesting past reading: the counts cannot be found for certain."""


class _Malformed(_Unclear):
    """No encoding at all."""


def too_slow(octets: bytes) -> bool:
    """Whether a file (DER, or PEM with one block) asks for more work than the limits, or hides how much it asks for."""
    encoded = _decoded(octets)
    if encoded[:1] != bytes([_SEQUENCE]):
        return False  # no key file at all: the reader refuses it, without any work
    try:
        _, content, _ = _element(encoded, 0)  # readers take no offence at what stands behind it
        counted = any(_asks_too_much(fields) for fields in _sequences(content, 0))
        return counted or _checksum_count(_elements(content)) > ITERATIONS_MAX
    except _Unclear:
        return True


def _decoded(octets: bytes) -> bytes:
    block = _PEM_BODY.search(octets)
    if block is None:
        return octets
    try:
        return base64.b64decode(b"".join(block[1].split()), validate=True)
    except binascii.Error:
        return b""  # no PKCS#8 (an old format with headers derives its key with one round of MD5)


def _asks_too_much(fields: list[Element]) -> bool:
    """Whether this SEQUENCE is an AlgorithmIdentifier of a derivation with too high a count."""
    if len(fields) < 2 or fields[0][0] != _OBJECT or fields[1][0] != _SEQUENCE:
        return False
    numbers = _numbers(_elements(fields[1][1]))
    if fields[0][1] == _SCRYPT:
        blocks = 1
        for number in numbers[:3]:
            blocks *= number
        return blocks > SCRYPT_BLOCKS_MAX
    return fields[0][1].startswith(_DERIVATIONS) and max(numbers, default=0) > ITERATIONS_MAX


def _checksum_count(pfx: list[Element]) -> int:
    """The iterations of MacData: the third part of a PKCS#12 file, with the count last."""
    if len(pfx) != 3 or pfx[2][0] != _SEQUENCE:
        return 0
    return max(_numbers(_elements(pfx[2][1])), default=0)


def _numbers(elements: list[Element]) -> list[int]:
    return [int.from_bytes(content[:INTEGER_LENGTH_MAX], "big") for tag, content in elements if tag == _INTEGER]


def _sequences(content: bytes, depth: int) -> Iterator[list[Element]]:
    """The fields of every constructed value in it, those inside octet strings included."""
    if depth > DEPTH_MAX:
        raise _Unclear
    elements = _elements(content)
    yield elements
    for tag, inner in elements:
        if tag == _SPLIT_OCTETS:
            raise _Unclear
        if tag & _CONSTRUCTED:
            yield from _sequences(inner, depth + 1)
        elif tag == _OCTETS and inner[:1] == bytes([_SEQUENCE]):
            yield from _inside(inner, depth + 1)


def _inside(octets: bytes, depth: int) -> Iterator[list[Element]]:
    """The same for what may be a SEQUENCE in an octet string, or ciphertext that begins like one."""
    try:
        yield from _sequences(_element(octets, 0)[1], depth)
    except _Malformed:
        return


def _elements(octets: bytes) -> list[Element]:
    """Tag, length, value, one behind the other, to the last octet."""
    found: list[Element] = []
    place = 0
    while place < len(octets):
        tag, content, place = _element(octets, place)
        found.append((tag, content))
    return found


def _element(octets: bytes, place: int) -> tuple[int, bytes, int]:
    """The element here, and the place behind it."""
    if place + 2 > len(octets):
        raise _Malformed
    length, start = octets[place + 1], place + 2
    if length == _OPEN_LENGTH:
        raise _Unclear
    if length > _OPEN_LENGTH:
        start += length - _OPEN_LENGTH
        length = int.from_bytes(octets[place + 2 : start], "big")
    if length > len(octets) - start:
        raise _Malformed
    return octets[place], octets[start : start + length], start + length
