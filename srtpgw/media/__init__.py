"""The media plane: legs, sessions and the gateway that relays between them."""

from srtpgw.address import Address
from srtpgw.media.gateway import MediaGateway
from srtpgw.media.leg import LegSettings
from srtpgw.media.session import Leg, Session
from srtpgw.media.statistics import Event, GatewayStatistics, LegStatistics

__all__ = ["Address", "Event", "GatewayStatistics", "Leg", "LegSettings", "LegStatistics", "MediaGateway", "Session"]
