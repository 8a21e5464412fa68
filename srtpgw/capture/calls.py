"""What signaling says of media, as values: descriptions, and the keys that came with them, with files or with DTLS.

A key in a description is the one that its *sender* sends under (RFC 4568 6.1): media under it comes from the
describer's address and goes to the address that the other side described. Both are hints only; which stream a key
opens is found by authentication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal, NamedTuple

from srtpgw.capture.report import Address
from srtpgw.sdp.crypto import Crypto, CryptoFault
from srtpgw.sdp.payload import PayloadFormat

Transport = Literal["udp", "tcp", "tls"]
Role = Literal["offer", "answer"]
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

NOWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  the older form of hold, RFC 3264 8.4


class Signal(NamedTuple):
    """One tuple of the first reading (``_native.Survey.run``)."""

    kind: str  # "sip", "tcp", "dtls"
    frame: int
    time_ns: int  # since 1970
    interface: int
    family: int  # 4, 6
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    payload: bytes
    tcp_sequence: int  # of the first octet of payload, so with SYN of the one behind it
    tcp_flags: int


class Place(NamedTuple):
    """Where a message stands in the capture; the frame is that of its last octet."""

    frame: int
    time_ns: int
    transport: Transport
    sender: Address
    receiver: Address


@dataclass(frozen=True, slots=True, repr=False)
class KnownKey:
    """A master key and salt from anywhere, with what was said of it.

    ``suites`` are those it may be used under: the declared one, or all that its length allows. ``senders`` are
    addresses that media under it would come from, ``receivers`` those it would go to, as far as anything tells.
    """

    source: str  # "a=crypto in frame 12 (sip over tls)", "keys.txt line 3", "DTLS handshake in frame 40"
    key_and_salt: bytes
    suites: tuple[str, ...]
    mki: bytes = b""
    declared: bool = False  # whether the source names the suite
    lifetime: int | None = None  # packets
    ssrc: int | None = None
    frame: int | None = None
    time_ns: int | None = None  # since 1970
    senders: tuple[Address, ...] = ()
    receivers: tuple[Address, ...] = ()
    description: int | None = None  # MediaDescription.number that carried it

    def __repr__(self) -> str:
        suites = "|".join(self.suites)
        return f"KnownKey({self.source!r}, <{len(self.key_and_salt)} octets>, {suites}, mki={self.mki!r})"

    def __reduce__(self) -> str:
        raise TypeError("a master key cannot be pickled")


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One m= section of one description that was sent, from its frame on until the same side describes it anew."""

    number: int  # from 0, in file order
    frame: int
    time_ns: int  # since 1970
    transport: Transport
    call_id: str
    from_uri: str  # of the From header: whose transaction it is
    to_uri: str
    method: str  # of the transaction
    status: int | None  # None: a request
    role: Role
    sender: Address  # of the datagram or connection
    receiver: Address
    index: int  # of the section in its description, from 0
    kind: str  # "audio", "video"
    media: Address  # where the describer receives; the port is 0 where it refuses the medium
    rtcp: Address  # equal to `media` where RTP and RTCP share the port
    profile: str  # "RTP/SAVP"
    payload_types: Mapping[int, PayloadFormat]
    direction: Direction
    crypto: tuple[Crypto, ...] = ()
    crypto_faults: tuple[CryptoFault, ...] = ()
    fingerprint: bool = False
    setup: str = ""  # DTLS role of RFC 4145: "actpass", "active", "passive"
    candidates: tuple[Address, ...] = ()  # further addresses where ICE may have it receive, RTP's and RTCP's
    owner: str = ""  # tag of the describer: From's of a request, To's of a response
    answers: int | None = None  # number of the description that this one answers
    origin: str = ""  # user, session and host of the o= line: RFC 8866 5.2 has them name a session uniquely
    ports: int = 1  # number of consecutive RTP ports (RFC 8866 5.14)

    @property
    def rtcp_mux(self) -> bool:
        return self.rtcp == self.media

    @property
    def secure(self) -> bool:
        """Whether the profile promises SRTP."""
        return "SAVP" in self.profile.upper()

    @property
    def suites(self) -> tuple[str, ...]:
        """Names of the suites offered or answered, in order; unknown ones too."""
        named = [crypto.suite for crypto in self.crypto] + [fault.suite for fault in self.crypto_faults if fault.suite]
        return tuple(dict.fromkeys(named))

    @property
    def unencrypted(self) -> tuple[str, ...]:
        """Session parameters that switch protection off, of any of its crypto attributes."""
        return tuple(dict.fromkeys(name for crypto in self.crypto for name in crypto.parameters.weakening))

    @property
    def dialog(self) -> tuple[str, str, int]:
        """Equal for all descriptions of one medium by one side of a call."""
        return self.call_id, self.owner, self.index

    @property
    def held(self) -> bool:
        """Whether the describer does not want to receive."""
        return self.direction in {"sendonly", "inactive"} or self.media.host in NOWHERE


@lru_cache(4096)
def address(octets: bytes, port: int) -> Address:
    """From the 4 or 16 octets of a packet's header."""
    return Address(str(ip_address(octets)), port)
