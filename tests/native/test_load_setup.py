"""What a load refuses to be set up with, and its histogram."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from native.cable import MS, SUITE, Cable, numbers

from srtpgw import _native
from srtpgw.media import Address
from srtpgw.media.endpoint import endpoint_of
from srtpgw.srtp import Receiver, Sender

V6 = endpoint_of(Address("::1", 9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"payload_octets": 0}, "payload_octets is 1 to 1460, not 0"),
        ({"payload_octets": 1461}, "payload_octets"),
        ({"payload_type": 128}, "payload_type"),
        ({"interval_ns": 99_999}, "interval_ns"),
        ({"interval_ns": 10**10 + 1}, "interval_ns"),
        ({"phase_ns": 2 * MS}, "phase_ns is 0 to 1999999"),
        ({"phase_ns": -1}, "phase_ns"),
        ({"rtcp_interval_ns": 5}, "rtcp_interval_ns"),
        ({"rtcp_interval_ns": MS, "rtcp_phase_ns": MS}, "rtcp_phase_ns"),
        ({"socket": 2}, r"no socket 2 \(socket\)"),
        ({"socket": -1}, "no socket -1"),
        ({"sink_socket": 70_000}, "no socket 70000"),
        ({"rtcp_sink_socket": 9}, "no socket 9"),
        ({"destination": ()}, "a destination is"),
        ({"destination": V6}, "a destination is"),
        ({"destination": (4, bytes(4), 9, 0)}, "a destination is"),
        ({"destination": (4, b"\x7f\0\0\1", 0, 0)}, "a destination is"),
        ({"out_ssrc": 1 << 32}, "out_ssrc"),
        ({"out_ssrc": 0x1234}, "another stream comes out under SSRC 0x00001234"),
    ],
)
def test_a_stream_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with Cable() as cable:
        cable.stream(ssrc=0x1234)
        with pytest.raises(ValueError, match=message):
            cable.stream(**changes)
        assert cable.stream() == 1  # nothing was kept of it


def test_contexts_of_the_wrong_direction() -> None:
    key = bytes(30)
    with Cable() as cable:
        with pytest.raises(TypeError, match="receiving"):
            cable.stream(sender=Receiver(SUITE, key).context)
        with pytest.raises(TypeError, match="sending"):
            cable.stream(receiver=Sender(SUITE, key).context)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration_ns": 0}, "duration_ns"),
        ({"duration_ns": 10**15}, "duration_ns"),
        ({"warmup_ns": -1}, "warmup_ns"),
        ({"drain_ns": 10**11}, "drain_ns"),
        ({"sample": 0}, "sample"),
        ({"streams": 0}, "streams"),
        ({"streams": 2}, "streams is 1 to 1, not 2"),
        ({"origin_ns": 1}, "the origin has passed"),
    ],
)
def test_a_run_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with Cable() as cable:
        cable.stream()
        with pytest.raises(ValueError, match=message):
            cable.load.start(**{"duration_ns": MS, **changes})
        assert not cable.load.running
        assert cable.run(5)["received"] == 5


@pytest.mark.parametrize(
    "changes", [{"loss": -0.1}, {"loss": 1.1}, {"forge": float("nan")}, {"reorder_depth": 0}, {"stranger": 2}]
)
def test_impairments_that_cannot_be(changes: dict[str, Any]) -> None:
    with Cable() as cable, pytest.raises(ValueError, match=r"fraction|reorder_depth|no socket"):
        cable.load.impair(**changes)


def test_no_streams_no_run() -> None:
    with Cable() as cable, pytest.raises(ValueError, match="streams"):
        cable.load.start(duration_ns=MS)


def test_too_many_different_intervals() -> None:
    with Cable() as cable:
        for i in range(65):
            cable.stream(interval_ns=(2 + i) * MS)
        with pytest.raises(ValueError, match="more than 64 different intervals"):
            cable.load.start(duration_ns=MS)
        cable.load.start(duration_ns=MS, streams=64)
        assert cable.load.wait(60)


def test_a_core_that_is_not_there() -> None:
    with Cable() as cable:
        cable.stream()
        for cores in ({"generator_cpu": 1000}, {"sink_cpu": 1000}):
            with pytest.raises(OSError, match="core 1000"):
                cable.load.start(duration_ns=MS, **cores)
            assert not cable.load.running
        assert cable.run(5)["received"] == 5


def test_nothing_is_set_up_while_it_runs_or_after_it_was_closed() -> None:
    with Cable() as cable:
        cable.stream()
        cable.load.start(duration_ns=3600 * 1000 * MS)
        local = endpoint_of(Address("127.0.0.1", 0))
        calls: list[Callable[[], object]] = [
            cable.stream, cable.load.impair, partial(cable.load.start, duration_ns=1),
            partial(cable.load.open_socket, local),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(RuntimeError, match="running"):
                call()
        cable.load.close()
        cable.load.close()
        calls.append(partial(cable.load.socket_endpoint, 0))
        for call in calls:
            with pytest.raises(RuntimeError, match="closed"):
                call()


def test_an_address_in_use_is_refused() -> None:
    with Cable() as cable, pytest.raises(OSError, match="in use"):
        cable.load.open_socket(cable.load.socket_endpoint(0))


def test_contexts_and_sockets_are_let_go() -> None:
    before = _native.memory_use()["arenas"]["contexts"]["live"]
    with Cable() as cable:
        cable.stream(SUITE)
        port = cable.load.socket_endpoint(0)
        cable.run(5)
        assert _native.memory_use()["arenas"]["contexts"]["live"] == before + 4
    assert _native.memory_use()["arenas"]["contexts"]["live"] == before
    with Cable() as cable:
        cable.load.open_socket(port)


def test_buffers_are_told() -> None:
    with Cable() as cable:
        small = cable.load.open_socket(endpoint_of(Address("127.0.0.1", 0)), receive_buffer=8192)
        assert cable.load.socket_buffers(small)[0] == 16384  # the kernel doubles what is asked
        assert cable.load.socket_buffers(0)[0] > 16384


def test_every_counter_is_named_and_explained() -> None:
    with Cable() as cable:
        assert tuple(cable.load.counters()) == _native.LOAD_COUNTER_NAMES
    assert len(set(_native.LOAD_COUNTER_NAMES)) == len(_native.LOAD_COUNTER_HELP)
    assert all(_native.LOAD_COUNTER_HELP)


# --- histogram


def bucket_edges() -> list[int]:
    """As HdrHistogram's with 128 buckets an octave: exact below 256, then 1/128 of a power of two."""
    edges = list(range(256))
    for octave in range(1, 29):
        edges += [(128 + i) << octave for i in range(128)]
    return [*edges, 1 << 36]


def test_bucket_edges_are_those_of_the_model() -> None:
    edges = numbers(_native.load_bucket_edges())
    assert edges == bucket_edges()
    assert len(edges) == _native.LOAD_BUCKET_COUNT + 1
    assert all((b - a) / a <= 1 / 128 for a, b in pairwise(edges[256:]))


def test_values_fall_between_the_edges_of_their_bucket() -> None:
    edges = bucket_edges()
    draw = random.Random(3)
    values = [draw.getrandbits(draw.randint(1, 40)) for _ in range(20_000)]
    values += [edge + step for edge in edges for step in (-1, 0, 1) if edge + step >= 0]
    for value in values:
        bucket = _native.load_bucket_of(value)
        assert edges[bucket] <= value
        assert value < edges[bucket + 1] or bucket == _native.LOAD_BUCKET_COUNT - 1
