"""Operator commands in processes: as console scripts, and forked from the tests, where a start of Python is too slow.

A forked one runs the very function that the script runs. Every wait is bounded.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from support import operator_command

from srtpgw.operator import main

PATIENCE_SECONDS: Final = 30.0
BROKEN: Final = 70  # exit status of a child whose own code failed


class Ended(NamedTuple):
    """What became of a process: exit status (negative: the signal that ended it) and what it said."""

    status: int
    out: str
    err: str = ""


def script(state: Path, *words: str, typed: str = "") -> Ended:
    """Run an operator command as its users do."""
    return ended_of(command_line(state, *words), typed)


def ended_of(command: Sequence[str], typed: str = "") -> Ended:
    """Run a program to its end."""
    found = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    return Ended(found.returncode, found.stdout, found.stderr)


def done(state: Path, *words: str) -> str:
    """Run an operator command in a forked process; it is carried out. What it said."""
    with forked(lambda: operate(state, *words)) as child:
        ended = child.wait()
    assert ended.status == 0, ended
    return ended.out


def command_line(state: Path, *words: str) -> list[str]:
    return [*operator_command(words[0]), *words[1:], "--state-dir", str(state)]


def operate(state: Path, *words: str) -> int:
    """The same in this process. The exit status."""
    return main(words[0], [*words[1:], "--state-dir", str(state)])


class Child:
    """A forked process. What it prints is read from ``output``; see ``forked``."""

    def __init__(self, pid: int, output: IO[bytes]) -> None:
        self.pid = pid
        self.output = output
        self._ended: Ended | None = None

    def wait(self) -> Ended:
        """Until it has closed its output, and so ended; one that does not is killed, and the test fails."""
        if self._ended is None:
            said = self._read_all()
            _, status = os.waitpid(self.pid, 0)
            self._ended = Ended(os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace"))
        return self._ended

    def kill(self) -> Ended:
        if self._ended is None:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def _read_all(self) -> bytes:
        said = b""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                piece = os.read(self.output.fileno(), 65536)
                if not piece:
                    return said
                said += piece
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"process {self.pid} did not end: {said!r}")


@contextmanager
def forked(work: Callable[[], int | None]) -> Iterator[Child]:
    """A process that does this work, its output and errors in one pipe. It is gone at the end of the block."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(work, writable)
    os.close(writable)
    with os.fdopen(readable, "rb", buffering=0) as output:
        child = Child(pid, output)
        try:
            yield child
        finally:
            child.kill()


def _be_child(work: Callable[[], int | None], writable: int) -> None:
    """Never returns: what stands on the stack is the test's."""
    status: Any = BROKEN
    try:
        os.dup2(writable, 1)
        os.dup2(writable, 2)
        os.close(writable)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        status = work() or 0
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - the parent shows it
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status if isinstance(status, int) else BROKEN)


def together(works: Sequence[Callable[[], int | None]]) -> list[Ended]:
    """Work done by as many processes, which begin at the same moment: when all are there."""
    gate_read, gate_write = os.pipe()

    def waiting(work: Callable[[], int | None]) -> Callable[[], int | None]:
        def begin() -> int | None:
            os.close(gate_write)
            os.read(gate_read, 1)  # until every other end is closed
            return work()

        return begin

    children = [forked(waiting(work)) for work in works]
    running = [child.__enter__() for child in children]
    os.close(gate_read)
    os.close(gate_write)
    try:
        return [child.wait() for child in running]
    finally:
        for child in children:
            child.__exit__(None, None, None)
