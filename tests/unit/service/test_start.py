"""What the service does to the store before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.control.requests import HOST, NOW, REALM, VAULT, applied, extension, state, without

from srtpgw.control.digest import seal_code
from srtpgw.control.directory import StateDirectory
from srtpgw.control.license import VOIP_SECURITY, allows
from srtpgw.control.model import Certificate, License, LicenseIssuer, Put, Realm, Registration, Remove, State
from srtpgw.control.store import Store
from srtpgw.service import start

ENDING, LIVE = (
    Registration(
        binding=number, number=number, protocol="sip", contact="", instance="", call_id="", terminal_type="",
        transport="tls", remote="192.0.2.1:5060", local_port=5061, encrypted=True, offered_srtp=None,
        authenticated=True, registered=NOW, expires=NOW + 60, policy=None, ending=ending,
    )
    for number, ending in (("100", True), ("200", False))
)  # fmt: skip


def first(before: State) -> State:
    for step in (
        start.first_licence(before, VAULT, NOW, HOST, REALM),
        start.first_certificate(before, VAULT, NOW, ("gw.example", HOST)),
    ):
        before = applied(before, step.changes)
    return before


def test_the_first_run_makes_a_certificate_and_a_licence() -> None:
    after = first(State())
    assert allows(after, VOIP_SECURITY, now=NOW, host=HOST)
    assert [row.role for row in after.certificates.values()] == ["server", "authority"]
    assert all(row.testbed for row in after.certificates.values())
    assert all(one.testbed for one in after.license_issuers.values())


def test_the_next_run_makes_nothing() -> None:
    after = first(State())
    assert start.first_licence(after, VAULT, NOW, HOST, REALM).changes == ()
    assert start.first_certificate(after, VAULT, NOW, ()).changes == ()


def test_a_licence_that_was_taken_away_stays_away() -> None:
    after = first(State())
    (serial,), (issuer,) = after.licenses, after.license_issuers
    gone = without(without(after, License, serial), LicenseIssuer, issuer)
    assert start.first_licence(gone, VAULT, NOW, HOST, REALM).changes == ()
    assert start.first_certificate(gone, VAULT, NOW, ()).changes == ()


def test_what_the_operator_installed_before_the_first_run_is_kept() -> None:
    installed = state(LicenseIssuer(bytes(32), False))
    after = first(installed)
    assert list(after.license_issuers) == [bytes(32)]
    assert after.licenses == {}
    assert "server" in after.certificates


def test_a_certificate_that_was_taken_away_is_made_again() -> None:
    after = first(State())
    gone = without(after, Certificate, "server")
    again = applied(gone, start.first_certificate(gone, VAULT, NOW, ()).changes)
    assert again.certificates["testbed-ca"] == after.certificates["testbed-ca"]
    assert again.certificates["server"].chain != after.certificates["server"].chain


CODES = state(extension("100"), Realm("old"), seal_code(VAULT, "100", "old", "1234"))


def test_another_realm_is_asked_about_where_numbers_lose_their_code() -> None:
    with pytest.raises(start.RealmRefused, match=r"lose theirs.*: 100\.") as caught:
        start.realm_step(CODES, "new", "")
    assert "1234" not in str(caught.value)
    for accepted in (str(caught.value), None):
        step = start.realm_step(CODES, "new", accepted)
        assert step.changes == (Put(Realm("new")),)
        assert step.line == "The realm is new now. 1 numbers lost their authorization code."


def test_a_yes_to_another_question_does_not_count() -> None:
    with pytest.raises(start.RealmRefused):
        start.realm_step(CODES, "new", "The realm changes for 99 only?")


@pytest.mark.parametrize(("before", "realm"), [(CODES, "old"), (State(), "new")], ids=["the same", "none yet"])
def test_a_realm_that_takes_nothing_away_is_no_question(before: State, realm: str) -> None:
    assert start.realm_step(before, realm, "").changes == ()


def test_the_old_realm_gives_the_codes_back_without_a_question() -> None:
    changed = applied(CODES, start.realm_step(CODES, "new", None).changes)
    step = start.realm_step(changed, "old", "")
    assert step.changes == (Put(Realm("old")),)
    assert step.line == "The realm is old now. 1 numbers have theirs again."


def test_ended_registrations_go_and_others_stay() -> None:
    step = start.ended_step(state(ENDING, LIVE))
    assert step.changes == (Remove(Registration, "100"),)
    assert step.line == "Registrations ended: 1. The terminals were not told."


def test_a_step_is_carried_out_once_and_noted(tmp_path: Path) -> None:
    with Store(StateDirectory(tmp_path / "state").database) as store:
        with store.change() as transaction:
            transaction.apply([Put(extension("100")), Put(extension("200")), Put(ENDING), Put(LIVE)])
        assert start.carry_out(store, start.ended_step, NOW) == "Registrations ended: 1. The terminals were not told."
        assert start.carry_out(store, start.ended_step, NOW) == ""
        assert list(store.read().registrations) == ["200"]
        (entry,) = store.audit(9)
    assert (entry.time, entry.user, entry.command) == (NOW, "srtpgw run", "end registrations")
