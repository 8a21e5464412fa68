"""What stands against a change of file, and that the sessions it is about go on or are told of."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from unit.relay.bench import Bench, Ends, one, rtp, two
from unit.relay_files import HEAD, SUITE, free_ports, key, key_text

from srtpgw.errors import ConfigError, MediaError, StateError
from srtpgw.media.session import Leg
from srtpgw.media.store import SendingStates
from srtpgw.relay.sessions import Changes
from srtpgw.srtp import Receiver


def test_what_fails_behind_a_removal_is_told_and_tried_again(bench: Bench, ports: list[int]) -> None:
    bench.open(HEAD + one(ports) + two(ports))
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    free = free_ports(1)[0]
    holder.bind(("127.0.0.1", free))
    moved = HEAD + one(ports) + two([*ports[:4], free, *ports[5:]])
    with holder:
        changes = bench.apply(moved)
        assert list(changes.refused) == ["two"]
        assert re.search("taken.*: the session goes on as it was$", str(changes.refused["two"]))
        assert not changes.failed
        assert bench.names() == ["one/1", "one/2", "two/1", "two/2"]
        assert bench.relay.legs[2].local.port == ports[4]
        # With its old place gone too, it is not running.
        renamed = moved.replace('"two"', '"three"')
        changes = bench.apply(renamed)
        assert list(changes.failed) == ["three"]
        assert bench.names() == ["one/1", "one/2"]
    assert bench.apply(renamed) == Changes(added=["three"])


def test_a_change_that_one_leg_refuses_is_told_and_tried_again(
    bench: Bench, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.open(HEAD + one(ports))
    wanted = HEAD + one(ports, keys=(11, 12), plain="dscp = 0")
    change = bench.gateway.change

    def refuse_plain(leg: Leg, **changes: Any) -> None:
        if not leg.settings.encrypted:
            raise MediaError("not now")
        change(leg, **changes)

    with monkeypatch.context() as patch:
        patch.setattr(bench.gateway, "change", refuse_plain)
        changes = bench.apply(wanted)
    assert str(changes.refused["one"]).endswith("session[one].leg[2]: not now: the session goes on, changed in part")
    assert not changes.failed
    assert bench.apply(wanted) == Changes(changed=["one"])
    assert not bench.apply(wanted)


def test_a_session_goes_on_when_its_change_would_use_a_key_again(bench: Bench, ports: list[int], ends: Ends) -> None:
    elsewhere = SendingStates(bench.base / "other.state", bench.base / "used-keys")
    with elsewhere:
        elsewhere.begin([("leg", [key(12)])])
        elsewhere.settle([([key(12)], b"")])
    bench.open(HEAD + one(ports))
    receiver = Receiver(SUITE, [key(2)])
    assert receiver.unprotect(ends.from_trunk(1)) == rtp(1)
    legs = bench.relay.legs
    with pytest.raises(StateError, match=r"session\[one\].leg\[1\].transmit-key: was used before"):
        bench.apply(HEAD + one(ports, keys=(11, 12), plain="hold = true") + two(ports))
    assert bench.relay.legs == legs
    assert receiver.unprotect(ends.from_trunk(2)) == rtp(2)


def test_a_session_goes_on_when_its_state_does_not_fit_the_new_settings(
    bench: Bench, ports: list[int], ends: Ends
) -> None:
    bench.open(HEAD + one(ports))
    receiver = Receiver(SUITE, [key(2)])
    assert receiver.unprotect(ends.from_trunk(1)) == rtp(1)
    several = f'transmit-key = ["{key_text(2)}|1:1", "{key_text(12)}|2:1"]'
    changes = bench.apply(HEAD + one(ports).replace(f'transmit-key = "{key_text(2)}"', several))
    assert str(changes.refused["one"]).endswith("or take a new key): the session goes on as it was")
    assert receiver.unprotect(ends.from_trunk(2)) == rtp(2)
    assert not bench.apply(HEAD + one(ports))


def test_a_refused_session_goes_on_whatever_the_new_flags_say(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    receiver = Receiver(SUITE, [key(2)])
    assert receiver.unprotect(ends.from_trunk(1)) == rtp(1)
    free = free_ports(1)[0]
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", free))
    plain = "".join(line for line in one([free, *ports[1:]]).splitlines(keepends=True) if "key" not in line)
    bench.gateway.media_encryption = {}
    with holder:
        changes = bench.apply("".join(line for line in plain.splitlines(keepends=True) if "suite" not in line))
    assert list(changes.refused) == ["one"]
    assert bench.gateway.media_encryption == {}
    assert receiver.unprotect(ends.from_trunk(2)) == rtp(2)


def test_back_to_an_earlier_receiving_key_opens_the_session_again(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    assert bench.apply(HEAD + one(ports, keys=(11, 12))) == Changes(changed=["one"])
    assert bench.apply(HEAD + one(ports, keys=(1, 14))) == Changes(reopened=["one"])
    assert Receiver(SUITE, [key(14)]).unprotect(ends.from_trunk(1)) == rtp(1)
    assert ends.from_phone(1) == rtp(1)


def test_libsrtp_refuses_before_it_closes_anything(tmp_path: Path, ports: list[int]) -> None:
    with closing(Bench(tmp_path, keeps_state=False)) as bench:
        bench.open(HEAD + one(ports))
        legs = bench.relay.legs
        with pytest.raises(StateError, match="libsrtp"):
            bench.apply(HEAD + one(ports, encrypted="window = 2048"))
        assert bench.relay.legs == legs
        # In place to a fresh key, and back to a receiving key with that one still in use.
        assert bench.apply(HEAD + one(ports, keys=(11, 2))) == Changes(changed=["one"])
        changes = bench.apply(HEAD + one(ports))
        assert str(changes.refused["one"]).endswith("the session goes on as it was")
        assert bench.relay.legs == legs


def full(*_: object, **__: object) -> None:
    raise StateError("state", "", "cannot be used: No space left on device")


def test_a_full_disk_leaves_nothing_half_done(
    bench: Bench, ports: list[int], ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.open(HEAD + one(ports) + two(ports))
    with monkeypatch.context() as patch:
        patch.setattr("srtpgw.media.store._replace", full)
        changes = bench.apply(HEAD + one(ports, plain="hold = true"))
        assert (changes.removed, changes.changed, changes.failed) == (["two"], ["one"], {})
        assert [str(error) for error in changes.unsaved] == ["state: cannot be used: No space left on device"]
        assert bench.names() == ["one/1", "one/2"]
        legs = bench.relay.legs
        for text in (one(ports, encrypted="window = 2048"), one(ports) + two(ports)):
            with pytest.raises(StateError, match="No space left"):
                bench.apply(HEAD + text)
            assert bench.relay.legs == legs
        changes = bench.apply(HEAD + one(ports, keys=(11, 12), plain="hold = true"))
        assert list(changes.refused) == ["one"]
    assert bench.apply(HEAD + one(ports) + two(ports)) == Changes(added=["two"], changed=["one"])
    # What went on is in order: its source is not renamed.
    bench.relay.close()
    bench.open(HEAD + one(ports) + two(ports))
    assert ends.from_trunk(1)[8:12] == rtp(1)[8:12]


def test_sources_are_kept_again_when_the_disk_refused(
    bench: Bench, ports: list[int], ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.open(HEAD + one(ports))
    ends.from_trunk(1)
    before = (bench.base / "relay.toml.state").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("srtpgw.media.store._replace", full)
        with pytest.raises(StateError):
            bench.relay.keep_states()
    bench.relay.keep_states()
    assert (bench.base / "relay.toml.state").read_bytes() != before


def test_what_the_gateway_refuses_to_join_is_a_fault_of_its_session(bench: Bench, ports: list[int]) -> None:
    def refuse(*_: object) -> None:
        raise MediaError("not these two")

    bench.gateway.join = refuse  # type: ignore[assignment,method-assign]
    with pytest.raises(ConfigError, match=r"relay.toml: session\[one\]: not these two"):
        bench.open(HEAD + one(ports))
    assert bench.gateway.legs == []
