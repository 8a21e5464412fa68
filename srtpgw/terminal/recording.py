"""What a source sent, in order: no jitter buffer, since nothing is played while the call is on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from srtpgw.terminal.packets import Media


@dataclass(frozen=True)
class Frame:
    """One payload with its place: sequence number and timestamp continued beyond 16 and 32 bits."""

    sequence: int
    timestamp: int
    payload: bytes


def extend(value: int, near: int, bits: int) -> int:
    """The number congruent to ``value`` modulo 2**bits that lies nearest to ``near``. RFC 3550, appendix A.1."""
    span = 1 << bits
    half = span >> 1
    return near + (value - near + half) % span - half


class Track:
    """Packets of one SSRC by extended sequence number. The first copy of each counts, whatever the order."""

    def __init__(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self._frames: dict[int, Frame] = {}
        self._highest: Frame | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return (self._frames[sequence] for sequence in sorted(self._frames))

    def add(self, media: Media) -> bool:
        """False, and nothing is kept, when the sequence number is there already."""
        near = self._highest
        sequence = media.sequence if near is None else extend(media.sequence, near.sequence, 16)
        timestamp = media.timestamp if near is None else extend(media.timestamp, near.timestamp, 32)
        if sequence in self._frames:
            return False
        frame = Frame(sequence, timestamp, media.payload)
        self._frames[sequence] = frame
        if near is None or sequence > near.sequence:
            self._highest = frame
        return True

    @property
    def lost(self) -> int:
        """Packets missing between the first and the last one in order."""
        return max(self._frames) - min(self._frames) + 1 - len(self._frames) if self._frames else 0

    def payload(self, sequence: int) -> bytes | None:
        """The payload of a sequence number as it is on the wire (16 bits), the newest of those congruent."""
        if self._highest is None:
            return None
        newest = self._highest.sequence
        frame = self._frames.get(newest - (newest - sequence) % (1 << 16))
        return frame.payload if frame else None


class Recording:
    """All that a terminal heard, apart by SSRC."""

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}

    def add(self, media: Media) -> bool:
        """False when the packet is a duplicate."""
        return self.tracks.setdefault(media.ssrc, Track(media.ssrc)).add(media)

    def track(self, ssrc: int) -> Track:
        """What came from one source; an empty track when nothing did."""
        return self.tracks.get(ssrc) or Track(ssrc)

    def __len__(self) -> int:
        return sum(len(track) for track in self.tracks.values())

    @property
    def lost(self) -> int:
        return sum(track.lost for track in self.tracks.values())
