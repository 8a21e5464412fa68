"""`srtpgw run` as a real process, with operator commands as processes of their own beside it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from interop.control.secret_forms import Search
from support import operator_command

from srtpgw.service.status import SOCKET_NAME, ask

SRTPGW = [sys.executable, "-P", "-m", "srtpgw.cli"]
POLLS_MAX = 1000  # of 10 ms
WATCHDOG_MS = 400


class Service:
    """One `srtpgw run`."""

    def __init__(self, base: Path, *options: str, **environment: str) -> None:
        self.place = base / "state"
        self.log = base / "log"
        self._environment = clean_environment(base) | environment
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*SRTPGW, "run", "--json", "--workers", "1", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """What it answers, once it answers."""
        for _ in range(POLLS_MAX):
            assert self.process.poll() is None, self.log.read_text()
            if answer := ask(self.place):
                return answer
            time.sleep(0.01)
        raise AssertionError("it does not answer")

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The first answer that says so."""
        for _ in range(POLLS_MAX):
            answer = self.status()
            if all(answer[name] == value for name, value in wanted.items()):
                return answer
            time.sleep(0.01)
        raise AssertionError(f"never {wanted}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(how)
        return self.process.wait(20)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]


def clean_environment(base: Path) -> dict[str, str]:
    """That of a user who has set nothing but where the state is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SRTPGW_")}
    missing = base / "no-config"
    return kept | {"SRTPGW_STATE_DIR": str(base / "state"), "XDG_CONFIG_HOME": str(missing), "HOME": str(base)}


@contextmanager
def running(base: Path, *options: str, **environment: str) -> Iterator[Service]:
    service = Service(base, *options, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait(20)


def command(base: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    words_before = (
        operator_command(name) if (name.islower() and "_" in name) or name == "extension" else [*SRTPGW, name]
    )
    return subprocess.run(
        [*words_before, *words], capture_output=True, text=True, timeout=60, env=clean_environment(base),
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def flags(**on: bool) -> dict[str, bool]:
    return {"extension": False, "route": False, "intermgw": False, **on}


def test_commands_of_other_processes_reach_a_gateway_that_runs(tmp_path: Path) -> None:
    before = command(tmp_path, "status")
    assert before.returncode == 1
    assert before.stdout.startswith("srtpgw is not running\n")
    assert not (tmp_path / "state").exists()  # asking makes nothing
    with running(tmp_path) as service:
        first = service.status()
        assert (first["pid"], first["running"]) == (service.process.pid, True)
        limits = Path(f"/proc/{service.process.pid}/limits").read_text(encoding="ascii").splitlines()
        core = next(row.split()[4:6] for row in limits if row.startswith("Max core file size"))
        assert core == ["0", "0"], "it holds keys"
        assert first["licence"]["testbed"] is True
        assert [each["role"] for each in first["certificates"]] == ["server", "authority"]
        assert first["media_encryption"] == flags()
        for words in (("-type", "extension"), ("-type", "route")):
            done = command(tmp_path, "media_encryption_enable", *words)
            assert done.returncode == 0, done.stderr + done.stdout
        seen = service.until(media_encryption=flags(extension=True, route=True))
        assert seen["revision"] == first["revision"] + 2
        assert command(tmp_path, "extension", "-i", "-d", "100,200", "--csp", "1", "--lim", "1").returncode == 0
        assert service.until(extensions=2)["policy"]["number"] is None
        shown = command(tmp_path, "status")
        assert shown.returncode == 0
        assert f"process {service.process.pid}," in shown.stdout
        assert "media encryption extension on, route on, intermgw off (revision" in shown.stdout
        assert service.end() == 0
    assert not (tmp_path / "state" / SOCKET_NAME).exists()
    after = command(tmp_path, "status", "--json")
    assert after.returncode == 1
    assert json.loads(after.stdout)["extensions"] == 2
    assert service.events()[-2:] == ["draining", "stopped"]


def test_two_in_one_directory_are_refused_and_a_killed_one_is_no_obstacle(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        first.status()
        second = command(tmp_path, "run")
        assert second.returncode == 1
        assert f"already (process {first.process.pid})" in second.stderr
        assert first.status()["pid"] == first.process.pid
        assert command(tmp_path, "media_encryption_enable", "-type", "intermgw").returncode == 0
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert (tmp_path / "state" / SOCKET_NAME).exists()
    assert ask(tmp_path / "state") is None
    with running(tmp_path) as again:
        answer = again.status()
        assert answer["pid"] == again.process.pid
        assert answer["media_encryption"] == flags(intermgw=True)
        assert again.end(signal.SIGINT) == 0


def test_systemd_is_told_when_it_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(WATCHDOG_MS * 1000)}
        with running(tmp_path, **environment) as service:
            told = [manager.recv(500).decode()]
            while told[-1] != "WATCHDOG=1" or len(told) < 4:
                told.append(manager.recv(500).decode())
                assert len(told) < 20
            assert service.end() == 0
        manager.settimeout(0.1)
        while "STOPPING=1" not in told[-1]:
            told.append(manager.recv(500).decode())
    assert sum("READY=1" in text for text in told) == 1
    assert ask(tmp_path / "state") is None


@pytest.mark.parametrize(
    ("options", "environment", "status", "told"),
    [
        (("--workers", "0"), {}, 2, "--workers: is outside 1 to 256"),
        ((), {"SRTPGW_REALM": 'a"b'}, 2, "SRTPGW_REALM"),
        (("--cpus", "4001", "--workers", "1"), {}, 2, "this host has no core 4001"),
        (("--state-dir", "/proc/srtpgw"), {}, 1, "/proc/srtpgw"),
        (("--state-dir", "/proc/none/srtpgw"), {}, 1, "/proc/none does not exist: make it"),
        (("--metrics", "192.0.2.1:1"), {}, 1, "metrics cannot be served"),
    ],
)
def test_what_stands_against_a_start_is_told(
    tmp_path: Path, options: tuple[str, ...], environment: dict[str, str], status: int, told: str
) -> None:
    done = subprocess.run(
        [*SRTPGW, "run", *options], capture_output=True, text=True, timeout=60, check=False,
        env=clean_environment(tmp_path) | environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == status
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_another_realm_is_refused_where_nobody_can_be_asked(tmp_path: Path) -> None:
    assert command(tmp_path, "extension", "-i", "-d", "100", "--csp", "1", "--lim", "1").returncode == 0
    assert command(tmp_path, "auth_code", "-i", "-d", "100", "--auth-code", "4711").returncode == 0
    refused = command(tmp_path, "run", "--realm", "pbx.example")
    assert refused.returncode == 1
    assert "100. Change the realm? Nothing was changed: --accept-realm-change says yes" in refused.stderr
    assert "4711" not in refused.stderr
    with running(tmp_path, "--realm", "pbx.example", "--accept-realm-change") as service:
        answer = service.status()
        assert (answer["realm"], answer["authorization_codes"]) == ("pbx.example", 0)
        assert service.end() == 0


def test_no_secret_is_in_what_it_says(tmp_path: Path) -> None:
    """The codes and the key of the vault, in every form; private keys are never in clear but in its memory."""
    digits = "7351942"
    for words in (("extension", "-i", "-d", "100", "--csp", "1", "--lim", "1"),
                  ("auth_code", "-i", "-d", "100", "--auth-code", digits)):  # fmt: skip
        assert command(tmp_path, *words).returncode == 0
    with running(tmp_path) as service:
        assert service.status()["authorization_codes"] == 1
        said = json.dumps(service.status()).encode() + command(tmp_path, "status").stdout.encode()
        assert service.end() == 0
    said += service.log.read_bytes() + command(tmp_path, "config", "--json").stdout.encode()
    secrets: dict[str, bytes | str] = {"code": digits, "vault key": (tmp_path / "state" / "vault.key").read_bytes()}
    for name in ("md5", "sha256"):
        secrets[name] = hashlib.new(name, f"100:srtpgw:{digits}".encode(), usedforsecurity=False).digest()
    search = Search(secrets)
    assert search.shown(said) == set()
    assert search.shown(said + digits.encode()) == {"code"}
