"""Programs that send media without signaling: ffmpeg with SRTP of its own, gst-launch-1.0 with that of its plugin."""

from __future__ import annotations

import base64

from interop.phones.place import HOST, Place

SECONDS = 1.2  # 60 packets of 20 ms
GST_FORMS = {
    "AES_CM_128_HMAC_SHA1_80": ("aes-128-icm", "hmac-sha1-80"),
    "AES_CM_128_HMAC_SHA1_32": ("aes-128-icm", "hmac-sha1-32"),
    "AES_256_CM_HMAC_SHA1_80": ("aes-256-icm", "hmac-sha1-80"),
    "AEAD_AES_128_GCM": ("aes-128-gcm", "null"),
    "AEAD_AES_256_GCM": ("aes-256-gcm", "null"),
}
FFMPEG_CODECS = {
    "PCMU": ("-ar", "8000", "-ac", "1", "-c:a", "pcm_mulaw"),
    "PCMA": ("-ar", "8000", "-ac", "1", "-c:a", "pcm_alaw"),
    "G722": ("-ar", "16000", "-ac", "1", "-c:a", "g722"),
    "opus": ("-ar", "48000", "-ac", "2", "-c:a", "libopus", "-b:a", "24k"),
}


def ffmpeg(place: Place, port: int, codec: str = "PCMU", *, key: bytes = b"", tone: int = 440) -> None:
    """A tone to HOST:port; as SRTP (AES_CM_128_HMAC_SHA1_80) where there is a key."""
    sound = ["-f", "lavfi", "-i", f"sine=frequency={tone}:duration={SECONDS}"]
    url = f"rtp://{HOST}:{port}?rtcpport={port + 1}"
    protection: list[str] = []
    if key:
        text = base64.b64encode(key).decode()
        protection = ["-srtp_out_suite", "AES_CM_128_HMAC_SHA1_80", "-srtp_out_params", text]
        url = "s" + url
    options = ["-hide_banner", "-loglevel", "error", "-re", *sound, *FFMPEG_CODECS[codec], "-f", "rtp"]
    place.start("ffmpeg", *options, *protection, url).ends()


def gstreamer(place: Place, port: int, suite: str, key: bytes, *, ssrc: int, first: int = 1, buffers: int = 60) -> None:
    """A tone as G.711 mu-law under SRTP to HOST:port, from the sequence number `first` on."""
    cipher, authentication = GST_FORMS[suite]
    protection = [f"srtpenc key={key.hex()} rtp-cipher={cipher} rtcp-cipher={cipher}"]
    protection += [f"rtp-auth={authentication} rtcp-auth={'hmac-sha1-80' if authentication != 'null' else 'null'}"]
    pipeline = f"audiotestsrc num-buffers={buffers} samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! mulawenc"
    pipeline += f" ! rtppcmupay ssrc={ssrc} seqnum-offset={first} timestamp-offset=0 min-ptime=20000000"
    pipeline += f" max-ptime=20000000 ! {' '.join(protection)} ! udpsink host={HOST} port={port} sync=false"
    place.start("gst-launch-1.0", "-q", *pipeline.split()).ends()
