"""Process settings: where each may stand, which source wins, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import ROOT

from srtpgw.address import Address
from srtpgw.cli import main
from srtpgw.config import BY_NAME, FILE_MAX, SETTINGS, SYSTEM_FILE, ProcessConfig, load, source_file, strange_variables
from srtpgw.errors import ConfigError

# For each setting three values other than the default: as TOML, and what it reads as; as text; what that reads as.
VALUES: dict[str, tuple[str, Any, str, Any, str, Any]] = {
    "state-dir": ('"/a"', Path("/a"), "/b", Path("/b"), "/c", Path("/c")),
    "realm": ('"a"', "a", "b.example", "b.example", "c d", "c d"),
    "certificate-names": ('["a", "192.0.2.1"]', ("a", "192.0.2.1"), "b", ("b",), "c,::1", ("c", "::1")),
    "drain-seconds": ("1.5", 1.5, "2", 2.0, "0", 0.0),
    "workers": ("1", 1, "2", 2, "256", 256),
    "cpus": ("[0, 1]", (0, 1), "3", (3,), "4, 5", (4, 5)),
    "engine": ('"socket"', "socket", "socket", "socket", "socket", "socket"),
    "crypto": ('"libsrtp"', "libsrtp", "native", "native", "libsrtp", "libsrtp"),
    "pacing-us": ("0", 0, "1", 1, "10000", 10_000),
    "port-range": ("[20000, 20001]", (20000, 20001), "20002-20009", (20002, 20009), "1024-65535", (1024, 65535)),
    "bind-ipv4": ('"192.0.2.9"', "192.0.2.9", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"),
    "bind-ipv6": ('"::"', "::", "2001:db8::1", "2001:db8::1", "2001:DB8::2", "2001:db8::2"),
    "advertised-ipv4": ('"192.0.2.3"', "192.0.2.3", "192.0.2.4", "192.0.2.4", "192.0.2.5", "192.0.2.5"),
    "advertised-ipv6": ('"::3"', "::3", "::4", "::4", "::5", "::5"),
    "metrics": ('"[::1]:90"', Address("::1", 90), "127.0.0.1:91", Address("127.0.0.1", 91), "127.0.0.1:92",
                Address("127.0.0.1", 92)),
}  # fmt: skip

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def into(text: str) -> Path:
        path = tmp_path / "srtpgw.toml"
        path.write_text(text)
        return path

    return into


def faults(*arguments: Any, **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*arguments, **{"environ": {"SRTPGW_STATE_DIR": "/s"}, **more})
    return [str(fault) for fault in caught.value.faults]


def test_every_setting_has_values_to_be_tried() -> None:
    assert [entry.name for entry in SETTINGS] == list(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_the_nearest_source_wins(name: str, write: Write) -> None:
    toml, in_file, variable, in_environment, typed, on_command_line = VALUES[name]
    environ, alone = {BY_NAME[name].variable: variable}, {"SRTPGW_STATE_DIR": "/s"}
    file = write(f"{name} = {toml}\n")
    found: list[tuple[Any, str]] = []
    for options, env, path in (
        ({}, alone, None),
        ({}, {} if name == "state-dir" else alone, file),
        ({}, alone | environ, file),
        ({name: typed}, alone | environ, file),
        ({name: None}, alone | environ, file),  # an option that was not given
    ):
        read = load(options, environ=env, file=path, user=4711)
        found.append((read.value(name), read.sources[name]))
    variable_source = f"environment {BY_NAME[name].variable}"
    expected = [(in_file, f"file {file}"), (in_environment, variable_source), (on_command_line, "command line"),
                (in_environment, variable_source)]  # fmt: skip
    if name != "state-dir":
        assert found[0] == (BY_NAME[name].default, "default")
    assert found[1:] == expected


def test_an_empty_variable_is_none() -> None:
    read = load(environ={"SRTPGW_STATE_DIR": "/s", "SRTPGW_REALM": "", "SRTPGW_CONFIG": ""}, user=4711)
    assert (read.realm, read.sources["realm"]) == ("srtpgw", "default")


@pytest.mark.parametrize(
    ("environ", "user", "place"),
    [
        ({}, 0, "/var/lib/srtpgw"),
        ({"XDG_STATE_HOME": "/x"}, 0, "/var/lib/srtpgw"),
        ({"XDG_STATE_HOME": "/x"}, 4711, "/x/srtpgw"),
        ({"HOME": "/h"}, 4711, "/h/.local/state/srtpgw"),
        ({"HOME": "/h", "SRTPGW_STATE_DIR": "/s"}, 0, "/s"),
    ],
)
def test_the_state_directory_is_the_users(
    environ: dict[str, str], user: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srtpgw.config.SYSTEM_FILE", Path("/nowhere"))  # that of this machine says what it likes
    read = load(environ=environ, user=user)
    assert (read.state_dir, read.at_default_place) == (Path(place), place != "/s")


def test_a_relative_directory_is_meant_from_here() -> None:
    read = load({"state-dir": "here"}, environ={}, user=4711)
    assert (read.state_dir, read.at_default_place) == (Path.cwd() / "here", False)


def test_the_file_is_that_of_the_option_the_variable_or_the_user(tmp_path: Path) -> None:
    own = tmp_path / "srtpgw" / "srtpgw.toml"
    own.parent.mkdir()
    named, given = tmp_path / "named.toml", tmp_path / "given.toml"
    for path in (own, named, given):
        path.write_text(f'realm = "{path.stem}"\n')
    home = {"XDG_CONFIG_HOME": str(tmp_path), "SRTPGW_STATE_DIR": "/s"}
    both = home | {"SRTPGW_CONFIG": str(named)}
    assert load(environ=home, user=4711).realm == "srtpgw"  # its default, and the name of the file
    assert load(environ=home, user=4711).sources["realm"] == f"file {own}"
    assert load(environ=both, user=4711).realm == "named"
    assert load(environ=both, user=4711, file=given).realm == "given"
    assert source_file(environ=home, user=0) == (SYSTEM_FILE if SYSTEM_FILE.exists() else None)
    assert source_file(environ=home | {"XDG_CONFIG_HOME": "relative"}, user=4711) is None
    assert source_file(given, environ=both, user=4711) == given


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "no.toml"
    for told in (faults(file=missing), faults(environ={"SRTPGW_CONFIG": str(missing)})):
        assert told == [f"{missing}: cannot be read: No such file or directory"]


WRONG = [
    ('realm = "a\\"b"', "realm: is a realm with"),
    ('realm = ""', "realm: is not a realm"),
    ("realm = 1", "realm: is not text in quotes"),
    ('state-dir = "here"', "state-dir: is not an absolute path"),
    ("workers = 0", "workers: is outside 1 to 256"),
    ("workers = true", "workers: is not a whole number"),
    ("workers = 2\ncpus = [0]", "cpus: names 1 cores for 2 workers"),
    ("port-range = [20001, 20002]", "port-range: has no even port"),
    ("port-range = [20002, 20001]", "port-range: is not [LOWEST, HIGHEST]"),
    ('bind-ipv4 = "::1"', "bind-ipv4: is not an IPv4 address"),
    ('bind-ipv4 = "localhost"', "bind-ipv4: is not a numeric IP address"),
    ('certificate-names = ["a b"]', "certificate-names: is neither a numeric IP address nor a host name"),
    ("drain-seconds = -1", "drain-seconds: is outside 0 to 86400"),
    ("drain-seconds = nan", "drain-seconds: is outside"),
    ('metrics = "9090"', "metrics: is not ADDRESS:PORT"),
    ('bind_ipv4 = "127.0.0.1"', "bind_ipv4: is not known; did you mean bind-ipv4?"),
    ("[gateway]\nworkers = 1", "gateway: is not known"),
    ("realm = ", "is not TOML"),
]


@pytest.mark.parametrize(("text", "reason"), WRONG, ids=[reason for _, reason in WRONG])
def test_a_wrong_file_is_told_by_name_and_reason(text: str, reason: str, write: Write) -> None:
    told = faults(file=write(text))
    assert len(told) == 1
    assert reason in told[0]


def test_all_faults_are_told_at_once_and_none_repeats_a_value(write: Write) -> None:
    file = write('workers = "secret1"\nrealms = "secret2"\n')
    environ = {"SRTPGW_STATE_DIR": "/s", "SRTPGW_PACING_US": "secret3", "SRTPGW_PORT_RANGE": "secret4"}
    told = faults({"cpus": "secret5", "drain-seconds": "secret6"}, environ=environ, file=file)
    assert told == [
        f"{file}: realms: is not known; did you mean realm?",
        f"{file}: workers: is not a whole number",
        "environment: SRTPGW_PACING_US: is not a whole number",
        "environment: SRTPGW_PORT_RANGE: is not a whole number",
        "command line: --cpus: is not a whole number",
        "command line: --drain-seconds: is not a number",
    ]


def test_a_file_that_others_may_change_is_refused(write: Write) -> None:
    file = write('realm = "x"')
    file.chmod(0o666)
    assert "may be changed by others" in faults(file=file)[0]
    file.chmod(0o644)
    assert load(environ={"SRTPGW_STATE_DIR": "/s"}, file=file).realm == "x"


def test_odd_files_are_refused(tmp_path: Path, write: Write) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "is not a regular file" in faults(file=fifo)[0]
    assert f"is larger than {FILE_MAX} octets" in faults(file=write("#" * (FILE_MAX + 1)))[0]


def test_a_variable_written_wrongly_is_told_and_others_are_left_alone() -> None:
    environ = dict.fromkeys(("SRTPGW_REALMS", "SRTPGW_SERVICE_HOST", "SRTPGW_PORT", "SRTPGW_WORKERS", "HOME"), "1")
    assert strange_variables(environ) == ["SRTPGW_REALMS is not known; did you mean SRTPGW_REALM?"]


def test_config_prints_values_and_their_sources(write: Write) -> None:
    file = write("workers = 2\n")
    environ = {"SRTPGW_STATE_DIR": "/s", "SRTPGW_REALM": "pbx.example", "SRTPGW_DRAIN_SECOND": "1"}
    run = CliRunner(env=environ)
    plain = run.invoke(main, ["config", "--config", str(file), "--pacing-us", "0"])
    lines = [line.split(maxsplit=1) for line in plain.output.splitlines()]
    assert [line[0] for line in lines] == [*VALUES, "WARNING:"]
    told = {name: " ".join(rest.split()) for name, rest in lines}
    assert told["realm"] == "pbx.example environment SRTPGW_REALM"
    assert told["workers"] == f"2 file {file}"
    assert told["pacing-us"] == "0 command line"
    assert told["cpus"] == "- default"
    assert "SRTPGW_DRAIN_SECONDS" in told["WARNING:"]
    document = json.loads(run.invoke(main, ["config", "--config", str(file), "--json"]).output)
    assert document["good"] is True
    assert document["file"] == str(file)
    assert document["settings"]["workers"] == {"value": 2, "source": f"file {file}"}
    assert document["settings"]["port-range"] == {"value": [16384, 32767], "source": "default"}
    assert len(document["warnings"]) == 1


def test_config_tells_faults_with_status_2(write: Write) -> None:
    result = CliRunner().invoke(main, ["config", "--json", "--config", str(write("workers = 0")), "--realm", '"'])
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["good"] is False
    assert [fault["name"] for fault in document["faults"]] == ["workers", "--realm"]
    assert len(result.stderr.splitlines()) == 2


def test_reading_the_settings_is_light() -> None:
    """Operator commands do it at each start."""
    code = (
        "import sys; from srtpgw.config import load; load(environ={'SRTPGW_STATE_DIR': '/s'}, user=4711);"
        "print(sorted(name for name in sys.modules if name.startswith(('srtpgw.media', 'srtpgw._native', 'srtpgw.srtp',"
        " 'tomllib', 'difflib', 'rich', 'click', 'asyncio', 'cryptography'))))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_the_documentation_tells_of_every_setting() -> None:
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    for entry in SETTINGS:
        assert f"`{entry.name}`" in text
        assert f"`{entry.variable}`" in text


def test_defaults_are_those_of_the_values() -> None:
    plain = ProcessConfig(state_dir=Path("/s"))
    assert all(plain.value(entry.name) == entry.default for entry in SETTINGS if entry.name != "state-dir")
