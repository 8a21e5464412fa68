"""A leg that is open, and two of them joined. Made and changed by the gateway only."""

from __future__ import annotations

from dataclasses import dataclass

from srtpgw import _native
from srtpgw.address import Address
from srtpgw.media.leg import LegSettings
from srtpgw.media.statistics import LegLabel


class Leg:
    """One open side of a media stream."""

    def __init__(self, settings: LegSettings, local: Address, native: _native.Leg) -> None:
        self.settings = settings
        self.local = local
        self.advertised = local  # what the far end is told
        self.native = native
        self.handles: list[int] = []  # RTP, and RTCP where it has a port of its own
        self.last_sending_state = b""
        self.session: Session | None = None
        self.open = True

    @property
    def id(self) -> int:
        """Number of the leg in this gateway; given again after the leg is closed."""
        return self.native.number

    @property
    def name(self) -> str:
        """As in the settings."""
        return self.settings.name

    @property
    def local_rtcp(self) -> Address:
        """Where RTCP is received."""
        return self.local if self.settings.rtcp_mux else self.local.next_port

    @property
    def label(self) -> LegLabel:
        """What its statistics are called by."""
        settings = self.settings
        suites = (settings.suite, settings.sending_suite) if settings.encrypted else (None, None)
        return LegLabel(self.id, settings.name, settings.type, self.local, *suites)

    def export_sending_state(self) -> bytes:
        """Indices of everything sent under the leg's present keys, for ``LegSettings.sending_state``. Holds no key.

        Of a closed leg: as they were when nothing could follow any more.
        """
        return self.native.export_sending_state() if self.open else self.last_sending_state

    def __repr__(self) -> str:
        return f"<Leg {self.id} {self.name!r} {self.settings.type} at {self.local}>"


@dataclass(eq=False)
class Session:
    """Two legs that media is relayed between."""

    legs: tuple[Leg, Leg]
