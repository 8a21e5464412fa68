"""Connections put together from segments, whatever the network, the capture or an attacker did to these."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from srtpgw.capture.calls import Place
from srtpgw.capture.report import Address
from srtpgw.capture.tcp import (
    ACK,
    CONNECTIONS_MAX,
    FIN,
    GAP,
    HOLE_NS_MAX,
    RST,
    SYN,
    WAITING_MAX,
    WAITING_PIECES_MAX,
    WILD_MAX,
    Connections,
    Delivery,
    Gap,
    HalfStream,
    Piece,
    Total,
)

TEXT = bytes(range(256)) * 4
ONE, TWO = Address("192.0.2.1", 40000), Address("192.0.2.2", 5060)


def half(total: Total | None = None) -> HalfStream:
    return HalfStream(total or Total(), Counter())


def joined(pieces: list[Piece]) -> bytes:
    """What was delivered; a gap shows as a mark."""
    return b"".join(b"<gap>" if isinstance(piece, Gap) else piece for piece in pieces)


# --- one direction ---------------------------------------------------------------------------------------------------


@given(
    first=st.integers(0, (1 << 32) - 1) | st.integers((1 << 32) - 600, (1 << 32) - 1),
    cuts=st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(1, 300)), max_size=30),
    order=st.randoms(use_true_random=False),
    syn=st.booleans(),
)
def test_any_segmentation_gives_the_same_octets(
    first: int, cuts: list[tuple[int, int]], order: object, syn: bool
) -> None:
    """Overlapping, repeated, out of order, across the wrap; with enough of them to fill every hole."""
    segments = [(start, TEXT[start : start + length]) for start, length in cuts]
    segments += [(start, TEXT[start : start + 100]) for start in range(0, len(TEXT), 100)]
    order.shuffle(segments)  # type: ignore[attr-defined]
    stream = half()
    pieces = stream.segment(0, first, SYN if syn else ACK, b"")
    for start, octets in segments:
        pieces += stream.segment(1, (first + start) % (1 << 32), ACK, octets)
    assert joined(pieces) == TEXT
    assert stream.segment(2, (first + len(TEXT)) % (1 << 32), FIN, b"") == []
    assert stream.ended


def test_the_first_octets_seen_for_a_place_stay() -> None:
    stream = half()
    pieces = stream.segment(0, 100, ACK, b"ab")
    pieces += stream.segment(0, 104, ACK, b"EF")
    pieces += stream.segment(0, 108, ACK, b"IJ")
    pieces += stream.segment(0, 100, ACK, b"zzzzzzzzzzzz")
    assert joined(pieces) == b"abzzEFzzIJzz"
    assert joined(stream.segment(0, 106, ACK, b"yyyyyyyy")) == b"yy"


def test_a_keep_alive_adds_nothing() -> None:
    stream = half()
    assert joined(stream.segment(0, 100, ACK, b"ab")) == b"ab"
    assert stream.segment(0, 101, ACK, b"\0") == []
    assert joined(stream.segment(0, 102, ACK, b"cd")) == b"cd"


def test_a_hole_is_given_up_by_what_waits_behind_it() -> None:
    for length, segments in ((1000, WAITING_MAX // 1000 + 1), (1, WAITING_PIECES_MAX + 1)):
        total = Total()
        stream = half(total)
        stream.segment(0, 0, ACK, b"a")
        pieces: list[Piece] = []
        for number in range(segments):
            assert not pieces
            pieces = stream.segment(0, 5 + 2 * length * number, ACK, b"x" * length)
        assert pieces[0] is GAP
        assert joined(pieces) == b"<gap>" + b"x" * length
        assert total.octets == (segments - 1) * length <= WAITING_MAX
        assert joined(stream.finish()).count(b"<gap>") == segments - 1
        assert total.octets == 0


def test_a_hole_is_given_up_after_a_while() -> None:
    stream = half()
    stream.segment(0, 0, ACK, b"a")
    assert stream.segment(1, 5, ACK, b"b") == []
    assert stream.segment(HOLE_NS_MAX + 1, 6, ACK, b"c") == []
    assert joined(stream.segment(HOLE_NS_MAX + 2, 7, ACK, b"d")) == b"<gap>bcd"


def test_all_connections_together_are_bounded() -> None:
    total = Total()
    total.octets = 1 << 40
    stream = half(total)
    stream.segment(0, 0, ACK, b"a")
    assert joined(stream.segment(0, 5, ACK, b"b")) == b"<gap>b"


def test_segments_from_nowhere_are_left_out_until_they_go_on() -> None:
    counters: Counter[str] = Counter()
    stream = HalfStream(Total(), counters)
    stream.segment(0, 0, ACK, b"a")
    assert stream.segment(0, 1 << 30, ACK, b"forged") == []
    stream.segment(0, 2, ACK, b"c")
    for _ in range(WILD_MAX - 1):
        assert stream.segment(0, 1 << 30, ACK, b"x") == []
    assert joined(stream.segment(0, 1 << 30, ACK, b"here")) == b"<gap>c<gap>here"
    assert joined(stream.segment(0, (1 << 30) + 4, ACK, b"on")) == b"on"
    assert counters == {"tcp-out-of-reach": WILD_MAX + 1, "tcp-gaps": 1}


def test_data_in_a_syn_and_a_fin_before_what_it_ends() -> None:
    stream = half()
    assert joined(stream.segment(0, 100, SYN, b"ab")) == b"ab"
    assert stream.segment(0, 104, FIN, b"ef") == []
    assert not stream.ended
    assert joined(stream.segment(0, 102, ACK, b"cd")) == b"cdef"
    assert stream.ended


@given(st.lists(st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 255), st.binary(max_size=40)), max_size=60))
def test_anything_is_taken(segments: list[tuple[int, int, bytes]]) -> None:
    total = Total()
    stream = half(total)
    pieces: list[Piece] = []
    for number, (sequence, flags, octets) in enumerate(segments):
        pieces += stream.segment(number, sequence % 4096 if number % 2 else sequence, flags, octets)
        assert total.octets >= 0
    pieces += stream.finish()
    assert total.octets == 0
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) <= sum(len(each[2]) for each in segments)


# --- connections -----------------------------------------------------------------------------------------------------


class Table:
    """Connections between two ends, and what they deliver."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.connections = Connections(self.counters)
        self.log: list[Delivery] = []

    def feed(
        self, sequence: int, flags: int, octets: bytes = b"", *, back: bool = False, source: Address = ONE
    ) -> None:
        ends = (TWO, source) if back else (source, TWO)
        self.log += self.connections.segment(Place(1, 1, "tcp", *ends), 0, sequence, flags, octets)

    def finish(self) -> None:
        self.log += self.connections.finish()

    def seen(self) -> list[object]:
        """(connection by number, octets or gap or None) in order."""
        numbers: dict[int, int] = {}
        return [(numbers.setdefault(id(each.connection), len(numbers)), each.piece) for each in self.log]


def test_both_directions_open_and_close() -> None:
    table = Table()
    table.feed(10, SYN)
    table.feed(100, SYN | ACK, back=True)
    table.feed(10, ACK, b"question")
    table.feed(100, ACK, b"answer", back=True)
    assert table.log[0].connection.opener == ONE
    assert [each.source for each in table.log] == [ONE, TWO]
    table.feed(18, FIN)
    assert len(table.log) == 2
    table.feed(106, FIN, back=True)
    assert table.seen() == [(0, b"question"), (0, b"answer"), (0, None)]
    table.feed(18, FIN)  # sent again
    table.feed(10, ACK, b"question")
    table.finish()
    assert len(table.log) == 3


def test_a_port_that_is_used_again_is_another_connection() -> None:
    table = Table()
    table.feed(10, SYN)
    table.feed(10, ACK, b"first")
    table.feed(10, SYN)  # sent again
    table.feed(7010, SYN)
    table.feed(7010, ACK, b"second")
    table.finish()
    assert table.seen() == [(0, b"first"), (0, None), (1, b"second"), (1, None)]


def test_a_port_is_used_again_after_an_end() -> None:
    table = Table()
    table.feed(10, ACK, b"first")
    table.feed(15, RST)
    table.feed(7010, SYN)
    table.feed(7010, ACK, b"second")
    table.finish()
    assert table.seen() == [(0, b"first"), (0, None), (1, b"second"), (1, None)]


def test_a_reset_out_of_reach_is_none() -> None:
    table = Table()
    table.feed(10, ACK, b"first")
    table.feed(1 << 30, RST)
    table.feed(15, ACK, b"second")
    assert table.seen() == [(0, b"first"), (0, b"second")]


def test_the_table_is_bounded() -> None:
    table = Table()
    for number in range(CONNECTIONS_MAX + 10):
        table.feed(1, ACK, b"x", source=Address(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1))
    assert table.counters["tcp-evicted"] == 10
    assert sum(each.piece is None for each in table.log) == 10
    table.finish()
    assert sum(each.piece is None for each in table.log) == CONNECTIONS_MAX + 10


def test_a_connection_that_is_in_use_stays() -> None:
    table = Table()
    others = [Address(f"10.0.{number >> 8}.{number & 255}", 1) for number in range(CONNECTIONS_MAX - 1)]
    for source in (ONE, *others):
        table.feed(1, ACK, b"x", source=source)
    table.feed(2, ACK, b"y")
    table.feed(1, ACK, b"x", source=Address("10.9.9.9", 1))
    assert [each.connection.key.low for each in table.log if each.piece is None] == [others[0]]
