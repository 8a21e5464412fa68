"""Runs over loopback: what is sent comes out, and what is done to it is counted, to the packet."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.loadtest.setting import SRTP, free_block, small, through

from srtpgw.address import Address
from srtpgw.loadtest.faults import LoadError, ScenarioError, TargetError
from srtpgw.loadtest.plan import make_plan
from srtpgw.loadtest.result import RunResult
from srtpgw.loadtest.run import Event, Watch, run
from srtpgw.loadtest.scenario import parse_codec
from srtpgw.loadtest.targets import TargetSettings, make_target
from srtpgw.loadtest.targets.files import relay_text, write_private
from srtpgw.loadtest.targets.relay import RelayTarget

CABLE = TargetSettings(kind="cable")
IMPAIRED = {"lose": 0.1, "reorder": 0.1, "duplicate": 0.1}
MADE = ("planned", "sent", "withheld", "delayed", "duplicated", "forged", "reordered")


def all_came(result: RunResult, packets: int) -> None:
    counters = result.counters
    assert result.verdict == "passed", result.reasons
    assert (counters["planned"], counters["sent"], counters["received"]) == (packets, packets, packets)
    assert (counters["lost"], result.loss_ratio) == (0, 0.0)
    assert counters["rtcp_received"] == counters["rtcp_sent"] > 0
    assert result.latency.count == result.lateness.count == packets
    assert sum(way.received for way in result.ways.values()) == packets


@pytest.mark.parametrize(("suite", "spread"), [(None, "even"), (SRTP, "burst"), ("AEAD_AES_256_GCM", "random")])
def test_a_cable(suite: str | None, spread: str) -> None:
    all_came(run(small(caller_suite=suite, callee_suite=suite, spread=spread), CABLE), 3 * 2 * 25)


def test_one_way_and_a_socket_for_each_call() -> None:
    result = run(small(two_way=False, sockets="per-call", codec=parse_codec("100:1200")), CABLE)
    all_came(result, 3 * 50)
    assert list(result.ways) == ["caller_to_callee"]


@pytest.mark.parametrize("kind", ["relay", "gateway"])
@pytest.mark.parametrize("suites", [(None, SRTP), (SRTP, None), (None, None), ("AEAD_AES_128_GCM", SRTP)])
def test_our_gateways(kind: str, suites: tuple[str | None, str | None]) -> None:
    result = run(small(caller_suite=suites[0], callee_suite=suites[1]), through(kind))
    all_came(result, 150)
    statistics = result.target["statistics"]
    everything = result.counters["sent"] + result.counters["warmup_sent"]
    assert statistics["rtp_received_packets"] == statistics["rtp_sent_packets"] == everything
    assert statistics["rtp_drops"] == {}


def test_ipv6() -> None:
    ends = {"caller_address": "::1", "callee_address": "::1"}
    all_came(run(small(**ends), through("relay", address="::1", callee_address="::1")), 150)


def test_the_other_provider() -> None:
    all_came(run(small(), through("relay", crypto="libsrtp")), 150)


def test_impairments_are_counted_to_the_packet() -> None:
    """Everything that was sent comes out, once: what was held back is no loss, what was sent twice comes once."""
    result = run(small(**IMPAIRED, caller_suite=SRTP, duration=2.0), through("relay"))
    counters = result.counters
    assert result.verdict == "passed", result.reasons
    assert counters["planned"] == counters["sent"] + counters["withheld"] == 600
    assert min(counters[name] for name in MADE if name != "forged") > 0
    assert (counters["received"], counters["lost"]) == (counters["sent"], 0)
    assert result.target["statistics"]["rtp_drops"]["replay"] >= counters["duplicated"]


def test_forged_packets_do_not_come_out() -> None:
    """On the side with keys their tag is wrong, on the plain side their address."""
    result = run(small(forge=0.2), through("relay"))
    assert result.verdict == "passed", result.reasons
    assert result.counters["forged"] > 0
    assert result.counters["received"] == 150
    drops = result.target["statistics"]["rtp_drops"]
    assert drops["auth-failed"] > 0
    assert drops["wrong-source"] > 0


def test_a_cable_shows_what_is_sent_twice() -> None:
    result = run(small(duplicate=0.2, callee_suite=None), CABLE)
    assert sum(way.duplicates for way in result.ways.values()) == result.counters["duplicated"] > 0
    assert result.counters["received"] == 150


def test_the_same_seed_does_the_same() -> None:
    def made(**changes: Any) -> list[int]:
        counters = run(small(**IMPAIRED, forge=0.1, callee_suite=None, **changes), CABLE).counters
        return [counters[name] for name in MADE]

    assert made() == made()
    assert made() != made(seed=2)


def test_a_relay_started_elsewhere(tmp_path: Path) -> None:
    """Two runs against one relay: other sources, under the keys that it has."""
    scenario, settings = small(), through("static")
    relay = RelayTarget(replace(settings, kind="relay"))
    relay.open(make_plan(scenario))
    try:
        all_came(run(scenario, replace(settings, pid=relay.pid)), 150)
        all_came(run(replace(scenario, run_number=1), settings), 150)
        again = run(scenario, settings, loss_limit=0.5)
        assert again.counters["received"] < again.counters["sent"]  # the same packets again are replays
    finally:
        relay.close()


def test_a_sample_checks_a_part() -> None:
    result = run(small(sample=0.1, duration=2.0), CABLE)
    assert result.counters["received"] == 600
    assert 0 < result.counters["verified"] < 300


def test_nobody_relays() -> None:
    result = run(small(), through("static"))
    assert (result.verdict, result.loss_ratio) == ("loss", 1.0)
    assert "nothing arrived" in result.reasons[-1]


def test_why_nothing_could_be_sent() -> None:
    """From loopback there is no way to another network."""
    result = run(small(), TargetSettings(kind="static", address="10.255.255.1", callee_address="10.255.255.1"))
    assert (result.verdict, result.counters["received"]) == ("void", 0)
    assert "the last that could not be sent: Invalid argument" in result.reasons


def test_a_gateway_that_dies_is_told() -> None:
    def kill(event: Event, _: int, pid: int | None) -> None:
        if event == "measuring":
            assert pid is not None
            os.kill(pid, signal.SIGKILL)

    result = run(small(duration=5.0), through("relay"), watch=Watch(event=kill))
    assert result.verdict == "target-failed"
    assert "ended with status -9" in result.reasons[0]
    assert result.counters["sent"] < 3 * 2 * 250  # the run ended there
    assert result.target["statistics"] is None


def test_a_port_that_is_taken_is_named() -> None:
    settings = through("relay")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", settings.port))
        with pytest.raises(TargetError, match=f"127.0.0.1:{settings.port}: the port is taken"):
            run(small(), settings)
        with pytest.raises(TargetError, match=str(settings.port)):
            run(small(), replace(settings, kind="gateway"))
        with pytest.raises(LoadError, match="--port moves"):
            run(small(port=settings.port), CABLE)


@pytest.mark.parametrize("kind", ["relay", "gateway"])
def test_a_command_that_is_not_there(kind: str) -> None:
    with pytest.raises(TargetError, match="no-such-program cannot be started"):
        run(small(), through(kind, prefix=("no-such-program",)))


def test_a_command_that_does_not_relay() -> None:
    with pytest.raises(TargetError, match="the gateway ended with status 1"):
        run(small(), through("relay", prefix=("false",)))


def test_a_namespace_that_is_not_there() -> None:
    with pytest.raises(ScenarioError, match="--callee-netns: /run/netns/no-such cannot be opened"):
        run(small(callee_netns="no-such"), CABLE)


def test_phases_of_a_run_and_its_cpu_time() -> None:
    told: list[tuple[str, int, int | None]] = []
    seen: list[float] = []
    watch = Watch(event=lambda *event: told.append(event), progress=lambda progress: seen.append(progress.done))
    result = run(small(), through("gateway"), watch=watch)
    assert [event for event, _, _ in told] == ["ready", "measuring", "measured", "ended"]
    assert {pid for _, _, pid in told} == {result.target["pid"]}
    assert result.cpu is not None
    assert (result.cpu.begin_ns, result.cpu.end_ns) == (told[1][1], told[2][1])
    assert result.window_ns[0] <= result.cpu.begin_ns <= result.cpu.end_ns
    assert [thread["role"] for thread in result.cpu.threads] == ["generator"]
    assert result.cpu.threads[0]["cpu_ns"] > 0
    assert result.cpu.target_ns is not None
    assert seen == sorted(seen)


def test_a_thread_for_each_way() -> None:
    result = run(small(cpus=(0, 0)), CABLE)
    assert result.cpu is not None
    assert [(each["role"], each["cpu"]) for each in result.cpu.threads] == [("generator", 0), ("sink", 0)]
    assert all(each["cpu_ns"] > 0 for each in result.cpu.threads)


def test_what_a_relay_file_says_is_what_is_used(tmp_path: Path) -> None:
    """A plan's legs in a file stand where its routes lead."""
    settings, plan = through("static"), make_plan(small())
    write_private(tmp_path / "relay.toml", relay_text(plan, settings))
    text = (tmp_path / "relay.toml").read_text(encoding="utf-8")
    for pair in make_target(settings).open(plan):
        assert all(f'local = "{route.destination}"' in text for route in pair)


def test_legs_of_a_file_are_used(tmp_path: Path) -> None:
    file = tmp_path / "legs"
    file.write_text("127.0.0.1:5000 [::1]:5010\n" * 3, encoding="ascii")
    routes = make_target(TargetSettings(kind="static", static_file=file)).open(make_plan(small()))
    assert [route.destination for route in routes[2]] == [Address("127.0.0.1", 5000), Address("::1", 5010)]
    assert routes[2].callee.rtcp_destination == Address("::1", 5011)


def test_ports_in_a_row_are_found() -> None:
    assert free_block(8) % 2 == 0
