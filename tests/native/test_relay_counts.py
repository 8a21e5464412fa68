"""Every counter and every event of ext/stats.h, made to happen in a relay by a scene named for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from model.packet import rtcp, rtp
from native.rig import SSRC, End, Rig, masters

from srtpgw.media import Address
from srtpgw.media.statistics import COUNTERS, EVENTS, Event

STRANGER = Address("192.0.2.99", 4444)


class Count(NamedTuple):
    """What a scene expects of one counter at one leg."""

    end: End
    value: int
    rtcp: bool = False


def pair(rig: Rig, **settings: Any) -> tuple[End, End]:
    """An encrypted leg joined to a plain one."""
    phone, trunk = rig.secure(**settings), rig.plain()
    rig.join(phone, trunk)
    return phone, trunk


def restart(end: End) -> None:
    """A source behind the sending window, confirmed by the next packet in sequence."""
    end.say(5000, 1, 2)


# --- counters


def received_packets(rig: Rig) -> Count:
    phone, _ = pair(rig)
    phone.say(1, 2, 2)
    phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)))
    return Count(phone, 3)


def received_octets(rig: Rig) -> Count:
    phone, _ = pair(rig)
    wires = [phone.seal_rtcp(rtcp(SSRC)), phone.seal_rtcp(rtcp(SSRC, b""))]
    for wire in wires:
        phone.send_rtcp(wire)
    return Count(phone, sum(map(len, wires)), True)


def sent_packets(rig: Rig) -> Count:
    phone, trunk = pair(rig)
    trunk.say(1, 2, 2)
    assert len(phone.raw()) == 2
    return Count(phone, 2)


def sent_octets(rig: Rig) -> Count:
    phone, trunk = pair(rig)
    trunk.send_rtcp(rtcp(SSRC))
    trunk.send_rtcp(rtcp(SSRC, b""))
    rig.run()
    return Count(phone, sum(map(len, phone.raw())), True)


def auth_failed_previous_key(rig: Rig) -> Count:
    phone, _ = pair(rig)
    old = phone.seal(rtp(2, SSRC))
    phone.say(1)
    rig.gateway.change(phone.leg, overlap=0.0, receive_keys=masters(rig.keys()))
    rig.advance(1)
    phone.send(old)
    phone.send(old)  # one failure a second is examined
    return Count(phone, 1)


def auth_failed_other_roc(rig: Rig) -> Count:
    phone, _ = pair(rig)
    phone.say(1)
    phone.say(2, roc=1)
    return Count(phone, 1)


def auth_failed_roc_before(rig: Rig) -> Count:
    phone, _ = pair(rig)
    phone.say(0xFFFF)
    phone.say(0, roc=1)
    phone.say(2, roc=0)
    return Count(phone, 1)


def ssrc_changes(rig: Rig) -> Count:
    phone, _ = pair(rig)
    for number, ssrc in ((1, 1), (2, 1), (1, 2), (1, 1), (2, 2), (3, 2), (3, 1)):
        phone.say(number, ssrc=ssrc)  # the fourth is a replay
    return Count(phone, 2)


def source_restarts(rig: Rig) -> Count:
    trunk = pair(rig)[1]
    restart(trunk)
    return Count(trunk, 1)


def ssrc_collisions(rig: Rig) -> Count:
    phone, trunk = pair(rig)
    restart(trunk)
    renamed = int.from_bytes(phone.heard()[-1][8:12], "big")
    trunk.say(7, ssrc=renamed)
    assert int.from_bytes(phone.heard()[-1][8:12], "big") != renamed
    return Count(trunk, 1)


def remote_changes(rig: Rig) -> Count:
    phone, _ = pair(rig)
    phone.send(phone.seal(rtp(2, SSRC)), source=STRANGER)
    phone.send(phone.seal(rtp(3, SSRC)), source=STRANGER)
    phone.send(phone.seal(rtp(1, SSRC)))  # authentic, but not the newest
    return Count(phone, 1)


def roc_recoveries(rig: Rig) -> Count:
    phone, trunk = pair(rig)
    phone.say(1, 2, 3, 4, 5, roc=2)
    assert trunk.heard() == [rtp(5, SSRC)]
    return Count(phone, 1)


def reordered_packets(rig: Rig) -> Count:
    phone, _ = pair(rig)
    phone.say(65534, 65535)
    phone.say(1, 0, roc=1)
    phone.say(65533)
    phone.say(2, roc=1)
    return Count(phone, 2)


COUNTED: dict[str, tuple[Callable[[Rig], Count], ...]] = {
    "received_packets": (received_packets,),
    "received_octets": (received_octets,),
    "sent_packets": (sent_packets,),
    "sent_octets": (sent_octets,),
    "auth_failed_previous_key": (auth_failed_previous_key,),
    "auth_failed_other_roc": (auth_failed_other_roc, auth_failed_roc_before),
    "ssrc_changes": (ssrc_changes,),
    "source_restarts": (source_restarts,),
    "ssrc_collisions": (ssrc_collisions,),
    "remote_changes": (remote_changes,),
    "roc_recoveries": (roc_recoveries,),
    "reordered_packets": (reordered_packets,),
}
COUNTER_ROWS = [
    pytest.param(name, scene, id=f"{name}:{scene.__name__}") for name, scenes in COUNTED.items() for scene in scenes
]
TRAFFIC = {"received_packets", "received_octets", "sent_packets", "sent_octets"}


def test_every_counter_has_a_scene() -> None:
    assert set(COUNTED) == set(COUNTERS)


@pytest.mark.parametrize(("name", "scene"), COUNTER_ROWS)
def test_counter(name: str, scene: Callable[[Rig], Count]) -> None:
    """The counter has the scene's value there, and is 0 at every other leg and direction."""
    with Rig() as rig:
        expected = scene(rig)
        rig.run()
        for end in rig.ends.values():
            for is_rtcp in (False, True):
                value = getattr(end.direction(is_rtcp), name)
                if (end, is_rtcp) == (expected.end, expected.rtcp):
                    assert value == expected.value
                elif name not in TRAFFIC:
                    assert value == 0


# --- events


def source_restarted(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, trunk = pair(rig)
    restart(trunk)
    return trunk, {"rtcp": False, "ssrc": SSRC, "outgoing_ssrc": int.from_bytes(phone.heard()[-1][8:12], "big")}


def source_restarted_by_a_run_of_duplicates(rig: Rig) -> tuple[End, dict[str, Any]]:
    """A capture shorter than the window, played twice: its eighth duplicate in sequence goes out again."""
    phone, trunk = pair(rig)
    trunk.say(*range(20), *range(20))
    heard = phone.heard()
    assert [packet[3] for packet in heard] == [*range(20), *range(7, 20)]
    assert rig.drops() == {(trunk.leg.id, False): {"tx-duplicate": 7}}
    return trunk, {"rtcp": False, "ssrc": SSRC, "outgoing_ssrc": int.from_bytes(heard[-1][8:12], "big")}


def ssrc_renamed(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, trunk = pair(rig)
    restart(trunk)
    taken = int.from_bytes(phone.heard()[-1][8:12], "big")
    rig.kinds()
    trunk.say(9, ssrc=taken)
    return trunk, {"rtcp": False, "ssrc": taken, "outgoing_ssrc": int.from_bytes(phone.heard()[-1][8:12], "big")}


def remote_changed(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, _ = pair(rig)
    phone.send(phone.seal(rtp(1, SSRC)), source=STRANGER)
    rig.run()
    return phone, {"rtcp": False, "ssrc": SSRC, "outgoing_ssrc": SSRC, "remote": str(STRANGER)}


def remote_changed_rtcp(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, _ = pair(rig)
    phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)), source=STRANGER)
    rig.run()
    return phone, {"rtcp": True, "ssrc": SSRC, "outgoing_ssrc": SSRC, "remote": str(STRANGER)}


def roc_recovered(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, _ = pair(rig)
    phone.say(1, 2, 3, 4, 5, 6, roc=3)
    return phone, {"rtcp": False, "ssrc": SSRC, "outgoing_ssrc": SSRC}


def roc_unknown(rig: Rig) -> tuple[End, dict[str, Any]]:
    """Told once, however many packets fail."""
    phone, _ = pair(rig)
    phone.say(*range(20), roc=9)
    return phone, {"rtcp": False, "ssrc": SSRC}


def key_expired(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, trunk = rig.secure(hears=rig.keys(lifetime=2)), rig.plain()
    rig.join(phone, trunk)
    trunk.say(1, 2, 3, 4)
    return trunk, {"rtcp": False}


def media_timeout(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, _ = pair(rig, media_timeout=5.0)
    phone.say(1)
    rig.advance(4.9)
    rig.run()
    phone.send(phone.seal(rtp(2, SSRC))[:-1] + b"?")  # not acceptable: the time goes on
    rig.run()
    assert rig.kinds() == []
    rig.advance(0.3)
    rig.run()
    rig.advance(60)
    rig.run()
    return phone, {"rtcp": False}


def media_timeout_without_any(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, _ = pair(rig, media_timeout=5.0)
    rig.advance(5.2)
    rig.run()
    return phone, {"rtcp": False}


def media_resumed(rig: Rig) -> tuple[End, dict[str, Any]]:
    phone, _ = media_timeout(rig)
    assert rig.kinds() == ["media-timeout"]
    phone.say(2, 3)
    return phone, {"rtcp": False, "ssrc": SSRC}


TOLD: dict[str, tuple[Callable[[Rig], tuple[End, dict[str, Any]]], ...]] = {
    "source-restarted": (source_restarted, source_restarted_by_a_run_of_duplicates),
    "ssrc-renamed": (ssrc_renamed,),
    "remote-changed": (remote_changed, remote_changed_rtcp),
    "roc-recovered": (roc_recovered,),
    "roc-unknown": (roc_unknown,),
    "key-expired": (key_expired,),
    "media-timeout": (media_timeout, media_timeout_without_any),
    "media-resumed": (media_resumed,),
}
EVENT_ROWS = [
    pytest.param(name, scene, id=f"{name}:{scene.__name__}") for name, scenes in TOLD.items() for scene in scenes
]


def test_every_event_has_a_scene() -> None:
    assert set(TOLD) == set(EVENTS)


@pytest.mark.parametrize(("name", "scene"), EVENT_ROWS)
def test_event(name: str, scene: Callable[[Rig], tuple[End, dict[str, Any]]]) -> None:
    """One event of the kind, about that leg, at the virtual time; and it is told once."""
    with Rig() as rig:
        end, detail = scene(rig)
        event = only(rig.events())
        assert (event.kind, event.leg) == (name, end.leg.id)
        assert detail.items() <= event.detail.items()
        assert rig.start / 1e9 <= event.time <= rig.now / 1e9
        assert rig.events() == []


def only(events: list[Event]) -> Event:
    assert len(events) == 1, events
    return events[0]


def test_media_timeout_with_rtcp_only() -> None:
    """RTCP is not media: it neither hides that media stopped nor ends the timeout."""
    with Rig() as rig:
        phone, _ = pair(rig, media_timeout=2.0)
        phone.say(1)
        for _ in range(5):
            rig.advance(1)
            phone.send_rtcp(phone.seal_rtcp(rtcp(SSRC)))
            rig.run()
        assert rig.kinds() == ["media-timeout"]
        phone.say(2)
        assert rig.kinds() == ["media-resumed"]


def test_media_timeout_and_hold() -> None:
    """While a leg is on hold nothing is expected of it; the time begins anew when the hold ends."""
    with Rig() as rig:
        phone, _ = pair(rig, media_timeout=2.0)
        rig.advance(-12)  # the hold is to end at the present of the clock that the gateway reads
        phone.say(1)
        rig.gateway.change(phone.leg, hold=True)
        rig.advance(12)
        rig.run()
        rig.gateway.change(phone.leg, hold=False)
        for _ in range(9):
            rig.run()
            rig.advance(0.2)
        assert rig.kinds() == []
        rig.advance(0.5)
        rig.run()
        assert rig.kinds() == ["media-timeout"]


def test_events_that_nobody_reads_are_counted_as_lost() -> None:
    """The ring holds 1024: what does not fit is not told, and how much is counted."""
    with Rig() as rig:
        phone, trunk = pair(rig)
        for number in range(1100):
            phone.send(phone.seal(rtp(number, SSRC)), source=Address("192.0.2.50", 2000 + number))
            rig.step()
        assert len(trunk.raw()) == 1100
        assert phone.counted.rtp.remote_changes == 1100
        events = rig.events()
        assert [event.detail["remote"] for event in events] == [f"192.0.2.50:{2000 + n}" for n in range(1024)]
        assert rig.worker.numbers()["events_lost"] == 1100 - 1024
        phone.send(phone.seal(rtp(2000, SSRC)), source=STRANGER)
        rig.run()
        assert rig.kinds() == ["remote-changed"]


def test_events_of_a_closed_leg_are_told() -> None:
    """Under its own name, though the number may be another leg's by then."""
    with Rig() as rig:
        phone, trunk = pair(rig, name="gone")
        phone.send(phone.seal(rtp(1, SSRC)), source=STRANGER)
        rig.run()
        rig.close(phone)
        assert (event := only(rig.events())).kind == "remote-changed"
        assert event.name == "gone"
        assert trunk.raw() == [rtp(1, SSRC)]


def test_a_worker_counts_batches_and_packets() -> None:
    with Rig() as rig:
        _, trunk = pair(rig)
        trunk.say(*range(130))
        rig.run()
        numbers = rig.worker.numbers()
        assert numbers == {"batches": 3, "packets": 130, "events_lost": 0, "engine_error": 0}
