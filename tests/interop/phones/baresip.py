"""baresip 1.0 (Debian package baresip-core): sends a tone, records what it hears; TLS 1.3, SDES with 80-bit tags."""

from __future__ import annotations

from pathlib import Path

from interop.phones.place import HOST, Place, Program

CONFIG = """\
poll_method epoll
sip_listen {host}:{port}
sip_certificate {certificate}
sip_trans_def {transport}
call_local_timeout 60
call_max_calls 4
audio_player aubridge,pseudo0
audio_source ausine,{tone}
audio_alert aubridge,pseudo1
ausrc_srate 48000
ausrc_channels 2
auplay_srate 8000
audio_level no
rtcp_mux no
jitter_buffer_type off
rtp_ports {media}-{media_end}
net_interface lo
module_path /usr/lib/baresip/modules
module g711.so
module ausine.so
module srtp.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
snd_path {folder}
"""


class Baresip:
    """One phone: its SIP port (TLS one above), its tone in Hz, its media ports."""

    def __init__(self, place: Place, name: str, port: int, tone: int, *, codec: str = "PCMA", transport: str = "tls",
                 encryption: str = "srtp-mand") -> None:  # fmt: skip
        self.place = place
        self.folder = place.folder / name
        self.folder.mkdir()
        self.media = port + 1000
        values = {"host": HOST, "port": port, "certificate": place.certificate, "tone": tone, "folder": self.folder,
                  "media": self.media, "media_end": self.media + 10, "transport": transport}  # fmt: skip
        (self.folder / "config").write_text(CONFIG.format_map(values))
        (self.folder / "contacts").touch()
        own = port + 1 if transport == "tls" else port
        account = f"<sip:{name}@{HOST}:{own};transport={transport}>;audio_codecs={codec}/8000/1;regint=0"
        encrypted = f";mediaenc={encryption}" if encryption else ""
        (self.folder / "accounts").write_text(f"{account}{encrypted};answermode=auto\n")

    def answer(self, seconds: int) -> Program:
        """Take calls for at most that long."""
        program = self.place.start("baresip", "-f", self.folder, "-t", str(seconds))
        program.says(b"baresip is ready.")
        return program

    def call(self, uri: str, seconds: int) -> Program:
        """Call, and be gone after that many seconds."""
        return self.place.start("baresip", "-f", self.folder, "-t", str(seconds), "-e", f"/dial {uri}")

    def heard(self) -> Path:
        """What it heard, decoded, as WAV."""
        (path,) = self.folder.glob("dump-*-dec.wav")
        return path
