"""Fuzzes the readings of captures: mutated files of every format and link type, kept where they reach new code.

    python tests/native/variant.py asan tests/fuzz/fuzz_capture.py --seconds 20

In the sanitizer build the native module tells which edges of its code were taken, and what takes a new one is mutated
further; without it every file begins with a seed. After each file: nothing was raised, what came out fits what went in
(frames, numbers, counters), and the same came out when the octets came in other portions. A broken one ends the run
with status 1, and the report is the file; after a crash it is the last one tried, behind four octets of its length.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import hashlib
import mmap
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz import capture_readings
from fuzz.capture_mutation import LONGEST, mutated, seeds
from fuzz.capture_readings import hold
from native.captures import Packet, feed

from srtpgw import _native

ROOM = 4096  # octets of the reader's buffer: small, so that it grows and that its fence is cheap
WATCHED = 100  # files between two looks at the clock
HANG_SECONDS = 60  # over so many files, which take a hundredth of it
PORTIONS = (64, 1000, LONGEST)
SHORT = 2000  # octets of a file that may come octet by octet
STDERR = 2  # pytest puts an object without a descriptor in the place of sys.stderr
INTERESTING = 5000  # files that are kept
FRAME_OCTETS = {"pcap": 16, "pcapng": 12, None: 1}  # of a file, that each frame takes at least
LARGEST = 262144  # octets of a packet

# What becomes of a frame: each is counted under one of these, or waits for other fragments, or holds no packet.
OUTCOMES = (
    "packets", "link-type", "not-ip", "headers-cut", "ip-malformed", "other-transport", "udp-malformed",
    "tcp-malformed", "fragment-twice", "fragment-overlap", "fragment-cut", "no-interface",
)  # fmt: skip


class Coverage:
    """Edges of the native module's code, where it was built to count them."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_native.__file__)
        self.counts = hasattr(library, "srtpgw_new_edges")
        self.new: Callable[[], int] = library.srtpgw_new_edges if self.counts else lambda: 0
        self.all: Callable[[], int] = library.srtpgw_all_edges if self.counts else lambda: 0


def check_numbers(octets: bytes, packets: list[Packet], found: dict[str, Any]) -> None:
    """What came out against what went in."""
    frames, counters = found["frames"], found["counters"]
    numbers = [packet.frame for packet in packets]
    hold(frames * FRAME_OCTETS[found["format"]] <= len(octets), f"{frames} frames in {len(octets)} octets")
    hold(numbers == sorted(set(numbers)) and (not numbers or 0 < numbers[0] <= numbers[-1] <= frames), "frame numbers")
    hold(all(packet.interface < len(found["interfaces"]) for packet in packets), "an interface that is none")
    hold(all(len(packet.payload) <= min(packet.wire_len, LARGEST) for packet in packets), "a payload that is too long")
    hold(counters.get("packets", 0) == len(packets), f"{len(packets)} packets, {counters} counted")
    cut = sum(len(packet.payload) < packet.wire_len for packet in packets)
    hold(counters.get("cut", 0) == cut, f"{cut} packets cut, {counters} counted")
    left = frames - sum(counters.get(name, 0) for name in OUTCOMES)
    hold(0 <= left <= counters.get("fragments", 0) + counters.get("other-blocks", 0), f"{frames} frames, {counters}")
    hold(
        set(counters) <= {*_native.CAPTURE_COUNTERS} | {n for n in counters if n.startswith("link-type-")}, "a counter"
    )


def through_reader(octets: bytes, rng: random.Random) -> None:
    """Read it whole, and once more in portions."""
    reader = _native.CaptureReader(room=ROOM)
    packets = feed(reader, octets)
    found, secrets = reader.describe(), reader.take_secrets()
    check_numbers(octets, packets, found)
    again = _native.CaptureReader(room=rng.choice((64, ROOM)))
    portion = 1 if len(octets) < SHORT and rng.random() < 0.05 else rng.choice(PORTIONS)
    others = feed(again, octets, portion)
    hold((others, again.describe(), again.take_secrets()) == (packets, found, secrets), f"in portions of {portion}")
    if rng.random() < 0.1:
        feed(_native.CaptureReader(room=64, secrets_only=True), octets, portion)


THROUGH: dict[str, Callable[[bytes, random.Random], None]] = {"reader": through_reader, **capture_readings.READINGS}


class Fuzzer:
    """One run: a corpus that grows by what reaches new code."""

    def __init__(self, seed: int, through: str, corpus: list[bytes]) -> None:
        self.rng = random.Random(seed)
        self.try_one = THROUGH[through]
        self.coverage = Coverage()
        self.corpus = [*seeds(), *capture_readings.seeds(), *corpus]
        self.known = len(self.corpus)
        self.files = 0
        for octets in self.corpus:
            self.try_one(octets, self.rng)
        self.coverage.new()

    def step(self, under_way: mmap.mmap | bytearray) -> None:
        """One more file; `under_way` keeps it for after a crash. Violation where something cannot be."""
        octets = mutated(self.rng, self.choice(), self.rng.choice(self.corpus))
        under_way[: 4 + len(octets)] = len(octets).to_bytes(4, "little") + octets
        self.files += 1
        self.try_one(octets, self.rng)
        if self.coverage.new() and len(self.corpus) < INTERESTING:
            self.corpus.append(octets)

    def choice(self) -> bytes:
        """The newest ones more often: they lead to what was not reached yet."""
        if self.rng.random() < 0.3:
            return self.rng.choice(self.corpus[-50:])
        return self.rng.choice(self.corpus)


def run(fuzzer: Fuzzer, seconds: float, files: int, report: Path) -> str:
    """Files until the time or the number is over. The fault, or nothing."""
    report.write_bytes(bytes(4 + LONGEST))
    deadline = time.monotonic() + seconds
    fault = ""
    with report.open("r+b") as file, mmap.mmap(file.fileno(), 0) as under_way:
        while not fault and (fuzzer.files < files if files else time.monotonic() < deadline):
            if fuzzer.files % WATCHED == 0:
                faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=STDERR)
            try:
                fuzzer.step(under_way)
            except Exception as error:  # noqa: BLE001 - whatever is raised is what is looked for
                fault = f"{type(error).__name__}: {error}"
        faulthandler.cancel_dump_traceback_later()
        octets = bytes(under_way[4 : 4 + int.from_bytes(under_way[:4], "little")])
    report.write_bytes(octets)
    return fault


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long (default 20)")
    parser.add_argument("--files", type=int, default=0, help="how many files instead, to repeat a run")
    parser.add_argument("--seed", type=int, help="of the run (default: random)")
    parser.add_argument("--through", choices=THROUGH, default="reader", help="what the files go through")
    parser.add_argument("--corpus", type=Path, help="folder of files to mutate too; interesting ones are added")
    parser.add_argument("--report", type=Path, default=Path("fuzz-capture.bin"), help="the file on which it failed")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    corpus = sorted(options.corpus.iterdir()) if options.corpus and options.corpus.is_dir() else []
    fuzzer = Fuzzer(seed, options.through, [path.read_bytes()[:LONGEST] for path in corpus[:INTERESTING]])
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    fault = run(fuzzer, options.seconds, options.files, options.report)
    took = time.monotonic() - started
    if options.corpus:
        options.corpus.mkdir(parents=True, exist_ok=True)
        for octets in fuzzer.corpus[fuzzer.known :]:
            (options.corpus / hashlib.sha256(octets).hexdigest()[:16]).write_bytes(octets)
    if not fault:
        options.report.unlink()
    guided = (
        f"{fuzzer.coverage.all()} edges, {len(fuzzer.corpus) - fuzzer.known} files kept"
        if fuzzer.coverage.counts
        else "not guided"
    )
    print(
        f"{fuzzer.files} files through the {options.through}, {fuzzer.files / took:.0f} files/s, {guided}: "
        + (f"VIOLATED: {fault} (seed {seed}, {options.report})" if fault else "all invariants hold")
    )
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
