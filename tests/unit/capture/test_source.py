"""Where captures come from: files, pipes, standard input, gzip; several readings that give the same octets."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from native.captures import Frame, ethernet, ip4, pcap, pcapng, udp

from srtpgw._native import CaptureReader
from srtpgw.capture.source import CaptureSource, open_capture
from srtpgw.errors import CaptureError

FRAMES = [Frame(ethernet(ip4(udp(bytes([number % 256]) * 1000))), number) for number in range(3000)]
CAPTURE = pcap(FRAMES)  # more than a buffer's worth


def reading(source: CaptureSource) -> int:
    """Packets of one reading."""
    reader, count = CaptureReader(), 0
    for _ in source.read_through(reader):
        count += reader.skip()
    assert reader.describe()["frames"] == count
    return count


@contextmanager
def writing(path: Path, octets: bytes, portion: int = 1 << 16) -> Iterator[None]:
    """A thread that writes into a named pipe."""

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(octets), portion):
                file.write(octets[at : at + portion])

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.pcap"
    path.write_bytes(CAPTURE)
    return path


@pytest.mark.parametrize("octets", [CAPTURE, gzip.compress(CAPTURE, 1)])
def test_a_file_is_read_several_times(octets: bytes, tmp_path: Path) -> None:
    """With progress up to its size."""
    path = tmp_path / "capture"
    path.write_bytes(octets)
    told: list[tuple[int, int | None]] = []
    with open_capture(path, lambda done, total: told.append((done, total))) as source:
        assert source.octets == len(octets)
        for _ in range(3):
            told.clear()
            assert reading(source) == len(FRAMES)
            assert told[-1] == (len(octets), len(octets))
            assert told == sorted(told)
    assert source.fault is None


@pytest.mark.parametrize("octets", [CAPTURE, gzip.compress(CAPTURE, 1)])
def test_a_pipe_is_read_several_times(octets: bytes, fifo: Path) -> None:
    with open_capture(fifo) as source, writing(fifo, octets):
        sizes = [source.octets]
        assert reading(source) == len(FRAMES)
        assert [*sizes, source.octets] == [None, len(octets)]
        assert reading(source) == reading(source) == len(FRAMES)


def test_a_reading_given_up_is_no_loss(fifo: Path) -> None:
    """The next one begins with what was kept, and goes on with the pipe."""
    with open_capture(fifo) as source, writing(fifo, CAPTURE):
        steps = source.read_through(CaptureReader())
        next(steps)
        steps.close()
        assert reading(source) == len(FRAMES)


def kept_files() -> list[tuple[int, int]]:
    """(mode, links) of the open files of this process that have no name."""
    found = []
    for number in Path("/proc/self/fd").iterdir():
        try:
            status = number.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            found.append((stat.S_IMODE(status.st_mode), status.st_size))
    return found


def test_what_is_kept_has_no_name_and_goes_away(fifo: Path) -> None:
    before = kept_files()
    with open_capture(fifo) as source, writing(fifo, CAPTURE):
        reading(source)
        new = kept_files()
        for entry in before:
            new.remove(entry)
        assert new == [(0o600, len(CAPTURE))]
    assert kept_files() == before


def test_a_growing_file_gives_the_same_each_time(file: Path) -> None:
    with open_capture(file) as source:
        assert reading(source) == len(FRAMES)
        with file.open("ab") as grown:
            grown.write(pcap(FRAMES[:5])[24:])
        assert reading(source) == len(FRAMES)
    with open_capture(file) as source:
        assert reading(source) == len(FRAMES) + 5


@pytest.mark.parametrize("live", [True, False])
def test_stop_ends_the_capture_there(live: bool, fifo: Path, file: Path) -> None:
    """Also while nothing comes; later readings give what came before."""
    opened = fifo.open("r+b", buffering=0)  # a writer that never ends
    with opened, open_capture(fifo if live else file) as source:
        opened.write(pcap(FRAMES[:20])[:-10])
        reader, count = CaptureReader(), 0
        for _ in source.read_through(reader):
            count += reader.skip()
            if live and count == 19:
                threading.Timer(0.01, source.stop).start()  # it waits for octets by then
            elif not live:
                source.stop()
        again = reading(source)
        assert count == again
        assert count == 19 if live else 0 < count < len(FRAMES)
        assert "cut off" in str(reader.describe()["fault"])


def test_standard_input(file: Path) -> None:
    """A pipe or a file, from where it stands."""
    script = (
        "from srtpgw.capture.source import open_capture\n"
        "from srtpgw._native import CaptureReader\n"
        "with open_capture('-') as source:\n"
        "    for _ in range(2):\n"
        "        reader, count = CaptureReader(), 0\n"
        "        for _ in source.read_through(reader):\n"
        "            count += reader.skip()\n"
        "        print(source.name, source.octets, count)\n"
    )
    expected = f"standard input {len(CAPTURE)} {len(FRAMES)}\n" * 2
    piped = subprocess.run([sys.executable, "-c", script], input=CAPTURE, capture_output=True, check=True)
    assert piped.stdout.decode() == expected
    with file.open("rb") as stdin:
        redirected = subprocess.run([sys.executable, "-c", script], stdin=stdin, capture_output=True, check=True)
    assert redirected.stdout.decode() == expected


# --- gzip ------------------------------------------------------------------------------------------------------------


def test_gzip_of_several_members(tmp_path: Path) -> None:
    """And padding behind the last one."""
    path = tmp_path / "a.pcap.gz"
    half = len(CAPTURE) // 2
    for behind in (b"", bytes(512)):
        path.write_bytes(gzip.compress(CAPTURE[:half]) + gzip.compress(b"") + gzip.compress(CAPTURE[half:]) + behind)
        with open_capture(path) as source:
            assert reading(source) == len(FRAMES)
            assert source.fault is None


@pytest.mark.parametrize(
    ("packed", "fault"),
    [
        (gzip.compress(CAPTURE)[:-300], "the gzip data is cut off"),
        (gzip.compress(CAPTURE)[:-4], "the gzip data is cut off"),
        (gzip.compress(CAPTURE)[:-8] + bytes(8), "the gzip data is damaged"),
        (gzip.compress(CAPTURE) + b"something else", "the gzip data is damaged"),
    ],
)
def test_damaged_gzip(packed: bytes, fault: str, tmp_path: Path) -> None:
    """What can be unpacked is read."""
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(packed)
    with open_capture(path) as source:
        assert 0 < reading(source) <= len(FRAMES)
        assert source.fault == fault
        assert reading(source) > 0
        assert source.fault == fault


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """16 MiB of one block from 16 KiB: the reader's buffer stays as it is."""
    path = tmp_path / "a.pcapng.gz"
    block = (0x77).to_bytes(4, "little") + (16 << 20).to_bytes(4, "little")
    path.write_bytes(gzip.compress(pcapng(FRAMES[:1]) + block + bytes((16 << 20) - 8), 9))
    reader = CaptureReader()
    with open_capture(path) as source:
        assert sum(reader.skip() for _ in source.read_through(reader)) == 1
    assert len(reader.space()) <= 262144
    assert "at its end" in str(reader.describe()["fault"])


# --- what is no capture ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", "the file is empty"),
        (b"text, not a capture", "not a capture: it begins like neither pcap nor pcapng"),
        (gzip.compress(b"text, not a capture"), "not a capture: it begins like neither pcap nor pcapng"),
        (gzip.compress(b""), "the file is empty"),
        (b"\x1f\x8b\x08", "the gzip data is cut off"),
        (b"\x1f\x8b\xff\xff", "the gzip data is damaged"),
        (b"\x28\xb5\x2f\xfd....", "not a pcap or pcapng file: it is compressed by zstd: unpack it first (zstd -d)"),
        (b"\x04\x22\x4d\x18....", "not a pcap or pcapng file: it is compressed by lz4: unpack it first (lz4 -d)"),
        (
            b"snoop\0\0\0\0\0\0\2",
            "not a pcap or pcapng file: it is a snoop capture: convert it first (editcap -F pcapng)",
        ),
    ],
)
def test_what_is_no_capture(octets: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(octets)
    with open_capture(str(path)) as source:
        for _ in range(2):
            with pytest.raises(CaptureError) as raised:
                reading(source)
            assert str(raised.value) == f"{path}: {text}"


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for path, text in (
        (tmp_path, "it is a directory, not a capture"),
        (tmp_path / "none", "No such file or directory"),
    ):
        with pytest.raises(CaptureError) as raised:
            open_capture(path)
        assert str(raised.value) == f"{path}: {text}"


def test_damage_further_on_is_left_to_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(CAPTURE[:-1])
    with open_capture(path) as source:
        assert reading(source) == len(FRAMES) - 1


def test_an_error_of_the_system_is_told() -> None:
    """/proc/self/mem cannot be read from its begin."""
    with (
        open_capture("/proc/self/mem") as source,
        pytest.raises(CaptureError, match="/proc/self/mem: Input/output error"),
    ):
        reading(source)


def test_no_room_to_keep_a_pipe() -> None:
    script = (
        "import resource\n"
        "from srtpgw.capture.source import open_capture\n"
        "from srtpgw._native import CaptureReader\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "with open_capture('-') as source:\n"
        "    for _ in source.read_through(reader := CaptureReader()):\n"
        "        reader.skip()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], input=CAPTURE, capture_output=True, check=False)
    assert b"CaptureError: standard input: File too large (it is kept for a second reading in /" in ended.stderr
    assert ended.returncode == 1


def test_no_place_to_keep_a_pipe(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(CaptureError, match=f"{fifo}: .*No such file or directory: '/nowhere"):
        open_capture(fifo)
