"""Whether a leg is encrypted: the table of section 3.1 of the specification, and the rules beside it.

Everything that decides comes in as values, so that the table can be read and every combination be tried
(docs/decisions.md). What no row lists is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from itertools import product
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from srtpgw.control.model import PolicyNumber, Protocol, TerminalClass
from srtpgw.terms import LEG_TYPES, LegType

# What the far end offered or answered, of one m= line. A line is usable where its suite is one of ours, its key can be
# read, and no session parameter takes encryption or authentication away (RFC 4568, section 6.3).
OfferKind = Literal["avp", "avp-usable", "avp-unusable", "savp-usable", "savp-unusable"]
MediaResult = Literal["srtp", "plain", "refused"]
MediaReason = Literal[
    "encryption-off", "usable", "plain-allowed", "encryption-required", "crypto-unusable", "keys-over-clear", "unlisted"
]

NOT_ENCRYPTED: Final = "NOT ENCRYPTED"
REFUSED_STATUS: Final = 488  # Not Acceptable Here (RFC 3261, section 21.4.26)

OFFERS: Final[Mapping[OfferKind, str]] = MappingProxyType({
    "avp": "RTP/AVP(F) without a=crypto",
    "avp-usable": "RTP/AVP(F) with a usable a=crypto",
    "avp-unusable": "RTP/AVP(F) with no usable a=crypto",
    "savp-usable": "RTP/SAVP(F) with a usable a=crypto",
    "savp-unusable": "RTP/SAVP(F) with no usable a=crypto",
})  # fmt: skip

# Texts for a Warning header, to which the leg's type is added.
MEDIA_TEXTS: Final[Mapping[MediaReason, str]] = MappingProxyType({
    "encryption-off": "media encryption is off: offer RTP/AVP",
    "usable": "media is encrypted",
    "plain-allowed": "media is not encrypted",
    "encryption-required": "media encryption is required: offer RTP/SAVP with a usable crypto attribute over TLS",
    "crypto-unusable": "RTP/SAVP without a usable crypto attribute",
    "keys-over-clear": "keys are not taken from clear signaling: use TLS",
    "unlisted": "no rule provides for this offer",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFacts:
    """What is known of a leg before media is judged. ``flag``: media encryption of its type. ``secure_signaling``: as
    ``signaling_is_secure`` says. ``security_exception`` and ``terminal`` (None: not known, which excuses nothing) are
    an extension's, ``fallback`` a route's."""

    type: LegType
    flag: bool
    secure_signaling: bool
    policy: PolicyNumber | None = None
    security_exception: bool = False
    terminal: TerminalClass | None = None
    fallback: bool = False
    allow_sdes_over_clear: bool = False


@dataclass(frozen=True, slots=True)
class MediaDecision:
    """What becomes of a leg: ``result``, and why. ``row`` is the one of ``MEDIA_TABLE`` that decided (from 1; 0: none
    lists it). A leg that is refused is answered with ``REFUSED_STATUS`` and ``warning``."""

    type: LegType
    result: MediaResult
    reason: MediaReason
    row: int

    @property
    def crypto_removed(self) -> bool:
        """Whether a=crypto lines must go: a key has no business on a leg that does not use it."""
        return self.result != "srtp"

    @property
    def mark(self) -> str:
        """How the leg is shown where it should be encrypted and is not: ``NOT ENCRYPTED``; else empty."""
        return NOT_ENCRYPTED if self.reason == "plain-allowed" else ""

    @property
    def warning(self) -> str:
        """The sentence for a Warning header; it names the type. ASCII without quotes."""
        return f"{self.type}: {MEDIA_TEXTS[self.reason]}"


class MediaRow(NamedTuple):
    """One row of the table: the flag, secure signaling (None: any), the offers, and what follows. "nothing-usable" is
    plain where ``plain_allowed`` says so, and refused otherwise."""

    flag: bool
    secure: bool | None
    offers: tuple[OfferKind, ...]
    result: Literal["srtp", "plain", "refused", "nothing-usable"]
    reason: MediaReason


_AVP: Final[tuple[OfferKind, ...]] = ("avp", "avp-usable", "avp-unusable")
_SAVP: Final[tuple[OfferKind, ...]] = ("savp-usable", "savp-unusable")

MEDIA_TABLE: Final[tuple[MediaRow, ...]] = (
    MediaRow(False, None, _AVP, "plain", "encryption-off"),
    MediaRow(False, None, _SAVP, "refused", "encryption-off"),
    MediaRow(True, True, ("savp-usable", "avp-usable"), "srtp", "usable"),
    MediaRow(True, True, ("avp", "avp-unusable"), "nothing-usable", "encryption-required"),
    # RTP/SAVP cannot be answered in clear: a stream whose keys are all unusable is rejected (RFC 4568, section 5.1.2).
    MediaRow(True, True, ("savp-unusable",), "refused", "crypto-unusable"),
    MediaRow(True, False, _SAVP, "refused", "keys-over-clear"),  # allow-sdes-over-clear: as over TLS
    MediaRow(True, False, _AVP, "nothing-usable", "encryption-required"),
)

_MEDIA_ROWS: Final[Mapping[tuple[bool, bool, OfferKind], int]] = MappingProxyType({
    (row.flag, secure, offer): index
    for index, row in enumerate(MEDIA_TABLE)
    for secure, offer in product((False, True) if row.secure is None else (row.secure,), row.offers)
})  # fmt: skip


def media(leg: LegFacts, offer: OfferKind) -> MediaDecision:
    """Judge what the far end of a leg offered or answered (specification, section 3.1)."""
    # Only RTP/SAVP is bound to the setting: keys in a clear RTP/AVP are nothing usable, with it or without.
    secure = True if leg.allow_sdes_over_clear is True and offer in _SAVP else leg.secure_signaling
    index = _MEDIA_ROWS.get((leg.flag, secure, offer))
    if index is None or leg.type not in LEG_TYPES:
        return MediaDecision(leg.type, "refused", "unlisted", 0)
    row = MEDIA_TABLE[index]
    if row.result != "nothing-usable":
        return MediaDecision(leg.type, row.result, row.reason, index + 1)
    if plain_allowed(leg):
        return MediaDecision(leg.type, "plain", "plain-allowed", index + 1)
    return MediaDecision(leg.type, "refused", row.reason, index + 1)


def plain_allowed(leg: LegFacts) -> bool:
    """Whether a leg whose flag is on may go on in clear where nothing usable was offered."""
    match leg.type:
        case "extension":
            insecure_type = leg.policy == 3 and leg.terminal == "insecure"
            return leg.policy is None or leg.security_exception is True or insecure_type
        case "route":
            return leg.fallback is True
        case _:
            return False  # between media gateways never


class OwnOffer(NamedTuple):
    """What we offer. ``profile`` None: nothing, for the only answer that could come would be refused, as ``refusal``
    says. ``retry_plain``: a 488 to it is retried once, as RTP/AVP."""

    profile: Literal["RTP/SAVP", "RTP/AVP"] | None
    retry_plain: bool = False
    refusal: MediaDecision | None = None


def our_offer(leg: LegFacts) -> OwnOffer:
    """Our own offer to the far end of a leg: RTP/SAVP where the flag is on and the signaling is secure, else RTP/AVP.
    Our keys never go out over clear signaling, ``allow-sdes-over-clear`` or not."""
    in_clear = media(leg, "avp")
    if media(leg, "savp-usable").result == "srtp" and leg.secure_signaling:
        return OwnOffer("RTP/SAVP", retry_plain=in_clear.result == "plain")
    if in_clear.result == "plain":
        return OwnOffer("RTP/AVP")
    return OwnOffer(None, refusal=in_clear)


# --- m= lines ---------------------------------------------------------------------------------------------------------

_PROFILES: Final[Mapping[str, str]] = MappingProxyType({
    "RTP/AVP": "avp",
    "RTP/AVPF": "avp",
    "RTP/SAVP": "savp",
    "RTP/SAVPF": "savp",
})  # fmt: skip
_DTLS_PROFILES: Final = ("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")  # RFC 5764: no key of theirs is in an a=crypto line


def offer_kind(profile: str, crypto_lines: int, usable_lines: int) -> OfferKind | None:
    """What an m= line offers, by its profile and its a=crypto lines (all of them, and the usable ones). None: no RTP,
    so nothing that we can encrypt (T.38 over UDPTL, MSRP, BFCP, anything not known)."""
    name = profile.upper()
    if name in _DTLS_PROFILES:
        return "savp-unusable"
    usable = 0 < usable_lines <= crypto_lines
    match _PROFILES.get(name):
        case "avp" if crypto_lines <= 0:
            return "avp"
        case "avp":
            return "avp-usable" if usable else "avp-unusable"
        case "savp":
            return "savp-usable" if usable else "savp-unusable"
        case _:
            return None


def takes_line_without_rtp(leg: LegFacts, rtp: MediaResult | None) -> bool:
    """Whether an m= line that cannot be encrypted is accepted; otherwise it is rejected with port 0. ``rtp`` is what
    became of the leg's RTP (None: it has none). A leg that is encrypted stays so in all it carries."""
    return rtp != "srtp" and media(leg, "avp").result == "plain"


# --- calls whose media goes directly between their ends ---------------------------------------------------------------

DirectHandling = Literal["kept", "removed", "unchanged", "gateway", "refused"]
EndKind = tuple[LegType, Protocol]


class DirectEnd(NamedTuple):
    """An end of a call without a gateway in its media."""

    protocol: Protocol
    leg: LegFacts


class DirectDecision(NamedTuple):
    """What happens to an offer that goes on to the other end: "kept" (a=crypto and profile as they are, and required),
    "removed" (a=crypto lines, and the profile becomes RTP/AVP), "unchanged", "gateway" (the media must be relayed, for
    the ends need different things), "refused". ``first`` is what the table says of the end that offered, where the
    flag decides."""

    handling: DirectHandling
    first: MediaDecision | None = None

    @property
    def mark(self) -> str:
        """``NOT ENCRYPTED`` where the call should be encrypted and is not; else empty."""
        return self.first.mark if self.handling == "removed" and self.first is not None else ""


# By kind of both ends: whether the flag of extensions decides, or the ends do. Others need a gateway between them.
DIRECT_TABLE: Final[Mapping[frozenset[EndKind], Literal["flag", "ends"]]] = MappingProxyType({
    frozenset({("extension", "sip")}): "flag",
    frozenset({("extension", "h323")}): "ends",
    frozenset({("extension", "sip"), ("route", "sip")}): "ends",
    frozenset({("extension", "h323"), ("route", "h323")}): "ends",
    frozenset({("route", "sip")}): "ends",
    frozenset({("route", "h323")}): "ends",
})  # fmt: skip


def direct_media(offerer: DirectEnd, other: DirectEnd, offer: OfferKind) -> DirectDecision:
    """Judge an offer (or an answer, with the ends the other way round) of a non-gateway call (sections 3 and 3.1).

    Between two SIP extensions both ends must agree, each judged by its own signaling, for keys that came over TLS are
    not sent on in clear. Where they do not, a gateway between them encrypts what can be.
    """
    ends = frozenset({(offerer.leg.type, offerer.protocol), (other.leg.type, other.protocol)})
    match DIRECT_TABLE.get(ends):
        case "ends":
            return DirectDecision("unchanged")
        case "flag":
            return _by_flag(offerer.leg, other.leg, offer)
        case _:
            return DirectDecision("gateway")


def _by_flag(offerer: LegFacts, other: LegFacts, offer: OfferKind) -> DirectDecision:
    first, second = media(offerer, offer), media(other, offer)
    if not offerer.flag and not other.flag and first.reason != "unlisted":
        return DirectDecision("removed", first)
    if first.result == "refused":
        return DirectDecision("refused", first)
    if first.result != second.result:
        return DirectDecision("gateway", first)
    return DirectDecision("kept" if first.result == "srtp" else "removed", first)


# --- signaling --------------------------------------------------------------------------------------------------------


def signaling_is_secure(protocol: Literal["sip", "h323", "ng"], transport: str, peer: str = "") -> bool:
    """Whether keys may be taken from it: TLS; for ng also a Unix socket, or a ``peer`` (numeric address) on loopback.
    ``transport``: "udp", "tcp", "tls", "unix". What is not known is not secure."""
    if transport == "tls":
        return protocol in ("sip", "h323", "ng")
    return protocol == "ng" and (transport == "unix" or (transport in ("udp", "tcp") and _is_loopback(peer)))


def _is_loopback(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def hop_is_allowed(uri: str, transport: str) -> bool:
    """Whether a request to this URI may be sent over a hop of this transport: ``sips:`` only over TLS (RFC 3261,
    section 26.2.2)."""
    return transport == "tls" or not uri.lstrip().lower().startswith("sips:")
