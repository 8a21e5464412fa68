"""Services in this process, and what tests ask of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from srtpgw.config import ProcessConfig, load
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import Change, State
from srtpgw.control.store import Store
from srtpgw.service.daemon import Options, Service, open_service
from srtpgw.service.log import Log
from srtpgw.writer import Writer

POLLS_MAX = 500  # of 10 ms: a hundred times what anything takes


class Heard(Writer):
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def put(self, octets: bytes) -> None:
        self.lines += [json.loads(line) for line in octets.splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Those of one kind, without what every line has."""
        common = ("time", "level", "event")
        return [
            {key: value for key, value in line.items() if key not in common}
            for line in self.lines
            if line["event"] == name
        ]


def configured(base: Path, **options: str) -> ProcessConfig:
    """Settings with a state directory below ``base``; nothing of the environment."""
    given = {name.replace("_", "-"): text for name, text in options.items()}
    return load({"state-dir": str(base / "state"), "workers": "1", **given}, environ={}, user=4711)


@contextmanager
def opened(config: ProcessConfig, **options: Any) -> Iterator[tuple[Service, Heard]]:
    """A service that does not serve yet, with its log."""
    heard = Heard()
    with open_service(config, Options(allow_core=True, **options), Log(heard, as_json=True)) as service:
        yield service, heard


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[asyncio.Task[None]]:
    """The service at work; stopped at the end as a second signal does."""
    task = asyncio.create_task(service.serve())
    try:
        await until(lambda: task.done() or (service.directory.path / "status.sock").exists())
        yield task
    finally:
        service.stop()
        service.stop()
        await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, so long and no longer."""
    for _ in range(POLLS_MAX):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come")


def change(base: Path, *changes: Change) -> State:
    """As another process would: with a store of its own."""
    directory = StateDirectory(base / "state")
    with Store(directory.database) as store:
        with store.change() as transaction:
            transaction.apply(changes)
        return store.read()


def descriptors() -> set[str]:
    """Those of this process that are open."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208
