"""Network namespaces of `srtpgw bench`: made, used, removed, whatever ends their owner. And a whole run in them."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop.wire import until
from support import require_root

from srtpgw.loadtest.bench import drop, namespaces
from srtpgw.loadtest.bench.namespaces import FOLDER, ROLES, Addresses, Testbed, in_namespace

pytestmark = [pytest.mark.netns, pytest.mark.peer("ip")]

PORT = 20_000
PACKETS = 20
ETH_P_ALL = 3
PAYLOAD = bytes(range(101))  # odd, so that the last octet of the checksum is padded

OWNER = """
import signal, sys
from srtpgw.loadtest.bench.namespaces import Testbed
from srtpgw.loadtest.bench.process import running
from pathlib import Path
with Testbed() as bed, running(["sleep", "600"], Path(sys.argv[1]), netns=bed.path("gateway")) as process:
    print(bed.stem, process.pid, flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    require_root()
    with Testbed() as made:
        yield made


def named(stem: str) -> set[str]:
    return {entry.name for entry in FOLDER.iterdir() if entry.name.startswith(stem)} if FOLDER.is_dir() else set()


def is_alive(pid: int) -> bool:
    """Not a zombie either: nobody waits for an orphan at once."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def udp(family: int) -> socket.socket:
    handle = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    handle.settimeout(10)
    return handle


def bound(family: int, host: str, port: int) -> socket.socket:
    handle = udp(family)
    try:
        handle.bind((host, port))
    except OSError:
        handle.close()
        raise
    return handle


# --- what they are like ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("sender", "receiver", "address"),
    [
        ("caller", "gateway", "gateway"),
        ("callee", "gateway", "gateway"),
        ("gateway", "callee", "callee"),
        ("gateway", "caller", "caller"),
        ("caller", "callee", "cable_callee"),
        ("callee", "caller", "cable_caller"),
    ],
)
def test_everyone_reaches_whom_they_must(bed: Testbed, family: int, sender: str, receiver: str, address: str) -> None:
    host = getattr(Addresses.of(family), address)
    with in_namespace(bed.path(receiver), lambda: bound(family, host, PORT)) as there:
        with in_namespace(bed.path(sender), lambda: udp(family)) as here:
            here.sendto(b"hello", (host, PORT))
        assert there.recv(100) == b"hello"


def ones_complement(octets: bytes) -> int:
    padded = octets + bytes(len(octets) % 2)
    total = sum(int(word) for word in struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def frame_of(tap: socket.socket, port: int) -> bytes:
    """The IPv4 packet to a port, as the far end of the veth gets it."""
    while True:
        frame = tap.recv(2048)
        if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == struct.pack("!H", port):
            return frame[14:]


def test_checksums_are_real(bed: Testbed) -> None:
    """Computed in full by the sender: with offload on, only the sum of the pseudo-header would be there."""
    there = Addresses.of(4)

    def tap() -> socket.socket:
        handle = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        handle.settimeout(10)
        handle.bind(("caller", ETH_P_ALL))
        return handle

    with in_namespace(bed.path("gateway"), tap) as listening, in_namespace(bed.path("caller"), lambda: udp(4)) as here:
        here.sendto(PAYLOAD, (there.gateway, PORT + 1))
        packet = frame_of(listening, PORT + 1)
    datagram = packet[20:]
    pseudo = packet[12:20] + struct.pack("!HH", 17, len(datagram))
    assert datagram[8:] == PAYLOAD
    assert ones_complement(pseudo + datagram) == 0xFFFF


def test_offload_is_off_at_every_end(bed: Testbed) -> None:
    for wire in namespaces.WIRES:
        for role, interface in ((wire.near, wire.near_interface), (wire.far, wire.far_interface)):
            assert not in_namespace(
                bed.path(role), lambda interface=interface: namespaces.transmit_checksum_offload(interface)  # type: ignore[misc]
            )  # fmt: skip


def test_the_host_keeps_its_interfaces(bed: Testbed) -> None:
    assert not {"caller", "callee", "cable"} & {name for _, name in socket.if_nameindex()}


def test_what_fails_inside_is_raised_outside(bed: Testbed) -> None:
    with pytest.raises(ZeroDivisionError):
        in_namespace(bed.path("caller"), lambda: 1 // 0)


# --- the drop --------------------------------------------------------------------------------------------------------


def receivable(bed: Testbed, family: int) -> int:
    """How many of some packets reach a socket of the gateway; the last one goes round by the gateway itself."""
    host = Addresses.of(family).gateway
    with in_namespace(bed.path("gateway"), lambda: bound(family, host, PORT)) as there:
        with in_namespace(bed.path("caller"), lambda: udp(family)) as here:
            for _ in range(PACKETS):
                here.sendto(b"packet", (host, PORT))
        with in_namespace(bed.path("gateway"), lambda: udp(family)) as inside:
            inside.sendto(b"end", (host, PORT))
        arrived = 0
        while there.recv(100) != b"end":
            arrived += 1
        return arrived


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("hook", drop.HOOKS, ids=lambda hook: hook.name)
def test_a_program_drops_until_it_is_closed(
    bed: Testbed, hook: drop.Hook, family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop, "HOOKS", (hook,))
    installed = in_namespace(bed.path("gateway"), lambda: drop.install(["caller", "callee"], [PORT], [family]))
    if installed.method != hook.name:
        installed.close()
        pytest.skip(f"not on this kernel: {installed.refused}")
    assert receivable(bed, family) == 0
    installed.close()
    assert receivable(bed, family) == PACKETS


def test_sockets_drop_where_no_program_can(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop, "HOOKS", (drop.HOOKS[0]._replace(attach_type=9999),))
    installed = in_namespace(bed.path("gateway"), lambda: drop.install(["caller", "callee"], [PORT, PORT + 2]))
    assert installed.method == drop.FILTER
    assert len(installed.refused) == 1
    host = Addresses.of(4).gateway
    with in_namespace(bed.path("caller"), lambda: udp(4)) as here:
        here.connect((host, PORT))
        for _ in range(PACKETS):  # connected, so that an unreachable port would be told at the next send
            here.send(b"packet")
    with pytest.raises(OSError, match="in use"):
        in_namespace(bed.path("gateway"), lambda: bound(4, host, PORT))
    installed.close()


# --- how they end ----------------------------------------------------------------------------------------------------


def owner(tmp_path: Path) -> tuple[subprocess.Popen[str], str, int]:
    """A process with namespaces and a program in them: it, the start of their names, the program."""
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(log)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    stem, pid = process.stdout.readline().split()
    return process, stem, int(pid)


def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    require_root()
    process, stem, inside = owner(tmp_path)
    with process:
        assert named(stem) == {f"{stem}-{role}" for role in ROLES}
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert named(stem) == set()
    until(lambda: not is_alive(inside), "the program inside to end")


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    require_root()
    process, stem, inside = owner(tmp_path)
    with process:
        assert namespaces.remove_leftovers() == []  # it is alive
        process.kill()
        process.wait(30)
    until(lambda: not is_alive(inside), "the program inside to end with its owner")
    assert named(stem) == {f"{stem}-{role}" for role in ROLES}
    assert namespaces.remove_leftovers()
    assert named(stem) == set()


def test_what_still_runs_in_a_leftover_is_ended(tmp_path: Path) -> None:
    """A program that outlived its owner (it was started without the request to die with it)."""
    require_root()
    process, stem, _ = owner(tmp_path)
    with process:
        command = ["ip", "netns", "exec", f"{stem}-caller", "sleep", "600"]
        with subprocess.Popen(command) as outlived:
            until(lambda: Path(f"/proc/{outlived.pid}/comm").read_text(encoding="ascii") == "sleep\n", "it to start")
            process.kill()
            process.wait(30)
            assert is_alive(outlived.pid)
            assert sorted(namespaces.remove_leftovers()) == sorted(f"{stem}-{role}" for role in ROLES)
            assert outlived.wait(30) == -signal.SIGKILL


def test_strangers_are_left_alone(tmp_path: Path) -> None:
    require_root()
    name = f"srtpgw-bench-of-somebody-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        assert namespaces.remove_leftovers() == []
        assert (FOLDER / name).exists()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


# --- a whole run -----------------------------------------------------------------------------------------------------


def test_a_whole_run(tmp_path: Path) -> None:
    """Counts and bounds only: on a busy machine every run may be void."""
    require_root()
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two cores are needed")
    report, page = tmp_path / "result.json", tmp_path / "result.html"
    command = [sys.executable, "-m", "srtpgw.cli", "bench", "self-test", "--output", str(report), "--html", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(report.read_text(encoding="utf-8"))
    assert result["complete"]
    (case,) = result["cases"]
    assert set(case["runs"]) == {"cable", "drop", "srtpgw-socket", "asyncio-pylibsrtp"}
    for peer, (run,) in case["runs"].items():
        assert run["failure"] is None, peer
        assert run["offered"] == pytest.approx(500, abs=20), peer
        assert run["relayed"] == (0 if peer == "drop" else pytest.approx(run["offered"], abs=250)), peer
        assert run["counters"].get("verified", 0) > 0 or peer == "drop"
        usage = run["usage"]
        assert 0 < usage["busy"] <= usage["seconds"] * usage["cores"] * 1.1
        assert run["processes"]["load"] > 0
        assert (run["processes"]["gateway"] > 0) == (peer not in {"drop", "cable"})
    assert case["runs"]["drop"][0]["notes"]["drop"] in drop.METHODS
    assert "<svg" in page.read_text(encoding="utf-8")
    assert "inline:" not in report.read_text(encoding="utf-8")  # no key
    assert not list(Path(tmp_path).glob("*.toml"))
