"""What the store holds, as values that never change.

Each class with a ``KEY`` is a row of a table: the field that finds it. Secrets (the fields named in ``SECRETS``) are
here only as sealed octets (``vault``), never in clear, and no repr shows even those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from srtpgw.terms import LegType

PolicyNumber = Literal[1, 2, 3]
Protocol = Literal["sip", "h323"]
SipProtocol = Literal["udp", "tcp", "tls"]
TerminalClass = Literal["secure", "insecure"]

_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MediaEncryption:
    """The flag of a leg type. A type without a row is off."""

    KEY: ClassVar = "type"
    type: LegType
    enabled: bool


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """The policy in force; no row: none."""

    KEY: ClassVar = "id"
    number: PolicyNumber
    id: int = 1  # there is one at most


@dataclass(frozen=True, slots=True)
class Realm:
    """The realm that authorization codes were set under (RFC 3261, section 22.1)."""

    KEY: ClassVar = "id"
    name: str
    id: int = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """A policy-like setting that differs from its default (``settings`` reads and checks the text)."""

    KEY: ClassVar = "name"
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Extension:
    """A directory number. It has no protocol: the same rules hold for all."""

    KEY: ClassVar = "number"
    number: str
    csp: int  # service profile
    lim: int  # the server, and so the media gateway, that it belongs to
    security_exception: bool


@dataclass(frozen=True, slots=True, repr=False)
class AuthorizationCode:
    """A regional authorization code (RAC), as digest authentication needs it: HA1 for MD5 and SHA-256 (RFC 7616,
    section 3.4.2) under ``realm``, both sealed."""

    KEY: ClassVar = "number"
    SECRETS: ClassVar = ("md5", "sha256")
    number: str
    realm: str
    md5: bytes
    sha256: bytes

    def __repr__(self) -> str:
        return f"AuthorizationCode(number={self.number!r}, realm={self.realm!r}, ...)"


@dataclass(frozen=True, slots=True, repr=False)
class SipRoute:
    """A SIP trunk or tie line."""

    KEY: ClassVar = "route"
    SECRETS: ClassVar = ("password",)
    route: int
    protocol: SipProtocol
    proxyip: str  # numeric address or host name of the peer
    proxyport: int
    destinations: tuple[str, ...]  # numbers or prefixes sent to it
    match: tuple[str, ...]  # peers accepted as its incoming side: addresses, networks
    peer_names: tuple[str, ...] = ()  # for TLS: names that the peer's certificate may have; none: proxyip itself
    username: str = ""
    password: bytes = b""  # sealed
    fallback: bool = False  # a call that cannot be encrypted goes on in clear (3.1)

    def __repr__(self) -> str:
        return f"SipRoute(route={self.route}, protocol={self.protocol!r}, proxyip={self.proxyip!r}, ...)"

    @property
    def address(self) -> str:
        """As ``H323Route`` calls it."""
        return self.proxyip

    @property
    def port(self) -> int:
        """As ``H323Route`` calls it."""
        return self.proxyport

    @property
    def tls(self) -> bool:
        """Whether signaling goes over TLS."""
        return self.protocol == "tls"


@dataclass(frozen=True, slots=True)
class H323Route:
    """An H.323 trunk or tie line (RIANI)."""

    KEY: ClassVar = "route"
    route: int
    address: str  # numeric
    port: int
    tls: bool
    destinations: tuple[str, ...] = ()  # these four as ``SipRoute`` has them
    match: tuple[str, ...] = ()
    peer_names: tuple[str, ...] = ()
    fallback: bool = False


Route = SipRoute | H323Route


@dataclass(frozen=True, slots=True)
class License:
    """An installed licence: the signed file as it came. ``control.license`` reads and judges it."""

    KEY: ClassVar = "serial"
    serial: str
    document: bytes
    installed: float  # seconds since the epoch, UTC, as all times here


@dataclass(frozen=True, slots=True)
class LicenseIssuer:
    """A public key (Ed25519, 32 octets) whose signature on a licence counts here; ``testbed``: our own."""

    KEY: ClassVar = "public"
    public: bytes
    testbed: bool


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """A certificate chain with its private key, sealed. ``role``: "server" (what the TLS ports show), "authority" (the
    testbed's own CA), "trusted" (a CA that peers may be signed by; no key)."""

    KEY: ClassVar = "name"
    SECRETS: ClassVar = ("key",)
    name: str
    role: Literal["server", "authority", "trusted"]
    chain: str  # PEM, leaf first
    key: bytes  # sealed PKCS#8; empty for "trusted"
    testbed: bool
    installed: float

    def __repr__(self) -> str:
        return f"Certificate(name={self.name!r}, role={self.role!r}, ...)"


@dataclass(frozen=True, slots=True)
class Registration:
    """A terminal that is logged on, with the policy that it was admitted under (None: no policy)."""

    KEY: ClassVar = "binding"
    binding: str  # identifies it: number, contact or instance
    number: str
    protocol: Protocol
    contact: str
    instance: str
    call_id: str
    terminal_type: str  # User-Agent, or H.323 vendor and product
    transport: Literal["udp", "tcp", "tls"]
    remote: str  # "192.0.2.1:5060"
    local_port: int
    encrypted: bool  # the signaling
    offered_srtp: bool | None  # None: no call yet
    authenticated: bool
    registered: float
    expires: float
    policy: PolicyNumber | None
    ending: bool = False  # the operator ends it; the service tells the terminal, then it goes

    def live(self, now: float) -> bool:
        """Whether the terminal is logged on. A row that was not taken away in time keeps nobody logged on."""
        return not self.ending and now < self.expires


Row = (
    MediaEncryption | SecurityPolicy | Realm | Setting | Extension | AuthorizationCode | SipRoute | H323Route | License
    | LicenseIssuer | Certificate | Registration
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log. ``command`` is what was typed, each secret in it as ``***``."""

    time: float
    user: str
    command: str
    result: Literal["done", "refused", "failed"]
    lines: tuple[str, ...]  # what the command said


@dataclass(frozen=True, slots=True)
class Put:
    """Store a row, in the place of one with the same key."""

    row: Row


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the row of ``table`` with this key away, if it is there."""

    table: type[Row]
    key: object


Change = Put | Remove


@dataclass(frozen=True, slots=True, repr=False)
class State:
    """Everything that is stored, as of one commit. Mappings are by key, in the order of the keys."""

    revision: int = 0  # grows with each commit
    media_encryption: Mapping[LegType, bool] = field(default_factory=lambda: _EMPTY)
    policy: PolicyNumber | None = None
    realm: str = ""  # empty: no authorization code was set yet
    settings: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    extensions: Mapping[str, Extension] = field(default_factory=lambda: _EMPTY)  # in order of the numbers' value
    authorization_codes: Mapping[str, AuthorizationCode] = field(default_factory=lambda: _EMPTY)
    sip_routes: Mapping[int, SipRoute] = field(default_factory=lambda: _EMPTY)
    h323_routes: Mapping[int, H323Route] = field(default_factory=lambda: _EMPTY)
    licenses: Mapping[str, License] = field(default_factory=lambda: _EMPTY)
    license_issuers: Mapping[bytes, LicenseIssuer] = field(default_factory=lambda: _EMPTY)
    certificates: Mapping[str, Certificate] = field(default_factory=lambda: _EMPTY)
    registrations: Mapping[str, Registration] = field(default_factory=lambda: _EMPTY)

    def __repr__(self) -> str:
        return f"State(revision={self.revision}, ...)"

    @property
    def holds_secrets(self) -> bool:
        """Whether anything in it is sealed, so that the key file of then is needed."""
        passwords = any(route.password for route in self.sip_routes.values())
        return bool(self.authorization_codes) or passwords or any(row.key for row in self.certificates.values())
