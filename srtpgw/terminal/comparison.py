"""What was heard against what was sent: sample by sample, and as a figure; and wire octets against plain ones."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from operator import mul
from typing import TypeAlias

from srtpgw.terminal.codec import AudioCodec
from srtpgw.terminal.packets import parse_media
from srtpgw.terminal.recording import Track, extend
from srtpgw.terminal.voice import Voice

Samples: TypeAlias = "dict[int, array[int]]"  # 16-bit samples by the timestamp of the first one


@dataclass(frozen=True)
class AudioComparison:
    """``samples`` were sent; ``heard`` of them arrived, ``equal`` with the same value; ``extra`` were never sent."""

    samples: int
    heard: int
    equal: int
    extra: int
    correlation: float
    snr_db: float | None  # None: no difference at all

    @property
    def exact(self) -> bool:
        """Everything that was sent arrived, unchanged, and nothing else did."""
        return self.samples == self.heard == self.equal and not self.extra and self.samples > 0


def decoded(track: Track, codec: AudioCodec) -> Samples:
    """What a track sounds like to whoever decodes it: the reference for an exact comparison."""
    return {frame.timestamp: codec.decode(frame.payload) for frame in track}


def spoken(track: Track, voice: Voice) -> Samples:
    """What was said before it was coded, at the timestamps of the track that was sent from its first frame on."""
    return {frame.timestamp: voice.frame(number) for number, frame in enumerate(track)}


def compare_audio(reference: Samples, heard: Track, codec: AudioCodec) -> AudioComparison:
    """Lay what was heard on the reference's timestamps and compare. What is missing counts as silence."""
    near = min(reference, default=0)
    arrived: Samples = {}
    for frame in heard:
        # Each end extends timestamps from its own first packet: bring the listener's onto the sender's scale.
        near = extend(frame.timestamp, near, 32)
        arrived[near] = codec.decode(frame.payload)
    expected, got = array("h"), array("h")
    present = 0
    for timestamp, samples in reference.items():
        other = arrived.pop(timestamp, array("h"))
        present += min(len(other), len(samples))
        expected.extend(samples)
        got.extend((other + array("h", bytes(2 * len(samples))))[: len(samples)])
    return AudioComparison(
        samples=len(expected),
        heard=present,
        equal=sum(map(int.__eq__, expected, got)) if present else 0,
        extra=sum(map(len, arrived.values())),
        correlation=correlation(expected, got),
        snr_db=snr_db(expected, got),
    )


def correlation(one: array[int], other: array[int]) -> float:
    """Normalized, at equal places; 0.0 when either is silent."""
    energy = math.sqrt(_product(one, one)) * math.sqrt(_product(other, other))
    return _product(one, other) / energy if energy else 0.0


def snr_db(reference: array[int], signal: array[int]) -> float | None:
    """Energy of the reference over that of the difference, in dB; None when there is no difference."""
    difference = array("l", [a - b for a, b in zip(reference, signal, strict=True)])
    noise = _product(difference, difference)
    energy = _product(reference, reference)
    if not noise:
        return None
    return 10 * math.log10(energy / noise) if energy else -math.inf


def _product(one: array[int], other: array[int]) -> int:
    return sum(map(mul, one, other))


@dataclass(frozen=True)
class WireComparison:
    """Payload octets of protected packets beside the plain ones at the same places.

    Of octets that have nothing to do with each other, one in 256 is equal by chance.
    """

    packets: int
    octets: int
    equal: int
    identical: int  # packets whose payload begins with the plain payload

    @property
    def share(self) -> float:
        """Equal octets of all that were compared."""
        return self.equal / self.octets if self.octets else 0.0


def compare_wire(datagrams: Iterable[bytes], plain: Track) -> WireComparison:
    """Datagrams as they were on the wire against the payloads that the far end put in, by sequence number."""
    packets = octets = equal = identical = 0
    for datagram in datagrams:
        wire = parse_media(datagram)  # the RTP header is never encrypted: RFC 3711, section 3.1
        payload = plain.payload(wire.sequence)
        if payload is None:
            continue
        packets += 1
        octets += len(payload)
        equal += sum(map(int.__eq__, payload, wire.payload))
        identical += wire.payload.startswith(payload)
    return WireComparison(packets, octets, equal, identical)
