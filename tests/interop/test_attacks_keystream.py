"""No keystream twice, and no silence instead: restarted sources, hold, re-keys, forks, reopened legs, equal SSRCs.

Every packet that leaves an SRTP leg is opened at the far end by its key, SSRC and index; the second use of one fails
the test (Keyed.open).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from interop.wire import SUITE, Call, End, Keyed, Stage, check_counts, drops, fresh_key
from model import packet

from srtpgw.errors import KeyReuse, MediaError
from srtpgw.media import LegSettings
from srtpgw.srtp import MasterKey

GCM = "AEAD_AES_128_GCM"
WINDOW = 1024


def play(call: Call, first: int, count: int, *, ssrc: int | None = None) -> list[bytes]:
    """The trunk plays a recording: sequence numbers from `first` on, each time the same ones with other contents."""
    trunk = call.b
    trunk.index = first
    played = []
    for number in range(count):
        played.append(call.say(trunk, plain=trunk.packet(ssrc=ssrc)))
        if number % 10 == 0:
            call.stage.beside.talk()
            call.listen()
    call.stage.quiet(call.leg_b)
    call.listen()
    return played


def heard_of(call: Call, played: list[bytes], sink: End | None = None) -> tuple[int, list[int]]:
    """How many of these packets the sink (the phone) did not hear last, and under which SSRCs it heard the others. It
    heard nothing else since, nothing twice and nothing out of order."""
    sink = sink or call.a
    sink.hear()
    heard = sink.heard
    at, ssrcs = len(heard), []
    for plain in reversed(played):
        if at and heard[at - 1][:8] + heard[at - 1][12:] == plain[:8] + plain[12:]:
            at -= 1
            ssrcs.append(int.from_bytes(heard[at][8:12], "big"))
    return len(played) - len(ssrcs), list(dict.fromkeys(reversed(ssrcs)))


def heard_as(call: Call, played: list[bytes], lost: int = 0) -> int:
    """The one SSRC under which the phone heard all of these packets but the first `lost`."""
    missing, ssrcs = heard_of(call, played)
    assert missing == heard_of(call, played[:lost])[0] == lost
    assert len(ssrcs) == 1
    return ssrcs[0]


def forget(call: Call) -> None:
    """What was said and heard so far is compared, and SSRCs that changed would only be in the way later on."""
    check_counts(call.stage, call)
    call.stage.calls.remove(call)


# --- row 6: restarted sources ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [SUITE, GCM])
@pytest.mark.parametrize(
    ("length", "lost"),
    [
        pytest.param(8, 7, id="just long enough"),
        pytest.param(300, 7, id="within the window"),
        pytest.param(WINDOW, 7, id="the window"),
        pytest.param(3 * WINDOW, 1, id="behind the window"),
    ],
)
def test_a_recording_played_again(scene: Stage, suite: str, length: int, lost: int) -> None:
    """As sipp plays a pcap: same SSRC, same sequence numbers. From its restart on it is another source."""
    call = scene.call(End(encrypted=True, suite=suite))
    ssrcs = [heard_as(call, play(call, 1, length))]
    ssrcs.append(heard_as(call, play(call, 1, length), lost))
    assert drops(call, call.b) == {"tx-duplicate" if lost > 1 else "tx-too-old": lost}
    for _ in range(3):
        missing, more = heard_of(call, play(call, 1, length))
        assert missing <= lost
        ssrcs += [each for each in more if each not in ssrcs]
    restarts = scene.take_events("source-restarted")
    assert len(restarts) >= 2
    assert [event.detail["outgoing_ssrc"] for event in restarts] == ssrcs[1:]
    assert call.statistics(call.b).rtp.source_restarts == len(restarts)
    forget(call)


@pytest.mark.parametrize("length", [3, 5, 7])
def test_a_very_short_recording_played_again_and_again(scene: Stage, length: int) -> None:
    """Shorter than the run that shows a restart: a digit or a tone. Part of it is lost, but it is never silent."""
    call = scene.call()
    for _ in range(20):
        play(call, 1, length)
    assert len(call.a.heard) >= 20 * length // 4
    forget(call)


@pytest.mark.parametrize("crypto", ["libsrtp"])
def test_libsrtp_is_silent_rather_than_repeat_an_index(scene: Stage) -> None:
    """It knows no restarted sources: what it has sent before it refuses, until the sequence numbers pass it."""
    call = scene.call()
    heard_as(call, play(call, 1, 200))
    assert heard_of(call, play(call, 1, 200))[0] == 200
    heard_as(call, play(call, 1, 400), 200)
    assert drops(call, call.b) == {"tx-duplicate": 400}
    forget(call)


def test_over_the_wrap_and_back(scene: Stage) -> None:
    """A recording whose sequence numbers wrap: the rollover counter of what it restarts as is 0 again, and wraps."""
    call = scene.call()
    for _ in range(4):
        assert heard_of(call, play(call, 65000, 1500))[0] <= 1
    assert len({ssrc for ssrc, _ in call.a.into.opened}) == 4  # type: ignore[union-attr]
    assert {index >> 16 for _, index in call.a.into.opened} == {0, 1}  # type: ignore[union-attr]
    forget(call)


def test_rtcp_follows_a_restarted_source(scene: Stage) -> None:
    """Reports of the restarted source speak of its new SSRC; what the phone says of it reaches the trunk as the old."""
    call = scene.call()
    play(call, 1, 50)
    ssrc = heard_as(call, play(call, 1, 50), 7)
    trunk, phone = call.b, call.a
    call.report(trunk, packet.rtcp(trunk.ssrc, bytes(20)) + packet.bye(trunk.ssrc))
    block = ssrc.to_bytes(4, "big") + bytes(20)
    call.report(phone, packet.rtcp(phone.ssrc, block, pt=201)[:1].replace(b"\x80", b"\x81") + report_tail(phone, block))
    call.stage.quiet(call.leg_a)
    call.stage.quiet(call.leg_b)
    call.listen()
    assert phone.heard_rtcp == [packet.rtcp(ssrc, bytes(20)) + packet.bye(ssrc)]
    assert trunk.heard_rtcp[0][8:12] == trunk.ssrc.to_bytes(4, "big")
    assert trunk.heard_rtcp[0][4:8] == phone.ssrc.to_bytes(4, "big")
    forget(call)


def report_tail(end: End, block: bytes) -> bytes:
    return packet.rtcp(end.ssrc, block, pt=201)[1:]


def test_hold_and_resume(scene: Stage) -> None:
    """Held at either side; the source goes on meanwhile, stops, or starts over."""
    call = scene.call()
    play(call, 100, 50)
    for leg, first in ((call.leg_a, 200), (call.leg_b, 40000), (call.leg_a, 100), (call.leg_b, 50)):
        scene.gateway.change(leg, hold=True)
        play(call, first, 20)
        scene.gateway.change(leg, hold=False)
        heard = len(call.a.heard)
        play(call, first + 20, 60)
        assert len(call.a.heard) - heard >= 60 - 7
    assert drops(call, call.b)["hold"] == 80
    forget(call)


@pytest.mark.parametrize("suite", [SUITE, GCM])
def test_rekeys(scene: Stage, suite: str) -> None:
    """Fresh keys in mid-call, with and without a restart at the same time; and back to a key used before: refused."""
    call = scene.call(End(encrypted=True, suite=suite))
    used = [call.a.into]
    heard_as(call, play(call, 1, 30))
    for first in (31, 1, 60000, 1):
        call.b.said = list(call.a.heard)  # what was lost in a restart
        scene.rekey(call, call.a)
        used.append(call.a.into)
        heard = len(call.a.heard)
        play(call, first, 100)
        assert len(call.a.heard) - heard >= 93
    for old in used[:-1]:
        assert old is not None
        with pytest.raises((KeyReuse, MediaError)):
            scene.gateway.change(call.leg_a, transmit_keys=(old.master,))
    heard_as(call, play(call, 5000, 100))
    forget(call)


@pytest.mark.parametrize("suite", [SUITE, GCM])
def test_packets_under_the_key_before(scene: Stage, suite: str) -> None:
    """Late ones are taken as long as the overlap lasts, once each; all others, and replays of any age, are not."""
    call = scene.call(End(encrypted=True, suite=suite))
    phone = call.a
    call.talk(20)
    call.settle()
    old, late = phone.out, phone.packet()
    assert old is not None
    wire = old.seal(late, phone.index)
    phone.index += 1
    scene.rekey(call, phone, overlap=600.0)
    call.talk(20)
    call.settle()
    scene.send(phone.rtp, wire, call.leg_a)
    phone.said.append(late)
    call.settle()
    hostile = scene.flood(phone.rtp, call.leg_a, [*phone.wires, wire] * 5)
    scene.rekey(call, phone, overlap=0.0)
    fresh = [old.seal(packet.rtp(at, phone.ssrc), at) for at in range(phone.index, phone.index + 50)]
    hostile += scene.flood(phone.rtp, call.leg_a, [*phone.wires, *fresh])
    call.talk(20)
    call.settle()
    assert sum(drops(call, phone).values()) == hostile


def test_a_new_ssrc_with_old_sequence_numbers(scene: Stage) -> None:
    """Another SSRC is another keystream: it keeps its SSRC and loses nothing."""
    call = scene.call()
    for ssrc in (call.b.ssrc, 0x1111, 0x2222, 0x1111 << 8):
        assert heard_as(call, play(call, 1, 50, ssrc=ssrc)) == ssrc
    assert drops(call, call.b) == {}
    forget(call)


def test_forks_with_one_ssrc(scene: Stage) -> None:
    """Two answers to one offer, both with the SSRC 1 and with sequence numbers of their own, take turns at one leg."""
    call = scene.call()
    trunks = [call.b, End(encrypted=False)]
    starts = [100, 90]
    for turn in range(6):
        call.b = trunks[turn % 2]
        scene.gateway.change(call.leg_b, remote=call.b.rtp.address, remote_rtcp=call.b.rtcp.address)
        heard = len(call.a.heard)
        played = play(call, starts[turn % 2], 60, ssrc=1)
        starts[turn % 2] += 60
        assert len(call.a.heard) - heard >= len(played) - 7
    forget(call)


def test_another_leg_at_the_other_side(scene: Stage) -> None:
    """A transfer: the phone's leg, and so its sending key, gets a new peer whose source starts as the old one did."""
    call = scene.call()
    heard_as(call, play(call, 1, 100))
    for _ in range(3):
        scene.gateway.close(call.leg_b)
        leg = scene.gateway.open_leg(scene.settings(call.b))
        scene.gateway.join(call.leg_a, leg)
        call.leg_b = leg
        found = call.statistics(call.a)
        scene.sent_before[call.leg_a] = found.rtp.sent_packets, found.rtcp.sent_packets
        heard = len(call.a.heard)
        play(call, 1, 100)
        assert len(call.a.heard) - heard == 93
    scene.calls.remove(call)


@pytest.mark.parametrize("suite", [SUITE, GCM])
def test_a_leg_opened_again_under_its_key(scene: Stage, suite: str) -> None:
    """With the sending state of the closed leg it goes on where that one stopped; without it the key is refused."""
    call = scene.call(End(encrypted=True, suite=suite))
    play(call, 1, 100)
    play(call, 1, 100)
    for _ in range(3):
        session = call.leg_a.session
        assert session is not None
        scene.gateway.close(session)
        settings = scene.settings(call.a)
        with pytest.raises(KeyReuse):
            scene.gateway.open_leg(settings)
        scene.calls.remove(call)
        call = scene.call(call.a, call.b, sending_state=call.leg_a.export_sending_state())
        heard = len(call.a.heard)
        play(call, 1, 100)
        assert len(call.a.heard) - heard >= 93
    scene.calls.remove(call)


def test_srtp_to_srtp_when_the_caller_starts_over(scene: Stage) -> None:
    """The phone gets a new key and starts at rollover counter 0: for the far side's key a restarted source."""
    call = scene.call(End(encrypted=True), End(encrypted=True, suite=GCM))
    phone, far = call.a, call.b
    phone.index = (1 << 16) - 50
    call.talk(100)
    call.settle()
    for _ in range(3):
        call.b.heard, call.a.said = [], []
        key = fresh_key()
        scene.gateway.change(call.leg_a, receive_keys=(key,), overlap=0.0)
        phone.out = Keyed(SUITE, key)
        phone.index = 1
        for _ in range(60):
            call.say(phone)
        scene.quiet(call.leg_a)
        missing, _ = heard_of(call, phone.said, far)
        assert missing == 60 - len(far.heard) <= 7
    scene.calls.remove(call)


# --- row 7: one SSRC or one key in two places ------------------------------------------------------------------------


def test_ssrc_collision_under_one_key(scene: Stage) -> None:
    """A source that arrives with the SSRC that a restarted one got from us is given another, and counted."""
    call = scene.call()
    heard_as(call, play(call, 1, 50))
    ours = heard_as(call, play(call, 1, 50), 7)
    other = heard_as(call, play(call, 1, 50, ssrc=ours))
    assert other not in {ours, call.b.ssrc}
    found = [call.statistics(end).rtp.ssrc_collisions for end in (call.a, call.b)]
    assert sum(found) == 1
    assert [event.detail["outgoing_ssrc"] for event in scene.take_events("ssrc-renamed")] == [other]
    forget(call)


def leg_with(receive: MasterKey, transmit: MasterKey, **options: Any) -> LegSettings:
    return LegSettings(type="extension", suite=SUITE, receive_keys=(receive,), transmit_keys=(transmit,), **options)


def test_reflected_and_shared_keys_are_refused_and_counted(scene: Stage) -> None:
    """An answer that reflects the offerer's key, and every other way for one key to be in two places."""
    call = scene.call()
    receive, transmit = call.leg_a.settings.receive_keys[0], call.leg_a.settings.transmit_keys[0]
    fresh = [fresh_key() for _ in range(8)]
    gateway = scene.gateway
    attempts: list[Callable[[], object]] = [
        lambda: gateway.open_leg(leg_with(fresh[0], fresh[0])),
        lambda: gateway.open_leg(leg_with(fresh[0], MasterKey(fresh[0].key_and_salt, mki=b"\1"))),
        lambda: gateway.open_leg(leg_with(fresh[1], transmit)),
        lambda: gateway.open_leg(leg_with(receive, fresh[2])),
        lambda: gateway.open_leg(leg_with(transmit, receive)),
        lambda: gateway.open_leg(leg_with(fresh[3], receive)),
        lambda: gateway.open_leg(leg_with(transmit, fresh[4])),
        lambda: gateway.change(call.leg_a, receive_keys=(transmit,)),
        lambda: gateway.change(call.leg_a, transmit_keys=(receive,)),
        lambda: gateway.change(call.leg_a, receive_keys=(fresh[5],), transmit_keys=(fresh[5],)),
    ]
    legs = len(gateway.legs)
    for count, attempt in enumerate(attempts, 1):
        call.talk()
        with pytest.raises(KeyReuse):
            attempt()
        assert gateway.keys_refused == count
    assert len(gateway.legs) == legs
    gateway.close(gateway.open_leg(leg_with(fresh[0], fresh[1])))


def test_a_foreign_key_never_protects(scene: Stage) -> None:
    """A key that came from elsewhere may forward what is authentic under it, and nothing else."""
    foreign = fresh_key(foreign=True)
    settings = leg_with(fresh_key(), foreign), scene.settings(End(encrypted=False))
    legs = [scene.gateway.open_leg(each) for each in settings]
    with pytest.raises(KeyReuse):
        scene.gateway.join(*legs)
    assert scene.gateway.keys_refused == 1
    for leg in legs:
        scene.gateway.close(leg)


def test_verify_and_forward(scene: Stage) -> None:
    """One key on both sides: authentic packets leave as the identical octets, and nothing else leaves."""
    phone, far = End(encrypted=True), End(encrypted=True)
    phone.into, far.into = far.out, phone.out
    call = scene.call(phone, far)
    call.talk(20)
    scene.flood(phone.rtp, call.leg_a, [call.a.packet(ahead=at) + bytes(10) for at in range(500)])
    call.settle()
    assert far.rtp.heard == phone.wires
    assert phone.rtp.heard == far.wires
    assert set(drops(call, phone)) <= {"auth-failed", "replay"}
