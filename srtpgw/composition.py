"""What a relay and the service are made of alike."""

from __future__ import annotations

import os
from collections.abc import Mapping

from srtpgw.config import GatewayConfig
from srtpgw.media.gateway import MediaGateway
from srtpgw.terms import Provider


def missing_cores(settings: GatewayConfig) -> str:
    """Why the workers cannot run on the cores that are named, read on from "cpus"; empty when they can."""
    missing = sorted(set(settings.cpus) - os.sched_getaffinity(0))
    return f"this host has no core {', '.join(map(str, missing))}" if missing else ""


def open_gateway(
    settings: GatewayConfig,
    media_encryption: Mapping[str, bool],
    *,
    workers: int | None = None,
    crypto: Provider | None = None,
) -> MediaGateway:
    """A gateway as the settings say; ``workers`` and ``crypto`` take their place where given. Raises MediaError."""
    return MediaGateway(
        workers=workers or settings.workers,
        cpus=settings.cpus,
        engine=settings.engine,
        crypto=crypto or settings.crypto,
        pacing_us=settings.pacing_us,
        port_range=settings.port_range,
        bind_ipv4=settings.bind_ipv4,
        bind_ipv6=settings.bind_ipv6,
        advertised_ipv4=settings.advertised_ipv4,
        advertised_ipv6=settings.advertised_ipv6,
        media_encryption=media_encryption,
    )
