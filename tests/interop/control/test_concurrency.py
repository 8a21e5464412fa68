"""Several processes at once: no update is lost, no rule is passed by, no reader sees half a change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from interop.control.children import PATIENCE_SECONDS, done, forked, operate, script, together
from support import FULL
from unit.control.requests import extension
from unit.control.stored_rows import commit, entry, put

from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import Put, Setting
from srtpgw.control.store import Store

PROCESSES = 4
TURNS = 200 if FULL else 20
GENERATIONS = 5 * TURNS
POLL_SECONDS = 0.1  # as the gateway looks


def opened(state: Path) -> Store:
    return Store(StateDirectory(state).database)


def in_order(*works: Callable[[], int]) -> int:
    return max(work() for work in works)


def test_commands_at_once_are_all_done(tmp_path: Path) -> None:
    """From the very first, which make the directory, the database and the key file."""

    def work(process: int) -> int:
        numbers = range(1000 * process, 1000 * process + TURNS // 2)
        return in_order(
            *(partial(operate, tmp_path, "extension", "-i", "-d", str(n), "--csp", "1", "--lim", "1") for n in numbers),
            *(partial(operate, tmp_path, "auth_code", "-i", "-d", str(n), "--auth-code", "4711") for n in numbers),
        )

    ended = together([partial(work, process) for process in range(1, PROCESSES + 1)])
    assert [each.status for each in ended] == [0] * PROCESSES, ended
    expected = [str(1000 * process + n) for process in range(1, PROCESSES + 1) for n in range(TURNS // 2)]
    with opened(tmp_path) as store:
        store.check()
        state = store.read()
        assert list(state.extensions) == list(state.authorization_codes) == expected
        assert len(store.audit(10_000)) == 2 * len(expected)
    assert {each.name for each in tmp_path.iterdir()} == {"srtpgw.db", "vault.key"}


def test_an_update_is_never_lost(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, put(extension("1", csp=0)))

    def work() -> None:
        with opened(tmp_path) as store:
            for _ in range(TURNS):
                with store.change() as transaction:
                    row = transaction.state.extensions["1"]
                    transaction.apply([Put(replace(row, csp=row.csp + 1))])
                    transaction.audit(entry(str(row.csp)))

    assert [each.status for each in together([work] * PROCESSES)] == [0] * PROCESSES
    with opened(tmp_path) as store:
        assert store.read().extensions["1"].csp == PROCESSES * TURNS
        assert [each.command for each in store.audit(10_000)] == [str(n) for n in range(PROCESSES * TURNS)]


def test_a_policy_and_what_it_forbids_never_meet(tmp_path: Path) -> None:
    """Each of two commands is allowed as long as the other was not there before."""
    done(tmp_path, "license_install", "--testbed")
    done(tmp_path, "extension", "-i", "-d", "100", "--csp", "1", "--lim", "1")
    set_policy = partial(operate, tmp_path, "sec_policy", "-set", "1")
    except_it = partial(operate, tmp_path, "extension", "-c", "-d", "100", "--security-exception", "yes")
    for _ in range(TURNS // 4):
        policy, exception = together([set_policy, except_it])
        with opened(tmp_path) as store:
            state = store.read()
        assert (state.policy == 1) != state.extensions["100"].security_exception, (policy, exception)
        assert sorted([policy.status, exception.status]) == [0, 1], (policy, exception)
        if exception.status:
            assert "Security exception is not allowed." in exception.out
        else:
            assert "DIRECTORY NUMBERS WITH SECURITY EXCEPTION EXIST" in policy.out
        done(tmp_path, "sec_policy", "-remove")
        done(tmp_path, "extension", "-c", "-d", "100", "--security-exception", "no")


def test_a_reader_never_sees_half_a_change(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(1000)]

    def generation(turn: int) -> list[Put]:
        return [*put(*(extension(number, csp=turn) for number in numbers)), Put(Setting("turn", str(turn)))]  # type: ignore[list-item]

    with opened(tmp_path) as store:
        commit(store, generation(0))

    def write() -> None:
        with opened(tmp_path) as store:
            for turn in range(1, GENERATIONS + 1):
                commit(store, generation(turn))

    seen = set()
    with forked(write) as writer:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while GENERATIONS not in seen and time.monotonic() < deadline:
            with opened(tmp_path) as store:  # anew, or it would read just behind each commit and never be met by one
                state = store.read()
            turns = {each.csp for each in state.extensions.values()} | {int(state.settings["turn"])}
            assert len(turns) == 1
            seen |= turns
        assert writer.wait().status == 0
    assert GENERATIONS in seen


def test_a_watcher_notices_what_other_processes_commit(tmp_path: Path) -> None:
    done(tmp_path, "license_install", "--testbed")
    with opened(tmp_path) as store:
        before = store.read()
        assert script(tmp_path, "sec_policy", "-set", "4").status == 2
        assert script(tmp_path, "extension", "-e", "-d", "404").status == 1
        assert store.changed() is None, "a refusal changes nothing"
        with forked(lambda: operate(tmp_path, "sec_policy", "-set", "2")) as child:
            for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
                found = store.changed()
                if found is not None:
                    break
                time.sleep(POLL_SECONDS)
            assert child.wait().status == 0
        assert found is not None
        assert (before.policy, found.policy) == (None, 2)
        assert store.changed() is None


def test_console_scripts_at_once(tmp_path: Path) -> None:
    works = [
        partial(script, tmp_path, "extension", "-i", "-d", number, "--csp", "1", "--lim", "1") for number in ("1", "2")
    ]
    ended = together([lambda work=work: work().status for work in [*works, *works]])  # type: ignore[misc]
    assert sorted(each.status for each in ended) == [0, 0, 1, 1], "each number is initiated once"
    with opened(tmp_path) as store:
        assert list(store.read().extensions) == ["1", "2"]
        assert sorted(each.result for each in store.audit(9)) == ["done", "done", "refused", "refused"]
