"""The status socket: a Unix socket in the state directory, one request line in, one JSON line out.

Whoever may connect is the user of the service, or root. Even so a client may be slow, silent, or many: each has a time
limit, few are heard at once, the rest are turned away, and no answer is made more often than once in a while. Media is
relayed by native threads, which none of this reaches.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from srtpgw.errors import SrtpgwError

SOCKET_NAME: Final = "status.sock"
REQUEST: Final = b"status\n"
REQUEST_MAX: Final = 64  # octets
ANSWER_MAX: Final = 1 << 20
CLIENTS_MAX: Final = 8  # at once
BACKLOG: Final = 16
PATIENCE: Final = 2.0  # seconds for a client to ask, and again to take the answer
FRESH: Final = 0.2  # seconds that an answer serves other clients too
CLIENT_PATIENCE: Final = 5.0

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: process, user, group (unix(7))

Answer = dict[str, Any]


class StatusServer:
    """Answers with what ``report`` gives."""

    def __init__(self, directory: Path, report: Callable[[], Awaitable[Answer]]) -> None:
        self._directory = directory
        self._report = report
        self.clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._gate = asyncio.Lock()
        self._answer = b""
        self._made = 0.0
        self.turned_away = 0

    async def start(self) -> None:
        """Listen. What a process that was killed left there is replaced: the directory's lock is ours."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._remove()
            before = os.umask(0o177)
            try:
                with _short_path(self._directory) as path:
                    listener.bind(path)
            finally:
                os.umask(before)
            self._server = await asyncio.start_unix_server(
                self._accept, sock=listener, limit=REQUEST_MAX, backlog=BACKLOG
            )
        except OSError as error:
            listener.close()
            raise SrtpgwError(f"no status socket in {self._directory}: {error.strerror}") from None

    async def close(self) -> None:
        """Listen no more, let no client wait, and leave no socket behind."""
        if self._server is None:
            return
        self._server.close()
        with suppress(OSError):
            self._remove()  # the directory may be gone
        for client in list(self.clients):
            client.cancel()
        await asyncio.gather(*self.clients, return_exceptions=True)

    def _remove(self) -> None:
        with _short_path(self._directory) as path, suppress(FileNotFoundError):
            Path(path).unlink()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A plain function, so that a client over the limit costs no task."""
        connection = writer.get_extra_info("socket")
        if len(self.clients) >= CLIENTS_MAX or not _trusted(connection):
            self.turned_away += 1
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self.clients.add(task)
        task.add_done_callback(self.clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                request = await reader.readline()
            if request != REQUEST:
                return
            writer.write(await self._fresh())
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
                writer.write_eof()
                await reader.read(1)  # until the client has read and closed, or its time is over
        except (TimeoutError, ValueError, OSError):
            pass  # ValueError: a line over the limit
        finally:
            writer.transport.abort()

    async def _fresh(self) -> bytes:
        """An answer that is not old, made once for all who wait for it."""
        async with self._gate:
            now = time.monotonic()
            if not self._answer or now - self._made > FRESH:
                self._answer = json.dumps(await self._report(), separators=(",", ":")).encode() + b"\n"
                self._made = now
            return self._answer


def ask(directory: Path) -> Answer | None:
    """What the service of this directory says; None where none runs. Raises SrtpgwError where one runs and does not
    answer as it should."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
        client.settimeout(CLIENT_PATIENCE)
        try:
            with _short_path(directory) as path:
                client.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise SrtpgwError(f"the service in {directory} cannot be asked: {error.strerror or error}") from None
        try:
            client.sendall(REQUEST)
            answer = json.loads(_all(client, time.monotonic() + CLIENT_PATIENCE))
        except (OSError, ValueError, RecursionError):
            raise SrtpgwError(f"the service in {directory} gives no answer: it is busy, or hangs") from None
    if not isinstance(answer, dict):
        raise strange(directory)
    return answer


def strange(directory: Path) -> SrtpgwError:
    """For an answer that is none."""
    return SrtpgwError(f"the service in {directory} answers something else: is it of another version?")


def _all(client: socket.socket, until: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := client.recv(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_MAX or time.monotonic() > until:
            raise ValueError("too long")
    return b"".join(pieces)


def _trusted(connection: socket.socket) -> bool:
    """Whether the peer is root or our own user. The directory and the socket's mode say so too; this says it of a
    descriptor that somebody was handed."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(packed)[1] in (0, os.geteuid())


@contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """A path of the socket that fits into the 108 octets of an address, however deep the directory lies."""
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET_NAME}"
    finally:
        os.close(handle)
