"""What the descriptions of a capture say together: the keys they announce, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from srtpgw.capture.calls import NOWHERE, KnownKey, MediaDescription
from srtpgw.capture.report import Address, Finding
from srtpgw.sdp.crypto import Crypto, FaultKind
from srtpgw.sdp.inline import InlineKey

FRAMES_MAX = 16  # that one finding names
SHARED_MAX = 50  # keys whose sharing is told
HINTS_MAX = 16  # addresses of one key, each way

_OVER: Final = {"udp": "sip over udp", "tcp": "sip over tcp", "tls": "sip over tls"}


class Line(NamedTuple):
    """One key of one crypto attribute."""

    description: MediaDescription
    crypto: Crypto
    key: InlineKey


@dataclass(slots=True)
class _Group:
    """Lines of one owner."""

    lines: list[Line] = field(default_factory=list)
    calls: dict[tuple[object, object], str] = field(default_factory=dict)  # by hop


def keys_of(descriptions: Sequence[MediaDescription]) -> list[KnownKey]:
    """The keys of all descriptions in file order; one that its owner announces again is listed once."""
    peers = _peers(descriptions)
    alike = _lines_by_key(descriptions).values()
    found = [_known_key(lines, peers) for equal in alike for lines in _by_owner(equal)]
    return sorted(found, key=lambda key: key.description or 0)


def frames_in_clear(descriptions: Sequence[MediaDescription]) -> tuple[int, ...]:
    """Frames of descriptions that carry keys though the signaling is not encrypted."""
    clear = (each.frame for each in descriptions if each.transport != "tls" and each.crypto)
    return tuple(dict.fromkeys(clear))


def signaling_findings(descriptions: Sequence[MediaDescription]) -> Iterator[Finding]:
    """Findings of the descriptions alone, whatever the media is like."""
    open_ones = [each for each in descriptions if each.media.port]
    keyed = [each for each in open_ones if each.crypto and not each.secure]
    if keyed:
        yield _finding(
            "signaled-key-under-avp",
            f"{_count(keyed)} a key (a=crypto) under a profile that declares plain RTP"
            f" ({_profiles(keyed)}): whether the media is encrypted is left to the receiver's goodwill.",
            keyed,
        )
    keyless = [each for each in open_ones if each.secure and not _keyed(each)]
    if keyless:
        yield _finding(
            "signaled-savp-without-key",
            f"{_count(keyless)} an encrypted profile ({_profiles(keyless)}) without a key that is read here and"
            " without a fingerprint for DTLS.",
            keyless,
        )
    refused = [each for each in descriptions if any(fault.kind is not FaultKind.SUITE for fault in each.crypto_faults)]
    if refused:
        texts = dict.fromkeys(fault.text for each in refused for fault in each.crypto_faults)
        yield _finding(
            "signaled-crypto-broken",
            f"{_count(refused)} a crypto attribute that cannot be taken: it {'; it '.join([*texts][:4])}.",
            refused,
        )
    yield from islice(_shared_keys(descriptions), SHARED_MAX)


def _known_key(lines: Sequence[Line], peers: dict[int, list[MediaDescription]]) -> KnownKey:
    """One key, from every line in which its owner announces it."""
    first = lines[0]
    described = [line.description for line in lines]
    return KnownKey(
        source=f"a=crypto in frame {first.description.frame} ({_OVER[first.description.transport]})",
        key_and_salt=first.key.key_and_salt,
        suites=(first.crypto.suite,),
        mki=first.key.mki,
        declared=True,
        lifetime=first.key.lifetime,
        frame=first.description.frame,
        time_ns=first.description.time_ns,
        senders=_addresses(described),
        receivers=_addresses([peer for each in described for peer in peers.get(each.number, ())]),
        description=first.description.number,
    )


def _lines_by_key(descriptions: Sequence[MediaDescription]) -> dict[tuple[bytes, str, bytes], list[Line]]:
    """Lines with the same key, suite and MKI; FEC keys too, since they may protect media of the same address."""
    found: dict[tuple[bytes, str, bytes], list[Line]] = defaultdict(list)
    for description in descriptions:
        for crypto in description.crypto:
            for key in crypto.keys + crypto.parameters.fec_keys:
                found[key.key_and_salt, crypto.suite, key.mki].append(Line(description, crypto, key))
    return found


def _by_owner(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines that are sendings of one description, on any hop, or repeat it later in the dialog: one list each.

    A description that a server passes on in a call of its own keeps the o= line and the address. So do the
    descriptions of programs that give every session the same name, but those are different calls on one hop.
    """
    groups: list[_Group] = []
    of_dialog: dict[tuple[str, str, int], _Group] = {}
    of_origin: dict[tuple[str, Address, int], _Group] = {}
    for line in lines:
        each = line.description
        origin = each.origin, each.media, each.index
        group = of_dialog.get(each.dialog)
        passed_on = of_origin.get(origin) if each.origin else None
        if group is None and passed_on is not None and passed_on.calls.get(_hop(each), each.call_id) == each.call_id:
            group = passed_on
        if group is None:
            groups.append(group := _Group())
        group.lines.append(line)
        group.calls.setdefault(_hop(each), each.call_id)
        of_dialog[each.dialog] = of_origin[origin] = group
    return [group.lines for group in groups]


def _hop(description: MediaDescription) -> tuple[object, object]:
    """From where to where; ports count between programs of one machine only."""
    sender, receiver = description.sender, description.receiver
    return (sender, receiver) if sender.host == receiver.host else (sender.host, receiver.host)


def _peers(descriptions: Sequence[MediaDescription]) -> dict[int, list[MediaDescription]]:
    """The descriptions of the other side, by number: the answers to an offer, the offer of an answer."""
    found: dict[int, list[MediaDescription]] = defaultdict(list)
    for each in descriptions:
        if each.answers is not None:
            found[each.answers].append(each)
            found[each.number].append(descriptions[each.answers])
    return found


def _addresses(descriptions: Sequence[MediaDescription]) -> tuple[Address, ...]:
    found = (address for each in descriptions for address in (each.media, each.rtcp, *each.candidates))
    return tuple(dict.fromkeys(end for end in found if end.port and end.host not in NOWHERE))[:HINTS_MAX]


def _shared_keys(descriptions: Sequence[MediaDescription]) -> Iterator[Finding]:
    """The same octets in descriptions of different owners or media, under whatever suite."""
    by_octets: dict[bytes, list[Line]] = defaultdict(list)
    for (octets, _, _), lines in _lines_by_key(descriptions).items():
        by_octets[octets] += lines
    for lines in by_octets.values():
        owners = _by_owner(sorted(lines, key=lambda line: line.description.number))
        if len(owners) > 1:
            first = [group[0].description for group in owners]
            yield _finding(
                "signaled-key-twice",
                f"{len(owners)} descriptions that do not repeat each other announce one key: {_places(first)}."
                " Keystream may be used twice, and packets of one can be played into the other.",
                first,
            )


def _places(descriptions: Sequence[MediaDescription]) -> str:
    """How the owners of one key differ, in words."""
    one, other = descriptions[0], descriptions[1]
    if one.call_id != other.call_id:
        return "they are of different calls"
    return "they are of the two sides of a call" if one.owner != other.owner else "they are of two media of a call"


def _keyed(description: MediaDescription) -> bool:
    return bool(description.crypto or description.crypto_faults or description.fingerprint)


def _count(descriptions: Sequence[MediaDescription]) -> str:
    number = len(descriptions)
    return f"{number:,} descriptions have" if number > 1 else "One description has"


def _profiles(descriptions: Sequence[MediaDescription]) -> str:
    return ", ".join([*dict.fromkeys(each.profile for each in descriptions)][:4])


def _finding(code: str, text: str, descriptions: Sequence[MediaDescription]) -> Finding:
    frames = tuple(dict.fromkeys(each.frame for each in descriptions))[:FRAMES_MAX]
    return Finding(code, "warning", text, frames)
