"""`srtpgw relay` in a process of its own, by a relay file in a private folder that goes when the run ends."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srtpgw.loadtest.plan import Plan
from srtpgw.loadtest.targets.base import CallRoutes, TargetSettings, planned_routes
from srtpgw.loadtest.targets.files import relay_text, write_private
from srtpgw.loadtest.targets.process import Child, ChildTarget

# Readings would take the gateway's core in the middle of the run; the summary comes at its end in any case. A relay
# whose load test was killed finds its output closed at the next one.
READINGS_APART = 3600  # seconds


class RelayTarget(ChildTarget):
    """One relay per plan: keys and indices begin anew with it."""

    def __init__(self, settings: TargetSettings) -> None:
        super().__init__(settings, "srtpgw relay")
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """Start the relay and wait until all sessions are open. TargetError."""
        self._folder = tempfile.TemporaryDirectory(prefix="srtpgw-load.")
        folder = Path(self._folder.name)
        file = folder / "relay.toml"
        try:
            write_private(file, relay_text(plan, self.settings))
            interval = str(min(READINGS_APART, round(plan.scenario.warm_up + plan.scenario.duration) + 600))
            relay = [sys.executable, "-P", "-m", "srtpgw.cli", "relay", str(file), "--json", "--interval", interval]
            # The register of used keys is of no use to keys that come again with each run, nor are they to it.
            self.child = Child([*self.settings.prefix, *relay], {"SRTPGW_STATE_DIR": str(folder)})
            self.child.await_line("started")
        except BaseException:
            self.close()
            raise
        return [planned_routes(self.settings, call) for call in plan.calls]

    def close(self) -> dict[str, Any] | None:
        """As for any child; then its folder goes."""
        statistics = super().close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        return statistics
