"""Scenarios and targets: what may be asked for, and what the refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srtpgw.address import Address
from srtpgw.loadtest.faults import ScenarioError
from srtpgw.loadtest.plan import make_plan
from srtpgw.loadtest.scenario import CODECS, Scenario, is_near, parse_codec
from srtpgw.loadtest.targets import CallRoutes, TargetSettings
from srtpgw.loadtest.targets.base import check_destinations, planned_routes, route_to
from srtpgw.loadtest.targets.static import read_legs


def test_codecs_have_the_rates_of_their_packets() -> None:
    g711, opus, video = CODECS["g711"], CODECS["opus"], CODECS["video"]
    assert (g711.interval_ns, g711.timestamp_step, g711.payload_octets) == (20_000_000, 160, 160)
    assert (opus.interval_ns, opus.timestamp_step) == (20_000_000, 960)
    assert (video.interval_ns, video.timestamp_step, video.payload_octets) == (10_000_000, 900, 1200)


def test_a_shape_of_ones_own() -> None:
    codec = parse_codec("33.3:500")
    assert (codec.rate, codec.payload_octets, codec.interval_ns) == (33.3, 500, 30_030_030)
    assert parse_codec("g729") is CODECS["g729"]


@pytest.mark.parametrize("text", ["", "g722", "50", "50:", ":160", "50:0", "0:160", "10001:160", "50:9999", "5e1:160"])
def test_a_shape_that_is_none(text: str) -> None:
    with pytest.raises(ScenarioError, match="--codec"):
        parse_codec(text)


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"calls": 0}, "--calls"),
        ({"calls": 20_001}, "--calls"),
        ({"calls": 20_000, "codec": parse_codec("10000:20")}, "--calls"),
        ({"caller_suite": "AES_CM_128"}, "--caller-suite"),
        ({"callee_suite": "NULL_HMAC_SHA1_80"}, "--callee-suite"),
        ({"spread": "odd"}, "--spread"),
        ({"seed": -1}, "--seed"),
        ({"seed": 1 << 64}, "--seed"),
        ({"run_number": -1}, "--run-number"),
        ({"duration": 0.01}, "--duration"),
        ({"duration": float("nan")}, "--duration"),
        ({"duration": 86_401}, "--duration"),
        ({"warm_up": -1}, "--warm-up"),
        ({"drain": 601}, "--drain"),
        ({"lateness_limit": 0}, "--lateness-limit"),
        ({"rtcp": 0.001}, "--rtcp"),
        ({"lose": 0.6}, "--lose"),
        ({"reorder": -0.1}, "--reorder"),
        ({"duplicate": float("nan")}, "--duplicate"),
        ({"forge": 1}, "--forge"),
        ({"forge": 0.1, "callee_suite": None, "callee_netns": "there"}, "--forge"),
        ({"sample": 0}, "--sample"),
        ({"caller_address": "224.0.0.1"}, "--caller-address"),
        ({"callee_address": "localhost"}, "--callee-address"),
        ({"sockets": "some"}, "--sockets"),
        ({"port": 80}, "--port"),
        ({"port": 40001}, "--port"),
        ({"port": 65530, "calls": 2}, "--port"),
        ({"sockets": "per-call", "calls": 15000}, "--port"),
        ({"cpus": (0, 1, 2)}, "--cpu"),
    ],
)
def test_what_is_refused_names_its_option(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario(**changes).check()
    assert caught.value.option == option


def test_the_defaults_are_good() -> None:
    Scenario().check()
    TargetSettings().check(Scenario())


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"kind": "none"}, "--target"),
        ({"workers": 0}, "--workers"),
        ({"cpus": (0, 1)}, "--gateway-cpus"),
        ({"cpus": (5000,)}, "--gateway-cpus"),
        ({"kind": "static", "prefix": ("ip",)}, "--prefix"),
        ({"address": "::1"}, "--gateway"),
        ({"callee_address": "255.255.255.255"}, "--gateway-callee"),
        ({"address": "8.8.8.8"}, "--allow-public"),
        ({"port": 1}, "--gateway-port"),
        ({"port": 65500}, "--gateway-port"),
        ({"port": 9990}, "--gateway-port"),
        ({"callee_port": 10000}, "--gateway-callee-port"),
        ({"callee_port": 20001}, "--gateway-callee-port"),
        ({"callee_port": 20005}, "--gateway-callee-port"),
        ({"step": 1}, "--port-step"),
        ({"kind": "rtpengine", "ng": Address("8.8.8.8", 2223)}, "--ng"),
        ({"kind": "rtpengine", "ng_direction": ("a",)}, "--ng-direction"),
    ],
)
def test_a_target_that_is_refused(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        TargetSettings(**changes).check(Scenario())
    assert caught.value.option == option


@pytest.mark.parametrize("changes", [
    {"callee_port": 30000},
    {"step": 2, "callee_port": 30000},
    {"callee_address": "127.0.0.2", "callee_port": 20000, "step": 2},
    {"address": "8.8.8.8", "callee_address": "8.8.8.8", "allow_public": True},
    {"kind": "cable", "address": "8.8.8.8"},
])  # fmt: skip
def test_ports_apart_are_good(changes: dict[str, Any]) -> None:
    TargetSettings(**changes).check(Scenario())


def test_near_addresses() -> None:
    near = ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "198.18.0.1", "169.254.1.1", "fe80::1%lo",
            "fd00::1", "100.64.0.1"]  # fmt: skip
    assert all(map(is_near, near))
    assert not any(map(is_near, ["8.8.8.8", "100.128.0.1", "2a00::1", "172.32.0.1"]))


def test_a_destination_that_the_gateway_chose_is_looked_at_too() -> None:
    call = make_plan(Scenario(calls=1)).calls[0]
    far = route_to(Address("8.8.4.4", 5000), call.callee)
    near = planned_routes(TargetSettings(), call).caller
    check_destinations(TargetSettings(), [CallRoutes(near, near)])
    with pytest.raises(ScenarioError, match=r"8\.8\.4\.4"):
        check_destinations(TargetSettings(), [CallRoutes(near, far)])
    check_destinations(TargetSettings(allow_public=True), [CallRoutes(near, far)])


def test_legs_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "legs"
    file.write_text("# caller callee\n\n127.0.0.1:5000 [::1]:5002\n127.0.0.1:5004 127.0.0.1:5006\n", encoding="ascii")
    assert read_legs(file, 2) == [
        (Address("127.0.0.1", 5000), Address("::1", 5002)),
        (Address("127.0.0.1", 5004), Address("127.0.0.1", 5006)),
    ]
    assert len(read_legs(file, 1)) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1:5000\n", "line 1 is not"),
        ("127.0.0.1:5000 there:5002\n", "line 1: "),
        ("127.0.0.1:5000 224.0.0.1:5002\n", "line 1: is a multicast"),
        ("127.0.0.1:5000 127.0.0.1:5002\n", "lists 1 calls, but --calls asks for 2"),
    ],
)
def test_legs_that_do_not_do(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "legs"
    file.write_text(text, encoding="ascii")
    with pytest.raises(ScenarioError, match=reason):
        read_legs(file, 2)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_legs(tmp_path / "none", 1)
