"""Makes the key of a licence issuer, and signs licences with it. Needs srtpgw installed; licences.md tells how.

The key is written to a file of mode 600, never over another file, and goes nowhere else.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from srtpgw.control.commands.files import read_file, write_file
from srtpgw.control.commands.table import FileContent
from srtpgw.control.license import DAY, SERIAL_OCTETS, VOIP_SECURITY, Terms, public_text, sign
from srtpgw.errors import LicenseError, SrtpgwError

KEY_FILE_MAX = 16_384  # octets
DAYS_MAX = 36_500


class Failed(SrtpgwError):
    """Told in one line."""


def main() -> int:
    """Exit status: 0 done, 1 it failed, 2 wrong usage."""
    options = parser().parse_args()
    try:
        print(options.run(options))
    except SrtpgwError as error:
        print(f"issue_license: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Issue licences for srtpgw.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    issuer = commands.add_parser("issuer", help="make the key of an issuer; prints its public half")
    issuer.add_argument("key", metavar="KEYFILE", help="where the private key is written")
    issuer.set_defaults(run=make_issuer)
    public = commands.add_parser("public", help="print the public half of an issuer's key")
    public.add_argument("key", metavar="KEYFILE")
    public.set_defaults(run=lambda options: _public(_read_key(options.key)))
    signing = commands.add_parser("sign", help="sign a licence")
    signing.add_argument("key", metavar="KEYFILE", help="the issuer's private key")
    signing.add_argument("licence", metavar="FILE", help="where the licence is written")
    signing.add_argument("--subject", required=True, help="whom it is for")
    signing.add_argument("--days", type=int, default=365, help="how long it counts, from now (default %(default)s)")
    signing.add_argument("--host", default="", help="the one host where it counts (license_print shows its name)")
    signing.add_argument("--feature", action="append", help=f"what it allows, again for more (default {VOIP_SECURITY})")
    signing.set_defaults(run=sign_licence)
    return made


def make_issuer(options: argparse.Namespace) -> str:
    """A new key in a new file."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_file(FileContent(options.key, pem))
    return f"{options.key} is a secret. The public key, for license_install --issuer:\n{_public(key)}"


def sign_licence(options: argparse.Namespace) -> str:
    """A licence in a new file."""
    if not 1 <= options.days <= DAYS_MAX:
        raise Failed(f"--days is outside 1 to {DAYS_MAX}")
    issued = int(time.time())
    terms = Terms(
        serial=secrets.token_hex(SERIAL_OCTETS),
        subject=options.subject,
        features=tuple(options.feature or (VOIP_SECURITY,)),
        issued=issued,
        expires=issued + options.days * DAY,
        host=options.host,
    )
    try:
        document = sign(terms, _read_key(options.key))
    except LicenseError as error:
        raise Failed(f"the licence {error}") from None
    write_file(FileContent(options.licence, document.text()))
    return f"{options.licence}: licence {terms.serial} for {terms.subject}, {options.days} days"


def _read_key(name: str) -> Ed25519PrivateKey:
    octets = read_file(name, KEY_FILE_MAX).octets
    try:
        key = load_pem_private_key(octets, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Failed(f"{name} is not the key of an issuer")
    return key


def _public(key: Ed25519PrivateKey) -> str:
    return public_text(key.public_key().public_bytes_raw())


if __name__ == "__main__":
    sys.exit(main())
