"""The ``a=crypto`` attribute (RFC 4568, sections 4, 6 and 9.1), read strictly::

    1 AES_CM_128_HMAC_SHA1_80 inline:BASE64|2^20|1:4;inline:BASE64|2^20|2:4 FEC_ORDER=FEC_SRTP UNENCRYPTED_SRTCP
    tag        suite                       keys                                     session parameters

What cannot be taken is a value too: a ``CryptoFault`` with a kind to act on and a text to show, neither of which ever
repeats the key. The work for one line is bounded whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from srtpgw.errors import KeyFormatError
from srtpgw.sdp.inline import LENGTHS, InlineKey, read_inline

LINE_MAX = 8192  # characters of one attribute
KEYS_MAX = 16  # of one attribute
PARAMETERS_MAX = 32  # of one attribute
TAG_DIGITS_MAX = 9
SUITE_NAME_MAX = 64  # characters
KEY_DERIVATION_POWER_MAX = 24
WINDOW_MIN, WINDOW_MAX = 64, 32767  # packets; RFC 4568 gives the least

_NAME = re.compile(r"[A-Za-z0-9_]+")
_EXTENSION = re.compile(r"-?([A-Za-z0-9_-]{1,64})(=.*)?")


class FaultKind(StrEnum):
    """What an attribute is refused for."""

    LINE = "line"  # too long, unprintable, or parts are missing
    TAG = "tag"
    SUITE = "suite"  # a suite that is not known here
    KEY = "key"
    PARAMETER = "parameter"


@dataclass(frozen=True, slots=True)
class CryptoFault:
    """Why an attribute cannot be taken. ``suite`` is the name it gives, where it has the form of one."""

    kind: FaultKind
    text: str
    suite: str = ""


@dataclass(frozen=True, slots=True)
class SessionParameters:
    """RFC 4568 section 6.3. ``key_derivation_rate`` in packets; 0 derives once, at the start."""

    key_derivation_rate: int = 0
    unencrypted_srtp: bool = False
    unencrypted_srtcp: bool = False
    unauthenticated_srtp: bool = False
    fec_order: str = ""  # "FEC_SRTP" or "SRTP_FEC"
    fec_keys: tuple[InlineKey, ...] = ()
    window: int | None = None  # replay window hint, packets
    ignored: tuple[str, ...] = ()  # unknown, and marked with "-" as not mandatory
    unknown: tuple[str, ...] = ()  # unknown and mandatory: who does not know them must not accept the attribute

    @property
    def weakening(self) -> tuple[str, ...]:
        """Names of the parameters that switch protection off."""
        flags = {
            "UNENCRYPTED_SRTP": self.unencrypted_srtp,
            "UNENCRYPTED_SRTCP": self.unencrypted_srtcp,
            "UNAUTHENTICATED_SRTP": self.unauthenticated_srtp,
        }
        return tuple(name for name, given in flags.items() if given)


NO_PARAMETERS: Final = SessionParameters()


@dataclass(frozen=True, slots=True)
class Crypto:
    """One attribute. Its keys have a redacting repr."""

    tag: int
    suite: str
    keys: tuple[InlineKey, ...]
    parameters: SessionParameters = NO_PARAMETERS


def read_crypto(value: str) -> Crypto | CryptoFault:
    """Read what stands behind ``a=crypto:``."""
    if len(value) > LINE_MAX:
        return CryptoFault(FaultKind.LINE, f"is longer than {LINE_MAX} characters")
    if not value.isascii() or not value.replace("\t", " ").isprintable():
        return CryptoFault(FaultKind.LINE, "holds a character that it cannot have")
    words = value.split()
    if len(words) < 3:
        return CryptoFault(FaultKind.LINE, "does not have a tag, a suite and a key")
    tag, suite, keys, *parameters = words
    named = suite if _NAME.fullmatch(suite) and len(suite) <= SUITE_NAME_MAX else ""
    if not tag.isdigit() or len(tag) > TAG_DIGITS_MAX:
        return CryptoFault(FaultKind.TAG, f"has a tag that is not a number of 1 to {TAG_DIGITS_MAX} digits", named)
    if suite not in LENGTHS:
        return CryptoFault(
            FaultKind.SUITE, f"names the suite {named}, which is not known" if named else "names no suite", named
        )
    try:
        return Crypto(int(tag), suite, read_key_list(keys, suite), _read_parameters(parameters, suite))
    except KeyFormatError as error:
        return CryptoFault(FaultKind.KEY, str(error), suite)
    except _ParameterError as error:
        return CryptoFault(FaultKind.PARAMETER, str(error), suite)


def read_key_list(text: str, suite: str | None) -> tuple[InlineKey, ...]:
    """Read the key parameters of one attribute, ``;`` between them. Raises KeyFormatError.

    Several keys need an MKI each, all of one length and no two alike (RFC 4568, section 6.1).
    """
    parts = text.split(";", KEYS_MAX)
    if len(parts) > KEYS_MAX:
        raise KeyFormatError(f"lists more than {KEYS_MAX} keys")
    keys = tuple(read_inline(part, suite) for part in parts)
    if len(keys) > 1:
        mkis = [key.mki for key in keys]
        if not all(mkis):
            raise KeyFormatError("lists several keys, so that each needs an MKI")
        if len({len(mki) for mki in mkis}) > 1:
            raise KeyFormatError("lists MKIs of different lengths")
        if len(set(mkis)) < len(mkis):
            raise KeyFormatError("lists one MKI twice")
    return keys


class _ParameterError(Exception):
    """A session parameter that cannot be taken; the text never repeats its value."""


def _read_parameters(words: Sequence[str], suite: str) -> SessionParameters:
    if not words:
        return NO_PARAMETERS
    if len(words) > PARAMETERS_MAX:
        raise _ParameterError(f"has more than {PARAMETERS_MAX} session parameters")
    given: dict[str, object] = {}
    ignored: list[str] = []
    unknown: list[str] = []
    for word in words:
        name, equals, text = word.partition("=")
        reader = _READERS.get(name)
        if reader is None:
            match = _EXTENSION.fullmatch(word)
            if match is None:
                raise _ParameterError("has a session parameter without a name")
            (ignored if word.startswith("-") else unknown).append(match[1])
            continue
        field_name, read = reader
        if field_name in given:
            raise _ParameterError(f"has {name} twice")
        if bool(equals) != (read is not _flag):
            raise _ParameterError(f"has {name} {'with' if equals else 'without'} a value")
        given[field_name] = read(text, suite)
    return SessionParameters(**given, ignored=tuple(ignored), unknown=tuple(unknown))  # type: ignore[arg-type]


def _flag(_text: str, _suite: str) -> bool:
    return True


def _derivation_rate(text: str, _suite: str) -> int:
    if not text.isdigit() or len(text) > 2 or int(text) > KEY_DERIVATION_POWER_MAX:
        raise _ParameterError(f"has a KDR outside 0 to {KEY_DERIVATION_POWER_MAX}")
    return 1 << int(text) if int(text) else 0


def _fec_order(text: str, _suite: str) -> str:
    if text not in {"FEC_SRTP", "SRTP_FEC"}:
        raise _ParameterError("has a FEC_ORDER that is neither FEC_SRTP nor SRTP_FEC")
    return text


def _fec_keys(text: str, suite: str) -> tuple[InlineKey, ...]:
    try:
        return read_key_list(text, suite)
    except KeyFormatError as error:
        raise _ParameterError(f"has a FEC_KEY that {error}") from None


def _window(text: str, _suite: str) -> int:
    if not text.isdigit() or len(text) > 5 or not WINDOW_MIN <= int(text) <= WINDOW_MAX:
        raise _ParameterError(f"has a WSH outside {WINDOW_MIN} to {WINDOW_MAX} packets")
    return int(text)


_READERS = {
    "KDR": ("key_derivation_rate", _derivation_rate),
    "UNENCRYPTED_SRTP": ("unencrypted_srtp", _flag),
    "UNENCRYPTED_SRTCP": ("unencrypted_srtcp", _flag),
    "UNAUTHENTICATED_SRTP": ("unauthenticated_srtp", _flag),
    "FEC_ORDER": ("fec_order", _fec_order),
    "FEC_KEY": ("fec_keys", _fec_keys),
    "WSH": ("window", _window),
}
