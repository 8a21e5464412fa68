"""Payload types: the static ones of RFC 3551 section 6, and what ``a=rtpmap`` and ``a=fmtp`` say (RFC 8866 6.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

TYPE_MAX = 127
CLOCK_RATE_MAX = 1_000_000_000  # Hz
CHANNELS_MAX = 255
FMTP_MAX = 1024  # characters that are kept


class PayloadFormat(NamedTuple):
    """What a payload type carries. ``clock_rate`` in Hz, None where it varies; ``fmtp`` as written."""

    codec: str
    clock_rate: int | None
    channels: int = 1
    fmtp: str = ""


STATIC: Final[Mapping[int, PayloadFormat]] = MappingProxyType(
    {
        0: PayloadFormat("PCMU", 8000),
        3: PayloadFormat("GSM", 8000),
        4: PayloadFormat("G723", 8000),
        5: PayloadFormat("DVI4", 8000),
        6: PayloadFormat("DVI4", 16000),
        7: PayloadFormat("LPC", 8000),
        8: PayloadFormat("PCMA", 8000),
        9: PayloadFormat("G722", 8000),  # 16 kHz of sound under an 8 kHz clock: RFC 3551 4.5.2
        10: PayloadFormat("L16", 44100, 2),
        11: PayloadFormat("L16", 44100),
        12: PayloadFormat("QCELP", 8000),
        13: PayloadFormat("CN", 8000),
        14: PayloadFormat("MPA", 90000),
        15: PayloadFormat("G728", 8000),
        16: PayloadFormat("DVI4", 11025),
        17: PayloadFormat("DVI4", 22050),
        18: PayloadFormat("G729", 8000),
        25: PayloadFormat("CelB", 90000),
        26: PayloadFormat("JPEG", 90000),
        28: PayloadFormat("nv", 90000),
        31: PayloadFormat("H261", 90000),
        32: PayloadFormat("MPV", 90000),
        33: PayloadFormat("MP2T", 90000),
        34: PayloadFormat("H263", 90000),
    }
)


def payload_formats(formats: Iterable[str], rtpmaps: Iterable[str], fmtps: Iterable[str]) -> dict[int, PayloadFormat]:
    """The payload types that a media line lists, in its order; a type that nothing explains has the codec "".

    `formats` are those of the m= line, the others the values of the attributes. What cannot be read is passed over.
    """
    listed = dict.fromkeys(number for text in formats if (number := _number(text, TYPE_MAX)) is not None)
    found = {number: STATIC.get(number, PayloadFormat("", None)) for number in listed}
    for value in rtpmaps:
        text, _, encoding = value.strip().partition(" ")
        number, read = _number(text, TYPE_MAX), _encoding(encoding.strip())
        if number in found and read is not None:
            found[number] = read
    for value in fmtps:
        text, _, parameters = value.strip().partition(" ")
        number = _number(text, TYPE_MAX)
        if number in found:
            found[number] = found[number]._replace(fmtp=parameters.strip()[:FMTP_MAX])
    return found


def _encoding(text: str) -> PayloadFormat | None:
    """``encoding name/clock rate[/channels]``."""
    name, _, rest = text.partition("/")
    rate_text, _, channels_text = rest.partition("/")
    rate = _number(rate_text, CLOCK_RATE_MAX)
    channels = _number(channels_text, CHANNELS_MAX) if channels_text else 1
    if not 0 < len(name) <= 64 or not rate or not channels:
        return None
    return PayloadFormat(name, rate, channels)


def _number(text: str, most: int) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)):
        return None
    return value if (value := int(text)) <= most else None
