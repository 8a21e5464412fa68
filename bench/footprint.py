"""What encrypted sessions take: run in a process of its own, prints one JSON object.

    python bench/footprint.py ENGINE SESSIONS

Both legs of each session are encrypted, at defaults, and one packet went each way, so that every state there is exists.
Idle is the gateway with its engine started and no leg. The keys and packets of the test are made before that.
"""

from __future__ import annotations

import json
import random
import resource
import socket
import sys
import time
from pathlib import Path

from srtpgw import _native
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.endpoint import endpoint_of
from srtpgw.srtp import MasterKey, Sender

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY_LENGTH = 30  # octets, salt included
FILES_PER_SESSION = 4  # RTP and RTCP of two legs
FILES_BESIDE = 200
FIRST_PORT = 10000
PATIENCE = 20.0  # seconds for the last packet
PORT_OF_MEMORY = 40000  # of the far end, where there is no real one


def resident() -> int:
    """Octets of this process in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS")


def octets() -> dict[str, int]:
    """In use, by arena."""
    return {name: use["octets"] for name, use in _native.memory_use()["arenas"].items()}


def material(legs: int) -> list[tuple[bytes, bytes, bytes]]:
    """Receiving key, sending key and the first packet under the former, for each leg."""
    rng = random.Random(legs)
    found = []
    for _ in range(legs):
        receive, transmit = rng.randbytes(KEY_LENGTH), rng.randbytes(KEY_LENGTH)
        packet = b"\x80\x00\x00\x01" + bytes(4) + rng.randbytes(4) + bytes(160)
        found.append((receive, transmit, Sender(SUITE, receive).protect(packet)))
    return found


def allow_files(wanted: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < wanted:
        raise SystemExit(f"{wanted} open files are needed, the limit is {most} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def settings(receive: bytes, transmit: bytes, far_end: Address) -> LegSettings:
    return LegSettings(
        type="extension", remote=far_end, suite=SUITE,
        receive_keys=(MasterKey(receive),), transmit_keys=(MasterKey(transmit),),
    )  # fmt: skip


def exchange(gateway: MediaGateway, engine: str, far_end: socket.socket, wires: list[bytes]) -> int:
    """One packet to each leg; how many of them the gateway has taken."""
    worker = gateway._workers[0]
    for leg, wire in zip(gateway.legs, wires, strict=True):
        if engine == "socket":
            far_end.sendto(wire, tuple(leg.local))
        else:
            worker.inject(2 * leg.id, endpoint_of(Address("127.0.0.1", PORT_OF_MEMORY)), wire)
            worker.step()
            worker.collect()
    until = time.monotonic() + PATIENCE
    while worker.numbers()["packets"] < len(wires) and time.monotonic() < until:
        time.sleep(0.01)
    return worker.numbers()["packets"]


def main(engine: str, sessions: int) -> None:
    made = material(2 * sessions)
    far_end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far_end.bind(("127.0.0.1", 0))
    place = Address("127.0.0.1", far_end.getsockname()[1] if engine == "socket" else PORT_OF_MEMORY)
    if engine == "socket":
        allow_files(FILES_PER_SESSION * sessions + FILES_BESIDE)
    with MediaGateway(
        workers=1,
        engine="socket" if engine == "socket" else "memory",
        threaded=engine == "socket",
        port_range=(FIRST_PORT, 65535),
        media_encryption={"extension": True},
    ) as gateway:
        idle, before = resident(), octets()
        for at in range(0, len(made), 2):
            a, b = (gateway.open_leg(settings(receive, transmit, place)) for receive, transmit, _ in made[at : at + 2])
            gateway.join(a, b)
        taken = exchange(gateway, engine, far_end, [wire for *_, wire in made])
        full, after = resident(), octets()
    far_end.close()
    arenas = {name: after[name] - before[name] for name in after}
    answer = {"engine": engine, "sessions": sessions, "packets": taken, "resident": full - idle, "arenas": arenas}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
