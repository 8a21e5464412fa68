"""Licences: a short text, signed with Ed25519 (RFC 8032), and what it allows::

    srtpgw licence 1                              first line: what it is, and of which form
    serial: 9f86d081884c7d65                      16 hexadecimal digits, one licence each
    subject: Example Ltd, Leeds                   whom it is for
    features: VOIP-SECURITY                       names, a comma and a space between them
    issued: 2026-11-24T00:00:00Z                  UTC
    expires: 2027-11-24T00:00:00Z                 UTC, the first second at which it counts no more
    host: pbx1.example                            only if it is bound to a host
    testbed: yes                                  only if the gateway issued it to itself
    issuer: 44 characters of base64               the public key
    signature: 88 characters of base64            over all octets above, the line end before this line included

A licence is read to values, and the signature is checked over the text that these values make: two texts of one
meaning do not exist, and nothing that was read counts without having been signed.

The date of issue is shown and never judged. A clock that was set back (a flat battery, a virtual machine) would else
take a good licence away, and whoever could gain by it, setting the clock back behind the expiry, passes that check all
the same. Nothing that a wrong clock says is kept: when the clock is right again, so is the judgement.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from srtpgw.control.model import License, LicenseIssuer, State
from srtpgw.control.times import date_text, time_text
from srtpgw.errors import LicenseError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VOIP_SECURITY: Final = "VOIP-SECURITY"
LICENSE_MISSING: Final = f"LICENSE {VOIP_SECURITY} MISSING"

FIRST_LINE: Final = "srtpgw licence 1"
DOCUMENT_MAX = 4096  # octets
SUBJECT_MAX = 200  # characters
HOST_MAX = 253  # characters (RFC 1035, section 2.3.4)
FEATURES_MAX = 16
PUBLIC_LENGTH, SIGNATURE_LENGTH = 32, 64  # octets (RFC 8032, section 5.1)
DAY = 86_400  # seconds
TIME_MAX = 253_402_300_799  # the last second of the year 9999
TESTBED_DAYS = 365
SERIAL_OCTETS = 8
EXPIRES_SOON = 30 * DAY  # seconds before the end from which on it is told

Standing = Literal["valid", "expired", "other host", "unknown issuer", "unreadable"]

_SERIAL = re.compile(r"[0-9a-f]{16}")
_FEATURE = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,30}[A-Z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a licence says. Times in seconds since the epoch, UTC. ``check`` tells whether it may be signed."""

    serial: str
    subject: str
    features: tuple[str, ...]
    issued: int
    expires: int
    host: str = ""  # empty: any
    testbed: bool = False

    def check(self) -> None:
        """Raises LicenseError where a value is none that a licence may have."""
        if not _SERIAL.fullmatch(self.serial):
            raise LicenseError("has a serial that is not 16 hexadecimal digits")
        if not 1 <= len(self.subject) <= SUBJECT_MAX or not self.subject.isprintable():
            raise LicenseError(f"has a subject that is not printable text of 1 to {SUBJECT_MAX} characters")
        if self.subject != self.subject.strip():
            raise LicenseError("has a subject with a space at its beginning or end")
        if not 1 <= len(self.features) <= FEATURES_MAX or len(set(self.features)) < len(self.features):
            raise LicenseError(f"does not list 1 to {FEATURES_MAX} features, each once")
        if not all(_FEATURE.fullmatch(feature) for feature in self.features):
            raise LicenseError("names a feature in other than capitals, digits and hyphens (32 at most)")
        if self.host and (len(self.host) > HOST_MAX or not _HOST.fullmatch(self.host)):
            raise LicenseError("is bound to what is not a host name")
        if not 0 <= self.issued <= self.expires <= TIME_MAX:
            raise LicenseError("has a time before 1970, behind 9999, or expires before it was issued")


@dataclass(frozen=True, slots=True)
class Document:
    """A signed licence, as it was read: ``authentic`` tells whether the signature is the issuer's."""

    terms: Terms
    issuer: bytes
    signature: bytes = field(repr=False)

    def text(self) -> bytes:
        """The one text of this licence."""
        return _signed_text(self.terms, self.issuer) + f"signature: {_base64(self.signature)}\n".encode()

    def authentic(self) -> bool:
        """Whether the issuer signed it."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.issuer).verify(
                self.signature, _signed_text(self.terms, self.issuer)
            )
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Judged:
    """An installed licence with what it is worth. ``document`` is None where it is unreadable."""

    serial: str
    standing: Standing
    document: Document | None
    testbed: bool

    def allows(self, feature: str) -> bool:
        """Whether it gives the feature."""
        return self.standing == "valid" and self.document is not None and feature in self.document.terms.features


def sign(terms: Terms, key: Ed25519PrivateKey) -> Document:
    """A licence of these terms. Raises LicenseError (``Terms.check``)."""
    terms.check()
    issuer = key.public_key().public_bytes_raw()
    document = Document(terms, issuer, key.sign(_signed_text(terms, issuer)))
    if len(document.text()) > DOCUMENT_MAX:
        raise LicenseError(f"is longer than {DOCUMENT_MAX} octets")
    return document


def issue_testbed(now: float) -> Document:
    """A licence that a testbed issues to itself, for ``TESTBED_DAYS``. Its key signs once and is forgotten, so that
    nobody can issue more under it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    issued = max(0, int(now))  # a clock before 1970 has no licence time
    terms = Terms(
        serial=os.urandom(SERIAL_OCTETS).hex(),
        subject="testbed",
        features=(VOIP_SECURITY,),
        issued=issued,
        expires=issued + TESTBED_DAYS * DAY,
        testbed=True,
    )
    return sign(terms, Ed25519PrivateKey.generate())


def testbed_rows(now: float) -> tuple[LicenseIssuer, License]:
    """A testbed licence as the store keeps it, with its issuer. For a first run; ``license_install --testbed`` takes
    what was there before away too."""
    document = issue_testbed(now)
    return LicenseIssuer(document.issuer, testbed=True), License(document.terms.serial, document.text(), now)


def read(octets: bytes) -> Document:
    """The licence that a file holds; line ends may be those of another system. Raises LicenseError.

    Says nothing about the signature: ``Document.authentic`` does.
    """
    if len(octets) > DOCUMENT_MAX:
        raise LicenseError(f"is longer than {DOCUMENT_MAX} octets")
    try:
        text = octets.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise LicenseError("is not text") from None
    first, *rest = text.removesuffix("\n").split("\n")
    if first != FIRST_LINE:
        raise LicenseError(f'does not begin with "{FIRST_LINE}": the file is something else, or of a newer version')
    fields = _Fields(rest)
    terms = Terms(
        serial=fields.take("serial"),
        subject=fields.take("subject"),
        features=tuple(fields.take("features").split(", ", FEATURES_MAX)),
        issued=_read_time(fields.take("issued")),
        expires=_read_time(fields.take("expires")),
        host=fields.take("host", optional=True),
        testbed=_read_testbed(fields.take("testbed", optional=True)),
    )
    document = Document(terms, read_public(fields.take("issuer")), _octets(fields.take("signature"), SIGNATURE_LENGTH))
    fields.end()
    terms.check()
    return document


def read_public(text: str) -> bytes:
    """An issuer's public key, as base64 of its 32 octets. Raises LicenseError."""
    return _octets(text, PUBLIC_LENGTH)


def public_text(public: bytes) -> str:
    """What ``read_public`` reads."""
    return _base64(public)


def judge(state: State, license: License, *, now: float, host: str) -> Judged:  # noqa: A002 - the term of the field
    """What an installed licence is worth at ``now`` on ``host``. What cannot be read or verified is worth nothing."""
    try:
        document = read(license.document)
    except LicenseError:
        return Judged(license.serial, "unreadable", None, False)
    issuer = state.license_issuers.get(document.issuer)
    testbed = document.terms.testbed or (issuer is not None and issuer.testbed)
    if document.terms.serial != license.serial or not document.authentic():
        return Judged(license.serial, "unreadable", None, False)
    return Judged(license.serial, _standing(document, issuer is not None, now, host), document, testbed)


def judged(state: State, *, now: float, host: str) -> tuple[Judged, ...]:
    """Every installed licence, judged."""
    return tuple(judge(state, row, now=now, host=host) for row in state.licenses.values())


def allows(state: State, feature: str, *, now: float, host: str) -> bool:
    """Whether an installed licence gives the feature at ``now`` on ``host``.

    Asked when something is to be enabled (spec 2). What is enabled already stays so when a licence ends.
    """
    return any(judge(state, row, now=now, host=host).allows(feature) for row in state.licenses.values())


def notices(state: State, feature: str, *, now: float, host: str) -> tuple[str, ...]:
    """What an operator should know of the feature's licence: it is missing, has ended or ends soon. Empty: all is
    well for ``EXPIRES_SOON`` at least, or no licence was ever installed."""
    having = [one for one in judged(state, now=now, host=host) if _names(one, feature)]
    ends = [one.document.terms.expires for one in having if one.allows(feature) and one.document]
    if ends and max(ends) - now > EXPIRES_SOON:
        return ()
    if ends:
        return (f"the licence for {feature} expires on {date_text(max(ends))}: install another before then",)
    past = [one.document.terms.expires for one in having if one.standing == "expired" and one.document]
    if past:
        return (
            f"the licence for {feature} expired on {date_text(max(past))}: what is enabled stays, nothing new can be",
        )
    if having:
        return (f"no installed licence for {feature} counts here: license_print tells why",)
    return ()


def same_host(one: str, other: str) -> bool:
    """Whether two host names are one (RFC 4343: letters of either case)."""
    return one.rstrip(".").lower() == other.rstrip(".").lower()


def _standing(document: Document, known_issuer: bool, now: float, host: str) -> Standing:
    if not known_issuer:
        return "unknown issuer"
    if document.terms.host and not same_host(document.terms.host, host):
        return "other host"
    return "valid" if now < document.terms.expires else "expired"


def _names(one: Judged, feature: str) -> bool:
    return one.document is not None and feature in one.document.terms.features


def _signed_text(terms: Terms, issuer: bytes) -> bytes:
    return "".join(f"{line}\n" for line in _lines(terms, issuer)).encode()


def _lines(terms: Terms, issuer: bytes) -> Iterator[str]:
    yield FIRST_LINE
    yield f"serial: {terms.serial}"
    yield f"subject: {terms.subject}"
    yield f"features: {', '.join(terms.features)}"
    yield f"issued: {time_text(terms.issued)}"
    yield f"expires: {time_text(terms.expires)}"
    if terms.host:
        yield f"host: {terms.host}"
    if terms.testbed:
        yield "testbed: yes"
    yield f"issuer: {_base64(issuer)}"


class _Fields:
    """The lines behind the first, taken in their order."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._next = 0

    def take(self, name: str, *, optional: bool = False) -> str:
        line = self._lines[self._next] if self._next < len(self._lines) else ""
        if not line.startswith(f"{name}: "):
            if optional:
                return ""
            raise LicenseError(f'has no "{name}" where it belongs: a line is missing, damaged or out of place')
        self._next += 1
        return line[len(name) + 2 :]

    def end(self) -> None:
        if self._next != len(self._lines):
            raise LicenseError("goes on behind its signature")


def _read_time(text: str) -> int:
    if _TIME.fullmatch(text):
        try:
            return int(datetime.fromisoformat(text).timestamp())
        except ValueError:
            pass  # a thirteenth month: told below
    raise LicenseError("has a time that is not like 2027-11-24T00:00:00Z")


def _read_testbed(text: str) -> bool:
    if text not in {"", "yes"}:
        raise LicenseError('has a "testbed" other than yes')
    return text == "yes"


def _octets(text: str, length: int) -> bytes:
    """Base64 in its one form: another text of the same octets would be another file with the same signature."""
    try:
        octets = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        octets = b""
    if len(octets) != length or _base64(octets) != text:
        raise LicenseError(f"has a key or signature that is not base64 of {length} octets")
    return octets


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
