"""``verify`` tells whether the streams of a capture are encrypted; ``decrypt`` writes its plain twin.

gather()  ->  Examiner: every packet under the keys that opened samples  ->  facts  ->  judge()  ->  Report
              once more, where keystream may have been used twice within a stream
              and again, writing blocks, to decrypt
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from srtpgw import _native
from srtpgw.capture.audio import AudioFile, AudioFiles
from srtpgw.capture.calls import KnownKey
from srtpgw.capture.described import formats, kind
from srtpgw.capture.expect import Expected, parse_expected
from srtpgw.capture.facts import capture_facts, numbered
from srtpgw.capture.gather import ROC_TRIALS, Found, Gathered, Inputs, Progress, gather, unwatched
from srtpgw.capture.judge import judge
from srtpgw.capture.plaintext import judge as judge_payload
from srtpgw.capture.report import Report, Verdict
from srtpgw.capture.source import CaptureSource, open_capture
from srtpgw.capture.twin import TwinPlan, TwinStream, block_writer, unexplained, write_twin
from srtpgw.capture.verdict import STRICT, Rules
from srtpgw.capture.writer import OutputFile
from srtpgw.sdp.payload import PayloadFormat

__all__ = ["Decrypted", "decrypt", "verify"]

NO_RTPMAPS: Final[Mapping[int, PayloadFormat]] = MappingProxyType({})
Capture = str | os.PathLike[str] | CaptureSource


@dataclass(frozen=True, slots=True)
class Decrypted:
    """What was written. ``report`` is of the capture as it was; the other numbers are packets."""

    report: Report
    written: int
    undecrypted: int
    unexplained: dict[int, tuple[int, ...]]  # payload types that nothing explains, by number of the stream
    audio: tuple[AudioFile, ...] = ()
    undecodable: dict[tuple[int, str], int] | None = None  # by number of the stream and codec


@dataclass(frozen=True, slots=True)
class _Examined:
    gathered: Gathered
    results: list[dict[str, Any]]
    report: Report


def verify(
    path: Capture,
    *,
    keys: Iterable[KnownKey] = (),
    keylogs: Iterable[bytes] = (),
    roc_trials: int = ROC_TRIALS,
    expect: Iterable[str | Expected] = (),
    rules: Rules = STRICT,
    progress: Progress = unwatched,
) -> Report:
    """Report on every stream of a capture file: pcap or pcapng, anybody's; ``-`` is standard input.

    ``keys`` are further ones than the capture's own signaling gives (``keyfile.read_keys`` makes them of text),
    ``keylogs`` texts of TLS key logs. ``roc_trials`` bounds the search for rollover counters. ``expect`` holds
    expectations as on the command line (``"srtp"``, ``"rtp=192.0.2.1:5004"``), see expect.py. ``rules`` is how strictly
    is judged, see verdict.py.

    Raises CaptureError where the file cannot be read at all, ValueError for an expectation that is none. Damage further
    on is told in the report.
    """
    expected = [each if isinstance(each, Expected) else parse_expected(each) for each in expect]
    inputs = Inputs(tuple(keys), tuple(keylogs), roc_trials)
    with _opened(path, progress) as source:
        return _examine(source, inputs, expected, rules, progress).report


def decrypt(
    path: Capture,
    output: str | Path,
    *,
    keys: Iterable[KnownKey] = (),
    keylogs: Iterable[bytes] = (),
    roc_trials: int = ROC_TRIALS,
    rtpmaps: Mapping[int, PayloadFormat] = NO_RTPMAPS,
    wav: Path | None = None,
    force: bool = False,
    progress: Progress = unwatched,
) -> Decrypted:
    """Write the plain twin of a capture to a new pcapng file, and what is heard in it to WAV files in the folder `wav`.

    ``path``, ``keys``, ``keylogs`` and ``roc_trials`` are as in ``verify``; ``output`` may be ``-``, standard output.
    ``rtpmaps`` tell what payload types carry that neither signaling nor RFC 3551 explains.

    Raises CaptureError where the capture cannot be read, OutputError where something cannot be written: then nothing is
    left behind. All files are for their owner alone.
    """
    inputs = Inputs(tuple(keys), tuple(keylogs), roc_trials)
    with _opened(path, progress) as source, ExitStack() as open_files:
        out = open_files.enter_context(OutputFile(output, force=force))
        examined = _examine(source, inputs, (), STRICT, progress)
        plan = _plan(examined, rtpmaps)
        audio = open_files.enter_context(AudioFiles(wav, plan, force=force)) if wav is not None else None
        writer = block_writer(plan)
        pieces = _decrypted(source, examined, plan, writer)
        write_twin(pieces, plan, out.put, None if audio is None else audio.feed)
    undecrypted = sum(_undecrypted(examined))
    return Decrypted(
        report=examined.report,
        written=writer.packets,
        undecrypted=undecrypted,
        unexplained=unexplained(plan),
        audio=() if audio is None else tuple(audio.files),
        undecodable=None if audio is None else audio.undecodable,
    )


def _opened(path: Capture, progress: Progress) -> CaptureSource:
    if isinstance(path, CaptureSource):
        return path
    return open_capture(path, lambda done, total: progress("reading", done, total))


def _examine(
    source: CaptureSource, inputs: Inputs, expected: Sequence[Expected], rules: Rules, progress: Progress
) -> _Examined:
    gathered = gather(source, inputs, progress)
    rows = [_row(found) for found in gathered.streams]
    examiner = _read_with(source, gathered, rows)
    results = examiner.results()
    rewound = [number for number, row in enumerate(results) if _may_reuse(row)]
    if rewound:
        examiner = _read_with(source, gathered, rows, reuse=rewound)
        results = examiner.results()
    facts = capture_facts(gathered, source.name, source.octets or 0, results, examiner.reuse())
    return _Examined(gathered, results, judge(facts, expected, rules))


def _may_reuse(row: dict[str, Any]) -> bool:
    """Whether only a further reading tells if a stream used keystream twice: one number under two keys is no fault."""
    return row["rewound"] or (row["conflicts"] and len(row["key_uses"]) > 1)


def _read_with(
    source: CaptureSource, gathered: Gathered, rows: list[dict[str, Any]], *, reuse: Sequence[int] = ()
) -> _native.Examiner:
    examiner = _native.Examiner(gathered.keyring.trial, rows, reuse=reuse)
    reader = _native.CaptureReader()
    for _ in source.read_through(reader):
        examiner.run(reader)
    return examiner


def _row(found: Found) -> dict[str, Any]:
    """What the examiner is to know of a stream."""
    return {
        "key": found.key,
        "packets": found.packets,
        "keys": [*found.matches, *((entry,) for entry in found.spare)],
        "clock_rates": found.clock_rates(),
    }


def _plan(examined: _Examined, rtpmaps: Mapping[int, PayloadFormat]) -> TwinPlan:
    streams = examined.gathered.streams
    numbers = numbered(examined.results)
    plain = list(_plain(examined))
    return TwinPlan(
        interfaces=tuple(each["name"] for each in examined.gathered.described["interfaces"]),
        streams=tuple(
            _twin_stream(number, streams[place], examined.results[place], plain[place], rtpmaps)
            for place, number in numbers.items()
        ),
    )


def _twin_stream(
    number: int, found: Found, row: dict[str, Any], plain: bool, rtpmaps: Mapping[int, PayloadFormat]
) -> TwinStream:
    return TwinStream(
        number=number,
        key=found.key,
        first_frame=row["first_frame"],
        first_ns=row["first_ns"],
        payload_types=() if found.rtcp else tuple(row["payload_types"]),
        formats={**rtpmaps, **formats(found.descriptions)},
        kind=kind(found.descriptions),
        readable=plain or row["authenticated"] > 0,
    )


def _plain(examined: _Examined) -> Iterator[bool]:
    """Of each stream: whether it is in clear from end to end, so that its packets are written as they are. Where only a
    part is, nothing tells for each packet."""
    plain = {stream.number for stream in examined.report.streams if stream.verdict is Verdict.PLAINTEXT}
    numbers = numbered(examined.results)
    for place, row in enumerate(examined.results):
        yield numbers.get(place) in plain and not row["key_uses"] and not any(map(_looks_encrypted, row["stretches"]))


def _looks_encrypted(stretch: dict[str, Any]) -> bool:
    return judge_payload(stretch["features"]).looks_encrypted is True


def _undecrypted(examined: _Examined) -> Iterator[int]:
    """Packets of each stream that cannot be decrypted."""
    for plain, row in zip(_plain(examined), examined.results, strict=True):
        yield 0 if plain else row["packets"] - row["authenticated"]


def _decrypted(
    source: CaptureSource, examined: _Examined, plan: TwinPlan, writer: _native.BlockWriter
) -> Iterator[bytes]:
    rows = [
        {**_row(found), "plain": plain, "interface_undecrypted": plan.undecrypted}
        for found, plain in zip(examined.gathered.streams, _plain(examined), strict=True)
    ]
    examiner = _native.Examiner(examined.gathered.keyring.trial, rows, writer)
    reader = _native.CaptureReader()
    for _ in source.read_through(reader):
        if blocks := examiner.run(reader):
            yield blocks
    if blocks := writer.take():
        yield blocks
