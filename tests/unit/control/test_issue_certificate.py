"""certs/issue_certificate.py as a program, with openssl as the judge of what it writes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from support import ROOT, require_peer
from unit.control.requests import applied

from srtpgw.control.authority import first_run
from srtpgw.control.certificate_files import read_key
from srtpgw.control.directory import StateDirectory
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault

TOOL = ROOT / "certs/issue_certificate.py"
SECONDS = 20


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def verified(folder: Path, name: str, *more: str) -> bool:
    command = [require_peer("openssl"), "verify", "-x509_strict", "-CAfile", str(folder / "ca.pem"), *more,
               str(folder / f"{name}.pem")]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    return ran.returncode == 0


def same_key(folder: Path, name: str) -> bool:
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
    return read_key((folder / f"{name}.key").read_bytes(), "").public_key() == certificate.public_key()


@pytest.mark.peer
def test_an_authority_and_what_it_signs(tmp_path: Path) -> None:
    folder = tmp_path / "testbed"
    assert run("authority", folder).returncode == 0
    made = run("leaf", folder, "gateway1.example", "192.0.2.1")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"{folder}/gateway1.example.pem is for gateway1.example, 192.0.2.1, signed by ")
    names = {"ca.pem", "ca.key", "gateway1.example.pem", "gateway1.example.key"}
    assert {path.name for path in folder.iterdir()} == names
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert verified(folder, "gateway1.example", "-purpose", "sslserver", "-verify_hostname", "gateway1.example")
    assert verified(folder, "gateway1.example", "-purpose", "sslclient", "-verify_ip", "192.0.2.1")
    assert not verified(folder, "gateway1.example", "-verify_hostname", "gateway2.example")
    assert same_key(folder, "gateway1.example")
    assert same_key(folder, "ca")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for again in (run("authority", folder), run("leaf", folder, "gateway1.example")):
        assert (again.returncode, again.stdout) == (1, "")
        assert "is there already" in again.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.peer
def test_the_gateways_own_authority_signs(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    store = Store(directory.database)
    with store.change() as transaction:
        transaction.apply(first_run(transaction.state, Vault(directory.vault_key), time.time(), []))
    authority = applied(store.read(), []).certificates["testbed-ca"].chain
    store.close()
    folder = tmp_path / "phones"
    made = run("leaf", "--gateway", "--state-dir", directory.path, folder, "phone1.example")
    assert (made.returncode, made.stderr) == (0, "")
    assert (folder / "ca.pem").read_text() == authority
    assert not (folder / "ca.key").exists()
    assert verified(folder, "phone1.example", "-verify_hostname", "phone1.example")


def test_what_it_refuses(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    cases = [
        (("leaf", folder, "a.example"), "ca.pem: No such file or directory"),
        (("leaf", folder, "../a"), "is neither a host name nor an address"),
        (("leaf", "--gateway", "--state-dir", tmp_path / "none", folder, "a.example"), "none"),
    ]
    for arguments, reason in cases:
        ran = run(*arguments)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert reason in ran.stderr
        assert ran.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []
    assert run().returncode == 2
    assert "authority" in run("--help").stdout
