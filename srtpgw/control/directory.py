"""The state directory: where it is, that nobody else may enter it, and the key file in it.

All that is trusted is trusted because of one check, made on the directory as it is after links are followed: it belongs
to the user of this process, and nobody else may enter. So nobody else can put a link or a file in it, and what stands
there can be opened by name. A directory that fails the check is never repaired, as what is in it may be somebody's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from srtpgw.control.vault import KEY_LENGTH
from srtpgw.errors import StoreError

ROOT_DIRECTORY: Final = Path("/var/lib/srtpgw")
DATABASE: Final = "srtpgw.db"
VAULT_KEY: Final = "vault.key"
LOCK_SECONDS: Final = 10.0  # how long one process waits for others to have made a file
LOCK_TURN_SECONDS: Final = 0.01

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FULL: Final = "the disk is full: make room, then run this again"
_KEY_GONE: Final = (
    "is missing, and what was sealed with it stays shut: put a good copy back, or take away what it sealed and set it"
    " anew (auth_code -e, certificate_install -remove, sip_route -remove)"
)
_HINTS: Final[Mapping[int, str]] = {
    errno.EACCES: "no permission: run this as the user that it belongs to, or choose another with --state-dir",
    errno.EPERM: "no permission: run this as the user that it belongs to, or choose another with --state-dir",
    errno.EROFS: "it is on a read-only medium: nothing can be changed there",
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.ENOTDIR: "a part of its path is not a directory",
    errno.ELOOP: "it is a symbolic link, or there are too many on the way",
    errno.ENAMETOOLONG: "its name is too long",
}


def default_directory(environ: Mapping[str, str], euid: int) -> Path:
    """Where the state is kept: $SRTPGW_STATE_DIR, else /var/lib/srtpgw for root, else $XDG_STATE_HOME/srtpgw, else
    ~/.local/state/srtpgw. StoreError where the user has no home."""
    chosen = environ.get("SRTPGW_STATE_DIR")
    if chosen:
        return Path(chosen)
    if euid == 0:
        return ROOT_DIRECTORY
    base = environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):  # the XDG specification: a relative one is to be ignored
        return Path(base, "srtpgw")
    try:
        home = environ.get("HOME") or pwd.getpwuid(euid).pw_dir
    except KeyError:
        raise StoreError("there is no place for the state: set SRTPGW_STATE_DIR to a directory of yours") from None
    return Path(home, ".local", "state", "srtpgw")


class StateDirectory:
    """A state directory that was checked; made, 0700, where it is missing and ``make`` says so. ``parents``: those
    above it are made too; else one that is missing is a fault, as of a path that somebody mistyped.

    ``path`` has no links in it, so one that is turned elsewhere later changes nothing. StoreError where it cannot be
    had, or others may enter it.
    """

    def __init__(self, path: Path, *, make: bool = True, parents: bool = True) -> None:
        try:
            self.path = path.resolve()
            if make and not parents and not self.path.parent.exists():
                raise StoreError(f"{self.path.parent} does not exist: make it, if {self.path.name} is wanted there")
            if make:
                _make(self.path)
            if make or self.path.exists():
                _check(self.path)
        except OSError as error:
            raise fault(path, error) from None
        except (RuntimeError, ValueError):  # a loop of links; a zero octet
            raise StoreError(f"{path} is not a path") from None

    @property
    def database(self) -> Path:
        """The file of the store."""
        return self.path / DATABASE

    def vault_key(self, *, make: bool = True) -> bytes:
        """The 32 octets that secrets are sealed with. The key file is made at the first call, once and for all.

        ``make`` False: not any more, for there are secrets sealed with one that was there. Raises StoreError.
        """
        path = self.path / VAULT_KEY
        try:
            if make:
                make_once(path, lambda: os.urandom(KEY_LENGTH))
            elif not os.path.lexists(path):
                raise StoreError(f"{path} {_KEY_GONE}")
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                status = os.fstat(handle)
                key = os.read(handle, KEY_LENGTH + 1)
            finally:
                os.close(handle)
        except OSError as error:
            raise fault(path, error) from None
        if status.st_mode & _OTHERS:
            raise StoreError(f"{path} may be read by others: chmod 600 it, if nobody has")
        if len(key) != KEY_LENGTH:
            raise StoreError(f"{path} is damaged: it does not hold {KEY_LENGTH} octets; put a good copy back")
        return key


def _make(path: Path) -> None:
    """Make the directory, and those above it, each known to the disk before this returns."""
    if path.is_dir():
        return
    _make(path.parent)
    with suppress(FileExistsError):  # another command was quicker, or it is a file: the check will tell
        path.mkdir(0o700)
        path.chmod(0o700)  # whatever the umask took
        sync_directory(path.parent)


def _check(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{path} is not a directory")
    if status.st_uid != os.geteuid():
        owner = _user(status.st_uid)
        raise StoreError(f"{path} belongs to {owner}: run this as that user (sudo -u {owner} ...), or take --state-dir")
    if status.st_mode & _OTHERS:
        raise StoreError(
            f"{path} may be entered by others: run chmod 700 on it if nothing else is in it,"
            " or take another --state-dir"
        )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Alone among the processes that make or upgrade files there. The kernel lets go when the process ends. StoreError
    where another one does not end."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(handle, directory)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, directory: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline:
            raise StoreError(f"{directory} is busy: another process makes files there and does not end")
        time.sleep(LOCK_TURN_SECONDS)


def make_once(path: Path, content: Callable[[], bytes]) -> None:
    """Make a file, 0600, unless it is there: whole or not at all, by one process only, on disk when this returns."""
    if os.path.lexists(path):
        return
    with locked(path.parent):
        if os.path.lexists(path):
            return
        fresh = path.with_name(f".{path.name}.new")
        with suppress(FileNotFoundError):
            fresh.unlink()  # of a process that was killed here
        try:
            write_new(fresh, content())
            fresh.rename(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
        sync_directory(path.parent)


def write_new(path: Path, octets: bytes) -> None:
    """A file that was not there, 0600, on disk when this returns; a part of it may be left where it fails."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(handle, 0o600)  # whatever the umask took
        written = 0
        while written < len(octets):
            written += os.write(handle, octets[written:])
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_directory(path: Path) -> None:
    """The names in it are on disk when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fault(path: Path, error: OSError) -> StoreError:
    """What the system said, with what to do."""
    hint = _HINTS.get(error.errno or 0, error.strerror or type(error).__name__)
    return StoreError(f"{path} cannot be used: {hint}")
