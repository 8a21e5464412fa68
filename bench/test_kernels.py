"""The kernels alone, job by job as a context makes them, and Intel ipsec-mb over the same packets and keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from srtpgw import _native
from srtpgw.srtp import SUITES

from . import ipsec_mb
from .flows import CHUNK, CM, GCM, Contexts, senders
from .pairs import TIMER, Loop, Setting, compare, quickest

FLOWS = 500
BATCHES = (1, 8, 16, 32, 64)
PAYLOADS = (160, 1200)  # octets: 20 ms of G.711, a video packet
STRONG = ("AES_256_CM_HMAC_SHA1_80", "AEAD_AES_256_GCM")

Case = tuple[str, int, str, int, int]

CASES: list[Case] = [
    *((suite, FLOWS, "protect", payload, batch) for suite in (CM, GCM) for payload in PAYLOADS for batch in BATCHES),
    *((suite, FLOWS, "unprotect", payload, batch) for suite in (CM, GCM) for payload in PAYLOADS for batch in (1, 64)),
    *((suite, FLOWS, "protect", payload, batch) for suite in STRONG for payload in PAYLOADS for batch in (1, 64)),
    *((suite, flows, "protect", 160, 64) for suite in (CM, GCM) for flows in (5000, 20000)),
]


@lru_cache(maxsize=1)
def contexts(suite: str, flows: int) -> Contexts:
    """Kept from test to test. A kernel keeps no index, so the loops may all start from the first."""
    return senders(suite, flows)


@pytest.fixture(scope="module", autouse=True)
def records_given_back() -> Iterator[None]:
    yield
    contexts.cache_clear()


def case_id(case: Case) -> str:
    suite, flows, operation, payload, batch = case
    return f"{suite}-{operation}-{payload}-{flows}flows-batch{batch}"


@pytest.mark.benchmark(timer=TIMER)
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_kernel(benchmark: BenchmarkFixture, case: Case) -> None:
    suite, flows, operation, payload, batch = case
    keys = contexts(suite, flows)
    loops: dict[str, Loop] = {"ours": _native.KernelLoop(keys, payload, CHUNK, operation == "unprotect")}
    less, notes = {}, {}
    library = ipsec_mb.library()
    if operation == "protect" and not isinstance(library, str):
        ways = library.loops(SUITES[suite].cipher, suite, keys, payload, CHUNK)
        fill = ways.pop("fill")
        for way in ways.values():
            ipsec_mb.require_same(way, _native.KernelLoop(keys, payload, CHUNK), batch)
        best = quickest(ways, batch)
        loops["ipsec-mb"], notes["ipsec-mb"] = ways[best], best
        if best not in ipsec_mb.WITHOUT_JOBS:
            loops["fill"], less["ipsec-mb"] = fill, "fill"
    setting = Setting("kernels", operation, suite, payload, flows, batch)
    compare(benchmark, setting, loops, CHUNK, less=less, notes=notes)
