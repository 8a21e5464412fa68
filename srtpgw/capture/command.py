"""``srtpgw verify`` and ``srtpgw decrypt``: their options, what they print, and their exit status."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from srtpgw.errors import CaptureError, OutputError

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console

    from srtpgw.capture.gather import Progress
    from srtpgw.capture.report import Report
    from srtpgw.capture.source import CaptureSource
    from srtpgw.capture.verify import Decrypted

EXIT_FAILED, EXIT_USAGE = 1, 2
EXIT_INTERRUPTED = 130  # as shells have it: 128 and the number of the signal
KEY_FILE_MAX: Final = 64 << 20  # octets
FIXED_WIDTH: Final = 110  # characters, where stdout is no terminal

VERIFY_EPILOG = """
\b
Examples:
  srtpgw verify call.pcapng --expect srtp
  srtpgw verify call.pcap --tls-keylog sslkeys.log --html report.html
  srtpgw verify trunk.pcapng --keys keys.txt --expect srtp=192.0.2.1:5004 --expect rtp=ssrc:0x1234abcd
  ssh gateway tcpdump -U -i any -w - udp | srtpgw verify -      (Ctrl-C ends the capture, and the report follows)

Keys are never taken from the command line, where others could read them: a key file holds a=crypto lines, or a suite
and a key as hex or base64, or the key alone, or JSON.

\b
Exit status: 0 passed, or nothing was expected; 1 failed; 2 a wrong command line, or a file that cannot be read;
3 inconclusive; 130 interrupted.
"""

DECRYPT_EPILOG = """
\b
Examples:
  srtpgw decrypt call.pcapng --tls-keylog sslkeys.log -o plain.pcapng
  srtpgw decrypt call.pcap --keys keys.txt -o plain.pcapng --wav sound/

The file plays in Wireshark with no setting: Telephony > RTP > RTP Streams. Packets that could not be decrypted are in
it too, on an interface `undecrypted`, each with the reason in its comment. All that is written holds the conversation
in clear, and only its owner can read it.

\b
Exit status: 0 everything is in the clear now; 1 some packets could not be decrypted, or nothing could be written; 2 a
wrong command line, or a file that cannot be read.
"""

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _inputs_options(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands take."""
    options: list[Decorator] = [
        click.argument("capture", type=click.Path(allow_dash=True)),
        click.option(
            "-k", "--keys", "key_files", metavar="FILE", multiple=True, type=click.Path(path_type=Path, dir_okay=False),
            help="Keys of streams whose signaling is not in the capture; may be repeated.",
        ),
        click.option(
            "--tls-keylog", "keylogs", metavar="FILE", multiple=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="Secrets of TLS and DTLS sessions (SSLKEYLOGFILE), to read signaling and handshakes; may be repeated."
            " Those within a pcapng file are used by themselves.",
        ),
        click.option(
            "--roc-trials", metavar="MILLIONS", type=click.IntRange(0, 1_000_000), default=400, show_default=True,
            help="How long to search for the rollover counters of streams that were captured from the middle on.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog=VERIFY_EPILOG)
@_inputs_options
@click.option(
    "-e", "--expect", "expected", metavar="srtp|rtp[=SELECTOR]", multiple=True,
    help="What streams are to be. SELECTOR: all (the default), ADDR, ADDR:PORT, ssrc:0x..., interface:NAME, or a leg"
    " type: extension, route, intermgw. May be repeated.",
)  # fmt: skip
@click.option("--forged", metavar="PERCENT", type=click.FloatRange(0, 50), default=0.0, show_default=True,
              help="Packets of a stream that may be forged or damaged without changing its verdict.")  # fmt: skip
@click.option("--all", "all_streams", is_flag=True, help="Show every stream, however many there are.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--html",
    "page_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a page: verdict, timelines, evidence. It needs nothing else, and holds no key.",
)
def verify(
    capture: str,
    key_files: tuple[Path, ...],
    keylogs: tuple[Path, ...],
    roc_trials: int,
    quiet: bool,
    expected: tuple[str, ...],
    forged: float,
    all_streams: bool,
    as_json: bool,
    page_file: Path | None,
) -> None:
    """Tell from a capture whether calls are encrypted.

    CAPTURE is a pcap or pcapng file of any program's, also compressed by gzip; - is standard input, and may be live.
    """
    from srtpgw.capture.expect import parse_expected
    from srtpgw.capture.verdict import Rules
    from srtpgw.capture.verify import verify as verified

    try:
        wanted = [parse_expected(text) for text in expected]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expect") from None
    inputs = _inputs(key_files, keylogs, roc_trials)
    with _reading(capture, quiet) as (source, progress):
        report = verified(source, **inputs, expect=wanted, rules=Rules(forged / 100), progress=progress)
    _print_report(report, as_json, all_streams)
    if page_file is not None:
        _write_page(report, page_file)
    sys.exit(report.exit_status)


@click.command(epilog=DECRYPT_EPILOG)
@_inputs_options
@click.option("-o", "--output", metavar="FILE", required=True, help="pcapng file to write; - is standard output.")
@click.option("--rtpmap", "mappings", metavar="TYPE=CODEC/HZ", multiple=True,
              help="What a payload type carries where nothing tells: 96=opus/48000/2. May be repeated.")  # fmt: skip
@click.option("--wav", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Also write what is heard: a WAV file for each stream of G.711, G.722 or Opus.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object on stderr.")
def decrypt(
    capture: str,
    key_files: tuple[Path, ...],
    keylogs: tuple[Path, ...],
    roc_trials: int,
    quiet: bool,
    output: str,
    mappings: tuple[str, ...],
    wav: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a capture's plain twin, for Wireshark to play.

    CAPTURE is a pcap or pcapng file of any program's, also compressed by gzip; - is standard input.
    """
    from srtpgw.capture.twin import parse_mapping
    from srtpgw.capture.verify import decrypt as decrypted

    try:
        rtpmaps = dict(map(parse_mapping, mappings))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rtpmap") from None
    inputs = _inputs(key_files, keylogs, roc_trials)
    with _reading(capture, quiet) as (source, progress):
        try:
            done = decrypted(source, output, **inputs, rtpmaps=rtpmaps, wav=wav, force=force, progress=progress)
        except OutputError as error:
            _fail(str(error))
    _print_decrypted(done, output, as_json)
    sys.exit(EXIT_FAILED if done.undecrypted else 0)


# --- what goes in


def _inputs(key_files: Sequence[Path], keylogs: Sequence[Path], roc_millions: int) -> dict[str, Any]:
    """What the options give besides the capture, as both functions take it."""
    from srtpgw.capture.calls import KnownKey
    from srtpgw.capture.keyfile import read_keys

    keys: list[KnownKey] = []
    logs = [_octets(path) for path in keylogs]
    for path in key_files:
        read = read_keys(_octets(path), path.name)
        for fault in read.faults:
            click.echo(f"srtpgw: {path}: {fault.where}: {fault.text}", err=True)
        if read.faults:
            count = len(read.faults) + read.further_faults
            _refuse(f"{path}: {count:,} {'line' if count == 1 else 'lines'} to mend or to take out; nothing was read")
        if not read.keys and not read.tls_lines:
            _refuse(f"{path}: no keys in it")
        keys += read.keys
        logs.append("\n".join(read.tls_lines).encode())
    return {"keys": keys, "keylogs": logs, "roc_trials": roc_millions * 1_000_000}


def _octets(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            octets = file.read(KEY_FILE_MAX + 1)
    except OSError as error:
        _refuse(f"{path}: {error.strerror}")
    if len(octets) > KEY_FILE_MAX:
        _refuse(f"{path}: longer than {KEY_FILE_MAX >> 20} MiB: is it a file of keys?")
    return octets


@contextmanager
def _reading(capture: str, quiet: bool) -> Iterator[tuple[CaptureSource, Progress]]:
    """The capture, and who is told of progress. Of a pipe, Ctrl-C ends the capture; a second one ends the program."""
    from srtpgw.capture.source import open_capture

    with _progress(quiet) as progress:
        try:
            with open_capture(capture, lambda done, total: progress("reading", done, total)) as source:
                if source.octets is None:
                    _stop_at_interrupt(source)
                yield source, progress
        except CaptureError as error:
            _refuse(str(error))
        except KeyboardInterrupt:
            click.echo("srtpgw: interrupted", err=True)
            sys.exit(EXIT_INTERRUPTED)


def _stop_at_interrupt(source: CaptureSource) -> None:
    before = signal.getsignal(signal.SIGINT)

    def stop(_number: int, _frame: FrameType | None) -> None:
        source.stop()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    from srtpgw.capture.gather import unwatched

    if quiet or not sys.stderr.isatty():
        yield unwatched
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(part: str, done: int, total: int | None) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(part, done="")
            told = f"{done / 2**20:,.0f} MiB" if part == "reading" else ""
            bars.update(tasks[part], completed=done, total=total, done=told)

        yield show


# --- what comes out


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=FIXED_WIDTH)


def _print_report(report: Report, as_json: bool, all_streams: bool) -> None:
    from srtpgw.capture.report import to_json
    from srtpgw.capture.text import show
    from srtpgw.capture.wording import headline

    if as_json:
        print(json.dumps(to_json(report, headline(report))))
    else:
        show(_console(), report, all_streams=all_streams)


def _write_page(report: Report, path: Path) -> None:
    from srtpgw.capture.page import page

    try:
        path.write_text(page(report), encoding="utf-8")
    except OSError as error:
        _refuse(f"{path}: {error.strerror}")


def _print_decrypted(done: Decrypted, output: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(done)), file=sys.stderr)
        return
    for line in _told(done, output):
        print(line, file=sys.stderr)


def _told(done: Decrypted, output: str) -> Iterator[str]:
    name = "standard output" if output == "-" else output
    yield f"{done.written:,} packets written to {name}; sensitive: it holds the conversation in clear"
    if done.undecrypted:
        yield f"{done.undecrypted:,} of them could not be decrypted: see interface `undecrypted`, and srtpgw verify"
    for number, types in done.unexplained.items():
        listed = ", ".join(map(str, types))
        yield f"stream {number}: nothing tells the codec of payload type {listed}, so it does not play; --rtpmap can"
    for audio in done.audio:
        cut = "; parts were left out, it was too long" if audio.cut else ""
        yield f"{audio.path}: {audio.codec}, {audio.seconds:.1f} s{cut}"
    for (number, codec), packets in (done.undecodable or {}).items():
        yield f"stream {number}: {packets:,} packets of {codec or 'an unknown codec'} are in no WAV file"


def _as_json(done: Decrypted) -> dict[str, Any]:
    return {
        "format": "srtpgw-decrypt-1",
        "verdict": done.report.verdict.value,
        "packets": done.written,
        "undecrypted": done.undecrypted,
        "unexplained_payload_types": {str(number): list(types) for number, types in done.unexplained.items()},
        "audio": [
            {"stream": each.stream, "file": str(each.path), "codec": each.codec, "seconds": each.seconds}
            for each in done.audio
        ],
    }


def _refuse(text: str) -> NoReturn:
    with suppress(OSError):
        click.echo(f"srtpgw: {text}", err=True)
    sys.exit(EXIT_USAGE)


def _fail(text: str) -> NoReturn:
    click.echo(f"srtpgw: {text}", err=True)
    sys.exit(EXIT_FAILED)
