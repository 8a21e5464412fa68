"""docs/commands.md is made from the table of commands. After a change of a command, write it anew:

SRTPGW_WRITE_DOCS=1 pytest tests/unit/control/test_commands_page.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from support import ROOT

from srtpgw.control.commands.arguments import COMMON, options_of, synopsis
from srtpgw.control.commands.help import EXIT_STATUSES, SECRETS, UNCHANGED, option_help, option_names
from srtpgw.control.commands.table import FAMILIES, Command, find

PAGE = ROOT / "docs/commands.md"

HEAD = """\
# Operator commands

Written by `SRTPGW_WRITE_DOCS=1 pytest tests/unit/control/test_commands_page.py` from the table of commands
(`srtpgw/control/commands`). A test compares this page with it.

Each is a program of its own, and a command of `srtpgw`: `sec_policy -print` and `srtpgw sec_policy -print` are the
same. They work whether the gateway runs or not, several at a time. A gateway that runs applies a change to calls that
are set up afterwards.

Long options may have one dash or two (`-print`, `--print`); a value is the next word, or follows `=` behind an option
with two dashes. A word that begins with a dash is an option, never a value. Commands in capitals take their parameters
behind a colon: `RIANI:ROU=5,TLS=YES;` is one word for `srtpgw`, and `RIANI ROU=5,TLS=YES` is the same; quote a
semicolon and `&`, which joins the words of a list there, for the shell ends a command at them. What is asked before it
is done can be answered with `--yes` beforehand.

With `--json` standard output is one JSON object, whose names stay. A refusal is `{"refused": [...]}` with the lines
that would have been printed; what would be a warning is in `"warnings"`. Times are UTC (`2027-01-15T08:00:00Z`). What
makes the status 2, and what failed, is on standard error as always.
"""


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    listed = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    if listed:
        yield from (f"| {' | '.join(row)} |" for row in (titles, ("---",) * len(titles), *listed))
        yield ""


def section(command: Command) -> Iterator[str]:
    yield from (f"## {command.name}", "", command.summary, "")
    yield from ("```text", *(synopsis(command, action) for action in command.actions), "```", "")
    if len(command.actions) > 1:
        chosen = ((action.chosen_by.names[0] if action.chosen_by else "(none)", action) for action in command.actions)
        yield from table(("action", "what it does"), ((f"`{name}`", action.summary) for name, action in chosen))
    options = ((f"`{option_names(option)}`", option_help(option)) for option in options_of(command))
    yield from table(("option", "meaning"), options)
    yield from table(("text", "when"), ((f"`{text}`", when) for text, when in command.texts))
    yield from ("```sh", *command.examples, "```", "")


def page() -> str:
    lines = [HEAD, "## All of them", ""]
    lines += table(("option", "meaning"), ((f"`{option_names(option)}`", option.help) for option in COMMON))
    lines += table(("exit status", "meaning"), EXIT_STATUSES)
    lines += [UNCHANGED, "", SECRETS, ""]
    for name in FAMILIES:
        lines += section(find(name))
    return "\n".join(lines).rstrip() + "\n"


def test_the_page_is_as_the_table_has_it() -> None:
    made = page()
    if os.environ.get("SRTPGW_WRITE_DOCS") == "1":
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made


def test_every_option_and_text_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8").replace("\\|", "|")
    for command in map(find, FAMILIES):
        for option in options_of(command):
            assert option_names(option) in text
        for told, when in command.texts:
            assert f"| `{told}` | {when} |" in text
