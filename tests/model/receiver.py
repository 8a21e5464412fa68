"""A receiving context: RFC 3711 3.3 and 3.4. No state moves before the tag verifies.

A source whose rollover counter is not known (late join) fails authentication. After SEARCH_AFTER failures in a row
SEARCH_ROCS and the hints are tried; two packets good under the same counter, in order and near, commit it. (The
engine watches a few sources at a time, the model all of them.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import transform
from .keys import session_keys
from .packet import RTCP_HEADER_LENGTH, RTP_HEADER_LENGTH, Malformed, rtp_header_length
from .suites import SRTCP_INDEX_LENGTH, SUITES, Suite
from .window import SEQUENCE, SRTCP_INDICES, SRTP_INDICES, Key, Refused, Window, estimate

SEARCH_AFTER = 3
SEARCH_ROCS = (0, 1, 2, 3)
SEARCH_RATE = 10  # trial authentications a second, and at once
SEARCH_NEAR = 64  # sequence numbers between the two packets that agree
SEARCH_PATIENCE = 2  # seconds for the second of them
SECOND = 10**9  # ns


@dataclass
class Search:
    failures: int = 0
    pending: int | None = None  # index under which a packet was good
    since: int = 0  # ns, when that was
    next: int = 0  # candidate to try next: tokens may come one at a time


@dataclass
class Receiver:
    suite_name: str
    keys: Sequence[Key]
    roc: int = 0
    window: int = 1024
    encrypt_rtp: bool = True
    encrypt_rtcp: bool = True
    authenticate_rtp: bool = True
    roc_hints: Sequence[int] = ()
    max_ssrcs: int = 64
    sources: dict[int, Window] = field(default_factory=dict)
    srtcp_sources: dict[int, Window] = field(default_factory=dict)
    searches: dict[int, Search] = field(default_factory=dict)
    tokens: float = SEARCH_RATE
    refilled: int | None = None
    received: dict[bytes, int] = field(default_factory=dict)  # SRTP packets by MKI
    received_rtcp: dict[bytes, int] = field(default_factory=dict)

    @property
    def suite(self) -> Suite:
        return SUITES[self.suite_name]

    def unprotect(self, wire: bytes, now: int = 0) -> bytes:
        key = self.parse(wire)
        seq, ssrc = int.from_bytes(wire[2:4], "big"), int.from_bytes(wire[8:12], "big")
        window = self.sources.get(ssrc)
        if window is None or window.newest is None:
            index = self.roc * SEQUENCE + seq
        else:
            index = estimate(window.newest, seq)
            # 3.3.1 would have ROC 2^32 - 1 here. Before the first rollover there is only ROC 0.
            index = seq if index < 0 else index
            if index >= SRTP_INDICES:
                raise Refused("receive-key-expired")
        try:
            if window is not None and window.newest is not None:
                self.check_window(window, index)
            plain = self.open(key, wire, index)
        except transform.BadTag:
            index, plain = self.search(key, wire, index, now)
        except Refused as refused:
            if refused.reason != "too-old":
                raise
            index, plain = self.behind(key, wire, index, now)
        self.source(self.sources, ssrc).add(index)
        self.received[key.mki] = self.received.get(key.mki, 0) + 1
        self.searches.pop(ssrc, None)
        return plain

    def unprotect_rtcp(self, wire: bytes) -> bytes:
        key = self.parse_rtcp(wire)
        ssrc = int.from_bytes(wire[4:8], "big")
        encrypted, index = transform.srtcp_index(self.suite, wire, len(key.mki))
        if not encrypted and self.encrypt_rtcp and self.suite.cipher != "NULL":
            raise Refused("srtcp-in-clear")
        window = self.srtcp_sources.get(ssrc)
        if window is not None:
            self.check_window(window, index)
        session = session_keys(self.suite, key.key, key.salt, rtcp=True)
        try:
            plain = transform.unprotect_rtcp(self.suite, session, wire, mki_length=len(key.mki))
        except transform.BadTag:
            raise Refused("auth-failed") from None
        self.source(self.srtcp_sources, ssrc).add(index)
        self.received_rtcp[key.mki] = self.received_rtcp.get(key.mki, 0) + 1
        return plain

    def open(self, key: Key, wire: bytes, index: int) -> bytes:
        return transform.unprotect_rtp(
            self.suite, session_keys(self.suite, key.key, key.salt), wire, index,
            mki_length=len(key.mki), encrypt=self.encrypt_rtp, authenticate=self.authenticate_rtp,
        )  # fmt: skip

    def search(self, key: Key, wire: bytes, tried: int, now: int) -> tuple[int, bytes]:
        """The packet's index under another rollover counter, and its octets; raises Refused."""
        seq, ssrc = int.from_bytes(wire[2:4], "big"), int.from_bytes(wire[8:12], "big")
        search = self.searches.setdefault(ssrc, Search())
        search.failures += 1
        self.refill(now)
        if search.pending is not None and now - search.since > SEARCH_PATIENCE * SECOND:
            search.pending = None
        if search.pending is not None:  # nothing else is tried until it is confirmed or lapses
            ahead = (seq - search.pending) % SEQUENCE
            if not 0 < ahead <= SEARCH_NEAR or (plain := self.trial(key, wire, search.pending + ahead)) is None:
                raise Refused("auth-failed")
            self.source(self.sources, ssrc).add(search.pending)
            return search.pending + ahead, plain
        if search.failures <= SEARCH_AFTER:
            raise Refused("auth-failed")
        candidates = (*SEARCH_ROCS, *self.roc_hints)
        for _ in candidates:
            index = candidates[search.next] * SEQUENCE + seq
            window = self.sources.get(ssrc)
            if index != tried and not (window and window.started and index <= (window.newest or 0)):
                if self.tokens < 2:  # one is kept back for the confirmation
                    break
                if self.trial(key, wire, index) is not None:
                    search.pending, search.since = index, now
                    raise Refused("roc-unknown")
            search.next = (search.next + 1) % len(candidates)
        raise Refused("auth-failed")

    def behind(self, key: Key, wire: bytes, tried: int, now: int) -> tuple[int, bytes]:
        """An old packet, or a source that jumped further than 3.3.1 can tell: searched for as a lost counter is."""
        try:
            return self.search(key, wire, tried, now)
        except Refused as refused:
            raise Refused("too-old" if refused.reason == "auth-failed" else refused.reason) from None

    def trial(self, key: Key, wire: bytes, index: int) -> bytes | None:
        if self.tokens < 1 or index >= SRTP_INDICES:
            return None
        self.tokens -= 1
        try:
            return self.open(key, wire, index)
        except transform.BadTag:
            return None

    def refill(self, now: int) -> None:
        if self.refilled is not None:
            self.tokens = min(SEARCH_RATE, self.tokens + (now - self.refilled) * SEARCH_RATE / SECOND)
        self.refilled = now

    def parse(self, wire: bytes) -> Key:
        tag_length = self.suite.rtp_tag_length if self.authenticate_rtp else 0
        key = self.key_of(wire, RTP_HEADER_LENGTH, tag_length, self.received, SRTP_INDICES)
        end = len(wire) - tag_length - len(key.mki)
        try:
            rtp_header_length(wire, end)
        except Malformed as malformed:
            raise Refused(*malformed.args) from None
        return key

    def parse_rtcp(self, wire: bytes) -> Key:
        tag_length = self.suite.rtcp_tag_length
        key = self.key_of(wire, RTCP_HEADER_LENGTH, tag_length, self.received_rtcp, SRTCP_INDICES)
        if len(wire) < RTCP_HEADER_LENGTH + SRTCP_INDEX_LENGTH + tag_length + len(key.mki):
            raise Refused("too-short")
        if wire[0] >> 6 != 2:
            raise Refused("malformed")
        return key

    def key_of(self, wire: bytes, header: int, tag_length: int, received: dict[bytes, int], most: int) -> Key:
        """By the MKI: in front of the tag for HMAC (RFC 3711 3.1), behind it for GCM (RFC 7714 13)."""
        mki_length = len(self.keys[0].mki)
        end = len(wire) - (0 if self.suite.cipher == "AES-GCM" else tag_length)
        if len(wire) < header or end < mki_length:
            raise Refused("too-short")
        for key in self.keys:
            if key.mki == wire[end - mki_length : end]:
                if received.get(key.mki, 0) >= min(key.lifetime or most, most):
                    raise Refused("receive-key-expired")
                return key
        raise Refused("unknown-mki")

    def set_rollover_counter(self, ssrc: int, roc: int) -> None:
        self.source(self.sources, ssrc).set_rollover_counter(roc)

    def source(self, sources: dict[int, Window], ssrc: int) -> Window:
        """The window of an authentic packet's source; a new one counts against the limit."""
        if ssrc not in sources:
            if len(sources) >= self.max_ssrcs:
                raise Refused("ssrc-limit")
            sources[ssrc] = Window(self.window)
        return sources[ssrc]

    @staticmethod
    def check_window(window: Window, index: int) -> None:
        verdict = "behind" if index < 0 else window.judge(index)
        if verdict != "new":
            raise Refused("too-old" if verdict == "behind" else "replay")
