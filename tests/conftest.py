"""Settings of the whole test run. Helpers are in support.py: `from support import require_peer, campaign`."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from support import FULL, ROOT, TRACED, require_peer

import srtpgw

SLOW_MACHINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

# A time never fails a property: deadline None throughout.
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=SLOW_MACHINE)
settings.register_profile(
    "ci", max_examples=100, deadline=None, suppress_health_check=SLOW_MACHINE, derandomize=True, print_blob=True
)
settings.register_profile("full", max_examples=2000, deadline=None, suppress_health_check=SLOW_MACHINE, print_blob=True)
settings.load_profile("full" if FULL else "ci" if os.environ.get("CI") else "dev")

# A traced build runs Python between any two lines of nogil code, also where a spin lock is held. A collection at such a
# place may free a context, and that takes the same lock.
if TRACED:
    gc.disable()

# A Python that a test starts gets the srtpgw under test, not one without its native module in the working directory.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(srtpgw.__file__).parent.parent), str(ROOT / "tests")])


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests store stays out of the user's state, and the user's process settings out of the tests."""
    os.environ["SRTPGW_STATE_DIR"] = str(tmp_path_factory.mktemp("state"))
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # programs of another user look for the settings, too
        empty = Path(folder, "srtpgw.toml")
        empty.touch()
        os.environ["SRTPGW_CONFIG"] = str(empty)
        yield


@pytest.fixture(autouse=True)
def _peers(request: pytest.FixtureRequest) -> None:
    """`@pytest.mark.peer("ffmpeg", "tshark")` asks for programs by name."""
    for mark in request.node.iter_markers("peer"):
        for name in mark.args:
            require_peer(name)
