"""``srtpgw verify`` and ``srtpgw decrypt`` as they are called: what they print, what they write, how they end."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import missing
from unit.capture.media import CALLED, CALLER, Stream, capture, crypto_line, described, key

from srtpgw.cli import main
from srtpgw.srtp import Sender

CM = "AES_CM_128_HMAC_SHA1_80"
SSRC = 0xCAFE0001
KEY = key(1)


def invoke(*words: str | Path, octets: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=octets)


def program(*words: str | Path) -> list[str]:
    """A process of its own, which a signal or a full disk may end."""
    return [sys.executable, "-P", "-m", "srtpgw.cli", *map(str, words)]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """An encrypted capture, a plain one, and the key."""
    found = {name: tmp_path / name for name in ("secret.pcap", "plain.pcap", "keys.txt")}
    found["secret.pcap"].write_bytes(capture(Stream(SSRC, Sender(CM, KEY).protect)))
    found["plain.pcap"].write_bytes(capture(Stream(SSRC)))
    found["keys.txt"].write_text(f"{CM} {KEY.hex()}\n")
    return found


@pytest.mark.parametrize(("name", "expected", "status"), [
    ("secret.pcap", ["srtp"], 0),
    ("secret.pcap", ["rtp"], 1),
    ("plain.pcap", ["srtp"], 1),
    ("plain.pcap", ["rtp"], 0),
    ("plain.pcap", [], 0),
    ("secret.pcap", ["srtp=ssrc:0xcafe0001", f"srtp={CALLER}:5004", f"srtp={CALLED}"], 0),
    ("secret.pcap", ["srtp=ssrc:0xcafe0002"], 3),
    ("secret.pcap", ["srtp", "rtp=ssrc:0xcafe0001"], 1),
    ("secret.pcap", ["sRTP"], 2),
    ("secret.pcap", ["srtp=nonsense"], 2),
])  # fmt: skip
def test_exit_status(files: dict[str, Path], name: str, expected: list[str], status: int) -> None:
    words = [word for text in expected for word in ("--expect", text)]
    result = invoke("verify", files[name], "--keys", files["keys.txt"], *words)
    assert result.exit_code == status, result.output


def test_the_first_line_says_it_all(files: dict[str, Path]) -> None:
    assert invoke("verify", files["secret.pcap"], "-k", files["keys.txt"]).output.startswith("AUTHENTICATED")
    assert invoke("verify", files["plain.pcap"]).output.startswith("PLAINTEXT")
    assert invoke("verify", files["secret.pcap"]).output.startswith("CONSISTENT WITH ENCRYPTION")


def test_json_is_one_object_and_holds_no_key(files: dict[str, Path]) -> None:
    result = invoke("verify", files["secret.pcap"], "-k", files["keys.txt"], "-e", "srtp", "--json")
    found = json.loads(result.output)
    assert (found["outcome"], found["exit_status"], found["verdict"]) == ("pass", 0, "AUTHENTICATED")
    assert found["streams"][0]["ssrc"] == "0xcafe0001"
    assert KEY.hex() not in result.output


def test_the_page_is_written_and_holds_no_key(files: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert invoke("verify", files["secret.pcap"], "-k", files["keys.txt"], "--html", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "encrypted and authentic" in text
    assert KEY.hex() not in text


def test_standard_input(files: dict[str, Path]) -> None:
    command = program("verify", "-", "-k", files["keys.txt"], "-e", "srtp")
    with files["secret.pcap"].open("rb") as octets:
        done = subprocess.run(command, stdin=octets, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    piped = subprocess.run(
        command, input=files["secret.pcap"].read_bytes(), capture_output=True, check=False, timeout=60
    )
    assert piped.returncode == 0, piped.stderr
    assert b"AUTHENTICATED" in piped.stdout


def test_an_interrupt_ends_a_live_capture_and_the_report_follows(files: dict[str, Path]) -> None:
    command = program("verify", "-", "-k", files["keys.txt"], "-e", "srtp")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        guard = threading.Timer(60, process.kill)
        guard.start()
        process.stdin.write(files["secret.pcap"].read_bytes())
        process.stdin.flush()
        while unread(process.stdin.fileno()):  # the pipe stays open, as a recorder's would
            pass
        process.send_signal(signal.SIGINT)
        printed = process.stdout.read()
        guard.cancel()
    assert process.returncode == 0, printed
    assert printed.startswith(b"AUTHENTICATED")


def test_an_interrupted_reading_of_a_file_is_neither_pass_nor_failure(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("srtpgw.capture.verify.gather", interrupted)
    result = invoke("verify", files["secret.pcap"], "-e", "srtp")
    assert (result.exit_code, result.output) == (130, "srtpgw: interrupted\n")


def test_a_page_that_cannot_be_written_costs_no_report(files: dict[str, Path], tmp_path: Path) -> None:
    result = invoke("verify", files["plain.pcap"], "--html", tmp_path / "missing" / "report.html", "-e", "rtp")
    assert result.exit_code == 2
    assert "PASS: rtp expected of all" in result.output
    assert "report.html: No such file or directory" in result.output


def unread(pipe: int) -> int:
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize(("words", "told"), [
    (["verify", "missing.pcap"], "No such file"),
    (["verify", "."], "directory"),
    (["verify", "keys.txt"], "not a"),
    (["verify", "plain.pcap", "--keys", "missing.txt"], "No such file"),
    (["verify", "plain.pcap", "--tls-keylog", "missing.txt"], "No such file"),
    (["decrypt", "missing.pcap", "-o", "out.pcapng"], "No such file"),
    (["decrypt", "missing.pcap", "-o", "out.pcapng", "--rtpmap", "96=opus"], "is not like 96=opus/48000/2"),
])  # fmt: skip
def test_what_cannot_be_read_is_named(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(files["keys.txt"].parent)
    result = invoke(*words)
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert not Path("out.pcapng").exists()


def test_a_fault_in_a_key_file_names_its_line_and_repeats_nothing(files: dict[str, Path]) -> None:
    files["keys.txt"].write_text(f"{CM} {KEY.hex()}\n{CM} {KEY.hex()[:-2]}\n")
    result = invoke("verify", files["secret.pcap"], "-k", files["keys.txt"])
    assert result.exit_code == 2
    assert "line 2" in result.output
    assert KEY.hex()[:16] not in result.output


def test_decrypt_writes_the_twin_for_its_owner_alone(files: dict[str, Path], tmp_path: Path) -> None:
    out, wav = tmp_path / "twin.pcapng", tmp_path / "wav"
    result = invoke("decrypt", files["secret.pcap"], "-k", files["keys.txt"], "-o", out, "--wav", wav)
    assert result.exit_code == 0, result.output
    assert "sensitive" in result.output
    for path in (out, *wav.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = invoke("verify", out)
    assert again.output.startswith("PLAINTEXT")
    assert invoke("decrypt", files["secret.pcap"], "-k", files["keys.txt"], "-o", out).exit_code == 1
    assert invoke("decrypt", files["secret.pcap"], "-k", files["keys.txt"], "-o", out, "--force").exit_code == 0


def test_decrypt_without_the_key_says_what_is_left(files: dict[str, Path], tmp_path: Path) -> None:
    result = invoke("decrypt", files["secret.pcap"], "-o", tmp_path / "twin.pcapng", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["undecrypted"] == 60


def test_what_is_plain_in_part_only_is_not_called_decrypted(tmp_path: Path) -> None:
    parts = [Stream(SSRC, bytes, range(1, 201)), Stream(SSRC, Sender(CM, KEY).protect, range(201, 401), start=200)]
    (tmp_path / "mixed.pcap").write_bytes(capture(*parts))
    result = invoke("decrypt", tmp_path / "mixed.pcap", "-o", tmp_path / "twin.pcapng", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["undecrypted"] == 400


def test_decrypt_to_standard_output(files: dict[str, Path], tmp_path: Path) -> None:
    command = program("decrypt", files["secret.pcap"], "-k", files["keys.txt"], "-o", "-")
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (tmp_path / "twin.pcapng").write_bytes(done.stdout)
    assert invoke("verify", tmp_path / "twin.pcapng", "-e", "rtp").exit_code == 0


def test_a_full_disk_leaves_nothing_behind(files: dict[str, Path]) -> None:
    if not Path("/dev/full").exists():
        missing("there is no /dev/full")
    command = program("decrypt", files["secret.pcap"], "-k", files["keys.txt"], "-o", "-")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 1
    assert b"No space left" in done.stderr


def test_hostile_names_in_signaling_reach_the_terminal_tamed(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07"
    frame = described(crypto_line(CM, KEY), profile=f"RTP/SAVP{evil}")
    path = tmp_path / "evil.pcap"
    path.write_bytes(capture(Stream(SSRC), signaling=[frame]))
    result = invoke("verify", path, "--all")
    assert "\x1b" not in result.output
    assert os.linesep in result.output
