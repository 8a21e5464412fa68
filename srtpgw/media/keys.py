"""Master keys as text, and how two of them are compared without ever being shown.

The text is the key parameter of RFC 4568, section 6.1::

    inline:  d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj  | 2^31  | 1:4
             base64 of master key || master salt       |       | MKI value : MKI length in octets
                                                       lifetime in packets

No message or exception here repeats any part of the text it was given.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

from srtpgw.errors import KeyFormatError
from srtpgw.srtp import KEYS_MAX, SUITES, MasterKey, Suite, fingerprint

KEY_TEXT_MAX = 512  # characters: key, lifetime and the longest MKI (309 digits) fit
LIFETIME_MAX = 1 << 48  # packets (RFC 3711, section 9.2)
MKI_LENGTH_MAX = 128  # octets (RFC 4568, section 6.1)

_MKI_DIGITS_MAX = 309  # decimal digits of 2^1024 - 1


def relay_suites() -> tuple[str, ...]:
    """Names of the suites that a leg may use: all that encrypt."""
    return tuple(name for name, suite in SUITES.items() if suite.cipher != "NULL")


def parse_key(text: str, suite: str) -> MasterKey:
    """Read one ``inline:`` key for a suite. Raises KeyFormatError."""
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
    key_and_salt = _decode(encoded, SUITES[suite])
    lifetime, mki = _parse_fields(fields)
    return MasterKey(key_and_salt, mki, lifetime)


def format_key(key: MasterKey) -> str:
    """The ``inline:`` text of a key: a secret. For a file or an SDP body that is itself protected, never for a log."""
    text = "inline:" + base64.b64encode(key.key_and_salt).decode("ascii")
    if key.lifetime is not None:
        power = key.lifetime.bit_length() - 1
        text += f"|2^{power}" if key.lifetime == 1 << power else f"|{key.lifetime}"
    if key.mki:
        text += f"|{int.from_bytes(key.mki, 'big')}:{len(key.mki)}"
    return text


def generate_key(suite: str, mki: bytes = b"") -> MasterKey:
    """A fresh random key and salt of the suite's sizes."""
    sizes = SUITES[suite]
    return MasterKey(secrets.token_bytes(sizes.key_length + sizes.salt_length), mki)


def keys_fault(keys: Sequence[MasterKey], suite: str) -> str:
    """Why these cannot be the master keys of one direction under a suite; empty when they can.

    Several keys need an MKI each, all of one length and no two alike (RFC 4568, section 6.1).
    """
    sizes = SUITES[suite]
    needed = sizes.key_length + sizes.salt_length
    if len(keys) > KEYS_MAX:
        return f"lists more than {KEYS_MAX} keys"
    if any(len(key.key_and_salt) != needed for key in keys):
        return f"does not hold {needed} octets of key and salt, as {suite} needs"
    if len(keys) > 1:
        if not all(key.mki for key in keys):
            return "lists several keys, so that each needs an MKI"
        if len({len(key.mki) for key in keys}) > 1:
            return "lists MKIs of different lengths"
        if len({key.mki for key in keys}) < len(keys):
            return "lists one MKI twice"
        if len({fingerprint(key) for key in keys}) < len(keys):
            return "lists one key twice"
    return ""


def same_keys(first: Sequence[MasterKey], second: Sequence[MasterKey]) -> bool:
    """Whether both hold the same keys with the same MKIs in the same order. Constant time in the keys."""
    if len(first) != len(second):
        return False
    equal = True
    for one, other in zip(first, second, strict=True):
        equal &= hmac.compare_digest(one.key_and_salt, other.key_and_salt)
        equal &= one.mki == other.mki
    return equal


def _decode(encoded: str, suite: Suite) -> bytes:
    """Strict base64. Padding may be left out (RFC 4568 has it discarded); stray bits may not be set."""
    needed = suite.key_length + suite.salt_length
    padding = "=" * (-len(encoded) % 4) if not encoded.endswith("=") else ""
    try:
        octets = base64.b64decode(encoded + padding, validate=True)
    except (binascii.Error, ValueError):
        raise KeyFormatError("is not base64") from None
    if not hmac.compare_digest(base64.b64encode(octets), (encoded + padding).encode("ascii")):
        raise KeyFormatError("is not base64: stray bits are set behind the last octet")
    if len(octets) != needed:
        raise KeyFormatError(
            f"holds {len(octets)} octets where {suite.name} needs {needed}"
            f" ({suite.key_length} of key, {suite.salt_length} of salt)"
        )
    return octets


def _parse_fields(fields: Sequence[str]) -> tuple[int | None, bytes]:
    """Lifetime and MKI, each at most once and in this order."""
    lifetime: int | None = None
    mki = b""
    for position, field in enumerate(fields):
        if ":" in field:
            if position != len(fields) - 1:
                raise KeyFormatError("has its MKI before its lifetime")
            mki = _parse_mki(field)
        else:
            if position != 0:
                raise KeyFormatError('has a second field that is not "MKI:length"')
            lifetime = _parse_lifetime(field)
    return lifetime, mki


def _parse_lifetime(field: str) -> int:
    power = field.removeprefix("2^")
    digits = _digits(power, 15, "lifetime")
    lifetime = digits if power == field else (1 << digits if digits <= 48 else LIFETIME_MAX + 1)
    if not 1 <= lifetime <= LIFETIME_MAX:
        raise KeyFormatError("has a lifetime outside 1 to 2^48 packets")
    return lifetime


def _parse_mki(field: str) -> bytes:
    value_text, _, length_text = field.partition(":")
    length = _digits(length_text, 3, "MKI length")
    if not 1 <= length <= MKI_LENGTH_MAX:
        raise KeyFormatError(f"has an MKI length outside 1 to {MKI_LENGTH_MAX} octets")
    value = _digits(value_text, _MKI_DIGITS_MAX, "MKI")
    if value.bit_length() > 8 * length:
        raise KeyFormatError("has an MKI that does not fit its length")
    return value.to_bytes(length, "big")


def _digits(text: str, most: int, what: str) -> int:
    """A decimal number without sign, blank or leading zero, of bounded length."""
    if not text.isascii() or not text.isdigit() or len(text) > most or (len(text) > 1 and text.startswith("0")):
        raise KeyFormatError(f"has a {what} that is not a decimal number in bounds")
    return int(text)
