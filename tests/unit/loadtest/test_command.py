"""``srtpgw load`` at the command line: what becomes of its options, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from unit.loadtest.setting import FAR_ENDS, free_block

from srtpgw.cli import main
from srtpgw.loadtest.command import _scenario, _target, find_command, run_command
from srtpgw.loadtest.scenario import Scenario
from srtpgw.loadtest.search import SearchSettings
from srtpgw.loadtest.targets import TargetSettings
from srtpgw.relay.file import load_relay

PATIENCE = 60.0  # seconds
QUICK = ("--calls", "2", "--duration", "0.5", "--warm-up", "0", "--drain", "0.3", "--rtcp", "0.1",
         "--lateness-limit", "1000000")  # fmt: skip


def invoke(*words: str) -> Result:
    return CliRunner().invoke(main, ["load", *words])


def quick(*words: str) -> tuple[str, ...]:
    return (*QUICK, "--port", str(free_block(16, bounds=FAR_ENDS)), "--gateway-port", str(free_block(8)), *words)


def defaults(command: click.Command) -> dict[str, Any]:
    return command.make_context("load", []).params


@pytest.mark.parametrize("words", [(), ("run",), ("find",), ("plan",)])
def test_help(words: tuple[str, ...]) -> None:
    result = invoke(*words, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_without_options_it_is_the_scenario_without_arguments() -> None:
    options = defaults(run_command)
    assert _scenario(options) == Scenario()
    assert _target(options) == TargetSettings()


def test_a_search_without_options_is_that_without_arguments() -> None:
    options = defaults(find_command)
    wanted = SearchSettings()
    assert {name: options[name] for name in wanted.__slots__} == {
        name: getattr(wanted, name) for name in wanted.__slots__
    }


def test_options_arrive() -> None:
    words = ["--calls", "7", "--one-way", "--codec", "20:100", "--caller-suite", "AEAD_AES_128_GCM",
             "--callee-suite", "plain", "--spread", "burst", "--cpu", "0,1", "--family", "6",
             "--target", "static", "--gateway-port", "10000",
             "--gateway-cpus", "1", "--prefix", "ip netns exec 'a b'", "--ng-direction", "in,out"]  # fmt: skip
    options = run_command.make_context("run", words).params
    scenario, target = _scenario(options), _target(options)
    assert (scenario.calls, scenario.two_way, scenario.codec.rate, scenario.codec.payload_octets) == (7, False, 20, 100)
    assert (scenario.caller_suite, scenario.callee_suite) == ("AEAD_AES_128_GCM", None)
    assert (scenario.caller_address, scenario.callee_address, scenario.cpus) == ("::1", "::1", (0, 1))
    assert (target.kind, target.address, target.callee_address) == ("static", "::1", "::1")
    assert (target.port, target.callee_port, target.cpus) == (10000, 10002, (1,))
    assert target.prefix == ("ip", "netns", "exec", "a b")
    assert target.ng_direction == ("in", "out")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("run", "--calls", "0"), "--calls"),
        (("run", "--codec", "x"), "--codec"),
        (("run", "--caller-address", "here"), "--caller-address"),
        (("run", "--cpu", "0;1"), "--cpu"),
        (("run", "--ng", "here"), "--ng"),
        (("run", "--gateway", "8.8.8.8"), "--allow-public"),
        (("run", "--target", "nothing"), "--target"),
        (("run", "--lose", "2"), "--lose"),
        (("run", "--duration", "nan"), "--duration"),
        (("find", "--low", "9", "--high", "8"), "--low"),
        (("find", "--loss-limit", "1"), "--loss-limit"),
        (("find", "--high", "12000"), "--gateway-port"),
        (("plan", "--port-step", "1"), "--port-step"),
    ],
)
def test_a_wrong_command_line_names_the_option(words: tuple[str, ...], option: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert option in result.output


def test_a_run_as_a_table() -> None:
    result = invoke("run", *quick())
    assert result.exit_code == 0, result.output
    assert "callee to caller" in result.output
    assert "PASSED" in result.output


def test_a_run_as_json_alone() -> None:
    result = invoke("run", *quick("--json", "-", "--target", "cable"))
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["kind"], told["passed"], told["counters"]["received"]) == ("run", True, 100)
    assert told["target"]["kind"] == "cable"


def test_json_beside_the_table(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    result = invoke("run", *quick("--json", str(file), "--target", "static", "--loss-limit", "0"))
    assert result.exit_code == 1
    assert "nothing arrived" in result.output
    assert json.loads(file.read_text(encoding="utf-8"))["verdict"] == "loss"


def test_what_cannot_start_is_told_in_json_too() -> None:
    result = invoke("run", *quick("--json", "-", "--prefix", "false"))
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["passed"], told["verdict"]) == (False, "target-failed")
    assert "ended with status 1" in told["reasons"][0]
    assert "ended with status 1" in result.stderr


def test_a_file_that_cannot_be_written() -> None:
    result = invoke("run", *quick("--json", "/nowhere/result.json", "--target", "cable"))
    assert result.exit_code == 1
    assert "/nowhere/result.json cannot be written" in result.stderr


def test_events_for_a_script() -> None:
    result = invoke("run", *quick("--events", "--target", "gateway"))
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [each["event"] for each in events] == ["ready", "measuring", "measured", "ended"]
    assert all(each["target_pid"] > 0 and each["time_ns"] > 0 for each in events)


def test_a_search(tmp_path: Path) -> None:
    words = quick("--target", "cable", "--json", str(tmp_path / "found.json"))[2:]
    result = invoke("find", "--high", "4", "--confirm", "1", "--checks", "1", *words)
    assert result.exit_code == 0, result.output
    assert "4 calls, 400 packets/s, confirmed 1 time" in result.output
    told = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert (told["kind"], told["results"][0]["calls"], told["results"][0]["limited_by"]) == ("find", 4, "high")
    assert [trial["calls"] for trial in told["trials"]] == [4, 4, 2]
    assert len(result.stderr.splitlines()) == 3


def test_a_search_goes_on_where_the_gateway_does_not_start() -> None:
    result = invoke("find", "--high", "4", *quick("--prefix", "false", "--json", "-")[2:])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["verdict"] == "all-failed"
    assert {trial["run"]["verdict"] for trial in told["trials"]} == {"target-failed"}


def test_a_plan_and_its_files(tmp_path: Path) -> None:
    relay, keys = tmp_path / "relay.toml", tmp_path / "keys.csv"
    result = invoke("plan", "--calls", "3", "--relay-file", str(relay), "--keys-file", str(keys))
    assert result.exit_code == 0
    assert "127.0.0.1:20008" in result.output
    assert len(load_relay(relay).sessions) == 3
    assert keys.stat().st_mode & 0o777 == 0o600
    assert not any(
        line.split(",")[5] in result.output for line in keys.read_text().splitlines()[1:] if line.split(",")[5]
    )
    again = invoke("plan", "--relay-file", str(relay))
    assert again.exit_code == 1
    assert "cannot be written" in again.output


def test_no_file_where_the_ports_are_not_known(tmp_path: Path) -> None:
    result = invoke("plan", "--target", "rtpengine", "--relay-file", str(tmp_path / "relay.toml"))
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_no_key_is_ever_shown() -> None:
    """Neither in JSON nor in the table: keys of a seed are test keys, but the habit is what counts."""
    from srtpgw.loadtest.plan import make_plan
    from srtpgw.media.keys import format_key
    from srtpgw.srtp import MasterKey

    shown = "".join(invoke("run", *quick(*words)).output for words in ((), ("--json", "-"), ("--prefix", "false")))
    for party in make_plan(Scenario(calls=2)).parties:
        for key in filter(None, (party.sends, party.hears)):
            assert format_key(MasterKey(key))[7:20] not in shown
            assert key.hex()[:12] not in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_gateway_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    words = quick("--events", "--duration", "60")
    command = [sys.executable, "-m", "srtpgw.cli", "load", "run", *words]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as process:
        assert process.stderr is not None
        events = (json.loads(line) for line in process.stderr)
        gateway = next(event["target_pid"] for event in events if event["event"] == "measuring")
        assert [path.name for path in tmp_path.iterdir()] != []
        process.send_signal(number)
        assert process.wait(PATIENCE) == 1
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/proc/{gateway}").exists()


def test_a_progress_bar_on_a_terminal() -> None:
    """On stderr, while stdout holds the JSON alone."""
    near, far = pty.openpty()
    words = quick("--json", "-", "--target", "cable", "--warm-up", "0.8")
    command = [sys.executable, "-m", "srtpgw.cli", "load", "run", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=far, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(far)
        drawn = b""
        try:
            while octets := os.read(near, 65536):
                drawn += octets
        except OSError:
            pass  # the other end of the terminal is closed
        finally:
            os.close(near)
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        assert process.wait(PATIENCE) == 0
    assert told["passed"]
    assert b"running" in drawn
    assert b"received" in drawn
