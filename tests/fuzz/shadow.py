"""What the fuzz driver knows without asking the gateway: which datagrams were authentic, what a leg may send, where to.

A `Shadow` stands beside one far end. It is plain Python on the model of tests/model, so that it shares no decision with
the engine. `Violation` is raised where something left the gateway that must not have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.packet import Malformed, rtp_header_length
from model.transform import BadTag, srtcp_index
from model.window import SEQUENCE, estimate
from native import rtcp as forms
from native.rig import Datagram, End

from srtpgw.media import Address

LONGEST = 65507


class Violation(Exception):
    """An invariant does not hold."""


@dataclass
class Sent:
    """One datagram to the gateway."""

    leg: int
    port: int  # 0 RTP, 1 RTCP
    source: Address
    octets: bytes


def is_rtcp(octets: bytes) -> bool:
    """RFC 5761 4."""
    return len(octets) > 1 and 192 <= octets[1] <= 223


def well_formed(octets: bytes) -> bool:
    """Whether a plain leg may pass it on."""
    if len(octets) > LONGEST or len(octets) < 2 or octets[0] >> 6 != 2:
        return False
    try:
        if is_rtcp(octets):
            return len(octets) >= 8 and bool(forms.lengths(octets))
        header = rtp_header_length(octets)
    except (Malformed, ValueError):
        return False
    return not octets[0] & 0x20 or 0 < octets[-1] <= len(octets) - header


@dataclass(eq=False)
class Shadow:
    """One leg, seen from outside."""

    end: End
    peer: Shadow | None = None
    forwards: bool = False  # what arrives here leaves the peer as it is
    generation: int = 0
    authentic: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)  # wire -> generation, plain
    passed: set[bytes] = field(default_factory=set)  # wires that left the peer: none may do so again
    sources: set[Address] = field(default_factory=set)  # where something came from that may move the address
    latched: dict[int, Address] = field(default_factory=dict)
    position: dict[int, int] = field(default_factory=dict)  # the far end's newest index by SSRC
    newest: dict[int, int] = field(default_factory=dict)  # of what the leg sent, by SSRC
    used: set[tuple[bool, int, int]] = field(default_factory=set)  # RTCP, SSRC, index under the present key
    heard: set[int] = field(default_factory=set)  # SSRCs under the present key
    inbox: list[Sent] = field(default_factory=list)  # of this batch, in order

    @property
    def hold(self) -> bool:
        return self.end.leg.settings.hold

    @property
    def mux(self) -> bool:
        return self.end.leg.settings.rtcp_mux

    @property
    def encrypted(self) -> bool:
        return self.end.leg.settings.encrypted

    def sends_anew(self) -> None:
        """Another sending key."""
        self.used.clear()
        self.heard.clear()

    # --- what goes in

    def seal(self, plain: bytes, roc: int = 0) -> bytes:
        """The wire of an authentic packet of the far end."""
        wire = self.end.seal_rtcp(plain) if is_rtcp(plain) else self.end.seal(plain, roc)
        if self.encrypted:
            self.authentic[wire] = (self.generation, plain)
        return wire

    def rekeyed(self) -> None:
        """Another receiving key: what is two keys old is not authentic any more."""
        self.generation += 1
        oldest = self.generation - 1
        self.authentic = {wire: known for wire, known in self.authentic.items() if known[0] >= oldest}
        self.passed &= self.authentic.keys()

    def note(self, sent: Sent) -> None:
        """Before the batch: where the address may move to."""
        self.inbox.append(sent)
        rule = self.end.leg.settings.source_rule
        if rule == "learn-once" or (rule == "authenticated" and sent.octets in self.authentic):
            self.sources.add(sent.source)

    def signaled(self, port: int) -> Address | None:
        settings = self.end.leg.settings
        return settings.rtcp_target if port else settings.remote

    def admitted(self, sent: Sent) -> bytes | None:
        """The plain packet, where this datagram may be passed on."""
        if is_rtcp(sent.octets) != (sent.port == 1) and not (self.mux and sent.port == 0):
            return None
        settings = self.end.leg.settings
        if settings.source_rule == "strict" and sent.source != self.signaled(sent.port):
            return None
        if settings.source_rule == "learn-once" and self.latched.get(sent.port, sent.source) != sent.source:
            return None
        if self.encrypted:
            known = self.authentic.get(sent.octets)
            return None if known is None or sent.octets in self.passed else known[1]
        return sent.octets if well_formed(sent.octets) else None

    def pass_on(self, sent: Sent) -> None:
        if self.encrypted:
            self.passed.add(sent.octets)
        if self.end.leg.settings.source_rule == "learn-once":
            self.latched[sent.port] = sent.source

    # --- what comes out

    def open(self, datagram: Datagram) -> bytes:
        """The plain packet of what the leg sent. Violation where it is not authentic or its keystream is not new."""
        wire, hears = datagram.octets, self.end.hears
        if hears is None:
            return wire
        try:
            if is_rtcp(wire):
                encrypted, index = srtcp_index(hears.suite, wire, len(hears.keys[0].mki))
                ssrc, plain = int.from_bytes(wire[4:8], "big"), hears.open_rtcp(wire)
                if not encrypted:
                    raise Violation("SRTCP in clear left an encrypted leg")
            else:
                ssrc = int.from_bytes(wire[8:12], "big")
                index, plain = self.open_rtp(wire, ssrc)
        except (BadTag, Malformed, IndexError) as fault:
            raise Violation(f"what left an encrypted leg is not authentic: {fault!r}") from fault
        place = (is_rtcp(wire), ssrc, index)
        if place in self.used:
            raise Violation(f"index {index} of SSRC {ssrc:08x} left twice under one key")
        self.used.add(place)
        return plain

    def open_rtp(self, wire: bytes, ssrc: int) -> tuple[int, bytes]:
        assert self.end.hears is not None
        sequence = int.from_bytes(wire[2:4], "big")
        index = estimate(self.newest[ssrc], sequence) if ssrc in self.newest else sequence
        plain = self.end.hears.open(wire, index // SEQUENCE)
        first = ssrc not in self.heard  # the first packet under a key settles its newest index, be it an old one
        self.heard.add(ssrc)
        self.newest[ssrc] = index if first else max(self.newest[ssrc], index)
        return index, plain

    def check_place(self, datagram: Datagram) -> None:
        """The address it went to is the one signaled, or one that the source rule let it learn."""
        if datagram.port and (self.mux or not is_rtcp(datagram.octets)):
            raise Violation("wrong port")
        if datagram.remote != self.signaled(datagram.port) and datagram.remote not in self.sources:
            raise Violation(f"sent to {datagram.remote}, which was neither signaled nor authentic")


def matches(source: Shadow, target: Shadow, sent: Sent, datagram: Datagram, plain: bytes) -> bool:
    """Whether `datagram` may be what became of `sent`."""
    if is_rtcp(sent.octets) != is_rtcp(datagram.octets):
        return False
    if source.forwards:
        return sent.octets == datagram.octets and source.admitted(sent) is not None
    expected = source.admitted(sent)
    if expected is None or len(expected) != len(plain):
        return False
    if is_rtcp(expected):
        return same_rtcp(expected, plain)
    renamed = target.encrypted and expected[:8] + expected[12:] == plain[:8] + plain[12:]
    return renamed or expected == plain


def same_rtcp(one: bytes, other: bytes) -> bool:
    """Equal but for the SSRCs. Where the lengths of an authentic packet do not add up, nobody knows where they are."""
    return one == other or forms.masked(one) == forms.masked(other)


def check_batch(shadows: dict[int, Shadow], left: list[Datagram], legs: list[int]) -> None:
    """Everything that left is what became of something that arrived, in its order, once; legs[i] sent left[i]."""
    reached = dict.fromkeys(shadows, 0)
    for datagram, number in zip(left, legs, strict=True):
        target = shadows[number]
        source = target.peer
        if source is None:
            raise Violation("something left a leg that is not joined")
        if not is_rtcp(datagram.octets) and (source.hold or target.hold):
            raise Violation("RTP left while one of the legs is on hold")
        target.check_place(datagram)
        plain = datagram.octets if source.forwards else target.open(datagram)
        at, inbox = reached[source.end.leg.id], source.inbox
        while at < len(inbox) and not matches(source, target, inbox[at], datagram, plain):
            at += 1
        if at == len(inbox):
            raise Violation("something left that nobody may have sent")
        source.pass_on(inbox[at])
        reached[source.end.leg.id] = at + 1
    for shadow in shadows.values():
        shadow.inbox.clear()
