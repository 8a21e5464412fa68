"""What the memory of a running process holds: which of some secrets, where, and whether a core file would show it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGESIZE")
PRESENT = 3 << 62  # Documentation/admin-guide/mm/pagemap.rst: in memory, or swapped out


class Region(NamedTuple):
    start: int
    end: int
    name: str
    dumped: bool  # not marked with MADV_DONTDUMP, so part of a core file


class Hit(NamedTuple):
    secret: str
    region: str
    dumped: bool


def regions(pid: int) -> Iterator[Region]:
    """What the process may write to: nothing else can hold what came with a call."""
    head: re.Match[str] | None = None
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="ascii", errors="replace").splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line):
            head = found
        elif line.startswith("VmFlags:") and head is not None and head[3].startswith("rw"):
            yield Region(int(head[1], 16), int(head[2], 16), head[4] or "anonymous", " dd" not in line)


def resident(pid: int, region: Region) -> Iterator[bytes]:
    """The octets of a mapping, without the pages that were never touched (an arena is mostly those)."""
    with Path(f"/proc/{pid}/pagemap").open("rb") as pagemap, Path(f"/proc/{pid}/mem").open("rb") as memory:
        pagemap.seek(region.start // PAGE * 8)
        entries = pagemap.read((region.end - region.start) // PAGE * 8)
        touched = [int.from_bytes(entries[at : at + 8], "little") & PRESENT for at in range(0, len(entries), 8)]
        first = 0
        while first < len(touched):
            after = first + 1
            if touched[first]:
                while after < len(touched) and touched[after]:
                    after += 1
                memory.seek(region.start + first * PAGE)
                yield memory.read((after - first) * PAGE)
            first = after


def find(pid: int, secrets: Mapping[str, bytes]) -> list[Hit]:
    """Every place of every secret."""
    hits = []
    for region in regions(pid):
        for octets in resident(pid, region):
            for name, secret in secrets.items():
                hits += [Hit(name, region.name, region.dumped)] * octets.count(secret)
    return hits


def sbox() -> list[int]:
    """FIPS 197, 5.1.1: the inverse in GF(2^8), then the affine map; walked by the generator 3 and its inverse."""
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= p << 1 & 0xFF ^ (0x1B if p & 0x80 else 0)
        for shift in (1, 2, 4):
            q ^= q << shift & 0xFF
        q ^= 0x09 if q & 0x80 else 0
        turns = [(q << turn | q >> 8 - turn) & 0xFF for turn in range(5)]
        box[p] = turns[0] ^ turns[1] ^ turns[2] ^ turns[3] ^ turns[4] ^ 0x63
        if p == 1:
            return box


def round_keys(key: bytes) -> list[bytes]:
    """FIPS 197, 5.2. From any one of them (AES-256: two) the key follows."""
    box, words, constant = sbox(), [key[at : at + 4] for at in range(0, len(key), 4)], 1
    length = len(words)
    for number in range(length, 4 * (length + 7)):
        last = words[-1]
        if number % length == 0:
            last = bytes([box[last[1]] ^ constant, box[last[2]], box[last[3]], box[last[0]]])
            constant = constant << 1 ^ (0x11B if constant & 0x80 else 0)
        elif length > 6 and number % length == 4:
            last = bytes(box[octet] for octet in last)
        words.append(bytes(a ^ b for a, b in zip(words[number - length], last, strict=True)))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]
