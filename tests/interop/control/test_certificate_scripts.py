"""certificate_install and certificate_print as programs, with certificates that openssl makes and openssl as judge."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import operator_command, require_peer

SECONDS = 20
MARKED = "Marked-7Secret"  # the passphrase, searched for afterwards
SUBJECT_NAMES = "subjectAltName=DNS:gateway.example,IP:192.0.2.1"

pytestmark = pytest.mark.peer


def openssl(folder: Path, *words: str) -> str:
    ran = subprocess.run([require_peer("openssl"), *words], capture_output=True, text=True, cwd=folder, timeout=SECONDS,
                         check=True)  # fmt: skip
    return ran.stdout


def command(folder: Path, name: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SRTPGW_STATE_DIR": str(folder / "state")}
    return subprocess.run([*operator_command(name), *words], input=typed, capture_output=True, text=True, cwd=folder,
                          timeout=SECONDS, check=False, env=environ)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A company's authority as openssl makes it by default (root.pem), and a server under it (gateway.pem, .key)."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    openssl(tmp_path, "req", "-x509", *curve, "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "120",
            "-subj", "/CN=Company")  # fmt: skip
    openssl(tmp_path, "req", *curve, "-passout", f"pass:{MARKED}", "-keyout", "gateway.key", "-out", "gateway.csr",
            "-subj", "/CN=gateway", "-addext", SUBJECT_NAMES)  # fmt: skip
    openssl(tmp_path, "x509", "-req", "-in", "gateway.csr", "-CA", "root.pem", "-CAkey", "root.key", "-out",
            "gateway.pem", "-copy_extensions", "copy", "-days", "90")  # fmt: skip
    return tmp_path


def test_a_certificate_from_an_authority(folder: Path) -> None:
    files = ("--cert", "gateway.pem", "--key", "gateway.key")
    refusals = [
        ((*files, "--ca", "root.pem"), "", "The private key is encrypted.\nGive --passphrase; alone it asks for it.\n"),
        ((*files, "--passphrase"), f"{MARKED}\n", "The chain is broken: the issuer of CN=gateway is missing.\n"),
        ((*files, "--ca", "root.pem", "--passphrase"), "wrong\n", "The private key cannot be decrypted: "),
        (("--cert", "gateway.pem", "--key", "root.key", "--ca", "root.pem"), "", "The private key does not match"),
        (("--cert", "root.pem", "--key", "root.key"), "", "The certificate is signed by itself.\n"),
    ]
    for words, typed, told in refusals:
        ran = command(folder, "certificate_install", *words, typed=typed)
        assert (ran.returncode, ran.stderr) == (1, "")
        assert ran.stdout.startswith(told)
    done = command(folder, "certificate_install", *files, "--ca", "root.pem", "--passphrase", typed=f"{MARKED}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The certificate for gateway.example, 192.0.2.1 is installed" in done.stdout

    printed = json.loads(command(folder, "certificate_print", "--json").stdout)
    (server,) = printed["certificates"]
    assert (server["name"], server["issuer"], server["days_left"]) == ("server", "CN=Company", 89)
    assert f"Fingerprint={server['fingerprint']}" in openssl(
        folder, "x509", "-in", "gateway.pem", "-noout", "-fingerprint", "-sha256"
    )
    pem = command(folder, "certificate_print", "--pem", "server").stdout
    assert pem == (folder / "gateway.pem").read_text()
    for path in (folder / "state").iterdir():
        assert MARKED.encode() not in path.read_bytes(), path.name
        assert b"PRIVATE KEY" not in path.read_bytes(), path.name


def test_pkcs12_as_openssl_writes_it(folder: Path) -> None:
    openssl(folder, "pkcs12", "-export", "-in", "gateway.pem", "-inkey", "gateway.key", "-passin", f"pass:{MARKED}",
            "-certfile", "root.pem", "-passout", f"pass:{MARKED}", "-out", "gateway.p12")  # fmt: skip
    done = command(folder, "certificate_install", "--pkcs12", "gateway.p12", "--passphrase", typed=f"{MARKED}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert command(folder, "certificate_print", "--pem", "server").stdout == (folder / "gateway.pem").read_text()
