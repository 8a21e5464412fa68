"""Outside programs as far ends: audio to send, sockets to wait for, processes that end with the test."""

from __future__ import annotations

import math
import random
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from interop.wire import PATIENCE, until

RATE = 8000  # Hz, of G.711
FRAME = 160  # samples and octets, 20 ms


def sound(frames: int, seed: int) -> bytes:
    """G.711 mu-law octets: a tone with noise over it, so that no two packets are alike.

    Without the negative zero, which is decoded as the positive one.
    """
    rng = random.Random(seed)
    samples = (int(9000 * math.sin(at * 0.3) + rng.randint(-9000, 9000)) for at in range(frames * FRAME))
    return bytes(map(mulaw_encoded, samples)).replace(b"\x7f", b"\xff")


def mulaw_encoded(sample: int) -> int:
    """ITU-T G.711, table 2a."""
    magnitude = min(abs(sample) + 132, 32767)
    exponent = magnitude.bit_length() - 8
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF


def mulaw_decoded(octet: int) -> int:
    """ITU-T G.711, table 2a."""
    bits = ~octet & 0xFF
    magnitude = (((bits & 0x0F) << 3) + 132 << (bits >> 4 & 7)) - 132
    return -magnitude if bits & 0x80 else magnitude


MULAW = [mulaw_decoded(octet) for octet in range(256)]


def decode(mulaw: bytes) -> bytes:
    """As signed 16-bit samples, little-endian."""
    return b"".join(struct.pack("<h", MULAW[octet]) for octet in mulaw)


def sockets(port: int) -> Iterator[int]:
    """Octets that wait to be read, for each UDP socket at a local port, whatever process has it."""
    for name in ("udp", "udp6"):
        for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}"):
                yield int(fields[4].partition(":")[2], 16)


def is_bound(port: int) -> bool:
    return any(True for _ in sockets(port))


def unread(port: int) -> int:
    return sum(sockets(port))


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended with the block, whatever it is doing."""
    with log.open("wb") as output, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def listens(process: subprocess.Popen[bytes], ports: Sequence[int], log: Path) -> None:
    """Wait until a program has its sockets."""

    def ready() -> bool:
        assert process.poll() is None, tail(log)
        return all(map(is_bound, ports))

    until(ready, f"{process.args!r} to listen")


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a program has ended by itself, without an error."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{process.args!r} does not end: {tail(log)}") from None
    assert process.returncode == 0, tail(log)


def run(command: Sequence[str], log: Path) -> None:
    """Run a program to its end."""
    with running(command, log) as process:
        finish(process, log)


def tail(log: Path) -> str:
    return log.read_bytes()[-2000:].decode(errors="replace")


def holds(path: Path, octets: int) -> bool:
    """Whether a file that a program writes has grown to a size."""
    return path.exists() and path.stat().st_size >= octets
