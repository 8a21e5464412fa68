"""A sending context: RFC 3711 3.3 with a window over what was sent, so that no keystream is used twice (9.1).

The sequence numbers are chosen by someone else. The same index again is refused; a source that went back behind the
window and goes on from there (RFC 3550 A.1: two in sequence), or repeats itself RESTART_RUN packets long, has
restarted and continues under a new outgoing SSRC from rollover counter 0. Once an outgoing SSRC was given up its
indices are no longer known, so no source keeps its own SSRC from then on. At the limit the source used least
recently is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .keys import session_keys
from .packet import RTCP_HEADER_LENGTH, Malformed, rtp_header_length
from .suites import SUITES
from .transform import protect_rtcp, protect_rtp
from .window import SEQUENCE, SRTCP_INDICES, SRTP_INDICES, Key, Refused, Window, estimate

RESTART_RUN = 8


@dataclass
class Source:
    out_ssrc: int
    window: Window
    restart_next: int | None = None
    duplicate_run: int = 0

    def restart(self, out_ssrc: int) -> None:
        self.out_ssrc = out_ssrc
        self.window = Window(self.window.size)
        self.restart_next = None
        self.duplicate_run = 0


@dataclass
class Sender:
    """`new_ssrc` draws the outgoing SSRC of a restarted or renamed source."""

    suite_name: str
    keys: Sequence[Key]
    new_ssrc: Callable[[], int]
    roc: int = 0
    srtcp_index: int = 0
    window: int = 1024
    encrypt_rtp: bool = True
    encrypt_rtcp: bool = True
    authenticate_rtp: bool = True
    max_ssrcs: int = 64
    sources: dict[int, Source] = field(default_factory=dict)  # least recently used first
    srtcp_next: dict[int, int] = field(default_factory=dict)  # likewise
    rename_all: bool = False
    sent: dict[bytes, int] = field(default_factory=dict)  # SRTP packets by MKI
    sent_rtcp: dict[bytes, int] = field(default_factory=dict)

    def protect(self, packet: bytes) -> bytes:
        try:
            rtp_header_length(packet)
        except Malformed as malformed:
            raise Refused(*malformed.args) from None
        key = self.key(self.sent, SRTP_INDICES)
        seq, ssrc = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[8:12], "big")
        source = self.source(ssrc)
        index = self.index(source, seq)
        if index >= SRTP_INDICES:  # 9.2. No key may start the index again (3.3.1), so none is left.
            self.sent = {key.mki: SRTP_INDICES for key in self.keys}
            raise Refused("tx-key-expired")
        source.window.add(index)
        self.sent[key.mki] = self.sent.get(key.mki, 0) + 1
        out = packet[:8] + source.out_ssrc.to_bytes(4, "big") + packet[12:]
        session = session_keys(SUITES[self.suite_name], key.key, key.salt)
        return protect_rtp(
            SUITES[self.suite_name], session, out, index,
            mki=key.mki, encrypt=self.encrypt_rtp, authenticate=self.authenticate_rtp,
        )  # fmt: skip

    def protect_rtcp(self, packet: bytes) -> bytes:
        if len(packet) < RTCP_HEADER_LENGTH:
            raise Refused("too-short")
        key = self.key(self.sent_rtcp, SRTCP_INDICES)
        ssrc = int.from_bytes(packet[4:8], "big")
        index = self.next_srtcp_index(ssrc)
        if index >= SRTCP_INDICES:
            self.sent_rtcp = {key.mki: SRTCP_INDICES for key in self.keys}
            raise Refused("tx-key-expired")
        self.srtcp_next[ssrc] = index + 1
        self.sent_rtcp[key.mki] = self.sent_rtcp.get(key.mki, 0) + 1
        session = session_keys(SUITES[self.suite_name], key.key, key.salt, rtcp=True)
        return protect_rtcp(
            SUITES[self.suite_name], session, packet, index, mki=key.mki, encrypt=self.encrypt_rtcp
        )  # fmt: skip

    def key(self, sent: dict[bytes, int], most: int) -> Key:
        """The first key whose lifetime is not used up (RFC 3711 9.2)."""
        for key in self.keys:
            if sent.get(key.mki, 0) < min(key.lifetime or most, most):
                return key
        raise Refused("tx-key-expired")

    def next_srtcp_index(self, ssrc: int) -> int:
        """A source given up at the limit leaves its index as the lowest of those to come."""
        if ssrc not in self.srtcp_next and len(self.srtcp_next) >= self.max_ssrcs:
            self.srtcp_index = max(self.srtcp_index, self.srtcp_next.pop(next(iter(self.srtcp_next))))
        index = self.srtcp_next.pop(ssrc, self.srtcp_index)
        self.srtcp_next[ssrc] = index
        return index

    def source(self, ssrc: int) -> Source:
        """An SSRC that we already send under, for another source, is renamed (RFC 3711 9.1)."""
        source = self.sources.pop(ssrc, None)
        if source is None:
            if len(self.sources) >= self.max_ssrcs:
                del self.sources[next(iter(self.sources))]
                self.rename_all = True
            taken = any(source.out_ssrc == ssrc for source in self.sources.values())
            source = Source(self.new_ssrc() if taken or self.rename_all else ssrc, Window(self.window))
        self.sources[ssrc] = source
        return source

    def index(self, source: Source, seq: int) -> int:
        """The index to send `seq` under; raises Refused for a duplicate or a straggler, restarts the source."""
        if source.window.newest is None:
            return self.roc * SEQUENCE + seq
        index = estimate(source.window.newest, seq)
        verdict = "behind" if index < 0 else source.window.judge(index)
        if verdict == "new":
            source.restart_next = None
            source.duplicate_run = 0
            return index
        if verdict == "behind":
            restarted, source.restart_next = source.restart_next == seq, (seq + 1) % SEQUENCE
        else:
            source.duplicate_run += 1
            restarted = source.duplicate_run == RESTART_RUN
        if not restarted:
            raise Refused("tx-too-old" if verdict == "behind" else "tx-duplicate")
        source.restart(self.new_ssrc())
        self.rename_all = True
        return seq
