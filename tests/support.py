"""What several tests share: finding outside programs, the size of a campaign, reference material."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

import srtpgw

ROOT = Path(__file__).resolve().parent.parent
FULL = os.environ.get("SRTPGW_FULL") == "1"
TRACED = os.environ.get("SRTPGW_TRACED") == "1"  # set by native/variant.py for its trace build
PEERS_REQUIRED = os.environ.get("SRTPGW_REQUIRE_PEERS") == "1"

# Debian package of each program that a test may ask for.
PACKAGES = {
    "baresip": "baresip-core",
    "capinfos": "wireshark-common",
    "dumpcap": "wireshark-common",
    "editcap": "wireshark-common",
    "faketime": "faketime",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "gst-inspect-1.0": "gstreamer1.0-tools",
    "gst-launch-1.0": "gstreamer1.0-tools",
    "ip": "iproute2",
    "linphonec": "linphone-cli",
    "openssl": "openssl",
    "rtpengine": "rtpengine-daemon",
    "sharkd": "wireshark-common",
    "sipp": "sip-tester",
    "tc": "iproute2",
    "tcpdump": "tcpdump",
    "tshark": "tshark",
}


def missing(what: str) -> None:
    """Skips the test with a printed reason; under SRTPGW_REQUIRE_PEERS=1 fails it instead."""
    if PEERS_REQUIRED:
        pytest.fail(f"{what}, and SRTPGW_REQUIRE_PEERS=1 asks for it", pytrace=False)
    pytest.skip(what)


def require_peer(name: str) -> str:
    """Returns the path of an outside program, or skips (see missing)."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed (Debian package {PACKAGES.get(name, name)})")
    return str(path)


def require_root() -> None:
    """For tests that make network namespaces."""
    if os.geteuid() != 0:
        missing("this test needs root")


def campaign(full: int) -> int:
    """Rounds of a long campaign: a tenth, or all of them under SRTPGW_FULL=1. The seed is the test's own."""
    return full if FULL else max(1, full // 10)


def operator_command(name: str) -> list[str]:
    """How to start an operator command: its console script where the package under test is installed with it."""
    script = Path(sys.executable).with_name(name)
    installed = Path(srtpgw.__file__).is_relative_to(sysconfig.get_path("platlib"))
    return [str(script)] if installed and script.exists() else [sys.executable, "-P", "-m", "srtpgw.operator", name]


def shared_dir() -> Path | None:
    """Reference material beside the checkout (../shared, or SRTPGW_SHARED), if there; no test depends on it."""
    path = Path(os.environ.get("SRTPGW_SHARED", ROOT.parent / "shared"))
    return path if path.is_dir() else None
