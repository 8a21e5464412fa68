"""Keys show nowhere: not in output, errors, /proc or state files of a relay, and not in a core of one.

What stays in the memory of the process after a call, and is not in our hands: the octets object of each master key
that the caller made (`MasterKey.key_and_salt`). Python frees it without wiping it, so a forced core may show it until
its memory is used again. Session keys, which are what opens recorded media of a call, are gone.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import pty
import resource
import signal
import subprocess
import sys
import traceback
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from interop.process_memory import find, round_keys
from interop.wire import SUITE, End, Keyed, Port, Stage, until
from model import packet
from model.keys import SessionKeys, session_keys
from model.suites import SUITES
from unit.relay_files import HEAD, free_ports, key_text, octets, session, write

from srtpgw.errors import ConfigError, MediaError
from srtpgw.media import LegSettings
from srtpgw.media.keys import parse_key
from srtpgw.srtp import MasterKey

CODERS = (base64.b64encode, base64.urlsafe_b64encode)
PIECE = 8  # octets of a key that are too many to show
KEYS = [octets(number) for number in (1, 2)]


def forms(key: bytes) -> set[bytes]:
    """How any PIECE octets of a key might be written: raw, hex, base64 (at each alignment), as Python shows octets."""
    found = set()
    for at in range(len(key) - PIECE + 1):
        piece = key[at : at + PIECE]
        texts = [piece.hex(), piece.hex(":"), piece.hex(" "), repr(piece)[2:-1], str(list(piece))[1:-1]]
        coded = [coder(b"\0" * pad + piece) for pad in range(3) for coder in CODERS]
        base = [text[4:10] if text.startswith(b"A") else text[:10] for text in coded]
        found |= {piece, *base, *(text.encode() for text in texts), *(text.upper().encode() for text in texts)}
    return found


def keys_of(master: bytes, suite: str) -> Iterator[SessionKeys]:
    """The session keys of a master key, for SRTP and for SRTCP."""
    known = SUITES[suite]
    for rtcp in (False, True):
        yield session_keys(known, master[: known.key_length], master[known.key_length :], rtcp=rtcp)


def derived(key: bytes) -> list[bytes]:
    return [part for keys in keys_of(key, SUITE) for part in keys]


FORMS = {form for key in KEYS for secret in (key, *derived(key)) for form in forms(secret)}


def assert_clean(shown: bytes | str) -> None:
    shown = shown.encode("utf-8", "surrogateescape") if isinstance(shown, str) else shown
    assert not [form for form in FORMS if form in shown], "a key is shown"


LEAKS = [repr(KEYS[0]), KEYS[1].hex(), KEYS[0][5:13].hex().upper(), key_text(1), key_text(2)[11:], str(list(KEYS[0]))]


@pytest.mark.parametrize("leak", [*LEAKS, KEYS[1][-8:]], ids=range(7))
def test_the_search_finds_what_it_looks_for(leak: str | bytes) -> None:
    around = f"text {leak} text" if isinstance(leak, str) else b"octets " + leak
    with pytest.raises(AssertionError, match="a key is shown"):
        assert_clean(around)
    assert_clean(key_text(3))


# --- in this process -------------------------------------------------------------------------------------------------


def test_values_and_errors_of_a_gateway_show_no_key(scene: Stage, caplog: pytest.LogCaptureFixture) -> None:
    receive, transmit = map(MasterKey, KEYS)
    keys: dict[str, Any] = {"suite": SUITE, "receive_keys": (receive,), "transmit_keys": (transmit,)}
    gateway = scene.gateway
    with caplog.at_level(logging.DEBUG):
        leg = gateway.open_leg(LegSettings(type="extension", name="call", **keys))
        other = gateway.open_leg(LegSettings(type="route"))
        joined = gateway.join(leg, other)
        scene.flood(Port(), leg, [packet.rtp(1, 1)] * 20)
        refused: list[Callable[[], Any]] = [
            lambda: gateway.open_leg(LegSettings(type="extension", **keys)),
            lambda: gateway.open_leg(LegSettings(type="route", **keys)),
            lambda: gateway.open_leg(LegSettings(type="extension", **{**keys, "suite": "AEAD_AES_256_GCM"})),
            lambda: gateway.open_leg(LegSettings(type="extension", **{**keys, "receive_keys": (transmit,)})),
            lambda: gateway.open_leg(LegSettings(type="extension", **{**keys, "sending_state": KEYS[0]})),
            lambda: gateway.open_leg(LegSettings(type="extension", **{**keys, "transmit_keys": (transmit, receive)})),
            lambda: gateway.change(leg, transmit_keys=(receive,)),
            lambda: gateway.change(leg, window=2048),
            lambda: gateway.change(other, **keys),
            lambda: gateway.join(leg, other),
            lambda: parse_key(key_text(1) + "x", SUITE),
            lambda: parse_key(key_text(1) + "|2^99", SUITE),
            lambda: parse_key(key_text(1), "AEAD_AES_256_GCM"),
        ]
        for attempt in refused:
            with pytest.raises((MediaError, ValueError)) as caught:
                attempt()
            told = [*traceback.format_exception(caught.value), repr(caught.value), repr(caught.value.args)]
            assert_clean("".join(told))
        shown = [repr(each) for each in (leg, other, joined, leg.settings, leg.label, gateway, leg.native, receive)]
        shown += [str(leg.settings), f"{leg.settings!r}", json.dumps(gateway.statistics().to_json())]
        shown += [json.dumps([event.to_json() for event in gateway.events()]), repr(leg.native), caplog.text]
        state = leg.export_sending_state()
        gateway.close(joined)
    assert_clean("\n".join(shown) + caplog.text)
    assert_clean(state)


# --- a relay as a process --------------------------------------------------------------------------------------------


@contextmanager
def relay(tmp_path: Path, *options: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """`srtpgw relay` on a good file."""
    environment = {**os.environ, "SRTPGW_STATE_DIR": str(tmp_path / "state"), "TERM": "xterm"}
    environment |= {"COLUMNS": "200", "LINES": "50"}
    command = [sys.executable, "-m", "srtpgw.cli", "relay", str(tmp_path / "relay.toml"), *options]
    with (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            command, stdout=stdout, stderr=stderr, env=environment, cwd=tmp_path
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def good_file(tmp_path: Path, *, more: str = "") -> tuple[int, list[int]]:
    """Writes relay.toml; the local ports of both legs, and the remote ones."""
    phone, trunk, *remote = free_ports(4)
    text = HEAD + session(local=(phone, trunk), remote=(remote[0], remote[1])) + more
    write(tmp_path / "relay.toml", text)
    return phone, [phone, trunk, *remote]


def wait_for(process: subprocess.Popen[bytes], kind: str, holding: bytes = b"") -> bytes:
    """The relay's JSON lines up to one of a kind that holds some text."""
    assert process.stdout is not None
    lines = b""
    for line in process.stdout:
        lines += line
        if json.loads(line)["type"] == kind and holding in line:
            return lines
    raise AssertionError(f"the relay ended before {kind!r}")


def send_through(ports: Sequence[int]) -> None:
    """Good SRTP and SRTCP, forged ones, and plain RTP, so that everything that could be told of is."""
    phone_at, trunk_at, phone_from, trunk_from = ports
    phone, phone_rtcp, trunk = (Port(port=port) for port in (phone_from, phone_from + 1, trunk_from))
    out = Keyed(SUITE, MasterKey(KEYS[0]))
    for number in range(1, 30):
        phone.socket.sendto(out.seal(packet.rtp(number, 7), number), ("127.0.0.1", phone_at))
        phone.socket.sendto(packet.rtp(number + 1000, 7), ("127.0.0.1", phone_at))
        phone_rtcp.socket.sendto(out.seal_rtcp(packet.rtcp(7), number), ("127.0.0.1", phone_at + 1))
        trunk.socket.sendto(packet.rtp(number, 8), ("127.0.0.1", trunk_at))
    for port in (phone, phone_rtcp, trunk):
        port.socket.close()


def proc_text(pid: int) -> bytes:
    """What `ps` and its like can see."""
    names = ["cmdline", "environ", "comm", "status", "stat", "maps", "task/{0}/comm", "wchan"]
    return b"".join(Path(f"/proc/{pid}/{name.format(pid)}").read_bytes() for name in names)


def test_a_relay_shows_no_key(tmp_path: Path) -> None:
    """JSON lines, metrics, stderr, /proc, state files; with traffic, a file read again, and one that is broken."""
    _, ports = good_file(tmp_path)
    (metrics,) = free_ports(1)
    with relay(tmp_path, "--json", "--interval", "0.1", "--metrics", f"127.0.0.1:{metrics}") as process:
        shown = wait_for(process, "started")
        send_through(ports)
        shown += wait_for(process, "statistics", b'"auth-failed":')
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=30) as page:
            shown += page.read()
        shown += proc_text(process.pid)
        good_file(tmp_path, more=f'\nreceive-key = "{key_text(2)}"\n')
        process.send_signal(signal.SIGHUP)
        until(lambda: b"stays as it is" in (tmp_path / "stderr").read_bytes(), "the broken file to be refused")
        process.send_signal(signal.SIGTERM)
        shown += wait_for(process, "summary")
        assert process.wait(60) == 0
    assert b"srtpgw_" in shown
    state = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "relay.toml"]
    assert len(state) >= 3
    assert_clean(shown + b"".join(path.read_bytes() for path in state))


def test_a_relay_on_a_terminal_shows_no_key(tmp_path: Path) -> None:
    _, ports = good_file(tmp_path)
    master, slave = pty.openpty()
    shown = b""
    with relay(tmp_path, "--interval", "0.1", stdout=slave) as process:
        os.close(slave)
        for wanted in (b"legs", b"auth-failed"):
            while wanted not in shown and (chunk := read_terminal(master)):
                shown += chunk
            send_through(ports)
        process.send_signal(signal.SIGTERM)
        while chunk := read_terminal(master):
            shown += chunk
        assert b"auth-failed" in shown
        assert process.wait(60) == 0
    os.close(master)
    assert_clean(shown + (tmp_path / "stderr").read_bytes())


def read_terminal(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux says EIO when the last process has closed the other side
        return b""


@pytest.mark.parametrize(
    "fault",
    [
        lambda text: text.replace(key_text(2), key_text(1)),
        lambda text: text.replace(key_text(2), key_text(2)[:-5]),
        lambda text: text.replace(key_text(1), key_text(1) + "|2^49"),
        lambda text: text.replace(f'"{key_text(1)}"', f'"{key_text(1)}'),
        lambda text: text.replace("receive-key", "recieve-key"),
        lambda text: text.replace(f'"{key_text(1)}"', f'["{key_text(1)}", "{key_text(1)}"]'),
        lambda text: text.replace("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"),
    ],
    ids=["reflected", "cut", "lifetime", "no quote", "misspelt", "twice", "suite"],
)
def test_faults_of_a_file_show_no_key(
    tmp_path: Path, fault: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    from srtpgw.relay import daemon
    from srtpgw.relay.file import load_relay

    good_file(tmp_path)
    path = tmp_path / "relay.toml"
    path.write_text(fault(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert daemon.check(path, as_json=True) == daemon.EXIT_FILE
    printed = capfd.readouterr()
    assert '"good": false' in printed.out
    with pytest.raises(ConfigError) as caught:
        load_relay(path)
    assert_clean(printed.out + printed.err + "".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("allowed", [False, True], ids=["by default", "--allow-core"])
def test_core_files(tmp_path: Path, allowed: bool) -> None:
    """A relay that crashes leaves no core, whatever the limits allowed before; with --allow-core it may."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii")
    if allowed and (resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 or pattern.startswith(("|", "/"))):
        pytest.skip("core files are not allowed here, or go elsewhere, so that of --allow-core cannot be seen")
    good_file(tmp_path)
    with core_allowed(), relay(tmp_path, "--json", *(["--allow-core"] if allowed else [])) as process:
        wait_for(process, "started")
        process.send_signal(signal.SIGABRT)
        status = os.waitpid(process.pid, 0)[1]
        process.returncode = -os.WTERMSIG(status)
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert os.WCOREDUMP(status) == allowed
    cores = [path for path in tmp_path.iterdir() if path.name.startswith("core")]
    assert allowed or cores == []
    for core in cores:
        assert_no_session_key(core)


@contextmanager
def core_allowed() -> Iterator[None]:
    """What is started within may leave a core file."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def assert_no_session_key(core: Path) -> None:
    """The file holds master keys (text of the relay file), but no session key: those pages are left out."""
    shown = core.read_bytes()
    core.unlink()
    assert KEYS[0] in shown or key_text(1).encode() in shown, "this is not the core that was looked for"
    assert not [part for key in KEYS for part in derived(key) if part in shown]


# --- a core of a gateway, forced -------------------------------------------------------------------------------------

HOLDER = """
import gc, os, sys
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.srtp import MasterKey

suite, size, phone, trunk = sys.argv[1], *map(int, sys.argv[2:])

def call(gateway):
    receive, transmit = (MasterKey(os.read(0, size)) for _ in range(2))
    keys = {"suite": suite, "receive_keys": (receive,), "transmit_keys": (transmit,)}
    a = gateway.open_leg(LegSettings(type="extension", remote=Address("127.0.0.1", phone), rtcp_mux=True, **keys))
    b = gateway.open_leg(LegSettings(type="route", remote=Address("127.0.0.1", trunk), rtcp_mux=True))
    return gateway.join(a, b)

with MediaGateway(workers=1, media_encryption={"extension": True}) as gateway:
    session = call(gateway)
    print(*(leg.local.port for leg in session.legs), flush=True)
    os.read(0, 1)
    gateway.close(session)
    del session
    gc.collect()
    print("closed", flush=True)
    os.read(0, 1)
"""


def converse(phone: End, trunk: End, local: Sequence[int]) -> None:
    """Media, RTCP, replays and forged packets, so that every path that holds a key has run."""
    assert phone.out is not None
    assert phone.into is not None
    for number in range(1, 200):
        sealed = phone.sealed(phone.packet(), phone.index)
        phone.index += 1
        for wire in (sealed, sealed, phone.packet(), phone.out.seal_rtcp(packet.rtcp(1), number)):
            phone.rtp.socket.sendto(wire, ("127.0.0.1", local[0]))
        for wire in (trunk.packet(ahead=number), packet.rtcp(2)):
            trunk.rtp.socket.sendto(wire, ("127.0.0.1", local[1]))
        if number % 20 == 0:
            until(lambda n=number: len(trunk.rtp.heard) + len(trunk.rtp.drain()) >= 2 * n, "media at the trunk")  # type: ignore[misc]


@pytest.mark.parametrize("suite", [SUITE, "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"])
def test_a_forced_core_of_a_gateway(scene: Stage, suite: str) -> None:
    """During a call session keys, and AES round keys, are only where a core file does not look; afterwards nowhere."""
    phone, trunk = End(encrypted=True, mux=True, suite=suite), End(encrypted=False, mux=True)
    assert phone.out is not None
    assert phone.into is not None
    ports = [str(end.rtp.address.port) for end in (phone, trunk)]
    masters = [keyed.master.key_and_salt for keyed in (phone.out, phone.into)]
    used = named(masters, lambda key: cipher_keys(key, suite))
    secrets = used | {f"auth {name}": part for name, part in named(masters, lambda key: auth_keys(key, suite)).items()}
    master_keys = named(masters, lambda key: [key[: SUITES[suite].key_length]])
    command = [sys.executable, "-c", HOLDER, suite, str(len(masters[0])), *ports]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for master in masters:
            process.stdin.write(master)
        converse(phone, trunk, [int(port) for port in process.stdout.readline().split()])
        during = find(process.pid, secrets)
        assert {hit.secret for hit in during} == set(used), "the search does not find keys in use"
        assert not [hit for hit in during if hit.dumped]
        process.stdin.write(b"\n")
        assert process.stdout.readline() == b"closed\n"
        assert find(process.pid, secrets) == []
        # the octets object that the script made of each master key, and no copy of ours
        left = find(process.pid, master_keys)
        assert len(left) <= 2, left
        process.stdin.write(b"\n")
        assert process.wait(60) == 0


def named(masters: Sequence[bytes], parts: Callable[[bytes], list[bytes]]) -> dict[str, bytes]:
    """Parts of the keys of both directions by a name each."""
    ways = zip(("receive", "transmit"), masters, strict=True)
    return {f"{way} {at}": part for way, master in ways for at, part in enumerate(parts(master))}


def cipher_keys(master: bytes, suite: str) -> list[bytes]:
    """All round keys of both ciphers: the first is, or the first two are, the session key itself."""
    return [each for keys in keys_of(master, suite) for each in round_keys(keys.cipher)]


def auth_keys(master: bytes, suite: str) -> list[bytes]:
    return [keys.auth for keys in keys_of(master, suite) if keys.auth]


def test_round_keys() -> None:
    """FIPS 197, A.1 and A.3."""
    assert round_keys(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))[10].hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6"
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    assert round_keys(key)[14].hex() == "fe4890d1e6188d0b046df344706c631e"
