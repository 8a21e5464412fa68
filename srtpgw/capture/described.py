"""Which descriptions of the signaling speak of a stream, and what they say of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from srtpgw.capture.calls import KnownKey, MediaDescription
from srtpgw.capture.report import Address, Declared
from srtpgw.sdp.payload import STATIC, PayloadFormat

DECLARED_MAX: Final = 16  # descriptions told of a stream; a call is re-negotiated more often only by machines


NEVER: Final = 1 << 63  # a frame behind all


class Descriptions:
    """The descriptions of a capture by the addresses they name. ``ended``: by Call-ID, frames where calls were hung
    up."""

    def __init__(
        self, descriptions: Sequence[MediaDescription], ended: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._ended = ended
        self._agreed = _agreed(descriptions)
        self._by_address: dict[Address, list[MediaDescription]] = defaultdict(list)
        for each in descriptions:
            if each.media.port and not each.held:
                for address in dict.fromkeys((each.media, each.rtcp)):
                    self._by_address[address].append(each)

    def names(self, source: Address, destination: Address) -> bool:
        """Whether any description names an end: then one packet is enough to be a stream."""
        return source in self._by_address or destination in self._by_address

    def of(self, source: Address, destination: Address, first_frame: int, last_frame: int) -> list[MediaDescription]:
        """Those that applied to a stream, in file order: of the calls that were signaled while it lasted, and of the
        one before, unless it was hung up. Ports are used again by later calls.

        The receiver's own description counts; the sender's where it sends from the port that it hears at.
        """
        found = {each.number: each for end in (destination, source) for each in self._by_address.get(end, ())}
        timely = sorted((each for each in found.values() if each.frame <= last_frame), key=lambda each: each.number)
        before = [each for each in timely if each.frame <= first_frame < self._ended.get(each.call_id, NEVER)]
        during = [each for each in timely if each.frame > first_frame]
        latest = before[-1].call_id if before else ""
        calls = {latest, *(each.call_id for each in during)}
        return [each for each in timely if each.call_id in calls]

    def binding(self, key: KnownKey, applied: Iterable[MediaDescription]) -> bool:
        """Whether a signaled key was to be used in the calls that these are of: an offered one that the answer passed
        over was not, nor was one of another call on these ports."""
        if key.description is None:  # of a DTLS handshake
            return any(each.fingerprint for each in applied) or not applied
        return any(key.key_and_salt in self._agreed[each.call_id] for each in applied)


def _agreed(descriptions: Sequence[MediaDescription]) -> dict[str, set[bytes]]:
    """Octets of the keys that are to be used, by Call-ID."""
    answers: dict[int, list[MediaDescription]] = defaultdict(list)
    for each in descriptions:
        if each.answers is not None:
            answers[each.answers].append(each)
    found: dict[str, set[bytes]] = defaultdict(set)
    for each in descriptions:
        found[each.call_id].update(_binding_octets(each, answers.get(each.number, ())))
    return found


def _binding_octets(described: MediaDescription, answers: Sequence[MediaDescription]) -> Iterator[bytes]:
    """Of an offer those whose line was answered (RFC 4568 5.1.2). Where no answer was seen, all of them, unless DTLS
    was offered beside."""
    if not answers and described.role == "offer" and described.fingerprint:
        return
    taken = {word for answer in answers for crypto in answer.crypto for word in (crypto.tag, crypto.suite)}
    for crypto in described.crypto:
        if not answers or crypto.tag in taken or crypto.suite in taken:
            yield from (key.key_and_salt for key in crypto.keys)


def declared(descriptions: Iterable[MediaDescription]) -> tuple[Declared, ...]:
    """What was said, each once, with the first frame that says so."""
    told: dict[tuple[object, ...], Declared] = {}
    for each in descriptions:
        said = Declared(
            profile=each.profile,
            suites=each.suites,
            frame=each.frame,
            transport=each.transport,
            call_id=each.call_id,
            unencrypted=each.unencrypted,
        )
        told.setdefault((each.profile, each.suites, each.transport, each.call_id, each.unencrypted), said)
    return tuple(told.values())[:DECLARED_MAX]


def formats(descriptions: Iterable[MediaDescription]) -> dict[int, PayloadFormat]:
    """Payload types as the descriptions explain them; the latest word counts."""
    return {number: known for each in descriptions for number, known in each.payload_types.items() if known.codec}


def format_of(number: int, known: Mapping[int, PayloadFormat]) -> PayloadFormat | None:
    return known.get(number) or STATIC.get(number)


def kind(descriptions: Iterable[MediaDescription]) -> str:
    """What the medium is called, "audio" or "video"; empty where nothing was said."""
    return next((each.kind for each in descriptions), "")
