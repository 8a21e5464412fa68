"""Signaling over real TLS, and keys of real DTLS handshakes, as signals of a capture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.capture.sip_text import ALICE, BOB, SUITE, Wire, crypto, invite, ok, sdp
from unit.capture.tls_sessions import TLS12, TLS13, Ends, segments

from srtpgw.capture.dtls import DtlsReader
from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.report import Address
from srtpgw.capture.signaling import SILENT_MAX, Signaling, TlsStream
from srtpgw.capture.tls import TlsReader

OFFER, ANSWER = sdp(ALICE, 4000, crypto(1)), sdp(BOB, 4002, crypto(2))
A, B = Address(ALICE, 4000), Address(BOB, 4002)
DTLS12 = 0xFEFD


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_call_over_real_tls(version: int) -> None:
    """In segments that come twice, across the wrap of the sequence numbers; with the key log, and without."""
    ends = Ends.tls(version)
    connection = ends.connect()
    connection.handshake()
    connection.send(True, invite(OFFER))
    connection.send(False, ok(ANSWER))
    keylog = KeyLog()
    keylog.add(ends.log)
    for secrets in (keylog, KeyLog()):
        wire = Wire(Signaling(lambda secrets=secrets: TlsReader(secrets)))  # type: ignore[misc]
        at = {True: (1 << 32) - 100, False: 7}
        for from_client, piece in segments(connection.wire, version, 400):
            for _ in range(2):
                wire.tcp(piece, at[from_client], back=not from_client, port=5061)
            at[from_client] = (at[from_client] + len(piece)) % (1 << 32)
        (flow,) = wire.signaling.tls_flows
        if secrets is keylog:
            assert [each.answers for each in wire.signaling.descriptions] == [None, 0]
            assert {each.transport for each in wire.signaling.descriptions} == {"tls"}
            assert (flow.secrets, flow.messages, flow.fault) == (True, 2, None)
        else:
            assert wire.signaling.descriptions == ()
            assert "no secret" in str(flow.fault)
            assert len(wire.signaling.ignored_flows()) == 1


def test_keys_of_a_real_dtls_handshake() -> None:
    ends = Ends.dtls(DTLS12, "ECDHE-ECDSA-AES128-GCM-SHA256", "SRTP_AES128_CM_SHA1_80")
    connection = ends.connect()
    connection.handshake()
    keylog = KeyLog()
    keylog.add(ends.log)
    wire = Wire(Signaling(None, DtlsReader(keylog)))
    for from_client, datagram in connection.wire:
        pair = ((ALICE, 4000), (BOB, 4002)) if from_client else ((BOB, 4002), (ALICE, 4000))
        wire.signal("dtls", *pair, datagram)
    made = wire.signaling.keys()
    assert [(key.senders, key.receivers, key.suites) for key in made] == [
        ((A,), (B,), (SUITE,)),
        ((B,), (A,), (SUITE,)),
    ]


# --- with a stand-in -------------------------------------------------------------------------------------------------


class Reader:
    """Stands for a reader of TLS: strips the five octets in front that make a record, if it has the secrets."""

    def __init__(self, secrets: bool = True) -> None:
        self.version: str | None = "TLS 1.3"
        self.suite: str | None = "TLS_AES_128_GCM_SHA256"
        self.fault: str | None = None
        self.client_random: bytes | None = bytes(32)
        self.dissectable = False
        self._secrets = secrets
        self._known: bool | None = None

    @property
    def has_secrets(self) -> bool | None:
        return self._known

    def feed(self, from_client: bool, octets: bytes, /) -> list[tuple[bool, bytes]]:
        if octets[0] == 0x16:
            self._known = self._secrets
            return []
        return [(from_client, octets[5:])] if self._secrets else []


def record(payload: bytes) -> bytes:
    return b"\x17\3\3" + len(payload).to_bytes(2, "big") + payload


HELLO = b"\x16\3\1\0\1\1" + bytes(40)


def tls_call(wire: Wire) -> None:
    wire.tcp(HELLO, 1000, port=5061)
    wire.tcp(record(invite(OFFER)[:200]), 1000 + len(HELLO), port=5061)
    wire.tcp(record(invite(OFFER)[200:]), 1205 + len(HELLO), port=5061)
    wire.tcp(record(ok(ANSWER)), 500, back=True, port=5061)


def test_messages_over_tls() -> None:
    wire = Wire(Signaling(Reader))
    tls_call(wire)
    offer, answer = wire.signaling.descriptions
    assert (offer.transport, offer.frame, offer.sender, answer.sender) == (
        "tls", 3, Address(ALICE, 40000), Address(BOB, 5061),
    )  # fmt: skip
    assert answer.answers == 0
    assert wire.signaling.keys()[0].source == "a=crypto in frame 3 (sip over tls)"
    assert wire.signaling.keys_in_clear() == ()
    assert wire.signaling.ignored_flows() == []
    (flow,) = wire.signaling.tls_flows
    assert (flow.frame, flow.client, flow.server, flow.secrets, flow.messages, flow.version) == (
        1, Address(ALICE, 40000), Address(BOB, 5061), True, 2, "TLS 1.3",
    )  # fmt: skip


@pytest.mark.parametrize("tls", [None, lambda: Reader(secrets=False)])
def test_tls_without_secrets_is_told_and_not_asked_for_again(tls: Callable[[], TlsStream] | None) -> None:
    wire = Wire(Signaling(tls))
    tls_call(wire)
    assert wire.signaling.descriptions == ()
    assert wire.signaling.ignored_flows() == [(4, bytes([192, 0, 2, 1]), 40000, bytes([192, 0, 2, 2]), 5061)]
    assert wire.signaling.ignored_flows() == []
    (flow,) = wire.signaling.tls_flows
    assert (flow.secrets, flow.client) == (False, Address(ALICE, 40000))
    wire.signaling.finish()


def test_octets_missing_in_tls_are_told() -> None:
    wire = Wire(Signaling(Reader))
    wire.tcp(HELLO, 1000, port=5061)
    wire.tcp(record(invite(OFFER)), 5000, port=5061)
    wire.signaling.finish()
    assert wire.signaling.descriptions == ()
    assert "missing" in str(wire.signaling.tls_flows[0].fault)


@pytest.mark.parametrize(
    ("first", "back", "client"),
    [(HELLO, False, ALICE), (HELLO, True, BOB),
     (HELLO[:5] + b"\2" + HELLO[6:], True, ALICE), (record(b"x"), True, ALICE),
     (record(b"x"), False, ALICE)],
)  # fmt: skip
def test_who_is_the_client(first: bytes, back: bool, client: str) -> None:
    wire = Wire(Signaling(Reader))
    wire.tcp(first, 1000, back=back, port=5061)
    assert wire.signaling.tls_flows[0].client.host == client


def test_tls_that_carries_something_else_is_given_up() -> None:
    wire = Wire(Signaling(Reader))
    wire.tcp(HELLO, 1000, port=443)
    for start in range(0, SILENT_MAX + 20_000, 10_000):
        wire.tcp(record(b"A" * 9995), 1000 + len(HELLO) + start, port=443)
    assert len(wire.signaling.ignored_flows()) == 1
    assert wire.signaling.tls_flows[0].fault is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sip", "tcp", "dtls", "else"]),
            st.binary(max_size=60) | st.sampled_from([invite(OFFER), ok(ANSWER), HELLO, record(ok(ANSWER))]),
            st.integers(0, 3000) | st.integers(0, (1 << 32) - 1),
            st.integers(0, 255),
        ),
        max_size=20,
    )
)
def test_anything_is_taken(signals: list[tuple[str, bytes, int, int]]) -> None:
    wire = Wire(Signaling(Reader))
    for kind, payload, sequence, flags in signals:
        wire.signal(kind, (ALICE, 40000), (BOB, 5060), payload, sequence, flags)
    wire.signaling.finish()
    shown = repr((wire.signaling.descriptions, wire.signaling.keys(), wire.signaling.findings()))
    assert crypto(1).split(":")[-1] not in shown
