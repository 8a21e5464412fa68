"""The load test with peers: rtpengine by ng, and far ends in network namespaces of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from interop.programs import running, tail
from support import require_peer, require_root
from unit.loadtest.setting import SRTP, free_block, small

from srtpgw.address import Address
from srtpgw.loadtest.faults import TargetError
from srtpgw.loadtest.ng import NgClient
from srtpgw.loadtest.run import Watch, run
from srtpgw.loadtest.targets import TargetSettings

SHORT_TAG = "AES_CM_128_HMAC_SHA1_32"


@dataclass(frozen=True)
class Rtpengine:
    """A running one, and the settings that reach it."""

    pid: int
    settings: TargetSettings


@pytest.fixture
def rtpengine(tmp_path: Path) -> Iterator[Rtpengine]:
    """In userspace, without its kernel module, with room for three calls: two port pairs each."""
    first = free_block(14)  # media and control in one, so that they cannot fall together
    ng = Address("127.0.0.1", first + 12)
    log = tmp_path / "rtpengine.log"
    command = [require_peer("rtpengine"), "--foreground", "--config-file=none", "--table=-1", "--num-threads=1",
               "--interface=127.0.0.1", "--interface=::1", f"--listen-ng={ng}",
               f"--port-min={first}", f"--port-max={first + 11}",
               "--log-stderr", "--log-level=4", f"--pidfile={tmp_path / 'pid'}"]  # fmt: skip
    with running(command, log) as process:
        client = NgClient(ng, tries=50, seconds=0.2)
        try:
            client.request("ping")
        except TargetError:
            raise AssertionError(tail(log)) from None
        finally:
            client.close()
        yield Rtpengine(process.pid, TargetSettings(kind="rtpengine", ng=ng, pid=process.pid))


@pytest.mark.peer("rtpengine")
@pytest.mark.parametrize(
    "suites",
    [
        (None, None),
        (None, SRTP),
        (SRTP, None),
        (SHORT_TAG, SRTP),
        ("AEAD_AES_256_GCM", "AEAD_AES_128_GCM"),
        (SRTP, SRTP),
    ],
)
def test_rtpengine_relays_what_was_signaled(rtpengine: Rtpengine, suites: tuple[str | None, str | None]) -> None:
    """Twice over: the first run's calls are gone when the second one's come, for there are no ports for both."""
    scenario = small(caller_suite=suites[0], callee_suite=suites[1])
    for number in range(2):
        result = run(replace(scenario, run_number=number), rtpengine.settings)
        counters = result.counters
        assert result.verdict == "passed", result.reasons
        assert (counters["sent"], counters["received"], counters["lost"]) == (150, 150, 0)
        assert counters["rtcp_received"] == counters["rtcp_sent"] > 0
        assert result.target["statistics"]["rtp_packets"] == counters["sent"] + counters["warmup_sent"]
        assert ("passthrough" in result.target["description"]) == (suites[0] is not None and suites[0] == suites[1])
        assert result.cpu is not None
        assert result.cpu.target_ns is not None


@pytest.mark.peer("rtpengine")
def test_an_ipv6_side_of_rtpengine(rtpengine: Rtpengine) -> None:
    result = run(small(callee_address="::1"), rtpengine.settings)
    assert result.verdict == "passed", result.reasons
    assert result.counters["received"] == 150


@pytest.mark.peer("rtpengine")
def test_forged_packets_do_not_pass_rtpengine(rtpengine: Rtpengine) -> None:
    result = run(small(caller_suite=SHORT_TAG, forge=0.2), rtpengine.settings)
    assert result.verdict == "passed", result.reasons
    assert result.counters["forged"] > 0
    assert result.counters["received"] == 150


@pytest.mark.peer("rtpengine")
def test_rtpengines_own_reason_is_told(rtpengine: Rtpengine) -> None:
    with pytest.raises(TargetError, match="refuses offer: Ran out of ports"):
        run(small(calls=20), rtpengine.settings)
    result = run(small(), rtpengine.settings)  # nothing of the calls before is left
    assert result.verdict == "passed", result.reasons


@pytest.mark.peer("rtpengine")
def test_an_rtpengine_that_dies_is_told(rtpengine: Rtpengine) -> None:
    def kill(event: str, *_: object) -> None:
        if event == "measuring":
            os.kill(rtpengine.pid, 9)

    result = run(small(duration=1.0), rtpengine.settings, watch=Watch(event=kill))
    assert result.verdict == "target-failed"
    assert "does not answer" in result.reasons[0]
    assert result.target["statistics"] is None


# --- namespaces ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wires:
    """A gateway's namespace and the callees', each with a wire to the other: 10.77.1.x and 10.77.2.x. The callers are
    in the namespace of this process."""

    gateway: str
    callees: str


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def wires() -> Iterator[Wires]:
    require_root()
    mark = f"{os.getpid() % 100000:05d}"
    made = Wires(f"srtpgw-g{mark}", f"srtpgw-c{mark}")
    near = (f"sgn{mark}", f"sgf{mark}")
    far = (f"sgo{mark}", f"sgp{mark}")
    try:
        for name in (made.gateway, made.callees):
            ip("netns", "add", name)
        ip("link", "add", near[0], "type", "veth", "peer", near[1], "netns", made.gateway)
        ip("-n", made.gateway, "link", "add", far[0], "type", "veth", "peer", far[1], "netns", made.callees)
        ip("address", "add", "10.77.1.1/24", "dev", near[0])
        ip("link", "set", near[0], "up")
        for space, device, address in (
            (made.gateway, near[1], "10.77.1.2/24"),
            (made.gateway, far[0], "10.77.2.2/24"),
            (made.callees, far[1], "10.77.2.1/24"),
        ):
            ip("-n", space, "address", "add", address, "dev", device)
            ip("-n", space, "link", "set", device, "up")
        yield made
    finally:
        for name in (made.gateway, made.callees):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", near[0]], check=False, capture_output=True)


@pytest.mark.netns
@pytest.mark.peer("ip")
@pytest.mark.parametrize("kind", ["relay", "gateway"])
def test_far_ends_and_gateway_in_namespaces(wires: Wires, kind: str) -> None:
    scenario = small(caller_address="10.77.1.1", callee_address="10.77.2.1", callee_netns=wires.callees, port=40000)
    settings = TargetSettings(
        kind=kind,  # type: ignore[arg-type]
        address="10.77.1.2",
        callee_address="10.77.2.2",
        callee_port=20000,
        prefix=("ip", "netns", "exec", wires.gateway),
    )
    result = run(scenario, settings)
    assert result.verdict == "passed", result.reasons
    assert (result.counters["received"], result.counters["lost"]) == (150, 0)
