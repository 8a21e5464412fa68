"""The second reading with a writer: every packet once, in order, decrypted or under the reason why not."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from native.examined import (
    CM80,
    ONE_KEY,
    Sent,
    capture,
    octets_for,
    paced,
    protected,
    rtp,
    run,
    sender_for,
    sender_report,
    stream,
    trial_keys,
)
from pylibsrtp import Policy, Session

from srtpgw import _native
from srtpgw.srtp import SUITES

FAILED = "authentication failed under every known key"
OUT, UNDECRYPTED = 3, 9


class Written(NamedTuple):
    interface: int
    time_ns: int
    payload: bytes
    comment: str
    wire: int


def written(blocks: bytes) -> Iterator[Written]:
    """Enhanced packet blocks with IPv4 and UDP."""
    at = 0
    while at < len(blocks):
        kind, length, interface, high, low, captured, wire = struct.unpack_from("=7I", blocks, at)
        assert kind == 6
        ip = blocks[at + 28 : at + 28 + captured]
        options = blocks[at + 28 + (captured + 3 & ~3) : at + length - 4]
        comment = options[4 : 4 + struct.unpack_from("=H", options, 2)[0]].decode() if options else ""
        yield Written(interface, high << 32 | low, ip[28:], comment, wire - 28)
        at += length


def decrypt(packets: list[Sent], keys: _native.TrialKeys, rows: list[dict[str, Any]], **options: Any) -> list[Written]:
    for row in rows:
        row.setdefault("interface_out", OUT)
        row.setdefault("interface_undecrypted", UNDECRYPTED)
    examiner = _native.Examiner(keys, rows, _native.BlockWriter(**options))
    return list(written(run(examiner, capture(packets))))


@pytest.mark.parametrize("mki", [b"", b"\1\2\3"])
@pytest.mark.parametrize("suite", SUITES)
def test_what_was_sent_comes_out(suite: str, mki: bytes) -> None:
    chance = random.Random(suite)
    plain = [rtp(i, payload=chance.randbytes(chance.randrange(300))) for i in range(65400, 65600)]
    reports = [sender_report(i) for i in range(20)]
    sender = sender_for(suite, mki=mki)
    packets = paced([sender.protect(packet) for packet in plain] + [sender.protect_rtcp(packet) for packet in reports])
    rows = [stream(keys=[(0, 0, 65400)]), stream(keys=[(0,)], rtcp=True)]
    out = decrypt(packets, trial_keys((suite, 1, mki)), rows)
    assert [packet.payload for packet in out] == plain + reports
    assert [packet.time_ns for packet in out] == [packet.time_ns for packet in packets]
    assert {(packet.interface, packet.comment) for packet in out} == {(OUT, "")}


def test_pylibsrtp_decrypts_to_the_same() -> None:
    """Packet for packet, over loss, reordering, a wrap and doubled packets."""
    chance = random.Random(3)
    packets = protected(range(64000, 70000), payload=b"octets of speech")
    order = sorted(range(len(packets)), key=lambda i: i + chance.choice([0, 0, 0, chance.uniform(0, 20)]))
    arriving = [packets[i] for i in order if chance.random() > 0.05]
    policy = Policy(key=octets_for(CM80), ssrc_type=Policy.SSRC_ANY_INBOUND)
    session = Session(policy)
    expected = [session.unprotect(packet) for packet in arriving]
    out = decrypt(paced(arriving), trial_keys(ONE_KEY), [stream(keys=[(0, 0, 64000)])])
    assert [packet.payload for packet in out] == expected
    assert {packet.comment for packet in out} == {""}


def test_what_fails_is_kept_with_the_reason() -> None:
    good = protected(range(6))
    forged = good[1][:-1] + bytes([good[1][-1] ^ 1])
    packets = paced([good[0], forged, good[1], good[1], good[2]])
    packets += [Sent(1, good[3], cut=20), Sent(2, rtp(5, ssrc=7)), Sent(3, rtp(6, ssrc=8)), Sent(4, rtp(7, ssrc=9))]
    rows = [stream(keys=[(0, 0, 0)]), stream(7), stream(8, plain=True)]
    out = decrypt(packets, trial_keys(ONE_KEY), rows)
    assert [(packet.interface, packet.comment) for packet in out] == [
        (OUT, ""), (UNDECRYPTED, FAILED), (OUT, ""), (OUT, ""), (OUT, ""),
        (UNDECRYPTED, "truncated in the capture"), (UNDECRYPTED, "no key known"), (OUT, ""),
    ]  # fmt: skip
    assert out[1].payload == forged
    assert out[2].payload == out[3].payload == rtp(1)
    assert (out[5].payload, out[5].wire) == (good[3][:-20], len(good[3]))
    assert out[6].payload == rtp(5, ssrc=7)
    assert out[7].payload == rtp(6, ssrc=8)


def test_srtcp_in_clear_and_keys_that_change_are_decrypted() -> None:
    clear = sender_for(encrypt_rtcp=False)
    packets = [clear.protect_rtcp(sender_report(i)) for i in range(3)]
    media = protected(range(100)) + protected(range(100, 200), sender_for(seed=2)) + protected(range(150, 160))
    rows = [stream(keys=[(0,)], rtcp=True), stream(keys=[(0, 0, 0), (1, 0, 150)])]
    out = decrypt(paced(packets + media), trial_keys(ONE_KEY, (CM80, 2)), rows)
    assert [packet.payload for packet in out] == [
        *map(sender_report, range(3)), *map(rtp, range(200)), *map(rtp, range(150, 160))
    ]  # fmt: skip


def test_without_numbers_packets_keep_their_interface() -> None:
    examiner = _native.Examiner(trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])], _native.BlockWriter())
    out = list(written(run(examiner, capture(paced([*protected(range(3)), rtp(4) + bytes(10)])))))
    assert [packet.interface for packet in out] == [0, 0, 0, 0]


def test_a_full_writer_is_emptied_and_nothing_is_lost() -> None:
    """More packets than its buffer holds, in one portion of the file."""
    plain = [rtp(i, payload=bytes([i & 255]) * 1200) for i in range(1000)]
    sender = sender_for()
    packets = paced([sender.protect(packet) for packet in plain])
    out = decrypt(packets, trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])], capacity=1 << 17)
    assert [packet.payload for packet in out] == plain


def test_the_largest_datagrams_fit() -> None:
    plain = [rtp(i, payload=bytes([i]) * (65507 - 12 - 10)) for i in range(20)]
    sender = sender_for()
    packets = paced([sender.protect(packet) for packet in plain])
    out = decrypt(packets, trial_keys(ONE_KEY), [stream(keys=[(0, 0, 0)])])
    assert [packet.payload for packet in out] == plain


def test_counts_are_the_same_with_a_writer() -> None:
    """What the plaintext tests see is what was captured, not what was decrypted."""
    packets = protected(range(65500, 65700))
    packets[50] = bytes(12) + packets[50][12:]
    packets[60] = packets[60][:-1] + b"?"
    rows = [stream(keys=[(0, 0, 65500)], clock_rates={8: 8000})]
    readings = []
    for writer in (None, _native.BlockWriter()):
        examiner = _native.Examiner(trial_keys(ONE_KEY), rows, writer)
        run(examiner, capture(paced(packets)))
        readings.append(examiner.results())
    assert readings[0] == readings[1]
    assert readings[0][0]["authenticated"] == 198
    assert max(readings[0][0]["histogram"]) < 3 * min(readings[0][0]["histogram"])
