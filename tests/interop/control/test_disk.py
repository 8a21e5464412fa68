"""A full disk, a medium that cannot be written, a directory of somebody else: a clear refusal, nothing changed, and
the next command works once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from interop.control.children import PATIENCE_SECONDS, Ended, command_line, done, forked, operate
from support import require_root
from unit.control.requests import extension
from unit.control.stored_rows import commit, put

from srtpgw.control.directory import StateDirectory
from srtpgw.control.store import Store

NOBODY = 65534
EXTENSION = ("extension", "-i", "--csp", "1", "--lim", "1", "-d")
FULL = "the disk is full: make room"
READ_ONLY = "read-only medium"


class Disk:
    """A small file system of its own, which only processes in its mount namespace see."""

    def __init__(self, holder: int, path: Path) -> None:
        self.state = path / "state"
        self._path = path
        self._inside = ["nsenter", f"--mount=/proc/{holder}/ns/mnt", "--"]
        self.seen = Path(f"/proc/{holder}/root{path}")  # the same from outside

    def run(self, *words: str, typed: str = "") -> Ended:
        """An operator command, as its console script."""
        return self.plainly(*command_line(self.state, *words), typed=typed)

    def plainly(self, *command: str, typed: str = "") -> Ended:
        ended = subprocess.run(
            [*self._inside, *command],
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def fill(self) -> None:
        with (self.seen / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def make_room(self) -> None:
        (self.seen / "filling").unlink()

    def forbid_writing(self) -> None:
        assert self.plainly("mount", "-o", "remount,ro", str(self._path)).status == 0

    def judge(self) -> tuple[list[str], list[str]]:
        """The store is sound; extensions in it, and commands in its audit log that were done."""
        with TemporaryDirectory() as copied:
            shutil.copytree(self.seen / "state", Path(copied, "state"))
            with Store(Path(copied, "state", "srtpgw.db")) as store:
                store.check()
                commands = [each.command for each in store.audit(99) if each.result == "done"]
                return list(store.read().extensions), commands

    def files(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in (self.seen / "state").iterdir()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """600 KiB. It goes with the process that holds its namespace."""
    require_root()
    mount = f"mount -t tmpfs -o size=600k,mode=700 none {tmp_path} && echo ready && exec cat"
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", mount]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        try:
            yield Disk(holder.pid, tmp_path)
        finally:
            holder.kill()


def refused(ended: Ended, text: str) -> None:
    assert ended.status == 1, ended
    assert ended.out == ""
    assert text in ended.err
    assert ended.err.count("\n") == 1, "one line, and no traceback"


# --- a full disk


def test_a_full_disk_takes_nothing_and_reading_goes_on(disk: Disk) -> None:
    assert disk.run(*EXTENSION, "100").status == 0
    disk.fill()
    refused(disk.run(*EXTENSION, "200"), FULL)
    refused(disk.run("auth_code", "-i", "-d", "100", typed="4711\n"), FULL)
    shown = disk.run("extension", "-p", "--json")
    assert shown.status == 0, shown
    assert '"100"' in shown.out
    assert '"200"' not in shown.out
    disk.make_room()
    assert disk.run(*EXTENSION, "200").status == 0
    assert disk.run("auth_code", "-i", "-d", "100", typed="4711\n").status == 0
    assert disk.judge()[0] == ["100", "200"]


def test_a_full_disk_at_the_first_use(disk: Disk) -> None:
    disk.fill()
    refused(disk.run(*EXTENSION, "100"), FULL)
    assert not (disk.seen / "state").exists() or disk.files() == {}
    disk.make_room()
    assert disk.run(*EXTENSION, "100").status == 0


def test_a_change_that_is_too_large_leaves_nothing(disk: Disk) -> None:
    assert disk.run(*EXTENSION, "100").status == 0
    refused(disk.run(*EXTENSION, "20000..39999"), FULL)
    assert disk.run(*EXTENSION, "200").status == 0, "there is room again"
    extensions, commands = disk.judge()
    assert extensions == ["100", "200"]
    assert [each.split("-d ")[1].split()[0] for each in commands] == ["100", "200"]


# --- a medium that cannot be written


def test_a_read_only_medium_is_read(disk: Disk) -> None:
    assert disk.run(*EXTENSION, "100").status == 0
    disk.forbid_writing()
    before = disk.files()
    refused(disk.run(*EXTENSION, "200"), "read-only")
    refused(disk.run("auth_code", "-i", "-d", "100", typed="4711\n"), "read-only")
    shown = disk.run("extension", "-p")
    assert (shown.status, "100" in shown.out) == (0, True), shown
    assert disk.run("audit", "-p").status == 0
    assert disk.files() == before


def test_a_read_only_medium_with_a_log_is_read(disk: Disk, open_place: Path) -> None:
    """The last command was killed, so its commit stands in the log beside the database."""

    def work() -> None:
        store = Store(StateDirectory(open_place / "state").database)
        commit(store, put(extension("100")))
        os._exit(0)

    with forked(work) as child:
        assert child.wait().status == 0
    shutil.copytree(open_place / "state", disk.seen / "state")
    assert disk.files()["srtpgw.db-wal"]
    disk.forbid_writing()
    shown = disk.run("extension", "-p")
    assert (shown.status, "100" in shown.out) == (0, True), shown
    refused(disk.run(*EXTENSION, "200"), "read-only")


def test_a_read_only_medium_without_a_store(disk: Disk) -> None:
    disk.forbid_writing()
    assert disk.run("sec_policy", "-print").status == 0
    refused(disk.run(*EXTENSION, "100"), READ_ONLY)


# --- permission


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may enter, as pytest's own are not."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def as_nobody(work: Callable[[], int]) -> Ended:
    """Work under another user, which may not read our Python: what it imports is imported here before."""

    def begin() -> int:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return work()

    with forked(begin) as child:
        return child.wait()


@pytest.fixture
def _everything_imported(tmp_path: Path) -> None:
    for words in ((*EXTENSION, "1"), ("extension", "-p")):
        assert operate(tmp_path / "trial", *words) == 0


@pytest.mark.usefixtures("_everything_imported")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_the_directory_of_another_user_is_refused(open_place: Path, mode: int) -> None:
    require_root()
    state = open_place / "state"
    done(state, *EXTENSION, "100")
    state.chmod(mode)
    ended = as_nobody(partial(operate, state, *EXTENSION, "200"))
    assert ended.status == 1, ended
    assert "belongs to root: run this as that user" in ended.out
    state.chmod(0o700)
    assert "200" not in done(state, "extension", "-p")


@pytest.mark.usefixtures("_everything_imported")
def test_a_directory_without_the_right_to_write(open_place: Path) -> None:
    """One's own, so that it is entered, but nothing can be made in it."""
    require_root()
    state = open_place / "state"
    done(state, *EXTENSION, "100")
    for each in (state, *state.iterdir()):
        os.chown(each, NOBODY, NOBODY)
    state.chmod(0o500)
    before = {each.name: each.read_bytes() for each in state.iterdir()}

    changed = as_nobody(partial(operate, state, *EXTENSION, "200"))
    assert changed.status == 1, changed
    assert "permission is missing" in changed.out
    shown = as_nobody(partial(operate, state, "extension", "-p"))
    assert (shown.status, "100" in shown.out) == (0, True), shown
    assert {each.name: each.read_bytes() for each in state.iterdir()} == before
