"""The sink behind a meddler: every way in which a gateway may fail has a number of its own."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from native.cable import MS, PAYLOAD, SUITE, Cable, numbers
from native.test_load_cable import faults

from srtpgw import _native
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.endpoint import endpoint_of
from srtpgw.srtp import MasterKey, Receiver, Sender

PACKETS = 100
NTP_UNIX = 2208988800  # s, from 1900 to 1970


def sequence(octets: bytes) -> int:
    return int.from_bytes(octets[2:4], "big")


# --- one fault at a time


@pytest.mark.parametrize("suite", [None, SUITE])
def test_through_a_faithful_middle_all_is_good(suite: str | None) -> None:
    with Cable(meddle=lambda octets: [octets]) as cable:
        cable.stream(suite, rtcp_interval_ns=10 * MS)
        counted = cable.run(PACKETS)
        assert faults(counted) == {}
        assert counted["verified"] == PACKETS
        assert counted["rtcp_received"] == 20


@pytest.mark.parametrize("suite", [None, SUITE])
def test_loss_is_counted(suite: str | None) -> None:
    with Cable(meddle=lambda octets: [] if sequence(octets) % 5 == 0 else [octets]) as cable:
        cable.stream(suite, first_sequence=0)
        counted = cable.run(PACKETS)
        assert faults(counted, "lost") == {}
        assert counted["lost"] == PACKETS // 5


@pytest.mark.parametrize("suite", [None, SUITE])
@pytest.mark.parametrize("sample", [1, 1 << 20])
def test_duplicates_of_the_middle_are_not_ours(suite: str | None, sample: int) -> None:
    with Cable(meddle=lambda octets: [octets] * (3 if sequence(octets) % 10 == 0 else 1)) as cable:
        cable.stream(suite, first_sequence=0)
        counted = cable.run(PACKETS, sample=sample)
        assert faults(counted, "unexpected_duplicates") == {}
        assert counted["unexpected_duplicates"] == 2 * PACKETS // 10
        assert counted["received"] == PACKETS
        assert numbers(cable.load.streams()["duplicates"]) == [20]


def test_reordering_of_the_middle_is_counted() -> None:
    held: list[bytes] = []

    def swap(octets: bytes) -> list[bytes]:
        held.append(octets)
        if len(held) < 2:
            return []
        pair = held[::-1]
        held.clear()
        return pair

    with Cable(meddle=swap) as cable:
        cable.stream(SUITE)
        counted = cable.run(PACKETS)
        assert faults(counted, "reordered") == {}
        assert counted["reordered"] == PACKETS // 2


def test_damage_fails_authentication() -> None:
    with Cable(meddle=lambda octets: [octets[:-1] + bytes([octets[-1] ^ 1])]) as cable:
        cable.stream(SUITE, rtcp_interval_ns=20 * MS)
        counted = cable.run(PACKETS)
        assert faults(counted, "lost", "auth_failed", "rtcp_auth_failed") == {}
        assert counted["auth_failed"] == counted["lost"] == PACKETS
        assert counted["rtcp_auth_failed"] == 10
        assert counted["received"] == counted["verified"] == counted["rtcp_received"] == 0


def test_another_key_fails_authentication() -> None:
    with Cable(meddle=lambda octets: [octets]) as cable:
        cable.stream(SUITE, receiver=Receiver(SUITE, bytes(30)).context)
        counted = cable.run(PACKETS)
        assert counted["auth_failed"] == PACKETS
        assert counted["received"] == 0


@pytest.mark.parametrize("sample", [1, 1 << 20])
def test_clear_octets_on_an_encrypted_stream_are_never_missed(sample: int) -> None:
    """A middle that decrypts and forgets to encrypt; looked at in every packet, sampled or not."""
    opener: list[Receiver] = []

    def decrypt(octets: bytes) -> Iterator[bytes]:
        rtcp = 192 <= octets[1] <= 223
        yield opener[0].unprotect_rtcp(octets) if rtcp else opener[0].unprotect(octets)

    with Cable(meddle=decrypt) as cable:
        cable.stream(SUITE, rtcp_interval_ns=20 * MS)
        opener.append(Receiver(SUITE, cable.keys[0]))
        counted = cable.run(PACKETS, sample=sample)
        assert faults(counted, "in_clear", "lost", "rtcp_in_clear") == {}
        assert counted["in_clear"] == PACKETS
        assert counted["rtcp_in_clear"] == 10
        assert counted["received"] == counted["rtcp_received"] == 0


def test_clear_octets_of_the_right_length_are_seen_too() -> None:
    opener: list[Receiver] = []
    with Cable(meddle=lambda octets: [opener[0].unprotect(octets) + bytes(10)]) as cable:
        cable.stream(SUITE)
        opener.append(Receiver(SUITE, cable.keys[0]))
        counted = cable.run(PACKETS, sample=1 << 20)
        assert faults(counted, "in_clear", "lost") == {}
        assert counted["in_clear"] == PACKETS


@pytest.mark.parametrize(
    ("at", "name"), [(1, "wrong_content"), (4, "wrong_content"), (12, "wrong_content"), (171, "wrong_content")]
)
def test_changed_octets_of_a_plain_stream(at: int, name: str) -> None:
    with Cable(meddle=lambda octets: [octets[:at] + bytes([octets[at] ^ 2]) + octets[at + 1 :]]) as cable:
        cable.stream(None)
        counted = cable.run(PACKETS)
        assert faults(counted, name, "lost") == {}
        assert counted[name] == counted["lost"] == PACKETS


def test_authentic_octets_that_were_not_sent_are_wrong_content() -> None:
    """A middle that knows the keys and exchanges the payload."""
    ends: list[tuple[Receiver, Sender]] = []

    def exchange(octets: bytes) -> list[bytes]:
        receiver, sender = ends[0]
        clear = receiver.unprotect(octets)
        return [sender.protect(clear[:12] + clear[12:][::-1])]

    with Cable(meddle=exchange) as cable:
        cable.stream(SUITE)
        ends.append((Receiver(SUITE, cable.keys[0]), Sender(SUITE, cable.keys[0])))
        counted = cable.run(PACKETS)
        assert faults(counted, "wrong_content", "lost") == {}
        assert counted["wrong_content"] == PACKETS


def test_shorter_and_longer_packets() -> None:
    def change(octets: bytes) -> list[bytes]:
        return [octets[:-1] if sequence(octets) % 2 else octets + b"x"]

    with Cable(meddle=change) as cable:
        cable.stream(SUITE)
        counted = cable.run(PACKETS)
        assert faults(counted, "wrong_length", "lost") == {}
        assert counted["wrong_length"] == PACKETS


def test_strange_datagrams() -> None:
    """Junk of every sort beside each packet: counted, and no more."""
    junk = [
        b"\x00" * 20, b"\x80", b"\x80\x00" + bytes(9), bytes([0x80, 200]) + bytes(5), b"\x16" * 60, b"\xff" * 300,
        b"\x80\x00" + bytes(3000), b"\x80\x00" + bytes(40), bytes([0x80, 201]) + bytes(40),
    ]  # fmt: skip

    with Cable(meddle=lambda octets: [octets, *junk]) as cable:
        cable.stream(SUITE)
        counted = cable.run(PACKETS)
        assert faults(counted, "malformed", "unknown_ssrc") == {}
        assert counted["malformed"] == 7 * PACKETS
        assert counted["unknown_ssrc"] == 2 * PACKETS
        assert counted["received"] == PACKETS


def test_numbers_that_were_not_sent() -> None:
    """Sequence numbers before the first, behind the last, and withheld ones."""

    def shift(octets: bytes) -> list[bytes]:
        ahead = (sequence(octets) + 3000 & 0xFFFF).to_bytes(2, "big")
        behind = (sequence(octets) - 3000 & 0xFFFF).to_bytes(2, "big")
        return [octets[:2] + ahead + octets[4:], octets[:2] + behind + octets[4:]]

    with Cable(meddle=shift) as cable:
        cable.stream(None)
        counted = cable.run(PACKETS)
        assert faults(counted, "never_sent", "lost") == {}
        assert counted["never_sent"] == 2 * PACKETS


def test_withheld_packets_that_arrive_were_not_sent() -> None:
    """Beside each packet one of the number before: a number that was sent has another content."""

    def claim(octets: bytes) -> list[bytes]:
        return [octets, octets[:2] + (sequence(octets) - 1).to_bytes(2, "big") + octets[4:]]

    with Cable(meddle=claim) as cable:
        cable.stream(None, first_sequence=1)
        cable.load.impair(loss=0.3)
        counted = cable.run(PACKETS)
        assert cable.meddler is not None
        came = {sequence(octets) for octets in cable.meddler.taken}
        assert counted["never_sent"] == sum(number - 1 not in came for number in came)
        assert counted["never_sent"] > 10
        assert counted["wrong_content"] == len(came) - counted["never_sent"]
        assert faults(counted, "withheld", "never_sent", "wrong_content") == {}


def test_an_index_that_the_context_has_seen_is_a_replay() -> None:
    key = bytes(range(30))
    receiver = Receiver(SUITE, key)
    ahead = struct.pack("!BBHII", 0x80, 0, 50, 0, 77) + bytes(PAYLOAD)
    receiver.unprotect(Sender(SUITE, key).protect(ahead))
    with Cable() as cable:
        cable.stream(None, ssrc=77, first_sequence=0, sender=Sender(SUITE, key).context, receiver=receiver.context)
        counted = cable.run(PACKETS)
        assert faults(counted, "replayed", "lost") == {}
        assert counted["replayed"] == counted["lost"] == 1


@pytest.mark.parametrize("damage", [0, 1])
def test_a_packet_behind_the_window_is_opened_whatever_the_sample(damage: int) -> None:
    """The first packet comes after 600 others."""
    held: list[bytes] = []

    def hold(octets: bytes) -> list[bytes]:
        held.append(octets)
        if len(held) == 600:
            return [octets, held[0][:-1] + bytes([held[0][-1] ^ damage])]
        return [octets] if len(held) > 1 else []

    with Cable(meddle=hold) as cable:
        cable.stream(SUITE, interval_ns=200_000, phase_ns=0)
        counted = cable.run(duration_ns=200 * MS, sample=1 << 20)
        assert counted["sent"] == 1000
        assert counted["late"] == 1 - damage
        assert counted["auth_failed"] == counted["lost"] == damage
        assert faults(counted, "late", "reordered", "auth_failed", "lost") == {}


def test_forgeries_that_come_out_are_known_for_what_they_are() -> None:
    """A middle that checks no tag and protects whatever it is given, the first of every number."""
    key = bytes(range(30))
    done: set[bytes] = set()

    def launder(octets: bytes) -> Iterator[bytes]:
        if octets[:12] not in done:
            done.add(octets[:12])
            yield Sender(SUITE, key).protect(octets[:-10])

    with Cable(meddle=launder) as cable:
        # the way in is authenticated only, so that a damaged octet stays one
        sender, receiver = Sender(SUITE, key, encrypt_rtp=False), Receiver(SUITE, key, max_ssrcs=1000)
        cable.stream(None, first_sequence=0, sender=sender.context, receiver=receiver.context)
        cable.load.impair(forge=0.3)
        counted = cable.run(PACKETS)
        assert counted["forged"] > 10
        assert counted["forged_received"] == counted["forged"]
        assert faults(counted, "forged", "forged_received", "lost") == {}
        assert 0 < counted["lost"] < counted["forged"]  # those whose place a damaged payload took


# --- where it arrives, and from where


def test_the_wrong_socket_and_the_wrong_source() -> None:
    local = endpoint_of(Address("127.0.0.1", 0))
    with Cable() as cable:
        other = cable.load.open_socket(local)
        cable.stream(SUITE, sink_socket=other)
        cable.stream(SUITE, source=cable.load.socket_endpoint(other))
        cable.stream(SUITE, source=())
        counted = cable.run(PACKETS)
        assert faults(counted, "wrong_socket", "wrong_source", "lost") == {}
        assert counted["wrong_socket"] == counted["wrong_source"] == counted["received"] == PACKETS


def test_strangers_change_nothing() -> None:
    """Datagrams of a stream's SSRC and number from elsewhere."""
    with Cable(meddle=lambda octets: [octets]) as cable, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        cable.stream(None)
        assert cable.meddler is not None
        cable.load.start(duration_ns=200 * MS, drain_ns=100 * MS)
        while len(cable.meddler.taken) < 20:
            assert not cable.load.wait(0.001)
        for octets in cable.meddler.taken[:20]:
            stranger.sendto(octets, tuple(cable.meddler.destination))
        assert cable.load.wait(60)
        counted = cable.load.counters()
        assert faults(counted, "wrong_source") == {}
        assert counted["wrong_source"] == 20


# --- what is on the wire


def wire(seed: int, **changes: int) -> list[bytes]:
    with Cable(seed, meddle=lambda octets: [octets]) as cable:
        cable.stream(None, phase_ns=0, **changes)
        cable.run(30)
        assert cable.meddler is not None
        return cable.meddler.taken


def test_a_seed_makes_the_same_packets_again() -> None:
    first, again, other = wire(5), wire(5), wire(6)
    assert first == again
    assert not {octets[12:] for octets in first} & {octets[12:] for octets in other}
    assert len({octets[12:] for octets in first}) == 30


def test_headers_are_those_of_rtp() -> None:
    taken = wire(5, ssrc=0xCAFEBABE, first_sequence=7, first_timestamp=1000, timestamp_step=240, payload_type=96)
    assert len(taken) == 30
    for n, octets in enumerate(taken):
        assert struct.unpack("!BBHII", octets[:12]) == (0x80, 96, 7 + n, 1000 + 240 * n, 0xCAFEBABE)
        assert len(octets) == 12 + PAYLOAD


def test_reports_are_those_of_rtcp() -> None:
    import time

    with Cable(meddle=lambda octets: [octets]) as cable:
        cable.stream(
            SUITE, ssrc=0xCAFEBABE, first_timestamp=1000, phase_ns=0, rtcp_interval_ns=10 * MS, rtcp_phase_ns=5 * MS
        )
        began = time.time()
        cable.run(50)
        assert cable.meddler is not None
        opener = Receiver(SUITE, cable.keys[0])
        reports = [opener.unprotect_rtcp(octets) for octets in cable.meddler.taken if octets[1] == 200]
    assert len(reports) == 10
    for n, report in enumerate(reports):
        kind, length, ssrc, seconds, fraction, timestamp, packets, octets = struct.unpack("!HHIIIIII", report[:28])
        assert (kind, length, ssrc) == (0x80C8, 6, 0xCAFEBABE)
        assert abs(seconds - NTP_UNIX + fraction / 2**32 - began) < 30
        since = 5 * MS + n * 10 * MS
        assert timestamp == 1000 + since * 160 // (2 * MS)
        assert packets == since // (2 * MS) + 1
        assert octets == packets * PAYLOAD
        assert report[28:] == b"\x81\xca\x00\x05\xca\xfe\xba\xbe\x01\x0dload-cafebabe\x00"


# --- a gateway


def test_a_gateway_lets_no_forgery_and_no_duplicate_through() -> None:
    """Two-way calls from RTP to SRTP and back, with everything done to them that may happen."""
    local = endpoint_of(Address("127.0.0.1", 0))
    load = _native.Load(9)
    with MediaGateway(media_encryption={"extension": True}) as gateway:
        for i in range(4):
            phone, trunk = load.open_socket(local), load.open_socket(local)
            keys = (MasterKey(bytes([i] * 30)), MasterKey(bytes([i + 100] * 30)))
            ends = [Address("127.0.0.1", load.socket_endpoint(end)[2]) for end in (phone, trunk)]  # type: ignore[misc]
            secure = gateway.open_leg(
                LegSettings(
                    type="extension",
                    remote=ends[0],
                    remote_rtcp=ends[0],
                    suite=SUITE,
                    receive_keys=(keys[0],),
                    transmit_keys=(keys[1],),
                    rtcp_mux=True,
                )
            )
            plain = gateway.open_leg(LegSettings(type="route", remote=ends[1], remote_rtcp=ends[1], rtcp_mux=True))
            gateway.join(secure, plain)
            ports = [endpoint_of(leg.local) for leg in (secure, plain)]
            shape: dict[str, Any] = {
                "first_sequence": 1, "first_timestamp": 0, "timestamp_step": 160, "payload_type": 0,
                "payload_octets": PAYLOAD, "interval_ns": 2 * MS, "phase_ns": i * 100_000, "rtcp_interval_ns": 50 * MS,
            }  # fmt: skip
            load.add_stream(ssrc=10 + i, socket=phone, destination=ports[0], sink_socket=trunk, source=ports[1],
                            sender=Sender(SUITE, keys[0]).context, **shape)  # fmt: skip
            load.add_stream(ssrc=20 + i, socket=trunk, destination=ports[1], sink_socket=phone, source=ports[0],
                            receiver=Receiver(SUITE, keys[1]).context, **shape)  # fmt: skip
        stranger = load.open_socket(local)
        load.impair(loss=0.02, duplicate=0.05, reorder=0.05, forge=0.1, stranger=stranger)
        load.start(duration_ns=400 * MS, warmup_ns=50 * MS)
        assert load.wait(60)
        counted = load.counters()
        load.close()
    known = ("withheld", "duplicated", "duplicates", "delayed", "reordered", "forged")
    assert faults(counted, *known) == {}
    assert counted["received"] == counted["sent"] == 1600 - counted["withheld"]
    assert counted["forged"] > 50
    assert counted["rtcp_sent"] == counted["rtcp_received"] == 72
