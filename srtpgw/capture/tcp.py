"""TCP connections put together again from captured segments (RFC 9293 3.4, 3.10.7.4).

Each direction is a line of octets; what arrives ahead of a hole waits for the hole to close::

    delivered ........|  hole  |== waiting ==|  hole  |== waiting ==|
                      ^ next                                           the first octets seen for a place stay there

A capture may have lost what both ends received, so a hole is given up when too much waits behind it or for too long. It
is then a gap, which is delivered as such. A connection starts at a SYN or, in mid-stream, at whatever is seen first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from srtpgw.capture.calls import Place
from srtpgw.capture.report import Address

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

CONNECTIONS_MAX = 16384
WAITING_MAX = 262144  # octets behind a hole of one direction
WAITING_PIECES_MAX = 1024
WAITING_TOTAL_MAX = 64 << 20  # octets of all connections
HOLE_NS_MAX = 10_000_000_000  # a retransmission comes sooner
JUMP_MAX = 1 << 24  # octets ahead that a window could still hold in practice
WILD_MAX = 4  # segments in a row outside of that, and the connection is taken to be there

_MODULUS: Final = 1 << 32


class Gap:
    """Stands for octets that the capture does not hold."""


GAP: Final = Gap()
Piece = bytes | Gap


class Total:
    """Octets that wait, of all connections together."""

    def __init__(self) -> None:
        self.octets = 0


class HalfStream:
    """One direction. Positions count octets from the first one seen, sequence numbers wrap."""

    def __init__(self, total: Total, counters: Counter[str]) -> None:
        self.ended = False
        self._total = total
        self._counters = counters
        self._initial: int | None = None  # sequence number of position 0
        self._next = 0  # position up to which everything is delivered
        self._end: int | None = None  # position of the FIN
        self._starts: list[int] = []  # positions of what waits, in order
        self._pieces: list[bytes] = []
        self._waiting = 0  # octets
        self._hole_ns = 0  # time of the first segment behind the hole
        self._wild = 0

    def starts_anew(self, sequence: int) -> bool:
        """Whether a SYN of this sequence number belongs to another connection."""
        return self._initial is not None and self._initial != sequence

    def in_reach(self, sequence: int) -> bool:
        """Whether a segment of this sequence number can be of this connection."""
        return self._initial is None or abs(self._distance(sequence)) <= JUMP_MAX

    def segment(self, time_ns: int, sequence: int, flags: int, payload: bytes) -> list[Piece]:
        """Take a segment; what can be delivered now, in order. `sequence` is that of the first octet of payload."""
        pieces: list[Piece] = []
        if self._initial is None:
            self._initial = sequence
        if not self.in_reach(sequence):
            if not self._is_elsewhere():
                return []
            pieces = [*self._flush(), GAP]
            self._initial = (sequence - self._next) % _MODULUS
        self._wild = 0
        start = self._next + self._distance(sequence)
        if flags & FIN and self._end is None:
            self._end = start + len(payload)
        if start < self._next:
            payload = payload[self._next - start :]
            start = self._next
        if payload:
            if not self._pieces:
                self._hole_ns = time_ns
            self._keep(start, payload)
        return pieces + self._deliver(time_ns)

    def finish(self) -> list[Piece]:
        """No more comes: what waits is delivered, with the holes as gaps."""
        self.ended = True
        return self._flush()

    def _distance(self, sequence: int) -> int:
        """Octets from what is to be delivered next; negative for what came before."""
        assert self._initial is not None
        return (sequence - self._initial - self._next + _MODULUS // 2) % _MODULUS - _MODULUS // 2

    def _is_elsewhere(self) -> bool:
        """Whether several segments in a row say that the connection went on out of reach."""
        self._wild += 1
        self._counters["tcp-out-of-reach"] += 1
        return self._wild >= WILD_MAX

    def _flush(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._pieces:
            pieces += self._skip_hole()
            pieces += self._in_order()
        return pieces

    def _keep(self, start: int, octets: bytes) -> None:
        """Store what no earlier segment holds."""
        end = start + len(octets)
        base = start
        at = bisect_right(self._starts, start)
        if at:
            start = max(start, self._starts[at - 1] + len(self._pieces[at - 1]))
        while start < end:
            limit = min(end, self._starts[at]) if at < len(self._starts) else end
            if start < limit:
                self._insert(at, start, octets[start - base : limit - base])
                at += 1
            if at < len(self._starts):
                start = max(limit, self._starts[at] + len(self._pieces[at]))
                at += 1
            else:
                break

    def _insert(self, at: int, start: int, octets: bytes) -> None:
        self._starts.insert(at, start)
        self._pieces.insert(at, octets)
        self._count(len(octets))

    def _count(self, octets: int) -> None:
        self._waiting += octets
        self._total.octets += octets

    def _deliver(self, time_ns: int) -> list[Piece]:
        pieces: list[Piece] = [*self._in_order()]
        if pieces:
            self._hole_ns = time_ns  # of the next hole, if there is one
        while self._pieces and self._given_up(time_ns):
            pieces += self._skip_hole()
            pieces += self._in_order()
            self._hole_ns = time_ns
        if self._end is not None and self._next >= self._end:
            self.ended = True
        return pieces

    def _given_up(self, time_ns: int) -> bool:
        return (
            self._waiting > WAITING_MAX
            or len(self._pieces) > WAITING_PIECES_MAX
            or self._total.octets > WAITING_TOTAL_MAX
            or time_ns - self._hole_ns > HOLE_NS_MAX
        )

    def _in_order(self) -> list[bytes]:
        """What stands at the next position; taken out in one go."""
        count = 0
        for start, piece in zip(self._starts, self._pieces, strict=True):
            if start != self._next:
                break
            self._next += len(piece)
            count += 1
        pieces = self._pieces[:count]
        del self._starts[:count], self._pieces[:count]
        self._count(-sum(map(len, pieces)))
        return pieces

    def _skip_hole(self) -> list[Piece]:
        if self._starts[0] == self._next:
            return []
        self._counters["tcp-gaps"] += 1
        self._next = self._starts[0]
        return [GAP]


class Key(NamedTuple):
    """A connection's ends in one order, whoever opened it."""

    interface: int
    low: Address
    high: Address


@dataclass(eq=False)
class Connection:
    """Two directions; ``opener`` is known where the SYN was seen."""

    key: Key
    halves: dict[Address, HalfStream]
    opener: Address | None = None
    closed: bool = False
    context: object = field(default=None)  # the reader of its octets

    def other(self, end: Address) -> Address:
        return self.key.high if end == self.key.low else self.key.low


class Delivery(NamedTuple):
    """Octets in order from one end, a gap, or None: the connection is over."""

    connection: Connection
    source: Address
    piece: Piece | None


class Connections:
    """All connections of a capture; the one that was quiet for longest makes room."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._table: OrderedDict[Key, Connection] = OrderedDict()
        self._total = Total()

    def segment(self, place: Place, interface: int, sequence: int, flags: int, payload: bytes) -> list[Delivery]:
        """Take a segment; what it delivers, of this connection or of one that it ends."""
        source = place.sender
        low, high = sorted((source, place.receiver), key=lambda end: (end.host, end.port))
        key = Key(interface, low, high)
        out: list[Delivery] = []
        connection = self._table.get(key)
        if connection and flags & SYN and connection.halves[source].starts_anew(sequence):
            out += self._close(connection)
            del self._table[key]
            connection = None
        if connection is None:
            connection = self._open(key, out)
        self._table.move_to_end(key)
        if flags & (SYN | ACK) == SYN:
            connection.opener = source
        if connection.closed:
            return out
        half = connection.halves[source]
        if flags & RST:
            return out + self._close(connection) if half.in_reach(sequence) else out
        out += [Delivery(connection, source, piece) for piece in half.segment(place.time_ns, sequence, flags, payload)]
        if all(half.ended for half in connection.halves.values()):
            out += self._close(connection)
        return out

    def finish(self) -> list[Delivery]:
        """The capture is over."""
        out = [delivery for connection in self._table.values() for delivery in self._close(connection)]
        self._table.clear()
        return out

    def _open(self, key: Key, out: list[Delivery]) -> Connection:
        if len(self._table) >= CONNECTIONS_MAX:
            _, oldest = self._table.popitem(last=False)
            self._counters["tcp-evicted"] += not oldest.closed
            out += self._close(oldest)
        halves = {end: HalfStream(self._total, self._counters) for end in (key.low, key.high)}
        connection = self._table[key] = Connection(key, halves)
        return connection

    def _close(self, connection: Connection) -> list[Delivery]:
        if connection.closed:
            return []
        connection.closed = True
        rest = [Delivery(connection, end, piece) for end, half in connection.halves.items() for piece in half.finish()]
        return [*rest, Delivery(connection, connection.key.low, None)]
