"""Five attacks on a call, while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from srtpgw.demo.calls import Call, End
from srtpgw.demo.result import AttackResult, DemoPlan
from srtpgw.terminal import attacker as hostile
from srtpgw.terminal.attacker import Attacker
from srtpgw.terminal.checks import captured, intrusions
from srtpgw.terminal.terminal import poll

FORGED_AHEAD = 200  # sequence numbers: four seconds of speech


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
