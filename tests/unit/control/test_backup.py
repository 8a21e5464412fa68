"""data_backup and data_restore as pure effects: what a file holds, what a restore changes, what is against it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from unit.control import licences
from unit.control.backups import (
    OTHER_VAULT,
    PASSPHRASE,
    PASSWORD,
    PIN,
    REGISTRATION,
    SEALED,
    backed_up,
    certificates,
    content_of,
    database,
    opened,
    restored,
    route,
    rows,
    whole,
)
from unit.control.requests import EMPTY, HOST, NOW, REALM, VAULT, applied, perform, request, state, without

from srtpgw.control import backup, schema
from srtpgw.control.commands.backup import SECRETS_LEFT_OUT, default_name
from srtpgw.control.commands.table import Outcome
from srtpgw.control.digest import ha1, seal_code
from srtpgw.control.license import LICENSE_MISSING
from srtpgw.control.model import (
    AuthorizationCode,
    Certificate,
    Extension,
    LicenseIssuer,
    MediaEncryption,
    Realm,
    Row,
    SecurityPolicy,
    Setting,
    SipRoute,
    State,
)
from srtpgw.control.policy import EXCEPTIONS_EXIST
from srtpgw.control.restoring import LEFT_OUT, rows_of
from srtpgw.errors import StoreError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases of tests need no work."""
    monkeypatch.setattr(backup, "WORK", 2)
    monkeypatch.setattr(backup, "WORK_MIN", 2)


def after(now: State, outcome: Outcome) -> State:
    assert not outcome.refused, outcome.lines
    assert not outcome.question
    return applied(now, outcome.changes)


# --- the file


def test_a_backup_with_a_passphrase_moves_everything_to_another_machine() -> None:
    octets = backed_up(rows(), passphrase=PASSPHRASE)
    moved = after(EMPTY, restored(EMPTY, octets, passphrase=PASSPHRASE, vault=OTHER_VAULT))
    assert opened(moved, OTHER_VAULT) == opened(whole(), VAULT)
    assert moved.registrations == {}


@pytest.mark.parametrize("options", [{}, SEALED])
def test_what_it_tells_is_so(options: dict[str, Any]) -> None:
    asked = request(whole(), database=lambda: database(rows()), **options)
    outcome = perform(asked, "data_backup")
    assert outcome.write is not None
    octets, name = outcome.write.octets, default_name(NOW)
    digest = hashlib.sha256(octets).hexdigest()
    assert outcome.lines == (f"Backup: {name}", f"Size: {len(octets):,} octets", f"SHA-256: {digest}")
    assert outcome.value == {"file": name, "octets": len(octets), "sha256": digest, "secrets": bool(options)}
    assert outcome.warnings == (() if options else (SECRETS_LEFT_OUT,))
    found = backup.read(octets)
    assert (found.manifest.created, found.manifest.host, found.manifest.realm) == (NOW, HOST, REALM)
    assert outcome.write.name == name == "srtpgw-20270115T080000Z.backup"


def test_a_backup_of_nothing_is_one() -> None:
    octets = backed_up(())
    assert backup.read(octets).rows == ()
    assert backup.read(perform(request(EMPTY), "data_backup").write.octets).rows == ()  # type: ignore[union-attr]
    emptied = after(whole(), restored(whole(), octets))
    assert not [row for row in rows_of(emptied) if isinstance(row, Extension | Setting | SipRoute)]
    assert emptied.licenses == whole().licenses


def test_nothing_but_the_settings_is_in_it() -> None:
    """Rows that were removed leave their octets in free pages of the store; registrations and audit log stay there."""
    gone = [Setting(f"suite-order-{number}", "removed-mark" * 40) for number in range(200)]
    octets = database(
        [*rows(), *gone],
        "PRAGMA secure_delete = OFF; DELETE FROM setting WHERE name LIKE 'suite-order-%'",
        "INSERT INTO audit (time, user, command, result, lines) VALUES (1, 'audit-mark', 'x', 'done', '[]')",
    )
    assert all(mark in octets for mark in (b"removed-mark", b"audit-mark", b"marked-call"))
    plain = perform(request(whole(), database=lambda: octets), "data_backup").write
    full = perform(request(whole(), database=lambda: octets, passphrase=PASSPHRASE), "data_backup").write
    assert plain is not None
    assert full is not None
    for written in (plain.octets, full.octets):
        assert b"lockout-time" in written
        assert not [mark for mark in (b"removed-mark", b"audit-mark", b"marked-call") if mark in written]


def secrets_of(held: State) -> list[bytes]:
    clear = [secret for _, secrets in opened(held, VAULT) for secret in secrets.values()]
    sealed = [getattr(row, name) for row in rows_of(held) for name in getattr(row, "SECRETS", ())]
    return [secret for secret in (*clear, *sealed, PASSWORD.encode(), PASSPHRASE.encode()) if secret]


@pytest.mark.parametrize("options", [{}, SEALED])
def test_no_secret_is_in_it_in_clear_or_as_the_store_seals_it(options: dict[str, Any]) -> None:
    found = secrets_of(whole())
    octets = backed_up(rows(), **options)
    assert len(found) == 2 * (2 * 2 + 1 + 2) + 2
    assert not [secret for secret in found if secret in octets]
    codes = [row for row in backup.read(octets).rows if isinstance(row, AuthorizationCode)]
    assert [row.md5 == LEFT_OUT for row in codes] == [not options] * 2
    assert PIN.encode() not in octets


def test_representations_show_nothing() -> None:
    keys = backup.derive(PASSPHRASE, bytes(16), 2)
    octets = backed_up(rows(), passphrase=PASSPHRASE)
    shown = f"{keys!r} {backup.read(octets, PASSPHRASE)!r} {restored(EMPTY, octets, passphrase=PASSPHRASE)!r}"
    assert keys.authentication.hex() not in shown
    assert "Keys(...)" in shown
    assert "AuthorizationCode(number='100', realm='srtpgw', ...)" in shown
    assert not [secret for secret in secrets_of(whole()) if repr(secret)[2:-1] in shown]


def test_characters_that_look_the_same_are_the_same_passphrase() -> None:
    assert backup.derive("Schlüssel", b"", 2).authentication == backup.derive("Schlu\u0308ssel", b"", 2).authentication


def test_deriving_does_the_work_that_is_written() -> None:
    """RFC 7914, section 12: the third vector is the first with our block size; its parallelism is 16, so not ours. What
    can be held against another implementation is held against the standard library's parameters here."""
    key = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1, maxmem=1 << 26, dklen=64)
    assert key.hex().startswith("7023bdcb3afd7348461c06cd81fd38eb")
    assert backup.derive("pleaseletmein", b"SodiumChloride", 16384).authentication == key[32:]


def test_what_could_not_be_restored_is_named_instead_of_backed_up() -> None:
    held = [*rows(), Setting("of-another-version", "on")]
    with pytest.raises(StoreError, match="Setting of-another-version is none that a command makes"):
        backed_up(held)


# --- what a restore changes


@pytest.mark.parametrize("options", [{}, SEALED])
def test_restoring_what_is_there_changes_nothing(options: dict[str, Any]) -> None:
    outcome = restored(whole(), backed_up(rows(), **options), confirmed=False, **options)
    assert outcome.lines == ("Nothing is changed: all is as in the backup.",)
    assert (outcome.changes, outcome.warnings, outcome.question) == ((), (), "")


def test_it_asks_before_it_replaces_and_says_what() -> None:
    octets = backed_up(rows())
    now = state(
        *(row for row in rows() if row not in (Extension("12000", 1, 1, False), Setting("lockout-time", "60"))),
        Extension("0100", 9, 9, True),
        Extension("7", 1, 1, False),
    )
    outcome = restored(now, octets, confirmed=False)
    assert (outcome.changes, outcome.refused) == ((), False)
    assert outcome.question == (
        f"some.backup, of 2027-01-15T08:00:00Z on {HOST}. This would change: other settings: 1 new;"
        " extensions: 1 new, 1 changed, 1 removed; 12000 cannot register until a RAC is configured. Restore it?"
    )
    assert opened(after(now, restored(now, octets)), VAULT) == opened(whole(), VAULT)


def test_what_only_adds_is_not_asked_about() -> None:
    now = without(whole(), Setting, "lockout-time")
    assert restored(now, backed_up(rows()), confirmed=False).lines[1:] == ("other settings: 1 new",)


def test_a_restore_without_secrets_keeps_what_matches_and_lists_the_rest() -> None:
    octets = backed_up([*rows(), seal_code(VAULT, "12000", REALM, PIN)])
    now = applied(
        without(whole(), AuthorizationCode, "999"),
        restored(EMPTY, backed_up([Extension("5", 1, 1, False)])).changes,
    )
    outcome = restored(now, octets)
    result = after(now, outcome)
    assert result.authorization_codes == {"100": whole().authorization_codes["100"]}
    assert outcome.value["codes_left_out"] == ["999", "12000"]
    assert outcome.warnings[0] == "left without their authorization code (auth_code -i sets it): 999, 12000"
    assert result.sip_routes == whole().sip_routes
    assert result.certificates == whole().certificates


def test_codes_of_another_realm_are_left_out_and_listed() -> None:
    """They could not authenticate; and the store never holds codes of two realms."""
    octets = backed_up(rows(), passphrase=PASSPHRASE)
    outcome = restored(EMPTY, octets, passphrase=PASSPHRASE, realm="elsewhere")
    result = after(EMPTY, outcome)
    assert (result.authorization_codes, result.realm) == ({}, "")
    assert outcome.value["codes_left_out"] == ["100", "999"]
    other = state(Realm("elsewhere"), seal_code(VAULT, "100", "elsewhere", PIN))
    result = after(other, restored(other, backed_up(rows()), realm="elsewhere"))
    assert (result.authorization_codes, result.realm) == ({}, "")


def test_a_password_goes_to_no_other_peer() -> None:
    """A backup that was tampered with would else have ours sent to whomever it names."""
    octets = backed_up([route(peer="198.51.100.66")])
    outcome = restored(state(route()), octets)
    moved = after(state(route()), outcome).sip_routes[7]
    assert (moved.proxyip, moved.username, moved.password) == ("198.51.100.66", "", b"")
    assert outcome.value["routes_without_credentials"] == [7]
    changed = replace(route(), destinations=("11",))
    assert after(state(route()), restored(state(route()), backed_up([changed]))).sip_routes[7] == changed


@pytest.mark.parametrize("field", ["protocol", "proxyport", "peer_names", "username"])
def test_a_password_is_kept_for_the_very_same_peer_only(field: str) -> None:
    others: dict[str, Any] = {
        "protocol": "tcp",
        "proxyport": 5062,
        "peer_names": ("evil.example",),
        "username": "other",
    }
    other = replace(route(), **{field: others[field]})
    other = replace(other, peer_names=()) if field == "protocol" else other
    assert restored(state(route()), backed_up([other])).value["routes_without_credentials"] == [7]


def test_a_key_stays_with_its_own_chain() -> None:
    ours = certificates()
    theirs = tuple(
        replace(row, chain=other.chain) for row, other in zip(ours, reversed(ours), strict=True)
    )  # other chains under the same names
    outcome = restored(state(*ours), backed_up(theirs))
    assert after(state(*ours), outcome).certificates == state(*ours).certificates
    assert outcome.value["certificates_without_key"] == sorted(row.name for row in theirs)
    outcome = restored(EMPTY, backed_up(ours))
    assert after(EMPTY, outcome).certificates == {}
    assert len(outcome.value["certificates_without_key"]) == 2


def test_a_backup_without_keys_destroys_none() -> None:
    trusted = Certificate("trunk", "trusted", certificates()[0].chain, b"", False, NOW)
    now = state(*certificates(), trusted)
    result = after(now, restored(now, backed_up([Extension("5", 1, 1, False)])))
    assert result.certificates == state(*certificates()).certificates
    full = backed_up([Extension("5", 1, 1, False)], passphrase=PASSPHRASE)
    assert after(now, restored(now, full, passphrase=PASSPHRASE)).certificates == {}


def test_secrets_that_the_key_file_does_not_open_are_not_kept() -> None:
    """The key file was lost: a backup with secrets gives them back, one without says what is missing."""
    outcome = restored(whole(), backed_up(rows()), vault=OTHER_VAULT)
    assert outcome.value["codes_left_out"] == ["100", "999"]
    octets = backed_up(rows(), passphrase=PASSPHRASE)
    result = after(whole(), restored(whole(), octets, passphrase=PASSPHRASE, vault=OTHER_VAULT))
    assert opened(result, OTHER_VAULT) == opened(whole(), VAULT)
    assert ha1(OTHER_VAULT, result.authorization_codes["100"], "MD5").startswith(b"")


def test_registrations_stay_but_for_numbers_that_are_gone() -> None:
    other = replace(REGISTRATION, binding="12000/one", number="12000")
    now = state(*rows(), other)
    octets = backed_up(row for row in rows() if row != Extension("12000", 1, 1, False))
    outcome = restored(now, octets)
    assert after(now, outcome).registrations == {REGISTRATION.binding: REGISTRATION}
    assert outcome.value["registrations_ended"] == ["12000"]


# --- rules


def test_a_policy_beside_exceptions_is_refused() -> None:
    octets = backed_up([licences.ISSUER, licences.row(), SecurityPolicy(1), Extension("100", 1, 1, True)])
    assert restored(EMPTY, octets).lines == ("NOT EXECUTED", EXCEPTIONS_EXIST, "100")


@pytest.mark.parametrize("enabled", [SecurityPolicy(2), MediaEncryption("route", True)])
@pytest.mark.parametrize(
    "licence", [(), (licences.ISSUER,), (licences.row(),), (LicenseIssuer(bytes(32), False), licences.row())]
)
def test_it_enables_nothing_without_a_licence(enabled: Row, licence: tuple[Row, ...]) -> None:
    octets = backed_up([enabled, *licence])
    outcome = restored(EMPTY, octets)
    assert (outcome.lines, outcome.refused) == (("NOT EXECUTED", LICENSE_MISSING), True)
    here = state(licences.ISSUER, licences.row())  # one that is installed here stays, and counts
    assert [*rows_of(after(here, restored(here, octets)))].count(enabled) == 1
    already = state(enabled)  # an ended licence takes nothing away
    assert enabled in rows_of(after(already, restored(already, octets)))


def test_a_licence_of_another_host_enables_nothing_here() -> None:
    octets = backed_up([SecurityPolicy(2), licences.ISSUER, licences.row(host="other.example")])
    assert restored(EMPTY, octets).lines == ("NOT EXECUTED", LICENSE_MISSING)


def test_licences_here_are_never_taken_away_or_replaced() -> None:
    mine = state(licences.ISSUER, licences.row(subject="mine"))
    theirs: list[Row] = [
        LicenseIssuer(licences.ISSUER.public, True),
        licences.row(subject="theirs"),
        licences.row(serial="0" * 16),
    ]
    result = after(mine, restored(mine, backed_up(theirs)))
    assert result.license_issuers == mine.license_issuers
    assert result.licenses == {"0" * 16: licences.row(serial="0" * 16), **mine.licenses}


# --- versions


def test_an_older_backup_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = backed_up([Setting("direct-media", "off"), Extension("5", 1, 1, False)])
    step = "ALTER TABLE extension ADD COLUMN note TEXT; UPDATE setting SET text = 'on' WHERE name = 'direct-media';"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    result = after(EMPTY, restored(EMPTY, octets))
    assert (dict(result.settings), list(result.extensions)) == ({"direct-media": "on"}, ["5"])


def test_a_passphrase_must_be_long_enough() -> None:
    with pytest.raises(ValueError, match="fewer than 12") as caught:
        perform(request(EMPTY, passphrase="elevenchars"), "data_backup")  # noqa: S106 - of a test
    assert "elevenchars" not in str(caught.value)


def test_the_database_is_one_that_any_tool_reads() -> None:
    octets = backed_up(rows())
    assert content_of(octets).startswith(b"SQLite format 3\0")
    assert len(octets) - len(content_of(octets)) == 16 + 32 + 32
