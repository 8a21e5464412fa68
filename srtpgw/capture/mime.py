"""Bodies of SIP messages: a session description as such, or as a part of a multipart body (RFC 2046 5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

PARTS_MAX = 32
DEPTH_MAX = 3  # of multipart bodies within each other
BOUNDARY_MAX = 70  # characters (RFC 2046 5.1.1)

_PARAMETER = re.compile(r';[ \t]*([A-Za-z0-9_-]{1,32})[ \t]*=[ \t]*(?:"([^"]{0,200})"|([^\s;"]{1,200}))')
_BLANK = re.compile(rb"(?:^|\n)\r?\n")
_TYPE = re.compile(rb"^content-type[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


def content_type(value: str) -> str:
    """Type and subtype in lower case, without parameters."""
    return value.partition(";")[0].strip().lower()


def descriptions(value: str, body: bytes, depth: int = 0) -> Iterator[bytes]:
    """The session descriptions in a body whose Content-Type is `value`; one that only looks like it counts too."""
    kind = content_type(value)
    if kind.startswith("multipart/") and depth < DEPTH_MAX:
        for part_type, part in _parts(value, body):
            yield from descriptions(part_type, part, depth + 1)
    elif kind == "application/sdp" or (not kind and body.lstrip().startswith(b"v=0")):
        yield body


def _parts(value: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """(Content-Type, octets) of each part; without a boundary that is told, the one that the body starts with."""
    told = next((match[2] or match[3] for match in _PARAMETER.finditer(value) if match[1].lower() == "boundary"), "")
    boundary = told.encode("utf-8", "replace") if told else _first_boundary(body)
    if not 0 < len(boundary) <= BOUNDARY_MAX:
        return
    pieces = re.split(rb"(?:^|\r?\n)--" + re.escape(boundary), body, maxsplit=PARTS_MAX + 1)
    for piece in pieces[1 : PARTS_MAX + 1]:
        if piece.startswith(b"--"):
            return
        part = piece.partition(b"\n")[2]
        blank = _BLANK.search(part)
        found = _TYPE.search(part, 0, blank.start() + 1 if blank else len(part))
        yield (found[1].decode("utf-8", "replace") if found else ""), part[blank.end() :] if blank else b""


def _first_boundary(body: bytes) -> bytes:
    match = re.match(rb"\s*--([^\r\n]{1,70})\r?\n", body)
    return match[1].rstrip() if match else b""
