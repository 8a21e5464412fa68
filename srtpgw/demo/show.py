"""What was found, for people, or as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from srtpgw.demo.result import WHOLE, AttackResult, CommandResult, DemoError, DemoPlan, DemoResult, LegRow
from srtpgw.demo.run import run_demo
from srtpgw.terminal.checks import Check

PICTURE = """\
phone  --SRTP AES-128-CM-->  gateway  --RTP-------------->  trunk     (and back)
desk   --SRTP AES-256-GCM->  gateway  --SRTP AES-128-CM-->  branch    (and back)
"""
VERDICTS = {True: "[green]passed[/]", False: "[bold red]FAILED[/]"}


def main(json_output: bool = False, plan: DemoPlan = WHOLE) -> int:
    """Run the demonstration and print it, as one JSON object if asked for. Returns the exit status."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100  # a file or a pipe: nobody's window
    try:
        result = run_demo(plan) if json_output else _run_and_tell(plan, console)
    except DemoError as error:
        if json_output:
            print(json.dumps({"passed": False, "error": str(error)}))
        else:
            Console(stderr=True, highlight=False).print(f"srtpgw demo: {error}", markup=False, style="bold red")
        return 1
    if json_output:
        print(json.dumps(result.to_json(), indent=2))
    else:
        show(result, console)
    return 0 if result.passed else 1


def _run_and_tell(plan: DemoPlan, console: Console) -> DemoResult:
    console.print(PICTURE, markup=False)
    if not console.is_terminal:
        return run_demo(plan)
    with console.status("opening two calls") as status:
        return run_demo(plan, status.update)


def show(result: DemoResult, console: Console) -> None:
    """Commands, legs, attacks, checks and the verdict, for people."""
    for table in (
        command_table(result.commands),
        leg_table(result.legs),
        attack_table(result.attacks),
        check_table(result.checks),
    ):
        console.print(table)
    total = len(result.commands) + len(result.checks) + len(result.attacks)
    count = f"{total} checks" if result.passed else f"{len(result.failures)} of {total} checks failed"
    console.print(f"\n{VERDICTS[result.passed]}: {count}, {result.seconds:.1f} s", soft_wrap=True)


def _table(title: str, columns: str, right: str = "") -> Table:
    """A table with columns named by a comma-separated list; those also in ``right`` are set flush right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in columns.split(","):
        table.add_column(column, justify="right" if column in right.split(",") else "left")
    table.columns[0].no_wrap = True
    return table


def _reasons(drops: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(drops.items())) or "-"


def command_table(commands: list[CommandResult]) -> Table:
    """What was typed, and what came of it."""
    table = _table("Operator commands, before the calls", "typed,what came of it,verdict")
    for one in commands:
        table.add_row(one.command, ", ".join(one.said) or "done", VERDICTS[one.passed])
    return table


def leg_table(legs: list[LegRow]) -> Table:
    """What each leg is and did: a line for RTP, and one for RTCP."""
    numbers = "in,out,jitter ms,relay us"
    table = _table("\nLegs (relay time as p50/p99)", "leg,,in,out,jitter ms,relay us,dropped", right=numbers)
    for leg in legs:
        jitter = "-" if leg.jitter_ms is None else f"{leg.jitter_ms:.2f}"
        relay = "-" if leg.relay_p50_us is None else f"{leg.relay_p50_us:.0f}/{leg.relay_p99_us or 0:.0f}"
        packets = (str(leg.received), str(leg.sent))
        table.add_row(f"{leg.name} ({leg.type})", "RTP", *packets, jitter, relay, _reasons(leg.dropped))
        reports = (str(leg.rtcp_received), str(leg.rtcp_sent))
        table.add_row(f"  [dim]{leg.suite or 'not encrypted'}[/]", "RTCP", *reports, "", "", _reasons(leg.rtcp_dropped))
    return table


def attack_table(attacks: list[AttackResult]) -> Table:
    """What was tried, and what became of it."""
    table = _table("\nAttacks", "tried,sent,dropped,relayed,answered,verdict", right="sent,relayed,answered")
    for one in attacks:
        reached = (str(one.forwarded), str(one.answered), VERDICTS[one.passed])
        table.add_row(f"{one.leg}: {one.name}", str(one.packets), _reasons(one.dropped), *reached)
    return table


def check_table(checks: list[Check]) -> Table:
    """What must hold, and whether it does."""
    table = _table("\nChecks", "check,found,verdict")
    for check in checks:
        table.add_row(check.name, check.detail, VERDICTS[check.passed])
    return table
