"""A relay file without [media-encryption] takes the flags of the store."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from unit.relay.bench import Bench, one
from unit.relay.test_reload import Silent
from unit.relay_files import GOOD, HEAD, write

from srtpgw.cli import main
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import MediaEncryption, Put
from srtpgw.control.store import Store
from srtpgw.errors import ConfigError
from srtpgw.relay import daemon
from srtpgw.relay.file import RelayConfig, load_relay
from srtpgw.relay.stored import register_path, stored_flags
from srtpgw.terms import LegType

WITHOUT = GOOD.replace(HEAD, "")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "state"
    monkeypatch.setenv("SRTPGW_STATE_DIR", str(place))
    return place


def put(place: Path, **on: bool) -> None:
    names: dict[str, LegType] = {"extension": "extension", "route": "route", "intermgw": "intermgw"}
    with Store(StateDirectory(place).database) as store, store.change() as transaction:
        transaction.apply([Put(MediaEncryption(names[name], value)) for name, value in on.items()])


def read(file: Path) -> RelayConfig:
    return load_relay(file, stored=stored_flags)


def test_the_example_has_no_flags_of_its_own() -> None:
    assert "media-encryption" in GOOD
    assert "media-encryption" not in WITHOUT


def test_the_flags_of_the_store_hold(tmp_path: Path, place: Path) -> None:
    put(place, extension=True)
    config = read(write(tmp_path / "relay.toml", WITHOUT))
    assert config.media_encryption == {"extension": True, "route": False, "intermgw": False}
    assert config.flags_source == f"from the store in {place}"


def test_those_of_the_file_come_first(tmp_path: Path, place: Path) -> None:
    put(place, extension=False, route=True)
    config = read(write(tmp_path / "relay.toml", GOOD))
    assert config.media_encryption == {"extension": True, "route": False, "intermgw": False}
    assert config.flags_source == "from the file"


def test_a_file_that_sets_one_sets_all(tmp_path: Path, place: Path) -> None:
    put(place, route=True, intermgw=True)
    config = read(write(tmp_path / "relay.toml", GOOD.replace('route = "off"\n', "")))
    assert config.media_encryption == {"extension": True, "route": False, "intermgw": False}


def test_without_a_store_all_are_off_and_none_is_made(tmp_path: Path, place: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(write(tmp_path / "relay.toml", WITHOUT))
    (fault,) = caught.value.faults
    assert fault.reason == (
        f"has keys, but media encryption is off for extension legs (all off: there is no store in {place})"
    )
    assert not place.exists()


def test_a_store_that_cannot_be_read_refuses_the_file(tmp_path: Path, place: Path) -> None:
    put(place, extension=True)
    place.chmod(0o755)
    with pytest.raises(ConfigError, match=r"may be entered by others.*or set \[media-encryption\] in the file"):
        read(write(tmp_path / "relay.toml", WITHOUT))
    place.chmod(0o700)
    (place / "srtpgw.db").write_bytes(b"x" * 5000)
    with pytest.raises(ConfigError, match="is not a store of srtpgw"):
        read(write(tmp_path / "relay.toml", WITHOUT))
    assert read(write(tmp_path / "own.toml", GOOD)).flags_source == "from the file"


def test_check_says_where_they_came_from(tmp_path: Path, place: Path) -> None:
    put(place, extension=True)
    file = str(write(tmp_path / "relay.toml", WITHOUT))
    plain = CliRunner().invoke(main, ["relay", "--check", file])
    assert plain.output == f"{file}: good, 1 session, media encryption from the store in {place}\n"
    document = json.loads(CliRunner().invoke(main, ["relay", "--check", "--json", file]).output)
    assert document["media_encryption"] == f"from the store in {place}"


def test_a_reload_reads_them_again(
    place: Path, bench: Bench, ports: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    put(place, extension=True)
    config = read(write(bench.file, one(ports)))
    told = Silent()
    running = daemon._Daemon(bench.gateway, config, daemon.Options(), told)  # type: ignore[arg-type]
    with closing(running._relay):
        running._relay.open(config)
        put(place, extension=False)
        asyncio.run(running._reload())
        assert "media encryption is off for extension legs (from the store in" in capsys.readouterr().err
        assert [leg.settings.encrypted for leg in running._relay.legs] == [True, False]
        assert told.told == []
        put(place, extension=True, intermgw=True)
        asyncio.run(running._reload())
        assert capsys.readouterr().err == ""
        assert bench.gateway.media_encryption == {"extension": True, "route": False, "intermgw": True}
        assert len(told.told) == 1


def test_used_keys_are_noted_in_the_same_directory(place: Path) -> None:
    assert register_path() == place / "used-keys"
