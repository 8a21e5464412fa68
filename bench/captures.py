"""A capture of many G.711 calls under SRTP, and their keys in no order: what `srtpgw verify` is timed with.

    python -m bench.captures FOLDER [--calls 1000] [--mebioctets 1024]

writes FOLDER/calls.pcap and FOLDER/keys.txt. Each call has two streams of 160 octets every 20 ms, each with a key of
its own; the packets of all calls take turns, as they do at a gateway.
"""

from __future__ import annotations

import argparse
import base64
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from srtpgw.srtp import Sender, protect_many

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY_LENGTH = 30  # octets, with the salt
PAYLOAD = 160  # octets of 20 ms
TAG = 10
FRAME = 14 + 20 + 8 + 12 + PAYLOAD + TAG
RECORD = 16 + FRAME  # of the pcap format
STEP_US = 20_000
EPOCH_S = 1_700_000_000
FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


class Stream(NamedTuple):
    sender: Sender
    key: bytes
    headers: bytes  # Ethernet, IPv4, UDP
    ssrc: int
    sequence: int
    sound: bytes  # the encrypted octets tell nothing of it, so it repeats


def headers(source: int, destination: int, port: int) -> bytes:
    """Hosts are numbered within 10.0.0.0/8."""
    udp_length = FRAME - 14 - 20
    ip = struct.pack(
        "!BBHHHBBHII", 0x45, 0, 20 + udp_length, 0, 0, 64, 17, 0, 10 << 24 | source, 10 << 24 | destination
    )
    return b"\2" * 12 + b"\x08\0" + ip + struct.pack("!HHHH", port, port, udp_length, 0)


def streams(calls: int) -> Iterator[Stream]:
    rng = random.Random(calls)
    for number in range(calls):
        phone, gateway, port = 0x10000 + number, 1, 20000 + 2 * (number % 20000)
        for source, destination in ((phone, gateway), (gateway, phone)):
            key, ssrc, sound = rng.randbytes(KEY_LENGTH), rng.getrandbits(32), rng.randbytes(PAYLOAD)
            yield Stream(Sender(SUITE, key), key, headers(source, destination, port), ssrc, rng.getrandbits(15), sound)


def write_calls(folder: Path, calls: int, octets: int) -> tuple[Path, Path, int]:
    """The capture, its key file, and the number of packets."""
    all_streams = list(streams(calls))
    rounds = max(1, octets // (RECORD * len(all_streams)))
    capture, key_file = folder / "calls.pcap", folder / "keys.txt"
    with capture.open("wb") as file:
        file.write(FILE_HEADER)
        for step in range(rounds):
            file.write(b"".join(records(all_streams, step)))
    keys = [stream.key for stream in all_streams]
    random.Random(1).shuffle(keys)
    key_file.touch(mode=0o600)
    key_file.write_text("".join(f"{SUITE} inline:{base64.b64encode(key).decode()}\n" for key in keys), encoding="ascii")
    return capture, key_file, rounds * len(all_streams)


def records(all_streams: list[Stream], step: int) -> Iterator[bytes]:
    plain = [
        (
            stream.sender,
            struct.pack("!BBHII", 0x80, 0, stream.sequence + step & 0xFFFF, step * PAYLOAD, stream.ssrc) + stream.sound,
        )
        for stream in all_streams
    ]
    for number, (stream, packet) in enumerate(zip(all_streams, protect_many(plain), strict=True)):
        assert isinstance(packet, bytes), packet
        at_us = step * STEP_US + number * STEP_US // len(all_streams)
        seconds, rest = divmod(at_us, 1_000_000)
        yield struct.pack("<IIII", EPOCH_S + seconds, rest, FRAME, FRAME) + stream.headers + packet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--mebioctets", type=int, default=1024)
    wanted = parser.parse_args()
    capture, key_file, packets = write_calls(wanted.folder, wanted.calls, wanted.mebioctets << 20)
    print(f"{capture}: {packets} packets, {capture.stat().st_size / 2**20:.0f} MiB; keys in {key_file}")


if __name__ == "__main__":
    main()
