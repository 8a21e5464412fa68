"""What a running relay writes to stdout, against readers that stall, go away, or were never there."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from unit.relay_files import HEAD, free_ports, session, write

from srtpgw.media.gateway import MediaGateway
from srtpgw.media.statistics import Event
from srtpgw.relay.output import EVENTS_MAX, JsonOutput
from srtpgw.writer import PIECES_MAX, Writer

PATIENCE = 20.0  # seconds
RELAY = [sys.executable, "-m", "srtpgw.cli", "relay"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    ports = free_ports(4)
    return write(tmp_path / "[b]relay.toml", HEAD + session(local=(ports[0], ports[1]), remote=(ports[2], ports[3])))


def environment(file: Path) -> dict[str, str]:
    return os.environ | {"SRTPGW_STATE_DIR": str(file.parent / "register"), "TERM": "xterm", "COLUMNS": "100"}


class Screen:
    """A relay on a terminal of its own."""

    def __init__(self, file: Path, *options: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*RELAY, str(file), *options],
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, env=environment(file), start_new_session=True,
        )  # fmt: skip
        self.seen = b""

    def wait(self, text: bytes) -> None:
        while text not in self.seen:
            self.seen += os.read(self.ours, 4096)

    def hang_up(self) -> None:
        os.close(self.theirs)
        os.close(self.ours)
        self.ours = self.theirs = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        for handle in (self.ours, self.theirs):
            with suppress(OSError):
                os.close(handle)


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    made: list[Screen] = []
    yield made
    for screen in made:
        screen.close()


def is_settled(file: Path) -> bool:
    """Whether the sending state on disk is the final one."""
    return '"exact":true' in Path(f"{file}.state").read_text(encoding="ascii")


def test_the_table_is_drawn_at_the_start(file: Path, screens: list[Screen]) -> None:
    screens.append(screen := Screen(file, "--interval", "3600"))
    screen.wait(b"phone-to-trunk/2")
    assert b"[b]relay.toml:2legs" in b"".join(screen.seen.split())  # a long path is folded anywhere


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_that_is_held_keeps_no_signal_from_stopping_it(
    file: Path, screens: list[Screen], number: int
) -> None:
    screens.append(screen := Screen(file, "--interval", "0.1"))
    screen.wait(b"phone-to-trunk/2")
    termios.tcflow(screen.theirs, termios.TCOOFF)  # what Ctrl-S does
    time.sleep(0.5)  # some readings
    screen.process.send_signal(number)
    assert screen.process.wait(PATIENCE) == 0
    assert is_settled(file)


def test_a_terminal_that_goes_away_stops_it_in_order(file: Path, screens: list[Screen]) -> None:
    screens.append(screen := Screen(file, "--interval", "3600"))
    screen.wait(b"phone-to-trunk/2")
    screen.hang_up()
    screen.process.send_signal(signal.SIGHUP)
    assert screen.process.wait(PATIENCE) == 0
    assert is_settled(file)


def test_it_says_that_nobody_reads(file: Path) -> None:
    with subprocess.Popen(
        [*RELAY, str(file), "--interval", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(file)
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b"srtpgw: stdout was closed (Broken pipe): the relay stops\n"


def test_a_pipe_that_does_not_block_is_waited_for(file: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([*RELAY, str(file), "--interval", "0.1"], stdout=writer, env=environment(file)) as process:
        os.close(writer)
        with io.FileIO(reader) as pipe:
            assert json.loads(pipe.readline())["type"] == "started"
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)  # until the pipe is full
            assert process.poll() is None
            process.terminate()
            # Read again, all that waited comes out, whole.
            last = [json.loads(line) for line in pipe][-1]
            assert last["type"] == "summary"
        assert process.wait(PATIENCE) == 0


def test_without_a_stdout_it_does_not_start(file: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *RELAY, str(file)]
    done = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, env=environment(file), timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "srtpgw: stdout is closed: send it to /dev/null if nobody is to see it\n",
    )
    assert not Path(f"{file}.state").exists()


def test_what_waits_for_a_reader_is_bounded() -> None:
    reader, writer_end = os.pipe()
    writer = Writer(writer_end)
    for _ in range(1000):
        writer.put(bytes(100_000))
    assert len(writer._waiting) <= PIECES_MAX
    os.close(reader)
    writer.close()
    writer.put(b"into nothing")
    os.close(writer_end)


def test_many_short_lines_are_all_written(tmp_path: Path) -> None:
    with (tmp_path / "lines").open("wb") as target:
        writer = Writer(target.fileno())
        for number in range(5000):
            writer.put(b"%d\n" % number)
        writer.close()
    assert (tmp_path / "lines").read_bytes().split() == [b"%d" % number for number in range(5000)]


def test_a_stalled_stderr_keeps_no_signal_from_stopping_it(file: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(
        [*RELAY, str(file), "--interval", "0.1"], stdout=subprocess.PIPE, stderr=writer, env=environment(file)
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        write(file, "".join(f"unknown-name-{number} = 1\n" for number in range(500)))
        process.send_signal(signal.SIGHUP)
        for _ in range(5):
            process.stdout.readline()
        process.terminate()
        assert process.wait(PATIENCE) == 0
    os.close(reader)
    os.close(writer)


class Held:
    """A writer whose reader stalls as told."""

    busy = False

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def put(self, octets: bytes) -> None:
        self.lines.append(json.loads(octets))


def test_events_wait_for_the_reader() -> None:
    held = Held()
    output = JsonOutput(held)  # type: ignore[arg-type]
    with MediaGateway(workers=1) as gateway:
        statistics = gateway.statistics()
        held.busy = True
        for number in range(EVENTS_MAX + 10):
            output.reading(statistics, [Event("media-timeout", number, "a/1", 0.0, {})])
        assert held.lines == []
        held.busy = False
        output.reading(statistics, [])
        output.reading(statistics, [])
    assert [event["leg"] for event in held.lines[0]["events"]] == list(range(10, EVENTS_MAX + 10))
    assert held.lines[1]["events"] == []
