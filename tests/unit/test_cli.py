"""The ``srtpgw`` command line: what each command prints, and its exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import ROOT
from unit.relay_files import GOOD, HEAD, SUITE, free_ports, key_text, session, write

from srtpgw.cli import main
from srtpgw.media.keys import parse_key, relay_suites
from srtpgw.relay.file import load_relay

EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.toml"))


def invoke(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("command", [(), ("relay",), ("demo",), ("kernels",), ("keygen",)])
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_version() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.output.startswith("srtpgw")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, srtpgw.cli; print([name for name in sys.modules if name.startswith('srtpgw')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "['srtpgw', 'srtpgw.streams', 'srtpgw.cli']"


def test_check_says_that_a_file_is_good_and_opens_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "relay.toml", GOOD)
    assert invoke("relay", "--check", str(file)).output == f"{file}: good, 1 session, media encryption from the file\n"
    read = json.loads(invoke("relay", "--check", "--json", str(file)).output)
    assert read == {"file": str(file), "good": True, "sessions": 1, "media_encryption": "from the file", "faults": []}
    assert list(tmp_path.iterdir()) == [file]


def test_check_names_every_fault(tmp_path: Path) -> None:
    file = write(tmp_path / "relay.toml", GOOD.replace(SUITE, "X").replace("remote", "remot", 1), 0o644)
    result = invoke("relay", "--check", "--json", str(file))
    assert result.exit_code == 2
    faults = json.loads(result.stdout)["faults"]
    assert [fault["key"] for fault in faults] == [
        "",
        "session[phone-to-trunk].leg[1].remot",
        "session[phone-to-trunk].leg[1].suite",
    ]
    assert all(f"srtpgw: {file}: " in line for line in result.stderr.splitlines())
    assert key_text(1)[7:15] not in result.output


def test_a_missing_file_and_a_wrong_option_are_usage_faults(tmp_path: Path) -> None:
    assert invoke("relay", str(tmp_path / "none.toml")).exit_code == 2
    assert invoke("relay").exit_code == 2
    for seconds in ("0", "3601", "nan", "inf", "-inf"):
        assert invoke("relay", f"--interval={seconds}", "x").exit_code == 2
    assert invoke("relay", "--metrics", "nowhere", "x").exit_code == 2
    assert invoke("relay", "--crypto", "rot13", "x").exit_code == 2
    assert invoke("nothing").exit_code == 2


def test_an_unreadable_file_is_told_like_any_other_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    result = invoke("relay", "--check", str(write(tmp_path / "relay.toml", "")))
    assert result.exit_code == 2
    assert result.stderr.endswith("relay.toml: session: is missing: there is nothing to relay\n")


def test_check_with_a_provider(tmp_path: Path) -> None:
    text = (ROOT / "docs/examples/verify-and-forward.toml").read_text(encoding="utf-8")
    file = str(write(tmp_path / "relay.toml", text))
    assert invoke("relay", "--check", file).exit_code == 0
    result = invoke("relay", "--check", "--crypto", "libsrtp", file)
    assert result.exit_code == 2
    assert "libsrtp" in result.stderr


def shell(script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of ours as `"$@"` in a script of the shell."""
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "srtpgw.cli", *words]
    return subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
        timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("keygen",), ("kernels",), ("kernels", "--json"), ("relay", "--check", "FILE")])
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    file = str(write(tmp_path / "relay.toml", GOOD))
    done = shell('"$@" > /dev/full', *(file if word == "FILE" else word for word in words))
    assert (done.returncode, done.stderr) == (1, "srtpgw: No space left on device\n")


@pytest.mark.parametrize("words", [("keygen", "--count", "10000"), ("kernels",)])
def test_a_closed_pipe_behind_stdout_is_silent(words: tuple[str, ...]) -> None:
    done = shell('{ "$@"; echo $? >&2; } | true', *words)
    assert done.stderr == "1\n"


@pytest.mark.parametrize("words", [("keygen",), ("kernels",), ("demo",), ("relay", "FILE")])
def test_a_closed_stdout_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    file = str(write(tmp_path / "relay.toml", GOOD))
    done = shell('exec "$@" >&-', *(file if word == "FILE" else word for word in words))
    assert (done.returncode, done.stderr) == (
        1,
        "srtpgw: stdout is closed: send it to /dev/null if nobody is to see it\n",
    )


def test_a_closed_stderr_does_not_send_faults_to_stdout(tmp_path: Path) -> None:
    file = str(write(tmp_path / "relay.toml", ""))
    done = shell('test -z "$("$@" 2>&-)" && echo empty >&2', "relay", file)
    assert done.stderr == "empty\n"


@pytest.mark.parametrize("words", [("kernels",), ("keygen",), ("relay", "x.toml"), ("demo",), ("demo", "--json")])
def test_a_kernel_tier_that_is_none_is_named(words: tuple[str, ...]) -> None:
    done = shell('exec "$@" 1>&2', *words, SRTPGW_KERNELS="foo")
    assert done.returncode == 1
    assert "SRTPGW_KERNELS=foo: not a tier of this build and CPU" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert "missing" not in done.stderr


@pytest.mark.parametrize("text", ["SRTPGW_STATE_DIR", "SRTPGW_KERNELS", "Exit status", "kill -HUP PID"])
def test_the_help_of_relay_tells_of(text: str) -> None:
    assert text in invoke("relay", "--help").output


def test_the_help_of_keygen_lists_the_suites() -> None:
    shown = invoke("keygen", "--help").output.split()
    assert set(relay_suites()) <= set(shown)


@pytest.mark.parametrize("suite", relay_suites())
def test_keygen_prints_keys_for_a_suite(suite: str) -> None:
    lines = invoke("keygen", "--suite", suite, "--count", "3").output.splitlines()
    keys = [parse_key(line, suite) for line in lines]
    assert len({key.key_and_salt for key in keys}) == 3
    assert len(json.loads(invoke("keygen", "--suite", suite, "--json").output)) == 1


def test_keygen_refuses_a_suite_that_does_not_encrypt() -> None:
    result = invoke("keygen", "--suite", "NULL_HMAC_SHA1_80")
    assert result.exit_code == 2
    assert SUITE in result.output


def test_kernels_as_table_and_as_json() -> None:
    read = json.loads(invoke("kernels", "--json").output)
    assert read["in_use"] in [tier["name"] for tier in read["tiers"]]
    shown = invoke("kernels").output
    for tier in read["tiers"]:
        assert tier["name"] in shown
    assert "in use" in shown
    assert "Key memory is" in shown
    assert "libsrtp" in shown


def test_the_table_on_a_terminal(tmp_path: Path) -> None:
    ports = free_ports(4)
    text = HEAD + session(local=(ports[0], ports[1]), remote=(ports[2], ports[3]))
    file = write(tmp_path / "relay.toml", text)
    ours, theirs = pty.openpty()
    environment = os.environ | {"SRTPGW_STATE_DIR": str(tmp_path / "register"), "TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-m", "srtpgw.cli", "relay", str(file), "--interval", "0.1"]
    with subprocess.Popen(command, stdout=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while b"phone-to-trunk/2" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        while b"Relayed for" not in seen:
            seen += os.read(ours, 4096)
        assert process.wait(20) == 0
    os.close(ours)
    assert b"AES_CM_128_80" in seen
    assert key_text(1)[7:15].encode() not in seen


def test_there_is_an_example_of_each_kind() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_is_good(tmp_path: Path, example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    read = load_relay(write(tmp_path / example.name, text))
    assert read.sessions
    # Whoever takes a public key for a secret one is told: the file says so at its top.
    assert ("inline:" in text) == ("These keys are public" in text)
    assert f"examples/{example.name}" in (ROOT / "docs" / "relay.md").read_text(encoding="utf-8")


def test_no_two_examples_share_a_key() -> None:
    found: dict[str, str] = {}
    for path in EXAMPLES:
        for key in re.findall(r"inline:[A-Za-z0-9+/=]+", path.read_text(encoding="utf-8")):
            assert found.setdefault(key, path.name) == path.name
    assert len(found) >= 2 * 7  # a key each way in each example with keys


def test_the_default_suite_of_keygen_is_the_common_one() -> None:
    assert len(parse_key(invoke("keygen").output.strip(), "AES_CM_128_HMAC_SHA1_80").key_and_salt) == 30
