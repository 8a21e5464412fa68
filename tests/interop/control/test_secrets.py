"""PINs, passphrases, passwords and private keys show nowhere: not in a file, an output, the audit log, a process list
or a core file, whether a command is done, refused, mistyped, killed or at fault.

One scenario leaves its traces in one folder; then everything is searched (``secret_forms``). The key file of the state
directory is the one place where a key stands in clear, and its octets are searched for everywhere else.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from interop.control.secret_forms import Search, files_below
from interop.process_memory import find
from support import operator_command, require_root

from srtpgw.control.authority import issue, make_authority, parse_names
from srtpgw.control.certificates import key_label
from srtpgw.control.directory import StateDirectory
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault
from srtpgw.service.status import ask

SECONDS = 30  # a command that takes longer hangs
TURN = 0.01  # seconds between two looks
LOOKS_MAX = 1000
REALM = "srtpgw"

PIN, CHANGED_PIN, LATE_PIN, KILLED_PIN = "8305174", "9462073", "2917385", "6048291"  # each of some command
MISPLACED_PIN, WRONG_PIN = "7719034", "5528190x"
PASSPHRASES = "tortoise-Zürich-71-lantern", "hedgehog-Tromsø-38-anvil", "pelican-Ångström-52-quilt"
PASSPHRASE, WRONG_PASSPHRASE, KEY_PASSPHRASE = PASSPHRASES
PASSWORD, WRONG_PASSWORD = "swordfish!route%20credential", "swordfish\tnot~printable"
TYPED = {
    name: value
    for name, value in globals().items()
    if name.endswith(("PIN", "PASSPHRASE", "PASSWORD")) and isinstance(value, str)
}


def scalar(pem: bytes, passphrase: bytes | None = None) -> bytes:
    """The 32 octets of a private key on P-256 that matter."""
    key = load_pem_private_key(pem, passphrase)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers().private_value.to_bytes(32, "big")


def digests(number: str, pin: str) -> dict[str, bytes]:
    """HA1 of each algorithm (RFC 7616, section 3.4.2)."""
    a1 = f"{number}:{REALM}:{pin}".encode()
    return {f"{kind} HA1 of {number} with {pin}": hashlib.new(kind, a1).digest() for kind in ("md5", "sha256")}


class Scene:
    """A folder with a state directory, and all that commands have said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = b""
        self.directory = StateDirectory(folder / "state")

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SRTPGW_STATE_DIR": str(self.directory.path), "HOME": str(self.folder)}

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
            env=self.environment(),
        )  # fmt: skip

    def run(self, name: str, *words: str, typed: str = "", status: int = 0) -> None:
        """Run a command to its end; ``typed`` is its standard input."""
        self.end(self.popen(*operator_command(name), *words), typed, status)

    def refused(self, status: int, *commands: tuple[str, ...]) -> None:
        """Run commands that change nothing, and so need not wait for each other."""
        for process in [self.popen(*operator_command(name), *words) for name, *words in commands]:
            self.end(process, "", status)

    def end(self, process: subprocess.Popen[bytes], typed: str, status: int) -> bytes:
        """What a command that was started says on standard error."""
        with process:
            out, err = process.communicate(typed.encode(), SECONDS)
        self.said += out + err
        assert process.returncode == status, (process.args, process.returncode, out, err)
        return err


@pytest.fixture(scope="module", autouse=True)
def _cores() -> Iterator[None]:
    """As after ``ulimit -c unlimited``."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Certificates with keys to import, in a folder of their own, and what must not be seen of them."""
    folder = tmp_path_factory.mktemp("import")
    root = make_authority(time.time())
    first, second = (issue(root, parse_names([f"{name}.example"]), time.time()) for name in ("one", "two"))
    (folder / "root.pem").write_text(root.certificate)
    for name, issued in (("one", first), ("two", second)):
        (folder / f"{name}.pem").write_text(issued.certificate)
        (folder / f"{name}.key").write_bytes(issued.key)
    locked = load_pem_private_key(second.key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(KEY_PASSPHRASE.encode())
    )
    (folder / "two.locked").write_bytes(locked)
    der = load_pem_private_key(first.key, None).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert scalar(first.key) in der
    return folder, {"imported key": scalar(first.key), "imported locked key": scalar(second.key)}


def codes_and_routes(scene: Scene) -> None:
    """Done and refused, by option and by standard input."""
    scene.run("license_install", "--testbed")
    scene.run("extension", "-i", "-d", "100..103", "--csp", "1", "--lim", "1")
    scene.run("auth_code", "-i", "-d", "100", "--auth-code", PIN)
    scene.run("auth_code", "-i", "-d", "101,102", typed=f"{PIN}\n")
    scene.run("auth_code", "-c", "-d", "102", f"--auth-code={CHANGED_PIN}", "--json")
    scene.refused(
        1,
        ("auth_code", "-i", "-d", "100", "--auth-code", CHANGED_PIN),
        ("auth_code", "-c", "-d", "900", "--auth-code", PIN, "--json"),
    )
    route = ("-route", "1", "-protocol", "tls", "-proxyip", "192.0.2.9", "-authname", "gw")
    scene.run("sip_route", "-set", *route, "-password", PASSWORD)


def mistyped(scene: Scene) -> None:
    """Wrong usage, with the secret in each place where it may end up."""
    scene.refused(
        2,
        *(
            ("auth_code", *words)
            for words in (
                ("-i", "-d", "103", "--auth-code", WRONG_PIN),
                ("-i", "-d", "103", f"--auth-code={WRONG_PIN}"),
                ("-i", "-d", "103", "--auth-code", PIN, MISPLACED_PIN),
                ("-i", "-d", "103", "--auth-kode", MISPLACED_PIN),
                ("-i", "-d", "103", f"--auth-kode={MISPLACED_PIN}"),
                ("-i", "-d", "103", f"-auth-code={MISPLACED_PIN}"),
                ("-i", "-c", "-d", "103", "--auth-code", MISPLACED_PIN),
                ("-p", "--auth-code", MISPLACED_PIN),
                (MISPLACED_PIN,),
            )
        ),
        ("sip_route", "-set", "-route", "1", "-proxyip", "not a host", "-password", PASSWORD),
        ("sip_route", "-set", "-route", "1", "-password", WRONG_PASSWORD),
    )
    scene.run("auth_code", "-i", "-d", "103", typed=f"{WRONG_PIN}\n", status=2)


def certificates(scene: Scene, folder: Path) -> None:
    """Keys in clear and encrypted, with right and wrong passphrases, and one that belongs elsewhere."""
    one, two, root = (str(folder / name) for name in ("one.pem", "two.pem", "root.pem"))
    install = ("certificate_install", "--ca", root)
    locked = str(folder / "two.locked")
    scene.refused(
        1,
        (*install, "--cert", one, "--key", str(folder / "two.key")),
        (*install, "--cert", two, "--key", locked, "--passphrase", WRONG_PASSPHRASE),
        (*install, "--cert", str(folder / "one.key"), "--key", one),
    )
    scene.refused(2, (*install, "--cert", two, "--key", locked, f"-passphrase={KEY_PASSPHRASE}"))
    scene.run(*install, "--cert", two, "--key", locked, "--passphrase", typed=f"{KEY_PASSPHRASE}\n")
    scene.run(*install, "--cert", one, "--key", str(folder / "one.key"))
    scene.run("certificate_print", "--json")


def backups(scene: Scene) -> None:
    """With and without secrets; wrong passphrases; another machine's restore."""
    scene.run("data_backup", "-f", "plain.backup")
    scene.run("data_backup", "-f", "full.backup", "-passphrase", PASSPHRASE)
    scene.run("data_restore", "-f", "full.backup", "-passphrase", typed=f"{WRONG_PASSPHRASE}\n", status=1)
    restore = ("data_restore", "-f", "plain.backup", "-passphrase", WRONG_PASSPHRASE)
    scene.refused(1, restore, (*restore, "--json"))
    other = ("--state-dir", str(scene.folder / "other"))
    scene.run("data_restore", "-f", "full.backup", "--yes", *other, "-passphrase", PASSPHRASE)


def printed(scene: Scene) -> None:
    """All that prints something of them."""
    for words in (
        "auth_code -p",
        "auth_code -p --json",
        "extension -p --json",
        "sip_route -print --json",
        "audit -p --json",
    ):
        scene.run(*words.split())


# A fault of the program whose text and traceback show what was typed.
FAULTY = """
import sys
from srtpgw.control import digest, vault
from srtpgw.operator import main
def fault(*arguments): raise RuntimeError(str(arguments))
{place} = fault
sys.exit(main("auth_code"))
"""


def faults(scene: Scene) -> None:
    """Exceptions that nobody expected."""
    for place in ("vault.Vault.seal", "digest.hashlib.sha256"):
        command = (sys.executable, "-P", "-c", FAULTY.format(place=place))
        process = scene.popen(*command, "-i", "-d", "103", "--auth-code", LATE_PIN)
        assert b"a fault of the program" in scene.end(process, "", 1)


@contextmanager
def held_up(scene: Scene, store: Store, pin: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command with a PIN on its command line that waits for another to end, once the PIN is wiped from there."""
    with store.change(), scene.popen(*operator_command("auth_code"), "-i", "-d", "103", "--auth-code", pin) as process:
        try:
            for _ in range(LOOKS_MAX):
                words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
                if b"--auth-code" in words and pin.encode() not in words:
                    break
                time.sleep(TURN)
            else:
                raise AssertionError("the process list shows a PIN")
            yield process
        finally:
            process.kill()


def killed(scene: Scene, store: Store, search: Search) -> None:
    """Killed, and ended by what writes a core file, in mid-command."""
    for number, pin in ((signal.SIGKILL, KILLED_PIN), (signal.SIGABRT, LATE_PIN)):
        with held_up(scene, store, pin) as process:
            place = Path(f"/proc/{process.pid}")
            for name in ("cmdline", "environ", "comm"):
                assert search.shown((place / name).read_bytes()) == set(), name
            assert re.search(r"core file size +0 ", (place / "limits").read_text()), "it may leave a core file"
            process.send_signal(number)
            out, err = process.communicate(None, SECONDS)
            assert process.returncode == -number
            scene.said += out + err


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, dict[str, bytes]]) -> Iterator[Scene]:
    """All of it. A reader stays open, so that the log of the database (-wal) is there to be searched as well."""
    stage = Scene(tmp_path_factory.mktemp("secrets"))
    stage.run("license_install", "--testbed")
    with Store(stage.directory.database) as store:
        codes_and_routes(stage)
        mistyped(stage)
        certificates(stage, keys[0])
        backups(stage)
        faults(stage)
        killed(stage, store, Search(TYPED))
        printed(stage)
        yield stage


def all_secrets(scene: Scene, imported: dict[str, bytes]) -> dict[str, bytes | str]:
    """What must not be seen anywhere."""
    found: dict[str, bytes | str] = {**TYPED, **imported, "key file": scene.directory.vault_key()}
    for number, pin in (("100", PIN), ("101", PIN), ("102", PIN), ("102", CHANGED_PIN), ("103", LATE_PIN)):
        found |= digests(number, pin)
    return found


def test_nothing_shows_a_secret(scene: Scene, keys: tuple[Path, dict[str, bytes]]) -> None:
    search = Search(all_secrets(scene, keys[1]))
    files = dict(files_below(scene.folder))
    assert {name: shown for name in files if (shown := search.shown(files[name]))} == {"state/vault.key": {"key file"}}
    assert search.shown(scene.said) == set()
    wanted = {"plain.backup", "full.backup", "state", "other"}
    assert wanted <= {name.partition("/")[0] for name in files}
    assert any(name.endswith("-wal") and len(octets) > 4096 for name, octets in files.items())


def test_the_scene_has_what_is_searched_for(scene: Scene, keys: tuple[Path, dict[str, bytes]]) -> None:
    """The secrets are there, sealed: an empty store would show none either."""
    vault = Vault(scene.directory.vault_key)
    with Store(scene.directory.database, readonly=True) as store:
        state, audit = store.read(), store.audit(1000)
    assert list(state.authorization_codes) == ["100", "101", "102"]
    clear = vault.open(key_label("server"), state.certificates["server"].key)
    assert scalar(clear) == keys[1]["imported key"]
    told = "\n".join(f"{entry.command} {entry.result} {entry.lines}" for entry in audit)
    assert "auth_code -i -d 100 --auth-code *** done" in told
    assert "-password ***" in told
    assert "-passphrase ***" in told


def test_no_core_file_is_written(scene: Scene) -> None:
    """The limit was none for each process, and one of them ended by SIGABRT."""
    assert [name for name, _ in files_below(scene.folder) if re.search(r"(^|/)core(\.|$)", name)] == []


def test_a_running_gateway_holds_no_code_or_password(scene: Scene, keys: tuple[Path, dict[str, bytes]]) -> None:
    """Its memory has the key file's octets and the key of the certificate that it shows to phones, for it works with
    them. Codes and passwords stay sealed, and so do the keys that it replaced."""
    require_root()  # to read the memory of a process that lets nobody else
    secrets = {name: value.encode() for name, value in TYPED.items()}
    for number, pin in (("100", PIN), ("101", PIN), ("102", CHANGED_PIN)):
        for name, digest in digests(number, pin).items():
            secrets |= {name: digest, f"{name}, in hex": digest.hex().encode()}
    secrets |= {"replaced key": keys[1]["imported locked key"], "replaced key, as a number": secret_number(keys)}
    secrets |= {"key file": scene.directory.vault_key()}
    command = (sys.executable, "-P", "-m", "srtpgw.cli", "run", "--workers", "1", "--json")
    with scene.popen(*command) as process:
        try:
            for _ in range(LOOKS_MAX):
                if ask(scene.directory.path):
                    break
                assert process.poll() is None, process.communicate()
                time.sleep(TURN)
            held = {hit.secret for hit in find(process.pid, secrets)}
            process.terminate()
            out, err = process.communicate(None, SECONDS)
        finally:
            process.kill()
    assert held == {"key file"}
    assert Search(all_secrets(scene, keys[1])).shown(out + err) == set()


def secret_number(keys: tuple[Path, dict[str, bytes]]) -> bytes:
    """A key as libraries for large numbers keep it: the lowest octet first."""
    return keys[1]["imported locked key"][::-1]
