"""Commands made for tests of the command line itself: what the real ones do once each, these do on demand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from unit.control.requests import extension

from srtpgw.control.commands.console import Place, run
from srtpgw.control.commands.table import Action, Command, FileContent, Option, Outcome, Request, refused
from srtpgw.control.model import Extension, Put, Setting
from srtpgw.errors import VaultError

MODULE: Final = "srtpgw.control.commands.trial"  # where effects are looked for; tests put this module there
HUGE: Final = 10**30  # no database takes it


def number(text: str) -> str:
    if not text.isdigit():
        raise ValueError("is not a number")
    return text


def digits(text: str) -> str:
    if not text.isdigit():
        raise ValueError(f"is not of digits: {text}")  # a careless reader
    return text


NUMBER: Final = Option(key="number", names=("-d", "--cil"), metavar="NUMBER", read=number, help="The number.")
CODE: Final = Option(
    key="code", names=("--code",), kind="secret", read=digits, prompt="Code", twice=True, help="The digits."
)

COMMAND: Final = Command(
    name="trial",
    summary="Try things.",
    actions=(
        Action(
            key="add",
            effect="trial:add",
            summary="Add a number.",
            chosen_by=Option(key="add", names=("-i", "--add"), kind="flag", help="Add."),
            needs=("number",),
            takes=("level", "tags", "pair"),
        ),
        Action(
            key="set",
            effect="trial:change",
            summary="Set a level.",
            chosen_by=Option(key="set", names=("-set",), metavar="N", read=number, help="Set it."),
        ),
        Action(
            key="code",
            effect="trial:code",
            summary="Take a code.",
            chosen_by=Option(key="coded", names=("-c",), kind="flag", help="Take it."),
            needs=("code",),
        ),
        Action(
            key="do",
            effect="trial:do",
            summary="Do what is said.",
            chosen_by=Option(key="do", names=("-do",), metavar="WHAT", help="Do it."),
            takes=("file", "name", "code"),
        ),
        Action(
            key="show",
            effect="trial:show",
            summary="Show it.",
            chosen_by=Option(key="show", names=("-print",), kind="flag", help="Show it."),
            changes=False,
        ),
        Action(
            key="export",
            effect="trial:export",
            summary="Do what is said, but change nothing.",
            chosen_by=Option(key="export", names=("-export",), metavar="WHAT", help="Do it."),
            takes=("file", "name", "code"),
            changes=False,
            audited=True,
        ),
    ),
    options=(
        NUMBER,
        CODE,
        Option(key="level", names=("-level",), choices=("low", "high"), default="low", help="How much."),
        Option(key="tags", names=("--tag",), multiple=True, metavar="TAG", help="A tag."),
        Option(key="pair", names=("-pair",), arity=2, metavar="NAME VALUE", help="Two words."),
        Option(key="file", names=("-f",), kind="file", metavar="FILE", file_max=8, help="A file."),
        Option(key="name", names=("-name",), metavar="NAME", help="A name."),
    ),
)
PLAIN: Final = Command(
    name="plain", summary="One thing.", actions=(Action(key="do", effect="trial:show", summary="Do it."),)
)
PARAMETERS: Final = Command(
    name="RTRY",
    summary="Parameters.",
    form="parameters",
    actions=(Action(key="do", effect="trial:show", summary="Do it.", needs=("number",), takes=("tls", "code")),),
    options=(
        Option(key="number", names=("ROU",), metavar="N", read=number, help="The number."),
        Option(key="tls", names=("TLS",), choices=("YES", "NO"), help="TLS."),
        Option(key="code", names=("CODE",), kind="secret", help="The code."),
    ),
)
COMMANDS: Final = {command.name: command for command in (COMMAND, PLAIN, PARAMETERS)}


def add(request: Request) -> Outcome:
    chosen: str = request.options["number"]
    if chosen in request.state.extensions:
        return refused(f"{chosen} exists.")
    return Outcome(lines=(f"{chosen} is added.",), changes=(Put(extension(chosen)),), warnings=("it is new",))


def change(request: Request) -> Outcome:
    """Asks, and the question tells how many numbers there are."""
    count = len(request.state.extensions)
    if not request.confirmed:
        return Outcome(question=f"There are {count} numbers: go on?")
    level = request.options["set"]
    return Outcome(lines=(f"level {level}",), changes=(Put(Setting("level", level)),), value={"level": level})


def code(request: Request) -> Outcome:
    return Outcome(lines=(f"a code of {len(request.options['code'])} digits",), changes=(Put(Setting("coded", "1")),))


def show(request: Request) -> Outcome:
    return Outcome(lines=(f"{len(request.state.extensions)} numbers",), value=sorted(request.state.extensions))


def do(request: Request) -> Outcome:
    what: str = request.options["do"]
    change_it = Put(extension("99"))
    secret = request.options["code"]
    if what == "refuse":
        return Outcome(refused=True, lines=("NOT EXECUTED", "SO IT IS"), changes=(change_it,))
    if what == "fail":
        raise VaultError("the vault is another one")
    if what == "crash":
        raise RuntimeError(f"what a fault may tell: {secret}")
    if what == "unprintable":
        return Outcome(lines=("a\x1b[2Jb\nc\u202ed",), value=object(), changes=(change_it,))
    if what == "impossible":
        impossible = Extension(number="98", csp=HUGE, lim=1, security_exception=False)
        return Outcome(changes=(Put(impossible),), write=FileContent(request.options["name"], b"octets"))
    if what == "write":
        return Outcome(changes=(change_it,), write=FileContent(request.options["name"], b"octets"))
    assert what == "read"
    file: FileContent = request.options["file"]
    return Outcome(lines=(f"{file.name}: {file.octets!r}",))


def export(request: Request) -> Outcome:
    return replace(do(replace(request, options={**request.options, "do": request.options["export"]})), changes=())


def typed(folder: Path, *words: str) -> int:
    """Run ``trial`` with these words on the state in a folder; its exit status."""
    return run("trial", words, lambda _state, _file: Place(folder, "srtpgw"), lookup=COMMANDS.__getitem__)


def options(**given: Any) -> dict[str, Any]:
    """What an effect of ``trial`` gets as options where only these were given."""
    empty = {"add": False, "set": None, "coded": False, "do": None, "show": False, "number": None, "code": None}
    return {**empty, "export": None, "level": "low", "tags": (), "pair": None, "file": None, "name": None, **given}
