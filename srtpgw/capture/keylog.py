"""Secrets of TLS and DTLS sessions, as programs log them (``SSLKEYLOGFILE``) and pcapng carries them.

One line each, as NSS, OpenSSL, GnuTLS, BoringSSL and Wireshark read and write them (RFC 9850)::

    CLIENT_RANDOM            <32 octets in hex>  <48 octets in hex>         master secret of (D)TLS up to 1.2
    SERVER_TRAFFIC_SECRET_0  <32 octets in hex>  <32 or 48 octets in hex>   of TLS 1.3
    label                    client random       secret

Nothing here formats a secret: counters tell how many there are, and line numbers which lines were no use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SECRETS_BLOCK_TYPE = 0x544C534B  # "TLSK", of a pcapng decryption secrets block
SECRETS_MAX = 400_000  # some 100 MB
LINE_MAX = 1024  # octets; the longest of use has 160
RANDOM_LENGTH = 32  # octets

MASTER_SECRET = "CLIENT_RANDOM"  # noqa: S105 (labels, not secrets)
CLIENT_HANDSHAKE = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
SERVER_HANDSHAKE = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
CLIENT_TRAFFIC = "CLIENT_TRAFFIC_SECRET_0"
SERVER_TRAFFIC = "SERVER_TRAFFIC_SECRET_0"
EXPORTER = "EXPORTER_SECRET"

# Octets a secret may have: 48 of any master secret, a hash (SHA-256 or SHA-384) of the others.
_LENGTHS = {
    MASTER_SECRET: (48,),
    CLIENT_HANDSHAKE: (32, 48),
    SERVER_HANDSHAKE: (32, 48),
    CLIENT_TRAFFIC: (32, 48),
    SERVER_TRAFFIC: (32, 48),
    EXPORTER: (32, 48),
}
_PREFIX = {label: bytes([number]) for number, label in enumerate(_LENGTHS)}  # of the key in the one large dictionary


@dataclass(slots=True)
class KeyLogCounters:
    """Lines of a key log by what became of them; comments and blank lines are not counted."""

    secrets: int = 0  # kept
    repeated: int = 0  # there already
    conflicting: int = 0  # another secret under the same label and client random: the first one stays
    ignored: int = 0  # of labels that nothing here needs: RSA, early data
    broken: int = 0
    first_broken: int | None = None  # number of the first such line, from 1, over all that was added
    dropped: int = 0  # beyond the limit


class KeyLog:
    """The secrets of any number of sessions, found by the random of the client's hello."""

    def __init__(self, *, secrets_max: int = SECRETS_MAX) -> None:
        self.counters = KeyLogCounters()
        self._secrets: dict[bytes, bytes] = {}
        self._secrets_max = secrets_max
        self._lines = 0

    def __repr__(self) -> str:
        return f"KeyLog(<{len(self._secrets)} secrets>)"

    def __reduce__(self) -> str:
        raise TypeError("a key log cannot be pickled")

    def __len__(self) -> int:
        return len(self._secrets)

    def add(self, text: bytes) -> int:
        """Take whole lines: a file, the text of a secrets block. Returns how many secrets are new."""
        before = self.counters.secrets
        for line in text.splitlines():
            self._lines += 1
            self._add_line(line)
        return self.counters.secrets - before

    def add_block(self, kind: int, octets: bytes) -> bool:
        """Take a pcapng decryption secrets block. False when its type is another than TLS key log."""
        if kind != SECRETS_BLOCK_TYPE:
            return False
        self.add(octets)
        return True

    def find(self, label: str, client_random: bytes) -> bytes | None:
        return self._secrets.get(_PREFIX[label] + client_random)

    def lines(self, client_randoms: Iterable[bytes]) -> bytes:
        """The key log of these sessions alone: a secret, for a file that is itself protected."""
        named = ((label, client_random) for client_random in dict.fromkeys(client_randoms) for label in _LENGTHS)
        found = ((label, client_random, self.find(label, client_random)) for label, client_random in named)
        lines = (f"{label} {client_random.hex()} {secret.hex()}\n" for label, client_random, secret in found if secret)
        return "".join(lines).encode("ascii")

    def knows(self, client_random: bytes) -> bool:
        """Whether there is any secret of this session."""
        return any(prefix + client_random in self._secrets for prefix in _PREFIX.values())

    def _add_line(self, line: bytes) -> None:
        fields = line.split() if len(line) <= LINE_MAX else [b"", b""]
        if not fields or fields[0].startswith(b"#"):
            return
        if len(fields) != 3:
            self._broken()
            return
        label = fields[0].decode("ascii", "replace")
        try:
            client_random, secret = (bytes.fromhex(field.decode("ascii")) for field in fields[1:])
        except ValueError:  # neither is the text repeated, nor the exception that quotes it
            self._broken()
            return
        if label not in _LENGTHS:
            self.counters.ignored += 1
        elif len(client_random) != RANDOM_LENGTH or len(secret) not in _LENGTHS[label]:
            self._broken()
        else:
            self._keep(_PREFIX[label] + client_random, secret)

    def _keep(self, key: bytes, secret: bytes) -> None:
        known = self._secrets.get(key)
        if known is not None:
            if known == secret:
                self.counters.repeated += 1
            else:
                self.counters.conflicting += 1
        elif len(self._secrets) >= self._secrets_max:
            self.counters.dropped += 1
        else:
            self._secrets[key] = secret
            self.counters.secrets += 1

    def _broken(self) -> None:
        self.counters.broken += 1
        if self.counters.first_broken is None:
            self.counters.first_broken = self._lines
