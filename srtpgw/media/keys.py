"""Master keys as text, and how two of them are compared without ever being shown.

The text is the key parameter of RFC 4568, section 6.1, which ``srtpgw.sdp.inline`` reads.
No message or exception here repeats any part of the text it was given.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence

from srtpgw.sdp.inline import read_inline
from srtpgw.srtp import KEYS_MAX, SUITES, MasterKey, fingerprint


def relay_suites() -> tuple[str, ...]:
    """Names of the suites that a leg may use: all that encrypt."""
    return tuple(name for name, suite in SUITES.items() if suite.cipher != "NULL")


def parse_key(text: str, suite: str) -> MasterKey:
    """Read one ``inline:`` key for a suite. Raises KeyFormatError."""
    read = read_inline(text, suite)
    return MasterKey(read.key_and_salt, read.mki, read.lifetime)


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
