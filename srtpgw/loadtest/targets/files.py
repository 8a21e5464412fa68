"""Files from a plan: the relay file, which `srtpgw relay` needs for its calls (docs/relay.md), and a table of addresses
and keys for any other relay. Both hold keys: they are written for their owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from srtpgw.address import Address
from srtpgw.loadtest.faults import LoadError
from srtpgw.loadtest.plan import Party, Plan
from srtpgw.loadtest.targets.base import TargetSettings
from srtpgw.media.keys import format_key
from srtpgw.srtp import MasterKey

HEAD = """\
# The gateway's side of a load test: srtpgw load plan --relay-file
# Keys follow from the seed: for testbeds only.
"""


def relay_text(plan: Plan, settings: TargetSettings) -> str:
    """TOML that holds the plan's keys."""
    return "\n".join((HEAD, *_lines(plan, settings), ""))


def keys_table(plan: Plan, settings: TargetSettings) -> str:
    """CSV with a line per far end: ``leg`` is where the relay takes its RTP; keys as in SDP, empty for plain RTP."""
    lines = ["call,side,far_end,leg,suite,far_end_sends,far_end_hears"]
    for call in plan.calls:
        for side, party, leg in zip(
            ("caller", "callee"), (call.caller, call.callee), settings.legs(call.number), strict=True
        ):
            keys = [format_key(MasterKey(key)) if party.suite else "" for key in (party.sends, party.hears)]
            lines.append(",".join([call.name, side, str(party.address), str(leg), party.suite or "", *keys]))
    return "\n".join([*lines, ""])


def write_private(path: Path, text: str) -> None:
    """A new file of mode 0600. LoadError where it cannot be made; an old one is not written over."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LoadError(f"{path} cannot be written: {error.strerror}") from None


def _lines(plan: Plan, settings: TargetSettings) -> Iterator[str]:
    scenario = plan.scenario
    yield "[gateway]"
    yield f"workers = {settings.workers}"
    if settings.cpus:
        yield f"cpus = {list(settings.cpus)}"
    yield f'crypto = "{settings.crypto}"'
    yield "\n[media-encryption]"
    yield f'extension = "{"on" if scenario.caller_suite else "off"}"'
    yield f'route = "{"on" if scenario.callee_suite else "off"}"'
    for call in plan.calls:
        caller, callee = settings.legs(call.number)
        yield f'\n[[session]]\nname = "{call.name}"'
        yield from _leg("extension", caller, call.caller)
        yield from _leg("route", callee, call.callee)


def _leg(kind: str, local: Address, party: Party) -> Iterator[str]:
    yield f'\n[[session.leg]]\ntype = "{kind}"\nlocal = "{local}"\nremote = "{party.address}"'
    if party.suite is not None:
        yield f'suite = "{party.suite}"'
        yield f'receive-key = "{format_key(MasterKey(party.sends))}"'
        yield f'transmit-key = "{format_key(MasterKey(party.hears))}"'
