"""sipp 3.6 (Debian package sip-tester): calls over UDP that play a capture of SRTP as the caller's media."""

from __future__ import annotations

from pathlib import Path

from interop.phones.place import HOST, Place, Program

SDP = """\
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio {media} {profile} 8
a=rtpmap:8 PCMA/8000
{crypto}"""

HEADERS = """\
Max-Forwards: 70
From: <sip:caller@[local_ip]>;tag=[call_number]c
To: <sip:callee@[remote_ip]>{to_tag}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:caller@[local_ip]:[local_port]>
"""

CALLER = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
<send retrans="500"><![CDATA[
INVITE sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
{invite}{sdp}]]></send>
<recv response="200" rrs="true"/>
<send><![CDATA[
ACK sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
{ack}Content-Length: 0

]]></send>
<nop><action><exec play_pcap_audio="{pcap}"/></action></nop>
<pause milliseconds="{pause}"/>
<send retrans="500"><![CDATA[
BYE sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
{bye}Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""

CALLEE = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="callee">
<recv request="INVITE"/>
<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]s
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:callee@[local_ip]:[local_port]>
{sdp}]]></send>
<recv request="ACK"/>
<recv request="BYE"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"""


def headers(method: str, number: int, to_tag: str = "") -> str:
    return HEADERS.format(method=method, number=number, to_tag=to_tag)


def call(
    place: Place,
    pcap: Path,
    offered: str,
    answered: str,
    *,
    profile: str = "RTP/SAVP",
    pause_ms: int = 500,
    media: int = 30000,
) -> None:
    """One call whose caller plays `pcap`; `offered` and `answered` are crypto lines, or empty.

    The callee's media port is `media`, the caller's is 1,000 above.
    """
    lines = [f"a=crypto:{crypto}\n" if crypto else "" for crypto in (offered, answered)]
    offer, answer = (SDP.format(media="[auto_media_port]", profile=profile, crypto=crypto) for crypto in lines)
    tag = "[peer_tag_param]"
    values = {"invite": headers("INVITE", 1), "ack": headers("ACK", 1, tag), "bye": headers("BYE", 2, tag)}
    caller, callee = place.folder / "caller.xml", place.folder / "callee.xml"
    caller.write_text(CALLER.format(sdp=offer, pcap=pcap, pause=pause_ms, **values))
    callee.write_text(CALLEE.format(sdp=answer))
    answering = sipp(place, callee, 5070, media)
    sipp(place, caller, 5060, media + 1000, f"{HOST}:5070").ends()
    answering.ends()


def sipp(place: Place, scenario: Path, port: int, media: int, *remote: str) -> Program:
    """One call of a scenario, within ten seconds."""
    ports = ["-i", HOST, "-mi", HOST, "-p", str(port), "-mp", str(media)]
    limits = ["-m", "1", "-l", "1", "-timeout", "10", "-timeout_error", "-nostdin"]
    return place.start("sipp", "-sf", scenario, *ports, *limits, *remote)
