"""The plaintext tests one by one: bounds against exact chances, what is said and when, and what must not count."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from unit.capture.made_payloads import reports

from srtpgw import _native
from srtpgw.capture.plaintext import (
    ALARM,
    OCTETS_MIN,
    PACKETS_MIN,
    RTCP_WHOLE_MIN,
    chi_square_chance,
    judge,
    tail_chance,
    trailer_octets,
)
from srtpgw.capture.report import PlaintextResult
from srtpgw.srtp import MasterKey, Sender

G711 = 160  # octets


def verdict(payloads: list[bytes], *, rtcp: bool = False) -> PlaintextResult:
    return judge(_native.payload_features(payloads, rtcp=rtcp))


def randoms(seed: int, packets: int, octets: int) -> list[bytes]:
    draw = random.Random(seed)
    return [draw.randbytes(octets) for _ in range(packets)]


# --- bounds ----------------------------------------------------------------------------------------------------------


def exact_tail(total: int, count: int, chance: float) -> float:
    return sum(math.comb(total, k) * chance**k * (1 - chance) ** (total - k) for k in range(count, total + 1))


@pytest.mark.parametrize(("chance", "choices"), [(1 / 256, 256), (1 / 16, 16), (1 / 2, 16)])
@pytest.mark.parametrize("total", [1, 25, 100, 400])
def test_the_bound_is_never_below_the_chance(total: int, chance: float, choices: int) -> None:
    for count in range(total + 1):
        exact = math.log10(max(choices * exact_tail(total, count, chance), 1e-300))
        bound = tail_chance(total, count, chance, choices)
        assert bound >= min(0.0, exact) - 1e-9 or exact == -300
        assert bound <= max(0.0, exact + 3.5)  # or it would find little


def exact_chi_square(value: float, degrees: int) -> float:
    """For an even number of degrees of freedom."""
    terms = [-value / 2 + k * math.log(value / 2) - math.lgamma(k + 1) for k in range(degrees // 2)]
    return math.fsum(map(math.exp, terms))


@pytest.mark.parametrize("degrees", [8, 64, 128, 256])
def test_the_chi_square_bound_is_never_below_the_chance(degrees: int) -> None:
    for ratio in (0.5, 1.0, 1.2, 1.5, 2.0, 3.0):
        exact = math.log10(exact_chi_square(ratio * degrees, degrees))
        bound = chi_square_chance(ratio * degrees, degrees)
        assert exact <= bound <= max(0.0, exact + 2.5)


def test_nothing_counted_is_no_evidence() -> None:
    assert tail_chance(0, 0, 1 / 256, 256) == 0
    assert verdict([]) == PlaintextResult(packets=0, looks_encrypted=None, score=0.0)


# --- when something is said ------------------------------------------------------------------------------------------


def test_too_few_packets_are_inconclusive() -> None:
    assert PACKETS_MIN == 25
    silence, cipher = [b"\xff" * G711] * PACKETS_MIN, randoms(1, PACKETS_MIN, G711)
    assert verdict(silence[1:]).looks_encrypted is None
    assert verdict(silence[1:]).reasons == ()
    assert verdict(silence).looks_encrypted is False
    assert verdict(cipher[1:]).looks_encrypted is None
    assert verdict(cipher).looks_encrypted is True


def test_too_few_octets_are_inconclusive() -> None:
    packets = OCTETS_MIN // 14
    assert verdict(randoms(2, packets, 14)).looks_encrypted is None
    assert verdict(randoms(2, packets + 1, 14)).looks_encrypted is True


def test_reasons_name_octet_value_and_share() -> None:
    draw = random.Random(3)
    result = verdict([bytes([0x78 if number else 0x99]) + draw.randbytes(99) for number in range(50)])
    assert result.looks_encrypted is False
    assert result.reasons[0] == "octet 1 of the payload is 0x78 in 98 % of packets (random: 0.4 %)"
    assert not [each for each in result.reasons if "octet 2" in each]
    assert result.score < ALARM
    assert result.packets == 50


def neighbours(draw: random.Random) -> Iterator[bytes]:
    """Every octet as frequent as any other, at every position: only what stands beside it tells."""
    while True:
        at = draw.randrange(256)
        yield bytes((at + draw.choice((0, 1, 2, 255)) * number) & 255 for number in range(G711))


def leaning(draw: random.Random, at: int) -> int:
    """Each bit a little uneven, the other way at the next position."""
    octet = sum((draw.random() < 0.58) << bit for bit in range(8))
    return octet ^ (0xFF * (at & 1))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (lambda draw: bytes([0xD0 | draw.randrange(16)]) + draw.randbytes(32), "upper four bits of octet 1"),
        (lambda draw: draw.randbytes(2) + bytes([draw.randrange(16) << 4 | 5]) + draw.randbytes(30), "lower four bits"),
        (lambda draw: draw.randbytes(7) + bytes([draw.randrange(128)]) + draw.randbytes(90), "bit 7 of octet 8"),
        (lambda draw: bytes(leaning(draw, at) for at in range(24)), "bits of the first 16 octets of short packets"),
        (lambda draw: draw.randbytes(8) + bytes(draw.choices(range(256), range(64, 320), k=G711)), "payload's octets"),
        (lambda draw: next(neighbours(draw)), "equals the one before|before it plus|neighbouring octets"),
    ],
)
def test_each_kind_of_evidence_is_found(payload: object, reason: str) -> None:
    assert callable(payload)
    draw = random.Random(4)
    result = verdict([payload(draw) for _ in range(200)])
    assert result.looks_encrypted is False
    assert [text for text in result.reasons if any(each in text for each in reason.split("|"))]


def test_short_and_long_packets_are_looked_at_apart() -> None:
    """Events of four octets among eight times as many encrypted packets."""
    payloads = randoms(5, 240, G711)
    payloads[::8] = [bytes([5, 10, 0, number]) for number in range(30)]
    result = verdict(payloads)
    assert result.looks_encrypted is False
    assert "octet 1 of the payload is 0x05 in 100 % of short packets (random: 0.4 %)" in result.reasons


# --- what must not count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [1, 4, 20, 33, 60, 160, 700])
@pytest.mark.parametrize("mki", [1, 2, 4, 16, 40, 128])
@pytest.mark.parametrize("tag", [0, 4, 10])
def test_a_master_key_identifier_is_no_plaintext(payload: int, mki: int, tag: int) -> None:
    draw = random.Random(payload * mki * (tag + 1))
    front = payload if tag else payload + 16  # the tag of AES-GCM is in front
    key = draw.randbytes(mki)
    packets = [draw.randbytes(front) + key + draw.randbytes(tag) for _ in range(300)]
    result = verdict(packets)
    assert result.reasons == ()
    assert result.looks_encrypted is (True if sum(map(len, packets[:256])) > OCTETS_MIN else None)


def test_a_change_of_key_is_no_plaintext() -> None:
    draw = random.Random(6)
    packets = [draw.randbytes(24) + bytes([0, 0, 0, number // 40]) + draw.randbytes(10) for number in range(240)]
    assert verdict(packets).looks_encrypted is True


def test_what_stays_the_same_elsewhere_is_plaintext() -> None:
    """As long as an identifier, but in front, or with nothing in front."""
    draw = random.Random(7)
    assert verdict([b"\1\2\3\4" + draw.randbytes(60) for _ in range(50)]).looks_encrypted is False
    assert verdict([b"\1\2\3\4" + draw.randbytes(10) for _ in range(50)]).looks_encrypted is False
    assert (
        verdict([draw.randbytes(30) + b"\1\2\3\4" + draw.randbytes(30) for _ in range(2000)]).looks_encrypted is False
    )


@pytest.mark.parametrize(
    ("same", "octets"),
    [
        ([0] * 8, 0),
        ([9, 9, 0, 0], 2),  # behind the tag
        ([0, 0, 0, 0, 9, 9, 9, 9, 1, 0], 8),  # before it
        ([0, 9, 9, 9], 0),  # to the front
        ([0, 9, 9, 5, 0], 0),  # nothing random in front
        ([0] * 17 + [9, 0], 0),  # no tag is so long
        ([9] * 129 + [0], 0),  # no identifier is so long
        ([0] * 4 + [8, 8, 0], 6),  # one change of key
    ],
)
def test_a_trailer_is_known_by_its_form(same: list[int], octets: int) -> None:
    assert trailer_octets([10] * len(same), same) == octets


# --- RTCP ------------------------------------------------------------------------------------------------------------


def test_rtcp_in_clear_is_known_from_three_packets_on() -> None:
    sent = [packet for packet, _ in zip(reports(random.Random(8), sender=True), range(30), strict=False)]
    assert verdict(sent[: RTCP_WHOLE_MIN - 1], rtcp=True).looks_encrypted is None
    result = verdict(sent[:RTCP_WHOLE_MIN], rtcp=True)
    assert result.looks_encrypted is False
    assert result.reasons == ("3 of 3 packets are RTCP whose lengths add up to the end: no SRTCP index and tag follow",)


@pytest.mark.parametrize(("whole", "of", "plain"), [(2, 2, False), (3, 3, True), (3, 60, True), (3, 100_000, False)])
def test_lengths_that_add_up_by_chance_are_no_plaintext(whole: int, of: int, plain: bool) -> None:
    features = _native.payload_features([]) | {"rtcp": of, "rtcp_whole": whole}
    assert (judge(features).looks_encrypted is False) == plain


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
@pytest.mark.parametrize("mki", [b"", b"\0\0\0\1"])
def test_the_index_of_srtcp_is_no_plaintext(suite: str, mki: bytes) -> None:
    draw = random.Random(9)
    sender = Sender(suite, MasterKey(draw.randbytes(44 if "256" in suite else 30), mki=mki))
    sent = [sender.protect_rtcp(packet) for packet, _ in zip(reports(draw, sender=False), range(200), strict=False)]
    assert verdict(sent[: PACKETS_MIN - 1], rtcp=True).looks_encrypted is None
    assert verdict(sent[:PACKETS_MIN], rtcp=True).looks_encrypted is True
    assert verdict(sent, rtcp=True).reasons == ()


def test_srtcp_that_is_not_encrypted_is_found() -> None:
    draw = random.Random(10)
    sender = Sender("AES_CM_128_HMAC_SHA1_80", MasterKey(draw.randbytes(30)), encrypt_rtcp=False)
    sent = [
        sender.protect_rtcp(packet) for packet, _ in zip(reports(draw, sender=True), range(PACKETS_MIN), strict=False)
    ]
    assert verdict(sent, rtcp=True).looks_encrypted is False
