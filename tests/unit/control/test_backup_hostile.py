"""Files that are no backup, were torn or changed on the way, or were made to do harm: each is refused in its own words,
and nothing is changed."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from support import FULL
from unit.control.backups import (
    PASSPHRASE,
    backed_up,
    content_of,
    database,
    restored,
    rows,
    sealed_up,
    tampered,
    whole,
)

from srtpgw.control import backup, schema
from srtpgw.control.commands.backup import NEXT
from srtpgw.control.model import Extension, Setting
from srtpgw.errors import BackupError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases of tests need no work."""
    monkeypatch.setattr(backup, "WORK", 2)
    monkeypatch.setattr(backup, "WORK_MIN", 2)


@pytest.fixture(scope="module")
def plain() -> bytes:
    return backed_up(rows())


def refusal(octets: bytes, passphrase: str = "") -> str:
    """Why a file is refused; nothing is changed by it."""
    options: dict[str, Any] = {"passphrase": passphrase} if passphrase else {}
    outcome = restored(whole(), octets, **options)
    assert outcome.refused, outcome.lines
    assert outcome.changes == ()
    first, reason, then = outcome.lines
    assert (first, then) == ("NOT EXECUTED", NEXT[reason])
    return reason


# --- torn and changed


def test_a_changed_octet_is_found_wherever_it_is(plain: bytes) -> None:
    chosen = random.Random(1)
    places = range(len(plain)) if FULL else {*range(100), *range(len(plain) - 100, len(plain)),
                                             *(chosen.randrange(len(plain)) for _ in range(300))}  # fmt: skip
    for place in places:
        flipped = bytearray(plain)
        flipped[place] ^= 1 << chosen.randrange(8)
        with pytest.raises(BackupError):
            backup.read(bytes(flipped))


def test_a_file_that_was_cut_is_told_to_be_incomplete(plain: bytes) -> None:
    for length in (0, 1, 71, 72, 99, 100, 179, 180, 4096, len(plain) // 2, len(plain) - 33, len(plain) - 1):
        assert refusal(plain[:length]) == (backup.NOT_A_BACKUP if length < 72 else backup.DAMAGED)
    assert refusal(plain + b"\0") == backup.DAMAGED
    assert refusal(plain[:4096] + plain[8192:]) == backup.DAMAGED


def test_foreign_files_are_no_backup() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE setting (name, text)")
        foreign = bytes(connection.serialize())
    for octets in (b"", b"\0" * 500, b"\x89PNG\r\n\x1a\n" * 99, b"PK\3\4" + bytes(200), foreign, sealed_up(foreign)):
        assert refusal(octets) == backup.NOT_A_BACKUP
    assert refusal(database(rows())) == backup.DAMAGED  # the store itself: not complete without what data_backup adds


def test_newer_versions_are_told(plain: bytes) -> None:
    assert refusal(tampered(plain, f"PRAGMA user_version = {schema.VERSION + 1}")) == backup.NEWER
    assert refusal(sealed_up(content_of(plain), magic=b"srtpgw backup 2\n")) == backup.NEWER
    assert refusal(sealed_up(content_of(plain), magic=b"srtpgw backup 10")) == backup.NEWER
    assert refusal(tampered(plain, "PRAGMA user_version = 0")) == backup.CHANGED
    assert refusal(tampered(plain, "PRAGMA user_version = -1")) == backup.NEWER


def test_a_file_that_is_too_large_is_not_read(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "FILE_MAX", len(plain) - 1)
    assert refusal(plain) == backup.TOO_LARGE


# --- the passphrase


def test_a_wrong_passphrase_opens_nothing(plain: bytes) -> None:
    full = backed_up(rows(), passphrase=PASSPHRASE)
    assert refusal(full, PASSPHRASE + " ") == backup.WRONG_PASSPHRASE
    assert refusal(plain, PASSPHRASE) == backup.NO_SECRETS
    assert not restored(whole(), full).refused  # without one, all but the secrets


TAMPERED = [
    "UPDATE extension SET security_exception = 1",
    "DELETE FROM authorization_code WHERE number = '100'",
    "UPDATE backup SET host = 'other'",
    "UPDATE backup SET salt = x'000102030405060708090a0b0c0d0e0f'",
    "UPDATE backup SET work = 4",
]


@pytest.mark.parametrize("statement", TAMPERED)
def test_what_is_under_a_passphrase_cannot_be_changed(statement: str) -> None:
    octets = tampered(backed_up(rows(), passphrase=PASSPHRASE), statement)
    assert refusal(octets, PASSPHRASE) == backup.WRONG_PASSPHRASE


def test_no_file_asks_for_more_work_than_ours_do() -> None:
    full = backed_up(rows(), passphrase=PASSPHRASE)
    for work in (0, 1, 3, 1 << 18, 1 << 40, -2):
        assert refusal(tampered(full, f"UPDATE backup SET work = {work}"), PASSPHRASE) == backup.CHANGED  # noqa: S608 - a test
    for salt in ("x''", "x'00'", "zeroblob(1000000)"):
        assert refusal(tampered(full, f"UPDATE backup SET salt = {salt}"), PASSPHRASE) == backup.CHANGED  # noqa: S608 - a test


# --- made by hand

SCHEMAS = [
    "CREATE TRIGGER t AFTER INSERT ON setting BEGIN DELETE FROM extension; END",
    "CREATE VIEW v AS SELECT * FROM setting",
    "CREATE TABLE further (x)",
    "CREATE INDEX i ON setting (text)",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "DROP TABLE setting; CREATE VIEW setting AS SELECT 'direct-media' AS name, 'on' AS text",
    "DROP TABLE setting; CREATE TABLE setting (name, text)",
    "DROP TABLE backup",
    "DROP TABLE backup; CREATE TABLE backup (created, host, realm, salt, work)",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE backup (x)' WHERE name = 'backup'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'not SQL' WHERE name = 'setting'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'setting'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2000000000 WHERE name = 'setting'",
]  # fmt: skip

ROWS = [
    "INSERT INTO backup SELECT * FROM backup",
    "DELETE FROM backup",
    "UPDATE backup SET created = 9e999",
    "UPDATE backup SET created = -1.0",
    "UPDATE backup SET host = char(27) || '[2J'",
    "UPDATE backup SET realm = hex(zeroblob(1000))",
    "UPDATE setting SET name = 'no-such-setting' WHERE name = 'lockout-time'",
    "UPDATE setting SET text = 'maybe'",
    "UPDATE setting SET text = 'off' || char(0)",
    "UPDATE setting SET text = CAST(x'ff' AS TEXT)",
    "PRAGMA ignore_check_constraints = ON; UPDATE extension SET number = '1' || char(0) || 'x' WHERE number = '100'",
    "PRAGMA ignore_check_constraints = ON; UPDATE extension SET number = '../../etc' WHERE number = '100'",
    "PRAGMA ignore_check_constraints = ON; UPDATE extension SET number = hex(zeroblob(20)) WHERE number = '100'",
    "PRAGMA ignore_check_constraints = ON; UPDATE extension SET lim = -1",
    "UPDATE extension SET lim = 9223372036854775807",
    "PRAGMA ignore_check_constraints = ON; UPDATE security_policy SET number = 4",
    "PRAGMA ignore_check_constraints = ON; UPDATE media_encryption SET type = 'all' WHERE type = 'route'",
    "PRAGMA ignore_check_constraints = ON; UPDATE media_encryption SET enabled = 7",
    "UPDATE authorization_code SET md5 = x''",
    "PRAGMA ignore_check_constraints = ON; UPDATE authorization_code SET md5 = zeroblob(200000)",
    "UPDATE authorization_code SET realm = 'a\"b'",
    "UPDATE realm SET name = 'a:b'",
    "UPDATE sip_route SET proxyip = 'not a host'",
    "UPDATE sip_route SET route = 1000",
    "UPDATE sip_route SET destinations = '{}'",
    "UPDATE sip_route SET destinations = '[1]'",
    "UPDATE sip_route SET destinations = '[\"00; DROP\"]'",
    "PRAGMA ignore_check_constraints = ON; UPDATE sip_route SET destinations = '['",
    "UPDATE sip_route SET match = '[\"none\"]'",
    "UPDATE sip_route SET username = ''",
    "UPDATE sip_route SET password = zeroblob(100000)",
    "UPDATE sip_route SET protocol = 'udp'",
    "UPDATE h323_route SET address = 'name.example'",
    "UPDATE h323_route SET destinations = '[\"00&01\"]'",
    "UPDATE h323_route SET match = '[\"none\"]'",
    "UPDATE h323_route SET tls = 0",
    "UPDATE license SET document = x'00'",
    "UPDATE license SET document = zeroblob(3000000)",
    "UPDATE license SET serial = 'ffffffffffffffff'",
    "UPDATE license SET installed = 9e999",
    "UPDATE certificate SET chain = ''",
    "UPDATE certificate SET chain = chain || 'and more'",
    "UPDATE certificate SET key = x''",
    "UPDATE certificate SET role = 'trusted', key = key",
    "UPDATE certificate SET name = name || char(10)",
]  # fmt: skip


@pytest.mark.parametrize("statement", [*SCHEMAS, *ROWS])
def test_what_no_version_writes_is_refused(plain: bytes, statement: str) -> None:
    """With a digest that fits, as whoever changes a file by hand would make it."""
    try:
        octets = tampered(plain, statement)
    except sqlite3.IntegrityError:
        octets = tampered(plain, "PRAGMA ignore_check_constraints = ON;" + statement)
    assert octets != plain
    assert refusal(octets) == backup.CHANGED


def test_what_does_not_belong_in_a_backup_is_not_restored(plain: bytes) -> None:
    octets = tampered(
        plain,
        "INSERT INTO audit (time, user, command, result, lines) VALUES (1, 'forged', 'x', 'done', '[]')",
        "INSERT INTO revision VALUES ('setting', 999999)",
    )
    outcome = restored(whole(), octets)
    assert (outcome.refused, outcome.changes) == (False, ())


def test_more_rows_than_a_table_may_have(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "ROWS_MAX", 2)
    assert refusal(plain) == backup.TOO_LARGE


def test_a_value_that_is_too_long(plain: bytes) -> None:
    octets = tampered(plain, f"UPDATE certificate SET chain = hex(zeroblob({backup.VALUE_MAX}))")  # noqa: S608 - a test
    assert refusal(octets) == backup.CHANGED


def _page_of(octets: bytes, table: str) -> int:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(content_of(octets))
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    return int(page)


def _looped(octets: bytes, children: int) -> bytes:
    """The table setting, its root an inner page whose children are all the root itself: a tree of trees of trees
    (https://www.sqlite.org/fileformat.html, section 1.6)."""
    content = bytearray(content_of(octets))
    root = _page_of(octets, "setting")
    size = int.from_bytes(content[16:18], "big")
    page = bytearray(size)
    page[0] = 5  # inner page of a table
    page[3:5] = children.to_bytes(2, "big")
    start = size - 8 * children
    page[5:7] = start.to_bytes(2, "big")
    page[8:12] = root.to_bytes(4, "big")
    for number in range(children):
        cell = start + 8 * number
        page[12 + 2 * number : 14 + 2 * number] = cell.to_bytes(2, "big")
        page[cell : cell + 4] = root.to_bytes(4, "big")
        page[cell + 4] = number
    content[(root - 1) * size : root * size] = page
    return sealed_up(bytes(content))


def _doubled(octets: bytes, levels: int) -> bytes:
    """A tree of so many levels, each page twice the child of the one above: 2**levels rows in a few pages."""
    content = bytearray(content_of(octets))
    root = _page_of(octets, "extension")
    size = int.from_bytes(content[16:18], "big")
    leaf = content[(root - 1) * size : root * size]
    first = len(content) // size + 1
    content += leaf
    child = first
    for level in range(levels):
        page = bytearray(size)
        page[0], page[4] = 5, 1
        page[5:7] = (size - 8).to_bytes(2, "big")
        page[8:12] = page[size - 8 : size - 4] = child.to_bytes(4, "big")
        page[12:14] = (size - 8).to_bytes(2, "big")
        page[size - 4] = 1
        if level == levels - 1:
            content[(root - 1) * size : root * size] = page
        else:
            content += page
            child = len(content) // size
    content[28:32] = (len(content) // size).to_bytes(4, "big")
    return sealed_up(bytes(content))


BOMBS: list[Callable[[bytes], bytes]] = [lambda octets: _looped(octets, 1), lambda octets: _looped(octets, 250)]


@pytest.mark.parametrize("bomb", BOMBS)
def test_pages_that_are_their_own_children(plain: bytes, bomb: Callable[[bytes], bytes]) -> None:
    assert refusal(bomb(plain)) == backup.CHANGED


def test_a_tree_that_multiplies_its_rows_ends_at_its_second_row(plain: bytes) -> None:
    """18 levels: a quarter of a million times the same rows, which the key of the table does not take twice."""
    assert refusal(_doubled(plain, 18)) == backup.CHANGED


def test_work_is_bounded(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing else ends it, the count of steps does."""
    monkeypatch.setattr(backup, "STEPS_MAX", 0)
    monkeypatch.setattr(backup, "STEPS_AT_ONCE", 5)
    assert refusal(plain) == backup.CHANGED


def test_the_good_file_of_all_these_is_good(plain: bytes) -> None:
    for octets in (plain, tampered(plain, "PRAGMA user_version = 1"), sealed_up(content_of(plain))):
        assert restored(whole(), octets).lines == ("Nothing is changed: all is as in the backup.",)
    held = [Extension(str(number), 1, 1, False) for number in range(100, 3000)]
    assert len(backup.read(backed_up([*held, Setting("direct-media", "on")])).rows) == 2901
