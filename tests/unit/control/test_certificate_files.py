"""Reading certificates and keys: every form that is taken, and hostile files, of which none gets past its bounds."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from support import campaign
from unit.control.pki import bundle, key_pem, leaf, make, mutated, root

from srtpgw.control.certificate_files import (
    BUNDLE_MAX,
    CHAIN_MAX,
    FILE_MAX,
    PASSPHRASE_MAX,
    encode_chain,
    encode_key,
    read_bundle,
    read_certificates,
    read_key,
    stored_chain,
)
from srtpgw.control.work_factor import DEPTH_MAX, ITERATIONS_MAX, SCRYPT_BLOCKS_MAX, too_slow
from srtpgw.errors import CertificateError

ROOT = root()
MIDDLE = make("Middle", ROOT, ca=True)
SERVER = leaf(MIDDLE)
PASSPHRASE = "Sesam, öffne dich"  # noqa: S105 - of keys that this file makes
RSA = rsa.generate_private_key(65537, 2048)
MUTATIONS = campaign(3000)


def encoded(how: Encoding, form: PrivateFormat, key: Any = SERVER.key, under: str = "") -> bytes:
    seal = serialization.BestAvailableEncryption(under.encode()) if under else NoEncryption()
    octets: bytes = key.private_bytes(how, form, seal)
    return octets


# --- forms that are taken

CERTIFICATES: dict[str, bytes] = {
    "PEM": SERVER.pem + MIDDLE.pem,
    "with text around it": b"subject=CN=x\r\n"
    + SERVER.pem.replace(b"\n", b"\r\n")
    + b"issuer=y\n"
    + MIDDLE.pem
    + b"\n\n",
    "with something else between": SERVER.pem
    + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
    + MIDDLE.pem,
}


@pytest.mark.parametrize("form", CERTIFICATES)
def test_certificates_in_pem(form: str) -> None:
    assert read_certificates("chain file", CERTIFICATES[form]) == (SERVER.certificate, MIDDLE.certificate)


def test_a_certificate_in_der() -> None:
    assert read_certificates("certificate file", SERVER.der) == (SERVER.certificate,)


def test_a_chain_is_stored_and_read_again() -> None:
    chain = (SERVER.certificate, MIDDLE.certificate)
    assert stored_chain(encode_chain(chain)) == chain


EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

KEYS: dict[str, tuple[bytes, str]] = {
    "PKCS#8": (encoded(Encoding.PEM, PrivateFormat.PKCS8), ""),
    "SEC1": (encoded(Encoding.PEM, PrivateFormat.TraditionalOpenSSL), ""),
    "SEC1 behind its parameters": (EC_PARAMETERS + encoded(Encoding.PEM, PrivateFormat.TraditionalOpenSSL), ""),
    "DER": (encoded(Encoding.DER, PrivateFormat.PKCS8), ""),
    "with the certificate beside it": (SERVER.pem + encoded(Encoding.PEM, PrivateFormat.PKCS8), ""),
    "encrypted": (encoded(Encoding.PEM, PrivateFormat.PKCS8, under=PASSPHRASE), PASSPHRASE),
    "encrypted DER": (encoded(Encoding.DER, PrivateFormat.PKCS8, under=PASSPHRASE), PASSPHRASE),
    "encrypted in the old way": (encoded(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, under="old"), "old"),
    "a passphrase that is not needed": (encoded(Encoding.PEM, PrivateFormat.PKCS8), PASSPHRASE),
}


@pytest.mark.parametrize("form", KEYS)
def test_keys(form: str) -> None:
    octets, passphrase = KEYS[form]
    assert encode_key(read_key(octets, passphrase)) == encoded(Encoding.PEM, PrivateFormat.PKCS8)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_a_bundle(passphrase: str) -> None:
    read = read_bundle(bundle(SERVER, [MIDDLE], passphrase.encode()), passphrase)
    assert read.chain == (SERVER.certificate, MIDDLE.certificate)
    assert encode_key(read.key) == key_pem(SERVER)
    assert "PRIVATE" not in repr(read)


# --- what is refused


def refusal(read: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(CertificateError) as caught:
        read(*arguments)
    assert len(caught.value.lines) >= 2, "what to do is missing"
    return caught.value.lines[0]


TORN = SERVER.pem[:200] + SERVER.pem[210:]
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "The chain file is empty."),
    "text": (b"Dear customer, your certificate is attached.", "The chain file holds no certificate."),
    "zeros": (bytes(1000), "The chain file holds no certificate."),
    "a request": (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
                  "The chain file holds no certificate."),
    "torn in the middle": (TORN, "A certificate in the chain file cannot be read."),
    "cut": (SERVER.pem[:300], "A certificate in the chain file cannot be read."),
    "cut in the second": (SERVER.pem + MIDDLE.pem[:300], "A certificate in the chain file cannot be read."),
    "thirty thousand beginnings": (b"-----BEGIN CERTIFICATE-----\n" * 30_000,
                                "A certificate in the chain file cannot be read."),
    "DER that is cut": (SERVER.der[:-1], "A certificate in the chain file cannot be read."),
    "DER of something else": (encoded(Encoding.DER, PrivateFormat.PKCS8),
                              "A certificate in the chain file cannot be read."),
    "no base64": (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
                  "A certificate in the chain file cannot be read."),
    "too large": (SERVER.pem + b" " * FILE_MAX, f"The chain file is larger than {FILE_MAX} octets."),
    "too many": (SERVER.pem * (CHAIN_MAX + 1), f"The chain file holds more than {CHAIN_MAX} certificates."),
    "a key": (SERVER.pem + key_pem(SERVER), "The chain file holds a private key."),
    "an encrypted key": (SERVER.pem + key_pem(SERVER, b"secret"), "The chain file holds a private key."),
    "half a key": (SERVER.pem + key_pem(SERVER)[:50], "The chain file holds a private key."),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_certificate_files_that_are_refused(case: str) -> None:
    octets, reason = FILES[case]
    assert refusal(read_certificates, "chain file", octets) == reason


def test_a_bundle_of_authorities_is_bounded() -> None:
    assert len(read_certificates("CA file", ROOT.pem * BUNDLE_MAX, BUNDLE_MAX)) == BUNDLE_MAX
    assert "more than" in refusal(read_certificates, "CA file", ROOT.pem * (BUNDLE_MAX + 1), BUNDLE_MAX)


ENCRYPTED = key_pem(SERVER, b"right")
PUBLIC = SERVER.key.public_key().public_bytes(Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
KEY_FILES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "", "The key file is empty."),
    "certificate only": (SERVER.pem, "", "The key file holds no private key."),
    "text": (b"1234567", "", "The key file holds no private key."),
    "public key": (PUBLIC, "", "The key file holds no private key."),
    "two keys": (key_pem(SERVER) + key_pem(MIDDLE), "", "The key file holds several private keys."),
    "damaged": (key_pem(SERVER)[:60] + b"AAAA" + key_pem(SERVER)[64:], "", "The private key cannot be read."),
    "DER of something else": (SERVER.der, "", "The private key cannot be read."),
    "too large": (key_pem(SERVER) + b"\n" * FILE_MAX, "", f"The key file is larger than {FILE_MAX} octets."),
    "no passphrase": (ENCRYPTED, "", "The private key is encrypted."),
    "wrong passphrase": (ENCRYPTED, "wrong",
                         "The private key cannot be decrypted: the passphrase is wrong, or the file is damaged."),
    "endless passphrase": (ENCRYPTED, "x" * (PASSPHRASE_MAX + 1),
                           f"The passphrase is longer than {PASSPHRASE_MAX} octets."),
    "another key damaged by a wrong factor": (encoded(Encoding.DER, PrivateFormat.PKCS8, RSA)[:-9] + bytes(9), "",
                                              "The private key cannot be read."),
}  # fmt: skip


@pytest.mark.parametrize("case", KEY_FILES)
def test_key_files_that_are_refused(case: str) -> None:
    octets, passphrase, reason = KEY_FILES[case]
    assert refusal(read_key, octets, passphrase) == reason


P12 = bundle(SERVER, [MIDDLE], b"right")
BUNDLES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "", "The PKCS#12 file is empty."),
    "no passphrase": (P12, "", "The PKCS#12 file cannot be opened: the passphrase is wrong, or the file is damaged."),
    "wrong passphrase": (P12, "left",
                         "The PKCS#12 file cannot be opened: the passphrase is wrong, or the file is damaged."),
    "PEM": (SERVER.pem, "", "The PKCS#12 file cannot be opened: the passphrase is wrong, or the file is damaged."),
    "too large": (P12 + bytes(FILE_MAX), "right", f"The PKCS#12 file is larger than {FILE_MAX} octets."),
    "too many": (bundle(SERVER, [MIDDLE] * CHAIN_MAX, b""), "",
                 f"The PKCS#12 file holds more than {CHAIN_MAX} certificates."),
    "no key": (pkcs12.serialize_key_and_certificates(None, None, SERVER.certificate, None, NoEncryption()), "",
               "The PKCS#12 file lacks the private key or its certificate."),
    "another's key": (pkcs12.serialize_key_and_certificates(None, SERVER.key, None, None, NoEncryption()), "",
                      "The PKCS#12 file lacks the private key or its certificate."),
}  # fmt: skip


@pytest.mark.parametrize("case", BUNDLES)
def test_bundles_that_are_refused(case: str) -> None:
    octets, passphrase, reason = BUNDLES[case]
    assert refusal(read_bundle, octets, passphrase) == reason


def test_no_refusal_shows_a_passphrase_or_a_key() -> None:
    marked = "Marked-7Secret"
    for read, octets in ((read_key, ENCRYPTED), (read_bundle, P12)):
        with pytest.raises(CertificateError) as caught:
            read(octets, marked)
        error: BaseException | None = caught.value
        while error is not None:
            assert marked not in f"{error!r} {error} {error.args}"
            error = error.__context__


# --- any octets


@pytest.mark.parametrize("what", ["certificate", "chain", "key", "encrypted key", "bundle"])
def test_whatever_stands_in_a_file_it_is_read_or_refused(what: str) -> None:
    chance = random.Random(what)
    samples: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
        "certificate": (SERVER.der, lambda octets: read_certificates("x", octets)),
        "chain": (SERVER.pem + MIDDLE.pem, lambda octets: read_certificates("x", octets)),
        "key": (encoded(Encoding.DER, PrivateFormat.PKCS8), lambda octets: read_key(octets, "")),
        "encrypted key": (cheap_key(), lambda octets: read_key(octets, "wrong")),
        "bundle": (bundle(SERVER, [MIDDLE], b""), lambda octets: read_bundle(octets, "")),
    }
    octets, read = samples[what]
    refused = 0
    for _ in range(MUTATIONS):
        try:
            read(mutated(octets, chance))
        except CertificateError:
            refused += 1
    assert refused > MUTATIONS // 4


# --- files that ask for endless work


def cheap_key() -> bytes:
    """Encrypted, and quickly tried."""
    return with_count(encoded(Encoding.DER, PrivateFormat.PKCS8, under="right"), 1)


def with_count(der: bytes, count: int) -> bytes:
    """An encrypted PKCS#8 key with this count of iterations. Its decryption fails; when, is what counts."""
    places = [match.start() for match in re.finditer(rb"\x02\x02\x08\x00", der)]
    assert len(places) == 1, "the library's count is not 2048 any more"
    number = count.to_bytes(count.bit_length() // 8 + 1, "big")
    changed = bytearray(der[: places[0]] + b"\x02" + bytes([len(number)]) + number + der[places[0] + 4 :])
    return lengthened(der, bytes(changed), places[0], len(number) - 2)


def lengthened(before: bytes, after: bytes, place: int, by: int) -> bytes:
    """With the lengths of all that encloses this place mended."""
    mended = bytearray(after)

    def walk(start: int, end: int) -> None:
        at = start
        while at < end:
            size = before[at + 1]
            head = 2 if size < 0x80 else 2 + (size & 0x7F)
            length = size if size < 0x80 else int.from_bytes(before[at + 2 : at + head], "big")
            if at < place < at + head + length:
                if head == 2:
                    mended[at + 1] = length + by
                else:
                    mended[at + 2 : at + head] = (length + by).to_bytes(head - 2, "big")
                walk(at + head, at + head + length)
            at += head + length

    walk(0, len(before))
    return bytes(mended)


HONEST = encoded(Encoding.DER, PrivateFormat.PKCS8, under="right")


def pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    label = b"ENCRYPTED PRIVATE" + b" KEY"
    return b"-----BEGIN " + label + b"-----\n" + body + b"-----END " + label + b"-----\n"


@pytest.mark.parametrize("form", [bytes, pem])
def test_an_endless_count_of_iterations_is_refused(form: Callable[[bytes], bytes]) -> None:
    assert not too_slow(form(HONEST))
    assert not too_slow(form(with_count(HONEST, ITERATIONS_MAX)))
    for count in (ITERATIONS_MAX + 1, 1 << 31, 1 << 63, 1 << 100):
        endless = form(with_count(HONEST, count))
        assert too_slow(endless)
        assert "more work" in refusal(read_key, endless, "right") or count > 1 << 30  # the library's own limit


def der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    length = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + length + body


def number(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def scrypt_key(cost: int, block: int, parallel: int) -> bytes:
    """EncryptedPrivateKeyInfo under scrypt (RFC 7914, section 7)."""
    scrypt = der(0x30, der(0x06, bytes.fromhex("2b06010401da47040b")),
                 der(0x30, der(0x04, bytes(8)), number(cost), number(block), number(parallel), number(32)))  # fmt: skip
    cipher = der(0x30, der(0x06, bytes.fromhex("60864801650304012a")), der(0x04, bytes(16)))
    scheme = der(0x30, der(0x06, bytes.fromhex("2a864886f70d01050d")), der(0x30, scrypt, cipher))
    return der(0x30, scheme, der(0x04, bytes(48)))


@pytest.mark.parametrize(
    ("cost", "block", "parallel", "slow"),
    [(16384, 8, 1, False), (SCRYPT_BLOCKS_MAX // 8, 8, 1, False), (SCRYPT_BLOCKS_MAX // 8, 8, 2, True),
     (1 << 40, 8, 1, True), (2, 1 << 30, 1, True), (2, 1, 1 << 30, True)],
)  # fmt: skip
def test_scrypt_is_bounded(cost: int, block: int, parallel: int, slow: bool) -> None:
    assert too_slow(scrypt_key(cost, block, parallel)) is slow


def p12_with(contents: bytes, count: int) -> bytes:
    """A PKCS#12 file (RFC 7292, section 4) with this in it, and a checksum of so many iterations."""
    data = der(0x30, der(0x06, bytes.fromhex("2a864886f70d010701")), der(0xA0, der(0x04, der(0x30, contents))))
    digest = der(0x30, der(0x30, der(0x06, bytes.fromhex("2b0e03021a"))), der(0x04, bytes(20)))
    return der(0x30, number(3), data, der(0x30, digest, der(0x04, bytes(8)), number(count)))


def encrypted_bag(count: int) -> bytes:
    """ContentInfo of a bag under a PKCS#12 function (RFC 7292, appendix C)."""
    scheme = der(0x30, der(0x06, bytes.fromhex("2a864886f70d010c0103")), der(0x30, der(0x04, bytes(8)), number(count)))
    inner = der(
        0x30, number(0), der(0x30, der(0x06, bytes.fromhex("2a864886f70d010701")), scheme, der(0x80, bytes(64)))
    )
    return der(0x30, der(0x06, bytes.fromhex("2a864886f70d010706")), der(0xA0, inner))


def test_pkcs12_is_bounded() -> None:
    assert not too_slow(P12)
    assert not too_slow(p12_with(encrypted_bag(2048), 2048))
    assert too_slow(p12_with(encrypted_bag(2048), ITERATIONS_MAX + 1))
    assert too_slow(p12_with(encrypted_bag(ITERATIONS_MAX + 1), 2048))
    assert too_slow(p12_with(encrypted_bag(ITERATIONS_MAX + 1), 2048) + b"behind it")
    assert "more work" in refusal(read_bundle, p12_with(encrypted_bag(1 << 31), 2048), "right")


def test_what_hides_its_counts_is_refused() -> None:
    nested = der(0x30, encrypted_bag(2048))
    for _ in range(DEPTH_MAX):
        nested = der(0x30, nested)
    open_length = b"\x30\x80" + number(3) + b"\0\0"
    assert too_slow(nested)
    assert too_slow(open_length)
    assert too_slow(p12_with(b"", 1).replace(der(0x04, der(0x30)), der(0x04, b"\x30\x80")))
    assert too_slow(der(0x30, der(0x24, der(0x04, b"ab"))))


def test_other_octets_ask_for_no_work() -> None:
    for octets in (b"", b"text", SERVER.der, SERVER.pem, key_pem(SERVER), encoded(Encoding.DER, PrivateFormat.PKCS8)):
        assert not too_slow(octets)
