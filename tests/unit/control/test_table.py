"""The table of commands is well formed, and everything that is made from it agrees: scripts, command line, examples."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import ROOT

from srtpgw import operator
from srtpgw.cli import main
from srtpgw.control.commands.arguments import COMMON, options_of, parse, spellings
from srtpgw.control.commands.console import Place, run
from srtpgw.control.commands.table import FAMILIES, Action, Command, Option, effect_of, find

COMMANDS = [find(name) for name in FAMILIES]
SPECIFIED = {
    *("media_encryption_enable", "media_encryption_disable", "media_encryption_print", "sec_policy", "extension"),
    *("extension_unregistration", "ip_extension", "auth_code", "sip_route", "RIANI", "RIANC", "RIANP", "RIANE"),
    *("license_install", "license_print", "certificate_install", "certificate_print", "setting", "data_backup"),
    *("data_restore", "audit"),
}


def test_the_commands_are_those_of_the_specification() -> None:
    assert set(FAMILIES) == SPECIFIED


def test_each_family_holds_its_commands() -> None:
    for family in set(FAMILIES.values()):
        held = {command.name for command in import_module(f"srtpgw.control.commands.{family}").COMMANDS}
        assert held == {name for name in FAMILIES if FAMILIES[name] == family}


def test_each_command_is_a_script() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts.pop("srtpgw") == "srtpgw.cli:main"
    assert scripts == {name: f"srtpgw.operator:{name}" for name in FAMILIES}
    for name in FAMILIES:
        assert getattr(operator, name).args == (name,)
    with pytest.raises(AttributeError):
        _ = operator.no_such_command


def faults(command: Command) -> Iterator[str]:
    """What is wrong with an entry of the table."""
    options = options_of(command)
    names = [name for option in (*options, *COMMON) for name in set(spellings(option))]
    yield from (f"{name} twice" for name in set(names) if names.count(name) > 1)
    keys = [option.key for option in command.options]
    yield from (f"key {key} twice" for key in set(keys) if keys.count(key) > 1)
    if len({action.key for action in command.actions}) < len(command.actions):
        yield "two actions of one key"
    if [action.chosen_by for action in command.actions].count(None) > 1:
        yield "two actions that nothing chooses"
    used = {key for action in command.actions for key in (*action.needs, *action.takes)}
    yield from (f"{option.key} goes with no action" for option in command.options if not option.required
                and option.key not in used)  # fmt: skip
    for action in command.actions:
        yield from _action_faults(action, keys)
    for option in options:
        yield from _option_faults(command, option)
    yield from (f"{text!r} does not end with a full stop" for text in _sentences(command) if not text.endswith("."))


def _action_faults(action: Action, keys: list[str]) -> Iterator[str]:
    yield from (f"{action.key}: no option {key}" for key in (*action.needs, *action.takes) if key not in keys)
    if set(action.needs) & set(action.takes):
        yield f"{action.key} needs and takes the same"
    if not callable(effect_of(action)):
        yield f"{action.effect} is no function"


def _option_faults(command: Command, option: Option) -> Iterator[str]:
    dashed = all(name.startswith("-") for name in option.names)
    if dashed is (command.form == "parameters") or not option.names:
        yield f"{option.key}: names {option.names}"
    if command.form == "parameters" and any(name != name.upper() for name in option.names):
        yield f"{option.key}: parameters are in capitals"
    if option.kind == "flag" and (option.metavar or option.choices or option.default is not None):
        yield f"{option.key}: a flag has no value"
    if option.prompt and option.kind != "secret":
        yield f"{option.key}: only secrets are asked for"
    if option.prompt.rstrip(": ") != option.prompt:
        yield f"{option.key}: the colon is put behind every prompt"
    if option.kind == "secret" and (option.arity, option.multiple, option.choices) != (1, False, ()):
        yield f"{option.key}: a secret is one text"


def _sentences(command: Command) -> Iterator[str]:
    yield command.summary
    yield from (action.summary for action in command.actions)
    yield from (option.help for option in options_of(command))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_is_well_formed(command: Command) -> None:
    assert list(faults(command)) == []


def test_a_fault_in_the_table_is_found() -> None:
    option = Option(key="a", names=("--json",), help="")
    action = Action(key="x", effect="audit:show", summary="X.", needs=("b",))
    broken = Command(name="broken", summary="No stop", actions=(action, action), options=(option, option))
    assert len(set(faults(broken))) == 9


@pytest.mark.parametrize("name", FAMILIES)
def test_each_command_has_help_within_srtpgw_too(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert f"srtpgw {name}" in result.output or f"main {name}" in result.output


@pytest.mark.parametrize("word", ["RIANP", "RIANP;", "RIANP:;", "RIANP:ROU=5;"])
def test_parameters_may_be_in_the_word_of_the_command(word: str) -> None:
    assert "RIANP:[ROU=N|ALL];" in CliRunner().invoke(main, [word, "--help"]).output


def test_srtpgw_lists_them_apart() -> None:
    listed = CliRunner().invoke(main, ["--help"]).output.partition("Operator commands")[2].split()
    assert set(FAMILIES) <= set(listed)


# --- examples

LICENSE = "license_install --testbed"
HUNDRED = "extension -i -d 12000..12099 --csp 1 --lim 1"
ROUTE = "sip_route -set -route 1 -protocol udp -proxyip 192.0.2.9"
TIE_LINE = "RIANI:ROU=5,IPADR=192.0.2.9;"
# What an example stands on, by how it begins.
BEFORE = {
    "media_encryption_enable": [LICENSE],
    "sec_policy -set": [LICENSE],
    "extension -c": ["extension -i -d 100 --csp 1 --lim 1"],
    "extension -p": [HUNDRED],
    "extension -e": [HUNDRED],
    "auth_code -c": ["auth_code -i -d 12000 --auth-code 13579"],
    "auth_code -e": ["auth_code -i -d 12000 --auth-code 13579"],
    "ip_extension -p -d": [HUNDRED],
    "sip_route -set -route 1 -fallback": [ROUTE],
    "sip_route -print -route": [ROUTE],
    "sip_route -remove": [ROUTE],
    "RIANC": [TIE_LINE],
    "RIANP ROU=5": [TIE_LINE],
    "RIANE": [TIE_LINE],
    "certificate_print --pem": ["certificate_install --testbed"],
    "data_restore": ["data_backup -f before-upgrade.backup"],
}


def words_of(line: str) -> tuple[str, list[str]]:
    """The name and what is behind it, as a shell would have it."""
    words = shlex.split(line)
    name = words[0].partition(":")[0].removesuffix(";")
    return name, [rest for rest in (words[0].removeprefix(name), *words[1:]) if rest]


def perform(line: str, folder: Path) -> int:
    name, words = words_of(line)
    return run(name, [*words, "--yes"], lambda _state, _file: Place(folder, "srtpgw"))


EXAMPLES = [(command.name, line) for command in COMMANDS for line in command.examples]


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_examples_run(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", StringIO())
    for start, lines in BEFORE.items():
        if line.startswith(start):
            assert [perform(each, tmp_path / "state") for each in lines] == [0] * len(lines)
    capsys.readouterr()
    assert shlex.split(line)[0] == name  # a program that a shell finds
    # its service is not there yet, and it says so
    status = 1 if name == "extension_unregistration" else 0
    assert perform(line, tmp_path / "state") == status, capsys.readouterr()
    out, err = capsys.readouterr()
    assert out
    assert not err


@pytest.mark.parametrize(
    "name", [name for name in FAMILIES if not all(action.changes for action in find(name).actions)]
)
def test_what_is_printed_as_json_is_an_object(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list would have no place for warnings, nor for what a later version adds."""
    monkeypatch.chdir(tmp_path)
    assert perform("setting -set allow-sdes-over-clear on", tmp_path / "state") == 0
    choosers = {word for action in find(name).actions if action.chosen_by for word in action.chosen_by.names}
    capsys.readouterr()
    assert perform(" ".join([name, *sorted(choosers & {"-p", "-print"})[:1], "--json"]), tmp_path / "state") == 0
    out, err = capsys.readouterr()
    assert isinstance(json.loads(out), dict)
    assert not err
    if name == "setting":
        assert set(json.loads(out)) == {"settings", "warnings"}


def test_each_command_and_each_action_that_is_common_has_an_example() -> None:
    assert all(command.examples for command in COMMANDS)
    shown = {
        (command.name, parse(command, words_of(line)[1]).action.key)
        for command in COMMANDS
        for line in command.examples
    }
    lacking = {(command.name, action.key) for command in COMMANDS for action in command.actions} - shown
    # What needs a file or a name that is not there before, or takes the same as the one beside it.
    assert {name for name, _ in lacking} <= {"license_install", "certificate_install", "auth_code"}
