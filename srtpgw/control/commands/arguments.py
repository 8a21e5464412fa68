"""What was typed, read against the table: which action, which options. Pure: files, prompts and the store come later.

The spec's commands have single-dash long options (``-type extension``), options that choose an action, and one family
whose parameters stand behind a colon (``RIANI:ROU=5,TLS=YES;``). A word that begins with a dash is never a value, but
for ``--option=value``. No text here repeats what was typed for a secret, or what may be a secret in the wrong place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from srtpgw.control.commands.table import Action, Command, Option
from srtpgw.errors import UsageError

# Options of every command.
COMMON: Final = (
    Option(key="json", names=("--json",), kind="flag", help="Print one JSON value."),
    Option(key="yes", names=("--yes",), kind="flag", help="Take every question as answered with yes."),
    Option(key="state_dir", names=("--state-dir",), metavar="DIR", help="The state directory (else SRTPGW_STATE_DIR)."),
    Option(key="config", names=("--config",), metavar="FILE", help="The process settings (else SRTPGW_CONFIG)."),
    Option(key="help", names=("-h", "--help"), kind="flag", help="Show this."),
)
HELP: Final = frozenset({"-h", "-help", "--help"})
STANDARD_INPUT: Final = "-"  # as a file's name
HIDDEN: Final = "***"  # what stands for a secret


class _Ask:
    """Stands for a secret that is to be asked for."""


ASK: Final = _Ask()
Given = str | tuple[str, ...] | bool | _Ask


@dataclass(frozen=True, slots=True, repr=False)
class Typed:
    """A command line that goes. ``given`` holds texts as typed by the option's key (a list of them where it is
    ``multiple``), and ``names`` how each was called; ``shown`` is the command for the audit log."""

    action: Action
    given: Mapping[str, Any]
    common: Mapping[str, Any]
    names: Mapping[str, str]
    shown: str


@dataclass(slots=True, repr=False)
class _Reading:
    """What was found so far."""

    command: Command
    given: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)

    def add(self, option: Option, name: str, value: Given) -> None:
        if option.multiple:
            self.given.setdefault(option.key, []).append(value)
        elif option.key in self.given:
            raise UsageError(f"{name} is given twice")
        else:
            self.given[option.key] = value
        self.names[option.key] = name


def options_of(command: Command) -> tuple[Option, ...]:
    """Every option of the command, those that choose an action first."""
    choosing = (action.chosen_by for action in command.actions if action.chosen_by is not None)
    return (*{option.key: option for option in (*choosing, *command.options)}.values(),)


def spellings(option: Option) -> tuple[str, ...]:
    """Every way in which its name may be typed: a long one with one dash or two."""
    bare = (name.lstrip("-") for name in option.names if name.startswith("-"))
    return (*option.names, *(f"{dashes}{name}" for name in bare if len(name) > 1 for dashes in ("-", "--")))


def takes_secrets(command: Command, action: Action | None = None) -> bool:
    """Whether an option of the command, or of this action, is a secret."""
    return any(option.kind == "secret" and (action is None or _goes(action, option)) for option in options_of(command))


def parse(command: Command, words: Sequence[str]) -> Typed:
    """The words behind the command's name. Raises UsageError."""
    reading = _Reading(command)
    parameters: list[str] = []
    known = {name: option for option in (*COMMON, *_dashed(command)) for name in spellings(option)}
    place = 0
    while place < len(words):
        if command.form == "parameters" and not words[place].startswith("-"):
            parameters.append(words[place])
            place += 1
        else:
            place = _read_option(reading, known, words, place)
    if command.form == "parameters":
        _read_parameters(reading, " ".join(parameters))
    common = {option.key: reading.given.pop(option.key, option.default) for option in COMMON}
    action = _choose(command, reading)
    _check(command, action, reading)
    head = command.name if command.form == "options" or not parameters else ""
    return Typed(action, reading.given, common, reading.names, " ".join(filter(None, (head, *reading.shown))))


def secret_spans(command: Command, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where secrets stand among the words, also in a command line that does not go: (word, first character)."""
    secret = {name: option for option in options_of(command) if option.kind == "secret" for name in spellings(option)}
    if not secret:
        return
    for place, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if command.form == "parameters":
            yield place, 0  # which of them is hard to say where the form is wrong
        elif name in secret and equals:
            yield place, len(name) + 1
        elif name in secret:
            yield from ((value, 0) for value in range(place + 1, min(place + 1 + secret[name].arity, len(words))))


def read_text(option: Option, name: str, text: str) -> Any:
    """The value of a text that was typed. Raises UsageError."""
    if option.choices and text not in option.choices:
        raise UsageError(f"{name} is one of {', '.join(option.choices)}" + _repeated(option, text))
    try:
        return option.read(text)
    except ValueError as error:
        told = str(error)
        if option.kind == "secret" and text in told:
            told = "cannot be used"
    raise UsageError(f"{name} {told}")


def synopsis(command: Command, action: Action) -> str:
    """How the action is typed: ``extension -e -d NUMBERS``. What is asked for where it is not given may be left out."""
    going = [option for option in options_of(command) if _goes(action, option)]
    needed = [option for option in going if _needed(action, option) and not needs_secret(action, option)]
    further = [option for option in going if option not in needed]
    if command.form == "parameters":
        listed = ",".join(_usage(option) for option in needed)
        more = "".join(f"[,{_usage(option)}]" if listed or place else f"[{_usage(option)}]"
                       for place, option in enumerate(further))  # fmt: skip
        return f"{command.name}:{listed}{more};"
    return " ".join([command.name, *map(_usage, needed), *(f"[{_usage(option)}]" for option in further)])


# --- the words


def _dashed(command: Command) -> tuple[Option, ...]:
    return () if command.form == "parameters" else options_of(command)


def _read_option(reading: _Reading, known: Mapping[str, Option], words: Sequence[str], place: int) -> int:
    """Read the option at this place, with its values. The place behind it."""
    name, equals, text = words[place].partition("=")
    option = known.get(name)
    if option is None:
        raise UsageError(_unknown(reading.command, words[: place + 1]))
    if not equals:
        return _read_separate(reading, option, words, place)
    if option.kind == "flag":
        raise UsageError(f"{name} takes no value")
    if not name.startswith("--") or option.arity > 1:
        raise UsageError(f"write {_usage(option, name)}, without =")
    reading.add(option, name, text)
    reading.shown.append(f"{name}={HIDDEN if option.kind == 'secret' else text}")
    return place + 1


def _read_separate(reading: _Reading, option: Option, words: Sequence[str], place: int) -> int:
    """An option whose values, if it takes any, are the words behind it."""
    name = words[place]
    reading.shown.append(name)
    if option.kind == "flag":
        reading.add(option, name, True)
        return place + 1
    values = words[place + 1 : place + 1 + option.arity]
    if len(values) < option.arity or any(_is_option(value, option) for value in values):
        if option.kind != "secret" or not option.prompt:
            raise UsageError(f"{name} needs {option.metavar or 'a value'} behind it")
        reading.add(option, name, ASK)
        return place + 1
    reading.add(option, name, values[0] if option.arity == 1 else tuple(values))
    reading.shown += [HIDDEN] * len(values) if option.kind == "secret" else values
    return place + 1 + option.arity


def _is_option(word: str, option: Option) -> bool:
    return word.startswith("-") and not (word == STANDARD_INPUT and option.kind == "file")


def _unknown(command: Command, words: Sequence[str]) -> str:
    """Says that the last of the words does not go. A command that takes secrets does not repeat it: it may be one."""
    from difflib import get_close_matches

    *before, word = words
    told = "a word" if takes_secrets(command) else f"{word!r}"
    if not word.startswith("-"):
        split = bool(before) and (before[-1].endswith(",") or word.startswith(","))
        return f"{told} does not go here: " + ("a list has no spaces" if split else f"see {command.name} --help")
    known = [name for option in (*COMMON, *_dashed(command)) for name in option.names]
    near = get_close_matches(word.partition("=")[0], known, 1)
    told = "an option" if takes_secrets(command) else f"{word.partition('=')[0]!r}"
    return f"{told} is not known: " + (f"did you mean {near[0]}?" if near else f"see {command.name} --help")


def _read_parameters(reading: _Reading, text: str) -> None:
    """``ROU=5,TLS=YES;``: names in any case, the colon before and the semicolon behind may be missing."""
    known = {name: option for option in options_of(reading.command) for name in option.names}
    body, _, rest = text.strip().removeprefix(":").partition(";")
    if rest.strip():
        raise UsageError(f"nothing goes behind the semicolon: {reading.command.name} is one command")
    listed = [part.strip() for part in body.split(",")] if body.strip() else []
    shown = []
    for part in listed:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        option = known.get(name.upper())
        if option is None or not equals or not value:
            given = "" if takes_secrets(reading.command) else f": {part!r}"
            raise UsageError(f"parameters are {', '.join(known)}, each as NAME=VALUE{given}")
        reading.add(option, name.upper(), value)
        shown.append(f"{name.upper()}={HIDDEN if option.kind == 'secret' else value}")
    if text.strip():
        reading.shown.insert(0, f"{reading.command.name}:{','.join(shown)};")


# --- the action


def _choose(command: Command, reading: _Reading) -> Action:
    chosen = [action for action in command.actions if action.chosen_by and action.chosen_by.key in reading.given]
    if len(chosen) > 1:
        names = [reading.names[action.chosen_by.key] for action in chosen if action.chosen_by]
        raise UsageError(f"{' and '.join(names)} do not go together: choose one")
    plain = [action for action in command.actions if action.chosen_by is None]
    if not chosen and not plain:
        choosers = _choosers(command)
        if len(choosers) == 1:
            raise UsageError(f"{choosers[0]} must be given: {synopsis(command, command.actions[0])}")
        raise UsageError(f"choose one of {', '.join(choosers)}")
    return (chosen or plain)[0]


def _choosers(command: Command) -> list[str]:
    return [action.chosen_by.names[0] for action in command.actions if action.chosen_by]


def _check(command: Command, action: Action, reading: _Reading) -> None:
    """Only what goes with the action, and all that it needs."""
    for option in options_of(command):
        if option.key in reading.given and not _goes(action, option):
            raise UsageError(f"{reading.names[option.key]} does not go there: {synopsis(command, action)}")
    lacking = [
        option.names[0]
        for option in options_of(command)
        if _needed(action, option)
        and option.key not in reading.given
        and not (option.kind == "secret" and option.prompt)
    ]
    if lacking:
        raise UsageError(f"{', '.join(lacking)} must be given: {synopsis(command, action)}")


def _goes(action: Action, option: Option) -> bool:
    chooses = action.chosen_by is not None and action.chosen_by.key == option.key
    return chooses or option.required or option.key in action.needs or option.key in action.takes


def _needed(action: Action, option: Option) -> bool:
    chooses = action.chosen_by is not None and action.chosen_by.key == option.key
    return chooses or option.required or option.key in action.needs


def needs_secret(action: Action, option: Option) -> bool:
    """Whether it is asked for when it is not given."""
    return option.kind == "secret" and bool(option.prompt) and _needed(action, option)


def _usage(option: Option, name: str = "") -> str:
    name = name or option.names[0]
    if option.kind == "flag":
        return name
    value = "|".join(option.choices) or option.metavar or {"file": "FILE"}.get(option.kind, "VALUE")
    if option.kind == "secret" and option.prompt:
        value = f"[{value}]"  # the name alone asks for it
    joint = " " if name.startswith("-") else "="
    return f"{name}{joint}{value}" + ("..." if option.multiple else "")


def _repeated(option: Option, text: str) -> str:
    return "" if option.kind == "secret" else f", not {text!r}"
