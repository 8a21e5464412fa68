"""rtpengine, or another media proxy that speaks ng: each call is offered, answered, and deleted in the end.

Who picks which key::

    caller --offer: caller's key--> rtpengine --offer: rtpengine's line per suite--> callee
    caller <--answer: rtpengine's key-- rtpengine <--answer: callee's key, one line-- callee

Where both sides use one suite, rtpengine passes the caller's own line on and forwards packets unchanged (passthrough):
no cryptography is measured then, and the description says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from srtpgw.address import MAX_PORT, Address, parse_host
from srtpgw.errors import KeyFormatError
from srtpgw.loadtest.faults import TargetError
from srtpgw.loadtest.ng import NgClient, NgRefused, Value
from srtpgw.loadtest.plan import Call, Party, Plan
from srtpgw.loadtest.scenario import Codec
from srtpgw.loadtest.targets.base import CallRoutes, Route, TargetSettings, check_destinations
from srtpgw.media.keys import format_key, parse_key
from srtpgw.srtp import MasterKey

PROFILES = {False: "RTP/AVP", True: "RTP/SAVP"}
VIDEO_CLOCK = 90000  # Hz


@dataclass(frozen=True, slots=True)
class Media:
    """What an SDP body says of its first media: where to send, and its crypto lines (tag, suite, key text)."""

    address: Address
    rtcp: Address
    crypto: list[tuple[str, str, str]] = field(repr=False)

    def line(self, suite: str) -> tuple[str, MasterKey]:
        """Tag and key of the line for a suite. TargetError."""
        for tag, name, text in self.crypto:
            if name == suite:
                try:
                    return tag, parse_key(text, suite)
                except KeyFormatError as error:
                    raise TargetError(f"rtpengine's key for {suite} cannot be used: {error}") from None
        raise TargetError(f"rtpengine offers no {suite}; it has {', '.join(line[1] for line in self.crypto) or 'none'}")


class RtpengineTarget:
    """Calls at a running rtpengine."""

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        self._client: NgClient | None = None
        self._open: list[str] = []  # call-ids
        self.description = f"rtpengine by ng at {settings.ng}"

    @property
    def pid(self) -> int | None:
        """As it was told: it is not ours."""
        return self._settings.pid

    def open(self, plan: Plan) -> Sequence[CallRoutes]:
        """Set up every call. TargetError with rtpengine's own reason."""
        scenario = plan.scenario
        if scenario.caller_suite is not None and scenario.caller_suite == scenario.callee_suite:
            self.description += ", passthrough: it forwards SRTP as it is between sides of one suite"
        self._client = NgClient(self._settings.ng)
        prefix = f"srtpgw-load-{secrets.token_hex(8)}"
        try:
            self._client.request("ping")
            routes = [self._set_up(self._client, f"{prefix}-{call.number}", call, plan) for call in plan.calls]
            check_destinations(self._settings, routes)
        except BaseException:
            self.close()
            raise
        return routes

    def fault(self, *, ask: bool = False) -> str:
        """Whether it still answers."""
        if self._client is None or not ask:
            return ""
        try:
            self._client.request("ping")
        except TargetError as error:
            self._open.clear()  # its calls went with it
            return str(error)
        return ""

    def close(self) -> dict[str, Any] | None:
        """Delete what was set up; what rtpengine counted over all calls."""
        if self._client is None:
            return None
        totals: dict[str, Any] = {}
        try:
            while self._open:
                self._take_down(self._client, self._open.pop(), totals)
        except TargetError:
            self._open.clear()  # it has died: nothing is left to delete
            totals.clear()
        finally:
            self._client.close()
            self._client = None
        return totals or None

    @staticmethod
    def _take_down(client: NgClient, call_id: str, totals: dict[str, Any]) -> None:
        """Ask for what a call counted, then have its ports free at once: without delay it would not tell."""
        call: dict[str, Value] = {"call-id": call_id}
        with suppress(NgRefused):  # of a call that was refused itself, nothing is known
            _add_totals(totals, client.request("query", call).get("totals"))
            client.request("delete", {**call, "delete-delay": 0})

    def _set_up(self, client: NgClient, call_id: str, call: Call, plan: Plan) -> CallRoutes:
        codec, settings = plan.scenario.codec, self._settings
        caller, callee = call.caller, call.callee
        common: dict[str, Value] = {"call-id": call_id, "from-tag": "caller", "ICE": "remove", "DTLS": "off"}
        common["flags"] = ["trust-address", "strict-source", "asymmetric"]
        common["replace"] = ["origin"]
        offer: dict[str, Value] = {
            **common,
            "sdp": describe(caller, codec, "1"),
            "transport-protocol": PROFILES[callee.suite is not None],
            "address-family": f"IP{callee.address.family}",
        }
        if settings.ng_direction:
            offer["direction"] = list(settings.ng_direction)
        self._open.append(call_id)
        offered = read_media(client.request("offer", offer))
        tag, heard = offered.line(callee.suite) if callee.suite else ("", None)
        answer: dict[str, Value] = {**common, "to-tag": "callee", "sdp": describe(callee, codec, tag)}
        answered = read_media(client.request("answer", answer))
        answer_key = answered.line(caller.suite)[1] if caller.suite else None
        return CallRoutes(_route(answered, caller, answer_key), _route(offered, callee, heard))


def describe(party: Party, codec: Codec, tag: str) -> str:
    """A far end's SDP: one media, one crypto line where it is encrypted."""
    address, kind = party.address, "video" if codec.clock_rate == VIDEO_CLOCK else "audio"
    lines = [
        "v=0",
        f"o=- 1 1 IN IP{address.family} {address.host}",
        "s=-",
        f"c=IN IP{address.family} {address.host}",
        "t=0 0",
        f"m={kind} {address.port} {PROFILES[party.suite is not None]} {codec.payload_type}",
        f"a=rtpmap:{codec.payload_type} {codec.encoding}/{codec.clock_rate}",
        f"a=rtcp:{address.port + 1}",
    ]
    if party.suite is not None:
        lines.append(f"a=crypto:{tag} {party.suite} {format_key(MasterKey(party.sends))}")
    return "\r\n".join([*lines, "a=sendrecv", ""])


def read_media(reply: dict[str, Value]) -> Media:
    """The media of a reply's SDP. TargetError where it has none that can be sent to."""
    host, port, rtcp_port = "", 0, 0
    crypto = []
    for line in str(reply.get("sdp", "")).splitlines():
        words = line[2:].split()
        if line.startswith("c=") and len(words) == 3:
            host = words[2]
        elif line.startswith("m=") and len(words) > 2 and not port:
            port = _port(words[1])
        elif line.startswith("a=rtcp:"):
            rtcp_port = _port(words[0].partition(":")[2])
        elif line.startswith("a=crypto:") and len(words) >= 3:
            crypto.append((words[0].partition(":")[2], words[1], words[2]))
    try:
        host = parse_host(host)
    except ValueError:
        port = 0
    if not port:
        raise TargetError("rtpengine's SDP names no address to send media to")
    return Media(Address(host, port), Address(host, rtcp_port or port + 1), crypto)


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MAX_PORT else 0


def _route(media: Media, party: Party, heard: MasterKey | None) -> Route:
    return Route(media.address, media.rtcp, party.suite, heard.key_and_salt if heard else b"")


def _add_totals(totals: dict[str, Any], told: Value | None) -> None:
    """rtpengine counts packets, bytes and errors of RTP and RTCP."""
    for kind, counts in (told if isinstance(told, dict) else {}).items():
        for name, count in (counts if isinstance(counts, dict) else {}).items():
            if isinstance(count, int):
                key = f"{kind}_{name}".lower()
                totals[key] = totals.get(key, 0) + count
