"""The state directory: where it is, who may enter, and the key file."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import threading
from pathlib import Path

import pytest
from support import require_root
from unit.control.disk_order import watched

from srtpgw.control import directory as directory_module
from srtpgw.control.commands.console import Place, carry_out
from srtpgw.control.directory import StateDirectory, default_directory, fault, make_once
from srtpgw.errors import StoreError
from srtpgw.operator import main

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "euid", "expected"),
    [
        ({"SRTPGW_STATE_DIR": "/srv/a", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 1000, "/srv/a"),
        ({"SRTPGW_STATE_DIR": "/srv/a"}, 0, "/srv/a"),
        ({"SRTPGW_STATE_DIR": "", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 1000, "/x/srtpgw"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, 1000, "/x/srtpgw"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, 1000, "/h/.local/state/srtpgw"),
        ({"HOME": "/h"}, 1000, "/h/.local/state/srtpgw"),
        # what sudo leaves of the user's environment is not root's
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, 0, "/var/lib/srtpgw"),
        ({}, 0, "/var/lib/srtpgw"),
    ],
)
def test_the_default_place(environ: dict[str, str], euid: int, expected: str) -> None:
    assert default_directory(environ, euid) == Path(expected)


def test_the_default_place_without_a_home() -> None:
    user = os.geteuid() or NOBODY
    assert default_directory({}, user) == Path(pwd.getpwuid(user).pw_dir, ".local/state/srtpgw")
    unknown = max(each.pw_uid for each in pwd.getpwall()) + 1
    with pytest.raises(StoreError, match="set SRTPGW_STATE_DIR"):
        default_directory({}, unknown)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_a_directory_is_made_for_its_user_alone(tmp_path: Path, umask: int) -> None:
    place = tmp_path / "local" / "state" / "srtpgw"
    before = os.umask(umask)
    try:
        made = StateDirectory(place)
        made.vault_key()
    finally:
        os.umask(before)
    assert [mode(each) for each in (place, place.parent, place.parent.parent)] == [0o700] * 3
    assert mode(place / "vault.key") == 0o600
    assert made.database == place / "srtpgw.db"
    assert [each.name for each in place.iterdir()] == ["vault.key"]


def test_a_path_that_was_mistyped_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"^{tmp_path}/a does not exist: make it, if b is wanted there$"):
        StateDirectory(tmp_path / "a" / "b", parents=False)
    assert list(tmp_path.iterdir()) == []
    assert StateDirectory(tmp_path / "a" / "b", make=False, parents=False).path == tmp_path / "a" / "b"
    assert StateDirectory(tmp_path / "a", parents=False).path.is_dir()
    assert StateDirectory(tmp_path / "a" / "b", parents=False).path.is_dir()


def test_a_command_makes_nothing_at_a_path_that_was_mistyped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-set", "2", "--state-dir", str(tmp_path / "a" / "b")]
    assert main("sec_policy", command) == 1
    assert f"{tmp_path}/a does not exist: make it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    assert main("sec_policy", command) == 1  # refused for want of a licence, and that is noted there
    assert "LICENSE VOIP-SECURITY MISSING" in capsys.readouterr().out
    assert (tmp_path / "a" / "b" / "srtpgw.db").is_file()


def test_nothing_is_made_for_one_who_only_reads(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path / "a" / "b", make=False).database == tmp_path / "a/b/srtpgw.db"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [True, False])
@pytest.mark.parametrize("bits", [0o701, 0o710, 0o720, 0o704, 0o755, 0o1777])
def test_a_directory_that_others_may_enter_is_refused_as_it_is(tmp_path: Path, bits: int, make: bool) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(bits)
    with pytest.raises(StoreError, match="may be entered by others: run chmod 700"):
        StateDirectory(place, make=make)
    assert mode(place) == bits


@pytest.mark.parametrize("make", [True, False])
def test_a_directory_of_another_user_is_refused(tmp_path: Path, make: bool) -> None:
    require_root()
    place = tmp_path / "theirs"
    place.mkdir(0o700)
    name = pwd.getpwuid(NOBODY).pw_name
    os.chown(place, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=rf"belongs to {name}: run this as that user \(sudo -u {name}"):
        StateDirectory(place, make=make)
    os.chown(place, 54321, 54321)
    with pytest.raises(StoreError, match="belongs to #54321"):
        StateDirectory(place, make=make)


def test_a_link_is_followed_once(tmp_path: Path) -> None:
    """What it leads to is what is checked and used; where it leads later does not matter."""
    good, other, link = tmp_path / "good", tmp_path / "other", tmp_path / "link"
    good.mkdir(0o700)
    other.mkdir(0o755)
    link.symlink_to(good)
    found = StateDirectory(link)
    link.unlink()
    link.symlink_to(other)
    assert found.database == good / "srtpgw.db"
    with pytest.raises(StoreError, match=r"other may be entered by others"):
        StateDirectory(link)


def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for place in (file, file / "below", loop, Path("/proc/srtpgw"), tmp_path / ("x" * 300), Path("\0")):
        with pytest.raises(StoreError):
            StateDirectory(place)


def test_the_key_is_made_once(tmp_path: Path) -> None:
    place = StateDirectory(tmp_path / "state")
    key = place.vault_key()
    assert len(key) == 32
    assert place.vault_key() == StateDirectory(tmp_path / "state").vault_key() == key
    assert StateDirectory(tmp_path / "other").vault_key() != key


def test_a_key_that_is_gone_is_not_made_anew_where_secrets_need_it(tmp_path: Path) -> None:
    place = StateDirectory(tmp_path / "state")
    with pytest.raises(StoreError, match=r"is missing.*put a good copy back"):
        place.vault_key(make=False)
    assert not (place.path / "vault.key").exists()
    assert place.vault_key() == place.vault_key(make=False)


def test_a_command_makes_no_new_key_beside_old_secrets(tmp_path: Path) -> None:
    """What the old key sealed would stay shut for ever, and nobody would know until a terminal logs on."""
    place = Place(tmp_path / "state", "srtpgw")
    assert carry_out("auth_code", ["-i", "-d", "100", "--auth-code", "4711382"], place)[0]
    file = place.directory / "vault.key"
    aside = file.rename(tmp_path / "aside.key")
    with pytest.raises(StoreError, match="is missing"):
        carry_out("auth_code", ["-i", "-d", "200", "--auth-code", "4711382"], place)
    assert not file.exists()
    aside.rename(file)
    assert carry_out("auth_code", ["-i", "-d", "200", "--auth-code", "4711382"], place)[0]
    file.unlink()
    assert carry_out("auth_code", ["-e", "-d", "100,200"], place)[0]
    assert carry_out("auth_code", ["-i", "-d", "100", "--auth-code", "4711382"], place)[0]


@pytest.mark.parametrize("octets", [b"", bytes(31), bytes(33)])
def test_a_damaged_key_is_refused_and_kept(tmp_path: Path, octets: bytes) -> None:
    place = StateDirectory(tmp_path / "state")
    file = place.path / "vault.key"
    make_once(file, lambda: octets)
    with pytest.raises(StoreError, match="is damaged"):
        place.vault_key()
    assert file.read_bytes() == octets


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    place = StateDirectory(tmp_path / "state")
    place.vault_key()
    (place.path / "vault.key").chmod(0o640)
    with pytest.raises(StoreError, match="may be read by others"):
        place.vault_key()


@pytest.mark.parametrize("target", ["/etc/hostname", "nowhere"])
def test_a_key_behind_a_link_is_refused(tmp_path: Path, target: str) -> None:
    place = StateDirectory(tmp_path / "state")
    (place.path / "vault.key").symlink_to(target)
    with pytest.raises(StoreError, match="symbolic link"):
        place.vault_key()


def test_a_file_is_made_by_one_only(tmp_path: Path) -> None:
    made: list[int] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        def content() -> bytes:
            made.append(number)
            return bytes([number])

        start.wait(10)
        make_once(tmp_path / "file", content)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1
    assert (tmp_path / "file").read_bytes() == bytes(made)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_gets_its_name_once_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    make_once(tmp_path / "file", lambda: b"octets")
    assert seen == ["sync .file.new", "name file", f"sync {tmp_path.name}"]


def test_a_directory_is_on_the_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    StateDirectory(tmp_path / "above" / "state")
    assert seen == [f"sync {tmp_path.name}", "sync above"]


def test_who_holds_the_lock_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "LOCK_SECONDS", 0.05)
    with directory_module.locked(tmp_path), pytest.raises(StoreError, match="is busy"):
        make_once(tmp_path / "file", bytes)
    make_once(tmp_path / "file", bytes)


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, octets: bytes) -> None:
        path.write_bytes(octets[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    place = StateDirectory(tmp_path / "state")
    with monkeypatch.context() as patched:
        patched.setattr(directory_module, "write_new", full)
        with pytest.raises(StoreError, match="the disk is full: make room"):
            place.vault_key()
    assert list(place.path.iterdir()) == []
    (place.path / ".vault.key.new").write_bytes(b"of one who was killed")
    assert len(place.vault_key()) == 32
    assert [each.name for each in place.path.iterdir()] == ["vault.key"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "no permission: run this as the user"),
        (errno.EROFS, "read-only medium"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_fault_of_the_system_says_what_to_do(number: int, text: str) -> None:
    assert text in str(fault(Path("/state"), OSError(number, os.strerror(number))))
