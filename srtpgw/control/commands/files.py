"""The files that a command reads and writes."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from srtpgw.control.commands.arguments import STANDARD_INPUT
from srtpgw.control.commands.table import FileContent
from srtpgw.control.directory import sync_directory, write_new
from srtpgw.errors import OutputError, UsageError


def read_file(name: str, limit: int) -> FileContent:
    """A file or pipe of at most so many octets; ``-`` is standard input. Raises UsageError."""
    try:
        octets = _standard_input(limit) if name == STANDARD_INPUT else _octets(Path(name), limit)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    except ValueError:  # a name with a null character
        raise UsageError("a file's name that no file can have") from None
    if len(octets) > limit:
        raise UsageError(f"{name}: longer than {limit:,} octets, which is more than such a file needs")
    return FileContent("standard input" if name == STANDARD_INPUT else name, octets)


def write_file(content: FileContent) -> Path:
    """A new file that only its owner can read: whole and on the disk, or not there. The path.

    It is written beside its place and linked there, so that nobody ever sees half of it; one that is there already
    stays. Raises OutputError.
    """
    path = Path(content.name)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    placed = False
    try:
        try:
            write_new(beside, content.octets)
            _place(beside, path)
            placed = True
            sync_directory(path.parent)
        finally:
            with suppress(FileNotFoundError):
                beside.unlink()
    except FileExistsError:
        raise OutputError(f"{path} is there already: name another file, or take it away") from None
    except OSError as error:
        if placed:
            path.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror}; nothing of it was kept") from None
    except ValueError:
        raise OutputError("a file's name that no file can have") from None
    if not _holds(path, content.octets):
        path.unlink(missing_ok=True)
        raise OutputError(f"{path} does not read back as it was written; it was removed")
    return path


def _octets(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise UsageError(f"{path}: neither a file nor a pipe")
        return file.read(limit + 1)


def _standard_input(limit: int) -> bytes:
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return sys.stdin.buffer.read(limit + 1)


def _place(beside: Path, path: Path) -> None:
    """Give the file its name, never another file's: link() does not replace, rename() would."""
    try:
        os.link(beside, path, follow_symlinks=False)
    except PermissionError:  # a file system without hard links (vfat): a gap remains there
        if path.exists() or path.is_symlink():
            raise FileExistsError from None
        beside.rename(path)


def _holds(path: Path, octets: bytes) -> bool:
    try:
        return path.read_bytes() == octets
    except OSError:
        return False
