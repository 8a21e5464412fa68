"""ip_extension and extension_unregistration: the terminals that are logged on (spec 4 and 5).

Unregistering marks a row as ended, and that is enough: who reads registrations asks ``Registration.live``, and an ended
one is not. It is left to the service to tell the terminal (SIP NOTIFY ``check-sync``, H.323 URQ), then to take the row
away, when it sees the mark or when it starts. A refresh of an ended registration is a new logon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from srtpgw.control.commands.extension import MISSING, NUMBERS
from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, not_executed
from srtpgw.control.commands.wording import columns, counted, yes_no
from srtpgw.control.model import Put, Registration
from srtpgw.control.numbers import EVERY, Numbers, chosen, lines_of, listed, order
from srtpgw.control.policy import POLICY_NAMES
from srtpgw.control.times import time_text

TERMINAL_SHOWN: Final = 60  # characters of a terminal's own description
NOBODY: Final = "No terminal is logged on."
NO_SERVICE: Final = "SIP AND H.323 ARE NOT SERVED YET: NO TERMINAL IS LOGGED ON"
NOT_TOLD: Final = "no service runs that could tell the terminals; they find out when they register again"

COMMANDS: Final = (
    Command(
        name="ip_extension",
        summary="Print the terminals that are logged on.",
        actions=(
            Action(key="print", effect="registration:show", summary="Print them: all, or those of some numbers.",
                   chosen_by=Option(key="print", names=("-p", "--print"), kind="flag", help="Print."), takes=("d",),
                   changes=False),
        ),
        options=(NUMBERS,),
        texts=((NOBODY, "there is nothing to print"),),
        examples=("ip_extension -p", "ip_extension -p -d 12000..12099 --json"),
    ),
    Command(
        name="extension_unregistration",
        summary="End registrations: terminals have to log on again, under the policy that is set now.",
        actions=(
            Action(key="unregister", effect="registration:unregister", summary="End those of these numbers.",
                   needs=("d",)),
        ),
        options=(NUMBERS,),
        texts=(
            (MISSING, "behind NOT EXECUTED: no extensions have these numbers"),
            (NO_SERVICE, "behind NOT EXECUTED: there is nothing to end, for this version has no service to log on to"),
        ),
        examples=("extension_unregistration -d all",),
    ),
)  # fmt: skip


def show(request: Request) -> Outcome:
    """ip_extension -p."""
    rows, numbers, missing = _live(request)
    if missing and not numbers:
        return not_executed(MISSING, *lines_of(missing))
    cells = [[cell(row, request.now) for cell in _COLUMNS.values()] for row in rows]
    return Outcome(
        lines=columns(tuple(_COLUMNS), cells) if cells else (NOBODY,),
        value={"registrations": [_shown(row, request.now) for row in rows]},
        warnings=_unknown(missing),
    )


def unregister(request: Request) -> Outcome:
    """extension_unregistration."""
    rows, numbers, missing = _live(request)
    if missing and not numbers:
        return not_executed(MISSING, *lines_of(missing))
    if not rows:
        return not_executed(NO_SERVICE)
    ended = Counter(row.number for row in rows)
    return Outcome(
        lines=(f"{counted(len(rows), 'registration')} ended: {listed(ended)}",),
        value={"ended": dict(ended)},
        warnings=(*_unknown(missing), NOT_TOLD),
        changes=tuple(Put(replace(row, ending=True)) for row in rows),
    )


def _live(request: Request) -> tuple[list[Registration], tuple[str, ...], tuple[str, ...]]:
    """(live registrations of the numbers asked for, in order; those numbers that are known here; the others)."""
    asked: Numbers = request.options.get("d") or EVERY
    live = [row for row in request.state.registrations.values() if row.live(request.now)]
    numbers, missing = chosen(request.state.extensions, asked)
    wanted = set(numbers)
    rows = [row for row in live if row.number in wanted]
    return sorted(rows, key=lambda row: (order(row.number), row.registered)), numbers, missing


def _unknown(missing: tuple[str, ...]) -> tuple[str, ...]:
    return (f"these numbers do not exist: {listed(missing)}",) if missing else ()


def _shown(row: Registration, now: float) -> dict[str, Any]:
    return {
        "number": row.number,
        "protocol": row.protocol,
        "terminal_type": row.terminal_type,
        "remote": row.remote,
        "local_port": row.local_port,
        "transport": row.transport,
        "signaling_encrypted": row.encrypted,
        "offered_srtp": row.offered_srtp,
        "authenticated": row.authenticated,
        "registered": time_text(row.registered),
        "seconds_left": _left(row, now),
        "policy": row.policy,
    }


def _left(row: Registration, now: float) -> int:
    return int(row.expires - now)


_COLUMNS: Final[Mapping[str, Callable[[Registration, float], str]]] = MappingProxyType({
    "NUMBER": lambda row, _: row.number,
    "PROTOCOL": lambda row, _: row.protocol,
    "REMOTE": lambda row, _: row.remote,
    "LOCAL PORT": lambda row, _: str(row.local_port),
    "SIGNALING": lambda row, _: "encrypted" if row.encrypted else "not encrypted",
    "SRTP OFFERED": lambda row, _: yes_no(row.offered_srtp),
    "AUTHENTICATED": lambda row, _: yes_no(row.authenticated),
    "REGISTERED": lambda row, _: time_text(row.registered),
    "SECONDS LEFT": lambda row, now: str(_left(row, now)),
    "POLICY": lambda row, _: POLICY_NAMES[row.policy],
    "TERMINAL TYPE": lambda row, _: row.terminal_type[:TERMINAL_SHOWN],
})  # fmt: skip
