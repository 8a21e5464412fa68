"""The ``srtpgw`` command. Each command imports what it needs when it runs, so that ``--help`` is quick.

Exit status: 0 done (a relay: stopped by SIGINT or SIGTERM), 1 it failed while running, 2 a wrong command line or file.
"""

from __future__ import annotations

import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from srtpgw.streams import end, guarded

if TYPE_CHECKING:
    from srtpgw.address import Address

DEFAULT_SUITE = "AES_CM_128_HMAC_SHA1_80"
KEYS_AT_ONCE = 10_000


RELAY_EPILOG = """
Environment: SRTPGW_STATE_DIR is the folder of the register of used keys and of the store, whose media encryption flags
hold for a file that sets none (`srtpgw config` shows it); SRTPGW_KERNELS forces a crypto kernel (`srtpgw kernels` lists
them).

Exit status: 0 after SIGINT or SIGTERM, or when stdout was closed; 1 when something failed while running; 2 when the
command line or the file is at fault.
"""


# Commands with files of their own: where each is found when it is asked for.
ELSEWHERE = {
    "bench": ("srtpgw.loadtest.bench.cli", "bench"),
    "config": ("srtpgw.service.command", "config"),
    "decrypt": ("srtpgw.capture.command", "decrypt"),
    "load": ("srtpgw.loadtest.command", "load"),
    "run": ("srtpgw.service.command", "run"),
    "status": ("srtpgw.service.command", "status"),
    "verify": ("srtpgw.capture.command", "verify"),
}


class OperatorCommand(click.Command):
    """An operator command of the control module, which reads its own words: single-dash options and RIANI:ROU=5;"""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = args
        return []

    def invoke(self, ctx: click.Context) -> NoReturn:
        from srtpgw.operator import main

        sys.exit(main(str(self.name), ctx.args, ctx.command_path))


class _Commands(click.Group):
    """Turns what any command can fail with into one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """``RIANI:ROU=5;`` is a command with its parameters in one word, and so is ``RIANP;``."""
        name = args[0].partition(":")[0].removesuffix(";")
        if name != args[0] and _operator_command(name):
            args = [name, args[0].removeprefix(name), *args[1:]]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        from srtpgw.control.commands.table import FAMILIES, find

        with formatter.section("Operator commands, also programs of their own"):
            formatter.write_dl([(name, find(name).summary) for name in FAMILIES])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name) or _operator_command(cmd_name)
        module, name = ELSEWHERE[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        with guarded():
            try:
                return super().invoke(ctx)
            except ImportError as error:
                end(missing_part(error))


def _operator_command(name: str) -> OperatorCommand | None:
    from srtpgw.control.commands.table import FAMILIES

    return OperatorCommand(name) if name in FAMILIES else None


def missing_part(error: ImportError) -> str:
    """Why the native module, or something else that is installed, is not there."""
    text = str(error)
    if "SRTPGW_KERNELS" in text or "crypto kernels" in text:
        return text
    return f"a part of srtpgw is missing ({text}); install it with: pip install ."


def _finite(_: click.Context, parameter: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter("is not a number of seconds", param=parameter)
    return value


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"srtpgw {version('srtpgw')}")
        except PackageNotFoundError:
            click.echo("srtpgw, not installed")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it.")
def main() -> None:
    """Media-plane SRTP gateway: relays RTP and SRTP between legs."""


@main.command(epilog=RELAY_EPILOG)
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--check", is_flag=True, help="Only say whether FILE is good.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines even on a terminal.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=1.0, callback=_finite, help="Seconds between readings."
)
@click.option("--metrics", metavar="ADDR:PORT", help="Serve Prometheus metrics here.")
@click.option("--crypto", type=click.Choice(["native", "libsrtp"]), help="SRTP implementation; else as FILE says.")
@click.option("--workers", type=click.IntRange(1, 256), help="Packet loops; else as FILE says, or one per core.")
@click.option("--allow-index-reuse", is_flag=True, help="Take keys that were used before without their sending state.")
@click.option("--allow-core", is_flag=True, help="Leave core files and debuggers allowed: they show keys.")
def relay(file: Path, *, check: bool, metrics: str | None, **options: Any) -> None:
    """Relay media as a file says, until a signal.

    SIGINT and SIGTERM stop it in order. SIGHUP (kill -HUP PID) reads FILE (TOML) again and applies what differs.
    docs/relay.md tells of the file, docs/examples has some.
    """
    address = _address(metrics, "--metrics")
    from srtpgw.relay import daemon

    if check:
        sys.exit(daemon.check(file, options["as_json"], options["crypto"]))
    sys.exit(daemon.run(file, daemon.Options(metrics=address, **options)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def demo(*, as_json: bool) -> None:
    """Try operator commands, call through the gateway, attack the call, judge all."""
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

    \b
    Suites: AES_CM_128_HMAC_SHA1_80  AES_CM_128_HMAC_SHA1_32
            AES_192_CM_HMAC_SHA1_80  AES_192_CM_HMAC_SHA1_32
            AES_256_CM_HMAC_SHA1_80  AES_256_CM_HMAC_SHA1_32
            AEAD_AES_128_GCM         AEAD_AES_256_GCM
    """
    from srtpgw.media.keys import format_key, generate_key, relay_suites

    if suite not in relay_suites():
        raise click.BadParameter(f"is not one of {', '.join(relay_suites())}", param_hint="--suite")
    keys = [format_key(generate_key(suite)) for _ in range(count)]
    click.echo(json.dumps(keys) if as_json else "\n".join(keys))


def _address(text: str | None, option: str) -> Address | None:
    from srtpgw.address import Address

    if text is None:
        return None
    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


if __name__ == "__main__":
    main()
