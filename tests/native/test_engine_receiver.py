"""One receiving context against the model, by random histories: loss, reordering, replay, forgery, rollover, late join
and restarted sources, several keys, SRTCP, export and restore. Octets and reasons of refusal must agree."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import packet, transform
from model.compare import NOW, master_keys, outcome, random_key
from model.keys import session_keys
from model.receiver import SEARCH_RATE, SECOND
from model.receiver import Receiver as Model
from model.suites import SUITES
from model.window import SEQUENCE, SRTP_INDICES, Key, Refused
from support import campaign

from srtpgw.srtp import Receiver

TESTED = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_192_CM_HMAC_SHA1_80", "AEAD_AES_256_GCM")
SOURCES = 3
STEPS = (1, 1, 1, 1, 1, 1, 1, 2, 100, 1023, 1024, 20000, 0x8000, 0x8001)
BITS = (*range(16, 64), *range(96, 1000))  # of a packet, but the SSRC: the model has no limit of sources to search for
BACK = (0, 1, 2, 40, 63, 64, 65, 1023, 1024, 1025, 32766, 32767, 65536)

pytestmark = pytest.mark.timeout(1200)  # the full count takes minutes under a sanitizer


class ReceiverMachine(RuleBasedStateMachine):
    suite: str
    keys: list[Key]
    options: dict[str, Any]
    engine: Receiver
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.newest: dict[int, int] = {}  # the far end's index
        self.srtcp_newest: dict[int, int] = {}
        self.wires: list[bytes] = []

    @initialize(
        suite=st.sampled_from(TESTED),
        window=st.sampled_from((64, 65, 1024, 1025, 32767)),
        roc=st.sampled_from((0, 0, 0, 1, 0xFFFFFFFE)),
        max_ssrcs=st.sampled_from((1, 2, 64)),
        roc_hints=st.sampled_from(((), (7,), (2, 0xFFFFFFFF))),
        lifetimes=st.lists(st.sampled_from((None, 30)), min_size=1, max_size=2),
        encrypt=st.booleans(),
    )
    def open(self, suite: str, lifetimes: list[int | None], encrypt: bool, **options: Any) -> None:
        rng = random.Random(f"{suite} {lifetimes} {options}")
        mkis = (b"\x01\x02", b"\x02\x02") if len(lifetimes) > 1 else (b"",)
        self.keys = [random_key(rng, suite, mki, life) for mki, life in zip(mkis, lifetimes, strict=True)]
        self.suite = suite
        self.options = options | {"encrypt_rtp": encrypt, "encrypt_rtcp": encrypt}
        self.engine = Receiver(suite, master_keys(*self.keys), **self.options)
        self.model = Model(suite, self.keys, **self.options)

    def wire(self, ssrc: int, index: int, key: Key) -> bytes:
        session = session_keys(SUITES[self.suite], key.key, key.salt)
        plain = packet.rtp(index % SEQUENCE, ssrc, index.to_bytes(8, "big"))
        made = transform.protect_rtp(
            SUITES[self.suite], session, plain, index, mki=key.mki, encrypt=self.options["encrypt_rtp"]
        )
        self.wires = [*self.wires[-200:], made]
        return made

    def deliver(self, wire: bytes, verify: bool = False) -> None:
        call: Callable[..., bytes] = self.engine.verify if verify else self.engine.unprotect
        got = outcome(call, wire, now=self.now)
        expected = outcome(self.model.unprotect, wire, self.now)
        assert got == (wire if verify and isinstance(expected, bytes) else expected)

    def position(self, ssrc: int) -> int:
        return self.newest.setdefault(ssrc, self.options["roc"] * SEQUENCE + (65000 if ssrc else 10))

    @rule(
        ssrc=st.integers(0, SOURCES - 1), step=st.sampled_from(STEPS), count=st.integers(1, 9), which=st.integers(0, 1),
        verify=st.booleans(),
    )  # fmt: skip
    def go_on(self, ssrc: int, step: int, count: int, which: int, verify: bool) -> None:
        for number in range(count):
            index = self.position(ssrc) + (1 if number else step)
            self.newest[ssrc] = min(index, SRTP_INDICES - 1)
            self.deliver(self.wire(ssrc, self.newest[ssrc], self.keys[which % len(self.keys)]), verify)

    @rule(ssrc=st.integers(0, SOURCES - 1), step=st.sampled_from((1, 10, 10, 10, 1000, 30000, 65536)))
    def lose(self, ssrc: int, step: int) -> None:
        self.newest[ssrc] = min(self.position(ssrc) + step, SRTP_INDICES - 1)

    @rule(ssrc=st.integers(0, SOURCES - 1), back=st.sampled_from(BACK))
    def deliver_late(self, ssrc: int, back: int) -> None:
        self.deliver(self.wire(ssrc, max(self.position(ssrc) - back, 0), self.keys[0]))

    @precondition(lambda self: self.wires)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        self.deliver(data.draw(st.sampled_from(self.wires)))

    @rule(ssrc=st.integers(0, SOURCES - 1), ahead=st.integers(0, 3), bit=st.sampled_from(BITS), count=st.integers(1, 5))
    def forge(self, ssrc: int, ahead: int, bit: int, count: int) -> None:
        for number in range(count):
            changed = bytearray(
                self.wire(ssrc, min(self.position(ssrc) + ahead + number, SRTP_INDICES - 1), self.keys[0])
            )
            place = bit // 8
            if place >= len(changed):
                place = 12 + place % (len(changed) - 12)  # behind the SSRC
            changed[place] ^= 1 << bit % 8
            self.deliver(bytes(changed))

    @rule(ssrc=st.integers(0, SOURCES - 1), seq=st.integers(0, 65535), length=st.integers(0, 60))
    def cut_short(self, ssrc: int, seq: int, length: int) -> None:
        self.deliver(self.wire(ssrc, seq, self.keys[0])[:length])

    @rule(
        ssrc=st.integers(0, SOURCES - 1), roc=st.sampled_from((0, 1, 2, 3, 4, 7, 0xFFFFFFFF)), seq=st.integers(0, 65535)
    )
    def join_elsewhere(self, ssrc: int, roc: int, seq: int) -> None:
        """The far end is, or always was, at another rollover counter."""
        self.newest[ssrc] = roc * SEQUENCE + seq

    @rule(ssrc=st.integers(0, SOURCES - 1), roc=st.sampled_from((0, 1, 5, 0xFFFFFFFF)))
    def be_told_the_rollover_counter(self, ssrc: int, roc: int) -> None:
        expected = None
        try:
            self.model.set_rollover_counter(ssrc, roc)
        except (ValueError, Refused) as refused:
            expected = refused
        if expected is None:
            self.engine.set_rollover_counter(ssrc, roc)
        else:
            with pytest.raises(ValueError, match="rollover counter"):
                self.engine.set_rollover_counter(ssrc, roc)

    @rule(tenths=st.sampled_from((0, 1, 3, 10, 100)))
    def wait(self, tenths: int) -> None:
        self.now += tenths * SECOND // SEARCH_RATE

    @rule(
        ssrc=st.integers(0, SOURCES - 1),
        step=st.sampled_from((1, 1, 2, 63, 64, 5000, -1, -64, -2000)),
        clear=st.sampled_from((False, False, False, True)),
        bit=st.sampled_from((None, None, None, 0, 31, 40, 90, 2000)),
    )  # fmt: skip
    def control(self, ssrc: int, step: int, clear: bool, bit: int | None) -> None:
        suite, key = SUITES[self.suite], self.keys[-1]
        index = max(self.srtcp_newest.get(ssrc, 0) + step, 0)
        self.srtcp_newest[ssrc] = max(index, self.srtcp_newest.get(ssrc, 0))
        session = session_keys(suite, key.key, key.salt, rtcp=True)
        encrypt = self.options["encrypt_rtcp"] != clear
        wire = transform.protect_rtcp(suite, session, packet.rtcp(ssrc), index, mki=key.mki, encrypt=encrypt)
        if bit is not None:
            changed = bytearray(wire)
            changed[bit // 8 % len(wire)] ^= 1 << bit % 8
            wire = bytes(changed)
        assert outcome(self.engine.unprotect_rtcp, wire, now=self.now) == outcome(self.model.unprotect_rtcp, wire)

    @rule()
    def move_to_another_context(self) -> None:
        """Failures and trials left are not part of the state."""
        state = self.engine.export_state()
        assert not any(key.key[:8] in state or key.salt[:8] in state for key in self.keys)
        self.engine = Receiver(self.suite, master_keys(*self.keys), **self.options)
        self.engine.restore_state(state)
        self.model.searches.clear()
        self.model.tokens, self.model.refilled = SEARCH_RATE, None

    @invariant()
    def rollover_counters_agree(self) -> None:
        if not hasattr(self, "engine"):
            return
        for ssrc in range(SOURCES):
            window = self.model.sources.get(ssrc)
            newest = window.newest if window else None
            assert self.engine.rollover_counter(ssrc) == (None if newest is None else newest // SEQUENCE)


TestReceiver = ReceiverMachine.TestCase
TestReceiver.settings = settings(max_examples=campaign(2000), stateful_step_count=40)
