"""Files that hold decrypted media: for their owner alone, complete or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from srtpgw.capture.writer import OutputFile, create_private, make_private_folder
from srtpgw.errors import OutputError

OCTETS = bytes(range(256)) * 1000


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "plain.pcapng"
    before = os.umask(0)
    try:
        with OutputFile(path) as out:
            (part,) = tmp_path.iterdir()
            assert mode(part) == 0o600
            assert not path.exists()
            out.put(OCTETS)
            out.put(OCTETS)
    finally:
        os.umask(before)
    assert [each.name for each in tmp_path.iterdir()] == ["plain.pcapng"]
    assert mode(path) == 0o600
    assert path.read_bytes() == OCTETS * 2


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    def write() -> None:
        with OutputFile(tmp_path / "a") as out:
            out.put(OCTETS)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="is there already"), OutputFile(path):
        pytest.fail("the block must not run")
    assert path.read_bytes() == b"mine"
    with OutputFile(path, force=True) as out:
        out.put(b"new")
        assert path.read_bytes() == b"mine"
    assert path.read_bytes() == b"new"


def test_a_file_that_comes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(OutputError, match="is there already"), OutputFile(path):
        path.write_bytes(b"mine")
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    with OutputFile(tmp_path / "a") as out:
        out.put(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    with pytest.raises(OutputError, match="is there already"), OutputFile(tmp_path / "b"):
        (tmp_path / "b").write_bytes(b"mine")
    assert (tmp_path / "b").read_bytes() == b"mine"


@pytest.mark.parametrize("force", [False, True])
def test_a_link_is_not_followed(tmp_path: Path, force: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"mine")
    link.symlink_to(target)
    if force:
        with OutputFile(link, force=True) as out:
            out.put(b"new")
        assert link.read_bytes() == b"new"
    else:
        with pytest.raises(OutputError), OutputFile(link):
            pass
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["missing/a", "."])
def test_what_cannot_be_made_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"No such file|is a folder"), OutputFile(tmp_path / name):
        pass


def test_a_full_disk_is_told() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/full: No space left"), OutputFile("/dev/full") as out:
        out.put(OCTETS)


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(path.read_bytes()))
    reader.start()
    with OutputFile(path) as out:
        out.put(OCTETS)
    reader.join()
    assert heard == [OCTETS]
    assert stat.S_ISFIFO(path.stat().st_mode)


WRITE = "import sys; from srtpgw.capture.writer import OutputFile\nwith OutputFile('-') as out: out.put(bytes(100000))"


def test_standard_output() -> None:
    done = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (bytes(100000), b"")


def test_standard_output_that_is_full() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", WRITE], stdout=full, stderr=subprocess.PIPE, check=False)
    assert b"OutputError: cannot write standard output: No space left" in done.stderr


def test_a_terminal_is_refused() -> None:
    above, below = os.openpty()
    try:
        done = subprocess.run([sys.executable, "-c", WRITE], stdout=below, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(above)
        os.close(below)
    assert b"OutputError: a capture is not for a terminal" in done.stderr


def test_private_files_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    make_private_folder(folder)
    make_private_folder(folder)
    assert mode(folder) == 0o700
    path = folder / "a"
    os.close(create_private(path))
    assert mode(path) == 0o600
    with pytest.raises(OutputError, match="is there already"):
        create_private(path)
    path.write_bytes(b"old")
    os.close(create_private(path, force=True))
    assert path.read_bytes() == b""
    with pytest.raises(OutputError, match="is there already"):
        make_private_folder(path)
