"""Issues certificates for the phones and gateways of a testbed. Needs srtpgw installed; README.md tells how.

An authority is a pair of files in a folder, or the one that a gateway keeps sealed in its state directory. Keys are
written to files of mode 600, never over another file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from srtpgw.control.authority import Issued, issue, make_authority, open_authority, parse_names
from srtpgw.control.certificate_files import FILE_MAX, read_certificates, read_key
from srtpgw.control.commands.files import read_file, write_file
from srtpgw.control.commands.table import FileContent
from srtpgw.control.directory import StateDirectory, default_directory
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault
from srtpgw.errors import SrtpgwError

AUTHORITY = "ca"  # its files: ca.pem and ca.key


class Failed(SrtpgwError):
    """Told in one line."""


def main() -> int:
    """Exit status: 0 done, 1 it failed, 2 wrong usage."""
    options = parser().parse_args()
    try:
        print(options.run(options))
    except SrtpgwError as error:
        print(f"issue_certificate: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"issue_certificate: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Issue certificates for a testbed.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    authority = commands.add_parser("authority", help="make an authority of its own: ca.pem and ca.key")
    authority.add_argument("folder", type=Path, metavar="FOLDER", help="where its files are written")
    authority.set_defaults(run=new_authority)
    leaf = commands.add_parser("leaf", help="make a certificate and its key: NAME.pem and NAME.key")
    leaf.add_argument("folder", type=Path, metavar="FOLDER", help="where the authority is, and the files are written")
    leaf.add_argument("names", nargs="+", metavar="NAME", help="host names and addresses that it is for")
    leaf.add_argument("--gateway", action="store_true", help="sign with the testbed authority of the gateway here")
    leaf.add_argument("--state-dir", type=Path, metavar="DIR", help="the gateway's state directory, if not the usual")
    leaf.set_defaults(run=new_leaf)
    return made


def new_authority(options: argparse.Namespace) -> str:
    """A new authority in a folder."""
    pem = _write_pair(options.folder, AUTHORITY, make_authority(time.time()))
    return f"{pem} is the authority's certificate, to be trusted by phones. {pem.with_suffix('.key')} is a secret."


def new_leaf(options: argparse.Namespace) -> str:
    """A certificate under the authority of the folder, or of the gateway."""
    try:
        names = parse_names(options.names)
    except ValueError as error:
        raise Failed(f"a name {error}") from None
    authority = _gateways_authority(options.state_dir) if options.gateway else _authority_in(options.folder)
    pem = _write_pair(options.folder, str(names[0]), issue(authority, names, time.time()))
    ca = options.folder / f"{AUTHORITY}.pem"
    if not ca.exists():
        write_file(FileContent(str(ca), authority.certificate.encode()))
    return f"{pem} is for {', '.join(map(str, names))}, signed by {ca}. {pem.with_suffix('.key')} is a secret."


def _authority_in(folder: Path) -> Issued:
    pem, key = (read_file(str(folder / f"{AUTHORITY}.{ending}"), FILE_MAX).octets for ending in ("pem", "key"))
    (certificate,) = read_certificates("authority's file", pem, most=1)
    if read_key(key, "").public_key() != certificate.public_key():
        raise Failed(f"{folder}: ca.key is not the key of ca.pem")
    return Issued(pem.decode(), key)


def _gateways_authority(chosen: Path | None) -> Issued:
    directory = StateDirectory(chosen or default_directory(os.environ, os.geteuid()), make=False)
    store = Store(directory.database, readonly=True)
    try:
        authority = open_authority(store.read(), Vault(directory.vault_key))
    finally:
        store.close()
    if authority is None:
        raise Failed(f"{directory.path} has no testbed authority: certificate_install --testbed makes one")
    return authority


def _write_pair(folder: Path, name: str, issued: Issued) -> Path:
    """Both files, or none."""
    folder.mkdir(mode=0o700, exist_ok=True)
    contents: Mapping[str, bytes] = {"key": issued.key, "pem": issued.certificate.encode()}
    written: list[Path] = []
    try:
        for ending, octets in contents.items():
            written.append(write_file(FileContent(str(folder / f"{name}.{ending}"), octets)))
    except SrtpgwError:
        for path in written:
            path.unlink()
        raise
    return written[-1]


if __name__ == "__main__":
    sys.exit(main())
