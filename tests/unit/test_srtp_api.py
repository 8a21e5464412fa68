"""srtpgw.srtp: what is refused and with which error, suites, keys, parameters, limits. The arithmetic is elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from model import keys as model_keys
from model import packet
from model.compare import outcome
from model.suites import SUITES as MODEL_SUITES

from srtpgw import _native, errors, srtp
from srtpgw.srtp import (
    SUITES,
    AuthenticationError,
    KeyExpired,
    MasterKey,
    PacketError,
    Receiver,
    ReplayError,
    Sender,
    SessionKeys,
    SrtpError,
    derive_session_keys,
    kernels,
)

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = bytes(range(0x60, 0x60 + 30))
OTHER = KEY[::-1]
SESSION = SessionKeys(KEY[:16], KEY[16:], KEY[:20])


def test_the_suite_table_is_the_model_s() -> None:
    """RFC 4568 6.2, RFC 6188 4, RFC 7714 12 and 13, written down twice on purpose: once in C, once in the model."""
    assert {name: tuple(suite) for name, suite in SUITES.items()} == {
        name: tuple(suite) for name, suite in MODEL_SUITES.items()
    }
    with pytest.raises(TypeError):
        SUITES["X"] = SUITES[SUITE]  # type: ignore[index]


ARGUMENTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Sender("AES_CM_128", KEY), "unknown suite"),
    (lambda: Receiver("aes_cm_128_hmac_sha1_80", KEY), "unknown suite"),
    (lambda: Sender(SUITE, KEY[:-1]), "30 octets"),
    (lambda: Sender(SUITE, KEY + b"x"), "30 octets"),
    (lambda: Sender("AEAD_AES_128_GCM", KEY), "28 octets"),
    (lambda: Sender("AES_256_CM_HMAC_SHA1_80", KEY), "46 octets"),
    (lambda: Sender(SUITE, b""), "30 octets"),
    (lambda: Sender(SUITE, []), "master keys"),
    (lambda: Sender(SUITE, [MasterKey(bytes([n]) * 30, mki=bytes([n])) for n in range(9)]), "master keys"),
    (lambda: Sender(SUITE, [MasterKey(KEY), MasterKey(OTHER)]), "identifiers"),
    (lambda: Sender(SUITE, [MasterKey(KEY, mki=b"a"), MasterKey(OTHER, mki=b"a")]), "identifiers"),
    (lambda: Sender(SUITE, [MasterKey(KEY, mki=b"a"), MasterKey(OTHER, mki=b"bc")]), "identifiers"),
    (lambda: Sender(SUITE, MasterKey(KEY, mki=bytes(129))), "identifiers"),
    (lambda: Sender(SUITE, MasterKey(KEY, lifetime=0)), "lifetime"),
    (lambda: Sender(SUITE, MasterKey(KEY, lifetime=2**48 + 1)), "lifetime"),
    (lambda: Sender(SUITE, KEY, window=63), "window"),
    (lambda: Receiver(SUITE, KEY, window=32768), "window"),
    (lambda: Sender(SUITE, KEY, roc=-1), "rollover counter"),
    (lambda: Receiver(SUITE, KEY, roc=2**32), "rollover counter"),
    (lambda: Receiver(SUITE, KEY, roc_hints=[2**32]), "rollover counter"),
    (lambda: Receiver(SUITE, KEY, roc_hints=range(9)), "hints"),
    (lambda: Sender(SUITE, KEY, srtcp_index=2**31), "SRTCP index"),
    (lambda: Sender(SUITE, KEY, srtcp_index=-1), "SRTCP index"),
    (lambda: Sender(SUITE, KEY, max_ssrcs=0), "sources"),
    (lambda: Sender("AEAD_AES_128_GCM", KEY[:28], authenticate_rtp=False), "GCM"),
    (lambda: Sender(SUITE, KEY, provider="openssl"), "provider"),  # type: ignore[arg-type]
    (lambda: Sender(SUITE, KEY, provider="libsrtp", roc=1), "libsrtp"),
    (lambda: Sender.from_session_keys(SUITE, rtp=SessionKeys(KEY, KEY[:14], KEY[:20]), rtcp=SESSION), "octets"),
    (lambda: Sender.from_session_keys(SUITE, rtp=SESSION, rtcp=SessionKeys(KEY[:16], KEY[:12], KEY[:20])), "octets"),
    (lambda: Sender.from_session_keys(SUITE, rtp=SESSION, rtcp=SessionKeys(KEY[:16], KEY[:14])), "authentication key"),
    (lambda: Sender(SUITE, KEY).set_rollover_counter(2**32, 0), "SSRC"),
    (lambda: Sender(SUITE, KEY).set_rollover_counter(1, 2**32), "rollover counter"),
    (lambda: Receiver(SUITE, KEY, provider="libsrtp").export_state(), "libsrtp"),
    (lambda: Receiver(SUITE, KEY, provider="libsrtp").set_rollover_counter(1, 1), "libsrtp"),
    (lambda: derive_session_keys(SUITE, KEY, KEY[:14]), "octets"),
    (lambda: derive_session_keys(SUITE, KEY[:16], KEY[:12]), "octets"),
    (lambda: derive_session_keys(SUITE, KEY[:16], KEY[:14], index=2**48), "index"),
    (lambda: derive_session_keys(SUITE, KEY[:16], KEY[:14], key_derivation_rate=3), "rate"),
    (lambda: derive_session_keys(SUITE, KEY[:16], KEY[:14], key_derivation_rate=2**25), "rate"),
]


@pytest.mark.parametrize(("call", "message"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_wrong_arguments_are_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert not isinstance(caught.value, SrtpError)  # our caller's mistake, not the peer's


def test_one_key_under_two_identifiers_is_refused() -> None:
    """Its lifetime would count twice, and a change of key would change nothing."""
    with pytest.raises(ValueError, match="key"):
        Sender(SUITE, [MasterKey(KEY, mki=b"a"), MasterKey(KEY, mki=b"b")])


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(TypeError):
        Sender.from_session_keys(SUITE, rtp=SESSION, rtcp=SESSION, encrypt=False)
    with pytest.raises(TypeError):
        Receiver(SUITE, KEY, srtcp_index=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("argument", ["text" * 10, 17, None, memoryview(bytes(60))[::2]])
@pytest.mark.parametrize("name", ["unprotect", "unprotect_rtcp", "verify", "verify_rtcp"])
def test_what_is_not_octets_leaves_no_trace(name: str, argument: Any) -> None:
    receiver, sender = Receiver(SUITE, KEY), Sender(SUITE, KEY)
    with pytest.raises((TypeError, BufferError, SrtpError)):
        getattr(receiver, name)(argument)
    assert receiver.unprotect(sender.protect(packet.rtp(1, 1))) == packet.rtp(1, 1)
    assert receiver.unprotect_rtcp(sender.protect_rtcp(packet.rtcp(1))) == packet.rtcp(1)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_buffer_of_octets_is_taken_and_left_alone(make: Callable[[bytes], Any]) -> None:
    plain = make(packet.rtp(1, 1))
    wire = Sender(SUITE, make(KEY)).protect(plain)
    assert bytes(plain) == packet.rtp(1, 1)
    assert type(wire) is bytes
    assert Receiver(SUITE, KEY).unprotect(make(wire)) == packet.rtp(1, 1)


MALFORMED: list[tuple[bytes, str]] = [
    (b"", "too-short"),
    (packet.rtp(1, 1, b"")[:11], "too-short"),
    (b"\x00" + packet.rtp(1, 1)[1:], "malformed"),  # version 0
    (b"\xc0" + packet.rtp(1, 1)[1:], "malformed"),
    (b"\x8f" + packet.rtp(1, 1, bytes(59))[1:], "malformed"),  # 15 CSRCs take 60 octets
    (b"\x90" + packet.rtp(1, 1, b"\xbe\xde\x00")[1:], "malformed"),
    (b"\x90" + packet.rtp(1, 1, b"\xbe\xde\x00\x02abcdefg")[1:], "malformed"),
    (b"\x90" + packet.rtp(1, 1, b"\xbe\xde\xff\xffabcdefgh")[1:], "malformed"),
    (b"\x9f" + packet.rtp(1, 1, bytes(60) + b"\0\0\0\1")[1:], "malformed"),
]


@pytest.mark.parametrize(("plain", "reason"), MALFORMED)
def test_lying_headers(plain: bytes, reason: str) -> None:
    """Sent: refused before an index is spent. Received: the same behind a tag that is never looked at."""
    sender, receiver = Sender(SUITE, KEY), Receiver(SUITE, KEY)
    with pytest.raises(PacketError) as caught:
        sender.protect(plain)
    assert caught.value.reason == reason
    assert outcome(receiver.unprotect, plain + bytes(10)) == reason
    assert sender.rollover_counter(1) is None
    assert receiver.rollover_counter(1) is None


@pytest.mark.parametrize("length", range(12 + 10))
def test_srtp_shorter_than_header_and_tag(length: int) -> None:
    assert outcome(Receiver(SUITE, KEY).unprotect, packet.rtp(1, 1, b"")[:12].ljust(22, b"\0")[:length]) == "too-short"


@pytest.mark.parametrize("length", range(8 + 4 + 10))
def test_srtcp_shorter_than_header_index_and_tag(length: int) -> None:
    assert outcome(Receiver(SUITE, KEY).unprotect_rtcp, packet.rtcp(1)[:length]) == "too-short"


def test_errors_are_told_apart() -> None:
    sender, receiver = Sender(SUITE, KEY), Receiver(SUITE, KEY)
    wire = sender.protect(packet.rtp(1, 1))
    receiver.unprotect(wire)
    with pytest.raises(ReplayError) as replay:
        receiver.unprotect(wire)
    with pytest.raises(AuthenticationError) as forged:
        receiver.unprotect(wire[:3] + b"\x02" + wire[4:])
    with pytest.raises(ReplayError) as duplicate:
        sender.protect(packet.rtp(1, 1))
    spent = Sender(SUITE, MasterKey(KEY, lifetime=1))
    spent.protect(packet.rtp(1, 1))
    with pytest.raises(KeyExpired) as expired:
        spent.protect(packet.rtp(2, 1))
    reasons = [caught.value.reason for caught in (replay, forged, duplicate, expired)]
    assert reasons == ["replay", "auth-failed", "tx-duplicate", "tx-key-expired"]
    for kind in (AuthenticationError, ReplayError, PacketError, KeyExpired):
        assert issubclass(kind, SrtpError)
        assert issubclass(kind, errors.SrtpgwError)


def test_every_drop_reason_has_an_error() -> None:
    names = _native.DROP_NAMES
    for number, name in enumerate(names[1:], 1):
        error = srtp._error(number)
        assert error.reason == name
        assert str(error)


def test_a_foreign_key_never_protects() -> None:
    """It verifies and forwards: the octets leave exactly as they came, and only if they are authentic."""
    foreign = MasterKey(KEY, foreign=True)
    sender, receiver = Sender(SUITE, foreign), Receiver(SUITE, foreign)
    assert outcome(sender.protect, packet.rtp(1, 1)) == "foreign-key"
    assert outcome(sender.protect_rtcp, packet.rtcp(1)) == "foreign-key"
    assert [
        error.reason for error in srtp.protect_many([(sender, packet.rtp(1, 1))]) if isinstance(error, SrtpError)
    ] == ["foreign-key"]
    own = Sender(SUITE, KEY)
    wire, control = own.protect(packet.rtp(1, 1)), own.protect_rtcp(packet.rtcp(1))
    assert receiver.verify(wire) == wire
    assert receiver.verify_rtcp(control) == control
    assert outcome(receiver.verify, wire) == "replay"
    assert outcome(receiver.verify_rtcp, control) == "replay"
    assert outcome(receiver.verify, own.protect(packet.rtp(2, 1))[:-1] + b"\0") == "auth-failed"
    assert receiver.unprotect(own.protect(packet.rtp(3, 1))) == packet.rtp(3, 1)
    mixed = Sender(SUITE, [MasterKey(OTHER, mki=b"a"), MasterKey(KEY, mki=b"b", foreign=True)])
    assert outcome(mixed.protect, packet.rtp(1, 1)) == "foreign-key"


def test_master_keys_by_identifier() -> None:
    """RFC 3711 3.1, 8.1: the packet says which key; the sender uses the first."""
    first, second = MasterKey(KEY, mki=b"\x01"), MasterKey(OTHER, mki=b"\x02")
    receiver = Receiver(SUITE, [first, second])
    for seq, key in enumerate((second, first, second)):
        assert receiver.unprotect(Sender(SUITE, key).protect(packet.rtp(seq, 1))) == packet.rtp(seq, 1)
    wire = Sender(SUITE, [second, first]).protect(packet.rtp(9, 1))
    assert wire[-11:-10] == b"\x02"
    assert (
        outcome(receiver.unprotect, Sender(SUITE, MasterKey(KEY, mki=b"\x03")).protect(packet.rtp(9, 1)))
        == "unknown-mki"
    )
    assert receiver.unprotect(wire) == packet.rtp(9, 1)


@pytest.mark.parametrize("suite", SUITES)
def test_tag_lengths(suite: str) -> None:
    """SRTCP keeps 80 bits in the _32 suites (RFC 4568 6.2.2); nothing else is longer by."""
    form = SUITES[suite]
    sender = Sender(suite, bytes(form.key_length + form.salt_length))
    assert len(sender.protect(packet.rtp(1, 1))) - len(packet.rtp(1, 1)) == form.rtp_tag_length
    assert len(sender.protect_rtcp(packet.rtcp(1))) - len(packet.rtcp(1)) == form.rtcp_tag_length + 4
    assert form.rtcp_tag_length == (16 if "GCM" in suite else 10)


def test_derivation_at_other_rates_and_indices() -> None:
    """RFC 3711 4.3.1 with every rate, against the model."""
    rng = random.Random("derivation")
    for _ in range(300):
        name = rng.choice(list(SUITES))
        form = MODEL_SUITES[name]
        key, salt = rng.randbytes(form.key_length), rng.randbytes(form.salt_length)
        index, rate, rtcp = rng.getrandbits(48), rng.choice((0, 1 << rng.randint(0, 24))), rng.random() < 0.5
        derived = derive_session_keys(name, key, salt, index=index, key_derivation_rate=rate, rtcp=rtcp)
        expected = model_keys.session_keys(form, key, salt, index=index, rate=rate, rtcp=rtcp)
        assert (derived.cipher, derived.salt, derived.auth) == tuple(expected)


@pytest.mark.parametrize("suite", SUITES)
def test_session_keys_and_master_keys_give_the_same_packets(suite: str) -> None:
    form = SUITES[suite]
    key, salt = bytes(range(form.key_length)), bytes(range(form.salt_length))
    rtp, rtcp = (derive_session_keys(suite, key, salt, rtcp=rtcp) for rtcp in (False, True))
    sender = Sender.from_session_keys(suite, rtp=rtp, rtcp=rtcp, roc=5, srtcp_index=9)
    same = Sender(suite, key + salt, roc=5, srtcp_index=9)
    assert sender.protect(packet.rtp(1, 1)) == same.protect(packet.rtp(1, 1))
    assert sender.protect_rtcp(packet.rtcp(1)) == same.protect_rtcp(packet.rtcp(1))


def test_kernels() -> None:
    report = kernels()
    names = [tier["name"] for tier in report["tiers"]]
    assert report["in_use"] in names
    assert names[-1] == "generic"
    assert next(tier for tier in report["tiers"] if tier["name"] == report["in_use"])["available"]
    assert report["libsrtp"]["available"]
