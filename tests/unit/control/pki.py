"""Certificates for tests, right and wrong: each is made here and dropped."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from unit.control.requests import NOW

from srtpgw.control.commands.table import FileContent

DAY: Final = 86_400.0
SERVER_AUTH: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH: Final = ExtendedKeyUsageOID.CLIENT_AUTH

_USAGES: Final = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                  "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


@dataclass(frozen=True)
class Party:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


def usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def make(
    subject: str,
    issuer: Party | None = None,
    *,
    names: Sequence[str] = (),
    ca: bool | None = None,
    path_length: int | None = None,
    key_usage: x509.KeyUsage | None = None,
    purposes: Sequence[x509.ObjectIdentifier] = (),
    days: tuple[float, float] = (-1, 100),
    key: Any = None,
    signing_key: Any = None,
    public: Any = None,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Party:
    """A certificate signed by ``issuer`` (None: by itself) with just the extensions asked for; ``days`` from NOW."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signed_by = issuer.certificate.subject if issuer else _name(subject)
    start, end = (datetime.fromtimestamp(NOW + day * DAY, UTC) for day in days)
    builder = x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(signed_by)
    builder = builder.public_key(public or key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(end)
    for extension, critical in (*_extensions(names, ca, path_length, key_usage, purposes), *more):
        builder = builder.add_extension(extension, critical)
    signer = signing_key or (issuer.key if issuer else key)
    return Party(builder.sign(signer, hashes.SHA256()), key)


def root(subject: str = "Root", **how: Any) -> Party:
    return make(subject, ca=True, **how)


def leaf(issuer: Party, names: Sequence[str] = ("gateway.example", "192.0.2.1"), **how: Any) -> Party:
    return make("gateway.example", issuer, names=names, **how)


def key_pem(party: Party, passphrase: bytes = b"") -> bytes:
    sealed = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    encoded: bytes = party.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)
    return encoded


def bundle(party: Party, between: Sequence[Party], passphrase: bytes) -> bytes:
    """A PKCS#12 file."""
    others = [one.certificate for one in between]
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"gateway", party.key, party.certificate, others, how)


def weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is refused is what is tested


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """With one to three places changed, cut or doubled."""
    changed = bytearray(octets)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[place] = chance.randrange(256)
            case 1:
                del changed[place : place + chance.randint(1, 8)]
            case _:
                changed[place:place] = changed[place : place + 8]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def file(octets: bytes, name: str = "file.pem") -> FileContent:
    return FileContent(name, octets)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _extensions(
    names: Sequence[str],
    ca: bool | None,
    path_length: int | None,
    key_usage: x509.KeyUsage | None,
    purposes: Sequence[x509.ObjectIdentifier],
) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if ca is not None:
        found.append((x509.BasicConstraints(ca, path_length), True))
    if key_usage is not None:
        found.append((key_usage, True))
    if purposes:
        found.append((x509.ExtendedKeyUsage(purposes), False))
    if names:
        found.append((x509.SubjectAlternativeName([_general(name) for name in names]), False))
    return found


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.RFC822Name(name) if "@" in name else x509.DNSName(name)
