"""Files of keys: every form that is taken, and that what is not taken is told without being shown."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.capture.sip_text import ALICE, SUITE, crypto, octets, sdp

from srtpgw.capture.calls import KnownKey
from srtpgw.capture.keyfile import FAULTS_MAX, LINE_MAX, KeyFile, read_keys
from srtpgw.capture.report import Address
from srtpgw.sdp.inline import LENGTHS, suites_of_length

ANY = suites_of_length(30)
KEY, HEX = octets(1), octets(1).hex()
TEXT = base64.b64encode(KEY).decode()
RANDOM, SECRET = "ab" * 32, "cd" * 48


def only(text: str) -> KnownKey:
    """The key of a file that holds one and no fault."""
    file = read_keys(text, "k.txt")
    assert file.faults == []
    (key,) = file.keys
    return key


@pytest.mark.parametrize(
    ("line", "suites", "mki", "ssrc"),
    [
        (HEX, ANY, b"", None),
        (HEX.upper(), ANY, b"", None),
        ("0x" + HEX, ANY, b"", None),
        (TEXT, ANY, b"", None),
        (f"{HEX[:32]}:{HEX[32:]}", ANY, b"", None),
        (f"inline:{TEXT}", ANY, b"", None),
        (f"inline:{TEXT}|2^20|1:4", ANY, b"\0\0\0\1", None),
        (f"{SUITE} {HEX}", (SUITE,), b"", None),
        (f"{SUITE}\t{TEXT}", (SUITE,), b"", None),
        (f"NULL_HMAC_SHA1_80 inline:{TEXT}", ("NULL_HMAC_SHA1_80",), b"", None),
        (f"{HEX} ssrc=0x1234ABCD mki=00ff", ANY, b"\0\xff", 0x1234ABCD),
        (f"MKI=1:4 SSRC=007 {SUITE} {HEX}  # comment", (SUITE,), b"\0\0\0\1", 7),
        (f"  a=crypto:1 {SUITE} inline:{TEXT}", (SUITE,), b"", None),
        (f"crypto:1 {SUITE} inline:{TEXT}|2^20", (SUITE,), b"", None),
        (f"1 {SUITE} inline:{TEXT} # comment", (SUITE,), b"", None),
    ],
)
def test_every_form_of_a_line(line: str, suites: tuple[str, ...], mki: bytes, ssrc: int | None) -> None:
    key = only(f"# a comment\n\n; another\n{line}\n// one more\n")
    assert (key.key_and_salt, key.suites, key.mki, key.ssrc) == (KEY, suites, mki, ssrc)
    assert key.source == "k.txt line 4"
    assert key.declared == (len(suites) == 1)


@pytest.mark.parametrize("suite", LENGTHS)
def test_every_suite_in_every_form(suite: str) -> None:
    lengths = LENGTHS[suite]
    key = octets(7, sum(lengths))
    split = f"{key[: lengths.key].hex()}:{key[lengths.key :].hex()}"
    for text in (key.hex(), base64.b64encode(key).decode(), base64.b64encode(key).decode().rstrip("="), split):
        assert only(f"{suite} {text}").key_and_salt == key
        bare = only(text)
        assert bare.key_and_salt == key
        assert suite in bare.suites
        assert bare.suites == suites_of_length(sum(lengths))


def test_a_whole_description() -> None:
    lines = crypto(1), "m=video 4010 RTP/SAVP 96", "c=IN IP4 192.0.2.77", crypto(2)
    file = read_keys(sdp(ALICE, 4000, *lines), "offer.sdp")
    assert file.faults == []
    assert [(key.key_and_salt, key.senders) for key in file.keys] == [
        (octets(1), (Address(ALICE, 4000),)),
        (octets(2), (Address("192.0.2.77", 4010),)),
    ]
    assert file.keys[1].source == "offer.sdp line 11"


def test_lines_of_a_tls_key_log_are_handed_on() -> None:
    lines = [f"CLIENT_RANDOM {RANDOM} {SECRET}", f"CLIENT_TRAFFIC_SECRET_0 {RANDOM} {SECRET[:64]}"]
    file = read_keys("\n".join([lines[0], HEX, lines[1]]), "k")
    assert file.tls_lines == lines
    assert [key.key_and_salt for key in file.keys] == [KEY]
    assert SECRET[:16] not in repr(file)


def test_the_same_key_twice_counts_once() -> None:
    file = read_keys(f"{HEX}\n{TEXT}\n{SUITE} {HEX}\n{HEX} ssrc=1\n", "k")
    assert [key.source for key in file.keys] == ["k line 1", "k line 3", "k line 4"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(encoding: str, ending: str) -> None:
    file = read_keys(f"# \u00fc{ending}{HEX}{ending}".encode(encoding), "k")
    assert [(key.key_and_salt, key.source) for key in file.keys] == [(KEY, "k line 2")]


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "suites", "mki", "ssrc"),
    [
        ({"key": HEX}, ANY, b"", None),
        ({"key_and_salt": TEXT, "suite": SUITE}, (SUITE,), b"", None),
        ({"key": HEX[:32], "salt": HEX[32:], "mki": "0102", "ssrc": 5}, ANY, b"\1\2", 5),
        ({"key": base64.b64encode(KEY[:16]).decode(), "salt": base64.b64encode(KEY[16:]).decode()}, ANY, b"", None),
        ({"key": f"{HEX[:32]}:{HEX[32:]}", "ssrc": "0xff", "suite": None}, ANY, b"", 255),
        ({"inline": f"inline:{TEXT}|2^20|1:1", "suite": SUITE, "other": [1]}, (SUITE,), b"\1", None),
    ],
)
def test_json_entries(entry: dict[str, object], suites: tuple[str, ...], mki: bytes, ssrc: int | None) -> None:
    for value in ([entry], entry, {"keys": [entry]}):
        key = only("\ufeff \n" + json.dumps(value))
        assert (key.key_and_salt, key.suites, key.mki, key.ssrc) == (KEY, suites, mki, ssrc)
        assert key.source == "k.txt entry 1"


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("[1]", "entry 1", "not an object"),
        ("[{}]", "entry 1", "neither"),
        (f'[{{"key": "{HEX}"}}, {{"key": 5}}]', "entry 2", "not text"),
        (f'[{{"key": "{HEX}", "suite": "X"}}]', "entry 1", "suite"),
        (f'[{{"key": "{HEX}", "suite": "AEAD_AES_128_GCM"}}]', "entry 1", "30 octets where"),
        (f'[{{"key": "{HEX}", "salt": "00"}}]', "entry 1", "31 octets"),
        (f'[{{"key": "{HEX}", "ssrc": 4294967296}}]', "entry 1", "SSRC"),
        (f'[{{"key": "{HEX}", "ssrc": true}}]', "entry 1", "not text"),
        ('[\n{"key": }]', "line 2", "not JSON"),
        ("[" * 100_000, "file", "nesting"),
        ("[" + "9" * 10_000 + "]", "file", "number"),
    ],
)
def test_broken_json(text: str, where: str, says: str) -> None:
    file = read_keys(text, "k")
    assert (file.faults[0].where, says in file.faults[0].text) == (where, True)


# --- faults ----------------------------------------------------------------------------------------------------------


BROKEN = [
    (HEX[:-2], "29 octets"),
    (HEX[:-1], "odd number"),
    (TEXT[:-1] + "!", "not base64"),
    (f"{SUITE} {octets(1, 46).hex()}", "46 octets where"),
    (f"AES_CM_128 {HEX}", "known suite"),
    (f"{SUITE} {HEX} {HEX}", "not a key"),
    ("ssrc=1", "not a key"),
    (f"{HEX[:32]}:{HEX[34:]}", "do not go together"),
    (f"{HEX[:32]}:{TEXT}", "in hex"),
    (f"AEAD_AES_128_GCM {HEX[:32]}:{HEX[32:]}", "do not go together"),
    (f"inline:{TEXT}|x", "lifetime"),
    (f"{HEX} ssrc=x", "SSRC"),
    (f"{HEX} ssrc=0x123456789", "SSRC"),
    (f"{HEX} ssrc=4294967296", "SSRC"),
    (f"{HEX} mki=1", "MKI"),
    (f"{HEX} mki={'00' * 129}", "MKI"),
    (f"{HEX} mki=9:x", "MKI"),
    (f"a=crypto:1 {SUITE} inline:{TEXT[4:]}", "octets where"),
    (f"a=crypto:1 AES inline:{TEXT}", "suite"),
    ("x" * (LINE_MAX + 1), "longer than"),
]


@pytest.mark.parametrize(("line", "says"), BROKEN)
def test_a_broken_line_is_told_by_number_and_never_shown(line: str, says: str) -> None:
    file = read_keys(f"# keys\n{line}\n{octets(9).hex()}\n", "k")
    (fault,) = file.faults
    assert fault.where == "line 2"
    assert says in fault.text
    assert [key.key_and_salt for key in file.keys] == [octets(9)]
    shown = repr(file)
    assert not any(part[at : at + 8] in shown for part in (HEX, TEXT) for at in range(len(part) - 7))


def test_faults_are_counted_beyond_those_that_are_listed() -> None:
    file = read_keys("broken\n" * 1000, "k")
    assert (len(file.faults), file.further_faults) == (FAULTS_MAX, 1000 - FAULTS_MAX)


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("FILE_MAX", 1 << 20), ("JSON_MAX", 1 << 10), ("KEYS_MAX", 2)):
        monkeypatch.setattr(f"srtpgw.capture.keyfile.{name}", most)
    assert "longer than 1 MiB" in read_keys("#" * (1 << 20) + "#", "k").faults[0].text
    assert "JSON of more" in read_keys("[" + " " * 1024 + "]", "k").faults[0].text
    for text in ("\n".join(octets(number).hex() for number in range(9)), json.dumps([{"key": HEX}] + [
        {"key": octets(number).hex()} for number in range(2, 9)])):  # fmt: skip
        file = read_keys(text, "k")
        assert len(file.keys) == 2
        assert [fault.text for fault in file.faults] == ["comes after 2 keys, which is the limit"]


@given(
    st.binary(max_size=200)
    | st.text(max_size=200)
    | st.lists(
        st.sampled_from([HEX, TEXT, SUITE, " ", "\n", ":", "ssrc=", "mki=", "a=crypto:", "1", "inline:", "|", "[", "{"])
    ).map("".join)
)
def test_anything_is_read_or_told(content: str | bytes) -> None:
    file = read_keys(content, "k")
    assert isinstance(file, KeyFile)
    assert all(suite in LENGTHS for key in file.keys for suite in key.suites)
