"""Whole contexts: parse, index, window, transform, state. libsrtp, which does the same, is called by the same loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from srtpgw import _native

from .flows import CHUNK, CM, ENCRYPTING, GCM, Contexts, receivers, senders, skip_without_libsrtp
from .pairs import TIMER, Setting, compare

FLOWS = 500
MANY = (5000, 20000)
PAYLOADS = (160, 1200)  # octets: 20 ms of G.711, a video packet
OPERATIONS = ("protect", "unprotect")
OTHERS = tuple(suite for suite in ENCRYPTING if suite not in (CM, GCM))

Case = tuple[str, int, str, int, int]


def cases(suite: str, flows: int) -> list[Case]:
    """Those of one set of contexts, which are made once: protect first, then unprotect."""
    found: list[Case] = []
    for operation in OPERATIONS:
        if flows != FLOWS:
            found += [(suite, flows, operation, 160, batch) for batch in (1, 64)]
        elif suite in OTHERS:
            found += [(suite, flows, operation, payload, 64) for payload in PAYLOADS]
        else:
            few = (1, 2, 4, 8, 16, 32, 64) if operation == "protect" else (1, 8, 16, 64)
            found += [(suite, flows, operation, 160, batch) for batch in few]
            found += [(suite, flows, operation, 1200, batch) for batch in (1, 16, 64)]
    return found


CASES = [
    case
    for suite in (CM, GCM, *OTHERS)
    for flows in ((FLOWS, *MANY) if suite in (CM, GCM) else (FLOWS,))
    for case in cases(suite, flows)
]


class Lines:
    """Both providers' contexts of one suite and operation, and how far their sequence numbers have come."""

    kept: Lines | None = None

    def __init__(self, suite: str, flows: int, operation: str) -> None:
        self.made_for = (suite, flows, operation)
        self.index = 1
        opens = operation == "unprotect"
        make = receivers if opens else senders
        self.contexts = {"native": make(suite, flows), "libsrtp": make(suite, flows, "libsrtp")}
        self.feeders: dict[str, Contexts] = {name: senders(suite, flows) if opens else [] for name in self.contexts}

    @classmethod
    def of(cls, suite: str, flows: int, operation: str) -> Lines:
        if cls.kept is None or cls.kept.made_for != (suite, flows, operation):
            cls.kept = None  # gives its records back before others are taken
            cls.kept = cls(suite, flows, operation)
        return cls.kept

    def loops(self, payload: int) -> dict[str, _native.ContextLoop]:
        return {
            name: _native.ContextLoop(contexts, payload, CHUNK, self.feeders[name], self.index)
            for name, contexts in self.contexts.items()
        }


@pytest.fixture(scope="module", autouse=True)
def records_given_back() -> Iterator[None]:
    yield
    Lines.kept = None


def case_id(case: Case) -> str:
    suite, flows, operation, payload, batch = case
    return f"{suite}-{operation}-{payload}-{flows}flows-batch{batch}"


@pytest.mark.benchmark(timer=TIMER)
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_contexts(benchmark: BenchmarkFixture, case: Case) -> None:
    suite, flows, operation, payload, batch = case
    skip_without_libsrtp(suite)
    lines = Lines.of(suite, flows, operation)
    loops = lines.loops(payload)
    compare(benchmark, Setting("contexts", operation, suite, payload, flows, batch), loops, CHUNK)
    lines.index = max(loop.index for loop in loops.values())
