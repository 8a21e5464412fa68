"""The report as JSON: names, times, numbers that survive."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from unit.capture.facts import CAPTURE, PLAIN, START, facts, keyless, report, savp
from unit.capture.test_text import HOSTILE, hostile

from srtpgw.capture.report import Report, StreamReport, iso_time, to_json


def round_trip(made: Report, headline: str = "") -> Any:
    return json.loads(json.dumps(to_json(made, headline), allow_nan=False))


def test_what_a_script_decides_by_is_on_top() -> None:
    document = round_trip(report(facts(), keyless(plaintext=PLAIN), expect=("srtp",)), "Said.")
    assert list(document)[:6] == ["format", "outcome", "exit_status", "verdict", "headline", "verdicts"]
    assert document["format"] == "srtpgw-verify-1"
    assert (document["outcome"], document["exit_status"], document["verdict"]) == ("fail", 1, "PLAINTEXT")
    assert document["headline"] == "Said."
    assert document["verdicts"] == {
        "PLAINTEXT": 1, "INCONCLUSIVE": 0, "CONSISTENT WITH ENCRYPTION": 0, "AUTHENTICATED": 1,
    }  # fmt: skip
    assert document["expectations"][0]["streams"] == [1, 2]


def test_a_stream_has_every_field() -> None:
    (stream,) = round_trip(report(facts()))["streams"]
    assert {field.name for field in fields(StreamReport)} <= set(stream)
    assert stream["ssrc"] == "0x1234abcd"
    assert stream["source"] == {"host": "192.0.2.1", "port": 4000}
    assert stream["authenticated"] == {"count": 1500, "of": 1500, "percent": 100.0}
    assert stream["first_ns"] == START
    assert stream["first"] == "2023-11-14T22:13:20.000000001Z"
    assert stream["verdict"] == "AUTHENTICATED"
    assert len(stream["histogram"]) == 256
    assert stream["timeline"][1]["start_ns"] == START + 10**9
    assert stream["key_uses"][0]["time"] == stream["first"]
    assert stream["declared"][0]["profile"] == savp().profile


def test_nothing_known_is_null() -> None:
    document = round_trip(report(keyless(), capture=replace(CAPTURE, first_ns=None, last_ns=None)))
    assert document["outcome"] is None
    assert document["capture"]["first"] is None
    assert document["streams"][0]["suite"] is None
    assert document["streams"][0]["encrypted"]["percent"] is None


def test_hostile_texts_survive_and_stay_ascii() -> None:
    written = json.dumps(to_json(hostile()), allow_nan=False)
    assert written.isascii()
    assert written.isprintable()
    document = json.loads(written)
    assert document["capture"]["name"] == HOSTILE
    assert document["streams"][0]["plaintext"]["score"] is None


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        ((1 << 63) - 1, "2262-04-11T23:47:16.854775807Z"),
        (-(1 << 63), "1677-09-21T00:12:43.145224192Z"),
    ],
)
def test_times_at_their_limits(ns: int, text: str) -> None:
    assert iso_time(ns) == text
