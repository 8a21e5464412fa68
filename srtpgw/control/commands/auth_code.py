"""auth_code: the regional authorization code (RAC) of a directory number, which is its PIN (spec 4.1).

Only what digest authentication needs of it is kept, sealed (``control.digest``), and no output shows any of that. A
code may be there before its extension.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from srtpgw.control.codes import configured, realm_change
from srtpgw.control.commands.extension import MISSING, NUMBERS
from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, not_executed, refused
from srtpgw.control.commands.wording import columns, rejection, told, yes_no
from srtpgw.control.digest import CODE_MAX, check_realm, read_code, seal_code
from srtpgw.control.model import AuthorizationCode, Put, Remove, State
from srtpgw.control.numbers import EVERY, NUMBERS_MAX, chosen, lines_of, listed
from srtpgw.control.policy import CODE_MANDATORY, NO_CODE_WARNING, PIN_BLANK, code_removal_rule, extension_rule

EXIST: Final = "AUTHORIZATION CODES EXIST ALREADY"
NONE: Final = "AUTHORIZATION CODES DO NOT EXIST"
TOO_MANY: Final = f"MORE THAN {NUMBERS_MAX} AUTHORIZATION CODES"
SHORT: Final = 4  # digits; fewer are tried out in no time
WEAK: Final = f"a code of fewer than {SHORT} digits, of one digit only, or equal to its number is guessed at once"


def _flag(key: str, name: str, long: str, text: str) -> Option:
    return Option(key=key, names=(name, long), kind="flag", help=text)


COMMANDS: Final = (
    Command(
        name="auth_code",
        summary="Set, change, remove or print authorization codes (RAC), the PINs of directory numbers.",
        actions=(
            Action(key="initiate", effect="auth_code:initiate", summary="Set the code of numbers that have none.",
                   chosen_by=_flag("initiate", "-i", "--initiate", "Set."), needs=("d", "auth_code"),
                   waits="sealing authorization codes"),
            Action(key="change", effect="auth_code:change", summary="Change it.",
                   chosen_by=_flag("change", "-c", "--change", "Change."), needs=("d", "auth_code"),
                   waits="sealing authorization codes"),
            Action(key="end", effect="auth_code:end", summary="Remove it.",
                   chosen_by=_flag("end", "-e", "--end", "Remove."), needs=("d",)),
            Action(key="print", effect="auth_code:show", summary="Print which numbers have one; never the code.",
                   chosen_by=_flag("print", "-p", "--print", "Print."), takes=("d",), changes=False),
        ),
        options=(
            replace(NUMBERS, names=("--cil", "-d")),
            Option(key="auth_code", names=("--auth-code",), kind="secret", metavar="DIGITS", read=read_code,
                   prompt="Authorization code", twice=True,
                   help=f"1 to {CODE_MAX} digits. Better not given here, where the shell remembers it: it is asked for,"
                        " or read as a line of standard input."),
        ),
        texts=(
            (EXIST, "behind NOT EXECUTED, with -i; the numbers follow (-c changes a code)"),
            (NONE, "behind NOT EXECUTED, with -c and -e; the numbers follow"),
            (TOO_MANY, "behind NOT EXECUTED, with -i"),
            (MISSING, "behind NOT EXECUTED, with -p: neither an extension nor a code; the numbers follow"),
            (PIN_BLANK, "with -e, under policy 1; the numbers follow"),
            (CODE_MANDATORY, "with -e, under policy 3; the numbers follow"),
        ),
        examples=("auth_code -i -d 12000 --auth-code 24680", "auth_code -p", "auth_code -e -d 12000"),
    ),
)  # fmt: skip


def initiate(request: Request) -> Outcome:
    """auth_code -i."""
    numbers, _ = chosen(request.state.extensions, request.options["d"])
    if request.options["d"] != EVERY:
        numbers = request.options["d"]  # also those whose extension is yet to come
    there = configured(_under_realm(request))
    known = [number for number in numbers if number in there]
    if known:
        return not_executed(EXIST, *lines_of(known))
    if len(request.state.authorization_codes.keys() | set(numbers)) > NUMBERS_MAX:
        return not_executed(TOO_MANY)
    return _store(request, numbers, "set")


def change(request: Request) -> Outcome:
    """auth_code -c. Where the realm changes with it, a code of the realm before is one to change, too."""
    there = configured(request.state).keys() | configured(_under_realm(request)).keys()
    numbers, missing = chosen(there, request.options["d"])
    return not_executed(NONE, *lines_of(missing)) if missing else _store(request, numbers, "changed")


def end(request: Request) -> Outcome:
    """auth_code -e. A code of another realm can be removed too, under any policy: it serves no terminal."""
    state = request.state
    numbers, missing = chosen(state.authorization_codes, request.options["d"])
    if missing:
        return not_executed(NONE, *lines_of(missing))
    serving = configured(state)
    rejected: dict[str, list[str]] = {}
    for number in numbers:
        rule = code_removal_rule(state.policy, state.extensions.get(number))
        if rule.refusal and number in serving:
            rejected.setdefault(rule.refusal, []).append(number)
    if rejected:
        return refused(*rejection(rejected, len(numbers)))
    if request.options["d"] == EVERY and numbers and not request.confirmed:
        return Outcome(question=f"This removes all authorization codes ({len(numbers):,}). Remove them?")
    left = [number for number in numbers if number in serving and _must_have_one(state, number)]
    return Outcome(
        lines=(told(numbers, "authorization code", "removed"),),
        value={"removed": list(numbers), "without_rac": left},
        warnings=(f"{listed(left)} {NO_CODE_WARNING}",) if left else (),
        changes=tuple(Remove(AuthorizationCode, number) for number in numbers),
    )


def show(request: Request) -> Outcome:
    """auth_code -p."""
    state = request.state
    numbers, missing = chosen(state.extensions.keys() | state.authorization_codes.keys(), request.options["d"] or EVERY)
    if missing and not numbers:
        return not_executed(MISSING, *lines_of(missing))
    codes = configured(state)
    value = [{"number": each, "rac": each in codes, "extension": each in state.extensions} for each in numbers]
    rows = [(str(row["number"]), yes_no(bool(row["rac"])), yes_no(bool(row["extension"]))) for row in value]
    warnings = [f"these numbers do not exist: {listed(missing)}"] if missing else []
    if elsewhere := [each for each in numbers if each in state.authorization_codes and each not in codes]:
        warnings.append(
            f"{listed(elsewhere)}: set under another realm than {state.realm}, so auth_code -i sets it anew"
        )
    return Outcome(
        lines=columns(("NUMBER", "RAC", "EXTENSION"), rows) if rows else ("There are no authorization codes.",),
        value={"realm": state.realm, "authorization_codes": value},
        warnings=tuple(warnings),
    )


def _store(request: Request, numbers: tuple[str, ...], verb: str) -> Outcome:
    """Seal the digits for each number, and set the realm where this is the first code or another realm's."""
    try:
        check_realm(request.realm)
    except ValueError as error:
        return refused(f"The realm of the process settings {error}.")
    moved = realm_change(request.state, request.realm)
    if moved.question and not request.confirmed:
        return Outcome(question=moved.question)
    digits: str = request.options["auth_code"]
    codes = [Put(seal_code(request.vault, number, request.realm, digits)) for number in numbers]
    return Outcome(
        lines=(told(numbers, "authorization code", verb),),
        value={verb: list(numbers), "realm": request.realm},
        warnings=tuple(_warnings(request, numbers, digits)),
        changes=(*moved.changes, *codes) if numbers else (),
    )


def _under_realm(request: Request) -> State:
    """The state as it is once the request's realm is in force: codes of another one are no hindrance to setting new
    ones."""
    return replace(request.state, realm=request.realm)


def _must_have_one(state: State, number: str) -> bool:
    """Whether the extension can do nothing without a code."""
    extension = state.extensions.get(number)
    if extension is None:
        return False
    exception = extension.security_exception
    return bool(extension_rule(state.policy, security_exception=exception, code_configured=False).warning)


def _warnings(request: Request, numbers: tuple[str, ...], digits: str) -> Iterator[str]:
    """``WEAK`` does not say which it is, and warnings go to the person only, not into the audit log."""
    if numbers and (len(digits) < SHORT or len(set(digits)) == 1 or digits in numbers):
        yield WEAK
    early = [number for number in numbers if number not in request.state.extensions]
    if early:
        yield f"these numbers have no extension yet: {listed(early)}"
