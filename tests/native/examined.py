"""Streams of one capture for the tests of the second reading: packets made, written as a file, examined."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from native.captures import RAW, SECOND_NS, Frame, ip4, pcap, udp

from srtpgw import _native
from srtpgw.srtp import SUITES, MasterKey, Sender

NUMBERS = {name: number for number, name in enumerate(SUITES)}
CM80, CM32, GCM, NULL80 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "NULL_HMAC_SHA1_80"
START_NS = 1_700_000_000 * SECOND_NS
STEP_NS = 20_000_000
SSRC = 0x1234ABCD
SOURCE, DESTINATION = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
SOURCE_PORT, DESTINATION_PORT = 4000, 5000


def octets_for(suite: str, seed: int = 1) -> bytes:
    """A master key and salt."""
    row = SUITES[suite]
    return bytes((seed * 7 + i * 3) & 0xFF for i in range(row.key_length + row.salt_length))


def rtp(sequence: int, *, ssrc: int = SSRC, payload: bytes = b"\xd5" * 160, kind: int = 8, step: int = 160,
        first: int = 0x80) -> bytes:  # fmt: skip
    """`sequence` may go past 2^16; the timestamp follows it."""
    header = struct.pack("!BBHII", first, kind, sequence & 0xFFFF, sequence * step & 0xFFFFFFFF, ssrc)
    return header + payload


def sender_report(number: int, ssrc: int = SSRC) -> bytes:
    return struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, number << 32, number, number, number)


def sender_for(suite: str = CM80, seed: int = 1, *, mki: bytes = b"", **options: Any) -> Sender:
    return Sender(suite, MasterKey(octets_for(suite, seed), mki=mki), **options)


def protected(indices: Iterable[int], sender: Sender | None = None, **fields: Any) -> list[bytes]:
    """Packets in order; the sender's rollover counter follows."""
    sender = sender or sender_for()
    return [sender.protect(rtp(index, **fields)) for index in indices]


class Sent(NamedTuple):
    """A datagram of the capture. `cut`: octets of it that were not captured."""

    time_ns: int
    payload: bytes
    destination_port: int = DESTINATION_PORT
    cut: int = 0


def capture(packets: list[Sent]) -> bytes:
    frames = []
    for packet in packets:
        octets = ip4(udp(packet.payload, SOURCE_PORT, packet.destination_port))
        frames.append(Frame(octets[: len(octets) - packet.cut], packet.time_ns, len(octets)))
    return pcap(frames, linktype=RAW, magic=0xA1B23C4D)


def paced(payloads: list[bytes], *, start_ns: int = START_NS, step_ns: int = STEP_NS, **fields: Any) -> list[Sent]:
    return [Sent(start_ns + i * step_ns, payload, **fields) for i, payload in enumerate(payloads)]


def stream_key(ssrc: int = SSRC, *, rtcp: bool = False, port: int = DESTINATION_PORT) -> tuple[Any, ...]:
    return (0, 4, SOURCE, SOURCE_PORT, DESTINATION, port, ssrc, rtcp)


def stream(ssrc: int = SSRC, keys: list[tuple[Any, ...]] | None = None, *, rtcp: bool = False,
           port: int = DESTINATION_PORT, **settings: Any) -> dict[str, Any]:  # fmt: skip
    return {"key": stream_key(ssrc, rtcp=rtcp, port=port), "keys": [] if keys is None else keys, **settings}


def trial_keys(*entries: tuple[str, int] | tuple[str, int, bytes]) -> _native.TrialKeys:
    """(suite, seed of the key, MKI) each."""
    rows = []
    for suite, seed, *mki in entries:
        rows.append((NUMBERS[suite], octets_for(suite, seed), mki[0] if mki else b""))
    return _native.TrialKeys(rows)


ONE_KEY = (CM80, 1)


def run(examiner: _native.Examiner, octets: bytes, portion: int = 1 << 18) -> bytes:
    """The whole file through it; the blocks that were written."""
    reader = _native.CaptureReader()
    blocks, at = [], 0
    while at < len(octets):
        space = reader.space()
        count = min(len(space), portion, len(octets) - at)
        space[:count] = octets[at : at + count]
        space.release()
        reader.filled(count)
        blocks.append(examiner.run(reader))
        at += count
    reader.finish()
    blocks.append(examiner.run(reader))
    return b"".join(blocks)


def examine(packets: list[Sent], keys: _native.TrialKeys, streams: list[dict[str, Any]], **options: Any) -> Any:
    """The results of one reading; with one stream its dict alone."""
    examiner = _native.Examiner(keys, streams, **options)
    run(examiner, capture(packets))
    results = examiner.results()
    return results[0] if len(results) == 1 else results
