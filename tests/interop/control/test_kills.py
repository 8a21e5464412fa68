"""Commands killed with SIGKILL at any moment: what was acknowledged is there, nothing is there by half, all goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from interop.control.children import PATIENCE_SECONDS, command_line, done, forked, operate, script
from support import FULL

from srtpgw.control.digest import ha1
from srtpgw.control.directory import StateDirectory
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault

ROUNDS = 500 if FULL else 10  # of either kind
AT_ONCE = 20  # extensions in one command, so that there are halves to be found
LAST_LINES = 32  # of a command: the commit, the answer, the end
ABOUT = ("store.py", "directory.py", "console.py")  # rows.py has more lines the more rows there are


class Ledger:
    """What must be in a store: every command that was acknowledged, and of the others all or nothing."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.numbers: set[str] = set()
        self.commands = 0

    def judge(self, numbers: list[str], *, acknowledged: bool) -> bool:
        """After a command that was to initiate these. Whether it was committed."""
        with Store(StateDirectory(self.state).database) as store:
            store.check()
            found = set(store.read().extensions)
            entries = store.audit(100_000)
        fresh = found - self.numbers
        assert self.numbers <= found, "what was acknowledged earlier is lost"
        assert fresh in (set(), set(numbers)), "half a command"
        assert fresh or not acknowledged, "what was acknowledged is lost"
        self.numbers = found
        self.commands += bool(fresh)
        assert len(entries) == self.commands, "changes without an entry in the audit log, or entries without a change"
        return bool(fresh)


def numbers_of(turn: int) -> list[str]:
    return [str(10_000 + turn * 100 + number) for number in range(AT_ONCE)]


def initiate(numbers: list[str]) -> list[str]:
    return ["extension", "-i", "-d", f"{numbers[0]}..{numbers[-1]}", "--csp", "1", "--lim", "1"]


def at_each_line(act: Callable[[int], None]) -> None:
    """From now on, before each line that has to do with the store: act, with the number of the line."""
    count = 0

    def each_line(_: FrameType, event: str, __: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            act(count)
        return each_line

    def each_call(frame: FrameType, *_: object) -> Any:
        path = frame.f_code.co_filename
        return each_line if "/control/" in path and path.endswith(ABOUT) else None

    sys.settrace(each_call)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(line: int, state: Path, words: list[str]) -> bool:
    """Run a command that dies before this line. Whether it had said something by then."""

    def work() -> int:
        at_each_line(lambda count: die() if count == line else None)
        return operate(state, *words)

    with forked(work) as child:
        ended = child.wait()
    assert ended.status == -signal.SIGKILL, ended
    return bool(ended.out)


def count_lines(state: Path, words: list[str]) -> int:
    """How many lines of ours a command goes through."""
    counted = [0]

    def note(count: int) -> None:
        counted[0] = count

    def work() -> int:
        at_each_line(note)
        status = operate(state, *words)
        sys.settrace(None)
        print(f"lines: {counted[0]}")
        return status

    with forked(work) as child:
        ended = child.wait()
    assert ended.status == 0, ended
    return int(ended.out.rsplit("lines: ", 1)[1])


def test_killed_at_any_line(tmp_path: Path) -> None:
    random_ = random.Random(5)
    ledger = Ledger(tmp_path)
    done(tmp_path, *initiate(numbers_of(0)))
    ledger.judge(numbers_of(0), acknowledged=True)
    lines = count_lines(tmp_path, initiate(numbers_of(1)))
    ledger.judge(numbers_of(1), acknowledged=True)
    committed = 0
    for turn in range(2, ROUNDS + 2):
        # Every other time where the commit and the answer are.
        line = random_.randrange(1, lines) if turn % 2 else lines - random_.randrange(LAST_LINES)
        said = killed_at(line, tmp_path, initiate(numbers_of(turn)))
        committed += ledger.judge(numbers_of(turn), acknowledged=said)
    assert 0 < committed < ROUNDS, "the kills came all too early, or all too late"
    assert script(tmp_path, *initiate(numbers_of(ROUNDS + 2))).status == 0
    ledger.judge(numbers_of(ROUNDS + 2), acknowledged=True)


def test_the_first_use_killed_at_any_line(tmp_path: Path) -> None:
    """Also while the directory, the database and the key file are made."""
    random_ = random.Random(6)
    words = ["auth_code", "-i", "-d", "100", "--auth-code", "4711"]
    lines = count_lines(tmp_path / "whole", words)
    for turn in range(ROUNDS):
        state = tmp_path / str(turn)
        acknowledged = killed_at(random_.randrange(1, lines), state, words)
        done(state, "auth_code", "-p")
        place = StateDirectory(state)
        with Store(place.database) as store:
            store.check()
            found = store.read().authorization_codes
        assert list(found) in ([], ["100"])
        assert found or not acknowledged, "what was acknowledged is lost"
        if found:  # it opens with the key that is there
            assert len(ha1(Vault(place.vault_key), found["100"], "SHA-256")) == 64
        done(state, "auth_code", "-i", "-d", "200", "--auth-code", "4711")
        assert {each.name for each in state.iterdir()} == {"srtpgw.db", "vault.key"}


@contextmanager
def started(state: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command_line(state, *words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_console_scripts_killed_at_any_moment(tmp_path: Path) -> None:
    random_ = random.Random(7)
    ledger = Ledger(tmp_path)
    begun = time.monotonic()
    assert script(tmp_path, *initiate(numbers_of(0))).status == 0
    whole = time.monotonic() - begun
    ledger.judge(numbers_of(0), acknowledged=True)
    for turn in range(1, ROUNDS + 1):
        with started(tmp_path, *initiate(numbers_of(turn))) as process:
            time.sleep(random_.uniform(whole / 3, whole * 1.2))  # before that Python has not even begun with ours
            process.kill()
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        ledger.judge(numbers_of(turn), acknowledged=bool(said))
    assert script(tmp_path, *initiate(numbers_of(ROUNDS + 1))).status == 0
    ledger.judge(numbers_of(ROUNDS + 1), acknowledged=True)


@pytest.mark.parametrize("turn", range(2))
def test_killed_at_the_first_octet_of_its_answer(tmp_path: Path, turn: int) -> None:
    ledger = Ledger(tmp_path)
    with started(tmp_path, *initiate(numbers_of(turn))) as process:
        assert process.stdout is not None
        said = process.stdout.read(1)
        process.kill()
    assert said
    ledger.judge(numbers_of(turn), acknowledged=True)


def test_who_is_killed_with_the_write_lock_keeps_nobody_waiting(tmp_path: Path) -> None:
    def work() -> None:
        with Store(StateDirectory(tmp_path).database) as store, store.change():
            die()

    with forked(work) as child:
        assert child.wait().status == -signal.SIGKILL
    done(tmp_path, *initiate(numbers_of(0)))
