"""From what was counted natively of each stream to the facts that are judged (verdict.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from srtpgw.capture.described import declared, format_of, formats
from srtpgw.capture.filters import stream_filter
from srtpgw.capture.gather import Found, Gathered
from srtpgw.capture.judge import CaptureFacts
from srtpgw.capture.plaintext import judge as judge_payload
from srtpgw.capture.report import (
    CaptureFile,
    KeyReport,
    KeyUse,
    PayloadType,
    Share,
    StreamReport,
    TimelineBin,
    Verdict,
)
from srtpgw.capture.signaling import TlsFlow
from srtpgw.capture.verdict import NONE, Evidence, StreamFacts, Stretch

SIP_PORTS: Final = {5060, 5061}
NO_OCTETS: Final = (0,) * 256  # one for all streams of which none were counted
CLOSED_FRAMES_MAX: Final = 8  # told of TLS connections that stay closed

Results = Sequence[dict[str, Any]]  # of the examiner: a row for each stream


def capture_facts(gathered: Gathered, name: str, octets: int, results: Results, reuse: Results) -> CaptureFacts:
    streams = tuple(_streams(gathered, results, reuse))
    at_sip = [flow for flow in gathered.signaling.tls_flows if _is_sip(flow)]
    closed = [flow for flow in at_sip if not flow.secrets]
    return CaptureFacts(
        capture=_capture_file(gathered, name, octets),
        streams=streams,
        keys=_keys(gathered, streams),
        equal_keys=tuple(tuple(number + 1 for number in numbers) for numbers in gathered.keyring.equal()),
        keys_in_clear=gathered.signaling.keys_in_clear(),
        tls_closed=Evidence(len(closed), tuple(flow.frame for flow in closed[:CLOSED_FRAMES_MAX])),
        tls_faults=tuple((flow.frame, flow.fault) for flow in at_sip if flow.secrets and flow.fault),
        dtls_faults=tuple((each.frame, each.fault) for each in gathered.handshakes if each.fault),
        findings=gathered.signaling.findings(),
    )


def _is_sip(flow: TlsFlow) -> bool:
    """Whether a connection that stays closed is at the ports of SIP; most other TLS has nothing to do with calls."""
    return SIP_PORTS & {flow.client.port, flow.server.port} != set()


def _capture_file(gathered: Gathered, name: str, octets: int) -> CaptureFile:
    described = gathered.described
    return CaptureFile(
        name=name,
        format=described["format"],
        octets=octets,
        frames=described["frames"],
        first_ns=described["first_ns"],
        last_ns=described["last_ns"],
        interfaces=tuple(each["name"] for each in described["interfaces"]),
        counters={**described["counters"], **gathered.signaling.counters},
        fault=gathered.fault,
    )


def _keys(gathered: Gathered, streams: Sequence[StreamFacts]) -> tuple[KeyReport, ...]:
    opened: dict[int, list[int]] = {}
    for facts in streams:
        for number in dict.fromkeys(use.key for use in facts.stream.key_uses):
            opened.setdefault(number, []).append(facts.stream.number)
    return tuple(
        KeyReport(
            number=number,
            source=key.source,
            suite=key.suites[0] if key.declared else None,
            mki=key.mki.hex(),
            streams=tuple(opened.get(number, ())),
        )
        for number, key in enumerate(gathered.keyring.keys, 1)
    )


def _streams(gathered: Gathered, results: Results, reuse: Results) -> Iterator[StreamFacts]:
    numbers = numbered(results)
    alone, shared = _reused(numbers, reuse)
    for place, number in numbers.items():
        facts = _facts(gathered, gathered.streams[place], results[place], number)
        again = alone.get(number, NONE)
        sure = facts.reused.count and len(facts.stream.key_uses) < 2  # of several keys, each has numbers of its own
        yield replace(facts, reused=facts.reused if sure else again, reused_in=tuple(shared.get(number, ())))


def numbered(results: Results) -> dict[int, int]:
    """Numbers in reports, by place in the results: from 1, in order of the first packet."""
    places = [place for place, row in enumerate(results) if row["packets"]]
    places.sort(key=lambda place: results[place]["first_frame"])
    return {place: number for number, place in enumerate(places, 1)}


def _reused(
    numbers: dict[int, int], reuse: Results
) -> tuple[dict[int, Evidence], dict[int, list[tuple[int, Evidence]]]]:
    """Keystream used twice, by number of the stream: within one, and between it and others."""
    alone: dict[int, Evidence] = {}
    shared: dict[int, list[tuple[int, Evidence]]] = {}
    for group in reuse:
        if not group["reused"]:
            continue
        evidence = Evidence(group["reused"], tuple(dict.fromkeys(frame for pair in group["frames"] for frame in pair)))
        members = [numbers[place] for place in group["streams"] if place in numbers]
        if len(members) == 1:
            alone[members[0]] = evidence
        for number in members:
            shared.setdefault(number, []).extend((other, evidence) for other in members if other != number)
    return alone, shared


def _facts(gathered: Gathered, found: Found, row: dict[str, Any], number: int) -> StreamFacts:
    first_roc = row["roc"][0] if row["roc"] else 0
    return StreamFacts(
        stream=_stream(gathered, found, row, number),
        signaled_keys=tuple(each + 1 for each in found.announced),
        stretches=tuple(_stretches(row)),
        reused=Evidence(row["conflicts"], row["conflict_frames"]),
        replayed=Evidence(row["replays"], row["replay_frames"]),
        plain_rtcp=Evidence(
            row["well_formed_rtcp"], row["failed_frames"] if row["well_formed_rtcp"] == row["failed"] else ()
        ),
        in_clear=Evidence(row["srtcp_in_clear"], row["clear_frames"] if row["srtcp_in_clear"] else ()),
        rollover_found=first_roc or None,
        rollover_unfinished=found.unsearched,
        restarts=row["restarts"],
    )


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    """What the plaintext tests look at for a verdict on the stream. Where nothing authenticated, the packets that were
    tried are all there is."""
    features: dict[str, Any] = row["features"]
    return features if row["authenticated"] or row["failed_features"] is None else row["failed_features"]


def _stretches(row: dict[str, Any]) -> Iterator[Stretch]:
    if row["failed_features"] is not None and row["authenticated"]:
        frames = row["failed_frames"]
        result = judge_payload(row["failed_features"])
        yield Stretch("failed", frames[0], frames[-1], row["failed"], result)
    for each in row["stretches"]:
        result = judge_payload(each["features"])
        yield Stretch("part", each["first_frame"], each["last_frame"], result.packets, result)


def _stream(gathered: Gathered, found: Found, row: dict[str, Any], number: int) -> StreamReport:
    uses = tuple(_key_uses(gathered, found, row))
    interface = gathered.described["interfaces"][found.key[0]]
    checked = row["authenticated"] + row["failed"]
    return StreamReport(
        number=number,
        kind="rtcp" if found.rtcp else "rtp",
        interface=interface["name"] or None,
        interface_description=interface["description"],
        source=found.source,
        destination=found.destination,
        ssrc=found.ssrc,
        payload_types=tuple(_payload_types(found, row)),
        packets=row["packets"],
        octets=row["octets"],
        first_frame=row["first_frame"],
        last_frame=row["last_frame"],
        first_ns=row["first_ns"],
        last_ns=row["last_ns"],
        lost=row["lost"],
        reordered=row["reordered"],
        duplicates=row["duplicates"],
        replays=row["replays"],
        truncated=row["truncated"],
        jitter_ms=row["jitter_ms"],
        declared=declared(found.descriptions),
        suite=uses[0].suite if uses else None,
        key_uses=uses,
        authenticated=Share(row["authenticated"], checked),
        encrypted=Share(row["encrypted"], checked),
        failed_frames=row["failed_frames"],
        roc=row["roc"],
        wraps=row["wraps"],
        plaintext=judge_payload(_whole(row)),
        timeline=tuple(TimelineBin(*each) for each in row["timeline"]),
        histogram=tuple(row["histogram"]) if any(row["histogram"]) else NO_OCTETS,
        display_filter=stream_filter("rtcp" if found.rtcp else "rtp", found.source, found.destination, found.ssrc),
        findings=(),
        verdict=Verdict.INCONCLUSIVE,
    )


def _key_uses(gathered: Gathered, found: Found, row: dict[str, Any]) -> Iterator[KeyUse]:
    keyring = gathered.keyring
    for use in row["key_uses"]:
        yield KeyUse(
            key=keyring.owner(use["key"], found.source, found.destination) + 1,
            suite=keyring.suite(use["key"]),
            frame=use["frame"],
            time_ns=use["time_ns"],
            roc=use["roc"],
            packets=use["packets"],
        )


def _payload_types(found: Found, row: dict[str, Any]) -> Iterator[PayloadType]:
    """The most frequent first. RTCP has packet types instead, which tell nothing."""
    known = formats(found.descriptions)
    if found.rtcp:
        return
    for number, packets in sorted(row["payload_types"].items(), key=lambda each: (-each[1], each[0])):
        each = format_of(number, known)
        yield PayloadType(
            number, packets, each.codec if each else None, each.clock_rate if each else None, signaled=number in known
        )
