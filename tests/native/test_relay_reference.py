"""Loss, reordering, jitter and relay time against the formulas of RFC 3550, written anew here."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import pytest
from model.packet import rtcp, rtp
from native.rig import SECOND, SSRC, Rig
from support import campaign

from srtpgw import _native

SEQUENCE = 1 << 16

# RFC 3551 6, tables 4 and 5; payload types without a clock rate of their own count at 8000 Hz.
CLOCK_RATES = {
    **dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8000),
    6: 16000,
    **dict.fromkeys((10, 11), 44100),
    14: 90000,
    16: 11025,
    17: 22050,
    **dict.fromkeys((25, 26, 28, 31, 32, 33, 34), 90000),
    **dict.fromkeys((35, 63, 96, 101, 127), 8000),
}


@dataclass
class Reference:
    """RFC 3550 A.3 (expected less received, summed over sources) and 6.4.1 in floating point."""

    rate: int
    before: int = 0
    seen: list[int] = field(default_factory=list)  # extended sequence numbers of the present source
    ssrc: int | None = None
    transit: float | None = None
    jitter: float = 0.0
    reordered: int = 0
    changes: int = 0

    def take(self, ssrc: int, extended: int, timestamp: int, arrival: float) -> None:
        if ssrc != self.ssrc:
            self.before += self.lost_now
            self.changes += self.ssrc is not None
            self.ssrc, self.seen, self.transit, self.jitter = ssrc, [], None, 0.0
        if self.seen and extended < max(self.seen):
            self.reordered += 1
        self.seen.append(extended)
        transit = arrival * self.rate - timestamp
        if self.transit is not None:
            self.jitter += (abs(transit - self.transit) - self.jitter) / 16
        self.transit = transit

    @property
    def lost_now(self) -> int:
        return max(self.seen) - min(self.seen) + 1 - len(self.seen) if self.seen else 0

    @property
    def lost(self) -> int:
        return self.before + self.lost_now


def arrivals(rng: random.Random, rate: int, first: int) -> list[tuple[int, int, float]]:
    """(extended sequence number, timestamp, arrival in s) of one source: lost, late and reordered ones among them."""
    frame = rate // 50
    sent = [(first + n, n * frame, n * 0.02) for n in range(200)]
    kept = [packet for packet in sent if rng.random() > 0.1]
    late = [(number, stamp, at + rng.choice((0, 0.003, 0.03, 0.05)) * rng.random()) for number, stamp, at in kept]
    return sorted(late, key=lambda packet: packet[2])


@pytest.mark.parametrize("seed", range(campaign(40)))
@pytest.mark.parametrize("stamped", [True, False], ids=["kernel-stamp", "loop-clock"])
def test_loss_reordering_jitter(seed: int, stamped: bool) -> None:
    rng = random.Random(f"{seed} {stamped}")
    rate = rng.choice((8000, 16000, 48000, 90000))
    reference = Reference(rate)
    with Rig() as rig:
        phone, trunk = rig.secure(clock_rate=rate), rig.plain()
        rig.join(phone, trunk)
        base = rig.now
        for ssrc in (1, 2, 1 << 31):
            first = rng.choice((SEQUENCE, 2 * SEQUENCE - 50))
            offset = rng.getrandbits(32)
            start = rig.now
            for extended, timestamp, after in arrivals(rng, rate, first):
                arrival = start + round(after * SECOND)
                stamp = (timestamp + offset) % (1 << 32)
                packet = rtp(extended % SEQUENCE, ssrc, timestamp=stamp)
                rig.now = base if stamped else arrival
                phone.send(phone.seal(packet, extended // SEQUENCE - 1), received_ns=arrival if stamped else 0)
                rig.run()
                reference.take(ssrc, extended, timestamp, arrival / SECOND)
            rig.now = arrival + SECOND
        counted = phone.counted.rtp
        assert counted.drops == {}
        assert len(trunk.raw()) == counted.received_packets
        assert counted.lost_packets == reference.lost > 30
        assert counted.reordered_packets == reference.reordered > 30
        assert counted.ssrc_changes == reference.changes == 2
        assert counted.ssrc == 1 << 31
        assert counted.jitter_ms * rate / 1000 == pytest.approx(reference.jitter, abs=1.5)
        assert counted.jitter_ms > 1


@pytest.mark.parametrize(("payload_type", "rate"), CLOCK_RATES.items())
def test_clock_rate_by_payload_type(payload_type: int, rate: int) -> None:
    """A stream in step with its clock has no jitter; at any other rate it would have some."""
    with Rig() as rig:
        a, b = rig.plain(), rig.plain(clock_rate=12345)
        rig.join(a, b)
        for number in range(10):
            for end, clock in ((a, rate), (b, 12345)):
                end.send(rtp(number, SSRC, pt=payload_type, timestamp=number * clock // 10))
            rig.run()
            rig.advance(0.1)
        assert a.counted.rtp.jitter_ms == pytest.approx(0, abs=1.2 / rate * 1000)
        assert b.counted.rtp.jitter_ms == pytest.approx(0, abs=0.1)


def test_a_change_of_clock_is_no_jitter() -> None:
    """Transit times at two rates cannot be compared: the first packet at the new rate counts as none."""
    with Rig() as rig:
        a, b = rig.plain(), rig.plain()
        rig.join(a, b)
        for number in range(20):
            timestamp = number * 1800 if number % 2 else number * 160
            a.send(rtp(number, SSRC, pt=26 if number % 2 else 0, timestamp=timestamp))
            rig.run()
            rig.advance(0.02)
        assert a.counted.rtp.jitter_ms == 0


def test_a_jump_is_another_stretch() -> None:
    """RFC 3550 A.1: over MAX_DROPOUT it is not loss, nor reordering, and the sums of before stay."""
    with Rig() as rig:
        a, b = rig.plain(), rig.plain()
        rig.join(a, b)
        for number in (1, 2, 4, 4 + 3000, 3007, 1000 + 3007 - 4001, 8):
            a.send(rtp(number, SSRC))
        rig.run()
        counted = a.counted.rtp
        # 1, 2, 4: one lost. 3004, 3007: a jump of 3000, two lost. 6, 8: a jump back of 3001, one lost.
        assert (counted.lost_packets, counted.reordered_packets, counted.ssrc_changes) == (4, 0, 0)
        a.send(rtp(8 + 2999, SSRC))
        rig.run()
        assert a.counted.rtp.lost_packets == 4 + 2998


def test_a_late_packet_of_before_the_first() -> None:
    with Rig() as rig:
        a, b = rig.plain(), rig.plain()
        rig.join(a, b)
        for number in (10, 11, 8):
            a.send(rtp(number, SSRC))
        rig.run()
        assert (a.counted.rtp.lost_packets, a.counted.rtp.reordered_packets) == (1, 1)


def test_extreme_timestamps() -> None:
    """Timestamps are the far end's: no difference of two of them may overflow."""
    with Rig() as rig:
        a, b = rig.plain(), rig.plain()
        rig.join(a, b)
        for number, timestamp in enumerate((0, 1 << 31, (1 << 31) - 1, (1 << 31) + 1, 0, (1 << 32) - 1)):
            a.send(rtp(number, SSRC, timestamp=timestamp), received_ns=(1 << 31) * 125000)
        rig.run()
        assert len(b.raw()) == 6
        assert a.counted.rtp.jitter_ms > 0


# --- relay time


def test_relay_time_percentiles() -> None:
    """From the kernel's stamp to after the send: 90 packets of at least 1 ms, 8 of 9 ms and 2 of 40 ms."""
    ages = [0.001] * 90 + [0.009] * 8 + [0.04] * 2
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        for number, age in enumerate(ages):
            phone.send(phone.seal(rtp(number, SSRC)), received_ns=time.time_ns() - round(age * SECOND))
            rig.run()
        phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)))
        rig.run()
        times = phone.counted.rtp.relay_time
        assert times.count == 100
        assert 1000 <= times.p50_us < 9000  # the machine may have been busy
        assert 40_000 <= times.p99_us <= times.max_us < 4_000_000
        assert trunk.counted.rtp.relay_time.count == 0
        assert phone.counted.rtcp.relay_time.count == 0


def test_relay_time_of_one_packet_is_its_own() -> None:
    """The percentiles of one packet are its time, to within an eighth of an octave, and never over the maximum."""
    for age in (0.0, 0.000001, 0.0001, 0.01, 0.06, 0.5, 100.0):
        with Rig() as rig:
            a, b = rig.plain(), rig.plain()
            rig.join(a, b)
            a.send(rtp(1, SSRC), received_ns=time.time_ns() - round(age * SECOND))
            rig.run()
            times = a.counted.rtp.relay_time
            assert times.count == 1
            assert age * 1e6 <= times.max_us
            assert times.p50_us == times.p99_us <= times.max_us
            if 0.0001 <= age <= 0.06:
                assert times.max_us / 1.13 < times.p50_us


def test_a_stamp_of_the_future_or_none_is_not_counted() -> None:
    with Rig() as rig:
        a, b = rig.plain(), rig.plain()
        rig.join(a, b)
        a.send(rtp(1, SSRC), received_ns=time.time_ns() + 3600 * SECOND)
        a.send(rtp(2, SSRC))
        rig.run()
        assert len(b.raw()) == 2
        times = a.counted.rtp.relay_time
        assert (times.p50_us, times.p99_us, times.max_us, times.count) == (0, 0, 0, 0)


# --- what else a direction tells


def test_ssrc_roc_and_last_packet() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        before = phone.counted.rtp
        assert (before.ssrc, before.roc, before.last_packet_age) == (None, None, None)
        rig.now -= 5 * SECOND
        for sequence, roc in ((0xFFFE, 0), (0, 1), (0xFFFF, 0)):
            phone.send(phone.seal(rtp(sequence, SSRC), roc))
        phone.send(phone.seal(rtp(1, 77), 5))  # not authentic: tells nothing
        rig.run()
        after = phone.counted.rtp
        assert (after.ssrc, after.roc) == (SSRC, 1)
        assert after.last_packet_age is not None
        assert 5 <= after.last_packet_age < 65
        assert phone.counted.rtcp.last_packet_age is None
        rig.now += 5 * SECOND


def test_a_snapshot_is_read_within_its_bounds() -> None:
    with Rig() as rig:
        rig.plain()
        numbers = [leg.id for leg in rig.gateway.legs]
        snapshot = _native.snapshot_legs([*numbers, 1 << 20])  # no such leg: zeros
        assert _native.leg_numbers(snapshot, 1, 0)[0]["received_packets"] == 0
        for position in (2, (1 << 32) - 1):
            with pytest.raises(IndexError):
                _native.leg_numbers(snapshot, position, 0)


def test_to_json_is_plain() -> None:
    with Rig() as rig:
        phone, trunk = rig.secure(name="phone"), rig.plain(name="trunk")
        rig.join(phone, trunk)
        phone.send(phone.seal(rtp(1, SSRC)))
        phone.send(b"")
        rig.run()
        legs = rig.gateway.statistics().to_json()["legs"]
        assert [leg["name"] for leg in legs] == ["phone", "trunk"]
        assert legs[0]["rtp"]["drops"] == {"too-short": 1}
        assert legs[0]["rtp"]["received_packets"] == 2
        assert legs[1]["rtp"]["sent_packets"] == 1
        assert legs[0]["remote"] == str(phone.address)
