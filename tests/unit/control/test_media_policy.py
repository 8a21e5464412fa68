"""Every combination of a leg and an offer against section 3.1 of the specification, typed here by hand and not from the
code; then the rules below its table."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, Final, Literal

import pytest

from srtpgw.control.media_policy import (
    MEDIA_TEXTS,
    NOT_ENCRYPTED,
    REFUSED_STATUS,
    DirectEnd,
    LegFacts,
    MediaResult,
    OfferKind,
    direct_media,
    hop_is_allowed,
    media,
    offer_kind,
    our_offer,
    plain_allowed,
    signaling_is_secure,
    takes_line_without_rtp,
)
from srtpgw.control.model import PolicyNumber, TerminalClass
from srtpgw.terms import LegType

EVERY_OFFER: Final[tuple[OfferKind, ...]] = ("avp", "avp-usable", "avp-unusable", "savp-usable", "savp-unusable")
POLICIES: Final[tuple[PolicyNumber | None, ...]] = (None, 1, 2, 3)
TERMINALS: Final[tuple[TerminalClass | None, ...]] = ("secure", "insecure", None)
TYPES: Final[tuple[LegType, ...]] = ("extension", "route", "intermgw")

# The flag and the signaling, allow-sdes-over-clear, then what follows for: RTP/AVP without a=crypto, with a usable
# line, with an unusable one; RTP/SAVP with a usable line, with none. "clear?" is plain where the leg may be, else 488.
BY_SIGNALING = """
off  TLS    no    plain   plain   plain   488   488
off  TLS    yes   plain   plain   plain   488   488
off  clear  no    plain   plain   plain   488   488
off  clear  yes   plain   plain   plain   488   488
on   TLS    no    clear?  srtp    clear?  srtp  488
on   TLS    yes   clear?  srtp    clear?  srtp  488
on   clear  no    clear?  clear?  clear?  488   488
on   clear  yes   clear?  clear?  clear?  srtp  488
"""

# Which extensions may go on in clear: policy, security exception, class of the terminal.
CLEAR_EXTENSIONS = {
    (None, "yes", "secure"), (None, "yes", "insecure"), (None, "yes", None),
    (None, "no", "secure"), (None, "no", "insecure"), (None, "no", None),
    (1, "yes", "secure"), (1, "yes", "insecure"), (1, "yes", None),
    (2, "yes", "secure"), (2, "yes", "insecure"), (2, "yes", None),
    (3, "yes", "secure"), (3, "yes", "insecure"), (3, "yes", None),
    (3, "no", "insecure"),
}  # fmt: skip


def every_leg() -> list[tuple[LegFacts, bool]]:
    """All there are, each with whether it may go on in clear. What is another type's property changes nothing."""
    legs = []
    settings = product(TYPES, (False, True), (False, True), POLICIES, (False, True), TERMINALS, (False, True))
    for kind, flag, secure, policy, exception, terminal, fallback in settings:
        leg = LegFacts(
            type=kind,
            flag=flag,
            secure_signaling=secure,
            policy=policy,
            security_exception=exception,
            terminal=terminal,
            fallback=fallback,
        )
        excepted = (policy, "yes" if exception else "no", terminal) in CLEAR_EXTENSIONS
        legs.append((leg, {"extension": excepted, "route": fallback, "intermgw": False}[kind]))
    return legs


EVERY_LEG: Final = every_leg()


def test_every_leg_is_tried() -> None:
    assert len(EVERY_LEG) == 3 * 2 * 2 * 4 * 2 * 3 * 2
    assert all(plain_allowed(leg) == clear for leg, clear in EVERY_LEG)


@pytest.mark.parametrize("line", BY_SIGNALING.strip().split("\n"))
def test_every_combination(line: str) -> None:
    flag, signaling, allow, *expected = line.split()
    tried = 0
    for leg, clear in EVERY_LEG:
        if (leg.flag, leg.secure_signaling) != (flag == "on", signaling == "TLS"):
            continue
        for offer, word in zip(EVERY_OFFER, expected, strict=True):
            decision = media(replace(leg, allow_sdes_over_clear=allow == "yes"), offer)
            follows = ("plain" if clear else "488") if word == "clear?" else word
            assert decision.result == follows.replace("488", "refused"), (leg, offer)
            assert decision.mark == ("NOT ENCRYPTED" if follows == "plain" and leg.flag else "")
            assert decision.crypto_removed == (follows != "srtp")
            tried += 1
    assert tried == 3 * 4 * 2 * 3 * 2 * 5


def leg(kind: LegType = "extension", *, flag: bool = True, secure: bool = True, **more: Any) -> LegFacts:
    return LegFacts(type=kind, flag=flag, secure_signaling=secure, **more)


# Rows as they follow each other in the table, "nothing usable" parted in what can be answered in clear and what cannot.
ROWS: list[tuple[LegFacts, OfferKind, int, str]] = [
    (leg(flag=False), "avp", 1, "encryption-off"),
    (leg(flag=False), "savp-usable", 2, "encryption-off"),
    (leg(), "savp-usable", 3, "usable"),
    (leg(), "avp-usable", 3, "usable"),
    (leg(), "avp", 4, "plain-allowed"),
    (leg("intermgw"), "avp-unusable", 4, "encryption-required"),
    (leg(), "savp-unusable", 5, "crypto-unusable"),
    (leg(secure=False), "savp-usable", 6, "keys-over-clear"),
    (leg(secure=False, policy=1), "avp-usable", 7, "encryption-required"),
]


@pytest.mark.parametrize(("facts", "offer", "row", "reason"), ROWS)
def test_the_row_that_decided(facts: LegFacts, offer: OfferKind, row: int, reason: str) -> None:
    decision = media(facts, offer)
    assert (decision.row, decision.reason) == (row, reason)


def test_a_refusal_is_488_with_a_warning_that_names_the_type() -> None:
    assert REFUSED_STATUS == 488
    for facts, offer in product((leg(kind, policy=1) for kind in TYPES), EVERY_OFFER):
        decision = media(replace(facts, secure_signaling=False), offer)
        assert decision.result == "refused"
        assert decision.type in decision.warning
    for text in MEDIA_TEXTS.values():
        assert text.isascii()
        assert text.isprintable()
        assert not set('"\\') & set(text)


@pytest.mark.parametrize(
    "change",
    [{"type": "trunk"}, {"type": ""}, {"flag": None}, {"flag": "on"}, {"secure_signaling": None},
     {"type": "trunk", "flag": False}],
)  # fmt: skip
def test_what_nobody_thought_of_is_refused(change: dict[str, Any]) -> None:
    facts = replace(leg(security_exception=True, fallback=True, terminal="insecure"), **change)
    for offer in EVERY_OFFER:
        decision = media(facts, offer)
        assert (decision.result, decision.reason, decision.row) == ("refused", "unlisted", 0)
    assert our_offer(facts).profile is None
    assert not takes_line_without_rtp(facts, None)


def test_an_offer_of_another_kind_is_refused() -> None:
    unknown: Any
    for unknown in ("", "dtls", None):
        assert all(media(facts, unknown).result == "refused" for facts, _ in EVERY_LEG)


@pytest.mark.parametrize("excuse", [{"security_exception": "no"}, {"terminal": "by-logon", "policy": 3}])
def test_an_excuse_that_is_none(excuse: dict[str, Any]) -> None:
    assert not plain_allowed(leg(**{"policy": 1, **excuse}))
    assert not plain_allowed(leg("route", fallback="no"))


# --- our own offer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allow", [False, True])
def test_our_own_offer(allow: bool) -> None:
    for facts, clear in EVERY_LEG:
        offer = our_offer(replace(facts, allow_sdes_over_clear=allow))
        if facts.flag and facts.secure_signaling:
            assert (offer.profile, offer.retry_plain, offer.refusal) == ("RTP/SAVP", clear, None)
        elif not facts.flag or clear:
            assert (offer.profile, offer.retry_plain, offer.refusal) == ("RTP/AVP", False, None)
        else:  # no answer to RTP/AVP could be taken
            assert offer.profile is None
            assert offer.refusal is not None
            assert offer.refusal.reason == "encryption-required"


# --- m= lines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "lines", "usable", "kind"),
    [
        ("RTP/AVP", 0, 0, "avp"), ("RTP/AVP", 2, 0, "avp-unusable"), ("RTP/AVPF", 2, 1, "avp-usable"),
        ("RTP/AVPF", 0, 0, "avp"), ("rtp/avp", 1, 1, "avp-usable"),
        ("RTP/SAVP", 1, 1, "savp-usable"), ("RTP/SAVPF", 3, 2, "savp-usable"), ("RTP/SAVP", 3, 0, "savp-unusable"),
        ("RTP/SAVP", 0, 0, "savp-unusable"), ("RTP/SAVP", 0, 1, "savp-unusable"), ("RTP/AVP", 0, 1, "avp"),
        ("RTP/SAVP", 1, 2, "savp-unusable"), ("RTP/SAVP", 1, -1, "savp-unusable"), ("RTP/AVP", 1, 2, "avp-unusable"),
        ("UDP/TLS/RTP/SAVP", 0, 0, "savp-unusable"), ("UDP/TLS/RTP/SAVPF", 1, 1, "savp-unusable"),
        ("udptl", 0, 0, None), ("UDPTL", 1, 1, None), ("TCP/MSRP", 0, 0, None), ("TCP/TLS/MSRP", 0, 0, None),
        ("UDP/BFCP", 0, 0, None), ("TCP/BFCP", 0, 0, None), ("TCP/RTP/AVP", 0, 0, None), ("", 0, 0, None),
        ("RTP/SAVP ", 1, 1, None), ("RTP/AVP\0", 0, 0, None), ("x" * 65536, 0, 0, None),
    ],
)  # fmt: skip
def test_what_an_m_line_offers(profile: str, lines: int, usable: int, kind: OfferKind | None) -> None:
    assert offer_kind(profile, lines, usable) == kind


def test_a_leg_that_must_be_encrypted_takes_no_line_that_cannot_be() -> None:
    results: tuple[MediaResult | None, ...] = ("srtp", "plain", "refused", None)
    for facts, clear in EVERY_LEG:
        assert takes_line_without_rtp(facts, "srtp") is False
        for rtp in results[1:]:
            assert takes_line_without_rtp(facts, rtp) is (not facts.flag or clear)


# --- calls whose media goes directly between their ends ---------------------------------------------------------------

SIP: Final = "sip"
H323: Final = "h323"


def end(protocol: Literal["sip", "h323"], facts: LegFacts) -> DirectEnd:
    return DirectEnd(protocol, facts)


# Both ends' protocol and type; who decides. What is not here needs a gateway, so each pair is tried.
BY_ENDS = {
    (SIP, "extension", SIP, "extension"): "flag",
    (H323, "extension", H323, "extension"): "unchanged",
    (SIP, "extension", SIP, "route"): "unchanged",
    (SIP, "route", SIP, "extension"): "unchanged",
    (H323, "extension", H323, "route"): "unchanged",
    (H323, "route", H323, "extension"): "unchanged",
    (SIP, "route", SIP, "route"): "unchanged",
    (H323, "route", H323, "route"): "unchanged",
}


@pytest.mark.parametrize("flag", [False, True])
def test_every_pair_of_ends(flag: bool) -> None:
    protocols: tuple[Literal["sip", "h323"], ...] = ("sip", "h323")
    for one, kind, two, other_kind in product(protocols, TYPES, protocols, TYPES):
        first, second = end(one, leg(kind, flag=flag, policy=1)), end(two, leg(other_kind, flag=flag, policy=1))
        handled = direct_media(first, second, "savp-usable").handling
        expected = BY_ENDS.get((one, kind, two, other_kind), "gateway")
        assert handled == (("kept" if flag else "removed") if expected == "flag" else expected)


# An end: its signaling, and whether it may go on in clear. Both ends, the offer, and what happens to it.
MUST, MAY = {"policy": 1}, {"policy": None}
DIRECT = """
TLS   must  TLS   must  avp            refused
TLS   must  TLS   must  avp-usable     kept
TLS   must  TLS   must  avp-unusable   refused
TLS   must  TLS   must  savp-usable    kept
TLS   must  TLS   must  savp-unusable  refused
TLS   must  TLS   may   avp            refused
TLS   must  TLS   may   avp-usable     kept
TLS   must  TLS   may   avp-unusable   refused
TLS   must  TLS   may   savp-usable    kept
TLS   must  TLS   may   savp-unusable  refused
TLS   must  clear must  avp            refused
TLS   must  clear must  avp-usable     gateway
TLS   must  clear must  avp-unusable   refused
TLS   must  clear must  savp-usable    gateway
TLS   must  clear must  savp-unusable  refused
TLS   must  clear may   avp            refused
TLS   must  clear may   avp-usable     gateway
TLS   must  clear may   avp-unusable   refused
TLS   must  clear may   savp-usable    gateway
TLS   must  clear may   savp-unusable  refused
TLS   may   TLS   must  avp            gateway
TLS   may   TLS   must  avp-usable     kept
TLS   may   TLS   must  avp-unusable   gateway
TLS   may   TLS   must  savp-usable    kept
TLS   may   TLS   must  savp-unusable  refused
TLS   may   TLS   may   avp            removed
TLS   may   TLS   may   avp-usable     kept
TLS   may   TLS   may   avp-unusable   removed
TLS   may   TLS   may   savp-usable    kept
TLS   may   TLS   may   savp-unusable  refused
TLS   may   clear must  avp            gateway
TLS   may   clear must  avp-usable     gateway
TLS   may   clear must  avp-unusable   gateway
TLS   may   clear must  savp-usable    gateway
TLS   may   clear must  savp-unusable  refused
TLS   may   clear may   avp            removed
TLS   may   clear may   avp-usable     gateway
TLS   may   clear may   avp-unusable   removed
TLS   may   clear may   savp-usable    gateway
TLS   may   clear may   savp-unusable  refused
clear must  any   any   avp            refused
clear must  any   any   avp-usable     refused
clear must  any   any   avp-unusable   refused
clear must  any   any   savp-usable    refused
clear must  any   any   savp-unusable  refused
clear may   TLS   must  avp            gateway
clear may   TLS   must  avp-usable     gateway
clear may   TLS   must  avp-unusable   gateway
clear may   TLS   may   avp            removed
clear may   TLS   may   avp-usable     gateway
clear may   TLS   may   avp-unusable   removed
clear may   clear must  avp            gateway
clear may   clear must  avp-usable     gateway
clear may   clear must  avp-unusable   gateway
clear may   clear may   avp            removed
clear may   clear may   avp-usable     removed
clear may   clear may   avp-unusable   removed
clear may   any   any   savp-usable    refused
clear may   any   any   savp-unusable  refused
"""


def test_every_offer_between_two_sip_extensions_that_encrypt() -> None:
    tried = set()
    for line in DIRECT.strip().split("\n"):
        *words, offer, expected = line.split()
        signaling = ["TLS", "clear"] if words[2] == "any" else [words[2]]
        rights = ["must", "may"] if words[3] == "any" else [words[3]]
        for far, right in product(signaling, rights):
            ends = [
                end("sip", leg(secure=secure == "TLS", **(MUST if bound == "must" else MAY)))
                for secure, bound in ((words[0], words[1]), (far, right))
            ]
            kind: Any = offer
            decision = direct_media(ends[0], ends[1], kind)
            assert decision.handling == expected, line
            assert decision.mark == (NOT_ENCRYPTED if expected == "removed" else "")
            tried.add((words[0], words[1], far, right, offer))
    assert len(tried) == 2 * 2 * 2 * 2 * 5


@pytest.mark.parametrize("offer", EVERY_OFFER)
@pytest.mark.parametrize("secure", [True, False])
def test_keys_are_removed_between_sip_extensions_that_do_not_encrypt(offer: OfferKind, secure: bool) -> None:
    decision = direct_media(end("sip", leg(flag=False, policy=1)), end("sip", leg(flag=False, secure=secure)), offer)
    assert (decision.handling, decision.mark) == ("removed", "")


def test_an_unknown_offer_between_sip_extensions_is_refused() -> None:
    unknown: Any = "dtls"
    for flag in (False, True):
        assert direct_media(end("sip", leg(flag=flag)), end("sip", leg(flag=flag)), unknown).handling == "refused"


# --- signaling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "transport", "peer", "secure"),
    [
        ("sip", "tls", "192.0.2.1", True), ("h323", "tls", "192.0.2.1", True), ("ng", "tls", "192.0.2.1", True),
        ("sip", "udp", "127.0.0.1", False), ("sip", "tcp", "127.0.0.1", False), ("h323", "tcp", "127.0.0.1", False),
        ("sip", "unix", "", False), ("h323", "unix", "", False),
        ("ng", "unix", "", True), ("ng", "udp", "127.0.0.1", True), ("ng", "tcp", "127.8.0.1", True),
        ("ng", "udp", "::1", True), ("ng", "udp", "::ffff:127.0.0.1", True), ("ng", "udp", "::ffff:192.0.2.1", False),
        ("ng", "udp", "192.0.2.1", False), ("ng", "tcp", "2001:db8::1", False), ("ng", "udp", "::", False),
        ("ng", "udp", "localhost", False), ("ng", "udp", "", False), ("ng", "udp", "127.0.0.1.example.org", False),
        ("ng", "sctp", "127.0.0.1", False), ("ng", "TLS", "192.0.2.1", False), ("mgcp", "tls", "192.0.2.1", False),
    ],
)  # fmt: skip
def test_which_signaling_is_secure(protocol: Any, transport: str, peer: str, secure: bool) -> None:
    assert signaling_is_secure(protocol, transport, peer) is secure


@pytest.mark.parametrize(
    ("uri", "transport", "allowed"),
    [
        ("sips:1@example.org", "tls", True), ("sips:1@example.org", "udp", False), ("sips:1@example.org", "tcp", False),
        ("SIPS:1@example.org", "tcp", False), (" sips:1@example.org", "tcp", False), ("sips:1@h", "unix", False),
        ("sips:1@example.org;transport=tcp", "tls", True), ("sip:1@example.org", "udp", True),
        ("sip:sips:1@example.org", "udp", True), ("tel:+4612000", "tcp", True),
    ],
)  # fmt: skip
def test_sips_stays_on_tls(uri: str, transport: str, allowed: bool) -> None:
    assert hop_is_allowed(uri, transport) is allowed
