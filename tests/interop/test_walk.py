"""The walk in docs/verifying-with-wireshark.md, as a reader follows it: its commands run, and give what is shown.

A `console` block is a command behind `$` and its output; a last line `...` leaves the rest out. They run one after the
other in one folder, with docs/ in it, on a terminal of WIDTH characters. After a change of texts write them anew:

    SRTPGW_WRITE_DOCS=1 pytest tests/interop/test_walk.py -k outputs

The README's output is held to the same, and mended by hand. The pictures in docs/images are of `--html`, by

    chromium --headless --screenshot=report.png --window-size=1240,3600 --hide-scrollbars report.html

The `sh` block records a stream; of what follows on it only the first line is compared, for the rest is of the day.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop.phones.place import Place
from interop.walk import SECONDS, SRTPGW, WRITE, Example, as_shown, examples, make_program, rewritten, told
from support import ROOT, require_peer

from srtpgw.capture.keyfile import read_keys

PAGE = ROOT / "docs/verifying-with-wireshark.md"
WIDTH = 120  # characters: room for every column but the last few
RECORDED = "try.pcapng"  # what the `sh` block makes
SCRIPT = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PEERS = ("tshark", "editcap", "jq", "dumpcap", "ffmpeg")


def recorded(example: Example) -> bool:
    return RECORDED in example.command


def drained(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            octets = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            return
        if not octets:
            return
        yield octets


def run(command: list[str], folder: Path) -> str:
    """What a command prints on a terminal."""
    reading, writing = pty.openpty()
    screen = {"TERM": "dumb", "COLUMNS": str(WIDTH), "LINES": "50", "LC_ALL": "C.UTF-8"}
    environment = {**os.environ, **screen, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    environment.pop("FORCE_COLOR", None)
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=writing,
                               stderr=writing)  # fmt: skip
    os.close(writing)
    output = b"".join(drained(reading))
    os.close(reading)
    process.wait(SECONDS)
    lines = output.decode().replace("\r\n", "\n").splitlines()
    text = "".join(f"{line.rstrip()}\n" for line in lines if not line.startswith("Running as user"))
    return text.lstrip("\n")  # a progress bar, which other terminals erase, leaves an empty line on this one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader stands: docs/ is there, and `srtpgw` is a command."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    make_program(tmp_path, "srtpgw", SRTPGW)
    return tmp_path


@pytest.mark.peer("tshark")
def test_outputs_are_those_of_the_commands(folder: Path) -> None:
    for peer in PEERS:
        require_peer(peer)
    text = PAGE.read_text(encoding="utf-8")
    wrong = []
    for example in examples(text):
        if recorded(example):
            continue
        output = as_shown(example, run(["bash", "-c", example.command], folder))
        if output != example.shown:
            wrong.append((example, output))
    if WRITE:
        PAGE.write_text(rewritten(text, wrong), encoding="utf-8")
    assert not wrong, told(wrong)


@pytest.mark.netns
@pytest.mark.peer("dumpcap")
def test_a_reader_records_and_verifies_a_stream(folder: Path) -> None:
    for peer in PEERS:
        require_peer(peer)
    text = PAGE.read_text(encoding="utf-8")
    (script,) = SCRIPT.findall(text)
    mine = [example for example in examples(text) if recorded(example)]
    with Place(folder) as place:
        run(place.command("bash", "-c", script), folder)
        outputs = [run(place.command("bash", "-c", example.command), folder) for example in mine]
    assert mine
    assert [output.splitlines()[0] for output in outputs] == [example.shown.splitlines()[0] for example in mine]


def test_the_readme_shows_what_verify_says(folder: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```\n([A-Z].*?)^```$", readme, re.DOTALL | re.MULTILINE)
    said = run(["bash", "-c", "srtpgw verify docs/examples/call.pcapng"], folder).splitlines()
    assert [line for line in shown.splitlines() if line.strip() != "..." and line not in said] == []


def test_the_key_file_of_the_page_is_read() -> None:
    (lines,) = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    read = read_keys(lines, "page")
    assert (len(read.keys), read.faults) == (3, [])


def test_a_wrong_output_is_found_and_mended(folder: Path) -> None:
    page = "```console\n$ echo one; echo two\none\n...\n$ echo one\ntwo\n```\n\n```console\n$ echo one\n```\n"
    good, wrong, empty = examples(page)
    assert as_shown(good, run(["bash", "-c", good.command], folder)) == good.shown
    outputs = [(example, run(["bash", "-c", example.command], folder)) for example in (wrong, empty)]
    assert [output for _, output in outputs] == ["one\n", "one\n"]
    assert (wrong.shown, empty.shown) == ("two\n", "")
    mended = "```console\n$ echo one; echo two\none\n...\n$ echo one\none\n```\n\n```console\n$ echo one\none\n```\n"
    assert rewritten(page, outputs) == mended
