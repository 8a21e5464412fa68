"""``srtpgw relay`` as a process of its own: real sockets, real signals, real files."""

from __future__ import annotations

import fcntl
import io
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import termios
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from unit.relay_files import HEAD, SUITE, free_ports, key, key_text, octets, session, write

from srtpgw.media.statistics import COUNTERS
from srtpgw.srtp import Receiver, Sender

PATIENCE = 20.0  # seconds; what is waited for takes well under one


class Process:
    """A running relay, its JSON lines read as they come."""

    def __init__(self, file: Path, *options: str) -> None:
        command = [sys.executable, "-m", "srtpgw.cli", "relay", str(file), "--json", "--interval", "0.1", *options]
        environment = os.environ | {"SRTPGW_STATE_DIR": str(file.parent / "register")}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.output = ""
        self.errors = ""
        self._threads = [threading.Thread(target=read) for read in (self._read_lines, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            self.lines.put(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line

    def wait_line(self, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            line = self.lines.get(timeout=PATIENCE)
            if good(line):
                return line

    def wait_kind(self, kind: str) -> dict[str, Any]:
        return self.wait_line(lambda line: bool(line["type"] == kind))

    def end(self, number: int | None = signal.SIGTERM) -> int:
        """Signal it (None: it ends by itself) and wait. The exit status."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return status


class Scene:
    """A relay file with one session, far ends for it, and the processes started over it."""

    def __init__(self, base: Path) -> None:
        self.ports = free_ports(8)
        self.file = write(base / "relay.toml", self.text())
        self.phone, self.trunk = (self._socket(port) for port in self.ports[2:4])
        self.sender = Sender(SUITE, [key(1)])
        self._running: list[Process] = []

    def text(self, *, more: str = "") -> str:
        return HEAD + session(local=(self.ports[0], self.ports[1]), remote=(self.ports[2], self.ports[3])) + more

    def other(self) -> str:
        ports = self.ports[4:]
        return session("other", local=(ports[0], ports[1]), remote=(ports[2], ports[3]), keys=(3, 4))

    def _socket(self, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", port))
        made.settimeout(PATIENCE)
        return made

    def start(self, *options: str) -> Process:
        self._running.append(Process(self.file, *options))
        return self._running[-1]

    def ready(self, *options: str) -> Process:
        process = self.start(*options)
        process.wait_kind("started")
        return process

    def from_trunk(self, sequence: int, payload: bytes = b"payload") -> bytes:
        self.trunk.sendto(rtp(sequence, payload), ("127.0.0.1", self.ports[1]))
        return self.phone.recv(2048)

    def close(self) -> None:
        for process in self._running:
            if process.process.poll() is None:
                process.process.kill()
            process.end(None)
            for stream in (process.process.stdout, process.process.stderr):
                if stream is not None:
                    stream.close()
        self.phone.close()
        self.trunk.close()


def rtp(sequence: int, payload: bytes = b"payload") -> bytes:
    return bytes([0x80, 0]) + sequence.to_bytes(2, "big") + bytes(4) + b"SSRC" + payload


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_in_order(scene: Scene, number: int) -> None:
    relay = scene.ready()
    receiver = Receiver(SUITE, [key(2)])
    assert receiver.unprotect(scene.from_trunk(1)) == rtp(1)
    scene.phone.sendto(scene.sender.protect(rtp(7)), ("127.0.0.1", scene.ports[0]))
    assert scene.trunk.recv(2048) == rtp(7)
    assert relay.end(number) == 0
    last = relay.wait_kind("summary")
    assert [leg["name"] for leg in last["legs"]] == ["phone-to-trunk/1", "phone-to-trunk/2"]
    assert [leg["rtp"]["received_packets"] for leg in last["legs"]] == [1, 1]
    assert [leg["rtp"]["sent_packets"] for leg in last["legs"]] == [1, 1]
    assert relay.errors == ""
    # Its state is exact: the source goes on as itself.
    again = scene.ready()
    assert receiver.unprotect(scene.from_trunk(2)) == rtp(2)
    assert again.end() == 0


def test_a_killed_relay_uses_no_index_again(scene: Scene) -> None:
    seen: set[bytes] = set()
    for payload in (b"first", b"second", b"third"):
        relay = scene.ready()
        receiver = Receiver(SUITE, [key(2)])
        for sequence in range(1000, 1010):
            wire = scene.from_trunk(sequence, payload)
            assert receiver.unprotect(wire)[12:] == payload
            index = wire[2:4] + wire[8:12]
            assert index not in seen
            seen.add(index)
        assert relay.end(signal.SIGKILL) == -signal.SIGKILL


def test_a_change_of_file_is_taken_on_hangup_without_touching_the_rest(scene: Scene) -> None:
    relay = scene.ready()
    receiver = Receiver(SUITE, [key(2)])
    sequence = 0
    other = scene.other()
    steps = [
        (other, {"added": ["other"]}),
        (other.replace('type = "route"', 'type = "route"\nhold = true'), {"changed": ["other"]}),
        (other.replace('type = "route"', 'type = "route"\nrtcp-mux = true'), {"reopened": ["other"]}),
        ("", {"removed": ["other"]}),
    ]
    for more, expected in steps:
        write(scene.file, scene.text(more=more))
        relay.process.send_signal(signal.SIGHUP)
        told: dict[str, Any] | None = None
        while told is None or sequence % 100:
            # Media of the untouched session flows all the while, and nothing of it is lost.
            sequence += 1
            assert receiver.unprotect(scene.from_trunk(sequence)) == rtp(sequence)
            while not relay.lines.empty():
                line = relay.lines.get()
                told = line if line["type"] == "reloaded" else told
        done = {name: told[name] for name in ("added", "removed", "changed", "reopened", "failed") if told[name]}
        assert done == expected
    assert relay.end() == 0
    last = relay.wait_kind("summary")
    assert last["legs"][1]["rtp"]["received_packets"] == last["legs"][0]["rtp"]["sent_packets"] == sequence
    assert relay.errors == ""


def test_a_faulty_file_is_refused_and_the_old_one_goes_on(scene: Scene) -> None:
    relay = scene.ready()
    write(scene.file, scene.text(more=scene.other().replace(SUITE, "NO_SUITE")).replace("remote", "remoat", 1))
    relay.process.send_signal(signal.SIGHUP)
    while "stays as it is" not in relay.errors:
        relay.wait_kind("statistics")
    assert f"{scene.file}: session[phone-to-trunk].leg[1].remoat: is not known; did you mean remote?" in relay.errors
    assert f"{scene.file}: session[other].leg[1].suite: is not one of" in relay.errors
    assert Receiver(SUITE, [key(2)]).unprotect(scene.from_trunk(1)) == rtp(1)
    assert relay.end() == 0


def test_gateway_settings_wait_for_the_next_start(scene: Scene) -> None:
    relay = scene.ready()
    write(scene.file, "[gateway]\nworkers = 1\n" + scene.text())
    relay.process.send_signal(signal.SIGHUP)
    told = relay.wait_kind("reloaded")
    assert not any(told[name] for name in ("added", "removed", "changed", "reopened", "failed"))
    assert relay.end() == 0
    assert "take effect at the next start" in relay.errors


def test_flags_and_legs_may_change_together(scene: Scene) -> None:
    relay = scene.ready()
    plain = "".join(
        line for line in scene.text().splitlines(keepends=True) if "-key" not in line and "suite" not in line
    )
    write(scene.file, plain.replace('"on"', '"off"'))
    relay.process.send_signal(signal.SIGHUP)
    assert relay.wait_kind("reloaded")["reopened"] == ["phone-to-trunk"]
    assert scene.from_trunk(1) == rtp(1)
    assert relay.end() == 0


def test_events_come_with_the_readings(scene: Scene) -> None:
    write(scene.file, scene.text().replace('type = "route"', 'type = "route"\nmedia-timeout = 0.2'))
    relay = scene.ready()
    line = relay.wait_line(lambda line: bool(line.get("events")))
    (event,) = line["events"]
    assert (event["event"], event["name"], event["leg"]) == ("media-timeout", "phone-to-trunk/2", 2)
    assert abs(event["time"] - line["time"]) < PATIENCE
    assert relay.end() == 0


def test_a_taken_port_is_named_and_nothing_stays_open(scene: Scene) -> None:
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", scene.ports[1] + 1))
    with holder:
        relay = scene.start()
        assert relay.end(None) == 2
    assert f"{scene.file}: session[phone-to-trunk].leg[2].local: " in relay.errors
    assert "taken" in relay.errors
    assert relay.output == ""
    assert scene.ready().end() == 0


def test_two_relays_of_one_file(scene: Scene) -> None:
    scene.ready()
    second = scene.start()
    assert second.end(None) == 2
    assert "in use by another relay" in second.errors


def test_a_used_file_without_its_state_is_refused(scene: Scene) -> None:
    assert scene.ready().end() == 0
    Path(f"{scene.file}.state").unlink()
    refused = scene.start()
    assert refused.end(None) == 2
    assert "session[phone-to-trunk].leg[1].transmit-key: was used before" in refused.errors
    assert "--allow-index-reuse" in refused.errors
    assert scene.ready("--allow-index-reuse").end() == 0
    assert scene.ready().end() == 0


def test_libsrtp_as_the_provider(scene: Scene) -> None:
    relay = scene.ready("--crypto", "libsrtp", "--workers", "1")
    assert Receiver(SUITE, [key(2)]).unprotect(scene.from_trunk(1)) == rtp(1)
    assert relay.end() == 0
    refused = scene.start("--crypto", "libsrtp")
    assert refused.end(None) == 2
    assert "libsrtp cannot take up its indices" in refused.errors
    # Natively every source is renamed, for nobody knows what libsrtp sent.
    native = scene.ready()
    assert scene.from_trunk(1)[8:12] != b"SSRC"
    assert native.end() == 0


def test_metrics_are_served_from_the_counter_table(scene: Scene) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    relay = scene.ready("--metrics", f"127.0.0.1:{port}")
    scene.from_trunk(1)
    scene.trunk.sendto(b"noise", ("127.0.0.1", scene.ports[1]))
    relay.wait_line(lambda line: line["type"] == "statistics" and line["legs"][1]["rtp"]["drops"])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    labels = 'leg="2",media="rtp",name="phone-to-trunk/2",type="route"'
    for name, words in COUNTERS.items():
        assert f"# HELP srtpgw_leg_{name}_total {words}" in text
        assert f"srtpgw_leg_{name}_total{{{labels}}}" in text
    labels = labels.replace(",type", ',reason="not-media",type')
    assert f"srtpgw_leg_dropped_packets_total{{{labels}}} 1.0" in text
    assert relay.end() == 0


def test_metrics_at_a_taken_port_are_a_failure_while_running(scene: Scene) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        relay = scene.start("--metrics", f"127.0.0.1:{holder.getsockname()[1]}")
        assert relay.end(None) == 1
    assert "metrics cannot be served" in relay.errors
    assert not Path(f"{scene.file}.state").exists()


@pytest.fixture
def unread(scene: Scene) -> Iterator[tuple[subprocess.Popen[bytes], io.FileIO]]:
    """A relay that writes into a small pipe, and the pipe's other end."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    environment = os.environ | {"SRTPGW_STATE_DIR": str(scene.file.parent / "register")}
    command = [sys.executable, "-m", "srtpgw.cli", "relay", str(scene.file), "--interval", "0.1"]
    process = subprocess.Popen(command, stdout=writer, env=environment)
    os.close(writer)
    with io.FileIO(reader) as pipe:
        yield process, pipe
    if process.poll() is None:
        process.kill()
        process.wait(PATIENCE)


def test_when_nobody_reads_any_more_it_stops_in_order(
    scene: Scene, unread: tuple[subprocess.Popen[bytes], io.FileIO]
) -> None:
    process, reader = unread
    assert b'"started"' in reader.read(4096)
    receiver = Receiver(SUITE, [key(2)])
    assert receiver.unprotect(scene.from_trunk(1)) == rtp(1)
    reader.close()
    assert process.wait(PATIENCE) == 0
    scene.ready()
    assert receiver.unprotect(scene.from_trunk(2)) == rtp(2)


def test_a_stalled_reader_does_not_keep_a_signal_from_stopping_it(
    scene: Scene, unread: tuple[subprocess.Popen[bytes], io.FileIO]
) -> None:
    process, reader = unread
    waiting = 0
    while waiting < 2000:  # octets: another reading does not fit behind them
        assert process.poll() is None
        waiting = int.from_bytes(fcntl.ioctl(reader, termios.FIONREAD, bytes(4)), sys.byteorder)
    receiver = Receiver(SUITE, [key(2)])
    assert receiver.unprotect(scene.from_trunk(1)) == rtp(1)
    process.terminate()
    assert process.wait(PATIENCE) == 0
    scene.ready()
    assert receiver.unprotect(scene.from_trunk(2)) == rtp(2)


def test_no_key_is_ever_shown(scene: Scene) -> None:
    relay = scene.ready()
    scene.from_trunk(1)
    command = (
        Path(f"/proc/{relay.process.pid}/cmdline").read_bytes()
        + Path(f"/proc/{relay.process.pid}/environ").read_bytes()
    )
    write(scene.file, scene.text().replace(key_text(1), key_text(1)[:-2]))
    relay.process.send_signal(signal.SIGHUP)
    while "stays as it is" not in relay.errors:
        relay.wait_kind("statistics")
    relay.end()
    state = Path(f"{scene.file}.state").read_bytes()
    shown = relay.output.encode() + relay.errors.encode() + command + state
    for number in (1, 2):
        raw = octets(number)
        for form in (raw, raw[:16], raw.hex().encode(), raw[:16].hex().encode(), key_text(number)[7:27].encode()):
            assert form not in shown
            assert form.lower() not in shown.lower()


def test_the_process_writes_no_core_unless_asked(scene: Scene) -> None:
    def core_limit(relay: Process) -> list[str]:
        limits = Path(f"/proc/{relay.process.pid}/limits").read_text()
        return next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4:6]

    relay = scene.ready()
    assert core_limit(relay) == ["0", "0"]
    relay.end()
    relay = scene.ready("--allow-core")
    assert core_limit(relay) == Path("/proc/self/limits").read_text().split("Max core file size")[1].split()[:2]
    relay.end()
