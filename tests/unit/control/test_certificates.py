"""What is installed and what is refused, each with its own words: certificates are made for each case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from unit.control.pki import CLIENT_AUTH, DAY, SERVER_AUTH, Party, file, key_pem, leaf, make, root, usage, weak_key
from unit.control.requests import NOW, VAULT, applied, perform, request, state

from srtpgw.control.certificate_files import encode_chain
from srtpgw.control.certificates import SHOWN_MAX, check_strength, describe, expiry_warnings, is_host_name, key_label
from srtpgw.control.commands.table import Outcome
from srtpgw.control.model import Certificate, H323Route, SipRoute
from srtpgw.errors import CertificateError

ROOT = root()
MIDDLE = make("Middle", ROOT, ca=True)
LOWER = make("Lower", MIDDLE, ca=True)
RSA = rsa.generate_private_key(65537, 2048)


def install(
    party: Party, *behind: Party, ca: Party | bytes | None = ROOT, key: bytes = b"", pem: bytes = b"", **more: Any
) -> Outcome:
    """certificate_install with the chain behind the certificate, in its file."""
    given = (pem or party.pem) + b"".join(one.pem for one in behind)
    options: dict[str, Any] = {"cert": file(given), "key": file(key or key_pem(party)), **more}
    if ca is not None:
        options["ca"] = file(ca.pem if isinstance(ca, Party) else ca)
    return perform(request(**options), "certificate_install", "cert")


def installed(outcome: Outcome) -> Certificate:
    assert not outcome.refused, outcome.lines
    row = applied(state(), outcome.changes).certificates["server"]
    assert (row.name, row.role, row.testbed, row.installed) == ("server", "server", False, NOW)
    return row


def test_a_chain_is_stored_without_its_root() -> None:
    server = leaf(LOWER)
    row = installed(install(server, LOWER, MIDDLE, ROOT, ca=None))
    assert row.chain == encode_chain((server.certificate, LOWER.certificate, MIDDLE.certificate))
    assert VAULT.open(key_label("server"), row.key) == key_pem(server)


ACCEPTED: dict[str, Callable[[], Outcome]] = {
    "signed by the root": lambda: install(leaf(ROOT)),
    "chain in a file of its own": lambda: install(leaf(LOWER), chain=file(LOWER.pem + MIDDLE.pem)),
    "chain given twice": lambda: install(leaf(MIDDLE), MIDDLE, chain=file(MIDDLE.pem)),
    "several roots": lambda: install(leaf(ROOT), ca=root("Other").pem + ROOT.pem),
    "an authority between as the root": lambda: install(leaf(LOWER), LOWER, ca=MIDDLE),
    "root without key usage, key usage with it": lambda: install(leaf(ROOT, key_usage=usage("digital_signature"))),
    "address only": lambda: install(leaf(ROOT, ["192.0.2.1"])),
    "IPv6 address only": lambda: install(leaf(ROOT, ["2001:db8::1"])),
    "wildcard": lambda: install(leaf(ROOT, ["*.example"])),
    "a name that is no host name beside one that is": lambda: install(leaf(ROOT, ["a_b.example", "a.example"])),
    "server and client": lambda: install(leaf(ROOT, purposes=[SERVER_AUTH, CLIENT_AUTH])),
    "P-384": lambda: install(leaf(ROOT, key=ec.generate_private_key(ec.SECP384R1()))),
    "RSA 2048": lambda: install(leaf(ROOT, key=RSA)),
    "to its last second": lambda: install(leaf(ROOT, days=(-1, 0))),
    "from its first second": lambda: install(leaf(ROOT, days=(0, 1))),
    "path length kept": lambda: install(leaf(LOWER), LOWER, MIDDLE, ca=root_allowing(2)),
}


def root_allowing(path_length: int) -> Party:
    """The same authority (name and key) with another path length."""
    return root(key=ROOT.key, path_length=path_length)


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_accepted(case: str) -> None:
    installed(ACCEPTED[case]())


def signed_with_sha1() -> Outcome:
    """Nothing here signs with SHA-1 any more, so the algorithm's name is changed: 1.2.840.113549.1.1.11 to ...5."""
    authority = root("RSA", key=RSA)
    server = leaf(authority)
    der = server.der.replace(bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105"))
    assert der != server.der
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    return install(server, ca=authority, pem=pem)


def beneath(authority: Party, *above: Party, names: Sequence[str] = ("gateway.example",)) -> Outcome:
    return install(leaf(authority, names), authority, *above)


def bound_to(domain: str) -> Party:
    """An authority for names of this domain only (RFC 5280, section 4.2.1.10)."""
    return make("Bound", ROOT, ca=True, more=[(x509.NameConstraints([x509.DNSName(domain)], None), True)])


SERVER = leaf(MIDDLE)
LONE = make("gateway.example", names=["gateway.example"])
OLD = root("Old", days=(-100, -1))
SHORT = make("Short", ROOT, ca=True, path_length=0)


REFUSED: dict[str, tuple[Callable[[], Outcome], str]] = {
    "another key": (
        lambda: install(leaf(ROOT), key=key_pem(leaf(ROOT))),
        "The private key does not match the certificate."),
    "the authority's key": (
        lambda: install(leaf(MIDDLE), MIDDLE, key=key_pem(MIDDLE)),
        "The private key matches certificate 2, not the first one."),
    "authority first": (
        lambda: install(MIDDLE, SERVER, key=key_pem(SERVER)),
        "The private key matches certificate 2, not the first one."),
    "signed by itself": (
        lambda: install(LONE, ca=LONE),
        "The certificate is signed by itself."),
    "an authority's": (
        lambda: install(make("Lower", MIDDLE, ca=True, names=["gateway.example"]), MIDDLE),
        "The certificate is that of an authority, not of a server."),
    "expired": (lambda: install(leaf(ROOT, days=(-9, -0.001))), "CN=gateway.example expired on 2027-01-15."),
    "not yet valid": (lambda: install(leaf(ROOT, days=(1, 9))), "CN=gateway.example is not valid before 2027-01-16."),
    "authority between expired": (
        lambda: beneath(make("Middle", ROOT, ca=True, days=(-9, -1))),
        "CN=Middle expired on 2027-01-14."),
    "root expired": (
        lambda: install(leaf(OLD), ca=OLD),
        "CN=Old expired on 2027-01-14."),
    "root expired, in the chain": (
        lambda: install(leaf(OLD), OLD, ca=None),
        "CN=Old expired on 2027-01-14."),
    "common name only": (
        lambda: install(leaf(ROOT, [])),
        "The certificate has no usable subject alternative name (SAN)."),
    "a mail address only": (
        lambda: install(leaf(ROOT, ["a@gateway.example"])),
        "The certificate has no usable subject alternative name (SAN)."),
    "no host name": (
        lambda: install(leaf(ROOT, ["a_b.example"])),
        "The certificate has no usable subject alternative name (SAN)."),
    "key usage": (
        lambda: install(leaf(ROOT, key_usage=usage("key_encipherment"))),
        "The certificate's key usage does not allow digital signatures, which TLS needs."),
    "clients only": (
        lambda: install(leaf(ROOT, purposes=[CLIENT_AUTH])),
        "The certificate is not meant for servers (extended key usage)."),
    "RSA 1024": (
        lambda: install(leaf(ROOT, key=weak_key())),
        "CN=gateway.example has an RSA key of 1024 bits."),
    "authority with RSA 1024": (
        lambda: beneath(make("Middle", ROOT, ca=True, key=weak_key())),
        "CN=Middle has an RSA key of 1024 bits."),
    "curve": (
        lambda: install(leaf(ROOT, key=ec.generate_private_key(ec.SECP256K1()))),
        "CN=gateway.example has a key on the curve secp256k1."),
    "Ed25519": (
        lambda: install(leaf(ROOT, key=ed25519.Ed25519PrivateKey.generate())),
        "CN=gateway.example has a key of the kind Ed25519."),
    "SHA-1": (
        signed_with_sha1,
        "CN=gateway.example is signed with sha1, which can be forged."),
    "no root": (
        lambda: install(leaf(ROOT), ca=None),
        "The chain is broken: the issuer of CN=gateway.example is missing."),
    "authority between missing": (
        lambda: install(leaf(LOWER), LOWER),
        "The chain is broken: the issuer of CN=Lower is missing."),
    "order": (
        lambda: install(leaf(LOWER), MIDDLE, LOWER),
        "The chain is broken: certificate 2 (CN=Middle) did not sign certificate 1."),
    "something else behind it": (
        lambda: install(leaf(ROOT), make("Stranger", root("Strange"), ca=True)),
        "The chain is broken: certificate 2 (CN=Stranger) did not sign certificate 1."),
    "forged": (
        lambda: install(leaf(MIDDLE, signing_key=LOWER.key), MIDDLE),
        "The chain is broken: the signature on CN=gateway.example is not that of CN=Middle."),
    "forged under the root": (
        lambda: install(leaf(ROOT, signing_key=LOWER.key)),
        "The chain is broken: the signature on CN=gateway.example is not that of the given root CN=Root."),
    "another root of that name": (
        lambda: install(leaf(ROOT), ca=root()),
        "The chain is broken: the signature on CN=gateway.example is not that of the given root CN=Root."),
    "signed by a server": (
        lambda: beneath(make("Plain", ROOT, ca=False)),
        "The chain is broken: CN=Plain is not a certificate authority."),
    "signed by what says nothing": (
        lambda: beneath(make("Plain", ROOT)),
        "The chain is broken: CN=Plain is not a certificate authority."),
    "signed by what may not sign": (
        lambda: beneath(make("Mute", ROOT, ca=True, key_usage=usage("crl_sign"))),
        "The chain is broken: CN=Mute is not a certificate authority."),
    "path length": (
        lambda: beneath(make("Low", SHORT, ca=True), SHORT),
        "The chain is broken: CN=Short allows 0 authorities below it, and there are 1."),
    "path length of the root": (
        lambda: install(leaf(LOWER), LOWER, MIDDLE, ca=root_allowing(1)),
        "The chain is broken: CN=Root allows 1 authorities below it, and there are 2."),
    "name constraint": (
        lambda: beneath(bound_to("other.example")), "The chain does not verify: "),
    "name constraint on the second name": (
        lambda: beneath(bound_to("example"), names=["a.example", "b.test"]), "The chain does not verify: "),
    "unknown critical extension": (
        lambda: install(leaf(ROOT, more=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)])),
        "The chain does not verify: "),
    "control characters in a name": (
        lambda: install(make("\x1b[2J\r\n", ROOT, names=["a.example"], days=(-9, -1))),
        "CN=?[2J?? expired on 2027-01-14."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_why(case: str) -> None:
    attempt, reason = REFUSED[case]
    outcome = attempt()
    assert outcome.refused
    ours = not reason.endswith(": ")  # behind the colon stand the library's words
    assert outcome.lines[0] == reason if ours else outcome.lines[0].startswith(reason)
    assert len(outcome.lines) >= 2, "what to do is missing"
    assert outcome.changes == ()
    assert outcome.value == {"refused": list(outcome.lines)}


def test_the_reasons_differ() -> None:
    texts = {reason for _, reason in REFUSED.values()}
    assert len(texts) >= 26


def test_a_stored_root_counts() -> None:
    trusted = Certificate("corporate", "trusted", encode_chain((ROOT.certificate,)), b"", False, NOW)
    server = leaf(ROOT)
    options: dict[str, Any] = {"cert": file(server.pem), "key": file(key_pem(server))}
    assert perform(request(**options), "certificate_install", "cert").refused
    assert not perform(request(state(trusted), **options), "certificate_install", "cert").refused


# --- what is shown


def row(name: str, role: Any, *chain: Party, testbed: bool = False) -> Certificate:
    return Certificate(name, role, encode_chain(tuple(one.certificate for one in chain)), b"sealed", testbed, NOW)


def test_what_is_shown() -> None:
    server = leaf(MIDDLE, days=(-2, 10.5))
    shown = describe(row("server", "server", server, MIDDLE), state(), NOW)
    assert shown.subject == "CN=gateway.example"
    assert shown.issuer == "CN=Middle"
    assert shown.san == ("gateway.example", "192.0.2.1")
    assert (shown.not_before, shown.not_after) == (NOW - 2 * DAY, NOW + 10.5 * DAY)
    assert shown.days_left == 10
    assert shown.key_type == "ECDSA P-256"
    assert shown.fingerprint.replace(":", "").lower() == server.certificate.fingerprint(hashes.SHA256()).hex()
    assert shown.in_use


@pytest.mark.parametrize(("days", "left"), [((-2, 1), 1), ((-2, 0.5), 0), ((-2, -0.5), -1), ((-9, -2.5), -3)])
def test_days_left(days: tuple[float, float], left: int) -> None:
    assert describe(row("server", "server", leaf(ROOT, days=days)), state(), NOW).days_left == left


def test_a_key_that_makes_handshakes_a_burden_is_refused() -> None:
    """Of 8,193 bits and more; a modulus that nobody can factor is not needed for that, and takes minutes."""
    for bits in (8192, 8193):
        modulus = rsa.RSAPublicNumbers(65537, (1 << bits) - 1).public_key()
        certificate = make("x", ROOT, public=modulus).certificate
        if bits == 8192:
            check_strength(certificate)
        else:
            with pytest.raises(CertificateError, match="RSA key of 8193 bits"):
                check_strength(certificate)


def test_long_names_are_cut() -> None:
    shown = describe(row("server", "server", leaf(ROOT, ["a" * 253, "b" * 5000])), state(), NOW)
    assert shown.san == ("a" * 253, "b" * SHOWN_MAX + "...")


def test_the_first_end_in_the_chain_counts() -> None:
    middle = make("Middle", ROOT, ca=True, days=(-1, 5))
    assert describe(row("server", "server", leaf(middle), middle), state(), NOW).days_left == 5


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (ec.generate_private_key(ec.SECP521R1()), "ECDSA P-521"),
        (ec.generate_private_key(ec.SECP256K1()), "ECDSA P-256k1"),
        (weak_key(), "RSA 1024"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
)
def test_key_types(key: Any, shown: str) -> None:
    assert describe(row("x", "trusted", leaf(ROOT, key=key)), state(), NOW).key_type == shown


def test_an_authority_is_in_use_where_a_trunk_has_tls() -> None:
    trusted = row("corporate", "trusted", ROOT)
    assert not describe(trusted, state(SipRoute(1, "tcp", "192.0.2.9", 5060, (), ())), NOW).in_use
    assert describe(trusted, state(SipRoute(1, "tls", "192.0.2.9", 5061, (), ())), NOW).in_use
    assert describe(trusted, state(H323Route(5, "192.0.2.9", 1300, True)), NOW).in_use
    own = row("testbed-ca", "authority", ROOT, testbed=True)
    assert describe(own, state(row("server", "server", leaf(ROOT))), NOW).in_use
    assert not describe(own, state(row("server", "server", leaf(MIDDLE), MIDDLE)), NOW).in_use


def test_ends_are_told_of_in_time() -> None:
    rows = (
        row("server", "server", leaf(ROOT, days=(-1, 29.5)), testbed=True),
        row("fresh", "trusted", root("Fresh", days=(-1, 31))),
        row("old", "trusted", root("Old", days=(-9, -1))),
        row("torn", "trusted"),
    )
    assert expiry_warnings(state(*rows), NOW) == (
        "certificate old expired on 2027-01-14: install its successor with certificate_install --trust FILE -name old",
        "certificate server ends on 2027-02-13, in 29 days: certificate_install --testbed makes a new one",
        "certificate torn: The stored chain is empty. Install it again.",
    )


@pytest.mark.parametrize("name", ["a", "localhost", "a.example", "xn--nxasmq6b", "a-b.c9", "A.B", "9.example"])
def test_host_names(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "*.a", "a b", "ä.example", "1.2.3.4",
                                  "a" * 64, "a." * 127 + "a", "a\n", "::1", "1"])  # fmt: skip
def test_what_is_no_host_name(name: str) -> None:
    assert not is_host_name(name)
