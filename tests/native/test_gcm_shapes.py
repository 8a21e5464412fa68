"""The AES-GCM of the kernel tiers, held against `generic` by check_gcm.c: AAD of many lengths in every place before
the payload, carries of the counter, lengths around the buffers in which plaintext waits for its tag, every place of a
cache line, forged packets at every place of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
from native.programs import BUILDS, build, run

from srtpgw.srtp import kernels

TIERS = [tier["name"] for tier in kernels()["tiers"] if tier["available"] and tier["name"] != "generic"]
LEAST = 50_000  # packets; fewer would mean that a loop did not run

pytestmark = [pytest.mark.peer("gcc"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("check_gcm", request.param, tmp_path_factory.mktemp("gcm"))


@pytest.mark.parametrize("tier", TIERS)
def test_agrees_with_generic(program: Path, tier: str) -> None:
    done = run(str(program), tier)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= LEAST
