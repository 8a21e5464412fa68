"""One sending context against the model, by random histories: loss, reordering, duplicates, rollover, restarted and
colliding sources, SRTCP, key lifetimes, export and restore. Octets and reasons of refusal must agree.

Beside the model stands one rule that needs none: every payload is zeros, so what leaves is the keystream, and no
keystream may leave twice.
"""

from __future__ import annotations

import random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import packet
from model.compare import master_keys, outcome, random_key, result
from model.sender import Sender as Model
from model.window import SEQUENCE, Key
from support import campaign

from srtpgw import srtp
from srtpgw.srtp import Sender

PAYLOAD = 24  # octets; keystreams that long are equal only if they are the same
SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM")
SOURCES = 3

pytestmark = pytest.mark.timeout(1200)  # the full count takes minutes under a sanitizer


class SenderMachine(RuleBasedStateMachine):
    suite: str
    keys: list[Key]
    options: dict[str, Any]
    engine: Sender
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.newest: dict[int, int] = {}  # sequence position of each source, rollovers included
        self.keystreams: set[bytes] = set()
        self.outgoing: list[int] = []

    @initialize(
        suite=st.sampled_from(SUITES),
        window=st.sampled_from((64, 65, 128, 1024, 1025, 32767)),
        roc=st.sampled_from((0, 0, 1, 0xFFFFFFFE)),
        srtcp_index=st.sampled_from((0, 1, 2**31 - 3)),
        max_ssrcs=st.sampled_from((1, 2, 64)),
        lifetimes=st.lists(st.sampled_from((None, 20)), min_size=1, max_size=2),
    )
    def open(self, suite: str, lifetimes: list[int | None], **options: Any) -> None:
        rng = random.Random(f"{suite} {lifetimes} {options}")
        mkis = (b"\x01", b"\x02") if len(lifetimes) > 1 else (b"",)
        self.keys = [random_key(rng, suite, mki, life) for mki, life in zip(mkis, lifetimes, strict=True)]
        self.suite, self.options = suite, options
        self.engine = Sender(suite, master_keys(*self.keys), **self.options)
        self.model = Model(suite, self.keys, self.not_drawn, **self.options)

    @staticmethod
    def not_drawn() -> int:
        raise AssertionError("the model renames a source and the engine does not")

    def send(self, ssrc: int, position: int) -> None:
        """One packet through both; an SSRC that the engine drew is the model's draw too."""
        plain = packet.rtp(position % SEQUENCE, ssrc, bytes(PAYLOAD))
        wire = outcome(self.engine.protect, plain)
        self.model.new_ssrc = lambda: self.drawn(wire)
        assert outcome(self.model.protect, plain) == wire
        if isinstance(wire, bytes):
            keystream = wire[12 : 12 + PAYLOAD]
            assert keystream not in self.keystreams
            self.keystreams.add(keystream)

    def drawn(self, wire: bytes | str) -> int:
        assert isinstance(wire, bytes), f"the model renames a source where the engine refuses: {wire}"
        ssrc = int.from_bytes(wire[8:12], "big")
        assert ssrc not in self.outgoing
        assert ssrc >= SOURCES
        self.outgoing.append(ssrc)
        return ssrc

    def position(self, ssrc: int) -> int:
        return self.newest.setdefault(ssrc, 65000 if ssrc else 10)

    @rule(ssrc=st.integers(0, SOURCES - 1), step=st.sampled_from((1, 1, 1, 2, 100)), count=st.integers(1, 20))
    def go_on(self, ssrc: int, step: int, count: int) -> None:
        for _ in range(count):
            self.newest[ssrc] = self.position(ssrc) + step
            self.send(ssrc, self.newest[ssrc])

    @rule(ssrc=st.integers(0, SOURCES - 1), step=st.sampled_from((1000, 20000, 0x7FFF, 0x8000, 0x8001)))
    def jump_ahead(self, ssrc: int, step: int) -> None:
        self.newest[ssrc] = self.position(ssrc) + step
        self.send(ssrc, self.newest[ssrc])

    @rule(
        ssrc=st.integers(0, SOURCES - 1),
        back=st.sampled_from((0, 1, 2, 40, 63, 64, 65, 1023, 1024, 1025, 32766, 32767)),
    )
    def late_or_again(self, ssrc: int, back: int) -> None:
        self.send(ssrc, max(self.position(ssrc) - back, 0))

    @rule(ssrc=st.integers(0, SOURCES - 1), back=st.integers(1, 40), count=st.integers(1, 20))
    def play_again(self, ssrc: int, back: int, count: int) -> None:
        """A short recording, once more."""
        for position in range(max(self.position(ssrc) - back, 0), max(self.position(ssrc) - back, 0) + count):
            self.send(ssrc, position)

    @rule(ssrc=st.integers(0, SOURCES - 1), start=st.integers(0, 65535), count=st.integers(1, 4))
    def restart(self, ssrc: int, start: int, count: int) -> None:
        for position in range(start, start + count):
            self.send(ssrc, position)
        self.newest[ssrc] = start + count - 1

    @precondition(lambda self: self.outgoing)
    @rule(data=st.data(), seq=st.integers(0, 30))
    def arrive_under_an_outgoing_ssrc(self, data: st.DataObject, seq: int) -> None:
        self.send(data.draw(st.sampled_from(self.outgoing)), seq)

    @rule(ssrc=st.integers(0, SOURCES - 1), words=st.integers(0, 30))
    def control(self, ssrc: int, words: int) -> None:
        plain = packet.rtcp(ssrc, bytes(4 * words))
        wire = outcome(self.engine.protect_rtcp, plain)
        assert outcome(self.model.protect_rtcp, plain) == wire
        if isinstance(wire, bytes) and words >= 4:
            assert wire[8:24] not in self.keystreams
            self.keystreams.add(wire[8:24])

    @rule()
    def move_to_another_context(self) -> None:
        state = self.engine.export_state()
        assert not any(key.key[:8] in state or key.salt[:8] in state for key in self.keys)
        self.engine = Sender(self.suite, master_keys(*self.keys), **self.options)
        self.engine.restore_state(state)

    @rule(ssrc=st.integers(0, SOURCES - 1), position=st.integers(0, 65535), malformed=st.sampled_from((0, 1, 2, 3)))
    def offer_nonsense(self, ssrc: int, position: int, malformed: int) -> None:
        good = packet.rtp(position, ssrc, b"")
        plain = (good[:11], b"\x40" + good[1:], b"\x81" + good[1:], b"\x90" + good[1:] + b"\xbe\xde\x00\x01")[malformed]
        assert outcome(self.engine.protect, plain) == outcome(self.model.protect, plain)

    @invariant()
    def rollover_counters_agree(self) -> None:
        if not hasattr(self, "engine"):
            return
        for ssrc, source in self.model.sources.items():
            newest = source.window.newest
            assert self.engine.rollover_counter(ssrc) == (None if newest is None else newest // SEQUENCE)


TestSender = SenderMachine.TestCase
TestSender.settings = settings(max_examples=campaign(2000), stateful_step_count=40)


def test_a_long_history_in_one_batch() -> None:
    """The same rules inside protect_many: one call gives what the model gives packet by packet."""
    rng = random.Random("history")
    key = random_key(rng, SUITES[0])
    engine = Sender(SUITES[0], master_keys(key), window=64)
    model = Model(SUITES[0], [key], SenderMachine.not_drawn, window=64)
    position, plains = 65000, []
    for _ in range(1000):
        position += rng.choice((1, 1, 1, 1, 2, 50, -1, -30))
        plains.append(packet.rtp(position % SEQUENCE, 1, bytes(PAYLOAD)))
    restarts: list[bytes | str] = []

    def drawn() -> int:
        restarts.append(wire)
        return int.from_bytes(wire[8:12], "big") if isinstance(wire, bytes) else -1

    model.new_ssrc = drawn
    for plain, value in zip(plains, srtp.protect_many([(engine, plain) for plain in plains]), strict=True):
        wire = result(value)
        assert outcome(model.protect, plain) == wire
    assert restarts
