"""Fixtures of the tests of the control module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srtpgw.control.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "srtpgw.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A new store, open."""
    with Store(path) as opened:
        yield opened
