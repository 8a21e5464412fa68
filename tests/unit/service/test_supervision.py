"""One service per state directory, and its words to the service manager."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from srtpgw.errors import SrtpgwError
from srtpgw.service.supervision import LOCK_NAME, ServiceManager, only_one


def test_a_second_one_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    with only_one(tmp_path):
        with (
            pytest.raises(SrtpgwError, match=rf"at work in {tmp_path} already \(process {os.getpid()}\)"),
            only_one(tmp_path),
        ):
            pytest.fail("two at once")
        assert stat.S_IMODE((tmp_path / LOCK_NAME).stat().st_mode) == 0o600
    with only_one(tmp_path):
        pass


def test_what_a_killed_one_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_bytes(b"\xff" * 1000)
    with only_one(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SrtpgwError, match="cannot be opened"), only_one(tmp_path):
        pytest.fail("followed")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_what_it_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@{tmp_path.name}-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": name}).tell("READY=1", "STATUS=well")
        assert manager.recv(100) == b"READY=1\nSTATUS=well"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_to_be_told_is_no_fault(environ: dict[str, str]) -> None:
    ServiceManager(environ).tell("READY=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({"WATCHDOG_USEC": "9" * 400}, 0.0),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(environ: dict[str, str], seconds: float) -> None:
    assert ServiceManager(environ).watchdog_seconds == seconds
