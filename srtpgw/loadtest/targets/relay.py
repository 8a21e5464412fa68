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
from srtpgw.loadtest.targets.process import Child

# Readings would take the gateway's core in the middle of the run; the summary comes at its end in any case. A relay
# whose load test was killed finds its output closed at the next one.
READINGS_APART = 3600  # seconds


class RelayTarget:
    """One relay per plan: keys and indices begin anew with it."""

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        self._child: Child | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.description = f"srtpgw relay, {settings.workers} worker(s), {settings.crypto}, at {settings.address}"

    @property
    def pid(self) -> int | None:
        """The relay's process."""
        return None if self._child is None else self._child.pid

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """Start the relay and wait until all sessions are open. TargetError."""
        self._folder = tempfile.TemporaryDirectory(prefix="srtpgw-load.")
        folder = Path(self._folder.name)
        file = folder / "relay.toml"
        try:
            write_private(file, relay_text(plan, self._settings))
            interval = str(min(READINGS_APART, round(plan.scenario.warm_up + plan.scenario.duration) + 600))
            relay = [sys.executable, "-m", "srtpgw.cli", "relay", str(file), "--json", "--interval", interval]
            # The register of used keys is of no use to keys that come again with each run, nor are they to it.
            self._child = Child([*self._settings.prefix, *relay], {"SRTPGW_STATE_DIR": str(folder)})
            self._child.await_line("started")
        except BaseException:
            self.close()
            raise
        return [planned_routes(self._settings, call) for call in plan.calls]

    def fault(self, *, ask: bool = False) -> str:
        """Why the relay ended."""
        del ask
        return "" if self._child is None else self._child.fault()

    def close(self) -> dict[str, Any] | None:
        """Stop the relay in order; its counters over the whole run."""
        statistics = None
        if self._child is not None:
            statistics = self._child.end()
            self._child = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        return statistics
