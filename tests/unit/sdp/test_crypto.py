"""The crypto attribute of RFC 4568: what is taken, what is refused, and that no answer shows a key."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srtpgw.sdp.crypto import (
    KEYS_MAX,
    LINE_MAX,
    PARAMETERS_MAX,
    Crypto,
    CryptoFault,
    FaultKind,
    SessionParameters,
    read_crypto,
)
from srtpgw.sdp.inline import LENGTHS, InlineKey, suites_of_length

SUITE = "AES_CM_128_HMAC_SHA1_80"
OCTETS = bytes(range(200, 230))
KEY = "inline:" + base64.b64encode(OCTETS).decode()
OTHER = "inline:" + base64.b64encode(OCTETS[::-1]).decode()
LINE = f"1 {SUITE} {KEY}"


def test_the_examples_of_rfc_4568() -> None:
    first = read_crypto(
        "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP"
    )
    assert first == Crypto(
        1,
        SUITE,
        (InlineKey(b"YS___semctl () {\t220;}\n}\nunles", b"\0\0\0\1", 1 << 20),),
        SessionParameters(fec_order="FEC_SRTP"),
    )
    second = read_crypto(
        "1 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;"
        "inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP"
    )
    assert isinstance(second, CryptoFault)
    assert (second.kind, second.suite) == (FaultKind.SUITE, "F8_128_HMAC_SHA1_80")


@pytest.mark.parametrize("suite", LENGTHS)
def test_every_suite_takes_its_own_length_only(suite: str) -> None:
    for octets in {sum(lengths) for lengths in LENGTHS.values()} | {0, 16, 29, 31}:
        key = bytes(octets)
        read = read_crypto(f"7\t{suite}  inline:{base64.b64encode(key).decode().rstrip('=')}")
        if suite in suites_of_length(octets):
            assert read == Crypto(7, suite, (InlineKey(key),))
        else:
            assert isinstance(read, CryptoFault)
            assert (read.kind, read.suite) == (FaultKind.KEY, suite)


def test_several_keys_are_told_apart_by_their_mki() -> None:
    read = read_crypto(f"2 {SUITE} {KEY}|2^20|1:2;{OTHER}|2^21|2:2")
    assert isinstance(read, Crypto)
    assert [(key.mki, key.lifetime) for key in read.keys] == [(b"\0\1", 1 << 20), (b"\0\2", 1 << 21)]


def test_all_session_parameters() -> None:
    read = read_crypto(
        f"1 {SUITE} {KEY} KDR=4 UNENCRYPTED_SRTCP UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP FEC_ORDER=SRTP_FEC WSH=128"
        f" FEC_KEY={OTHER}|1:1 -optional=3 mandatory=4"
    )
    assert isinstance(read, Crypto)
    assert read.parameters == SessionParameters(
        key_derivation_rate=16,
        unencrypted_srtp=True,
        unencrypted_srtcp=True,
        unauthenticated_srtp=True,
        fec_order="SRTP_FEC",
        fec_keys=(InlineKey(OCTETS[::-1], b"\1"),),
        window=128,
        ignored=("optional",),
        unknown=("mandatory",),
    )
    assert read.parameters.weakening == ("UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP")


def test_a_derivation_rate_of_zero_derives_once() -> None:
    read = read_crypto(f"{LINE} KDR=0")
    assert isinstance(read, Crypto)
    assert read.parameters.key_derivation_rate == 0


BROKEN: list[tuple[str, FaultKind, str]] = [
    ("", FaultKind.LINE, "tag, a suite and a key"),
    (f"1 {SUITE}", FaultKind.LINE, "tag, a suite and a key"),
    (f"{SUITE} {KEY} x", FaultKind.TAG, "tag"),
    (f"-1 {SUITE} {KEY}", FaultKind.TAG, "tag"),
    (f"1234567890 {SUITE} {KEY}", FaultKind.TAG, "tag"),
    (f"1 {SUITE.lower()} {KEY}", FaultKind.SUITE, "not known"),
    (f"1 {SUITE}x {KEY}", FaultKind.SUITE, "not known"),
    (f"1 {KEY} {KEY}", FaultKind.SUITE, "names no suite"),
    (f"1 {SUITE} {KEY[7:]}", FaultKind.KEY, "inline:"),
    (f"1 {SUITE} {KEY};", FaultKind.KEY, "inline:"),
    (f"1 {SUITE} {KEY};{OTHER}", FaultKind.KEY, "each needs an MKI"),
    (f"1 {SUITE} {KEY}|1:1;{OTHER}", FaultKind.KEY, "each needs an MKI"),
    (f"1 {SUITE} {KEY}|1:1;{OTHER}|1:2", FaultKind.KEY, "different lengths"),
    (f"1 {SUITE} {KEY}|1:1;{OTHER}|1:1", FaultKind.KEY, "one MKI twice"),
    (f"1 {SUITE} {KEY}|2^49", FaultKind.KEY, "lifetime"),
    (f"1 {SUITE} {KEY}|1:129", FaultKind.KEY, "MKI length"),
    (f"1 {SUITE} " + ";".join(f"{KEY}|{number}:4" for number in range(KEYS_MAX + 1)), FaultKind.KEY, "more than"),
    (f"{LINE} KDR=25", FaultKind.PARAMETER, "KDR"),
    (f"{LINE} KDR=x", FaultKind.PARAMETER, "KDR"),
    (f"{LINE} KDR", FaultKind.PARAMETER, "KDR without a value"),
    (f"{LINE} UNENCRYPTED_SRTP=1", FaultKind.PARAMETER, "UNENCRYPTED_SRTP with a value"),
    (f"{LINE} WSH=63", FaultKind.PARAMETER, "WSH"),
    (f"{LINE} WSH=99999", FaultKind.PARAMETER, "WSH"),
    (f"{LINE} WSH=64 WSH=64", FaultKind.PARAMETER, "WSH twice"),
    (f"{LINE} FEC_ORDER=FEC", FaultKind.PARAMETER, "FEC_ORDER"),
    (f"{LINE} FEC_KEY=inline:AAAA", FaultKind.PARAMETER, "FEC_KEY"),
    (f"{LINE} =x", FaultKind.PARAMETER, "without a name"),
    (f"{LINE} " + "-x " * (PARAMETERS_MAX + 1), FaultKind.PARAMETER, "more than"),
    (f"{LINE}\0", FaultKind.LINE, "character"),
    (f"{LINE}\u00e9", FaultKind.LINE, "character"),
    (f"1 {SUITE} {KEY}\r\na=x", FaultKind.LINE, "character"),
]


@pytest.mark.parametrize(("text", "kind", "says"), BROKEN)
def test_what_is_broken_is_told_by_kind(text: str, kind: FaultKind, says: str) -> None:
    read = read_crypto(text)
    assert isinstance(read, CryptoFault)
    assert read.kind is kind
    assert says in read.text
    assert not any(KEY[at : at + 8] in repr(read) for at in range(7, len(KEY) - 7))


BOMBS: list[Any] = [
    f"1 {SUITE} inline:" + "A" * 10_000_000,
    f"1 {SUITE} {KEY}|2^" + "9" * 1_000_000,
    f"1 {SUITE} {KEY}|" + "9" * 7000 + ":4",
    f"1 {SUITE} {KEY}|1:" + "9" * 7000,
    f"1 {SUITE} " + ";" * 8000,
    f"1 {SUITE} {KEY} " + "x " * 4000,
    "1" * 8000 + f" {SUITE} {KEY}",
    f"1 {'A' * 8000} {KEY}",
    " " * 10_000_000,
    f"{LINE} WSH=" + "9" * 7000,
    f"{LINE} FEC_KEY=" + ";".join([KEY] * 150),
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_a_bomb_costs_little(text: str) -> None:
    start = time.process_time()
    read = read_crypto(text)
    assert time.process_time() - start < 0.1  # ten times what it may take
    assert isinstance(read, CryptoFault)
    assert len(read.text) < 200


@given(
    st.text(max_size=100)
    | st.lists(st.sampled_from([*LINE.split(), ";", "|", "1:4", "2^31", "KDR=1", " ", "-", "=", "FEC_KEY=", KEY])).map(
        "".join
    )
)
def test_any_text_is_read_or_refused(text: str) -> None:
    read = read_crypto(text)
    assert isinstance(read, Crypto | CryptoFault)
    assert KEY[7:] not in repr(read)


def test_nothing_that_holds_a_key_shows_it() -> None:
    read = read_crypto(f"{LINE} FEC_KEY={OTHER}")
    shown = repr(read) + str(read)
    assert "30 octets" in shown
    for octets in (OCTETS, OCTETS[::-1]):
        assert repr(octets)[2:10] not in shown
        assert base64.b64encode(octets).decode()[:8] not in shown


def test_a_line_at_the_limit_is_read_and_one_beyond_is_not() -> None:
    line = f"{LINE} -x="
    assert isinstance(read_crypto(line + "y" * (LINE_MAX - len(line))), Crypto)
    assert isinstance(read_crypto(line + "y" * (LINE_MAX - len(line) + 1)), CryptoFault)
