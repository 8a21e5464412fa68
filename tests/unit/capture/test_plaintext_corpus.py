"""The plaintext tests over plain and encrypted streams, and the rates that docs/verifying-with-wireshark.md publishes.

A few seconds of each codec are enough here; SRTPGW_FULL=1 takes the whole corpus. The page's tables are written by

    SRTPGW_FULL=1 SRTPGW_WRITE_DOCS=1 pytest tests/unit/capture/test_plaintext_corpus.py
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from support import FULL, ROOT, campaign, require_peer
from unit.capture.plaintext_rates import (
    SIZES,
    Outcomes,
    Streams,
    encrypted_rates,
    partly_rates,
    plain_rates,
    plain_streams,
)

from srtpgw.capture.plaintext import ALARM

PAGE = ROOT / "docs/verifying-with-wireshark.md"
WRITE = FULL and os.environ.get("SRTPGW_WRITE_DOCS") == "1"
RUNS = 8 if FULL else 1  # voices, words and chords
SECONDS = (30, 12) if FULL else (4, 1)  # of sound, of pictures
WINDOWS = 40 if FULL else 6  # of each stream and length
ENCRYPTED = 50_000  # streams
SURE_FROM = 50  # packets: every plain stream is found
HALF_SURE_FROM = 100  # and every one of which half is in clear
RATES = re.compile(r"(<!-- rates: .*? -->\n).*?(<!-- end of rates -->)", re.DOTALL)

pytestmark = pytest.mark.timeout(1200)  # of the whole corpus; the quick one takes a few seconds

PlainRates = dict[str, dict[tuple[int, bool], Outcomes]]


@pytest.fixture(scope="module")
def corpus() -> Iterator[list[Streams]]:
    programs = require_peer("ffmpeg"), require_peer("gst-launch-1.0")
    with tempfile.TemporaryDirectory() as folder:
        yield [plain_streams(programs, Path(folder), seed, SECONDS) for seed in range(RUNS)]


@pytest.fixture(scope="module")
def plain(corpus: list[Streams]) -> PlainRates:
    return plain_rates(corpus, WINDOWS)


@pytest.fixture(scope="module")
def part(corpus: list[Streams]) -> dict[str, dict[int, Outcomes]]:
    return partly_rates(corpus, WINDOWS)


@pytest.fixture(scope="module")
def encrypted(corpus: list[Streams]) -> dict[str, Outcomes]:
    return encrypted_rates(corpus, campaign(ENCRYPTED))


def percent(count: int, streams: int) -> str:
    return f"{100 * count / streams:.1f}".removesuffix(".0")


def cell(outcomes: Outcomes | None) -> str:
    """Per cent found, and of those missed where there are any."""
    if not outcomes or not outcomes.streams:
        return ""
    found = f"{percent(outcomes.plain, outcomes.streams)} %"
    return f"{found}, {percent(outcomes.encrypted, outcomes.streams)} % missed" if outcomes.encrypted else found


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tables(plain: PlainRates, part: Mapping[str, Mapping[int, Outcomes]], encrypted: Mapping[str, Outcomes]) -> str:
    sizes = [f"{size} packets" for size in SIZES]
    plain_rows = (
        [name, *(cell(row[size, False]) for size in SIZES), *(cell(row.get((size, True))) for size in SIZES[:2])]
        for name, row in plain.items()
    )
    part_rows = ([name, *(cell(row[size]) for size in SIZES), "", ""] for name, row in part.items())
    false_rows = (
        [name, f"{each.streams:,}", str(each.plain), f"{each.unsaid:,}", f"{each.score:.1f}"]
        for name, each in encrypted.items()
    )
    streams = max(each.streams for row in plain.values() for each in row.values())
    return (
        f"Plain streams that are called PLAINTEXT; up to {streams} parts of streams in each cell. Those that are called"
        "\nCONSISTENT WITH ENCRYPTION are given as missed, the rest is INCONCLUSIVE. The last two columns are under a"
        "\nNULL cipher: a tag of 10 octets, random by itself, stands behind each payload.\n\n"
        + table(
            ["plain stream", *sizes, "tag, 25", "tag, 50"], (row for rows in (plain_rows, part_rows) for row in rows)
        )
        + "\nThe same streams encrypted, in parts of 25 to 500 packets, most of them with a master key identifier of 1"
        f"\nto 128 octets: false alarms, of which theory allows less than one in {10**-ALARM:,.0f}.\n\n"
        + table(["suite", "streams", "called PLAINTEXT", "INCONCLUSIVE", "lowest score"], false_rows)
    )


def test_no_plain_stream_is_called_encrypted(plain: PlainRates) -> None:
    missed = {name: row for name, row in plain.items() if any(each.encrypted for each in row.values())}
    assert not missed


def test_every_plain_stream_is_found(plain: PlainRates) -> None:
    late = {
        (name, *key): each
        for name, row in plain.items()
        for key, each in row.items()
        if key[0] >= SURE_FROM and each.plain < each.streams
    }
    assert not late
    counted = [row[25, False] for row in plain.values()]
    assert all(each.streams for each in counted)
    assert sum(each.plain for each in counted) > 0.97 * sum(each.streams for each in counted)


def test_half_a_stream_in_clear_is_found(part: dict[str, dict[int, Outcomes]]) -> None:
    half = [row for name, row in part.items() if "half" in name]
    assert half
    assert all(each.plain == each.streams for row in half for size, each in row.items() if size >= HALF_SURE_FROM)


def test_no_encrypted_stream_is_called_plain(encrypted: dict[str, Outcomes]) -> None:
    assert sum(each.streams for each in encrypted.values()) == campaign(ENCRYPTED)
    assert not {name: each for name, each in encrypted.items() if each.plain}
    assert all(each.encrypted > each.streams / 2 for each in encrypted.values())


def test_the_page_shows_every_stream(
    plain: PlainRates, part: dict[str, dict[int, Outcomes]], encrypted: dict[str, Outcomes]
) -> None:
    written = tables(plain, part, encrypted)
    page = PAGE.read_text(encoding="utf-8")
    if WRITE:
        page = RATES.sub(lambda match: f"{match[1]}\n{written}\n{match[2]}", page)
        PAGE.write_text(page, encoding="utf-8")
    published = RATES.search(page)
    assert published
    assert re.findall(r"^\| [^|]+", published[0], re.MULTILINE) == re.findall(r"^\| [^|]+", written, re.MULTILINE)
    rows = [line for line in published[0].splitlines() if line.startswith("| ") and "in clear" not in line]
    assert len(rows) > len(plain)
    assert not [line for line in rows if "missed" in line]
