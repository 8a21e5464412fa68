"""What a command asks the person before it: secrets without echo, and questions. And what it says while it waits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from srtpgw.control.commands.table import Option
from srtpgw.errors import UsageError

SECRET_MAX: Final = 1024  # characters
TRIES: Final = 3  # at a prompt
PATIENCE: Final = 0.5  # seconds until somebody who waits is told why


def on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask_secret(option: Option) -> str:
    """The secret's text, from a prompt without echo or a line of standard input. Raises UsageError."""
    text = _prompt_secret(option) if on_terminal() else _read_line(option)
    return bounded_secret(option, text)


def bounded_secret(option: Option, text: str) -> str:
    """The text again if no secret is longer. Raises UsageError."""
    if len(text) > SECRET_MAX:
        raise UsageError(f"{option.names[0]} is longer than {SECRET_MAX} characters")
    return text


def ask_yes(question: str) -> bool:
    """Whether the person says yes; anything else is no."""
    print(f"{question} [yes/no] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline(16).strip().lower() in {"y", "yes"}


@contextmanager
def patience(reason: str) -> Iterator[Callable[[], None]]:
    """Tell somebody who waits longer than usual what for, where there is somebody; not any more once what is given
    back is called."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from threading import Timer

    timer = Timer(PATIENCE, print, (f"srtpgw: {reason} ...",), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def _prompt_secret(option: Option) -> str:
    from getpass import getpass

    for _ in range(TRIES):
        try:
            text = getpass(f"{option.prompt}: ", sys.stderr)
            if not option.twice or getpass(f"{option.prompt}, again: ", sys.stderr) == text:
                return text
        except EOFError:  # Ctrl-D
            raise UsageError(f"{option.names[0]} is not given") from None
        print("They are not the same: once more.", file=sys.stderr)
    raise UsageError(f"{option.names[0]} was never typed twice the same")


def _read_line(option: Option) -> str:
    """One line of standard input, so that a further secret finds the next one."""
    try:
        line = "" if sys.stdin is None else sys.stdin.readline(SECRET_MAX + 2)
    except UnicodeDecodeError:
        line = ""  # the exception holds what was read, so it goes no further
    text = line.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError(f"{option.names[0]} is not given, and standard input has no line of text for it")
    return text
