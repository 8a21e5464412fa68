"""Replay, forged floods, RTCP in clear, and headers that lie: what a tag and a length check are for.

Each attack comes from the true address unless told otherwise, with the call itself and another going on meanwhile.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Iterator

import pytest
from interop.wire import SUITE, End, Stage, drops, forged
from model import packet
from model.packet import Malformed, rtp_header_length
from support import campaign

SUITES = [SUITE, "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"]
UDP_MAX = 65507  # octets of UDP payload over IPv4
LIBSRTP_ROOM = 16 + 4 + 128  # what it may add to a packet: tag, SRTCP index, MKI
FORGED = 10_000
LIES = 20_000


pytestmark = pytest.mark.parametrize("crypto", ["native", "libsrtp"])  # either provider has to stand it

# --- row 3: replay ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_replay(scene: Stage, suite: str) -> None:
    """Every SRTP and SRTCP packet of a call once more: at once, later, backwards, from elsewhere, at the other port."""
    call = scene.call(End(encrypted=True, suite=suite))
    phone, stranger = call.a, scene.stranger()
    for _ in range(20):
        call.talk(10)
    call.settle()
    media, reports = list(phone.wires), list(phone.wires_rtcp)
    hostile = scene.flood(phone.rtp, call.leg_a, media)
    hostile += scene.flood(stranger, call.leg_a, media[::-1])
    hostile += scene.flood(phone.rtcp, call.leg_a, reports * 10, rtcp=True)
    hostile += scene.flood(stranger, call.leg_a, reports[::-1] * 10, rtcp=True)
    assert drops(call, phone) == {"replay": hostile}
    scene.flood(phone.rtp, call.leg_a, reports)
    scene.flood(phone.rtcp, call.leg_a, media, rtcp=True)
    swapped = {"unexpected-rtcp": len(reports), "unexpected-rtp": len(media)}
    assert drops(call, phone) == {"replay": hostile, **swapped}


def test_replay_behind_the_window(scene: Stage) -> None:
    """A call's first packets, when thousands have gone by since."""
    call = scene.beside
    for _ in range(30):
        call.talk(50)
    call.settle()
    hostile = scene.flood(call.a.rtp, call.leg_a, call.a.wires[:200])
    assert drops(call, call.a) == {"too-old": hostile}


# --- row 4: flood of forged tags -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_forged_flood_from_the_true_address(scene: Stage, suite: str) -> None:
    """CVE-2021-41105: 10,000 forged packets of the true source, then 100 of 100 good ones pass."""
    call = scene.call(End(encrypted=True, suite=suite))
    call.talk(10)
    count = campaign(FORGED) if suite != SUITE else FORGED
    assert scene.flood(call.a.rtp, call.leg_a, forged(call.a, count)) == count
    call.settle()
    before = len(call.b.heard)
    call.talk(100)
    call.settle()
    assert len(call.b.heard) - before == 100
    found = drops(call, call.a)
    assert sum(found.values()) == count
    assert found["auth-failed"] > count - len(call.a.said)  # the others have the number of a good packet
    assert set(found) <= {"auth-failed", "replay", "too-old"}
    assert call.statistics(call.a).rtp.ssrc_changes == 0


def test_forged_flood_of_srtcp(scene: Stage) -> None:
    call = scene.call()
    call.talk(10)
    tails = (call.a.random.randbytes(20) + struct.pack("!I", 1 << 31 | index) for index in itertools.count())
    reports = [packet.rtcp(call.a.ssrc, bytes(20)) + tail + bytes(10) for tail in itertools.islice(tails, 2000)]
    hostile = scene.flood(call.a.rtcp, call.leg_a, reports, rtcp=True)
    for _ in range(100):
        call.report(call.a)
    assert sum(drops(call, call.a).values()) == hostile == 2000


# --- row 9: RTCP in clear --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mux", [False, True])
@pytest.mark.parametrize("suite", SUITES)
def test_rtcp_in_clear_to_an_srtp_leg(scene: Stage, suite: str, mux: bool) -> None:
    """SRTCP with a good tag and the E bit cleared, with the bit cleared on the way, plain RTCP, a forged BYE."""
    phone = End(encrypted=True, suite=suite, mux=mux)
    call = scene.call(phone, End(encrypted=False, mux=mux))
    call.talk(10)
    assert phone.out is not None
    report, bye = packet.rtcp(phone.ssrc, bytes(20)), packet.bye(phone.ssrc)
    clear = [phone.out.seal_rtcp(each, 5000 + at, encrypt=False) for at, each in enumerate([report, bye] * 20)]
    sealed = phone.out.seal_rtcp(bye, 6000)
    tag = 0 if suite.startswith("AEAD") else 10
    at = len(sealed) - tag - 4
    stripped = sealed[:at] + bytes([sealed[at] & 0x7F]) + sealed[at + 1 :]
    plain = [report, bye, packet.rtcp(phone.ssrc, bytes(4), pt=201) + bye, bye + bytes(14), bye + bytes(200)]
    for port in (phone.rtcp, scene.stranger()):
        scene.flood(port, call.leg_a, [*clear, *[stripped] * 40, *plain * 20], rtcp=not mux)
    if not mux:
        scene.flood(phone.rtp, call.leg_a, [sealed, *plain * 20])
    found = drops(call, phone)
    assert sum(found.values()) == 2 * (40 + 40 + 100) + (0 if mux else 101)
    assert set(found) <= {"srtcp-in-clear", "auth-failed", "too-short", "unexpected-rtcp", "provider"}
    assert found["provider" if "provider" in found else "srtcp-in-clear"] >= 2 * (40 + 40)


def hostile_reports(end: End) -> list[bytes]:
    """RTCP of a plain end that might leave an SRTP leg in clear or as media: all types, odd lengths, broken compounds,
    counts that no length bears out."""
    kinds = [packet.rtcp(end.ssrc, bytes(20), pt=kind) for kind in range(192, 224)]
    counts = [bytes([each[0] | 31]) + each[1:] for each in kinds]
    compounds = [packet.rtcp(end.ssrc, bytes(20)) + packet.bye(end.ssrc), packet.bye(end.ssrc) * 3]
    broken = [kinds[0] + b"\x80", kinds[8][:7], kinds[8] + kinds[8][:12], b"\x80\xc8\xff\xff" + bytes(40), b"\x80\xcb"]
    other_versions = [bytes([first]) + each[1:] for each in kinds for first in (0x00, 0x40, 0xC0)]
    return [*kinds, *counts, *compounds, *broken, packet.bye(end.ssrc) + bytes(2), *other_versions]


def well_formed(compound: bytes) -> bool:
    """RFC 3550 A.2, but for the first packet's type (RFC 5506)."""
    at = 0
    while len(compound) - at >= 4 and compound[at] >> 6 == 2:
        at += 4 + 4 * int.from_bytes(compound[at + 2 : at + 4], "big")
        if at == len(compound):
            return len(compound) >= 8
    return False


@pytest.mark.parametrize("mux", [False, True])
def test_no_plain_rtcp_leaves_an_srtp_leg(scene: Stage, mux: bool) -> None:
    """Whatever RTCP comes in from the plain side, at either port: what reaches the phone opens under its key (End.hear
    fails on anything else), and a BYE ends nothing."""
    call = scene.call(End(encrypted=True, mux=mux), End(encrypted=False, mux=mux))
    call.talk(5)
    hostile = 0
    for report in hostile_reports(call.b) * 5:
        scene.send(call.b.rtcp, report, call.leg_b, rtcp=not mux)
        hostile += not well_formed(report)
        call.b.said_rtcp += [report] if well_formed(report) else []
        if not mux:
            scene.send(call.b.rtp, report, call.leg_b)
            hostile += 1
        call.say(call.b)
        call.listen()
    call.settle()
    scene.quiet(call.leg_b)
    assert sum(drops(call, call.b).values()) == hostile


# --- row 11: lying headers -------------------------------------------------------------------------------------------


def short(rng: random.Random) -> bytes:
    return bytes([0x80 | rng.randrange(32)])[: rng.randrange(2)] + rng.randbytes(rng.randrange(11))


def csrc_count(rng: random.Random) -> bytes:
    count = rng.randint(1, 15)
    return bytes([0x80 | count]) + rng.randbytes(rng.randrange(11, 11 + 4 * count))


def extension_length(rng: random.Random) -> bytes:
    body = rng.randbytes(rng.choice((0, 3, 4, 40, 160)))
    words = rng.choice((len(body) // 4 + 1, 0x7FFF, 0xFFFF))
    return b"\x90" + rng.randbytes(11) + rng.choice((b"\xbe\xde" + struct.pack("!H", words) + body, b"", b"\xbe\xde\0"))


def both(rng: random.Random) -> bytes:
    return bytes([0x90 | rng.randint(1, 15)]) + rng.randbytes(rng.randrange(11, 75))


def padding(rng: random.Random) -> bytes:
    """More octets of padding than there is payload, or none."""
    payload = rng.randbytes(rng.choice((0, 1, 20, 160)))
    return b"\xa0" + rng.randbytes(11) + payload + bytes([rng.choice((0, len(payload) + 2, 255))])


def huge(rng: random.Random) -> bytes:
    """The longest datagram there is, with an extension one word longer than it."""
    words = (UDP_MAX - 16) // 4 + 1
    return b"\x90\0" + rng.randbytes(10) + b"\xbe\xde" + struct.pack("!H", words) + bytes(UDP_MAX - 16)


def rtcp_length(rng: random.Random) -> bytes:
    kind, size = rng.randrange(192, 224), rng.choice((0, 1, 3, 4, 8, 56))
    words = rng.choice((size // 4 + 2, 0xFFFF))
    return struct.pack("!BBH", 0x80 | rng.randrange(64), kind, words) + rng.randbytes(size)


FORMS = (short, csrc_count, extension_length, both, padding, rtcp_length)


def lies(seed: int, count: int) -> Iterator[bytes]:
    """Datagrams whose headers contradict their length; one in a hundred is as long as can be."""
    rng = random.Random(seed)
    made = 0
    while made < count:
        form = huge if made % 100 == 50 else rng.choice(FORMS)
        datagram = form(rng)
        if not true_header(datagram):
            made += 1
            yield datagram


def true_header(datagram: bytes) -> bool:
    if len(datagram) > 1 and 192 <= datagram[1] <= 223:
        return well_formed(datagram)
    try:
        header = rtp_header_length(datagram)
    except Malformed:
        return False
    return not datagram[0] & 0x20 or 0 < datagram[-1] <= len(datagram) - header


def test_lying_headers(scene: Stage) -> None:
    """20,000 of them to SRTP and plain legs and all their ports, mixed into media. Between two plain legs there is no
    second look at a header."""
    call, plain = scene.call(), scene.call(End(encrypted=False), End(encrypted=False))
    share = campaign(LIES) // 8 if scene.crypto == "libsrtp" else LIES // 8
    plan = [
        (call, call.a, [(call.a.rtp, False), (call.a.rtcp, True), (scene.stranger(), False)]),
        (call, call.b, [(call.b.rtp, False), (call.b.rtcp, True), (scene.stranger(), True)]),
        (plain, plain.a, [(plain.a.rtp, False), (plain.a.rtcp, True)]),
    ]
    named = {"too-short", "malformed", "auth-failed", "unexpected-rtcp", "unexpected-rtp", "not-media", "stun", "dtls",
             "srtcp-in-clear", "wrong-source", "provider"}  # fmt: skip
    for where, end, ports in plan:
        leg = where.leg_of(end)
        sent = [scene.flood(port, leg, lies(seed, share), rtcp=rtcp) for seed, (port, rtcp) in enumerate(ports)]
        assert sum(sent) == len(ports) * share
        found = drops(where, end)
        assert sum(found.values()) == sum(sent)
        assert set(found) <= named


@pytest.mark.parametrize("suite", SUITES)
def test_the_longest_and_the_shortest_packets(scene: Stage, suite: str) -> None:
    """From a header alone to what just fits once it is protected; one octet more is dropped, not cut."""
    call = scene.call(End(encrypted=True, suite=suite))
    tag = 4 if suite.endswith("_32") else 16 if suite.startswith("AEAD") else 10
    room = UDP_MAX - (LIBSRTP_ROOM if scene.crypto == "libsrtp" else tag)
    csrcs = struct.pack("!BBHII", 0x9F, 0x80, 0, 0, 0) + bytes(60) + b"\xbe\xde\0\x01" + bytes(4)
    for size in (0, 1, 15, 16, 17, 1460, 9000, room - 12):
        for end in (call.a, call.b):
            call.say(end, end.random.randbytes(size))
            head = end.packet(b"")
            call.say(end, plain=csrcs[:2] + head[2:] + csrcs[12:])
        call.settle()
    assert drops(call, call.a) == drops(call, call.b) == {}
    oversize = (UDP_MAX - 12, *((room - 11,) if scene.crypto == "native" else ()))
    for size in oversize:
        scene.send(call.b.rtp, call.b.packet(bytes(size)), call.leg_b)
    scene.quiet(call.leg_b)
    assert drops(call, call.b) == {"too-long": len(oversize)}
