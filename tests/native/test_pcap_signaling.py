"""From the octets of a capture to calls: reader, survey and signaling together, as every verification has them."""

from __future__ import annotations

import pytest
from native.captures import RAW, TCP, Frame, fragments4, ip4, ip6, pcap, portions, tcp, udp
from unit.capture.sip_text import ALICE, BOB, crypto, invite, octets, ok, sdp, sip

from srtpgw import _native
from srtpgw.capture.calls import MediaDescription
from srtpgw.capture.report import Address
from srtpgw.capture.signaling import Signaling

SYN, ACK, FIN = 0x02, 0x10, 0x01
OFFER, ANSWER = sdp(ALICE, 4000, crypto(1)), sdp(BOB, 4002, crypto(2))
MESSAGES = [
    (True, invite(OFFER)),
    (False, ok("", "180 Ringing")),
    (False, ok(ANSWER)),
    (True, sip("ACK sip:b SIP/2.0", cseq="1 ACK")),
]


def listened(datagrams: list[bytes]) -> Signaling:
    """The signaling of a capture of these IP datagrams."""
    file = pcap([Frame(each, number * 1_000_000) for number, each in enumerate(datagrams)], linktype=RAW)
    signaling, survey, reader = Signaling(), _native.Survey(), _native.CaptureReader()
    for _ in portions(reader, file, 700):
        for signal in survey.run(reader):
            signaling.feed(signal)
        for flow in signaling.ignored_flows():
            survey.ignore(*flow)
    signaling.finish()
    return signaling


def connection(port: int, first: int, step: int, *, backwards: bool = False) -> list[bytes]:
    """IP datagrams of a TCP connection that carries MESSAGES, in segments of `step` octets."""
    at = {True: first, False: first + 5000}

    def segment(from_client: bool, payload: bytes, flags: int) -> bytes:
        ports = (40000, port) if from_client else (port, 40000)
        ends = (ALICE, BOB) if from_client else (BOB, ALICE)
        made = tcp(payload, *ports, sequence=at[from_client] % (1 << 32), flags=flags)
        at[from_client] += len(payload) + bool(flags & (SYN | FIN))
        return ip4(made, *ends, protocol=TCP)

    found = [segment(True, b"", SYN), segment(False, b"", SYN | ACK), segment(True, b"", ACK)]
    for from_client, message in MESSAGES:
        part = [segment(from_client, message[start : start + step], ACK | 8) for start in range(0, len(message), step)]
        found += reversed(part) if backwards else part
    return [*found, segment(True, b"", FIN | ACK), segment(False, b"", FIN | ACK)]


def told(signaling: Signaling) -> list[tuple[str, str, Address, int | None]]:
    return [(each.transport, each.role, each.media, each.answers) for each in signaling.descriptions]


def call(transport: str) -> list[tuple[str, str, Address, int | None]]:
    return [(transport, "offer", Address(ALICE, 4000), None), (transport, "answer", Address(BOB, 4002), 0)]


def test_datagrams_whole_and_in_fragments() -> None:
    whole = [udp(message, 5060, 5060) for _, message in MESSAGES]
    ends = [(ALICE, BOB) if from_client else (BOB, ALICE) for from_client, _ in MESSAGES]
    signaling = listened([ip4(each, *pair) for each, pair in zip(whole, ends, strict=True)])
    assert told(signaling) == call("udp")
    assert [each.frame for each in signaling.descriptions] == [1, 3]
    parts = [
        fragments4(each, 64, identification=number, source=pair[0], destination=pair[1])
        for number, (each, pair) in enumerate(zip(whole, ends, strict=True))
    ]
    signaling = listened([fragment for part in parts for fragment in part])
    assert told(signaling) == call("udp")
    assert [each.frame for each in signaling.descriptions] == [len(parts[0]), sum(map(len, parts[:3]))]


@pytest.mark.parametrize("port", [5060, 5061, 15060])
@pytest.mark.parametrize(("first", "step"), [(1000, 5000), (0xFFFFFF80, 100), (0xFFFFFFFF, 33)])
def test_a_connection_from_its_first_octet_on(port: int, first: int, step: int) -> None:
    """The sequence number of a SYN is not that of the first octet."""
    signaling = listened(connection(port, first, step))
    assert told(signaling) == call("tcp")
    assert signaling.counters["sip-messages"] == len(MESSAGES)
    assert signaling.counters["sip-garbage"] == 0
    offered, answered = signaling.keys()
    assert (offered.key_and_salt, answered.key_and_salt) == (octets(1), octets(2))


def test_segments_in_the_wrong_order() -> None:
    signaling = listened(connection(5060, 1000, 120, backwards=True))
    assert told(signaling) == call("tcp")


def test_two_connections_one_after_the_other_on_one_port() -> None:
    signaling = listened(connection(5060, 1000, 200) + connection(5060, 900_000, 200))
    assert signaling.counters["tcp-sip-connections"] == 2
    assert signaling.counters["sip-sent-again"] == len(MESSAGES)


def test_ipv6() -> None:
    signaling = listened([ip6(udp(invite(OFFER), 5060, 5060))])
    (found,) = signaling.descriptions
    assert isinstance(found, MediaDescription)
    assert (found.sender, found.receiver) == (Address("2001:db8::1", 5060), Address("2001:db8::2", 5060))


def test_tls_without_secrets_is_left_alone_by_the_survey() -> None:
    hello = b"\x16\3\1\0\x31\1" + bytes(48)
    record = b"\x17\3\3\1\0" + bytes(256)
    frames = [tcp(hello, 40000, 5061, sequence=1)]
    frames += [tcp(record, 40000, 5061, sequence=55 + 261 * number) for number in range(50)]
    signaling, survey, reader = Signaling(), _native.Survey(), _native.CaptureReader()
    handed_out = 0
    file = pcap([Frame(ip4(each, protocol=TCP)) for each in frames], linktype=RAW)
    for _ in portions(reader, file, 700):
        for signal in survey.run(reader):
            handed_out += 1
            signaling.feed(signal)
        for flow in signaling.ignored_flows():
            survey.ignore(*flow)
    assert 1 <= handed_out <= 4
    (closed,) = signaling.tls_flows
    assert (closed.client, closed.server, closed.secrets) == (Address(ALICE, 40000), Address(BOB, 5061), False)
