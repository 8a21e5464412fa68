"""The ``srtpgw`` command. Each command imports what it needs when it runs, so that ``--help`` is quick.

Exit status: 0 done (a relay: stopped by SIGINT or SIGTERM), 1 it failed while running, 2 a wrong command line or file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from srtpgw.media.address import Address

EXIT_FAILED = 1
EXIT_USAGE = 2

DEFAULT_SUITE = "AES_CM_128_HMAC_SHA1_80"
KEYS_AT_ONCE = 10_000


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"srtpgw {version('srtpgw')}")
        except PackageNotFoundError:
            click.echo("srtpgw, not installed")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it.")
def main() -> None:
    """Media-plane SRTP gateway: relays RTP and SRTP between legs."""


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Only say whether FILE is good.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines even on a terminal.")
@click.option("--interval", type=click.FloatRange(0.1, 3600), default=1.0, help="Seconds between readings.")
@click.option("--metrics", metavar="ADDR:PORT", help="Serve Prometheus metrics here.")
@click.option("--crypto", type=click.Choice(["native", "libsrtp"]), help="SRTP implementation; else as FILE says.")
@click.option("--workers", type=click.IntRange(1, 256), help="Packet loops; else as FILE says, or one per core.")
@click.option("--allow-index-reuse", is_flag=True, help="Take keys that were used before without their sending state.")
@click.option("--allow-core", is_flag=True, help="Leave core files and debuggers allowed: they show keys.")
def relay(file: Path, *, check: bool, metrics: str | None, **options: Any) -> None:
    """Relay media as a file says, until a signal.

    SIGINT and SIGTERM stop it in order. SIGHUP reads FILE (TOML) again and applies what differs. docs/relay.md tells
    of the file, docs/examples has some.
    """
    address = _address(metrics, "--metrics")
    from srtpgw import daemon

    if check:
        sys.exit(daemon.check(file, options["as_json"]))
    sys.exit(daemon.run(file, daemon.Options(metrics=address, **options)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def demo(*, as_json: bool) -> None:
    """Call through the gateway, attack the call, judge both."""
    from srtpgw.demo import main as run_demo

    sys.exit(run_demo(as_json))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def kernels(*, as_json: bool) -> None:
    """Show the crypto kernels of this machine, and libsrtp."""
    from srtpgw.srtp import kernels as read_kernels

    report = read_kernels()
    if as_json:
        click.echo(json.dumps(report))
        return
    from rich.console import Console

    from srtpgw.table import kernels_report

    Console().print(kernels_report(report))


@main.command()
@click.option("--suite", default=DEFAULT_SUITE, show_default=True, help="The suite that the key is for.")
@click.option("--count", type=click.IntRange(1, KEYS_AT_ONCE), default=1, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of keys.")
def keygen(*, suite: str, count: int, as_json: bool) -> None:
    """Print fresh random keys for a relay file.

    Each is a secret: send the output to a file of mode 600.
    """
    from srtpgw.media.keys import format_key, generate_key, relay_suites

    if suite not in relay_suites():
        raise click.BadParameter(f"is not one of {', '.join(relay_suites())}", param_hint="--suite")
    keys = [format_key(generate_key(suite)) for _ in range(count)]
    click.echo(json.dumps(keys) if as_json else "\n".join(keys))


def _address(text: str | None, option: str) -> Address | None:
    from srtpgw.media.address import Address

    if text is None:
        return None
    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


if __name__ == "__main__":
    main()
