"""Every finding that a verification can tell, declared once: its code, how grave it is, its title and its sentence.

The terminal, the JSON, the page and the documentation take their words from here. ``fail`` contradicts "encrypted and
authentic", and fails what is expected to be SRTP; ``warning`` is a weakness or something that was not checked; ``note``
explains. Codes are stable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from srtpgw.capture.report import Finding, Severity

FRAMES_MAX = 16  # that one finding names; more do not help whoever looks them up
LISTED_MAX = 8  # things that one sentence lists
GRAVEST_FIRST: Final[tuple[Severity, ...]] = ("fail", "warning", "note")


@dataclass(frozen=True, slots=True)
class Wording:
    """``text`` has fields in braces that the caller of ``finding`` fills."""

    severity: Severity
    title: str
    text: str


def _row(code: str, severity: Severity, heading: str, *text: str) -> tuple[str, Wording]:
    """The sentence in as many pieces as it needs."""
    return code, Wording(severity, heading, "".join(text))


FINDINGS: Final[Mapping[str, Wording]] = MappingProxyType(dict([
    # --- of one stream: not encrypted
    _row("plaintext", "fail", "the payload is not encrypted",
     "Random octets do not look like this: {reasons}."),
    _row("rtp-under-savp", "fail", "plain RTP under an encrypted profile",
     "The signaling in frame {frame} declares {profile}, but the packets are plain RTP. Wireshark shows them as SRTP:",
     " it goes by the signaling."),
    _row("plaintext-stretch", "fail", "a plain stretch within an encrypted stream",
     "Between frames {first} and {last}, {packets} came unencrypted, though others of the stream are encrypted:",
     " {reasons}."),
    _row("null-cipher", "fail", "NULL cipher: authenticated, not encrypted",
     "{packets} authenticated under {suite}, which does not encrypt: anyone can listen. Wireshark's label is SRTP all",
     " the same."),
    _row("unencrypted-srtp", "fail", "authenticated, but left unencrypted",
     "{packets} authenticated under {suite}, yet the payload is in clear (as with the session parameter",
     " UNENCRYPTED_SRTP): {reasons}."),
    _row("srtcp-in-clear", "fail", "SRTCP in clear",
     "{packets} of SRTCP authenticated but came unencrypted (E bit 0): reports in clear show who talks, when, and how",
     " well."),
    _row("rtcp-beside-srtp", "fail", "plain RTCP beside SRTP",
     "The media of this source is SRTP, but its RTCP is plain: neither encrypted nor authenticated."),
    _row("rtcp-in-between", "fail", "plain RTCP among SRTCP",
     "{packets} of plain RTCP came among authentic SRTCP: no index and tag follow it. Some phones send a first or last",
     " report in clear."),
    _row("rtcp-under-savp", "fail", "plain RTCP under an encrypted profile",
     "The signaling in frame {frame} declares {profile}, but the reports are plain RTCP. Wireshark shows them as",
     " SRTCP: it goes by the signaling."),
    # --- of one stream: keys and authentication
    _row("key-does-not-open", "fail", "the signaled key does not open the stream",
     "No packet authenticates under the key that was signaled for this stream ({sources}). It is damaged or forged, or",
     " encrypted under another key."),
    _row("unauthenticated-srtp", "fail", "SRTP without authentication",
     "The session parameter UNAUTHENTICATED_SRTP was signaled, and no packet authenticates: without a tag, nothing",
     " proves the key or keeps forged packets out."),
    _row("authentication-failed", "fail", "packets that do not authenticate",
     "{failed} of {checked} authenticated under no known key. {cause}"),
    _row("forged", "warning", "packets taken for forged",
     "{failed} of {checked} authenticated under no known key. That is taken for forgery, for up to {allowed} % may",
     " fail by the rule that was given. {cause}"),
    _row("keystream-reused", "fail", "keystream used twice",
     "{packets} came under an index that another packet of the stream had used, with other content: the exclusive or",
     " of two such packets is that of their plain payloads, which can be read without any key."),
    _row("keystream-shared", "fail", "keystream shared with another stream",
     "{packets} had key, SSRC and index in common with packets of stream {other}, and other content: the exclusive or",
     " of two such packets is that of their plain payloads, which can be read without any key."),
    _row("number-reused", "warning", "a sequence number used twice",
     "{packets} came under a sequence number that another packet had just used, with other content: two senders under",
     " one SSRC, or someone adds packets. If all are under one key, its keystream was used twice."),
    _row("suite-differs", "warning", "another suite than declared",
     "The packets authenticate under {suite}; the signaling in frame {frame} declares {declared}."),
    _row("unknown-suite", "warning", "a suite that is not known here",
     "The signaling in frame {frame} declares {declared}, which is not known here, so its keys were not tried."),
    _row("replayed", "warning", "replayed packets",
     "{packets} came again, octet for octet, later than a network doubles them: someone replays them, or the",
     " sender repeats itself. A receiver with replay protection drops them."),
    _row("weak-tag", "note", "32-bit authentication tag",
     "{suite} has a tag of 32 bits: a forged packet is accepted once in four thousand million tries. That is allowed",
     " for voice (RFC 3711, 5.2), and weaker than 80 bits."),
    _row("key-changed", "note", "the key changed",
     "From frame {frame} on, packets authenticate under another key (number {key})."),
    _row("rollover-found", "note", "the capture began in mid-call",
     "The rollover counter was {roc} when the capture began; it was found by search."),
    _row("rollover-unfinished", "warning", "the search for the rollover counter was not finished",
     "Not every rollover counter was tried: if the call had run for long when the capture began, the known keys may",
     " open this stream all the same (--roc-trials tries more)."),
    # --- of one stream: what was declared
    _row("crypto-under-avp", "warning", "a key under RTP/AVP",
     "The signaling in frame {frame} offers a key (a=crypto) under {profile}, which declares plain RTP: Wireshark",
     " labels the packets RTP, whatever they are. {found}"),
    _row("declared-unencrypted", "warning", "declared to be unencrypted",
     "The signaling in frame {frame} has the session parameters {parameters}: what they name is not encrypted or not",
     " authenticated, though the label is SRTP."),
    _row("no-key", "note", "no key is known",
     "Only tests tell whether it is encrypted: random octets pass them, media fails. Authenticity was not checked.",
     " A key (--keys), or the TLS secrets of the signaling (--tls-keylog), would prove it."),
    # --- of one stream: how well it could be examined
    _row("few-packets", "warning", "too few packets",
     "{packets}, {octets}: too few to tell encrypted octets from plain ones. A longer capture or the key decides."),
    _row("truncated", "warning", "truncated packets",
     "{packets} could not be authenticated, for the capture holds only a part (raise the snapshot length)."),
    _row("restarted", "note", "the source started again",
     "The sequence numbers started anew {restarts}."),
    # --- of the capture
    _row("key-shared", "warning", "one key in several places",
     "Streams {streams} are under one key ({sources}), though they come from different senders. RFC 4568 asks for a",
     " key of its own for each: whoever has one stream's key has all, and packets can be reflected."),
    _row("keys-in-clear", "warning", "keys in clear signaling",
     "Keys were signaled without TLS: whoever sees the signaling can decrypt the media, as this program does."),
    _row("tls-closed", "note", "TLS signaling without its secrets",
     "{connections} that may carry signaling could not be read: no secrets are known (--tls-keylog gives them)."),
    _row("tls-unread", "note", "TLS signaling that could not be read",
     "Signaling over TLS could not be read, or not to its end, though its secrets are known: {faults}."),
    _row("dtls-closed", "note", "DTLS-SRTP without its keys",
     "The keys of {handshakes} could not be derived: {faults}."),
    _row("unused-keys", "note", "keys that open nothing",
     "{count} of {known} opened no stream of this capture. Offers often hold more keys than are used."),
    _row("no-streams", "warning", "no media",
     "No RTP or SRTP stream was found among {total}."),
    _row("cut-short", "warning", "the capture could not be read to its end",
     "Reading ended early: {fault}. What follows is not in this report."),
]))  # fmt: skip


# Findings that come with their sentence, of the signaling alone.
SIGNALED: Final[Mapping[str, str]] = MappingProxyType({
    "signaled-key-under-avp": "a key under a profile of plain RTP",
    "signaled-savp-without-key": "an encrypted profile without a key",
    "signaled-crypto-broken": "a crypto attribute that cannot be taken",
    "signaled-key-twice": "one key announced in several places",
})  # fmt: skip


def finding(code: str, frames: Iterable[int] = (), **values: Any) -> Finding:
    """A finding by its code; ``values`` fill the sentence. KeyError for what is not declared."""
    wording = FINDINGS[code]
    return Finding(code, wording.severity, wording.text.format(**values), tuple(frames)[:FRAMES_MAX])


def counted(count: int, noun: str = "packet") -> str:
    """``1 packet``, ``12,345 packets``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def some(texts: Sequence[str], most: int = LISTED_MAX) -> str:
    """A list in a sentence, cut where it gets long."""
    more = len(texts) - most
    return ", ".join([*texts[:most], *([f"and {more:,} more"] if more > 0 else [])])


def gravity(each: Finding) -> int:
    """0 for the gravest."""
    return GRAVEST_FIRST.index(each.severity)


def title(each: Finding) -> str:
    """What stands above findings of one code."""
    if each.code in FINDINGS:
        return FINDINGS[each.code].title
    return SIGNALED.get(each.code, each.code.replace("-", " "))
