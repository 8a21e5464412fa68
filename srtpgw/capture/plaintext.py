"""Is it random? Tests of a stream's payload that random octets fail with a known, small chance, and plain codecs fail.

Every test bounds the chance that uniformly random octets look like what was counted. The bounds are Chernoff's: never
below the true chance, and one logarithm each. The smallest, times the number of tests made (Bonferroni), is the chance
that random octets give any such result: the score. ``ALARM`` is where a stream is called plaintext.

What is counted is in ext/pcap_features.pxi. Nothing here is chance or clock: the same packets give the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import log, log10
from typing import Any, Final, NamedTuple

from srtpgw.capture.report import PlaintextResult

PACKETS_MIN: Final = 25  # below, nothing is said
ALARM: Final = -7.0  # log10 of the chance that a stream of random octets is called plaintext
OCTETS_MIN: Final = 2500  # of payload; docs/verifying-with-wireshark.md: every plain codec tried shows itself in fewer

RTCP_WHOLE_MIN: Final = 3  # RTCP packets whose lengths add up; an SRTCP index may look like a last header, once
RTCP_WHOLE_CHANCE: Final = 1e-5  # that an encrypted one's do: version and length of a header, by chance
REASONS_MAX: Final = 5

CELL_MIN: Final = 10  # octets expected of each value, for a chi-square over all 256
OCTET_CHANCE: Final = 1 / 256
NIBBLE_CHANCE: Final = 1 / 16
DEGREES: Final = 255

MKI_START_MAX: Final = 16  # octets from the end: the longest tag
MKI_MAX: Final = 128  # octets (RFC 4568, section 6.1)
MKI_SAME: Final = 0.75  # of the packets in which an octet equals the one before; the rest is re-keying
MKI_BESIDE: Final = 0.25  # at most, of the octet in front of it


class Digest(NamedTuple):
    """One histogram of octets in short, as the native part works it out. Bit 0 is the lowest."""

    total: int
    squares: int  # sum of the counts squared
    octet: int  # the most frequent
    octet_count: int
    high: int  # the most frequent upper four bits
    high_count: int
    low: int
    low_count: int
    bit: int  # the least even
    ones: int
    bits: int  # sum over the bits of (ones - zeros) squared


class Evidence(NamedTuple):
    """A test's result: log10 of the chance, and what to say of it."""

    chance: float
    text: str


@lru_cache(maxsize=8192)
def tail_chance(total: int, count: int, chance: float, choices: int) -> float:
    """log10 bound of the chance that one of ``choices`` events, each of that chance, happens that often or more."""
    share = count / total if total else 0.0
    if share <= chance:
        return 0.0
    divergence = share * log(share / chance)
    if share < 1:
        divergence += (1 - share) * log((1 - share) / (1 - chance))
    return min(0.0, log10(choices) - total * divergence / log(10))


def chi_square_chance(value: float, degrees: int) -> float:
    """log10 bound of the chance of a chi-square of that value or more."""
    ratio = value / degrees
    if ratio <= 1:
        return 0.0
    return degrees / 2 * (log(ratio) + 1 - ratio) / log(10)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.3g} %"


def _frequent(digest: Digest, what: str, of: str) -> Iterator[Evidence]:
    """One value, half of a value, or bit is there too often."""
    total = digest.total
    yield Evidence(
        tail_chance(total, digest.octet_count, OCTET_CHANCE, 256),
        f"{what} is 0x{digest.octet:02X} in {_percent(digest.octet_count, total)} of {of} (random: 0.4 %)",
    )
    halves = (("upper", digest.high, digest.high_count), ("lower", digest.low, digest.low_count))
    for name, value, count in halves:
        yield Evidence(
            tail_chance(total, count, NIBBLE_CHANCE, 16),
            f"the {name} four bits of {what} are 0x{value:X} in {_percent(count, total)} of {of} (random: 6.3 %)",
        )
    most = max(digest.ones, total - digest.ones)
    yield Evidence(
        tail_chance(total, most, 0.5, 16),
        f"bit {digest.bit} of {what} is {int(most == digest.ones)} in {_percent(most, total)} of {of} (random: 50 %)",
    )


def _uneven(digest: Digest, what: str) -> Iterator[Evidence]:
    """The values are not equally frequent, where there are enough octets to tell."""
    if digest.total < 256 * CELL_MIN:
        return
    value = 256 * digest.squares / digest.total - digest.total
    yield Evidence(
        chi_square_chance(value, DEGREES),
        f"{what} take some values more often than others: chi-square {value:.0f} (random: 255, give or take 23)",
    )


def trailer_octets(seen: Sequence[int], same: Sequence[int]) -> int:
    """Octets at the end of each packet up to and with a master key identifier; 0 where nothing looks like one.

    Known by its form: a run of octets that stay the same, behind it at most a tag, in front of it octets that change.
    """

    def share(distance: int) -> float:
        return same[distance] / seen[distance] if seen[distance] else 0.0

    start = next((each for each in range(min(MKI_START_MAX + 1, len(seen))) if share(each) >= MKI_SAME), None)
    if start is None:
        return 0
    end = start
    while end < len(seen) and share(end) >= MKI_SAME:
        end += 1
    if end - start > MKI_MAX or end == len(seen) or seen[end] < seen[0] / 2 or share(end) > MKI_BESIDE:
        return 0
    return end


def _position_evidence(features: dict[str, Any]) -> Iterator[Evidence]:
    trailer = trailer_octets(features["tail_seen"], features["tail_same"])
    for group, of in (("short", "short packets"), ("long", "packets")):
        packets, shortest, digests = features[group]
        if not packets:
            continue
        front = [Digest(*each) for each in digests[: max(0, shortest - trailer) if trailer else None]]
        filled = [digest for digest in front if digest.total]
        for number, digest in enumerate(filled, 1):
            yield from _frequent(digest, f"octet {number} of the payload", of)
            yield from _uneven(digest, f"the values of octet {number} of the payload")
        yield from _bits_evidence(filled, f"the first {len(filled)} octets of {of}")
    if not features["rtcp"]:  # an index may be left behind a long identifier
        yield from _repeat_evidence(features["tail_seen"], features["tail_same"], trailer)


def _bits_evidence(digests: Sequence[Digest], what: str) -> Iterator[Evidence]:
    """All bits of these octets together: each may be only a little uneven."""
    degrees = 8 * len(digests)
    value = sum(digest.bits / digest.total for digest in digests)
    if degrees:
        yield Evidence(
            chi_square_chance(value, degrees),
            f"the bits of {what} are uneven: chi-square {value:.0f} (random: {degrees})",
        )


def _repeat_evidence(seen: Sequence[int], same: Sequence[int], trailer: int) -> Iterator[Evidence]:
    """An octet, counted from the end, stays what it was in the packet before."""
    distance = max(range(trailer, len(seen)), key=lambda each: same[each], default=None)
    if distance is not None and seen[distance]:
        yield Evidence(
            tail_chance(seen[distance], same[distance], OCTET_CHANCE, len(seen)),
            f"octet {distance + 1} from the end is that of the packet before in "
            f"{_percent(same[distance], seen[distance])} of packets (random: 0.4 %)",
        )


def _pooled_evidence(features: dict[str, Any]) -> Iterator[Evidence]:
    octets, steps = Digest(*features["judged"]), Digest(*features["steps"])
    if octets.total:
        yield from _frequent(octets, "an octet", "the payload")
        yield from _uneven(octets, "the payload's octets")
        yield from _bits_evidence([octets], "the payload")
    if steps.total:
        step = "equals the one before it" if not steps.octet else f"is the one before it plus {steps.octet}"
        yield Evidence(
            tail_chance(steps.total, steps.octet_count, OCTET_CHANCE, 256),
            f"an octet {step} in {_percent(steps.octet_count, steps.total)} of cases (random: 0.4 %)",
        )
        yield from _uneven(steps, "the differences between neighbouring octets")


def _rtcp_evidence(features: dict[str, Any]) -> Iterator[Evidence]:
    """RTCP in clear: its lengths add up to the end, where SRTCP has an index and a tag. Three will do."""
    whole, packets = features["rtcp_whole"], features["rtcp"]
    if whole >= RTCP_WHOLE_MIN:
        yield Evidence(
            tail_chance(packets, whole, RTCP_WHOLE_CHANCE, 1),
            f"{whole} of {packets} packets are RTCP whose lengths add up to the end: no SRTCP index and tag follow",
        )


def judge(features: dict[str, Any]) -> PlaintextResult:
    """What the payload of one stream looks like. ``features`` is what the examiner counted (`features_dict`).

    Score 0 means that random octets look like this all the time, -9 that one stream of a thousand million does.
    """
    form = list(_rtcp_evidence(features))
    counts = [*_position_evidence(features), *_pooled_evidence(features)]
    tests = log10(max(1, len(form) + len(counts)))
    telling = form + counts if features["looked"] >= PACKETS_MIN else form
    found = sorted(each for each in telling if each.chance + tests < ALARM)
    return PlaintextResult(
        packets=features["rtcp"] or features["looked"],
        looks_encrypted=False if found else True if _enough(features) else None,
        score=min(0.0, min((each.chance for each in form + counts), default=0.0) + tests),
        reasons=tuple(each.text for each in found[:REASONS_MAX]),
    )


def _enough(features: dict[str, Any]) -> bool:
    """Whether a plain stream would have shown itself by now. RTCP always has: in its first octets hardly any change."""
    if features["looked"] < PACKETS_MIN:
        return False
    return bool(features["rtcp"]) or sum(features["octets"]) >= OCTETS_MIN
