"""Facts and reports made up for tests: a stream that is whole and authentic, to be changed field by field."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from srtpgw.capture.expect import parse_expected
from srtpgw.capture.filters import stream_filter
from srtpgw.capture.judge import CaptureFacts, judge
from srtpgw.capture.report import (
    Address,
    CaptureFile,
    Declared,
    KeyReport,
    KeyUse,
    PayloadType,
    PlaintextResult,
    Report,
    Share,
    StreamReport,
    TimelineBin,
    Verdict,
)
from srtpgw.capture.verdict import StreamFacts

SUITE = "AES_CM_128_HMAC_SHA1_80"
START = 1_700_000_000_000_000_001  # ns
PACKETS = 1500  # 30 s of G.711
RANDOM = PlaintextResult(PACKETS, True, -0.1)
PLAIN = PlaintextResult(PACKETS, False, -900.0, ("octet 1 of the payload is 0xff in 98 % of packets (random: 0.4 %)",))
FEW = PlaintextResult(9, None, 0.0)


def savp(**changes: Any) -> Declared:
    return replace(Declared("RTP/SAVP", (SUITE,), 3, "tls", "call-1"), **changes)


def use(**changes: Any) -> KeyUse:
    return replace(KeyUse(1, SUITE, 10, START, 0, PACKETS), **changes)


def bins(*counts: tuple[int, int]) -> tuple[TimelineBin, ...]:
    """Of (authentic, failed) packets each."""
    return tuple(
        TimelineBin(START + number * 10**9, good + bad, 0, good, bad, 0) for number, (good, bad) in enumerate(counts)
    )


def stream(**changes: Any) -> StreamReport:
    """Authenticated and encrypted, unless changed; its filter follows from its addresses."""
    whole = StreamReport(
        number=1, kind="rtp", interface="extension phone", source=Address("192.0.2.1", 4000),
        destination=Address("192.0.2.9", 5004), ssrc=0x1234ABCD,
        payload_types=(PayloadType(0, PACKETS, "PCMU", 8000, True),), packets=PACKETS, octets=PACKETS * 182,
        first_frame=10, last_frame=3010, first_ns=START, last_ns=START + 30 * 10**9, lost=0, reordered=0, duplicates=0,
        replays=0, truncated=0, jitter_ms=0.4, declared=(savp(),), suite=SUITE, key_uses=(use(),),
        authenticated=Share(PACKETS, PACKETS), encrypted=Share(PACKETS, PACKETS), failed_frames=(), roc=(0, 0), wraps=0,
        plaintext=RANDOM, timeline=bins(*[(50, 0)] * 30), histogram=tuple(930 + (n * 37) % 61 for n in range(256)),
        display_filter="", findings=(), verdict=Verdict.INCONCLUSIVE,
    )  # fmt: skip
    made = replace(whole, **changes)
    return replace(made, display_filter=stream_filter(made.kind, made.source, made.destination, made.ssrc))


def facts(**changes: Any) -> StreamFacts:
    """``changes`` of the stream or of the facts about it."""
    own = {field.name for field in fields(StreamFacts)}
    about = {name: changes.pop(name) for name in [*changes] if name in own}
    return StreamFacts(stream=stream(**changes), **{"signaled_keys": (1,), **about})


def keyless(**changes: Any) -> StreamFacts:
    """Of a stream without signaling and key that looks encrypted."""
    found = {"suite": None, "key_uses": (), "authenticated": Share(0, 0), "encrypted": Share(0, 0), "roc": None}
    unchecked = tuple(replace(each, authenticated=0) for each in bins(*[(50, 0)] * 30))
    shown = {"declared": (), "signaled_keys": (), "timeline": unchecked}
    return facts(**{**found, **shown, **changes})


def key(number: int = 1, streams: tuple[int, ...] = (1,), **changes: Any) -> KeyReport:
    made = KeyReport(number, f"a=crypto in frame {number + 2} (sip over tls)", SUITE, "", streams)
    return replace(made, **changes)


CAPTURE = CaptureFile("call.pcapng", "pcapng", 1 << 20, 3100, START, START + 31 * 10**9, ("extension phone",), {}, None)


def report(*streams: StreamFacts, expect: tuple[str, ...] = (), **changes: Any) -> Report:
    """Judged. Streams are renumbered in their order."""
    numbered = tuple(
        replace(each, stream=replace(each.stream, number=number)) for number, each in enumerate(streams, 1)
    )
    opened = tuple(each.stream.number for each in numbered if each.stream.key_uses)
    told = {"capture": CAPTURE, "keys": (key(streams=opened),) if opened else ()}
    return judge(CaptureFacts(streams=numbered, **{**told, **changes}), [parse_expected(text) for text in expect])
