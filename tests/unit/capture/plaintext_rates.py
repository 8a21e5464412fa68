"""How often the plaintext tests are right: over the corpus of plain streams, and over the same streams encrypted."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from unit.capture import made_payloads as made
from unit.capture.corpus import AUDIO, RTP_HEADER, VIDEO, WIDEBAND, encode, encode_frames

from srtpgw import _native
from srtpgw.capture.plaintext import judge
from srtpgw.capture.report import PlaintextResult
from srtpgw.srtp import SUITES, MasterKey, Sender

Streams = dict[str, list[bytes]]

SIZES = (25, 50, 100, 500)  # packets
TAG = 10  # octets, behind the payload under a NULL cipher
MADE = 2000  # packets of each stream that needs no encoder
SIREN = {-1: 40}  # octets of a frame, by its first octet
AMR_WB = {0x04: 18, 0x0C: 24, 0x14: 33, 0x1C: 37, 0x24: 41, 0x2C: 47, 0x34: 51, 0x3C: 59, 0x44: 61, -1: 33}
SHARES = ((50, "half"), (20, "a fifth"), (10, "a tenth"), (2, "a fiftieth"))  # per cent in clear
PARTLY = ("G.711 A-law, speech", "Opus at 24 kbit/s, speech")
MKI_LENGTHS = (0, 0, 1, 4, 16, 128)  # octets
LENGTHS = (25,) * 12 + (50,) * 4 + (100,) * 2 + (500,)  # packets of encrypted streams


class Outcomes(NamedTuple):
    """Of the streams of one kind: how many were called what."""

    plain: int
    encrypted: int
    unsaid: int
    score: float  # the lowest

    @property
    def streams(self) -> int:
        return self.plain + self.encrypted + self.unsaid


def plain_streams(programs: tuple[str, str], folder: Path, seed: int, seconds: tuple[float, float]) -> Streams:
    """Payloads by kind, RTCP packets whole. ``programs``: ffmpeg, gst-launch; ``seconds``: of sound, of pictures."""
    ffmpeg, gst = programs
    streams = encode(ffmpeg, AUDIO, folder, seed, seconds[0]) | encode(ffmpeg, VIDEO, folder, seed, seconds[1])
    samples = b"".join(streams.pop(WIDEBAND))
    draw = random.Random(seed)
    speech, narrow = streams["G.711 A-law, speech"], streams["L16, speech"]
    text = list(islice(made.text(draw), MADE))
    wideband = encode_frames(gst, "voamrwbenc band-mode=2", samples, AMR_WB)
    return streams | {
        "Siren (G.722.1) at 16 kbit/s, speech": encode_frames(gst, "sirenenc", samples, SIREN),
        "AMR-WB at 12.65 kbit/s, speech": [b"\xf0" + frame for frame in wideband],
        "AMR at 12.2 kbit/s, speech": list(made.adaptive_multirate(narrow, 12200)),
        "AMR at 4.75 kbit/s, speech": list(made.adaptive_multirate(narrow, 4750)),
        "AMR at 12.2 kbit/s without its header": [each[2:] for each in made.adaptive_multirate(narrow, 12200)],
        "AMR at 4.75 kbit/s without its header": [each[2:] for each in made.adaptive_multirate(narrow, 4750)],
        "RED, Opus at 24 kbit/s": list(made.redundant(streams["Opus at 24 kbit/s, speech"], 96, 960)),
        "RTX, H.264 at 300 kbit/s": list(made.retransmitted(streams["H.264 at 300 kbit/s"], draw.randrange(65536))),
        "telephone events": list(made.telephone_events(draw, MADE)),
        "G.711 A-law, speech with telephone events": list(made.with_events(draw, speech)),
        "comfort noise, level alone": list(islice(made.comfort_noise(draw, 0), MADE)),
        "comfort noise with 10 coefficients": list(islice(made.comfort_noise(draw, 10), MADE)),
        "T.140 text": text,
        "RED, T.140 text": list(made.redundant(text, 98, 300)),
        "RTCP, sender reports": list(islice(made.reports(draw, sender=True), MADE)),
        "RTCP, receiver reports": list(islice(made.reports(draw, sender=False), MADE)),
    }


def verdict(payloads: Sequence[bytes], name: str) -> PlaintextResult:
    return judge(_native.payload_features(payloads, rtcp=name.startswith("RTCP")))


def count(results: Iterator[PlaintextResult]) -> Outcomes:
    calls: Counter[bool | None] = Counter()
    score = 0.0
    for each in results:
        calls[each.looks_encrypted] += 1
        score = min(score, each.score)
    return Outcomes(calls[False], calls[True], calls[None], score)


def windows(payloads: Sequence[bytes], size: int, most: int) -> Iterator[Sequence[bytes]]:
    """Up to ``most`` runs of ``size`` packets, spread over the stream."""
    spare = len(payloads) - size
    step = max(1, spare // most)
    for start in list(range(0, spare + 1, step))[:most]:
        yield payloads[start : start + size]


def tagged(draw: random.Random, payloads: Sequence[bytes]) -> list[bytes]:
    return [payload + draw.randbytes(TAG) for payload in payloads]


def partly(draw: random.Random, payloads: Sequence[bytes], percent: int) -> list[bytes]:
    """So many of the packets in clear; of the others, octets as random as ciphertext."""
    return [each if draw.random() * 100 < percent else draw.randbytes(len(each)) for each in payloads]


def plain_rates(runs: Sequence[Streams], most: int) -> dict[str, dict[tuple[int, bool], Outcomes]]:
    """By kind of stream, then by packets and whether a tag stands behind the payload."""
    draw = random.Random(7)
    rates: dict[str, dict[tuple[int, bool], Outcomes]] = {}
    for name in runs[0]:
        row = rates.setdefault(name, {})
        for size in SIZES:
            parts = [part for streams in runs for part in windows(streams[name], size, most)]
            row[size, False] = count(verdict(part, name) for part in parts)
            if not name.startswith("RTCP"):
                row[size, True] = count(verdict(tagged(draw, part), name) for part in parts)
    return rates


def partly_rates(runs: Sequence[Streams], most: int) -> dict[str, dict[int, Outcomes]]:
    """Of streams of which a share is in clear."""
    draw = random.Random(8)
    return {
        f"{name}, {share} of the packets in clear": {
            size: count(
                verdict(partly(draw, part, percent), name)
                for streams in runs
                for part in windows(streams[name], size, most)
            )
            for size in SIZES
        }
        for name in PARTLY
        for percent, share in SHARES
    }


def protect(draw: random.Random, payloads: Sequence[bytes], sender: Sender) -> list[bytes]:
    """Payloads as they are captured of an encrypted stream, tag and MKI behind them."""
    ssrc, sequence = draw.getrandbits(32), draw.randrange(1 << 16)
    packets = []
    for number, payload in enumerate(payloads):
        header = struct.pack("!BBHII", 0x80, 96, sequence + number & 0xFFFF, 160 * number, ssrc)
        packets.append(sender.protect(header + payload)[RTP_HEADER:])
    return packets


def encrypted_stream(draw: random.Random, streams: Streams, name: str, suite: str, bare: bool) -> PlaintextResult:
    """What is said of part of a plain stream under a random key."""
    size = draw.choice(LENGTHS)
    part = next(windows(streams[name][draw.randrange(max(1, len(streams[name]) - size)) :], size, 1), streams[name])
    length = draw.choice(MKI_LENGTHS) if not bare else 0
    octets = SUITES[suite].key_length + SUITES[suite].salt_length
    key = MasterKey(draw.randbytes(octets), mki=draw.randbytes(length))
    if name.startswith("RTCP"):
        sender = Sender(suite, key, srtcp_index=draw.randrange(1 << 20))
        return verdict([sender.protect_rtcp(packet) for packet in part], name)
    sender = Sender(suite, key, authenticate_rtp=not bare)
    return verdict(protect(draw, part, sender), name)


def encrypted_rates(runs: Sequence[Streams], streams: int) -> dict[str, Outcomes]:
    """By suite. Each takes its turn with every kind of stream."""
    draw = random.Random(9)
    suites = [name for name, suite in SUITES.items() if suite.cipher != "NULL"]
    kinds = [*suites, "AES_CM_128_HMAC_SHA1_80 without authentication"]
    names = list(runs[0])
    results: dict[str, list[PlaintextResult]] = {kind: [] for kind in kinds}
    for number in range(streams):
        kind = kinds[number % len(kinds)]
        suite, _, bare = kind.partition(" ")
        name = names[number // len(kinds) % len(names)]
        results[kind].append(encrypted_stream(draw, draw.choice(runs), name, suite, bool(bare)))
    return {kind: count(iter(found)) for kind, found in results.items()}
