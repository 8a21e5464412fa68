"""Keys as ``inline:`` text (RFC 4568, sections 6.1 and 9.2), and their fingerprints."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.relay_files import SUITE, key, key_text, octets

from srtpgw.errors import KeyFormatError
from srtpgw.media.keys import (
    format_key,
    generate_key,
    keys_fault,
    parse_key,
    relay_suites,
    same_keys,
)
from srtpgw.sdp.inline import KEY_TEXT_MAX, LIFETIME_MAX
from srtpgw.srtp import SUITES, MasterKey, fingerprint

TEXT = key_text(1)


def test_the_example_of_rfc_4568() -> None:
    read = parse_key("inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4", SUITE)
    assert read.key_and_salt == b"YS___semctl () {\t220;}\n}\nunles"
    assert read.lifetime == 1 << 20
    assert read.mki == b"\0\0\0\1"


@pytest.mark.parametrize(
    ("fields", "lifetime", "mki"),
    [
        ("", None, b""),
        ("|2^48", LIFETIME_MAX, b""),
        ("|2^0", 1, b""),
        ("|281474976710656", LIFETIME_MAX, b""),
        ("|1000|255:1", 1000, b"\xff"),
        ("|65535:2", None, b"\xff\xff"),
        ("|0:2", None, b"\0\0"),
        (f"|{(1 << 1024) - 1}:128", None, b"\xff" * 128),
    ],
)
def test_lifetime_and_mki(fields: str, lifetime: int | None, mki: bytes) -> None:
    read = parse_key(TEXT + fields, SUITE)
    assert (read.lifetime, read.mki) == (lifetime, mki)
    assert parse_key(format_key(read), SUITE) == read


@pytest.mark.parametrize("suite", relay_suites())
def test_a_generated_key_fits_its_suite(suite: str) -> None:
    fresh = generate_key(suite)
    assert parse_key(format_key(fresh), suite) == fresh
    assert fresh != generate_key(suite)
    assert "NULL" not in suite


def test_padding_may_be_left_out_but_not_be_wrong() -> None:
    suite = "AES_256_CM_HMAC_SHA1_80"
    padded = key_text(1, suite)
    assert padded.endswith("==")
    assert parse_key(padded.rstrip("="), suite) == parse_key(padded, suite) == key(1, suite)
    for wrong in (padded[:-1], padded + "=", padded.rstrip("=")[:-1]):
        with pytest.raises(KeyFormatError):
            parse_key(wrong, suite)


BROKEN = [
    ("", "inline:"),
    (TEXT.removeprefix("inline:"), "inline:"),
    ("outline" + TEXT.removeprefix("inline"), "inline:"),
    ("inline:", "0 octets"),
    (key_text(1, "AEAD_AES_128_GCM"), "28 octets where"),
    (key_text(1, "AES_256_CM_HMAC_SHA1_80"), "46 octets where"),
    (TEXT[:-1] + "!", "not base64"),
    (TEXT[:10] + " " + TEXT[11:], "not base64"),
    (TEXT[:-1] + "\n", "character"),
    (TEXT[:-1] + "\0", "character"),
    (TEXT[:-1] + "\u00e9", "character"),
    (TEXT.replace("+", "-").replace("/", "_") + "_", "not base64"),
    (TEXT + "|", "lifetime"),
    (TEXT + "|0", "lifetime outside"),
    (TEXT + "|2^49", "lifetime outside"),
    (TEXT + "|2^99999999999999", "lifetime outside"),
    (TEXT + "|" + "9" * 15, "lifetime outside"),
    (TEXT + "|" + "9" * 16, "lifetime"),
    (TEXT + "|2^", "lifetime"),
    (TEXT + "|007", "lifetime"),
    (TEXT + "|-1", "lifetime"),
    (TEXT + "|1:0", "MKI length outside"),
    (TEXT + "|1:129", "MKI length outside"),
    (TEXT + "|1:9999", "MKI length"),
    (TEXT + "|256:1", "does not fit"),
    (TEXT + "|:4", "MKI"),
    (TEXT + "|x:4", "MKI"),
    (TEXT + "|1:4|2^20", "before its lifetime"),
    (TEXT + "|2^20|2^20", "second field"),
    (TEXT + "|2^20|1:4|1:4", "more than two"),
    (TEXT + "|2^20" * 1000, "longer than"),
    ("inline:" + "A" * KEY_TEXT_MAX, "longer than"),
    ("inline:" + "A" * 10_000_000, "longer than"),
]


@pytest.mark.parametrize(("text", "reason"), BROKEN)
def test_a_broken_key_is_refused_and_never_shown(text: str, reason: str) -> None:
    start = time.monotonic()
    with pytest.raises(KeyFormatError, match=reason) as caught:
        parse_key(text, SUITE)
    assert time.monotonic() - start < 0.1  # ten times what it may take
    assert caught.value.__cause__ is None
    shown = str(caught.value) + repr(caught.value)
    body = text.removeprefix("inline:")
    assert not any(body[at : at + 8] in shown for at in range(min(len(body), 64) - 7))


@given(st.text(max_size=80) | st.builds(lambda tail: TEXT + "|" + tail, st.text("0123456789:^|2", max_size=12)))
@example(TEXT)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = parse_key(text, SUITE)
    except KeyFormatError:
        return
    assert len(read.key_and_salt) == 30
    assert parse_key(format_key(read), SUITE) == read


@given(st.binary(min_size=30, max_size=30), st.integers(0, 39), st.integers(0, 5))
def test_a_flipped_bit_never_reads_as_the_same_key(raw: bytes, position: int, bit: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = base64.b64encode(raw).decode()
    other = text[:position] + alphabet[alphabet.index(text[position]) ^ 1 << bit] + text[position + 1 :]
    assert parse_key("inline:" + other, SUITE).key_and_salt != raw


def test_fingerprints_tell_keys_apart_and_nothing_else() -> None:
    one = MasterKey(octets(1))
    assert fingerprint(one) == fingerprint(MasterKey(octets(1), b"\1", 5))
    assert fingerprint(one) != fingerprint(key(2))
    assert fingerprint(one, b"a secret") != fingerprint(one, b"another")
    assert len(fingerprint(one)) == 16


def test_same_keys_looks_at_keys_order_and_mki() -> None:
    assert same_keys([key(1), key(2)], [key(1), key(2)])
    assert not same_keys([key(1), key(2)], [key(2), key(1)])
    assert not same_keys([key(1)], [key(1), key(2)])
    assert not same_keys([MasterKey(octets(1), b"\1")], [MasterKey(octets(1), b"\2")])


def test_several_keys_need_distinct_mkis_of_one_length() -> None:
    def keys(*pairs: tuple[int, bytes]) -> list[MasterKey]:
        return [MasterKey(octets(number), mki) for number, mki in pairs]

    assert keys_fault(keys((1, b"\1"), (2, b"\2")), SUITE) == ""
    assert "each needs an MKI" in keys_fault(keys((1, b""), (2, b"\2")), SUITE)
    assert "different lengths" in keys_fault(keys((1, b"\1"), (2, b"\0\2")), SUITE)
    assert "one MKI twice" in keys_fault(keys((1, b"\1"), (2, b"\1")), SUITE)
    assert "one key twice" in keys_fault(keys((1, b"\1"), (1, b"\2")), SUITE)
    assert "more than" in keys_fault(keys(*((number, bytes([number])) for number in range(9))), SUITE)
    assert "octets" in keys_fault([key(1, "AEAD_AES_128_GCM")], SUITE)


def test_suites_are_all_but_the_null_ones() -> None:
    assert set(relay_suites()) == {name for name in SUITES if not name.startswith("NULL")}
