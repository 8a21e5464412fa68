"""Operator commands on a store of their own, as an operator types them: what is refused, and what it takes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from srtpgw.control.commands.console import Place, carry_out
from srtpgw.control.commands.table import NOT_EXECUTED
from srtpgw.control.directory import StateDirectory
from srtpgw.control.store import Store
from srtpgw.demo.result import CommandResult

REALM: Final = "demo"
SAID_MAX: Final = 3  # lines that are shown of what a command said


@dataclass(frozen=True)
class Typed:
    """A command with its words. ``refusal``: what it says where a rule stands against it; empty, it is carried out."""

    line: str
    refusal: tuple[str, ...] = ()


COMMANDS: Final = (
    Typed("media_encryption_enable -type extension", (NOT_EXECUTED, "LICENSE VOIP-SECURITY MISSING")),
    Typed("license_install --testbed"),
    Typed("media_encryption_enable -type extension"),
    Typed("media_encryption_enable -type intermgw"),
    Typed("extension -i -d 100 --csp 1 --lim 1 --security-exception yes"),
    Typed("sec_policy -set 1", (NOT_EXECUTED, "DIRECTORY NUMBERS WITH SECURITY EXCEPTION EXIST", "100")),
    Typed("extension -c -d 100 --security-exception no"),
    Typed("sec_policy -set 1"),
    Typed("extension -c -d 100 --security-exception yes", ("Security exception is not allowed.",)),
    Typed("media_encryption_disable -type extension", (NOT_EXECUTED,)),
)


def run_commands() -> tuple[list[CommandResult], Mapping[str, bool]]:
    """Run them in a directory that is gone afterwards. What came of each, and the media encryption flags as the store
    has them at the end. Raises StoreError or OSError where there is no place for a store."""
    with TemporaryDirectory(prefix="srtpgw-demo-") as name:
        place = Place(Path(name), REALM)
        results = [_run(typed, place) for typed in COMMANDS]
        with Store(StateDirectory(place.directory).database, readonly=True) as store:
            flags: dict[str, bool] = dict(store.read().media_encryption.items())
            return results, flags


def _run(typed: Typed, place: Place) -> CommandResult:
    command, *words = shlex.split(typed.line)
    done, text = carry_out(command, words, place)
    lines = text.splitlines()
    right = done if not typed.refusal else not done and tuple(lines[: len(typed.refusal)]) == typed.refusal
    return CommandResult(
        command=typed.line,
        refused=not done,
        said=() if done else tuple(lines[:SAID_MAX]),
        passed=right,
    )
