"""The memory engine through its worker: queues, ports, errors; and with a thread of its own."""

from __future__ import annotations

import errno
import os
import random
import select
import time
from collections.abc import Iterator

import pytest
from model.packet import rtp
from support import campaign

from srtpgw import _native
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.endpoint import Endpoint

ANY_PORT: Endpoint = (4, bytes([127, 0, 0, 1]), 0, 0)
SOURCE: Endpoint = (4, bytes([192, 0, 2, 1]), 5000, 0)
QUEUE = 4096  # datagrams that may wait
GUARD = 60.0  # s; the threaded tests need well under one


@pytest.fixture
def worker() -> Iterator[_native.Worker]:
    fd = _native.open_event_fd()
    yield _native.Worker("memory", 8, fd, -1, False)
    _native.close_event_fd(fd)


@pytest.fixture
def port(worker: _native.Worker) -> Iterator[int]:
    """A bound port number, released in the end."""
    handle, _ = worker.bind(ANY_PORT, 0)
    yield handle
    worker.release(handle)


def refused(call: object, *args: object) -> int:
    """The errno that a call is refused with."""
    assert callable(call)
    with pytest.raises(OSError, match=r".") as error:
        call(*args)
    assert error.value.errno is not None
    return error.value.errno


# --- ports


def test_bind_chooses_a_port(worker: _native.Worker) -> None:
    first, second = worker.bind(ANY_PORT, 0), worker.bind(ANY_PORT, 46)
    assert first != second
    assert first[1] >= 32768
    for handle, _ in (first, second):
        worker.release(handle)


def test_a_port_in_use_is_refused(worker: _native.Worker, port: int) -> None:
    taken: Endpoint = (4, bytes([127, 0, 0, 1]), port, 0)
    assert refused(worker.bind, taken, 0) == errno.EADDRINUSE
    worker.release(port)
    assert worker.bind(taken, 0)[1] == port


def test_addresses_and_options_are_checked(worker: _native.Worker, port: int) -> None:
    assert refused(worker.bind, ANY_PORT, 64) == errno.EINVAL
    assert refused(worker.bind, (), 0) == errno.EAFNOSUPPORT
    assert refused(worker.set_dscp, port, 64) == errno.EINVAL
    assert refused(worker.set_dscp, 1, 0) == errno.EBADF
    worker.set_dscp(port, 63)
    with pytest.raises(ValueError, match="octets"):
        worker.bind((4, bytes(16), 0, 0), 0)
    with pytest.raises(ValueError, match="octets"):
        worker.bind((6, bytes(4), 0, 0), 0)


def test_attach_is_checked(worker: _native.Worker, port: int) -> None:
    assert refused(worker.attach, 8, port) == errno.EINVAL
    assert refused(worker.attach, 0, 1) == errno.EBADF
    worker.attach(2, port)
    assert refused(worker.attach, 2, port) == errno.EEXIST
    assert worker.leg_count == 1
    worker.detach(2)
    worker.detach(2)  # again is harmless
    assert worker.leg_count == 0


def test_unknown_engines_and_cores_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown engine"):
        _native.Worker("carrier-pigeon", 8, -1, -1, False)
    assert refused(_native.Worker, "memory", 0, -1, -1, False) == errno.EINVAL
    assert refused(_native.Worker, "memory", 8, -1, 100_000, True) == errno.EINVAL


# --- queues


def gateway(threaded: bool = False) -> MediaGateway:
    return MediaGateway(workers=1, engine="memory", threaded=threaded)


def joined(relay: MediaGateway) -> tuple[int, int]:
    """Port numbers of two plain legs."""
    legs = [relay.open_leg(LegSettings(type="route", remote=Address("192.0.2.1", number))) for number in (5000, 6000)]
    relay.join(*legs)
    return 2 * legs[0].id, 2 * legs[1].id


def test_a_full_queue_and_an_unattached_port_refuse() -> None:
    with gateway() as relay:
        there, _ = joined(relay)
        worker = relay._workers[0]
        assert not worker.inject(7, SOURCE, b"x")
        assert not worker.inject(2**17 + 1, SOURCE, b"x")
        assert [worker.inject(there, SOURCE, rtp(n, 1)) for n in range(QUEUE + 1)] == [True] * QUEUE + [False]
        assert worker.step() == 64
        assert worker.inject(there, SOURCE, rtp(QUEUE, 1))


def test_order_and_content_over_many_turns_of_the_ring() -> None:
    """Far more datagrams than the ring has places, in batches of every size, of every length."""
    rng = random.Random("ring")
    with gateway() as relay:
        there, back = joined(relay)
        worker = relay._workers[0]
        number, expected = 0, []
        while number < 3 * QUEUE:
            for _ in range(rng.choice((1, 63, 64, 65, 300))):
                octets = rtp(number % 65536, 1, rng.randbytes(rng.choice((0, 1, 160, 1400))))
                assert worker.inject(there, SOURCE, octets)
                expected.append(octets)
                number += 1
            while worker.step():
                pass
            for octets in expected:
                assert worker.collect() == (back, (4, bytes([192, 0, 2, 1]), 6000, 0), octets)
            expected.clear()
            assert worker.collect() is None


def test_buffers_are_as_long_as_a_datagram() -> None:
    with gateway() as relay:
        there, _ = joined(relay)
        worker = relay._workers[0]
        for length in (65506, 65507, 65508, 65535, 100_000):
            worker.inject(there, SOURCE, rtp(length - 65506, 1, bytes(length - 12)))
        assert worker.step() == 5
        assert [len(sent[2]) for sent in iter(worker.collect, None)] == [65506, 65507]
        assert relay.statistics().legs[0].rtp.drops == {"too-long": 3}


def test_the_other_engine_takes_no_datagrams_by_call() -> None:
    worker = _native.Worker("socket", 8, -1, -1, False)
    with pytest.raises(RuntimeError, match="memory engine"):
        worker.inject(0, SOURCE, b"")
    with pytest.raises(RuntimeError, match="memory engine"):
        worker.collect()


# --- threads and processes


def test_a_thread_of_its_own() -> None:
    """Everything comes out, in order, while legs come and go; the thread sleeps in between and is woken."""
    total = campaign(20_000)
    with gateway(threaded=True) as relay:
        there, back = joined(relay)
        worker = relay._workers[0]
        with pytest.raises(RuntimeError, match="thread of its own"):
            worker.step()
        sent, got = 0, 0
        deadline = time.monotonic() + GUARD
        while got < total and time.monotonic() < deadline:
            for _ in range(100 if sent < total and sent - got < 2000 else 0):  # the queues hold more
                sent += worker.inject(there, SOURCE, rtp(sent % 65536, 1))
            while (datagram := worker.collect()) is not None:
                assert datagram == (back, (4, bytes([192, 0, 2, 1]), 6000, 0), rtp(got % 65536, 1))
                got += 1
            if sent % 500 == 0:
                relay.close(relay.open_leg(LegSettings(type="route")))
        assert got == sent >= total
        assert worker.numbers()["packets"] == sent


def test_events_wake_who_waits_for_them() -> None:
    with gateway(threaded=True) as relay:
        leg = relay.open_leg(LegSettings(type="route", source="learn-once", remote=Address("192.0.2.9", 9)))
        assert select.select([relay.event_fd()], [], [], 0)[0] == []
        relay._workers[0].inject(2 * leg.id, SOURCE, rtp(1, 1))
        assert select.select([relay.event_fd()], [], [], GUARD)[0] == [relay.event_fd()]
        assert [event.kind for event in relay.events()] == ["remote-changed"]
        assert select.select([relay.event_fd()], [], [], 0)[0] == []


def test_shutdown_again_is_harmless() -> None:
    relay = gateway(threaded=True)
    relay.shutdown()
    relay.shutdown()


def test_a_forked_child_leaves_the_gateway_alone() -> None:
    """It is refused, and its exit neither stops nor wakes the parent's worker."""
    with gateway(threaded=True) as relay:
        there, back = joined(relay)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                relay.open_leg(LegSettings(type="route"))
            except RuntimeError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        worker = relay._workers[0]
        worker.inject(there, SOURCE, rtp(1, 1))
        deadline = time.monotonic() + GUARD
        while (datagram := worker.collect()) is None and time.monotonic() < deadline:
            pass
        assert datagram is not None
        assert datagram[0] == back
