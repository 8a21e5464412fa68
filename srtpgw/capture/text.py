"""A report on the terminal: the verdict first, a row for each stream, findings, filters to paste.

Colours repeat what words say. Where stdout is no terminal, the text is plain and wide enough for the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from srtpgw.capture.filters import frames_filter
from srtpgw.capture.findings import some
from srtpgw.capture.report import Outcome, Report, Severity, StreamReport, Verdict
from srtpgw.capture.wording import (
    COLUMNS,
    SENTENCE_MAX,
    Group,
    Told,
    clean,
    expectation_line,
    file_lines,
    groups,
    headline,
    is_notable,
    notable,
    verdict_counts,
)

ROWS_MAX = 40  # streams in the table; with more, only those that are worth a look, and --all for all
FILTERS_MAX = 10
TOLD_MAX = 5  # findings of one code
STREAMS_MAX = 20  # that have the same finding
PLAIN_WIDTH = 190  # characters, where nobody's screen limits them

VERDICT_STYLES: Final[dict[Verdict, str]] = {
    Verdict.AUTHENTICATED: "bold green",
    Verdict.CONSISTENT: "green",
    Verdict.PLAINTEXT: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
}
OUTCOME_STYLES: Final[dict[Outcome, str]] = {"pass": "bold green", "fail": "bold red", "inconclusive": "yellow"}
SEVERITY_STYLES: Final[dict[Severity, str]] = {"fail": "red", "warning": "yellow", "note": "dim"}


def show(console: Console, report: Report, *, all_streams: bool = False) -> None:
    """Print a report. ``all_streams`` leaves nothing out however many there are."""
    if not console.is_terminal:
        drawn = StringIO()
        _print(Console(file=drawn, width=max(console.width, PLAIN_WIDTH), color_system=None), report, all_streams)
        # lines are filled up with blanks, which a file is better without
        console.file.writelines(f"{line.rstrip()}\n" for line in drawn.getvalue().removesuffix("\n").split("\n"))
        return
    _print(console, report, all_streams)


def _print(console: Console, report: Report, all_streams: bool) -> None:
    for part in parts(report, console.width, all_streams):
        console.print(part)
    filters = list(_filters(report, all_streams))
    if filters:
        console.print(Text("Display filters for Wireshark, by stream:", style="bold"))
    for line in filters:
        console.print(Text(line), soft_wrap=True)  # in one piece, to be copied


def parts(report: Report, width: int, all_streams: bool) -> Iterator[RenderableType]:
    """What is drawn on a screen of so many characters, but for the filters."""
    yield Text.assemble((report.verdict, VERDICT_STYLES[report.verdict]), "  ", (headline(report), "bold"))
    for each in report.expectations:
        yield Text(expectation_line(each), style=OUTCOME_STYLES[each.outcome])
    yield Text("\n".join(file_lines(report)), style="dim")
    shown = _shown(report, all_streams)
    if shown:
        yield _table(shown, width)
    if len(shown) < len(report.streams):
        left = len(report.streams) - len(shown)
        yield Text(f"{verdict_counts(report)}; {left:,} streams are not shown (--all shows them)")
    for group in groups(report):
        yield from _group(group, len(report.streams) if all_streams else TOLD_MAX)


def _shown(report: Report, all_streams: bool) -> list[StreamReport]:
    """By number; where there are too many, those worth a look."""
    if all_streams or len(report.streams) <= ROWS_MAX:
        return list(report.streams)
    worth = [stream for stream in notable(report.streams) if is_notable(stream)]
    return sorted(worth[:ROWS_MAX], key=lambda stream: stream.number)


def _table(streams: list[StreamReport], width: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    columns = [column for column in COLUMNS if column.screen <= width]
    for column in columns:
        if column.number:
            table.add_column(column.title, justify="right", no_wrap=True)
        else:
            table.add_column(column.title, overflow="fold", min_width=column.least)
    for stream in streams:
        cells = (Text(column.text(stream)) for column in columns)
        styled = (cell if cell.plain != stream.verdict else _verdict(stream.verdict) for cell in cells)
        table.add_row(*styled)
    return table


def _verdict(verdict: Verdict) -> Text:
    return Text(verdict, style=VERDICT_STYLES[verdict])


def _group(group: Group, most: int) -> Iterator[RenderableType]:
    style = SEVERITY_STYLES[group.severity]
    yield Text.assemble((group.severity.upper(), f"bold {style}"), "  ", (clean(group.title), "bold"))
    for told in group.told[:most]:
        yield Padding(_told(told), (0, 0, 0, 4))
    if group.rest(most):
        yield Padding(Text(f"{group.rest(most)} (--all shows them)"), (0, 0, 0, 4))


def _told(told: Told) -> Text:
    numbers = some([str(number) for number in told.streams], STREAMS_MAX)
    where = f"stream{'' if len(told.streams) == 1 else 's'} {numbers}: " if numbers else ""
    frames = f"  [{frames_filter(told.finding.frames)}]" if told.finding.frames else ""
    return Text.assemble(where, clean(told.finding.text, SENTENCE_MAX), (frames, "dim"))


def _filters(report: Report, all_streams: bool) -> Iterator[str]:
    shown = list(report.streams)
    if not all_streams and len(shown) > FILTERS_MAX:
        shown = [stream for stream in notable(shown) if is_notable(stream)][:FILTERS_MAX]
    for stream in sorted(shown, key=lambda each: each.number):
        yield f"{stream.number}  {clean(stream.display_filter, SENTENCE_MAX)}"
