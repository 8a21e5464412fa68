"""TLS sessions of other OpenSSL builds: what `openssl` can be told to do in mid-session, and Python's own module."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from unit.capture.openssl_programs import client, identity_file, server
from unit.capture.tls_sessions import Wire, joined, segments

from srtpgw.capture.keylog import KeyLog
from srtpgw.capture.tls import TlsReader

pytestmark = pytest.mark.peer


def read(log: bytes, wire: Wire) -> tuple[TlsReader, dict[bool, bytes]]:
    keylog = KeyLog()
    keylog.add(log)
    reader = TlsReader(keylog)
    return reader, joined(piece for part in segments(wire, 1) for piece in reader.feed(*part))


def test_key_updates(tmp_path: Path) -> None:
    with server(tmp_path) as (far, port):
        with client(port) as (near, recorder):
            for number, update in enumerate(("k", "K", "k", "K")):
                near.say(f"to the server {number}")
                far.wait_for(f"to the server {number}".encode())
                near.say(update)
                near.wait_for(b"KEYUPDATE")
                far.say(f"to the client {number}")
                near.wait_for(f"to the client {number}".encode())
                far.say(update)  # read ahead of what the client says next
            near.say("behind all updates")
            far.wait_for(b"behind all updates")
            far.say("and back")
            near.wait_for(b"and back")
        log = (tmp_path / "keys").read_bytes()
    reader, found = read(log, recorder.wire)
    assert reader.fault is None
    assert found[True] == b"".join(b"to the server %d\n" % number for number in range(4)) + b"behind all updates\n"
    assert found[False] == b"".join(b"to the client %d\n" % number for number in range(4)) + b"and back\n"


@pytest.mark.parametrize("accepted", [True, False])
def test_early_data_is_passed_over(tmp_path: Path, accepted: bool) -> None:
    early, session = tmp_path / "early", tmp_path / "session"
    early.write_bytes(b"early data\n" * 100)
    with server(tmp_path, "-early_data", "-no_anti_replay", "-groups", "X25519") as (far, port):
        with client(port, "-sess_out", str(session)) as (near, _):
            near.say("first")
            far.wait_for(b"first")
            far.say("answer")  # and the tickets ahead of it
            near.wait_for(b"answer")
        group = () if accepted else ("-groups", "P-384:X25519")  # which the server asks to think over
        options = ("-sess_in", str(session), "-early_data", str(early), *group)
        with client(port, *options) as (near, recorder):
            assert near.wait_for(b"Early data was ") == (b"accepted" if accepted else b"rejected")
            near.say("second")
            far.wait_for(b"second")
            far.say("answer")
            near.wait_for(b"answer")
        log = (tmp_path / "keys").read_bytes()
    reader, found = read(log, recorder.wire)
    assert reader.fault is None
    assert reader.early_data > early.stat().st_size
    assert found == {True: b"second\n", False: b"answer\n"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pythons_own_module(tmp_path: Path, version: ssl.TLSVersion) -> None:
    pem, log = identity_file(tmp_path), tmp_path / "keys"
    contexts = {True: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), False: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}
    contexts[True].load_verify_locations(pem)
    contexts[True].check_hostname = False
    contexts[False].load_cert_chain(pem)
    inputs, outputs, ends = {}, {}, {}
    for side, context in contexts.items():
        context.minimum_version = context.maximum_version = version
        inputs[side], outputs[side] = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends[side] = context.wrap_bio(inputs[side], outputs[side], server_side=not side)
    contexts[True].keylog_filename = str(log)
    wire: Wire = []

    def carry() -> None:
        for side in ends:
            octets = outputs[side].read()
            inputs[not side].write(octets)
            wire.append((side, octets))

    for _ in range(4):
        for end in ends.values():
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
            carry()
    for side, end in ends.items():
        end.write(b"REGISTER" * 5000)
        carry()
        assert ends[not side].read(8) == b"REGISTER"
    reader, found = read(log.read_bytes(), wire)
    assert reader.fault is None
    assert found == {True: b"REGISTER" * 5000, False: b"REGISTER" * 5000}
