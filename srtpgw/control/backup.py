"""A backup: an SQLite file of the settings, with a trailer that any changed octet contradicts::

    +------------------------------+------------------+----------------------+-------------------+
    | SQLite database              | magic, 16 octets | HMAC-SHA-256, 32     | SHA-256 of all    |
    | (any SQLite tool reads it)   | with the format  | octets; 0: no secret | before, 32 octets |
    +------------------------------+------------------+----------------------+-------------------+

Rows are read from the store's online copy and written to a new database, so no octet of a removed row, a registration,
the audit log or a secret comes along in a free page. Its table ``backup`` says when and where it was written.

Under a passphrase, secrets are sealed for a key made from it (scrypt, RFC 7914), and the HMAC under a second key covers
all octets before it. Without one they are left out, and nothing proves who wrote the file: it must be kept like the
state directory, and what it would change is shown before it is restored.

A file to restore is hostile until read. The trailer and the versions are judged before SQLite sees an octet; its schema
must be ours to the letter (no trigger, view or further table); only known columns are read, by statements that may do
nothing else, with bounds on values, rows and work; and what was read goes through the constraints of a new database,
and then through ``row_checks``.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from srtpgw.control import schema
from srtpgw.control.model import Registration, Row, State
from srtpgw.control.restoring import rows_of
from srtpgw.control.row_checks import TIME_MAX, check
from srtpgw.control.rows import TABLES
from srtpgw.control.vault import KEY_LENGTH, Vault
from srtpgw.errors import BackupError

FORMAT: Final = 1
_MAGIC: Final = b"srtpgw backup "  # then the format, up to 16 octets
MAGIC_LENGTH: Final = 16
DIGEST_LENGTH: Final = 32  # octets: SHA-256
TRAILER_LENGTH: Final = MAGIC_LENGTH + 2 * DIGEST_LENGTH
UNAUTHENTICATED: Final = bytes(DIGEST_LENGTH)

FILE_MAX: Final = 128 << 20  # octets; 100,000 extensions with their codes take 40 MB
ROWS_MAX: Final = 1_000_000  # of one table
VALUE_MAX: Final = 4 << 20  # octets of one row
STEPS_MAX: Final = 1_000_000_000  # of SQLite's virtual machine: some seconds
STEPS_AT_ONCE: Final = 1_000_000
NAME_MAX: Final = 255  # characters of the host and the realm that wrote it

SALT_LENGTH: Final = 16  # octets
WORK: Final = 1 << 17  # scrypt's N: with r = 8 and p = 1, 128 MiB and about half a second for each passphrase tried
WORK_MIN, WORK_MAX = 1 << 14, 1 << 17
BLOCK_SIZE: Final = 8
PARALLEL: Final = 1
MEMORY_MAX: Final = 2 * 128 * BLOCK_SIZE * WORK_MAX  # octets

NOT_A_BACKUP: Final = "FILE IS NOT A BACKUP"
DAMAGED: Final = "BACKUP IS DAMAGED OR INCOMPLETE"
NEWER: Final = "BACKUP WAS WRITTEN BY A NEWER VERSION"
TOO_LARGE: Final = "BACKUP IS TOO LARGE"
CHANGED: Final = "BACKUP WAS CHANGED AFTER IT WAS WRITTEN"
WRONG_PASSPHRASE: Final = "PASSPHRASE IS WRONG"  # noqa: S105 - a text
NO_SECRETS: Final = "BACKUP HOLDS NO SECRETS, SO NO PASSPHRASE CAN PROVE IT"

# Where an SQLite file says what it is (https://www.sqlite.org/fileformat.html, 1.3).
_SQLITE: Final = b"SQLite format 3\0"
_HEADER_LENGTH: Final = 100
_JOURNAL: Final = slice(18, 20)  # 1: rollback journal, 2: write-ahead log
_USER_VERSION: Final = slice(60, 64)
_APPLICATION_ID: Final = slice(68, 72)

_TABLE: Final = (
    "CREATE TABLE backup (created REAL NOT NULL, host TEXT NOT NULL, realm TEXT NOT NULL, salt BLOB NOT NULL,"
    " work INTEGER NOT NULL) STRICT"
)
_READING: Final = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}
_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
# Never in a backup: who is logged on, the audit log, and the count of this store's commits.
_LEFT_OUT: Final = {TABLES[Registration].name, "audit", "revision"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where and when (seconds since the epoch, UTC) a backup was written. ``salt`` is empty where it holds no secrets;
    ``work`` is scrypt's N."""

    created: float
    host: str
    realm: str
    salt: bytes = b""
    work: int = 0


class Keys(NamedTuple):
    """What a passphrase opens."""

    vault: Vault
    authentication: bytes

    def __repr__(self) -> str:
        return "Keys(...)"


@dataclass(frozen=True, slots=True, repr=False)
class Backup:
    """A backup that was read. ``vault`` opens the secrets of its rows; None: they are out of reach."""

    manifest: Manifest
    rows: tuple[Row, ...]
    vault: Vault | None

    def __repr__(self) -> str:
        return f"Backup({self.manifest!r}, {len(self.rows)} rows)"


def state_in(database: bytes) -> State:
    """What a copy of the store holds, registrations aside; nothing where there is no store yet."""
    if not database:
        return State()
    with _memory() as connection:
        connection.deserialize(database)
        return _state(connection)


def derive(passphrase: str, salt: bytes, work: int) -> Keys:
    """The keys of a passphrase: characters that look the same are the same (NFC), however a keyboard makes them."""
    octets = hashlib.scrypt(
        unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass"),
        salt=salt,
        n=work,
        r=BLOCK_SIZE,
        p=PARALLEL,
        maxmem=MEMORY_MAX,
        dklen=KEY_LENGTH + DIGEST_LENGTH,
    )
    key = octets[:KEY_LENGTH]
    return Keys(Vault(lambda: key), octets[KEY_LENGTH:])


def new_salt() -> bytes:
    """For a manifest with secrets."""
    return secrets.token_bytes(SALT_LENGTH)


def checksum(octets: bytes) -> str:
    """What ``sha256sum`` prints for the file."""
    return hashlib.sha256(octets).hexdigest()


def write(rows: Iterable[Row], manifest: Manifest, keys: Keys | None = None) -> bytes:
    """The file's octets. The secrets of ``rows`` are sealed by ``keys`` already, or left out."""
    with _new(schema.VERSION) as connection:
        for row in rows:
            table = TABLES[type(row)]
            connection.execute(table.put, table.values(row))
        values = (manifest.created, manifest.host, manifest.realm, manifest.salt, manifest.work)
        connection.execute("INSERT INTO backup VALUES (?, ?, ?, ?, ?)", values)
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        body = connection.serialize() + _magic(FORMAT)
    proof = UNAUTHENTICATED if keys is None else hmac.digest(keys.authentication, body, "sha256")
    return body + proof + hashlib.sha256(body + proof).digest()


def read(octets: bytes, passphrase: str = "") -> Backup:
    """What a file holds, in the form of this version. BackupError, its text in the words for operators."""
    database = _judged(octets)
    version = int.from_bytes(database[_USER_VERSION], "big")
    try:
        with _memory() as source, _new(version) as fresh:
            source.deserialize(database)
            _restrict(source)
            if set(source.execute(_SCHEMA)) != set(fresh.execute(_SCHEMA)):
                raise BackupError(CHANGED)
            manifest = _manifest(source)
            keys = _unlocked(octets, manifest, passphrase)
            _copy(source, fresh)
            fresh.execute("COMMIT")
            fresh.executescript(schema.migration(version, schema.MIGRATIONS))
            if fresh.execute("PRAGMA foreign_key_check").fetchone():
                raise BackupError(CHANGED)
            rows = tuple(rows_of(_state(fresh)))
            for row in rows:
                check(row)
    except (sqlite3.Error, ValueError, OverflowError, RecursionError):
        # The digest is right, so it was not the way here that did it.
        raise BackupError(CHANGED) from None
    return Backup(manifest, rows, None if keys is None else keys.vault)


# --- the file, before SQLite sees it


def _magic(number: int) -> bytes:
    return (_MAGIC + str(number).encode()).ljust(MAGIC_LENGTH, b"\n")


def _judged(octets: bytes) -> bytes:
    """The database in it, whole and of a version that is known."""
    if len(octets) > FILE_MAX:
        raise BackupError(TOO_LARGE)
    database, trailer = octets[:-TRAILER_LENGTH], octets[-TRAILER_LENGTH:]
    ours = octets[_APPLICATION_ID] == schema.APPLICATION_ID.to_bytes(4, "big") and octets.startswith(_SQLITE)
    if not ours:
        raise BackupError(NOT_A_BACKUP)
    if not trailer.startswith(_MAGIC) or len(database) < _HEADER_LENGTH:
        raise BackupError(DAMAGED)
    if not hmac.compare_digest(hashlib.sha256(octets[:-DIGEST_LENGTH]).digest(), octets[-DIGEST_LENGTH:]):
        raise BackupError(DAMAGED)
    version = int.from_bytes(database[_USER_VERSION], "big")
    if not trailer.startswith(_magic(FORMAT)) or version > schema.VERSION:
        raise BackupError(NEWER)
    if version < 1 or database[_JOURNAL] != b"\1\1":
        raise BackupError(CHANGED)
    return database


def _unlocked(octets: bytes, manifest: Manifest, passphrase: str) -> Keys | None:
    """The keys, where a passphrase is given and proves the file."""
    if not passphrase:
        return None
    if not manifest.salt:
        raise BackupError(NO_SECRETS)
    keys = derive(passphrase, manifest.salt, manifest.work)
    body, proof = octets[: -2 * DIGEST_LENGTH], octets[-2 * DIGEST_LENGTH : -DIGEST_LENGTH]
    if not hmac.compare_digest(hmac.digest(keys.authentication, body, "sha256"), proof):
        raise BackupError(WRONG_PASSPHRASE)
    return keys


# --- databases in memory


@contextmanager
def _memory() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection


@contextmanager
def _new(version: int) -> Iterator[sqlite3.Connection]:
    """An empty database of a version, in a transaction."""
    with _memory() as connection:
        connection.executescript(schema.migration(0, schema.MIGRATIONS[:version]))
        connection.execute(_TABLE)
        connection.execute("BEGIN")
        yield connection


def _restrict(connection: sqlite3.Connection) -> None:
    """From now on it can only select, and not for long."""
    for limit, most in (
        (sqlite3.SQLITE_LIMIT_LENGTH, VALUE_MAX),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, VALUE_MAX),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    ):
        connection.setlimit(limit, most)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cell_size_check = ON")
    left = [STEPS_MAX // STEPS_AT_ONCE]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    connection.set_progress_handler(stop, STEPS_AT_ONCE)
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)


def _manifest(connection: sqlite3.Connection) -> Manifest:
    found = connection.execute("SELECT created, host, realm, salt, work FROM backup LIMIT 2").fetchall()
    if len(found) != 1:
        raise BackupError(CHANGED)
    if [type(value) for value in found[0]] != [float, str, str, bytes, int]:
        raise BackupError(CHANGED)
    created, host, realm, salt, work = found[0]
    sealed = len(salt) == SALT_LENGTH and WORK_MIN <= work <= WORK_MAX and work.bit_count() == 1
    texts = (host + realm).isprintable() and max(len(host), len(realm)) <= NAME_MAX
    if not (0 <= created <= TIME_MAX) or not texts or not (sealed or (salt, work) == (b"", 0)):
        raise BackupError(CHANGED)
    return Manifest(created=created, host=host, realm=realm, salt=salt, work=work)


def _copy(source: sqlite3.Connection, fresh: sqlite3.Connection) -> None:
    """Every row that belongs in a backup, through the constraints of the new database."""
    tables = [name for kind, name, *_ in fresh.execute(_SCHEMA).fetchall() if kind == "table"]
    for table in tables:
        if table in _LEFT_OUT or table == "backup":
            continue
        columns = [column[1] for column in fresh.execute(f'PRAGMA table_info("{table}")')]
        names, marks = ", ".join(f'"{column}"' for column in columns), ", ".join("?" * len(columns))
        # Names of our own schema.
        found = source.execute(f'SELECT {names} FROM "{table}"')  # noqa: S608
        fresh.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', _bounded(found))  # noqa: S608


def _bounded(rows: Iterable[Any]) -> Iterator[Any]:
    for count, row in enumerate(rows):
        if count >= ROWS_MAX:
            raise BackupError(TOO_LARGE)
        yield row


def _state(connection: sqlite3.Connection) -> State:
    tables = (table for row, table in TABLES.items() if row is not Registration)
    return State(**{table.state: table.read(connection.execute(table.select)) for table in tables})
