"""Keys from a file: text of one key a line, a session description, or JSON.

A line holds one of these, and further words ``ssrc=0x1234abcd``, ``mki=00000001`` (hex) or ``mki=1:4`` (value:length)::

    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:BASE64|2^20|1:4     as in a session description, whose other lines are
    inline:BASE64                                                 passed over
    AES_CM_128_HMAC_SHA1_80 KEY
    KEY                         the length tells which suites it may be of
    CLIENT_RANDOM hex hex       of a TLS key log: handed on as it is
    # comment

KEY is master key and salt as hex or base64, or ``key:salt`` as hex. JSON is a list of objects with ``key`` and
``salt``, ``key_and_salt``, or ``inline``, and maybe ``suite``, ``mki``, ``ssrc``.

What cannot be read is told by line or entry, never repeated: it may be a key.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from srtpgw.capture.calls import KnownKey
from srtpgw.capture.report import Address
from srtpgw.errors import KeyFormatError
from srtpgw.sdp.crypto import CryptoFault, read_crypto, read_key_list
from srtpgw.sdp.inline import (
    LENGTHS,
    MKI_LENGTH_MAX,
    InlineKey,
    check_length,
    decode_base64,
    read_mki,
    suites_of_length,
)
from srtpgw.sdp.session import read_session

FILE_MAX = 64 << 20  # octets
JSON_MAX = 16 << 20  # octets: as values they take many times that
KEYS_MAX = 1_000_000
LINE_MAX = 16384  # characters
SSRC_MAX = 0xFFFFFFFF
FAULTS_MAX = 20  # that are told one by one

_TLS_LINE: Final = re.compile(r"[A-Z][A-Z0-9_]{2,63} [0-9A-Fa-f]{16,64} [0-9A-Fa-f]{32,512}")
_CRYPTO: Final = re.compile(r"(?:a=)?crypto:(.*)")
_BARE_CRYPTO: Final = re.compile(r"[0-9]{1,9}\s+[A-Za-z0-9_]+\s+inline:")
_SDP_LINE: Final = re.compile(r"[a-z]=(?!=)")
_HEX: Final = re.compile(r"(?:0x)?([0-9A-Fa-f]+)")
_WORD: Final = re.compile(r"(ssrc|mki)=(\S*)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"0x[0-9a-f]{1,8}|[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class KeyFileFault:
    """``where`` is "line 3" or "entry 3"; the text names what is wrong and repeats nothing."""

    where: str
    text: str


@dataclass(slots=True)
class KeyFile:
    """What a file gave. ``tls_lines`` are those of a TLS key log; ``further_faults`` counts those not listed."""

    keys: list[KnownKey] = field(default_factory=list)
    tls_lines: list[str] = field(default_factory=list, repr=False)
    faults: list[KeyFileFault] = field(default_factory=list)
    further_faults: int = 0


@dataclass(slots=True)
class _Hints:
    """Words beside a key."""

    ssrc: int | None = None
    mki: bytes = b""


class _Reader:
    """Gathers what one file gives."""

    def __init__(self, name: str) -> None:
        self.file = KeyFile()
        self._name = name
        self._seen: set[tuple[object, ...]] = set()

    def attempt(self, where: str, read: Callable[[], Iterator[tuple[InlineKey, str | None, _Hints]]], *,
                senders: tuple[Address, ...] = ()) -> None:  # fmt: skip
        """Take the keys of one place, or its fault."""
        try:
            for key, suite, hints in read():
                self._add(where, key, suite, hints, senders)
        except KeyFormatError as error:
            self.fault(where, str(error))

    def fault(self, where: str, text: str) -> None:
        if len(self.file.faults) < FAULTS_MAX:
            self.file.faults.append(KeyFileFault(where, text))
        else:
            self.file.further_faults += 1

    @property
    def full(self) -> bool:
        return len(self.file.keys) + len(self.file.tls_lines) >= KEYS_MAX

    def _add(self, where: str, key: InlineKey, suite: str | None, hints: _Hints, senders: tuple[Address, ...]) -> None:
        mki = hints.mki or key.mki
        identity = (key.key_and_salt, suite, mki, hints.ssrc)
        if identity in self._seen:
            return
        self._seen.add(identity)
        self.file.keys.append(
            KnownKey(
                source=f"{self._name} {where}",
                key_and_salt=key.key_and_salt,
                suites=suites_of_length(len(key.key_and_salt)) if suite is None else (suite,),
                mki=mki,
                declared=suite is not None,
                lifetime=key.lifetime,
                ssrc=hints.ssrc,
                senders=senders,
            )
        )


def read_keys(content: str | bytes, name: str) -> KeyFile:
    """Read all keys; `name` is how the file is called in ``KnownKey.source``."""
    reader = _Reader(name)
    if len(content) > FILE_MAX:
        reader.fault("file", f"is longer than {FILE_MAX >> 20} MiB")
        return reader.file
    text = _decode(content) if isinstance(content, bytes) else content
    if text.lstrip("\ufeff \t\r\n")[:1] in {"[", "{"}:
        _read_json(reader, text.lstrip("\ufeff"))
    else:
        _read_lines(reader, text)
    return reader.file


def _decode(content: bytes) -> str:
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    return content.decode(encoding, "replace")


def _read_lines(reader: _Reader, text: str) -> None:
    description: list[str] = []  # the lines of a session description that tell where media goes
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        line = line.strip().removeprefix("\ufeff")
        where = f"line {number}"
        if not line or line.startswith(("#", ";", "//")):
            continue
        if reader.full:
            reader.fault(where, f"comes after {KEYS_MAX:,} keys, which is the limit")
            return
        if len(line) > LINE_MAX:
            reader.fault(where, f"is longer than {LINE_MAX} characters")
        elif _CRYPTO.fullmatch(line) or _BARE_CRYPTO.match(line):
            _read_crypto_line(reader, where, line, _describer(description))
        elif _SDP_LINE.match(line):
            _note_description(description, line)
        elif _TLS_LINE.fullmatch(line) and line.split(" ", 1)[0] not in LENGTHS:
            reader.file.tls_lines.append(line)
        else:
            reader.attempt(where, lambda line=line: _read_words(line))  # type: ignore[misc]


def _read_crypto_line(reader: _Reader, where: str, line: str, senders: tuple[Address, ...]) -> None:
    match = _CRYPTO.fullmatch(line)
    read = read_crypto((match[1] if match else line).partition(" #")[0])
    if isinstance(read, CryptoFault):
        reader.fault(where, read.text)
        return
    keys = read.keys + read.parameters.fec_keys
    reader.attempt(where, lambda: ((key, read.suite, _Hints()) for key in keys), senders=senders)


def _note_description(lines: list[str], line: str) -> None:
    """Keep what a crypto line further down needs: the session's c=, this medium's m= and c=."""
    if line.startswith(("v=", "m=")):
        keep = [each for each in lines if line.startswith("m=") and each.startswith("c=")][:1]
        lines[:] = [*keep, line]
    elif line.startswith("c="):
        lines.append(line)
        del lines[8:]


def _describer(lines: list[str]) -> tuple[Address, ...]:
    session = read_session("\n".join(lines).encode("utf-8", "replace"))
    addresses = [Address(*session.media_address(media)) for media in session.media]
    return tuple(address for address in addresses if address.host and address.port)


def _read_words(line: str) -> Iterator[tuple[InlineKey, str | None, _Hints]]:
    words = line.partition(" #")[0].split()
    pairs = [match for word in words if (match := _WORD.fullmatch(word))]
    rest = [word for word in words if not _WORD.fullmatch(word)]
    hints = _hints({match[1].lower(): match[2] for match in pairs})
    suite = rest.pop(0) if len(rest) == 2 else None
    if suite is not None and suite not in LENGTHS:
        raise KeyFormatError("does not start with the name of a known suite")
    if len(rest) != 1:
        raise KeyFormatError("is not a key, nor a suite and a key")
    if rest[0][:7].lower() == "inline:":
        yield from ((key, suite, hints) for key in read_key_list(rest[0], suite))
    else:
        yield InlineKey(_key_octets(rest[0], suite)), suite, hints


def _hints(words: dict[str, str]) -> _Hints:
    hints = _Hints()
    if "ssrc" in words:
        hints.ssrc = _ssrc(words["ssrc"].lower())
    if "mki" in words:
        hints.mki = _mki(words["mki"])
    return hints


def _ssrc(text: str) -> int:
    if _NUMBER.fullmatch(text):
        ssrc = int(text, 0) if text.startswith("0x") else int(text)
        if ssrc <= SSRC_MAX:
            return ssrc
    raise KeyFormatError("has an SSRC that is not a number of 32 bits")


def _mki(text: str) -> bytes:
    if ":" in text:
        return read_mki(text)
    if not _HEX.fullmatch(text) or len(text) % 2 or len(text) > 2 * MKI_LENGTH_MAX:
        raise KeyFormatError("has an MKI that is neither whole octets in hex nor value:length")
    return _octets(text)


def _key_octets(text: str, suite: str | None) -> bytes:
    """Key and salt from hex or base64, whichever gives a length that can be."""
    key, colon, salt = text.partition(":")
    if colon:
        if not _HEX.fullmatch(key) or not _HEX.fullmatch(salt):
            raise KeyFormatError("is not a key and a salt in hex")
        octets = _octets(key), _octets(salt)
        lengths = [LENGTHS[suite]] if suite else LENGTHS.values()
        if tuple(map(len, octets)) not in lengths:
            raise KeyFormatError("has a key and a salt of lengths that do not go together")
        return octets[0] + octets[1]
    key_and_salt = _octets(text)
    check_length(len(key_and_salt), suite)
    return key_and_salt


def _octets(text: str) -> bytes:
    """Hex where there are hexadecimal digits only, as no random base64 has; else base64."""
    match = _HEX.fullmatch(text)
    if not match:
        return decode_base64(text)
    if len(match[1]) % 2:
        raise KeyFormatError("has an odd number of hexadecimal digits")
    return bytes.fromhex(match[1])


# --- JSON ------------------------------------------------------------------------------------------------------------


def _read_json(reader: _Reader, text: str) -> None:
    if len(text) > JSON_MAX:
        reader.fault("file", f"is JSON of more than {JSON_MAX >> 20} MiB")
        return
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        reader.fault(f"line {error.lineno}", "is not JSON")
        return
    except (ValueError, RecursionError):
        reader.fault("file", "is JSON with a number or a nesting beyond reason")
        return
    if isinstance(value, dict):
        value = value["keys"] if isinstance(value.get("keys"), list) else [value]
    for number, entry in enumerate(value, 1):
        if reader.full:
            reader.fault(f"entry {number}", f"comes after {KEYS_MAX:,} keys, which is the limit")
            return
        reader.attempt(f"entry {number}", lambda entry=entry: _read_entry(entry))  # type: ignore[misc]


def _read_entry(entry: Any) -> Iterator[tuple[InlineKey, str | None, _Hints]]:
    if not isinstance(entry, dict):
        raise KeyFormatError("is not an object")
    texts = {name: _text(name, value) for name, value in entry.items() if name in _FIELDS and value is not None}
    suite = texts.get("suite")
    if suite is not None and suite not in LENGTHS:
        raise KeyFormatError("names a suite that is not known")
    hints = _hints(texts)
    if "inline" in texts:
        yield from ((key, suite, hints) for key in read_key_list(texts["inline"], suite))
        return
    if "key_and_salt" in texts or "key" in texts:
        key, salt = texts.get("key_and_salt", texts.get("key", "")), texts.get("salt")
        octets = _key_octets(key, suite) if salt is None else _octets(key) + _octets(salt)
        check_length(len(octets), suite)
        yield InlineKey(octets), suite, hints
        return
    raise KeyFormatError('has neither "inline" nor "key_and_salt" nor "key"')


_FIELDS: Final = {"suite", "inline", "key", "salt", "key_and_salt", "mki", "ssrc"}


def _text(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and name == "ssrc":
        return str(value)
    if not isinstance(value, str) or len(value) > LINE_MAX:
        raise KeyFormatError(f'has a "{name}" that is not text')
    return value.strip()
