"""Display filters to paste into Wireshark. They do not hang on whether Wireshark takes the packets for RTP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from srtpgw.capture.report import Address, Kind

SSRC_OFFSET: Final[dict[Kind, int]] = {"rtp": 8, "rtcp": 4}  # octets into the datagram (RFC 3550 5.1, 6.4.1)


def stream_filter(kind: Kind, source: Address, destination: Address, ssrc: int) -> str:
    """The packets of one stream: addresses, ports, and the SSRC where RTP or RTCP has it."""
    octets = ssrc.to_bytes(4, "big").hex(":")
    return " && ".join([
        *_end("src", source), *_end("dst", destination), f"udp.payload[{SSRC_OFFSET[kind]}:4] == {octets}"
    ])  # fmt: skip


def _end(side: str, address: Address) -> tuple[str, str]:
    layer = "ipv6" if ":" in address.host else "ip"
    return f"{layer}.{side} == {address.host}", f"udp.{side}port == {address.port}"


def frames_filter(frames: Iterable[int]) -> str:
    """Frames by their numbers."""
    return f"frame.number in {{{', '.join(map(str, frames))}}}"
