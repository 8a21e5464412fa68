"""A batch of packets of many legs gives what the same packets give one by one: octets, order, counters, events."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields
from typing import Any

import pytest
from model.compare import random_length
from model.packet import random_rtcp, random_rtp
from native.rig import RELAY_SUITES, End, Rig
from support import campaign

from srtpgw.media import Address
from srtpgw.media.statistics import DirectionStatistics

STRANGER = Address("192.0.2.99", 4444)
ROUNDS = campaign(60)
NOT_COMPARED = {"last_packet_age", "relay_time", "sending_ssrc"}  # of the clock, and random
RENAMING = {"source-restarted", "ssrc-renamed"}


def sessions(rig: Rig) -> list[End]:
    """Legs of every kind, joined in pairs; the keys come from the rig's own seed."""
    ends = []
    shared = rig.keys()
    pairs = [(rig.secure(sends=shared), rig.secure(hears=shared))]
    pairs += [(rig.secure(suite), rig.plain()) for suite in RELAY_SUITES]
    pairs += [(rig.secure("AEAD_AES_128_GCM"), rig.secure("AES_CM_128_HMAC_SHA1_32", window=64))]
    pairs += [(rig.plain(source="learn-once"), rig.plain(rtcp_mux=True)), (rig.secure(window=5000), rig.secure())]
    pairs += [(rig.secure(hold=True), rig.plain())]
    for a, b in pairs:
        rig.join(a, b)
        ends += [a, b]
    return [*ends, rig.plain(), rig.secure()]


class Traffic:
    """What the far ends send: mostly good. Every datagram as (end, RTCP port, octets, stranger).

    Plain ends keep to their SSRCs: more of them than a leg may have, and they would go out under random ones.
    """

    def __init__(self, rng: random.Random, ends: list[End]) -> None:
        self.rng = rng
        self.ends = ends
        self.position = {(end, ssrc): rng.randint(0, 70000) for end in range(len(ends)) for ssrc in range(3)}
        self.sent: list[tuple[int, bool, bytes, bool]] = []

    def one(self) -> tuple[int, bool, bytes, bool]:
        rng = self.rng
        kind = rng.random()
        if kind < 0.1 and self.sent:
            return rng.choice(self.sent[-60:])
        number = rng.randrange(len(self.ends))
        end, ssrc = self.ends[number], rng.randrange(3)
        as_rtcp = kind > 0.85
        if as_rtcp:
            wire = end.seal_rtcp(random_rtcp(rng, ssrc, random_length(rng, 8)))
        else:
            step = rng.choice((1, 1, 1, 2, -1, 30, 900, 0x7000))
            index = self.position[number, ssrc] = max(self.position[number, ssrc] + step, 0)
            packet = random_rtp(rng, index % 65536, ssrc, random_length(rng, 12))
            wire = end.seal(packet, index // 65536)
        if rng.random() < 0.05:
            place = rng.choice([at for at in range(len(wire)) if end.sends is not None or not 8 <= at < 12])
            wire = wire[:place] + bytes([wire[place] ^ 1 << rng.randrange(8)]) + wire[place + 1 :]
        if rng.random() < 0.02:
            wire = wire[: rng.randrange(len(wire))]
        mux = end.leg.settings.rtcp_mux
        chosen = (number, as_rtcp and not mux and rng.random() < 0.95, wire, rng.random() < 0.05)
        self.sent.append(chosen)
        return chosen


def deliver(end: End, to_rtcp: bool, wire: bytes, stranger: bool) -> None:
    source = STRANGER if stranger else None
    (end.send_rtcp if to_rtcp else end.send)(wire, source)


def counts(direction: DirectionStatistics) -> dict[str, Any]:
    names = {each.name for each in fields(direction)} - NOT_COMPARED
    return {name: getattr(direction, name) for name in names}


def told(rig: Rig, ends: list[End]) -> Counter[tuple[str, int, int]]:
    """What happened, at which end, to which source."""
    place = {end.leg.id: number for number, end in enumerate(ends)}
    return Counter((event.kind, place[event.leg], event.detail["ssrc"]) for event in rig.events())


def compare(one: End, other: End, *, renamed: bool) -> None:
    """What two ends heard and what is counted for them. New names are random: where there are any, octets differ."""
    assert [(each.port, each.remote) for each in one.inbox] == [(each.port, each.remote) for each in other.inbox]
    octets, others = one.raw(), other.raw()
    assert [len(each) for each in octets] == [len(each) for each in others]
    assert renamed or octets == others
    for is_rtcp in (False, True):
        assert counts(one.direction(is_rtcp)) == counts(other.direction(is_rtcp))


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_gives_what_single_packets_give(seed: int) -> None:
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    renamed: set[int] = set()
    with Rig(seed=seed) as alone, Rig(seed=seed) as together:
        single, batched = sessions(alone), sessions(together)
        traffic = Traffic(rng, single)
        alone.now = together.now
        for _ in range(ROUNDS):
            for rig in (alone, together):
                rig.advance(0.3)
            for number, to_rtcp, wire, stranger in [traffic.one() for _ in range(rng.choice((1, 2, 17, 63, 64, 130)))]:
                deliver(single[number], to_rtcp, wire, stranger)
                alone.run()
                deliver(batched[number], to_rtcp, wire, stranger)
            together.run()
            events = told(alone, single)
            assert events == told(together, batched)
            renamed |= {place ^ 1 for kind, place, _ in events if kind in RENAMING}  # the peer is beside it
            for number, (one, other) in enumerate(zip(single, batched, strict=True)):
                compare(one, other, renamed=number in renamed)
        for drops in alone.drops().values():
            seen.update(drops)
    assert {"auth-failed", "replay", "hold", "not-joined", "wrong-source", "tx-duplicate"} <= set(seen)
    assert len(renamed) < len(single) / 2
