"""certificate_install, certificate_print: what the TLS ports show, and whose certificates trunks may have (spec 2)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from srtpgw.control import authority, certificates
from srtpgw.control import certificate_files as files
from srtpgw.control.certificates import AUTHORITY, SERVER, WARN_DAYS, Described
from srtpgw.control.commands.table import Action, Command, FileContent, Option, Outcome, Request, refused
from srtpgw.control.model import Certificate, Put, Remove
from srtpgw.control.times import date_text, time_text
from srtpgw.errors import CertificateError, VaultError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

TRUSTED_MAX = 64  # authorities: each is looked at in every handshake of a trunk
_ROW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def _name(text: str) -> str:
    """What a certificate may be for, or what an authority may be called."""
    if not _ROW_NAME.fullmatch(text) and not authority.usable((text,)):
        raise ValueError("is neither a host name, an address, nor a name of up to 63 letters, digits, dots and hyphens")
    return text


def _file(key: str, text: str) -> Option:
    return Option(key=key, names=(f"--{key}",), kind="file", metavar="FILE", file_max=files.FILE_MAX, help=text)


COMMANDS: Final = (
    Command(
        name="certificate_install",
        summary="Install the certificate of the TLS ports, make a testbed's, or trust an authority of trunks' peers.",
        actions=(
            Action(
                key="cert",
                effect="certificate:install",
                summary="Install a certificate that an authority signed, in the place of the one before.",
                chosen_by=_file("cert", "The server's certificate; the chain may stand behind it."),
                needs=("key",),
                takes=("chain", "ca", "passphrase"),
            ),
            Action(
                key="pkcs12",
                effect="certificate:install_bundle",
                summary="The same from a PKCS#12 file (.p12, .pfx), which holds key and certificates.",
                chosen_by=_file("pkcs12", "The PKCS#12 file."),
                takes=("ca", "passphrase"),
            ),
            Action(
                key="testbed",
                effect="certificate:testbed",
                summary="Make a new certificate for this testbed, signed by the testbed's own authority.",
                chosen_by=Option(key="testbed", names=("--testbed",), kind="flag", help="For testbeds and demos only."),
                takes=("names",),
            ),
            Action(
                key="trust",
                effect="certificate:trust",
                summary="Trust an authority: TLS trunks may have certificates that it signed.",
                chosen_by=_file("trust", "The authority's own certificate."),
                needs=("names",),
            ),
            Action(
                key="remove",
                effect="certificate:remove",
                summary="Take a certificate away.",
                chosen_by=Option(key="remove", names=("-remove", "--remove"), metavar="NAME",
                                 help="Its name, as certificate_print shows it."),
            ),
        ),
        options=(
            _file("key", "The private key of the certificate."),
            _file("chain", "The authorities between the certificate and the root, each behind what it signed."),
            _file("ca", "Roots that the chain may lead to, such as /etc/ssl/certs/ca-certificates.crt."),
            Option(key="passphrase", names=("--passphrase",), kind="secret", metavar="TEXT",
                   prompt="Passphrase of the private key", help="For an encrypted key; alone it asks for it."),
            Option(key="names", names=("-name", "--name"), metavar="NAME", multiple=True, read=_name,
                   help="With --testbed: a name or address of the gateway beside localhost, or several (omitted: those"
                        " of the one before). With --trust: what the authority is called here."),
        ),
        texts=(
            ("The private key does not match the certificate.", "the key is another certificate's"),
            ("The certificate is signed by itself.", certificates.NEEDED),
            ("The chain is broken: ...", "order, a missing issuer, a wrong signature, or what is no authority"),
            ("SUBJECT expired on DATE.", "any certificate of the chain"),
            ("SUBJECT is not valid before DATE.", "any certificate of the chain; or the clock is wrong"),
            ("The certificate has no usable subject alternative name (SAN).", "a common name alone is not enough"),
            ("The certificate is not meant for servers (extended key usage).", "it lacks serverAuth"),
            ("SUBJECT has an RSA key of 1024 bits.", "less than 2048 bits, or a curve that is not of NIST's three"),
            ("The private key is encrypted.", "no passphrase was given"),
            ("The private key cannot be decrypted: the passphrase is wrong, or the file is damaged.", "as it says"),
        ),
        examples=("certificate_install --testbed --name gateway.example --name 192.0.2.1",),
    ),
    Command(
        name="certificate_print",
        summary="Show the certificates: names, issuer, how long they last, and what they are used for.",
        actions=(
            Action(key="print", effect="certificate:show", summary="Show all.", changes=False),
            Action(
                key="pem",
                effect="certificate:show_pem",
                summary="Print one as PEM: testbed-ca is what a phone needs, to trust this testbed.",
                chosen_by=Option(key="pem", names=("-pem", "--pem"), metavar="NAME", help="Its name."),
                changes=False,
            ),
        ),
        examples=("certificate_print", "certificate_print --json", "certificate_print --pem testbed-ca"),
    ),
)  # fmt: skip


def install(request: Request) -> Outcome:
    """certificate_install --cert."""
    try:
        given = _certificates(request, "cert", "certificate file") + _certificates(request, "chain", "chain file")
        key_file: FileContent = request.options["key"]
        key = files.read_key(key_file.octets, _passphrase(request))
        return _installed(request, given, key)
    except CertificateError as error:
        return refused(*error.lines)


def install_bundle(request: Request) -> Outcome:
    """certificate_install --pkcs12."""
    file: FileContent = request.options["pkcs12"]
    try:
        bundle = files.read_bundle(file.octets, _passphrase(request))
        return _installed(request, bundle.chain, bundle.key)
    except CertificateError as error:
        return refused(*error.lines)


def testbed(request: Request) -> Outcome:
    """certificate_install --testbed."""
    state = request.state
    before = state.certificates.get(SERVER)
    if before is not None and not before.testbed and not request.confirmed:
        return Outcome(question="The installed certificate is no testbed's. Put a testbed's in its place?")
    names = request.options.get("names") or authority.kept_names(state) or authority.usable((request.host,))
    try:
        changes = authority.make_testbed(state, request.vault, request.now, names)
    except ValueError as error:
        return refused(f"A name {error}.", "Give names and addresses that clients connect to.")
    except VaultError as error:
        return refused(f"The testbed's authority cannot sign: {error}.",
                       f"certificate_install -remove {AUTHORITY} takes it away; then a new one is made.")  # fmt: skip
    except CertificateError as error:
        return refused(*error.lines)
    rows = [change.row for change in changes if isinstance(change, Put) and isinstance(change.row, Certificate)]
    server = certificates.describe(rows[-1], state, request.now)
    fresh = [row.name for row in rows[:-1]]
    warnings = tuple(f"{name} is new: phones must trust it (certificate_print --pem {name})" for name in fresh)
    return Outcome(lines=_told(server), value=_value(server), warnings=warnings, changes=changes)


def trust(request: Request) -> Outcome:
    """certificate_install --trust."""
    names: tuple[str, ...] = request.options["names"]
    name = names[0]
    if len(names) > 1 or not _ROW_NAME.fullmatch(name):
        return refused("An authority has one name, of up to 63 letters, digits, dots, hyphens and underscores.",
                       "Give one with -name.")  # fmt: skip
    if name in {SERVER, AUTHORITY}:
        return refused(f"The name {name} is taken.", "Choose another with -name.")
    trusted = [row.name for row in request.state.certificates.values() if row.role == "trusted"]
    if name not in trusted and len(trusted) >= TRUSTED_MAX:
        return refused(f"There are {TRUSTED_MAX} trusted authorities already.",
                       "certificate_install -remove NAME takes one away.")  # fmt: skip
    try:
        given = _certificates(request, "trust", "authority file")
        if len(given) > 1:
            raise CertificateError("The authority file holds several certificates.", "Trust each by a name of its own.")
        certificates.check_authority(given[0], request.now)
    except CertificateError as error:
        return refused(*error.lines)
    row = _row(request, name, "trusted", given, b"")
    shown = certificates.describe(row, request.state, request.now)
    lines = (f"{name}: {shown.subject} is trusted until {date_text(shown.not_after)}.",
             f"SHA-256 {shown.fingerprint}")  # fmt: skip
    return Outcome(lines=lines, value=_value(shown), warnings=_soon(shown), changes=(Put(row),))


def remove(request: Request) -> Outcome:
    """certificate_install -remove."""
    name: str = request.options["remove"]
    row = request.state.certificates.get(name)
    if row is None:
        return refused("There is no such certificate.", "certificate_print shows those that are there.")
    questions = {
        "server": "The TLS ports close for new connections. Take the server's certificate away?",
        "authority": "Phones that trust the testbed's authority will have to trust a new one. Take it away?",
    }
    if row.role in questions and not request.confirmed:
        return Outcome(question=questions[row.role])
    return Outcome(lines=(f"The certificate {name} is gone.",), value={"removed": name},
                   changes=(Remove(Certificate, name),))  # fmt: skip


def show(request: Request) -> Outcome:
    """certificate_print."""
    state, now = request.state, request.now
    shown = []
    for row in state.certificates.values():
        with suppress(CertificateError):  # a damaged row: the warnings tell
            shown.append(certificates.describe(row, state, now))
    lines = [line for one in shown for line in _block(one)] or ["No certificate is installed."]
    warnings = certificates.expiry_warnings(state, now)
    value = {"certificates": [_value(one) for one in shown], "warnings": list(warnings)}
    return Outcome(lines=tuple(lines), value=value, warnings=warnings)


def show_pem(request: Request) -> Outcome:
    """certificate_print --pem."""
    row = request.state.certificates.get(request.options["pem"])
    if row is None:
        return refused("There is no such certificate.", "certificate_print shows those that are there.")
    return Outcome(lines=tuple(row.chain.splitlines()), value={"name": row.name, "pem": row.chain})


def _passphrase(request: Request) -> str:
    return request.options.get("passphrase") or ""


def _certificates(request: Request, option: str, what: str) -> tuple[x509.Certificate, ...]:
    file: FileContent | None = request.options.get(option)
    most = files.BUNDLE_MAX if option == "ca" else files.CHAIN_MAX
    return () if file is None else files.read_certificates(what, file.octets, most)


def _installed(request: Request, given: tuple[x509.Certificate, ...], key: PrivateKeyTypes) -> Outcome:
    """The outcome once all is checked. CertificateError."""
    roots = (*_certificates(request, "ca", "CA file"), *certificates.trusted_roots(request.state))
    chain = certificates.check_server(given, key, roots, request.now)
    sealed = request.vault.seal(certificates.key_label(SERVER), files.encode_key(key))
    row = _row(request, SERVER, "server", chain, sealed)
    shown = certificates.describe(row, request.state, request.now)
    return Outcome(lines=_told(shown), value=_value(shown), warnings=_soon(shown), changes=(Put(row),))


def _row(request: Request, name: str, role: Any, chain: tuple[x509.Certificate, ...], key: bytes) -> Certificate:
    return Certificate(
        name=name, role=role, chain=files.encode_chain(chain), key=key, testbed=False, installed=request.now
    )


def _told(server: Described) -> tuple[str, ...]:
    return (
        f"The certificate for {', '.join(server.san)} is installed, valid until {date_text(server.not_after)}.",
        "New TLS connections use it; those that are open are not disturbed.",
    )


def _soon(shown: Described) -> tuple[str, ...]:
    return (f"it ends in {shown.days_left} days",) if shown.days_left < WARN_DAYS else ()


def _value(shown: Described) -> dict[str, Any]:
    """For --json: times as text, since no reader of JSON agrees on epochs."""
    plain = asdict(shown)
    times = {key: time_text(plain[key]) for key in ("not_before", "not_after")}
    return {**plain, **times, "san": list(shown.san)}


def _block(shown: Described) -> tuple[str, ...]:
    notes = [shown.role, *(["testbed"] if shown.testbed else []), "in use" if shown.in_use else "not in use"]
    left = "expired" if shown.days_left < 0 else f"{shown.days_left} days left"
    valid = f"{date_text(shown.not_before)} to {date_text(shown.not_after)}, {left}"
    return (
        f"{shown.name}: {', '.join(notes)}",
        f"  subject: {shown.subject}",
        f"  issuer: {shown.issuer}",
        *((f"  names: {', '.join(shown.san)}",) if shown.san else ()),
        f"  valid: {valid}",
        f"  key: {shown.key_type}{'' if shown.has_key or shown.role == 'trusted' else ', private key missing'}",
        f"  SHA-256: {shown.fingerprint}",
    )
