"""A command's run in this process: what it prints, changes, notes in the audit log, and its exit status."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from unit.control import trial
from unit.control.disk_order import watched
from unit.control.requests import extension
from unit.control.trial import typed

from srtpgw.control import store as store_module
from srtpgw.control.commands import asking, console, files
from srtpgw.control.commands.asking import SECRET_MAX
from srtpgw.control.commands.console import Place, escaped, user_name
from srtpgw.control.commands.table import Outcome, Request
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import AuditEntry, Put, State
from srtpgw.control.store import Store, Transaction

PIN = "7391046"


@pytest.fixture(autouse=True)
def _effects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, trial.MODULE, trial)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory to be; it is not there yet. Standard input is empty and no terminal."""
    monkeypatch.chdir(tmp_path)
    answer(monkeypatch, "")
    return tmp_path / "state"


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def stored(folder: Path) -> State:
    with Store(folder / "srtpgw.db", readonly=True) as store:
        return store.read()


def audited(folder: Path) -> list[AuditEntry]:
    with Store(folder / "srtpgw.db", readonly=True) as store:
        return list(store.audit(10))


def test_what_is_done_is_told_stored_and_audited(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-i", "-d", "100", "--tag", "a b") == 0
    assert capsys.readouterr() == ("100 is added.\nWARNING: it is new\n", "")
    assert list(stored(folder).extensions) == ["100"]
    (entry,) = audited(folder)
    assert (entry.command, entry.result, entry.lines) == ("trial -i -d 100 --tag a b", "done", ("100 is added.",))
    assert f"(uid {os.getuid()})" in entry.user


def test_what_a_rule_refuses_is_told_and_audited(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-do", "refuse") == 1
    assert capsys.readouterr() == ("NOT EXECUTED\nSO IT IS\n", "")
    assert not stored(folder).extensions
    assert [(entry.result, entry.lines) for entry in audited(folder)] == [("refused", ("NOT EXECUTED", "SO IT IS"))]


def test_what_fails_is_told_and_audited(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-do", "fail") == 1
    assert capsys.readouterr() == ("", "srtpgw: trial: the vault is another one\n")
    assert [(entry.result, entry.lines) for entry in audited(folder)] == [("failed", ("the vault is another one",))]


def test_a_fault_of_the_program_tells_where_and_nothing_more(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-do", "crash", "--code", PIN) == 1
    out, err = capsys.readouterr()
    assert out == ""
    told = r"a fault of the program \(RuntimeError in trial.py, line \d+\): please report it; nothing was changed"
    assert re.fullmatch(rf"srtpgw: trial: {told}\n", err)
    (entry,) = audited(folder)
    assert re.fullmatch(told, entry.lines[0])
    assert entry.command == "trial -do crash --code ***"


def test_a_wrong_line_touches_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-i") == 2
    assert typed(folder, "-i", "-d", "x") == 2
    assert typed(folder, "-i", "-d", "1", "-level", "middle") == 2
    assert capsys.readouterr().err.splitlines() == [
        "srtpgw: trial: -d must be given: trial -i -d NUMBER [-level low|high] [--tag TAG...] [-pair NAME VALUE]",
        "srtpgw: trial: -d is not a number",
        "srtpgw: trial: -level is one of low, high, not 'middle'",
    ]
    assert not folder.exists()


def test_printing_makes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = f"there is no store in {folder}, so nothing was ever set there: --state-dir names another place"
    assert typed(folder, "-print") == 0
    assert typed(folder, "-print", "--json") == 0
    captured = capsys.readouterr()
    assert captured.out == f"0 numbers\nWARNING: {told}\n[]\n"
    assert told in captured.err  # a list has no place for it
    assert not folder.exists()
    assert typed(folder, "-i", "-d", "100") == 0
    capsys.readouterr()
    assert typed(folder, "-print") == 0
    assert "WARNING" not in capsys.readouterr().out


def test_printing_is_not_audited(folder: Path) -> None:
    typed(folder, "-i", "-d", "100")
    typed(folder, "-print")
    assert len(audited(folder)) == 1


def test_what_goes_out_is_audited_though_nothing_changes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed(folder, "-i", "-d", "100")
    revision = stored(folder).revision
    assert typed(folder, "-export", "write", "-name", "out") == 0
    assert typed(folder, "-export", "write", "-name", "out") == 1
    assert typed(folder, "-export", "refuse") == 1
    assert typed(folder, "-export", "crash", "--code", PIN) == 1
    noted = [(entry.command, entry.result) for entry in audited(folder)][1:]
    assert noted == [
        ("trial -export write -name out", "done"),
        ("trial -export write -name out", "failed"),
        ("trial -export refuse", "refused"),
        ("trial -export crash --code ***", "failed"),
    ]
    assert stored(folder).revision == revision, "nobody is woken up"
    assert PIN not in "".join(capsys.readouterr())


def test_what_goes_out_where_there_is_no_store_makes_none(folder: Path) -> None:
    assert typed(folder, "-export", "write", "-name", "out") == 0
    assert (folder.parent / "out").read_bytes() == b"octets"
    assert not folder.exists()


def test_a_log_that_cannot_be_written_keeps_nothing_from_going_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(folder, "-i", "-d", "100")
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "BUSY_TURN_SECONDS", 0.0)
    with Store(folder / "srtpgw.db") as store, store.change():
        assert typed(folder, "-export", "write", "-name", "out") == 0
    assert (folder.parent / "out").read_bytes() == b"octets"
    assert "WARNING: this is not in the audit log: " in capsys.readouterr().err
    assert len(audited(folder)) == 1


def interrupted_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """From now on an interrupt comes just before this step of a transaction."""
    real = getattr(Transaction, step)

    def interrupt(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        real(*given)

    monkeypatch.setattr(Transaction, step, interrupt)


@pytest.mark.parametrize("step", ["apply", "audit", "finish"])
def test_an_interrupt_once_it_is_decided_undoes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    interrupted_at(monkeypatch, step)
    before = signal.getsignal(signal.SIGINT)
    assert typed(folder, "-do", "write", "-name", "out") == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert list(stored(folder).extensions) == ["99"]
    assert [entry.result for entry in audited(folder)] == ["done"]
    assert (folder.parent / "out").read_bytes() == b"octets"


def test_an_interrupt_once_the_file_is_there_leaves_it_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(folder, "-i", "-d", "100")
    interrupted_at(monkeypatch, "audit")
    assert typed(folder, "-export", "write", "-name", "out") == 0
    assert [entry.result for entry in audited(folder)] == ["done", "done"]


def test_what_the_store_refuses_is_audited(folder: Path) -> None:
    assert typed(folder, "-do", "impossible", "-name", "out") == 1
    (entry,) = audited(folder)
    assert (entry.result, entry.lines) == (
        "failed", (f"{folder}/srtpgw.db cannot hold such a text or number; nothing was changed",)
    )  # fmt: skip


def test_an_unknown_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run("trial", [], lambda _state, _file: Place(folder, "srtpgw")) == 2
    assert capsys.readouterr().err.startswith(
        "srtpgw: trial: there is no such command; there are media_encryption_enable"
    )


def test_help_asks_for_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-c", "-h") == typed(folder, "--help", "nonsense") == 0
    told = capsys.readouterr().out
    assert told.startswith("Usage: trial -i -d NUMBER")
    assert "wiped from the process list" in told
    assert not folder.exists()


# --- JSON


def test_json_of_what_was_done_or_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("-i", "-d", "5"), ("-i", "-d", "5"), ("-set", "3", "--yes"), ("-do", "refuse"), ("-print",)):
        typed(folder, *words, "--json")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"done": ["5 is added."], "warnings": ["it is new"]},
        {"refused": ["5 exists."]},
        {"level": "3"},
        {"refused": ["NOT EXECUTED", "SO IT IS"]},
        ["5"],
    ]


def test_what_json_cannot_say_undoes_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-do", "unprintable", "--json") == 1
    assert "TypeError" in capsys.readouterr().err
    assert not stored(folder).extensions


# --- texts


def test_nothing_that_is_printed_moves_the_cursor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-do", "unprintable") == 0
    assert capsys.readouterr().out == "a\\x1b[2Jb\\nc\\u202ed\n"
    assert audited(folder)[0].lines == ("a\\x1b[2Jb\\nc\\u202ed",)


def test_an_audit_entry_is_one_line_and_bounded(folder: Path) -> None:
    typed(folder, "-i", "-d", "1", "--tag", "x\n2026-01-01 root done\x1b[1A", "--tag", "y" * 5000)
    (entry,) = audited(folder)
    assert entry.command.startswith("trial -i -d 1 --tag x\\n2026-01-01 root done\\x1b[1A --tag yyy")
    assert entry.command.isprintable()
    assert len(entry.command) == console.AUDIT_COMMAND_MAX


def test_escaping_keeps_to_its_limit() -> None:
    assert escaped("ab\x00\x9b\ud800é") == "ab\\x00\\x9b\\ud800é"
    assert escaped("abcdef", 5) == "ab..."
    assert escaped("abcde", 5) == "abcde"


def test_who_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "an\nna")
    expected = "an\\nna (uid 0)" if os.getuid() == 0 else f"(uid {os.getuid()})"
    assert user_name().endswith(expected)
    monkeypatch.delenv("SUDO_USER")
    assert "anna" not in user_name()


# --- secrets


def test_a_secret_comes_from_a_line_of_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (f"{PIN}\n", PIN, f"{PIN}\r\nmore\n"):
        answer(monkeypatch, line)
        assert typed(folder, "-c") == 0
    assert capsys.readouterr().out == "a code of 7 digits\n" * 3
    assert [entry.command for entry in audited(folder)] == ["trial -c"] * 3


def test_a_secret_of_the_command_line_is_nowhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-c", "--code", PIN) == 0
    assert typed(folder, "-c", f"--code={PIN}x") == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("a code of 7 digits\n", "srtpgw: trial: --code cannot be used\n")
    for path in folder.iterdir():
        assert PIN.encode() not in path.read_bytes()


@pytest.mark.parametrize("given", [b"", b"\n", b"\xff\xfe\n", b"7" * (SECRET_MAX + 1), b"x"])
def test_a_secret_that_cannot_be_one(folder: Path, monkeypatch: pytest.MonkeyPatch, given: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
    assert typed(folder, "-c") == 2
    assert not folder.exists()


def test_the_longest_secret(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, "7" * SECRET_MAX + "\n")
    assert typed(folder, "-c") == 0
    assert typed(folder, "-c", "--code", "7" * (SECRET_MAX + 1)) == 2
    assert f"longer than {SECRET_MAX} characters" in capsys.readouterr().err


# --- questions


def test_a_question_without_anybody_to_ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-set", "1") == 1
    assert capsys.readouterr().err == (
        "srtpgw: trial: There are 0 numbers: go on? Nothing was changed: there is nobody to ask; --yes says yes\n"
    )
    assert not stored(folder).settings
    assert typed(folder, "-set", "1", "--yes") == 0
    assert stored(folder).settings == {"level": "1"}


def test_yes_is_an_answer_to_the_question_that_was_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command changes the state while somebody thinks about the question: it is asked anew."""
    asked: list[str] = []

    def think(question: str) -> bool:
        asked.append(question)
        if len(asked) == 1:
            with Store(StateDirectory(folder).database) as store, store.change() as transaction:
                transaction.apply([Put(extension("7"))])
        return True

    monkeypatch.setattr(console, "on_terminal", lambda: True)
    monkeypatch.setattr(console, "ask_yes", think)
    assert typed(folder, "-set", "2") == 0
    assert asked == ["There are 0 numbers: go on?", "There are 1 numbers: go on?"]
    assert stored(folder).settings == {"level": "2"}


def test_a_state_that_never_rests_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 0

    def think(_: str) -> bool:
        nonlocal count
        count += 1
        return typed(folder, "-i", "-d", str(count)) == 0

    monkeypatch.setattr(console, "on_terminal", lambda: True)
    monkeypatch.setattr(console, "ask_yes", think)
    assert typed(folder, "-set", "2") == 1
    assert count == console.QUESTIONS_MAX
    assert "change too fast" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "meant"), [("yes\n", True), ("Y\n", True), ("no\n", False), ("", False), ("\n", False)]
)
def test_what_counts_as_yes(said: str, meant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, said)
    assert asking.ask_yes("go on?") is meant


# --- files


def test_a_file_is_written_once_for_its_owner(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = os.umask(0o277)
    try:
        assert typed(folder, "-do", "write", "-name", "out") == 0
    finally:
        os.umask(before)
    written = folder.parent / "out"
    assert written.read_bytes() == b"octets"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    written.write_bytes(b"mine")
    assert typed(folder, "-do", "write", "-name", "out") == 1
    assert capsys.readouterr().err == "srtpgw: trial: out is there already: name another file, or take it away\n"
    assert written.read_bytes() == b"mine"
    assert [entry.result for entry in audited(folder)] == ["done", "failed"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["out", "state"]


def test_a_file_is_on_the_disk_before_it_is_acknowledged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(folder, "-i", "-d", "100") == 0
    seen = watched(monkeypatch)
    assert typed(folder, "-do", "write", "-name", "out") == 0
    assert seen == [f"sync .out.{os.getpid()}.part", "name out", f"sync {folder.parent.name}"]


def test_a_file_that_is_not_read_back_as_it_was_written_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a disk that loses what it took."""
    monkeypatch.setattr(files, "sync_directory", lambda path: (path / "out").write_bytes(b"octet"))
    assert typed(folder, "-do", "write", "-name", "out") == 1
    assert "does not read back as it was written" in capsys.readouterr().err
    assert not (folder.parent / "out").exists()
    assert not stored(folder).extensions


def test_a_link_is_not_followed(folder: Path) -> None:
    (folder.parent / "out").symlink_to(folder.parent / "elsewhere")
    assert typed(folder, "-do", "write", "-name", "out") == 1
    assert not (folder.parent / "elsewhere").exists()
    assert not stored(folder).extensions


@pytest.mark.parametrize("name", ["missing/out", "\0", "x" * 300])
def test_a_file_that_cannot_be_written_undoes_all(folder: Path, name: str) -> None:
    assert typed(folder, "-do", "write", "-name", name) == 1
    assert not stored(folder).extensions
    assert [path.name for path in folder.parent.iterdir()] == ["state"]


def test_a_change_that_cannot_be_stored_leaves_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(folder, "-do", "impossible", "-name", "out") == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert [path.name for path in folder.parent.iterdir()] == ["state"]
    assert not stored(folder).extensions


def test_files_that_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "in").write_bytes(b"12345678")
    answer(monkeypatch, "piped")
    assert typed(folder, "-do", "read", "-f", "in") == typed(folder, "-do", "read", "-f", "-") == 0
    assert capsys.readouterr().out == "in: b'12345678'\nstandard input: b'piped'\n"
    reader, writer = os.pipe()
    os.write(writer, b"pipe")
    os.close(writer)
    assert typed(folder, "-do", "read", "-f", f"/dev/fd/{reader}") == 0
    os.close(reader)
    assert capsys.readouterr().out == f"/dev/fd/{reader}: b'pipe'\n"


def test_standard_input_is_for_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, f"{PIN}\n")
    assert typed(folder, "-do", "read", "-f", "-", "--code") == 2
    answer(monkeypatch, "piped")
    assert typed(folder, "-do", "read", "-f", "-", "--code", PIN) == 0


UNREADABLE = [
    ("missing", "missing: No such file or directory"),
    (".", ".: Is a directory"),
    ("/dev/zero", "/dev/zero: neither a file nor a pipe"),
    ("long", "long: longer than 8 octets"),
    ("a\0b", "a file's name that no file can have"),
]


@pytest.mark.parametrize(("name", "reason"), UNREADABLE)
def test_files_that_cannot_be_read(folder: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "long").write_bytes(b"123456789")
    assert typed(folder, "-do", "read", "-f", name) == 2
    assert reason in capsys.readouterr().err
    assert not folder.exists()


def test_every_option_reaches_the_effect(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def look(request: Request) -> Outcome:
        seen.append(dict(request.options))
        return Outcome()

    monkeypatch.setattr(trial, "add", look)
    typed(folder, "-i", "-d", "1", "--tag", "a", "--tag", "b", "-pair", "c", "d")
    typed(folder, "-i", "-d", "1", "-level", "high")
    assert seen == [
        trial.options(add=True, number="1", tags=("a", "b"), pair=("c", "d")),
        trial.options(add=True, number="1", level="high"),
    ]
