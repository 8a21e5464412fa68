"""``audit``: what was changed or backed up, refused or failed, when and by whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request
from srtpgw.control.model import AuditEntry

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


def time_text(seconds: float) -> str:
    """UTC, to the second (RFC 3339); a clock may have said what no calendar has."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s"


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= COUNT_MAX):
        raise ValueError(f"is a number from 1 to {COUNT_MAX}")
    return int(text)


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
                read=_count,
                default=COUNT_DEFAULT,
            ),
        ),
        examples=("audit -p", "audit -p -n 10", "audit -p --json"),
    ),
)
