"""The help of a command, written from the table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from srtpgw.control.commands.arguments import COMMON, options_of, synopsis, takes_secrets
from srtpgw.control.commands.table import Command, Option

WIDTH: Final = 100  # characters
COLUMN: Final = 26  # where the explanations begin

EXIT_STATUSES: Final = (
    ("0", "done"),
    ("1", "refused by a rule (the rule's text is on standard output), or failed (why is on standard error)"),
    ("2", "a wrong command line, or a file of it that cannot be read"),
    ("130", "interrupted"),
)
SECRETS: Final = (
    "What is given for an option marked (secret) is wiped from the process list at once, but the shell's history still"
    " has it. Leave the value out, and it is asked for without echo, or read as a line of standard input."
)
UNCHANGED: Final = "Unless the status is 0, nothing was changed."


def help_text(command: Command, program: str) -> str:
    """What ``--help`` prints; ``program`` is how the command was called."""
    return "\n".join(_lines(command, program)) + "\n"


def option_help(option: Option) -> str:
    """What it is for, with what the table says of its value."""
    parts = [option.help]
    if option.kind == "secret":
        parts.append("(secret)")
    if option.multiple:
        parts.append("May be given several times.")
    return " ".join(parts)


def option_names(option: Option) -> str:
    """``-d, --cil NUMBERS``."""
    value = "" if option.kind == "flag" else "|".join(option.choices) or option.metavar or option.kind.upper()
    joint = " " if option.names[0].startswith("-") else "="
    return ", ".join(option.names) + (f"{joint}{value}" if value else "")


def _lines(command: Command, program: str) -> Iterator[str]:
    prefix = program.removesuffix(command.name)
    for place, action in enumerate(command.actions):
        yield f"{'Usage:' if place == 0 else '      '} {prefix}{synopsis(command, action)}"
    yield ""
    yield from textwrap.wrap(command.summary, WIDTH)
    if len(command.actions) > 1:
        rows = (
            (action.chosen_by.names[0] if action.chosen_by else "(none)", action.summary) for action in command.actions
        )
        yield from _rows("Actions, one of:", rows)
    yield from _rows(
        "Options:", ((option_names(option), option_help(option)) for option in (*options_of(command), *COMMON))
    )
    yield from _rows("Texts:", command.texts, COLUMN * 2)
    yield from _block("Examples:", command.examples)
    if takes_secrets(command):
        yield ""
        yield from textwrap.wrap(SECRETS, WIDTH)
    yield from _rows("Exit status:", EXIT_STATUSES)
    yield from ("", UNCHANGED)


def _block(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = [f"  {line}" for line in lines]
    yield from ["", title, *listed] if listed else []


def _rows(title: str, rows: Iterable[tuple[str, str]], column: int = COLUMN) -> Iterator[str]:
    """Two columns; what is too long for the first has a line of its own."""
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, WIDTH - column - 2) or [""]
        if len(name) >= column:
            lines.append(name)
            name = ""
        lines.append(f"{name:{column}}{wrapped[0]}".rstrip())
        lines += [" " * column + line for line in wrapped[1:]]
    yield from _block(title, lines)
