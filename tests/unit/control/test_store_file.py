"""The store's file: kept safely, brought up to date, copied; and one that is not good is refused by name."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from unit.control.requests import extension, state
from unit.control.stored_rows import EVERY_ROW, commit, entry, put, registration, same, sql

from srtpgw.control import store as store_module
from srtpgw.control.model import AuthorizationCode, Put, Remove, Setting, State
from srtpgw.control.schema import APPLICATION_ID, MIGRATIONS, VERSION
from srtpgw.control.store import Store, bring_up_to_date, empty_database
from srtpgw.errors import StoreError


def test_the_database_is_kept_safely(store: Store) -> None:
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0, "secure_delete": 1,
                "cell_size_check": 1, "application_id": APPLICATION_ID, "user_version": VERSION}  # fmt: skip
    found = {name: store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
    assert found == expected


@pytest.mark.parametrize("umask", [0, 0o777])
def test_nobody_else_may_read_the_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Store(tmp_path / "srtpgw.db") as store:
            commit(store, put(extension("1")))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["srtpgw.db", "srtpgw.db-wal", "srtpgw.db-shm"], 0o600)


def test_what_is_removed_leaves_no_octets(path: Path) -> None:
    secrets = [bytes([number]) * 24 for number in range(1, 40)]
    with Store(path) as store:
        commit(store, put(*(AuthorizationCode(str(n), "r", secret, b"") for n, secret in enumerate(secrets))))
        assert any(secrets[7] in file.read_bytes() for file in path.parent.iterdir())
        commit(store, [Remove(AuthorizationCode, str(n)) for n in range(0, len(secrets), 2)])
    octets = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert [secret in octets for secret in secrets] == [bool(n % 2) for n in range(len(secrets))]


FOREIGN: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is not a store of srtpgw"),
    ("text", b"SECURITY = enabled\n", "is not a store of srtpgw"),
    ("other", b"SQLite format 3\0" + bytes(4096), "is not a store of srtpgw"),
    ("torn", empty_database(wal=True)[:50], "is not a store of srtpgw"),
]


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(("octets", "text"), [case[1:] for case in FOREIGN], ids=[case[0] for case in FOREIGN])
def test_a_foreign_file_is_refused_and_not_touched(path: Path, octets: bytes, text: str, readonly: bool) -> None:
    path.write_bytes(octets)
    with pytest.raises(StoreError, match=text):
        Store(path, readonly=readonly)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == octets


def test_the_log_shrinks_once_a_slow_reader_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srtpgw.control.store.LOG_KEPT", 1 << 20)
    log = path.with_name(path.name + "-wal")
    with Store(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM revision").fetchall()
        for turn in range(150):  # of some 16 pages each; from 1,000 on SQLite looks whether the log can begin anew
            commit(store, [Put(Setting("direct-media", f"{turn:03}" * 20_000))])
        assert log.stat().st_size > 4 << 20
        reader.execute("COMMIT")
        for turn in range(3):
            commit(store, [Put(Setting("direct-media", str(turn)))])
        assert log.stat().st_size <= 1 << 20


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_refused(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    with pytest.raises(StoreError, match=r"not a store|link to nowhere"):
        Store(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("in_log", [False, True])
def test_a_newer_store_is_refused(path: Path, in_log: bool) -> None:
    """Also while the step to the newer version is still in the log, behind a header that does not know of it."""
    with Store(path) as newer:
        newer._connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        if in_log:
            with pytest.raises(StoreError, match="was written by a newer srtpgw"):
                Store(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="was written by a newer srtpgw: upgrade this one"):
        Store(path)
    assert path.read_bytes() == before


def test_an_older_store_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(path) as store:
        commit(store, put(extension("1")))
    steps = (*MIGRATIONS, "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;")
    monkeypatch.setattr(store_module, "VERSION", len(steps))
    monkeypatch.setattr(store_module.bring_up_to_date, "__defaults__", (steps,))
    with pytest.raises(StoreError, match="was written by an older srtpgw"):
        Store(path, readonly=True)
    with Store(path) as store:
        assert list(store.read().extensions) == ["1"]
    assert sql(path, "SELECT count(*) FROM later") == [(0,)]
    assert sql(path, "PRAGMA user_version") == [(len(steps),)]


def test_a_step_that_fails_leaves_nothing_of_itself() -> None:
    steps = (*MIGRATIONS, "CREATE TABLE first (id INTEGER);", "CREATE TABLE second (id INTEGER); SELECT nothing;")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            bring_up_to_date(connection, 0, steps)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(steps) - 1,)
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert "first" in found
    assert "second" not in found


@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_that_was_removed_takes_no_change(store: Store, path: Path, replaced: bool) -> None:
    commit(store, put(extension("1")))
    path.rename(path.with_name("aside"))
    if replaced:
        path.write_bytes(empty_database(wal=True))
    for use in (store.read, store.changed, store.change().__enter__):
        with pytest.raises(StoreError, match="was removed or replaced"):
            use()


# --- for one who only reads


def test_a_missing_store_reads_as_an_empty_one_and_is_not_made(path: Path) -> None:
    for place in (path, path.parent / "no directory" / "srtpgw.db"):
        with Store(place, readonly=True) as store:
            assert store.read() == State()
            assert store.audit(5) == ()
            store.check()
    assert list(path.parent.iterdir()) == []


def test_one_who_only_reads_changes_nothing(store: Store, path: Path) -> None:
    commit(store, put(extension("1")))
    with Store(path, readonly=True) as reader:
        with pytest.raises(StoreError), reader.change() as transaction:
            transaction.apply(put(extension("2")))
        assert reader.read() == store.read()


def test_a_copy_is_the_whole_store_of_one_commit(store: Store, tmp_path: Path) -> None:
    commit(store, put(*EVERY_ROW))
    with store.change() as transaction:
        transaction.audit(entry("data_backup"))
    octets = store.copy()
    commit(store, put(extension("2")))
    copied = tmp_path / "copied.db"
    copied.write_bytes(octets)
    with Store(copied) as other:
        other.check()
        assert same(other.read(), state(*EVERY_ROW))
        assert other.audit(1) == store.audit(1)
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.deserialize(octets)
        assert memory.execute("SELECT count(*) FROM extension").fetchone() == (1,)


# --- damage


def test_check_finds_a_reference_to_nothing(store: Store, path: Path) -> None:
    commit(store, put(extension("1"), registration("1/1", "1")))
    store.check()
    sql(path, "DELETE FROM extension")
    with pytest.raises(StoreError, match="is damaged: put a backup back"):
        store.check()


@pytest.mark.parametrize("text", ["[", "5", "[1]", '{"a": 1}', "[" * 99999])
def test_a_list_that_is_none_is_damage(path: Path, text: str) -> None:
    with Store(path) as store:
        commit(store, put(EVERY_ROW[6]))
    sql(path, f"UPDATE sip_route SET destinations = '{text}'")  # noqa: S608
    with Store(path) as store, pytest.raises(StoreError, match="is damaged"):
        store.read()


def test_damage_anywhere_gives_a_refusal_at_worst(path: Path) -> None:
    with Store(path) as store:
        commit(store, put(*EVERY_ROW, *(extension(str(number)) for number in range(200))))
    good = path.read_bytes()
    random_ = random.Random(5)
    used = [index for index, octet in enumerate(good) if octet]  # the rest is free space, where nothing is to be found
    refused = 0
    for _ in range(150):
        octets = bytearray(good)
        start = random_.choice(used)
        octets[start : start + 40] = random_.randbytes(len(octets[start : start + 40]))
        path.write_bytes(octets)
        for beside in path.parent.glob("*-*"):
            beside.unlink()
        try:
            with Store(path) as store:
                store.check()
                store.read()
                store.audit(5)
                commit(store, put(extension("3")))
        except StoreError:
            refused += 1
    assert refused > 30
