"""Standard output and standard error of a command: closed, full, or a pipe that nobody reads any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EPIPE
from pathlib import Path
from typing import Final, NoReturn

EXIT_FAILED: Final = 1


@contextmanager
def guarded() -> Iterator[None]:
    """Turns a stream that cannot be written, and other errors of the system, into one line and exit status 1."""
    if sys.stderr is None:
        # Its number must not go to a socket or file that is opened later.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as we run
    if sys.stdout is None:
        end("stdout is closed: send it to /dev/null if nobody is to see it")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a full disk can still be told
    except OSError as error:
        _forget_stdout()
        # Who closed the pipe knows it.
        end("" if error.errno == EPIPE else error.strerror or type(error).__name__)


def end(text: str) -> NoReturn:
    """Say why, if there is something to say, and end as failed."""
    tell(text)
    sys.exit(EXIT_FAILED)


def tell(text: str) -> None:
    """A line on standard error, if anybody reads it."""
    if text:
        with suppress(OSError, ValueError):
            print(f"srtpgw: {text}", file=sys.stderr, flush=True)


def _forget_stdout() -> None:
    """What was not written stays unwritten: the interpreter tries again at its end, and would tell of it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
