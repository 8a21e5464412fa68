"""Programs that the benchmark starts: in a namespace, on given cores, ended with the block they belong to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from srtpgw.loadtest.bench.errors import BenchError

LAUNCH = Path(__file__).with_name("launch.py")
STOP_SECONDS = 5.0  # between SIGTERM and SIGKILL
PRIORITY = -20  # nice value of the gateway and the load alike, so that other work on the machine comes second
POLL_SECONDS = 0.02
TAIL = 600  # characters of a failed program's output that are shown


def wrapped(command: Sequence[str], *, netns: Path | None, cpus: Sequence[int], files: int) -> list[str]:
    """The command with what puts it in its place before it; the process it becomes is the same one."""
    place = [f"--netns={netns}"] if netns else []
    cores = ",".join(map(str, cpus))
    return [
        sys.executable, "-I", str(LAUNCH), *place, f"--cpus={cores}", f"--files={files}", f"--priority={PRIORITY}",
        f"--parent={os.getpid()}", "--", *command,
    ]  # fmt: skip


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    *,
    netns: Path | None = None,
    cpus: Sequence[int] = (),
    files: int = 0,
    environment: Mapping[str, str] | None = None,
    errors: int | IO[bytes] = subprocess.STDOUT,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program whose output goes to ``log``. SIGTERM when the block ends, SIGKILL if it does not listen.

    To be used from the main thread: the program dies with the thread that started it.
    """
    line = wrapped(command, netns=netns, cpus=cpus, files=files)
    settings = {**os.environ, **(environment or {})}
    with log.open("wb") as output, subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=settings, start_new_session=True
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except BaseException as error:
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path, seconds: float) -> None:
    """Until ``ready()``. Raises :class:`BenchError` with what the program said last if it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise BenchError(f"{what} ended with status {process.returncode}: {tail(log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what} was not ready within {seconds:.0f} s: {tail(log)}")
        time.sleep(POLL_SECONDS)


def tail(log: Path) -> str:
    """The end of what a program said, on one line."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return " ".join(text.split())[-TAIL:] or "it said nothing"
