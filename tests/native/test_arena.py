"""The arenas: what is taken comes back, records are wiped, and no key is in memory any more when its leg is closed."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from model.compare import master_keys, random_key
from model.keys import session_keys
from model.packet import rtcp, rtp
from model.suites import SUITES
from model.window import Key
from native.rig import RELAY_SUITES, SSRC, Keys, Rig, live_records, masters
from support import campaign, missing

from srtpgw import _native
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.srtp import MasterKey, Receiver, Sender

PAGE = os.sysconf("SC_PAGE_SIZE")


def taken(before: dict[str, int]) -> dict[str, int]:
    """Records taken since, by arena."""
    return {name: live - before[name] for name, live in live_records().items() if live != before[name]}


# --- accounts


def test_a_context_takes_keys_and_gives_them_back() -> None:
    before = live_records()
    keys = [MasterKey(bytes([n]) * 30, bytes([n])) for n in range(3)]
    sender = Sender("AES_CM_128_HMAC_SHA1_80", keys)
    assert taken(before) == {"keys": 6, "contexts": 2}  # SRTP and SRTCP apart
    for ssrc in range(5):
        sender.protect(rtp(1, ssrc))
    sender.protect_rtcp(rtcp(1))
    assert taken(before) == {"keys": 6, "contexts": 2, "streams": 4}  # the first source of each lies in the context
    del sender
    assert taken(before) == {}


@pytest.mark.parametrize(("window", "wide"), [(1024, 0), (1025, 4)])
def test_wide_windows_have_records_of_their_own(window: int, wide: int) -> None:
    """For each source that has a window: two received, two sent. The SRTCP sender has none."""
    before = live_records()
    key, other = bytes(range(30)), bytes(range(1, 31))
    receiver = Receiver("AES_CM_128_HMAC_SHA1_80", key, window=window)
    sender = Sender("AES_CM_128_HMAC_SHA1_80", key, window=window)
    third = Sender("AES_CM_128_HMAC_SHA1_80", other, window=window)
    receiver.unprotect(sender.protect(rtp(1, 1)))
    receiver.unprotect_rtcp(sender.protect_rtcp(rtcp(1)))
    third.protect(rtp(1, 1))
    third.protect_rtcp(rtcp(1))
    assert taken(before).get("wide-windows", 0) == wide
    del receiver, sender, third
    assert taken(before) == {}


def test_refused_arguments_take_nothing() -> None:
    before = live_records()
    with pytest.raises(ValueError, match="window"):
        Sender("AES_CM_128_HMAC_SHA1_80", bytes(30), window=1)
    with pytest.raises(ValueError, match="rollover counter"):
        Sender("AES_CM_128_HMAC_SHA1_80", bytes(30), roc=-1)
    with pytest.raises(ValueError, match="sources"):
        Sender("AES_CM_128_HMAC_SHA1_80", bytes(30), max_ssrcs=0)
    with pytest.raises(ValueError, match="octets"):
        Sender("AES_CM_128_HMAC_SHA1_80", bytes(29))
    assert taken(before) == {}


def test_forged_packets_take_nothing() -> None:
    """Sources are only remembered once they are authentic."""
    with Rig() as rig:
        phone, trunk = rig.secure(), rig.plain()
        rig.join(phone, trunk)
        before = live_records()
        forger = rig.keys()
        for number in range(200):
            phone.send(forger.seal(rtp(number, number)))
            phone.send_rtcp(forger.seal_rtcp(rtcp(number), number))
        rig.run()
        assert taken(before) == {}
        for ssrc in (SSRC, SSRC + 1):  # the first lies in the context
            phone.send(phone.seal(rtp(1, ssrc)))
        rig.run()
        assert taken(before) == {"streams": 1}


def test_legs_and_rekeys_give_everything_back() -> None:
    """A re-key keeps the key before, and no more; Rig checks what is left in the end."""
    rng = random.Random("rekeys")
    with Rig() as rig:
        before = live_records()
        for _ in range(campaign(300)):
            phone = rig.secure(rng.choice(RELAY_SUITES), window=rng.choice((64, 3000)))
            trunk = rig.plain()
            rig.join(phone, trunk)
            assert phone.sends is not None
            for step in range(rng.randrange(4)):
                if step:
                    phone.sends, phone.hears = (rig.keys(phone.sends.suite.name) for _ in range(2))
                    receive, transmit = masters(phone.sends), masters(phone.hears)
                    rig.gateway.change(phone.leg, receive_keys=receive, transmit_keys=transmit)
                for ssrc in range(3):
                    phone.send(phone.seal(rtp(step, ssrc)))
                    trunk.send(rtp(step, ssrc))
                rig.run()
                assert taken(before)["contexts"] == (8 if step else 4)
            rig.close(phone, trunk)
            for end in (phone, trunk):
                rig.made.remove(end)
                del end.leg
            assert taken(before) == {}


def test_numbers_are_given_again() -> None:
    """The mapping does not grow with the number of legs that ever were."""
    with MediaGateway(workers=1, engine="memory", threaded=False) as gateway:
        numbers = set()
        for _ in range(1000):
            leg = gateway.open_leg(LegSettings(type="route"))
            numbers.add(leg.id)
            gateway.close(leg)
            del leg
        assert len(numbers) <= 2


def test_memory_use_tells_octets_and_limits() -> None:
    use = _native.memory_use()
    assert isinstance(use["keys_locked"], bool)
    assert use["layout"] >= 1
    for arena in use["arenas"].values():
        assert 0 <= arena["live"] < arena["capacity"]
        assert arena["octets"] % max(arena["live"], 1) == 0
    assert use["arenas"]["streams"]["capacity"] >= 10_000 * 64


# --- what is left in memory: looked for from another process, which is where the patterns are


def resident(process: int) -> Iterator[bytes]:
    """The pages that a process has in memory, in runs."""
    with Path(f"/proc/{process}/maps").open(encoding="ascii") as maps:
        ranges = [line.split(maxsplit=1) for line in maps]
    with Path(f"/proc/{process}/mem").open("rb", 0) as memory, Path(f"/proc/{process}/pagemap").open("rb", 0) as pages:
        for place, rights in ranges:
            start, end = (int(part, 16) for part in place.split("-"))
            if not rights.startswith("rw") or end - start > 1 << 32:
                continue
            pages.seek(start // PAGE * 8)
            entries = pages.read((end - start) // PAGE * 8)
            yield from runs(memory.fileno(), start, struct.unpack(f"<{len(entries) // 8}Q", entries))


def runs(memory: int, start: int, entries: tuple[int, ...]) -> Iterator[bytes]:
    first = None
    for number, entry in enumerate((*entries, 0)):
        if entry >> 62 and first is None:  # bit 63: present, bit 62: swapped
            first = number
        elif not entry >> 62 and first is not None:
            yield os.pread(memory, (number - first) * PAGE, start + first * PAGE)
            first = None


def found(process: int, patterns: dict[str, bytes]) -> set[str]:
    """Which patterns are anywhere in the memory of a process."""
    names = set()
    for octets in resident(process):
        names |= {name for name, pattern in patterns.items() if pattern in octets}
    return names


def hold_a_call(suite: str, key: Key, wire: bytes) -> None:
    """The program: opens a leg, relays one packet that nobody collects, closes the leg, ends the gateway. Waits for a
    line before each step."""

    def told(step: str) -> None:
        print(step, flush=True)
        sys.stdin.readline()

    gateway = MediaGateway(workers=1, engine="memory", threaded=False, media_encryption={"extension": True})
    other = random_key(random.Random("other way"), suite)
    settings = LegSettings(
        type="extension", suite=suite, receive_keys=tuple(master_keys(key)), transmit_keys=tuple(master_keys(other))
    )
    phone = gateway.open_leg(settings)
    trunk = gateway.open_leg(LegSettings(type="route", remote=Address("192.0.2.1", 5000)))
    gateway.join(phone, trunk)
    worker = gateway._workers[0]
    assert worker.inject(2 * phone.id, (4, bytes(4), 1, 0), wire)
    assert worker.step() == 1
    told("open")
    gateway.close(phone)
    del phone, settings
    told("closed")
    gateway.shutdown()
    del worker, trunk, gateway
    told("ended")


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_256_GCM"])
def test_no_session_key_stays_in_memory(suite: str) -> None:
    """The session salts and what was decrypted: there as long as they are in use, and not afterwards."""
    key = random_key(random.Random(f"memory {suite}"), suite)
    sessions = [session_keys(SUITES[suite], key.key, key.salt, rtcp=is_rtcp) for is_rtcp in (False, True)]
    media = random.Random(suite).randbytes(40)
    patterns = {"rtp salt": sessions[0].salt, "rtcp salt": sessions[1].salt, "media": media}
    wire = Keys(SUITES[suite], (key,)).seal(rtp(1, SSRC, media))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, __file__, suite, key.key.hex(), key.salt.hex(), wire.hex()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = {}
        try:
            while step := process.stdout.readline().strip():
                seen[step] = found(process.pid, patterns)
                process.stdin.write("\n")
                process.stdin.flush()
        except PermissionError:
            process.kill()
            missing("the memory of another process cannot be read here")
    assert seen == {"open": set(patterns), "closed": {"media"}, "ended": set()}


if __name__ == "__main__":
    name, key_text, salt_text, wire_text = sys.argv[1:]
    hold_a_call(name, Key(bytes.fromhex(key_text), bytes.fromhex(salt_text)), bytes.fromhex(wire_text))
