"""TLS connections read by tshark: those whose suite is not read here."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from support import require_peer
from unit.capture.sip_text import crypto, invite, ok, sdp
from unit.capture.tls_capture import HOSTS, START, STEP, segments_of, write_capture
from unit.capture.tls_sessions import TLS12, Connection, Ends

from srtpgw.capture import dissector
from srtpgw.capture.calls import address
from srtpgw.capture.dissector import MISSING, ClosedConnection, Dissection, dissect
from srtpgw.capture.gather import Gathered, Inputs, gather
from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.source import CaptureSource, open_capture
from srtpgw.capture.tls import TlsReader

CBC, ARIA = "ECDHE-RSA-AES256-SHA384", "ECDHE-ARIA128-GCM-SHA256"
EMPTY = Path(os.devnull)
NEITHER = "tshark does not read it either"


def dissected(path: Path, keylog: KeyLog, connections: list[ClosedConnection]) -> Dissection:
    with path.open("rb") as file:
        file.seek(7)
        return dissect(file.fileno(), keylog, connections)


def session(suite: str) -> tuple[Ends, Connection]:
    ends = Ends.tls(TLS12, suite)
    connection = ends.connect()
    connection.talk()
    return ends, connection


def closed(connection: Connection, ports: tuple[int, int]) -> ClosedConnection:
    client_random = connection.ends[True].client_random()
    assert client_random is not None
    client, server = (address(HOSTS[side], port) for side, port in zip((True, False), ports, strict=True))
    return ClosedConnection(client, server, client_random)


def said(found: Dissection, by: ClosedConnection) -> dict[bool, bytes]:
    pieces = [piece for piece in found.pieces if {piece.sender, piece.receiver} == {by.client, by.server}]
    return {
        side: b"".join(piece.octets for piece in pieces if (piece.sender == by.client) == side)
        for side in (True, False)
    }


@pytest.mark.peer
@pytest.mark.parametrize("suite", [CBC, "AES128-SHA", "ECDHE-RSA-CAMELLIA256-SHA384"])
def test_what_tshark_reads_is_what_was_said(suite: str, tmp_path: Path) -> None:
    require_peer("tshark")
    ends, connection = session(suite)
    keylog = KeyLog()
    keylog.add(ends.log)
    reader = TlsReader(keylog)
    for piece in connection.wire:
        reader.feed(*piece)
    assert reader.dissectable
    path, by = tmp_path / "capture.pcap", closed(connection, (40000, 5999))
    write_capture(path, segments_of(connection.wire, (40000, 5999)))
    found = dissected(path, keylog, [by])
    assert found.fault is None
    expected = {
        side: b"".join(data for from_client, data in connection.sent if from_client == side) for side in (True, False)
    }
    assert said(found, by) == expected
    assert all(piece.time_ns == START * 10**9 + (piece.frame - 1) * STEP for piece in found.pieces)
    assert [piece.frame for piece in found.pieces] == sorted(piece.frame for piece in found.pieces)
    assert "octets" not in repr(found)


@pytest.mark.peer
def test_what_nobody_reads(tmp_path: Path) -> None:
    require_peer("tshark")
    ends, connection = session(ARIA)
    keylog = KeyLog()
    keylog.add(ends.log)
    path, by = tmp_path / "capture.pcap", closed(connection, (40000, 5999))
    write_capture(path, segments_of(connection.wire, (40000, 5999)))
    assert dissected(path, keylog, [by]) == Dissection(fault=NEITHER)


@pytest.mark.peer
def test_only_the_connections_in_question(tmp_path: Path) -> None:
    require_peer("tshark")
    (first_ends, first), (second_ends, second) = session(CBC), session(CBC)
    keylog = KeyLog()
    keylog.add(first_ends.log + second_ends.log)
    packets = [*segments_of(first.wire, (40000, 5999)), *segments_of(second.wire, (40001, 5061))]
    path = tmp_path / "capture.pcap"
    write_capture(path, packets)
    one, other = closed(first, (40000, 5999)), closed(second, (40001, 5061))
    found = dissected(path, keylog, [other])
    assert said(found, one) == {True: b"", False: b""}
    assert said(found, other)[True] == b"".join(data for from_client, data in second.sent if from_client)
    assert set(said(dissected(path, keylog, [one, other]), one).values()) != {b""}


@pytest.mark.peer
def test_a_cut_capture_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    require_peer("tshark")
    ends, connection = session(CBC)
    keylog = KeyLog()
    keylog.add(ends.log)
    path, by = tmp_path / "capture.pcap", closed(connection, (40000, 5999))
    write_capture(path, segments_of(connection.wire, (40000, 5999)))
    os.truncate(path, path.stat().st_size - 100)
    found = dissected(path, keylog, [by])
    assert found.fault is not None
    assert found.fault.startswith("tshark ended with status")
    assert len(found.pieces) > 5


@pytest.mark.peer
@pytest.mark.parametrize("pipe", [False, True])
def test_a_call_under_a_suite_that_tshark_reads(pipe: bool, tmp_path: Path) -> None:
    """The same descriptions and keys as under a suite that is read here, and in their places."""
    require_peer("tshark")
    found = {}
    for suite in (CBC, "ECDHE-RSA-AES256-GCM-SHA384"):
        ends = Ends.tls(TLS12, suite)
        connection = ends.connect()
        connection.handshake()
        connection.send(True, invite(sdp("192.0.2.1", 4000, crypto(1)))[:200])
        connection.send(True, invite(sdp("192.0.2.1", 4000, crypto(1)))[200:])
        connection.send(False, ok(sdp("192.0.2.2", 4002, crypto(2))))
        path = tmp_path / f"{suite}.pcap"
        write_capture(path, segments_of(connection.wire, (40000, 5999)))
        gathered = gathered_of(path, ends.log, pipe)
        assert gathered.signaling.tls_flows[0].dissectable == (suite == CBC)
        found[suite] = gathered.signaling
    here, there = found.values()
    assert here.descriptions == there.descriptions
    assert [each.answers for each in here.descriptions] == [None, 0]
    known, expected = here.keys(), there.keys()
    assert len(known) == 2
    assert [key.key_and_salt for key in known] == [key.key_and_salt for key in expected]


def gathered_of(path: Path, keylog: bytes, pipe: bool) -> Gathered:
    inputs = Inputs(keylogs=(keylog,))
    if not pipe:
        with open_capture(path) as source:
            return gather(source, inputs)
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        with CaptureSource("pipe", os.dup(cat.stdout.fileno())) as source:
            return gather(source, inputs)


PRETENDER = """#!/bin/sh
umask 077
stat -c '%a %n' "$HOME" "$HOME"/keys > {told}
cat "$HOME"/keys >> {told}
env >> {told}
{rest}
"""


def pretender(folder: Path, monkeypatch: pytest.MonkeyPatch, rest: str) -> Path:
    """A tshark that tells what it was given."""
    told = folder / "told"
    program = folder / "tshark"
    program.write_text(PRETENDER.format(told=told, rest=rest))
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return told


def test_secrets_are_handed_over_in_private_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends, connection = session(CBC)
    other, _ = session(CBC)
    keylog = KeyLog()
    keylog.add(ends.log + other.log)
    told = pretender(tmp_path, monkeypatch, "")
    assert dissected(EMPTY, keylog, [closed(connection, (1, 2))]) == Dissection(fault=NEITHER)
    text = told.read_text()
    folder, file = text.splitlines()[:2]
    assert (folder[:4], file[:4]) == ("700 ", "600 ")
    assert ends.log.split()[2].decode() in text
    assert other.log.split()[2].decode() not in text
    assert f"WIRESHARK_CONFIG_DIR={folder[4:]}" in text
    assert not Path(folder[4:]).exists()


def test_what_goes_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keylog = KeyLog()
    connection = ClosedConnection(address(HOSTS[True], 1), address(HOSTS[False], 2), bytes(32))
    line = "7\t1700000000.5\t192.0.2.1\t\t1\t192.0.2.2\t\t2\t4142,43"
    other = line.replace("192.0.2.2", "192.0.2.3")
    pretender(
        tmp_path, monkeypatch, f"printf '%s\\n' 'x\ty' '{other}' '{line}'; printf 'no such\\033 thing' >&2; exit 3"
    )
    found = dissected(EMPTY, keylog, [connection])
    assert found.fault == "tshark ended with status 3: no such thing"
    (piece,) = found.pieces
    assert (piece.frame, piece.time_ns, piece.octets) == (7, 1_700_000_000_500_000_000, b"ABC")
    monkeypatch.setattr(dissector, "OUTPUT_MAX", 1000)
    pretender(tmp_path, monkeypatch, f"while :; do printf '%s\\n' '{line}'; done")
    found = dissected(EMPTY, keylog, [connection])
    assert found.fault == "tshark found more than is taken from it"
    assert 0 < len(found.pieces) < 1000
    monkeypatch.setattr(dissector, "SECONDS_MAX", 0.1)
    pretender(tmp_path, monkeypatch, "exec sleep 100")
    assert dissected(EMPTY, keylog, [connection]).fault == "tshark ended with status -9"
    monkeypatch.setattr(dissector, "PORTS_MAX", 0)
    pretender(tmp_path, monkeypatch, "")
    assert "ports of servers" in str(dissected(EMPTY, keylog, [connection]).fault)


def test_without_tshark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dissected(EMPTY, KeyLog(), []) == Dissection(fault=MISSING)
