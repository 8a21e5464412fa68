"""Every tier of crypto kernels: its answers beside `cryptography`'s, and how a wrong or unknown one is refused.

A tier is chosen at import, so each runs in an interpreter of its own, this file being its program:
`python test_kernels.py SEED` compares SRTP and SRTCP packets of all suites, lengths and keys with the model.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from model import transform
from model.compare import master_keys, random_key
from model.keys import session_keys
from model.packet import rtcp, rtp
from model.suites import SUITES

from srtpgw import _native
from srtpgw.srtp import Receiver, Sender, kernels, protect_many, unprotect_many

TIERS = [tier["name"] for tier in kernels()["tiers"] if tier["available"]]
# With what these do where the CPU lacks a feature.
FORMS = [
    *TIERS,
    *(
        form
        for form in ("vaes,no-sha", "aesni,no-sha", "aesni,no-avx2", "aesni,no-sha,no-avx2")
        if form.partition(",")[0] in TIERS
    ),
]
# Payload lengths: around the block of AES (16), the block of SHA-1 (64) and the blocks that tiers take at once.
LENGTHS = (*range(70), 79, 80, 81, 111, 112, 113, 127, 128, 129, 159, 160, 161, 239, 240, 241, 255, 256, 257, 1400)
PROBE = """
from srtpgw import _native
print(_native.kernel_tiers()[1])
"""


def python(*arguments: str, tier: str) -> subprocess.CompletedProcess[str]:
    """This interpreter with a tier forced."""
    environment = {**os.environ, "SRTPGW_KERNELS": tier, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


# --- the program


def compare(rng: random.Random) -> int:
    """Packets of every suite and length, alone and in one batch, against the model. The number of packets."""
    batch, sent, expected, back = [], [], [], []
    for suite in SUITES:
        key = random_key(rng, suite)
        plain_session, rtcp_session = (
            session_keys(SUITES[suite], key.key, key.salt, rtcp=is_rtcp) for is_rtcp in (False, True)
        )
        sender = Sender(suite, master_keys(key), max_ssrcs=len(LENGTHS))
        receiver = Receiver(suite, master_keys(key), max_ssrcs=len(LENGTHS))
        for sequence, length in enumerate(LENGTHS):
            ssrc = rng.getrandbits(32)
            packet = rtp(sequence, ssrc, rng.randbytes(length), pt=rng.randrange(64), timestamp=rng.getrandbits(32))
            expected.append(transform.protect_rtp(SUITES[suite], plain_session, packet, sequence))
            sent.append(packet)
            batch.append((sender, packet))
            back.append((receiver, expected[-1]))
            report = rtcp(ssrc, rng.randbytes(length & ~3))
            expected.append(transform.protect_rtcp(SUITES[suite], rtcp_session, report, 0))
            sent.append(report)
            batch.append((sender, report))
            back.append((receiver, expected[-1]))
        assert Sender(suite, master_keys(key)).protect(packet) == expected[-2]
        assert Receiver(suite, master_keys(key)).unprotect(expected[-2]) == packet
    order = list(range(len(batch)))
    rng.shuffle(order)
    protected, opened = protect_many([batch[p] for p in order]), unprotect_many([back[p] for p in order])
    assert [bytes_of(value) for value in protected] == [expected[p] for p in order]
    assert [bytes_of(value) for value in opened] == [sent[p] for p in order]
    forged = [(receiver, wire[:-1] + bytes([wire[-1] ^ 1])) for receiver, wire in back]
    assert not any(isinstance(value, bytes) for value in unprotect_many(forged))
    return len(batch)


def bytes_of(value: object) -> bytes:
    assert isinstance(value, bytes), value
    return value


# --- the tests


def test_generic_is_always_there() -> None:
    assert "generic" in TIERS


@pytest.mark.parametrize("form", FORMS)
def test_tier_agrees_with_the_model(form: str) -> None:
    done = python(__file__, "20", tier=form)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tier"] == form.partition(",")[0]
    assert told["packets"] == 2 * len(SUITES) * len(LENGTHS)


def test_this_process_agrees_too() -> None:
    assert compare(random.Random("here")) > 1000


def test_the_best_tier_is_used_unless_forced() -> None:
    assert _native.kernel_tiers()[1] in TIERS
    unforced = python("-c", PROBE, tier="")
    assert unforced.stdout.strip() == TIERS[0]


@pytest.mark.parametrize(
    "name", ["no-such-tier", "AESNI", "generic ", "../aesni", "aesni,no-such", "generic,", "\u00e9"]
)
def test_an_unknown_tier_refuses_to_start(name: str) -> None:
    done = python("-c", PROBE, tier=name)
    assert done.returncode != 0
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: SRTPGW_KERNELS=")
    assert "not a tier" in last
    assert "generic" in last


@pytest.mark.parametrize("tier", TIERS)
def test_known_answers(tier: str) -> None:
    """Right for the tier as it is, wrong and named for one with two of its functions swapped."""
    assert _native.self_test(tier) is None
    wrong = _native.self_test(tier, damaged=True)
    assert wrong is not None
    assert "GCM" in wrong


def test_known_answers_of_an_unknown_tier() -> None:
    with pytest.raises(ValueError, match="no tier"):
        _native.self_test("no-such-tier")


def test_kernels_tells_what_there_is() -> None:
    told = kernels()
    assert told["in_use"] == _native.kernel_tiers()[1]
    assert all(set(tier) == {"name", "needs", "available"} for tier in told["tiers"])
    assert [tier["name"] for tier in told["tiers"]][-1] == "generic"


if __name__ == "__main__":
    packets = compare(random.Random(sys.argv[1]))
    print(json.dumps({"tier": _native.kernel_tiers()[1], "packets": packets}))
