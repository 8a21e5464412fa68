"""The values of a relay file: what each may be, by the name it has there (readers: ``srtpgw.values``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from srtpgw.media.keys import relay_suites
from srtpgw.media.leg import SOURCE_RULES
from srtpgw.srtp import HINTS_MAX, ROC_MAX
from srtpgw.terms import LEG_TYPES
from srtpgw.values import Read, address, flag, number, one_of, whole, wholes


def _family(value: object) -> int:
    if whole(value) not in (4, 6):
        raise ValueError("is neither 4 nor 6")
    return whole(value)


LEG_KEYS: Final[Mapping[str, Read]] = {
    "type": one_of(LEG_TYPES),
    "local": address,
    "family": _family,
    "rtcp-mux": flag,
    "remote": address,
    "remote-rtcp": address,
    "source": one_of(SOURCE_RULES),
    "suite": one_of(relay_suites()),
    "transmit-suite": one_of(relay_suites()),
    "window": whole,
    "max-ssrcs": whole,
    "dscp": whole,
    "hold": flag,
    "media-timeout": number,
    "clock-rate": whole,
    "roc-hints": wholes(HINTS_MAX, 0, ROC_MAX),
}
# Read once the suite is known, for their lengths hang on it.
SECRET_KEYS: Final[Mapping[str, str]] = {"receive-key": "receive_keys", "transmit-key": "transmit_keys"}
