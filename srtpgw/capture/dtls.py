"""SRTP keys of DTLS handshakes in a capture (RFC 5764), with the master secrets of a key log.

Both hellos are in clear: they hold the randoms, the version, the suite and the SRTP profile. With the master secret
that is all the exporter needs (RFC 5705), so no record has to be decrypted::

    PRF(master secret, "EXTRACTOR-dtls_srtp", client random || server random)
      = client's key || server's key || client's salt || server's salt                    (RFC 5764, section 4.2)

A hello may come in fragments, again, and after an exchange of cookies; a server's hello is paired with the newest
client's hello of the other side, wherever the key log has several. Nothing of it is authenticated: whoever forges a
hello gets keys made that open nothing. DTLS 1.3 hides the profile and is told as a fault.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from srtpgw.srtp import SUITES

from .calls import KnownKey
from .keylog import MASTER_SECRET, KeyLog
from .report import Address
from .tls_schedule import prf, prf_of_10
from .tls_suites import tls_suite
from .tls_wire import (
    CLIENT_HELLO,
    HANDSHAKE,
    SERVER_HELLO,
    ClientHello,
    Cursor,
    ServerHello,
    TlsFault,
    parse_client_hello,
    parse_server_hello,
    version_name,
)

PATHS_MAX = 65_536  # pairs of addresses that are followed at once: the one longest unused is forgotten
PARTIALS_MAX = 512  # hellos that wait for fragments, the same way
HANDSHAKES_MAX = 65_536  # that are told of, and whose keys are kept
HELLO_MAX = 16_384  # octets
HELLOS_KEPT = 4  # client's hellos of one side that a server's may answer; handshakes remembered as done
RECORD_HEADER = 13  # octets
DTLS10, DTLS12 = 0xFEFF, 0xFEFD

EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"

# Protection profiles of RFC 5764 4.1.2 and RFC 7714 14.2. The NULL ones have keys of 16 and salts of 14 octets, as
# libsrtp and our own table have it.
PROFILES: Final = {
    0x0001: "AES_CM_128_HMAC_SHA1_80",
    0x0002: "AES_CM_128_HMAC_SHA1_32",
    0x0005: "NULL_HMAC_SHA1_80",
    0x0006: "NULL_HMAC_SHA1_32",
    0x0007: "AEAD_AES_128_GCM",
    0x0008: "AEAD_AES_256_GCM",
}


@dataclass(frozen=True, slots=True)
class DtlsHandshake:
    """A handshake that a client's and a server's hello tell of."""

    frame: int  # of the server's hello
    time_ns: int  # since 1970
    client: Address
    server: Address
    version: str  # "DTLS 1.2"
    suite: str  # of DTLS itself
    profile: str | None  # SRTP suite that was agreed on; None: no SRTP, or one that is not read here
    fault: str | None  # why there are no keys, though SRTP was agreed on


@dataclass(slots=True)
class DtlsCounters:
    handshakes: int = 0
    repeated: int = 0  # server's hellos of handshakes that were read already
    unanswered: int = 0  # server's hellos whose client's hello is not captured
    broken: int = 0  # datagrams or messages that cannot be taken apart
    forgotten: int = 0  # beyond a limit


@dataclass(frozen=True, slots=True)
class _Place:
    """Of one datagram."""

    frame: int
    time_ns: int
    sender: Address
    receiver: Address


@dataclass(slots=True)
class _Partial:
    """A message that comes in fragments."""

    octets: bytearray
    filled: bytearray  # 1 for each octet that is there
    missing: int

    def add(self, offset: int, fragment: bytes) -> None:
        end = offset + len(fragment)
        self.missing -= self.filled.count(0, offset, end)
        self.octets[offset:end] = fragment
        self.filled[offset:end] = b"\1" * len(fragment)


@dataclass(slots=True)
class _Path:
    """What passed between two addresses."""

    clients: deque[tuple[_Place, ClientHello]] = field(default_factory=lambda: deque(maxlen=HELLOS_KEPT))
    waiting: tuple[_Place, ServerHello] | None = None  # captured ahead of the client's
    done: deque[bytes] = field(default_factory=lambda: deque(maxlen=HELLOS_KEPT))  # the server's randoms


class DtlsReader:
    """Handshakes between any addresses, as many as HANDSHAKES_MAX; ``handshakes`` tells of each that was seen."""

    def __init__(self, keylog: KeyLog) -> None:
        self.handshakes: list[DtlsHandshake] = []
        self.counters = DtlsCounters()
        self._keylog = keylog
        self._keys: list[KnownKey] = []
        self._paths: OrderedDict[frozenset[Address], _Path] = OrderedDict()
        self._partials: OrderedDict[tuple[Address, Address, bytes], _Partial] = OrderedDict()

    def __repr__(self) -> str:
        return f"DtlsReader({self.counters})"

    def keys(self) -> tuple[KnownKey, ...]:
        """All keys so far, in the order of their handshakes."""
        return tuple(self._keys)

    def feed(self, frame: int, time_ns: int, sender: Address, receiver: Address, datagram: bytes) -> list[KnownKey]:
        """Take a datagram of DTLS. Returns the keys of both directions once a handshake tells them."""
        place = _Place(frame, time_ns, sender, receiver)
        keys: list[KnownKey] = []
        try:
            for kind, body in self._messages(place, datagram):
                if kind == CLIENT_HELLO:
                    keys += self._take_client_hello(place, parse_client_hello(body, datagram=True))
                else:
                    keys += self._take_server_hello(place, parse_server_hello(body))
        except TlsFault:
            self.counters.broken += 1
        return keys

    def _messages(self, place: _Place, datagram: bytes) -> Iterator[tuple[int, bytes]]:
        """The hellos that a datagram holds or completes: (type, body)."""
        for record in _clear_handshakes(datagram):
            cursor = Cursor(record)
            while cursor:
                head = cursor.take(6)  # type, length, number of the message
                offset, fragment = cursor.number(3), cursor.vector(3)
                if head[0] in {CLIENT_HELLO, SERVER_HELLO} and (body := self._complete(place, head, offset, fragment)):
                    yield head[0], body

    def _complete(self, place: _Place, head: bytes, offset: int, fragment: bytes) -> bytes | None:
        """The whole message that a fragment belongs to, as soon as there is all of it."""
        length = int.from_bytes(head[1:4], "big")
        if length > HELLO_MAX or offset + len(fragment) > length:
            raise TlsFault("malformed", "a fragment of DTLS that does not fit its message")
        if len(fragment) == length:
            return fragment
        key = (place.sender, place.receiver, head)
        partial = self._partials.pop(key, None) or _Partial(bytearray(length), bytearray(length), length)
        partial.add(offset, fragment)
        if not partial.missing:
            return bytes(partial.octets)
        self._partials[key] = partial
        if len(self._partials) > PARTIALS_MAX:
            self._partials.popitem(last=False)
            self.counters.forgotten += 1
        return None

    def _path(self, place: _Place) -> _Path:
        key = frozenset((place.sender, place.receiver))
        path = self._paths.setdefault(key, _Path())
        self._paths.move_to_end(key)
        if len(self._paths) > PATHS_MAX:
            self._paths.popitem(last=False)
            self.counters.forgotten += 1
        return path

    def _take_client_hello(self, place: _Place, hello: ClientHello) -> list[KnownKey]:
        path = self._path(place)
        if all(known.random != hello.random for _, known in path.clients):
            path.clients.append((place, hello))
        if path.waiting is None or path.waiting[0].sender == place.sender:
            return []
        waiting, path.waiting = path.waiting, None
        self.counters.unanswered -= 1
        return self._take_server_hello(*waiting)

    def _take_server_hello(self, place: _Place, hello: ServerHello) -> list[KnownKey]:
        path = self._path(place)
        if hello.random in path.done:
            self.counters.repeated += 1
            return []
        asked = [known for origin, known in path.clients if origin.sender != place.sender]
        if not asked:
            self.counters.unanswered += path.waiting is None
            path.waiting = (place, hello)
            return []
        path.done.append(hello.random)
        newest_known = next((known for known in reversed(asked) if self._keylog.knows(known.random)), asked[-1])
        return self._read(place, newest_known, hello)

    def _read(self, place: _Place, asked: ClientHello, hello: ServerHello) -> list[KnownKey]:
        self.counters.handshakes += 1
        if len(self.handshakes) >= HANDSHAKES_MAX:
            self.counters.forgotten += 1
            return []
        profile, fault, keys = None, None, []
        try:
            if hello.srtp is not None or hello.version not in {DTLS10, DTLS12}:
                profile = _profile(hello)
                keys = _known_keys(place, hello, profile, self._export(asked, hello, profile))
        except TlsFault as found:
            fault = str(found)
        version, suite = version_name(hello.version), tls_suite(hello.suite).name
        self.handshakes.append(
            DtlsHandshake(place.frame, place.time_ns, place.receiver, place.sender, version, suite, profile, fault)
        )
        self._keys += keys
        return keys

    def _export(self, asked: ClientHello, hello: ServerHello, profile: str) -> bytes:
        master = self._keylog.find(MASTER_SECRET, asked.random)
        if master is None:
            raise TlsFault("no-secret", "no secret for this session in the key log")
        length = 2 * (SUITES[profile].key_length + SUITES[profile].salt_length)
        seed = asked.random + hello.random
        if hello.version == DTLS10:
            return prf_of_10(master, EXPORTER_LABEL, seed, length)
        return prf(tls_suite(hello.suite).hash_name, master, EXPORTER_LABEL, seed, length)


def _clear_handshakes(datagram: bytes) -> Iterator[bytes]:
    """Bodies of the handshake records that are in clear. What follows an unknown record cannot be found."""
    at = 0
    while at + RECORD_HEADER <= len(datagram):
        header = datagram[at : at + RECORD_HEADER]
        end = at + RECORD_HEADER + int.from_bytes(header[11:], "big")
        if header[1] != 0xFE or end > len(datagram):
            return
        if header[0] == HANDSHAKE and header[3:5] == b"\0\0":  # epoch 0
            yield datagram[at + RECORD_HEADER : end]
        at = end


def _profile(hello: ServerHello) -> str:
    if hello.version not in {DTLS10, DTLS12}:
        raise TlsFault("version", f"{version_name(hello.version)} is not read here")
    assert hello.srtp is not None
    if len(hello.srtp.profiles) != 1:
        raise TlsFault("malformed", "the server's hello does not choose one SRTP profile")
    profile = PROFILES.get(hello.srtp.profiles[0])
    if profile is None:
        raise TlsFault("suite", f"SRTP profile 0x{hello.srtp.profiles[0]:04X} is not one that is read here")
    return profile


def _known_keys(place: _Place, hello: ServerHello, profile: str, material: bytes) -> list[KnownKey]:
    """The client's key, then the server's; each protects what its owner sends."""
    key, salt = SUITES[profile].key_length, SUITES[profile].salt_length
    keys, salts = material[: 2 * key], material[2 * key :]
    assert hello.srtp is not None
    client, server = place.receiver, place.sender
    return [
        KnownKey(
            f"DTLS handshake in frame {place.frame}",
            keys[number * key : (number + 1) * key] + salts[number * salt : (number + 1) * salt],
            (profile,),
            hello.srtp.mki,
            declared=True,
            frame=place.frame,
            time_ns=place.time_ns,
            senders=(owner,),
            receivers=(other,),
        )
        for number, (owner, other) in enumerate(((client, server), (server, client)))
    ]
