"""What a verification found, as values and as JSON.

Nothing here holds a key: keys are named by number and by where they came from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Literal

FORMAT: Final = "srtpgw-verify-1"
_ATOMS: Final = frozenset({bool, int, str, type(None)})
SECOND: Final = 1_000_000_000  # nanoseconds

Severity = Literal["note", "warning", "fail"]
Kind = Literal["rtp", "rtcp"]
Outcome = Literal["pass", "fail", "inconclusive"]

EXIT_STATUS: Final[dict[Outcome | None, int]] = {None: 0, "pass": 0, "fail": 1, "inconclusive": 3}


class Verdict(StrEnum):
    """Of one stream, and of a capture as a whole (the worst of its streams)."""

    AUTHENTICATED = "AUTHENTICATED"  # under a known key of an encrypting suite
    CONSISTENT = "CONSISTENT WITH ENCRYPTION"  # no key, but no test tells the payload from random octets
    PLAINTEXT = "PLAINTEXT"
    INCONCLUSIVE = "INCONCLUSIVE"


# What is proved comes before what is not known: one plain stream makes a capture PLAINTEXT whatever the others are.
WORST_FIRST: Final = (Verdict.PLAINTEXT, Verdict.INCONCLUSIVE, Verdict.CONSISTENT, Verdict.AUTHENTICATED)
GOOD: Final = frozenset({Verdict.AUTHENTICATED, Verdict.CONSISTENT})


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The first of ``WORST_FIRST`` that occurs; INCONCLUSIVE where there is none."""
    found = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth telling, with the frames (as Wireshark counts them) that show it. ``code`` is stable."""

    code: str
    severity: Severity
    text: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` packets of the ``of`` that could be examined."""

    count: int
    of: int

    @property
    def percent(self) -> float | None:
        return 100 * self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class PayloadType:
    number: int
    packets: int
    codec: str | None = None  # encoding name of the rtpmap or of RFC 3551
    clock_rate: int | None = None  # Hz
    signaled: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """What signaling said of the stream's receiver or sender; ``frame`` is where."""

    profile: str  # "RTP/SAVP"
    suites: tuple[str, ...]
    frame: int
    transport: str  # "udp", "tcp", "tls"; "dtls" where only a handshake tells
    call_id: str = ""
    leg_type: str | None = None
    unencrypted: tuple[str, ...] = ()  # session parameters: UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP, UNAUTHENTICATED_SRTP

    @property
    def secure(self) -> bool:
        """Whether the profile promises SRTP."""
        return "SAVP" in self.profile.upper()


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key that packets of a stream authenticate under, from ``frame`` on."""

    key: int  # number in Report.keys
    suite: str
    frame: int
    time_ns: int
    roc: int | None  # of the first packet; None for RTCP
    packets: int


@dataclass(frozen=True, slots=True)
class KeyReport:
    """A key that was known, by number: never its octets."""

    number: int
    source: str  # "a=crypto in frame 12 (sip over tls)", "keys.txt line 3", "DTLS handshake in frame 40"
    suite: str | None  # as declared
    mki: str  # hex
    streams: tuple[int, ...]  # numbers of the streams it opens


@dataclass(frozen=True, slots=True)
class PlaintextResult:
    """Of the plaintext tests over the payload as captured."""

    packets: int  # examined
    looks_encrypted: bool | None  # None: too few packets
    score: float  # log10 of the chance that random octets give the least likely of all results; 0 is perfectly random
    reasons: tuple[str, ...] = ()  # the tests that random octets would not have failed, in words


@dataclass(frozen=True, slots=True)
class TimelineBin:
    start_ns: int
    packets: int
    lost: int
    authenticated: int
    failed: int
    wraps: int


@dataclass(frozen=True, slots=True)
class StreamReport:
    number: int  # from 1, in order of the first packet
    kind: Kind
    interface: str | None
    source: Address
    destination: Address
    ssrc: int
    payload_types: tuple[PayloadType, ...]
    packets: int
    octets: int  # of RTP or RTCP as captured
    first_frame: int
    last_frame: int
    first_ns: int  # since 1970
    last_ns: int
    lost: int
    reordered: int
    duplicates: int  # the same packet again at once: the network or the capture doubled it
    replays: int  # the same index again later
    truncated: int  # packets that the capture holds a part of
    jitter_ms: float | None  # RFC 3550 6.4.1, its mean
    declared: tuple[Declared, ...]
    suite: str | None  # found by authentication; the first of key_uses
    key_uses: tuple[KeyUse, ...]
    authenticated: Share
    encrypted: Share
    failed_frames: tuple[int, ...]  # the first that authenticated under no known key
    roc: tuple[int, int] | None  # first and last rollover counter
    wraps: int
    plaintext: PlaintextResult
    timeline: tuple[TimelineBin, ...]
    histogram: tuple[int, ...]  # 256 counts: octets of the payload as captured
    display_filter: str
    findings: tuple[Finding, ...]
    verdict: Verdict
    interface_description: str = ""  # of the capture file; ours names the type of the leg there

    @property
    def plain_throughout(self) -> bool:
        """Whether it is plain RTP or RTCP as a whole: SRTP under a NULL cipher is not, nor what is plain in part."""
        plain = self.verdict is Verdict.PLAINTEXT and self.plaintext.looks_encrypted is False
        return plain and not self.authenticated.count


@dataclass(frozen=True, slots=True)
class CaptureFile:
    name: str
    format: str  # "pcap", "pcapng"
    octets: int
    frames: int
    first_ns: int | None
    last_ns: int | None
    interfaces: tuple[str, ...]
    counters: dict[str, int]  # what was skipped and why, what was reassembled
    fault: str | None  # why reading ended before the end


@dataclass(frozen=True, slots=True)
class Expectation:
    expect: Literal["srtp", "rtp"]
    selector: str
    streams: tuple[int, ...]
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    capture: CaptureFile
    streams: tuple[StreamReport, ...]
    keys: tuple[KeyReport, ...]
    findings: tuple[Finding, ...]  # of the capture as a whole: keys used twice, signaling in clear, secrets missing
    expectations: tuple[Expectation, ...]
    verdict: Verdict
    outcome: Outcome | None  # None: nothing was expected

    @property
    def exit_status(self) -> int:
        """Of the command: 0 passed or nothing was expected, 1 failed, 3 inconclusive."""
        return EXIT_STATUS[self.outcome]


def iso_time(ns: int) -> str:
    """Nanoseconds since 1970 as ISO 8601 in UTC with nine decimals: ``2026-11-23T10:00:00.000000001Z``."""
    seconds, rest = divmod(ns, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def to_json(report: Report, headline: str = "") -> dict[str, Any]:
    """A report as one object of plain values, for ``json.dumps``.

    On top stands what a script decides by: ``format``, ``outcome`` ("pass", "fail", "inconclusive", or null where
    nothing was expected), ``exit_status``, ``verdict``, ``headline`` (a sentence to show), ``verdicts`` (streams by
    verdict). Then ``expectations``, ``findings``, ``capture``, ``keys``, ``streams``.

    Below these, names are those of the fields of the classes in this file, and so are units. An address is
    ``{"host", "port"}``, a share ``{"count", "of", "percent"}`` (percent is null where nothing could be examined), an
    SSRC text such as ``"0x0012abcd"``. A time is a whole number of nanoseconds since 1970 under its name in ``_ns`` and
    ISO 8601 text under that name without it (in timelines the number alone). Each entry of ``timeline`` is an object,
    ``histogram`` has 256 numbers. Names stay and keep their meaning while ``format`` does; new ones may come.
    """
    counted = {verdict.value: sum(stream.verdict is verdict for stream in report.streams) for verdict in WORST_FIRST}
    return {
        "format": FORMAT,
        "outcome": report.outcome,
        "exit_status": report.exit_status,
        "verdict": report.verdict.value,
        "headline": headline,
        "verdicts": counted,
        **{name: _plain(getattr(report, name)) for name in ("expectations", "findings", "capture", "keys", "streams")},
    }


def _plain(value: Any) -> Any:
    if type(value) in _ATOMS:
        return value
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, Share):
        return {"count": value.count, "of": value.of, "percent": value.percent}
    if is_dataclass(value) and not isinstance(value, type):
        return dict(pair for name in _names(type(value)) for pair in _members(value, name))
    if isinstance(value, list | tuple):
        return [each if type(each) in _ATOMS else _plain(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no word for it
    return value


@lru_cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _members(owner: Any, name: str) -> Iterable[tuple[str, Any]]:
    """A field as JSON has it: times twice, an SSRC in hexadecimal."""
    value = getattr(owner, name)
    if name == "ssrc":
        yield name, ssrc_text(value)
        return
    if name.endswith("_ns") and not isinstance(owner, TimelineBin):
        yield name.removesuffix("_ns"), None if value is None else iso_time(value)
    yield name, _plain(value)


def ssrc_text(ssrc: int) -> str:
    """As Wireshark writes it."""
    return f"0x{ssrc:08x}"
