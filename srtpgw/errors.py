"""Every exception the package raises on purpose.

Families, so that a caller can tell whose mistake it was: ``ConfigError`` (what the operator wrote), ``StoreError``
(the store of settings), ``MediaError`` (what was asked of the gateway), ``SrtpError`` (what a packet was like),
``CaptureError`` (what a capture was like). No message holds a key.
"""

from __future__ import annotations

from collections.abc import Sequence


class SrtpgwError(Exception):
    """Base of all exceptions of this package."""


# --- what the operator wrote -----------------------------------------------------------------------------------------


class ConfigError(SrtpgwError):
    """A file, or one entry in it, that cannot be used.

    ``file`` is the path as given, ``key`` the path of the entry (``session[phone].leg[0].suite``, empty for the file
    itself) and ``reason`` one sentence without a full stop. ``faults`` lists every fault found in the same reading;
    a single fault lists itself.
    """

    def __init__(self, file: str, key: str, reason: str) -> None:
        self.file = file
        self.key = key
        self.reason = reason
        self.faults: tuple[ConfigError, ...] = (self,)
        super().__init__(": ".join(part for part in (file, key, reason) if part))

    @classmethod
    def of(cls, faults: Sequence[ConfigError]) -> ConfigError:
        """Gather several faults in one exception that reads as the first of them and lists all.

        Raises ValueError when there is none.
        """
        if not faults:
            raise ValueError("no fault to report")
        first = faults[0]
        error = cls(first.file, first.key, first.reason)
        error.faults = tuple(faults)
        return error


class StateError(ConfigError):
    """The kept sending state is missing, damaged or not writable, so that no index can be proved unused."""


class UsageError(SrtpgwError):
    """A command line that its command does not take. The text says what goes, and never repeats a secret."""


class KeyFormatError(SrtpgwError, ValueError):
    """Key text that is not an ``inline:`` key for its suite. The message never repeats the text."""


class StoreError(SrtpgwError):
    """The store of settings cannot be used: not writable, full, busy, damaged, or written by a newer version. Nothing
    was changed. The text says which, and what to do."""


class VaultError(SrtpgwError):
    """A sealed secret cannot be opened: another key file, or damaged. Holds nothing of it."""


class LicenseError(SrtpgwError):
    """A file that is no licence, or not as it was signed. The text reads on from "the licence"."""


class CertificateError(SrtpgwError):
    """A certificate, a chain or a private key that cannot be used. ``lines``: what is wrong, then what to do. Holds
    nothing of a key or a passphrase."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__(" ".join(lines))


class BackupError(SrtpgwError):
    """A file that no backup can be restored from. The text is the reason in the words for operators."""


class OutputError(SrtpgwError):
    """A file that was asked for cannot be written; nothing of it is left."""


# --- what was asked of the gateway -----------------------------------------------------------------------------------


class MediaError(SrtpgwError):
    """The gateway refuses what was asked of it; nothing was changed."""


class PolicyRefused(MediaError):
    """The media encryption flag of the leg's type forbids what its settings ask for."""


class KeyReuse(MediaError):
    """One key in two places: keystream could be used twice, or a packet reflected."""


class PortUnavailable(MediaError):
    """A local port is taken, or none of the configured range is free."""


class LimitReached(MediaError):
    """A limit of the system or of the configuration stands against one more leg."""


# --- what a packet was like ------------------------------------------------------------------------------------------


class SrtpError(SrtpgwError):
    """A packet that is not protected or not let through.

    ``reason`` is the name of a drop reason, the same as in the relay's counters.
    """

    def __init__(self, message: str, reason: str) -> None:
        self.reason = reason
        super().__init__(message)

    def __reduce__(self) -> tuple[type[SrtpError], tuple[str, str]]:
        return type(self), (str(self), self.reason)


class AuthenticationError(SrtpError):
    """The tag does not verify under any usable key (RFC 3711, section 3.3, step 5)."""


class ReplayError(SrtpError):
    """The index was seen before, or lies behind the window (RFC 3711, section 3.3.2)."""


class PacketError(SrtpError):
    """The packet cannot be parsed, or is of a kind that this context does not take."""


class KeyExpired(SrtpError):
    """The key has protected as many packets as it may (RFC 3711, section 9.2)."""


class LibsrtpError(SrtpgwError):
    """libsrtp is not there, lacks a function, or refused the policy. Holds no key."""


# --- what a capture was like -----------------------------------------------------------------------------------------


class CaptureError(SrtpgwError):
    """A capture that cannot be read at all: its name and the reason."""
