"""Command lines against the table: what goes, what does not, and what is kept of secrets. Forms are those of the
specification: single-dash long options, options that choose an action, ``RIANI:ROU=5,TLS=YES;``."""

from __future__ import annotations

from typing import Any

import pytest
from unit.control.trial import COMMAND, PARAMETERS, PLAIN

from srtpgw.control.commands.arguments import ASK, parse, read_text, secret_spans, synopsis
from srtpgw.control.commands.table import Option, find
from srtpgw.errors import UsageError

PIN = "7391046"

GOES: list[tuple[str, str, dict[str, Any]]] = [
    ("-i -d 100", "add", {"add": True, "number": "100"}),
    ("--add --cil 100", "add", {"add": True, "number": "100"}),
    ("-d 100 -i", "add", {"add": True, "number": "100"}),
    ("-i --cil=100", "add", {"add": True, "number": "100"}),
    ("-i -d 100 -level high", "add", {"add": True, "number": "100", "level": "high"}),
    ("-i -d 100 --tag a --tag=b=c", "add", {"add": True, "number": "100", "tags": ["a", "b=c"]}),
    ("-i -d 100 -pair name value", "add", {"add": True, "number": "100", "pair": ("name", "value")}),
    ("-set 1", "set", {"set": "1"}),
    ("-print", "show", {"show": True}),
    ("-c", "code", {"coded": True}),
    ("-c --code", "code", {"coded": True, "code": ASK}),
    ("--code -c", "code", {"coded": True, "code": ASK}),
    (f"-c --code {PIN}", "code", {"coded": True, "code": PIN}),
    ("-c --code=-5", "code", {"coded": True, "code": "-5"}),
    ("-do read -f -", "do", {"do": "read", "file": "-"}),
    ("-add -d 100 --level high", "add", {"add": True, "number": "100", "level": "high"}),
    ("--set=1 -json", "set", {"set": "1"}),
]


@pytest.mark.parametrize(("line", "action", "given"), GOES)
def test_a_line_that_goes(line: str, action: str, given: dict[str, Any]) -> None:
    typed = parse(COMMAND, line.split())
    assert (typed.action.key, dict(typed.given)) == (action, given)


WRONG = [
    ("", "choose one of -i, -set, -c, -do, -print"),
    ("-d 100", "choose one of -i"),
    ("-i", "-d must be given: trial -i -d NUMBER"),
    ("-i -d", "-d needs NUMBER behind it"),
    ("-i -d -level", "-d needs NUMBER behind it"),
    ("-i -d --tag", "-d needs NUMBER behind it"),
    ("-i -d -", "-d needs NUMBER behind it"),
    ("-i -d 1 -pair name", "-pair needs NAME VALUE behind it"),
    ("-i -d 1 -pair name -level low", "-pair needs NAME VALUE behind it"),
    ("-i -print -d 1", "-i and -print do not go together"),
    ("-i -d 1 -d 2", "-d is given twice"),
    ("-i -d 1 --cil 2", "--cil is given twice"),
    ("-print -d 1", "-d does not go there: trial -print"),
    ("-set 1 -level low", "-level does not go there: trial -set N"),
    ("-i -d=1", "write -d NUMBER, without ="),
    ("-i=1", "-i takes no value"),
    ("--json=1 -print", "--json takes no value"),
    ("-i -d 1 -leve low", "did you mean -level?"),
    ("-i -d1", "an option is not known"),
    ("-id 1", "an option is not known"),
    ("-i -d 1 2", "a word does not go here: see trial --help"),
    ("-i -d 1, 2", "a word does not go here: a list has no spaces"),
    ("-i -d 1 ,2", "a word does not go here: a list has no spaces"),
    ("-set=1", "write -set N, without ="),
    ("--i -d 1", "an option is not known"),
    ("-i -d 1 --", "an option is not known"),
    ("--ad -d 1", "did you mean --add?"),
    ("--state-dir -print", "--state-dir needs DIR behind it"),
]


@pytest.mark.parametrize(("line", "reason"), WRONG)
def test_a_line_that_does_not_go(line: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(COMMAND, line.split())
    assert reason in str(caught.value)


def test_an_empty_word_is_a_word() -> None:
    assert parse(COMMAND, ["-i", "-d", ""]).given["number"] == ""
    with pytest.raises(UsageError, match="does not go here"):
        parse(COMMAND, ["-print", ""])


def test_one_thing_to_do_needs_no_choice() -> None:
    assert parse(PLAIN, []).action.key == "do"
    assert parse(PLAIN, ["--json"]).common["json"] is True
    with pytest.raises(UsageError, match="'-print' is not known"):
        parse(PLAIN, ["-print"])


def test_a_choice_of_one_is_told_as_what_must_be_given() -> None:
    with pytest.raises(UsageError, match=r"^-p must be given: ip_extension -p \[-d NUMBERS\]$"):
        parse(find("ip_extension"), ["-d", "100"])


PARAMETERS_GO = [
    (["ROU=5,TLS=YES;"], {"number": "5", "tls": "YES"}),
    ([":ROU=5,TLS=YES;"], {"number": "5", "tls": "YES"}),
    (["ROU=5,TLS=YES"], {"number": "5", "tls": "YES"}),
    (["rou=5,", "tls=YES", ";"], {"number": "5", "tls": "YES"}),
    (["--json", " ROU = 5 "], {"number": "5"}),
    (["TLS=NO,ROU=5", "--yes"], {"number": "5", "tls": "NO"}),
]


@pytest.mark.parametrize(("words", "given"), PARAMETERS_GO)
def test_parameters_that_go(words: list[str], given: dict[str, str]) -> None:
    assert dict(parse(PARAMETERS, words).given) == given


PARAMETERS_WRONG = [
    ([], "ROU must be given: RTRY:ROU=N[,TLS=YES|NO]"),
    (["TLS=YES;"], "ROU must be given"),
    (["ROU=5;TLS=YES;"], "nothing goes behind the semicolon"),
    (["ROU=5,ROU=6;"], "ROU is given twice"),
    (["ROU=5,,TLS=YES;"], "each as NAME=VALUE"),
    (["ROU=5,TLS;"], "each as NAME=VALUE"),
    (["ROU=5,TLS=;"], "each as NAME=VALUE"),
    (["ROU=5,COLOUR=RED;"], "each as NAME=VALUE"),
    (["-rou", "5"], "an option is not known"),
]


@pytest.mark.parametrize(("words", "reason"), PARAMETERS_WRONG)
def test_parameters_that_do_not_go(words: list[str], reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(PARAMETERS, words)
    assert reason in str(caught.value)


# --- secrets

HOLD_A_SECRET = [
    (["-c", "--code", PIN], "trial -c --code ***", [(2, 0)]),
    (["-c", f"--code={PIN}"], "trial -c --code=***", [(1, 7)]),
    (["--code", PIN, "-c", "--json"], "trial --code *** -c --json", [(1, 0)]),
    (["-c", "-code", PIN], "trial -c -code ***", [(2, 0)]),
]


@pytest.mark.parametrize(("words", "shown", "spans"), HOLD_A_SECRET)
def test_a_secret_is_found_and_not_shown(words: list[str], shown: str, spans: list[tuple[int, int]]) -> None:
    typed = parse(COMMAND, words)
    assert typed.shown == shown
    assert list(secret_spans(COMMAND, words)) == spans
    assert PIN not in repr(typed)
    assert typed.given["code"] == PIN


def test_a_secret_is_found_where_the_line_does_not_go() -> None:
    assert list(secret_spans(COMMAND, ["-c", f"-code={PIN}"])) == [(1, 6)]
    with pytest.raises(UsageError, match="without =") as caught:
        parse(COMMAND, ["-c", f"-code={PIN}"])
    assert PIN not in str(caught.value)


def test_a_secret_among_parameters() -> None:
    words = [f"ROU=5,code={PIN};"]
    assert parse(PARAMETERS, words).shown == "RTRY:ROU=5,CODE=***;"
    assert list(secret_spans(PARAMETERS, words)) == [(0, 0)]


MISPLACED = [
    ["-c", PIN],
    ["-c", f"--cod={PIN}"],
    ["-c", f"--code{PIN}"],
    ["-c", "--code", PIN, "--code", PIN],
    ["-i", "-d", "1", "--code", PIN],
    ["-c", "--code", "5", PIN],
    [f"-{PIN}"],
    ["--code", PIN],
]


@pytest.mark.parametrize("words", MISPLACED)
def test_a_wrong_line_does_not_repeat_a_secret(words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(COMMAND, words)
    assert PIN not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        parse(PARAMETERS, [f"ROU=5,CODE{PIN}"])
    assert PIN not in str(caught.value)


def careless(text: str) -> str:
    raise ValueError(f"is not good: {text!r}")


def test_a_reader_that_repeats_a_secret_is_not_repeated() -> None:
    option = Option(key="code", names=("--code",), kind="secret", read=careless, help="")
    with pytest.raises(UsageError) as caught:
        read_text(option, "--code", PIN)
    assert str(caught.value) == "--code cannot be used"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    with pytest.raises(UsageError, match="-d is not good: 'x'"):
        read_text(Option(key="d", names=("-d",), read=careless, help=""), "-d", "x")


def test_a_choice_of_a_secret_is_not_repeated() -> None:
    for kind, told in (("secret", False), ("value", True)):
        option = Option(key="x", names=("-x",), kind=kind, choices=("a", "b"), help="")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="-x is one of a, b") as caught:
            read_text(option, "-x", PIN)
        assert (PIN in str(caught.value)) is told


def test_how_actions_are_typed() -> None:
    assert [synopsis(COMMAND, action) for action in COMMAND.actions] == [
        "trial -i -d NUMBER [-level low|high] [--tag TAG...] [-pair NAME VALUE]",
        "trial -set N",
        "trial -c [--code [VALUE]]",
        "trial -do WHAT [--code [VALUE]] [-f FILE] [-name NAME]",
        "trial -print",
        "trial -export WHAT [--code [VALUE]] [-f FILE] [-name NAME]",
    ]
    assert synopsis(PARAMETERS, PARAMETERS.actions[0]) == "RTRY:ROU=N[,TLS=YES|NO][,CODE=VALUE];"
