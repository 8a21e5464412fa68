"""The store: what is put in comes out, whole or not at all, and who is told of it. Its file: ``test_store_file``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.control.requests import applied, extension, state
from unit.control.stored_rows import EVERY_ROW, commit, entry, put, registration, same, sql

from srtpgw.control import store as store_module
from srtpgw.control.model import (
    AuthorizationCode,
    Change,
    Extension,
    H323Route,
    LicenseIssuer,
    MediaEncryption,
    Put,
    Realm,
    Registration,
    Remove,
    Row,
    SecurityPolicy,
    Setting,
    SipRoute,
    State,
)
from srtpgw.control.rows import TABLES
from srtpgw.control.store import Store
from srtpgw.errors import StoreError

NO_MORE = "nothing was changed"


# --- rows


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.read() == State()


def test_every_table_is_tried_here() -> None:
    assert [type(row) for row in EVERY_ROW] == list(TABLES)
    assert {table.state for table in TABLES.values()} == {each.name for each in fields(State)} - {"revision"}


@pytest.mark.parametrize("row", EVERY_ROW, ids=lambda row: type(row).__name__)
def test_a_row_comes_back_as_it_was(path: Path, row: Row) -> None:
    before = [] if type(row) is not Registration else [extension("12000")]
    with Store(path) as store:
        commit(store, put(*before, row))
    with Store(path) as store:
        assert same(store.read(), state(*before, row))
        commit(store, [Remove(type(row), getattr(row, type(row).KEY))])
        assert same(store.read(), state(*before))


def test_columns_are_the_fields(store: Store, path: Path) -> None:
    commit(store, [])
    for row, table in TABLES.items():
        columns = [(column[1], bool(column[5])) for column in sql(path, f"PRAGMA table_info({table.name})")]
        assert columns == [(each.name, each.name == row.KEY) for each in fields(row)]
    strict = {name: bool(strict) for _, name, kind, _, _, strict in sql(path, "PRAGMA table_list") if kind == "table"}
    assert {name for name, yes in strict.items() if not yes} <= {"sqlite_schema", "sqlite_temp_schema"}


def test_a_row_with_the_same_key_takes_the_place(store: Store) -> None:
    commit(store, put(extension("1", csp=1), extension("2", csp=2)))
    commit(store, put(extension("1", csp=7, exception=True)))
    assert store.read().extensions == {"1": extension("1", csp=7, exception=True), "2": extension("2", csp=2)}


def test_numbers_are_in_the_order_of_their_value(store: Store) -> None:
    numbers = ["99", "100", "0099", "7", "007", "9999999999999999", "12000"]
    commit(store, put(*map(extension, numbers)))
    assert list(store.read().extensions) == ["007", "7", "0099", "99", "100", "12000", "9999999999999999"]


def test_removing_what_is_not_there_is_no_fault(store: Store) -> None:
    commit(store, [Remove(Extension, "1"), Remove(SecurityPolicy, 1), Remove(Setting, "none")])
    assert same(store.read(), State())


NUMBERS = st.sampled_from(["1", "02", "2", "10", "300"])
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(Put, st.builds(Extension, NUMBERS, st.integers(0, 9), st.integers(0, 9), st.booleans())),
    st.builds(Remove, st.just(Extension), NUMBERS),
    st.builds(Put, st.builds(AuthorizationCode, NUMBERS, st.just("r"), st.binary(max_size=8), st.binary(max_size=8))),
    st.builds(Remove, st.just(AuthorizationCode), NUMBERS),
    st.builds(Put, st.builds(SecurityPolicy, st.sampled_from([1, 2, 3]))),
    st.builds(Remove, st.just(SecurityPolicy), st.just(1)),
    st.builds(Put, st.builds(MediaEncryption, st.sampled_from(["route", "intermgw"]), st.booleans())),
    st.builds(
        Put, st.builds(Setting, st.just("s"), st.text(st.characters(exclude_categories=["Cs"]), max_size=9)),
    ),
)  # fmt: skip


@given(st.lists(st.tuples(st.lists(CHANGES, max_size=5), st.booleans()), max_size=6))
@settings(max_examples=25)
def test_the_store_is_what_its_changes_make_it(
    tmp_path_factory: pytest.TempPathFactory, commits: list[tuple[list[Change], bool]]
) -> None:
    """Through two open stores, one of which changes and one of which looks; every other transaction may fail."""
    expected = State()
    path = tmp_path_factory.mktemp("sequence") / "srtpgw.db"
    with Store(path) as writer, Store(path) as watcher:
        for changes, fails in commits:
            with suppress(ZeroDivisionError), writer.change() as transaction:
                transaction.apply(changes)
                assert same(transaction.state, applied(expected, changes))
                _ = 1 / (not fails)
            expected = expected if fails else applied(expected, changes)
            assert same(watcher.changed() or watcher.read(), expected)
            assert same(writer.read(), expected)


# --- what may not be stored

BAD_ROWS: list[Row] = [
    MediaEncryption("video", enabled=True),  # type: ignore[arg-type]
    SecurityPolicy(4),  # type: ignore[arg-type]
    SecurityPolicy(1, id=2),
    Realm(""),
    Extension("", 1, 1, False),
    Extension("12a", 1, 1, False),
    Extension("1" * 17, 1, 1, False),
    Extension("1", -1, 1, False),
    Extension("1", 1, 1 << 70, False),
    Extension("1", "x", 1, False),  # type: ignore[arg-type]
    Extension("1", None, 1, False),  # type: ignore[arg-type]
    AuthorizationCode("1", "realm", "text", b""),  # type: ignore[arg-type]
    AuthorizationCode("1;DROP TABLE extension", "realm", b"", b""),
    SipRoute(1, "sctp", "a", 5060, (), ()),  # type: ignore[arg-type]
    SipRoute(1, "udp", "a", 65536, (), ()),
    SipRoute(1, "udp", "a", 0, (), ()),
    H323Route(1, "", 1720, tls=False),
    Setting("name", "\udcff"),
    Setting("name", "x" * 65537),
    replace(EVERY_ROW[10], role="trusted"),  # type: ignore[arg-type] # with a key
    LicenseIssuer(b"short", testbed=True),
    registration("1/1", "404"),  # of an extension that is not there
]


@pytest.mark.parametrize("row", BAD_ROWS, ids=repr)
def test_a_row_that_cannot_be_is_refused_and_nothing_is_changed(store: Store, row: Row) -> None:
    commit(store, put(extension("5")))
    before = store.read()
    with pytest.raises(StoreError, match=NO_MORE) as caught:
        commit(store, put(extension("6"), row), entry("never"))
    assert "DROP" not in str(caught.value)
    assert store.read() == before
    assert store.audit(10) == ()


# --- transactions


def test_an_exception_leaves_nothing(store: Store) -> None:
    commit(store, put(extension("1")))
    before = store.read()
    for error in (ValueError, KeyboardInterrupt):
        with suppress(error), store.change() as transaction:
            transaction.apply([Put(extension("2")), Remove(Extension, "1")])
            assert list(transaction.state.extensions) == ["2"]
            transaction.audit(entry("never"))
            raise error
        assert store.read() == before
    assert store.audit(1) == ()
    assert store.changed() is None


def test_a_state_does_not_change(store: Store) -> None:
    commit(store, put(*EVERY_ROW))
    before = store.read()
    commit(store, [Remove(type(row), getattr(row, type(row).KEY)) for row in reversed(EVERY_ROW)])
    assert same(before, state(*EVERY_ROW))
    assert same(store.read(), State())
    with pytest.raises(TypeError):
        before.extensions["1"] = extension("1")  # type: ignore[index]


def test_the_revision_grows_with_each_change(store: Store) -> None:
    found = []
    for number in ("1", "2", "3"):
        commit(store, put(extension(number)))
        found.append(store.read().revision)
    assert found == [1, 2, 3]


def test_one_store_waits_for_the_other(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.0)
    with Store(path) as other:
        with other.change() as transaction:
            transaction.apply(put(extension("1")))
            with pytest.raises(StoreError, match="is busy"), store.change():
                pytest.fail("two writers at once")
            assert store.read().extensions == {}, "half a change"
        assert list(store.read().extensions) == ["1"]
        commit(store, put(extension("2")))


def test_a_commit_in_the_middle_of_a_reading_is_not_seen(store: Store, path: Path) -> None:
    commit(store, put(SecurityPolicy(1), extension("1", csp=1)))
    met: list[str] = []
    with Store(path) as other:

        def meanwhile(statement: str) -> None:
            if "FROM extension" in statement and not met:
                met.append(statement)
                commit(other, put(SecurityPolicy(2), extension("1", csp=2)))

        with Store(path) as reader:
            reader._connection.set_trace_callback(meanwhile)
            first, second = reader.read(), reader.changed()
    assert met
    assert second is not None
    assert [(each.policy, each.extensions["1"].csp) for each in (first, second)] == [(1, 1), (2, 2)]


# --- who is told of a change


def test_changed_tells_of_each_change_once(store: Store, path: Path) -> None:
    assert store.changed() is None
    with Store(path) as other:
        commit(other, put(SecurityPolicy(1)))
    found = store.changed()
    assert found is not None
    assert found.policy == 1
    assert store.changed() is None
    commit(store, put(SecurityPolicy(2)))
    found = store.changed()
    assert found is not None
    assert found.policy == 2
    assert store.changed() is None


def test_an_entry_in_the_audit_log_alone_wakes_nobody(store: Store, path: Path) -> None:
    with Store(path) as other, other.change() as transaction:
        transaction.audit(entry("sec_policy -set 1"))
    assert store.changed() is None
    assert len(store.audit(9)) == 1


def test_a_change_that_was_seen_while_changing_is_told_of_all_the_same(store: Store, path: Path) -> None:
    store.read()
    with Store(path) as other:
        commit(other, put(SecurityPolicy(3)))
    with store.change() as transaction:
        assert transaction.state.policy == 3
    found = store.changed()
    assert found is not None
    assert found.policy == 3


def test_tables_that_did_not_change_are_not_read_again(store: Store) -> None:
    commit(store, put(extension("1")))
    first = store.read()
    commit(store, put(SecurityPolicy(1)))
    second = store.read()
    assert second.policy == 1
    assert second.extensions is first.extensions


# --- references


def test_an_extension_that_changes_keeps_its_registrations(store: Store) -> None:
    commit(store, put(extension("1"), registration("1/1", "1")))
    commit(store, put(extension("1", csp=2)))
    assert list(store.read().registrations) == ["1/1"]


def test_an_extension_that_ends_takes_its_registrations_along(store: Store, path: Path) -> None:
    commit(store, put(extension("1"), extension("2"), registration("1/1", "1"), registration("2/1", "2")))
    commit(store, put(AuthorizationCode("1", "realm", b"", b"")))
    with Store(path) as watcher:
        watcher.read()
        with store.change() as transaction:
            transaction.apply([Remove(Extension, "1")])
            assert list(transaction.state.registrations) == ["2/1"]
        found = watcher.changed()
    assert found is not None
    assert list(found.registrations) == ["2/1"]
    assert list(found.authorization_codes) == ["1"], "the command decides about that one"


def test_references_count_at_the_end_of_a_transaction(store: Store) -> None:
    commit(store, put(registration("1/1", "1"), extension("1")))
    assert list(store.read().registrations) == ["1/1"]


# --- the audit log


def test_the_audit_log_is_in_the_order_of_its_making(store: Store) -> None:
    for number, moment in enumerate((2000.0, 1000.0, 3000.0)):
        with store.change() as transaction:
            transaction.audit(entry(f"command {number}", moment, ("a", "b")))
    assert [(each.command, each.time) for each in store.audit(2)] == [("command 1", 1000.0), ("command 2", 3000.0)]
    assert store.audit(9)[0] == entry("command 0", 2000.0, ("a", "b"))
    assert store.audit(0) == store.audit(-1) == ()


def test_the_audit_log_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "AUDIT_ENTRIES_MAX", 3)
    for number in range(7):
        with store.change() as transaction:
            transaction.audit(entry(str(number)))
    assert [each.command for each in store.audit(100)] == ["4", "5", "6"]


def test_an_entry_is_bounded_and_takes_any_text(store: Store) -> None:
    with store.change() as transaction:
        transaction.audit(entry("c" * 9999 + "\udcff", lines=("\udcff", *["x" * 1000] * 99)))
        transaction.audit(entry("\udcff\0\n"))
    first, second = store.audit(2)
    assert len(first.command) == store_module.AUDIT_TEXT_MAX
    assert first.lines == ("\udcff", *["x" * 1000] * 4, "(95 more)")
    assert second.command == "\\udcff\0\n"
