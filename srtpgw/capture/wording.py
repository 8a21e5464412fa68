"""What the terminal and the page both say of a report: one source for each sentence, cell and order.

Texts that come from a capture (names of interfaces, codecs, suites, calls) are anybody's: they are shown by ``clean``.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from srtpgw.capture.findings import GRAVEST_FIRST, counted, gravity, some, title
from srtpgw.capture.report import (
    GOOD,
    SECOND,
    WORST_FIRST,
    Expectation,
    Finding,
    Outcome,
    Report,
    Severity,
    Share,
    StreamReport,
    Verdict,
    iso_time,
    ssrc_text,
)

TEXT_MAX = 160  # characters of a name from a capture
SENTENCE_MAX = 2000
DECLARED_MAX = 4  # descriptions, and keys, that a stream shows
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # categories that move the cursor, turn or hide text

MEANINGS: Final[Mapping[Verdict, str]] = MappingProxyType({
    Verdict.AUTHENTICATED: "Every packet that could be checked is authentic under a key of an encrypting suite.",
    Verdict.CONSISTENT: "No key proves it, but no test tells the payload from random octets, as encrypted ones are.",
    Verdict.PLAINTEXT: "At least a part was sent in clear: whoever sees the packets has the content.",
    Verdict.INCONCLUSIVE: "Too few packets, or some that nothing explains: neither encryption nor its lack is shown.",
})  # fmt: skip

TESTS: Final[Mapping[bool | None, str]] = MappingProxyType({
    True: "no test tells the payload from random octets",
    False: "random octets do not look like this",
    None: "too few packets to tell",
})  # fmt: skip

OUTCOMES: Final[Mapping[Outcome, str]] = MappingProxyType({
    "pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE",
})  # fmt: skip


def clean(text: str, most: int = TEXT_MAX) -> str:
    """Text from a capture as it may be shown: control and direction characters as their numbers, and not too long."""
    shown = "".join(_visible(letter) for letter in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _visible(letter: str) -> str:
    return f"<{ord(letter):02x}>" if unicodedata.category(letter) in HIDDEN else letter


# --- sentences -------------------------------------------------------------------------------------------------------


def headline(report: Report) -> str:
    """The answer for whoever reads one sentence only."""
    streams = report.streams
    if not streams:
        return "NOTHING TO JUDGE: no RTP or SRTP stream was found in this capture."
    said = _HEADLINES[report.verdict](report)
    if is_weakened(report):
        said += f", BUT: {_against(report)}"
    unread = " This holds as far as the capture could be read." if report.capture.fault else ""
    return f"{said}.{unread}"


def _scope(report: Report) -> str:
    calls = {declared.call_id for stream in report.streams for declared in stream.declared}
    unsignaled = any(not stream.declared for stream in report.streams)
    return "capture" if unsignaled or "" in calls or len(calls) != 1 else "call"


def _all(report: Report, verb: str, verbs: str) -> str:
    count, scope = len(report.streams), _scope(report)
    if count == 1:
        return f"The one stream of this {scope} {verb}"
    return f"{'Both' if count == 2 else f'All {count:,}'} streams of this {scope} {verbs}"


def _some_of(report: Report, part: int, verb: str, verbs: str) -> str:
    if part == len(report.streams):
        said = _all(report, verb, verbs)
        return said[0].lower() + said[1:]
    said = verb if part == 1 else verbs
    return f"{part:,} of the {len(report.streams):,} streams of this {_scope(report)} {said}"


def _count(report: Report, verdict: Verdict) -> int:
    return sum(stream.verdict is verdict for stream in report.streams)


def _say_authenticated(report: Report) -> str:
    return _all(report, "is encrypted and authentic", "are encrypted and authentic")


def _say_consistent(report: Report) -> str:
    unproved = _count(report, Verdict.CONSISTENT)
    how = "not authenticated" if unproved == len(report.streams) else f"{unproved:,} of them not authenticated"
    return f"{_all(report, 'looks encrypted', 'look encrypted')}, but {how}: the key is not known"


def _say_plaintext(report: Report) -> str:
    plain = [stream for stream in report.streams if stream.verdict is Verdict.PLAINTEXT]
    how = "in clear" if all(stream.plain_throughout for stream in plain) else "in clear, at least in part"
    media = [stream for stream in report.streams if stream.kind == "rtp"]
    if media and all(stream.verdict in GOOD for stream in media):
        what = _some_of(report, len(plain), "is RTCP", "are RTCP")
        return f"NOT ALL ENCRYPTED: the media is, but {what} {how}"
    return f"NOT ENCRYPTED: {_some_of(report, len(plain), 'is', 'are')} {how}"


def _say_inconclusive(report: Report) -> str:
    unknown = _count(report, Verdict.INCONCLUSIVE)
    return f"NOT PROVED: {_some_of(report, unknown, 'could', 'could')} not be judged; none was found in clear"


_HEADLINES: Final[Mapping[Verdict, Callable[[Report], str]]] = MappingProxyType({
    Verdict.AUTHENTICATED: _say_authenticated,
    Verdict.CONSISTENT: _say_consistent,
    Verdict.PLAINTEXT: _say_plaintext,
    Verdict.INCONCLUSIVE: _say_inconclusive,
})  # fmt: skip


def is_weakened(report: Report) -> bool:
    """Whether something contradicts the good verdict that all streams have."""
    return report.verdict in GOOD and bool(_against(report))


def _against(report: Report) -> str:
    """Titles of what contradicts a good verdict."""
    found = [each for stream in report.streams for each in stream.findings] + list(report.findings)
    return ", ".join(dict.fromkeys(title(each) for each in found if each.severity == "fail"))


def expectation_line(each: Expectation) -> str:
    """``PASS: srtp expected of all: 2 streams: encrypted and authentic (1, 2)``."""
    return clean(f"{OUTCOMES[each.outcome]}: {each.expect} expected of {each.selector}: {each.text}", SENTENCE_MAX)


def verdict_counts(report: Report) -> str:
    """``2 AUTHENTICATED, 1 PLAINTEXT``, the worst first."""
    told = ((_count(report, verdict), verdict) for verdict in WORST_FIRST)
    return ", ".join(f"{count:,} {verdict}" for count, verdict in told if count)


def file_lines(report: Report) -> Iterator[str]:
    """What was read: the file, its time, what was skipped of it."""
    capture = report.capture
    read = f"{clean(capture.name)}: {capture.format}, {capture.octets:,} octets, {counted(capture.frames, 'frame')}"
    yield f"{read}, {counted(len(report.streams), 'stream')}, {counted(len(report.keys), 'known key')}"
    if capture.first_ns is not None and capture.last_ns is not None:
        yield f"from {moment(capture.first_ns)} for {seconds(capture.last_ns - capture.first_ns)} s"
    counters = [f"{clean(name.replace('_', ' '))} {count:,}" for name, count in capture.counters.items() if count]
    if counters:
        yield f"counted while reading: {', '.join(counters)}"


# --- findings --------------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """A finding with the numbers of its streams, for many may have the same; none for one of the capture."""

    streams: tuple[int, ...]
    finding: Finding


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one code."""

    code: str
    severity: Severity
    title: str
    told: tuple[Told, ...]

    def rest(self, shown: int) -> str:
        """What is said in place of those beyond the first ``shown``; empty if there are none."""
        left = self.told[shown:]
        if not left:
            return ""
        numbers = [str(number) for each in left for number in each.streams]
        noun = "stream" if len(numbers) == 1 else "streams"
        return f"and {len(left):,} more" + (f": {noun} {some(numbers)}" if numbers else "")


def groups(report: Report) -> list[Group]:
    """All findings by their code, the gravest first, those of the capture before those of streams."""
    by_code: dict[str, dict[Finding, list[int]]] = {}
    for each in report.findings:
        by_code.setdefault(each.code, {}).setdefault(each, [])
    for stream in report.streams:
        for each in stream.findings:
            by_code.setdefault(each.code, {}).setdefault(each, []).append(stream.number)
    made = [
        Group(code, first.severity, title(first), tuple(Told(tuple(numbers), each) for each, numbers in told.items()))
        for code, told in by_code.items()
        for first in [next(iter(told))]
    ]
    return sorted(made, key=lambda group: GRAVEST_FIRST.index(group.severity))


def notable(streams: Sequence[StreamReport]) -> list[StreamReport]:
    """The streams with those first that are worth a look: by verdict, then by their gravest finding."""
    return sorted(streams, key=_rank)


def _rank(stream: StreamReport) -> tuple[int, int, int]:
    gravest = min((gravity(each) for each in stream.findings), default=len(GRAVEST_FIRST))
    return WORST_FIRST.index(stream.verdict), gravest, stream.number


def is_notable(stream: StreamReport) -> bool:
    """Whether a stream is shown where not all have room."""
    return stream.verdict is not Verdict.AUTHENTICATED or any(each.severity != "note" for each in stream.findings)


# --- cells -----------------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    """A column of the table of streams, and how many characters wide a terminal must be to have room for it."""

    title: str
    screen: int
    text: Callable[[StreamReport], str]
    number: bool = True
    least: int = 0  # characters that are never broken


def kind_text(stream: StreamReport) -> str:
    """As it is, not as it is labeled: SRTP only where packets authenticated or look encrypted."""
    secure = bool(stream.authenticated.count) or stream.verdict is Verdict.CONSISTENT
    return f"{'S' if secure else ''}{stream.kind.upper()}"


def codec_text(stream: StreamReport) -> str:
    """Codecs by their number of packets; the payload type's number where the name is not known."""
    ranked = sorted(stream.payload_types, key=lambda each: -each.packets)
    names = dict.fromkeys(clean(each.codec, 24) if each.codec else f"type {each.number}" for each in ranked)
    return some(list(names), 3) or "-"


def short_suite(suite: str | None) -> str:
    """Without the middle that most share."""
    return "-" if suite is None else clean(suite.replace("_HMAC_SHA1", ""))


def percent(share: Share) -> str:
    """Rounded down, so that 100 means all of them; ``-`` where nothing could be examined."""
    value = share.percent
    if value is None:
        return "-"
    shown = math.floor(value * 100) / 100
    return "<0.01" if share.count and not shown else f"{shown:g}"


def share_text(share: Share) -> str:
    """``99.8 % (1,497 of 1,500)``."""
    return "not known" if not share.of else f"{percent(share)} % ({share.count:,} of {share.of:,})"


def seconds(ns: int) -> str:
    """With one decimal; never below 0, though a capture's clock may have been set back."""
    return f"{max(0, ns) / SECOND:,.1f}"


def moment(ns: int) -> str:
    """A time for people: UTC to the millisecond."""
    return f"{iso_time(ns)[:23]}Z".replace("T", " ")


COLUMNS: Final = (
    Column("#", 0, lambda each: str(each.number)),
    Column("verdict", 0, lambda each: each.verdict, False, 13),
    Column("kind", 0, kind_text, False),
    Column("auth %", 0, lambda each: percent(each.authenticated)),
    Column("encr %", 0, lambda each: percent(each.encrypted)),
    Column("from", 112, lambda each: str(each.source), False),
    Column("to", 112, lambda each: str(each.destination), False),
    Column("SSRC", 0, lambda each: ssrc_text(each.ssrc), False, 10),
    Column("codec", 124, codec_text, False),
    Column("packets", 68, lambda each: f"{each.packets:,}"),
    Column("seconds", 158, lambda each: seconds(each.last_ns - each.first_ns)),
    Column("lost", 74, lambda each: f"{each.lost:,}"),
    Column("jitter ms", 170, lambda each: "-" if each.jitter_ms is None else f"{each.jitter_ms:.1f}"),
    Column("suite found", 150, lambda each: short_suite(each.suite), False),
)


def facts(stream: StreamReport, sources: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Everything else that is known of a stream, as name and value. ``sources`` of keys by their number."""
    yield (
        "from, to",
        f"{stream.source} to {stream.destination}"
        + (f", interface {clean(stream.interface)}" if stream.interface else ""),
    )
    yield "frames", f"{stream.first_frame} to {stream.last_frame}"
    yield "time", f"{moment(stream.first_ns)}, {seconds(stream.last_ns - stream.first_ns)} s"
    yield "packets", f"{stream.packets:,} ({stream.octets:,} octets)"
    named = [f"{clean(each.codec or '?', 24)} (type {each.number}): {each.packets:,}" for each in stream.payload_types]
    if named:
        yield "codecs", some(named)
    yield "network", _network(stream)
    yield "authenticated", share_text(stream.authenticated)
    yield "encrypted", share_text(stream.encrypted)
    if stream.roc is not None:
        yield "rollover counter", f"{stream.roc[0]:,} to {stream.roc[1]:,}, {counted(stream.wraps, 'wrap')}"
    for declared in stream.declared[:DECLARED_MAX]:
        suites = some([clean(name) for name in declared.suites]) or "no key"
        yield f"declared in frame {declared.frame}", f"{clean(declared.profile)} over {declared.transport}, {suites}"
    for use in stream.key_uses[:DECLARED_MAX]:
        source = clean(sources.get(use.key, "unknown"))
        yield f"key from frame {use.frame} on", f"{use.suite}, {counted(use.packets)}; key {use.key}: {source}"
    tests = "; ".join(stream.plaintext.reasons) or TESTS[stream.plaintext.looks_encrypted]
    yield "plaintext tests", f"{clean(tests, SENTENCE_MAX)} ({counted(stream.plaintext.packets)} examined)"


def _network(stream: StreamReport) -> str:
    counts = {
        "lost": stream.lost, "reordered": stream.reordered, "doubled": stream.duplicates, "replayed": stream.replays,
        "truncated": stream.truncated,
    }  # fmt: skip
    jitter = "" if stream.jitter_ms is None else f", jitter {stream.jitter_ms:.2f} ms"
    told = (f"{count:,} {name}" for name, count in counts.items() if count or name == "lost")
    return ", ".join(told) + jitter
