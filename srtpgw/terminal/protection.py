"""SRTP and SRTCP by libsrtp, through pylibsrtp: an implementation that is not the one under test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pylibsrtp

_PROFILES: dict[str, tuple[int, int]] = {  # suite -> libsrtp profile, octets of master key and salt
    "AES_CM_128_HMAC_SHA1_80": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16 + 14),
    "AES_CM_128_HMAC_SHA1_32": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16 + 14),
    "AEAD_AES_128_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12),
    "AEAD_AES_256_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32 + 12),
}
TERMINAL_SUITES = tuple(_PROFILES)  # those that pylibsrtp offers


@dataclass(frozen=True)
class TerminalKeys:
    """A suite by its registered name, and master key and salt, one string of octets each way. Never shown.

    Raises ValueError for a suite that the terminal does not have, or keys of another length.
    """

    suite: str
    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.suite not in _PROFILES:
            raise ValueError(f"suite {self.suite!r} is not one of the terminal's: {', '.join(_PROFILES)}")
        length = key_length(self.suite)
        if len(self.send) != length or len(self.receive) != length:
            raise ValueError(f"key and salt of {self.suite} are {length} octets")


def key_length(suite: str) -> int:
    """Octets of master key and salt together."""
    return _PROFILES[suite][1]


class Undecryptable(Exception):
    """libsrtp refused the packet; ``replayed`` when it did so because the index was used before."""

    def __init__(self, reason: str) -> None:
        self.replayed = reason.startswith("replay check failed")
        super().__init__(reason)


class Protection:
    """Protects what leaves and unprotects what arrives, for any SSRC, each under its own key."""

    def __init__(self, keys: TerminalKeys) -> None:
        policy = pylibsrtp.Policy
        profile = _PROFILES[keys.suite][0]
        self.suite = keys.suite
        self._out = pylibsrtp.Session(policy(keys.send, policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self._in = pylibsrtp.Session(policy(keys.receive, policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    def protect(self, packet: bytes) -> bytes:
        """RTP to SRTP. Raises pylibsrtp.Error when an index would be used twice."""
        return self._out.protect(packet)

    def protect_report(self, packet: bytes) -> bytes:
        """RTCP to SRTCP."""
        return self._out.protect_rtcp(packet)

    def unprotect(self, datagram: bytes) -> bytes:
        """SRTP to RTP. Raises Undecryptable."""
        return _refusing(self._in.unprotect, datagram)

    def unprotect_report(self, datagram: bytes) -> bytes:
        """SRTCP to RTCP. Raises Undecryptable."""
        return _refusing(self._in.unprotect_rtcp, datagram)


def _refusing(function: Callable[[bytes], bytes], datagram: bytes) -> bytes:
    try:
        return function(datagram)
    except (pylibsrtp.Error, ValueError) as error:  # ValueError: longer than pylibsrtp's buffer of 1500 octets
        raise Undecryptable(str(error)) from None
