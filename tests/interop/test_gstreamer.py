"""GStreamer at both sides of a running gateway, with the SRTP of its own plugin: all its suites, and re-encryption.

SRTP and SRTCP share a port (RFC 5761); RTCP of a plain side has its own, where the test speaks itself.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from interop.programs import holds, listens, run, running, sound, unread
from interop.wire import ALL_ON, HOSTS, SUITE, Keyed, Port, until
from model import packet
from support import missing

from srtpgw.media import Address, Leg, LegSettings, MediaGateway
from srtpgw.srtp import MasterKey

FRAMES = 100
SSRC = 0x6262
CM256, SHORT_TAG = "AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
GCM128, GCM256 = "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"
PAUSE = 2000  # microseconds between packets: ten times as fast as it sounds

# Cipher and authentication by the plugin's names. SRTCP has the long tag throughout (RFC 4568 6.2).
FORMS = {
    SUITE: ("aes-128-icm", "hmac-sha1-80"),
    SHORT_TAG: ("aes-128-icm", "hmac-sha1-32"),
    CM256: ("aes-256-icm", "hmac-sha1-80"),
    GCM128: ("aes-128-gcm", "null"),
    GCM256: ("aes-256-gcm", "null"),
}
ELEMENTS = ["udpsrc", "udpsink", "rtppcmupay", "rtppcmudepay", "srtpenc", "srtpdec", "rawaudioparse", "funnel"]
REPORTS = [packet.rtcp(SSRC, bytes([number]) * 20) for number in range(5)]


@cache
def lacking() -> str:
    """The first of the needed elements that is not installed."""
    inspect = shutil.which("gst-inspect-1.0")
    if inspect is None or shutil.which("gst-launch-1.0") is None:
        return "gst-launch-1.0"
    for element in ELEMENTS:
        if subprocess.run([inspect, "--exists", element], check=False).returncode != 0:
            return element
    return ""


@pytest.fixture(autouse=True)
def _gstreamer() -> None:
    if lacking():
        missing(f"{lacking()} is not installed (Debian packages gstreamer1.0-tools and -plugins-base, -good and -bad)")


class Side(NamedTuple):
    """One leg as GStreamer sees it: its own port, and its keys; or, on a plain leg, a socket for RTCP."""

    family: int
    port: int
    leg: Leg
    suite: str = ""
    sends: MasterKey | None = None  # the far end, to the gateway
    hears: MasterKey | None = None
    rtcp: Port | None = None


def open_side(gateway: MediaGateway, family: int, suite: str | None) -> Side:
    free = Port(family)
    free.socket.close()
    remote = Address(HOSTS[family], free.address.port)
    place: dict[str, Any] = {"family": family, "remote": remote}
    if suite is None:
        rtcp = Port(family)
        leg = gateway.open_leg(LegSettings(type="route", remote_rtcp=rtcp.address, **place))
        return Side(family, remote.port, leg, rtcp=rtcp)
    sends, hears = Keyed(suite).master, Keyed(suite).master
    keys: dict[str, Any] = {"suite": suite, "receive_keys": (sends,), "transmit_keys": (hears,)}
    leg = gateway.open_leg(LegSettings(type="extension", rtcp_mux=True, **place, **keys))
    return Side(family, remote.port, leg, suite, sends, hears)


@contextmanager
def relayed(first: tuple[int, str | None], second: tuple[int, str | None]) -> Iterator[tuple[Side, Side]]:
    """Two legs, joined: (family, suite) of each."""
    with MediaGateway(workers=1, media_encryption=ALL_ON) as gateway:
        sides = open_side(gateway, *first), open_side(gateway, *second)
        gateway.join(sides[0].leg, sides[1].leg)
        yield sides
        for side in sides:
            if side.rtcp is not None:
                side.rtcp.socket.close()
        for leg in gateway.statistics().legs:
            assert leg.rtp.drops == leg.rtcp.drops == {}
            assert leg.rtp.received_packets + leg.rtp.sent_packets in {FRAMES, 2 * FRAMES}


def suite_options(side: Side) -> list[str]:
    """Of srtpenc."""
    cipher, tag = FORMS[side.suite]
    return [f"rtp-cipher={cipher}", f"rtp-auth={tag}", f"rtcp-cipher={cipher}", f"rtcp-auth={tag.replace('32', '80')}"]


def suite_caps(side: Side) -> list[str]:
    """Of what goes into srtpdec."""
    return [f"s{option}" for option in suite_options(side)]


def play_command(side: Side, said: Path, said_rtcp: Path) -> list[str]:
    """The sound as RTP, and over the same socket reports from a file where the side has keys."""
    media = f"filesrc location={said} blocksize=160 ! rawaudioparse format=mulaw sample-rate=8000 num-channels=1"
    media += f" ! identity sleep-time={PAUSE} ! rtppcmupay ssrc={SSRC} min-ptime=20000000 max-ptime=20000000"
    network = f"udpsink host={HOSTS[side.family]} port={side.leg.local.port} sync=false async=false"
    network += f" bind-address={HOSTS[side.family]} bind-port={side.port}"
    pipeline = f"{media} ! {network}"
    if side.sends is not None:
        reports = f"filesrc location={said_rtcp} blocksize={len(REPORTS[0])} ! application/x-rtcp"
        pipeline = f"srtpenc name=secure key={side.sends.key_and_salt.hex()} {' '.join(suite_options(side))}"
        pipeline += f" {media} ! secure.rtp_sink_0 {reports} ! secure.rtcp_sink_0"
        pipeline += f" funnel name=all ! {network} secure.rtp_src_0 ! all. secure.rtcp_src_0 ! all."
    return ["gst-launch-1.0", "-q", *pipeline.split()]


def listen_command(side: Side, heard: Path, heard_rtcp: Path) -> list[str]:
    """What comes as RTP to one file, as octets of sound; RTCP to the other."""
    caps = f"media=audio,clock-rate=8000,encoding-name=PCMU,payload=0,ssrc=(uint){SSRC}"
    source = f"udpsrc address={HOSTS[side.family]} port={side.port} buffer-size=1000000 caps=application/"
    sink = "filesink buffer-mode=unbuffered sync=false async=false location="
    if side.hears is None:
        pipeline = f"{source}x-rtp,{caps} ! rtppcmudepay ! {sink}{heard}"
    else:
        secret = f"srtp-key=(buffer){side.hears.key_and_salt.hex()},roc=(uint)0,{','.join(suite_caps(side))}"
        pipeline = f"{source}x-srtp,{caps},{secret} ! srtpdec name=clear clear.rtp_src ! rtppcmudepay ! {sink}{heard}"
        pipeline += f" clear.rtcp_src ! {sink}{heard_rtcp}"
    return ["gst-launch-1.0", "-q", *pipeline.split()]


def carry(source: Side, sink: Side, folder: Path, seed: int) -> None:
    """One pipeline plays at one side, another listens at the other."""
    mulaw = sound(FRAMES, seed)
    said, said_rtcp, said_log, heard, heard_rtcp, heard_log = (
        folder / f"{seed}.{way}.{kind}" for way in ("said", "heard") for kind in ("ul", "rtcp", "log")
    )
    said.write_bytes(mulaw)
    said_rtcp.write_bytes(b"".join(REPORTS))
    with running(listen_command(sink, heard, heard_rtcp), heard_log) as listener:
        listens(listener, (sink.port,), heard_log)
        run(play_command(source, said, said_rtcp), said_log)
        if source.rtcp is not None:
            for report in REPORTS:
                source.rtcp.socket.sendto(report, tuple(source.leg.local_rtcp))
        until(lambda: holds(heard, len(mulaw)), "the last of the sound")
        if sink.rtcp is not None:
            until(lambda: len(sink.rtcp.heard) + len(sink.rtcp.drain()) >= len(REPORTS), "RTCP")  # type: ignore[union-attr]
            assert sink.rtcp.heard == REPORTS
        else:
            until(lambda: holds(heard_rtcp, sum(map(len, REPORTS))), "RTCP")
            assert heard_rtcp.read_bytes() == b"".join(REPORTS)
    assert heard.read_bytes() == mulaw


@pytest.mark.parametrize("suite", list(FORMS))
def test_rtp_to_srtp_and_back(tmp_path: Path, suite: str) -> None:
    """Every suite that the plugin has, RTP and RTCP on one port."""
    with relayed((4, None), (4, suite)) as (plain, secure):
        carry(plain, secure, tmp_path, 1)
        carry(secure, plain, tmp_path, 2)


@pytest.mark.parametrize(
    ("first", "second"),
    [((4, GCM128), (4, SUITE)), ((6, CM256), (6, GCM256)), ((6, SHORT_TAG), (4, GCM128)), ((4, GCM256), (6, SUITE))],
    ids=["GCM to CM", "IPv6", "IPv6 to 4", "IPv4 to 6"],
)
def test_reencryption(tmp_path: Path, first: tuple[int, str], second: tuple[int, str]) -> None:
    """Between GCM and counter mode, and between address families."""
    with relayed(first, second) as sides:
        carry(sides[0], sides[1], tmp_path, 1)
        carry(sides[1], sides[0], tmp_path, 2)


def test_a_listener_with_the_wrong_key_hears_nothing(tmp_path: Path) -> None:
    """That the plugin checks at all: it reads everything, and lets nothing through."""
    with relayed((4, None), (4, GCM128)) as (plain, secure):
        wrong = secure._replace(hears=Keyed(GCM128).master)
        heard, log, said = tmp_path / "heard", tmp_path / "log", tmp_path / "said"
        said.write_bytes(sound(FRAMES, 3))
        with running(listen_command(wrong, heard, tmp_path / "rtcp"), log) as listener:
            listens(listener, (secure.port,), log)
            run(play_command(plain, said, said), tmp_path / "said.log")
            until(lambda: unread(secure.port) == 0, "the listener to read")
        assert not holds(heard, 1)
