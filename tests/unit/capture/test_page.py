"""The page: whole HTML that loads and runs nothing, whatever is in the capture; pictures that stay in their frames."""

from __future__ import annotations

import hashlib
import random
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from unit.capture.facts import FEW, PACKETS, PLAIN, START, facts, key, keyless, report, savp, stream
from unit.capture.test_text import hostile

from srtpgw.capture.drawing import BASE, HEIGHT, LEFT, RIGHT, WIDTH, distribution, distribution_text, timeline
from srtpgw.capture.page import DETAILS_MAX, KEYS_MAX, PICTURES_MAX, ROWS_MAX, TOLD_MAX, page
from srtpgw.capture.report import TimelineBin
from srtpgw.capture.wording import MEANINGS, groups, headline

VOID = {"meta", "br"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "p", "span", "h2", "h3", "ul", "li", "a", "code", "div",
    "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "dl", "dt", "dd", "figure", "figcaption", "svg",
    "path", "rect", "text",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "role", "open", "viewbox", "aria-label",
    "d", "x", "y", "width", "height", "text-anchor",
}  # fmt: skip


class Reader(HTMLParser):
    """Checks nesting; keeps tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] != ["style"]:
            self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


LIAR = keyless(plaintext=PLAIN, declared=(savp(),), ssrc=5)


def check_page(html: str) -> Reader:
    """What must hold of every page."""
    read = Reader(html)
    assert set(read.tags) <= TAGS
    assert {name for name, _ in read.attributes} <= ATTRIBUTES
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in read.values("href")} <= set(ids)
    (style,) = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert read.values("content")[0].startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert not re.search(r"url\(|@import|expression", style)
    return read


def test_the_answer_comes_first_and_is_that_of_the_terminal() -> None:
    made = report(facts(), facts(), expect=("srtp",))
    html = page(made)
    read = check_page(html)
    body = " ".join(read.text)
    assert headline(made) == "Both streams of this call are encrypted and authentic."
    assert body.index(headline(made)) < body.index("srtp expected of all") < body.index("Streams") < body.index("Keys")
    assert '<header class="good">' in html
    for meaning in MEANINGS.values():
        assert meaning in body


def test_evidence_is_there_to_copy() -> None:
    made = report(facts(), LIAR)
    read = check_page(page(made))
    for each in made.streams:
        assert each.display_filter in read.text
    assert "frame.number in {3, 10}" in read.text
    for group in groups(made):
        assert group.title in " ".join(read.text)
    assert read.tags.count("svg") == 4
    assert read.values("id") == ["s2", "s1"]  # the worst first


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (report(LIAR), "bad"),
        (report(keyless()), "likely"),
        (report(keyless(plaintext=FEW)), "open"),
        (report(facts(reused_in=((2, facts().replayed),))), "open"),  # good, but weakened
        (report(), "open"),
    ],
)
def test_the_colour_of_the_answer(made: Any, kind: str) -> None:
    html = page(made)
    check_page(html)
    assert f'<header class="{kind}">' in html


def test_hostile_texts_stay_texts() -> None:
    html = page(hostile())
    read = check_page(html)
    assert "evil" in html
    assert html.isascii() or all(letter.isprintable() or letter == "\n" for letter in html)
    assert html.encode("utf-8")
    assert any("alert('1')" in text for text in read.text)


def test_a_large_capture_makes_a_bounded_page() -> None:
    many = [LIAR if number % 200 == 0 else facts(ssrc=number) for number in range(ROWS_MAX + 300)]
    keys = tuple(key(number, (number,)) for number in range(1, KEYS_MAX + 10))
    html = page(report(*many, keys=keys))
    read = check_page(html)
    assert len(html) < 5_000_000
    assert read.tags.count("details") == DETAILS_MAX
    assert read.tags.count("svg") == 2 * PICTURES_MAX
    assert read.tags.count("tr") == ROWS_MAX + 1 + KEYS_MAX + 1
    assert read.values("open") == [""]  # the worst one
    text = " ".join(read.text)
    assert f"These are the {ROWS_MAX:,} most notable of {len(many):,} streams" in text
    assert "and 9 more; the JSON has all." in text
    assert TOLD_MAX > 14
    assert text.count("plain RTP under an encrypted profile") == 1


def test_links_lead_to_details_that_are_there() -> None:
    """Streams of little interest have no details where there are too many others."""
    dull = [facts(ssrc=number, rollover_found=number) for number in range(1, 31)]
    read = check_page(page(report(*dull, *[LIAR] * DETAILS_MAX)))
    assert "#s31" in read.values("href")
    assert "#s1" not in read.values("href")
    assert "The rollover counter was 1 when" in " ".join(read.text)


# --- pictures --------------------------------------------------------------------------------------------------------


def corners(svg: str) -> Iterator[tuple[float, float]]:
    """Every point of the bars: each is M x y, up to V, to the right h, down V."""
    number = r"(-?[\d.]+)"
    for x, y, top, right, down in re.findall(rf"M{number} {number}V{number}h{number}V{number}z", svg):
        yield float(x), float(y)
        yield float(x) + float(right), float(top)
        assert float(down) == float(y)
    for x, y, up, right in re.findall(rf"M{number} {number}v{number}h{number}V{BASE}z", svg):
        yield float(x), float(y)
        yield float(x) + float(right), float(y) + float(up)


def inside(svg: str) -> int:
    points = list(corners(svg))
    for x, y in points:
        assert LEFT - 1 <= x <= WIDTH - RIGHT + 1
        assert 0 <= y <= BASE
    assert BASE < HEIGHT
    return len(points) // 2


def bin_of(at: int, *counts: int) -> TimelineBin:
    packets, lost, good, bad, wraps = counts
    return TimelineBin(at, packets, lost, good, bad, wraps)


def test_a_timeline_shows_each_kind() -> None:
    bins = (
        bin_of(START, 50, 0, 50, 0, 0),
        bin_of(START + 10**9, 40, 10, 30, 5, 1),
        bin_of(START + 2 * 10**9, 0, 0, 0, 0, 0),
    )
    drawn = timeline(stream(timeline=bins))
    assert inside(drawn) == 5
    for kind in ("good", "bad", "unchecked", "lost", "wrap"):
        assert f'class="{kind}"' in drawn
    assert ">wrap<" in drawn
    assert ">3.0 s<" in drawn
    only_good = timeline(stream())
    assert inside(only_good) == 30
    assert 'class="bad"' not in only_good
    assert ">10.0 min<" not in only_good


@pytest.mark.parametrize("seed", range(20))
def test_no_timeline_leaves_its_frame(seed: int) -> None:
    """Whatever the numbers are: a hostile file chooses its times and counts."""
    chance = random.Random(seed)
    most = chance.choice([2, 100, 1 << 40])
    bins = tuple(
        bin_of(START + chance.choice([number * 10**9, 5, -number, chance.getrandbits(62)]),
               *(chance.randrange(most) for _ in range(4)), chance.choice([0, 0, 1, 9]))
        for number in range(chance.choice([1, 2, 120, 1000]))
    )  # fmt: skip
    drawn = timeline(stream(timeline=bins, last_ns=START - 7))
    assert len(drawn) < 60_000
    inside(drawn)


def test_nothing_to_draw() -> None:
    assert timeline(stream(timeline=())) == ""
    assert timeline(stream(timeline=(bin_of(START, 0, 0, 0, 0, 0),))) == ""
    assert distribution(()) == ""
    assert distribution((0,) * 256) == ""
    assert distribution((100,) * 255) == ""
    assert distribution((9,) * 256) == distribution_text((9,) * 256) == ""
    assert distribution((10,) * 256)
    assert distribution_text((0,) * 256) == ""
    check_page(page(report(facts(timeline=(), histogram=()))))


def test_a_distribution_has_a_bar_for_each_value() -> None:
    even = distribution((PACKETS,) * 256)
    assert inside(even) == 256
    silence = [0] * 256
    silence[0xFF] = 10**12
    drawn = distribution(silence)
    assert inside(drawn) == 1
    assert "0xff, occurs 256.00 times" in distribution_text(silence)
    assert "1.00 times" in distribution_text((PACKETS,) * 256)
    assert replace(stream(), histogram=tuple(silence)).histogram == tuple(silence)
