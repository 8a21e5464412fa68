"""The commands ``run``, ``status`` and ``config``. Each imports what it needs when it runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from srtpgw.config import SETTINGS, ProcessConfig, load, shown, source_file, strange_variables
from srtpgw.errors import ConfigError, SrtpgwError
from srtpgw.streams import EXIT_FAILED, tell

EXIT_USAGE: Final = 2

_Function = TypeVar("_Function", bound=Callable[..., Any])

RUN_EPILOG = """
Each setting may stand in srtpgw.toml, in the environment (SRTPGW_REALM, SRTPGW_BIND_IPV4, ...) or here; `srtpgw config`
shows what holds. docs/running.md tells of the file, of systemd and of where state lives.

SIGTERM and SIGINT stop it once the sessions in progress have ended, or --drain-seconds have passed; a second one at
once. Settings of the store (policy, flags, extensions, certificates) are taken over as commands change them.

Exit status: 0 after a signal; 1 when something failed; 2 when the command line, the environment or the file is at
fault.
"""


def _settings_options(function: _Function) -> _Function:
    """An option for each process setting, read by the table's own rules."""
    options = [
        click.option(entry.option, entry.name.replace("-", "_"), metavar=entry.metavar, help=_help(entry))
        for entry in SETTINGS
    ]
    options.append(click.option("--config", "file", metavar="FILE", help="Read this file instead of srtpgw.toml."))
    return reduce(lambda made, option: option(made), reversed(options), function)


def _help(entry: Any) -> str:
    if entry.name == "state-dir":
        return str(entry.help)
    default = shown(entry.default)
    text = "-".join(map(str, default)) if entry.name == "port-range" else default
    return f"{entry.help}  [default: {text}]" if default not in (None, []) else str(entry.help)


def _load(file: str | None, options: Mapping[str, Any]) -> ProcessConfig:
    return load({entry.name: options[entry.name.replace("-", "_")] for entry in SETTINGS}, file=file)


@click.command(epilog=RUN_EPILOG)
@_settings_options
@click.option("--accept-realm-change", is_flag=True, help="Start although numbers lose their authorization code.")
@click.option("--json", "as_json", is_flag=True, help="The log as JSON lines.")
@click.option("--allow-core", is_flag=True, help="Leave core files and debuggers allowed: they show keys.")
def run(*, file: str | None, accept_realm_change: bool, as_json: bool, allow_core: bool, **options: Any) -> None:
    """Run the gateway with the settings of the store, until a signal.

    The first run makes the store, a testbed certificate and a testbed licence. Operator commands work whether or not
    it runs, and it takes over what they change within a moment, for what is set up afterwards.
    """
    try:
        config = _load(file, options)
    except ConfigError as error:
        sys.exit(_refuse(error, as_json=False))
    from srtpgw.service import daemon

    ask = _ask if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() else None
    chosen = daemon.Options(as_json=as_json, accept_realm_change=accept_realm_change, allow_core=allow_core, ask=ask)
    sys.exit(daemon.run(config, chosen))


def _ask(question: str) -> bool:
    return click.confirm(question, default=False, err=True)


@click.command()
@_settings_options
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def config(*, file: str | None, as_json: bool, **options: Any) -> None:
    """Show the process settings and where each came from.

    Command line, then environment, then srtpgw.toml, then defaults. Exit status 2 when something is wrong with them.
    """
    try:
        effective = _load(file, options)
    except ConfigError as error:
        sys.exit(_refuse(error, as_json))
    import os

    found = source_file(file)
    warnings = strange_variables(os.environ)
    rows = {entry.name: shown(effective.value(entry.name)) for entry in SETTINGS}
    if as_json:
        settings = {name: {"value": value, "source": effective.sources[name]} for name, value in rows.items()}
        click.echo(json.dumps({"good": True, "file": str(found) if found else None, "settings": settings,
                               "warnings": warnings}))  # fmt: skip
        return
    texts = {name: _shown(value) for name, value in rows.items()}
    width = max(map(len, texts)), max(len(text) for text in texts.values())
    for name, text in texts.items():
        click.echo(f"{name:{width[0]}}  {text:{width[1]}}  {effective.sources[name]}")
    for warning in warnings:
        click.echo(f"WARNING: {warning}")


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _refuse(error: ConfigError, as_json: bool) -> int:
    """Every fault, one line each."""
    for fault in error.faults:
        tell(str(fault))
    if as_json:
        faults = [{"source": each.file, "name": each.key, "reason": each.reason} for each in error.faults]
        click.echo(json.dumps({"good": False, "faults": faults}))
    return EXIT_USAGE


@click.command()
@click.option("--state-dir", metavar="DIR", help="Folder of the settings store.")
@click.option("--config", "file", metavar="FILE", help="Read this file instead of srtpgw.toml.")
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def status(*, state_dir: str | None, file: str | None, as_json: bool) -> None:
    """Show whether the gateway runs, and what the store says.

    Exit status 1 when none runs; what the store holds is told all the same.
    """
    try:
        place = load({"state-dir": state_dir}, file=file).state_dir
    except ConfigError as error:
        sys.exit(_refuse(error, as_json))
    try:
        report = _report(place)
        text = json.dumps(report) if as_json else _told(report, place)
    except SrtpgwError as error:
        tell(str(error))
        sys.exit(EXIT_FAILED)
    click.echo(text)
    sys.exit(0 if report["running"] else EXIT_FAILED)


def _report(place: Path) -> dict[str, Any]:
    """From the service, or of the store alone."""
    from srtpgw.service.status import ask, strange

    answer = ask(place)
    if answer is not None:
        if not isinstance(answer.get("running"), bool):
            raise strange(place)
        return answer
    import os
    import time

    from srtpgw.control.directory import StateDirectory
    from srtpgw.control.store import Store
    from srtpgw.service.overview import overview

    directory = StateDirectory(place, make=False)
    report: dict[str, Any] = {"running": False, "state_dir": str(directory.path)}
    if not directory.database.exists():
        return report
    with Store(directory.database, readonly=True) as store:
        return report | overview(store.read(), now=time.time(), host=os.uname().nodename)


def _told(report: Mapping[str, Any], place: Path) -> str:
    """The lines for people, as far as they are the words of a service like this one. Raises SrtpgwError."""
    from srtpgw.control.commands.console import escaped
    from srtpgw.service.status import strange

    try:
        return "\n".join(map(escaped, status_lines(report)))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise strange(place) from None


def status_lines(report: Mapping[str, Any]) -> list[str]:
    """For people: a line for each thing."""
    lines = [f"state directory  {report['state_dir']}"]
    if report["running"]:
        doing = "draining" if report["draining"] else "running"
        lines.insert(
            0, f"srtpgw {report['version']} {doing}, process {report['pid']}, {_span(report['uptime_seconds'])}"
        )
        lines.append(f"sessions         {report['sessions']} ({report['legs']} legs on {report['workers']} workers)")
        packets = (f"{report[f'{name}_packets']} {name}" for name in ("received", "sent", "dropped"))
        lines.append(f"packets          {', '.join(packets)}")
    else:
        lines.insert(0, "srtpgw is not running")
    if "revision" not in report:
        return [
            *lines,
            "There are no settings yet: srtpgw run, or any command that changes something, makes the store.",
        ]
    return lines + _stored_lines(report)


def _stored_lines(report: Mapping[str, Any]) -> list[str]:
    policy = report["policy"]
    number = f"{policy['number']} " if policy["number"] else ""
    flags = ", ".join(f"{name} {'on' if on else 'off'}" for name, on in report["media_encryption"].items())
    licence = report["licence"]
    until = f" until {licence['expires']}" if "expires" in licence else ""
    lines = [
        f"policy           {number}{policy['name']}",
        f"media encryption {flags} (revision {report['revision']})",
        f"licence          {licence['state']}{', testbed' if licence.get('testbed') else ''}{until}",
    ]
    for each in report["certificates"]:
        kind = f"{each['role']}{', testbed' if each['testbed'] else ''}"
        lines.append(f"certificate      {each['name']} ({kind}) until {each['expires']}")
    lines.append(
        f"numbers          {report['extensions']} extensions, {report['authorization_codes']} with authorization code,"
        f" {report['registrations']} registered"
    )
    lines.append(f"routes           {report['sip_routes']} SIP, {report['h323_routes']} H.323")
    return lines + [f"WARNING: {text}" for text in report["warnings"]]


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"for {days} d {hours:02}:{minutes:02}:{rest:02}"
