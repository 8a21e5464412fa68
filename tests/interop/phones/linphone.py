"""linphonec 5.1 (Debian package linphone-cli): TLS 1.2 with the server's certificate verified, AES-256 by SDES.

It has no certificate of its own, so calls to it come by TCP.
"""

from __future__ import annotations

from pathlib import Path

from interop.phones.place import HOST, Place, Program

SETTINGS = """\
[sip]
sip_port=0
sip_tcp_port={clear}
sip_tls_port={port}
bind_address={host}
verify_server_certs=1
verify_server_cn=1
root_ca={certificate}
media_encryption=srtp
media_encryption_mandatory=1
srtp_crypto_suites={suites}
guess_hostname=0
use_ipv6=0
[rtp]
audio_rtp_port={media}
[sound]
echocancellation=0
"""


class Linphone:
    """One phone: plays a WAV file into the call."""

    def __init__(self, place: Place, name: str, port: int, *, suites: str) -> None:
        self.place = place
        self.folder = place.folder / name
        (self.folder / ".local/share/linphone").mkdir(parents=True)
        self.settings = self.folder / "linphonerc"
        values = {
            "port": port,
            "clear": port - 1,
            "host": HOST,
            "certificate": place.certificate,
            "suites": suites,
            "media": port + 100,
        }
        self.settings.write_text(SETTINGS.format_map(values))

    def start(self) -> Program:
        program = self.place.start("linphonec", "-c", self.settings, home=self.folder, typed=True)
        program.says(b"linphonec>")
        program.type("soundcard use files")
        return program

    def answer(self) -> Program:
        program = self.start()
        program.type("autoanswer enable")
        return program

    def call(self, uri: str, play: Path) -> Program:
        program = self.start()
        program.type(f"play {play}")
        program.type(f"call {uri}")
        program.says(b"Media streams established")
        return program
