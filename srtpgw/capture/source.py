"""Where a capture comes from: a file, standard input, a pipe; plain or compressed by gzip.

A capture is read several times. What cannot be read twice is kept, while it is read the first time, in a temporary file
that has no name and mode 0600. Every later reading gives the octets of the first one, though the file may have grown.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import tempfile
import zlib
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Final, Self

from srtpgw._native import CaptureReader
from srtpgw.errors import CaptureError

Progress = Callable[[int, int | None], None]

STDIN: Final = "-"
STDIN_DESCRIPTOR: Final = 0
GZIP: Final = b"\x1f\x8b"
MAGIC_OCTETS: Final = 12  # at most, of those below
GZIP_CHUNK: Final = 65536  # compressed octets at a time
PROGRESS_OCTETS: Final = 1 << 20  # between two reports of progress

# First octets of files that people take for captures, and what to do about them.
FOREIGN: Final = {
    b"\x28\xb5\x2f\xfd": "it is compressed by zstd: unpack it first (zstd -d)",
    b"\x04\x22\x4d\x18": "it is compressed by lz4: unpack it first (lz4 -d)",
    b"\xfd7zXZ\0": "it is compressed by xz: unpack it first (xz -d)",
    b"BZh": "it is compressed by bzip2: unpack it first (bzip2 -d)",
    b"PK\x03\x04": "it is a ZIP archive: unpack it first",
    b"snoop\0\0\0": "it is a snoop capture: convert it first (editcap -F pcapng)",
    b"RTSS": "it is a Network Monitor capture: convert it first (editcap -F pcapng)",
    b"GMBU": "it is a Network Monitor capture: convert it first (editcap -F pcapng)",
    b"TRSNIFF data": "it is a Sniffer capture: convert it first (editcap -F pcapng)",
    b"\x7fELF": "it is a program",
}


class CaptureSource:
    """A capture that can be read again and again. ``open_capture`` makes one; it is a context manager.

    ``fault`` tells why the unpacking of a compressed one ended too early, or is None.
    """

    def __init__(self, name: str, descriptor: int, progress: Progress | None = None) -> None:
        """Takes over the descriptor. OSError where there is no place to keep a pipe's octets in."""
        self.name = name
        self.fault: str | None = None
        self._progress = progress
        self._told = 0  # octets of this reading at the last report of progress
        self._done = 0  # octets of this reading
        self._total: int | None = None  # octets of every reading, once one came to its end
        self._stopped = False
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if not self._regular:
            self._spool = tempfile.TemporaryFile(prefix="srtpgw-", buffering=0)  # noqa: SIM115 - closed with the source
            self._kept = 0  # octets in it
            self._wake = os.pipe()
        self._raw = os.fdopen(descriptor, "rb", buffering=0)
        if self._regular:
            self._start = self._raw.tell()  # standard input may have been read from before
            self._size = os.fstat(descriptor).st_size - self._start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Also does away with what was kept of a pipe."""
        if self._raw.closed:
            return
        self._raw.close()
        if not self._regular:
            self._spool.close()
            for descriptor in self._wake:
                os.close(descriptor)

    def fileno(self) -> int:
        """A descriptor of the file itself, as compressed; of a pipe, of what was kept of it. For another program."""
        return self._raw.fileno() if self._regular else self._spool.fileno()

    @property
    def octets(self) -> int | None:
        """Octets of a reading, as compressed; None for a pipe that was not read to its end yet."""
        return self._size if self._total is None and self._regular else self._total

    def stop(self) -> None:
        """What was read up to now is the capture. For a signal handler: also ends the waiting for a pipe."""
        self._stopped = True
        if not self._regular and not self._raw.closed:
            os.write(self._wake[1], b"\0")

    def read_through(self, reader: CaptureReader) -> Generator[None, None, None]:
        """Read the capture once: at each step the reader holds new octets, for a consumer to take packets from.

            for _ in source.read_through(reader):
                consumer.run(reader)

        Raises CaptureError where it cannot be read or is no capture. Damage further on ends the reading; ``fault`` and
        ``reader.describe()`` tell it.
        """
        self._done = self._told = 0
        self.fault = None
        try:
            octets = self._opened()
            while reader.fault is None and (count := octets.readinto(reader.space())):
                reader.filled(count)
                self._report()
                yield
        except OSError as error:
            raise CaptureError(f"{self.name}: {os.strerror(error.errno or 0)}") from error
        self.fault = octets.fault
        reader.finish()
        yield
        self._report(end=True)
        found = reader.describe()
        if found["format"] is None:
            raise CaptureError(f"{self.name}: {self.fault or found['fault']}")

    # --- octets

    def _opened(self) -> _Plain | _Gunzip:
        """What gives the octets of this reading, unpacked."""
        head = bytearray(MAGIC_OCTETS)
        there = 0
        while there < MAGIC_OCTETS and (count := self._read(memoryview(head)[there:])):
            there += count
        first = bytes(head[:there])
        for magic, advice in FOREIGN.items():
            if first.startswith(magic):
                raise CaptureError(f"{self.name}: not a pcap or pcapng file: {advice}")
        return _Gunzip(self._read, first) if first.startswith(GZIP) else _Plain(self._read, first)

    def _read(self, room: memoryview) -> int:
        """The next octets of this reading, of the file as it is; 0 at its end."""
        if self._total is not None:
            room = room[: self._total - self._done]
        if len(room) == 0:
            return 0
        count = self._read_file(room) if self._regular else self._read_pipe(room)
        if count == 0 and self._total is None:
            self._total = self._done
        self._done += count
        return count

    def _read_file(self, room: memoryview) -> int:
        if self._stopped and self._total is None:
            return 0
        return os.preadv(self._raw.fileno(), [room], self._start + self._done)

    def _read_pipe(self, room: memoryview) -> int:
        """From what was kept, though a stop may have come before this reading; behind that, from the pipe."""
        if self._done < self._kept:
            return os.preadv(self._spool.fileno(), [room[: self._kept - self._done]], self._done)
        count = self._receive(room)
        self._keep(room[:count])
        return count

    def _receive(self, room: memoryview) -> int:
        """Waits for octets, for the end of the pipe, or for stop()."""
        descriptor, wake = self._raw.fileno(), self._wake[0]
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while not self._stopped:
            if any(ready == descriptor for ready, _ in poll.poll()):
                with contextlib.suppress(BlockingIOError):
                    return os.readv(descriptor, [room])
        return 0

    def _keep(self, octets: memoryview) -> None:
        try:
            while len(octets):
                written = os.pwrite(self._spool.fileno(), octets, self._kept)
                self._kept += written
                octets = octets[written:]
        except OSError as error:
            place = f"it is kept for a second reading in {tempfile.gettempdir()}, or where TMPDIR says"
            raise CaptureError(f"{self.name}: {os.strerror(error.errno or 0)} ({place})") from error

    def _report(self, *, end: bool = False) -> None:
        if self._progress is not None and (end or self._done - self._told >= PROGRESS_OCTETS):
            self._told = self._done
            self._progress(self._done, self.octets)


class _Plain:
    """Octets as they are."""

    fault: str | None = None

    def __init__(self, read: Callable[[memoryview], int], head: bytes) -> None:
        self._read = read
        self._head = head

    def readinto(self, room: memoryview) -> int:
        head, self._head = self._head[: len(room)], self._head[len(room) :]
        room[: len(head)] = head
        return len(head) + self._read(room[len(head) :])


class _Gunzip:
    """Octets unpacked: members of gzip, one behind the other (RFC 1952 2.2). Takes no more memory than a chunk."""

    fault: str | None = None

    def __init__(self, read: Callable[[memoryview], int], head: bytes) -> None:
        self._read = read
        self._packed = head
        self._chunk = memoryview(bytearray(GZIP_CHUNK))
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def readinto(self, room: memoryview) -> int:
        while self._member.eof or self._packed or self._refill():
            if self._member.eof and not self._next_member():
                return 0
            try:
                octets = self._member.decompress(self._packed, len(room))
            except zlib.error:
                self.fault = "the gzip data is damaged"
                return 0
            self._packed = self._member.unconsumed_tail
            if octets:
                room[: len(octets)] = octets
                return len(octets)
        self.fault = "the gzip data is cut off"
        return 0

    def _refill(self) -> bool:
        self._packed = bytes(self._chunk[: self._read(self._chunk)])
        return bool(self._packed)

    def _next_member(self) -> bool:
        """False at the end; padding of tapes may stand there."""
        self._packed = self._member.unused_data
        while not self._packed.strip(b"\0"):
            if not self._refill():
                return False
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return True


def open_capture(path: str | os.PathLike[str], progress: Progress | None = None) -> CaptureSource:
    """Open a capture for reading: a path, also of a pipe, or ``-`` for standard input.

    ``progress`` is called now and then with the octets read of this reading and their total, None where that is not
    known. Raises CaptureError.
    """
    name = "standard input" if os.fspath(path) == STDIN else os.fspath(path)
    try:
        # without O_NONBLOCK, nothing but a writer could end the waiting at a named pipe
        descriptor = (
            os.dup(STDIN_DESCRIPTOR) if path == STDIN else os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        )
    except OSError as error:
        raise CaptureError(f"{name}: {os.strerror(error.errno or 0)}") from error
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(kind) or os.isatty(descriptor):
        os.close(descriptor)
        raise CaptureError(f"{name}: it is a {'directory' if stat.S_ISDIR(kind) else 'terminal'}, not a capture")
    try:
        return CaptureSource(name, descriptor, progress)
    except OSError as error:
        os.close(descriptor)
        raise CaptureError(f"{name}: {error}") from error
