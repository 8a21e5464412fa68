"""The control module with 10,000 extensions and their authorization codes: a command as a whole process, and what of it
is the store's.

CPU time counts, of the quickest of several turns. Peers of the same turns: Python that starts and does nothing, and the
``sqlite3`` program that lists the same table in the same order.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from srtpgw.control.digest import seal_code
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import Extension, Put, SecurityPolicy
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault
from srtpgw.service.status import ask

from .cost import cost

EXTENSIONS = 10_000
FIRST = 10_000  # the number of the first
TURNS = 7
SELECT = "SELECT number, csp, lim, security_exception FROM extension ORDER BY CAST(number AS INTEGER), number"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> StateDirectory:
    made = StateDirectory(tmp_path_factory.mktemp("state"))
    vault = Vault(made.vault_key)
    numbers = [str(FIRST + number) for number in range(EXTENSIONS)]
    with Store(made.database) as store, store.change() as transaction:
        transaction.apply(Put(Extension(number, csp=1, lim=1, security_exception=False)) for number in numbers)
        transaction.apply(Put(seal_code(vault, number, "srtpgw", "4711")) for number in numbers)
    return made


@pytest.fixture
def store(state: StateDirectory) -> Iterator[Store]:
    with Store(state.database) as opened:
        yield opened


def cpu_ms(work: Callable[[], object]) -> float:
    """Of this process, and once."""
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1e3


def add(rows: Rows, what: str, ours: list[float], **others: list[float]) -> dict[str, Any]:
    least = min(ours)
    peers = {name.replace("_", " "): {"cpu_ms": min(each), "ratio": min(each) / least} for name, each in others.items()}
    row = {"table": "control", "what": what, "extensions": EXTENSIONS, "cpu_ms": least, "peers": peers}
    rows.append(row)
    return row


COMMANDS = [
    ("sec_policy", "-print"),
    ("extension", "-p"),
    ("extension", "-p", "-d", "12345"),
    ("extension", "-c", "-d", "12345", "--csp", "2"),
    ("auth_code", "-c", "-d", "12345", "--auth-code", "4712"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_command(rows: Rows, state: StateDirectory, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-P", "-m", "srtpgw.operator", *words, "--state-dir", str(state.path)]
    lister = shutil.which("sqlite3")
    ours, idle, theirs = [], [], []
    for _ in range(TURNS):
        found = cost(command)
        ours.append(found.cpu_s * 1e3)
        idle.append(cost([sys.executable, "-c", "pass"]).cpu_s * 1e3)
        if lister is not None and words == ("extension", "-p"):
            assert found.output.count(b"\n") == 1 + EXTENSIONS
            listed = cost([lister, str(state.database), SELECT])
            assert listed.output.count(b"\n") == EXTENSIONS
            theirs.append(listed.cpu_s * 1e3)
    row = add(rows, " ".join(words), ours, python=idle, **({"sqlite3": theirs} if theirs else {}))
    row["command_ms"] = row["cpu_ms"]


def await_answer(directory: Path) -> None:
    for _ in range(1000):
        if ask(directory) is not None:
            return
        time.sleep(0.02)
    pytest.fail("the gateway does not answer")


def test_start(rows: Rows, state: StateDirectory) -> None:
    """The gateway, from its start until it answers."""
    command = [sys.executable, "-P", "-m", "srtpgw.cli", "run", "--state-dir", str(state.path)]
    ours, idle = [], []
    for _ in range(TURNS):
        service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            await_answer(state.path)
            fields = Path(f"/proc/{service.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            ours.append((int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK"))  # proc(5): utime, stime
        finally:
            service.terminate()
            service.wait(timeout=30)
        idle.append(cost([sys.executable, "-c", "pass"]).cpu_s * 1e3)
    add(rows, "srtpgw run, until it answers", ours, python=idle)


def test_open(rows: Rows, state: StateDirectory) -> None:
    add(rows, "the store: open and close", [cpu_ms(lambda: Store(state.database).close()) for _ in range(TURNS)])


def test_read(rows: Rows, state: StateDirectory) -> None:
    """Everything, as a command does: the store knows nothing of it yet."""

    def read() -> float:
        with Store(state.database) as store:
            return cpu_ms(lambda: len(store.read().extensions) == EXTENSIONS or pytest.fail("not all"))

    ours = [read() for _ in range(TURNS)]
    add(rows, "the store: read everything", ours)


def test_change(rows: Rows, store: Store) -> None:
    def change(turn: int) -> None:
        with store.change() as transaction:
            transaction.apply([Put(Extension("12345", csp=turn, lim=1, security_exception=False))])

    add(rows, "the store: change one extension", [cpu_ms(partial(change, turn)) for turn in range(TURNS)])


def test_notice(rows: Rows, store: Store, state: StateDirectory) -> None:
    """What the running gateway does ten times a second, and what it does once something was changed."""
    polls = 1000
    store.read()
    looks = [cpu_ms(lambda: [store.changed() for _ in range(polls)]) / polls for _ in range(TURNS)]
    add(rows, "the store: look whether anything was changed", looks)
    told = []
    with Store(state.database) as other:
        for turn in range(TURNS):
            with other.change() as transaction:
                transaction.apply([Put(SecurityPolicy(1 if turn % 2 else 2))])
            told.append(cpu_ms(lambda: store.changed() or pytest.fail("not noticed")))
    add(rows, "the store: read the one table that another changed", told)
