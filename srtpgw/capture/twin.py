"""The plain twin of a capture: what it would hold had nothing been encrypted, for Wireshark to play.

    head                    interfaces of the capture, then `undecrypted`, then `synthetic signaling`
    signaling of a call     an INVITE, its 200 and its ACK: see dialog.py
    packets                 in the capture's order, with their own times, addresses and interfaces
    signaling of the next call, before its first packet; and so on

``block_writer`` gives what the examiner writes packets to; ``write_twin`` puts the file together from what it yields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from srtpgw import _native
from srtpgw.capture.described import format_of
from srtpgw.capture.dialog import Conversation, messages
from srtpgw.capture.pcapng import interface, section
from srtpgw.capture.report import Address
from srtpgw.sdp.payload import PayloadFormat, payload_formats

if TYPE_CHECKING:
    from srtpgw._native import StreamKey

UNDECRYPTED: Final = "undecrypted"
SIGNALING: Final = "synthetic signaling"
UNNAMED: Final = "capture"  # an interface that the capture gives no name
SENSITIVE: Final = "Sensitive: this file holds decrypted media. Keep it as safe as the conversation itself."
STEP_NS: Final = 1  # between the messages of a dialog and the first packet, so that the order of times is kept


@dataclass(frozen=True, slots=True)
class TwinStream:
    """A stream that is to be in the twin.

    ``payload_types`` are those that it uses (none of RTCP), ``formats`` what signaling, or the user, said of them:
    those that RFC 3551 fixes need not be there. ``kind`` is that of its description, "audio" or "video", where known.
    A stream is ``readable`` if any of its packets is written in clear. Others are not signaled: Wireshark would play
    their noise.
    """

    number: int  # as in the report
    key: StreamKey
    first_frame: int
    first_ns: int  # since 1970
    payload_types: tuple[int, ...] = ()
    formats: Mapping[int, PayloadFormat] = field(default_factory=dict)
    kind: str = ""
    readable: bool = True

    @property
    def rtcp(self) -> bool:
        return self.key[7]

    @property
    def ssrc(self) -> int:
        return self.key[6]

    @property
    def source(self) -> Address:
        return Address(str(ip_address(self.key[2])), self.key[3])

    @property
    def destination(self) -> Address:
        return Address(str(ip_address(self.key[4])), self.key[5])

    def carried(self) -> dict[int, PayloadFormat | None]:
        """By payload type; None where nothing tells."""
        return {number: format_of(number, self.formats) for number in self.payload_types}


@dataclass(frozen=True, slots=True)
class TwinPlan:
    """What to write: names of the capture's interfaces by number, and streams in order of their first packet.

    A packet keeps the number of its interface; `undecrypted` and `signaling` are the two behind them.
    """

    interfaces: tuple[str, ...]
    streams: tuple[TwinStream, ...]

    @property
    def undecrypted(self) -> int:
        return len(self.interfaces)

    @property
    def signaling(self) -> int:
        return len(self.interfaces) + 1


@dataclass(slots=True)
class _Found:
    """A conversation as it comes together."""

    conversation: Conversation
    first_frame: int
    first_ns: int
    ssrcs: set[int]


def unexplained(plan: TwinPlan) -> dict[int, tuple[int, ...]]:
    """Payload types by number of their stream that neither signaling nor RFC 3551 tells of: Wireshark cannot play them
    before it is told."""
    missing = {
        stream.number: tuple(number for number, known in stream.carried().items() if known is None)
        for stream in plan.streams
        if stream.readable
    }
    return {number: types for number, types in missing.items() if types}


def parse_mapping(text: str) -> tuple[int, PayloadFormat]:
    """A payload type and what it carries, as in ``96=opus/48000/2``. Raises ValueError where it is not that."""
    number, _, encoding = text.partition("=")
    for payload_type, known in payload_formats([number], [f"{number} {encoding}"], []).items():
        if known.codec and f"{encoding}/".startswith(f"{known.codec}/{known.clock_rate}/"):
            return payload_type, known
    raise ValueError(f"{text!r} is not like 96=opus/48000/2: payload type, codec, clock rate, channels if several")


def head(plan: TwinPlan) -> bytes:
    """Section and interfaces."""
    named = [interface(name or UNNAMED) for name in plan.interfaces]
    refused = interface(UNDECRYPTED, "as captured; the comment of each packet tells why it was not decrypted")
    made_up = interface(SIGNALING, "made up by srtpgw, so that media plays with no setting; was not captured")
    return b"".join([section(SENSITIVE), *named, refused, made_up])


def block_writer(plan: TwinPlan) -> _native.BlockWriter:
    """Where packets are to be put, in order of their frames; signaling comes in between by itself."""
    composer, writer = _native.BlockWriter(), _native.BlockWriter()  # the second counts packets of the capture alone
    found = _conversations(plan.streams)
    writer.schedule([(each.first_frame, _signaling(composer, each, plan.signaling)) for each in found])
    return writer


def write_twin(
    pieces: Iterable[bytes],
    plan: TwinPlan,
    put: Callable[[bytes], object],
    listen: Callable[[bytes], object] | None = None,
) -> None:
    """Put the file together. `pieces` are whole blocks taken from the ``block_writer`` of this plan; `listen` gets
    them, too (``audio.AudioFiles.feed``)."""
    put(head(plan))
    for piece in pieces:
        put(piece)
        if listen is not None:
            listen(piece)


def conversations(plan: TwinPlan) -> list[Conversation]:
    """What is signaled, in order of the first packets."""
    return [found.conversation for found in _conversations(plan.streams)]


def _signaling(writer: _native.BlockWriter, found: _Found, number: int) -> bytes:
    """Blocks of the three messages on interface `number`, stamped just before the first packet."""
    for before, message in zip((3, 2, 1), messages(found.conversation), strict=True):
        writer.put(number, found.first_ns - before * STEP_NS, message.source, message.destination, message.text)
    return writer.take()


def _conversations(streams: Iterable[TwinStream]) -> list[_Found]:
    """Streams between the same two addresses and ports make one, unless a payload type changes its meaning."""
    ordered = sorted((each for each in streams if each.readable), key=lambda stream: stream.first_frame)
    newest: dict[frozenset[Address], _Found] = {}
    found: list[_Found] = []
    for stream in ordered:
        if stream.rtcp:
            continue
        pair = frozenset((stream.source, stream.destination))
        known = newest.get(pair)
        if known is None or not _join(known, stream):
            newest[pair] = _begin(stream, len(found) + 1)
            found.append(newest[pair])
    by_ssrc = {(ssrc, _hosts(each.conversation)): each for each in found for ssrc in each.ssrcs}
    for stream in ordered:
        if stream.rtcp:
            _place_rtcp(stream, newest, by_ssrc)
    return found


def _begin(stream: TwinStream, number: int) -> _Found:
    conversation = Conversation(
        number, stream.source, stream.destination, two_way=False, formats=stream.carried(), kind=stream.kind
    )
    return _Found(conversation, stream.first_frame, stream.first_ns, {stream.ssrc})


def _join(found: _Found, stream: TwinStream) -> bool:
    """False where the stream means something else by a payload type."""
    before, carried = found.conversation, stream.carried()
    if any(number in before.formats and _differ(before.formats[number], each) for number, each in carried.items()):
        return False
    formats = {**carried, **{number: known for number, known in before.formats.items() if known is not None}}
    kind = before.kind if stream.kind in {before.kind, ""} else "audio" if before.kind else stream.kind
    two_way = before.two_way or stream.source == before.second
    found.conversation = replace(before, formats={**before.formats, **formats}, two_way=two_way, kind=kind)
    found.ssrcs.add(stream.ssrc)
    return True


def _differ(one: PayloadFormat | None, other: PayloadFormat | None) -> bool:
    if one is None or other is None:
        return False
    return (one.codec.upper(), one.clock_rate, one.channels) != (other.codec.upper(), other.clock_rate, other.channels)


def _hosts(between: Conversation | TwinStream) -> frozenset[str]:
    if isinstance(between, Conversation):
        return frozenset((between.first.host, between.second.host))
    return frozenset((between.source.host, between.destination.host))


def _place_rtcp(
    stream: TwinStream,
    newest: Mapping[frozenset[Address], _Found],
    by_ssrc: Mapping[tuple[int, frozenset[str]], _Found],
) -> None:
    """Signal where RTCP goes, unless it goes to the port after that of RTP, which is understood (RFC 3550 11)."""
    found = newest.get(frozenset((stream.source, stream.destination)))
    if found is not None:
        found.conversation = replace(found.conversation, mux=True)
        return
    found = by_ssrc.get((stream.ssrc, _hosts(stream)))
    if found is None:
        return
    talk = found.conversation
    forth = (stream.source.host, stream.destination.host) == (talk.first.host, talk.second.host)
    ports = (stream.source.port, stream.destination.port) if forth else (stream.destination.port, stream.source.port)
    usual = (talk.first.port + 1, talk.second.port + 1)
    first, second = (port if port != next_one else None for port, next_one in zip(ports, usual, strict=True))
    found.conversation = replace(talk, rtcp=(first, second))
