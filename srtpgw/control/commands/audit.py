"""``audit``: what was changed or backed up, refused or failed, when and by whom."""

from __future__ import annotations

from typing import Any, Final

from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request
from srtpgw.control.model import AuditEntry
from srtpgw.control.reading import whole
from srtpgw.control.times import time_text

COUNT_DEFAULT: Final = 50
COUNT_MAX: Final = 100_000


def show(request: Request) -> Outcome:
    """The newest entries, the newest last."""
    entries = request.audit(request.options["count"])
    return Outcome(
        lines=tuple(line for entry in entries for line in _lines(entry)) or ("The audit log is empty.",),
        value={"audit": [_value(entry) for entry in entries]},
    )


def _lines(entry: AuditEntry) -> list[str]:
    head = f"{time_text(entry.time)}  {entry.user}  {entry.result}  {entry.command}"
    return [head, *(f"    {line}" for line in entry.lines)]


def _value(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": time_text(entry.time),
        "user": entry.user,
        "command": entry.command,
        "result": entry.result,
        "lines": list(entry.lines),
    }


COMMANDS: Final = (
    Command(
        name="audit",
        summary="Print the audit log: each change of the settings and each backup, done, refused or failed. Secrets"
        " stand as ***.",
        actions=(
            Action(
                key="print",
                effect="audit:show",
                summary="Print the newest entries, the newest last.",
                chosen_by=Option(key="print", names=("-p", "-print"), kind="flag", help="Print it."),
                takes=("count",),
                changes=False,
            ),
        ),
        options=(
            Option(
                key="count",
                names=("-n", "--count"),
                metavar="COUNT",
                help=f"How many entries, else {COUNT_DEFAULT}.",
                read=whole(1, COUNT_MAX),
                default=COUNT_DEFAULT,
            ),
        ),
        examples=("audit -p", "audit -p -n 10", "audit -p --json"),
    ),
)
