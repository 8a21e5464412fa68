"""SRTP keys of DTLS handshakes: those that the endpoints export, from what passed between them and their key log."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile
from aiortc.rtcicetransport import RTCIceTransport
from OpenSSL import SSL
from unit.capture.tls_sessions import Connection, Ends, Wire

from srtpgw.capture import dtls
from srtpgw.capture.calls import KnownKey
from srtpgw.capture.dtls import DTLS10, DTLS12, PROFILES, DtlsReader
from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.report import Address
from srtpgw.srtp import SUITES, Receiver

CLIENT, SERVER = Address("192.0.2.1", 4000), Address("2001:db8::2", 5000)
GCM_SHA256, GCM_SHA384 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
OPENSSL_NAMES = {
    "SRTP_AES128_CM_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
    "SRTP_AES128_CM_SHA1_32": "AES_CM_128_HMAC_SHA1_32",
    "SRTP_AEAD_AES_128_GCM": "AEAD_AES_128_GCM",
    "SRTP_AEAD_AES_256_GCM": "AEAD_AES_256_GCM",
}
PROFILE = "SRTP_AES128_CM_SHA1_80"


def datagrams(wire: Wire) -> Wire:
    """Each record as a datagram of its own."""
    parts = []
    for from_client, octets in wire:
        while octets:
            end = 13 + int.from_bytes(octets[11:13], "big")
            parts.append((from_client, octets[:end]))
            octets = octets[end:]
    return parts


def reader_for(*logs: bytes) -> DtlsReader:
    keylog = KeyLog()
    for log in logs:
        keylog.add(log)
    return DtlsReader(keylog)


def read(reader: DtlsReader, wire: Wire, client: Address = CLIENT, server: Address = SERVER) -> list[KnownKey]:
    keys = []
    for number, (from_client, octets) in enumerate(wire, 1):
        ends = (client, server) if from_client else (server, client)
        keys += reader.feed(number, number * 1_000_000, *ends, octets)
    return keys


def exported(connection: Connection, suite: str) -> list[bytes]:
    """Key and salt of the client and of the server, by OpenSSL's exporter."""
    key, salt = SUITES[suite].key_length, SUITES[suite].salt_length
    octets = connection.ends[True].export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
    cuts = [0, key, 2 * key, 2 * key + salt, 2 * (key + salt)]
    client_key, server_key, client_salt, server_salt = (octets[a:b] for a, b in itertools.pairwise(cuts))
    return [client_key + client_salt, server_key + server_salt]


def handshake(suite: str = GCM_SHA256, profile: str = PROFILE, version: int = DTLS12) -> tuple[Ends, Connection]:
    ends = Ends.dtls(version, suite, profile)
    connection = ends.connect()
    connection.handshake()
    return ends, connection


@pytest.mark.parametrize("profile", OPENSSL_NAMES)
@pytest.mark.parametrize("suite", [GCM_SHA256, GCM_SHA384, "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA"])
def test_keys_are_those_that_the_endpoints_export(suite: str, profile: str) -> None:
    ends, connection = handshake(suite, profile)
    reader = reader_for(ends.log)
    client, server = read(reader, datagrams(connection.wire))
    name = OPENSSL_NAMES[profile]
    assert [client.key_and_salt, server.key_and_salt] == exported(connection, name)
    assert client.suites == server.suites == (name,)
    assert (client.senders, client.receivers) == (server.receivers, server.senders) == ((CLIENT,), (SERVER,))
    (found,) = reader.handshakes
    assert (found.client, found.server, found.version, found.profile) == (CLIENT, SERVER, "DTLS 1.2", name)
    assert found.fault is None
    assert reader.counters.broken == 0
    assert client.source == f"DTLS handshake in frame {found.frame}"


def test_dtls_10() -> None:
    ends, connection = handshake("ECDHE-ECDSA-AES128-SHA", version=DTLS10)
    keys = read(reader_for(ends.log), datagrams(connection.wire))
    assert [key.key_and_salt for key in keys] == exported(connection, OPENSSL_NAMES[PROFILE])


def test_suites_of_every_profile_are_known() -> None:
    assert set(PROFILES.values()) <= set(SUITES)
    assert set(OPENSSL_NAMES.values()) <= set(PROFILES.values())


def fragments(record: bytes, length: int) -> list[bytes]:
    """A record of one whole handshake message, as records of its fragments."""
    head, message = record[:13], record[13:]
    kind_length_number, body = message[:6], message[12:]
    parts = []
    for at in range(0, len(body), length):
        piece = body[at : at + length]
        fragment = kind_length_number + at.to_bytes(3, "big") + len(piece).to_bytes(3, "big") + piece
        parts.append(head[:11] + len(fragment).to_bytes(2, "big") + fragment)
    return parts


@pytest.mark.parametrize("seed", range(5))
def test_fragments_in_any_order_and_again(seed: int) -> None:
    ends, connection = handshake()
    rng = random.Random(seed)
    flights: list[Wire] = []
    for from_client, octets in datagrams(connection.wire)[:2]:
        parts = fragments(octets, rng.randint(1, 40)) + fragments(octets, rng.randint(1, 40))
        rng.shuffle(parts)
        flights.append([(from_client, part) for part in parts])
    reader = reader_for(ends.log)
    keys = read(reader, flights[0] + flights[1])
    assert [key.key_and_salt for key in keys] == exported(connection, OPENSSL_NAMES[PROFILE])
    assert len(reader.handshakes) == 1


@pytest.mark.parametrize(("length", "offset"), [(20, 9), (20, 0x3FFFFF), (20_000, 0)])
def test_a_fragment_that_does_not_fit(length: int, offset: int) -> None:
    """It claims to lie behind its message's end, or its message to be longer than any hello."""
    reader = reader_for(b"")
    fragment = b"\1" + length.to_bytes(3, "big") + b"\0\0" + offset.to_bytes(3, "big") + b"\0\0\x0c" + bytes(12)
    header = b"\x16\xfe\xff" + bytes(8) + len(fragment).to_bytes(2, "big")
    assert reader.feed(1, 0, CLIENT, SERVER, header + fragment) == []
    assert (reader.counters.broken, len(reader._partials)) == (1, 0)


def test_a_handshake_seen_again_gives_no_second_key() -> None:
    ends, connection = handshake()
    reader = reader_for(ends.log)
    assert len(read(reader, connection.wire)) == 2
    assert read(reader, connection.wire) == []
    assert len(reader.keys()) == 2
    assert (reader.counters.handshakes, reader.counters.repeated) == (1, 1)


def test_the_server_captured_ahead_of_the_client() -> None:
    ends, connection = handshake()
    reader = reader_for(ends.log)
    turned = sorted(connection.wire, key=lambda piece: piece[0])
    assert [key.key_and_salt for key in read(reader, turned)] == exported(connection, OPENSSL_NAMES[PROFILE])
    assert reader.counters.unanswered == 0


def test_cookies() -> None:
    ends = Ends.dtls(DTLS12, GCM_SHA256, PROFILE)
    assert SSL.OP_COOKIE_EXCHANGE is not None
    ends.server.set_options(SSL.OP_COOKIE_EXCHANGE)
    ends.server.set_cookie_generate_callback(lambda _: b"cookie")
    ends.server.set_cookie_verify_callback(lambda _, cookie: cookie == b"cookie")
    connection = ends.connect()
    connection.handshake()
    kinds = [octets[13] for _, octets in datagrams(connection.wire)[:4]]
    assert kinds == [1, 3, 1, 2]
    keys = read(reader_for(ends.log), datagrams(connection.wire))
    assert [key.key_and_salt for key in keys] == exported(connection, OPENSSL_NAMES[PROFILE])


def test_several_associations_at_once() -> None:
    sessions = [handshake() for _ in range(4)]
    reader = reader_for(*(ends.log for ends, _ in sessions))
    wires = [datagrams(connection.wire) for _, connection in sessions]
    found: dict[int, list[bytes]] = {}
    for round_ in itertools.zip_longest(*wires):
        for number, piece in enumerate(round_):
            if piece is not None:
                keys = read(reader, [piece], Address("192.0.2.1", 4000 + number), SERVER)
                found.setdefault(number, []).extend(key.key_and_salt for key in keys)
    for number, (_, connection) in enumerate(sessions):
        assert found[number] == exported(connection, OPENSSL_NAMES[PROFILE])


def test_a_second_handshake_between_the_same_addresses() -> None:
    (first_ends, first), (second_ends, second) = handshake(), handshake()
    reader = reader_for(first_ends.log, second_ends.log)
    keys = read(reader, first.wire) + read(reader, second.wire)
    name = OPENSSL_NAMES[PROFILE]
    assert [key.key_and_salt for key in keys] == exported(first, name) + exported(second, name)


def test_a_handshake_without_secrets_is_told() -> None:
    _, connection = handshake()
    reader = reader_for(b"")
    assert read(reader, connection.wire) == []
    (found,) = reader.handshakes
    assert found.fault == "no secret for this session in the key log"
    assert found.profile == "AES_CM_128_HMAC_SHA1_80"


def test_a_handshake_without_srtp_is_no_fault() -> None:
    ends = Ends.of(SSL.DTLS_METHOD, "ecdsa")
    connection = ends.connect()
    connection.handshake()
    reader = reader_for(ends.log)
    assert read(reader, connection.wire) == []
    (found,) = reader.handshakes
    assert (found.profile, found.fault) == (None, None)


def server_hello(connection: Connection) -> bytes:
    return next(octets for from_client, octets in datagrams(connection.wire) if not from_client)


def test_what_is_not_read_is_told() -> None:
    ends, connection = handshake()
    hello = server_hello(connection)
    at = hello.index(bytes.fromhex("000e0005000200"))  # use_srtp
    unknown = hello[: at + 6] + b"\x00\x09" + hello[at + 8 :]
    for changed, fault in (
        (unknown, "SRTP profile 0x0009 is not one that is read here"),
        (hello[:25] + b"\xfe\xfc" + hello[27:], "DTLS 1.3 is not read here"),
    ):
        reader = reader_for(ends.log)
        assert read(reader, [connection.wire[0], (False, changed)]) == []
        assert reader.handshakes[0].fault == fault


def test_nothing_secret_is_shown() -> None:
    ends, connection = handshake()
    reader = reader_for(ends.log)
    keys = read(reader, connection.wire)
    shown = repr((reader, reader.handshakes, keys, reader.counters)).lower()
    secrets = [line.split()[2].decode() for line in ends.keylog]
    secrets += [key.key_and_salt.hex() for key in keys]
    assert not any(secret[at : at + 8] in shown for secret in secrets for at in range(0, len(secret) - 8, 8))
    assert not any(repr(key.key_and_salt)[2:-1] in shown for key in keys)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtls, "PATHS_MAX", 8)
    monkeypatch.setattr(dtls, "PARTIALS_MAX", 4)
    ends, connection = handshake()
    reader = reader_for(ends.log)
    begun = fragments(datagrams(connection.wire)[0][1], 20)[0]
    for port in range(100):
        read(reader, [(True, begun)], Address("192.0.2.9", port))
        read(reader, connection.wire[:1], Address("192.0.2.9", port))
    assert (len(reader._paths), len(reader._partials)) == (8, 4)
    assert reader.counters.forgotten == 92 + 96
    assert len(read(reader, connection.wire)) == 2
    monkeypatch.setattr(dtls, "HANDSHAKES_MAX", 1)
    again_ends, again = handshake()
    assert read(reader_for(ends.log, again_ends.log), connection.wire + again.wire) == list(reader.keys())


@pytest.mark.parametrize("seed", range(3))
def test_broken_datagrams(seed: int) -> None:
    ends, connection = handshake()
    rng = random.Random(seed)
    wire = datagrams(connection.wire)[:3]
    right = exported(connection, OPENSSL_NAMES[PROFILE])
    outcomes = Counter[int]()
    for _ in range(300):
        broken = [(from_client, mutated(octets, rng)) for from_client, octets in wire]
        found = read(reader_for(ends.log), [*broken, (True, rng.randbytes(rng.randrange(200)))])
        assert len(found) in {0, 2}
        if broken[:2] == wire[:2]:
            assert [key.key_and_salt for key in found] == right
        outcomes[len(found)] += 1
    assert min(outcomes[0], outcomes[2]) > 20


def mutated(octets: bytes, rng: random.Random) -> bytes:
    changed = bytearray(octets)
    for _ in range(rng.randint(0, 2)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed[: rng.choice((len(changed), len(changed), rng.randrange(len(changed))))])


@dataclass
class MemoryIce:
    """What an RTCDtlsTransport needs of ICE: a queue each way, and a record of all that was sent."""

    role: str
    sent: Wire
    incoming: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    peer: MemoryIce | None = None

    async def _recv(self) -> bytes:
        return await self.incoming.get()

    async def _send(self, data: bytes) -> None:
        assert self.peer is not None
        self.sent.append((self.role == "controlled", data))
        await self.peer.incoming.put(data)


def rtp_packets(count: int) -> Iterable[bytes]:
    for number in range(count):
        yield b"\x80\0" + number.to_bytes(2, "big") + bytes(4) + b"ssrc" + bytes([number]) * 160


async def aiortc_call(certificates: list[RTCCertificate]) -> tuple[Wire, dict[bool, list[bytes]]]:
    """Two transports shake hands and send RTP both ways. Returns the datagrams of DTLS, and those of SRTP by sender."""
    sent: Wire = []
    server, client = MemoryIce("controlling", sent), MemoryIce("controlled", sent)
    server.peer, client.peer = client, server
    ends = [
        RTCDtlsTransport(cast(RTCIceTransport, ice), [own])
        for ice, own in zip((server, client), certificates, strict=True)
    ]
    first, second = ends
    await asyncio.gather(first.start(second.getLocalParameters()), second.start(first.getLocalParameters()))
    assert [end.state for end in ends] == ["connected", "connected"]
    for end in ends:
        for packet in rtp_packets(5):
            await end._send_rtp(packet)
    for end in ends:
        await end.stop()
    media: dict[bool, list[bytes]] = {True: [], False: []}
    for from_client, data in sent:
        if data[0] > 127:
            media[from_client].append(data)
    return [piece for piece in sent if 20 <= piece[1][0] <= 63], media


def test_media_of_aiortc_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []
    create = RTCCertificate._create_ssl_context

    def logged(self: RTCCertificate, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = create(self, srtp_profiles=srtp_profiles)
        context.set_keylog_callback(lambda _, line: lines.append(line + b"\n"))
        return context

    monkeypatch.setattr(RTCCertificate, "_create_ssl_context", logged)
    wire, media = asyncio.run(aiortc_call([RTCCertificate.generateCertificate() for _ in range(2)]))
    keys = read(reader_for(*lines), wire)
    assert len(keys) == 2
    for from_client, key in zip((True, False), keys, strict=True):
        receiver = Receiver(key.suites[0], key.key_and_salt)
        assert [receiver.unprotect(packet) for packet in media[from_client]] == list(rtp_packets(5))
