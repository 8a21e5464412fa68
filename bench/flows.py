"""Contexts for many flows: each its own key, the same keys for every provider."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

import pytest

from srtpgw import _native, libsrtp
from srtpgw.srtp import SUITES, Receiver, Sender, SessionKeys, derive_session_keys
from srtpgw.terms import Provider

CM = "AES_CM_128_HMAC_SHA1_80"
GCM = "AEAD_AES_128_GCM"
ENCRYPTING = tuple(name for name in SUITES if not name.startswith("NULL"))
CHUNK = 4096  # packets of one turn. Of many flows each has its packet in a later turn: a loop goes on where it was

Contexts = list[_native.Context]


@lru_cache(maxsize=2)
def master_keys(suite: str, flows: int) -> tuple[bytes, ...]:
    """Key and salt of each flow, the same in every run."""
    rng = random.Random(f"{suite} {flows}")
    return tuple(rng.randbytes(SUITES[suite].key_length + SUITES[suite].salt_length) for _ in range(flows))


def senders(suite: str, flows: int, provider: Provider = "native") -> Contexts:
    return [Sender(suite, key, provider=provider).context for key in master_keys(suite, flows)]


def receivers(suite: str, flows: int, provider: Provider = "native") -> Contexts:
    return [Receiver(suite, key, provider=provider).context for key in master_keys(suite, flows)]


def session_keys(suite: str, keys: Sequence[bytes]) -> list[SessionKeys]:
    """What other libraries are to be given instead of a master key."""
    length = SUITES[suite].key_length
    return [derive_session_keys(suite, key[:length], key[length:]) for key in keys]


def skip_without_libsrtp(suite: str) -> None:
    if suite not in libsrtp.suites():
        pytest.skip(f"this libsrtp does not run {suite}")
