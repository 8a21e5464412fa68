"""The demonstration: two calls through a gateway on loopback, five attacks on one of them, and a verdict.

``run_demo`` does it and returns plain values; ``main`` prints them. Nothing is judged by how long it took: whatever
is counted is waited for, and what does not come within ``DemoPlan.patience`` is a failed check.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from srtpgw.cli import missing_part
from srtpgw.errors import MediaError, SrtpgwError
from srtpgw.terminal import attacker as hostile
from srtpgw.terminal.attacker import Attacker
from srtpgw.terminal.checks import Check, captured, check_audio, check_packets, check_wire, heard_all, intrusions
from srtpgw.terminal.protection import TerminalKeys, key_length
from srtpgw.terminal.terminal import Terminal, TerminalSettings, poll
from srtpgw.terminal.voice import FRAME_SECONDS, HIGH_VOICE, LOW_VOICE, Voice

if TYPE_CHECKING:  # at run time only inside functions: a missing native module is then an answer, not a traceback
    from srtpgw.media import Leg, MediaGateway
    from srtpgw.media.leg import LegType
    from srtpgw.media.statistics import LegStatistics

FORGED_AHEAD = 200  # sequence numbers: four seconds of speech


class DemoError(SrtpgwError):
    """The demonstration cannot be run here; the text says why."""


@dataclass(frozen=True)
class DemoPlan:
    """How long and how much. ``frames`` are 20 ms; the second call talks for a third of them.

    ``patience`` is in seconds, a hundred times what anything takes on an idle machine.
    """

    frames: int = 400
    attack_packets: int = 25
    patience: float = 4.0
    port_range: tuple[int, int] | None = None  # None: as the gateway has it

    @property
    def seconds(self) -> float:
        """How long the first call talks."""
        return self.frames * FRAME_SECONDS


@dataclass(frozen=True)
class AttackResult:
    """What became of an attack's packets: dropped by reason, forwarded to the far end, answered to the attacker."""

    name: str
    leg: str
    packets: int
    expected: str
    dropped: dict[str, int]
    forwarded: int
    answered: int

    @property
    def passed(self) -> bool:
        """Every packet was dropped for the expected reason, and nobody got anything."""
        return self.dropped == {self.expected: self.packets} and not self.forwarded and not self.answered


@dataclass(frozen=True)
class LegRow:
    """A leg at the end, from the gateway's statistics. Times are None when nothing was relayed."""

    name: str
    type: str
    suite: str | None
    received: int
    sent: int
    dropped: dict[str, int]
    rtcp_received: int
    rtcp_sent: int
    rtcp_dropped: dict[str, int]
    jitter_ms: float | None
    relay_p50_us: float | None
    relay_p99_us: float | None


@dataclass(frozen=True)
class DemoResult:
    """Everything that was found, as plain values."""

    checks: list[Check] = field(default_factory=list)
    attacks: list[AttackResult] = field(default_factory=list)
    legs: list[LegRow] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Names of the checks that do not hold and of the attacks that were not stopped."""
        failed = [check.name for check in self.checks if not check.passed]
        return failed + [attack.name for attack in self.attacks if not attack.passed]

    @property
    def passed(self) -> bool:
        """Something was checked, and nothing failed."""
        return bool(self.checks) and not self.failures

    def to_json(self) -> dict[str, object]:
        """The same with the verdicts written out."""
        attacks = [{**asdict(one), "passed": one.passed} for one in self.attacks]
        return {"passed": self.passed, **asdict(self), "attacks": attacks}


Progress = Callable[[str], None]


# --- calls -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Party:
    """Who takes part, on which type of leg; ``suite`` None is a plain leg."""

    name: str
    type: LegType
    voice: Voice
    suite: str | None


FIRST_CALL = (
    Party("phone", "extension", LOW_VOICE, "AES_CM_128_HMAC_SHA1_80"),
    Party("trunk", "route", HIGH_VOICE, None),
)
SECOND_CALL = (  # encrypted on both sides, with different suites and keys
    Party("desk", "extension", HIGH_VOICE, "AEAD_AES_256_GCM"),
    Party("branch", "intermgw", LOW_VOICE, "AES_CM_128_HMAC_SHA1_80"),
)
ENCRYPTION: Mapping[str, bool] = {"extension": True, "route": False, "intermgw": True}


@dataclass(frozen=True)
class End:
    """A terminal and the leg it talks to."""

    party: Party
    terminal: Terminal
    leg: Leg


class Call:
    """Two ends joined by the gateway."""

    def __init__(self, gateway: MediaGateway, ends: tuple[End, End]) -> None:
        self.gateway = gateway
        self.ends = ends

    @classmethod
    async def open(
        cls, gateway: MediaGateway, stack: AsyncExitStack, parties: tuple[Party, Party], frames: int
    ) -> Call:
        """Open terminals and legs with fresh keys. The sequence numbers wrap a third of the way through ``frames``."""
        start = (1 << 16) - frames // 3
        one, other = [await _open_end(gateway, stack, party, start) for party in parties]
        gateway.join(one.leg, other.leg)
        return cls(gateway, (one, other))

    def ways(self) -> Iterator[tuple[End, End]]:
        """(speaker, listener), both ways."""
        one, other = self.ends
        yield one, other
        yield other, one

    def end(self, name: str) -> tuple[End, End]:
        """The named end, and the one opposite."""
        return next((near, far) for near, far in self.ways() if near.party.name == name)

    async def talk(self, frames: int) -> None:
        """Both talk at once."""
        async with asyncio.TaskGroup() as group:
            for end in self.ends:
                group.create_task(end.terminal.talk(frames))

    def settled(self) -> bool:
        """Whether all that was sent has been heard, and the gateway's counters show it."""
        return all(
            heard_all(speaker.terminal, listener.terminal) and relayed(self, speaker, listener)[0]
            for speaker, listener in self.ways()
        )

    def statistics(self, end: End) -> LegStatistics:
        """The gateway's figures of an end's leg, now."""
        return next(leg for leg in self.gateway.statistics().legs if leg.id == end.leg.id)


async def _open_end(gateway: MediaGateway, stack: AsyncExitStack, party: Party, sequence: int) -> End:
    from srtpgw.media import Address, LegSettings
    from srtpgw.srtp import MasterKey

    keys = None
    if party.suite:
        to_gateway, from_gateway = (secrets.token_bytes(key_length(party.suite)) for _ in range(2))
        keys = TerminalKeys(party.suite, send=to_gateway, receive=from_gateway)
    settings = TerminalSettings(party.name, party.voice, keys=keys, first_sequence=sequence, keep_wire=True)
    terminal = await stack.enter_async_context(Terminal(settings))
    leg = gateway.open_leg(
        LegSettings(
            type=party.type,
            name=party.name,
            remote=Address(*terminal.address),
            remote_rtcp=Address(*terminal.rtcp_address),
            suite=party.suite,
            receive_keys=(MasterKey(keys.send),) if keys else (),
            transmit_keys=(MasterKey(keys.receive),) if keys else (),
        )
    )
    terminal.call(leg.local, leg.local_rtcp)
    return End(party, terminal, leg)


# --- checks ----------------------------------------------------------------------------------------------------------


def relayed(call: Call, speaker: End, listener: End) -> tuple[bool, str]:
    """One packet out for each packet in that was not dropped, counted at both legs and at the listener."""
    arrived, left = call.statistics(speaker).rtp, call.statistics(listener).rtp
    dropped = sum(arrived.drops.values())
    heard = listener.terminal.counters
    detail = (
        f"{arrived.received_packets} in, {dropped} dropped, {left.sent_packets} out, "
        f"{heard.received + heard.refused} at the {listener.party.name}"
    )
    passed = arrived.received_packets - dropped == left.sent_packets == heard.received + heard.refused
    return passed, detail


def check_call(call: Call) -> Iterator[Check]:
    """All checks of one call."""
    for speaker, listener in call.ways():
        yield check_audio(speaker.terminal, listener.terminal)
        yield check_packets(speaker.terminal, listener.terminal)
        if listener.party.suite:
            yield check_wire(speaker.terminal, listener.terminal)
        passed, detail = relayed(call, speaker, listener)
        yield Check(f"relay, {speaker.party.name} to {listener.party.name}", passed, detail)


# --- attacks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attack:
    """Packets made from what was captured on the wire of one end, and the reason they must be dropped for."""

    name: str
    target: str
    reason: str
    make: Callable[[list[bytes], int], list[bytes]]
    own_address: bool = False  # from the terminal's own port instead of the attacker's


def _forge(seen: list[bytes], count: int) -> list[bytes]:
    # Far ahead: the phone must not have used the numbers before the forged packets are looked at.
    return hostile.forge(seen[-1], count, ahead=FORGED_AHEAD)


ATTACKS = (
    Attack("packets replayed", "phone", "replay", hostile.replay),
    Attack("forged, other address", "phone", "auth-failed", _forge),
    Attack("forged, own address", "phone", "auth-failed", _forge, own_address=True),
    Attack("a stranger's RTP", "phone", "auth-failed", lambda _, count: hostile.stranger(count)),
    Attack("injected RTP", "trunk", "wrong-source", lambda seen, count: hostile.inject(seen[-1], count)),
)


async def run_attack(call: Call, attacker: Attacker, attack: Attack, plan: DemoPlan) -> AttackResult:
    """Attack in the middle of the conversation and wait until every packet is accounted for."""
    near, far = call.end(attack.target)
    pair = (near.terminal, far.terminal)
    before = dict(call.statistics(near).rtp.drops)
    foreign, answered = intrusions(*pair), attacker.heard

    def dropped() -> dict[str, int]:
        drops = call.statistics(near).rtp.drops
        return {
            reason: drops[reason] - before.get(reason, 0) for reason in drops if drops[reason] != before.get(reason)
        }

    seen = captured(*pair)
    packets = attack.make(seen, plan.attack_packets) if seen else []
    for packet in packets:
        if attack.own_address:
            near.terminal.send_raw(packet)
        else:
            attacker.send(packet, near.leg.local)
    await poll(lambda: sum(dropped().values()) >= len(packets), plan.patience)
    return AttackResult(
        name=attack.name,
        leg=attack.target,
        packets=len(packets),
        expected=attack.reason,
        dropped=dropped(),
        forwarded=intrusions(*pair) - foreign,
        answered=attacker.heard - answered,
    )


async def run_attacks(call: Call, attacker: Attacker, plan: DemoPlan) -> list[AttackResult]:
    """One after the other, spread over the conversation."""
    results = []
    for number, attack in enumerate(ATTACKS, 1):
        due = max(number * plan.frames // (len(ATTACKS) + 1), plan.attack_packets)
        await poll(partial(_due, call.end(attack.target), due, plan.frames), plan.seconds + plan.patience)
        results.append(await run_attack(call, attacker, attack, plan))
    return results


def _due(ends: tuple[End, End], packets: int, frames: int) -> bool:
    """Whether the far end has heard enough, or all has been said."""
    near, far = ends
    return len(far.terminal.heard) >= packets or near.terminal.counters.sent >= frames


# --- the demonstration -----------------------------------------------------------------------------------------------


def run_demo(plan: DemoPlan = DemoPlan(), progress: Progress = lambda _: None) -> DemoResult:
    """Run it in real time. ``progress`` gets a line of text ten times a second.

    Raises DemoError when there is no native module, no port or no address to run it on.
    """
    try:
        return asyncio.run(_demonstrate(plan, progress))
    except ImportError as error:
        raise DemoError(missing_part(error)) from error
    except (MediaError, OSError) as error:
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
    from srtpgw.media.ports import DEFAULT_RANGE

    start = asyncio.get_running_loop().time()
    async with AsyncExitStack() as stack:
        gateway = stack.enter_context(
            MediaGateway(media_encryption=ENCRYPTION, port_range=plan.port_range or DEFAULT_RANGE)
        )
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
    return DemoResult(checks, attacked.result(), legs, asyncio.get_running_loop().time() - start)


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


# --- printing --------------------------------------------------------------------------------------------------------

PICTURE = """\
phone  --SRTP AES-128-CM-->  gateway  --RTP-------------->  trunk     (and back)
desk   --SRTP AES-256-GCM->  gateway  --SRTP AES-128-CM-->  branch    (and back)
"""
VERDICTS = {True: "[green]passed[/]", False: "[bold red]FAILED[/]"}


def main(json_output: bool = False, plan: DemoPlan = DemoPlan()) -> int:
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
    """Legs, attacks, checks and the verdict, for people."""
    for table in (leg_table(result.legs), attack_table(result.attacks), check_table(result.checks)):
        console.print(table)
    total = len(result.checks) + len(result.attacks)
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
