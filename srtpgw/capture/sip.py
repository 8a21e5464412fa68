"""SIP messages in captured octets (RFC 3261), read leniently: what a capture holds may be cut, lost or wrong.

A datagram holds one message; in a stream they stand one behind the other, framed by Content-Length (RFC 3261 18.3)::

    INVITE sip:bob@example.org SIP/2.0          start line: what everything is found again by
    Call-ID: ...                                headers, folded lines put together, compact names spelled out
                                                blank line
    v=0 ...                                     Content-Length octets, less where the next start line shows that it lies

All sizes are bounded, and the work grows with the octets only, however they are cut.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from srtpgw.capture.mime import content_type

HEADERS_MAX = 65536  # octets of start line and headers
BODY_MAX = 262144  # octets
START_LINE_MAX = 8192  # octets
VALUE_MAX = 1024  # characters of a header that are kept

_START: Final = (
    rb"(?:SIP/2\.0[ \t][ \t]?[1-6][0-9]{2}(?:[ \t][^\r\n]{0,4096})?"
    rb"|[A-Za-z0-9\-.!%*_+`'~]{1,64}[ \t][^\r\n]{1,4096}[ \t](?i:SIP)/2\.0[ \t]{0,4})\r?\n"
)
START_LINE: Final = re.compile(rb"^" + _START, re.MULTILINE)
_START_OR_BLANK: Final = re.compile(rb"^(?:(\r?\n)|" + _START + rb")", re.MULTILINE)
_FOLD: Final = re.compile(rb"\r?\n[ \t]+")
_BREAK: Final = re.compile(rb"\r\n|\n|\r")
_STATUS: Final = re.compile(r"(?i:SIP)/2\.0[ \t]+([0-9]{3})")
_CSEQ: Final = re.compile(r"([0-9]{1,10})[ \t]+([^\s]{1,64})")
_QUOTED: Final = re.compile(r'^\s*"(?:[^"\\]|\\.)*"')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_NAMES: Final = {  # what is kept of a message; compact forms of RFC 3261 7.3.3
    "call-id": "call-id", "i": "call-id", "from": "from", "f": "from", "to": "to", "t": "to", "via": "via", "v": "via",
    "cseq": "cseq", "content-type": "content-type", "c": "content-type", "rack": "rack",
    "content-length": "content-length", "l": "content-length",
    "content-encoding": "content-encoding", "e": "content-encoding",
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message. ``method`` is the transaction's (of CSeq), ``request`` the one in the start line."""

    request: str | None  # None: a response
    status: int | None
    headers: Mapping[str, str]  # by long name in lower case; the first of each, at most VALUE_MAX characters
    body: bytes
    truncated: bool = False  # less body than Content-Length tells

    def __repr__(self) -> str:
        return f"Message({self.request or self.status}, <{len(self.body)} octets of body>)"

    @property
    def call_id(self) -> str:
        return self.headers.get("call-id", "")

    @property
    def sequence(self) -> int | None:
        match = _CSEQ.match(self.headers.get("cseq", ""))
        return int(match[1]) if match else None

    @property
    def method(self) -> str:
        match = _CSEQ.match(self.headers.get("cseq", ""))
        return match[2].upper() if match else (self.request or "")

    @property
    def fault(self) -> str:
        """Why nothing can be made of it; empty when it can."""
        if not self.call_id:
            return "no-call-id"
        if self.sequence is None:
            return "no-cseq"
        return ""

    def party(self, name: str) -> tuple[str, str]:
        """(URI, tag) of the ``from`` or ``to`` header."""
        value = _QUOTED.sub("", self.headers.get(name, ""))
        if "<" in value:
            uri, _, parameters = value.partition("<")[2].partition(">")
        else:
            uri, _, parameters = value.partition(";")
        words = (word.partition("=") for word in parameters.split(";"))
        tag = next((text.strip() for key, _, text in words if key.strip().lower() == "tag"), "")
        return uri.strip(), tag


def read_datagram(octets: bytes) -> Message | str:
    """The message that a datagram holds; a text names what is wrong with one that holds none."""
    octets = octets.lstrip(b"\r\n")
    start = START_LINE.match(octets, 0, START_LINE_MAX)
    if not start:
        return "no-start-line"
    found = _START_OR_BLANK.search(octets, start.end(), HEADERS_MAX)
    if found is None or found[1] is None:
        return "no-end-of-headers"
    headers = read_headers(octets[start.end() : found.start()])
    rest = octets[found.end() :]
    length = content_length(headers)
    body = rest[:BODY_MAX] if length is None else rest[: min(length, BODY_MAX)]
    return make_message(start[0], headers, body, truncated=length is not None and len(body) < length)


def make_message(start_line: bytes, headers: Mapping[str, str], body: bytes, *, truncated: bool) -> Message:
    text = start_line.decode("utf-8", "replace").strip()
    status = _STATUS.match(text)
    request = None if status else text.split(None, 1)[0].upper()
    return Message(request, int(status[1]) if status else None, headers, bytes(body), truncated)


def read_headers(octets: bytes) -> dict[str, str]:
    """What is kept of the headers, by long name."""
    found: dict[str, str] = {}
    for line in _BREAK.split(_FOLD.sub(b" ", bytes(octets))):
        name, colon, value = line.partition(b":")
        known = _NAMES.get(name.strip().lower().decode("latin-1")) if colon else None
        if known is not None:
            found.setdefault(known, printable(value.decode("utf-8", "replace").strip()))
    return found


def printable(text: str) -> str:
    """Bounded, and without what could steer a terminal or turn a line around."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:VALUE_MAX])


def content_length(headers: Mapping[str, str]) -> int | None:
    """None where there is none, or none that is a number."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


class StreamFramer:
    """The messages of one direction of a connection. ``counters`` tell what was broken."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._buffer = bytearray()
        self._garbage = False  # what is passed over now was counted
        self._mid_line = False  # the buffer starts within a line that is of no use
        self._hunt()

    def _hunt(self) -> None:
        """Look for a start line next."""
        self._start_end = 0  # 0: no start line yet; it stands at the start of the buffer
        self._body = 0  # where the body starts, 0: not known yet
        self._fresh = True  # there may be a whole line that was not looked at
        self._search = 0  # a line start; no line before it is of interest
        self._headers: dict[str, str] = {}

    def feed(self, octets: bytes) -> list[Message]:
        """Take the next octets in order; the messages that are complete now."""
        self._buffer += octets
        self._fresh = self._fresh or b"\n" in octets
        found: list[Message] = []
        while self._step(found):
            pass
        return found

    def gap(self) -> list[Message]:
        """Octets are lost here: what comes next starts somewhere."""
        found = self.finish()
        self._mid_line = True
        return found

    def finish(self) -> list[Message]:
        """The connection ended; a body that was cut is handed out as far as it goes."""
        found: list[Message] = []
        if self._body:
            self._take(found, len(self._buffer) - self._body, truncated=content_length(self._headers) is not None)
        elif self._start_end:
            self._counters["sip-cut"] += 1
        self._buffer.clear()
        self._hunt()
        return found

    def _step(self, found: list[Message]) -> bool:
        """One step further, or False where more octets are needed."""
        if not self._start_end:
            return self._find_start()
        if not self._body:
            return self._find_body()
        return self._find_end(found)

    def _find_start(self) -> bool:
        buffer = self._buffer
        if self._mid_line:
            end = buffer.find(b"\n")
            del buffer[: end + 1 if end >= 0 else len(buffer)]
            self._mid_line = end < 0
            if self._mid_line:
                return False
        match = START_LINE.search(buffer) if self._fresh else None
        keep = match.start() if match else buffer.rfind(b"\n") + 1
        self._pass_over(keep)
        if match:
            self._start_end = self._search = match.end() - match.start()
            self._garbage = False
            return True
        self._fresh = False
        if len(buffer) > START_LINE_MAX:
            self._pass_over(len(buffer))
            self._mid_line = True
        return False

    def _pass_over(self, octets: int) -> None:
        """A run of octets that are no message counts once, however it was cut."""
        if not self._garbage and self._buffer[:octets].strip():
            self._garbage = True
            self._counters["sip-garbage"] += 1
        del self._buffer[:octets]

    def _find_body(self) -> bool:
        match = _START_OR_BLANK.search(self._buffer, self._search, HEADERS_MAX) if self._fresh else None
        if match is None:
            self._search = self._last_line(HEADERS_MAX)
            self._fresh = False
            if len(self._buffer) < HEADERS_MAX:
                return False
            self._drop(self._start_end, "sip-headers-too-long")
        elif match[1] is None:
            self._drop(match.start(), "sip-cut")
        else:
            self._headers = read_headers(bytes(self._buffer[self._start_end : match.start()]))
            self._body = self._search = match.end()
            self._fresh = True
            if (content_length(self._headers) or 0) > BODY_MAX:
                self._drop(self._body, "sip-body-too-long")
        return True

    def _find_end(self, found: list[Message]) -> bool:
        """Where the body ends: behind Content-Length octets, or at a start line before that."""
        length = content_length(self._headers)
        if length is None and "content-type" not in self._headers:
            length = 0  # nothing says that there is a body
        end = self._body + (BODY_MAX if length is None else length)
        if self._fresh and not self._holds_messages():
            match = START_LINE.search(self._buffer, self._search, end)
            if match:
                self._take(found, match.start() - self._body, truncated=length is not None)
                return True
            self._search = self._last_line(end)
        self._fresh = False
        if len(self._buffer) < end:
            return False
        self._take(found, end - self._body, truncated=False)
        return True

    def _holds_messages(self) -> bool:
        """Whether a start line in the body is none of ours, as in the outcome of a transfer (RFC 3515)."""
        return content_type(self._headers.get("content-type", "")).startswith(("message/", "multipart/"))

    def _last_line(self, end: int) -> int:
        """Start of the last line before `end`, which may not be all there."""
        return max(self._search, self._buffer.rfind(b"\n", self._search, end) + 1)

    def _take(self, found: list[Message], length: int, *, truncated: bool) -> None:
        body = bytes(self._buffer[self._body : self._body + length])
        start_line = bytes(self._buffer[: self._start_end])
        found.append(make_message(start_line, self._headers, body, truncated=truncated))
        del self._buffer[: self._body + length]
        self._hunt()

    def _drop(self, octets: int, why: str) -> None:
        self._counters[why] += 1
        del self._buffer[:octets]
        self._hunt()
