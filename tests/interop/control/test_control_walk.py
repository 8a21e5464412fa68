"""The walks of operators, in docs/control.md and the README, as they are followed: each command as a program, one after
the other on one store, with the output that is shown. After a change of texts write them anew:

    SRTPGW_WRITE_DOCS=1 pytest tests/interop/control/test_control_walk.py

What differs from day to day and from machine to machine (times, serials, fingerprints, process numbers) is masked on
both sides. A `srtpgw run` of the page goes on beside the commands behind it, and is stopped at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop.walk import SECONDS, SRTPGW, WRITE, Example, as_shown, examples, make_program, rewritten, told
from support import ROOT, operator_command

from srtpgw.control.commands.table import FAMILIES
from srtpgw.control.directory import DATABASE
from srtpgw.control.store import Store
from srtpgw.service.status import ask

PAGE = ROOT / "docs/control.md"
README = ROOT / "README.md"
STATE = "/var/lib/srtpgw"  # where the page has it
SCRIPT = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
POLLS_MAX = 1000  # of 10 ms

MASKS = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\b[0-9A-F]{2}(:[0-9A-F]{2}){31}\b", "FINGERPRINT"),
    (r"\b([0-9a-f]{64}|[0-9a-f]{16})\b", "HEXADECIMAL"),
    (r"CA [0-9a-f]{8}\b", "CA SERIAL"),
    (r"issuer: [\w/+]{43}=", "issuer: KEY"),
    (r"host: \S+", "host: NAME"),
    (r"[\d,]+ octets", "SIZE octets"),
    (r"\d+ days left", "DAYS left"),
    (r"\S+ \(uid \d+\)", "USER"),
    (r"\b(pid=|process )\d+", "PROCESS"),
    (r"for \d+ d [\d:]{8}", "SPAN"),
    (r"^srtpgw \S* running", "srtpgw VERSION running"),
    (r"workers=\d+|on \d+ workers", "WORKERS"),
)  # fmt: skip


def masked(text: str) -> str:
    for pattern, name in MASKS:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text


class Walk:
    """An operator's machine: a folder, with the state in it, where every command is a program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._log = folder / "log"
        self._gateway: subprocess.Popen[bytes] | None = None
        for name in FAMILIES:
            make_program(folder, name, operator_command(name))
        make_program(folder, "srtpgw", SRTPGW)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SRTPGW_")}
        self._environment = kept | {
            "PATH": f"{folder}/bin:{os.environ['PATH']}", "SRTPGW_STATE_DIR": str(self.state), "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "none"), "LC_ALL": "C.UTF-8",
        }  # fmt: skip

    def run(self, command: str) -> str:
        """What a command prints, on either output. A gateway that runs has taken over what it changed then."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
        )  # fmt: skip
        if self._gateway is not None:
            self._in_force()
        return self._told(done.stdout.decode())

    def start(self, command: str) -> None:
        """Let a gateway run beside the commands to come."""
        with self._log.open("wb") as log:
            self._gateway = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip
        self._in_force()

    def end(self) -> str:
        """Stop it, if one runs. Its log."""
        if self._gateway is None:
            return ""
        self._gateway.terminate()
        assert self._gateway.wait(SECONDS) == 0, self._log.read_text()
        self._gateway = None
        lines = self._log.read_text().splitlines(keepends=True)
        return self._told("".join(line for line in lines if " warning memory " not in line))  # limits of this machine

    def _in_force(self) -> None:
        for _ in range(POLLS_MAX):
            answer = ask(self.state)
            with Store(self.state / DATABASE, readonly=True) as store:
                if answer is not None and answer["revision"] == store.read().revision:
                    return
            time.sleep(0.01)
        raise AssertionError(f"not in force: {self._log.read_text()}")

    def _told(self, text: str) -> str:
        return "".join(f"{line.rstrip()}\n" for line in text.replace(str(self.state), STATE).splitlines())


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    walk = Walk(tmp_path)
    yield walk
    walk.end()


def outputs(walk: Walk, shown: list[Example]) -> Iterator[tuple[Example, str]]:
    """Each example with what came of it; that of a gateway comes last."""
    gateway: Example | None = None
    for example in shown:
        if example.command == "srtpgw run":
            gateway = example
            walk.start(example.command)
        else:
            yield example, as_shown(example, walk.run(example.command))
    if gateway is not None:
        yield gateway, as_shown(gateway, walk.end())


def compare(walk: Walk, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = list(outputs(walk, examples(text)))
    wrong = [each for each in found if masked(each[1]) != masked(each[0].shown)]
    if WRITE:
        page.write_text(rewritten(text, wrong), encoding="utf-8")
    assert found
    assert not wrong, told(wrong)


def test_the_control_page_shows_what_commands_say(walk: Walk) -> None:
    compare(walk, PAGE)


def test_the_readme_shows_what_commands_say(walk: Walk) -> None:
    """Its `sh` block for operators first, which .ci/run runs as it stands."""
    (script,) = (block for block in SCRIPT.findall(README.read_text(encoding="utf-8")) if "sec_policy" in block)
    (walk.folder / ".venv").mkdir()
    (walk.folder / ".venv/bin").symlink_to(walk.folder / "bin")
    walk.run(f"set -e\n{script}")
    compare(walk, README)


def test_masks_leave_what_is_said() -> None:
    line = "2026-11-24T01:31:33Z  root (uid 0)  done  extension -i -d 12000..12003 --csp 1 --lim 1\n"
    assert masked(line) == "TIME  USER  done  extension -i -d 12000..12003 --csp 1 --lim 1\n"
