"""Every example of the specification, accepted and rejected, through the real console scripts; and what only a process
of its own can show: the process list, prompts, pipes that nobody reads, Ctrl-C.

A row is what is typed, the exit status, and what standard output is: the whole of it where it ends with a line's end,
else a part. The rows of a table run in order on one state directory.
"""

from __future__ import annotations

import json
import os
import pty
import resource
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import operator_command

from srtpgw.control.directory import StateDirectory
from srtpgw.control.store import Store

SECONDS = 20  # a command that takes longer hangs
PIN = "7391046"
INTERRUPTED = "srtpgw: auth_code: interrupted; nothing was changed"
TURN = 0.01  # seconds between two looks

Row = tuple[str, int, str]


def environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, "SRTPGW_STATE_DIR": str(folder / "state")}


def perform(folder: Path, line: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a line as a shell would, without a shell. ``typed`` is standard input."""
    name, *words = shlex.split(line)
    return subprocess.run(
        [*operator_command(name), *words],
        input=typed,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=folder,
        env=environment(folder),
    )


def check(folder: Path, rows: list[Row]) -> None:
    for line, status, expected in rows:
        done = perform(folder, line)
        assert done.returncode == status, (line, done)
        if expected.endswith("\n"):
            assert done.stdout == expected, line
        else:
            assert expected in done.stdout, (line, done)
        assert (done.stderr == "") is (status != 2), (line, done)


def extensions(folder: Path) -> list[str]:
    """The numbers that are stored."""
    with Store(folder / "state/srtpgw.db", readonly=True) as store:
        return list(store.read().extensions)


NO_LICENSE = "NOT EXECUTED\nLICENSE VOIP-SECURITY MISSING\n"
EXCEPTIONS = "NOT EXECUTED\nDIRECTORY NUMBERS WITH SECURITY EXCEPTION EXIST\n"

# Sections 2 and 3: off by default, a licence is needed, each type by itself.
LICENCE_AND_MEDIA: list[Row] = [
    ("sec_policy -print", 0, "Security policy: no policy\nWARNING: there is no store in"),
    ("media_encryption_enable -type extension", 1, NO_LICENSE),
    ("sec_policy -set 1", 1, NO_LICENSE),
    ("license_install --testbed", 0, "testbed"),
    ("license_print", 0, "testbed"),
    ("media_encryption_enable -type route", 0, "route is enabled"),
    ("media_encryption_enable -type intermgw", 0, "intermgw is enabled"),
    ("media_encryption_print --json", 0, '{"extension": false, "route": true, "intermgw": true}'),
    ("media_encryption_enable -type extension", 0, "extension is enabled"),
    ("media_encryption_disable -type extension", 0, "extension is disabled"),
    ("media_encryption_enable -type extension", 0, "extension is enabled"),
    ("media_encryption_print -type extension", 0, "TYPE       MEDIA ENCRYPTION\nextension  enabled\n"),
    ("media_encryption_enable -type trunk", 2, ""),
    ("sec_policy -set 2", 0, "ALL_SECURE + EXC_EXT"),
    ("media_encryption_disable -type extension", 1, "NOT EXECUTED\nSECURITY POLICY IS SET\n"),
    ("media_encryption_disable -type route", 0, "route is disabled"),
    ("media_encryption_disable -type intermgw", 0, "intermgw is disabled"),
    ("media_encryption_print --json", 0, '{"extension": true, "route": false, "intermgw": false}'),
]

# Section 4 with the procedure of a change, and the columns of 4.1: an exception (numbers 1x), none with a RAC (2x) and
# without (3x), under no policy (x0) and policies 2, 1 and 3 in this order, for an exception stands against 1 and 3.
POLICIES: list[Row] = [
    ("license_install --testbed", 0, "testbed"),
    (f"auth_code -i --cil 20..23 --auth-code {PIN}", 0, "20..23"),  # before their extensions
    ("extension -i -d 10 --csp 1 --lim 1 --security-exception yes", 0, "initiated: 10"),
    ("extension -i -d 20 --csp 1 --lim 1 --security-exception no", 0, "initiated: 20"),
    ("extension -i -d 30 --csp 1 --lim 1", 0, "WARNING: 30 cannot register until a RAC is configured"),
    ("sec_policy -set 1", 1, EXCEPTIONS + "10\n"),
    ("sec_policy -set 3", 1, EXCEPTIONS + "10\n"),
    ("sec_policy -set 2", 0, "WARNING: 30 cannot register until a RAC is configured"),
    ("sec_policy -print", 0, "Security policy: 2 (ALL_SECURE + EXC_EXT)\n"),
    ("extension --initiate -d 12 --csp 1 --lim 1 --security-exception yes", 0, "initiated: 12"),
    ("extension -i -d 22 --csp 1 --lim 1", 0, "1 extension initiated: 22\n"),
    ("extension -i -d 32 --csp 1 --lim 1 --security-exception no", 0, "WARNING: 32 cannot register until a RAC"),
    ("sec_policy -set 1", 1, EXCEPTIONS + "10, 12\n"),
    ("extension --change -d 10,12 --security-exception no", 0, "10, 12"),
    ("sec_policy -set 1", 0, "WARNING: 10, 12, 30, 32 cannot register until a RAC is configured"),
    ("extension_unregistration -d all", 1, "SIP AND H.323 ARE NOT SERVED YET"),
    ("extension -i -d 11 --csp 1 --lim 1 --security-exception yes", 1, "Security exception is not allowed.\n"),
    ("extension -i -d 21 --csp 1 --lim 1 --security-exception no", 0, "1 extension initiated: 21\n"),
    ("extension -i -d 31 --csp 1 --lim 1 --security-exception no", 1, "The PIN code may not be blank.\n"),
    ("extension -c -d 21 --csp 2", 1, "--security-exception no"),
    ("extension -c -d 21 --csp 2 --security-exception no", 0, "changed: 21"),
    ("auth_code -e -d 21", 1, "The PIN code may not be blank."),
    ("sec_policy -set 3", 0, "ALL_SECURE + EXC_TYPE"),
    ("extension -i -d 13 --csp 1 --lim 1 --security-exception yes", 1, "Security exception is not allowed.\n"),
    ("extension -i -d 33 --csp 1 --lim 1 --security-exception no", 1, "RAC is mandatory if security-exception = no.\n"),
    ("extension -i -d 23 --csp 1 --lim 1", 1, "--security-exception no"),
    ("extension -i -d 23 --csp 1 --lim 1 --security-exception no", 0, "1 extension initiated: 23\n"),
    ("auth_code -e -d 23", 1, "RAC is mandatory if security-exception = no."),
    ("sec_policy -remove", 0, "removed"),
    ("auth_code -e -d 23", 0, "23"),
]

# The other commands of 4.1 and 5: ranges and lists, mandatory options, printing.
EXTENSIONS: list[Row] = [
    ("extension -i -d 12000..12099 --csp 1 --lim 1", 0, "100 extensions initiated"),
    ("extension -i -d 100,200 --csp 1 --lim 1 --security-exception yes", 0, "2 extensions initiated: 100, 200\n"),
    ("extension -i -d 300 --csp 1", 2, ""),
    ("extension -i -d 200..201 --csp 1 --lim 1", 1, "200"),
    ("extension -p -d 100,12000", 0, "12000"),
    ("extension -e -d 12000..12099", 0, "100 extensions"),
    ("extension -p", 0, "200     1    1    yes                 no"),
    ("auth_code -i -d 100 --auth-code 12345678", 2, ""),  # 1 to 7 digits
    (f"auth_code -i -d 100 --auth-code {PIN}", 0, "100"),
    ("auth_code -c --cil 100 --auth-code 24680", 0, "100"),
    ("auth_code -p -d 100", 0, "100     yes  yes"),
    ("ip_extension -p", 0, "No terminal is logged on."),
    ("extension_unregistration -d 100", 1, "SIP AND H.323 ARE NOT SERVED YET"),
    ("extension_unregistration -d 12000..12099", 1, "DIRECTORY NUMBERS DO NOT EXIST"),
]

SIP_ROUTE = "sip_route -set -route 1 -protocol tls -proxyip 192.0.2.7 -proxyport 5061 -dest 00 -match 192.0.2.7"
# Sections 6, 8 and 10.
ROUTES_AND_STORE: list[Row] = [
    (SIP_ROUTE, 0, "Route 1 is made."),
    ("sip_route -set -route 1 -fallback yes", 0, ""),
    ("sip_route -print -route 1", 0, "route 1: tls to 192.0.2.7 port 5061"),
    ("sip_route -print", 0, "fallback yes"),
    ("RIANI 'ROU=5,IPADR=192.0.2.9,PORT=1300,TLS=YES;'", 0, "ROU=5,IPADR=192.0.2.9,PORT=1300,TLS=YES\nWARNING: "),
    ("RIANI :ROU=5,IPADR=192.0.2.9", 1, "NOT EXECUTED\nROUTE ALREADY INITIATED\n"),
    ("RIANI ROU=6", 2, ""),
    ("RIANC ROU=5, PORT=3727", 0, "ROU=5,IPADR=192.0.2.9,PORT=3727,TLS=YES"),
    ("RIANP ROU=5", 0, "ROU=5,IPADR=192.0.2.9,PORT=3727,TLS=YES"),
    ("RIANC 'ROU=5,DEST=00&0044,NAME=pbx.example;'", 0, "TLS=YES,DEST=00&0044,NAME=pbx.example"),
    ("RIANC ROU=5,TLS=NO", 1, "NOT EXECUTED\nONLY TLS HAS CERTIFICATES\nGive TLS=YES, or NAME=NONE.\n"),
    ("setting -set allow-sdes-over-clear on", 0, "WARNING"),
    ("data_backup -f saved.backup", 0, "SHA-256: "),
    ("RIANE ROU=5", 0, "5"),
    ("RIANP 'ROU=5;'", 1, "ROUTE NOT INITIATED"),
    ("sip_route -remove -route 1", 0, "1"),
    ("data_restore -f saved.backup --yes", 0, ""),
    ("sip_route -print --json", 0, '"proxyip": "192.0.2.7"'),
    ("certificate_install --testbed --name gateway.example", 0, "gateway.example"),
    ("certificate_print", 0, "ECDSA P-256"),
    ("setting -print -name allow-sdes-over-clear", 0, "allow-sdes-over-clear = on"),
]


def test_licence_and_media_encryption(tmp_path: Path) -> None:
    check(tmp_path, LICENCE_AND_MEDIA)


def test_policies_and_the_rules_on_extensions(tmp_path: Path) -> None:
    check(tmp_path, POLICIES)
    assert PIN not in perform(tmp_path, "audit -p -n 100").stdout


def test_extensions_and_codes(tmp_path: Path) -> None:
    check(tmp_path, EXTENSIONS)


def test_routes_backup_and_settings(tmp_path: Path) -> None:
    check(tmp_path, ROUTES_AND_STORE)
    again = perform(tmp_path, "data_backup -f saved.backup")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("srtpgw: data_backup: saved.backup is there already")


def test_the_audit_log_tells_it(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("sec_policy -set 1", 1, NO_LICENSE),
        ("license_install --testbed", 0, "testbed"),
        (f"auth_code -i -d 100 --auth-code {PIN}", 0, "100"),
        (f"auth_code -c -d 100 --auth-code={PIN}", 0, "100"),
        ("sec_policy -print", 0, "no policy"),
        ("sec_policy -set 4", 2, ""),
    ]
    check(tmp_path, rows)
    entries = json.loads(perform(tmp_path, "audit -p --json").stdout)["audit"]
    assert [(entry["command"], entry["result"]) for entry in entries] == [
        ("sec_policy -set 1", "refused"),
        ("license_install --testbed", "done"),
        ("auth_code -i -d 100 --auth-code ***", "done"),
        ("auth_code -c -d 100 --auth-code=***", "done"),
    ]
    assert entries[0]["lines"] == NO_LICENSE.splitlines()


# --- what a process shows


@contextmanager
def started(folder: Path, line: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    name, *words = shlex.split(line)
    with subprocess.Popen(
        [*operator_command(name), *words],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment(folder),
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def shown(process: subprocess.Popen[bytes]) -> bytes:
    """What the process list has of it."""
    return Path(f"/proc/{process.pid}/cmdline").read_bytes()


def wait_until_hidden(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while b"*" * len(PIN) not in shown(process) and time.monotonic() < deadline:
        time.sleep(TURN)


@pytest.mark.parametrize("option", ["--auth-code ", "--auth-code="])
def test_a_secret_is_wiped_from_the_process_list(tmp_path: Path, option: str) -> None:
    """The store is busy, so the command waits with all that it was given."""
    directory = StateDirectory(tmp_path / "state")
    line = f"auth_code -i {option}{PIN} -d 100"
    with Store(directory.database) as store, started(tmp_path, line) as process:
        with store.change():
            wait_until_hidden(process)
            hidden = line.replace(PIN, "*" * len(PIN)).split(" ")[1:]
            assert shown(process).endswith(b"\0" + "\0".join(hidden).encode() + b"\0")
        out, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, err) == (0, b"")
        assert PIN.encode() not in out
        assert list(store.read().authorization_codes) == ["100"]


@pytest.fixture(autouse=True)
def _interrupts_are_heard() -> Iterator[None]:
    """Also where the tests run in a background job, whose processes are born deaf to them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Terminal:
    """Somebody at a terminal, where a command was typed."""

    def __init__(self, folder: Path, line: str) -> None:
        name, *words = shlex.split(line)
        self.seen = ""
        self._status: int | None = None
        self._pid, self._handle = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            command = [*operator_command(name), *words]
            os.execve(command[0], command, environment(folder))  # noqa: S606 - behind pty.fork()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _read(self) -> str:
        try:
            return os.read(self._handle, 4096).decode().replace("\r", "")
        except OSError:  # the other side is closed
            return ""

    def expect(self, text: str) -> None:
        """Wait until the screen shows it, behind what was waited for before."""
        while text not in self.seen:
            octets = self._read()
            assert octets, f"{text!r} does not come: {self.seen!r}"
            self.seen += octets
        self.seen = self.seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def end(self) -> int:
        """The exit status; what it said last is in ``seen``."""
        while octets := self._read():
            self.seen += octets
        self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status


@pytest.mark.timeout(SECONDS)
def test_a_code_is_asked_for_without_echo(tmp_path: Path) -> None:
    screen = ""
    with Terminal(tmp_path, "auth_code -i -d 100") as terminal:
        for prompt, typed in ((": ", PIN), ("again: ", PIN[:-1]), ("more.\n", ""), (": ", PIN), ("again: ", PIN)):
            terminal.expect(prompt)
            screen += terminal.seen
            terminal.type(f"{typed}\n" if typed else "")
        assert terminal.end() == 0
        screen += terminal.seen
    assert "authorization code set: 100" in screen
    assert PIN[:-1] not in screen


@pytest.mark.timeout(SECONDS)
def test_an_interrupt_at_a_prompt(tmp_path: Path) -> None:
    with Terminal(tmp_path, "auth_code -i -d 100") as terminal:
        terminal.expect(": ")
        terminal.type("\x03")
        assert terminal.end() == 128 + signal.SIGINT
        assert terminal.seen.strip().removeprefix("^C").strip() == INTERRUPTED


@pytest.mark.timeout(SECONDS)
def test_the_end_of_input_at_a_prompt(tmp_path: Path) -> None:
    with Terminal(tmp_path, "auth_code -i -d 100") as terminal:
        terminal.expect(": ")
        terminal.type("\x04")
        assert terminal.end() == 2
        assert terminal.seen.strip() == "srtpgw: auth_code: --auth-code is not given"


@pytest.mark.timeout(SECONDS)
def test_a_question_is_answered_at_the_terminal(tmp_path: Path) -> None:
    check(tmp_path, [("data_backup -f saved", 0, "saved"), ("extension -i -d 100 --csp 1 --lim 1", 0, "100")])
    unasked = perform(tmp_path, "data_restore -f saved")
    assert (unasked.returncode, unasked.stdout) == (1, "")
    assert unasked.stderr.endswith("there is nobody to ask; --yes says yes\n")
    answers: list[tuple[str, int, list[str]]] = [("no", 1, ["100"]), ("yes", 0, [])]
    for answer, status, left in answers:
        with Terminal(tmp_path, "data_restore -f saved") as terminal:
            terminal.expect("[yes/no] ")
            terminal.type(f"{answer}\n")
            assert terminal.end() == status
        assert extensions(tmp_path) == left


@pytest.mark.timeout(SECONDS)
def test_who_waits_at_a_terminal_is_told_why(tmp_path: Path) -> None:
    line = "extension -i -d 100 --csp 1 --lim 1"
    with (
        Store(StateDirectory(tmp_path / "state").database) as store,
        store.change(),
        Terminal(tmp_path, line) as terminal,
    ):
        terminal.expect("srtpgw: waiting for another command to end ...")


def test_a_code_from_standard_input(tmp_path: Path) -> None:
    assert perform(tmp_path, "auth_code -i -d 100", f"{PIN}\n").returncode == 0
    done = perform(tmp_path, "auth_code -c -d 100", "12x45\n")
    assert done.returncode == 2
    assert "12x45" not in done.stdout + done.stderr


def test_an_interrupt_while_the_store_is_busy(tmp_path: Path) -> None:
    with Store(StateDirectory(tmp_path / "state").database) as store:
        with store.change(), started(tmp_path, f"auth_code -i -d 100 --auth-code {PIN}") as process:
            wait_until_hidden(process)
            time.sleep(10 * TURN)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 128 + signal.SIGINT
        assert err.decode() == f"{INTERRUPTED}\n"
        assert not store.read().authorization_codes


def test_a_reader_that_is_gone_says_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with started(tmp_path, "sec_policy -print", stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (1, b"")


def test_a_change_whose_text_has_no_room_was_made(tmp_path: Path) -> None:
    line = "extension -i -d 100 --csp 1 --lim 1"
    with Path("/dev/full").open("wb") as full, started(tmp_path, line, stdout=full.fileno()) as process:
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    told = err.decode().splitlines()
    assert told == [
        "srtpgw: extension: it was done, but what came of it cannot be shown:",
        "srtpgw: No space left on device",
    ]
    assert extensions(tmp_path) == ["100"]


def test_a_closed_stdout_changes_nothing(tmp_path: Path) -> None:
    name, *words = shlex.split("extension -i -d 100 --csp 1 --lim 1")
    command = shlex.join([*operator_command(name), *words])
    done = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, text=True, timeout=SECONDS, check=False,
                          env=environment(tmp_path))  # fmt: skip
    assert done.returncode == 1
    assert "stdout is closed" in done.stderr
    assert not (tmp_path / "state").exists()


def core_limits(process: subprocess.Popen[bytes]) -> list[str]:
    """How large a core file of it may be: soft and hard limit."""
    limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii").splitlines()
    return next(row for row in limits if row.startswith("Max core file size")).split()[4:6]


def test_no_core_is_written(tmp_path: Path) -> None:
    """A command that holds a secret dies of a signal that dumps core where core files are allowed."""
    line = f"auth_code -i -d 100 --auth-code {PIN}"
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with Store(StateDirectory(tmp_path / "state").database) as store, store.change():
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        try:
            with started(tmp_path, line) as process:
                deadline = time.monotonic() + SECONDS
                while core_limits(process) != ["0", "0"] and time.monotonic() < deadline:
                    time.sleep(TURN)
                assert core_limits(process) == ["0", "0"]
                time.sleep(5 * TURN)
                process.send_signal(signal.SIGABRT)
                process.communicate(timeout=SECONDS)
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert process.returncode == -signal.SIGABRT
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
