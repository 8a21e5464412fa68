"""The demonstration at work: operator commands, then two calls under what they set, and the attacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from srtpgw.cli import missing_part
from srtpgw.demo.attacks import run_attacks
from srtpgw.demo.calls import FIRST_CALL, SECOND_CALL, Call, check_call
from srtpgw.demo.commands import run_commands
from srtpgw.demo.result import WHOLE, DemoError, DemoPlan, DemoResult, LegRow
from srtpgw.errors import MediaError, StoreError
from srtpgw.terminal.attacker import Attacker
from srtpgw.terminal.checks import Check
from srtpgw.terminal.terminal import poll
from srtpgw.terminal.voice import FRAME_SECONDS
from srtpgw.terms import PORT_RANGE

if TYPE_CHECKING:
    from srtpgw.media.statistics import LegStatistics

Progress = Callable[[str], None]


def run_demo(plan: DemoPlan = WHOLE, progress: Progress = lambda _: None) -> DemoResult:
    """Run it in real time. ``progress`` gets a line of text ten times a second.

    Raises DemoError when there is no native module, no port or no address to run it on.
    """
    try:
        return asyncio.run(_demonstrate(plan, progress))
    except ImportError as error:
        raise DemoError(missing_part(error)) from error
    except (MediaError, StoreError, OSError) as error:
        raise DemoError(f"the calls cannot be set up: {error}") from error
    except ExceptionGroup as group:
        # What tasks raised together: said by the first of its kind, unless something else is among them.
        known, rest = group.split((MediaError, OSError))
        if known is None or rest is not None:
            raise
        raise DemoError(f"the calls cannot go on: {_first(known)}") from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _demonstrate(plan: DemoPlan, progress: Progress) -> DemoResult:
    from srtpgw.media import MediaGateway

    start = asyncio.get_running_loop().time()
    commands, flags = run_commands()
    async with AsyncExitStack() as stack:
        gateway = stack.enter_context(MediaGateway(media_encryption=flags, port_range=plan.port_range or PORT_RANGE))
        first = await Call.open(gateway, stack, FIRST_CALL, plan.frames)
        second = await Call.open(gateway, stack, SECOND_CALL, plan.frames // 3)
        attacker = await stack.enter_async_context(Attacker())
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(first, plan, progress))
            group.create_task(first.talk(plan.frames))
            group.create_task(second.talk(plan.frames // 3))
            attacked = group.create_task(run_attacks(first, attacker, plan))
        await poll(lambda: first.settled() and second.settled(), plan.patience)
        checks = [*check_call(first), *check_call(second)]
        checks.append(Check("answers to the attacker", attacker.heard == 0, f"{attacker.heard} packets"))
        legs = [_row(call.statistics(end)) for call in (first, second) for end in call.ends]
    seconds = asyncio.get_running_loop().time() - start
    return DemoResult(commands, checks, attacked.result(), legs, seconds)


async def _watch(call: Call, plan: DemoPlan, progress: Progress) -> None:
    """Tell how far the conversation is."""
    for number in range(plan.frames // 5 + 1):
        heard = ", ".join(f"the {end.party.name} heard {len(end.terminal.heard)}" for end in call.ends)
        progress(f"talking, {number * 5 * FRAME_SECONDS:.1f} of {plan.seconds:.1f} s: {heard} packets")
        await asyncio.sleep(5 * FRAME_SECONDS)


def _row(leg: LegStatistics) -> LegRow:
    relay = leg.rtp.relay_time
    return LegRow(
        name=leg.name,
        type=leg.type,
        suite=leg.suite,
        received=leg.rtp.received_packets,
        sent=leg.rtp.sent_packets,
        dropped=dict(leg.rtp.drops),
        rtcp_received=leg.rtcp.received_packets,
        rtcp_sent=leg.rtcp.sent_packets,
        rtcp_dropped=dict(leg.rtcp.drops),
        jitter_ms=leg.rtp.jitter_ms,
        relay_p50_us=relay.p50_us if relay.count else None,
        relay_p99_us=relay.p99_us if relay.count else None,
    )
