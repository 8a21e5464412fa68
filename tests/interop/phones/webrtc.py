"""Two WebRTC ends (aiortc) that call each other for a second, over DTLS-SRTP, and write a key log.

It is a program of its own: `python webrtc.py KEYLOG`.
"""

from __future__ import annotations

import asyncio
import math
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.rtcdtlstransport import RTCCertificate

RATE = 8000  # Hz
FRAME = 160  # samples
SECONDS = 1.0


def log_keys(path: Path) -> None:
    """aiortc itself writes no key log."""
    made = RTCCertificate._create_ssl_context

    def write(_connection: object, line: bytes) -> None:
        with path.open("ab") as file:
            file.write(line + b"\n")

    def logged(self: RTCCertificate, *arguments: Any, **options: Any) -> Any:
        context = made(self, *arguments, **options)
        context.set_keylog_callback(write)
        return context

    RTCCertificate._create_ssl_context = logged  # type: ignore[method-assign]


class Tone(MediaStreamTrack):
    kind = "audio"

    def __init__(self, frequency: int) -> None:
        super().__init__()
        self._turn = 2 * math.pi * frequency / RATE
        self._samples = 0
        self._begin = 0.0

    async def recv(self) -> av.AudioFrame:
        now = asyncio.get_running_loop().time()
        self._begin = self._begin or now
        await asyncio.sleep(max(0.0, self._begin + self._samples / RATE - now))
        places = range(self._samples, self._samples + FRAME)
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(struct.pack(f"<{FRAME}h", *(int(9000 * math.sin(self._turn * at)) for at in places)))
        frame.pts, frame.sample_rate, frame.time_base = self._samples, RATE, Fraction(1, RATE)
        self._samples += FRAME
        return frame


async def call() -> None:
    alone = RTCConfiguration(iceServers=[])  # else a server on the Internet is asked for
    caller, callee = RTCPeerConnection(alone), RTCPeerConnection(alone)
    connected = asyncio.Event()

    def note_state() -> None:
        if caller.connectionState == callee.connectionState == "connected":
            connected.set()

    for end in (caller, callee):
        end.on("connectionstatechange", note_state)
    caller.addTrack(Tone(440))
    callee.addTrack(Tone(880))
    await caller.setLocalDescription(await caller.createOffer())
    await callee.setRemoteDescription(caller.localDescription)
    await callee.setLocalDescription(await callee.createAnswer())
    await caller.setRemoteDescription(callee.localDescription)
    await connected.wait()
    await asyncio.sleep(SECONDS)
    await caller.close()
    await callee.close()


if __name__ == "__main__":
    log_keys(Path(sys.argv[1]))
    asyncio.run(asyncio.wait_for(call(), 20))
