"""Finding a secret in octets, however it is written there.

How likely a false alarm is: the shortest needles are a 7-digit PIN as text (7 octets) and eight octets of a key. Random
octets hold a given one of those at 2**-56 per position: 10 MB of ciphertext and a thousand needles make 1 in 7 million.
Digits are the worst case: text of random digits holds a given PIN at 1e-7 per position, and of such there are a few
hundred here (fractions of times). So PINs of fewer digits, or packed two to an octet, are not looked for.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

PIECE = 8  # octets of a binary secret that are too many to show; any 15 in a row hold a piece
HEAD = 7  # octets of the shortest needle: a PIN
CODERS = (base64.b64encode, base64.urlsafe_b64encode)


def base64_forms(octets: bytes) -> Iterator[bytes]:
    """What stands in base64 text for sure wherever these octets begin in what was coded."""
    for ahead in range(3):
        for coder in CODERS:
            text = coder(bytes(ahead) + octets).rstrip(b"=")
            first = -(-8 * ahead // 6)  # the characters that hold bits of what stands before
            yield text[first : 8 * (ahead + len(octets)) // 6]


def octet_forms(octets: bytes) -> set[bytes]:
    """Octets as they are, in hex, base64, percent-encoding, as Python and C show them, and as UTF-16 of such text."""
    hexed = [octets.hex(separator) if separator else octets.hex() for separator in ("", ":", " ", "-")]
    texts = [*hexed, repr(octets)[2:-1], str(list(octets))[1:-1], ",".join(map(str, octets))]
    texts += ["".join(f"{mark}{octet:02x}" for octet in octets) for mark in ("%", "\\x")]
    texts += [urllib.parse.quote_from_bytes(octets), octets.decode("latin-1")]
    texts += [text.upper() for text in texts if text.isascii()]
    found = {octets, *base64_forms(octets)}
    for text in texts:
        found |= {text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")}
    return found


def needles(secret: bytes | str) -> set[bytes]:
    """All that would show a secret: text as a whole, octets by any piece."""
    if isinstance(secret, str):
        wide = {secret.encode(encoding) for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")}
        return octet_forms(secret.encode()) | wide | {json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode()}
    found: set[bytes] = set()
    for at in range(0, len(secret) - PIECE + 1, PIECE):
        found |= octet_forms(secret[at : at + PIECE])
    return found


def unwrapped(octets: bytes) -> bytes:
    """Without line ends, also as JSON or Python write them: base64 and hex are often broken into lines."""
    for end in (b"\r", b"\n", b"\\r", b"\\n"):
        octets = octets.replace(end, b"")
    return octets


class Search:
    """Finds secrets by their names. All needles are looked for at once, by their first octets: how many there are does
    not matter."""

    def __init__(self, secrets: Mapping[str, bytes | str]) -> None:
        self._by_head: dict[bytes, list[tuple[str, bytes]]] = {}
        for name, secret in secrets.items():
            for needle in needles(secret):
                assert len(needle) >= HEAD, "a needle that random octets hold"
                self._by_head.setdefault(needle[:HEAD], []).append((name, needle))

    def shown(self, octets: bytes) -> set[str]:
        """The names of the secrets that the octets show."""
        texts = [octets]
        if b"\n" in octets or b"\\n" in octets:
            texts.append(unwrapped(octets))
        found: set[str] = set()
        heads = self._by_head
        for text in texts:
            for place in range(len(text) - HEAD + 1):
                head = text[place : place + HEAD]
                if head in heads:
                    found |= {name for name, needle in heads[head] if text.startswith(needle, place)}
        return found


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file's path and content, and each path as content too: a name can show a secret as well."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        yield name, name.encode() + (b"\n" + path.read_bytes() if path.is_file() else b"")
