"""A worker rests between batches that come close to each other: the packets between gather, and none is lost."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from interop.wire import until

from srtpgw.errors import MediaError
from srtpgw.media import Address, LegSettings, MediaGateway

PACKETS = 200
PACING_US = 10_000
GAP = 0.0002  # seconds: long enough for a worker that does not rest to be done with each packet by itself


def test_packets_gather_while_a_worker_rests() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        MediaGateway(workers=1, pacing_us=PACING_US) as gateway,
    ):
        for each in (far, near):
            each.bind(("127.0.0.1", 0))
            each.settimeout(20)
        legs = [
            gateway.open_leg(LegSettings(type="route", remote=Address(*each.getsockname()))) for each in (near, far)
        ]
        gateway.join(*legs)
        for number in range(PACKETS):
            near.sendto(
                struct.pack("!BBHII", 0x80, 0, number, 160 * number, 7) + b"media", ("127.0.0.1", legs[0].local.port)
            )
            time.sleep(GAP)
        assert [struct.unpack_from("!H", far.recv(100), 2)[0] for _ in range(PACKETS)] == list(range(PACKETS))
        until(lambda: gateway.statistics().workers[0]["packets"] == PACKETS, "the last batch to be counted")
        (worker,) = gateway.statistics().workers
    # some 40 packets to a batch, or fewer where the sender was held up
    assert worker["batches"] <= PACKETS // 4


@pytest.mark.parametrize("pacing_us", [-1, 10_001])
def test_bounds(pacing_us: int) -> None:
    with pytest.raises(MediaError, match="0 to 10000"):
        MediaGateway(workers=1, pacing_us=pacing_us)
