"""Every kernel tier of this CPU, not only the one in use: a tier is chosen at import, so each has a process of its own,
which runs the tests that compare the engine with libsrtp, the model and the published vectors."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from model.child import command, environment
from support import ROOT

from srtpgw.srtp import kernels

TIERS = [tier["name"] for tier in kernels()["tiers"] if tier["available"]]
COMPARISONS = (
    "tests/native/test_engine_batches.py",
    "tests/native/test_engine_libsrtp.py",
    "tests/unit/test_srtp_vectors.py",
)
LEAST = 150  # tests; fewer would mean that they were not found


def python(*arguments: str, tier: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, env=environment(SRTPGW_KERNELS=tier)
    )


def test_there_is_a_portable_tier() -> None:
    assert TIERS[-1] == "generic"


@pytest.mark.skipif("SRTPGW_KERNELS" in os.environ, reason="this run is about one tier")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("tier", [tier for tier in TIERS if tier != kernels()["in_use"]])
def test_tier(tier: str) -> None:
    run = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *COMPARISONS, tier=tier)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed
    assert int(passed[1]) >= LEAST


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_can_be_forced(tier: str) -> None:
    run = python("-c", "from srtpgw.srtp import kernels; print(kernels()['in_use'])", tier=tier)
    assert run.stdout == f"{tier}\n"


def test_a_tier_that_is_not_there_is_refused_by_name() -> None:
    run = python("-c", "import srtpgw.srtp", tier="quantum")
    assert run.returncode != 0
    assert "SRTPGW_KERNELS=quantum" in run.stderr
    assert "generic" in run.stderr
