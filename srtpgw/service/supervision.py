"""The service among the processes of its host: one per state directory, and its words to the service manager."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from srtpgw.errors import SrtpgwError

LOCK_NAME: Final = "run.lock"
PID_MAX: Final = 20  # characters


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the state directory's lock: it goes with the process, however that ends. Raises SrtpgwError with the number
    of the process that has it."""
    path = directory / LOCK_NAME
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SrtpgwError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(handle, PID_MAX).decode("ascii", "replace").strip()
            number = f" (process {other})" if other.isdigit() else ""
            raise SrtpgwError(
                f"srtpgw run is at work in {directory} already{number}: stop it, or take another --state-dir"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        # The file stays when we go: another process may hold a descriptor of it, and a new file would be a second lock.
        yield
    finally:
        os.close(handle)


class ServiceManager:
    """Tells systemd what the service is doing (sd_notify(3)), by a datagram to the socket named in the environment; no
    such socket, no word."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.watchdog_seconds = _watchdog(environ)  # how often to say that we live; 0: never

    def tell(self, *lines: str) -> None:
        """For example ``READY=1``. Never waits, never fails."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            out.sendto("\n".join(lines).encode(), self._address)


def _watchdog(environ: Mapping[str, str]) -> float:
    """Half of the time after which systemd takes us for hung (sd_watchdog_enabled(3))."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isascii() and text.isdigit() and len(text) <= 18 else 0.0
