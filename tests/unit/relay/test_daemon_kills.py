"""A relay with static keys, killed again and again: on the wire no (key, SSRC, index) comes twice with other content.

Sources keep starting over with the same SSRCs and sequence numbers, RTP and RTCP alike, as phones that know nothing of
the relay's misfortunes. Runs end by SIGKILL at a random moment, before or after everything is open, or in order.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from support import campaign
from unit.relay_files import HEAD, free_ports, session, write

SOURCES = (b"AAA0", b"AAA1", b"AAA2")
SEQUENCES = 300  # then each source starts over
SRTCP_TRAILER = 14  # octets: E and index, then a tag of 80 bits


class Wire:
    """Both ends of the session: speaks as the trunk, writes down what reaches the phone."""

    def __init__(self, ports: list[int], chance: random.Random) -> None:
        self.chance = chance
        self.trunk = [self._socket(ports[3]), self._socket(ports[3] + 1)]
        self.phone = [self._socket(ports[2]), self._socket(ports[2] + 1)]
        self.local = ports[1]
        self.count = 0
        self.seen: dict[tuple[str, bytes, int], bytes] = {}

    @staticmethod
    def _socket(port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", port))
        made.setblocking(False)
        return made

    def speak(self) -> None:
        """One packet of each kind, with content of its own."""
        self.count += 1
        ssrc = SOURCES[self.count % len(SOURCES)]
        sequence = (self.count // len(SOURCES) % SEQUENCES).to_bytes(2, "big")
        rtp = b"\x80\0" + sequence + bytes(4) + ssrc + self.chance.randbytes(20)
        report = b"\x81\xc9\0\x07" + ssrc + self.chance.randbytes(24)
        for kind, packet in enumerate((rtp, report)):
            self.trunk[kind].sendto(packet, ("127.0.0.1", self.local + kind))

    def hear(self) -> None:
        for kind, end in zip(("rtp", "rtcp"), self.phone, strict=True):
            while True:
                try:
                    wire = end.recv(2048)
                except BlockingIOError:
                    break
                if kind == "rtp":
                    index = kind, wire[8:12], int.from_bytes(wire[2:4], "big")
                else:
                    place = len(wire) - SRTCP_TRAILER
                    index = kind, wire[4:8], int.from_bytes(wire[place : place + 4], "big")
                assert self.seen.setdefault(index, wire) == wire, "an index was used twice"

    def close(self) -> None:
        for end in (*self.trunk, *self.phone):
            end.close()


def life(file: Path, wire: Wire, chance: random.Random) -> None:
    """One run, from start to whatever end, with media all the while."""
    command = [sys.executable, "-m", "srtpgw.cli", "relay", str(file), "--json"]
    environment = os.environ | {"SRTPGW_STATE_DIR": str(file.parent / "register")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        if chance.random() < 0.7:
            assert b'"started"' in process.stdout.readline()
        end = time.monotonic() + chance.choice([0.02, 0.2, 0.4, 1.3])
        while time.monotonic() < end:
            wire.speak()
            wire.hear()
        process.send_signal(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        process.stdout.read()
    wire.hear()
    assert process.returncode in {0, -signal.SIGKILL, -signal.SIGTERM}  # the last: before Python had its handlers


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(campaign(20)))
def test_no_index_comes_back_however_the_relay_ends(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    ports = free_ports(4)
    text = HEAD + session(local=(ports[0], ports[1]), remote=(ports[2], ports[3]))
    file = write(tmp_path / "relay.toml", text)
    copies: list[bytes] = []
    state = Path(f"{file}.state")
    with closing(Wire(ports, chance)) as wire:
        for _ in range(8):
            life(file, wire, chance)
            if state.exists() and state.stat().st_size:
                copies.append(state.read_bytes())
                if chance.random() < 0.2:
                    state.write_bytes(chance.choice(copies))  # somebody puts a backup back
    assert {kind for kind, _, _ in wire.seen} == {"rtp", "rtcp"}
    assert len({ssrc for _, ssrc, _ in wire.seen}) > len(SOURCES)
