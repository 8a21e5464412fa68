"""The report as text: what stands first, what fits which screen, and that nothing from a capture acts on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from unit.capture.facts import CAPTURE, FEW, PLAIN, facts, key, keyless, report, savp

from srtpgw.capture.report import Finding, PayloadType, PlaintextResult, Report, Share
from srtpgw.capture.text import ROWS_MAX, TOLD_MAX, show
from srtpgw.capture.verdict import Evidence
from srtpgw.capture.wording import COLUMNS, clean, expectation_line, headline, percent

HOSTILE = "\x1b]0;owned\x07\x1b[31m\r\n\u202eevil\u2028\x9b<script>alert('1')</script>\udc80&\"[red]x[/red]"
LIAR = keyless(plaintext=PLAIN, declared=(savp(),), ssrc=5)


def shown(made: Report, width: int = 200, *, terminal: bool = False, **options: Any) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system="standard" if terminal else "auto"
    )
    show(console, made, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_verdict_comes_first() -> None:
    lines = shown(report(facts(), LIAR, expect=("srtp", "rtp=ssrc:0x5"))).splitlines()
    assert lines[0].startswith("PLAINTEXT  NOT ENCRYPTED: 1 of the 2 streams of this call is in clear")
    assert lines[1].rstrip() == "FAIL: srtp expected of all: 1 of 2 streams: not encrypted (2)"
    assert lines[2].rstrip() == "PASS: rtp expected of ssrc:0x5: 1 stream: plain (2)"
    assert "call.pcapng: pcapng, 1,048,576 octets, 3,100 frames, 2 streams" in lines[3]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (report(facts(), facts()), "Both streams of this call are encrypted and authentic."),
        (report(facts()), "The one stream of this call is encrypted and authentic."),
        (report(facts(), facts(declared=())), "Both streams of this capture are encrypted and authentic."),
        (report(facts(), facts(declared=(savp(call_id="other"),))), "Both streams of this capture are encrypted"),
        (report(facts(), keyless()), "look encrypted, but 1 of them not authenticated: the key is not known."),
        (report(keyless()), "The one stream of this capture looks encrypted, but not authenticated"),
        (report(facts(reused=Evidence(1))), "is encrypted and authentic, BUT: keystream used twice."),
        (report(LIAR, LIAR), "NOT ENCRYPTED: both streams of this call are in clear."),
        (report(LIAR), "NOT ENCRYPTED: the one stream of this call is in clear."),
        (
            report(facts(plaintext=PLAIN), LIAR),
            "NOT ENCRYPTED: both streams of this call are in clear, at least in part.",
        ),
        (report(facts(), keyless(plaintext=FEW)), "NOT PROVED: 1 of the 2 streams of this capture could not be judged"),
        (
            report(facts(), keyless(kind="rtcp", plaintext=PLAIN)),
            "NOT ALL ENCRYPTED: the media is, but 1 of the 2 streams of this capture is RTCP in clear.",
        ),
        (report(), "NOTHING TO JUDGE: no RTP or SRTP stream was found in this capture."),
        (
            report(facts(), capture=replace(CAPTURE, fault="it ends within a block")),
            "encrypted and authentic, BUT: ",
        ),
    ],
)  # fmt: skip
def test_headlines(made: Report, said: str) -> None:
    if made.capture.fault:
        assert headline(made).endswith("authentic. This holds as far as the capture could be read.")
    else:
        assert said in headline(made)


def test_a_table_for_each_width() -> None:
    made = report(facts(), LIAR)
    for width in (60, 80, 120, 200):
        lines = shown(made, width, terminal=True).splitlines()
        head = next(line for line in lines if "verdict" in line)
        wanted = [column.title for column in COLUMNS if column.screen <= width]
        assert [title for title in wanted if title.split()[0] not in head] == []
        assert ("suite" in head) == (width >= 150)
    table = shown(made, 80, terminal=True)
    for cell in ("AUTHENTICATED", "PLAINTEXT", "0x1234abcd", "0x00000005", "1,500"):
        assert cell in table


def test_plain_text_where_nobody_looks() -> None:
    """Without a terminal: no escapes, and the whole table however narrow the screen would be."""
    text = shown(report(facts(), LIAR), 80)
    assert "\x1b" not in text
    assert "AES_CM_128_80" in text
    assert "\x1b[" in shown(report(facts()), 80, terminal=True)


def test_plain_text_has_no_blanks_at_line_ends() -> None:
    lines = shown(report(facts(), LIAR)).split("\n")
    assert [line for line in lines if line != line.rstrip()] == []
    assert lines[-1] == ""


def test_of_many_results_of_the_plaintext_tests_the_strongest_are_told() -> None:
    plain = replace(PLAIN, reasons=("first", "second", "third", "fourth"))
    assert "look like this: first; second; and 2 more such results." in shown(report(keyless(plaintext=plain)))
    plain = replace(PLAIN, reasons=("first", "second", "third"))
    assert "look like this: first; second; third." in shown(report(keyless(plaintext=plain)))


def test_findings_with_frames_and_filters() -> None:
    text = shown(report(facts(), LIAR))
    assert "FAIL  plain RTP under an encrypted profile" in text
    assert "stream 2: The signaling in frame 3 declares RTP/SAVP, but the packets are plain RTP." in text
    assert "[frame.number in {3, 10}]" in text
    lines = shown(report(facts(), LIAR), 80).splitlines()
    for stream in report(facts(), LIAR).streams:
        assert f"{stream.number}  {stream.display_filter}" in lines
    order = [text.index(word) for word in ("FAIL  ", "Display filters")]
    assert order == sorted(order)


def test_a_thousand_streams() -> None:
    """A summary and what is worth a look; everything with --all."""
    liars = (keyless(plaintext=PLAIN, declared=(savp(),), ssrc=5, first_frame=number) for number in range(10, 20))
    streams = [next(liars) if number % 100 == 99 else facts(ssrc=number) for number in range(1000)]
    made = report(*streams)
    text = shown(made)
    assert "10 PLAINTEXT, 990 AUTHENTICATED; 990 streams are not shown (--all shows them)" in text
    assert text.count("0x00000005") == 10
    assert f"and {10 - TOLD_MAX} more: streams 600, 700, 800, 900, 1000 (--all shows them)" in text
    assert len(text.splitlines()) < 120
    assert text.count("udp.payload[8:4]") == 10
    assert "udp.payload[8:4]" not in shown(report(*[facts(ssrc=number) for number in range(11)]))
    whole = shown(made, all_streams=True)
    assert whole.count("udp.payload[8:4]") == 1000
    assert "not shown" not in whole
    assert "more:" not in whole
    forty = shown(report(*streams[:ROWS_MAX]))
    assert "not shown" not in forty


def test_what_many_streams_share_is_told_once() -> None:
    text = shown(report(*[keyless(ssrc=number) for number in range(30)]))
    assert text.count("Only tests tell whether it is encrypted") == 1
    assert "streams 1, 2, 3, 4" in text
    assert "20, and 10 more: Only tests" in text
    assert "stream 1: Only tests" in shown(report(keyless()))


def hostile() -> Report:
    """Every text that a capture can bring, as bad as it gets."""
    bad = HOSTILE
    stream = facts(
        interface=bad, interface_description=bad, suite=bad,
        payload_types=(PayloadType(96, 9, bad, 8000, True),),
        declared=(savp(profile=bad, suites=(bad,), call_id=bad, unencrypted=(bad,), leg_type=bad),),
        plaintext=PlaintextResult(99, False, float("-inf"), (bad,)),
    )  # fmt: skip
    unopened = keyless(signaled_keys=(1,), declared=(savp(profile=bad, suites=(bad,)),), interface=bad)
    capture = replace(CAPTURE, name=bad, fault=bad, interfaces=(bad,), counters={bad: 3})
    told = (Finding(bad, "warning", bad, (1,)),)
    keys = (key(1, (1,), source=bad, suite=bad, mki=bad), key(2, (), source=bad))
    return report(stream, unopened, capture=capture, keys=keys, findings=told, expect=("srtp=interface:x",))


def test_nothing_in_a_capture_reaches_the_terminal() -> None:
    text = shown(hostile())
    assert "evil" in text
    unseen = [letter for letter in text if letter != "\n" and not letter.isprintable()]
    assert unseen == []
    assert "[red]x" in text


def test_long_texts_are_cut() -> None:
    assert clean("x" * 10**6) == "x" * 157 + "..."
    assert clean("\x1b" * 10**6, 20) == "<1b>" * 4 + "<..."
    assert clean("naïve 日本", 20) == "naïve 日本"
    assert len(expectation_line(report(expect=("srtp=interface:" + "x" * 10**5,)).expectations[0])) <= 2000


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (Share(0, 0), "-"), (Share(0, 9), "0"), (Share(9, 9), "100"), (Share(99_999, 100_000), "99.99"),
        (Share(10**9 - 1, 10**9), "99.99"), (Share(1, 10**9), "<0.01"), (Share(1, 8), "12.5"),
    ],
)  # fmt: skip
def test_percent_never_rounds_up(share: Share, said: str) -> None:
    assert percent(share) == said
