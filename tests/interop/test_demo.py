"""The demonstration: it passes with our gateway, finds each fault of a bad one, and tells why it cannot run."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import pty
import re
import secrets
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace, TracebackType

import pytest
from rich.console import Console

import srtpgw.media
from srtpgw.demo import ATTACKS, DemoError, DemoPlan, DemoResult, commands, main, run_demo, show
from srtpgw.media import Address, LegSettings
from srtpgw.terminal.protection import Protection, TerminalKeys, Undecryptable

BRIEF = DemoPlan(frames=60, attack_packets=10)  # 1.2 s of speech; the sequence numbers wrap all the same
HASTY = DemoPlan(frames=60, attack_packets=10, patience=1.0)  # where something is bound to be missing
RUN = "import sys; from srtpgw.demo import DemoPlan, main; sys.exit(main({}))"


# --- with the gateway ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result() -> DemoResult:
    return run_demo(BRIEF)


def test_everything_holds(result: DemoResult) -> None:
    assert result.failures == []
    assert result.passed
    assert len(result.attacks) == len(ATTACKS)


def test_commands_are_carried_out_or_refused_as_the_rules_say(result: DemoResult) -> None:
    assert [(one.command.split()[0], one.refused) for one in result.commands] == [
        ("media_encryption_enable", True),
        ("license_install", False),
        ("media_encryption_enable", False),
        ("media_encryption_enable", False),
        ("extension", False),
        ("sec_policy", True),
        ("extension", False),
        ("sec_policy", False),
        ("extension", True),
        ("media_encryption_disable", True),
    ]
    assert result.commands[0].said == ("NOT EXECUTED", "LICENSE VOIP-SECURITY MISSING")
    assert result.commands[5].said == ("NOT EXECUTED", "DIRECTORY NUMBERS WITH SECURITY EXCEPTION EXIST", "100")


def test_a_command_that_does_otherwise_is_a_failure(result: DemoResult) -> None:
    wrong = replace(result.commands[0], passed=False)
    assert replace(result, commands=[wrong]).failures == ["media_encryption_enable -type extension"]


def test_the_calls_go_by_the_flags_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [typed for typed in commands.COMMANDS if "intermgw" not in typed.line]
    monkeypatch.setattr(commands, "COMMANDS", kept)
    with pytest.raises(DemoError, match="media encryption is off for intermgw legs"):
        run_demo(HASTY)


def test_every_attack_is_dropped_under_its_name(result: DemoResult) -> None:
    assert {attack.leg: attack.dropped for attack in result.attacks[-1:]} == {"trunk": {"wrong-source": 10}}
    assert [attack.dropped for attack in result.attacks[:4]] == [{"replay": 10}, *[{"auth-failed": 10}] * 3]
    drops = {leg.name: leg.dropped for leg in result.legs}
    assert drops == {
        "phone": {"replay": 10, "auth-failed": 30},
        "trunk": {"wrong-source": 10},
        "desk": {},
        "branch": {},
    }


def test_the_legs_are_what_they_were_asked_to_be(result: DemoResult) -> None:
    assert [(leg.name, leg.type, leg.suite) for leg in result.legs] == [
        ("phone", "extension", "AES_CM_128_HMAC_SHA1_80"),
        ("trunk", "route", None),
        ("desk", "extension", "AEAD_AES_256_GCM"),
        ("branch", "intermgw", "AES_CM_128_HMAC_SHA1_80"),
    ]
    assert [(leg.received, leg.sent) for leg in result.legs] == [(100, 60), (70, 60), (20, 20), (20, 20)]
    assert all(leg.rtcp_received == leg.rtcp_sent for leg in result.legs)


def test_the_command_as_a_script_reads_it() -> None:
    """At its full length, in a process of its own: nothing but one JSON object on standard output."""
    done = subprocess.run(
        [sys.executable, "-c", RUN.format("True")], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["passed"] is True
    assert {"checks", "attacks", "legs", "seconds"} <= found.keys()
    assert all(one["passed"] for one in found["checks"] + found["attacks"])


def test_the_command_on_a_terminal_shows_its_progress() -> None:
    master, slave = pty.openpty()
    short = RUN.format("plan=DemoPlan(frames=60, attack_packets=10)")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", short], stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        while chunk := read_terminal(master):
            shown += chunk
    os.close(master)
    assert process.returncode == 0, shown.decode()
    assert re.search(rb"talking, \d\.\d of 1\.2 s: the phone heard \d+", shown)
    assert b"passed" in shown


def read_terminal(master: int) -> bytes:
    try:
        return os.read(master, 4096)
    except OSError:  # Linux says EIO when the last process has closed the other side
        return b""


def test_no_key_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    keys: list[bytes] = []
    make = secrets.token_bytes

    def remember(count: int) -> bytes:
        keys.append(make(count))
        return keys[-1]

    monkeypatch.setattr(secrets, "token_bytes", remember)
    statuses = [main(json_output, BRIEF) for json_output in (True, False)]
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    keys = [key for key in keys if len(key) in (30, 44)]
    assert statuses == [0, 0]
    assert len(keys) == 12
    for key in keys:
        assert not any(form in printed for form in (key.hex(), base64.b64encode(key).decode(), repr(key)[2:-1]))


def test_no_port_is_a_clear_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1] & ~1
        plan = DemoPlan(frames=60, port_range=(port, port + 1))
        assert main(False, plan) == 1
        assert "the calls cannot be set up" in capsys.readouterr().err
        assert main(True, plan) == 1
        found = json.loads(capsys.readouterr().out)
        assert found["passed"] is False
        assert "cannot be set up" in found["error"]


def test_a_missing_native_module_is_a_clear_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "srtpgw.media", None)
    assert main(False, BRIEF) == 1
    assert "a part of srtpgw is missing" in capsys.readouterr().err


# --- printing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100])
def test_the_tables_fit_and_say_what_matters(result: DemoResult, width: int) -> None:
    out = io.StringIO()
    show(result, Console(file=out, width=width))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    for words in ("10 wrong-source", "10 replay", "AEAD_AES_256_GCM", "phone (extension)", "passed: 31 checks"):
        assert words in text


def test_a_result_without_checks_has_not_passed() -> None:
    out = io.StringIO()
    show(DemoResult(), Console(file=out, width=100))
    assert not DemoResult().passed
    assert re.search(r"FAILED: 0 of 0", out.getvalue())


# --- with gateways that have a fault ---------------------------------------------------------------------------------


class BadLeg:
    """A leg in plain Python on the event loop of the demonstration, right but for the fault it is told to have."""

    def __init__(self, number: int, settings: LegSettings, fault: str) -> None:
        self.id, self.name, self.settings, self.fault = number, settings.name, settings, fault
        self.other: BadLeg | None = None
        self.counts: Counter[tuple[str, int]] = Counter()
        self.drops: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self.protection: Protection | None = None
        if settings.suite:
            receive, send = settings.receive_keys[0].key_and_salt, settings.transmit_keys[0].key_and_salt
            self.protection = Protection(TerminalKeys(settings.suite, send=send, receive=receive))
        assert settings.remote is not None
        assert settings.remote_rtcp is not None
        self.remotes = [settings.remote, settings.remote_rtcp]
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in self.remotes]
        for way, sock in enumerate(self.sockets):
            sock.bind(("127.0.0.1", 0))
            asyncio.get_running_loop().add_reader(sock, self.receive, way)
        self.local, self.local_rtcp = (Address(*sock.getsockname()) for sock in self.sockets)

    def close(self) -> None:
        for sock in self.sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def receive(self, way: int) -> None:
        datagram, source = self.sockets[way].recvfrom(2048)
        self.counts["in", way] += 1
        try:
            plain = self.accept(datagram, Address(*source), way)
        except Undecryptable as refusal:
            self.drops[way]["replay" if refusal.replayed else "auth-failed"] += 1
        except PermissionError:
            self.drops[way]["wrong-source"] += 1
        else:
            assert self.other is not None
            self.other.send(plain, way)

    def accept(self, datagram: bytes, source: Address, way: int) -> bytes:
        if self.protection is None:
            if source != self.remotes[way] and self.fault != "hears-anyone":
                raise PermissionError
            return datagram
        if self.fault == "follows-anyone" and source != (self.settings.remote, self.settings.remote_rtcp)[way]:
            self.remotes[way] = source
        try:
            return self.protection.unprotect_report(datagram) if way else self.protection.unprotect(datagram)
        except Undecryptable as refusal:
            if refusal.replayed and self.fault == "no-replay-window":
                return datagram[:172]
            if not refusal.replayed and self.fault == "no-authentication":
                return datagram[:172]
            raise

    def send(self, plain: bytes, way: int) -> None:
        if self.fault == "noise" and not way:
            plain = plain[:50] + bytes([plain[50] ^ 1]) + plain[51:]
        wire = plain
        if self.protection and (way or self.fault != "no-encryption"):
            wire = self.protection.protect_report(plain) if way else self.protection.protect(plain)
        if self.fault == "loss" and plain[3] == 3 and not way:
            return
        self.counts["out", way] += 1
        self.sockets[way].sendto(wire, self.remotes[way])

    def statistics(self) -> SimpleNamespace:
        rtp, rtcp = (
            SimpleNamespace(
                received_packets=self.counts["in", way],
                sent_packets=self.counts["out", way],
                drops=dict(self.drops[way]),
                jitter_ms=0.0,
                relay_time=SimpleNamespace(p50_us=0.0, p99_us=0.0, max_us=0.0, count=0),
            )
            for way in range(2)
        )
        settings = self.settings
        return SimpleNamespace(id=self.id, name=self.name, type=settings.type, suite=settings.suite, rtp=rtp, rtcp=rtcp)


class BadGateway:
    """As much of a MediaGateway as the demonstration uses."""

    fault = ""

    def __init__(self, **options: object) -> None:
        self.legs: list[BadLeg] = []

    def __enter__(self) -> BadGateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for leg in self.legs:
            leg.close()

    def open_leg(self, settings: LegSettings) -> BadLeg:
        self.legs.append(BadLeg(len(self.legs), settings, self.fault))
        return self.legs[-1]

    def join(self, one: BadLeg, other: BadLeg) -> None:
        one.other, other.other = other, one

    def statistics(self) -> SimpleNamespace:
        return SimpleNamespace(legs=[leg.statistics() for leg in self.legs])


def run_with(fault: str, monkeypatch: pytest.MonkeyPatch) -> DemoResult:
    monkeypatch.setattr(BadGateway, "fault", fault)
    monkeypatch.setattr(srtpgw.media, "MediaGateway", BadGateway)
    return run_demo(HASTY)


FAULTS = {  # fault -> something that must be found because of it
    "no-encryption": "wire at the phone",
    "no-replay-window": "packets replayed",
    "no-authentication": "forged, own address",
    "hears-anyone": "injected RTP",
    "follows-anyone": "answers to the attacker",
    "noise": "audio, phone to trunk",
    "loss": "packets, trunk to phone",
}


@pytest.mark.parametrize(("fault", "found"), FAULTS.items())
def test_each_fault_is_found(fault: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with(fault, monkeypatch)
    assert not result.passed
    assert found in result.failures


def test_without_a_fault_the_stand_in_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with("", monkeypatch).passed


def test_a_failure_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(BadGateway, "fault", "noise")
    monkeypatch.setattr(srtpgw.media, "MediaGateway", BadGateway)
    assert main(True, HASTY) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False
