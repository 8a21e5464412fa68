"""The testbed's authority and what it signs, judged by openssl and by the library's path validation."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support import require_peer
from unit.control.pki import CLIENT_AUTH, DAY, SERVER_AUTH
from unit.control.requests import EMPTY, NOW, VAULT, applied, without

from srtpgw.control.authority import (
    AUTHORITY_DAYS,
    CLOCK_CEILING,
    CLOCK_FLOOR,
    NAMES_MAX,
    SERVER_DAYS,
    Issued,
    first_run,
    issue,
    kept_names,
    make_authority,
    make_testbed,
    open_authority,
    parse_names,
    usable,
)
from srtpgw.control.certificate_files import read_key, stored_chain
from srtpgw.control.certificates import AUTHORITY, SERVER, alternative_names, check_server, key_label
from srtpgw.control.model import Certificate, State
from srtpgw.control.vault import Vault
from srtpgw.errors import CertificateError, VaultError

EVERYWHERE = "0.0.0.0"  # noqa: S104 - to be refused
NAMES = ("gateway.example", "192.0.2.1", "2001:db8::1")


def leaf_of(issued: Issued) -> x509.Certificate:
    (certificate,) = stored_chain(issued.certificate)
    return certificate


def made(now: float = NOW) -> tuple[Issued, Issued]:
    authority = make_authority(now)
    return authority, issue(authority, parse_names(NAMES), now)


def extension(issued: Issued, kind: type[Any]) -> x509.Extension[Any]:
    return leaf_of(issued).extensions.get_extension_for_class(kind)


# --- what is made


def openssl(*arguments: str) -> str:
    ran = subprocess.run([require_peer("openssl"), *arguments], capture_output=True, text=True, timeout=20, check=False)
    return ran.stdout + ran.stderr


@pytest.mark.peer
def test_openssl_verifies_what_is_made(tmp_path: Path) -> None:
    authority, server = made()
    ca, cert = tmp_path / "ca.pem", tmp_path / "cert.pem"
    ca.write_text(authority.certificate)
    cert.write_text(server.certificate)

    def verify(moment: float, *more: str) -> str:
        return openssl("verify", "-x509_strict", "-attime", str(int(moment)), "-CAfile", str(ca), *more, str(cert))

    for purpose in ("sslserver", "sslclient"):
        assert verify(NOW, "-purpose", purpose) == f"{cert}: OK\n"
    assert verify(NOW, "-verify_hostname", "gateway.example") == f"{cert}: OK\n"
    for address in ("192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"):
        assert (f"{cert}: OK\n" in verify(NOW, "-verify_ip", address)) is (address in NAMES)
    assert "ostname mismatch" in verify(NOW, "-verify_hostname", "other.example")
    assert "not yet valid" in verify(NOW - DAY - 1)
    assert "has expired" in verify(NOW + SERVER_DAYS * DAY + 1)


@pytest.mark.peer
def test_openssl_reads_what_is_made(tmp_path: Path) -> None:
    authority, server = made()
    shown = []
    for place, issued in enumerate((authority, server)):
        path = tmp_path / f"{place}.pem"
        path.write_text(issued.certificate)
        shown.append(openssl("x509", "-in", str(path), "-noout", "-text"))
    for text in ("CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "prime256v1", "ecdsa-with-SHA256"):
        assert text in shown[0]
    for text in ("CA:FALSE", "Digital Signature\n", "TLS Web Server Authentication, TLS Web Client Authentication",
                 "DNS:gateway.example, ", "IP Address:192.0.2.1", "IP Address:2001:DB8:0:0:0:0:0:1"):  # fmt: skip
        assert text in shown[1]


def test_extensions() -> None:
    authority, server = made()
    assert extension(authority, x509.BasicConstraints) == x509.Extension(
        x509.BasicConstraints.oid, True, x509.BasicConstraints(True, 0)
    )
    assert extension(authority, x509.KeyUsage).critical
    assert extension(server, x509.KeyUsage).critical
    assert list(extension(server, x509.ExtendedKeyUsage).value) == [SERVER_AUTH, CLIENT_AUTH]
    identifier = extension(authority, x509.SubjectKeyIdentifier).value.digest
    assert extension(server, x509.AuthorityKeyIdentifier).value.key_identifier == identifier
    assert extension(server, x509.SubjectKeyIdentifier).value.digest != identifier


def test_the_check_of_installed_ones_takes_it() -> None:
    authority, server = made()
    chain = (leaf_of(server),)
    assert check_server(chain, read_key(server.key, ""), [leaf_of(authority)], NOW) == chain


def extension_digest(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def test_nothing_repeats() -> None:
    authorities = [leaf_of(make_authority(NOW)) for _ in range(20)]
    servers = [leaf_of(issue(make_authority(NOW), parse_names(NAMES), NOW)) for _ in range(20)]
    both = authorities + servers
    assert len({one.subject for one in authorities}) == 20, "authorities of one name are taken for each other"
    assert len({one.serial_number for one in both}) == 40
    assert max(one.serial_number.bit_length() for one in both) > 140
    assert all(one.serial_number.bit_length() <= 159 for one in both)
    assert len({extension_digest(one) for one in both}) == 40, "a key was used twice"


def test_lifetimes() -> None:
    authority, server = made()
    for issued, days in ((authority, AUTHORITY_DAYS), (server, SERVER_DAYS)):
        certificate = leaf_of(issued)
        assert certificate.not_valid_before_utc == datetime.fromtimestamp(NOW - DAY, UTC)
        assert certificate.not_valid_after_utc == datetime.fromtimestamp(NOW + days * DAY, UTC)


def test_it_never_outlives_its_authority() -> None:
    authority = make_authority(NOW)
    late = NOW + (AUTHORITY_DAYS - 40) * DAY
    assert leaf_of(issue(authority, ("a",), late)).not_valid_after_utc == leaf_of(authority).not_valid_after_utc
    early = NOW - DAY / 2
    assert leaf_of(issue(authority, ("a",), early)).not_valid_before_utc == leaf_of(authority).not_valid_before_utc


@pytest.mark.parametrize("days", [-2.0, AUTHORITY_DAYS + 0.1])
def test_an_authority_that_is_not_valid_signs_nothing(days: float) -> None:
    with pytest.raises(CertificateError, match="the clock says"):
        issue(make_authority(NOW), ("a",), NOW + days * DAY)


@pytest.mark.parametrize("now", [0.0, -1e18, 1e18, float("inf"), float("nan"), CLOCK_FLOOR - 1, CLOCK_CEILING + 1])
def test_a_clock_that_is_not_set_makes_nothing(now: float) -> None:
    with pytest.raises(CertificateError, match="clock of this machine is not set"):
        make_authority(now)
    with pytest.raises(CertificateError, match="clock of this machine is not set"):
        issue(make_authority(NOW), ("a",), now)


@pytest.mark.parametrize("now", [CLOCK_FLOOR, CLOCK_CEILING])
def test_any_other_clock_does(now: float) -> None:
    assert leaf_of(made(now)[1]).not_valid_after_utc > datetime.fromtimestamp(now, UTC)


def test_no_repr_shows_a_key() -> None:
    authority, server = made()
    assert repr(authority) == repr(server) == "Issued(...)"


# --- names


def test_names_are_taken_once_in_their_order() -> None:
    parsed = parse_names(["B.example", "192.0.2.1", "b.EXAMPLE", "2001:DB8::1", "2001:db8:0::1"])
    assert [str(name) for name in parsed] == ["b.example", "192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    "name", ["", "*", "*.example", "a_b", "a b", "ä.example", "a\0", EVERYWHERE, "::", "224.0.0.1", "fe80::1%eth0",
             "192.0.2.1/24", "[::1]", "1.2.3", "a" * 254, "a@b", "sip:a"])  # fmt: skip
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        parse_names([name])
    assert usable([name, "a.example"]) == ("a.example",)


def test_names_are_bounded() -> None:
    many = [f"n{place}" for place in range(NAMES_MAX + 1)]
    assert len(parse_names(many[:-1])) == NAMES_MAX
    with pytest.raises(ValueError, match="longer than"):
        parse_names(many)


def test_a_long_name_is_no_common_name() -> None:
    long = ".".join(["a" * 50] * 3)
    certificate = leaf_of(issue(make_authority(NOW), (long,), NOW))
    assert certificate.subject.rfc4514_string() == "CN=srtpgw"
    assert alternative_names(certificate) == (long,)


# --- in the store


def after_first_run(names: tuple[str, ...] = NAMES, now: float = NOW) -> State:
    return applied(EMPTY, first_run(EMPTY, VAULT, now, names))


def test_first_run() -> None:
    state = after_first_run()
    assert {row.name: (row.role, row.testbed, row.installed) for row in state.certificates.values()} == {
        SERVER: ("server", True, NOW), AUTHORITY: ("authority", True, NOW)}  # fmt: skip
    server = stored_chain(state.certificates[SERVER].chain)
    assert alternative_names(server[0]) == (
        "gateway.example",
        "localhost",
        "192.0.2.1",
        "2001:db8::1",
        "127.0.0.1",
        "::1",
    )
    key = read_key(VAULT.open(key_label(SERVER), state.certificates[SERVER].key), "")
    check_server(server, key, stored_chain(state.certificates[AUTHORITY].chain), NOW)


def test_the_second_run_makes_nothing() -> None:
    assert first_run(after_first_run(), VAULT, NOW + 9999 * DAY, NAMES) == ()


def test_first_run_leaves_out_what_is_no_name() -> None:
    state = after_first_run(("my_host", EVERYWHERE))
    names = alternative_names(stored_chain(state.certificates[SERVER].chain)[0])
    assert names == ("localhost", "127.0.0.1", "::1")


def renewed(state: State, now: float, names: tuple[str, ...] = ()) -> State:
    return applied(state, make_testbed(state, VAULT, now, names))


def test_the_authority_is_kept_so_that_phones_go_on() -> None:
    before = after_first_run()
    after = renewed(before, NOW + 300 * DAY)
    assert after.certificates[AUTHORITY] == before.certificates[AUTHORITY]
    assert after.certificates[SERVER] != before.certificates[SERVER]
    (server,) = stored_chain(after.certificates[SERVER].chain)
    (authority,) = stored_chain(before.certificates[AUTHORITY].chain)
    server.verify_directly_issued_by(authority)


def test_an_authority_near_its_end_is_replaced() -> None:
    before = after_first_run()
    early = renewed(before, NOW + (AUTHORITY_DAYS - 31) * DAY)
    late = renewed(before, NOW + (AUTHORITY_DAYS - 29) * DAY)
    assert early.certificates[AUTHORITY] == before.certificates[AUTHORITY]
    assert late.certificates[AUTHORITY] != before.certificates[AUTHORITY]


def test_a_clock_behind_the_authority_is_told() -> None:
    with pytest.raises(CertificateError, match=r"valid from 2027-01-14 to 2037-01-14, and the clock says 2026-12-16"):
        renewed(after_first_run(), NOW - 30 * DAY)


def test_another_key_file_is_told() -> None:
    state = after_first_run()
    with pytest.raises(VaultError):
        make_testbed(state, Vault(lambda: bytes(32)), NOW, NAMES)
    swapped = Certificate(AUTHORITY, "authority", state.certificates[AUTHORITY].chain, state.certificates[SERVER].key,
                          True, NOW)  # fmt: skip
    with pytest.raises(VaultError):
        make_testbed(State(certificates={AUTHORITY: swapped}), VAULT, NOW, NAMES)


def test_names_are_kept() -> None:
    state = after_first_run()
    assert sorted(kept_names(state)) == sorted(NAMES)
    assert kept_names(EMPTY) == ()
    assert kept_names(without(state, Certificate, SERVER)) == ()


def test_whoever_signs_gets_the_authority() -> None:
    state = after_first_run()
    opened = open_authority(state, VAULT)
    assert opened is not None
    assert opened.certificate == state.certificates[AUTHORITY].chain
    assert open_authority(EMPTY, VAULT) is None
