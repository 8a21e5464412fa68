"""The testbed's own certificate authority, and what it signs: ECDSA on P-256, as RFC 5280 and RFC 6125 want it.

All is made from names and ``now`` (seconds since the epoch, UTC), keys and serial numbers aside. A certificate begins a
day before it is made, for phones whose clock is slow, and never outlives its authority. A clock that has not been set
makes certificates that nobody can use, so before ``CLOCK_FLOOR`` none is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from srtpgw.control.certificate_files import encode_chain, encode_key, read_key, stored_chain
from srtpgw.control.certificates import (
    AUTHORITY,
    DAY,
    SERVER,
    WARN_DAYS,
    alternative_names,
    is_host_name,
    key_label,
)
from srtpgw.control.model import Certificate, Change, Put, State
from srtpgw.control.times import date_text
from srtpgw.errors import CertificateError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from srtpgw.control.vault import Vault

Host = str | IPv4Address | IPv6Address

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
NAMES_MAX: Final = 64
AUTHORITY_DAYS: Final = 3652  # ten years
SERVER_DAYS: Final = 365
SKEW: Final = DAY  # how far a peer's clock may be behind
CLOCK_FLOOR: Final = 1_577_836_800  # 2020-01-01: an earlier clock was not set
CLOCK_CEILING: Final = 64_060_588_800  # 4000-01-01: nor was a later one
COMMON_NAME_MAX: Final = 64  # characters (RFC 5280, appendix A, ub-common-name)


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """A certificate (PEM) with its private key (PKCS#8 as PEM, in clear: to be sealed, or written 0600)."""

    certificate: str
    key: bytes

    def __repr__(self) -> str:
        return "Issued(...)"


def parse_names(texts: Iterable[str]) -> tuple[Host, ...]:
    """Host names and addresses for a certificate, each once. ValueError's text reads on from "the name"."""
    found: dict[Host, None] = {}
    for text in texts:
        found[_parse_name(text)] = None
        if len(found) > NAMES_MAX:
            raise ValueError(f"list is longer than {NAMES_MAX}")
    return tuple(found)


def usable(texts: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that can stand in a certificate: for names that nobody typed, like the machine's own."""
    return tuple(text for text in texts if _is_name(text))[:NAMES_MAX]


def make_authority(now: float) -> Issued:
    """A new authority that may sign servers and phones, and no further authority. CertificateError: the clock."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    _check_clock(now)
    key = ec.generate_private_key(ec.SECP256R1())
    # Two authorities of one name would be taken for each other: phones look an issuer up by its name.
    name = _common_name(f"srtpgw testbed CA {secrets.token_hex(4)}")
    usage = _key_usage(authority=True)
    builder = _builder(name, name, key.public_key(), (now - SKEW, now + AUTHORITY_DAYS * DAY))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return Issued(encode_chain((builder.sign(key, hashes.SHA256()),)), encode_key(key))


def issue(authority: Issued, names: Sequence[Host], now: float) -> Issued:
    """A certificate for a server that is a client too (trunks), signed by this authority. CertificateError where the
    authority is not valid now."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    _check_clock(now)
    signer, signing_key = stored_chain(authority.certificate)[0], read_key(authority.key, "")
    assert isinstance(signing_key, ec.EllipticCurvePrivateKey)
    validity = _within(signer, now)
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _builder(_common_name(str(names[0])), signer.subject, key.public_key(), validity)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(authority=False), True),
        (purposes, False),
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return Issued(encode_chain((builder.sign(signing_key, hashes.SHA256()),)), encode_key(key))


def first_run(state: State, vault: Vault, now: float, names: Sequence[str]) -> tuple[Change, ...]:
    """What a store needs so that the TLS ports can open: nothing where there is a server certificate, else a testbed's.
    Names that cannot stand in a certificate are left out. CertificateError, VaultError: it cannot be made."""
    return () if SERVER in state.certificates else make_testbed(state, vault, now, usable(names))


def make_testbed(state: State, vault: Vault, now: float, names: Sequence[str]) -> tuple[Change, ...]:
    """A new testbed server certificate for these names and the machine itself, signed by the kept authority, so that
    phones that trust it go on; by a new one where there is none, or where it ends within ``WARN_DAYS``.

    ValueError: a name. CertificateError: the clock. VaultError: the kept authority's key does not open."""
    hosts = parse_names((*names, *LOCAL_NAMES))
    kept = _kept_authority(state, vault, now)
    authority = kept or make_authority(now)
    server = issue(authority, hosts, now)
    new = () if kept else (_put(vault, AUTHORITY, "authority", authority, now),)
    return (*new, _put(vault, SERVER, "server", server, now))


def kept_names(state: State) -> tuple[str, ...]:
    """The names of the testbed server certificate that is installed, if one is, without the machine's own."""
    row = state.certificates.get(SERVER)
    if row is None or not row.testbed:
        return ()
    try:
        names = alternative_names(stored_chain(row.chain)[0])
    except CertificateError:
        return ()
    return tuple(name for name in names if name not in LOCAL_NAMES)


def open_authority(state: State, vault: Vault) -> Issued | None:
    """The testbed's authority with its key in clear, for whoever signs with it. VaultError."""
    row = state.certificates.get(AUTHORITY)
    return None if row is None else Issued(row.chain, vault.open(key_label(AUTHORITY), row.key))


def _kept_authority(state: State, vault: Vault, now: float) -> Issued | None:
    row = state.certificates.get(AUTHORITY)
    if row is None:
        return None
    certificate = stored_chain(row.chain)[0]
    if certificate.not_valid_after_utc.timestamp() - now < WARN_DAYS * DAY:
        return None
    return open_authority(state, vault)


def _put(vault: Vault, name: str, role: str, issued: Issued, now: float) -> Put:
    assert role in {"server", "authority"}
    return Put(Certificate(
        name=name,
        role="server" if role == "server" else "authority",
        chain=issued.certificate,
        key=vault.seal(key_label(name), issued.key),
        testbed=True,
        installed=now,
    ))  # fmt: skip


def _within(signer: x509.Certificate, now: float) -> tuple[float, float]:
    """From when to when: not beyond the authority."""
    start, end = signer.not_valid_before_utc.timestamp(), signer.not_valid_after_utc.timestamp()
    if not start <= now < end:
        raise CertificateError(
            f"The testbed's authority is valid from {date_text(start)} to {date_text(end)},"
            f" and the clock says {date_text(now)}.",
            "Set the clock right.",
        )
    return max(start, now - SKEW), min(end, now + SERVER_DAYS * DAY)


def _check_clock(now: float) -> None:
    if not CLOCK_FLOOR <= now <= CLOCK_CEILING:
        raise CertificateError("No certificate can be made: the clock of this machine is not set.", "Set it right.")


def _parse_name(text: str) -> Host:
    try:
        address = ip_address(text)
    except ValueError:
        if not is_host_name(text):
            raise ValueError("is neither a host name nor an address (other alphabets: in their xn-- form)") from None
        return text.lower()
    if address.is_unspecified or address.is_multicast or (address.version == 6 and address.scope_id):
        raise ValueError("is no address that a client connects to")
    return address


def _is_name(text: str) -> bool:
    try:
        _parse_name(text)
    except ValueError:
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, public: EllipticCurvePublicKey, validity: tuple[float, float]
) -> x509.CertificateBuilder:
    from cryptography import x509

    start, end = (datetime.fromtimestamp(int(moment), UTC) for moment in validity)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text if len(text) <= COMMON_NAME_MAX else "srtpgw")])


def _general_name(name: Host) -> x509.GeneralName:
    from cryptography import x509

    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
