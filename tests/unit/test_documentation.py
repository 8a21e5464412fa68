"""The documentation against what it speaks of: links lead somewhere, examples run, tables match the native ones.

docs/statistics.md is generated here. After a change of ext/stats.h, of the statistics or of the metrics, write it anew:

    SRTPGW_WRITE_DOCS=1 pytest tests/unit/test_documentation.py -k statistics
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from srtpgw import _native, errors
from srtpgw.errors import SrtpError
from srtpgw.media import LegSettings, MediaGateway
from srtpgw.media.statistics import COUNTERS, DROP_REASONS, EVENTS, DirectionStatistics, GatewayStatistics, RelayTime
from srtpgw.metrics import LegCollector
from srtpgw.srtp import Receiver, Sender

API = ROOT / "docs/api.md"
STATISTICS = ROOT / "docs/statistics.md"
NATIVE = ROOT / "ext/README.md"
WRITE = os.environ.get("SRTPGW_WRITE_DOCS") == "1"
SCRIPT_SECONDS = 60  # an example that takes longer waits for something that does not come

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)


def pages() -> list[Path]:
    """Every Markdown page of the project, hidden and built folders aside."""
    folders = ("docs", "ext", "certs", "bench", "tests")
    found = [ROOT / "README.md", *(page for folder in folders for page in (ROOT / folder).rglob("*.md"))]
    return [page for page in found if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# --- links -----------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """What a heading is linked by: its text in lower case without punctuation, blanks as hyphens."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def broken_links(page: Path, text: str) -> list[str]:
    faults = []
    for target in LINK.findall(FENCE.sub("", text)):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:|mailto:", target):
            continue
        aim = page.parent / path if path else page
        if not aim.exists():
            faults.append(f"{name_of(page)}: {target}: no such file")
        elif anchor and anchor not in anchors(FENCE.sub("", text if aim == page else read(aim))):
            faults.append(f"{name_of(page)}: {target}: no such heading")
    return faults


def test_links_lead_somewhere() -> None:
    faults = [fault for page in pages() for fault in broken_links(page, read(page))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("link", ["[a](missing.md)", "[a](api.md#missing)", "[a](#missing)"])
def test_a_broken_link_is_found(link: str) -> None:
    assert broken_links(API, f"# Page\n{link}\n")


def test_the_index_names_every_page() -> None:
    index = read(ROOT / "docs/README.md")
    linked = {(ROOT / "docs" / target.partition("#")[0]).resolve() for target in LINK.findall(index)}
    missing = [name_of(page) for page in pages() if page.parent.name == "docs" and page.resolve() not in linked]
    assert missing == ["docs/README.md"]


# --- examples --------------------------------------------------------------------------------------------------------


def chapters(text: str) -> dict[str, tuple[int, str]]:
    """Title to (line of the title, text) of each second-level heading."""
    found = {}
    for match in re.finditer(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
        found[match[1]] = text.count("\n", 0, match.start()) + 1, match[0]
    return found


def blocks(chapter: str) -> list[tuple[str, int, str]]:
    """(language, line within the chapter, text) of each code block."""
    return [(match[1], chapter.count("\n", 0, match.start(2)), match[2]) for match in FENCE.finditer(chapter)]


def run_dialogue(page: str, line: int, text: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a block of `>>>` lines with `names`; the names there are afterwards."""
    test = doctest.DocTestParser().get_doctest(text, names, page, page, line)
    report: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(test, out=report.append, clear_globs=False)
    assert outcome.failed == 0, "".join(report)
    return dict(test.globs)


def run_script(text: str, folder: Path) -> str:
    """What a script prints."""
    script = folder / "example.py"
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=SCRIPT_SECONDS, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("title", chapters(read(API)))
def test_examples_run(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    start, chapter = chapters(read(API))[title]
    names: dict[str, Any] = {}
    printed = ""
    for language, line, text in blocks(chapter):
        if language == "python" and text.startswith(">>> "):
            names = run_dialogue(name_of(API), start + line, text, names)
        elif language == "python":
            printed = run_script(text, tmp_path)
        elif language == "text":
            assert printed == text
        else:
            pytest.fail(f"a block of {language or 'no language'} is not run")


def test_a_wrong_example_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Expected"):
        run_dialogue("page", 1, ">>> 1 + 1\n3\n", {})
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_script("1 / 0\n", tmp_path)


# --- tables that have a source ---------------------------------------------------------------------------------------


def rows(text: str, first_column: str) -> list[list[str]]:
    """The cells of the table whose first column has this title."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            next(lines)
            break
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def refusals() -> Iterator[tuple[type[SrtpError], str]]:
    """Exceptions of the API by provoking what can be provoked without a trick."""
    suite, key = "AES_CM_128_HMAC_SHA1_80", bytes(range(30))
    packet = bytes([0x80, 0, 0x10, 0]) + bytes(8) + b"payload"
    tx, rx = Sender(suite, key), Receiver(suite, key)
    wire = tx.protect(packet)
    rx.unprotect(wire)
    calls: tuple[Callable[[], bytes], ...] = (
        lambda: tx.protect(packet),
        lambda: tx.protect(packet[:2] + bytes(2) + packet[4:]),
        lambda: rx.unprotect(wire),
        lambda: rx.unprotect(wire[:3] + b"\x01" + wire[4:]),
        lambda: rx.unprotect(b""),
    )
    for call in calls:
        with pytest.raises(SrtpError) as caught:
            call()
        yield type(caught.value), caught.value.reason


def test_reasons_are_listed_with_their_exception() -> None:
    """The table of the API page names drop reasons only, and every exception that is provoked here as it comes."""
    listed = {reason: named(cells[0])[0] for cells in rows(read(API), "exception") for reason in named(cells[1])}
    assert set(listed) <= set(DROP_REASONS)
    assert all(issubclass(getattr(errors, name), SrtpError) for name in listed.values())
    for kind, reason in refusals():
        assert listed[reason] == kind.__name__


def test_every_native_file_is_in_the_table() -> None:
    listed = [name for cells in rows(read(NATIVE), "file") for name in named(cells[0])]
    folder = ROOT / "ext"
    sources = {".pyx", ".pxi", ".pxd", ".c", ".h"}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in sources}
    assert sorted(listed) == sorted(found - {"_native.c"})


def record_octets() -> dict[str, int]:
    """Octets of one record of each arena, with at least one of each in use."""
    sender = Sender("AES_CM_128_HMAC_SHA1_80", bytes(range(30)), window=2048)
    for ssrc in range(2):  # the first source lies in the context
        sender.protect(bytes([0x80]) + bytes(10) + bytes([ssrc]))
    with MediaGateway(workers=1, engine="memory", threaded=False) as gateway:
        gateway.open_leg(LegSettings(type="route"))
        return {name: arena["octets"] // arena["live"] for name, arena in _native.memory_use()["arenas"].items()}


def test_sizes_of_records() -> None:
    arenas: Mapping[str, Mapping[str, int]] = _native.memory_use()["arenas"]
    table = rows(read(NATIVE), "arena")
    listed = {named(cells[0])[0]: [int(cell.replace(",", "")) for cell in cells[2:4]] for cells in table}
    octets = record_octets()
    assert listed == {name: [octets[name], arena["capacity"] - 1] for name, arena in arenas.items()}


# --- docs/statistics.md ----------------------------------------------------------------------------------------------

STATISTICS_HEAD = """\
# Counters, drop reasons, events

Written by `SRTPGW_WRITE_DOCS=1 pytest tests/unit/test_documentation.py -k statistics` from the tables that the native
module was built with (`ext/stats.h`). A test compares this page with them.

Every leg counts RTP and RTCP apart: `LegStatistics.rtp` and `.rtcp` in Python, `"rtp"` and `"rtcp"` in JSON, the label
`media` in Prometheus. What arrives is counted before anything is known of it. Sources, jitter, loss, rollover counter
and the time of the last packet come from accepted packets alone: authentic ones on a leg with keys, well-formed ones
from the right address on a plain leg.
"""

DERIVED = {
    "drops": "packets not forwarded, by reason; reasons without a packet are left out",
    "lost_packets": "expected less received, over all sources (RFC 3550 A.3); RTP only",
    "ssrc": "SSRC of the present source as it arrives, or none; RTP only",
    "roc": "rollover counter of its last accepted packet, or none; 0 where nothing was decrypted; RTP only",
    "sending_ssrc": "SSRC of the last packet that was to leave here, as it leaves, or none; RTP only",
    "sending_roc": "its rollover counter, or none; 0 where nothing was encrypted; RTP only",
    "jitter_ms": "interarrival jitter (RFC 3550 6.4.1), milliseconds; RTP only",
    "last_packet_age": "seconds since the last accepted packet, or none",
    "relay_time": "RTP that came in here: from the kernel's receive stamp until after the send; see below",
}

RELAY_TIME = {
    "p50_us": "half of the packets took no longer, microseconds",
    "p99_us": "99 of 100 packets took no longer, microseconds",
    "max_us": "the longest, microseconds",
    "count": "packets measured: those that the kernel stamped",
}


def table(titles: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> str:
    def row(cells: tuple[str, ...]) -> str:
        return f"| {' | '.join(cells)} |\n"

    return row(titles) + row(("---",) * len(titles)).replace(" ", "") + "".join(map(row, lines))


def named_rows(names: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    return ((f"`{name}`", text) for name, text in names.items())


def series() -> Iterator[tuple[str, ...]]:
    """Every Prometheus series as the collector declares it."""
    for family in LegCollector(lambda: GatewayStatistics([], b"", 0, [])).collect():
        suffix = "_total" if family.type == "counter" else ""
        yield f"`{family.name}{suffix}`", family.type, family.documentation


COUNTERS_HEAD = """\
## Counters

Attributes of `DirectionStatistics` and keys in JSON. They count from the opening of the leg.
"""

DERIVED_HEAD = """\
## Derived values

SSRC, rollover counter, loss and jitter follow one source at a time: where two take turns, each turn is a change.
"""

RELAY_TIME_HEAD = """\
`relay_time` is read from a histogram with eight steps to a doubling; its percentiles are upper ends of steps.
"""

DROPS_HEAD = """\
## Drop reasons

Counted on the leg where the packet arrived. The Python API of the SRTP engine gives the same names as
`SrtpError.reason`.
"""

EVENTS_HEAD = """\
## Events

What a gateway tells by `events()`, and a relay in its JSON lines.
"""

SERIES_HEAD = """\
## Prometheus

`srtpgw relay --metrics ADDR:PORT` serves these, with the labels `leg`, `name`, `type` and `media`; drops also have
`reason`, relay times `quantile`.
"""


def statistics_page() -> str:
    parts = [
        STATISTICS_HEAD,
        COUNTERS_HEAD,
        table(("counter", "meaning"), named_rows(COUNTERS)),
        DERIVED_HEAD,
        table(("value", "meaning"), named_rows(DERIVED)),
        RELAY_TIME_HEAD,
        table(("part", "meaning"), named_rows(RELAY_TIME)),
        DROPS_HEAD,
        table(("reason", "meaning"), named_rows(DROP_REASONS)),
        EVENTS_HEAD,
        table(("event", "meaning"), named_rows(EVENTS)),
        SERIES_HEAD,
        table(("series", "type", "meaning"), series()),
    ]
    return "\n".join(parts)


def test_statistics_page_matches_the_native_tables() -> None:
    page = statistics_page()
    if WRITE:
        STATISTICS.write_text(page, encoding="utf-8")
    assert read(STATISTICS) == page


def test_statistics_page_leaves_no_field_out() -> None:
    assert [each.name for each in fields(DirectionStatistics)] == [*COUNTERS, *DERIVED]
    assert [each.name for each in fields(RelayTime)] == list(RELAY_TIME)
