"""The engine's calls beside the model's and libsrtp's: test keys, and what a call came to."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from srtpgw.srtp import MasterKey, SrtpError

from .oracle import Refused as OracleRefused
from .suites import SUITES
from .window import Key, Refused

NOW = 10**12  # ns; an arbitrary moment, well past 0
PLAIN_LENGTHS = (12, 13, 15, 16, 27, 28, 29, 44, 59, 60, 63, 64, 76, 172, 332, 1212, 1500)


def outcome(call: Callable[..., bytes], *args: Any, **options: Any) -> bytes | str:
    """The octets, or the reason of the refusal."""
    try:
        return call(*args, **options)
    except SrtpError as error:
        return error.reason
    except (Refused, OracleRefused) as refused:
        return str(refused.args[0])


def result(value: bytes | SrtpError) -> bytes | str:
    """The same for one result of protect_many or unprotect_many."""
    return value.reason if isinstance(value, SrtpError) else value


def random_key(rng: random.Random, suite: str, mki: bytes = b"", lifetime: int | None = None) -> Key:
    form = SUITES[suite]
    return Key(rng.randbytes(form.key_length), rng.randbytes(form.salt_length), mki, lifetime)


def master_keys(*keys: Key) -> list[MasterKey]:
    return [MasterKey(key.key + key.salt, mki=key.mki, lifetime=key.lifetime) for key in keys]


def oracle_keys(*keys: Key) -> list[tuple[bytes, bytes]]:
    return [(key.key + key.salt, key.mki) for key in keys]


def random_length(rng: random.Random, shortest: int) -> int:
    """Mostly lengths at which kernels change their path and common ones, now and then up to a full datagram."""
    kind = rng.random()
    if kind < 0.5:
        return max(shortest, rng.choice(PLAIN_LENGTHS))
    if kind < 0.99:
        return rng.randint(shortest, 1500)
    return rng.randint(1500, 65000)
