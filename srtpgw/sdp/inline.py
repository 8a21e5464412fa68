"""The key parameter of RFC 4568, section 6.1, as text::

    inline:  d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj  | 2^31  | 1:4
             base64 of master key || master salt       |       | MKI value : MKI length in octets
                                                       lifetime in packets

No message or exception here repeats any part of the text it was given.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from srtpgw import _native
from srtpgw.errors import KeyFormatError

KEY_TEXT_MAX = 512  # characters: key, lifetime and the longest MKI (309 digits) fit
LIFETIME_MAX = 1 << 48  # packets (RFC 3711, section 9.2)
MKI_LENGTH_MAX = 128  # octets (RFC 4568, section 6.1)

_MKI_DIGITS_MAX = 309  # decimal digits of 2^1024 - 1


class Lengths(NamedTuple):
    """Octets of the master key and of the master salt of a suite."""

    key: int
    salt: int


LENGTHS: Final[Mapping[str, Lengths]] = MappingProxyType(
    {row[0]: Lengths(row[2], row[3]) for row in _native.suites()}
)  # of every suite, by its registered name


@dataclass(frozen=True, slots=True, repr=False)
class InlineKey:
    """Master key and salt, concatenated; lifetime in packets, None where the text has none."""

    key_and_salt: bytes
    mki: bytes = b""
    lifetime: int | None = None

    def __repr__(self) -> str:
        return f"InlineKey(<{len(self.key_and_salt)} octets>, mki={self.mki!r}, lifetime={self.lifetime})"


@cache
def suites_of_length(octets: int) -> tuple[str, ...]:
    """Names of the suites whose key and salt together have this length."""
    return tuple(name for name, lengths in LENGTHS.items() if sum(lengths) == octets)


def read_inline(text: str, suite: str | None) -> InlineKey:
    """Read one ``inline:`` key for a suite; None takes the length of any suite. Raises KeyFormatError."""
    if len(text) > KEY_TEXT_MAX:
        raise KeyFormatError(f"is longer than {KEY_TEXT_MAX} characters")
    if not text.isascii() or not text.isprintable():
        raise KeyFormatError("holds a character that a key cannot have")
    method, colon, rest = text.partition(":")
    if not colon or method.lower() != "inline":
        raise KeyFormatError('does not start with "inline:"')
    encoded, *fields = rest.split("|")
    if len(fields) > 2:
        raise KeyFormatError('has more than two fields behind the key ("|lifetime|MKI:length")')
    key_and_salt = decode_base64(encoded)
    check_length(len(key_and_salt), suite)
    lifetime, mki = _read_fields(fields)
    return InlineKey(key_and_salt, mki, lifetime)


def decode_base64(encoded: str) -> bytes:
    """Strict base64. Padding may be left out (RFC 4568 has it discarded); stray bits may not be set."""
    padding = "=" * (-len(encoded) % 4) if not encoded.endswith("=") else ""
    try:
        octets = base64.b64decode(encoded + padding, validate=True)
    except (binascii.Error, ValueError):
        raise KeyFormatError("is not base64") from None
    if not hmac.compare_digest(base64.b64encode(octets), (encoded + padding).encode("ascii")):
        raise KeyFormatError("is not base64: stray bits are set behind the last octet")
    return octets


def check_length(octets: int, suite: str | None) -> None:
    """Raises KeyFormatError where key and salt of this length are not the suite's, or not any suite's."""
    if suite is None:
        if not suites_of_length(octets):
            raise KeyFormatError(f"holds {octets} octets, which is key and salt of no suite")
    elif octets != sum(LENGTHS[suite]):
        key, salt = LENGTHS[suite]
        raise KeyFormatError(f"holds {octets} octets where {suite} needs {key + salt} ({key} of key, {salt} of salt)")


def read_mki(field: str) -> bytes:
    """``value:length``, both decimal. Raises KeyFormatError."""
    value_text, _, length_text = field.partition(":")
    length = _digits(length_text, 3, "MKI length")
    if not 1 <= length <= MKI_LENGTH_MAX:
        raise KeyFormatError(f"has an MKI length outside 1 to {MKI_LENGTH_MAX} octets")
    value = _digits(value_text, _MKI_DIGITS_MAX, "MKI")
    if value.bit_length() > 8 * length:
        raise KeyFormatError("has an MKI that does not fit its length")
    return value.to_bytes(length, "big")


def _read_fields(fields: Sequence[str]) -> tuple[int | None, bytes]:
    """Lifetime and MKI, each at most once and in this order."""
    lifetime: int | None = None
    mki = b""
    for position, field in enumerate(fields):
        if ":" in field:
            if position != len(fields) - 1:
                raise KeyFormatError("has its MKI before its lifetime")
            mki = read_mki(field)
        else:
            if position != 0:
                raise KeyFormatError('has a second field that is not "MKI:length"')
            lifetime = _read_lifetime(field)
    return lifetime, mki


def _read_lifetime(field: str) -> int:
    power = field.removeprefix("2^")
    digits = _digits(power, 15, "lifetime")
    lifetime = digits if power == field else (1 << digits if digits <= 48 else LIFETIME_MAX + 1)
    if not 1 <= lifetime <= LIFETIME_MAX:
        raise KeyFormatError("has a lifetime outside 1 to 2^48 packets")
    return lifetime


def _digits(text: str, most: int, what: str) -> int:
    """A decimal number without sign, blank or leading zero, of bounded length."""
    if not text.isascii() or not text.isdigit() or len(text) > most or (len(text) > 1 and text.startswith("0")):
        raise KeyFormatError(f"has a {what} that is not a decimal number in bounds")
    return int(text)
