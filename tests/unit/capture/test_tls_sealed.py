"""Records of TLS 1.3 sealed here under the secrets of a real session: what real ends would not send, or rarely."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from unit.capture.tls_sessions import TLS12, TLS13, Ends, Wire, joined

from srtpgw.capture import keylog as labels
from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.tls import TlsReader
from srtpgw.capture.tls_schedule import expand_label

HANDSHAKE, DATA = b"\x16", b"\x17"
FINISHED, KEY_UPDATE = b"\x14\0\0\x20" + bytes(32), b"\x18\0\0\1\0"
NEW_TICKET_BEGUN = b"\x04\0\0\x20"


class Sealer:
    """Seals records in order under a traffic secret (RFC 8446, sections 5.2 and 7.3)."""

    def __init__(self, secret: bytes) -> None:
        self._key = AESGCM(expand_label("sha256", secret, b"key", b"", 16))
        self._iv = int.from_bytes(expand_label("sha256", secret, b"iv", b"", 12), "big")
        self._number = 0

    def seal(self, inner: bytes) -> bytes:
        """``inner`` is the content, its type, and padding."""
        header = b"\x17\3\3" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + self._key.encrypt(nonce, inner, header)


class Session:
    """A reader that was fed the two hellos of a session, and sealers of all its secrets."""

    def __init__(self) -> None:
        ends = Ends.tls(TLS13, "TLS_AES_128_GCM_SHA256")
        connection = ends.connect()
        connection.handshake()
        keylog = KeyLog()
        keylog.add(ends.log)
        self.reader = TlsReader(keylog)
        (_, client_hello), (_, flight) = connection.wire[:2]
        self.reader.feed(True, client_hello)
        self.reader.feed(False, flight[: 5 + int.from_bytes(flight[3:5], "big")])
        assert (self.reader.state, self.reader.fault) == ("handshake", None)
        client_random = self.reader.client_random
        assert client_random is not None
        names = (labels.CLIENT_HANDSHAKE, labels.SERVER_HANDSHAKE, labels.CLIENT_TRAFFIC, labels.SERVER_TRAFFIC)
        secrets = [keylog.find(name, client_random) or b"" for name in names]
        self.handshake = {True: Sealer(secrets[0]), False: Sealer(secrets[1])}
        self.traffic = {True: Sealer(secrets[2]), False: Sealer(secrets[3])}

    def finish(self, *sides: bool) -> None:
        for side in sides:
            assert self.reader.feed(side, self.handshake[side].seal(FINISHED + HANDSHAKE)) == []
        assert self.reader.fault is None

    def say(self, side: bool, inner: bytes) -> Wire:
        return self.reader.feed(side, self.traffic[side].seal(inner))


@pytest.fixture
def session() -> Session:
    return Session()


def test_padding_is_taken_off(session: Session) -> None:
    session.finish(True, False)
    assert session.say(True, b"data\0" + DATA + bytes(1000)) == [(True, b"data\0")]
    assert session.say(False, b"" + DATA + bytes(7)) == []
    assert session.say(False, b"more" + DATA) == [(False, b"more")]
    assert session.reader.fault is None


def test_a_record_of_padding_alone(session: Session) -> None:
    session.finish(True, False)
    assert session.say(True, bytes(20)) == []
    assert session.reader.fault_code == "malformed"


def test_application_data_within_the_handshake(session: Session) -> None:
    assert session.reader.feed(False, session.handshake[False].seal(b"data" + DATA)) == []
    assert session.reader.fault == "application data within the handshake"


@pytest.mark.parametrize("message", [KEY_UPDATE, FINISHED])
def test_a_message_that_goes_on_behind_a_change_of_keys(session: Session, message: bytes) -> None:
    if message == KEY_UPDATE:
        session.finish(True, False)
        session.say(True, message + NEW_TICKET_BEGUN + HANDSHAKE)
    else:
        session.reader.feed(True, session.handshake[True].seal(message + NEW_TICKET_BEGUN + HANDSHAKE))
    assert session.reader.fault == "a handshake message goes on behind a change of keys"


def test_a_finished_behind_the_handshake_changes_no_keys(session: Session) -> None:
    """As of a client that is asked for its certificate late (RFC 8446, section 4.6.2)."""
    session.finish(True, False)
    session.say(True, FINISHED + HANDSHAKE)
    assert session.say(True, b"data" + DATA) == [(True, b"data")]


@pytest.mark.parametrize("kind", [HANDSHAKE, b"\x18"])
def test_records_in_clear_behind_the_hellos(session: Session, kind: bytes) -> None:
    session.reader.feed(False, kind + b"\3\3\0\1\0")
    assert session.reader.fault == "a record in clear where all have to be protected"


def test_early_data_has_an_end(session: Session) -> None:
    session.reader._early_data_left = 100  # as a hello with the extension sets it
    refused = DATA + b"\3\3\0\x30" + bytes(48)
    for _ in range(2):
        session.reader.feed(True, refused)
        assert session.reader.fault is None
    session.reader.feed(True, refused)
    assert session.reader.fault_code == "not-authentic"


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_what_waited_comes_first(version: int) -> None:
    """The request was captured ahead of the server's whole flight, answer and all: it stays ahead of the answer."""
    ends = Ends.tls(version)
    connection = ends.connect()
    connection.handshake()
    connection.send(True, b"request")
    connection.send(False, b"answer")
    keylog = KeyLog()
    keylog.add(ends.log)
    reader = TlsReader(keylog)
    whole = joined(connection.wire)
    assert reader.feed(True, whole[True]) == []
    assert reader.feed(False, whole[False]) == [(True, b"request"), (False, b"answer")]


@pytest.mark.parametrize("first", [True, False])
def test_renegotiation_with_one_direction_captured_late(first: bool) -> None:
    """A change of ciphers under encryption waits too, and is opened again."""
    ends = Ends.tls(TLS12)
    connection = ends.connect()
    connection.handshake()
    connection.send(True, b"ahead")
    connection.renegotiate()
    connection.send(True, b"behind")
    connection.send(False, b"answer")
    keylog = KeyLog()
    keylog.add(ends.log)
    reader = TlsReader(keylog)
    whole = joined(connection.wire)
    pieces = reader.feed(first, whole[first]) + reader.feed(not first, whole[not first])
    assert reader.fault is None
    assert joined(pieces) == {True: b"aheadbehind", False: b"answer"}


def test_renegotiation_that_waits_record_by_record() -> None:
    ends = Ends.tls(TLS12)
    connection = ends.connect()
    connection.handshake()
    before = len(connection.wire)
    connection.renegotiate()
    connection.send(True, b"behind")
    keylog = KeyLog()
    keylog.add(ends.log)
    reader = TlsReader(keylog)
    for piece in connection.wire[:before]:
        reader.feed(*piece)
    later = sorted(connection.wire[before:], key=lambda piece: not piece[0])
    found = [part for from_client, octets in later for part in reader.feed(from_client, octets)]
    assert (reader.fault, found) == (None, [(True, b"behind")])
