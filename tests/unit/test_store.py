"""Sending state across restarts: no index that may have been used is ever taken up again.

The attack of these tests is a life of starts, stops, crashes, lost and restored files; ``Life`` plays one with a key
whose every index is written down, and fails when one comes back.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.relay_files import key, octets

from srtpgw.errors import StateError
from srtpgw.media import store
from srtpgw.media.store import FRESH, RETIRED_MAX, Resumption, SendingStates
from srtpgw.srtp import MasterKey

ONE, TWO, THREE = (key(1),), (key(2),), (key(3),)


class Place:
    """A directory with a relay file's state and a register."""

    def __init__(self, base: Path) -> None:
        base.mkdir(exist_ok=True)
        self.state = base / "relay.toml.state"
        self.register = base / "register" / "used-keys"

    def open(self, *, allow_reuse: bool = False) -> SendingStates:
        return SendingStates(self.state, self.register, allow_reuse=allow_reuse)

    def start(self, *contexts: tuple[MasterKey, ...], allow_reuse: bool = False) -> list[Resumption]:
        """A run that is killed as soon as it has begun."""
        with self.open(allow_reuse=allow_reuse) as states:
            return states.begin([("leg", keys) for keys in contexts])

    def run(self, keys: tuple[MasterKey, ...], state: bytes) -> Resumption:
        """A run that stops in order."""
        with self.open() as states:
            (resumption,) = states.begin([("leg", keys)])
            states.settle([(keys, state)])
        return resumption


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


def test_a_new_key_starts_fresh_and_goes_on_where_it_stopped(place: Place) -> None:
    assert place.run(ONE, b"first") == FRESH
    assert place.run(ONE, b"second") == Resumption(b"first", "none")
    assert place.run(ONE, b"third") == Resumption(b"second", "none")


def test_after_a_kill_every_source_is_renamed_and_for_ever_the_unknown_ones(place: Place) -> None:
    place.run(ONE, b"first")
    assert place.start(ONE) == [Resumption(b"first", "none")]
    assert place.run(ONE, b"second") == Resumption(b"first", "all")
    # Exact again for the sources it knows; those of the killed run are still unknown.
    assert place.run(ONE, b"third") == Resumption(b"second", "unknown")
    assert place.run(ONE, b"fourth") == Resumption(b"third", "unknown")


def test_a_kept_state_is_there_after_a_kill_but_not_exact(place: Place) -> None:
    with place.open() as states:
        states.begin([("leg", ONE)])
        states.keep([(ONE, b"midway")])
    assert place.start(ONE) == [Resumption(b"midway", "all")]


def test_a_leg_that_never_opened_changes_nothing(place: Place) -> None:
    place.run(ONE, b"first")
    with place.open() as states:
        states.begin([("leg", ONE), ("leg", TWO)])
        states.settle([(ONE, None), (TWO, None)])
    assert place.run(ONE, b"second") == Resumption(b"first", "none")
    assert place.run(TWO, b"other") == FRESH
    assert place.run(TWO, b"other") == Resumption(b"other", "none")


def test_what_was_inexact_stays_so_when_a_leg_never_opened(place: Place) -> None:
    place.start(ONE)
    with place.open() as states:
        states.begin([("leg", ONE)])
        states.settle([(ONE, None)])
    assert place.start(ONE)[0].rename_sources == "all"


def test_a_used_key_without_its_state_is_refused(place: Place) -> None:
    place.run(ONE, b"first")
    place.state.unlink()
    with place.open() as states, pytest.raises(StateError, match="was used before") as caught:
        states.begin([("session[a].leg[1].transmit-key", ONE), ("session[b].leg[1].transmit-key", TWO)])
    assert [fault.key for fault in caught.value.faults] == ["session[a].leg[1].transmit-key"]
    assert "--allow-index-reuse" in str(caught.value)
    assert not place.state.exists()
    # Nothing was written of the other key.
    assert place.start(TWO) == [FRESH]


def test_index_reuse_can_be_allowed(place: Place) -> None:
    place.run(ONE, b"first")
    place.state.unlink()
    assert place.start(ONE, allow_reuse=True) == [FRESH]
    assert place.start(ONE)[0].rename_sources == "all"


def test_a_key_used_through_another_file_is_refused(tmp_path: Path, place: Place) -> None:
    place.run(ONE, b"first")
    with (
        SendingStates(tmp_path / "other.state", place.register) as states,
        pytest.raises(StateError, match="used before"),
    ):
        states.begin([("leg", ONE)])
    assert not (tmp_path / "other.state").exists()


def test_a_key_used_elsewhere_in_between_is_renamed(tmp_path: Path, place: Place) -> None:
    place.run(ONE, b"first")
    with SendingStates(tmp_path / "other.state", place.register, allow_reuse=True) as states:
        states.begin([("leg", ONE)])
        states.settle([(ONE, b"there")])
    assert place.start(ONE) == [Resumption(b"first", "all")]


def test_an_old_copy_of_the_state_is_not_exact(place: Place) -> None:
    place.run(ONE, b"first")
    copy = place.state.read_bytes()
    place.run(ONE, b"second")
    place.state.write_bytes(copy)
    assert place.start(ONE) == [Resumption(b"first", "all")]


def test_an_old_copy_is_not_laundered_by_a_leg_that_never_opened(place: Place) -> None:
    place.run(ONE, b"first")
    copy = place.state.read_bytes()
    place.run(ONE, b"second")
    place.state.write_bytes(copy)
    with place.open() as states:
        states.begin([("leg", ONE)])
        states.settle([(ONE, None)])
    assert place.start(ONE)[0].rename_sources == "all"


def test_file_and_state_may_move_to_another_machine(tmp_path: Path, place: Place) -> None:
    place.run(ONE, b"first")
    there = Place(tmp_path / "there")
    there.state.write_bytes(place.state.read_bytes())
    assert there.run(ONE, b"second") == Resumption(b"first", "none")


def test_two_relays_never_share_a_file(place: Place) -> None:
    with place.open() as states:
        for _ in range(2):
            with pytest.raises(StateError, match="in use by another relay"):
                place.open()
            # The file is another one after each save; the lock goes with it.
            states.begin([("leg", ONE)])
            states.settle([(ONE, b"first")])
    place.open().close()


@pytest.mark.parametrize(
    "damage",
    [b"{}", b"\xff", b"[" * 100_000, b'{"srtpgw-state":1,"digest":"","body":{}}', b'{"body":[]}', b"null", b"1"],
)
def test_a_damaged_state_is_refused(place: Place, damage: bytes) -> None:
    place.run(ONE, b"first")
    place.state.write_bytes(damage)
    with pytest.raises(StateError, match="damaged"):
        place.open()
    assert place.state.read_bytes() == damage
    assert place.start(ONE, allow_reuse=True) == [FRESH]


def test_every_changed_octet_is_damage(place: Place) -> None:
    place.run(ONE, b"first")
    good = place.state.read_bytes()
    for at in range(len(good)):
        place.state.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        if at == len(good) - 1:
            break  # the line's end
        with pytest.raises(StateError):
            place.open()


def test_a_torn_state_is_damage(place: Place) -> None:
    place.run(ONE, b"first")
    good = place.state.read_bytes()
    for size in range(1, len(good) - 1):
        place.state.write_bytes(good[:size])
        with pytest.raises(StateError):
            place.open()


def test_a_damaged_register_is_refused(place: Place) -> None:
    place.run(ONE, b"first")
    place.register.write_bytes(b"{")
    with place.open() as states, pytest.raises(StateError, match="which keys were used before"):
        states.begin([("leg", ONE)])
    assert place.start(ONE, allow_reuse=True) == [Resumption(b"first", "none")]


def test_files_are_private_and_hold_no_key(place: Place) -> None:
    place.run(ONE, b"first")
    for path in (place.state, place.register, place.register.with_suffix(".lock")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for secret in (octets(1), octets(1)[:16]):
            assert secret not in path.read_bytes()
            assert secret.hex().encode() not in path.read_bytes()
    assert stat.S_IMODE(place.register.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in place.state.parent.iterdir()) == ["register", "relay.toml.state"]


def test_a_state_that_others_can_write_is_not_trusted(place: Place) -> None:
    place.run(ONE, b"first")
    place.state.chmod(0o620)
    with pytest.raises(StateError, match="cannot be trusted"):
        place.open()


def test_no_link_and_no_pipe_is_followed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    place.state.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        place.open()
    place.state.unlink()
    os.mkfifo(place.state)
    with pytest.raises(StateError, match="not a regular file"):
        place.open()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be used"):
        SendingStates(tmp_path / "missing" / "relay.toml.state", tmp_path / "used-keys")
    (tmp_path / "file").write_bytes(b"")
    with (
        SendingStates(tmp_path / "relay.toml.state", tmp_path / "file" / "used-keys") as states,
        pytest.raises(StateError, match="cannot be used"),
    ):
        states.begin([("leg", ONE)])


def test_keys_that_left_the_file_are_remembered_up_to_a_limit(place: Place) -> None:
    place.run(ONE, b"first")
    place.run(TWO, b"other")
    assert place.run(ONE, b"second") == Resumption(b"first", "none")
    many = [(MasterKey(b"%030d" % number),) for number in range(RETIRED_MAX)]
    with place.open() as states:
        states.begin([("leg", keys) for keys in many])
        states.settle([(keys, b"") for keys in many])
    # The oldest is forgotten, and so refused.
    with place.open() as states, pytest.raises(StateError, match="used before"):
        states.begin([("leg", TWO)])
    assert place.start(many[-1])[0].rename_sources == "none"


def test_keys_of_one_context_may_part_and_come_together(place: Place) -> None:
    place.run((*ONE, *TWO), b"both")
    assert place.start(ONE) == [Resumption(b"both", "none")]
    assert place.start(TWO) == [Resumption(b"both", "none")]
    # Two states cannot be made one: every source is renamed.
    assert place.start((*ONE, *TWO, *THREE))[0].rename_sources == "all"


def test_unused_knows_file_and_register(tmp_path: Path, place: Place) -> None:
    place.run(ONE, b"first")
    with place.open() as states:
        assert not states.unused(ONE)
        assert not states.unused((*TWO, *ONE))
        assert states.unused(TWO)
    with SendingStates(tmp_path / "other.state", place.register) as states:
        assert not states.unused(ONE)


def test_a_key_that_was_replaced_while_it_sent_is_inexact(place: Place) -> None:
    with place.open() as states:
        states.begin([("leg", ONE)])
        states.begin([("leg", TWO)])
        states.settle([(ONE, b"nearly the last")], exact=False)
        states.settle([(TWO, b"last")])
    assert place.start(ONE) == [Resumption(b"nearly the last", "all")]
    assert place.start(TWO) == [Resumption(b"last", "none")]


class Life:
    """One key through many runs, with a model of the sender: sources 1 to 3 come and go, each sends indices upwards.

    A state is the JSON of {incoming: (outgoing, next index)}; fresh outgoing SSRCs never repeat here, as random ones
    but for chance do not.
    """

    def __init__(self, base: Path) -> None:
        self.place = Place(base)
        self.used: set[tuple[int, int]] = set()
        self.fresh = iter(range(1000, 10_000_000))
        self.copies: list[bytes] = []

    def sources(self, resumption: Resumption) -> dict[int, tuple[int, int]]:
        if not resumption.sending_state or resumption.rename_sources == "all":
            return {}
        read = json.loads(resumption.sending_state)
        return {int(ssrc): (out, index) for ssrc, (out, index) in read.items()}

    def run(self, sends: list[int], *, keep_after: int, clean: bool) -> None:
        with self.place.open() as states:
            (resumption,) = states.begin([("leg", ONE)])
            sources = self.sources(resumption)
            for number, ssrc in enumerate(sends):
                if number == keep_after:
                    states.keep([(ONE, json.dumps(sources).encode())])
                renamed = resumption.rename_sources != "none"
                out, index = sources.get(ssrc, (next(self.fresh) if renamed else ssrc, 0))
                assert (out, index) not in self.used, "an index came back"
                self.used.add((out, index))
                sources[ssrc] = (out, index + 1)
            if clean:
                states.settle([(ONE, json.dumps(sources).encode())])
        if self.place.state.exists():
            self.copies.append(self.place.state.read_bytes())


RUNS = st.tuples(st.lists(st.integers(1, 3), max_size=6), st.integers(0, 6), st.booleans(), st.integers(0, 9))


NUMBERS = itertools.count()


@settings(max_examples=25)
@given(st.lists(RUNS, min_size=1, max_size=8))
def test_no_index_ever_comes_back(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[list[int], int, bool, int]]
) -> None:
    life = Life(tmp_path_factory.getbasetemp() / f"life-{next(NUMBERS)}")
    for sends, keep_after, clean, mishap in runs:
        if mishap == 0 and life.copies:
            life.place.state.write_bytes(life.copies[0])  # a backup is put back
        life.run(sends, keep_after=keep_after, clean=clean)


def test_a_check_refuses_and_marks_nothing(place: Place) -> None:
    place.run(ONE, b"first")
    with place.open() as states:
        assert states.check([("leg", ONE), ("leg", TWO)]) == [Resumption(b"first", "none"), FRESH]
        assert states.unused(TWO)
        states.begin([("leg", ONE)])
        assert states.check([("leg", ONE)])[0].rename_sources == "all"
        states.settle([(ONE, b"second")])
    assert place.run(ONE, b"third") == Resumption(b"second", "none")
    place.state.unlink()
    with place.open() as states, pytest.raises(StateError, match="was used before"):
        states.check([("leg", ONE)])


@pytest.mark.parametrize("failing", [1, 2])  # the state file, the register behind it
def test_what_could_not_be_begun_is_not_in_use(place: Place, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    place.run(ONE, b"first")
    write = store._replace
    calls = itertools.count(1)

    def fail(path: Path, octets: bytes, *, lock: bool = False) -> int:
        if next(calls) == failing:
            raise StateError(str(path), "", "no room")
        return write(path, octets, lock=lock)

    with place.open() as states:
        with monkeypatch.context() as patch:
            patch.setattr(store, "_replace", fail)
            with pytest.raises(StateError, match="no room"):
                states.begin([("leg", ONE), ("leg", TWO)])
        assert states.begin([("leg", ONE), ("leg", TWO)]) == [Resumption(b"first", "none"), FRESH]


def test_faults_say_what_to_do_next(place: Place, tmp_path: Path) -> None:
    place.state.write_bytes(b"{}")
    place.state.chmod(0o600)
    with pytest.raises(StateError, match="put a good copy back, take new keys, or start with --allow-index-reuse"):
        place.open()
    place.state.unlink()
    place.register.parent.write_text("not a folder")
    with place.open() as states, pytest.raises(StateError, match="set SRTPGW_STATE_DIR to a folder"):
        states.begin([("leg", ONE)])
    with pytest.raises(StateError, match="its folder must be there and writable"):
        SendingStates(tmp_path / "none" / "state", place.register)


@pytest.mark.parametrize("look", [1, 2, 3])
def test_a_file_that_vanishes_while_it_is_opened_is_made_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    place.state.touch(mode=0o600)
    status = Path.stat
    looks = itertools.count(1)

    def stat_late(path: Path, **options: bool) -> os.stat_result:
        if path == place.state and next(looks) == look:
            path.unlink()
        return status(path, **options)

    handles = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stat_late)
        place.open().close()
    assert len(list(Path("/proc/self/fd").iterdir())) == handles
    assert not place.state.exists()  # made here, never written, removed
