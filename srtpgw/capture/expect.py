"""What a capture is expected to be: ``srtp`` or ``rtp``, for all streams or some, and whether it is.

Written as on the command line: ``srtp``, ``srtp=ssrc:0x1234abcd``, ``rtp=192.0.2.1:5004``, ``srtp=extension``.

``srtp`` passes where a stream is AUTHENTICATED or CONSISTENT WITH ENCRYPTION and no finding of it contradicts that (a
signaled key that does not open it, keystream used twice); ``rtp`` where all of it is plain and nothing of it
authenticates, so a NULL cipher is neither. A stream that could not be judged makes the answer inconclusive, and so does
a selector that no stream matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, cast, get_args

from srtpgw.capture.findings import counted, some, title
from srtpgw.capture.report import Address, Expectation, Outcome, StreamReport, Verdict, ssrc_text
from srtpgw.terms import LEG_TYPES

What = Literal["srtp", "rtp"]
Matches = Callable[[StreamReport], bool]

ALL: Final = "all"
CHOICES_MAX = 8  # selectors offered where nothing matched
WORST_FIRST: Final[tuple[Outcome, ...]] = ("fail", "inconclusive", "pass")


@dataclass(frozen=True, slots=True)
class Expected:
    """One ``--expect``."""

    expect: What
    selector: str
    matches: Matches


def parse_expected(text: str) -> Expected:
    """An expectation from the command line. ValueError says what is wrong with it."""
    expect, equals, selector = text.partition("=")
    if expect not in get_args(What):
        raise ValueError(f"expected is {' or '.join(get_args(What))}, not {expect!r}")
    if equals and not selector:
        raise ValueError("behind = comes a selector: all, ADDR, ADDR:PORT, ssrc:0x..., interface:NAME or a leg type")
    return Expected(cast("What", expect), selector or ALL, _selector(selector or ALL))


def _selector(text: str) -> Matches:
    """What a selector matches. ValueError where it is of no known form."""
    if text == ALL:
        return lambda stream: True
    if text in LEG_TYPES:
        return lambda stream: text in leg_types(stream)
    kind, _, rest = text.partition(":")
    if kind == "ssrc":
        ssrc = _ssrc(rest)
        return lambda stream: stream.ssrc == ssrc
    if kind == "interface" and rest:
        return lambda stream: stream.interface == rest
    host, port = _address(text)
    return lambda stream: any(_is_at(each, host, port) for each in (stream.source, stream.destination))


def _ssrc(text: str) -> int:
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}", text):
        raise ValueError(f"an SSRC is ssrc:0x and up to 8 hexadecimal digits, not {text!r}")
    return int(text, 16)


def _address(text: str) -> tuple[IPv4Address | IPv6Address, int | None]:
    """``192.0.2.1``, ``192.0.2.1:5004``, ``2001:db8::1`` or ``[2001:db8::1]:5004``."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?", text)
    pair = re.fullmatch(r"([^:]+):([0-9]{1,5})", text)
    found = bracketed or pair
    host, port = (found[1], found[2]) if found else (text, None)
    try:
        address = ip_address(host)
    except ValueError:
        forms = f"all, ADDR, ADDR:PORT, ssrc:0x..., interface:NAME, {', '.join(LEG_TYPES)}"
        raise ValueError(f"{text!r} selects no streams: a selector is one of {forms}") from None
    if port is not None and not 0 < int(port) < 1 << 16:
        raise ValueError(f"{port} is no port")
    return address, None if port is None else int(port)


def _is_at(address: Address, host: IPv4Address | IPv6Address, port: int | None) -> bool:
    return port in (None, address.port) and ip_address(address.host) == host


def leg_types(stream: StreamReport) -> set[str]:
    """Types of the leg a stream was captured on: as the interface is called or described in our captures, or as its
    signaling says."""
    named = {(stream.interface or "").partition(" ")[0]}
    described = {word.removeprefix("leg=") for word in stream.interface_description.split() if word.startswith("leg=")}
    declared = {each.leg_type for each in stream.declared if each.leg_type}
    return (named | described | declared) & set(LEG_TYPES)


def check(expected: Expected, streams: Sequence[StreamReport]) -> Expectation:
    """Hold the streams that are meant against an expectation."""
    chosen = [stream for stream in streams if expected.matches(stream)]
    judged = [(stream, *judge_one(expected.expect, stream)) for stream in chosen]
    outcome = worst_outcome(each for _, each, _ in judged) or "inconclusive"
    deciding = [(stream, reason) for stream, each, reason in judged if each == outcome]
    text = _told(outcome, deciding, len(chosen)) if chosen else _nothing(expected, streams)
    numbers = tuple(stream.number for stream in chosen)
    return Expectation(expected.expect, expected.selector, numbers, outcome, text)


def judge_one(expect: What, stream: StreamReport) -> tuple[Outcome, str]:
    """Whether one stream is as expected, and why."""
    verdict = stream.verdict
    if expect == "rtp":
        return _judge_rtp(stream)
    if verdict is Verdict.PLAINTEXT:
        return "fail", "not encrypted"
    against = next((each for each in stream.findings if each.severity == "fail"), None)
    if against is not None:
        return "fail", title(against)
    if verdict is Verdict.INCONCLUSIVE:
        return "inconclusive", "could not be judged"
    unfinished = next((each for each in stream.findings if each.code == "rollover-unfinished"), None)
    if unfinished is not None:
        return "inconclusive", title(unfinished)
    if verdict is Verdict.CONSISTENT:
        return "pass", "looks encrypted; authenticity was not checked"
    return "pass", "encrypted and authentic"


def _judge_rtp(stream: StreamReport) -> tuple[Outcome, str]:
    if stream.verdict is Verdict.INCONCLUSIVE:
        return "inconclusive", "could not be judged"
    if stream.authenticated.count:
        return "fail", "SRTP, for packets authenticate"
    if stream.verdict is not Verdict.PLAINTEXT:
        return "fail", "looks encrypted"
    if not stream.plain_throughout:
        return "fail", "plain in part only"
    return "pass", "plain"


def worst_outcome(outcomes: Iterable[Outcome]) -> Outcome | None:
    """fail before inconclusive before pass; None of none."""
    found = set(outcomes)
    return next((each for each in WORST_FIRST if each in found), None)


def outcome_of(expectations: Iterable[Expectation]) -> Outcome | None:
    """Of a whole report: None where nothing was expected."""
    return worst_outcome(each.outcome for each in expectations)


def _told(outcome: Outcome, deciding: Sequence[tuple[StreamReport, str]], chosen: int) -> str:
    """Which streams decided, by reason: ``2 of 4 streams: not encrypted (1, 3)``."""
    by_reason: dict[str, list[str]] = {}
    for stream, reason in deciding:
        by_reason.setdefault(reason, []).append(str(stream.number))
    told = "; ".join(f"{reason} ({some(numbers)})" for reason, numbers in by_reason.items())
    share = counted(chosen, "stream") if outcome == "pass" else f"{len(deciding):,} of {counted(chosen, 'stream')}"
    return f"{share}: {told}"


def _nothing(expected: Expected, streams: Sequence[StreamReport]) -> str:
    if not streams:
        return "no stream was found in the capture"
    choices = dict.fromkeys(
        choice
        for stream in streams[:CHOICES_MAX]
        for choice in (f"ssrc:{ssrc_text(stream.ssrc)}", str(stream.source), str(stream.destination))
    )
    named = dict.fromkeys(f"interface:{stream.interface}" for stream in streams if stream.interface)
    offered = some([*list(named)[:CHOICES_MAX], *choices], 3 * CHOICES_MAX)
    return f"no stream matches {expected.selector}; there are {offered}"
