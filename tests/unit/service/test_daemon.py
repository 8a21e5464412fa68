"""A service in this process: what the store says reaches the gateway, and what is open goes on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from unit.control.requests import extension
from unit.relay_files import SUITE, free_ports, key
from unit.service.services import POLLS_MAX, Heard, change, configured, opened, serving, until
from unit.service.test_start import ENDING, LIVE

from srtpgw.control.certificates import AUTHORITY, SERVER
from srtpgw.control.digest import seal_code
from srtpgw.control.directory import StateDirectory
from srtpgw.control.model import Certificate, MediaEncryption, Put, Realm, Remove, SecurityPolicy, Setting
from srtpgw.control.vault import Vault
from srtpgw.errors import CertificateError, PolicyRefused, SrtpgwError, StoreError
from srtpgw.media import Address, LegSettings
from srtpgw.media.session import Session
from srtpgw.service.daemon import Service, totals
from srtpgw.service.status import SOCKET_NAME, ask
from srtpgw.srtp import Receiver, Sender


def encrypted_leg(port: int, remote: int) -> LegSettings:
    return LegSettings(
        type="extension", name="phone", local=Address("127.0.0.1", port), remote=Address("127.0.0.1", remote),
        suite=SUITE, receive_keys=(key(1),), transmit_keys=(key(2),),
    )  # fmt: skip


def plain_leg(port: int, remote: int) -> LegSettings:
    return LegSettings(
        type="route", name="trunk", local=Address("127.0.0.1", port), remote=Address("127.0.0.1", remote)
    )


def call(service: Service, ports: list[int]) -> Session:
    """A phone with SRTP and a trunk without."""
    legs = [service.gateway.open_leg(leg) for leg in (encrypted_leg(*ports[:2]), plain_leg(*ports[2:4]))]
    return service.gateway.join(*legs)


async def passes(sequence: int, ports: list[int]) -> None:
    """One SRTP packet from the phone comes out at the trunk as RTP, and the other way round."""
    rtp = b"\x80\x00" + sequence.to_bytes(2, "big") + bytes(4) + b"\0\0\0\x07" + bytes(range(160))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trunk,
    ):
        for one, port in ((phone, ports[1]), (trunk, ports[3])):
            one.bind(("127.0.0.1", port))
            one.settimeout(5)
        phone.sendto(Sender(SUITE, [key(1)]).protect(rtp), ("127.0.0.1", ports[0]))
        assert await asyncio.to_thread(trunk.recv, 2000) == rtp
        trunk.sendto(rtp, ("127.0.0.1", ports[2]))
        assert Receiver(SUITE, [key(2)]).unprotect(await asyncio.to_thread(phone.recv, 2000)) == rtp


def on(name: Any) -> Put:
    return Put(MediaEncryption(name, True))


def off(name: Any) -> Put:
    return Put(MediaEncryption(name, False))


def test_a_flag_holds_for_what_is_set_up_afterwards_only(tmp_path: Path) -> None:
    ports = free_ports(8)

    async def run(service: Service, heard: Heard) -> None:
        async with serving(service):
            with pytest.raises(PolicyRefused):
                service.gateway.open_leg(encrypted_leg(*ports[:2]))
            revision = change(tmp_path, on("extension")).revision
            await until(lambda: service.state.revision == revision)
            session = call(service, ports)
            await passes(1, ports)

            revision = change(tmp_path, off("extension"), on("route")).revision
            await until(lambda: service.state.revision == revision)
            await passes(2, ports)
            phone, trunk = session.legs
            assert phone.settings.encrypted
            assert not trunk.settings.encrypted
            service.gateway.change(phone, hold=True)  # what a call needs of its legs is not refused either
            service.gateway.change(phone, hold=False)
            service.gateway.change(phone, receive_keys=(key(3),), transmit_keys=(key(4),))
            with pytest.raises(PolicyRefused):
                service.gateway.open_leg(encrypted_leg(*ports[4:6]))
            with pytest.raises(PolicyRefused):
                service.gateway.open_leg(plain_leg(*ports[6:8]))
            answer = await asyncio.to_thread(ask, service.directory.path)
            assert answer is not None
            assert (answer["sessions"], answer["legs"], answer["revision"]) == (1, 2, revision)
            assert answer["media_encryption"] == {"extension": False, "route": True, "intermgw": False}
            assert answer["received_packets"] == answer["sent_packets"] == 4
            assert answer["dropped_packets"] == 0
            service.gateway.close(session)
        told = heard.events("media-encryption")
        assert [each["extension"] for each in told] == ["off", "on", "off"]

    with opened(configured(tmp_path)) as (service, heard):
        asyncio.run(run(service, heard))


def test_policy_and_certificate_are_taken_over(tmp_path: Path) -> None:
    async def run(service: Service, heard: Heard) -> None:
        async with serving(service):
            before = service.tls.context
            change(tmp_path, Put(SecurityPolicy(2)))
            await until(lambda: service.state.policy == 2)
            assert service.tls.context is before
            row = service.state.certificates[SERVER]
            change(tmp_path, Put(Certificate(SERVER, "server", "rubbish", row.key, True, 0.0)))
            await until(lambda: service.tls.fault is not None)
            assert service.tls.context is before
            change(tmp_path, Put(row))
            await until(lambda: service.tls.fault is None)
        assert [each["number"] for each in heard.events("policy")] == [2]
        assert len([each for each in heard.events("certificate") if "reason" in each]) == 1

    with opened(configured(tmp_path)) as (service, heard):
        asyncio.run(run(service, heard))


def test_ended_registrations_are_carried_out(tmp_path: Path) -> None:
    async def run(service: Service, heard: Heard) -> None:
        async with serving(service):
            change(tmp_path, Put(extension("100")), Put(extension("200")), Put(ENDING), Put(LIVE))
            await until(lambda: list(service.state.registrations) == ["200"])
        assert len(heard.events("registrations")) == 1

    with opened(configured(tmp_path)) as (service, heard):
        asyncio.run(run(service, heard))


def test_a_store_that_cannot_be_read_leaves_things_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise StoreError("the disk reports an error")

    with opened(configured(tmp_path)) as (service, heard):
        with monkeypatch.context() as patch:
            patch.setattr(service._store, "changed", fail)
            flags = service.gateway.media_encryption
            service.look()
            service.look()
        told = f"the disk reports an error; what held at revision {service.state.revision} goes on holding"
        assert told in asyncio.run(service.report())["warnings"]
        assert service.gateway.media_encryption == flags
        assert [each["reason"] for each in heard.events("store")[-1:]] == [
            "the disk reports an error; what holds now goes on holding"
        ]
        revision = change(tmp_path, on("route")).revision
        service.look()
        assert service.state.revision == revision
        assert told not in asyncio.run(service.report())["warnings"]


def test_a_directory_that_was_removed_is_told_and_keeps_nobody_from_stopping(tmp_path: Path) -> None:
    async def run(service: Service, heard: Heard) -> None:
        async with serving(service):
            shutil.rmtree(tmp_path / "state")
            await until(lambda: bool([each for each in heard.events("store") if "reason" in each]))
            assert "was removed" in (await service.report())["warnings"][0]
        assert not (tmp_path / "state").exists(), "nothing is made anew"

    with opened(configured(tmp_path)) as (service, heard):
        asyncio.run(run(service, heard))


def test_a_database_that_was_removed_is_not_made_anew(tmp_path: Path) -> None:
    with opened(configured(tmp_path)) as (service, _):
        change(tmp_path, Put(extension("100")), Put(ENDING))
        service.look()
        (tmp_path / "state" / "srtpgw.db").unlink()
        service.look()
        asyncio.run(service._end_registrations())
        assert not (tmp_path / "state" / "srtpgw.db").exists()


def _foreign_key(state: Path) -> None:
    (state / "vault.key").write_bytes(bytes(32))


def _readable_key(state: Path) -> None:
    (state / "vault.key").chmod(0o644)


def _short_key(state: Path) -> None:
    (state / "vault.key").write_bytes(b"short")


@pytest.mark.parametrize("damage", [_foreign_key, _readable_key, _short_key])
@pytest.mark.parametrize("server", ["kept", "to be made"])
def test_a_key_file_that_does_not_open_leaves_tls_closed_and_the_rest_served(
    tmp_path: Path, damage: Callable[[Path], None], server: str
) -> None:
    with opened(configured(tmp_path)):
        pass
    if server == "to be made":
        change(tmp_path, Remove(Certificate, SERVER))
    damage(tmp_path / "state")
    with opened(configured(tmp_path)) as (service, heard):
        change(tmp_path, on("route"))
        service.look()
        assert service.gateway.media_encryption["route"] is True
        with pytest.raises(CertificateError):
            _ = service.tls.context
        assert [each for each in heard.events("certificate") if "reason" in each]
        assert any("TLS ports" in each for each in asyncio.run(service.report())["warnings"])


def test_a_key_file_that_breaks_while_it_runs_ends_nothing(tmp_path: Path) -> None:
    with opened(configured(tmp_path)):
        pass
    row = change(tmp_path, Put(extension("100"))).certificates[SERVER]
    authority = change(tmp_path, Remove(Certificate, SERVER)).certificates[AUTHORITY]
    change(tmp_path, Put(replace(authority, key=b"")))  # so that none can be made, and the key file is not read yet
    with opened(configured(tmp_path)) as (service, _):
        _short_key(tmp_path / "state")
        change(tmp_path, Put(row), on("route"))
        service.look()
        assert service.gateway.media_encryption["route"] is True
        assert "32 octets" in str(service.tls.fault)


@pytest.mark.parametrize("end", ["hangs up", "second signal", "time is over"])
def test_a_stop_waits_for_the_sessions_in_progress(tmp_path: Path, end: str) -> None:
    ports = free_ports(4)
    seconds = "0.2" if end == "time is over" else "60"

    async def run(service: Service, heard: Heard) -> None:
        task = asyncio.create_task(service.serve())
        await until(lambda: bool(heard.events("started")))
        change(tmp_path, on("extension"))
        await until(lambda: service.gateway.media_encryption["extension"])
        session = call(service, ports)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: bool(heard.events("draining")))
        if end != "time is over":
            await passes(1, ports)
            answer = await asyncio.to_thread(ask, service.directory.path)
            assert answer is not None
            assert answer["draining"] is True
            assert not task.done()
        if end == "hangs up":
            service.gateway.close(session)
        if end == "second signal":
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(task, 10)
        cut_off = [each for each in heard.events("draining") if each.get("what") == "sessions are cut off"]
        assert len(cut_off) == (end != "hangs up")
        assert not (service.directory.path / "status.sock").exists()

    with opened(configured(tmp_path, drain_seconds=seconds)) as (service, heard):
        asyncio.run(run(service, heard))


async def once_heard(place: Path) -> dict[str, Any]:
    """The status, as soon as clients that have gone leave room for one more."""
    for _ in range(POLLS_MAX):
        with suppress(SrtpgwError):
            if answer := await asyncio.to_thread(ask, place):
                return answer
        await asyncio.sleep(0.01)
    raise AssertionError("it does not answer")


def test_clients_that_mean_no_good_do_not_reach_the_media(tmp_path: Path) -> None:
    ports = free_ports(4)
    words = (b"", b"sta", b"status\n", b"x" * 5000)

    def nuisance(place: Path, number: int) -> socket.socket:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(5)
        one.connect(str(place / SOCKET_NAME))
        with suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(words[number % len(words)])
        return one

    async def run(service: Service) -> None:
        async with serving(service):
            change(tmp_path, on("extension"))
            await until(lambda: service.gateway.media_encryption["extension"])
            session = call(service, ports)
            with ExitStack() as stack:
                for number in range(200):
                    stack.enter_context(await asyncio.to_thread(nuisance, service.directory.path, number))
                    if number % 50 == 0:
                        await passes(number + 1, ports)
            counted = totals(service.statistics())
            assert (counted["received_packets"], counted["sent_packets"], counted["dropped_packets"]) == (8, 8, 0)
            assert (await once_heard(service.directory.path))["pid"] == os.getpid()
            service.gateway.close(session)

    with opened(configured(tmp_path)) as (service, _):
        asyncio.run(run(service))


def test_metrics_are_served(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with opened(configured(tmp_path, metrics=f"127.0.0.1:{port}")) as (service, _):
        leg = service.gateway.open_leg(replace(plain_leg(*free_ports(2)), name="trunk"))
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            text = page.read().decode()
        assert f'srtpgw_leg_received_packets_total{{leg="{leg.id}",media="rtp",name="trunk",type="route"}} 0.0' in text
        service.gateway.close(leg)


def test_a_hangup_changes_nothing(tmp_path: Path) -> None:
    async def run(service: Service, heard: Heard) -> None:
        async with serving(service) as task:
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: bool(heard.events("nothing-to-reload")))
            assert not task.done()

    with opened(configured(tmp_path)) as (service, heard):
        asyncio.run(run(service, heard))


def with_code(base: Path) -> str:
    """A store where 100 has a code under the realm "old". The code."""
    directory = StateDirectory(base / "state")
    code = seal_code(Vault(directory.vault_key), "100", "old", "1234567")
    change(base, Put(extension("100")), Put(Realm("old")), Put(code))
    return "1234567"


def test_another_realm_needs_a_yes(tmp_path: Path) -> None:
    digits = with_code(tmp_path)
    questions: list[str] = []

    def ask_no(question: str) -> bool:
        questions.append(question)
        return False

    with pytest.raises(SrtpgwError, match=r"100.*--accept-realm-change says yes"), opened(configured(tmp_path)):
        pytest.fail("started")
    with pytest.raises(SrtpgwError, match="does not start"), opened(configured(tmp_path), ask=ask_no):
        pytest.fail("started")
    assert len(questions) == 1
    assert digits not in questions[0]
    with opened(configured(tmp_path, realm="old")) as (service, _):
        assert service.state.realm == "old"
    for options in ({"ask": lambda _: True}, {"accept_realm_change": True}):
        change(tmp_path, Put(Realm("old")))
        with opened(configured(tmp_path), **options) as (service, heard):
            assert service.state.realm == "srtpgw"
            assert any("1 numbers lost" in each["what"] for each in heard.events("store"))
            assert digits not in json.dumps(heard.lines)


def test_one_service_per_directory(tmp_path: Path) -> None:
    with opened(configured(tmp_path)), pytest.raises(SrtpgwError, match="at work in"), opened(configured(tmp_path)):
        pytest.fail("two at once")
    with opened(configured(tmp_path)) as (_, heard):
        assert heard.events("store") == []  # the second run makes nothing


def test_a_damaged_store_does_not_start(tmp_path: Path) -> None:
    """Also where the fault is in nothing that is read at the start."""
    change(tmp_path, Put(extension("200")), Put(LIVE))
    with closing(sqlite3.connect(tmp_path / "state" / "srtpgw.db", isolation_level=None)) as raw:
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute("DELETE FROM extension")
    with pytest.raises(StoreError, match="damaged"), opened(configured(tmp_path)):
        pytest.fail("started")


def test_settings_that_change_are_told_by_name_once(tmp_path: Path) -> None:
    with opened(configured(tmp_path)):
        pass
    change(tmp_path, Put(Setting("lockout-time", "61")))
    with opened(configured(tmp_path)) as (service, heard):
        assert heard.events("settings") == []  # nothing changed while it ran
        change(tmp_path, Put(Setting("lockout-time", "62")), Put(Setting("direct-media", "on")))
        service.look()
        change(tmp_path, on("route"))
        service.look()
        change(tmp_path, Remove(Setting, "lockout-time"))
        service.look()
        told = heard.events("settings")
        assert [each["changed"] for each in told] == [["direct-media", "lockout-time"], ["lockout-time"]]
        assert [set(each) for each in told] == [{"changed", "revision"}] * 2


def test_a_setting_that_gives_keys_away_is_logged_as_long_as_it_is_on(tmp_path: Path) -> None:
    told = "allow-sdes-over-clear: whoever sees the signaling can decrypt the media: for testbeds only"
    with opened(configured(tmp_path)):
        pass
    change(tmp_path, Put(Setting("allow-sdes-over-clear", "on")), Put(Setting("direct-media", "on")))
    for _ in range(2):
        with opened(configured(tmp_path)) as (_service, heard):
            assert [each["what"] for each in heard.events("attention")] == [told]
    change(tmp_path, Remove(Setting, "allow-sdes-over-clear"))
    with opened(configured(tmp_path)) as (_service, heard):
        assert heard.events("attention") == []


def test_warnings_come_when_they_are_new_and_again_each_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(configured(tmp_path)) as (service, heard):
        assert heard.events("attention") == []
        (licence,) = service.state.licenses.values()
        year = 366 * 86_400
        with monkeypatch.context() as patch:
            later = SimpleNamespace(time=lambda: licence.installed + year, monotonic=time.monotonic)
            patch.setattr("srtpgw.service.daemon.time", later)
            service._warn()
            told = [each["what"] for each in heard.events("attention")]
            assert "the licence for VOIP-SECURITY expired on" in told[0]
            assert len(told) == 2  # and the certificate
            service._warn()
            assert len(heard.events("attention")) == 2
            service._remind_at = 0.0
            service._warn()
            assert [each["what"] for each in heard.events("attention")] == told * 2
