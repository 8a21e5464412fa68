r"""The signaling of a capture: what the first reading hands out goes in, descriptions and keys come out.

::

    "sip"  -------------------------------> datagram --\
    "tcp"  --> connections (tcp.py) -+----> framer ------> messages (sip.py) --> descriptions (negotiation.py)
                                     \-TLS--> framer --/
    "dtls" --> handshakes (dtls.py) -----------------------------------------> keys

TLS and DTLS are read by objects that the caller brings; without them such flows are only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from srtpgw.capture.announced import frames_in_clear, keys_of, signaling_findings
from srtpgw.capture.calls import KnownKey, MediaDescription, Place, Signal, Transport, address
from srtpgw.capture.negotiation import Negotiation
from srtpgw.capture.report import Address, Finding
from srtpgw.capture.sip import Message, StreamFramer, read_datagram
from srtpgw.capture.tcp import Connection, Connections, Delivery, Gap

TLS_PORT = 5061
TLS_RECORDS: Final = range(0x14, 0x18)  # first octet of any TLS record; no SIP message starts with one
HANDSHAKE, CLIENT_HELLO, SERVER_HELLO = 0x16, 1, 2
TYPE_AT = 5  # octet of the handshake type in a record
SILENT_MAX = 1 << 20  # octets without a message, after which a connection is taken not to carry SIP
TLS_FLOWS_MAX = 10_000  # that are told of one by one

FlowAddress = tuple[int, bytes, int, bytes, int]  # family, source, port, destination, port


class TlsStream(Protocol):
    """Reads one TLS connection; see srtpgw.capture.tls."""

    version: str | None
    suite: str | None
    fault: str | None
    client_random: bytes | None

    @property
    def has_secrets(self) -> bool | None: ...
    @property
    def dissectable(self) -> bool: ...
    def feed(self, from_client: bool, octets: bytes, /) -> list[tuple[bool, bytes]]: ...


class DtlsStreams(Protocol):
    """Reads DTLS handshakes of all flows; see srtpgw.capture.dtls."""

    def feed(self, frame: int, time_ns: int, source: Address, destination: Address, payload: bytes, /) -> Any: ...
    def keys(self) -> Sequence[KnownKey]: ...


@dataclass(slots=True)
class TlsFlow:
    """What became of a TLS connection."""

    frame: int  # of the first octets
    client: Address
    server: Address
    secrets: bool = False
    version: str | None = None
    suite: str | None = None
    fault: str | None = None
    client_random: bytes | None = None  # what a key log finds its secrets by
    dissectable: bool = False  # the secrets are there; a full dissector may read what is not read here
    messages: int = 0


class _Ignored:
    """A connection of which nothing more is wanted."""


class _SipStream:
    """A connection that carries SIP in clear."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._framers: dict[Address, StreamFramer] = {}
        self._silent = 0  # octets since the last message

    @property
    def hopeless(self) -> bool:
        """Whether nothing more can be expected of it."""
        return self._silent > SILENT_MAX

    def take(self, source: Address, piece: bytes | Gap | None) -> list[tuple[Address, Message]]:
        if piece is None:
            return [(end, message) for end, framer in self._framers.items() for message in framer.finish()]
        framer = self._framers.get(source)
        if framer is None:
            framer = self._framers[source] = StreamFramer(self._counters)
        messages = framer.gap() if isinstance(piece, Gap) else framer.feed(piece)
        self._silent = 0 if messages or isinstance(piece, Gap) else self._silent + len(piece)
        return [(source, message) for message in messages]


class _TlsStream:
    """A connection that carries SIP in TLS. Octets that the capture lost end its reading: records are numbered."""

    def __init__(self, flow: TlsFlow, reader: TlsStream | None, counters: Counter[str]) -> None:
        self.flow = flow
        self.inner = _SipStream(counters)
        self._reader = reader
        if reader is None:
            flow.fault = "there is no key log"

    @property
    def hopeless(self) -> bool:
        """Whether nothing more can come of it."""
        reader = self._reader
        return reader is None or reader.fault is not None or reader.has_secrets is False or self.inner.hopeless

    def take(self, source: Address, piece: bytes | Gap | None) -> list[tuple[Address, Message]]:
        flow, reader = self.flow, self._reader
        if piece is None or reader is None:
            return self.inner.take(source, None) if piece is None else []
        if isinstance(piece, Gap):
            flow.fault = flow.fault or "octets of the connection are missing in the capture"
            self._reader = None
            return []
        ends = {True: flow.client, False: flow.server}
        plain = reader.feed(source == flow.client, piece)
        flow.secrets, flow.version, flow.suite = bool(reader.has_secrets), reader.version, reader.suite
        flow.fault, flow.dissectable, flow.client_random = reader.fault, reader.dissectable, reader.client_random
        if reader.has_secrets is False:
            flow.fault = flow.fault or "no secret for this session in the key log"
        found = [pair for from_client, octets in plain for pair in self.inner.take(ends[from_client], octets)]
        flow.messages += len(found)
        return found


class Signaling:
    """Feed it in file order, then ``finish``; ``tls`` makes a reader for each TLS connection."""

    def __init__(self, tls: Callable[[], TlsStream] | None = None, dtls: DtlsStreams | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self.tls_flows: list[TlsFlow] = []
        self._tls = tls
        self._dtls = dtls
        self._connections = Connections(self.counters)
        self._negotiation = Negotiation(self.counters)
        self._opened: dict[frozenset[Address], _SipStream] = {}  # connections of TLS that were read elsewhere
        self._ignored: list[FlowAddress] = []
        self._last = Place(0, 0, "tcp", Address("", 0), Address("", 0))

    def feed(self, signal: tuple[Any, ...]) -> None:
        """Take one tuple of ``Survey.run``."""
        each = Signal._make(signal)
        sender, receiver = address(each.source, each.source_port), address(each.destination, each.destination_port)
        if each.kind == "sip":
            self._datagram(each.payload, Place(each.frame, each.time_ns, "udp", sender, receiver))
        elif each.kind == "tcp":
            self._segment(each, Place(each.frame, each.time_ns, "tcp", sender, receiver))
        elif each.kind == "dtls" and self._dtls is not None:
            self._dtls.feed(each.frame, each.time_ns, sender, receiver, each.payload)

    def feed_opened(self, frame: int, time_ns: int, sender: Address, receiver: Address, octets: bytes) -> None:
        """Take octets of a TLS connection that another program decrypted, in their order and in that of the file."""
        stream = self._opened.setdefault(frozenset((sender, receiver)), _SipStream(self.counters))
        for end, message in stream.take(sender, octets):
            self._negotiation.message(message, Place(frame, time_ns, "tls", end, receiver))

    def ignored_flows(self) -> list[FlowAddress]:
        """TCP flows found since the last call that nothing will come of: no need to hand them out any more."""
        ignored, self._ignored = self._ignored, []
        return ignored

    def finish(self) -> None:
        """The capture is over: what waits for more is taken as it is."""
        for delivery in self._connections.finish():
            low, high = delivery.connection.key.low, delivery.connection.key.high
            self._deliver(delivery, Place(self._last.frame, self._last.time_ns, "tcp", low, high))

    @property
    def descriptions(self) -> tuple[MediaDescription, ...]:
        """All media descriptions in file order."""
        return tuple(self._negotiation.descriptions)

    @property
    def ended(self) -> Mapping[str, int]:
        """By Call-ID, the frames where calls were hung up."""
        return self._negotiation.ended

    def keys(self) -> list[KnownKey]:
        """Of descriptions, then of DTLS; whole after ``finish``, for only an answer tells where media goes."""
        return [*keys_of(self._negotiation.descriptions), *(self._dtls.keys() if self._dtls is not None else ())]

    def keys_in_clear(self) -> tuple[int, ...]:
        """Frames of descriptions that carry keys without TLS."""
        return frames_in_clear(self._negotiation.descriptions)

    def findings(self) -> tuple[Finding, ...]:
        """What the descriptions alone show."""
        return tuple(signaling_findings(self._negotiation.descriptions))

    def _segment(self, each: Signal, place: Place) -> None:
        for delivery in self._connections.segment(
            place, each.interface, each.tcp_sequence, each.tcp_flags, each.payload
        ):
            if self._deliver(delivery, place):
                self._ignored.append(
                    (each.family, each.source, each.source_port, each.destination, each.destination_port)
                )

    def _datagram(self, payload: bytes, place: Place) -> None:
        message = read_datagram(payload)
        if isinstance(message, str):
            self.counters[f"sip-{message}"] += 1
        else:
            self._negotiation.message(message, place)

    def _deliver(self, delivery: Delivery, place: Place) -> bool:
        """Take octets of a connection; True where nothing more is wanted of it, once."""
        connection, source, piece = delivery
        self._last = place
        stream = connection.context
        if stream is None and not isinstance(piece, bytes):
            return False
        if stream is None:
            assert isinstance(piece, bytes)
            stream = connection.context = self._recognise(connection, source, piece, place.frame)
        if isinstance(stream, _Ignored):
            return False
        assert isinstance(stream, _SipStream | _TlsStream)
        transport: Transport = "tcp" if isinstance(stream, _SipStream) else "tls"
        for sender, message in stream.take(source, piece):
            receiver = connection.other(sender)
            self._negotiation.message(message, Place(place.frame, place.time_ns, transport, sender, receiver))
        if not stream.hopeless:
            return False
        connection.context = _Ignored()
        return piece is not None

    def _recognise(self, connection: Connection, source: Address, piece: bytes, frame: int) -> _SipStream | _TlsStream:
        """What the first octets of a connection say that it carries."""
        if piece[0] not in TLS_RECORDS:
            self.counters["tcp-sip-connections"] += 1
            return _SipStream(self.counters)
        client = _client(connection, source, piece)
        flow = TlsFlow(frame, client, connection.other(client))
        self.counters["tls-connections"] += 1
        if len(self.tls_flows) < TLS_FLOWS_MAX:
            self.tls_flows.append(flow)
        return _TlsStream(flow, self._tls() if self._tls is not None else None, self.counters)


def _client(connection: Connection, source: Address, piece: bytes) -> Address:
    """Who opened the TLS connection: by its hello, by the SYN, by the port."""
    if piece[0] == HANDSHAKE and len(piece) > TYPE_AT and piece[TYPE_AT] in {CLIENT_HELLO, SERVER_HELLO}:
        return source if piece[TYPE_AT] == CLIENT_HELLO else connection.other(source)
    if connection.opener is not None:
        return connection.opener
    return connection.other(source) if source.port == TLS_PORT else source
