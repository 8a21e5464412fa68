"""The command line of `srtpgw bench`.

Exit status: 0 done; 1 interrupted, a run failed, or (`compare --fail`) something got worse; 2 a wrong command line or
file, or a machine that cannot run it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from srtpgw.loadtest.bench import compare as comparison
from srtpgw.loadtest.bench import result as results
from srtpgw.loadtest.bench.errors import BenchError
from srtpgw.loadtest.bench.matrix import MATRICES, Matrix

EXIT_FAILED = 1
EXIT_USAGE = 2
REPEATS_MAX = 1000
SECONDS_MAX = 3600.0

EPILOG = """
\b
Examples:
  srtpgw bench list
  sudo srtpgw bench quick --html quick.html
  sudo srtpgw bench run standard --peers srtpgw-socket,rtpengine --output today.json
  srtpgw bench compare before.json today.json --fail

docs/benchmarking.md tells the method and how to read the figures.
"""

FILE = click.Path(path_type=Path, dir_okay=False)


class _Group(click.Group):
    """`srtpgw bench MATRIX` is `srtpgw bench run MATRIX`; faults of a benchmark are told in one line."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in MATRICES:
            args.insert(0, "run")
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BenchError as error:
            _end(str(error), EXIT_USAGE)


def _end(text: str, status: int) -> NoReturn:
    print(f"srtpgw: {text}", file=sys.stderr, flush=True)
    sys.exit(status)


@click.group(cls=_Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure gateways side by side in network namespaces (needs root)."""


@bench.command("list")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def list_(*, as_json: bool) -> None:
    """Show the matrices, their cases, and the peers of this machine."""
    from srtpgw.loadtest.bench.peers import PEERS

    peers = {name: peer.missing(None) for name, peer in PEERS.items()}
    if as_json:
        cases = {name: [case.id for case in matrix.cases] for name, matrix in MATRICES.items()}
        click.echo(json.dumps({"matrices": cases, "peers": peers}))
        return
    for name, matrix in MATRICES.items():
        here = [peer for peer in matrix.peers if peers[peer] is None]
        click.echo(f"{name}: {matrix.about}")
        click.echo(f"  {len(matrix.cases)} cases, {matrix.repeats} repeats, about {_minutes(matrix, len(here))}")
        for case in matrix.cases:
            click.echo(f"    {case.id}")
    click.echo("peers:")
    for name, reason in peers.items():
        click.echo(f"  {name}: {reason or 'here'}")


@bench.command()
@click.argument("matrix", type=click.Choice(list(MATRICES)))
@click.option("--peers", help="Names with commas between; else those of the matrix.")
@click.option("--cases", metavar="REGEX", help="Only cases whose name matches.")
@click.option("--repeats", type=click.IntRange(1, REPEATS_MAX), help="Of each run; else as the matrix says.")
@click.option("--duration", type=click.FloatRange(0.2, SECONDS_MAX), help="Measured seconds of each run.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of keys and streams.")
@click.option("--gateway-cpu", type=click.IntRange(0), help="Core of the gateway; else the last one.")
@click.option("--load-cpus", metavar="N[,M]", help="Cores of generator and sink; else those before it.")
@click.option("--output", type=FILE, help="Result file; else srtpgw-bench-MATRIX-TIME.json here.")
@click.option("--html", type=FILE, help="Write the report there too.")
@click.option("--json", "as_json", is_flag=True, help="The result on stdout instead of the tables.")
@click.option("--logs", type=click.Path(path_type=Path, file_okay=False), help="Keep the peers' logs of the last run.")
@click.option("--dry-run", is_flag=True, help="Only show what would be run, and how long it takes.")
def run(matrix: str, *, as_json: bool, dry_run: bool, html: Path | None, **options: Any) -> None:
    """Run MATRIX: every case by every peer, interleaved."""
    chosen, peers = _chosen(MATRICES[matrix], options)
    if dry_run:
        _show_plan(chosen, peers)
        return
    file = options["output"] or Path(f"srtpgw-bench-{matrix}-{datetime.now():%Y%m%d-%H%M%S}.json")  # noqa: DTZ005
    for each in (file, html):
        if each is not None:
            results.check_writable(each)  # before the hours, not after
    found = _run(chosen, peers, options, file)
    if html is not None:
        _write_html(found, html)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)
    click.echo(f"srtpgw: result in {file}" + (f", report in {html}" if html else ""), err=True)
    sys.exit(0 if found["complete"] and not _failures(found) else EXIT_FAILED)


@bench.command()
@click.argument("file", type=FILE)
@click.option("--html", type=FILE, help="Write the report there, instead of the tables.")
def report(file: Path, *, html: Path | None) -> None:
    """Show the result in FILE again."""
    found = results.read(file)
    if html is not None:
        _write_html(found, html)
    else:
        _show(found)


@bench.command()
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@click.option("--anyway", is_flag=True, help="Compare although the machines differ.")
@click.option("--fail", is_flag=True, help="Exit status 1 when something got worse.")
@click.option("--json", "as_json", is_flag=True, help="Every figure as a JSON list.")
def compare(before: Path, after: Path, *, anyway: bool, fail: bool, as_json: bool) -> None:
    """Say what changed from BEFORE to AFTER by more than the measured noise."""
    from rich.console import Console

    changes = comparison.compare(results.read(before), results.read(after), anyway=anyway)
    if as_json:
        click.echo(json.dumps(comparison.as_json(changes)))
    else:
        Console().print(comparison.report(changes))
    if fail and any(change.verdict == comparison.WORSE for change in changes):
        sys.exit(EXIT_FAILED)


def _chosen(matrix: Matrix, options: dict[str, Any]) -> tuple[Matrix, list[Any]]:
    """The matrix with what the command line changes, and the peers by name."""
    from srtpgw.loadtest.bench.peers import PEERS

    names = options["peers"].split(",") if options["peers"] else matrix.peers
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)} is not one of {', '.join(PEERS)}", param_hint="--peers")
    if options["cases"]:
        matrix = replace(matrix, cases=_matching(matrix, options["cases"]))
    changed = {name: options[name] for name in ("repeats", "duration") if options[name] is not None}
    found = [PEERS[name] for name in dict.fromkeys(names) if name not in {"cable", "drop"}]
    return replace(matrix, peers=tuple(peer.name for peer in found), **changed), found


def _matching(matrix: Matrix, pattern: str) -> tuple[Any, ...]:
    try:
        cases = tuple(case for case in matrix.cases if re.search(pattern, case.id))
    except re.error as error:
        raise click.BadParameter(f"is not a regular expression: {error}", param_hint="--cases") from None
    if not cases:
        raise click.BadParameter(f"matches none of {', '.join(case.id for case in matrix.cases)}", param_hint="--cases")
    return cases


def _run(matrix: Matrix, peers: Sequence[Any], options: dict[str, Any], file: Path) -> dict[str, Any]:
    """With a line per run on stderr, or a bar over them on a terminal."""
    from srtpgw.loadtest.bench.namespaces import check_possible
    from srtpgw.loadtest.bench.progress import telling
    from srtpgw.loadtest.bench.run import Bench, Cores

    check_possible()
    cores = Cores.choose(options["gateway_cpu"], _numbers(options["load_cpus"]))
    _show_plan(matrix, peers)
    here = [peer.name for peer in peers if peer.missing(None) is None]
    with telling(matrix.runs(len(here))) as tell:
        work = Bench(matrix, peers, cores, options["seed"], tell, lambda found: results.write(found, file),
                     keep=options["logs"])  # fmt: skip
        return work.run()


def _numbers(text: str | None) -> list[int]:
    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"{text} is not a list of cores", param_hint="--load-cpus") from None


def _minutes(matrix: Matrix, peers: int) -> str:
    seconds = matrix.seconds(peers)
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _show_plan(matrix: Matrix, peers: Sequence[Any]) -> None:
    here = [peer.name for peer in peers if peer.missing(None) is None]
    click.echo(f"{len(matrix.cases)} cases, {matrix.repeats} repeats, about {_minutes(matrix, len(here))}", err=True)
    for peer in peers:
        reason = peer.missing(None)
        click.echo(f"  {peer.title}: {f'not here: {reason}' if reason else peer.version()}", err=True)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    from srtpgw.loadtest.bench.table import report as tables

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(tables(found))


def _write_html(found: dict[str, Any], file: Path) -> None:
    from srtpgw.loadtest.bench.html import page

    try:
        file.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{file} cannot be written: {error.strerror}") from None


def _failures(found: dict[str, Any]) -> bool:
    runs = (run for case in found["cases"] for each in case["runs"].values() for run in each)
    maxima = (each for case in found["cases"] for each in case["maximum"].values())
    return any(run["failure"] for run in (*runs, *maxima))
