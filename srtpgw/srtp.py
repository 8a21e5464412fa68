"""The SRTP engine: protect and unprotect RTP and RTCP packets (RFC 3711, RFC 6188, RFC 7714).

A ``Sender`` or ``Receiver`` is one direction under one set of master keys, for any number of sources (SSRC) up to a
limit. Packets are bytes in and bytes out; a packet that cannot be taken raises an ``SrtpError`` whose ``reason`` is
the same name that the relay counts drops under.

    >>> from srtpgw.srtp import Receiver, Sender
    >>> key_and_salt = bytes(range(30))
    >>> tx = Sender("AES_CM_128_HMAC_SHA1_80", key_and_salt)
    >>> rx = Receiver("AES_CM_128_HMAC_SHA1_80", key_and_salt)
    >>> packet = bytes.fromhex("800000010000000000000001") + b"payload"
    >>> rx.unprotect(tx.protect(packet)) == packet
    True

Calls hold the GIL; a context may be used from several threads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from srtpgw import _native
from srtpgw.errors import AuthenticationError, KeyExpired, PacketError, ReplayError, SrtpError
from srtpgw.terms import Provider

__all__ = [
    "SUITES",
    "AuthenticationError",
    "KeyExpired",
    "MasterKey",
    "PacketError",
    "Receiver",
    "ReplayError",
    "Sender",
    "SessionKeys",
    "SrtpError",
    "Suite",
    "derive_session_keys",
    "kernels",
    "protect_many",
    "unprotect_many",
]

Buffer = bytes | bytearray | memoryview

WINDOW_MIN, WINDOW_MAX = 64, 32767  # packets
KEYS_MAX = 8  # master keys of one context
MKI_MAX = 128  # octets, RFC 4568 6.1
ROC_MAX = (1 << 32) - 1
SRTCP_INDEX_MAX = (1 << 31) - 1
LIFETIME_MAX = 1 << 48  # packets, RFC 3711 9.2
AUTH_KEY_LENGTH = 20  # octets, HMAC-SHA1
HINTS_MAX = 8

_MESSAGES: Final[Mapping[str, tuple[type[SrtpError], str]]] = {
    "auth-failed": (AuthenticationError, "the authentication tag is wrong"),
    "roc-unknown": (AuthenticationError, "authentic only under a rollover counter that is not confirmed yet"),
    "replay": (ReplayError, "this index was received before"),
    "too-old": (ReplayError, "the index is behind the replay window"),
    "tx-duplicate": (ReplayError, "this index was sent before under this key: sending it again would reuse keystream"),
    "tx-too-old": (ReplayError, "behind the sending window; the next in sequence means a restarted source"),
    "receive-key-expired": (KeyExpired, "the lifetime of the receiving key is used up"),
    "tx-key-expired": (KeyExpired, "the lifetime of the sending key is used up"),
    "foreign-key": (SrtpError, "this key was not generated here: it may verify and forward, never protect"),
    "no-key": (SrtpError, "the key was wiped, or belongs to the process that this one was forked from"),
    "provider": (SrtpError, "libsrtp refused the packet"),
}  # fmt: skip


class Suite(NamedTuple):
    """A cryptographic suite by its registered name; lengths in octets."""

    name: str
    cipher: str  # "AES-CM", "AES-GCM" or "NULL"
    key_length: int
    salt_length: int
    rtp_tag_length: int
    rtcp_tag_length: int


SUITES: Final[Mapping[str, Suite]] = MappingProxyType({row[0]: Suite(*row) for row in _native.suites()})
_NUMBERS: Final[Mapping[str, int]] = {name: number for number, name in enumerate(SUITES)}


@dataclass(frozen=True, slots=True, repr=False)
class MasterKey:
    """Master key and salt, concatenated; with its master key identifier and lifetime where it has them.

    ``lifetime`` is in packets of SRTP and of SRTCP each (None: as many as RFC 3711 9.2 allows). ``foreign`` marks a key
    that someone else generated: it may verify packets that are forwarded as they are, but never protects.
    """

    key_and_salt: bytes
    mki: bytes = b""
    lifetime: int | None = None
    foreign: bool = False

    def __repr__(self) -> str:
        return f"MasterKey(<{len(self.key_and_salt)} octets>, mki={self.mki!r}, lifetime={self.lifetime})"

    def __reduce__(self) -> str:
        raise TypeError("a master key cannot be pickled")


@dataclass(frozen=True, slots=True, repr=False)
class SessionKeys:
    """The keys that RFC 3711 4.3 derives from a master key, for SRTP or for SRTCP. ``auth`` is empty for GCM."""

    cipher: bytes
    salt: bytes
    auth: bytes = field(default=b"")

    def __repr__(self) -> str:
        return f"SessionKeys(<{len(self.cipher)} + {len(self.salt)} + {len(self.auth)} octets>)"

    def __reduce__(self) -> str:
        raise TypeError("session keys cannot be pickled")


FINGERPRINT_LENGTH = 16  # octets
_PROCESS_SECRET: Final = os.urandom(32)


def fingerprint(key: MasterKey, secret: bytes = _PROCESS_SECRET) -> bytes:
    """A keyed hash by which equal keys are found; tells nothing about the key without ``secret`` (1 to 64 octets).

    The suite is left out on purpose: the same octets under two suites of one cipher make the same keystream. So is
    the MKI. The default secret lives as long as the process.
    """
    return hashlib.blake2b(key.key_and_salt, digest_size=FINGERPRINT_LENGTH, key=secret, person=b"srtpgw-key").digest()


Keys = bytes | MasterKey | Sequence[MasterKey]


def _error(number: int) -> SrtpError:
    """The exception for a drop reason of the native engine."""
    reason = _native.DROP_NAMES[number]
    kind, message = _MESSAGES.get(reason, (PacketError, _native.DROP_HELP[number]))
    return kind(message, reason)


def _suite(name: str) -> Suite:
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}; known: {', '.join(SUITES)}")
    return SUITES[name]


def _master_keys(suite: Suite, keys: Keys) -> list[MasterKey]:
    """`keys` as a checked list. ValueError names what is wrong, never an octet of a key."""
    if isinstance(keys, (bytes, bytearray, memoryview)):
        keys = MasterKey(bytes(keys))
    listed = [keys] if isinstance(keys, MasterKey) else list(keys)
    needed = suite.key_length + suite.salt_length
    if not 1 <= len(listed) <= KEYS_MAX:
        raise ValueError(f"1 to {KEYS_MAX} master keys are needed, {len(listed)} given")
    for key in listed:
        if len(key.key_and_salt) != needed:
            raise ValueError(f"{suite.name} takes {needed} octets of key and salt, {len(key.key_and_salt)} given")
        if key.lifetime is not None and not 1 <= key.lifetime <= LIFETIME_MAX:
            raise ValueError("a lifetime is 1 to 2^48 packets")
    if len({fingerprint(key) for key in listed}) < len(listed):
        raise ValueError("one key is listed twice")
    mkis = [key.mki for key in listed]
    if len({len(mki) for mki in mkis}) > 1 or len(mkis[0]) > MKI_MAX or len(set(mkis)) < len(mkis):
        raise ValueError(f"master key identifiers differ and have one length, at most {MKI_MAX} octets")
    return listed


def _options(sender: bool, given: Mapping[str, Any], keys: Sequence[MasterKey], suite: Suite) -> dict[str, Any]:
    """Check the numbers that both directions take."""
    options = dict(given)
    for name in ("window", "roc", "srtcp_index", "max_ssrcs"):
        if not isinstance(options[name], int):
            raise TypeError(f"{name} is a whole number")
    if not WINDOW_MIN <= options["window"] <= WINDOW_MAX:
        raise ValueError(f"the window is {WINDOW_MIN} to {WINDOW_MAX} packets")
    if not 0 <= options["roc"] <= ROC_MAX or not all(0 <= roc <= ROC_MAX for roc in options["roc_hints"]):
        raise ValueError("a rollover counter is 0 to 2^32 - 1")
    if len(options["roc_hints"]) > HINTS_MAX:
        raise ValueError(f"at most {HINTS_MAX} rollover counter hints are taken")
    if not 0 <= options["srtcp_index"] <= SRTCP_INDEX_MAX:
        raise ValueError("an SRTCP index is 0 to 2^31 - 1")
    if not 1 <= options["max_ssrcs"] <= 0xFFFF:
        raise ValueError("a context holds 1 to 65535 sources")
    if suite.cipher == "AES-GCM" and not options["authenticate_rtp"]:
        raise ValueError("GCM always authenticates (RFC 7714 14.2)")
    options["sender"] = sender
    options["foreign"] = sender and any(key.foreign for key in keys)
    options["roc_hints"] = list(options["roc_hints"])
    return options


def _libsrtp_session(suite: str, keys: Sequence[MasterKey], options: Mapping[str, Any]) -> tuple[object, int]:
    """A session of the libsrtp inside the pylibsrtp wheel, and its address."""
    from srtpgw import libsrtp

    if options["roc"] or options["srtcp_index"] or any(key.lifetime for key in keys):
        raise ValueError("libsrtp starts at rollover counter 0 and knows no lifetime of its own choice")
    _native.use_provider(libsrtp.functions())
    session = libsrtp.create(
        suite,
        [(key.key_and_salt, key.mki) for key in keys],
        direction="sender" if options["sender"] else "receiver",
        window=options["window"],
        encrypt_rtp=options["encrypt_rtp"],
        encrypt_rtcp=options["encrypt_rtcp"],
        authenticate_rtp=options["authenticate_rtp"],
    )
    return session, session.address


class _Direction(_native.Direction):
    """What senders and receivers share."""

    _is_sender: bool
    __slots__ = ("_made_with", "_spent", "provider", "suite")

    def _open(self, suite: str, keys: Keys, provider: Provider, options: Mapping[str, Any]) -> None:
        self.suite = _suite(suite)
        self.provider = provider
        self._made_with = options
        self._spent: frozenset[bytes] = frozenset()
        self.context = self._new_context(keys)

    def _new_context(self, keys: Keys) -> _native.Context:
        listed = _master_keys(self.suite, keys)
        marks = {fingerprint(key) for key in listed}
        if marks & self._spent:
            raise ValueError("this context had one of these keys before: its indices would start again")
        self._spent = self._spent | marks
        options = _options(self._is_sender, self._made_with, listed, self.suite)
        if self.provider not in ("native", "libsrtp"):
            raise ValueError(f"unknown provider {self.provider!r}: native or libsrtp")
        session = _libsrtp_session(self.suite.name, listed, options) if self.provider == "libsrtp" else None
        octets = [(key.key_and_salt, key.mki, key.lifetime or 0) for key in listed]
        return _native.Context(_NUMBERS[self.suite.name], octets, None, options, session)

    @classmethod
    def from_session_keys(cls, suite: str, *, rtp: SessionKeys, rtcp: SessionKeys, **options: Any) -> Self:
        """A context from session keys as in RFC 7714's examples, without key derivation."""
        known = _suite(suite)
        unknown = set(options) - set(_DEFAULTS)
        if unknown:
            raise TypeError(f"unknown option {', '.join(sorted(unknown))}")
        self = cls.__new__(cls)
        self.suite, self.provider, self._made_with = known, "native", {**_DEFAULTS, **options}
        self._spent = frozenset()
        for keys in (rtp, rtcp):
            if len(keys.cipher) != known.key_length or len(keys.salt) != known.salt_length:
                raise ValueError(f"{suite} takes {known.key_length} octets of key and {known.salt_length} of salt")
            if known.cipher != "AES-GCM" and not 1 <= len(keys.auth) <= 64:
                raise ValueError("an authentication key of 1 to 64 octets is needed")
        session = tuple((keys.cipher, keys.salt, keys.auth) for keys in (rtp, rtcp))
        checked = _options(cls._is_sender, self._made_with, (), known)
        self.context = _native.Context(_NUMBERS[suite], [], session, checked, None)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.suite.name} provider={self.provider}>"

    def __reduce__(self) -> str:
        raise TypeError("an SRTP context cannot be copied: two would use the same keystream")

    def rollover_counter(self, ssrc: int) -> int | None:
        """The rollover counter of a source (RFC 3711 3.3.1); None where the source is not known."""
        self._native_only()
        return self.context.rollover_counter(ssrc)

    def set_rollover_counter(self, ssrc: int, roc: int) -> None:
        """Tell the rollover counter of a source. ValueError where it would go back under this key."""
        self._native_only()
        if not 0 <= ssrc <= 0xFFFFFFFF or not 0 <= roc <= ROC_MAX:
            raise ValueError("an SSRC and a rollover counter are 0 to 2^32 - 1")
        if not self.context.set_rollover_counter(ssrc, roc):
            raise ValueError("the rollover counter of a source never goes back under its key")

    def export_state(self) -> bytes:
        """Indices and windows of all sources, for `restore_state` of a context with the same keys. Holds no key."""
        self._native_only()
        return self.context.export_state()

    def restore_state(self, state: bytes) -> None:
        """Take up where `export_state` left off, before the first packet. ValueError where the state is damaged or of
        another kind; the context then takes no packet any more."""
        self._native_only()
        self.context.restore_state(state)

    def rekey(self, keys: Keys, *, overlap: float = 0.0) -> None:
        """Go on under new master keys. Rollover counters are kept (RFC 3711 3.3.1); a receiver also tries zero, and
        takes packets under the old keys for `overlap` more seconds."""
        self._native_only()
        fresh = self._new_context(keys)
        fresh.rekey(self.context, _native.now_ns() + int(overlap * 1e9))
        self.context = fresh

    def _native_only(self) -> None:
        if self.provider != "native":
            raise ValueError(f"{self.provider} keeps its own state")

    def _run(self, packet: Buffer, rtcp: bool, now: int | None, verify: bool = False) -> bytes:
        result = self.context.run(packet, rtcp, _native.now_ns() if now is None else now, verify)
        if isinstance(result, int):
            raise _error(result)
        return result


_DEFAULTS: Final[Mapping[str, Any]] = {
    "roc": 0,
    "srtcp_index": 0,
    "window": 1024,
    "encrypt_rtp": True,
    "encrypt_rtcp": True,
    "authenticate_rtp": True,
    "max_ssrcs": 64,
    "roc_hints": (),
}


class Sender(_Direction):
    """Protects RTP and RTCP (RFC 3711 3.3). ``keys``: key||salt octets, or one or more ``MasterKey``.

    ``roc`` is the rollover counter of the first packet of each source and ``srtcp_index`` the index of each source's
    first SRTCP packet. The sequence numbers come from someone else, so a window over what was sent refuses to use an
    index twice, and a source that starts again goes on under a new SSRC. Of several keys the first protects until its
    lifetime is used up, then the next. ValueError names a wrong argument.
    """

    _is_sender = True
    __slots__ = ()

    def __init__(
        self,
        suite: str,
        keys: Keys,
        *,
        roc: int = 0,
        srtcp_index: int = 0,
        window: int = 1024,
        encrypt_rtp: bool = True,
        encrypt_rtcp: bool = True,
        authenticate_rtp: bool = True,
        max_ssrcs: int = 64,
        provider: Provider = "native",
    ) -> None:
        options = {
            "roc": roc, "srtcp_index": srtcp_index, "window": window, "encrypt_rtp": encrypt_rtp,
            "encrypt_rtcp": encrypt_rtcp, "authenticate_rtp": authenticate_rtp, "max_ssrcs": max_ssrcs,
        }  # fmt: skip
        self._open(suite, keys, provider, {**_DEFAULTS, **options})

    def protect(self, rtp: Buffer) -> bytes:
        """An RTP packet as SRTP. SrtpError where it must not be sent."""
        return self._run(rtp, False, 0)

    def protect_rtcp(self, rtcp: Buffer) -> bytes:
        """A compound RTCP packet as SRTCP (RFC 3711 3.4). SrtpError where it must not be sent."""
        return self._run(rtcp, True, 0)


class Receiver(_Direction):
    """Unprotects SRTP and SRTCP (RFC 3711 3.3). Arguments as of ``Sender``.

    Nothing is learnt from a packet before its tag verifies. After three failures of a source the rollover counters 0
    to 3 and ``roc_hints`` are tried, ten times a second at most; one is taken over with the second good packet in a
    row.
    """

    _is_sender = False
    __slots__ = ()

    def __init__(
        self,
        suite: str,
        keys: Keys,
        *,
        roc: int = 0,
        window: int = 1024,
        encrypt_rtp: bool = True,
        encrypt_rtcp: bool = True,
        authenticate_rtp: bool = True,
        max_ssrcs: int = 64,
        roc_hints: Sequence[int] = (),
        provider: Provider = "native",
    ) -> None:
        options = {
            "roc": roc, "window": window, "encrypt_rtp": encrypt_rtp, "encrypt_rtcp": encrypt_rtcp,
            "authenticate_rtp": authenticate_rtp, "max_ssrcs": max_ssrcs, "roc_hints": tuple(roc_hints),
        }  # fmt: skip
        self._open(suite, keys, provider, {**_DEFAULTS, **options})

    def unprotect(self, wire: Buffer, *, now: int | None = None) -> bytes:
        """An SRTP packet as RTP. AuthenticationError, ReplayError, PacketError or KeyExpired where it is refused.

        ``now`` (nanoseconds, monotonic) limits the search for a rollover counter; None reads the clock.
        """
        return self._run(wire, False, now)

    def unprotect_rtcp(self, wire: Buffer, *, now: int | None = None) -> bytes:
        """An SRTCP packet as RTCP; errors as of ``unprotect``."""
        return self._run(wire, True, now)

    def verify(self, wire: Buffer, *, now: int | None = None) -> bytes:
        """The identical octets of an authentic SRTP packet, for verify-and-forward; errors as of ``unprotect``."""
        self._native_only()
        return self._run(wire, False, now, True)

    def verify_rtcp(self, wire: Buffer, *, now: int | None = None) -> bytes:
        """The identical octets of an authentic SRTCP packet."""
        self._native_only()
        return self._run(wire, True, now, True)


def protect_many(pairs: Iterable[tuple[Sender, Buffer]]) -> list[bytes | SrtpError]:
    """Protect a batch over many keys and suites; RTP and RTCP may be mixed (told apart as in RFC 5761 4).

    One result per pair, in order: the packet, or the SrtpError that a single call would raise.
    """
    return _native.run_many(pairs, True, 0, _error)


def unprotect_many(pairs: Iterable[tuple[Receiver, Buffer]], *, now: int | None = None) -> list[bytes | SrtpError]:
    """Unprotect a batch; as `protect_many`."""
    return _native.run_many(pairs, False, _native.now_ns() if now is None else now, _error)


def derive_session_keys(
    suite: str, key: bytes, salt: bytes, *, index: int = 0, key_derivation_rate: int = 0, rtcp: bool = False
) -> SessionKeys:
    """Session keys of a master key (RFC 3711 4.3). The relay derives at rate 0 only; other rates exist here alone."""
    known = _suite(suite)
    if len(key) != known.key_length or len(salt) != known.salt_length:
        raise ValueError(f"{suite} takes {known.key_length} octets of key and {known.salt_length} of salt")
    if not 0 <= index < 1 << 48:
        raise ValueError("an index is 0 to 2^48 - 1")
    if key_derivation_rate not in (0, *(1 << power for power in range(25))):
        raise ValueError("a key derivation rate is 0 or a power of two up to 2^24 (RFC 3711 4.3.1)")
    r = index // key_derivation_rate if key_derivation_rate else 0
    auth_length = 0 if known.cipher == "AES-GCM" else AUTH_KEY_LENGTH
    return SessionKeys(*_native.derive_keys(key, salt, r, rtcp, known.key_length, auth_length, known.salt_length))


def kernels() -> dict[str, Any]:
    """What this CPU offers, what is in use, whether keys stay out of swap, and what the libsrtp provider can do.

    SRTPGW_KERNELS=generic|aesni|vaes in the environment forces a tier.
    """
    from srtpgw import libsrtp

    tiers, in_use = _native.kernel_tiers()
    Sender("AES_CM_128_HMAC_SHA1_80", os.urandom(30))  # whether keys can be locked in memory shows with the first one
    return {
        "in_use": in_use,
        "tiers": [{"name": name, "needs": needs, "available": available} for name, needs, available in tiers],
        "keys_locked": _native.memory_use()["keys_locked"],
        "libsrtp": libsrtp.status(),
    }
