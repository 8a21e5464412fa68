"""Limits that a relay sets for its own process."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from srtpgw import hardening
from srtpgw.errors import LimitReached

UNLIMITED = resource.RLIM_INFINITY


class Limits:
    """Stands in for the system's limits, where raising a hard one is ``allowed`` or not."""

    def __init__(self, soft: int, hard: int, *, allowed: bool = False) -> None:
        self.soft, self.hard, self.allowed = soft, hard, allowed

    def get(self, _: int) -> tuple[int, int]:
        return self.soft, self.hard

    def set(self, _: int, limits: tuple[int, int]) -> None:
        if limits[1] != self.hard and not self.allowed:
            raise ValueError("not allowed to raise maximum limit")
        self.soft, self.hard = limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    made = Limits(100, 1000)
    monkeypatch.setattr(resource, "getrlimit", made.get)
    monkeypatch.setattr(resource, "setrlimit", made.set)
    return made


def test_a_process_with_keys_cannot_be_dumped() -> None:
    code = """
import ctypes, resource
from srtpgw.hardening import forbid_dumps
forbid_dumps()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))  # PR_GET_DUMPABLE
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split(maxsplit=1) == ["0", "(0, 0)\n"]


def test_descriptors_are_raised_to_the_need(limits: Limits) -> None:
    hardening.need_descriptors(10)
    assert (limits.soft, limits.hard) == (10 * 2 + hardening.DESCRIPTORS_SLACK, 1000)
    hardening.need_descriptors(1)
    assert limits.soft == 10 * 2 + hardening.DESCRIPTORS_SLACK  # never lowered


def test_too_few_descriptors_are_refused_by_name(limits: Limits) -> None:
    with pytest.raises(LimitReached, match=r"RLIMIT_NOFILE: 2000 legs need 4128 .* hard limit is 1000: .*ulimit"):
        hardening.need_descriptors(2000)
    assert limits.soft == 100
    limits.allowed = True
    hardening.need_descriptors(2000)
    assert (limits.soft, limits.hard) == (4128, 4128)


def test_unlimited_is_enough(limits: Limits) -> None:
    limits.soft = limits.hard = UNLIMITED
    hardening.need_descriptors(100_000)
    assert hardening.want_locked_memory(100_000) == ""


def test_too_little_locked_memory_is_a_warning_by_name(limits: Limits) -> None:
    assert "RLIMIT_MEMLOCK" in hardening.want_locked_memory(1000)
    limits.hard = 1 << 30
    assert hardening.want_locked_memory(1000) == ""
    assert limits.soft >= 1000 * hardening.LOCKED_PER_LEG
