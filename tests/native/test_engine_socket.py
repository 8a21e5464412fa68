"""The socket engine on loopback, driven step by step: ports, DSCP, fairness, families, stamps, descriptors."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from model.packet import rtcp, rtp
from support import missing

from srtpgw.errors import LimitReached, PortUnavailable
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.session import Leg

GUARD_MS = 5000  # a step returns at once when a datagram is there


@contextmanager
def far_end(family: int = 4) -> Iterator[socket.socket]:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    with socket.socket(kind, socket.SOCK_DGRAM) as end:
        try:
            end.bind(("127.0.0.1" if family == 4 else "::1", 0))
        except OSError:
            missing("this host has no IPv6 loopback address")
        end.settimeout(GUARD_MS / 1000)
        yield end


def address_of(end: socket.socket) -> Address:
    return Address(*end.getsockname()[:2])


@pytest.fixture
def relay() -> Iterator[MediaGateway]:
    with MediaGateway(workers=1, engine="socket", threaded=False, port_range=(20000, 24000)) as gateway:
        yield gateway


def open_leg(relay: MediaGateway, end: socket.socket, **settings: Any) -> Leg:
    remote = address_of(end)
    return relay.open_leg(
        LegSettings(type="route", remote=remote, remote_rtcp=remote, family=family_of(end), **settings)
    )


def family_of(end: socket.socket) -> Any:
    return 6 if end.family == socket.AF_INET6 else 4


def to(leg: Leg) -> tuple[str, int]:
    return (leg.local.host, leg.local.port)


def pump(relay: MediaGateway, frames: int) -> None:
    """Steps until so many datagrams were received."""
    got = 0
    for _ in range(frames + 10):
        got += relay._workers[0].step(GUARD_MS)
        if got >= frames:
            break
    assert got == frames


# --- ports


def test_a_port_in_use_is_refused(relay: MediaGateway) -> None:
    leg = relay.open_leg(LegSettings(type="route"))
    with pytest.raises(PortUnavailable, match="taken"):
        relay.open_leg(LegSettings(type="route", local=leg.local))
    with pytest.raises(PortUnavailable, match="taken"):
        relay.open_leg(LegSettings(type="route", local=leg.local_rtcp, rtcp_mux=True))


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_port_of_another_program_is_not_shared(relay: MediaGateway, option: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind(("127.0.0.1", 0))
        taken = Address(*other.getsockname())
        with pytest.raises(PortUnavailable, match="taken"):
            relay.open_leg(LegSettings(type="route", local=taken, rtcp_mux=True))


def test_a_taken_rtcp_port_gives_the_rtp_port_back(relay: MediaGateway) -> None:
    with far_end() as other:
        above = address_of(other)
        local = Address("127.0.0.1", above.port - 1)
        before = descriptors()
        with pytest.raises(PortUnavailable):
            relay.open_leg(LegSettings(type="route", local=local))
        assert descriptors() == before
        relay.open_leg(LegSettings(type="route", local=local, rtcp_mux=True))


def test_ports_of_the_range_that_are_taken_are_passed_over() -> None:
    with far_end() as other:
        taken = address_of(other).port & ~1
        with MediaGateway(workers=1, threaded=False, port_range=(taken - 2, taken + 3)) as gateway:
            ports = [gateway.open_leg(LegSettings(type="route")).local.port for _ in range(2)]
            assert taken not in ports
            with pytest.raises(PortUnavailable, match="no free port"):
                gateway.open_leg(LegSettings(type="route"))


def test_an_address_that_is_not_ours(relay: MediaGateway) -> None:
    with pytest.raises(PortUnavailable, match="no such address"):
        relay.open_leg(LegSettings(type="route", local=Address("192.0.2.1", 20000)))


def test_the_same_port_in_both_families(relay: MediaGateway) -> None:
    with far_end(6):
        one = relay.open_leg(LegSettings(type="route"))
        other = relay.open_leg(LegSettings(type="route", local=Address("::1", one.local.port)))
        assert one.local.port == other.local.port


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def open_and_close_many(threaded: bool) -> None:
    with MediaGateway(workers=2, threaded=threaded) as gateway:
        for _ in range(50):
            legs = [gateway.open_leg(LegSettings(type="route", rtcp_mux=mux)) for mux in (False, True)]
            gateway.close(gateway.join(*legs))
        for _ in range(10):
            gateway.open_leg(LegSettings(type="route"))


@pytest.mark.parametrize("threaded", [False, True])
def test_no_descriptor_is_left_over(threaded: bool) -> None:
    open_and_close_many(threaded)
    before = descriptors()
    open_and_close_many(threaded)
    assert descriptors() == before


def open_many(relay: MediaGateway, count: int) -> None:
    for _ in range(count):
        relay.open_leg(LegSettings(type="route"))


def test_out_of_descriptors_is_named(relay: MediaGateway) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 4, hard))
    try:
        with pytest.raises(LimitReached, match="file descriptor"):
            open_many(relay, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    relay.open_leg(LegSettings(type="route"))


# --- relaying


@pytest.mark.parametrize("families", [(4, 4), (6, 6), (4, 6)])
def test_both_ways(relay: MediaGateway, families: tuple[int, int]) -> None:
    with far_end(families[0]) as one, far_end(families[1]) as other:
        a, b = open_leg(relay, one, rtcp_mux=True), open_leg(relay, other, rtcp_mux=True)
        relay.join(a, b)
        for number in range(100):
            one.sendto(rtp(number, 1), to(a))
            other.sendto(rtp(number, 2), to(b))
        one.sendto(rtcp(1), to(a))
        pump(relay, 201)
        assert [other.recv(2000) for _ in range(101)] == [*(rtp(number, 1) for number in range(100)), rtcp(1)]
        assert [one.recv(2000) for _ in range(100)] == [rtp(number, 2) for number in range(100)]
        assert one.sendto(b"", to(a)) == 0
        pump(relay, 1)
        assert relay.statistics().legs[0].rtp.drops == {"too-short": 1}


def test_the_kernel_stamps_what_arrives(relay: MediaGateway) -> None:
    with far_end() as one, far_end() as other:
        a, b = open_leg(relay, one), open_leg(relay, other)
        relay.join(a, b)
        for number in range(20):
            one.sendto(rtp(number, 1), to(a))
        pump(relay, 20)
        times = relay.statistics().legs[0].rtp.relay_time
        assert times.count == 20
        assert 0 < times.p50_us <= times.p99_us <= times.max_us < 60_000_000


def test_the_longest_datagrams(relay: MediaGateway) -> None:
    """65,507 octets pass; IPv6 can bring up to 65,527, which no leg over IPv4 could send."""
    with far_end(6) as one, far_end() as other:
        a, b = open_leg(relay, one), open_leg(relay, other)
        relay.join(a, b)
        for end in (one, other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        for length in (65507, 65508, 65527):
            one.sendto(rtp(length - 65507, 1, bytes(length - 12)), to(a))
            pump(relay, 1)
        assert len(other.recv(70000)) == 65507
        assert relay.statistics().legs[0].rtp.drops == {"too-long": 2}


def test_a_far_end_that_is_not_there(relay: MediaGateway) -> None:
    """Its port is closed: what the system makes of it disturbs nobody."""
    with far_end() as one, far_end() as other:
        a = open_leg(relay, one)
        b = open_leg(relay, other)
        relay.join(a, b)
        other.close()
        for number in range(20):
            one.sendto(rtp(number, 1), to(a))
        pump(relay, 20)
        counted = relay.statistics().legs
        assert counted[1].rtp.sent_packets + counted[0].rtp.dropped == 20


# --- DSCP (RFC 2474), as the far end sees it


def seen_dscp(end: socket.socket) -> int:
    option = (socket.IPPROTO_IP, socket.IP_TOS) if end.family == socket.AF_INET else (socket.IPPROTO_IPV6, 67)
    _, control, _, _ = end.recvmsg(2000, 200)
    for level, kind, data in control:
        if (level, kind) == option:
            return int.from_bytes(data[:1] if len(data) == 1 else data, "little") >> 2
    raise AssertionError(f"no DSCP among {control}")


@pytest.mark.parametrize("family", [4, 6])
def test_dscp_and_its_change(relay: MediaGateway, family: int) -> None:
    with far_end() as one, far_end(family) as other:
        if family == 4:
            other.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        else:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        a, b = open_leg(relay, one), open_leg(relay, other)
        relay.join(a, b)
        for dscp in (None, 0, 8, 63):
            if dscp is not None:
                relay.change(b, dscp=dscp)
            one.sendto(rtp(1, 1), to(a))
            one.sendto(rtcp(1), (a.local.host, a.local_rtcp.port))
            pump(relay, 2)
            assert [seen_dscp(other) for _ in range(2)] == [46 if dscp is None else dscp] * 2


# --- fairness


def test_a_flooded_port_starves_nobody(relay: MediaGateway) -> None:
    """Five ports with a full queue, one with a few datagrams: these are out within two batches."""
    with far_end() as busy, far_end() as quiet, far_end() as sink:
        flooded = [open_leg(relay, busy) for _ in range(5)]
        still = open_leg(relay, quiet)
        relay.join(still, open_leg(relay, sink))
        for leg in flooded:
            for number in range(200):
                busy.sendto(rtp(number, 1), to(leg))
        for number in range(10):
            quiet.sendto(rtp(number, 2), to(still))
        worker = relay._workers[0]
        assert worker.step() == worker.step() == 64
        assert relay.statistics().leg(5).rtp.received_packets == 10
        pump(relay, 5 * 200 + 10 - 128)


def test_a_leg_moves_to_the_worker_of_its_peer() -> None:
    """What waits in its sockets meanwhile is not lost."""
    with far_end() as one, far_end() as other, MediaGateway(workers=2, threaded=False) as gateway:
        a, b = open_leg(gateway, one), open_leg(gateway, other)
        workers = gateway._workers
        assert [worker.leg_count for worker in workers] == [1, 1]
        one.sendto(rtp(1, 1), to(a))
        other.sendto(rtp(1, 2), to(b))
        gateway.join(a, b)
        assert sorted(worker.leg_count for worker in workers) == [0, 2]
        for worker in workers:
            while worker.step(10):
                pass
        assert (one.recv(2000), other.recv(2000)) == (rtp(1, 2), rtp(1, 1))
