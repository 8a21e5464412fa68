"""What cannot be read of a TLS connection is told in words, and broken octets never hang, raise or get through."""

from __future__ import annotations

import functools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.capture.tls_sessions import TLS12, TLS13, Connection, Ends, Wire, joined, segments

from srtpgw.capture import keylog as labels
from srtpgw.capture import tls
from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.tls import WAITING_MAX, TlsReader
from srtpgw.capture.tls_suites import TLS_SUITES, tls_suite

NOT_AUTHENTIC = "a record did not authenticate: wrong secret or lost octets"
START_MISSING = "the capture does not hold the start of this session"
VERSIONS = [TLS12, TLS13]


@functools.cache
def session(version: int) -> tuple[Ends, Connection]:
    ends = Ends.tls(version)
    connection = ends.connect()
    connection.handshake()
    for number in range(4):
        connection.send(True, b"INVITE sip:%d@example.com SIP/2.0\r\n\r\n" % number)
        connection.send(False, b"SIP/2.0 20%d OK\r\n\r\n" % number)
    return ends, connection


def reader_for(log: bytes) -> TlsReader:
    keylog = KeyLog()
    keylog.add(log)
    return TlsReader(keylog)


def read(reader: TlsReader, wire: Wire) -> Wire:
    return [piece for part in wire for piece in reader.feed(*part)]


def lines_of(ends: Ends, *kept: str) -> bytes:
    return b"".join(line for line in ends.keylog if line.split()[0].decode() in kept)


def known(reader: TlsReader) -> tuple[bool | None, str]:
    return reader.has_secrets, reader.state


def held(reader: TlsReader) -> int:
    """Octets that a reader keeps for later."""
    return sum(len(side.records) + len(side.messages) for side in reader._sides.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_no_secret(version: int) -> None:
    _, connection = session(version)
    other, _ = session(TLS12 if version == TLS13 else TLS13)
    reader = reader_for(other.log)
    assert known(reader) == (None, "start")
    assert reader.feed(*connection.wire[0]) == []
    assert known(reader) == (False, "handshake")
    assert read(reader, connection.wire[1:]) == []
    assert (reader.fault, reader.fault_code, reader.state) == (
        "no secret for this session in the key log",
        "no-secret",
        "failed",
    )
    assert held(reader) == 0
    assert not reader.dissectable


@pytest.mark.parametrize(
    ("kept", "fault", "data"),
    [
        ([labels.CLIENT_TRAFFIC, labels.SERVER_TRAFFIC], "no CLIENT_HANDSHAKE_TRAFFIC_SECRET", 0),
        ([labels.CLIENT_HANDSHAKE, labels.SERVER_HANDSHAKE, labels.CLIENT_TRAFFIC], "no SERVER_TRAFFIC_SECRET_0", 0),
        ([labels.EXPORTER], "no CLIENT_HANDSHAKE_TRAFFIC_SECRET", 0),
    ],
)
def test_some_secrets_are_missing(kept: list[str], fault: str, data: int) -> None:
    ends, connection = session(TLS13)
    reader = reader_for(lines_of(ends, *kept))
    assert len(read(reader, connection.wire)) == data
    assert reader.fault == f"{fault} for this session in the key log"


@pytest.mark.parametrize("version", VERSIONS)
def test_wrong_secrets(version: int) -> None:
    ends, connection = session(version)
    lines = [line.split() for line in ends.keylog]
    log = b"".join(b"%s %s %s\n" % (label, client_random, secret[::-1]) for label, client_random, secret in lines)
    reader = reader_for(log)
    assert read(reader, connection.wire) == []
    assert (reader.fault, reader.fault_code) == (NOT_AUTHENTIC, "not-authentic")


def test_a_suite_that_is_not_read() -> None:
    for suite, name in (
        ("ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
        ("ECDHE-ARIA128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256"),
    ):
        ends = Ends.tls(TLS12, suite)
        connection = ends.connect()
        connection.talk()
        reader = reader_for(ends.log)
        assert read(reader, connection.wire) == []
        assert reader.fault == f"cipher suite {name} is not one that is read here"
        assert reader.dissectable


def test_a_version_that_is_not_read() -> None:
    ends, connection = session(TLS12)
    hello = next(octets for from_client, octets in connection.wire if not from_client)
    changed = hello[:9] + b"\x03\x02" + hello[11:]
    reader = reader_for(ends.log)
    assert read(reader, [connection.wire[0], (False, changed)]) == []
    assert (reader.fault, reader.fault_code) == ("TLS 1.1 is not read here", "version")


def test_suites_are_known_by_number() -> None:
    assert tls_suite(0x1301).name == "TLS_AES_128_GCM_SHA256"
    assert tls_suite(0xC030) == (0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "sha384", "GCM", 32)
    assert tls_suite(0xCCA8) == (
        0xCCA8,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "sha256",
        "CHACHA20_POLY1305",
        32,
    )
    assert tls_suite(0xC0A2)[2:] == ("sha256", "CCM_8", 16)
    assert tls_suite(0x002F).cipher is None
    assert tls_suite(0xBEEF) == (0xBEEF, "0xBEEF", "sha256", None, 0)
    assert len({suite.name for suite in TLS_SUITES.values()}) == len(TLS_SUITES)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_start_is_missing(version: int) -> None:
    ends, connection = session(version)
    reader = reader_for(ends.log)
    assert read(reader, connection.wire[-4:]) == []
    assert (reader.fault, reader.fault_code) == (START_MISSING, "start-missing")


@pytest.mark.parametrize("version", VERSIONS)
def test_octets_lost_in_the_middle(version: int) -> None:
    ends, connection = session(version)
    at = len(connection.wire) - 3
    reader = reader_for(ends.log)
    found = joined(read(reader, connection.wire[:at] + connection.wire[at + 1 :]))
    assert reader.fault == NOT_AUTHENTIC
    assert connection.wire[at][0] is False
    assert found == {True: joined(connection.sent)[True], False: joined(connection.sent[:-4])[False]}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sides_named_the_wrong_way_round(version: int) -> None:
    """Without the SYN a caller has to guess who the client was; the hellos tell."""
    ends, connection = session(version)
    reader = reader_for(ends.log)
    found = read(reader, [(not from_client, octets) for from_client, octets in connection.wire])
    assert found == [(not from_client, data) for from_client, data in connection.sent]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("late", [True, False])
def test_one_direction_captured_late(version: int, late: bool) -> None:
    """All of one direction, then all of the other: each only waits for what it needs."""
    ends, connection = session(version)
    reader = reader_for(ends.log)
    found = read(reader, sorted(connection.wire, key=lambda piece: piece[0] == late))
    assert reader.fault is None
    assert joined(found) == joined(connection.sent)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_direction_is_not_captured(version: int) -> None:
    ends, connection = session(version)
    reader = reader_for(ends.log)
    assert read(reader, [piece for piece in connection.wire if piece[0]]) == []
    assert reader.fault is None
    filler = b"\x17\x03\x03\x40\x00" + bytes(1 << 14)
    for _ in range(2 * WAITING_MAX // len(filler)):
        assert reader.feed(True, filler) == []
        assert held(reader) <= WAITING_MAX + len(filler)
    assert reader.fault_code == "one-sided"
    assert held(reader) == 0


def test_what_is_no_tls() -> None:
    for octets in (b"OPTIONS sip:a SIP/2.0\r\n", b"\x16\x02\0\0\0", b"\x16\x03\x01\xff\xff", b"\x80\x2e\1\3\1"):
        reader = reader_for(b"")
        assert reader.feed(True, octets) == []
        assert reader.fault_code == "malformed"


def test_a_handshake_message_without_end() -> None:
    reader = reader_for(b"")
    assert reader.feed(True, b"\x16\x03\x01\x00\x04\x01\xff\xff\xff") == []
    assert reader.fault_code == "malformed"
    reader = reader_for(b"")
    reader.feed(True, b"\x16\x03\x01\x00\x04\x01" + (tls.MESSAGE_MAX - 4).to_bytes(3, "big"))
    for _ in range(2 * tls.MESSAGE_MAX // 16000):
        reader.feed(True, b"\x16\x03\x01\x3e\x80" + b"\xff" * 16000)
        assert held(reader) <= tls.MESSAGE_MAX + 16000
    assert reader.fault_code == "malformed"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flipped_bit_is_found_or_harmless(version: int) -> None:
    """Data that comes out is data that was sent, in its order, up to where the octets are broken."""
    ends, connection = session(version)
    rng = random.Random(version)
    outcomes = Counter[bool]()
    for _ in range(400):
        wire = list(connection.wire)
        number = rng.randrange(len(wire))
        octets = bytearray(wire[number][1])
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
        wire[number] = (wire[number][0], bytes(octets))
        reader = reader_for(ends.log)
        found, sent = joined(read(reader, wire)), joined(connection.sent)
        assert all(sent[side].startswith(found[side]) for side in found)
        outcomes[reader.fault is None] += 1
        assert reader.fault is not None or held(reader) or found == sent
    assert outcomes[False] > 300


@pytest.mark.parametrize("version", VERSIONS)
def test_cuts_repetitions_and_junk(version: int) -> None:
    ends, connection = session(version)
    rng = random.Random(version)
    sent = joined(connection.sent)
    for seed in range(200):
        parts = list(segments(connection.wire, seed, longest=600))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(parts))
            junk = [(rng.random() < 0.5, rng.randbytes(rng.randrange(1, 100)))]
            parts[at : at + rng.randrange(3)] = rng.choice(([], parts[at : at + 2] * 2, junk))
        found = joined(read(reader_for(ends.log), parts))
        assert all(sent[side].startswith(found[side]) for side in found)


RECORD = st.builds(
    lambda kind, body: bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body,
    st.sampled_from([20, 21, 22, 22, 23, 24]),
    st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda kind, rest: bytes([kind]) + len(rest).to_bytes(3, "big") + rest, st.integers(0, 25), st.binary()
        ),
    ),
)


@given(st.integers(0, 3), st.lists(st.tuples(st.booleans(), st.one_of(RECORD, st.binary(max_size=40))), max_size=12))
def test_any_records_behind_any_start(started: int, wire: Wire) -> None:
    for version in VERSIONS:
        ends, connection = session(version)
        reader = reader_for(ends.log)
        before = joined(read(reader, connection.wire[:started]))
        after = joined(read(reader, wire))
        assert before[True] + after[True] in {b"", *(data for _, data in connection.sent)}
        assert held(reader) < 10_000


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_secret_is_shown(version: int) -> None:
    ends, connection = session(version)
    secrets = [line.split()[2].decode() for line in ends.keylog]
    for wire in (connection.wire, [*connection.wire[:-2], (True, b"\x17\x03\x03\x00\x20" + bytes(32))]):
        reader = reader_for(ends.log)
        read(reader, wire)
        shown = (
            repr(reader)
            + str(reader.fault)
            + repr(reader._sides)
            + repr([side.opener for side in reader._sides.values()])
        )
        assert not any(secret[at : at + 8] in shown for secret in secrets for at in range(0, len(secret) - 8, 8))
