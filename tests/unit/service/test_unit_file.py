"""The systemd unit in docs/ fits what the service does."""

from __future__ import annotations

from configparser import RawConfigParser

from support import ROOT

from srtpgw.config import BY_NAME, FILE_VARIABLE, SYSTEM_FILE


def test_the_unit_fits_the_service() -> None:
    unit = RawConfigParser(strict=True)
    unit.read_string((ROOT / "docs" / "examples" / "srtpgw.service").read_text(encoding="utf-8"))
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"].endswith("/srtpgw run")
    assert service["Environment"] == f"{FILE_VARIABLE}={SYSTEM_FILE}"
    drain = BY_NAME["drain-seconds"].default
    assert float(service["TimeoutStopSec"]) > drain
    assert service["RestartPreventExitStatus"] == "2"  # a wrong configuration
    assert service["StateDirectoryMode"] == "0700"
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} == set(service["RestrictAddressFamilies"].split())
