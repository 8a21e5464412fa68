"""Plans: the same from the same seed, another from another, and what a relay is told of them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from srtpgw.address import Address
from srtpgw.loadtest.faults import LoadError
from srtpgw.loadtest.plan import BURST_GAP_NS, Party, make_plan
from srtpgw.loadtest.scenario import SHARED_SOCKETS, Scenario
from srtpgw.loadtest.targets import TargetSettings
from srtpgw.loadtest.targets.files import keys_table, relay_text, write_private
from srtpgw.media.keys import format_key, relay_suites
from srtpgw.relay.file import load_relay
from srtpgw.srtp import SUITES, MasterKey

BOTH = Scenario(calls=40, caller_suite="AEAD_AES_256_GCM")


def test_the_same_seed_gives_the_same_plan() -> None:
    assert make_plan(BOTH) == make_plan(BOTH)


def test_what_follows_from_seed_and_run_number() -> None:
    first, seed, run = (
        make_plan(scenario).calls[3].caller for scenario in (BOTH, replace(BOTH, seed=2), replace(BOTH, run_number=1))
    )
    assert first.sends != seed.sends
    assert first.ssrc != seed.ssrc
    assert (first.sends, first.hears, first.address) == (run.sends, run.hears, run.address)
    assert first.ssrc != run.ssrc
    assert first.sequence != run.sequence


def test_a_call_does_not_depend_on_how_many_there_are() -> None:
    def known(party: Party) -> tuple[object, ...]:
        return party.sends, party.hears, party.ssrc, party.sequence, party.timestamp

    few, many = make_plan(replace(BOTH, calls=5)), make_plan(BOTH)
    assert [known(party) for party in few.parties] == [known(party) for party in many.parties][:10]


KNOWN = (410702594, 13028, 4273977940)
KNOWN_KEY = "417d8f182c38194fa3a4afad625fb1d13b576c09753a17b76ef6a932891a"


def test_known_values() -> None:
    """Held fast: a plan must stay what it is from version to version, or results cannot be repeated."""
    caller = make_plan(Scenario(caller_suite="AES_CM_128_HMAC_SHA1_80")).calls[0].caller
    assert (caller.ssrc, caller.sequence, caller.timestamp) == KNOWN
    assert caller.sends.hex() == KNOWN_KEY


def test_no_two_alike() -> None:
    parties = list(make_plan(replace(BOTH, calls=5000, sockets="per-call")).parties)
    assert len({party.ssrc for party in parties}) == len(parties)
    assert len({party.sends for party in parties} | {party.hears for party in parties}) == 2 * len(parties)
    assert len({party.address for party in parties}) == len(parties)
    assert max(party.sequence for party in parties) < 1 << 15


@pytest.mark.parametrize("suite", relay_suites())
def test_keys_fit_their_suite(suite: str) -> None:
    party = make_plan(Scenario(callee_suite=suite)).calls[0].callee
    assert len(party.sends) == len(party.hears) == SUITES[suite].key_length + SUITES[suite].salt_length


def test_plain_sides_have_no_keys_and_reprs_show_none() -> None:
    call = make_plan(Scenario(calls=1)).calls[0]
    assert (call.caller.sends, call.caller.hears) == (b"", b"")
    assert repr(call.callee.sends)[2:10] not in repr(call)
    assert "sends" not in repr(call)


def test_shared_sockets_are_few() -> None:
    addresses = {party.address for party in make_plan(BOTH).parties}
    assert len(addresses) == 2 * SHARED_SOCKETS
    assert min(address.port for address in addresses) == BOTH.port
    assert max(address.port for address in addresses) + 1 == BOTH.last_port


def phases(**changes: object) -> list[int]:
    scenario = replace(BOTH, **changes)  # type: ignore[arg-type]
    plan = make_plan(scenario)
    return [party.phase_ns for call in plan.calls for party in (call.caller, call.callee)[: 1 + scenario.two_way]]


@pytest.mark.parametrize(("two_way", "gap_ns"), [(True, 250_000), (False, 500_000)])
def test_even_phases_leave_equal_gaps(two_way: bool, gap_ns: int) -> None:
    found = phases(two_way=two_way)
    assert {later - sooner for sooner, later in pairwise(found)} == {gap_ns}


def test_bursts_are_back_to_back_and_never_longer_than_the_interval() -> None:
    assert phases(spread="burst") == [number * BURST_GAP_NS for number in range(80)]
    assert max(phases(spread="burst", calls=10_000)) < BOTH.codec.interval_ns


def test_random_phases_lie_in_the_interval() -> None:
    found = phases(spread="random")
    assert all(0 <= phase < BOTH.codec.interval_ns for phase in found)
    assert len(set(found)) == len(found)
    assert found == phases(spread="random")
    assert found != phases(spread="random", seed=2)


@pytest.mark.parametrize("suites", [(None, None), (None, "AES_256_CM_HMAC_SHA1_32"), ("AEAD_AES_128_GCM",) * 2])
def test_a_relay_takes_its_file(tmp_path: Path, suites: tuple[str | None, str | None]) -> None:
    plan = make_plan(Scenario(calls=3, caller_suite=suites[0], callee_suite=suites[1]))
    file = tmp_path / "relay.toml"
    write_private(file, relay_text(plan, TargetSettings(workers=1, cpus=(0,))))
    assert file.stat().st_mode & 0o777 == 0o600
    config = load_relay(file)
    assert (config.gateway.workers, config.gateway.cpus) == (1, (0,))
    for number, (session, call) in enumerate(zip(config.sessions, plan.calls, strict=True)):
        for leg, party, port in zip(session.legs, (call.caller, call.callee), (20000, 20002), strict=True):
            assert leg.local == Address("127.0.0.1", port + 4 * number)
            assert (leg.remote, leg.suite) == (party.address, party.suite)
            assert [key.key_and_salt for key in leg.receive_keys] == ([party.sends] if party.suite else [])
            assert [key.key_and_salt for key in leg.transmit_keys] == ([party.hears] if party.suite else [])


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("mine", encoding="ascii")
    with pytest.raises(LoadError, match="cannot be written"):
        write_private(file, "other")
    assert file.read_text(encoding="ascii") == "mine"


def test_a_table_for_other_relays() -> None:
    plan = make_plan(Scenario(calls=2))
    rows = list(csv.DictReader(io.StringIO(keys_table(plan, TargetSettings()))))
    assert [(row["call"], row["side"]) for row in rows] == [
        ("call-0", "caller"), ("call-0", "callee"), ("call-1", "caller"), ("call-1", "callee")]  # fmt: skip
    assert rows[2] == {"call": "call-1", "side": "caller", "far_end": "127.0.0.1:10004", "leg": "127.0.0.1:20004",
                       "suite": "", "far_end_sends": "", "far_end_hears": ""}  # fmt: skip
    assert rows[3]["far_end_hears"] == format_key(MasterKey(plan.calls[1].callee.hears))
