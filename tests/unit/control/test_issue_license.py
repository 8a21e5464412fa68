"""The tool that issues licences, as a process: what it writes is installed, and it leaves no key about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support import ROOT
from unit.control.requests import EMPTY, NOW, done, perform, request

from srtpgw.control.commands.table import FileContent
from srtpgw.control.license import DAY, VOIP_SECURITY, allows, read

TOOL = ROOT / "certs/issue_license.py"


def tool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, *words], capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


def test_an_issuer_signs_a_licence_that_a_gateway_takes(tmp_path: Path) -> None:
    key, file = tmp_path / "issuer.key", tmp_path / "licence"
    made = tool("issuer", key)
    assert (made.returncode, made.stderr) == (0, "")
    assert key.stat().st_mode & 0o777 == 0o600
    public = made.stdout.splitlines()[-1]
    assert len(public) == 44
    signed = tool("sign", key, file, "--subject", "Example Ltd, Zürich", "--days", "10", "--host", "pbx.example")
    assert (signed.returncode, signed.stderr) == (0, "")
    terms = read(file.read_bytes()).terms
    assert (terms.subject, terms.host, terms.expires - terms.issued) == ("Example Ltd, Zürich", "pbx.example", 10 * DAY)

    known = done(request(EMPTY, issuer=public), "license_install", "issuer")
    asked = request(known, now=float(terms.issued), host="pbx.example", file=FileContent("f", file.read_bytes()))
    after = done(asked, "license_install", "file")
    assert allows(after, VOIP_SECURITY, now=float(terms.issued), host="pbx.example")
    assert not perform(request(after, now=NOW), "license_print").value["licences"][0]["testbed"]

    secret = key.read_text().splitlines()[1]
    assert secret not in made.stdout + signed.stdout + file.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["issuer.key", "licence"]


def test_it_writes_over_nothing_and_says_what_is_wrong(tmp_path: Path) -> None:
    key, foreign = tmp_path / "issuer.key", tmp_path / "foreign"
    foreign.write_text("not a key")
    assert tool("issuer", key).returncode == 0
    before = key.read_bytes()
    again = tool("issuer", key)
    assert (again.returncode, again.stdout, key.read_bytes()) == (1, "", before)
    assert "is there already" in again.stderr
    refused = {
        "is not the key of an issuer": tool("sign", foreign, tmp_path / "licence", "--subject", "x"),
        "the licence has a subject": tool("sign", key, tmp_path / "licence", "--subject", "x\n"),
        "No such file": tool("sign", tmp_path / "none", tmp_path / "licence", "--subject", "x"),
    }
    for told, result in refused.items():
        assert result.returncode == 1
        assert told in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "licence").exists()
