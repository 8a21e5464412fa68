"""What a load test drives: one file per kind of gateway, and the table of them."""

from __future__ import annotations

from srtpgw.loadtest.targets.base import CallRoutes, Route, Target, TargetSettings

__all__ = ["CallRoutes", "Route", "Target", "TargetSettings", "make_target"]


def make_target(settings: TargetSettings) -> Target:
    """The target of a kind, not yet open. Each kind is imported when it is asked for."""
    if settings.kind == "relay":
        from srtpgw.loadtest.targets.relay import RelayTarget

        return RelayTarget(settings)
    if settings.kind == "gateway":
        from srtpgw.loadtest.targets.gateway import GatewayTarget

        return GatewayTarget(settings)
    if settings.kind == "rtpengine":
        from srtpgw.loadtest.targets.rtpengine import RtpengineTarget

        return RtpengineTarget(settings)
    if settings.kind == "static":
        from srtpgw.loadtest.targets.static import StaticTarget

        return StaticTarget(settings)
    from srtpgw.loadtest.targets.cable import CableTarget

    return CableTarget()
