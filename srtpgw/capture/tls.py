"""One captured TLS connection, read with the secrets of a key log: TLS 1.2 and 1.3 (RFC 5246, RFC 8446), AEAD suites.

Each direction is a queue of records and, inside these, of handshake messages. What stands first in a queue is taken as
soon as it can be understood, and waits for the other direction otherwise: captures may show the client's data before
the server's flight that it answers::

    first in the queue        waits until                     then
    ClientHello               -                               its random is known; a server hello may follow
    ServerHello               a ClientHello was taken         1.2: the keys are made, and wait for each side's change;
                                                              1.3: both sides go on under their handshake secrets
    HelloRetryRequest         a ClientHello was taken         the version is 1.3; waits for the next ClientHello
    ChangeCipherSpec          the version is known; of 1.2,   1.2: the side goes on under the keys that were made;
                              the client's: its hello is      1.3: nothing (RFC 8446, appendix D.4)
                              answered
    Finished (1.3)            -                               the side goes on under its application secret
    KeyUpdate (1.3)           -                               the side goes on under the secret after that
    application data          there are keys, or the version  opened and handed out; early data of 1.3 is passed over
    alert                     -                               close_notify or a fatal one ends the direction

A hello within a session that is open already (renegotiation of TLS 1.2) goes the same way. Octets leave only out of a
record that authenticated. What cannot be read ends the reading with a TlsFault's text in ``fault``; nothing is raised.
"""

from __future__ import annotations

from typing import Literal

from . import keylog as labels
from .keylog import KeyLog
from .tls_schedule import Opener, next_secret, opener_of_traffic, openers_of_master
from .tls_suites import TlsSuite, tls_suite
from .tls_wire import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    FINISHED,
    HANDSHAKE,
    HELLO_REQUEST,
    KEY_UPDATE,
    SERVER_HELLO,
    ClientHello,
    FaultCode,
    Record,
    RecordBuffer,
    ServerHello,
    TlsFault,
    parse_client_hello,
    parse_server_hello,
    version_name,
)

State = Literal["start", "handshake", "open", "closed", "failed"]

WAITING_MAX = 256 << 10  # octets of one direction that wait for the other
MESSAGE_MAX = 256 << 10  # octets of a handshake message: long lists of certificate authorities
EARLY_DATA_MAX = 1 << 20  # octets of early data to pass over
TLS12, TLS13 = 0x0303, 0x0304
MESSAGE_HEADER = 4  # octets

FATAL, CLOSE_NOTIFY = 2, 0  # level and description of an alert (RFC 5246, section 7.2)


class _Side:
    """One direction: what waits to be read, and what reads it."""

    __slots__ = ("closed", "ends_handshake", "messages", "next_opener", "opener", "records", "secret")

    def __init__(self) -> None:
        self.records = RecordBuffer()
        self.messages = bytearray()  # handshake octets that are no whole message yet, or wait
        self.opener: Opener | None = None  # None: records are in clear
        self.next_opener: Opener | None = None  # TLS 1.2: from the next ChangeCipherSpec on
        self.secret = b""  # TLS 1.3: the traffic secret in use
        self.ends_handshake = False  # TLS 1.3: the next Finished brings the application secret
        self.closed = False


class TlsReader:
    """Application data of one TCP connection; ``KeyLog`` may gain secrets until the server's hello is fed."""

    def __init__(self, keylog: KeyLog) -> None:
        self.client_random: bytes | None = None
        self.version: str | None = None  # "TLS 1.3"
        self.suite: str | None = None  # "TLS_AES_128_GCM_SHA256"
        self.fault: str | None = None
        self.fault_code: FaultCode | None = None
        self.early_data = 0  # octets of early data that were passed over
        self._keylog = keylog
        self._sides = {True: _Side(), False: _Side()}  # by from_client
        self._client: bool | None = None  # whose hello was the client's: callers may have guessed wrong
        self._hello: ClientHello | None = None  # that no server hello answered yet
        self._early_data_left = 0  # octets
        self._retried = False
        self._number = 0  # of the version
        self._tls_suite: TlsSuite | None = None

    def __repr__(self) -> str:
        return f"TlsReader({self.version}, {self.suite}, {self.state}, fault={self.fault!r})"

    @property
    def has_secrets(self) -> bool | None:
        """Whether the key log has any secret of this session; None before the client's hello."""
        return None if self.client_random is None else self._keylog.knows(self.client_random)

    @property
    def state(self) -> State:
        if self.fault is not None:
            return "failed"
        sides = self._sides.values()
        if any(side.closed for side in sides):
            return "closed"
        if all(side.opener is not None and not side.ends_handshake for side in sides):
            return "open"
        return "start" if self.client_random is None else "handshake"

    @property
    def dissectable(self) -> bool:
        """Whether a full dissector may read what this reader does not: only the suite or the version is in the way."""
        return self.fault_code in {"suite", "version"} and bool(self.has_secrets)

    def feed(self, from_client: bool, octets: bytes) -> list[tuple[bool, bytes]]:
        """Take the next octets of a direction. Returns (from_client, application data) that can be read now, in order.

        Octets of both directions may come in any order between them, but not within one.
        """
        out: list[tuple[bool, bytes]] = []
        if self.fault is not None:
            return out
        self._sides[from_client].records.append(octets)
        try:
            # The direction that had to wait goes first: what it has was captured earlier.
            while self._step(not from_client, out) or self._step(from_client, out):
                pass
            self._check_waiting()
        except TlsFault as fault:
            self.fault, self.fault_code = str(fault), fault.code
            self._sides = {True: _Side(), False: _Side()}  # and with them all keys and octets
        return out

    def _check_waiting(self) -> None:
        if any(len(side.records) > WAITING_MAX for side in self._sides.values()):
            raise TlsFault("one-sided", "one direction goes on without what the other has to say: it is not captured")

    def _step(self, from_client: bool, out: list[tuple[bool, bytes]]) -> bool:
        """Take one message or record of a direction. False: there is none, or it has to wait."""
        side = self._sides[from_client]
        length = _message_length(side.messages)
        if length:
            if side.messages[0] == SERVER_HELLO and self._hello is None:
                return False
            message = bytes(side.messages[:length])
            del side.messages[:length]
            self._message(from_client, side, message)
            return True
        record = side.records.first()
        if record is None:
            return False
        if not side.closed and not self._record(from_client, side, record, out):
            return False
        side.records.drop(record)
        return True

    def _record(self, from_client: bool, side: _Side, record: Record, out: list[tuple[bool, bytes]]) -> bool:
        """Take a record apart. False: it has to wait."""
        if side.opener is None:
            return self._clear_record(from_client, side, record)
        if self._number == TLS13 and record.kind != APPLICATION_DATA:
            self._clear_record_of_13(side, record)
            return True
        if self._is_early_data(from_client, side, record):
            return True
        kind, plain = side.opener.open(record)
        if kind == APPLICATION_DATA:
            if side.ends_handshake:
                raise TlsFault("malformed", "application data within the handshake")
            if plain:
                out.append((from_client, plain))
        elif kind == HANDSHAKE:
            side.messages += plain
        elif kind == ALERT:
            _take_alert(side, plain)
        elif kind == CHANGE_CIPHER_SPEC and not self._change_cipher(from_client, side):
            side.opener.number -= 1  # it will be opened again
            return False
        return True

    def _clear_record(self, from_client: bool, side: _Side, record: Record) -> bool:
        """A record of a side that has no keys yet. False: it has to wait."""
        if record.kind == HANDSHAKE:
            side.messages += record.body
        elif record.kind == ALERT:
            _take_alert(side, record.body)
        elif self._client is None:
            raise _start_missing()
        elif record.kind == CHANGE_CIPHER_SPEC:
            return self._number == TLS13 or self._change_cipher(from_client, side)
        elif record.kind == APPLICATION_DATA:
            return self._clear_application_data(from_client, record)
        return True

    def _clear_application_data(self, from_client: bool, record: Record) -> bool:
        """Early data of TLS 1.3, or what waits for the server's hello. False: it waits."""
        if from_client == self._client and self._retried:
            self._pass_early_data(record)  # refused by the retry request (RFC 8446, section 4.2.10)
            return True
        if self._hello is None:
            raise TlsFault("malformed", "application data before there are keys")
        return False

    def _clear_record_of_13(self, side: _Side, record: Record) -> None:
        """What TLS 1.3 may leave in clear behind the server's hello."""
        if record.kind == ALERT:
            _take_alert(side, record.body)
        elif record.kind != CHANGE_CIPHER_SPEC:
            raise TlsFault("malformed", "a record in clear where all have to be protected")

    def _is_early_data(self, from_client: bool, side: _Side, record: Record) -> bool:
        """Whether a record is early data: what the client's handshake secret does not open before its first record."""
        if not side.ends_handshake or from_client != self._client or not self._early_data_left:
            return False
        assert side.opener is not None
        if side.opener.number:
            return False
        try:
            side.opener.open(record)
        except TlsFault:
            self._pass_early_data(record)
            return True
        side.opener.number = 0
        return False

    def _pass_early_data(self, record: Record) -> None:
        self._early_data_left -= len(record.body)
        self.early_data += len(record.body)
        if self._early_data_left < 0:
            raise TlsFault("not-authentic", "a record did not authenticate: wrong secret or lost octets")

    def _message(self, from_client: bool, side: _Side, message: bytes) -> None:
        """Take a handshake message; a server's hello only once there is a client's that it answers."""
        kind, body = message[0], message[MESSAGE_HEADER:]
        if kind == CLIENT_HELLO:
            self._take_client_hello(from_client, parse_client_hello(body))
        elif kind == SERVER_HELLO:
            self._take_server_hello(parse_server_hello(body))
        elif self._client is None and kind != HELLO_REQUEST:
            raise _start_missing()
        elif self._number == TLS13 and kind == FINISHED and side.ends_handshake:
            self._go_on(side, self._secret(labels.CLIENT_TRAFFIC, labels.SERVER_TRAFFIC, from_client))
            side.ends_handshake = False
        elif self._number == TLS13 and kind == KEY_UPDATE and side.secret and not side.ends_handshake:
            assert self._tls_suite is not None
            self._go_on(side, next_secret(self._tls_suite, side.secret))

    def _take_client_hello(self, from_client: bool, hello: ClientHello) -> None:
        if self._client not in {None, from_client} or (self._number == TLS13 and not self._retried):
            raise TlsFault("malformed", "a client's hello where none can be")
        self._client = from_client
        self._hello = hello
        self.client_random = hello.random
        self._early_data_left = EARLY_DATA_MAX if hello.early_data else self._early_data_left

    def _take_server_hello(self, hello: ServerHello) -> None:
        """Learn version and suite, and make keys unless it asks for another client's hello."""
        asked, self._hello = self._hello, None
        assert asked is not None
        self._number = hello.version
        self.version = version_name(hello.version)
        self._tls_suite = suite = tls_suite(hello.suite)
        self.suite = suite.name
        retry, self._retried = hello.version == TLS13 and hello.retry and not self._retried, False
        if retry:
            self._retried = True
            return
        if not self.has_secrets:
            raise TlsFault("no-secret", "no secret for this session in the key log")
        if hello.version not in {TLS12, TLS13}:
            raise TlsFault("version", f"{self.version} is not read here")
        if suite.cipher is None or hello.compression:
            raise TlsFault("suite", f"cipher suite {suite.name} is not one that is read here")
        if hello.version == TLS13:
            self._begin_13()
        else:
            self._begin_12(suite, asked.random, hello.random)

    def _begin_12(self, suite: TlsSuite, client_random: bytes, server_random: bytes) -> None:
        master = self._secret(labels.MASTER_SECRET, labels.MASTER_SECRET, True)
        client, server = openers_of_master(suite, master, client_random, server_random)
        assert self._client is not None
        self._sides[self._client].next_opener = client
        self._sides[not self._client].next_opener = server

    def _begin_13(self) -> None:
        for from_client, side in self._sides.items():
            self._go_on(side, self._secret(labels.CLIENT_HANDSHAKE, labels.SERVER_HANDSHAKE, from_client))
            side.ends_handshake = True

    def _change_cipher(self, from_client: bool, side: _Side) -> bool:
        """ChangeCipherSpec of TLS 1.2. False: the keys are not made yet.

        Only the client's waits, for the answer to its hello; the server's stands behind its own hello.
        """
        if from_client == self._client and self._hello is not None:
            return False
        if side.next_opener is None or side.messages:
            raise TlsFault("malformed", "a change of ciphers where none can be")
        side.opener, side.next_opener = side.next_opener, None
        return True

    def _go_on(self, side: _Side, secret: bytes) -> None:
        """From the next record on under another traffic secret of TLS 1.3."""
        if side.messages:  # keys change between records only (RFC 8446, section 5.1)
            raise TlsFault("malformed", "a handshake message goes on behind a change of keys")
        assert self._tls_suite is not None
        side.secret = secret
        side.opener = opener_of_traffic(self._tls_suite, secret)

    def _secret(self, of_client: str, of_server: str, from_client: bool) -> bytes:
        """The secret with the label of a direction. Raises TlsFault when the key log lacks it."""
        assert self.client_random is not None
        label = of_client if from_client == self._client else of_server
        secret = self._keylog.find(label, self.client_random)
        if secret is None:
            raise TlsFault("no-secret", f"no {label} for this session in the key log")
        return secret


def _message_length(messages: bytearray) -> int:
    """Octets of the first handshake message with its header; 0 until it is complete."""
    if len(messages) < MESSAGE_HEADER:
        return 0
    length = MESSAGE_HEADER + int.from_bytes(messages[1:MESSAGE_HEADER], "big")
    if length > MESSAGE_MAX:
        raise TlsFault("malformed", f"a handshake message of more than {MESSAGE_MAX} octets")
    return length if len(messages) >= length else 0


def _start_missing() -> TlsFault:
    return TlsFault("start-missing", "the capture does not hold the start of this session")


def _take_alert(side: _Side, body: bytes) -> None:
    if len(body) == 2 and (body[0] == FATAL or body[1] == CLOSE_NOTIFY):
        side.closed = True
