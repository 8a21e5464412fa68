"""Any settings come back from a backup as they were, and no mutation of one is restored or does harm."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import campaign
from unit.control import licences
from unit.control.backups import (
    OTHER_VAULT,
    PASSPHRASE,
    SEALED,
    backed_up,
    certificates,
    content_of,
    opened,
    restored,
    rows,
    sealed_up,
    tampered,
    whole,
)
from unit.control.requests import EMPTY, REALM, VAULT, applied, state

from srtpgw.control import backup
from srtpgw.control.digest import seal_code
from srtpgw.control.model import Extension, H323Route, MediaEncryption, Realm, Row, SecurityPolicy, Setting, SipRoute
from srtpgw.control.routes import seal_password
from srtpgw.errors import BackupError
from srtpgw.terms import LEG_TYPES


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Passphrases of tests need no work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "WORK", 2)
        patch.setattr(backup, "WORK_MIN", 2)
        yield


NUMBERS = st.text("0123456789", min_size=1, max_size=16)
PINS = st.text("0123456789", min_size=1, max_size=7)
PORTS = st.integers(1, 65535)
ADDRESSES = st.sampled_from(["192.0.2.9", "198.51.100.7", "2001:db8::7", "127.0.0.1", "10.0.0.1"])
# What SQL, JSON and text files have special uses for, and what lies beyond ASCII.
PASSWORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.isprintable)
NAMES = st.text(st.sampled_from("abc'%;=()[]{}*éß漢 "), min_size=1, max_size=20).filter(lambda text: text != "none")


def sip_route(route: int, address: str, port: int, prefixes: list[str], login: tuple[str, str] | None) -> SipRoute:
    """A route, with credentials or without."""
    name, password = login or ("", "")
    sealed = seal_password(route, password, VAULT) if password else b""
    destinations = tuple(dict.fromkeys(prefixes))
    return SipRoute(route, "udp", address, port, destinations, (), (), name, sealed)


ROWS = st.lists(
    st.one_of(
        st.builds(MediaEncryption, st.sampled_from(LEG_TYPES), st.booleans()),
        st.just(SecurityPolicy(2)),
        st.sampled_from([Setting("lockout-time", "60"), Setting("lockout-delay", "0"), Setting("direct-media", "on")]),
        st.builds(Extension, NUMBERS, st.integers(0, 9999), st.integers(1, 999), st.booleans()),
        st.builds(lambda number, pin: seal_code(VAULT, number, REALM, pin), NUMBERS, PINS),
        st.builds(sip_route, st.integers(1, 999), ADDRESSES, PORTS, st.lists(NUMBERS, max_size=3),
                  st.none() | st.tuples(NAMES, PASSWORDS)),
        st.builds(H323Route, st.integers(1, 999), ADDRESSES, PORTS, st.booleans(),
                  st.lists(NUMBERS, max_size=3, unique=True).map(tuple), fallback=st.booleans()),
        st.sampled_from(certificates()),
    ),
    max_size=30,
)  # fmt: skip


@given(ROWS)
@settings(max_examples=campaign(250))
def test_any_settings_come_back_on_another_machine(found: list[Row]) -> None:
    held = state(*found, Realm(REALM), licences.ISSUER, licences.row())
    kept = [row for row in backup_rows(held) if not isinstance(row, Realm) or held.authorization_codes]
    octets = backed_up(kept, **SEALED)
    outcome = restored(EMPTY, octets, passphrase=PASSPHRASE, vault=OTHER_VAULT)
    assert not outcome.refused, outcome.lines
    assert opened(applied(EMPTY, outcome.changes), OTHER_VAULT) == opened(state(*kept), VAULT)
    again = restored(held, octets, passphrase=PASSPHRASE)
    assert [change for change in again.changes if getattr(change, "table", None) is not Realm] == []


def backup_rows(held: Any) -> list[Row]:
    from srtpgw.control.restoring import rows_of

    return list(rows_of(held))


def mutated(octets: bytes, chosen: random.Random) -> bytes:
    """Some octets changed, cut, doubled or moved."""
    found = bytearray(octets)
    for _ in range(chosen.choice((1, 1, 2, 8, 64))):
        place, length = chosen.randrange(len(found)), chosen.choice((1, 2, 4, 64, 4096))
        what = chosen.randrange(5)
        if what == 0:
            found[place : place + length] = chosen.randbytes(length)
        elif what == 1:
            found[place] ^= 1 << chosen.randrange(8)
        elif what == 2:
            found[place : place + length] = chosen.choice((b"\0", b"\xff")) * length
        elif what == 3:
            other = chosen.randrange(len(found))
            found[place : place + length] = found[other : other + length]
        else:
            del found[place : place + length]
    return bytes(found)


@pytest.mark.parametrize("digest_fits", [False, True])
def test_a_mutation_is_refused_or_harmless(digest_fits: bool) -> None:
    """Where the digest is made to fit, SQLite gets to see the file. What it then takes for a good one holds rows that
    pass every check, so it may differ in a letter of a name; nothing else comes out of ``read``."""
    plain = backed_up(rows())
    chosen = random.Random(20 + digest_fits)
    reasons: Counter[str] = Counter()
    rounds = campaign(3000)
    for _ in range(rounds):
        octets = mutated(content_of(plain), chosen) if digest_fits else mutated(plain, chosen)
        if digest_fits:
            octets = sealed_up(octets)
        elif octets == plain:
            continue
        try:
            backup.read(octets)
        except BackupError as error:
            reasons[str(error)] += 1
    assert reasons.keys() <= {backup.NOT_A_BACKUP, backup.DAMAGED, backup.CHANGED, backup.NEWER, backup.TOO_LARGE}
    assert reasons.total() > rounds // 4


def test_a_mutation_under_a_passphrase_is_refused() -> None:
    full = backed_up(rows(), **SEALED)
    proof = full[-2 * backup.DIGEST_LENGTH : -backup.DIGEST_LENGTH]
    chosen = random.Random(30)
    good = restored(whole(), tampered(full), passphrase=PASSPHRASE)
    assert (good.refused, good.changes) == (False, ())
    for _ in range(campaign(500)):
        octets = mutated(content_of(full), chosen)
        if octets != content_of(full):
            with pytest.raises(BackupError):
                backup.read(sealed_up(octets, proof=proof), PASSPHRASE)
