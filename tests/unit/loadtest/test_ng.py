"""The ng client against a peer that does what is asked of it: loses, delays, refuses, answers nonsense."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from srtpgw.address import Address
from srtpgw.loadtest.faults import TargetError
from srtpgw.loadtest.ng import BencodeError, NgClient, Value, decode, encode

Answer = Callable[[bytes, bytes], list[bytes]]  # cookie with its blank, dictionary -> datagrams


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (0, b"i0e"),
        (-42, b"i-42e"),
        ("", b"0:"),
        ("grün", b"5:gr\xc3\xbcn"),
        ([1, "a", []], b"li1e1:alee"),
        ({"b": 1, "a": ["x"]}, b"d1:bi1e1:al1:xee"),
    ],
)
def test_bencode_both_ways(value: Value, wire: bytes) -> None:
    assert encode(value) == wire
    assert decode(wire) == value


@pytest.mark.parametrize(
    "wire",
    [b"", b"i", b"ie", b"i1", b"i--1e", b"5:abc", b"-1:a", b"l", b"li1e", b"d1:ae", b"di1ei2ee", b"x", b"i1ei2e",
     b"99999999999999999999999999:a", b"l" * 1000],
)  # fmt: skip
def test_what_is_not_bencode(wire: bytes) -> None:
    with pytest.raises(BencodeError):
        decode(wire)


class Peer:
    """Answers datagrams by a function, and keeps what it got."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heard: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = Address(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            octets, source = self._socket.recvfrom(65535)
            if octets == b"end":
                return
            self.heard.append(octets)
            cookie, _, body = octets.partition(b" ")
            for reply in self._answer(cookie + b" ", body):
                self._socket.sendto(reply, source)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ender:
            ender.sendto(b"end", self.address)
        self._thread.join()
        self._socket.close()


@pytest.fixture
def talk() -> Iterator[Callable[[Answer], tuple[Peer, NgClient]]]:
    opened: list[Peer | NgClient] = []

    def start(answer: Answer) -> tuple[Peer, NgClient]:
        peer = Peer(answer)
        client = NgClient(peer.address, tries=3, seconds=0.2)
        opened.extend((client, peer))
        return peer, client

    yield start
    for each in opened:
        each.close()


Talk = Callable[[Answer], tuple[Peer, NgClient]]
PONG = encode({"result": "pong"})


def test_a_reply(talk: Talk) -> None:
    peer, client = talk(lambda cookie, _: [cookie + PONG])
    assert client.request("ping") == {"result": "pong"}
    assert client.request("offer", {"sdp": "v=0\r\n", "flags": ["a"]})["result"] == "pong"
    first, second = (octets.partition(b" ") for octets in peer.heard)
    assert first[0] != second[0]
    assert decode(second[2]) == {"sdp": "v=0\r\n", "flags": ["a"], "command": "offer"}


def test_a_lost_request_is_sent_again_with_its_cookie(talk: Talk) -> None:
    peer, client = talk(lambda cookie, _: [cookie + PONG] if len(peer.heard) == 3 else [])
    assert client.request("ping")["result"] == "pong"
    assert len(peer.heard) == 3
    assert len(set(peer.heard)) == 1


def test_late_replies_to_others_are_passed_over(talk: Talk) -> None:
    _, client = talk(lambda cookie, _: [b"other " + encode({"result": "error"}), cookie + PONG])
    assert client.request("ping")["result"] == "pong"


def test_silence(talk: Talk) -> None:
    peer, client = talk(lambda *_: [])
    with pytest.raises(TargetError, match=r"does not answer ping within 0\.6 s"):
        client.request("ping")
    assert len(peer.heard) == 3


def test_nobody_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        address = Address(*holder.getsockname())
    client = NgClient(address, tries=2, seconds=0.05)
    with pytest.raises(TargetError, match="does not answer"):
        client.request("ping")
    client.close()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (encode({"result": "error", "error-reason": "Unknown call-id"}), "refuses delete: Unknown call-id"),
        (encode({"result": "load limit", "message": "Parallel session limit reached"}), "Parallel session limit"),
        (encode({"result": "error"}), "no reason given"),
        (encode(["ok"]), "no reason given"),
        (b"what?", "something else than ng"),
    ],
)
def test_refusals_are_told(talk: Talk, reply: bytes, told: str) -> None:
    _, client = talk(lambda cookie, _: [cookie + reply])
    with pytest.raises(TargetError, match=told):
        client.request("delete")
