"""What a certificate must be to open the TLS ports (spec 2), and what is shown of those that are stored.

Whether a chain leads to a given root is judged by path validation of the ``cryptography`` library (RFC 5280, section
6); the rules here say what else a server's certificate needs, and find words for what the library refuses. All take
certificates as values, and ``now`` in seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from srtpgw.control.certificate_files import CHAIN_MAX, stored_chain
from srtpgw.control.model import Certificate, State
from srtpgw.control.routes import all_routes
from srtpgw.control.times import date_text
from srtpgw.control.vault import label
from srtpgw.errors import CertificateError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

SERVER: Final = "server"  # the row of what the TLS ports show
AUTHORITY: Final = "testbed-ca"  # the row of the testbed's own authority
DAY: Final = 86_400  # seconds
WARN_DAYS: Final = 30  # before the end
RSA_MIN, RSA_MAX = 2048, 8192  # bits; longer ones make a handshake a burden on us
CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
WEAK_HASHES: Final = ("md5", "sha1")
HOST_NAME_MAX, LABEL_MAX = 253, 63  # characters
SHOWN_MAX: Final = 256  # characters of a name that someone else chose; a host name is never cut
NEEDED: Final = "A certificate signed by a certificate authority is required to open the TLS ports."


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A stored certificate, as it is printed. Times are seconds since the epoch; ``days_left`` is negative once over,
    and counts to the first end in the chain."""

    name: str
    role: str
    subject: str
    issuer: str
    san: tuple[str, ...]
    not_before: float
    not_after: float
    days_left: int
    key_type: str
    fingerprint: str  # SHA-256, "AB:CD:..."
    testbed: bool
    in_use: bool
    has_key: bool


def key_label(name: str) -> str:
    """What the private key of the certificate in this row is sealed under."""
    return label(Certificate, "key", name)


def check_server(
    given: Sequence[x509.Certificate], key: PrivateKeyTypes, roots: Sequence[x509.Certificate], now: float
) -> tuple[x509.Certificate, ...]:
    """The chain to show, leaf first, roots left out: ``given`` was sent for the server, ``roots`` are trusted too.
    CertificateError with the first fault found."""
    chain = tuple(dict.fromkeys(given))
    leaf = chain[0]
    _check_key(chain, key)
    _check_leaf(leaf)
    for certificate in chain:
        check_strength(certificate)
        check_dates(certificate, now)
    shown = tuple(one for one in chain if not is_root(one))
    _check_order(shown)
    anchors = [*roots, *(one for one in chain if is_root(one))]
    _verify(leaf, shown[1:], anchors, now)
    return shown


def check_authority(certificate: x509.Certificate, now: float) -> None:
    """Whether this may be trusted as the root of peers' certificates. CertificateError."""
    who = subject_of(certificate)
    if not is_root(certificate):
        raise CertificateError(f"{who} did not sign itself, so it is no root.", "Give the root of its chain.")
    if not _may_sign(certificate):
        raise CertificateError(f"{who} is not a certificate authority.", "Give the authority that signs the peers.")
    check_strength(certificate)
    check_dates(certificate, now)


def check_dates(certificate: x509.Certificate, now: float) -> None:
    """CertificateError where it is expired or not yet valid."""
    who, start, end = subject_of(certificate), _start(certificate), _end(certificate)
    if now > end:
        raise CertificateError(f"{who} expired on {date_text(end)}.", "Get a new one from its authority.")
    if now < start:
        raise CertificateError(f"{who} is not valid before {date_text(start)}.", "Is the clock of this machine right?")


def check_strength(certificate: x509.Certificate) -> None:
    """CertificateError where its key or the signature on it is too weak, or not what TLS 1.2 and 1.3 peers take."""
    from cryptography.exceptions import UnsupportedAlgorithm

    who = subject_of(certificate)
    try:
        fault = _key_fault(certificate.public_key())
        digest = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        fault, digest = "a key or a signature of a kind that is not supported", None
    if fault:
        raise CertificateError(f"{who} has {fault}.", f"Use ECDSA on P-256, or RSA of {RSA_MIN} bits or more.")
    if digest is not None and digest.name in WEAK_HASHES and not is_root(certificate):
        raise CertificateError(f"{who} is signed with {digest.name}, which can be forged.", "Use SHA-256 or better.")


def is_root(certificate: x509.Certificate) -> bool:
    """Whether it signed itself."""
    return certificate.issuer == certificate.subject and _signed_by(certificate, certificate)


def alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Names and addresses that it may be used for: ``gateway.example``, ``192.0.2.1`` (RFC 5280, section 4.2.1.6)."""
    from cryptography import x509

    found = _extension(certificate, x509.SubjectAlternativeName)
    if found is None:
        return ()
    names = found.get_values_for_type(x509.DNSName)
    return (*names, *(str(address) for address in found.get_values_for_type(x509.IPAddress)))


def describe(row: Certificate, state: State, now: float) -> Described:
    """CertificateError where the row is damaged."""
    from cryptography.hazmat.primitives.hashes import SHA256

    chain = stored_chain(row.chain)
    leaf = chain[0]
    return Described(
        name=row.name,
        role=row.role,
        subject=subject_of(leaf),
        issuer=_shown(leaf.issuer.rfc4514_string()),
        san=tuple(map(_shown, alternative_names(leaf))),
        not_before=_start(leaf),
        not_after=_end(leaf),
        days_left=int((min(map(_end, chain)) - now) // DAY),
        key_type=_key_type(leaf),
        fingerprint=leaf.fingerprint(SHA256()).hex(":").upper(),
        testbed=row.testbed,
        in_use=_in_use(row, leaf, state),
        has_key=bool(row.key),
    )


def expiry_warnings(state: State, now: float) -> tuple[str, ...]:
    """What the operator should know of stored certificates, a text each: that they end, or cannot be used."""
    return tuple(text for row in state.certificates.values() if (text := _warning(row, now)))


def subject_of(certificate: x509.Certificate) -> str:
    """The subject, fit to be printed."""
    name = _shown(certificate.subject.rfc4514_string())
    return name or f"Certificate {certificate.serial_number:x}"


def trusted_roots(state: State) -> tuple[x509.Certificate, ...]:
    """Every root that is stored: authorities of peers, and the testbed's own. Rows that are damaged are left out."""
    return tuple(root for row in state.certificates.values() if row.role != "server" for root in _readable(row))


def _readable(row: Certificate) -> tuple[x509.Certificate, ...]:
    try:
        return stored_chain(row.chain)
    except CertificateError:
        return ()


# --- the server's certificate by itself


def _check_key(chain: Sequence[x509.Certificate], key: PrivateKeyTypes) -> None:
    public = _public_octets(key)
    places = [place for place, one in enumerate(chain) if _public_octets(one) == public]
    if places[:1] == [0]:
        return
    if not places:
        raise CertificateError(
            "The private key does not match the certificate.",
            "Give the key that the request for this certificate was made with.",
        )
    raise CertificateError(
        f"The private key matches certificate {places[0] + 1}, not the first one.",
        "Put the server's certificate first, then each authority behind what it signed.",
    )


def _check_leaf(leaf: x509.Certificate) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if is_root(leaf):
        raise CertificateError("The certificate is signed by itself.", NEEDED,
                               "certificate_install --testbed makes an authority for a testbed.")  # fmt: skip
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise CertificateError("The certificate is that of an authority, not of a server.", NEEDED)
    if not usable_names(leaf):
        raise CertificateError(
            "The certificate has no usable subject alternative name (SAN).",
            "Clients do not look at its common name: ask for one with the names and addresses of this gateway.",
        )
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise CertificateError(
            "The certificate's key usage does not allow digital signatures, which TLS needs.",
            "Ask for a server certificate with digitalSignature.",
        )
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    fit = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and not fit & set(purposes):
        raise CertificateError(
            "The certificate is not meant for servers (extended key usage).",
            "Ask for one with serverAuth, and with clientAuth too where trunks ask for our certificate.",
        )


def usable_names(leaf: x509.Certificate) -> tuple[Any, ...]:
    """The alternative names that a client can look for, as the library's subjects."""
    return tuple(subject for name in alternative_names(leaf) if (subject := _subject(name)) is not None)


def _subject(name: str) -> Any:
    from ipaddress import ip_address

    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name.replace("*.", "any.", 1)) if is_host_name(name.removeprefix("*.")) else None


def is_host_name(text: str) -> bool:
    """Whether it is letters, digits and hyphens between dots (RFC 1123, section 2.1), in ASCII, and no address."""
    labels = text.split(".")
    return (
        text.isascii()
        and len(text) <= HOST_NAME_MAX
        and all(0 < len(label) <= LABEL_MAX and label.replace("-", "a").isalnum() for label in labels)
        and not any(label.startswith("-") or label.endswith("-") for label in labels)
        and not labels[-1].isdigit()
    )


# --- the chain


def _check_order(chain: Sequence[x509.Certificate]) -> None:
    for place in range(1, len(chain)):
        lower, upper = chain[place - 1], chain[place]
        if lower.issuer != upper.subject:
            raise CertificateError(
                f"The chain is broken: certificate {place + 1} ({subject_of(upper)}) did not sign certificate {place}.",
                f"Behind {subject_of(lower)} goes {_shown(lower.issuer.rfc4514_string())}.",
            )
        if not _signed_by(lower, upper):
            raise CertificateError(
                f"The chain is broken: the signature on {subject_of(lower)} is not that of {subject_of(upper)}.",
                "The authority has several certificates of this name, or the file was changed: get its chain again.",
            )


def _verify(
    leaf: x509.Certificate, between: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now: float
) -> None:
    """Path validation, constraints on every name of the leaf included. CertificateError."""
    from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

    _check_end((leaf, *between), roots)
    authority, server = _extension_policies()
    builder = PolicyBuilder().store(Store(list(roots))).time(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
    builder = builder.max_chain_depth(CHAIN_MAX).extension_policies(ca_policy=authority, ee_policy=server)
    subject = usable_names(leaf)[0]  # the library wants one to look for
    try:
        builder.build_server_verifier(subject).verify(leaf, list(between))
    except VerificationError as error:
        raise _explained(error, (leaf, *between), roots, now) from None


def _extension_policies() -> tuple[Any, Any]:
    """The library's rules are those of public authorities, which many a company's own one does not keep (no key
    identifiers, no key usage in the root). Only what path validation needs is asked for here; ``_check_leaf`` asks for
    the rest."""
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    anyhow = Criticality.AGNOSTIC
    authority = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, anyhow, None)
        .may_be_present(x509.KeyUsage, anyhow, _signs_certificates)
    )
    server = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, anyhow, None)
    return authority, server


def _signs_certificates(_policy: object, _certificate: object, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority's key usage does not allow it to sign certificates")


def _check_end(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> None:
    """Whether the last certificate's issuer is there at all."""
    last = chain[-1]
    issuers = [root for root in roots if root.subject == last.issuer]
    if any(_signed_by(last, root) for root in issuers) or any(one in roots for one in chain):
        return
    missing = _shown(last.issuer.rfc4514_string())
    if issuers:
        raise CertificateError(
            f"The chain is broken: the signature on {subject_of(last)} is not that of the given root {missing}.",
            "Another authority has the same name, or the file was changed: get the chain again.",
        )
    raise CertificateError(
        f"The chain is broken: the issuer of {subject_of(last)} is missing.",
        f"Give {missing}: with --chain what lies between, with --ca the root.",
    )


def _explained(
    error: Exception, chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now: float
) -> CertificateError:
    """Words for a path that the library refused."""
    from cryptography import x509

    above = [root for root in roots if root.subject == chain[-1].issuer]
    levels = [*enumerate(chain[1:]), *((len(chain) - 1, root) for root in above)]
    for depth, authority in levels:
        constraints = _extension(authority, x509.BasicConstraints)
        if not _may_sign(authority):
            return CertificateError(
                f"The chain is broken: {subject_of(authority)} is not a certificate authority.",
                "Only authorities go between the server's certificate and the root.",
            )
        if constraints.path_length is not None and constraints.path_length < depth:
            return CertificateError(
                f"The chain is broken: {subject_of(authority)} allows {constraints.path_length} authorities below it,"
                f" and there are {depth}.",
                "Its path length forbids this chain: ask the authority for another.",
            )
    for root in above:
        try:
            check_dates(root, now)
        except CertificateError as outdated:
            return outdated
    reason = _shown(str(error).partition(" (encountered")[0].removeprefix("validation failed: "))
    return CertificateError(f"The chain does not verify: {reason}.", "Ask the authority for the right chain.")


def _may_sign(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    return constraints is not None and constraints.ca and (usage is None or usage.key_cert_sign)


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


# --- small things


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    from cryptography.x509 import ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None


def _public_octets(holder: Any) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        octets: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (UnsupportedAlgorithm, ValueError):
        return b""
    return octets


def _key_fault(key: object) -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey):
        return "" if RSA_MIN <= key.key_size <= RSA_MAX else f"an RSA key of {key.key_size} bits"
    if isinstance(key, EllipticCurvePublicKey):
        return "" if key.curve.name in CURVES else f"a key on the curve {key.curve.name}"
    return f"a key of the kind {type(key).__name__.removesuffix('PublicKey')}"


def _key_type(certificate: x509.Certificate) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return "unknown"
    if isinstance(key, EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name.replace('secp', 'P-').removesuffix('r1')}"
    return f"{type(key).__name__.strip('_').removesuffix('PublicKey')} {getattr(key, 'key_size', '')}".strip()


def _in_use(row: Certificate, leaf: x509.Certificate, state: State) -> bool:
    if row.role == "server":
        return bool(row.key)
    if row.role == "trusted":
        return any(route.tls for route in all_routes(state))
    server = state.certificates.get(SERVER)
    return server is not None and any(_signed_by(one, leaf) for one in _readable(server)[:1])


def _warning(row: Certificate, now: float) -> str:
    successor = _successor(row)
    if not row.key and row.role != "trusted":
        return f"certificate {row.name} is without its private key, as from a backup without secrets: {successor}"
    try:
        end = min(map(_end, stored_chain(row.chain)))
    except CertificateError as error:
        return f"certificate {row.name}: {error}"
    if end - now > WARN_DAYS * DAY:
        return ""
    when = (
        f"expired on {date_text(end)}" if now > end else f"ends on {date_text(end)}, in {int((end - now) // DAY)} days"
    )
    return f"certificate {row.name} {when}: {successor}"


def _successor(row: Certificate) -> str:
    """What to do about a certificate that does not last."""
    if row.role == "authority" and not row.key:
        return f"take it away with certificate_install -remove {row.name}, then --testbed makes a new one"
    if row.role == "trusted":
        return f"install its successor with certificate_install --trust FILE -name {row.name}"
    if row.testbed:
        return "certificate_install --testbed makes a new one"
    return "install its successor with certificate_install --cert"


def _start(certificate: x509.Certificate) -> float:
    return certificate.not_valid_before_utc.timestamp()


def _end(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def _shown(text: str) -> str:
    """Names are chosen by others: no control character gets to a terminal, and none is endless."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return plain if len(plain) <= SHOWN_MAX else f"{plain[:SHOWN_MAX]}..."
