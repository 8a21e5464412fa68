"""The fuzz driver itself: a short run holds, and each thing it watches is noticed when it goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.fuzz_relay import Fuzzer, main, run
from fuzz.shadow import Shadow, Violation
from support import campaign

SECURE_TO_PLAIN = 0  # of SESSIONS: the first leg has keys, its peer none


def test_a_short_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, corpus = tmp_path / "report.json", tmp_path / "corpus"
    arguments = ["--seed", "7", "--batches", str(campaign(2000)), "--report", str(report), "--corpus", str(corpus)]
    assert main(arguments) == 0
    assert "all invariants hold" in capsys.readouterr().out
    assert not report.exists()
    assert any(corpus.iterdir())
    assert main([*arguments[:3], "20", *arguments[4:]]) == 0  # with the corpus of before


def forget_what_was_authentic(shadow: Shadow) -> None:
    shadow.authentic.clear()


def believe_it_left_before(shadow: Shadow) -> None:
    shadow.passed.update(shadow.authentic)


def expect_another_key(shadow: Shadow) -> None:
    assert shadow.peer is not None
    rig = shadow.end.rig
    shadow.peer.end.hears = rig.keys()


def expect_another_address(shadow: Shadow) -> None:
    assert shadow.peer is not None
    settings = shadow.peer.end.leg.settings
    object.__setattr__(settings, "remote", shadow.end.address._replace(port=1))


def believe_it_is_held(shadow: Shadow) -> None:
    object.__setattr__(shadow.end.leg.settings, "hold", True)


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (forget_what_was_authentic, "nobody may have sent"),
        (believe_it_left_before, "nobody may have sent"),
        (expect_another_key, "not authentic"),
        (expect_another_address, "neither signaled nor authentic"),
        (believe_it_is_held, "on hold"),
    ],
)
def test_a_broken_invariant_is_noticed(tamper: Callable[[Shadow], None], fault: str) -> None:
    """Here it is the shadow that is wrong; to the check this is the same."""
    fuzzer = quiet(Fuzzer(1))
    try:
        secure = list(fuzzer.shadows.values())[SECURE_TO_PLAIN]
        fuzzer.batch()
        sealed = secure.seal
        secure.seal = lambda plain, roc=0: tampered(secure, sealed(plain, roc), tamper)  # type: ignore[method-assign]
        with pytest.raises(Violation, match=fault):
            batches(fuzzer, 200)
    finally:
        fuzzer.rig.gateway.shutdown()


def tampered(shadow: Shadow, wire: bytes, tamper: Callable[[Shadow], None]) -> bytes:
    tamper(shadow)
    return wire


def batches(fuzzer: Fuzzer, count: int) -> None:
    for _ in range(count):
        fuzzer.batch()


def quiet(fuzzer: Fuzzer) -> Fuzzer:
    """Without changes of the legs."""
    fuzzer.act = lambda: None  # type: ignore[method-assign]
    return fuzzer


def test_a_violation_is_reported(tmp_path: Path) -> None:
    fuzzer = Fuzzer(2)
    report = tmp_path / "report.json"
    fuzzer.left += 1  # one datagram left that nobody counted
    assert "counted" in run(fuzzer, 0, 10, report)
    story = json.loads(report.read_text(encoding="utf-8"))
    assert story["batch"] == 1
    assert len(story["datagrams"]) == fuzzer.datagrams
    fuzzer.rig.gateway.shutdown()
