"""What the native part counts of payloads, against the same counted in Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from native.examined import CM80, ONE_KEY, examine, paced, protected, rtp, sender_for, sender_report, stream, trial_keys

from srtpgw import _native

SHORT, SHORT_POSITIONS, LONG_POSITIONS = 64, 16, 8
TAIL = 144  # octets
OCTETS = 512  # of one packet
FIRST, EVERY = 256, 16  # packets

Digest = tuple[int, ...]


def digest(values: Sequence[int]) -> Digest:
    """The histogram of these octets in short; the lowest value of several that are as frequent."""
    counts = [0] * 256
    for value in values:
        counts[value] += 1
    halves = [
        [sum(counts[16 * value : 16 * value + 16]) for value in range(16)],
        [sum(counts[value::16]) for value in range(16)],
    ]
    ones = [sum(value >> bit & 1 for value in values) for bit in range(8)]
    leads = [abs(2 * each - len(values)) for each in ones]
    bit = leads.index(max(leads))
    most = [(each.index(max(each)), max(each)) for each in (counts, *halves)]
    flat = [number for pair in most for number in pair]
    return (len(values), sum(each * each for each in counts), *flat, bit, ones[bit], sum(each * each for each in leads))


class Model:
    """`features_add`, written for reading."""

    def __init__(self) -> None:
        self.packets = 0
        self.looked: list[bytes] = []
        self.octets = [0] * 256
        self.judged: list[int] = []
        self.steps: list[int] = []
        self.tail: dict[int, int] = {}
        self.seen, self.same = [0] * TAIL, [0] * TAIL

    def add(self, payload: bytes) -> None:
        if not payload:
            return
        self.packets += 1
        if self.packets <= FIRST or self.packets % EVERY == 0:
            self.looked.append(payload)
            self.look(payload)

    def look(self, payload: bytes) -> None:
        repeats = []
        for at, octet in enumerate(payload):
            distance = len(payload) - 1 - at
            known = self.tail.get(distance)
            repeats.append(distance < TAIL and known in {None, octet})
            if distance < TAIL:
                self.seen[distance] += known is not None
                self.same[distance] += known == octet
                self.tail[distance] = octet
        for at, octet in enumerate(payload[:OCTETS]):
            self.octets[octet] += 1
            if not repeats[at]:
                self.judged.append(octet)
            if at and not (repeats[at] and repeats[at - 1]):
                self.steps.append((octet - payload[at - 1]) % 256)

    def group(self, payloads: list[bytes], positions: int) -> tuple[int, int, list[Digest]]:
        if not payloads:
            return 0, 0, []
        columns = [[each[at] for each in payloads if at < len(each)] for at in range(positions)]
        return len(payloads), min(map(len, payloads)), [digest(column) for column in columns]

    def features(self) -> dict[str, Any]:
        return {
            "packets": self.packets,
            "looked": len(self.looked),
            "rtcp": 0,
            "rtcp_whole": 0,
            "octets": self.octets,
            "judged": digest(self.judged),
            "steps": digest(self.steps),
            "short": self.group([each for each in self.looked if len(each) < SHORT], SHORT_POSITIONS),
            "long": self.group([each for each in self.looked if len(each) >= SHORT], LONG_POSITIONS),
            "tail_seen": self.seen,
            "tail_same": self.same,
        }


def mixed(draw: random.Random, packets: int, longest: int) -> list[bytes]:
    """Payloads of many lengths, some with octets that repeat, some empty."""
    constant = draw.randbytes(9)
    payloads = []
    for _ in range(packets):
        octets = bytes(draw.choices((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)), k=draw.randrange(longest)))
        payloads.append(octets + draw.choice((b"", constant, constant + draw.randbytes(4))))
    return payloads


@pytest.mark.parametrize("longest", [2, 20, 70, 200, 1500])
@pytest.mark.parametrize("packets", [1, 30, 400])
def test_counts_are_those_of_the_model(packets: int, longest: int) -> None:
    payloads = mixed(random.Random(packets * longest), packets, longest)
    model = Model()
    for payload in payloads:
        model.add(payload)
    assert _native.payload_features(payloads) == model.features()


def test_nothing_is_counted_of_nothing() -> None:
    features = _native.payload_features([b"", b""])
    assert features["packets"] == features["looked"] == sum(features["octets"]) == 0
    assert features == Model().features()


def test_a_long_stream_is_looked_at_now_and_then() -> None:
    features = _native.payload_features([bytes([number & 255]) for number in range(1, 20_001)])
    assert features["packets"] == 20_000
    assert features["looked"] == FIRST + (20_000 - FIRST) // EVERY


def test_counters_do_not_overflow() -> None:
    packets = FIRST + EVERY * 70_000
    features = _native.payload_features(b"\xff" * 600 for _ in range(packets))
    assert features["packets"] == packets
    assert features["looked"] == features["long"][0] == features["tail_same"][0] + 1 == 65_535
    assert features["long"][2][0][0] == features["long"][2][0][3] == 65_535
    assert features["octets"][255] == 65_535 * OCTETS


RECEIVER_REPORT = bytes.fromhex("81c90007") + bytes(range(28))


@pytest.mark.parametrize(
    ("packet", "whole", "looked"),
    [
        (RECEIVER_REPORT, 1, 0),  # nothing is left between what is clear and what may be index and tag
        (RECEIVER_REPORT * 2, 1, 1),
        (RECEIVER_REPORT + bytes(14), 0, 1),
        (RECEIVER_REPORT[:-1], 0, 0),
        (b"\x81", 0, 0),
        (b"\x41" + RECEIVER_REPORT[1:], 0, 0),
        (b"\x81\xc9\xff\xff" + bytes(40), 0, 1),
    ],
)
def test_rtcp_is_known_by_its_lengths(packet: bytes, whole: int, looked: int) -> None:
    features = _native.payload_features([packet], rtcp=True)
    assert (features["rtcp"], features["rtcp_whole"], features["looked"]) == (1, whole, looked)
    assert sum(features["octets"]) == max(0, len(packet) - 32)


def doubled(packets: list[bytes]) -> list[bytes]:
    """As a capture on all interfaces of a host has them."""
    return [packet for packet in packets for _ in range(2)]


def test_copies_of_srtcp_count_once() -> None:
    sender = sender_for()
    packets = [sender.protect_rtcp(sender_report(number) * 2) for number in range(40)]
    features = examine(paced(doubled(packets)), trial_keys(), [stream(rtcp=True)])["features"]
    assert features["rtcp"] == features["looked"] == 40


def test_copies_of_what_fails_count_once() -> None:
    good, bad = protected(range(40)), protected(range(40, 80), sender_for(CM80, 2))
    found = examine(paced([*good, *doubled(bad)]), trial_keys(ONE_KEY), [stream(keys=[(0, None)], packets=120)])
    assert found["failed"] == 80
    assert found["failed_features"]["looked"] == 40


def test_silence_is_no_copy() -> None:
    found = examine(paced([rtp(number) for number in range(60)]), trial_keys(), [stream(packets=60)])
    assert found["features"]["looked"] == 60
