"""Runs an operator command from its command line: reads what was typed, runs the effect against the store, and prints
what came of it.

A command that changes something runs inside one write transaction, with its entry in the audit log. Nothing is printed
before the commit: what was acknowledged is on the disk.
"""

from __future__ import annotations

import os
import pwd
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from errno import EPIPE
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

from srtpgw.control.commands.arguments import (
    ASK,
    HELP,
    STANDARD_INPUT,
    Typed,
    needs_secret,
    options_of,
    parse,
    read_text,
    secret_spans,
)
from srtpgw.control.commands.asking import ask_secret, ask_yes, bounded_secret, on_terminal, patience
from srtpgw.control.commands.table import FAMILIES, Command, Option, Outcome, Request, effect_of, find, refused
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import AuditEntry, State
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault
from srtpgw.errors import ConfigError, SrtpgwError, StoreError, UsageError
from srtpgw.streams import EXIT_FAILED, guarded, tell

EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130  # as shells have it: 128 and the number of the signal

AUDIT_COMMAND_MAX: Final = 1000  # characters
AUDIT_LINES_MAX: Final = 20
AUDIT_LINE_MAX: Final = 200
NO_STORE: Final = "there is no store in {}, so nothing was ever set there: --state-dir names another place"
BUSY: Final = "waiting for another command to end"
QUESTIONS_MAX: Final = 5  # a store that changes under each answer


@dataclass(frozen=True, slots=True)
class Place:
    """What the process settings say: where the state is, and the realm of authorization codes. ``parents``: directories
    above it may be made, for nobody typed the path."""

    directory: Path
    realm: str
    parents: bool = False


# From --state-dir and --config, as far as given. Raises ConfigError.
Configure = Callable[[str | None, str | None], Place]


class _Declined(SrtpgwError):
    """The operator did not say yes."""


def run(
    name: str,
    words: Sequence[str],
    configure: Configure,
    program: str = "",
    lookup: Callable[[str], Command] = find,
) -> int:
    """Run the command of this name. The exit status; ``program`` is how it was called, for help. ``lookup`` raises
    KeyError for a name that is not a command's."""
    interrupt = signal.getsignal(signal.SIGINT)
    with guarded():
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return _run(_command(name, lookup), words, configure, program or name)
        except UsageError as error:
            return _end(EXIT_USAGE, f"{name}: {error}")
        except ConfigError as error:
            return _end(EXIT_USAGE, *(f"{name}: {fault}" for fault in error.faults))
        except KeyboardInterrupt:
            return _end(EXIT_INTERRUPTED, f"{name}: interrupted; nothing was changed")
        except OSError:
            raise  # guarded() tells of it
        except Exception as error:  # noqa: BLE001 - a traceback could show a secret
            return _end(EXIT_FAILED, f"{name}: {_told(error)}")
        finally:
            signal.signal(signal.SIGINT, interrupt)


def carry_out(name: str, words: Sequence[str], place: Place) -> tuple[bool, str]:
    """Run a command for a program that runs commands within itself. Whether it was done rather than refused, and what
    it says. Raises SrtpgwError."""
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        command = _command(name, find)
        typed = parse(command, words)
        return _Execution(typed, _values(command, typed), place).run()
    finally:
        signal.signal(signal.SIGINT, interrupt)


def host_name() -> str:
    """What a licence may be bound to."""
    return os.uname().nodename


def user_name() -> str:
    """Who runs the command, for the audit log: behind sudo, the one who typed it."""
    uid = os.getuid()
    name = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    if not name:
        with suppress(KeyError):
            name = pwd.getpwuid(uid).pw_name
    return f"{escaped(name, AUDIT_LINE_MAX)} (uid {uid})" if name else f"uid {uid}"


def escaped(text: str, limit: int = sys.maxsize) -> str:
    """The text on one line: control characters, also those that turn or hide text on a screen, as escapes."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def _command(name: str, lookup: Callable[[str], Command]) -> Command:
    with suppress(KeyError):
        return lookup(name)
    raise UsageError(f"there is no such command; there are {', '.join(FAMILIES)}")


def _run(command: Command, words: Sequence[str], configure: Configure, program: str) -> int:
    if not HELP.isdisjoint(words):
        from srtpgw.control.commands.help import help_text

        print(help_text(command, program), end="")
        return 0
    _hide_secrets(command, words)
    typed = parse(command, words)
    place = configure(typed.common["state_dir"], typed.common["config"])
    options = _values(command, typed)
    done, text = _Execution(typed, options, place).run()
    try:
        print(text, end="", flush=True)
    except OSError as error:
        if done and error.errno != EPIPE:
            tell(f"{command.name}: it was done, but what came of it cannot be shown:")
        raise
    return 0 if done else EXIT_FAILED


def _hide_secrets(command: Command, words: Sequence[str]) -> None:
    """Take secrets out of the process list, and keep them out of core files, before anything is done with them; where
    the words are those of this process, not what a program gave that runs commands within itself."""
    if all(option.kind in {"value", "flag"} for option in options_of(command)):
        return
    from srtpgw.hardening import forbid_dumps, hide_arguments

    if hide_arguments(words, secret_spans(command, words)):
        forbid_dumps()


# --- what was typed


def _values(command: Command, typed: Typed) -> Mapping[str, Any]:
    """Every option of the command by its key. Files are read and secrets asked for here. Raises UsageError."""
    piped = [given for given in typed.given.values() if given == STANDARD_INPUT or (given is ASK and not on_terminal())]
    if len(piped) > 1 and STANDARD_INPUT in piped:
        raise UsageError("standard input can be one file only, and not a secret beside it")
    return {option.key: _value(option, typed) for option in options_of(command)}


def _value(option: Option, typed: Typed) -> Any:
    given = typed.given.get(option.key)
    if given is None:
        if needs_secret(typed.action, option):
            return _secret(option, option.names[0], ASK)
        empty: Any = False if option.kind == "flag" else ()
        return empty if option.default is None and (option.kind == "flag" or option.multiple) else option.default
    if option.multiple:
        return tuple(_read(option, typed.names[option.key], each) for each in given)
    return _read(option, typed.names[option.key], given)


def _read(option: Option, name: str, given: Any) -> Any:
    if option.kind == "flag":
        return True
    if option.kind == "secret":
        return _secret(option, name, given)
    if option.kind == "file":
        from srtpgw.control.commands.files import read_file

        return read_file(given, option.file_max)
    if option.arity > 1:
        return tuple(read_text(option, name, text) for text in given)
    return read_text(option, name, given)


def _secret(option: Option, name: str, given: Any) -> Any:
    text = ask_secret(option) if given is ASK else bounded_secret(option, given)
    return read_text(option, name, text)


# --- what is done


class _Execution:
    """One command against the store."""

    def __init__(self, typed: Typed, options: Mapping[str, Any], place: Place) -> None:
        self._typed = typed
        self._action = typed.action
        self._options = options
        self._place = place
        self._directory = StateDirectory(place.directory, make=typed.action.changes, parents=place.parents)
        self._vault = Vault(lambda: self._directory.vault_key(make=not self._sealed))
        self._sealed = False
        self._effect = effect_of(typed.action)
        self._text = ""
        self._begun = False  # the store could be had for a change

    def run(self) -> tuple[bool, str]:
        """Whether it was done rather than refused, and what is to be printed. Raises SrtpgwError where it fails."""
        try:
            outcome = self._outcome()
        except Exception as error:
            self._note("failed", (_told(error),))
            raise
        self._note("refused" if outcome.refused else "done", outcome.lines)
        return not outcome.refused, self._text

    def _outcome(self) -> Outcome:
        changes = self._action.changes
        with closing(Store(self._directory.database, readonly=not changes)) as store:
            return self._asked(partial(self._change if changes else self._read, store))

    def _asked(self, attempt: Callable[[str], Outcome]) -> Outcome:
        """Try until there is no question left. What was said yes to is tried again on the state as it is then."""
        confirmed = ""
        for _ in range(QUESTIONS_MAX):
            outcome = attempt(confirmed)
            if not outcome.question:
                return outcome
            confirmed = self._ask(outcome.question)
        raise _Declined("the settings change too fast to be asked about: try again later")

    def _read(self, store: Store, confirmed: str) -> Outcome:
        outcome = self._judge(store.read(), store, confirmed)
        if self._write(outcome) is not None and self._action.audited:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is there, so it is going to be noted
        return outcome

    def _note(self, result: Any, lines: Sequence[str]) -> None:
        """An entry for what is audited though it changes nothing, if there is a store. A log that cannot be written
        hinders nobody: it may be why a backup is wanted."""
        if not self._action.audited or not self._directory.database.exists():
            return
        try:
            with closing(Store(self._directory.database)) as store, store.change() as transaction:
                transaction.audit(self._entry(result, lines))
        except StoreError as error:
            tell(f"WARNING: this is not in the audit log: {escaped(str(error))}")

    def _change(self, store: Store, confirmed: str) -> Outcome:
        try:
            return self._transaction(store, confirmed)
        except Exception as error:
            # A store that could not be had for the change is not waited for again.
            if self._begun or not isinstance(error, StoreError):
                with suppress(StoreError), store.change() as transaction:
                    transaction.audit(self._entry("failed", (_told(error),)))
            raise

    def _transaction(self, store: Store, confirmed: str) -> Outcome:
        written: Path | None = None
        try:
            with patience(BUSY) as entered, store.change() as transaction:
                entered()
                self._begun = True
                outcome = self._judge(transaction.state, store, confirmed)
                if outcome.question:
                    return outcome
                written = self._write(outcome)
                # From here on it is decided: an interrupt would leave open whether it was done.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                if not outcome.refused:
                    transaction.apply(outcome.changes)
                transaction.audit(self._entry("refused" if outcome.refused else "done", outcome.lines))
        except BaseException:
            if written is not None:
                written.unlink(missing_ok=True)
            raise
        return outcome

    def _write(self, outcome: Outcome) -> Path | None:
        """The file that it asks for, if it does: on the disk before the change counts as done."""
        if outcome.write is None or outcome.refused or outcome.question:
            return None
        from srtpgw.control.commands.files import write_file

        return write_file(outcome.write)

    def _judge(self, state: State, store: Store, confirmed: str) -> Outcome:
        """What the effect says, with the answer that the operator gave, if the question is still the same."""
        with patience(self._action.waits or "working"):
            outcome = self._run_effect(state, store, confirmed=self._typed.common["yes"])
            if outcome.question and outcome.question == confirmed:
                outcome = self._run_effect(state, store, confirmed=True)
            if not self._directory.database.exists():  # who reads in a wrong place must not believe it
                outcome = replace(outcome, warnings=(*outcome.warnings, NO_STORE.format(self._directory.path)))
            self._text = _text_of(outcome, self._typed.common["json"])  # now, where a fault in it still undoes all
        return outcome

    def _run_effect(self, state: State, store: Store, *, confirmed: bool) -> Outcome:
        self._sealed = state.holds_secrets
        request = Request(
            state=state,
            options=self._options,
            now=time.time(),
            realm=self._place.realm,
            host=host_name(),
            vault=self._vault,
            database=store.copy,
            audit=store.audit,
            confirmed=confirmed,
        )
        return self._effect(request)

    def _ask(self, question: str) -> str:
        """The question again, once it was answered with yes."""
        if not on_terminal():
            raise _Declined(f"{escaped(question)} Nothing was changed: there is nobody to ask; --yes says yes")
        if not ask_yes(escaped(question)):
            raise _Declined("nothing was changed")
        return question

    def _entry(self, result: Any, lines: Sequence[str]) -> AuditEntry:
        told = [escaped(line, AUDIT_LINE_MAX) for line in lines[:AUDIT_LINES_MAX]]
        if len(lines) > AUDIT_LINES_MAX:
            told.append(f"... and {len(lines) - AUDIT_LINES_MAX} lines more")
        return AuditEntry(
            time=time.time(),
            user=user_name(),
            command=escaped(self._typed.shown, AUDIT_COMMAND_MAX),
            result=result,
            lines=tuple(told),
        )


# --- what is said


def _text_of(outcome: Outcome, as_json: bool) -> str:
    if as_json:
        import json

        return json.dumps(_value_of(outcome)) + "\n"
    lines = [*outcome.lines, *(f"WARNING: {warning}" for warning in outcome.warnings)]
    return "".join(f"{escaped(line)}\n" for line in lines)


def _value_of(outcome: Outcome) -> Any:
    value = outcome.value
    if value is None:
        value = refused(*outcome.lines).value if outcome.refused else {"done": list(outcome.lines)}
    if outcome.warnings and isinstance(value, dict):
        return {**value, "warnings": list(outcome.warnings)}
    for warning in outcome.warnings:  # a list has no place for them
        tell(f"WARNING: {escaped(warning)}")
    return value


def _end(status: int, *lines: str) -> int:
    for line in lines:
        tell(escaped(line))
    return status


def _told(error: Exception) -> str:
    """What is wrong. Of a fault of ours only where it is: its text could hold anything."""
    if isinstance(error, SrtpgwError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" in {Path(frame.tb_frame.f_code.co_filename).name}, line {frame.tb_lineno}" if frame else ""
    return f"a fault of the program ({type(error).__name__}{where}): please report it; nothing was changed"
