"""Files that hold decrypted media or what tells of it: for their owner alone, complete or not there.

A file is written under another name beside its own and takes its name when it is complete. Pipes and devices, and
standard output (``-``), are written as they are.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EEXIST, EPIPE
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import BinaryIO, Final, Self

from srtpgw.errors import OutputError

OWNER_ONLY: Final = 0o600
FOLDER_OWNER_ONLY: Final = 0o700
STANDARD_OUTPUT: Final = "-"


def create_private(path: Path, *, force: bool = False) -> int:
    """Descriptor of a new file that only its owner can read; with `force` in place of another one.

    Raises OutputError where it is there already or cannot be made.
    """
    with told(path):
        if force:
            path.unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, OWNER_ONLY)


def make_private_folder(path: Path) -> None:
    """A folder for such files, if it is not there."""
    with told(path):
        path.mkdir(FOLDER_OWNER_ONLY, exist_ok=True)


class OutputFile:
    """``with OutputFile(path) as out: out.put(octets)``. If the block fails, nothing is left.

    Raises OutputError, before anything is written, where the file is there already and `force` does not allow to
    replace it; where the disk is full; where standard output is a terminal.
    """

    def __init__(self, path: str | Path, *, force: bool = False) -> None:
        self.path = path if isinstance(path, Path) else Path(path)
        self._standard = str(path) == STANDARD_OUTPUT
        self._force = force
        self._part: Path | None = None  # while it is incomplete
        self._file: BinaryIO | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return "standard output" if self._standard else str(self.path)

    def __enter__(self) -> Self:
        with told(self.name):
            self._file = self._open()
        return self

    def put(self, octets: bytes) -> None:
        """Write all of them."""
        assert self._file is not None
        with told(self.name):
            self._file.write(octets)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            with told(self.name):
                self._close(complete=kind is None)
        except OutputError:
            if kind is None:
                raise
        finally:
            if self._part is not None:
                with suppress(OSError):
                    self._part.unlink()

    def _open(self) -> BinaryIO:
        if self._standard:
            if sys.stdout.isatty():
                raise OutputError("a capture is not for a terminal: name a file, or send standard output to one")
            return sys.stdout.buffer
        if _is_stream(self.path):
            return self.path.open("wb")
        if self.path.is_dir():
            raise OutputError(f"{self.path} is a folder")
        if os.path.lexists(self.path) and not self._force:
            raise OutputError(_taken(self.path))
        part = self.path.with_name(f".{self.path.name[:200]}.{token_hex(4)}.part")
        handle = create_private(part)
        self._part = part
        return os.fdopen(handle, "wb")

    def _close(self, complete: bool) -> None:
        """Flush, and give the file its name if it is complete."""
        assert self._file is not None
        if self._standard:
            self._file.flush()
            return
        self._file.close()
        if self._part is None or not complete:
            return
        if self._force:
            self._part.replace(self.path)
        else:
            _rename_new(self._part, self.path)
        self._part = None


def _rename_new(part: Path, path: Path) -> None:
    """Rename, but never over another file that has come since."""
    try:
        os.link(part, path, follow_symlinks=False)
    except OSError as error:
        if error.errno == EEXIST or os.path.lexists(path):
            raise OutputError(_taken(path)) from None
        part.rename(path)  # a file system without links
        return
    part.unlink()


def _is_stream(path: Path) -> bool:
    """A pipe or a device that is there."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return False


def _taken(path: Path | str) -> str:
    return f"{path} is there already (--force replaces it)"


@contextmanager
def told(name: Path | str) -> Iterator[None]:
    """What the system refuses, as OutputError with the file's name. EPIPE is passed on: who closed the pipe knows."""
    try:
        yield
    except FileExistsError:
        raise OutputError(_taken(name)) from None
    except OSError as error:
        if error.errno == EPIPE:
            raise
        raise OutputError(f"cannot write {name}: {error.strerror or type(error).__name__}") from None
