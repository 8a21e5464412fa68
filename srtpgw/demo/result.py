"""How much is demonstrated, and what was found, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Final

from srtpgw.errors import SrtpgwError
from srtpgw.terminal.checks import Check
from srtpgw.terminal.voice import FRAME_SECONDS


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


WHOLE: Final = DemoPlan()


@dataclass(frozen=True)
class CommandResult:
    """An operator command, whether it was to be carried out or refused, and what it said."""

    command: str
    refused: bool
    said: tuple[str, ...]  # where it was refused
    passed: bool  # it did what the rules say, in their words


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

    commands: list[CommandResult] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    attacks: list[AttackResult] = field(default_factory=list)
    legs: list[LegRow] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Names of the checks that do not hold, commands that did other than they should, and attacks not stopped."""
        failed = [check.name for check in self.checks if not check.passed]
        failed += [command.command for command in self.commands if not command.passed]
        return failed + [attack.name for attack in self.attacks if not attack.passed]

    @property
    def passed(self) -> bool:
        """Something was checked, and nothing failed."""
        return bool(self.checks) and not self.failures

    def to_json(self) -> dict[str, object]:
        """The same with the verdicts written out."""
        attacks = [{**asdict(one), "passed": one.passed} for one in self.attacks]
        return {"passed": self.passed, **asdict(self), "attacks": attacks}
