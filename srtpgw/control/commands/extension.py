"""extension: directory numbers with their service profile, server and security exception (spec 4.1).

A command on several numbers is carried out for all of them or for none. An extension that ends takes its authorization
code and its registrations with it: whoever gets the number next must not be open to the one who had it before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from srtpgw.control.codes import configured
from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, not_executed, refused
from srtpgw.control.commands.wording import columns, counted, rejection, told, yes_no
from srtpgw.control.model import AuthorizationCode, Extension, Put, Registration, Remove
from srtpgw.control.numbers import EVERY, NUMBERS_MAX, Numbers, chosen, lines_of, listed, read_numbers_or_all
from srtpgw.control.policy import (
    CODE_MANDATORY,
    EXCEPTION_NOT_ALLOWED,
    EXCEPTION_OMITTED,
    NO_CODE_WARNING,
    PIN_BLANK,
    extension_rule,
    omitted_exception,
)
from srtpgw.control.reading import whole

CSP_MAX: Final = 9_999
LIM_MAX: Final = 999
EXTENSIONS_MAX: Final = NUMBERS_MAX

EXIST: Final = "DIRECTORY NUMBERS EXIST ALREADY"
MISSING: Final = "DIRECTORY NUMBERS DO NOT EXIST"
TOO_MANY: Final = f"MORE THAN {EXTENSIONS_MAX} EXTENSIONS"

NUMBERS: Final = Option(
    key="d",
    names=("-d",),
    metavar="NUMBERS",
    read=read_numbers_or_all,
    help="Directory numbers: one, a list 100,200, a range 12000..12099, or all that there are.",
)


def _flag(key: str, *names: str) -> Option:
    return Option(key=key, names=names, kind="flag", help=f"{key.capitalize()}.")


COMMANDS: Final = (
    Command(
        name="extension",
        summary="Initiate, change, end or print extensions.",
        actions=(
            Action(key="initiate", effect="extension:initiate", summary="Make extensions.",
                   chosen_by=_flag("initiate", "-i", "--initiate"), needs=("d", "csp", "lim"),
                   takes=("security_exception",)),
            Action(key="change", effect="extension:change", summary="Change what is given of them.",
                   chosen_by=_flag("change", "-c", "--change"), needs=("d",),
                   takes=("csp", "lim", "security_exception")),
            Action(key="end", effect="extension:end",
                   summary="Take them away, with their authorization codes and registrations.",
                   chosen_by=_flag("end", "-e", "--end"), needs=("d",)),
            Action(key="print", effect="extension:show", summary="Print some, or all.",
                   chosen_by=_flag("print", "-p", "--print"), takes=("d",), changes=False),
        ),
        options=(
            NUMBERS,
            Option(key="csp", names=("--csp",), metavar="PROFILE", read=whole(0, CSP_MAX),
                   help=f"Service profile, 0 to {CSP_MAX}."),
            Option(key="lim", names=("--lim",), metavar="SERVER", read=whole(1, LIM_MAX),
                   help=f"The server, and so the media gateway, that they belong to: 1 to {LIM_MAX}."),
            Option(key="security_exception", names=("--security-exception",), metavar="yes|no", choices=("yes", "no"),
                   read="yes".__eq__,
                   help="Whether they may do without encryption. Omitted: no for new ones, else unchanged; under"
                        " policies 1 and 3 it must be given."),
        ),
        texts=(
            (EXCEPTION_NOT_ALLOWED, "--security-exception yes under policy 1 or 3"),
            (PIN_BLANK, "no security exception and no RAC, under policy 1 (auth_code -i sets one)"),
            (CODE_MANDATORY, "no security exception and no RAC, under policy 3 (auth_code -i sets one)"),
            (EXCEPTION_OMITTED, "policy 1 or 3, and --security-exception was left out"),
            (EXIST, "behind NOT EXECUTED, with -i; the numbers follow"),
            (MISSING, "behind NOT EXECUTED, with -c, -e and -p; the numbers follow"),
            (TOO_MANY, "behind NOT EXECUTED, with -i"),
        ),
        examples=(
            "extension -i -d 12000..12099 --csp 1 --lim 1",
            "extension -i -d 100,200 --csp 1 --lim 1 --security-exception yes",
            "extension -c -d 100 --security-exception no",
            "extension -p",
            "extension -p -d 12000..12009 --json",
            "extension -e -d 12000..12099",
        ),
    ),
)  # fmt: skip


def initiate(request: Request) -> Outcome:
    """extension -i."""
    numbers: Numbers = request.options["d"]
    state, options = request.state, request.options
    if numbers == EVERY:
        return refused("-i needs the new numbers: all are those that there are already.")
    known = [number for number in numbers if number in state.extensions]
    if known:
        return not_executed(EXIST, *lines_of(known))
    if len(state.extensions) + len(numbers) > EXTENSIONS_MAX:
        return not_executed(TOO_MANY)
    exception = options.get("security_exception")
    if exception is None:
        exception = omitted_exception(state.policy, None)
    if exception is None:
        return refused(EXCEPTION_OMITTED)
    wanted = [Extension(number, options["csp"], options["lim"], exception) for number in numbers]
    return _judged(request, wanted, wanted, "initiated")


def change(request: Request) -> Outcome:
    """extension -c."""
    state, options = request.state, request.options
    numbers, missing = chosen(state.extensions, options["d"])
    if missing:
        return not_executed(MISSING, *lines_of(missing))
    given = {key: options[key] for key in ("csp", "lim") if options.get(key) is not None}
    exception = options.get("security_exception")
    if not given and exception is None:
        return refused("There is nothing to change: give --csp, --lim or --security-exception.")
    if exception is None and omitted_exception(state.policy, False) is None:
        return refused(EXCEPTION_OMITTED)
    given |= {} if exception is None else {"security_exception": exception}
    wanted = [replace(state.extensions[number], **given) for number in numbers]
    return _judged(request, wanted, [each for each in wanted if each != state.extensions[each.number]], "changed")


def end(request: Request) -> Outcome:
    """extension -e."""
    state = request.state
    asked: Numbers = request.options["d"]
    numbers, missing = chosen(state.extensions, asked)
    if missing:
        return not_executed(MISSING, *lines_of(missing))
    if asked == EVERY and numbers and not request.confirmed:
        return Outcome(
            question=f"This ends all extensions ({len(numbers):,}) with their authorization codes. End them?"
        )
    codes = [number for number in numbers if number in state.authorization_codes]
    ended = set(numbers)
    bindings = [row.binding for row in state.registrations.values() if row.number in ended]
    beside = [
        counted(len(each), noun) for each, noun in ((codes, "authorization code"), (bindings, "registration")) if each
    ]
    return Outcome(
        lines=(told(numbers, "extension", f"ended{' with ' * bool(beside)}{' and '.join(beside)}"),),
        value={"ended": list(numbers), "codes": len(codes), "registrations": len(bindings)},
        changes=(
            *(Remove(Registration, binding) for binding in bindings),
            *(Remove(AuthorizationCode, number) for number in codes),
            *(Remove(Extension, number) for number in numbers),
        ),
    )


def show(request: Request) -> Outcome:
    """extension -p."""
    state = request.state
    numbers, missing = chosen(state.extensions, request.options.get("d") or EVERY)
    if missing and not numbers:
        return not_executed(MISSING, *lines_of(missing))
    codes = configured(state)
    value = [_shown(state.extensions[number], number in codes) for number in numbers]
    rows = [[_text(cell) for cell in row.values()] for row in value]
    headings = ("NUMBER", "CSP", "LIM", "SECURITY EXCEPTION", "RAC")
    return Outcome(
        lines=columns(headings, rows) if rows else ("There are no extensions.",),
        value={"extensions": value},
        warnings=(f"these numbers do not exist: {listed(missing)}",) if missing else (),
    )


def _judged(request: Request, wanted: list[Extension], changed: list[Extension], verb: str) -> Outcome:
    """Store what changed where the policy takes each of the wanted."""
    without_code: list[str] = []
    codes = configured(request.state)
    rejected: dict[str, list[str]] = {}
    for each in wanted:
        rule = extension_rule(
            request.state.policy,
            security_exception=each.security_exception,
            code_configured=each.number in codes,
        )
        if rule.refusal:
            rejected.setdefault(rule.refusal, []).append(each.number)
        elif rule.warning:
            without_code.append(each.number)
    if rejected:
        return refused(*rejection(rejected, len(wanted)))
    numbers = [each.number for each in changed]
    return Outcome(
        lines=(told(numbers, "extension", verb),),
        value={verb: numbers, "without_rac": without_code},
        warnings=(f"{listed(without_code)} {NO_CODE_WARNING}",) if without_code else (),
        changes=tuple(map(Put, changed)),
    )


def _shown(extension: Extension, code: bool) -> dict[str, Any]:
    return {
        "number": extension.number,
        "csp": extension.csp,
        "lim": extension.lim,
        "security_exception": extension.security_exception,
        "rac": code,
    }


def _text(cell: Any) -> str:
    return yes_no(cell) if isinstance(cell, bool) else str(cell)
