"""Every kernel tier, and what it does where the CPU lacks a feature, held against `generic` packet for packet by
check_kernels.c: all lengths around the blocks, batches that fill the lanes in every way, one wrong tag at every place,
and packets that end right before memory that cannot be touched. Once as in a release, and once under the sanitizers."""

from __future__ import annotations

from pathlib import Path

import pytest
from native.programs import BUILDS, build, run

from srtpgw.srtp import kernels

SPECS = ("vaes", "vaes,no-sha", "aesni", "aesni,no-sha", "aesni,no-avx2", "aesni,no-sha,no-avx2", "generic")
HERE = {tier["name"] for tier in kernels()["tiers"] if tier["available"]}
LEAST = 100_000  # packets

pytestmark = pytest.mark.peer("gcc")


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("check_kernels", request.param, tmp_path_factory.mktemp("kernels"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("spec", SPECS)
def test_agrees_with_generic(program: Path, spec: str) -> None:
    if spec.partition(",")[0] not in HERE:
        pytest.skip("not on this CPU")
    done = run(str(program), spec, "1")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= LEAST


@pytest.mark.parametrize("spec", ["quantum", "aesni,no-such", "aesni,", "generic,no-sha,"])
def test_what_is_not_there_is_refused(program: Path, spec: str) -> None:
    done = run(str(program), spec, "1")
    assert done.returncode == 2
    assert "not here" in done.stderr
