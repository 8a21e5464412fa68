"""A report as one HTML file: the verdict for a manager first, then the evidence for whoever wants to check it.

However large the capture, the page stays of a size that a browser takes: the streams that are worth a look come first,
``PICTURES_MAX`` of them with pictures, ``DETAILS_MAX`` with everything else, ``ROWS_MAX`` in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from srtpgw.capture.drawing import LAYERS, distribution, distribution_text, timeline
from srtpgw.capture.filters import frames_filter
from srtpgw.capture.findings import some
from srtpgw.capture.report import Finding, KeyReport, Outcome, Report, StreamReport, Verdict, ssrc_text
from srtpgw.capture.wording import (
    COLUMNS,
    MEANINGS,
    OUTCOMES,
    SENTENCE_MAX,
    Group,
    Told,
    clean,
    expectation_line,
    facts,
    file_lines,
    groups,
    headline,
    is_notable,
    is_weakened,
    kind_text,
    notable,
    verdict_counts,
)
from srtpgw.page import document

ROWS_MAX: Final = 2500
DETAILS_MAX: Final = 500
PICTURES_MAX: Final = 120
OPEN_MAX: Final = 4  # streams that are all unfolded; of more only the one that matters most
TOLD_MAX: Final = 25  # findings of one code
STREAMS_MAX: Final = 60  # that have the same finding
KEYS_MAX: Final = 500

CLASSES: Final[dict[Verdict | Outcome, str]] = {
    Verdict.AUTHENTICATED: "good",
    Verdict.CONSISTENT: "likely",
    Verdict.PLAINTEXT: "bad",
    Verdict.INCONCLUSIVE: "open",
    "pass": "good",
    "fail": "bad",
    "inconclusive": "open",
}

STYLE = """
:root { --good: #15803d; --likely: #0e7490; --bad: #b91c1c; --open: #a16207; --on: #fff; --unchecked: #8796a5 }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --likely: #5cd0e6; --bad: #ff8080; --open: #e9c46a;
  --on: #14181c; --unchecked: #6b7885 } }
header { border-left: .6rem solid var(--open); background: var(--band); padding: 1rem 1.3rem; border-radius: .3rem }
header.good { border-color: var(--good) } header.likely { border-color: var(--likely) }
header.bad { border-color: var(--bad) }
header .answer { font-size: 1.45rem; line-height: 1.3; font-weight: 600; margin: .5rem 0; max-width: none }
.pill { display: inline-block; padding: .05rem .6rem; border-radius: 1rem; color: var(--on); background: var(--open);
  font-weight: 600; font-size: .85rem; white-space: nowrap }
.pill.good { background: var(--good) } .pill.likely { background: var(--likely) } .pill.bad { background: var(--bad) }
.pill.fail { background: var(--bad) } .pill.warning { background: var(--open) }
.pill.note { background: var(--unchecked) }
.copy { user-select: all; cursor: copy; background: var(--band); border: 1px solid var(--rule); border-radius: .2rem;
  padding: .1rem .4rem; font: 13px/1.6 ui-monospace, monospace; overflow-wrap: anywhere }
p.copy { max-width: none; padding: .3rem .6rem } code.copy { display: inline-block } figure { max-width: 48rem }
ul.told { margin: .2rem 0 1rem; padding-left: 1.2rem } ul.told li { margin: .3rem 0; overflow-wrap: anywhere }
.streams { max-height: 40rem; overflow: auto } .streams th { position: sticky; top: 0 }
.streams :is(th, td) { padding: .25rem .5rem } .text { text-align: left } a { color: var(--s0) }
details { border: 1px solid var(--rule); border-radius: .3rem; margin: .6rem 0; padding: 0 1rem }
details[open] { padding-bottom: 1rem } summary { cursor: pointer; padding: .6rem 0; font-weight: 600;
  overflow-wrap: anywhere } details:target { border-color: var(--s0) }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem 2rem;
  align-items: start } dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .3rem 0 }
dt { color: var(--quiet) } dd { margin: 0; overflow-wrap: anywhere }
path.good, .key.good { fill: var(--good); background: var(--good) }
path.bad, .key.bad { fill: var(--bad); background: var(--bad) }
path.unchecked, .key.unchecked { fill: var(--unchecked); background: var(--unchecked) }
path.lost, .key.lost { fill: none; stroke: var(--open); border: 2px solid var(--open) }
path.wrap { stroke: var(--text); stroke-dasharray: 3 3 } path.octets { fill: var(--s0) }
path.even { stroke: var(--text); stroke-width: 1.5 } .band { fill: var(--s4); opacity: .28 }
figcaption { color: var(--quiet); font-size: .9rem } figure .legend { margin: .2rem 0; font-size: .85rem }
@media print { body { padding: 0; max-width: none; font-size: 11px } .streams { max-height: none; overflow: visible }
  details::details-content { content-visibility: visible; block-size: auto } details, figure, li { break-inside: avoid }
  .pill, header, .key, .band { print-color-adjust: exact } th, td { padding: .15rem .3rem } }
"""

ABOUT_DISTRIBUTION = (
    "The pictures of the payload's octets: encrypted, every value occurs about equally often, and the bars end at the"
    " line, within the shaded band, which chance hardly leaves. Plain media piles up: silence in G.711 µ-law, for one,"
    " is the octets 0xff and 0x7f over and over, two tall bars, even where Wireshark labels the packets SRTP."
)
ABOUT_FILTERS = (
    "Frame numbers are Wireshark's. A click selects a filter as a whole: copy it, and paste it into the filter bar of"
    " Wireshark with this capture open."
)
ABOUT_SHARES = (
    "Authenticated and encrypted are two things: under a NULL cipher every packet authenticates, and anyone can listen."
    " A dash is what could not be examined."
)


def page(report: Report) -> str:
    """The whole file."""
    detailed = notable(report.streams)[:DETAILS_MAX]
    linked = {stream.number for stream in detailed}
    body = [
        *_header(report),
        *_findings(report, linked),
        *_streams(report, linked),
        *_details(report, detailed),
        *_keys(report.keys),
        *_meanings(),
    ]
    return document(f"{report.verdict}: {clean(report.capture.name)}", "".join(body), STYLE)


def _e(text: str, most: int = SENTENCE_MAX) -> str:
    """Any text, made harmless."""
    return escape(clean(text, most))


def _pill(kind: str, text: str) -> str:
    return f'<span class="pill {kind}">{escape(text)}</span>'


def _copy(text: str, tag: str = "code") -> str:
    return f'<{tag} class="copy">{_e(text)}</{tag}>' if text else ""


def _header(report: Report) -> Iterator[str]:
    kind = "open" if is_weakened(report) else CLASSES[report.verdict]
    yield f'<header class="{kind}">{_pill(kind, report.verdict)}'
    yield f'<p class="answer" role="status">{_e(headline(report))}</p>'
    for each in report.expectations:
        said = expectation_line(each).removeprefix(f"{OUTCOMES[each.outcome]}: ")
        yield f"<p>{_pill(CLASSES[each.outcome], OUTCOMES[each.outcome])} {_e(said)}</p>"
    yield "".join(f'<p class="quiet">{_e(line)}</p>' for line in file_lines(report))
    yield "</header>"


def _findings(report: Report, detailed: set[int]) -> Iterator[str]:
    found = groups(report)
    if not found:
        return
    yield f'<h2>Findings</h2><p class="quiet">{escape(ABOUT_FILTERS)}</p>'
    for group in found:
        yield from _group(group, detailed)


def _group(group: Group, detailed: set[int]) -> Iterator[str]:
    yield f"<h3>{_pill(group.severity, group.severity)} {_e(group.title)}</h3>"
    yield f'<ul class="told">{"".join(_told(told, detailed) for told in group.told[:TOLD_MAX])}'
    rest = group.rest(TOLD_MAX)
    yield (f'<li class="quiet">{_e(rest)}</li>' if rest else "") + "</ul>"


def _told(told: Told, detailed: set[int]) -> str:
    numbers = [f'<a href="#s{n}">{n}</a>' if n in detailed else str(n) for n in told.streams]
    where = f"Stream{'' if len(numbers) == 1 else 's'} {some(numbers, STREAMS_MAX)}: " if numbers else ""
    return f"<li>{where}{_finding(told.finding)}</li>"


def _finding(each: Finding) -> str:
    frames = f" {_copy(frames_filter(each.frames))}" if each.frames else ""
    return f"{_e(each.text)}{frames}"


def _streams(report: Report, detailed: set[int]) -> Iterator[str]:
    shown = report.streams
    if not shown:
        return
    yield f'<h2>Streams</h2><p class="quiet">{_e(verdict_counts(report))}. {escape(ABOUT_SHARES)}</p>'
    if len(shown) > ROWS_MAX:
        shown = tuple(sorted(notable(shown)[:ROWS_MAX], key=lambda stream: stream.number))
        yield f"<p>These are the {ROWS_MAX:,} most notable of {len(report.streams):,} streams; the JSON has all.</p>"
    classes = {True: "", False: ' class="text"'}
    head = "".join(f"<th{classes[each.number]}>{escape(each.title)}</th>" for each in COLUMNS)
    rows = "".join(f"<tr>{''.join(_cells(stream, detailed))}</tr>" for stream in shown)
    yield f'<div class="scroll streams"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cells(stream: StreamReport, detailed: set[int]) -> Iterator[str]:
    for column in COLUMNS:
        text = _e(column.text(stream))
        if column.title == "#" and stream.number in detailed:
            text = f'<a href="#s{stream.number}">{text}</a>'
        elif column.title == "verdict":
            text = _pill(CLASSES[stream.verdict], stream.verdict)
        yield f"<td>{text}</td>" if column.number else f'<td class="text">{text}</td>'


def _details(report: Report, detailed: list[StreamReport]) -> Iterator[str]:
    if not detailed:
        return
    sources = {key.number: key.source for key in report.keys}
    about = ABOUT_DISTRIBUTION if groups(report) else f"{ABOUT_FILTERS} {ABOUT_DISTRIBUTION}"
    yield f'<h2>Each stream</h2><p class="quiet">{escape(about)}</p>'
    if len(report.streams) > PICTURES_MAX:
        yield (
            f"<p>The most notable come first: {min(len(detailed), PICTURES_MAX):,} with pictures, "
            f"{len(detailed):,} with details.</p>"
        )
    for place, stream in enumerate(detailed):
        unfolded = " open" if len(report.streams) <= OPEN_MAX or (not place and is_notable(stream)) else ""
        title = f"Stream {stream.number}: {kind_text(stream)}, {stream.source} to {stream.destination}"
        yield f'<details id="s{stream.number}"{unfolded}><summary>{_pill(CLASSES[stream.verdict], stream.verdict)} '
        yield f"{_e(title)}, {ssrc_text(stream.ssrc)}</summary>{_copy(stream.display_filter, 'p')}"
        yield _list(facts(stream, sources))
        yield f'<div class="pair">{"".join(_pictures(stream))}</div>' if place < PICTURES_MAX else ""
        found = "".join(f"<li>{_pill(each.severity, each.severity)} {_finding(each)}</li>" for each in stream.findings)
        yield (f'<ul class="told">{found}</ul>' if found else "") + "</details>"


def _pictures(stream: StreamReport) -> Iterator[str]:
    drawn = timeline(stream)
    if drawn:
        used = [layer for layer in LAYERS if any(layer.count(each) for each in stream.timeline)]
        items = "".join(f'<li><span class="key {each.name}"></span>{escape(each.text)}</li>' for each in used)
        yield f'<figure><h3>Packets over time</h3>{drawn}<ul class="legend">{items}</ul></figure>'
    drawn = distribution(stream.histogram)
    if drawn:
        said = distribution_text(stream.histogram)
        yield f"<figure><h3>Octets of the payload</h3>{drawn}<figcaption>{escape(said)}</figcaption></figure>"


def _list(rows: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{_e(name)}</dt><dd>{_e(value)}</dd>' for name, value in rows)}</dl>"


def _keys(keys: tuple[KeyReport, ...]) -> Iterator[str]:
    """Where keys came from and what they open; nothing of them is in a report."""
    if not keys:
        return
    yield "<h2>Keys</h2>"
    yield '<p class="quiet">Where they came from, and which streams they open. No key is in this page.</p>'
    yield '<div class="scroll"><table class="facts"><thead><tr><th>#</th><th>source</th><th>suite</th><th>MKI</th>'
    yield "<th>opens streams</th></tr></thead><tbody>"
    for key in keys[:KEYS_MAX]:
        opened = ", ".join(map(str, key.streams)) or "none"
        cells = (str(key.number), key.source, key.suite or "not declared", key.mki or "-", opened)
        yield f"<tr>{''.join(f'<td>{_e(cell)}</td>' for cell in cells)}</tr>"
    yield "</tbody></table></div>"
    if len(keys) > KEYS_MAX:
        yield f"<p>and {len(keys) - KEYS_MAX:,} more; the JSON has all.</p>"


def _meanings() -> Iterator[str]:
    yield "<h2>What the verdicts mean</h2><dl>"
    for verdict, meaning in MEANINGS.items():
        yield f"<dt>{_pill(CLASSES[verdict], verdict)}</dt><dd>{escape(meaning)}</dd>"
    yield "</dl>"
