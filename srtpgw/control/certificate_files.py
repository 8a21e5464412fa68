"""Reading what an authority sent: certificates and private keys as PEM or DER, and both together as PKCS#12.

Files are anybody's: sizes and counts are bounded before anything is parsed, every field that is used later is read
once here, and each fault is a CertificateError that says what to do. No message holds anything of a key.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from srtpgw.control.work_factor import too_slow
from srtpgw.errors import CertificateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

FILE_MAX: Final = 1 << 20  # octets
CHAIN_MAX: Final = 10  # certificates, the server's included
BUNDLE_MAX: Final = 512  # authorities in one file: a system's whole store has 150
PASSPHRASE_MAX: Final = 1023  # octets; OpenSSL takes no more

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_KEY_LABEL: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_DER_SEQUENCE: Final = b"\x30"
_FORMS: Final = "Give PEM (-----BEGIN ...) or DER; for PKCS#12 (.p12, .pfx) use --pkcs12."


@dataclass(frozen=True, slots=True, repr=False)
class Bundle:
    """What a PKCS#12 file holds: the key, and the certificates, the server's first."""

    key: PrivateKeyTypes
    chain: tuple[Certificate, ...]

    def __repr__(self) -> str:
        return f"Bundle({len(self.chain)} certificates, ...)"


def read_certificates(what: str, octets: bytes, most: int = CHAIN_MAX) -> tuple[Certificate, ...]:
    """The certificates of a file, in its order; ``what`` names it in texts ("chain file"). CertificateError."""
    _check_size(what, octets)
    if _KEY_LABEL.search(octets):
        raise CertificateError(
            f"The {what} holds a private key.",
            "Take it out, and give it with --key only: certificates are handed around, keys never.",
        )
    try:
        encoded = [block for label, block in _pem_blocks(octets) if label in {b"CERTIFICATE", b"X509 CERTIFICATE"}]
    except _Torn:
        raise _unreadable(what) from None
    if not encoded and octets[:1] != _DER_SEQUENCE:
        raise CertificateError(f"The {what} holds no certificate.", _FORMS)
    return _load_all(what, encoded or [octets], most)


def read_key(octets: bytes, passphrase: str) -> PrivateKeyTypes:
    """The one private key of a file; ``passphrase`` is used where it is encrypted. CertificateError."""
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    what = "key file"
    _check_size(what, octets)
    try:
        keys = [block for label, block in _pem_blocks(octets) if label.endswith(b"PRIVATE KEY")]
    except _Torn:
        raise _unreadable_key() from None
    if len(keys) > 1:
        raise CertificateError("The key file holds several private keys.", "Leave the one of this certificate in it.")
    if not keys and octets[:1] != _DER_SEQUENCE:
        raise CertificateError("The key file holds no private key.", _FORMS)
    load = load_pem_private_key if keys else load_der_private_key
    data = keys[0] if keys else octets
    try:
        return load(data, None)
    except TypeError:  # it is encrypted
        pass
    except Exception:  # noqa: BLE001 - hostile octets; what the library raises is no fixed list
        raise _unreadable_key() from None
    return _decrypt(load, data, passphrase)


def read_bundle(octets: bytes, passphrase: str) -> Bundle:
    """A PKCS#12 file (RFC 7292). CertificateError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    what = "PKCS#12 file"
    _check_size(what, octets)
    _check_work(what, octets)
    password = _encoded(passphrase)
    try:
        loaded = load_pkcs12(octets, password)
    except UnsupportedAlgorithm:
        raise CertificateError(
            "The PKCS#12 file is encrypted by an old method that is not supported.", "Export it again with AES."
        ) from None
    except Exception:  # noqa: BLE001 - hostile octets; what the library raises is no fixed list
        raise CertificateError(
            "The PKCS#12 file cannot be opened: the passphrase is wrong, or the file is damaged.",
            "Give the passphrase that it was exported with.",
        ) from None
    if loaded.key is None or loaded.cert is None:
        raise CertificateError(
            "The PKCS#12 file lacks the private key or its certificate.",
            "Export the certificate with its key (Windows: 'Yes, export the private key').",
        )
    chain = [loaded.cert.certificate, *(extra.certificate for extra in loaded.additional_certs)]
    if len(chain) > CHAIN_MAX:
        raise _too_many(what, CHAIN_MAX)
    return Bundle(loaded.key, tuple(_whole(what, certificate) for certificate in chain))


def stored_chain(pem: str) -> tuple[Certificate, ...]:
    """A chain as it is stored, leaf first. CertificateError where the row is damaged."""
    what = "stored chain"
    if not pem:
        raise CertificateError(f"The {what} is empty.", "Install it again.")
    return read_certificates(what, pem.encode())


def encode_chain(chain: tuple[Certificate, ...]) -> str:
    """PEM, in this order."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)


def encode_key(key: PrivateKeyTypes) -> bytes:
    """PKCS#8 as PEM, in clear: to be sealed at once."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _check_size(what: str, octets: bytes) -> None:
    if not octets:
        raise CertificateError(f"The {what} is empty.", _FORMS)
    if len(octets) > FILE_MAX:
        raise CertificateError(f"The {what} is larger than {FILE_MAX} octets.", "Leave in it what belongs there.")


def _check_work(what: str, octets: bytes) -> None:
    if too_slow(octets):
        raise CertificateError(
            f"The {what} asks for more work to derive its key than any honest one does.",
            "Export it again with the usual number of iterations.",
        )


class _Torn(Exception):
    """A PEM block without its end."""


def _pem_blocks(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Label and text of each PEM block (RFC 7468), whatever stands between them. _Torn: and no further, so that the
    file is gone through once."""
    place = 0
    while begin := _BEGIN.search(octets, place):
        end = b"-----END " + begin[1] + b"-----"
        found = octets.find(end, begin.end())
        if found < 0:
            raise _Torn
        place = found + len(end)
        yield begin[1], octets[begin.start() : place]


def _load_all(what: str, encoded: list[bytes], most: int) -> tuple[Certificate, ...]:
    if len(encoded) > most:
        raise _too_many(what, most)
    return tuple(_load(what, each) for each in encoded)


def _load(what: str, encoded: bytes) -> Certificate:
    from cryptography import x509

    load = x509.load_der_x509_certificate if encoded[:1] == _DER_SEQUENCE else x509.load_pem_x509_certificate
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what the library only warns of (a negative serial) is refused
        try:
            certificate = load(encoded)
        except Exception:  # noqa: BLE001 - hostile octets; what the library raises is no fixed list
            raise _unreadable(what) from None
    return _whole(what, certificate)


def _whole(what: str, certificate: Certificate) -> Certificate:
    """The certificate, once all that is parsed late was parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            _ = (certificate.subject, certificate.issuer, certificate.serial_number, list(certificate.extensions))
            _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        except Exception:  # noqa: BLE001 - hostile octets; what the library raises is no fixed list
            raise _unreadable(what) from None
    return certificate


def _decrypt(load: Callable[[bytes, bytes | None], PrivateKeyTypes], data: bytes, passphrase: str) -> PrivateKeyTypes:
    if not passphrase:
        raise CertificateError("The private key is encrypted.", "Give --passphrase; alone it asks for it.")
    _check_work("key file", data)
    password = _encoded(passphrase)
    try:
        return load(data, password)
    except Exception:  # noqa: BLE001 - hostile octets; what the library raises is no fixed list
        raise CertificateError(
            "The private key cannot be decrypted: the passphrase is wrong, or the file is damaged.",
            "Give the passphrase that the key was written with.",
        ) from None


def _encoded(passphrase: str) -> bytes | None:
    octets = passphrase.encode("utf-8", "surrogateescape")
    if len(octets) > PASSPHRASE_MAX:
        raise CertificateError(f"The passphrase is longer than {PASSPHRASE_MAX} octets.", "Give the right one.")
    return octets or None


def _unreadable(what: str) -> CertificateError:
    return CertificateError(f"A certificate in the {what} cannot be read.", "It is torn or damaged: get it again.")


def _unreadable_key() -> CertificateError:
    return CertificateError("The private key cannot be read.", "It is torn, damaged or of an unknown kind.")


def _too_many(what: str, most: int) -> CertificateError:
    return CertificateError(f"The {what} holds more than {most} certificates.", "Leave in it what belongs there.")
