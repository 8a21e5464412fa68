"""Payloads of plain streams, for the plaintext tests, from real encoders.

ffmpeg sends RTP to sockets of this process or writes bare frames, faster than real time. Speech is flite's, in several
voices, with pauses and a little noise of the room; the words are drawn from a seed.
"""

from __future__ import annotations

import random
import selectors
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS_MAX = 120  # that one ffmpeg may take
RECEIVE_BUFFER = 1 << 23  # octets
RTP_HEADER = 12
VOICES = ("kal", "slt", "rms", "awb")
SPOKEN = (
    "the quick operator connects another caller from seven northern harbours while eleven quiet engineers measure "
    "jitter and every gateway forwards packets under thirty different keys before noon because weather changes our "
    "plans please hold the line one moment thank you very much indeed certainly we shall send the invoice tomorrow"
)
WORDS = tuple(SPOKEN.split())


@dataclass(frozen=True, slots=True)
class Encoding:
    """One output of ffmpeg: RTP, or bare frames of ``frame`` octets, ``per_packet`` of them in each packet."""

    name: str
    source: str
    options: str
    frame: int = 0
    per_packet: int = 1


NARROW = "-ar 8000 -ac 1"
PCM = f"{NARROW} -af aresample=8000,asetnsamples=160"  # 20 ms in each packet
WIDEBAND = "samples of 16 bits at 16,000 Hz"  # what other encoders are fed with
OPUS = "-c:a libopus -ar 48000"
VOIP = f"{OPUS} -application voip -ac 1"

AUDIO = (
    Encoding("G.711 mu-law, speech", "speech", f"-c:a pcm_mulaw {PCM}"),
    Encoding("G.711 A-law, speech", "speech", f"-c:a pcm_alaw {PCM}"),
    Encoding("G.711 A-law, tone", "tone", f"-c:a pcm_alaw {PCM}"),
    Encoding("G.711 mu-law, digital silence", "silence", f"-c:a pcm_mulaw {PCM}"),
    Encoding("G.711 mu-law, music", "music", f"-c:a pcm_mulaw {PCM}"),
    Encoding("G.711 A-law, loud white noise", "noise", f"-c:a pcm_alaw {PCM}"),
    Encoding("G.722, speech", "speech", "-c:a g722 -ar 16000 -ac 1"),
    Encoding("G.722, tone", "tone", "-c:a g722 -ar 16000 -ac 1"),
    Encoding("G.722, loud white noise", "noise", "-c:a g722 -ar 16000 -ac 1"),
    Encoding("G.726 at 32 kbit/s, speech", "speech", f"-c:a g726 -b:a 32k {NARROW} -f g726", 80),
    Encoding("L16, speech", "speech", f"-c:a pcm_s16be {PCM}"),
    Encoding("L16 stereo, loud white noise", "noise", "-c:a pcm_s16be -ar 44100 -ac 2"),
    Encoding("GSM, speech", "speech", f"-c:a gsm {NARROW} -f gsm", 33),
    Encoding("G.723.1, speech", "speech", f"-c:a g723_1 -b:a 6300 {NARROW} -f g723_1", 24),
    Encoding("Codec 2 at 3,200 bit/s, speech", "speech", f"-c:a libcodec2 -mode 3200 {NARROW} -f codec2raw", 8),
    Encoding(
        "Codec 2, two frames a packet, speech", "speech", f"-c:a libcodec2 -mode 2400 {NARROW} -f codec2raw", 6, 2
    ),
    Encoding(WIDEBAND, "speech", "-c:a pcm_s16le -ar 16000 -ac 1 -f s16le", 640),
    Encoding("Speex, speech", "speech", f"-c:a libspeex {NARROW}"),
    Encoding("MP2, music", "music", "-c:a mp2 -b:a 128k -ar 44100 -ac 2"),
    Encoding("MP3, music", "music", "-c:a libmp3lame -b:a 64k -ar 44100 -ac 2"),
    Encoding("AAC, music", "music", "-c:a aac -b:a 64k -ar 44100 -ac 2"),
    Encoding("Opus at 6 kbit/s, speech", "speech", f"{VOIP} -b:a 6k"),
    Encoding("Opus at 16 kbit/s, constant rate, speech", "speech", f"{VOIP} -b:a 16k -vbr off"),
    Encoding("Opus at 24 kbit/s, speech", "speech", f"{VOIP} -b:a 24k"),
    Encoding("Opus at 24 kbit/s with FEC, speech", "speech", f"{VOIP} -b:a 24k -fec:a 1 -packet_loss 20"),
    Encoding("Opus at 64 kbit/s stereo, music", "music", f"{OPUS} -b:a 64k -ac 2"),
    Encoding("Opus at 128 kbit/s stereo, constant rate, white noise", "noise", f"{OPUS} -b:a 128k -ac 2 -vbr off"),
    Encoding("Opus at 64 kbit/s, digital silence", "silence", f"{OPUS} -b:a 64k -ac 2 -vbr off"),
)

VIDEO = (
    Encoding("H.264 at 300 kbit/s", "picture", "-c:v libx264 -preset veryfast -b:v 300k"),
    Encoding("H.264 at 4 Mbit/s, noisy picture", "grain", "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 4M"),
    Encoding("H.265 at 500 kbit/s", "picture", "-c:v libx265 -preset ultrafast -x265-params log-level=none -b:v 500k"),
    Encoding("VP8 at 500 kbit/s", "picture", "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 500k"),
    Encoding("VP8 at 4 Mbit/s, noisy picture", "grain", "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 4M"),
    Encoding("VP9 at 500 kbit/s", "picture", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 500k -strict -2"),
    Encoding("H.263 at 300 kbit/s", "picture", "-c:v h263p -b:v 300k"),
    Encoding("MPEG-4 at 500 kbit/s", "picture", "-c:v mpeg4 -b:v 500k"),
    Encoding("JPEG", "grain", "-c:v mjpeg -pix_fmt yuvj420p -huffman default -q:v 8"),
    Encoding("MPEG transport stream", "picture", "-c:v mpeg2video -b:v 2M -f rtp_mpegts"),
)


def words(seed: int, count: int) -> str:
    """Sentences of a few words, so that the speaker pauses."""
    draw = random.Random(seed)
    text: list[str] = []
    while len(text) < count:
        text += [*draw.choices(WORDS, k=draw.randint(3, 9)), ".  ,  ."]
    return " ".join(text)


def sources(seed: int, seconds: float) -> dict[str, str]:
    """Filter graphs by name. ``seed`` chooses voice, words, chords and noise."""
    voice = VOICES[seed % len(VOICES)]
    root = 110 * 2 ** (seed % 12 / 12)
    chord = "+".join(f"0.15*sin(2*PI*{root * each:.2f}*t*(1+floor(mod(t,4))/4))" for each in (1, 1.26, 1.5, 2, 3.02))
    size = "size=352x288:rate=25"
    return {
        "speech": (
            f"flite=text='{words(seed, int(3 * seconds))}':voice={voice}[s];"
            f"anoisesrc=amplitude=0.002:color=pink:seed={seed}:sample_rate=16000[n];[s][n]amix=duration=longest"
        ),
        "tone": f"sine=frequency={440 + 37 * seed}:sample_rate=48000",
        "silence": "anullsrc=sample_rate=48000:channel_layout=mono",
        "music": f"aevalsrc=exprs='{chord}':sample_rate=44100,tremolo=f=5",
        "noise": f"anoisesrc=amplitude=0.9:color=white:seed={seed}:sample_rate=48000",
        "picture": f"testsrc2={size},rotate=a=t/7",
        "grain": f"testsrc2={size},noise=alls=40:allf=t:all_seed={seed + 1}",
    }


class Collector:
    """Sockets on the loopback interface, and what came to each."""

    def __init__(self, names: list[str]) -> None:
        self.selector = selectors.DefaultSelector()
        self.payloads: dict[str, list[bytes]] = {name: [] for name in names}
        self.ports: dict[str, int] = {}
        for name in (*names, ""):
            self._open(name)

    def _open(self, name: str) -> None:
        """The one without a name takes ffmpeg's RTCP, which nobody looks at."""
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        self.ports[name] = receiver.getsockname()[1]
        self.selector.register(receiver, selectors.EVENT_READ, name)

    def url(self, name: str) -> str:
        return f"rtp://127.0.0.1:{self.ports[name]}?rtcpport={self.ports['']}&pkt_size=1200"

    def take(self, timeout: float) -> bool:
        """Read what has come; False where nothing did."""
        ready = self.selector.select(timeout)
        for key, _ in ready:
            receiver = key.fileobj
            assert isinstance(receiver, socket.socket)
            packet = receiver.recv(2048)
            if key.data and len(packet) > RTP_HEADER and packet[0] >> 6 == 2:
                self.payloads[key.data].append(packet[RTP_HEADER:])
        return bool(ready)

    def close(self) -> None:
        for key in list(self.selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self.selector.close()


def frames(path: Path, encoding: Encoding) -> Iterator[bytes]:
    octets = path.read_bytes()
    step = encoding.frame * encoding.per_packet
    for at in range(0, len(octets) - step + 1, step):
        yield octets[at : at + step]


def encode(
    program: str, encodings: tuple[Encoding, ...], folder: Path, seed: int, seconds: float
) -> dict[str, list[bytes]]:
    """Payloads by name, all of one run of ffmpeg."""
    graphs = sources(seed, seconds)
    collector = Collector([each.name for each in encodings if not each.frame])
    names = list(dict.fromkeys(each.source for each in encodings))
    command = [program, "-nostdin", "-hide_banner", "-v", "error", "-y"]
    for name in names:
        command += ["-f", "lavfi", "-i", graphs[name]]
    for number, each in enumerate(encodings):
        target = str(folder / f"{number}.frames") if each.frame else collector.url(each.name)
        form = [] if " -f " in each.options else ["-f", "rtp"]
        command += ["-map", str(names.index(each.source)), "-t", str(seconds), *each.options.split(), *form, target]
    try:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None:
                collector.take(0.05)
            errors = process.stderr.read() if process.stderr else b""
        while collector.take(0):
            pass
    finally:
        collector.close()
    if process.returncode:
        raise RuntimeError(errors.decode(errors="replace")[-2000:])
    for number, each in enumerate(encodings):
        if each.frame:
            collector.payloads[each.name] = list(frames(folder / f"{number}.frames", each))
    return collector.payloads


def encode_frames(program: str, element: str, samples: bytes, sizes: dict[int, int]) -> list[bytes]:
    """Frames of a GStreamer encoder, fed with WIDEBAND. ``sizes``: octets of a frame by its first, -1 for others."""
    parser = "rawaudioparse format=pcm pcm-format=s16le sample-rate=16000 num-channels=1"
    command = [program, "-q", *f"fdsrc ! {parser} ! {element} ! fdsink".split()]
    octets = subprocess.run(command, input=samples, stdout=subprocess.PIPE, check=True, timeout=SECONDS_MAX).stdout
    found, at = [], 0
    while at < len(octets):
        size = sizes.get(octets[at], sizes[-1])
        found.append(octets[at : at + size])
        at += size
    return found
