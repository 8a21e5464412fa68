"""What one leg is to be: its settings as a value, and the checks that need nothing but the leg itself.

Checks between legs (a key in two places, a port taken) belong to whoever holds several: the relay file and the gateway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from srtpgw.address import MAX_PORT, MIN_PORT, Address, host_fault
from srtpgw.errors import KeyReuse, MediaError, PolicyRefused
from srtpgw.media.keys import keys_fault, relay_suites, same_keys
from srtpgw.srtp import HINTS_MAX, MasterKey, fingerprint
from srtpgw.terms import LEG_TYPES, LegType

SourceRule = Literal["authenticated", "strict", "learn-once"]
RenameSources = Literal["none", "unknown", "all"]

SOURCE_RULES: Final[tuple[SourceRule, ...]] = ("authenticated", "strict", "learn-once")
RENAME_SOURCES: Final[tuple[RenameSources, ...]] = ("none", "unknown", "all")

WINDOW_MIN, WINDOW_MAX = 64, 32767  # packets
MAX_SSRCS_LIMIT = 1024  # a context finds its sources one by one
DSCP_MAX = 63
DSCP_EXPEDITED = 46  # RFC 3246: what voice is sent with
MEDIA_TIMEOUT_MAX = 86400.0  # seconds
CLOCK_RATE_MAX = 1_000_000  # Hz
ROC_MAX = (1 << 32) - 1
NAME_MAX = 130  # characters: two session names of the relay file and what joins them


class Fault(NamedTuple):
    """One thing wrong with a leg: the field, the reason, and what the gateway raises for it."""

    field: str
    reason: str
    error: type[MediaError] = MediaError


@dataclass(frozen=True, slots=True, kw_only=True)
class LegSettings:
    """One side of a media stream. Making one checks nothing; ``check`` and ``faults`` do.

    ``local`` is the RTP address; without it the gateway gives a port (pair) of ``family`` from its range. RTCP is on
    the port above, or on the same port with ``rtcp_mux`` (RFC 5761); likewise at the remote side unless
    ``remote_rtcp`` says otherwise. ``source`` None stands for ``authenticated`` on a leg with keys, ``strict`` without.

    Keys are given both ways or not at all, each way of one suite: ``suite``, and ``transmit_suite`` where what we send
    differs. Units: ``window`` packets, ``media_timeout`` seconds (0: off), ``clock_rate`` Hz (0: by payload type).

    ``sending_state`` is what ``Leg.export_sending_state()`` gave when these transmit keys were last used.
    ``rename_sources`` says what it is worth: ``none``, it knows every source these keys ever protected; ``unknown``,
    it is exact for those it knows, and any other source goes out under a fresh random SSRC; ``all``, it is older than
    the last packet sent, so that every source goes out under a fresh random SSRC and none it holds is used again.
    """

    type: LegType
    local: Address | None = None
    family: Literal[4, 6] = 4
    rtcp_mux: bool = False
    remote: Address | None = None
    remote_rtcp: Address | None = None
    source: SourceRule | None = None
    suite: str | None = None
    receive_keys: tuple[MasterKey, ...] = ()
    transmit_keys: tuple[MasterKey, ...] = ()
    transmit_suite: str | None = None
    window: int = 1024
    max_ssrcs: int = 64
    dscp: int = DSCP_EXPEDITED
    hold: bool = False
    media_timeout: float = 0.0
    clock_rate: int = 0
    roc_hints: tuple[int, ...] = ()
    sending_state: bytes = field(default=b"", repr=False)
    rename_sources: RenameSources = "none"
    name: str = ""

    @property
    def encrypted(self) -> bool:
        """Whether the leg carries SRTP."""
        return bool(self.receive_keys or self.transmit_keys)

    @property
    def address_family(self) -> int:
        """4 or 6, of the local side and so of the remote one."""
        return self.local.family if self.local is not None else self.family

    @property
    def local_rtcp(self) -> Address | None:
        """Where RTCP is received; None as long as the local address is."""
        return _rtcp_beside(self.local, self.rtcp_mux)

    @property
    def rtcp_target(self) -> Address | None:
        """Where RTCP is sent; None as long as the remote address is."""
        return self.remote_rtcp if self.remote_rtcp is not None else _rtcp_beside(self.remote, self.rtcp_mux)

    @property
    def source_rule(self) -> SourceRule:
        """The rule in force (``source`` with its default filled in)."""
        return self.source or ("authenticated" if self.encrypted else "strict")

    @property
    def sending_suite(self) -> str | None:
        """The suite of what we send; None on a plain leg."""
        return self.transmit_suite or self.suite

    def faults(self) -> tuple[Fault, ...]:
        """Everything wrong with this leg by itself."""
        return (*_address_faults(self), *_key_faults(self), *_number_faults(self))

    def policy_fault(self, media_encryption: Mapping[str, bool]) -> Fault | None:
        """What the media encryption flag of the leg's type (absent: off) has against its keys."""
        on = media_encryption.get(self.type, False)
        if on and not self.encrypted:
            return Fault("type", f"has no keys, but media encryption is on for {self.type} legs", PolicyRefused)
        if self.encrypted and not on:
            return Fault("type", f"has keys, but media encryption is off for {self.type} legs", PolicyRefused)
        return None

    def check(self, media_encryption: Mapping[str, bool] | None) -> None:
        """Raise the MediaError of the first fault, that of the flags included (None: the leg is open already, and keeps
        the mode that it was opened in)."""
        for fault in self.faults():
            raise fault.error(f"{fault.field} {fault.reason}")
        refusal = None if media_encryption is None else self.policy_fault(media_encryption)
        if refusal is not None:
            raise refusal.error(f"{self.type} leg {refusal.reason}")


def forwards(source: LegSettings, target: LegSettings) -> bool:
    """Whether what arrives at `source` leaves `target` as it is: the same keys and suite on both sides."""
    both = source.encrypted and target.encrypted and source.suite == target.sending_suite
    return both and same_keys(source.receive_keys, target.transmit_keys)


def _rtcp_beside(rtp: Address | None, mux: bool) -> Address | None:
    return rtp if rtp is None or mux else rtp.next_port


def _address_faults(leg: LegSettings) -> Iterator[Fault]:
    if leg.type not in LEG_TYPES:
        yield Fault("type", f"is not one of {', '.join(LEG_TYPES)}")
    if leg.family not in (4, 6):
        yield Fault("family", "is neither 4 nor 6")
    last = MAX_PORT if leg.rtcp_mux else MAX_PORT - 1
    places = (("local", leg.local, last), ("remote", leg.remote, MAX_PORT if leg.remote_rtcp else last))
    for name, address, highest in (*places, ("remote_rtcp", leg.remote_rtcp, MAX_PORT)):
        if address is None:
            continue
        if not MIN_PORT <= address.port <= highest:
            room = " with RTCP on the port above" if highest < MAX_PORT else ""
            yield Fault(name, f"has a port outside {MIN_PORT} to {highest}{room}")
        elif reason := host_fault(address.host, wildcard=name == "local"):
            yield Fault(name, reason)
        elif name != "local" and address.family != leg.address_family:
            yield Fault(name, f"is not an IPv{leg.address_family} address as the local side is")
    yield from _remote_faults(leg)


def _remote_faults(leg: LegSettings) -> Iterator[Fault]:
    if leg.remote_rtcp is not None and leg.remote is None:
        yield Fault("remote_rtcp", "is given without remote")
    elif leg.remote_rtcp is not None and leg.rtcp_mux and leg.remote_rtcp != leg.remote:
        yield Fault("remote_rtcp", "differs from remote, but RTP and RTCP share a port")
    own = {leg.local, leg.local_rtcp} - {None}
    if own & {leg.remote, leg.rtcp_target}:
        yield Fault("remote", "is the leg's own address")
    if leg.source is not None and leg.source not in SOURCE_RULES:
        yield Fault("source", f"is not one of {', '.join(SOURCE_RULES)}")
    elif leg.source == "authenticated" and not leg.encrypted:
        yield Fault("source", "cannot be authenticated without keys")
    elif leg.source == "learn-once" and leg.encrypted:
        yield Fault("source", "cannot be learn-once on a leg with keys: authenticated follows NAT and is safe")


def _key_faults(leg: LegSettings) -> Iterator[Fault]:
    if not leg.encrypted:
        for name in ("suite", "transmit_suite", "sending_state", "roc_hints"):
            if getattr(leg, name):
                yield Fault(name, "is given without keys")
        return
    if leg.suite is None:
        yield Fault("suite", "is missing, but the leg has keys")
    sides = (("suite", leg.suite, "receive_keys", leg.receive_keys),
             ("transmit_suite", leg.sending_suite, "transmit_keys", leg.transmit_keys))  # fmt: skip
    for suite_field, suite, keys_field, keys in sides:
        if suite is not None and suite not in relay_suites():
            if suite_field == "suite" or leg.transmit_suite is not None:
                yield Fault(suite_field, f"is not one of {', '.join(relay_suites())}")
        elif not keys:
            yield Fault(keys_field, "is missing: keys are needed both ways")
        elif suite is not None and (reason := keys_fault(keys, suite)):
            yield Fault(keys_field, reason)
    received = {fingerprint(key) for key in leg.receive_keys}
    if any(fingerprint(key) in received for key in leg.transmit_keys):
        yield Fault("transmit_keys", "is also the receiving key: both ways would share their keystream", KeyReuse)


def _number_faults(leg: LegSettings) -> Iterator[Fault]:
    ranges: tuple[tuple[str, float, float], ...] = (
        ("window", WINDOW_MIN, WINDOW_MAX),
        ("max_ssrcs", 1, MAX_SSRCS_LIMIT),
        ("dscp", 0, DSCP_MAX),
        ("media_timeout", 0, MEDIA_TIMEOUT_MAX),
        ("clock_rate", 0, CLOCK_RATE_MAX),
    )
    for name, low, high in ranges:
        value: float = getattr(leg, name)
        if not math.isfinite(value) or not low <= value <= high:
            yield Fault(name, f"is outside {low:g} to {high:g}")
    if len(leg.roc_hints) > HINTS_MAX:
        yield Fault("roc_hints", f"lists more than {HINTS_MAX} values")
    if any(not 0 <= hint <= ROC_MAX for hint in leg.roc_hints):
        yield Fault("roc_hints", f"holds a value outside 0 to {ROC_MAX}")
    if len(leg.name) > NAME_MAX or not leg.name.isprintable():
        yield Fault("name", f"is not printable text of at most {NAME_MAX} characters")
    if leg.rename_sources not in RENAME_SOURCES:
        yield Fault("rename_sources", f"is not one of {', '.join(RENAME_SOURCES)}")
