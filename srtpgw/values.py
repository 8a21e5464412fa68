"""The values of a relay file: what each may be, by the name it has there.

Each reader takes what TOML gave and returns the setting, or raises ValueError with a reason that reads on from the name
and does not repeat the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from srtpgw.errors import MediaError
from srtpgw.media.address import Address, parse_host
from srtpgw.media.gateway import PACING_MAX_US
from srtpgw.media.keys import relay_suites
from srtpgw.media.leg import LEG_TYPES, SOURCE_RULES
from srtpgw.media.ports import FIRST as FIRST_PORT
from srtpgw.media.ports import LAST as LAST_PORT
from srtpgw.media.ports import PortRange
from srtpgw.srtp import HINTS_MAX, ROC_MAX

WORKERS_MAX = 256
CPUS_MAX = 4096


def quoted(value: object) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError("is not text in quotes")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is not a whole number")
    return value


def _number(value: object) -> float:
    return float(value) if isinstance(value, float) else float(_bounded(-(1 << 53), 1 << 53)(value))


def _bounded(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = _whole(value)
        if not low <= number <= high:
            raise ValueError(f"is outside {low} to {high}")
        return number

    return read


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = quoted(value)
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return read


def _host(version: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        host = parse_host(quoted(value))
        if (":" in host) != (version == 6):
            raise ValueError(f"is not an IPv{version} address")
        return host

    return read


def _address(value: object) -> Address:
    return Address.parse(quoted(value))


def _family(value: object) -> int:
    if _whole(value) not in (4, 6):
        raise ValueError("is neither 4 nor 6")
    return _whole(value)


def _wholes(most: int, low: int, high: int) -> Callable[[object], tuple[int, ...]]:
    def read(value: object) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"is not a list of at most {most} whole numbers")
        return tuple(_bounded(low, high)(item) for item in value)

    return read


def _port_range(value: object) -> tuple[int, int]:
    ports = _wholes(2, FIRST_PORT, LAST_PORT)(value)
    if len(ports) != 2 or ports[0] >= ports[1]:
        raise ValueError("is not [LOWEST, HIGHEST]")
    try:
        PortRange(*ports)
    except MediaError:
        raise ValueError("has no even port with the one above it: RTP and RTCP need a pair") from None
    return ports[0], ports[1]


def on_off(value: object) -> bool:
    """A media encryption flag."""
    if not isinstance(value, str) or value not in ("on", "off"):
        raise ValueError('is neither "on" nor "off"')
    return value == "on"


Read = Callable[[object], Any]

GATEWAY_KEYS: Final[Mapping[str, Read]] = {
    "workers": _bounded(1, WORKERS_MAX),
    "cpus": _wholes(WORKERS_MAX, 0, CPUS_MAX),
    "engine": _one_of(("socket",)),
    "crypto": _one_of(("native", "libsrtp")),
    "pacing-us": _bounded(0, PACING_MAX_US),
    "port-range": _port_range,
    "bind-ipv4": _host(4),
    "bind-ipv6": _host(6),
    "advertised-ipv4": _host(4),
    "advertised-ipv6": _host(6),
    "metrics": _address,
}

LEG_KEYS: Final[Mapping[str, Read]] = {
    "type": _one_of(LEG_TYPES),
    "local": _address,
    "family": _family,
    "rtcp-mux": _flag,
    "remote": _address,
    "remote-rtcp": _address,
    "source": _one_of(SOURCE_RULES),
    "suite": _one_of(relay_suites()),
    "transmit-suite": _one_of(relay_suites()),
    "window": _whole,
    "max-ssrcs": _whole,
    "dscp": _whole,
    "hold": _flag,
    "media-timeout": _number,
    "clock-rate": _whole,
    "roc-hints": _wholes(HINTS_MAX, 0, ROC_MAX),
}
# Read once the suite is known, for their lengths hang on it.
SECRET_KEYS: Final[Mapping[str, str]] = {"receive-key": "receive_keys", "transmit-key": "transmit_keys"}
