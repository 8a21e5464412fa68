"""What a reload may meet inside the process: whatever it is, the relay goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from unit.relay.bench import Bench, one, two
from unit.relay_files import HEAD, write

from srtpgw import hardening
from srtpgw.errors import LibsrtpError, SrtpgwError, StateError
from srtpgw.relay import daemon
from srtpgw.relay.file import load_relay
from srtpgw.relay.sessions import Changes


class Silent:
    """An output that keeps what it is told of reloads."""

    def __init__(self) -> None:
        self.told: list[Changes] = []

    def reloaded(self, changes: Changes) -> None:
        self.told.append(changes)


@pytest.fixture
def running(bench: Bench, ports: list[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[daemon._Daemon]:
    monkeypatch.setenv("SRTPGW_STATE_DIR", str(bench.base / "register"))
    config = load_relay(write(bench.file, HEAD + one(ports) + two(ports)))
    made = daemon._Daemon(bench.gateway, config, daemon.Options(), Silent())  # type: ignore[arg-type]
    made._relay.open(config)
    with closing(made._relay):
        yield made


def reload(running: daemon._Daemon) -> None:
    asyncio.run(running._reload())


@pytest.mark.parametrize("error", [LibsrtpError("no such suite"), OSError(5, "gone"), SrtpgwError("other")])
def test_no_reload_ends_a_running_relay(
    running: daemon._Daemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(running._relay, "apply", fail)
    reload(running)
    assert capsys.readouterr().err == f"srtpgw: {error}\nsrtpgw: what runs stays as it is\n"


def test_descriptors_are_asked_for_what_is_open_at_a_time(
    running: daemon._Daemon, bench: Bench, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    legs: list[int] = []
    locked: list[int] = []
    monkeypatch.setattr(hardening, "need_descriptors", legs.append)
    monkeypatch.setattr(hardening, "want_locked_memory", locked.append)
    reload(running)
    write(bench.file, HEAD + one(ports))
    reload(running)
    write(bench.file, HEAD + one(ports, name="uno"))
    reload(running)
    assert legs == [4, 4, 4]  # both; one that stays and one that leaves; one that comes and one that leaves
    assert locked == [2, 1, 1]


def test_the_gateway_table_is_compared_with_the_start(
    running: daemon._Daemon, bench: Bench, ports: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    text = HEAD + one(ports) + two(ports)
    warned = []
    for head in ("[gateway]\nworkers = 1\n", "[gateway]\nworkers = 1\n", ""):
        write(bench.file, head + text)
        reload(running)
        warned.append("take effect at the next start" in capsys.readouterr().err)
    assert warned == [True, True, False]


def test_what_became_of_each_session_is_told(
    running: daemon._Daemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = Changes(
        failed={"a": SrtpgwError("a: taken")},
        refused={"b": SrtpgwError("b: no: the session goes on as it was")},
        unsaved=[StateError("state", "", "full")],
    )
    monkeypatch.setattr(running._relay, "apply", lambda _: changes)
    reload(running)
    assert capsys.readouterr().err.splitlines() == [
        "srtpgw: a: taken: the session is not running until the file is read again",
        "srtpgw: b: no: the session goes on as it was",
        "srtpgw: warning: state: full: sending state not saved: after a restart its sources are renamed",
    ]


def test_a_full_disk_at_the_stop_is_a_failure(running: daemon._Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise StateError("state", "", "full")

    with monkeypatch.context() as patch:
        patch.setattr(running._relay, "close", fail)
        with pytest.raises(SrtpgwError, match="not saved: sources are renamed at the next start") as caught:
            running._close()
    assert not isinstance(caught.value, StateError)  # that would be the file's fault: exit status 2


def test_a_core_that_is_not_there_is_a_fault_of_the_file(
    tmp_path: Path, ports: list[int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_gateway(**_: Any) -> None:
        pytest.fail("a gateway was made")

    monkeypatch.setattr("srtpgw.composition.MediaGateway", no_gateway)
    file = write(tmp_path / "relay.toml", "[gateway]\ncpus = [4001]\n" + HEAD + one(ports))
    assert daemon.run(file, daemon.Options(allow_core=True)) == 2
    assert capsys.readouterr().err == f"srtpgw: {file}: gateway.cpus: this host has no core 4001\n"
