"""``srtpgw load``: its options, and what they become. Heavy imports wait until a command runs."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from srtpgw.loadtest.result import RunResult
    from srtpgw.loadtest.run import Watch
    from srtpgw.loadtest.scenario import Scenario
    from srtpgw.loadtest.search import Trial
    from srtpgw.loadtest.targets import TargetSettings

EXIT_PASSED, EXIT_FAILED = 0, 1
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
FIXED_WIDTH = 110  # characters, where stdout is no terminal

EPILOG = """
Exit status: 0 passed; 1 it failed while running (loss over the limit, a void run, a gateway that died), JSON is written
all the same; 2 the command line is at fault.
"""

Options = dict[str, Any]
Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _options(*options: Decorator) -> Decorator:
    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


TARGET_OPTIONS = _options(
    click.option(
        "--target",
        "kind",
        type=click.Choice(["relay", "gateway", "rtpengine", "static", "cable"]),
        default="relay",
        show_default=True,
        help="What is loaded: `srtpgw relay` or a MediaGateway, started here; a running rtpengine; a relay with known"
        " ports; or nothing, which measures the load test itself.",
    ),
    click.option("--gateway", metavar="ADDR", help="The gateway's address at the callers' side.  [default: loopback]"),
    click.option("--gateway-callee", metavar="ADDR", help="At the callees' side.  [default: as --gateway]"),
    click.option("--gateway-port", type=int, default=20000, show_default=True, help="Its first port, for callers."),
    click.option("--gateway-callee-port", type=int, help="Its first port for callees.  [default: --gateway-port + 2]"),
    click.option("--port-step", type=int, default=4, show_default=True, help="From one call's ports to the next's."),
    click.option("--workers", type=int, default=1, show_default=True, help="Packet loops of relay and gateway."),
    click.option("--gateway-cpus", metavar="N,...", help="The core of each of them."),
    click.option("--crypto", type=click.Choice(["native", "libsrtp"]), default="native", show_default=True),
    click.option("--prefix", metavar="WORDS", default="", help='Before the command, such as "ip netns exec gateway".'),
    click.option("--ng", metavar="ADDR:PORT", default="127.0.0.1:2223", show_default=True, help="rtpengine's ng port."),
    click.option("--ng-direction", metavar="A,B", help="rtpengine's interfaces to callers and callees."),
    click.option(
        "--static-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Legs of --target static, a line per call: CALLER-LEG CALLEE-LEG.",
    ),
    click.option("--gateway-pid", type=int, help="Process of one that is not started here, for its CPU time."),
    click.option("--allow-public", is_flag=True, help="Load a public address: it must be yours."),
)

FAR_END_OPTIONS = _options(
    click.option("--family", type=click.Choice(["4", "6"]), default="4", help="Loopback addresses of IPv4 or IPv6."),
    click.option("--caller-address", metavar="ADDR", help="Where callers are.  [default: loopback]"),
    click.option("--callee-address", metavar="ADDR", help="Where callees are.  [default: loopback]"),
    click.option("--callee-netns", metavar="NAME", help="Network namespace of the callees."),
    click.option("--port", type=int, default=10000, show_default=True, help="First port of the far ends."),
    click.option(
        "--sockets",
        type=click.Choice(["shared", "per-call"]),
        default="shared",
        show_default=True,
        help="A few for each side, or RTP and RTCP for each call and side.",
    ),
    click.option("--cpu", metavar="N[,M]", help="Core of the load thread; with two, the sink has its own."),
)

LOAD_OPTIONS = _options(
    click.option("--one-way", is_flag=True, help="Only callers send."),
    click.option(
        "--codec",
        metavar="NAME|RATE:SIZE",
        default="g711",
        show_default=True,
        help="g711, g729, opus, video; or packets/s and payload octets.",
    ),
    click.option("--caller-suite", default="plain", show_default=True, help="plain, or an SRTP suite."),
    click.option("--callee-suite", default="AES_CM_128_HMAC_SHA1_80", show_default=True, help="The same."),
    click.option(
        "--spread",
        type=click.Choice(["even", "burst", "random"]),
        default="even",
        show_default=True,
        help="Streams over the packet interval: evenly, all back to back, or by the seed.",
    ),
    click.option("--rtcp", type=float, metavar="SECONDS", default=5.0, show_default=True, help="Reports; 0: none."),
    click.option("--lose", type=float, metavar="FRACTION", default=0.0, help="Packets not sent, on purpose."),
    click.option("--reorder", type=float, metavar="FRACTION", default=0.0, help="Packets sent behind the next one."),
    click.option("--duplicate", type=float, metavar="FRACTION", default=0.0, help="Packets sent twice."),
    click.option("--forge", type=float, metavar="FRACTION", default=0.0, help="Packets forged beside the good one."),
    click.option("--duration", type=float, metavar="SECONDS", default=10.0, show_default=True, help="What is counted."),
    click.option(
        "--warm-up", type=float, metavar="SECONDS", default=1.0, show_default=True, help="Before, not counted."
    ),
    click.option(
        "--drain", type=float, metavar="SECONDS", default=1.0, show_default=True, help="For stragglers, after."
    ),
    click.option("--sample", type=float, metavar="FRACTION", default=1.0, show_default=True, help="Packets verified."),
    click.option(
        "--seed",
        type=int,
        default=1,
        show_default=True,
        help="Keys, SSRCs, numbers and impairments follow from it: for testbeds only.",
    ),
    click.option("--run-number", type=int, default=0, help="Other SSRCs under the same keys, for a static relay."),
    click.option(
        "--lateness-limit", type=float, metavar="US", default=50.0, show_default=True, help="At p99: else void."
    ),
)

OUTPUT_OPTIONS = _options(
    click.option("--json", "json_file", metavar="FILE", help="The result as JSON; - for stdout in place of the table."),
    click.option("--events", is_flag=True, help="JSON lines on stderr when the run begins, measures, ends."),
)


@click.group()
def load() -> None:
    """Send calls through a gateway and measure what comes out.

    Open loop: every packet has its time, whatever happened to the ones before. docs/load.md tells how to use it.
    """


@load.command("run", epilog=EPILOG)
@click.option("--calls", type=int, default=10, show_default=True, help="Calls at once.")
@click.option("--loss-limit", type=float, metavar="RATIO", help="Fail above it.  [default: only told]")
@LOAD_OPTIONS
@TARGET_OPTIONS
@FAR_END_OPTIONS
@OUTPUT_OPTIONS
def run_command(*, loss_limit: float | None, json_file: str | None, events: bool, **options: Any) -> None:
    """One run at a fixed load."""
    from srtpgw.loadtest.report import run_report
    from srtpgw.loadtest.run import run

    with _faults(json_file, "run"):
        scenario, settings = _scenario(options), _target(options)
        with _watch(events, "running") as watch:
            result = run(scenario, settings, loss_limit=loss_limit, watch=watch)
    _output(json_file, result.to_json, lambda: run_report(result))
    sys.exit(EXIT_PASSED if result.verdict == "passed" else EXIT_FAILED)


@load.command("find", epilog=EPILOG)
@click.option("--low", type=int, default=1, show_default=True, help="Fewest calls.")
@click.option("--high", type=int, default=1000, show_default=True, help="Most calls.")
@click.option("--resolution", type=int, default=0, help="Calls.  [default: a hundredth of --high]")
@click.option("--loss-limit", "loss_limits", type=float, metavar="RATIO", multiple=True, default=(0.0,),
              help="Highest share of packets lost; may be given several times.  [default: 0]")  # fmt: skip
@click.option("--confirm", type=int, default=2, show_default=True, help="Times that the result has to pass again.")
@click.option("--checks", type=int, default=3, show_default=True, help="Lower loads that are looked at.")
@click.option("--void-retries", type=int, default=3, show_default=True, help="Of a trial with a late generator.")
@click.option("--trials-max", type=int, default=60, show_default=True, help="Trials in all.")
@LOAD_OPTIONS
@TARGET_OPTIONS
@FAR_END_OPTIONS
@OUTPUT_OPTIONS
def find_command(*, json_file: str | None, events: bool, **options: Any) -> None:
    """The highest load that passes, by trials as in RFC 2544."""
    from srtpgw.loadtest.report import search_report
    from srtpgw.loadtest.search import SearchSettings, search

    names = ("low", "high", "resolution", "loss_limits", "confirm", "checks", "void_retries", "trials_max")
    with _faults(json_file, "find"):
        wanted = SearchSettings(**{name: options.pop(name) for name in names})
        wanted.check()
        scenario, settings = _scenario({**options, "calls": wanted.high}), _target(options)
        scenario.check()
        settings.check(scenario)
        with _watch(events, "searching") as watch:
            trials = _trials(scenario, settings, watch)
            result = search(scenario, wanted, trials, lambda trial: watch.trial(_trial_text(trial)))
    _output(json_file, result.to_json, lambda: search_report(result))
    sys.exit(EXIT_PASSED if result.verdict == "found" else EXIT_FAILED)


@load.command("plan", epilog=EPILOG)
@click.option("--calls", type=int, default=10, show_default=True, help="Calls at once.")
@click.option("--relay-file", type=click.Path(path_type=Path), help="Write what `srtpgw relay` needs, with keys.")
@click.option("--keys-file", type=click.Path(path_type=Path), help="Write addresses and keys as CSV, for other relays.")
@LOAD_OPTIONS
@TARGET_OPTIONS
@FAR_END_OPTIONS
def plan_command(*, relay_file: Path | None, keys_file: Path | None, **options: Any) -> None:
    """Show what a run would use; send nothing."""
    from srtpgw.loadtest.plan import make_plan
    from srtpgw.loadtest.report import plan_report
    from srtpgw.loadtest.targets.base import planned_routes
    from srtpgw.loadtest.targets.files import keys_table, relay_text, write_private

    with _faults(None, "plan"):
        scenario, settings = _scenario(options), _target(options)
        plan = make_plan(scenario)
        settings.check(scenario)
        routes = [planned_routes(settings, call) for call in plan.calls] if settings.has_ports else []
        if not routes and (relay_file or keys_file):
            raise click.UsageError("only --target relay, gateway and static have ports that are known before")
        if relay_file is not None:
            write_private(relay_file, relay_text(plan, settings))
        if keys_file is not None:
            write_private(keys_file, keys_table(plan, settings))
    _console().print(plan_report(plan, routes))


def _scenario(options: Options) -> Scenario:
    """The scenario of a command line; its addresses default to loopback of the family."""
    from srtpgw.loadtest.scenario import Scenario, parse_codec

    loopback = LOOPBACK[int(options["family"])]
    same = ("calls", "spread", "rtcp", "lose", "reorder", "duplicate", "forge", "duration", "warm_up", "drain",
            "sample", "seed", "run_number", "callee_netns", "port", "sockets", "lateness_limit")  # fmt: skip
    return Scenario(
        **{name: options[name] for name in same},
        two_way=not options["one_way"],
        codec=parse_codec(options["codec"]),
        caller_suite=_suite(options["caller_suite"]),
        callee_suite=_suite(options["callee_suite"]),
        caller_address=_host(options["caller_address"] or loopback, "--caller-address"),
        callee_address=_host(options["callee_address"] or loopback, "--callee-address"),
        cpus=_cores(options["cpu"], "--cpu"),
    )


def _target(options: Options) -> TargetSettings:
    from srtpgw.address import Address
    from srtpgw.loadtest.faults import ScenarioError
    from srtpgw.loadtest.targets import TargetSettings

    gateway = options["gateway"] or LOOPBACK[int(options["family"])]
    try:
        ng = Address.parse(options["ng"])
    except ValueError as error:
        raise ScenarioError("--ng", str(error)) from None
    port: int = options["gateway_port"]
    callee_port: int | None = options["gateway_callee_port"]
    return TargetSettings(
        kind=options["kind"],
        address=_host(gateway, "--gateway"),
        callee_address=_host(options["gateway_callee"] or gateway, "--gateway-callee"),
        port=port,
        callee_port=port + 2 if callee_port is None else callee_port,
        step=options["port_step"],
        workers=options["workers"],
        cpus=_cores(options["gateway_cpus"], "--gateway-cpus"),
        crypto=options["crypto"],
        prefix=tuple(shlex.split(options["prefix"])),
        ng=ng,
        ng_direction=tuple(options["ng_direction"].split(",")) if options["ng_direction"] else (),
        static_file=options["static_file"],
        pid=options["gateway_pid"],
        allow_public=options["allow_public"],
    )


def _suite(text: str) -> str | None:
    return None if text == "plain" else text


def _host(text: str, option: str) -> str:
    from srtpgw.address import parse_host
    from srtpgw.loadtest.faults import ScenarioError

    try:
        return parse_host(text)
    except ValueError as error:
        raise ScenarioError(option, str(error)) from None


def _cores(text: str | None, option: str) -> tuple[int, ...]:
    from srtpgw.loadtest.faults import ScenarioError

    words = text.split(",") if text else []
    if not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
        raise ScenarioError(option, "is not a list of cores, such as 0,1")
    return tuple(map(int, words))


def _trials(scenario: Scenario, settings: TargetSettings, watch: Watch) -> Callable[[int, int], RunResult]:
    """Each trial with a gateway of its own where we start it, and with sources of its own in any case."""
    from dataclasses import replace

    from srtpgw.loadtest.faults import TargetError
    from srtpgw.loadtest.result import RunResult
    from srtpgw.loadtest.run import run

    def trial(calls: int, number: int) -> RunResult:
        load = replace(scenario, calls=calls, run_number=scenario.run_number + number)
        try:
            return run(load, settings, watch=watch)
        except TargetError as error:  # it does not take so many calls: that, too, is an answer
            return RunResult.refused(load, settings.kind, str(error))

    return trial


def _trial_text(trial: Trial) -> str:
    run = trial.run
    rate = run.scenario.packets_per_second
    lost = f"{run.counters['lost']} of {run.counters['sent']} lost"
    reason = f": {run.reasons[0]}" if run.reasons else ""
    return f"trial {trial.number}: {trial.calls} calls, {rate:.0f} packets/s, {lost}, {run.verdict}{reason}"


@contextmanager
def _faults(json_file: str | None, kind: str) -> Iterator[None]:
    """Turns what stands against a run into a message and an exit status."""
    from srtpgw.errors import SrtpgwError
    from srtpgw.loadtest.faults import ScenarioError, TargetError

    # Whatever ends a run by a signal ends the gateway that was started for it, and its file with keys, too.
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except ScenarioError as error:
        raise click.BadParameter(error.reason, param_hint=error.option) from None
    except SrtpgwError as error:
        verdict = "target-failed" if isinstance(error, TargetError) else "failed"
        if json_file is not None:
            _write_json(json_file, {"kind": kind, "passed": False, "verdict": verdict, "reasons": [str(error)]})
        _end(str(error))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    sys.exit(EXIT_FAILED)


def _end(text: str) -> NoReturn:
    with suppress(OSError, ValueError):
        print(f"srtpgw: {text}", file=sys.stderr, flush=True)
    sys.exit(EXIT_FAILED)


@contextmanager
def _watch(events: bool, title: str) -> Iterator[Watch]:
    """A progress bar where stderr is a terminal, lines for a script where they are asked for."""
    from srtpgw.loadtest.run import Progress, Watch

    if events:
        yield Watch(event=_print_event, trial=lambda text: _print_line({"event": "trial", "text": text}))
        return
    if not sys.stderr.isatty():
        yield Watch(trial=lambda text: click.echo(text, err=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    # Drawn when there is news: no thread of its own takes time from the load.
    with Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task(title, total=1.0, counts="")

        def show(progress: Progress) -> None:
            counts = f"{progress.counters['sent']} sent, {progress.counters['received']} received"
            bar.update(task, total=progress.total, completed=progress.done, counts=counts, refresh=True)

        yield Watch(progress=show, trial=lambda text: bar.console.print(text, highlight=False))


def _print_event(event: str, time_ns: int, pid: int | None) -> None:
    _print_line({"event": event, "time_ns": time_ns, "target_pid": pid})


def _print_line(document: dict[str, Any]) -> None:
    print(json.dumps({**document, "time": time.time()}), file=sys.stderr, flush=True)


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FIXED_WIDTH
    return console


def _output(json_file: str | None, document: Callable[[], dict[str, Any]], table: Callable[[], RenderableType]) -> None:
    if json_file is not None:
        _write_json(json_file, document())
    if json_file != "-":
        _console().print(table())


def _write_json(json_file: str, document: dict[str, Any]) -> None:
    from srtpgw.loadtest.result import FORMAT

    text = json.dumps({"format": FORMAT, **document})
    if json_file == "-":
        print(text, flush=True)
        return
    try:
        Path(json_file).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        _end(f"{json_file} cannot be written: {error.strerror}")
