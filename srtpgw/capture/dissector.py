"""TLS connections that tls.py does not read (CBC suites, TLS 1.0 and 1.1), read by tshark where it is installed.

tshark decrypts the records and hands out the application data as it would any unknown protocol's, so that all that
follows is the same as for connections that are read here. It gets the secrets of the connections in question only, by
a file of mode 0600 in a private folder that is removed with all else; its settings and plugins are nobody's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Final

from .keylog import KeyLog
from .report import Address

PORTS_MAX: Final = 64  # servers' ports that tshark is told of
OUTPUT_MAX: Final = 64 << 20  # octets of tshark's output that are read
SECONDS_MAX: Final = 600.0  # a gigabyte takes a minute or two
MESSAGE_MAX: Final = 200  # characters of what tshark says when it fails

MISSING = "tshark, which might read it, is not installed"
FIELDS: Final = (
    "frame.number", "frame.time_epoch",
    "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport",
    "data.data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClosedConnection:
    """A TLS connection whose secrets are known, but that is not read here."""

    client: Address
    server: Address
    client_random: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Application data of one frame, decrypted; it may hold keys."""

    frame: int
    time_ns: int  # since 1970
    sender: Address
    receiver: Address
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dissection:
    pieces: tuple[Piece, ...] = ()  # in file order
    fault: str | None = None  # why there are none, or not all


def dissect(descriptor: int, keylog: KeyLog, connections: Sequence[ClosedConnection]) -> Dissection:
    """Have tshark read these connections of an open capture file; where that was read up to makes no difference.

    What goes wrong is not raised but told in ``fault``.
    """
    tshark = shutil.which("tshark")
    if tshark is None:
        return Dissection(fault=MISSING)
    ports = sorted({connection.server.port for connection in connections})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="srtpgw-")))  # mode 0700
        secrets = folder / "keys"
        with open(secrets, "xb", opener=_private) as file:
            file.write(keylog.lines(connection.client_random for connection in connections))
        process = stack.enter_context(_started(tshark, descriptor, secrets, ports[:PORTS_MAX], folder))
        stack.callback(process.kill)
        timer = threading.Timer(SECONDS_MAX, process.kill)
        stack.callback(timer.cancel)
        timer.start()
        assert process.stdout is not None
        pieces, whole = _read(process.stdout, connections)
        fault = "tshark found more than is taken from it" if not whole else None
        if whole and process.wait() != 0:
            fault = _failure(folder, process.returncode)
    if len(ports) > PORTS_MAX:
        fault = fault or f"only {PORTS_MAX} of the {len(ports)} ports of servers were looked at"
    if not pieces:
        fault = fault or "tshark does not read it either"
    return Dissection(tuple(pieces), fault)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _started(
    tshark: str, descriptor: int, secrets: Path, ports: Sequence[int], folder: Path
) -> subprocess.Popen[bytes]:
    arguments = [tshark, "-n", "-Q", "-r", f"/dev/fd/{descriptor}", "-o", f"tls.keylog_file:{secrets}"]
    arguments += ["--disable-protocol", "udp"]  # media: most of a capture, and not asked for
    for port in ports:
        arguments += ["-d", f"tcp.port=={port},tls", "-d", f"tls.port=={port},data"]
    arguments += ["-Y", "tls.app_data && data.data", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]
    for name in FIELDS:
        arguments += ["-e", name]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    environment |= {"HOME": str(folder), "WIRESHARK_CONFIG_DIR": str(folder), "TMPDIR": str(folder)}
    with open(folder / "messages", "xb", opener=_private) as messages:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            env=environment,
            pass_fds=[descriptor],
        )


def _read(output: IO[bytes], connections: Sequence[ClosedConnection]) -> tuple[list[Piece], bool]:
    """Pieces of the connections in question, and whether that is all that was found."""
    wanted = {frozenset((connection.client, connection.server)) for connection in connections}
    pieces, octets = [], 0
    while line := output.readline(OUTPUT_MAX - octets):
        octets += len(line)
        piece = _piece(line)
        if piece is not None and frozenset((piece.sender, piece.receiver)) in wanted:
            pieces.append(piece)
        if octets >= OUTPUT_MAX:
            return pieces, False
    return pieces, True


def _piece(line: bytes) -> Piece | None:
    """One line of the fields; None where an address or a number is not single: tunnels, mostly."""
    values = line.decode("ascii", "replace").rstrip("\n").split("\t")
    if len(values) != len(FIELDS):
        return None
    frame, time, source4, source6, source_port, destination4, destination6, destination_port, data = values
    try:
        sender = Address(str(ip_address(source4 or source6)), int(source_port))
        receiver = Address(str(ip_address(destination4 or destination6)), int(destination_port))
        seconds, _, fraction = time.partition(".")
        time_ns = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])
        return Piece(int(frame), time_ns, sender, receiver, bytes.fromhex(data.replace(",", "")))
    except ValueError:
        return None


def _failure(folder: Path, status: int) -> str:
    """What tshark said last, as far as it is fit to be shown."""
    with (folder / "messages").open("rb") as messages:
        said = messages.read(1 << 16).decode("utf-8", "replace").splitlines()
    last = next((line for line in reversed(said) if line.strip() and "keys" not in line), "")
    shown = "".join(character for character in last if character.isprintable())[:MESSAGE_MAX]
    return f"tshark ended with status {status}: {shown}" if shown else f"tshark ended with status {status}"
