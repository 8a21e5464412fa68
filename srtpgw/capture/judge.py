"""From facts to the report of a capture: every stream, then what shows only when they are laid side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from srtpgw.capture.expect import Expected, check, outcome_of
from srtpgw.capture.findings import counted, finding, gravity, some
from srtpgw.capture.report import (
    GOOD,
    CaptureFile,
    Finding,
    KeyReport,
    PlaintextResult,
    Report,
    StreamReport,
    Verdict,
    worst,
)
from srtpgw.capture.verdict import NONE, STRICT, Evidence, Rules, StreamFacts, judge_stream

CLEAR_TRANSPORTS = frozenset({"udp", "tcp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFacts:
    """What is known of a capture besides its streams. ``findings`` are further ones, of the signaling."""

    capture: CaptureFile
    streams: tuple[StreamFacts, ...]
    keys: tuple[KeyReport, ...] = ()
    equal_keys: tuple[tuple[int, ...], ...] = ()  # numbers of keys with the same octets, of different descriptions
    keys_in_clear: tuple[int, ...] = ()  # frames of signaling without TLS that carries keys
    tls_closed: Evidence = NONE  # TLS connections without secrets that may carry signaling; their first frames
    tls_faults: tuple[tuple[int, str], ...] = ()  # first frame and fault of others that could not be read
    dtls_faults: tuple[tuple[int, str], ...] = ()  # frame and fault of handshakes that gave no keys
    findings: tuple[Finding, ...] = ()


def judge(facts: CaptureFacts, expected: Sequence[Expected] = (), rules: Rules = STRICT) -> Report:
    """The whole report."""
    streams = tuple(_judge_streams(facts, rules))
    expectations = tuple(check(each, streams) for each in expected)
    found = [*_capture_findings(facts, streams), *facts.findings]
    return Report(
        capture=facts.capture,
        streams=streams,
        keys=facts.keys,
        findings=tuple(sorted(found, key=gravity)),
        expectations=expectations,
        verdict=worst(stream.verdict for stream in streams),
        outcome=outcome_of(expectations),
    )


def _judge_streams(facts: CaptureFacts, rules: Rules) -> Iterator[StreamReport]:
    """RTCP a second time, once it is known which sources send SRTP, and which plain RTP."""
    keys = {key.number: key for key in facts.keys}
    judged = [judge_stream(each, keys, rules) for each in facts.streams]
    media = [stream for stream in judged if stream.kind == "rtp"]
    srtp = {_sender(stream) for stream in media if stream.verdict in GOOD}
    plain = {_sender(stream) for stream in media if stream.plain_throughout} - srtp
    for each, stream in zip(facts.streams, judged, strict=True):
        if stream.kind == "rtcp" and stream.verdict is Verdict.PLAINTEXT and _sender(stream) in srtp:
            yield judge_stream(each, keys, rules, beside_srtp=True)
        elif _is_whole(each) and stream.verdict is Verdict.INCONCLUSIVE and _sender(stream) in plain:
            yield judge_stream(replace(each, stream=replace(each.stream, plaintext=_plain_report(stream))), keys, rules)
        else:
            yield stream


def _is_whole(facts: StreamFacts) -> bool:
    return facts.stream.kind == "rtcp" and facts.plain_rtcp.count == facts.stream.packets


def _plain_report(stream: StreamReport) -> PlaintextResult:
    """One report in clear may be chance. Beside plain media of the same source it is none."""
    reason = "its lengths add up to the end, where SRTCP has an index and a tag, and the media of its source is plain"
    return replace(stream.plaintext, looks_encrypted=False, reasons=(reason,))


def _sender(stream: StreamReport) -> tuple[str, int]:
    return stream.source.host, stream.ssrc


def _capture_findings(facts: CaptureFacts, streams: Sequence[StreamReport]) -> Iterator[Finding]:
    if facts.capture.fault:
        yield finding("cut-short", fault=facts.capture.fault)
    if not streams:
        yield finding("no-streams", total=counted(facts.capture.frames, "frame"))
    yield from _shared_keys(facts, streams)
    clear = {
        declared.frame
        for stream in streams
        for declared in stream.declared
        if declared.suites and declared.transport in CLEAR_TRANSPORTS
    }
    clear.update(facts.keys_in_clear)
    if clear:
        yield finding("keys-in-clear", sorted(clear))
    if facts.tls_closed.count:
        connections = counted(facts.tls_closed.count, "TLS connection")
        yield finding("tls-closed", facts.tls_closed.frames, connections=connections)
    if facts.tls_faults:
        yield finding("tls-unread", _frames(facts.tls_faults), faults=_faults(facts.tls_faults))
    if facts.dtls_faults:
        handshakes = counted(len(facts.dtls_faults), "DTLS handshake")
        yield finding(
            "dtls-closed", _frames(facts.dtls_faults), handshakes=handshakes, faults=_faults(facts.dtls_faults)
        )
    unused = sum(not key.streams for key in facts.keys)
    if unused:
        yield finding("unused-keys", known=counted(len(facts.keys), "known key"), count=f"{unused:,}")


def _frames(faults: Sequence[tuple[int, str]]) -> list[int]:
    return [frame for frame, _ in faults]


def _faults(faults: Sequence[tuple[int, str]]) -> str:
    return some(list(dict.fromkeys(text for _, text in faults)))


def _shared_keys(facts: CaptureFacts, streams: Sequence[StreamReport]) -> Iterator[Finding]:
    """Keys that open streams of more than one sender. Several SSRCs of one sender may share a key, and what is seen
    under one SSRC at several addresses is one stream on its way, or after a move."""
    by_number = {stream.number: stream for stream in streams}
    keys_by_number = {key.number: key for key in facts.keys}
    for group in _equal(facts):
        keys = [keys_by_number[number] for number in sorted(group)]
        opened = sorted({number for key in keys for number in key.streams if number in by_number})
        senders = {by_number[number].ssrc: _port_pair(by_number[number]) for number in reversed(opened)}
        if len(set(senders.values())) > 1:
            frames = [by_number[number].first_frame for number in opened]
            sources = dict.fromkeys(key.source for key in keys if key.streams)
            shown = some([str(number) for number in opened])
            yield finding("key-shared", frames, streams=shown, sources=some(list(sources)))


def _equal(facts: CaptureFacts) -> Iterator[set[int]]:
    """Numbers of keys with the same octets, most of them alone."""
    alone = {key.number for key in facts.keys}
    for equal in facts.equal_keys:
        alone.difference_update(equal)
        yield set(equal)
    for number in sorted(alone):
        yield {number}


def _port_pair(stream: StreamReport) -> tuple[str, int]:
    """RTP and the RTCP on the port above it are one sender."""
    return stream.source.host, stream.source.port // 2
