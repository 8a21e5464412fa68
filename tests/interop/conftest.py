"""Fixtures of the tests over the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from interop.wire import Stage, stage


@pytest.fixture
def crypto() -> str:
    """Which SRTP provider the gateway of `scene` runs; parametrize to run others."""
    return "native"


@pytest.fixture
def scene(request: pytest.FixtureRequest, crypto: str) -> Iterator[Stage]:
    """A running gateway with a good call; see Stage. Nothing is settled where the test has failed already."""
    failed = request.session.testsfailed
    with stage(crypto=crypto) as running:
        yield running
        running.settled = request.session.testsfailed == failed
