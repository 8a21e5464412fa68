"""The loops that bench/ times do what they are timed for: every packet comes out, and comes out right."""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import random
from typing import Any

import pytest
from native.rig import Rig

from srtpgw import _native, libsrtp
from srtpgw.media.endpoint import endpoint_of
from srtpgw.srtp import SUITES, Receiver, Sender, derive_session_keys

FLOWS = 5
PAYLOAD = 33  # octets: no whole block
CHUNK = 128
SUITE_NAMES = ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM")
BATCHES = (1, 16, 64)


def keys(suite: str, flows: int = FLOWS) -> list[bytes]:
    rng = random.Random(suite)
    return [rng.randbytes(SUITES[suite].key_length + SUITES[suite].salt_length) for _ in range(flows)]


def senders(suite: str, provider: str = "native") -> list[_native.Context]:
    return [Sender(suite, key, provider=provider).context for key in keys(suite)]  # type: ignore[arg-type]


def receivers(suite: str) -> list[_native.Context]:
    return [Receiver(suite, key).context for key in keys(suite)]


def opened(suite: str, wires: list[bytes]) -> list[bytes]:
    """By receivers of their own, found by the SSRC: flows are numbered from the lowest."""
    lines = [Receiver(suite, key) for key in keys(suite)]
    return [lines[wire[11] % FLOWS].unprotect(wire) for wire in wires]


def flow_and_sequence(packets: list[bytes]) -> list[tuple[int, int]]:
    return [(packet[11], int.from_bytes(packet[2:4], "big")) for packet in packets]


def expected(chunks: int) -> list[tuple[int, int]]:
    """Flow and sequence number of the last 64 packets of so many chunks, round robin from index 1."""
    places = range(chunks * CHUNK - 64, chunks * CHUNK)
    return [(place % FLOWS, 1 + place // FLOWS) for place in places]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("provider", ["native", "libsrtp"])
@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_contexts_protect(suite: str, provider: str, batch: int) -> None:
    if provider == "libsrtp" and suite not in libsrtp.suites():
        pytest.skip(f"this libsrtp does not run {suite}")
    loop = _native.ContextLoop(senders(suite, provider), PAYLOAD, CHUNK)
    for chunks in (1, 2):
        spent, elapsed, _ = loop.run(batch)
        assert 0 < spent <= elapsed
        plain = opened(suite, loop.octets())
        assert flow_and_sequence(plain) == expected(chunks)
        assert {len(packet) for packet in plain} == {12 + PAYLOAD}
        assert len({packet[12:] for packet in plain}) == 1
    assert loop.index == 1 + -(-2 * CHUNK // FLOWS)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_contexts_unprotect(suite: str, batch: int) -> None:
    loop = _native.ContextLoop(receivers(suite), PAYLOAD, CHUNK, senders(suite))
    loop.run(batch)
    loop.run(batch)
    assert flow_and_sequence(loop.octets()) == expected(2)
    assert {len(packet) for packet in loop.octets()} == {12 + PAYLOAD}


@pytest.mark.parametrize("opens", [False, True])
@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_kernels_give_what_contexts_give(suite: str, opens: bool) -> None:
    contexts, kernels = (
        _native.ContextLoop(senders(suite), PAYLOAD, CHUNK),
        _native.KernelLoop(senders(suite), PAYLOAD, CHUNK, opens),
    )
    contexts.run()
    kernels.run()
    tag = SUITES[suite].rtp_tag_length
    if opens:
        assert [packet[:-tag] for packet in kernels.octets()] == opened(suite, contexts.octets())
    else:
        assert kernels.octets() == contexts.octets()


def test_another_library_is_called_with_its_own_keys() -> None:
    """As often as there are batches, each job with the key of its flow. The key is a job's first field."""
    suite, made_up = SUITE_NAMES[0], [0x1000 + flow for flow in range(FLOWS)]
    counts: list[int] = []
    found: list[int] = []

    def run(jobs: Any, count: int) -> None:
        counts.append(count)
        found.extend(jobs[place][0] for place in range(count))

    function = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.POINTER(ctypes.c_size_t)), ctypes.c_size_t)(run)
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    _native.KernelLoop(senders(suite), PAYLOAD, CHUNK, False, address, made_up).run(16)
    assert counts == [16] * (CHUNK // 16)
    assert found == [made_up[place % FLOWS] for place in range(CHUNK)]
    with pytest.raises(ValueError, match="5 flows need as many keys, 1 given"):
        _native.KernelLoop(senders(suite), PAYLOAD, CHUNK, False, address, [1])


def test_a_relay_passes_every_packet() -> None:
    suite = SUITE_NAMES[0]
    with Rig() as rig:
        sessions = [(rig.secure(suite), rig.plain()) for _ in range(FLOWS)]
        for phone, trunk in sessions:
            rig.join(phone, trunk)
        feeders = []
        for phone, _ in sessions:
            assert phone.sends is not None
            key = phone.sends.keys[0]
            feeders.append(Sender(suite, key.key + key.salt).context)
        ports = [2 * phone.leg.id for phone, _ in sessions]
        loop = _native.RelayLoop(rig.worker, ports, endpoint_of(sessions[0][0].address), PAYLOAD, CHUNK, feeders)
        loop.run()
        assert flow_and_sequence(loop.octets()) == expected(1)
        assert rig.accounts(False).received == rig.accounts(False).sent == CHUNK
        assert not rig.drops()
        del loop, feeders  # their records are not the rig's


def test_packets_that_do_not_come_out_are_told() -> None:
    suite = SUITE_NAMES[0]
    loop = _native.ContextLoop(senders(suite), PAYLOAD, CHUNK)
    loop.run()
    contexts = senders(suite)
    _native.ContextLoop(contexts, PAYLOAD, CHUNK).run()
    # seven duplicates of each flow: with the eighth a source counts as restarted
    with pytest.raises(RuntimeError, match="35 of 128 packets did not come out, the last for tx-duplicate"):
        _native.ContextLoop(contexts, PAYLOAD, CHUNK).run()
    strangers = [Sender(suite, key[::-1]).context for key in keys(suite)]
    with pytest.raises(RuntimeError, match="did not come out, the last for auth-failed"):
        _native.ContextLoop(receivers(suite), PAYLOAD, CHUNK, strangers).run()


def test_a_relay_that_refuses_is_told() -> None:
    with Rig() as rig:
        alone = rig.plain()
        loop = _native.RelayLoop(rig.worker, [2 * alone.leg.id], endpoint_of(alone.address), PAYLOAD, CHUNK)
        with pytest.raises(RuntimeError, match="128 of 128 packets did not come out"):
            loop.run()
        with pytest.raises(ValueError, match="64 packets"):
            loop.run(8)


@pytest.mark.parametrize("batch", [0, 3, 48, 65, 128])
def test_a_batch_divides_64(batch: int) -> None:
    loop = _native.ContextLoop(senders(SUITE_NAMES[0]), PAYLOAD, CHUNK)
    with pytest.raises(ValueError, match="a batch is"):
        loop.run(batch)


def test_bad_arguments_are_refused() -> None:
    suite = SUITE_NAMES[0]
    good, opening = senders(suite), receivers(suite)
    refused: list[tuple[list[_native.Context], int, int, list[_native.Context], str]] = [
        ([], PAYLOAD, CHUNK, [], "flows"),
        (good, 0, CHUNK, [], "payload"),
        (good, 1401, CHUNK, [], "payload"),
        (good, PAYLOAD, 0, [], "chunk"),
        (good, PAYLOAD, 100, [], "chunk"),
        (good, PAYLOAD, 1 << 17, [], "chunk"),
        (good + opening, PAYLOAD, CHUNK, [], "together"),
        (good, PAYLOAD, CHUNK, good, "for receivers"),
        (opening, PAYLOAD, CHUNK, [], "as many senders"),
        (opening, PAYLOAD, CHUNK, opening, "feeder is a sender"),
    ]
    for contexts, payload, chunk, feeders, reason in refused:
        with pytest.raises(ValueError, match=reason):
            _native.ContextLoop(contexts, payload, chunk, feeders)
    with pytest.raises(ValueError, match="one cipher"):
        _native.KernelLoop(good + senders(SUITE_NAMES[1]), PAYLOAD, CHUNK)
    with pytest.raises(ValueError, match="native contexts"):
        _native.KernelLoop(senders(suite, "libsrtp"), PAYLOAD, CHUNK)
    with Rig() as rig:
        with pytest.raises(ValueError, match="1 to 65536 flows"):
            _native.RelayLoop(rig.worker, [], (), PAYLOAD, CHUNK)
        with pytest.raises(ValueError, match="2 flows need as many senders, 5 given"):
            _native.RelayLoop(rig.worker, [1, 2], (), PAYLOAD, CHUNK, good)


def test_the_frequency_is_one() -> None:
    assert 0.1 < _native.measure_ghz() < 20


def test_session_keys_are_what_a_kernel_uses() -> None:
    """What another library is given makes the same packets: the first one's tag by hand."""
    suite = SUITE_NAMES[0]
    session = derive_session_keys(suite, keys(suite)[0][:16], keys(suite)[0][16:])
    loop = _native.KernelLoop(senders(suite)[:1], PAYLOAD, 64)
    loop.run()
    wire = loop.octets()[0]
    expected_tag = hmac.digest(session.auth, wire[:-10] + bytes(4), hashlib.sha1)[:10]
    assert wire[-10:] == expected_tag
