"""The readings of a capture for the fuzz driver: what goes through them, and what must hold of what they say."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from native.captures import RAW, Blocks, Frame, ethernet, feed, ip4, ip6, pcap, pcapng, portions, udp
from native.examined import CM32, CM80, GCM, NULL80, protected, run, sender_for, sender_report, trial_keys

from srtpgw import _native

KEYS: tuple[tuple[str, int] | tuple[str, int, bytes], ...] = ((CM80, 1), (GCM, 2), (CM32, 3, b"\1\2"), (NULL80, 4))
STREAM_LIMIT = 16  # so that it is reached
ROC_BUDGET = 2000  # trials for a file: a few rollover counters
START_NS = 1_700_000_000_000_000_000
INTERFACES = 4  # of what is written
ROOM = 4096
PORTIONS = (1000, ROOM, 1 << 20)  # octets that come at a time


class Violation(Exception):
    """Something came out that cannot be."""


def hold(true: bool, what: str) -> None:
    if not true:
        raise Violation(what)


def media() -> list[bytes]:
    """RTP and RTCP under each of the keys, past a wrap, with a packet that comes twice and one that is forged."""
    wires = []
    for number, (suite, seed, *mki) in enumerate(KEYS):
        sender = sender_for(suite, seed, mki=mki[0] if mki else b"")
        payloads = protected(range(65530, 65546), sender, ssrc=number + 1, payload=bytes(range(40)))
        payloads += [payloads[-1], payloads[3][:-1] + b"?"]
        payloads += [sender.protect_rtcp(sender_report(report, number + 1)) for report in range(3)]
        wires += [udp(payload, 4000 + 2 * number, 5000) for payload in payloads]
    return wires


def seeds() -> list[bytes]:
    """Files of protected media."""
    four, six = (
        [Frame(wrap(wire), START_NS + 20_000_000 * n) for n, wire in enumerate(media())] for wrap in (ip4, ip6)
    )
    return [pcap(four, linktype=RAW), pcapng(six, linktype=RAW), pcap([Frame(ethernet(ip4(media()[0])))])]


def surveyed(octets: bytes, step: int) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The first reading: signals and streams."""
    survey = _native.Survey(stream_limit=STREAM_LIMIT)
    reader = _native.CaptureReader(room=ROOM)
    signals = [signal for _ in portions(reader, octets, step) for signal in survey.run(reader)]
    return signals, survey.streams()


def through_survey(octets: bytes, rng: random.Random) -> None:
    """Streams and signals against the packets that there are."""
    signals, streams = surveyed(octets, rng.choice(PORTIONS))
    packets = feed(_native.CaptureReader(room=ROOM), octets)
    payloads = {packet.frame: packet.payload for packet in packets}
    hold(all(payloads.get(signal[1]) == signal[9] for signal in signals), "a signal that is no packet")
    hold(sum(stream["packets"] for stream in streams) <= len(packets), "more packets in streams than there are")
    known = set(payloads.values())
    hold(all(sample in known for stream in streams for sample in stream["samples"]), "a sample that is no packet")
    hold(len({stream["key"] for stream in streams}) == len(streams) <= STREAM_LIMIT, "streams twice, or too many")


def through_examine(octets: bytes, rng: random.Random) -> None:
    """Keys matched to the streams of the survey, then all packets authenticated and written."""
    _, streams = surveyed(octets, rng.choice(PORTIONS))
    keys = trial_keys(*KEYS)
    samples = [(stream["key"][-1], stream["samples"]) for stream in streams]
    matches, _ = _native.find_keys(samples, keys, [[] for _ in streams], roc_budget=ROC_BUDGET)
    for number, stream in enumerate(streams):
        stream["keys"] = [(key, roc, None, None) for at, key, roc, _ in matches if at == number]
        stream["keys"] += [(rng.randrange(len(KEYS)),)] if rng.random() < 0.2 else []
        stream["plain"] = rng.random() < 0.5
        stream["clock_rates"] = {0: 8000, 8: 8000}
        if rng.random() < 0.5:
            stream["interface_out"], stream["interface_undecrypted"] = (
                rng.randrange(INTERFACES),
                rng.randrange(INTERFACES),
            )
    writer = _native.BlockWriter()
    examiner = _native.Examiner(keys, streams, writer, reuse=range(len(streams)) if rng.random() < 0.5 else ())
    blocks = run(examiner, octets, rng.choice(PORTIONS))
    results = examiner.results()
    examiner.reuse()
    hold(len(results) == len(streams), "results")
    for result in results:
        counted = result["authenticated"] + result["failed"] + result["unchecked"]
        hold(counted <= result["packets"], f"{counted} packets examined of {result['packets']}")
        hold(result["encrypted"] <= result["packets"], "more packets encrypted than there are")
    check_written(blocks, writer.packets)


def check_written(blocks: bytes, count: int) -> None:
    """What is written can be read."""
    form = Blocks()
    head = form.section() + b"".join(form.interface(RAW, resolution=9) for _ in range(INTERFACES))
    reader = _native.CaptureReader()
    feed(reader, head + blocks)
    found = reader.describe()
    hold(
        found["fault"] is None and found["frames"] == count,
        f"{count} packets written, {found['frames']} read: {found['fault']}",
    )


READINGS: dict[str, Callable[[bytes, random.Random], None]] = {"survey": through_survey, "examine": through_examine}
