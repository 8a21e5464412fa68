"""Everything known of a capture before its packets are judged.

    secrets   a quick reading of pcapng files: secrets of TLS may stand anywhere in them
    survey    which streams there are, samples of each, and signaling
    match     every key against the samples of every stream, by trial authentication: addresses only tell what to try
              first

``gather`` does the three. The readings that look at every packet come after it (verify.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from srtpgw import _native
from srtpgw.capture.calls import KnownKey, MediaDescription, address
from srtpgw.capture.described import Descriptions, format_of, formats
from srtpgw.capture.dissector import ClosedConnection, Dissection, Piece, dissect
from srtpgw.capture.dtls import DtlsHandshake, DtlsReader
from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.keyring import Keyring
from srtpgw.capture.report import Address
from srtpgw.capture.signaling import Signaling, TlsFlow
from srtpgw.capture.tls import TlsReader

if TYPE_CHECKING:
    from srtpgw._native import StreamKey
    from srtpgw.capture.source import CaptureSource

ROC_TRIALS: Final = 400_000_000  # of the search for rollover counters
SPARE_KEYS: Final = 8  # that a stream is examined under besides those that opened its samples
AGREED_KEYS: Final = 30  # the same, of keys that its own call agreed on: it may change them every few minutes
SECRETS_OCTETS_MAX: Final = 256 << 20  # of the blocks of one capture

# The part of the work, how much of it is done, and how much there is (None: not known).
Progress = Callable[[str, int, int | None], None]

# Entry, rollover counter, sequence number, octets of the MKI.
Match = tuple[int, int | None, int | None, int | None]

# Neither has a clock that the talk goes by.
TIMELESS: Final = frozenset({"telephone-event", "CN"})


def unwatched(_part: str, _done: int, _total: int | None) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known besides the capture: keys, and texts of TLS key logs."""

    keys: tuple[KnownKey, ...] = ()
    keylogs: tuple[bytes, ...] = field(default=(), repr=False)
    roc_trials: int = ROC_TRIALS


@dataclass(frozen=True, slots=True)
class Found:
    """A stream, and what was found out about it so far."""

    key: StreamKey
    first_frame: int
    packets: int
    matches: tuple[Match, ...]
    spare: tuple[int, ...]  # entries announced for it that opened no sample
    announced: tuple[int, ...]  # numbers of keys
    descriptions: tuple[MediaDescription, ...]
    payload_types: tuple[int, ...]  # of RTP: those that it uses; the examiner has room for few
    unsearched: bool  # not every rollover counter was tried

    @property
    def source(self) -> Address:
        return address(self.key[2], self.key[3])

    @property
    def destination(self) -> Address:
        return address(self.key[4], self.key[5])

    @property
    def ssrc(self) -> int:
        return self.key[6]

    @property
    def rtcp(self) -> bool:
        return self.key[7]

    def clock_rates(self) -> dict[int, int]:
        """Hz by payload type, of those whose timestamps tell when they were spoken."""
        known = formats(self.descriptions)
        found = {number: format_of(number, known) for number in self.payload_types}
        return {
            number: each.clock_rate
            for number, each in found.items()
            if each is not None and each.clock_rate and each.codec not in TIMELESS
        }


@dataclass(frozen=True, slots=True)
class Gathered:
    described: dict[str, Any]  # of the reader: interfaces, frames, counters
    fault: str | None
    streams: tuple[Found, ...]
    signaling: Signaling
    handshakes: tuple[DtlsHandshake, ...]
    keyring: Keyring


def gather(source: CaptureSource, inputs: Inputs, progress: Progress = unwatched) -> Gathered:
    """Read a capture as often as it takes. CaptureError where it cannot be read."""
    keylog = KeyLog()
    for text in inputs.keylogs:
        keylog.add(text)
    _take_secrets(source, keylog)
    dtls = DtlsReader(keylog)
    survey, signaling, reader = _survey(source, keylog, dtls)
    closed = [flow for flow in signaling.tls_flows if flow.dissectable]
    if closed:
        opened = _dissected(source, keylog, closed)
        if opened.pieces:
            dtls = DtlsReader(keylog)
            survey, signaling, reader = _survey(source, keylog, dtls, opened.pieces)
        for flow in signaling.tls_flows:
            if flow.dissectable and opened.fault:
                flow.fault = f"{flow.fault}; {opened.fault}"
    described = reader.describe()
    known = Descriptions(signaling.descriptions, signaling.ended)
    keys = [*signaling.keys(), *inputs.keys]
    streams, keyring = _match(survey.streams(), known, keys, inputs, progress)
    return Gathered(described, source.fault or described["fault"], streams, signaling, tuple(dtls.handshakes), keyring)


def _survey(
    source: CaptureSource, keylog: KeyLog, dtls: DtlsReader, opened: Iterable[Piece] = ()
) -> tuple[_native.Survey, Signaling, _native.CaptureReader]:
    """Read once for streams and signaling, with what another program decrypted put in where it was captured."""
    signaling = Signaling(lambda: TlsReader(keylog), dtls)
    survey = _native.Survey()
    reader = _native.CaptureReader()
    pieces = deque(opened)
    for _ in source.read_through(reader):
        for signal in survey.run(reader):
            while pieces and pieces[0].frame <= signal[1]:
                _feed_opened(signaling, pieces.popleft())
            signaling.feed(signal)
        for flow in signaling.ignored_flows():
            survey.ignore(*flow)
    for piece in pieces:
        _feed_opened(signaling, piece)
    signaling.finish()
    return survey, signaling, reader


def _feed_opened(signaling: Signaling, piece: Piece) -> None:
    signaling.feed_opened(piece.frame, piece.time_ns, piece.sender, piece.receiver, piece.octets)


def _dissected(source: CaptureSource, keylog: KeyLog, flows: Iterable[TlsFlow]) -> Dissection:
    closed = [ClosedConnection(flow.client, flow.server, flow.client_random) for flow in flows if flow.client_random]
    return dissect(source.fileno(), keylog, closed)


def _take_secrets(source: CaptureSource, keylog: KeyLog) -> None:
    reader = _native.CaptureReader(secrets_only=True)
    octets = 0
    for _ in source.read_through(reader):
        reader.skip()
        for kind, secrets in reader.take_secrets():
            octets += len(secrets)
            if octets <= SECRETS_OCTETS_MAX:
                keylog.add_block(kind, secrets)
        if reader.describe()["format"] == "pcap":
            return  # has no such blocks


def _match(
    rows: list[dict[str, Any]],
    known: Descriptions,
    keys: Sequence[KnownKey],
    inputs: Inputs,
    progress: Progress,
) -> tuple[tuple[Found, ...], Keyring]:
    """Streams worth looking at, with the keys that open their samples; and all keys, with the MKIs that were found."""
    ends = [(address(row["key"][2], row["key"][3]), address(row["key"][4], row["key"][5])) for row in rows]
    kept = [(row, *pair) for row, pair in zip(rows, ends, strict=True) if row["plausible"] or known.names(*pair)]
    samples = [(row["key"][7], row["samples"]) for row, _, _ in kept]
    keyring = Keyring(keys)
    hints, found, told = _tried(kept, samples, keyring, inputs, progress)
    if told["unknown_mki"]:
        keyring = Keyring(_with_mkis(keyring, {match[1] for match in found}, told["unknown_mki"]))
        hints, found, told = _tried(kept, samples, keyring, inputs, progress)
    matches = _by_stream(found, samples)
    unsearched = set(told["unsearched"])
    streams = tuple(
        _found(row, known, keyring, matches.get(number, []), hints[number], began, number in unsearched)
        for number, ((row, _, _), began) in enumerate(zip(kept, _beginnings(kept), strict=True))
    )
    return streams, keyring


def _tried(
    kept: list[tuple[dict[str, Any], Address, Address]],
    samples: list[tuple[bool, list[bytes]]],
    keyring: Keyring,
    inputs: Inputs,
    progress: Progress,
) -> tuple[list[list[int]], list[tuple[int, int, int, int]], dict[str, Any]]:
    """What was tried first for each stream, which samples opened, and what else is to be told."""
    hints = [keyring.hints(source, destination, row["key"][6]) for row, source, destination in kept]
    found, told = _native.find_keys(
        samples,
        keyring.trial,
        hints,
        roc_budget=inputs.roc_trials,
        progress=lambda done, total: progress("matching keys", done, total),
    )
    return hints, found, told


def _with_mkis(keyring: Keyring, used: set[int], guessed: list[tuple[int, int, int, int, bytes]]) -> Iterator[KnownKey]:
    """The keys with the MKIs that packets carry though nothing said so. One that opens packets without, too, stays as
    it is, and comes again at the end."""
    mkis: dict[int, set[bytes]] = {}
    for _, entry, _, _, mki in guessed:
        for number in keyring.owners(entry):
            mkis.setdefault(number, set()).add(mki)
    added = []
    for number, key in enumerate(keyring.keys):
        carried = [replace(key, mki=mki) for mki in sorted(mkis.get(number, ()))]
        if carried and not used.intersection(keyring.entries((number,))):
            yield carried.pop(0)
        else:
            yield key
        added += carried
    yield from added


def _beginnings(kept: list[tuple[dict[str, Any], Address, Address]]) -> Iterator[int]:
    """The first frame of each stream's source: the last RTCP may come alone, when the call was hung up."""
    first: dict[tuple[str, int], int] = {}
    for row, source, _ in kept:
        first.setdefault((source.host, row["key"][6]), row["first_frame"])
    for row, source, _ in kept:
        yield first[source.host, row["key"][6]]


def _found(
    row: dict[str, Any],
    known: Descriptions,
    keyring: Keyring,
    matches: list[Match],
    hints: list[int],
    began: int,
    unsearched: bool,
) -> Found:
    source, destination = address(*row["key"][2:4]), address(*row["key"][4:6])
    applied = known.of(source, destination, began, row["last_frame"])
    announced = tuple(
        number
        for number in keyring.announced(source, destination)
        if known.binding(keyring.keys[number], applied) and (keyring.keys[number].frame or 0) <= row["last_frame"]
    )
    tried = {match[0] for match in matches}
    agreed = [entry for entry in keyring.entries(announced) if entry not in tried]
    others = [entry for entry in hints if entry not in tried and entry not in agreed]
    return Found(
        key=row["key"],
        first_frame=row["first_frame"],
        packets=row["packets"],
        matches=tuple(matches),
        spare=(*agreed[:AGREED_KEYS], *others[: max(0, SPARE_KEYS - len(agreed))]),
        announced=announced,
        descriptions=tuple(applied),
        payload_types=() if row["key"][7] else tuple(row["payload_types"]),
        unsearched=unsearched,
    )


def _by_stream(
    found: list[tuple[int, int, int, int]], samples: list[tuple[bool, list[bytes]]]
) -> dict[int, list[Match]]:
    """Matches of each stream in the order of its samples."""
    matches: dict[int, list[Match]] = {}
    for stream, entry, roc, sample in sorted(found, key=lambda match: (match[0], match[3])):
        rtcp, octets = samples[stream]
        sequence = None if rtcp else int.from_bytes(octets[sample][2:4], "big")
        matches.setdefault(stream, []).append((entry, None if rtcp else roc, sequence, None))
    return matches
