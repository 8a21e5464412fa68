"""From SIP messages to media descriptions: who describes, and what is offer and what is answer (RFC 3264, RFC 6337).

=================================  ===========================================================
description in                     is
=================================  ===========================================================
INVITE, UPDATE                     an offer
1xx or 2xx to a request with one   the answer to it
1xx or 2xx to INVITE without       an offer, answered in PRACK (of a 1xx) or ACK (of a 2xx)
PRACK otherwise                    an offer, answered in its own 2xx (RFC 3262 5)
=================================  ===========================================================

Messages that the capture holds again (sent again, or captured twice) add nothing. A re-INVITE, hold or re-key is a
further description of the same owner, which applies from its time on.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar, cast

from srtpgw.capture.calls import Direction, MediaDescription, Place, Role
from srtpgw.capture.mime import descriptions
from srtpgw.capture.report import Address
from srtpgw.capture.sip import Message, printable
from srtpgw.sdp.crypto import Crypto, CryptoFault, read_crypto
from srtpgw.sdp.payload import PayloadFormat, payload_formats
from srtpgw.sdp.session import Media, Session, read_session

DESCRIPTIONS_MAX = 100_000  # media sections that are kept of a capture
OCTETS_MAX = 64 << 20  # of session descriptions
TRANSACTIONS_MAX = 32_768
MESSAGES_MAX = 200_000  # whose coming again is recognised
DESCRIBING = frozenset(
    {"INVITE", "ACK", "PRACK", "UPDATE"}
)  # elsewhere a description tells of abilities, if of anything
REFUSED = 300  # least status of a response whose description tells of abilities

CRYPTO_LINES_MAX = 200_000  # that are kept of a capture
CRYPTO_LINES_PER_MEDIUM = 32  # that are looked at

OLD_NAMES: Final = {  # in drafts of RFC 6188
    "AES_CM_256_HMAC_SHA1_": "AES_256_CM_HMAC_SHA1_",
    "AES_CM_192_HMAC_SHA1_": "AES_192_CM_HMAC_SHA1_",
}

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping of bounded size, which forgets what was set longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        return self._items.get(key)

    def set(self, key: K, value: V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._most:
            self._items.popitem(last=False)


class Transaction(NamedTuple):
    call_id: str
    number: int  # of CSeq
    method: str
    hop: frozenset[Address] | None  # between these two; None: wherever it was seen last


@dataclass(slots=True)
class Exchange:
    """What a transaction carried: descriptions by media index."""

    request: bool = False  # the request was seen
    offer: tuple[int, ...] = ()  # numbers of the descriptions in the request
    offered_back: tuple[int, ...] = ()  # of those in a response, where the request had none


@dataclass(slots=True)
class Negotiation:
    """The descriptions of all calls, in file order, and what was left out, in ``counters``."""

    counters: Counter[str]
    descriptions: list[MediaDescription] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)  # frame of the BYE that left nobody in a call, by Call-ID
    _parties: dict[str, set[str]] = field(default_factory=dict)  # tags of the describers, by Call-ID
    _octets: int = 0  # of all session descriptions
    _crypto_lines: int = 0  # kept
    _exchanges: Recent[Transaction, Exchange] = field(default_factory=lambda: Recent(TRANSACTIONS_MAX))
    _seen: Recent[bytes, bool] = field(default_factory=lambda: Recent(MESSAGES_MAX))

    def message(self, message: Message, place: Place) -> None:
        """Take a message in the order of the capture."""
        self.counters["sip-messages"] += 1
        if message.truncated:
            self.counters["sip-truncated"] += 1
        if message.fault:
            self.counters[f"sip-{message.fault}"] += 1
            return
        if self._is_again(message, place):
            self.counters["sip-sent-again"] += 1
            return
        if message.request == "BYE":
            self._hang_up(message, place)
        body = next(descriptions(message.headers.get("content-type", ""), message.body), None)
        if message.request is not None:
            for exchange in self._exchanges_of(message, place):
                exchange.request = True
        if body is not None and body.strip() and message.method in DESCRIBING and (message.status or 0) < REFUSED:
            self._describe(message, place, read_session(body), len(body))

    def _is_again(self, message: Message, place: Place) -> bool:
        headers = [message.headers.get(name) for name in ("call-id", "cseq", "from", "to", "via")]
        parts = (headers, message.request, message.status, place.transport, place.sender, place.receiver)
        digest = hashlib.blake2b(repr(parts).encode("utf-8", "replace") + message.body, digest_size=16).digest()
        again = self._seen.get(digest) is not None
        self._seen.set(digest, True)
        return again

    def _hang_up(self, message: Message, place: Place) -> None:
        """Of a forked call, the BYE to one branch is not its end."""
        parties = self._parties.get(message.call_id)
        if parties and parties <= {message.party(name)[1] for name in ("from", "to")}:
            self.ended.setdefault(message.call_id, place.frame)

    def _exchanges_of(self, message: Message, place: Place) -> list[Exchange]:
        """What is known of a message's transaction: on its hop, and wherever it was seen last."""
        assert message.sequence is not None
        hop = frozenset((place.sender, place.receiver))
        return [self._exchange(message, message.sequence, message.method, at) for at in (hop, None)]

    def _exchange(self, message: Message, number: int, method: str, hop: frozenset[Address] | None) -> Exchange:
        key = Transaction(message.call_id, number, method, hop)
        found = self._exchanges.get(key)
        if found is None:
            self._exchanges.set(key, found := Exchange())
        return found

    def _describe(self, message: Message, place: Place, session: Session, octets: int) -> None:
        role, offered = self._role(message, place)
        self._octets += octets
        if len(self.descriptions) + len(session.media) > DESCRIPTIONS_MAX or self._octets > OCTETS_MAX:
            self.counters["sdp-beyond-limit"] += 1
            return
        self.counters["sdp"] += 1
        self.ended.pop(message.call_id, None)
        self._parties.setdefault(message.call_id, set()).add(
            message.party("from" if message.request is not None else "to")[1]
        )
        if session.left_out:
            self.counters["sdp-lines-left-out"] += session.left_out
        numbers = []
        for media in session.media:
            number = len(self.descriptions)
            answers = offered[media.index] if media.index < len(offered) else None
            crypto = self._read_crypto(media)
            self.descriptions.append(_description(number, message, place, session, media, crypto, role, answers))
            numbers.append(number)
        if role == "offer":
            self._remember(message, place, tuple(numbers))

    def _read_crypto(self, media: Media) -> list[Crypto | CryptoFault]:
        values = media.attributes("crypto")
        kept = values[: min(CRYPTO_LINES_PER_MEDIUM, CRYPTO_LINES_MAX - self._crypto_lines)]
        if len(kept) < len(values):
            self.counters["crypto-beyond-limit"] += len(values) - len(kept)
        self._crypto_lines += len(kept)
        return [_read_crypto(value) for value in kept]

    def _role(self, message: Message, place: Place) -> tuple[Role, tuple[int, ...]]:
        """Offer or answer, and the descriptions that an answer answers, as far as they were seen."""
        if message.request is None:
            on_hop, anywhere = self._exchanges_of(message, place)
            exchange = on_hop if on_hop.request else anywhere
            is_offer = exchange.request and not exchange.offer and message.method == "INVITE"
            return ("offer", ()) if is_offer else ("answer", exchange.offer)
        if message.request == "ACK":
            return "answer", self._offered_in_response(message, place, message.headers.get("cseq", ""))
        if message.request == "PRACK":  # RAck: number of the response, and the CSeq of the INVITE (RFC 3262 7.2)
            offered = self._offered_in_response(message, place, message.headers.get("rack", "").partition(" ")[2])
            return ("answer", offered) if offered else ("offer", ())
        return "offer", ()

    def _offered_in_response(self, message: Message, place: Place, sequence: str) -> tuple[int, ...]:
        """The offer that a response to an INVITE of this sequence number carried."""
        number = sequence.split(maxsplit=1)[0] if sequence.strip() else ""
        if not number.isascii() or not number.isdigit() or len(number) > 10:
            return ()
        hop = frozenset((place.sender, place.receiver))
        on_hop, anywhere = (self._exchange(message, int(number), "INVITE", at) for at in (hop, None))
        return on_hop.offered_back or anywhere.offered_back

    def _remember(self, message: Message, place: Place, numbers: tuple[int, ...]) -> None:
        """Keep an offer for the answer to come."""
        for exchange in self._exchanges_of(message, place):
            if message.request is not None:
                exchange.offer = numbers
            else:
                exchange.offered_back = numbers


def _description(
    number: int,
    message: Message,
    place: Place,
    session: Session,
    media: Media,
    crypto: Sequence[Crypto | CryptoFault],
    role: Role,
    answers: int | None,
) -> MediaDescription:
    line = media.line
    formats = payload_formats(line.formats, media.attributes("rtpmap"), media.attributes("fmtp"))
    return MediaDescription(
        number=number,
        frame=place.frame,
        time_ns=place.time_ns,
        transport=place.transport,
        call_id=message.call_id,
        from_uri=message.party("from")[0],
        to_uri=message.party("to")[0],
        method=message.method,
        status=message.status,
        role=role,
        sender=place.sender,
        receiver=place.receiver,
        index=media.index,
        kind=printable(line.kind),
        media=Address(*session.media_address(media)),
        rtcp=Address(*session.rtcp_address(media)),
        profile=printable(line.profile),
        payload_types={listed: _shown(form) for listed, form in formats.items()},
        direction=cast(Direction, session.direction_of(media)),
        crypto=tuple(each for each in crypto if isinstance(each, Crypto)),
        crypto_faults=tuple(each for each in crypto if isinstance(each, CryptoFault)),
        fingerprint=session.attribute(media, "fingerprint") is not None,
        setup=printable(session.attribute(media, "setup") or ""),
        candidates=tuple(Address(*each) for each in session.candidates(media)),
        owner=message.party("from" if message.request is not None else "to")[1],
        answers=answers,
        ports=line.ports,
        origin=printable(f"{origin.user} {origin.session} {origin.host}") if (origin := session.origin) else "",
    )


def _read_crypto(value: str) -> Crypto | CryptoFault:
    """Names of suites as drafts had them are still sent; they are read as the registered ones."""
    for old, name in OLD_NAMES.items():
        value = value.replace(old, name, 1)
    return read_crypto(value)


def _shown(form: PayloadFormat) -> PayloadFormat:
    return form._replace(codec=printable(form.codec), fmtp=printable(form.fmtp))
