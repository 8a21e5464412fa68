"""The store of settings: one SQLite file, the only source of truth, shared by every command and the running gateway.

Readers get a State of one commit, which never changes. Who changes holds SQLite's write lock from before the state is
read until the commit, so that nothing is decided on a state that is gone. In WAL mode readers wait for nobody, and with
``synchronous=FULL`` a commit is on disk before it returns (https://www.sqlite.org/wal.html).

A file that is not ours, or newer than we know, is told by its first octets and never opened.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from srtpgw.control import directory
from srtpgw.control.model import AuditEntry, Change, Put, Row, State
from srtpgw.control.rows import TABLES
from srtpgw.control.schema import APPLICATION_ID, MIGRATIONS, VERSION, migration
from srtpgw.errors import StoreError

BUSY_SECONDS: Final = 10.0  # how long a change waits for those before it
BUSY_TURN_SECONDS: Final = 0.25  # SQLite waits this long at a time; in between a signal is heard
AUDIT_ENTRIES_MAX: Final = 100_000
AUDIT_TEXT_MAX: Final = 4096  # characters of what one entry says
VALUE_MAX: Final = 16 << 20  # octets
LOG_KEPT: Final = 8 << 20  # octets that SQLite's log keeps on the disk once a reader who held it up is gone

_INSERT_AUDIT: Final = "INSERT INTO audit (time, user, command, result, lines) VALUES (?, ?, ?, ?, ?)"
_HEADER: Final = 100  # octets: https://www.sqlite.org/fileformat.html, section 1.3
_MAGIC: Final = b"SQLite format 3\0"
_JOURNAL_AT: Final = slice(18, 20)  # write and read version: 1 a rollback journal, 2 WAL
_VERSION_AT: Final = slice(60, 64)
_APPLICATION_AT: Final = slice(68, 72)

_DAMAGED: Final = "is damaged: put a backup back with data_restore into a new --state-dir"
_FULL: Final = "cannot be written, the disk is full: make room, then run this again; nothing was changed"
_FAULTS: Final = {
    sqlite3.SQLITE_BUSY: "is busy: other commands are changing it; run this again; nothing was changed",
    sqlite3.SQLITE_LOCKED: "is busy: other commands are changing it; run this again; nothing was changed",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,
    sqlite3.SQLITE_READONLY: "cannot be written: the medium is read-only, or permission is missing",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: it is missing, on a read-only medium, or permission is missing",
    sqlite3.SQLITE_PERM: "cannot be opened: permission is missing",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error; nothing was changed",
    sqlite3.SQLITE_NOMEM: "cannot be read: memory is short",
}
_Result = TypeVar("_Result")
_NO_WRITING: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_NO_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


class Store:
    """An open store. ``readonly``: for one who only reads; nothing is made or brought up to date then, a missing
    database reads as an empty one, and a medium that cannot be written is no obstacle.

    Every method raises StoreError, and then nothing was changed. To be used by one thread.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        self._known: dict[type[Row], tuple[int, Any]] = {}  # per table: revision, and what a State has of it
        self._revision = 0  # of the last snapshot
        with self._faults():
            if not readonly:
                directory.make_once(path, lambda: empty_database(wal=True))
            self._identity = self._look()
            if self._identity is None and not readonly:
                raise StoreError(f"{path} is a link to nowhere, or was removed just now: look, then run this again")
            self._connection = _patiently(lambda: _connect(path, readonly=readonly, missing=self._identity is None))
            try:
                self._upgrade(readonly=readonly)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        with self._faults():
            self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading

    def read(self) -> State:
        """Everything, as of one commit."""
        with self._faults():
            self._still_there()
            state = _patiently(self._read)
            self._revision = state.revision
            return state

    def changed(self) -> State | None:
        """Everything, if it was changed since the last reading by whomever; else None. Costs microseconds then."""
        with self._faults():
            self._still_there()
            if _patiently(self._newest) == self._revision:
                return None
        return self.read()

    def audit(self, count: int) -> tuple[AuditEntry, ...]:
        """The newest entries of the audit log, in the order they were made."""
        with self._faults():
            found = self._connection.execute(
                "SELECT time, user, command, result, lines FROM audit ORDER BY id DESC LIMIT ?", (max(0, count),)
            ).fetchall()
            return tuple(_audit_entry(*values) for values in reversed(found))

    def copy(self) -> bytes:
        """The whole database, of one commit, as the octets of a file (SQLite's online backup)."""
        with self._faults():
            memory = sqlite3.connect(":memory:")
            try:
                self._connection.backup(memory)
                octets = bytearray(memory.serialize())
            finally:
                memory.close()
            octets[_JOURNAL_AT] = b"\x01\x01"  # so that it opens anywhere, also in memory
            return bytes(octets)

    def check(self) -> None:
        """Look at every page, index and reference."""
        with self._faults():
            found = [str(line) for (line,) in self._connection.execute("PRAGMA integrity_check(5)")]
            dangling = self._connection.execute("PRAGMA foreign_key_check").fetchmany(5)
        if found != ["ok"] or dangling:
            raise StoreError(f"{self.path} {_DAMAGED}")

    # -- changing

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """A transaction: alone among the writers of all processes, and committed, on disk, at the end of the block.

        An exception in the block, or of the commit, leaves nothing of it.
        """
        with self._faults():
            self._still_there()
            _patiently(lambda: self._connection.execute("BEGIN IMMEDIATE"))
        transaction = Transaction(self)
        try:
            yield transaction
            with self._faults():
                transaction.finish()
                self._connection.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    # -- inside

    def _read(self) -> State:
        self._connection.execute("BEGIN")
        try:
            return self._snapshot()
        finally:
            self._rollback()

    def _snapshot(self, touched: frozenset[type[Row]] = frozenset()) -> State:
        """The State as this transaction sees it. Tables that did not change since they were read are not read again;
        those it has touched itself are, and are not remembered, as it may yet fail."""
        revisions = dict(self._connection.execute("SELECT name, number FROM revision"))
        values = {}
        for row, table in TABLES.items():
            revision = revisions.get(table.name, 0)
            known = self._known.get(row)
            if row not in touched and known is not None and known[0] == revision:
                values[table.state] = known[1]
                continue
            value = values[table.state] = table.read(self._connection.execute(table.select))
            if row not in touched:
                self._known[row] = revision, value
        return State(revision=max(revisions.values(), default=0), **values)

    def _newest(self) -> int:
        (number,) = self._connection.execute("SELECT max(number) FROM revision").fetchone()
        return number or 0

    def _look(self) -> tuple[int, int] | None:
        """Which file it is, and that it is ours; None where there is none. Nothing is opened by SQLite before."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(handle)
            head = os.read(handle, _HEADER) if stat.S_ISREG(status.st_mode) else b""
        finally:
            os.close(handle)
        if head[: len(_MAGIC)] != _MAGIC or head[_APPLICATION_AT] != APPLICATION_ID.to_bytes(4, "big"):
            raise StoreError(f"{self.path} is not a store of srtpgw: choose another place with --state-dir")
        self._check_version(int.from_bytes(head[_VERSION_AT], "big"))
        return status.st_dev, status.st_ino

    def _still_there(self) -> None:
        """A change of a file that was removed, or put aside, would be acknowledged and lost."""
        if self._identity is None:
            return
        with suppress(FileNotFoundError):
            status = self.path.stat()
            if self._identity == (status.st_dev, status.st_ino):
                return
        raise StoreError(f"{self.path} was removed or replaced while in use: start again")

    def _check_version(self, version: int) -> None:
        if version > VERSION:
            raise StoreError(f"{self.path} was written by a newer srtpgw: upgrade this one")

    def _upgrade(self, *, readonly: bool) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version < VERSION and readonly:
            raise StoreError(f"{self.path} was written by an older srtpgw: run a command that changes something first")
        if version < VERSION:
            _patiently(self._take_steps)
        self._check_version(version)

    def _take_steps(self) -> None:
        with directory.locked(self.path.parent):
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            bring_up_to_date(self._connection, version)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} {_fault(error)}") from None
        except OSError as error:
            raise directory.fault(self.path, error) from None
        except (UnicodeEncodeError, OverflowError):
            raise StoreError(f"{self.path} cannot hold such a text or number; nothing was changed") from None
        except (ValueError, RecursionError):  # what is stored is no row
            raise StoreError(f"{self.path} {_DAMAGED}") from None


class Transaction:
    """What ``Store.change`` gives: ``state`` is what it sees, its own changes included."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._touched: set[type[Row]] = set()
        self._state: State | None = None

    @property
    def state(self) -> State:
        if self._state is None:
            with self._store._faults():
                self._state = self._store._snapshot(frozenset(self._touched))
        return self._state

    def apply(self, changes: Iterable[Change]) -> None:
        """Carry out changes, in order."""
        with self._store._faults():
            for change in changes:
                self._apply(change)
        self._state = None

    def audit(self, entry: AuditEntry) -> None:
        """Note what was done. The oldest entries go, so that the log is bounded. Wakes nobody up."""
        command = _encodable(entry.command[:AUDIT_TEXT_MAX])
        values = (entry.time, _encodable(entry.user), command, entry.result, json.dumps(_shortened(entry)))
        with self._store._faults():
            made = self._execute(_INSERT_AUDIT, values)
            assert made.lastrowid is not None
            self._execute("DELETE FROM audit WHERE id <= ?", (made.lastrowid - AUDIT_ENTRIES_MAX,))

    def finish(self) -> None:
        """Give the tables that were changed the number of this commit."""
        number = self._store._newest() + 1
        for row in self._touched:
            self._execute(
                "INSERT INTO revision (name, number) VALUES (?, ?) ON CONFLICT DO UPDATE SET number = excluded.number",
                (TABLES[row].name, number),
            )

    def _apply(self, change: Change) -> None:
        if isinstance(change, Put):
            table = TABLES[type(change.row)]
            self._execute(table.put, table.values(change.row))
            self._touched.add(table.row)
        else:
            table = TABLES[change.table]
            self._execute(table.remove, (change.key,))
            self._touched.update((table.row, *table.cascade))

    def _execute(self, text: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        return self._store._connection.execute(text, values)


def _patiently(action: Callable[[], _Result]) -> _Result:
    """Again and again while others are in the way, as long as a change may wait."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if _code(error) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise


def empty_database(*, wal: bool) -> bytes:
    """A database without rows, as the octets of a file."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    try:
        bring_up_to_date(memory, 0)
        octets = bytearray(memory.serialize())
    finally:
        memory.close()
    if wal:
        octets[_JOURNAL_AT] = b"\x02\x02"
    return bytes(octets)


def bring_up_to_date(connection: sqlite3.Connection, version: int, steps: tuple[str, ...] = MIGRATIONS) -> None:
    """Carry out the steps of the schema that a database of this version lacks."""
    try:
        connection.executescript(migration(version, steps))
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _connect(path: Path, *, readonly: bool, missing: bool) -> sqlite3.Connection:
    if missing:
        memory = sqlite3.connect(":memory:", isolation_level=None)
        bring_up_to_date(memory, 0)
        return memory
    try:
        return _opened(path, "mode=rw", readonly=readonly)
    except sqlite3.OperationalError as error:
        if readonly and _code(error) & 0xFF in _NO_WRITING and _unwritable(path) and not _log(path):
            # Nobody can be writing, and there is no log to be read with it.
            return _opened(path, "mode=ro&immutable=1", readonly=True)
        if readonly and _code(error) in _NO_ROOM:
            # No room for the index of the log: it can be kept in memory by one who is alone.
            return _opened(path, "mode=rw", readonly=True, alone=True)
        raise


def _opened(path: Path, mode: str, *, readonly: bool, alone: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None, timeout=BUSY_TURN_SECONDS
    )
    try:
        if alone:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # A file that someone else prepared runs nothing here; what is removed is overwritten.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_KEPT}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_MAX)
        if readonly:
            connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM revision").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _unwritable(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) or not os.access(path.parent, os.W_OK)


def _log(path: Path) -> int:
    """Octets of the log beside the database."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except OSError as error:
        if error.errno == errno.ENOENT:
            return 0
        raise


def _code(error: sqlite3.Error) -> int:
    """SQLite's extended result code; 0 for what the library's wrapper says by itself."""
    return int(getattr(error, "sqlite_errorcode", 0))


def _fault(error: sqlite3.Error) -> str:
    code = _code(error)
    text = _FAULTS.get(code) or _FAULTS.get(code & 0xFF)
    # What SQLite itself says of the rest names tables and columns, and no value.
    return text or f"refuses this: {error}; nothing was changed"


def _encodable(text: str) -> str:
    """The text with what UTF-8 has no octets for (of a command line that was not UTF-8) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _shortened(entry: AuditEntry) -> list[str]:
    """The lines of an entry, as many as are kept."""
    kept: list[str] = []
    left = AUDIT_TEXT_MAX
    for line in entry.lines:
        if len(line) >= left:
            kept.append(f"({len(entry.lines) - len(kept)} more)")
            break
        left -= len(line) + 1
        kept.append(line)
    return kept


def _audit_entry(moment: float, user: str, command: str, result: Any, lines: str) -> AuditEntry:
    return AuditEntry(time=moment, user=user, command=command, result=result, lines=tuple(json.loads(lines)))
