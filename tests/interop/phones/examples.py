"""Writes the captures of docs/examples anew, by calls between real phones. As root, from the project's folder:

    PYTHONPATH=.:tests python -m interop.phones.examples docs/examples

call.pcapng    baresip 1.0.0, SIP over TLS 1.3, AES_CM_128_HMAC_SHA1_80; the secrets of TLS are inside
labels.pcapng  three calls of sipp over UDP whose media is not what the signaling says: see LABELS
webrtc.pcapng  DTLS-SRTP between two ends of aiortc, AEAD_AES_256_GCM; its secrets are in webrtc.keylog

Afterwards write the outputs in docs/verifying-with-wireshark.md anew, as tests/interop/test_walk.py says.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from interop.phones import sipp
from interop.phones.baresip import Baresip
from interop.phones.captures import rtp_pcap
from interop.phones.place import HOST, Place
from interop.programs import FRAME, sound
from support import require_peer

from srtpgw.srtp import Sender

SUITE = "AES_CM_128_HMAC_SHA1_80"
CALL_SECONDS = 1
PACKETS = 32  # of each call in labels.pcapng: 25 are enough for a verdict
COMMENT = "Test calls of srtpgw. Every key and secret in this file is for tests alone, and public."


class Label(NamedTuple):
    """What a call says, and what its caller sends: SRTP, with `encrypted` or not, or plain RTP."""

    profile: str
    crypto: str  # SDES session parameters
    srtp: bool
    encrypted: bool


LABELS = (
    Label("RTP/SAVP", "", srtp=False, encrypted=False),  # the liar
    Label("RTP/SAVP", " UNENCRYPTED_SRTP", srtp=True, encrypted=False),
    Label("RTP/AVP", "", srtp=True, encrypted=True),
)


def key(number: int) -> bytes:
    """Public, as told in the files; another one for each sender."""
    return bytes(range(number, number + 30))


def crypto_line(number: int, parameters: str) -> str:
    return f"1 {SUITE} inline:{base64.b64encode(key(number)).decode()}{parameters}"


def record_call(place: Place, recording: Path, keylog: Path) -> None:
    callee, caller = Baresip(place, "1002", 25060, 880), Baresip(place, "1001", 15060, 440)
    with place.recorded(recording, program="tcpdump"):
        place.tls_middle(5061, 25061, keylog, "TLSv1_3")
        callee.answer(20)
        caller.call(f"sip:1002@{HOST}:5061;transport=tls", CALL_SECONDS).ends()


def record_labels(place: Place, recording: Path) -> None:
    octets = sound(PACKETS, 1)
    payloads = [octets[at : at + FRAME] for at in range(0, len(octets), FRAME)]
    with place.recorded(recording, program="tcpdump"):
        for number, label in enumerate(LABELS, 1):
            sender = Sender(SUITE, key(number), encrypt_rtp=label.encrypted) if label.srtp else None
            media = place.folder / f"media-{number}.pcap"
            rtp_pcap(media, payloads, sender, ssrc=number)
            lines = crypto_line(number, label.crypto), crypto_line(100 + number, label.crypto)
            port = 30000 + 10 * number
            sipp.call(place, media, *lines, profile=label.profile, pause_ms=20 * PACKETS + 100, media=port)


def record_webrtc(place: Place, recording: Path, keylog: Path) -> None:
    with place.recorded(recording, program="tcpdump"):
        place.start(sys.executable, Path(__file__).with_name("webrtc.py"), keylog).ends()


def write(recording: Path, path: Path, *options: str) -> None:
    """As pcapng. Neither the machine nor its system is named in it, which they are in what dumpcap writes.

    editcap puts secrets in front of the interface, and then refuses to take them out again; tshark changes the order.
    """
    injected = recording.with_suffix(".pcapng")
    command = [require_peer("editcap"), "-F", "pcapng", "--capture-comment", COMMENT, *options]
    subprocess.run([*command, recording, injected], check=True)
    subprocess.run([require_peer("tshark"), "-r", injected, "-w", path], check=True)


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name, Place(Path(name)) as place:
        recording, keylog = place.folder / "call.pcap", place.folder / "keys.log"
        record_call(place, recording, keylog)
        write(recording, folder / "call.pcapng", "--inject-secrets", f"tls,{keylog}")
        record_labels(place, place.folder / "labels.pcap")
        write(place.folder / "labels.pcap", folder / "labels.pcapng")
        record_webrtc(place, place.folder / "webrtc.pcap", folder / "webrtc.keylog")
        write(place.folder / "webrtc.pcap", folder / "webrtc.pcapng")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
