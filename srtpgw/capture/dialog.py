"""Signaling made up for media that was captured: an INVITE, its 200 and its ACK, with plain descriptions.

By these Wireshark knows which datagrams are RTP, and which codecs they carry, with no setting. They are honest: every
message says that it is synthetic, goes between addresses that are nobody's (RFC 5737, RFC 3849) and describes only
what was seen, or what the captured signaling said of codecs. No key is in them, and nothing else of that signaling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from srtpgw.capture.report import Address
from srtpgw.sdp.payload import PayloadFormat

SIP_PORT: Final = 5060
CALLER: Final = {4: bytes([192, 0, 2, 1]), 6: bytes.fromhex("20010db8" + "00" * 11 + "01")}
CALLED: Final = {4: bytes([192, 0, 2, 2]), 6: bytes.fromhex("20010db8" + "00" * 11 + "02")}
HOSTS: Final = {4: ("192.0.2.1", "192.0.2.2"), 6: ("[2001:db8::1]", "[2001:db8::2]")}
MAKER: Final = "srtpgw (synthetic: this message was not captured, it was made up)"  # in a header that Wireshark knows
DOMAIN: Final = "synthetic.invalid"  # RFC 2606: there is no such name
FORMATS_MAX: Final = 8192  # octets of a= lines for codecs; what is beyond is left out
VIDEO: Final = {
    "AV1", "CELB", "H261", "H263", "H263-1998", "H263-2000", "H264", "H265", "JPEG", "MP2T", "MPV", "NV", "VP8", "VP9",
}  # fmt: skip

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")  # RFC 8866 9
_TEXT = re.compile(r"[ -~]+")


@dataclass(frozen=True, slots=True)
class Conversation:
    """RTP between two addresses, in one direction or both.

    ``rtcp`` gives the port of each where it is neither that of RTP nor the next one. ``formats`` are by payload type:
    None where nothing tells what a dynamic one carries.
    """

    number: int  # from 1
    first: Address  # who was heard first
    second: Address
    two_way: bool
    formats: Mapping[int, PayloadFormat | None]
    mux: bool = False
    rtcp: tuple[int | None, int | None] = (None, None)
    kind: str = ""  # "audio", "video"; empty: as the codecs tell


class Message(NamedTuple):
    """A datagram of signaling: each end as (family, octets of the address, port)."""

    source: tuple[int, bytes, int]
    destination: tuple[int, bytes, int]
    text: bytes


def messages(conversation: Conversation) -> tuple[Message, Message, Message]:
    """INVITE, 200 and ACK."""
    family = 6 if ":" in conversation.first.host else 4
    caller, called = (family, CALLER[family], SIP_PORT), (family, CALLED[family], SIP_PORT)
    offer = _description(conversation, offered=True)
    answer = _description(conversation, offered=False)
    return (
        Message(caller, called, _message(conversation, family, "INVITE", offer)),
        Message(called, caller, _message(conversation, family, "", answer)),
        Message(caller, called, _message(conversation, family, "ACK", b"")),
    )


def _message(conversation: Conversation, family: int, method: str, body: bytes) -> bytes:
    """A request, or with no method the 200 to the INVITE. RFC 3261 8.1.1, 8.2.6."""
    number, (host, peer) = conversation.number, HOSTS[family]
    start = f"{method} sip:called@{DOMAIN} SIP/2.0" if method else "SIP/2.0 200 OK"
    transaction = f"{number}a" if method == "ACK" else f"{number}"
    lines = [
        start,
        f"Via: SIP/2.0/UDP {host}:{SIP_PORT};branch=z9hG4bK{transaction}",
        *(["Max-Forwards: 70"] if method else []),
        f'From: "{conversation.first}" <sip:caller@{DOMAIN}>;tag=a{number}',
        f'To: "{conversation.second}" <sip:called@{DOMAIN}>' + ("" if method == "INVITE" else f";tag=b{number}"),
        f"Call-ID: {number}@{DOMAIN}",
        f"CSeq: 1 {method or 'INVITE'}",
        *([] if method == "ACK" else [f"Contact: <sip:{host if method else peer}:{SIP_PORT}>"]),
        f"{'User-Agent' if method else 'Server'}: {MAKER}",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    return _lines(lines) + b"\r\n" + body


def _description(conversation: Conversation, offered: bool) -> bytes:
    """What one side would have said: where it receives, and in which codecs. RFC 8866 5."""
    side = conversation.first if offered else conversation.second
    network = f"IN {'IP6' if ':' in side.host else 'IP4'} {side.host}"
    formats = conversation.formats
    unknown = [str(number) for number, known in sorted(formats.items()) if known is None or not _readable(known)]
    told = f": nothing tells what payload type {', '.join(unknown)} carries" if unknown else ""
    direction = "sendrecv" if conversation.two_way else "sendonly" if offered else "recvonly"
    rtcp = conversation.rtcp[0 if offered else 1]
    lines = [
        "v=0",
        f"o=- {conversation.number} 1 {network}",
        "s=synthetic",
        f"i=Made up by srtpgw for media that was captured{told}",
        f"c={network}",
        "t=0 0",
        f"m={_kind(conversation)} {side.port} RTP/AVP {' '.join(str(number) for number in sorted(formats))}",
        *_mapping_lines(formats),
        f"a={direction}",
        *(["a=rtcp-mux"] if conversation.mux else []),
        *([f"a=rtcp:{rtcp} {network}"] if rtcp is not None else []),
    ]
    return _lines(lines)


def _mapping_lines(formats: Mapping[int, PayloadFormat | None]) -> list[str]:
    """rtpmap and fmtp. Names come from the network: what would break a line, or could hold a key, is left out."""
    lines: list[str] = []
    for number, known in sorted(formats.items()):
        if known is None or not _readable(known):
            continue
        channels = f"/{known.channels}" if known.channels > 1 else ""
        lines.append(f"a=rtpmap:{number} {known.codec}/{known.clock_rate}{channels}")
        if _TEXT.fullmatch(known.fmtp) and "inline:" not in known.fmtp.lower():
            lines.append(f"a=fmtp:{number} {known.fmtp}")
    while sum(map(len, lines)) > FORMATS_MAX:
        lines.pop()
    return lines


def _readable(known: PayloadFormat) -> bool:
    return bool(_TOKEN.fullmatch(known.codec)) and known.clock_rate is not None


def _kind(conversation: Conversation) -> str:
    """Video only where all that is known is video: one port may carry both."""
    if conversation.kind in {"audio", "video"}:
        return conversation.kind
    known = {each.codec.upper() for each in conversation.formats.values() if each is not None}
    return "video" if known and known <= VIDEO else "audio"


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
