"""Prometheus text and the table, made from the statistics of a real gateway."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, RenderableType
from unit.relay_files import SUITE, key

from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.statistics import COUNTERS
from srtpgw.metrics import registry
from srtpgw.table import LiveTable, drops_text, summary


@pytest.fixture
def gateway() -> Iterator[MediaGateway]:
    """Two joined legs; the plain one got noise from its far end and a stranger."""
    with (
        MediaGateway(workers=1, media_encryption={"extension": True}) as made,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trunk,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
    ):
        for end in (trunk, stranger, phone):
            end.bind(("127.0.0.1", 0))
            end.settimeout(10)
        secure = made.open_leg(
            LegSettings(
                type="extension", name="a/1", remote=Address(*phone.getsockname()), suite=SUITE,
                receive_keys=(key(1),), transmit_keys=(key(2),),
            )
        )  # fmt: skip
        plain = made.open_leg(LegSettings(type="route", name="a/2", remote=Address(*trunk.getsockname())))
        made.join(secure, plain)
        for _ in range(3):
            stranger.sendto(bytes([0x80]) + bytes(19), plain.local)
        trunk.sendto(b"noise", plain.local)
        trunk.sendto(bytes([0x80]) + bytes(19), plain.local)
        phone.recv(2048)
        yield made


def drawn(picture: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=200, height=50).print(picture)
    return out.getvalue()


def test_every_counter_is_a_series_with_its_help(gateway: MediaGateway) -> None:
    text = generate_latest(registry(gateway.statistics)).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, words in COUNTERS.items():
        family = families[f"srtpgw_leg_{name}"]
        assert (family.type, family.documentation) == ("counter", words)
        assert len(family.samples) == 4  # two legs, RTP and RTCP
    received = {
        (sample.labels["name"], sample.labels["media"]): sample.value
        for sample in families["srtpgw_leg_received_packets"].samples
    }
    assert received == {("a/1", "rtp"): 0, ("a/1", "rtcp"): 0, ("a/2", "rtp"): 5, ("a/2", "rtcp"): 0}
    dropped = {
        sample.labels["reason"]: sample.value
        for sample in families["srtpgw_leg_dropped_packets"].samples
        if sample.labels["name"] == "a/2"
    }
    assert dropped == {"wrong-source": 3, "not-media": 1}
    assert {"jitter_seconds", "lost_packets", "rollover_counter", "last_packet_age_seconds", "relay_time_seconds"} <= {
        name.removeprefix("srtpgw_leg_") for name in families
    }


def test_a_scrape_reads_anew(gateway: MediaGateway) -> None:
    served = registry(gateway.statistics)
    before = generate_latest(served)
    for leg in gateway.legs:
        gateway.close(leg)
    assert b"a/2" in before
    assert b"a/2" not in generate_latest(served)


def test_the_table_shows_each_leg_and_why_packets_were_dropped(gateway: MediaGateway) -> None:
    table = LiveTable("title")
    first = drawn(table.draw(gateway.statistics(), 10.0, [], (200, 24)))
    assert "a/1" in first
    assert "AES_CM_128_80" in first
    assert "plain" in first
    assert "wrong-source 3, not-media 1" in first
    assert drops_text(gateway.statistics().legs[1]) == "wrong-source 3, not-media 1"
    again = drawn(table.draw(gateway.statistics(), 11.0, ["a/1: media-timeout"], (200, 24)))
    assert "media-timeout" in again
    row = next(line for line in again.splitlines() if "a/2" in line)
    assert row.split()[5:7] == ["0", "0"]  # packets a second, in and out


@pytest.mark.parametrize("name", ["[/x]", "[red]a", "[trunk] a", "a :smile:", "[link=x]y"])
def test_names_are_shown_as_they_are(name: str) -> None:
    with MediaGateway(workers=1, bind_ipv6="::1") as ipv6:
        there = Address("::1", 5000)
        ipv6.open_leg(LegSettings(type="route", family=6, name=name, remote=there))
        statistics = ipv6.statistics()
    shown = drawn(LiveTable(name).draw(statistics, 0.0, [name], (200, 24)))
    assert shown.count(name) == 3  # title, leg, event
    assert "[::1]:5000" in shown
    assert f"[::1]:{statistics.legs[0].local.port}" in shown
    assert name in drawn(summary(statistics, 1.0))


def test_no_title_is_cut_by_long_names() -> None:
    with MediaGateway(workers=1) as gateway:
        for number in range(3):
            name = f"a-session-with-a-long-name-{number}/1"
            gateway.open_leg(LegSettings(type="route", name=name, remote=Address("127.0.0.1", 5000)))
        for width in (80, 100, 110, 130, 150, 160):
            out = io.StringIO()
            picture = LiveTable("title").draw(gateway.statistics(), 0.0, [], (width, 24))
            Console(file=out, width=width).print(picture)
            header = next(line for line in out.getvalue().splitlines() if "in/s" in line)
            assert {"leg", "suite", "dropped"} <= set(header.split()), header
            assert "…" not in header
        out = io.StringIO()
        Console(file=out, width=80).print(summary(gateway.statistics(), 1.0))
        assert "dropped" in out.getvalue()


def test_a_small_screen_says_what_it_hides(gateway: MediaGateway) -> None:
    picture = drawn(LiveTable("title").draw(gateway.statistics(), 10.0, [], (80, 7)))
    assert "a/2" not in picture
    assert "and 1 more" in picture


def test_the_summary_counts_the_whole_run(gateway: MediaGateway) -> None:
    text = drawn(summary(gateway.statistics(), 12.34))
    assert "12.3 s" in text
    row = next(line for line in text.splitlines() if "a/2" in line)
    assert row.split() == ["a/2", "plain", "5", "0", "0", "0", "0", "4"]
    assert "a/2 dropped: wrong-source 3, not-media 1" in text


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_numbers_are_whole_on_any_screen(gateway: MediaGateway, width: int) -> None:
    table = LiveTable("title")
    table.draw(gateway.statistics(), 10.0, [], (width, 24))
    out = io.StringIO()
    Console(file=out, width=width).print(table.draw(gateway.statistics(), 11.0, [], (width, 24)))
    header = next(line for line in out.getvalue().splitlines() if line.startswith(" leg"))
    assert {"in/s", "out/s", "lost", "dropped"} <= set(header.split())
    assert ("remote" in header) == (width >= 110)
