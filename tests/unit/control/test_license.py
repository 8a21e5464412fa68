"""Licences: the one text of each, what a changed or hostile file comes to, and what each is worth when and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.control.licences import ISSUER, ISSUER_KEY, STRANGER_KEY, TERMS, document, row
from unit.control.requests import EMPTY, HOST, NOW, state

from srtpgw.control.license import (
    DAY,
    DOCUMENT_MAX,
    EXPIRES_SOON,
    TIME_MAX,
    VOIP_SECURITY,
    Document,
    allows,
    judge,
    notices,
    read,
    read_public,
    sign,
)
from srtpgw.control.model import License, LicenseIssuer
from srtpgw.errors import LicenseError

# What the form was when licences were first issued: they must count for as long as they say.
FIRST_FORM = b"""\
srtpgw licence 1
serial: 9f86d081884c7d65
subject: Example Ltd, Leeds
features: VOIP-SECURITY
issued: 2027-01-14T08:00:00Z
expires: 2028-01-15T08:00:00Z
host: gateway.example
testbed: yes
issuer: A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=
signature: SIGNATURE
"""
FULL = document(host=HOST, testbed=True)
TEXT = FULL.text()


def changed(old: bytes, new: bytes) -> bytes:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_the_form_is_what_it_was() -> None:
    signature = TEXT.rpartition(b"signature: ")[2].strip()
    assert FIRST_FORM.replace(b"SIGNATURE", signature) == TEXT
    signed = TEXT[: TEXT.index(b"signature: ")]
    ISSUER_KEY.public_key().verify(FULL.signature, signed)


@pytest.mark.parametrize("terms", [
    {}, {"host": HOST}, {"testbed": True}, {"features": ("A", "B-2", VOIP_SECURITY)},
    {"subject": "Müller & Söhne: 新しい"}, {"issued": 0, "expires": TIME_MAX},
])  # fmt: skip
def test_what_is_written_is_read(terms: dict[str, Any]) -> None:
    written = document(**terms)
    assert read(written.text()) == written
    assert written.authentic()


def test_line_ends_of_another_system_do_not_matter() -> None:
    assert read(TEXT.replace(b"\n", b"\r\n")) == FULL
    assert read(TEXT.removesuffix(b"\n")).text() == TEXT


@pytest.mark.parametrize("flip", [0x01, 0x20])
def test_no_changed_octet_leaves_a_licence(flip: int) -> None:
    outcomes = []
    for place in range(len(TEXT) - 1):  # behind the last line end there is nothing
        octets = TEXT[:place] + bytes([TEXT[place] ^ flip]) + TEXT[place + 1 :]
        try:
            outcomes.append(read(octets).authentic())
        except LicenseError:
            outcomes.append(False)
    assert len(outcomes) == len(TEXT) - 1
    assert not any(outcomes)


@pytest.mark.parametrize(("octets", "told"), [
    (b"", "does not begin with"),
    (b"\x7fELF" + bytes(100), "does not begin with"),
    (b"\xff\xfe", "is not text"),
    (changed(b"licence 1", b"licence 2"), "newer version"),
    (TEXT + b"x" * DOCUMENT_MAX, "longer than 4096 octets"),
    (TEXT + b"more: 1\n", "goes on behind its signature"),
    (TEXT + b"\n", "goes on behind its signature"),
    (TEXT[: TEXT.index(b"signature")], 'has no "signature"'),
    (changed(b"subject: ", b"subject:"), 'has no "subject"'),
    (changed(b"serial: 9f86", b"serial: 9F86"), "serial"),
    (changed(b"Leeds", "Leeds\u202e".encode()), "printable"),
    (changed(b"Leeds", b"Leeds\x1b[2J"), "printable"),
    (changed(b"Leeds", b"Leeds\rM"), "printable"),
    (changed(b"Leeds", b"Leeds "), "space at its beginning or end"),
    (changed(b"Example Ltd, Leeds", b""), "subject"),
    (changed(b"Example", b"E" * 200), "200 characters"),
    (changed(b"VOIP-SECURITY", b"VOIP-SECURITY, VOIP-SECURITY"), "each once"),
    (changed(b"VOIP-SECURITY", b", ".join(b"F%d" % one for one in range(17))), "1 to 16 features"),
    (changed(b"VOIP-SECURITY", b"voip-security"), "capitals"),
    (changed(b"2027-01-14T", b"2027-13-14T"), "has a time"),
    (changed(b"2027-01-14T", "\uff12027-01-14T".encode()), "has a time"),
    (changed(b"2027-01-14T", b"0001-01-14T"), "before 1970"),
    (changed(b"2028-01-15T", b"2026-01-15T"), "expires before it was issued"),
    (changed(b"host: gateway.example", b"host: gate way"), "not a host name"),
    (changed(b"host: gateway", b"host: " + b"g" * 254), "not a host name"),
    (changed(b"testbed: yes", b"testbed: no"), "testbed"),
    (changed(b"Mbg=", b"Mbh="), "base64 of 32 octets"),  # the same octets, written another way
    (changed(b"issuer: A", b"issuer:  A"), "base64 of 32 octets"),
    (changed(b"issuer: A6EHv", b"issuer: A6E"), "base64 of 32 octets"),
])  # fmt: skip
def test_a_file_that_is_no_licence_says_why(octets: bytes, told: str) -> None:
    with pytest.raises(LicenseError, match=told):
        read(octets)


@given(st.binary(max_size=400) | st.integers(0, len(TEXT)).map(lambda end: TEXT[:end]))
@example(FIRST_FORM)
def test_hostile_octets_are_refused_or_read(octets: bytes) -> None:
    try:
        found = read(octets)
    except LicenseError:
        return
    assert found.text().startswith(octets.replace(b"\r\n", b"\n").removesuffix(b"\n"))


@pytest.mark.parametrize("wrong", [{"serial": "1"}, {"subject": ""}, {"features": ()}, {"expires": TERMS.issued - 1},
                                   {"expires": TIME_MAX + 1}, {"host": "a b"}])  # fmt: skip
def test_nothing_is_signed_that_could_not_be_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(LicenseError):
        document(**wrong)


def test_the_longest_licence_fits() -> None:
    longest = replace(
        TERMS,
        subject="語" * 200,
        features=tuple(f"F{one:02}" + "-" * 28 + "9" for one in range(16)),
        host="h" * 253,
        testbed=True,
    )
    assert len(sign(longest, ISSUER_KEY).text()) <= DOCUMENT_MAX


def test_a_signature_by_another_key_counts_for_nothing() -> None:
    forged = Document(TERMS, ISSUER.public, document(STRANGER_KEY).signature)
    assert not forged.authentic()
    assert judge(state(ISSUER), License(TERMS.serial, forged.text(), NOW), now=NOW, host=HOST).standing == "unreadable"


@pytest.mark.parametrize(("now", "standing"), [
    (TERMS.expires - 1e-3, "valid"),
    (TERMS.expires, "expired"),
    (1e11, "expired"),
    (0.0, "valid"),  # a clock set back takes nothing away: the date of issue is not judged
    (-1e9, "valid"),
])  # fmt: skip
def test_a_licence_counts_until_its_end(now: float, standing: str) -> None:
    held = state(ISSUER, row())
    assert judge(held, row(), now=now, host=HOST).standing == standing
    assert allows(held, VOIP_SECURITY, now=now, host=HOST) == (standing == "valid")


@pytest.mark.parametrize(("bound", "host", "standing"), [
    ("", "anything", "valid"),
    ("gateway.example", "gateway.example", "valid"),
    ("Gateway.Example", "gateway.EXAMPLE.", "valid"),
    ("gateway.example", "gateway", "other host"),
    ("gateway.example", "", "other host"),
])  # fmt: skip
def test_a_bound_licence_counts_on_its_host_only(bound: str, host: str, standing: str) -> None:
    held = row(host=bound)
    assert judge(state(ISSUER, held), held, now=NOW, host=host).standing == standing
    assert allows(state(ISSUER, held), VOIP_SECURITY, now=NOW, host=host) == (standing == "valid")


def test_what_is_not_a_valid_licence_allows_nothing() -> None:
    valid = row()
    cases = {
        "none": EMPTY,
        "issuer unknown": state(valid),
        "another issuer": state(LicenseIssuer(STRANGER_KEY.public_key().public_bytes_raw(), False), valid),
        "damaged": state(ISSUER, replace(valid, document=valid.document[:-2])),
        "row of another serial": state(ISSUER, replace(valid, serial="0" * 16)),
        "another feature": state(ISSUER, row(features=("VOIP-SECURITY-2",))),
    }
    assert {name: allows(held, VOIP_SECURITY, now=NOW, host=HOST) for name, held in cases.items()} == dict.fromkeys(
        cases, False
    )


def test_testbed_is_known_by_the_licence_and_by_its_issuer() -> None:
    ours = replace(ISSUER, testbed=True)
    marked = row(testbed=True)
    assert judge(state(ISSUER, marked), marked, now=NOW, host=HOST).testbed
    assert judge(state(ours, row()), row(), now=NOW, host=HOST).testbed
    assert not judge(state(ISSUER, row()), row(), now=NOW, host=HOST).testbed


def test_the_end_is_told_thirty_days_before() -> None:
    held = state(ISSUER, row())
    early, late = TERMS.expires - EXPIRES_SOON - 1, TERMS.expires - EXPIRES_SOON
    assert notices(held, VOIP_SECURITY, now=early, host=HOST) == ()
    assert "expires on 2028-01-15" in notices(held, VOIP_SECURITY, now=late, host=HOST)[0]
    assert "expired on 2028-01-15" in notices(held, VOIP_SECURITY, now=TERMS.expires, host=HOST)[0]
    longer = state(ISSUER, row(), row(serial="0" * 16, expires=TERMS.expires + EXPIRES_SOON + DAY))
    assert notices(longer, VOIP_SECURITY, now=TERMS.expires, host=HOST) == ()
    assert notices(EMPTY, VOIP_SECURITY, now=NOW, host=HOST) == ()
    assert "license_print" in notices(state(row()), VOIP_SECURITY, now=NOW, host=HOST)[0]


@pytest.mark.parametrize("text", ["", "A" * 44, "é" * 44, "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg", " " * 44])
def test_a_public_key_is_read_strictly(text: str) -> None:
    with pytest.raises(LicenseError):
        read_public(text)
