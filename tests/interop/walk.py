"""Pages that are walks. A `console` block has commands, each behind `$` and followed by what it prints; a last line
`...` of that leaves the rest out. Tests run the commands and compare; with SRTPGW_WRITE_DOCS=1 they write anew what
differs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import join
from typing import Final, NamedTuple

import srtpgw

WRITE: Final = os.environ.get("SRTPGW_WRITE_DOCS") == "1"
SRTPGW: Final = [sys.executable, "-P", "-m", "srtpgw.cli"]
SECONDS: Final = 60  # no command takes longer
MORE: Final = "...\n"
BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND: Final = re.compile(r"^\$ ([^\n]+)\n(.*?)(?=^\$ |\Z)", re.DOTALL | re.MULTILINE)


class Example(NamedTuple):
    """A command of the page, and the output that the page shows."""

    command: str
    shown: str
    at: int  # where in the page the output begins


def examples(text: str) -> list[Example]:
    return [
        Example(match[1], match[2], block.start(1) + match.start(2))
        for block in BLOCK.finditer(text)
        for match in COMMAND.finditer(block[1])
    ]


def rewritten(text: str, outputs: Iterable[tuple[Example, str]]) -> str:
    """The page with other outputs of its commands."""
    for (_, shown, at), output in sorted(outputs, key=lambda each: -each[0].at):
        text = text[:at] + output + text[at + len(shown) :]
    return text


def told(outputs: Iterable[tuple[Example, str]]) -> str:
    return "\n".join(f"$ {example.command}\n{output}" for example, output in outputs)


def as_shown(example: Example, output: str) -> str:
    """As much of an output as the page shows."""
    if not example.shown.endswith(MORE):
        return output
    lines = output.splitlines(keepends=True)[: example.shown.count("\n") - 1]
    return "".join(lines) + MORE


def make_program(folder: Path, name: str, words: Sequence[str]) -> None:
    """A program of this name in the folder's bin/, which stands for these words."""
    place = Path(srtpgw.__file__).parent.parent  # the installed one, where that is what is tested
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={place} exec {join(words)} "$@"\n')
    program.chmod(0o755)
