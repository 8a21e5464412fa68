"""srtpgw.libsrtp: reaching the libsrtp inside the pylibsrtp wheel. What it computes is in test_srtp_model.py."""

from __future__ import annotations

import ctypes
import pickle
import subprocess
import traceback
from typing import Any

import pytest
from model import packet
from model.child import command, environment
from model.keys import SessionKeys, aes_cm, derive
from model.oracle import Oracle, Refused
from model.suites import SUITES
from model.transform import protect_rtp
from pylibsrtp import Policy, Session

from srtpgw import libsrtp
from srtpgw.errors import LibsrtpError

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = bytes(range(0x40, 0x40 + 30))


def test_status_names_version_suites_and_limits() -> None:
    status = libsrtp.status()
    assert status["available"] is True
    assert str(status["version"]).startswith("2.")
    suites, missing = status["suites"], status["missing_suites"]
    assert isinstance(suites, list)
    assert isinstance(missing, dict)
    assert set(suites) | set(missing) == set(SUITES)
    assert {SUITE, "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"} <= set(suites)
    assert status["limits"]


def test_functions_are_all_there() -> None:
    functions = libsrtp.functions()
    assert set(functions) == set(libsrtp.PACKET_FUNCTIONS)
    assert all(functions.values())
    assert len(set(functions.values())) == len(functions)


def test_finds_the_loaded_library_and_not_a_second_one() -> None:
    """pylibsrtp's context, used through our addresses: both are one library."""
    session = Session(Policy(KEY, Policy.SSRC_ANY_OUTBOUND))
    wire = session.protect(packet.rtp(1, 1))
    assert Oracle(SUITE, [(KEY, b"")], "receiver").unprotect(wire) == packet.rtp(1, 1)
    maps = subprocess.run(
        command("-c", "import srtpgw.libsrtp as l; l.functions(); print(open('/proc/self/maps').read())"),
        capture_output=True, text=True, check=True, env=environment(),
    ).stdout  # fmt: skip
    assert len({line.split()[-1] for line in maps.splitlines() if "libsrtp" in line and ".so" in line}) == 1


def test_without_exported_symbols_pylibsrtp_s_own_table_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel with hidden symbols: no version can be read, so the provider is refused by name, nothing crashes."""
    for cached in (libsrtp._address, libsrtp._fault, libsrtp._missing_suites):
        cached.cache_clear()
    monkeypatch.setattr(libsrtp, "_library", lambda: None)
    try:
        assert libsrtp._address("srtp_protect") != 0
        assert libsrtp._address("srtp_protect_mki") == 0
        status = libsrtp.status()
        assert status["available"] is False
        assert "srtp_get_version" in str(status["fault"])
        assert libsrtp.suites() == ()
        with pytest.raises(LibsrtpError, match="srtp_get_version"):
            libsrtp.functions()
        with pytest.raises(LibsrtpError, match="srtp_get_version"):
            libsrtp.create(SUITE, [(KEY, b"")], direction="sender")
    finally:
        monkeypatch.undo()
        for cached in (libsrtp._address, libsrtp._fault, libsrtp._missing_suites):
            cached.cache_clear()


REFUSALS: list[tuple[str, list[tuple[bytes, bytes]], dict[str, Any], str]] = [
    ("AES_CM_128", [(KEY, b"")], {}, "unknown suite"),
    (SUITE, [], {}, "master keys"),
    (SUITE, [(bytes(30), bytes([i])) for i in range(17)], {}, "master keys"),
    (SUITE, [(KEY[:-1], b"")], {}, "30 octets"),
    (SUITE, [(KEY + b"x", b"")], {}, "30 octets"),
    (SUITE, [(KEY, b"a"), (KEY[::-1], b"a")], {}, "MKI"),
    (SUITE, [(KEY, b"a"), (KEY[::-1], b"ab")], {}, "MKI"),
    (SUITE, [(KEY, bytes(129))], {}, "MKI"),
    (SUITE, [(KEY, b"")], {"window": 63}, "window"),
    (SUITE, [(KEY, b"")], {"window": 32768}, "window"),
    ("AEAD_AES_128_GCM", [(KEY[:28], b"")], {"encrypt_rtp": False}, "always encrypts"),
    ("AEAD_AES_256_GCM", [(bytes(44), b"")], {"authenticate_rtp": False}, "always encrypts"),
]


@pytest.mark.parametrize(("suite", "keys", "options", "message"), REFUSALS)
def test_refuses(suite: str, keys: list[tuple[bytes, bytes]], options: dict[str, Any], message: str) -> None:
    with pytest.raises(LibsrtpError, match=message) as caught:
        libsrtp.create(suite, keys, direction="sender", **options)
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
    assert KEY.hex() not in text
    assert repr(KEY)[2:-1] not in text


def test_aes_192_is_refused_while_libsrtp_derives_it_wrongly() -> None:
    """libsrtp 2.7 runs the AES-256 PRF over key || salt || zeros (its issue 763). Its cipher itself is right."""
    if "AES_192_CM_HMAC_SHA1_80" in libsrtp.suites():
        pytest.skip("this libsrtp derives AES-192 session keys by RFC 6188")
    suite, key = SUITES["AES_192_CM_HMAC_SHA1_80"], bytes(range(38))
    with pytest.raises(LibsrtpError, match="RFC 6188"):
        libsrtp.create(suite.name, [(key, b"")], direction="sender")
    padded = key.ljust(46, b"\0")
    wrong = SessionKeys(*(derive(padded[:32], padded[32:], label, n) for label, n in ((0, 24), (2, 14), (1, 20))))
    sender = Oracle(suite.name, [(key, b"")], "sender", unchecked=True)
    assert sender.protect(packet.rtp(1, 1)) == protect_rtp(suite, wrong, packet.rtp(1, 1), 1)
    assert aes_cm(wrong.cipher, 0, 4) != aes_cm(key[:24], 0, 4)


def test_mki_is_refused_where_its_functions_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Address 0 must never be called."""
    known = libsrtp._address
    monkeypatch.setattr(libsrtp, "_address", lambda name: 0 if name == "srtp_unprotect_rtcp_mki" else known(name))
    assert libsrtp.functions()["srtp_unprotect_rtcp_mki"] == 0
    assert libsrtp.status()["missing_functions"] == ["srtp_unprotect_rtcp_mki"]
    with pytest.raises(LibsrtpError, match="MKI"):
        libsrtp.create(SUITE, [(KEY, b"a")], direction="sender")
    libsrtp.create(SUITE, [(KEY, b"")], direction="sender").close()


def test_several_master_keys() -> None:
    first, second = (bytes([1] * 30), b"\x01"), (bytes([2] * 30), b"\x02")
    receiver = Oracle(SUITE, [first, second], "receiver")
    for seq, key in enumerate((second, first, second)):
        wire = Oracle(SUITE, [key], "sender").protect(packet.rtp(seq, 1))
        assert receiver.unprotect(wire) == packet.rtp(seq, 1)
    with pytest.raises(Refused, match="unknown-mki"):
        receiver.unprotect(Oracle(SUITE, [(bytes(30), b"\x03")], "sender").protect(packet.rtp(9, 1)))


def test_rollover_counter_of_a_named_source() -> None:
    sender = Oracle(SUITE, [(KEY, b"")], "sender", ssrc=0x01020304, roc=7)
    wire = sender.protect(packet.rtp(1, 0x01020304))
    assert sender.rollover_counter(0x01020304) == 7
    assert Oracle(SUITE, [(KEY, b"")], "receiver", ssrc=0x01020304, roc=7).unprotect(wire) == packet.rtp(1, 0x01020304)


def test_a_context_is_freed_once_and_cannot_be_copied() -> None:
    context = libsrtp.create(SUITE, [(KEY, b"")], direction="sender")
    assert context.address
    with pytest.raises(TypeError):
        pickle.dumps(context)
    context.close()
    assert context.address == 0
    context.close()


def test_a_context_may_outlive_the_interpreter() -> None:
    """Freed at exit, when modules are being taken apart, or not at all; never with a word."""
    create = f"l.create({SUITE!r}, [(bytes(30), b'')], direction='sender')"
    code = f"import srtpgw.libsrtp as l; kept = [{create}]; kept.append(kept)"
    run = subprocess.run(command("-c", code), capture_output=True, text=True, check=True, env=environment())
    assert run.stderr == run.stdout == ""


def test_key_buffers_are_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def record(octets: bytes, size: int) -> ctypes.Array[ctypes.c_char]:
        made.append(make(octets, size))
        return made[-1]

    make = ctypes.create_string_buffer
    monkeypatch.setattr(ctypes, "create_string_buffer", record)
    context = libsrtp.create(SUITE, [(KEY, b"")], direction="sender")
    monkeypatch.undo()
    assert [buffer.raw for buffer in made] == [bytes(30), b""]
    assert KEY.hex() not in repr(context)
