"""A relay over files in one directory in a real gateway, and the far ends of its first session."""

from __future__ import annotations

import socket
from pathlib import Path

from unit.relay_files import SUITE, key, session, write

from srtpgw.media.gateway import MediaGateway
from srtpgw.media.store import SendingStates
from srtpgw.relay.file import load_relay
from srtpgw.relay.sessions import Changes, Relay
from srtpgw.srtp import Sender

FLAGS = {"extension": True}


class Bench:
    """A relay over files in one directory, and the far ends of its first session's legs."""

    def __init__(self, base: Path, *, keeps_state: bool = True, allow_reuse: bool = False) -> None:
        self.base = base
        self.file = base / "relay.toml"
        self.keeps_state = keeps_state
        self.allow_reuse = allow_reuse
        self.gateway = MediaGateway(workers=1, media_encryption=FLAGS)
        self.relay = self.fresh()

    def restart(self) -> None:
        """Another process: a gateway that knows nothing of the one before, which may have been killed."""
        self.gateway.shutdown()
        self.gateway = MediaGateway(workers=1, media_encryption=FLAGS)
        self.relay = self.fresh()

    def fresh(self) -> Relay:
        return Relay(self.gateway, self.states, keeps_state=self.keeps_state, allow_reuse=self.allow_reuse)

    def states(self) -> SendingStates:
        path = self.base / "relay.toml.state"
        return SendingStates(path, self.base / "used-keys", allow_reuse=self.allow_reuse)

    def open(self, text: str) -> None:
        self.relay = self.fresh()
        self.relay.open(load_relay(write(self.file, text)))

    def apply(self, text: str) -> Changes:
        return self.relay.apply(load_relay(write(self.file, text)))

    def names(self) -> list[str]:
        return [leg.name for leg in self.relay.legs]

    def close(self) -> None:
        self.relay.close()
        self.gateway.shutdown()


def one(ports: list[int], name: str = "one", **more: object) -> str:
    return session(name, local=(ports[0], ports[1]), remote=(ports[2], ports[3]), **more)  # type: ignore[arg-type]


def two(ports: list[int], name: str = "two", keys: tuple[int, int] = (3, 4), **more: str) -> str:
    return session(name, local=(ports[4], ports[5]), remote=(ports[6], ports[7]), keys=keys, **more)


def rtp(sequence: int, ssrc: int = 0x11223344, payload: bytes = b"payload") -> bytes:
    return bytes([0x80, 0]) + sequence.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + payload


class Ends:
    """The far ends: the phone sends SRTP under key 1 and takes what came under key 2, the trunk is plain."""

    def __init__(self, ports: list[int], first: int = 1) -> None:
        self.phone = self.socket(ports[2])
        self.trunk = self.socket(ports[3])
        self.gateway = ports[0], ports[1]
        self.sender = Sender(SUITE, [key(first)])

    def socket(self, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", port))
        made.settimeout(5)
        return made

    def from_trunk(self, sequence: int, payload: bytes = b"payload") -> bytes:
        """What the phone gets for one packet of the trunk."""
        self.trunk.sendto(rtp(sequence, payload=payload), ("127.0.0.1", self.gateway[1]))
        return self.phone.recv(2048)

    def from_phone(self, sequence: int) -> bytes:
        self.phone.sendto(self.sender.protect(rtp(sequence)), ("127.0.0.1", self.gateway[0]))
        return self.trunk.recv(2048)

    def close(self) -> None:
        self.phone.close()
        self.trunk.close()
