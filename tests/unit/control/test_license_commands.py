"""license_install and license_print: what is taken, what is refused in which words, and what is shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from unit.control.licences import ISSUER, STRANGER_KEY, TERMS, document, row
from unit.control.requests import EMPTY, HOST, NOW, done, perform, request, state

from srtpgw.control.commands.license import ISSUERS_MAX, LICENSES_MAX
from srtpgw.control.commands.table import FileContent, Outcome
from srtpgw.control.license import DAY, TESTBED_DAYS, VOIP_SECURITY, allows, public_text, read
from srtpgw.control.model import License, LicenseIssuer, Put, State

STRANGER = public_text(STRANGER_KEY.public_key().public_bytes_raw())
KNOWN = state(ISSUER)


def install(before: State, octets: bytes, now: float = NOW, host: str = HOST) -> Outcome:
    asked = request(before, now=now, host=host, file=FileContent("licence", octets))
    return perform(asked, "license_install", "file")


def shown(before: State, now: float = NOW) -> str:
    return "\n".join(perform(request(before, now=now), "license_print").lines)


def test_a_good_licence_is_installed_and_shown() -> None:
    outcome = install(KNOWN, document(host=HOST).text())
    assert outcome.lines == (
        "The licence 9f86d081884c7d65 is installed: VOIP-SECURITY for Example Ltd, Leeds until 2028-01-15.",
    )
    after = done(request(KNOWN, file=FileContent("licence", document(host=HOST).text())), "license_install", "file")
    assert allows(after, VOIP_SECURITY, now=NOW, host=HOST)
    assert shown(after).splitlines() == [
        "licence 9f86d081884c7d65: valid",
        "  for Example Ltd, Leeds on host gateway.example",
        "  features VOIP-SECURITY",
        "  until 2028-01-15T08:00:00Z (365 days left)",
        "host: gateway.example",
        f"issuer: {public_text(ISSUER.public)}",
    ]


def test_installing_it_again_changes_nothing() -> None:
    again = install(state(ISSUER, row()), document().text().replace(b"\n", b"\r\n"))
    assert not again.refused
    assert again.changes == ()
    assert "was installed before" in again.lines[0]


def test_each_refusal_has_its_text_and_changes_nothing() -> None:
    good = document().text()
    other = document(subject="Someone else").text()
    full = state(ISSUER, *(row(serial=f"{number:016x}") for number in range(LICENSES_MAX)))
    cases: dict[str, Outcome] = {
        "The file is no licence.": install(KNOWN, b"MZ"),
        "The signature is wrong.": install(KNOWN, good.replace(b"Leeds", b"Paris")),
        "The licence was signed by an issuer that is not known here.": install(EMPTY, good),
        "The licence is bound to another host.": install(KNOWN, document(host="pbx.example").text()),
        "The licence expired on 2028-01-15.": install(KNOWN, good, now=TERMS.expires),
        "Another licence has this serial.": install(state(ISSUER, row()), other),
        "There are 32 licences already.": install(full, good),
        "There is no such licence or issuer.": perform(request(KNOWN, remove="x"), "license_install", "remove"),
    }
    for text, outcome in cases.items():
        assert outcome.refused, text
        assert outcome.lines[0] == text
        assert len(outcome.lines) == 2  # and what to do next
        assert outcome.changes == ()


def test_what_an_unknown_issuer_needs_is_told() -> None:
    told = install(EMPTY, document().text()).lines[1]
    key = told.split("--issuer ")[1].split()[0]
    known = done(request(EMPTY, issuer=key), "license_install", "issuer")
    assert not install(known, document().text()).refused


def test_a_testbed_licence_counts_and_says_what_it_is() -> None:
    after = done(request(EMPTY, testbed=True), "license_install", "testbed")
    assert allows(after, VOIP_SECURITY, now=NOW, host="any host")
    assert not allows(after, VOIP_SECURITY, now=NOW + TESTBED_DAYS * DAY, host=HOST)
    assert "testbed" in perform(request(EMPTY, testbed=True), "license_install", "testbed").lines[0]
    assert shown(after).count("testbed") == 3  # the licence, its subject, its issuer
    printed = perform(request(after), "license_print").value
    assert [licence["testbed"] for licence in printed["licences"]] == [True]


def test_a_testbed_licence_replaces_the_one_before_and_no_other() -> None:
    first = done(request(state(ISSUER, row()), testbed=True), "license_install", "testbed")
    second = done(request(first, testbed=True), "license_install", "testbed")
    assert len(second.licenses) == len(second.license_issuers) == 2
    assert set(first.licenses) & set(second.licenses) == {TERMS.serial}
    assert ISSUER.public in second.license_issuers


def test_a_testbed_cannot_be_made_to_pass_for_more() -> None:
    after = done(request(EMPTY, testbed=True), "license_install", "testbed")
    (issuer,) = after.license_issuers
    (licence,) = after.licenses.values()
    assert perform(request(after, issuer=public_text(issuer)), "license_install", "issuer").changes == ()
    assert after.license_issuers[issuer].testbed
    laundered = state(LicenseIssuer(issuer, False), licence)
    assert "testbed" in shown(laundered).splitlines()[0]


def test_an_issuer_that_is_removed_counts_no_more() -> None:
    held = state(ISSUER, row())
    outcome = perform(request(held, remove=public_text(ISSUER.public)), "license_install", "remove")
    assert outcome.warnings == ("no licence for VOIP-SECURITY is left: what is enabled stays, nothing new can be",)
    after = done(request(held, remove=public_text(ISSUER.public)), "license_install", "remove")
    assert shown(after).startswith("licence 9f86d081884c7d65: unknown issuer")


def test_a_licence_is_removed_by_its_serial() -> None:
    second = row(serial="0" * 16)
    held = state(ISSUER, row(), second)
    assert perform(request(held, remove=second.serial), "license_install", "remove").warnings == ()
    after = done(request(held, remove=second.serial), "license_install", "remove")
    assert list(after.licenses) == [TERMS.serial]


def test_issuers_are_counted() -> None:
    many = [LicenseIssuer(bytes([number]) * 32, False) for number in range(ISSUERS_MAX)]
    refusal = perform(request(state(*many), issuer=STRANGER), "license_install", "issuer")
    assert refusal.refused
    assert perform(request(state(*many), issuer=public_text(bytes(32))), "license_install", "issuer").refused is False
    with pytest.raises(ValueError, match="is not a public key"):
        perform(request(EMPTY, issuer="c2hvcnQ="), "license_install", "issuer")


@pytest.mark.parametrize(("now", "told"), [
    (NOW, []),
    (TERMS.expires - 30 * DAY, ["the licence for VOIP-SECURITY expires on 2028-01-15: install another before then"]),
    (TERMS.expires, ["the licence for VOIP-SECURITY expired on 2028-01-15: what is enabled stays, nothing new can be"]),
    (0.0, ["a licence was issued after what the clock says now: is the clock right?"]),
])  # fmt: skip
def test_printing_warns_of_the_end_and_of_the_clock(now: float, told: list[str]) -> None:
    assert list(perform(request(state(ISSUER, row()), now=now), "license_print").warnings) == told


def test_every_state_is_printed_as_text_and_as_json() -> None:
    held = state(
        ISSUER,
        row(),
        row(serial="1" * 16, host="pbx.example"),
        row(serial="2" * 16, expires=int(NOW)),
        row(STRANGER_KEY, serial="3" * 16),
        replace(row(serial="4" * 16), document=b"\x00"),
    )
    outcome = perform(request(held), "license_print")
    states = [licence["state"] for licence in json.loads(json.dumps(outcome.value))["licences"]]
    assert states == ["other host", "expired", "unknown issuer", "unreadable", "valid"]
    assert [line for line in outcome.lines if line.startswith("licence ")][3] == f"licence {'4' * 16}: unreadable"
    assert perform(request(EMPTY), "license_print").lines == ("No licence is installed.", "host: gateway.example")


def test_a_testbed_licence_leaves_its_issuers_public_key_and_nothing_more() -> None:
    outcome = perform(request(EMPTY, testbed=True), "license_install", "testbed")
    rows = [change.row for change in outcome.changes if isinstance(change, Put)]
    (issuer,) = (row for row in rows if isinstance(row, LicenseIssuer))
    (licence,) = (row for row in rows if isinstance(row, License))
    assert len(rows) == len(outcome.changes) == 2
    assert read(licence.document).issuer == issuer.public
    assert read(licence.document).authentic()


def test_a_testbed_licence_can_be_issued_whatever_the_clock_says() -> None:
    for now in (-1e9, 0.0, NOW, 1e11):
        after = done(request(EMPTY, now=now, testbed=True), "license_install", "testbed")
        assert allows(after, VOIP_SECURITY, now=now, host=HOST)


@pytest.mark.parametrize(("left", "told"), [(0.5, "1 day left"), (1.0, "1 day left"), (1.5, "2 days left")])
def test_days_that_are_left_are_rounded_up(left: float, told: str) -> None:
    assert told in shown(state(ISSUER, row()), now=TERMS.expires - left * DAY)
