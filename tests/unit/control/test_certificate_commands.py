"""certificate_install and certificate_print: what each action changes, asks, warns of and prints."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import campaign
from unit.control.pki import DAY, Party, bundle, file, key_pem, leaf, make, mutated, root
from unit.control.requests import EMPTY, NOW, VAULT, applied, done, perform, request, state, without

from srtpgw.control.authority import first_run
from srtpgw.control.certificate_files import encode_chain, stored_chain
from srtpgw.control.certificates import alternative_names, key_label
from srtpgw.control.commands.certificate import TRUSTED_MAX
from srtpgw.control.commands.table import Outcome
from srtpgw.control.model import Certificate, State
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault

ROOT = root()
MIDDLE = make("Middle", ROOT, ca=True)
SERVER = leaf(MIDDLE, days=(-1, 100))
FIRST = applied(EMPTY, first_run(EMPTY, VAULT, NOW, ["gateway.example"]))
MARKED = "Marked-7Secret"


def options(**more: Any) -> dict[str, Any]:
    """Of certificate_install --cert."""
    return {"cert": file(SERVER.pem + MIDDLE.pem), "key": file(key_pem(SERVER)), "ca": file(ROOT.pem), **more}


def install(before: State = EMPTY, /, **more: Any) -> Outcome:
    return perform(request(before, **options(**more)), "certificate_install", "cert")


def act(key: str, before: State = EMPTY, **given: Any) -> Outcome:
    return perform(request(before, **given), "certificate_install", key)


def shown(before: State, now: float = NOW) -> Outcome:
    return perform(request(before, now=now), "certificate_print", "print")


# --- a chain that an authority signed


def test_a_certificate_takes_the_place_of_the_one_before() -> None:
    outcome = install(FIRST)
    assert outcome.lines == (
        "The certificate for gateway.example, 192.0.2.1 is installed, valid until 2027-04-25.",
        "New TLS connections use it; those that are open are not disturbed.",
    )
    assert outcome.warnings == ()
    assert outcome.value["subject"] == "CN=gateway.example"
    after = applied(FIRST, outcome.changes)
    assert set(after.certificates) == {"server", "testbed-ca"}
    row = after.certificates["server"]
    assert (row.testbed, row.chain) == (False, encode_chain((SERVER.certificate, MIDDLE.certificate)))
    assert after.certificates["testbed-ca"] == FIRST.certificates["testbed-ca"]


def test_one_that_ends_soon_is_warned_of() -> None:
    server = leaf(ROOT, days=(-1, 12.5))
    outcome = install(cert=file(server.pem), key=file(key_pem(server)))
    assert not outcome.refused
    assert outcome.warnings == ("it ends in 12 days",)


@pytest.mark.parametrize("passphrase", ["", MARKED])
def test_an_encrypted_key(passphrase: str) -> None:
    key = file(key_pem(SERVER, MARKED.encode()))
    outcome = install(key=key, passphrase=passphrase)
    assert outcome.refused is not bool(passphrase)
    if outcome.refused:
        assert outcome.lines == ("The private key is encrypted.", "Give --passphrase; alone it asks for it.")
        assert outcome.changes == ()
    else:
        row = applied(EMPTY, outcome.changes).certificates["server"]
        assert VAULT.open(key_label("server"), row.key) == key_pem(SERVER)


@pytest.mark.parametrize("option", ["cert", "key", "chain", "ca"])
def test_each_file_is_named_where_it_is_wrong(option: str) -> None:
    names = {"cert": "certificate file", "key": "key file", "chain": "chain file", "ca": "CA file"}
    outcome = install(FIRST, **{option: file(b"")})
    assert outcome.refused
    assert outcome.lines[0] == f"The {names[option]} is empty."
    assert outcome.changes == ()


def test_a_key_in_the_chain_is_refused() -> None:
    for option in ("cert", "chain", "ca"):
        outcome = install(**{option: file(MIDDLE.pem + key_pem(MIDDLE))})
        assert outcome.lines[0].endswith("file holds a private key.")


def test_a_bundle() -> None:
    p12 = file(bundle(SERVER, [MIDDLE, ROOT], MARKED.encode()))
    outcome = act("pkcs12", FIRST, pkcs12=p12, passphrase=MARKED)
    assert applied(FIRST, outcome.changes).certificates["server"].chain == encode_chain(
        (SERVER.certificate, MIDDLE.certificate)
    )
    refused = act("pkcs12", FIRST, pkcs12=p12, passphrase="wrong")  # noqa: S106 - that it is wrong is tested
    assert refused.refused
    assert refused.changes == ()


@pytest.mark.parametrize("which", ["server", "between", "root"])
def test_a_changed_octet_is_never_installed(which: str) -> None:
    """Of the certificates' DER: what a signature covers, the signature, and what stands around them."""
    chance = random.Random(which)
    parties = {"server": SERVER, "between": MIDDLE, "root": ROOT}
    told = set()
    for _ in range(campaign(2000)):
        der = {name: party.der for name, party in parties.items()}
        der[which] = mutated(der[which], chance)
        outcome = install(cert=file(der["server"]), chain=file(der["between"]), ca=file(der["root"]))
        if der[which] != parties[which].der and which != "root":  # who trusts a root trusts it as it is
            assert outcome.refused
        told.add(outcome.lines[0])
    assert len(told) > 3


# --- the testbed's own


def names_of(now: State) -> tuple[str, ...]:
    return alternative_names(stored_chain(now.certificates["server"].chain)[0])


def test_the_first_testbed_certificate_brings_its_authority() -> None:
    outcome = act("testbed", names=("a.example", "192.0.2.1"))
    assert outcome.warnings == ("testbed-ca is new: phones must trust it (certificate_print --pem testbed-ca)",)
    after = applied(EMPTY, outcome.changes)
    assert names_of(after) == ("a.example", "localhost", "192.0.2.1", "127.0.0.1", "::1")
    assert [row.testbed for row in after.certificates.values()] == [True, True]


def test_names_are_kept_unless_others_are_given() -> None:
    again = done(request(FIRST, now=NOW + DAY), "certificate_install", "testbed")
    assert names_of(again) == names_of(FIRST) == ("gateway.example", "localhost", "127.0.0.1", "::1")
    other = done(request(FIRST, names=("b.example",)), "certificate_install", "testbed")
    assert names_of(other) == ("b.example", "localhost", "127.0.0.1", "::1")
    assert other.certificates["testbed-ca"] == FIRST.certificates["testbed-ca"]


def test_without_names_it_is_for_this_host() -> None:
    assert names_of(done(request(host="here.example"), "certificate_install", "testbed"))[0] == "here.example"
    assert names_of(done(request(host="no_host"), "certificate_install", "testbed"))[0] == "localhost"


@pytest.mark.parametrize("name", ["", "*.example", "a b", "sip:x", "a\n", "x" * 64, "ä"])
def test_a_name_that_is_none_is_wrong_usage(name: str) -> None:
    with pytest.raises(ValueError, match=r"^is neither"):
        act("testbed", names=(name,))


def test_names_that_no_client_looks_for_are_refused() -> None:
    outcome = act("testbed", FIRST, names=("a_b",))
    assert outcome.refused
    assert outcome.lines[0].startswith("A name is neither a host name nor an address")


def test_a_certificate_from_elsewhere_is_not_replaced_unasked() -> None:
    before = applied(FIRST, install(FIRST).changes)
    asked = act("testbed", before)
    assert asked.question == "The installed certificate is no testbed's. Put a testbed's in its place?"
    assert asked.changes == ()
    assert done(request(before, confirmed=True), "certificate_install", "testbed").certificates["server"].testbed


def test_an_authority_whose_key_does_not_open_is_told() -> None:
    outcome = perform(request(FIRST, vault=Vault(lambda: bytes(32))), "certificate_install", "testbed")
    assert outcome.refused
    assert outcome.lines[0].startswith("The testbed's authority cannot sign: ")
    assert "certificate_install -remove testbed-ca" in outcome.lines[1]


def test_a_clock_that_is_not_set_is_told() -> None:
    outcome = perform(request(now=12.0), "certificate_install", "testbed")
    assert outcome.lines == ("No certificate can be made: the clock of this machine is not set.", "Set it right.")


# --- authorities of peers


def test_trust() -> None:
    outcome = act("trust", trust=file(ROOT.pem), names=("corporate",))
    fingerprint = outcome.value["fingerprint"]
    assert outcome.lines == ("corporate: CN=Root is trusted until 2027-04-25.", f"SHA-256 {fingerprint}")
    row = applied(EMPTY, outcome.changes).certificates["corporate"]
    assert (row.role, row.key, row.testbed) == ("trusted", b"", False)
    assert row.chain == ROOT.pem.decode()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (SERVER.pem, "CN=gateway.example did not sign itself, so it is no root."),
        (MIDDLE.pem, "CN=Middle did not sign itself, so it is no root."),
        (make("Alone").pem, "CN=Alone is not a certificate authority."),
        (root("Old", days=(-9, -1)).pem, "CN=Old expired on 2027-01-14."),
        (root("Next", days=(1, 9)).pem, "CN=Next is not valid before 2027-01-16."),
        (ROOT.pem + MIDDLE.pem, "The authority file holds several certificates."),
        (ROOT.pem + key_pem(ROOT), "The authority file holds a private key."),
        (b"", "The authority file is empty."),
    ],
)
def test_what_is_not_trusted(octets: bytes, reason: str) -> None:
    outcome = act("trust", trust=file(octets), names=("corporate",))
    assert outcome.refused
    assert outcome.lines[0] == reason
    assert outcome.changes == ()


@pytest.mark.parametrize("name", ["server", "testbed-ca"])
def test_the_gateways_own_names_are_taken(name: str) -> None:
    assert act("trust", FIRST, trust=file(ROOT.pem), names=(name,)).lines[0] == f"The name {name} is taken."


@pytest.mark.parametrize("names", [("a", "b"), ("::1",), ("a." * 40 + "example",)])
def test_an_authority_has_one_short_name(names: tuple[str, ...]) -> None:
    assert act("trust", trust=file(ROOT.pem), names=names).lines[0].startswith("An authority has one name")


def test_trusted_authorities_are_bounded() -> None:
    rows = [Certificate(f"ca{n}", "trusted", ROOT.pem.decode(), b"", False, NOW) for n in range(TRUSTED_MAX)]
    full = state(*rows)
    assert act("trust", full, trust=file(ROOT.pem), names=("one-more",)).refused
    assert not act("trust", full, trust=file(ROOT.pem), names=("ca0",)).refused


# --- taking away


def test_remove() -> None:
    trusted = done(request(FIRST, trust=file(ROOT.pem), names=("corporate",)), "certificate_install", "trust")
    assert "corporate" not in done(request(trusted, remove="corporate"), "certificate_install", "remove").certificates
    for name in ("server", "testbed-ca"):
        asked = act("remove", FIRST, remove=name)
        assert asked.question.endswith("away?")
        assert asked.changes == ()
        after = done(request(FIRST, confirmed=True, remove=name), "certificate_install", "remove")
        assert after.certificates == without(FIRST, Certificate, name).certificates
    assert act("remove", remove="x").lines[0] == "There is no such certificate."


# --- printing


def test_nothing_to_print() -> None:
    assert shown(EMPTY).lines == ("No certificate is installed.",)
    assert shown(EMPTY).value == {"certificates": [], "warnings": []}


def test_all_are_printed() -> None:
    both = done(request(FIRST, trust=file(ROOT.pem), names=("corporate",)), "certificate_install", "trust")
    outcome = shown(both)
    heads = [line for line in outcome.lines if not line.startswith(" ")]
    assert heads == ["corporate: trusted, not in use", "server: server, testbed, in use",
                     "testbed-ca: authority, testbed, in use"]  # fmt: skip
    value = json.loads(json.dumps(outcome.value))
    (corporate, server, authority) = value["certificates"]
    assert server["san"] == ["gateway.example", "localhost", "127.0.0.1", "::1"]
    assert (server["not_before"], server["not_after"]) == ("2027-01-14T08:00:00Z", "2028-01-15T08:00:00Z")
    assert (server["days_left"], server["key_type"], server["has_key"]) == (365, "ECDSA P-256", True)
    assert server["issuer"] == authority["subject"]
    assert (corporate["role"], corporate["has_key"]) == ("trusted", False)
    for one in value["certificates"]:
        assert f"  SHA-256: {one['fingerprint']}" in outcome.lines


def test_what_ends_is_warned_of_when_printed() -> None:
    assert shown(FIRST).warnings == ()
    assert shown(FIRST, NOW + 340 * DAY).warnings == (
        "certificate server ends on 2028-01-15, in 25 days: certificate_install --testbed makes a new one",
    )
    late = shown(FIRST, NOW + 366 * DAY)
    assert "  valid: 2027-01-14 to 2028-01-15, expired" in late.lines
    assert late.value["warnings"] == list(late.warnings)


def test_a_damaged_row_hides_no_other() -> None:
    torn = Certificate("torn", "trusted", "-----BEGIN CERTIFICATE-----\nAA", b"", False, NOW)
    outcome = shown(state(torn, *FIRST.certificates.values()))
    assert len(outcome.value["certificates"]) == 2
    assert outcome.warnings[0].startswith("certificate torn: A certificate in the stored chain cannot be read.")


def test_a_missing_key_is_told() -> None:
    rows = [replace(row, key=b"") for row in FIRST.certificates.values()]
    outcome = shown(state(*rows))
    assert outcome.lines.count("  key: ECDSA P-256, private key missing") == 2
    assert "server: server, testbed, not in use" in outcome.lines
    assert [text.partition(": ")[2] for text in outcome.warnings] == [
        "certificate_install --testbed makes a new one",
        "take it away with certificate_install -remove testbed-ca, then --testbed makes a new one",
    ]
    assert act("testbed", state(*rows)).refused
    again = act("testbed", without(state(*rows), Certificate, "testbed-ca"))
    assert shown(applied(EMPTY, again.changes)).warnings == ()


def test_pem() -> None:
    outcome = perform(request(FIRST, pem="testbed-ca"), "certificate_print", "pem")
    assert "\n".join(outcome.lines) + "\n" == FIRST.certificates["testbed-ca"].chain == outcome.value["pem"]
    assert perform(request(FIRST, pem="x"), "certificate_print", "pem").refused


# --- keys stay sealed


def forms(secret: bytes) -> Iterator[bytes]:
    """As it is, in hexadecimal, and in base64 at each alignment."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for skip in range(3):
        core = base64.b64encode(secret[skip : skip + (len(secret) - skip) // 3 * 3])
        yield core
        yield base64.urlsafe_b64encode(base64.b64decode(core))


def key_parts(party: Party) -> list[bytes]:
    """The scalar, and the whole in DER and PEM (whose lines break the base64)."""
    pem = key_pem(party)
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    return [party.key.private_numbers().private_value.to_bytes(32, "big"), der, pem, pem.splitlines()[1]]


def test_no_key_is_in_a_file_of_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    with store.change() as transaction:
        transaction.apply(first_run(transaction.state, VAULT, NOW, ["gateway.example"]))
        transaction.apply(act("trust", transaction.state, trust=file(ROOT.pem), names=("corporate",)).changes)
        outcome = install(transaction.state, key=file(key_pem(SERVER, MARKED.encode())), passphrase=MARKED)
        transaction.apply(outcome.changes)
    kept = store.read().certificates
    assert set(kept) == {"corporate", "server", "testbed-ca"}
    assert VAULT.open(key_label("server"), kept["server"].key) == key_pem(SERVER)
    held = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    store.close()
    held |= {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(SERVER.pem.splitlines()[1] in octets for octets in held.values()), "the search finds what is in clear"
    testbed = VAULT.open(key_label("testbed-ca"), kept["testbed-ca"].key)
    sought = [form for part in (*key_parts(SERVER), testbed.splitlines()[1]) for form in forms(part)]
    for path, octets in held.items():
        for form in (*sought, MARKED.encode(), b"PRIVATE KEY"):
            assert form not in octets, path.name


def test_no_outcome_or_repr_shows_a_secret() -> None:
    given = options(key=file(key_pem(SERVER, MARKED.encode())), passphrase=MARKED)
    for outcome in (install(**given), install(**{**given, "passphrase": MARKED + "x"}), shown(FIRST),
                    act("pkcs12", pkcs12=file(bundle(SERVER, [], b"x")), passphrase=MARKED)):  # fmt: skip
        told = f"{outcome!r} {outcome.lines} {outcome.value} {outcome.warnings} {request(**given)!r}"
        sought = [MARKED.encode(), b"PRIVATE KEY", *(form for part in key_parts(SERVER) for form in forms(part))]
        assert not [form for form in sought if form in told.encode()]
