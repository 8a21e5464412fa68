"""Every kernel tier, and what it does where the CPU lacks a feature, held against `generic` packet for packet by
check_kernels.c: all lengths around the blocks, batches that fill the lanes in every way, one wrong tag at every place,
and packets that end right before memory that cannot be touched. Once as in a release, and once under the sanitizers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import ROOT

from srtpgw.srtp import kernels

SPECS = ("vaes", "vaes,no-sha", "aesni", "aesni,no-sha", "aesni,no-avx2", "aesni,no-sha,no-avx2", "generic")
HERE = {tier["name"] for tier in kernels()["tiers"] if tier["available"]}
BUILDS = {
    "release": ("-O3",),
    "sanitized": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
}
LEAST = 100_000  # packets

pytestmark = pytest.mark.peer("gcc")


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kernels") / "check_kernels"
    sources = [ROOT / "tests/native/check_kernels.c", *sorted((ROOT / "ext/crypto").glob("*.c"))]
    command = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *BUILDS[request.param], f"-I{ROOT / 'ext/crypto'}"]
    built = run(*command, "-o", str(path), *map(str, sources))
    assert built.returncode == 0, built.stderr
    return path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Without what another sanitizer may have put into the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


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
