"""The status socket: answers, and clients that mean no good."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from unit.service.services import descriptors, until

from srtpgw.errors import SrtpgwError
from srtpgw.service import command, status
from srtpgw.service.status import ANSWER_MAX, CLIENTS_MAX, REQUEST, REQUEST_MAX, SOCKET_NAME, StatusServer, ask

Case = Callable[[StatusServer, Path], Awaitable[None]]


@asynccontextmanager
async def server(directory: Path, answer: dict[str, Any] | None = None) -> AsyncIterator[StatusServer]:
    async def report() -> dict[str, Any]:
        return answer or {"running": True}

    made = StatusServer(directory, report)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def client(directory: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(5)
    made.connect(str(directory / SOCKET_NAME))
    return made


async def said(one: socket.socket) -> bytes:
    """Everything until the server closes."""

    def read() -> bytes:
        pieces = []
        try:
            while piece := one.recv(1 << 16):
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)

    return await asyncio.to_thread(read)


def attempt(directory: Path, case: Case, **more: Any) -> None:
    async def run() -> None:
        async with server(directory, **more) as made:
            await case(made, directory)

    asyncio.run(run())


def test_an_answer_comes_and_nothing_is_left_behind(tmp_path: Path) -> None:
    before = len(descriptors())

    async def case(_: StatusServer, directory: Path) -> None:
        assert stat.S_IMODE((directory / SOCKET_NAME).stat().st_mode) == 0o600
        for _again in range(20):
            assert await asyncio.to_thread(ask, directory) == {"running": True}

    attempt(tmp_path, case)
    assert not (tmp_path / SOCKET_NAME).exists()
    assert ask(tmp_path) is None
    assert len(descriptors()) <= before + 2  # the loop's executor may keep a pipe


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 50] * 4)
    deep.mkdir(parents=True)

    async def case(_: StatusServer, directory: Path) -> None:
        assert await asyncio.to_thread(ask, directory) == {"running": True}

    attempt(deep, case)


def test_what_a_killed_service_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / SOCKET_NAME))
    assert ask(tmp_path) is None

    async def case(_: StatusServer, directory: Path) -> None:
        assert await asyncio.to_thread(ask, directory) == {"running": True}

    attempt(tmp_path, case)


@pytest.mark.parametrize(
    "request_line",
    [
        b"other\n",
        b"\n",
        b"status",
        b"\0" * 10 + b"\n",
        b"x" * (REQUEST_MAX * 100),
        b'{"request":"status"}\n',
        b"statuss\n",
    ],
)
def test_another_request_gets_no_answer(request_line: bytes, tmp_path: Path) -> None:
    async def case(_: StatusServer, directory: Path) -> None:
        with client(directory) as one:
            with suppress(BrokenPipeError, ConnectionResetError):  # it was long, and the server had enough
                one.sendall(request_line)
                one.shutdown(socket.SHUT_WR)
            assert await said(one) == b""
        assert await asyncio.to_thread(ask, directory) == {"running": True}

    attempt(tmp_path, case)


def test_silent_and_slow_clients_go_when_their_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.1)

    async def case(made: StatusServer, directory: Path) -> None:
        with client(directory) as silent, client(directory) as slow, client(directory) as half:
            half.sendall(REQUEST[:3])
            slow.sendall(REQUEST)  # and takes nothing
            assert await said(silent) == b""
            assert await said(half) == b""
            await until(lambda: not made.clients)

    attempt(tmp_path, case, answer={"long": "x" * (ANSWER_MAX // 2)})


def test_of_many_clients_few_are_heard_and_the_rest_turned_away(tmp_path: Path) -> None:
    before = len(descriptors())

    async def case(made: StatusServer, directory: Path) -> None:
        with ExitStack() as stack:
            for _ in range(CLIENTS_MAX):
                stack.enter_context(client(directory))
            await until(lambda: len(made.clients) == CLIENTS_MAX)
            for number in range(500):
                with client(directory) as late:
                    if number % 10 == 0:
                        assert await said(late) == b""
                if number % 10 == 9:
                    await asyncio.sleep(0)
            await until(lambda: made.turned_away == 500)
            assert len(made.clients) == CLIENTS_MAX
        await until(lambda: not made.clients)
        assert len(descriptors()) < before + 20
        assert await asyncio.to_thread(ask, directory) == {"running": True}

    attempt(tmp_path, case)


def test_an_answer_serves_all_who_ask_at_once(tmp_path: Path) -> None:
    count = 0

    async def report() -> dict[str, Any]:
        nonlocal count
        count += 1
        await asyncio.sleep(0.01)
        return {"made": count}

    async def run() -> None:
        made = StatusServer(tmp_path, report)
        await made.start()
        try:
            answers = await asyncio.gather(*(asyncio.to_thread(ask, tmp_path) for _ in range(CLIENTS_MAX)))
        finally:
            await made.close()
        assert answers == [{"made": 1}] * CLIENTS_MAX

    asyncio.run(run())


def test_another_user_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_CREDENTIALS", _Stranger())

    async def case(made: StatusServer, directory: Path) -> None:
        with client(directory) as one:
            assert await said(one) == b""
        assert made.turned_away == 1

    attempt(tmp_path, case)


class _Stranger(struct.Struct):
    """Reads every peer as user 4711: another user cannot be had in one process."""

    def __init__(self) -> None:
        super().__init__("3i")

    def unpack(self, packed: Any) -> tuple[Any, ...]:
        process, _, group = super().unpack(packed)
        return process, 4711, group


@pytest.mark.parametrize("answer", [b"", b"not JSON\n", b"[1]\n", b'"text"\n', b"[" * 100_000, b"x" * (ANSWER_MAX + 1)])
def test_a_strange_answer_is_a_fault_and_no_traceback(answer: bytes, tmp_path: Path) -> None:
    async def run() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(answer)
            with suppress(ConnectionError):
                await writer.drain()
            writer.close()

        server = await asyncio.start_unix_server(handle, tmp_path / SOCKET_NAME)
        async with server:
            with pytest.raises(SrtpgwError):
                await asyncio.to_thread(ask, tmp_path)

    asyncio.run(run())


def test_a_service_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "CLIENT_PATIENCE", 0.1)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / SOCKET_NAME))
        mute.listen()
        with pytest.raises(SrtpgwError, match="gives no answer: it is busy, or hangs"):
            ask(tmp_path)


def test_an_answer_in_drops_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "CLIENT_PATIENCE", 0.2)

    async def run() -> None:
        ended = asyncio.Event()

        async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            writer.transport.abort()
            ended.set()

        server = await asyncio.start_unix_server(handle, tmp_path / SOCKET_NAME)
        async with server:
            with pytest.raises(SrtpgwError, match="gives no answer"):
                await asyncio.to_thread(ask, tmp_path)
            await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(run())


REPORT: dict[str, Any] = {
    "running": True, "state_dir": "/var/lib/srtpgw", "version": "1", "draining": False, "pid": 1, "uptime_seconds": 1,
    "sessions": 0, "legs": 0, "workers": 1, "received_packets": 0, "sent_packets": 0, "dropped_packets": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    "answer", [{}, {"running": True}, {"running": "yes"}, REPORT | {"uptime_seconds": "long"}, REPORT | {"revision": 1}]
)
def test_the_status_of_something_else_is_a_fault_and_no_traceback(
    answer: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "ask", lambda _: answer)
    shown = CliRunner().invoke(command.status, ["--state-dir", str(tmp_path)])
    assert shown.exit_code == 1, shown
    assert "answers something else: is it of another version?" in shown.stderr
    assert "Traceback" not in shown.output


def test_an_answer_does_not_command_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "ask", lambda _: REPORT | {"state_dir": "\x1b]0;title\x07", "version": "\x1b[2J"})
    shown = CliRunner().invoke(command.status, ["--state-dir", str(tmp_path)])
    assert shown.exit_code == 0, shown
    assert "\x1b" not in shown.output
    assert "\\x1b[2J" in shown.output


def test_the_answer_is_one_line_of_json(tmp_path: Path) -> None:
    async def case(_: StatusServer, directory: Path) -> None:
        with client(directory) as one:
            one.sendall(REQUEST)
            got = await said(one)
        assert got.count(b"\n") == 1
        assert json.loads(got) == {"text": "a\nb"}

    attempt(tmp_path, case, answer={"text": "a\nb"})
