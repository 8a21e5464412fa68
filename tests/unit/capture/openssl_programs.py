"""`openssl s_server` and `s_client` joined by a recorder on loopback, for what no Python binding reaches."""

from __future__ import annotations

import re
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support import require_peer
from unit.capture.tls_sessions import Wire, identity

LIMIT = 20.0  # seconds for anything that takes milliseconds


def identity_file(folder: Path) -> Path:
    certificate, key = identity("ecdsa")
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return path


class Program:
    """One of openssl's, its output gathered as it comes."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [require_peer("openssl"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._said = bytearray()
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def wait_for(self, token: bytes) -> bytes:
        """What stands behind a token on its line, once the program says it. All up to there is forgotten."""
        deadline = time.monotonic() + LIMIT
        assert self._process.stdout is not None
        while (match := re.search(re.escape(token) + rb"(.*)\n", self._said)) is None:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            part = self._process.stdout.read(4096) if ready else b""
            assert part, f"openssl never said {token!r}: {bytes(self._said[-500:])!r}"
            self._said += part
        behind = bytes(match[1])
        del self._said[: match.end()]
        return behind

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(LIMIT)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._selector.close()


class Recorder:
    """Takes one connection to a server and carries it on, keeping all octets in the order that they came."""

    def __init__(self, server_port: int) -> None:
        self.wire: Wire = []
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(self._listener)
            client = stack.enter_context(self._listener.accept()[0])
            server = stack.enter_context(socket.create_connection(("127.0.0.1", self._server_port), LIMIT))
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(client, selectors.EVENT_READ, (True, server))
            selector.register(server, selectors.EVENT_READ, (False, client))
            while selector.get_map():
                events = selector.select(LIMIT)
                if not events:
                    return
                for key, _ in events:
                    if not self._carry(key, selector):
                        return

    def _carry(self, key: selectors.SelectorKey, selector: selectors.BaseSelector) -> bool:
        from_client, other = key.data
        assert isinstance(key.fileobj, socket.socket)
        try:
            octets = key.fileobj.recv(65536)
            if octets:
                self.wire.append((from_client, octets))
                other.sendall(octets)
        except ConnectionError:
            return False
        return bool(octets)

    def wait(self) -> None:
        self._thread.join(2 * LIMIT)
        assert not self._thread.is_alive()


@contextmanager
def server(folder: Path, *options: str) -> Iterator[tuple[Program, int]]:
    """A running s_server of TLS 1.3, and its port; it logs its secrets to the file ``keys`` in the folder."""
    certificate, log = str(identity_file(folder)), str(folder / "keys")
    program = Program(
        "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-tls1_3", "-keylogfile", log, *options
    )
    try:
        yield program, int(program.wait_for(b"ACCEPT 127.0.0.1:"))
    finally:
        program.end()


@contextmanager
def client(port: int, *options: str) -> Iterator[tuple[Program, Recorder]]:
    recorder = Recorder(port)
    program = Program("s_client", "-connect", f"127.0.0.1:{recorder.port}", "-tls1_3", *options)
    try:
        yield program, recorder
    finally:
        program.end()
        recorder.wait()
