"""data_backup and data_restore as real commands: the file, the prompts, another machine, and a kill in between."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import random
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from support import campaign, operator_command

from srtpgw.control.digest import ha1, seal_code
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import Change, Extension, Put, Realm, Remove, Setting, State
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault

SECONDS = 30  # a command that takes longer hangs
PIN = "8305174"
PASSPHRASE = "tortoise-Zürich-71-lantern"  # noqa: S105 - of a test
EXTENSIONS = (Extension("100", 1, 1, False), Extension("101", 1, 1, False))
DECLINED = "there is nobody to ask; --yes says yes"


class Machine:
    """A state directory, and commands on it. Files are beside it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.directory = StateDirectory(folder / name)

    def start(self, line: str) -> subprocess.Popen[str]:
        name, *words = line.split()
        return subprocess.Popen(
            [*operator_command(name), *words, "--state-dir", str(self.directory.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
        )  # fmt: skip

    def run(self, line: str, *, typed: str = "", status: int = 0) -> str:
        """What it says."""
        with self.start(line) as process:
            out, err = process.communicate(typed, SECONDS)
        assert process.returncode == status, (line, out, err)
        return out + err

    def change(self, *changes: Change) -> None:
        """As another command would."""
        with closing(Store(self.directory.database)) as store, store.change() as transaction:
            transaction.apply(changes)

    def state(self) -> State:
        with closing(Store(self.directory.database, readonly=True)) as store:
            return store.read()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """With two extensions, one of them with a code, and a setting."""
    made = Machine(tmp_path, "one")
    code = seal_code(Vault(made.directory.vault_key), "100", "srtpgw", PIN)
    made.change(*(Put(row) for row in (*EXTENSIONS, Realm("srtpgw"), code, Setting("lockout-time", "60"))))
    return made


def test_a_backup_is_written_once_and_for_its_owner_only(machine: Machine) -> None:
    told = machine.run("data_backup -f a.backup")
    path = machine.folder / "a.backup"
    octets = path.read_bytes()
    assert told.splitlines()[:3] == [
        "Backup: a.backup",
        f"Size: {len(octets):,} octets",
        f"SHA-256: {hashlib.sha256(octets).hexdigest()}",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    machine.run("data_backup -f a.backup", status=1)
    assert path.read_bytes() == octets
    value = json.loads(machine.run("data_backup --json"))
    log = machine.run("audit -p")
    noted = [line.split("  data_backup")[0].split()[-1] for line in log.splitlines() if "  data_backup" in line]
    assert noted == ["done", "failed", "done"]
    named = machine.folder / value["file"]
    assert (named.stat().st_size, value["secrets"]) == (value["octets"], False)
    assert {each.name for each in machine.folder.iterdir()} == {"one", "a.backup", named.name}


def test_another_machine_has_all_of_it_with_the_passphrase(machine: Machine) -> None:
    machine.run("data_backup -f full.backup -passphrase", typed=f"{PASSPHRASE}\n")
    other = Machine(machine.folder, "other")
    told = other.run("data_restore -f full.backup -passphrase", typed=f"{PASSPHRASE}\n")
    assert "extensions: 2 new" in told
    there = other.state()
    assert list(there.extensions) == ["100", "101"]
    expected = hashlib.sha256(f"100:srtpgw:{PIN}".encode()).hexdigest().encode()
    assert ha1(Vault(other.directory.vault_key), there.authorization_codes["100"], "SHA-256") == expected


def test_a_refused_file_changes_nothing(machine: Machine) -> None:
    machine.run("data_backup -f a.backup")
    machine.change(Remove(Extension, "101"))
    before = machine.state()
    octets = (machine.folder / "a.backup").read_bytes()
    (machine.folder / "torn.backup").write_bytes(octets[:-1000])
    (machine.folder / "foreign.backup").write_bytes(b"no backup\n" * 100)
    for file, reason in (
        ("torn.backup", "BACKUP IS DAMAGED OR INCOMPLETE"),
        ("foreign.backup", "FILE IS NOT A BACKUP"),
        (machine.directory.database, "BACKUP IS DAMAGED OR INCOMPLETE"),
    ):
        line = f"data_restore -f {file} --yes"
        assert machine.run(line, status=1).splitlines()[:2] == ["NOT EXECUTED", reason]
    machine.run("data_restore -f nowhere.backup", status=2)
    assert machine.state() == before


def test_it_asks_where_it_replaces_and_only_a_yes_is_one(machine: Machine) -> None:
    machine.run("data_backup -f a.backup")
    machine.change(Remove(Setting, "lockout-time"), Put(Extension("102", 1, 1, False)))
    assert DECLINED in machine.run("data_restore -f a.backup", status=1)
    for answer, remain in (("n", True), ("yes", False)):
        front, back = pty.openpty()
        with subprocess.Popen(
            [*operator_command("data_restore"), "-f", "a.backup", "--state-dir", str(machine.directory.path)],
            stdin=back, stdout=back, stderr=back, cwd=machine.folder,
        ) as process:  # fmt: skip
            os.close(back)
            shown = b""
            while b"Restore it?" not in shown:
                shown += os.read(front, 1000)
            os.write(front, f"{answer}\n".encode())
            process.wait(SECONDS)
        os.close(front)
        assert b"extensions: 1 removed" in shown
        assert ("102" in machine.state().extensions) is remain
    assert machine.state().settings == {"lockout-time": "60"}


def test_a_restore_that_is_killed_is_whole_or_never_was(tmp_path: Path) -> None:
    """Killed at moments spread over the time that one takes; the store is as before or as in the backup."""
    machine = Machine(tmp_path, "one")
    count = 2000
    machine.change(*(Put(Extension(str(number), 1, 1, False)) for number in range(10_000, 10_000 + count)))
    machine.run("data_backup -f a.backup")
    with closing(Store(machine.directory.database)) as store:

        def begin() -> None:
            """Other settings than those of the backup, all over."""
            with store.change() as transaction:
                transaction.apply(Put(Extension(number, 2, 2, True)) for number in transaction.state.extensions)
                transaction.apply([Put(Setting("lockout-time", "60"))])

        begin()
        started = time.monotonic()
        machine.run("data_restore -f a.backup --yes")
        took = time.monotonic() - started
        chosen = random.Random(11)
        for _ in range(campaign(50)):
            begin()
            with machine.start("data_restore -f a.backup --yes") as process:
                time.sleep(chosen.uniform(0.3, 1.1) * took)
                process.kill()
            now = store.read()
            kinds = {(row.csp, row.lim, row.security_exception) for row in now.extensions.values()}
            assert (len(now.extensions), kinds, dict(now.settings)) in (
                (count, {(1, 1, False)}, {}),
                (count, {(2, 2, True)}, {"lockout-time": "60"}),
            )
        store.check()
