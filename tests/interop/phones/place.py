"""Where the phones live: a network namespace with one address besides loopback, a certificate, a recorder."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from secrets import token_hex

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from interop.wire import PATIENCE, until
from support import require_peer, require_root

HOST = "192.0.2.1"  # phones refuse to use loopback addresses for media
DISCARD = 9  # port
NAME = "localhost"  # which linphone verifies the certificate against

_numbers = itertools.count(1)


def write_certificate(path: Path) -> None:
    """Key and self-signed certificate in one file, for this day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    names = x509.SubjectAlternativeName([x509.DNSName(NAME), x509.IPAddress(ip_address(HOST))])
    now = datetime.now(UTC)
    valid = (now - timedelta(hours=1), now + timedelta(days=1))
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), *valid)
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(pem))
    path.chmod(0o600)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Program:
    """A process in the namespace, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def said(self) -> bytes:
        return self.log.read_bytes()

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def says(self, text: bytes) -> None:
        """Wait until it has printed something."""

        def heard() -> bool:
            if text in self.said():
                return True
            assert self.process.poll() is None, self.said()[-2000:].decode(errors="replace")
            return False

        until(heard, f"{self.process.args!r} to say {text!r}")

    def ends(self, good: Sequence[int] = (0,)) -> None:
        """Wait until it has ended by itself."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.process.args!r} does not end: {self.said()!r}") from None
        assert self.process.returncode in good, self.said()[-2000:].decode(errors="replace")

    def kill(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()


class Place:
    """A namespace while the block lasts; programs started in it end with it."""

    def __init__(self, folder: Path) -> None:
        require_root()
        require_peer("ip")
        self.folder = folder
        self.name = f"srtpgw-phones-{os.getpid()}-{next(_numbers)}"
        self.certificate = folder / "certificate.pem"
        self._running = ExitStack()

    def __enter__(self) -> Place:
        write_certificate(self.certificate)
        ip("netns", "add", self.name)
        self._running.callback(ip, "netns", "delete", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "address", "add", f"{HOST}/32", "dev", "lo")
        ip("-n", self.name, "route", "add", "default", "dev", "lo", "src", HOST)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        path = program if program == sys.executable else require_peer(program)
        return ["ip", "netns", "exec", self.name, path, *map(str, arguments)]

    def start(self, program: str, *arguments: str | Path, home: Path | None = None, typed: bool = False) -> Program:
        """A program in the namespace, writing to `PROGRAM.log`; `typed` leaves its standard input open to write to."""
        log = self.folder / f"{Path(program).name}-{next(_numbers)}.log"
        environment = {**os.environ, "HOME": str(home or self.folder)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(program, *arguments),
                stdin=subprocess.PIPE if typed else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        started = Program(process, log)
        self._running.callback(started.kill)
        return started

    def tls_middle(self, listen: int, forward: int, keylog: Path, version: str, *, name: str = HOST) -> None:
        script = Path(__file__).with_name("tls_middle.py")
        arguments = (name, str(listen), str(forward), self.certificate, keylog, version)
        self.start(sys.executable, script, *arguments).says(b"ready")

    @contextmanager
    def recorded(self, path: Path, *, program: str = "dumpcap", interface: str = "lo") -> Iterator[None]:
        """Everything on an interface of the namespace meanwhile, by dumpcap (pcapng) or tcpdump (pcap)."""
        options = ["-q"] if program == "dumpcap" else ["-U", "-Z", "root", "--immediate-mode"]
        recorder = self.start(program, *options, "-i", interface, "-w", path)
        recorder.says(b"File: " if program == "dumpcap" else b"listening on")
        yield
        # What comes just before the signal would be lost.
        mark = token_hex(8)
        self.start("bash", "-c", f"echo {mark} >/dev/udp/{HOST}/{DISCARD}").ends()
        until(lambda: mark.encode() in path.read_bytes(), "all that was sent to be recorded")
        recorder.process.send_signal(signal.SIGINT)
        recorder.ends()
