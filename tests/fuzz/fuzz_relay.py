"""Fuzzes the relay: mutated RTP, RTCP, SRTP and SRTCP into legs of every kind, on the memory engine and virtual time.

    python tests/fuzz/fuzz_relay.py --seconds 20

After each batch: every datagram was sent or dropped under one reason; what left is what an authentic datagram of the
other leg became, in order and once; an encrypted leg sends what opens under its key, no index twice; nothing goes to an
address that was neither signaled nor proved; no record is taken that the legs do not account for. A broken one ends
the run with status 1 and a file that tells the batch. After a crash that file holds the last batch. README.md has more.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.mutation import control, media, mutated, nonsense, spliced
from fuzz.shadow import Sent, Shadow, Violation, check_batch
from model.window import SEQUENCE
from native.rig import RELAY_SUITES, Datagram, End, Keys, Rig, live_records, masters

from srtpgw.media import Address
from srtpgw.media.endpoint import address_of, endpoint_of

STRANGER = Address("192.0.2.99", 4444)
STRANGER_6 = Address("2001:db8::99", 4444)
SOURCES = 3  # SSRCs that a far end uses most of the time
POOL = 400  # datagrams kept to be sent again, mutated or not
CONTEXTS = 8  # of one leg: RTP and RTCP, both ways, under the key of now and the one before
MAX_SSRCS = 8
KEYS = 2  # master keys of a context, at most
GENERATION = 3000  # authentic packets after which a leg gets new keys
INTERESTING = 2000  # datagrams that the corpus may hold


class Fuzzer:
    """One run. Everything it does comes from the seed."""

    def __init__(self, seed: int, corpus: list[bytes] | None = None) -> None:
        self.rng = random.Random(seed)
        self.rig = Rig(seed=seed)
        self.shadows: dict[int, Shadow] = {}
        self.pool: list[bytes] = list(corpus or [])
        self.known = len(self.pool)
        self.kinds: set[tuple[str, bool, str]] = set()  # (suite or rule, RTCP, reason) seen so far
        self.interesting: list[bytes] = []
        self.batches = self.datagrams = self.left = 0
        self.actions: list[str] = []
        self.last: list[Sent] = []
        for kind in SESSIONS:
            self.open_session(kind)

    # --- legs

    def open_session(self, kind: Callable[[Fuzzer], tuple[End, End]]) -> None:
        """Two legs of a kind, joined."""
        one, other = (Shadow(end) for end in kind(self))
        one.peer, other.peer = other, one
        for shadow in (one, other):
            self.shadows[shadow.end.leg.id] = shadow
        one.forwards, other.forwards = forwards(one, other), forwards(other, one)
        self.rig.join(one.end, other.end)

    def close(self, *shadows: Shadow) -> None:
        for shadow in shadows:
            self.rig.close(shadow.end)
            self.rig.made.remove(shadow.end)
            del self.shadows[shadow.end.leg.id]
            if shadow.peer is not None:
                shadow.peer.peer = None

    def keys(self, suite: str) -> Keys:
        """One key, or two under master key identifiers."""
        if self.rng.random() < 0.7:
            return self.rig.keys(suite)
        one, other = (self.rig.keys(suite, mki=mki) for mki in (b"\x01\x02", b"\x03\x04"))
        return Keys(one.suite, one.keys + other.keys)

    def secure(self, suite: str | None = None, **settings: Any) -> End:
        suite = suite or self.rng.choice(RELAY_SUITES)
        options = {"max_ssrcs": MAX_SSRCS, "window": self.rng.choice((64, 1024, 3000)), **settings}
        keys = {"sends": self.keys(suite), "hears": self.keys(suite)}
        return self.rig.secure(suite, **{**keys, **options})

    # --- between batches

    def act(self) -> None:
        """Now and then something happens to a leg."""
        self.rig.advance(self.rng.choice((0.001, 0.02, 0.2, 3.0)))
        for shadow in list(self.shadows.values()):
            if len(shadow.authentic) > GENERATION and not self.rekey(shadow):
                self.reopen(shadow)
        if self.rng.random() < 0.15:
            action = self.rng.choice(ACTIONS)
            shadow = self.rng.choice(list(self.shadows.values()))
            self.actions.append(f"{self.batches}: {action.__name__} {shadow.end.leg!r}")
            action(self, shadow)

    def hold(self, shadow: Shadow) -> None:
        self.rig.gateway.change(shadow.end.leg, hold=not shadow.hold)

    def rekey(self, shadow: Shadow) -> bool:
        """New keys, one way or both. False where the leg forwards what it verified, or gets it."""
        peer, end = shadow.peer, shadow.end
        if end.sends is None or end.hears is None or shadow.forwards or (peer is not None and peer.forwards):
            return False
        changes: dict[str, Any] = {}
        way = self.rng.randrange(3)
        if way != 0:
            end.sends = self.keys(end.sends.suite.name)
            changes["receive_keys"] = masters(end.sends)
            shadow.rekeyed()
        if way != 1:
            end.hears = self.keys(end.hears.suite.name)
            changes["transmit_keys"] = masters(end.hears)
            shadow.sends_anew()
        if self.rng.random() < 0.5:  # the far end starts over
            shadow.position = {ssrc: index % SEQUENCE for ssrc, index in shadow.position.items()}
        self.rig.gateway.change(end.leg, overlap=self.rng.choice((0.0, 2.0)), **changes)
        return way != 0

    def reopen(self, shadow: Shadow) -> None:
        """The session ends and another of any kind takes its place."""
        self.close(*([shadow] if shadow.peer is None else [shadow, shadow.peer]))
        self.open_session(self.rng.choice(SESSIONS))

    def part(self, shadow: Shadow) -> None:
        """One leg goes, the other is joined to a new one or left alone for a while."""
        peer = shadow.peer
        if peer is None or shadow.forwards or peer.forwards or len(self.shadows) > 40:
            return
        self.close(shadow)
        if self.rng.random() < 0.5:
            fresh = Shadow(self.rig.plain())
            self.shadows[fresh.end.leg.id] = fresh
            fresh.peer, peer.peer = peer, fresh
            self.rig.join(peer.end, fresh.end)

    def restart(self, shadow: Shadow) -> None:
        """A leg is opened anew with the sending state of before: no index may leave again."""
        peer, end = shadow.peer, shadow.end
        if peer is None or end.hears is None or end.sends is None or shadow.forwards or peer.forwards:
            return
        state, settings = end.leg.export_sending_state(), end.leg.settings
        self.close(shadow)
        anew = self.rig.secure(
            sends=self.keys(end.sends.suite.name), hears=end.hears, sending_state=state,
            max_ssrcs=settings.max_ssrcs, window=settings.window, family=settings.family, rtcp_mux=settings.rtcp_mux,
        )  # fmt: skip
        fresh = Shadow(anew, peer, newest=shadow.newest, used=shadow.used, heard=shadow.heard)
        self.shadows[anew.leg.id] = fresh
        peer.peer = fresh
        self.rig.join(anew, peer.end)

    def readdress(self, shadow: Shadow) -> None:
        """The signaling gives another remote address, or another source rule."""
        rules = ("authenticated", "strict") if shadow.encrypted else ("strict", "learn-once")
        end = shadow.end
        end.address = end.address._replace(port=self.rng.randrange(1024, 65534, 2))
        self.rig.gateway.change(end.leg, remote=end.address, remote_rtcp=None, source=self.rng.choice(rules))
        shadow.sources.clear()
        shadow.latched.clear()

    # --- datagrams

    def valid(self, shadow: Shadow) -> bytes:
        """A packet as a far end sends it, mostly the next one."""
        rng = self.rng
        ssrc = rng.randrange(SOURCES) if rng.random() < 0.97 else rng.getrandbits(32)
        if rng.random() < 0.2:
            return shadow.seal(control(rng, ssrc, [*shadow.newest, *range(SOURCES)]))
        index = shadow.position.get(ssrc, rng.choice((5, 65000)))
        index = max(index + rng.choice((1, 1, 1, 1, 1, 2, -1, -40, 30, 900, 0x7000)), 0)
        shadow.position[ssrc] = index
        packet = media(rng, index % SEQUENCE, ssrc)
        if not shadow.encrypted and packet[0] & 0x20:
            packet = bytes([packet[0] & ~0x20]) + packet[1:]
        return shadow.seal(packet, index // SEQUENCE)

    def octets(self, shadow: Shadow) -> bytes:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.45 or len(self.pool) < 20:
            made = self.valid(shadow)
            self.pool.append(made)
            if len(self.pool) > POOL + self.known:
                del self.pool[self.known]
            return made if rng.random() < 0.8 else mutated(rng, made)
        if kind < 0.92:
            known = rng.choice(self.pool)
            return known if rng.random() < 0.3 else mutated(rng, known)
        return spliced(rng, rng.choice(self.pool), rng.choice(self.pool)) if kind < 0.95 else nonsense(rng)

    def sent(self) -> Sent:
        rng = self.rng
        shadow = rng.choice(list(self.shadows.values()))
        octets = self.octets(shadow)
        as_rtcp = len(octets) > 1 and 192 <= octets[1] <= 223
        port = 0 if shadow.mux else int(as_rtcp if rng.random() < 0.95 else not as_rtcp)
        known = shadow.signaled(port) or shadow.end.address
        stranger = STRANGER if known.family == 4 else STRANGER_6
        return Sent(shadow.end.leg.id, port, known if rng.random() < 0.95 else stranger, octets)

    # --- one batch

    def batch(self) -> None:
        """Violation where an invariant does not hold afterwards."""
        self.act()
        self.last = [self.sent() for _ in range(self.rng.choice((1, 1, 8, 64, 64, 64, 130)))]
        self.batches += 1
        worker = self.rig.worker
        for sent in self.last:
            self.shadows[sent.leg].note(sent)
            if not worker.inject(2 * sent.leg + sent.port, endpoint_of(sent.source), sent.octets):
                raise Violation("a datagram was not taken")
        while worker.step(0, self.rig.now):
            pass
        left, legs = [], []
        while (out := worker.collect()) is not None:
            remote = address_of(out[1])
            assert remote is not None
            left.append(Datagram(out[0] & 1, remote, out[2]))
            legs.append(out[0] >> 1)
        self.datagrams += len(self.last)
        self.left += len(left)
        check_batch(self.shadows, left, legs)
        self.check_accounts()
        self.check_memory()
        self.rig.gateway.events()

    def check_accounts(self) -> None:
        totals = [self.rig.accounts(rtcp) for rtcp in (False, True)]
        for total in totals:
            if total.received != total.sent + total.dropped:
                raise Violation(f"{total.received} received, but {total.sent} sent and {total.dropped} dropped")
        received, sent = sum(total.received for total in totals), sum(total.sent for total in totals)
        if (received, sent) != (self.datagrams, self.left):
            raise Violation(f"{totals} counted, {self.datagrams} datagrams sent to the legs and {self.left} from them")
        if len(self.last) == 1:
            self.look_for_news()

    def look_for_news(self) -> None:
        """A datagram alone in its batch that brought a reason never seen at such a leg is worth keeping."""
        for leg in self.rig.gateway.statistics().legs:
            for rtcp, counted in ((False, leg.rtp), (True, leg.rtcp)):
                new = {(leg.suite or "plain", rtcp, reason) for reason in counted.drops} - self.kinds
                self.kinds |= new
                if new and leg.id == self.last[0].leg:
                    self.interesting.append(self.last[0].octets)

    def check_memory(self) -> None:
        legs = len(self.shadows)
        bounds = {"legs": legs, "contexts": CONTEXTS * legs, "keys": CONTEXTS * legs * KEYS}
        bounds["streams"] = bounds["wide-windows"] = bounds["contexts"] * MAX_SSRCS
        for name, live in live_records().items():
            if live - self.rig.records[name] > bounds[name]:
                raise Violation(f"{live} {name} are in use for {legs} legs")

    def end(self) -> None:
        """Close everything: nothing may be left over."""
        self.close(*self.shadows.values())
        self.shadows.clear()
        self.rig.made.clear()
        self.rig.__exit__(None, None, None)

    def story(self, fault: object) -> dict[str, Any]:
        """What somebody needs who looks for the fault."""
        return {
            "fault": str(fault),
            "batch": self.batches,
            "actions": self.actions[-50:],
            "datagrams": [[sent.leg, sent.port, str(sent.source), sent.octets.hex()] for sent in self.last],
        }


def forwards(source: Shadow, target: Shadow) -> bool:
    return source.end.sends is not None and source.end.sends == target.end.hears


def forwarding(fuzzer: Fuzzer) -> tuple[End, End]:
    """One key both sides of the gateway: verified and forwarded, one way."""
    shared = fuzzer.rig.keys(fuzzer.rng.choice(RELAY_SUITES))
    own = fuzzer.rig.keys(shared.suite.name)
    return fuzzer.secure(sends=shared, hears=own), fuzzer.secure(sends=fuzzer.rig.keys(own.suite.name), hears=shared)


SESSIONS: list[Callable[[Fuzzer], tuple[End, End]]] = [
    *(lambda fuzzer, suite=suite: (fuzzer.secure(suite), fuzzer.rig.plain()) for suite in RELAY_SUITES),
    lambda fuzzer: (fuzzer.secure(), fuzzer.secure()),
    lambda fuzzer: (fuzzer.secure(rtcp_mux=True), fuzzer.rig.plain(rtcp_mux=True)),
    lambda fuzzer: (fuzzer.secure(source="strict", family=6), fuzzer.rig.plain(family=6)),
    lambda fuzzer: (fuzzer.rig.plain(source="learn-once"), fuzzer.rig.plain()),
    lambda fuzzer: (fuzzer.rig.plain(remote=None, source="learn-once", rtcp_mux=True), fuzzer.secure(rtcp_mux=True)),
    forwarding,
]
ACTIONS: tuple[Callable[[Fuzzer, Shadow], object], ...] = (
    Fuzzer.hold, Fuzzer.hold, Fuzzer.rekey, Fuzzer.rekey, Fuzzer.rekey, Fuzzer.reopen, Fuzzer.part, Fuzzer.restart,
    Fuzzer.restart, Fuzzer.readdress,
)  # fmt: skip


def run(fuzzer: Fuzzer, seconds: float, batches: int, report: Path) -> str:
    """Batches until the time or the number is over. The fault, or nothing. `report` holds the batch under way."""
    started = time.monotonic()
    with report.open("w", encoding="utf-8") as file:
        for number in itertools.count():
            if number >= batches if batches else time.monotonic() - started >= seconds:
                return ""
            try:
                fuzzer.batch()
            except (Violation, AssertionError) as fault:
                file.seek(0)
                file.truncate()
                json.dump(fuzzer.story(fault), file, indent=1)
                return str(fault) or repr(fault)
    return ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long (default 20)")
    parser.add_argument("--batches", type=int, default=0, help="how many batches instead, to repeat a run")
    parser.add_argument("--seed", type=int, help="of the run (default: random)")
    parser.add_argument("--corpus", type=Path, help="folder of datagrams to mutate too; interesting ones are added")
    parser.add_argument("--report", type=Path, default=Path("fuzz-relay.json"), help="written when something is wrong")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    corpus = sorted(options.corpus.iterdir()) if options.corpus and options.corpus.is_dir() else []
    fuzzer = Fuzzer(seed, [path.read_bytes() for path in corpus[:INTERESTING]])
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    fault = run(fuzzer, options.seconds, options.batches, options.report)
    took = time.monotonic() - started
    if options.corpus:
        options.corpus.mkdir(parents=True, exist_ok=True)
        for octets in fuzzer.interesting[: INTERESTING - len(corpus)]:
            (options.corpus / hashlib.sha256(octets).hexdigest()[:16]).write_bytes(octets)
    if not fault:
        fuzzer.end()
        options.report.unlink(missing_ok=True)
    print(
        f"{fuzzer.datagrams} datagrams in {fuzzer.batches} batches, {fuzzer.left} forwarded, {len(fuzzer.kinds)} kinds"
        f" of drop, {fuzzer.datagrams / took:.0f} datagrams/s: "
        + (f"VIOLATED: {fault} (seed {seed}, {options.report})" if fault else "all invariants hold")
    )
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
