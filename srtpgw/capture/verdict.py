"""From what was measured of each stream to its verdict and findings. No packet is read here.

A stream's verdict is the worst of its parts:

* packets that authenticated under a key of an encrypting suite: AUTHENTICATED; under a NULL suite, or with the E bit of
  SRTCP at 0: PLAINTEXT
* packets that authenticated under no known key, or all where no key is known: what the plaintext tests say of them, so
  PLAINTEXT, CONSISTENT WITH ENCRYPTION, or INCONCLUSIVE where they are too few
* a stretch that the plaintext tests find plain: PLAINTEXT, whatever the rest is. So is a payload that is plain although
  its packets authenticate: AES-CM's tag does not tell whether the sender encrypted

The rule on forged packets is strict: one packet that authenticates under no known key is enough to lose AUTHENTICATED.
``Rules.forged_share`` loosens it: up to that share of the checked packets is then taken for forged, as long as the
failing packets do not look plain and others authenticate before and after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from srtpgw.capture.findings import counted, finding, gravity
from srtpgw.capture.report import Declared, Finding, KeyReport, PlaintextResult, Share, StreamReport, Verdict, worst
from srtpgw.srtp import SUITES

SHORT_TAG: Final = 4  # octets
REASONS_TOLD: Final = 2  # of the plaintext tests, in a sentence
SCATTERED_SHARE: Final = 0.01  # of the checked packets: fewer failures among authentic ones look like forgery or damage
EDGE_SHARE: Final = 0.9  # of the failures: so many before the first or behind the last authentic packet are no accident


@dataclass(frozen=True, slots=True)
class Rules:
    """``forged_share``: up to this share of the checked packets may fail and be taken for forged; 0 is strict."""

    forged_share: float = 0.0


STRICT: Final = Rules()


@dataclass(frozen=True, slots=True)
class Evidence:
    """How many packets did something, and the first frames that show it (as Wireshark counts)."""

    count: int = 0
    frames: tuple[int, ...] = ()


NONE: Final = Evidence()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Plaintext tests over a part of a stream: ``failed``, the packets that authenticated under no known key though
    others did; or ``part``, a run of packets of a stream without a key."""

    what: Literal["failed", "part"]
    first_frame: int
    last_frame: int
    packets: int
    result: PlaintextResult


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What was measured of one stream. Counts are packets.

    ``stream`` is the report without judgement: its ``findings`` and ``verdict`` are not read, its ``encrypted`` is
    what the suites promise (authentic packets under an encrypting suite, E bit set). ``authenticated`` counts the
    authentic ones of those that were whole in the capture and tried; its ``of`` is 0 where there was no key to try.
    ``plaintext`` is of the authentic packets where there are any, else of all.
    """

    stream: StreamReport
    signaled_keys: tuple[int, ...] = ()  # numbers of the keys that were announced for these addresses
    stretches: tuple[Stretch, ...] = ()
    reused: Evidence = NONE  # came under an index, or without a key a sequence number, again with other octets
    reused_in: tuple[tuple[int, Evidence], ...] = ()  # by number of another stream: same key, SSRC, index; other octets
    replayed: Evidence = NONE  # the same octets again, later than a network doubles them
    in_clear: Evidence = NONE  # authentic SRTCP with the E bit at 0
    plain_rtcp: Evidence = NONE  # RTCP that failed, or had no key, whose lengths add up to the end as in RTCP in clear
    rollover_found: int | None = None  # the first counter, where it was not 0 and found by search
    rollover_unfinished: bool = False  # known keys were not tried under every counter
    restarts: int = 0  # how often the sequence numbers started anew


@dataclass(slots=True)
class _Case:
    """A stream while it is judged."""

    facts: StreamFacts
    keys: dict[int, KeyReport]
    rules: Rules
    beside_srtp: bool  # RTCP of a source whose RTP is encrypted
    verdicts: list[Verdict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def stream(self) -> StreamReport:
        return self.facts.stream

    @property
    def authentic(self) -> int:
        return self.stream.authenticated.count

    @property
    def failed(self) -> int:
        return self.stream.authenticated.of - self.authentic

    def tell(self, code: str, frames: tuple[int, ...] = (), **values: object) -> None:
        self.findings.append(finding(code, frames, **values))


def judge_stream(
    facts: StreamFacts, keys: dict[int, KeyReport], rules: Rules = STRICT, beside_srtp: bool = False
) -> StreamReport:
    """The report of a stream with its verdict and findings, the gravest first.

    ``keys`` by number; ``beside_srtp`` says of RTCP that the RTP of its source is encrypted.
    """
    case = _Case(facts, keys, rules, beside_srtp)
    _judge_authentic(case)
    if case.failed or not case.authentic:
        _judge_others(case)
    _judge_stretches(case)
    _tell_reuse(case)
    _tell_keys(case)
    _tell_declared(case)
    _tell_limits(case)
    return replace(
        case.stream,
        encrypted=_encrypted(case),
        findings=tuple(sorted(case.findings, key=gravity)),
        verdict=worst(case.verdicts),
    )


def encrypts(suite: str) -> bool:
    """Whether a suite encrypts; one that is not known here is not believed to."""
    return suite in SUITES and SUITES[suite].cipher != "NULL"


def _reasons(result: PlaintextResult) -> str:
    """The strongest; the page and the JSON have all."""
    more = len(result.reasons) - REASONS_TOLD
    rest = [f"and {more} more such results"] if more > 1 else result.reasons[REASONS_TOLD:]
    return "; ".join([*result.reasons[:REASONS_TOLD], *rest]) or "random octets do not look like this"


def _judge_authentic(case: _Case) -> None:
    """The packets that authenticated: under what, and whether that hides anything."""
    stream, plain = case.stream, case.stream.plaintext
    if not case.authentic:
        return
    case.verdicts.append(Verdict.AUTHENTICATED)
    for suite in dict.fromkeys(use.suite for use in stream.key_uses if not encrypts(use.suite)):
        uses = [use for use in stream.key_uses if use.suite == suite]
        packets = counted(sum(use.packets for use in uses))
        case.verdicts.append(Verdict.PLAINTEXT)
        case.tell("null-cipher", tuple(use.frame for use in uses), packets=packets, suite=suite)
    if case.facts.in_clear.count:
        case.verdicts.append(Verdict.PLAINTEXT)
        case.tell("srtcp-in-clear", case.facts.in_clear.frames, packets=counted(case.facts.in_clear.count))
    if len(case.verdicts) > 1:
        return
    if plain.looks_encrypted is False:
        case.verdicts.append(Verdict.PLAINTEXT)
        case.tell(
            "unencrypted-srtp", (stream.first_frame,),
            packets=counted(case.authentic), suite=stream.suite, reasons=_reasons(plain),
        )  # fmt: skip
    elif _declared_in_clear(stream):
        # The tag is no proof then; only the tests are left.
        case.verdicts.append(_by_tests(plain))


def _declared_in_clear(stream: StreamReport) -> bool:
    return _declares(stream, "UNENCRYPTED_SRTP" if stream.kind == "rtp" else "UNENCRYPTED_SRTCP")


def _declares(stream: StreamReport, parameter: str) -> bool:
    return any(parameter in declared.unencrypted for declared in stream.declared)


def _by_tests(result: PlaintextResult) -> Verdict:
    if result.looks_encrypted is None:
        return Verdict.INCONCLUSIVE
    return Verdict.CONSISTENT if result.looks_encrypted else Verdict.PLAINTEXT


def _judge_others(case: _Case) -> None:
    """The packets without a key that opens them: all of the stream, or those that failed."""
    stream = case.stream
    if case.authentic:
        _judge_failed(case)
        return
    case.verdicts.append(_by_tests(stream.plaintext))
    if stream.plaintext.looks_encrypted is False:
        case.tell("plaintext", (stream.first_frame,), reasons=_reasons(stream.plaintext))
        _tell_hidden(case)
        return
    if stream.plaintext.looks_encrypted is None:
        case.tell("few-packets", packets=counted(stream.packets), octets=counted(stream.octets, "octet"))
    if case.facts.signaled_keys and case.stream.truncated < case.stream.packets:
        if case.facts.rollover_unfinished:
            return  # which is told, and leaves open whether they do
        if stream.kind == "rtp" and _declares(stream, "UNAUTHENTICATED_SRTP"):
            case.tell("unauthenticated-srtp", (stream.first_frame,))
            return
        sources = ", ".join(case.keys[number].source for number in case.facts.signaled_keys if number in case.keys)
        case.tell("key-does-not-open", stream.failed_frames or (stream.first_frame,), sources=sources or "signaled")
    elif not case.facts.signaled_keys:
        case.tell("no-key")


def _tell_hidden(case: _Case) -> None:
    """What is plain although a label says otherwise."""
    stream = case.stream
    declared = max(stream.declared, key=lambda each: each.frame, default=None)  # a later one replaces those before
    if declared is not None and declared.secure:
        code = "rtp-under-savp" if stream.kind == "rtp" else "rtcp-under-savp"
        case.tell(code, (declared.frame, stream.first_frame), frame=declared.frame, profile=declared.profile)
    elif case.beside_srtp:
        case.tell("rtcp-beside-srtp", (stream.first_frame,))


def _judge_failed(case: _Case) -> None:
    """Packets that did not authenticate, beside others that did."""
    stream = case.stream
    in_clear = case.facts.plain_rtcp
    if in_clear.count:
        case.verdicts.append(Verdict.PLAINTEXT)
        case.tell("rtcp-in-between", in_clear.frames, packets=counted(in_clear.count))
    if in_clear.count >= case.failed:
        return
    plain = next((each.result for each in case.facts.stretches if each.what == "failed"), None)
    values = {"failed": f"{case.failed:,}", "checked": counted(stream.authenticated.of), "cause": _cause(stream)}
    looks_plain = plain is not None and plain.looks_encrypted is False
    if not looks_plain and _is_scattered(stream, case.rules.forged_share):
        case.tell("forged", stream.failed_frames, allowed=f"{100 * case.rules.forged_share:g}", **values)
        return
    case.verdicts.append(_by_tests(plain) if plain is not None else Verdict.INCONCLUSIVE)
    case.tell("authentication-failed", stream.failed_frames, **values)


def _is_scattered(stream: StreamReport, share: float) -> bool:
    """Whether at most this share of the checked packets failed, with authentic ones before and after."""
    checked = stream.authenticated
    before, after = _edges(stream)
    return checked.of - checked.count <= share * checked.of and not before and not after


def _edges(stream: StreamReport) -> tuple[int, int]:
    """Failures in the bins before the first and behind the last one with an authentic packet."""
    opened = [number for number, each in enumerate(stream.timeline) if each.authenticated]
    if not opened:
        return 0, 0
    before = sum(each.failed for each in stream.timeline[: opened[0]])
    return before, sum(each.failed for each in stream.timeline[opened[-1] + 1 :])


def _cause(stream: StreamReport) -> str:
    """The likely reason of failures, in a sentence."""
    failed = stream.authenticated.of - stream.authenticated.count
    before, after = _edges(stream)
    if after >= EDGE_SHARE * failed:
        return "They end the stream: probably a new key, whose signaling is not in what was read."
    if before >= EDGE_SHARE * failed:
        return "They begin the stream: probably an earlier key, whose signaling is not in what was read."
    if failed <= SCATTERED_SHARE * stream.authenticated.of:
        return "They stand among authentic ones: forged, damaged on the way, or of another sender under the same SSRC."
    return "They are many among authentic ones: a key that is not known was in use in between, or someone forges."


def _judge_stretches(case: _Case) -> None:
    """A plain stretch within a stream that otherwise looks encrypted."""
    if case.stream.plaintext.looks_encrypted is False and not case.authentic:
        return  # told of the whole stream
    for each in case.facts.stretches:
        if each.result.looks_encrypted is False:
            case.verdicts.append(Verdict.PLAINTEXT)
            case.tell(
                "plaintext-stretch", (each.first_frame, each.last_frame), packets=counted(each.packets),
                first=each.first_frame, last=each.last_frame, reasons=_reasons(each.result),
            )  # fmt: skip


def _tell_reuse(case: _Case) -> None:
    facts = case.facts
    if facts.reused.count:
        code = "keystream-reused" if any(encrypts(use.suite) for use in case.stream.key_uses) else "number-reused"
        case.tell(code, facts.reused.frames, packets=counted(facts.reused.count))
    for other, shared in facts.reused_in:
        case.tell("keystream-shared", shared.frames, packets=counted(shared.count), other=other)
    if facts.replayed.count:
        case.tell("replayed", facts.replayed.frames, packets=counted(facts.replayed.count))


def _tell_keys(case: _Case) -> None:
    """Suites, key changes, and how the rollover counter was found."""
    stream = case.stream
    for suite in dict.fromkeys(use.suite for use in stream.key_uses):
        known = SUITES.get(suite)
        if known and stream.kind == "rtp" and known.rtp_tag_length == SHORT_TAG:
            case.tell("weak-tag", suite=suite)
    for before, use in zip(stream.key_uses, stream.key_uses[1:], strict=False):
        if use.key != before.key:
            case.tell("key-changed", (use.frame,), frame=use.frame, key=use.key)
    if case.facts.rollover_found is not None:
        case.tell("rollover-found", (stream.first_frame,), roc=case.facts.rollover_found)
    if case.facts.rollover_unfinished and not case.authentic:
        case.tell("rollover-unfinished")


def _tell_declared(case: _Case) -> None:
    """Signaling against what was found. One description of each kind is told, for offers and answers repeat it."""
    stream = case.stream
    told: set[str] = set()
    for declared in stream.declared:
        for code, values in _declarations(case, declared):
            if code not in told:
                told.add(code)
                case.tell(code, (declared.frame,), frame=declared.frame, **values)


def _declarations(case: _Case, declared: Declared) -> Iterator[tuple[str, dict[str, str]]]:
    suites = ", ".join(declared.suites)
    if declared.suites and not declared.secure:
        yield "crypto-under-avp", {"profile": declared.profile, "found": _found(case)}
    if declared.unencrypted:
        yield "declared-unencrypted", {"parameters": ", ".join(declared.unencrypted)}
    unknown = ", ".join(name for name in declared.suites if name not in SUITES)
    if unknown:
        yield "unknown-suite", {"declared": unknown}
    used = {use.suite for use in case.stream.key_uses}
    everywhere = {name for each in case.stream.declared for name in each.suites}
    if used - everywhere and declared.suites:
        yield "suite-differs", {"suite": ", ".join(sorted(used - everywhere)), "declared": suites}


def _found(case: _Case) -> str:
    plain = worst(case.verdicts) is Verdict.PLAINTEXT
    if case.authentic:
        return "They are SRTP, but in clear." if plain else "They are encrypted."
    known = case.stream.plaintext.looks_encrypted
    return "" if known is None else "They look encrypted." if known and not plain else "They are plain."


def _tell_limits(case: _Case) -> None:
    if case.stream.truncated:
        case.tell("truncated", packets=counted(case.stream.truncated))
    if case.facts.restarts:
        case.tell("restarted", restarts=counted(case.facts.restarts, "time"))


def _encrypted(case: _Case) -> Share:
    """Of authentic packets what the suites promise, unless the payload is plain all the same; of a plain stream without
    a key none; else unknown."""
    stream = case.stream
    if any(each.code == "unencrypted-srtp" for each in case.findings):
        return Share(0, stream.encrypted.of)
    if case.authentic:
        return stream.encrypted
    return Share(0, stream.packets) if stream.plaintext.looks_encrypted is False else Share(0, 0)
