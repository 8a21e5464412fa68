"""Fixtures of the tests of a relay's sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from unit.relay.bench import Bench, Ends
from unit.relay_files import free_ports


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with closing(Bench(tmp_path)) as made:
        yield made


@pytest.fixture
def ports() -> list[int]:
    return free_ports(8)


@pytest.fixture
def ends(ports: list[int]) -> Iterator[Ends]:
    with closing(Ends(ports)) as made:
        yield made
