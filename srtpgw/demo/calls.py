"""The two calls: their ends, how they are opened, and what must hold of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srtpgw.terminal.checks import Check, check_audio, check_packets, check_wire, heard_all
from srtpgw.terminal.protection import TerminalKeys, key_length
from srtpgw.terminal.terminal import Terminal, TerminalSettings
from srtpgw.terminal.voice import HIGH_VOICE, LOW_VOICE, Voice

if TYPE_CHECKING:  # at run time only inside functions: a missing native module is then an answer, not a traceback
    from srtpgw.media import Leg, MediaGateway
    from srtpgw.media.statistics import LegStatistics
    from srtpgw.terms import LegType


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
