"""Everything that a matrix can name, by name."""

from __future__ import annotations

from srtpgw.loadtest.bench.peers.asyncio_pylibsrtp import AsyncioPylibsrtp
from srtpgw.loadtest.bench.peers.base import Peer
from srtpgw.loadtest.bench.peers.baseline import Cable, Drop
from srtpgw.loadtest.bench.peers.relay import Relay
from srtpgw.loadtest.bench.peers.rtpengine import Rtpengine, RtpengineKernel

_ALL: tuple[Peer, ...] = (
    Cable(),
    Drop(),
    Relay("srtpgw-socket"),
    Relay("srtpgw-socket-unpaced", pacing_us=0),
    Relay("srtpgw-socket-libsrtp", crypto="libsrtp"),
    Rtpengine(),
    RtpengineKernel(),
    AsyncioPylibsrtp(),
)

PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}
