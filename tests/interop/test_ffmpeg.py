"""ffmpeg at both sides of a running gateway, with its own SRTP: what was played is what is heard, sample by sample."""

from __future__ import annotations

import base64
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from interop.programs import RATE, decode, finish, holds, listens, run, running, sound
from interop.wire import ALL_ON, HOSTS, SUITE, Keyed, Port, until
from model import packet

from srtpgw.media import Address, Leg, LegSettings, MediaGateway
from srtpgw.srtp import MasterKey

pytestmark = pytest.mark.peer("ffmpeg")

FRAMES = 100
SSRC = 0x5151
SHORT_TAG = "AES_CM_128_HMAC_SHA1_32"
QUIET = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-y"]


class Form(NamedTuple):
    """What a leg is to be; no suite: plain RTP."""

    family: int
    suite: str | None


class Side(NamedTuple):
    """One leg as ffmpeg sees it: where it is, its keys (None: plain RTP), and ffmpeg's own even port."""

    family: int
    port: int
    leg: Leg
    suite: str | None = None
    sends: MasterKey | None = None  # the far end, to the gateway
    hears: MasterKey | None = None

    @property
    def host(self) -> str:
        return f"[{HOSTS[6]}]" if self.family == 6 else HOSTS[4]


def even_port(family: int) -> int:
    """A port that is free just now, with the one above."""
    while True:
        first = Port(family)
        port = first.address.port
        try:
            if port % 2 == 0:
                Port(family, port + 1).socket.close()
                return port
        except OSError:
            pass
        finally:
            first.socket.close()


def open_side(gateway: MediaGateway, family: int, suite: str | None) -> Side:
    port = even_port(family)
    remote = Address(HOSTS[family], port)
    if suite is None:
        leg = gateway.open_leg(LegSettings(type="route", family=remote.family, remote=remote))  # type: ignore[arg-type]
        return Side(family, port, leg)
    sends, hears = Keyed(suite).master, Keyed(suite).master
    keys = {"suite": suite, "receive_keys": (sends,), "transmit_keys": (hears,)}
    leg = gateway.open_leg(LegSettings(type="extension", family=remote.family, remote=remote, **keys))  # type: ignore[arg-type]
    return Side(family, port, leg, suite, sends, hears)


@contextmanager
def relayed(first: Form, second: Form, crypto: str = "native") -> Iterator[tuple[Side, Side]]:
    """Two legs, joined."""
    with MediaGateway(workers=1, media_encryption=ALL_ON, crypto=crypto) as gateway:  # type: ignore[arg-type]
        sides = open_side(gateway, *first), open_side(gateway, *second)
        gateway.join(sides[0].leg, sides[1].leg)
        yield sides
        for leg in gateway.statistics().legs:
            assert leg.rtp.drops == {}
            assert leg.rtcp.drops == {}


def suite_name(suite: str | None) -> str:
    """By the name of RFC 4568 ffmpeg shortens the tag of SRTCP as well, unlike that RFC; by this name it is right."""
    return "SRTP_AES128_CM_HMAC_SHA1_32" if suite == SHORT_TAG else str(suite)


def inline(key: MasterKey) -> str:
    return base64.b64encode(key.key_and_salt).decode("ascii")


def listen_command(side: Side, sdp: Path, mulaw: Path, pcm: Path) -> list[str]:
    """Receive by SDP: the octets as they are, and decoded."""
    profile = "RTP/SAVP" if side.hears else "RTP/AVP"
    crypto = f"a=crypto:1 {suite_name(side.suite)} inline:{inline(side.hears)}\n" if side.hears else ""
    address = f"IN IP{side.family} {HOSTS[side.family]}"
    sdp.write_text(
        f"v=0\no=- 1 1 {address}\ns=-\nc={address}\nt=0 0\nm=audio {side.port} {profile} 0\n{crypto}", encoding="ascii"
    )
    reading = ["-protocol_whitelist", "file,rtp,udp,srtp", "-i", str(sdp)]
    return [*QUIET, *reading, "-flush_packets", "1", "-map", "0", "-c:a", "copy", "-f", "mulaw", str(mulaw),
            "-flush_packets", "1", "-map", "0", "-c:a", "pcm_s16le", "-f", "s16le", str(pcm)]  # fmt: skip


def play_command(side: Side, source: Path) -> list[str]:
    """Send a file from the side's own ports, four times as fast as it sounds."""
    ports = f"localrtpport={side.port}&localrtcpport={side.port + 1}&pkt_size={172 if side.sends is None else 200}"
    scheme = "rtp" if side.sends is None else "srtp"
    secret: list[str] = []
    if side.sends is not None:
        secret = ["-srtp_out_suite", suite_name(side.suite), "-srtp_out_params", inline(side.sends)]
    target = f"{scheme}://{side.host}:{side.leg.local.port}?{ports}"
    encoding = ["-c:a", "pcm_mulaw", "-ssrc", str(SSRC), "-f", "rtp"]
    return [*QUIET, "-readrate", "4", "-i", str(source), *encoding, *secret, target]


def say_goodbye(side: Side) -> None:
    """RTCP BYE from the side's RTCP port: it ends a listening ffmpeg, so it shows that RTCP came through too."""
    port = Port(side.family, side.port + 1)
    bye = packet.rtcp(SSRC, bytes(20)) + packet.bye(SSRC)
    if side.sends is not None:
        bye = Keyed(str(side.suite), side.sends).seal_rtcp(bye, 5000)
    port.socket.sendto(bye, tuple(side.leg.local_rtcp))
    port.socket.close()


def carry(source: Side, sink: Side, folder: Path, seed: int) -> None:
    """ffmpeg plays at one side, another ffmpeg listens at the other."""
    mulaw = sound(FRAMES, seed)
    paths = [folder / f"{seed}.{name}" for name in ("wav", "sdp", "ul", "pcm", "heard.log", "said.log")]
    recording, sdp, heard, heard_pcm, heard_log, said_log = paths
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(decode(mulaw))
    with running(listen_command(sink, sdp, heard, heard_pcm), heard_log) as listener:
        listens(listener, (sink.port, sink.port + 1), heard_log)
        run(play_command(source, recording), said_log)
        until(lambda: holds(heard, len(mulaw)) and holds(heard_pcm, 2 * len(mulaw)), "the last of the sound")
        say_goodbye(source)
        finish(listener, heard_log)
    assert heard.read_bytes() == mulaw
    assert heard_pcm.read_bytes() == decode(mulaw)


@pytest.mark.parametrize("suite", [SUITE, SHORT_TAG])
@pytest.mark.parametrize("families", [(4, 4), (6, 6), (4, 6), (6, 4)], ids=["IPv4", "IPv6", "IPv4 to 6", "IPv6 to 4"])
def test_rtp_to_srtp_and_back(tmp_path: Path, suite: str, families: tuple[int, int]) -> None:
    with relayed(Form(families[0], None), Form(families[1], suite)) as (plain, secure):
        carry(plain, secure, tmp_path, 1)
        carry(secure, plain, tmp_path, 2)


@pytest.mark.parametrize("crypto", ["native", "libsrtp"])
def test_reencryption(tmp_path: Path, crypto: str) -> None:
    """Another suite and other keys at each side."""
    with relayed(Form(4, SUITE), Form(4, SHORT_TAG), crypto) as (first, second):
        carry(first, second, tmp_path, 1)
        carry(second, first, tmp_path, 2)


def test_a_listener_with_the_wrong_key_hears_nothing(tmp_path: Path) -> None:
    """That ffmpeg checks at all: without its key not one packet is taken."""
    with relayed(Form(4, None), Form(4, SUITE)) as (plain, secure):
        wrong = secure._replace(hears=Keyed(SUITE).master)
        mulaw, log = tmp_path / "ul", tmp_path / "log"
        with running(listen_command(wrong, tmp_path / "sdp", mulaw, tmp_path / "pcm"), log) as listener:
            listens(listener, (secure.port, secure.port + 1), log)
            (tmp_path / "raw").write_bytes(decode(sound(FRAMES, 3)))
            play = play_command(plain, tmp_path / "raw")
            at = play.index("-i")
            run([*play[:at], "-f", "s16le", "-ar", str(RATE), "-ac", "1", *play[at:]], tmp_path / "said.log")
            until(lambda: b"HMAC mismatch" in log.read_bytes() or listener.poll() is not None, "a refusal")
        assert not holds(mulaw, 1)
