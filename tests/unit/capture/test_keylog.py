"""Key logs: which lines are taken, what becomes of the others, and that nothing of them is shown."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srtpgw.capture.keylog import (
    CLIENT_TRAFFIC,
    EXPORTER,
    LINE_MAX,
    MASTER_SECRET,
    SECRETS_BLOCK_TYPE,
    SERVER_TRAFFIC,
    KeyLog,
)

RANDOM, OTHER = bytes(range(32)), bytes(range(100, 132))
MASTER = bytes(range(48))


def line(label: str, client_random: bytes = RANDOM, secret: bytes = MASTER) -> bytes:
    return f"{label} {client_random.hex()} {secret.hex()}\n".encode()


def test_secrets_are_found_by_label_and_random() -> None:
    keylog = KeyLog()
    text = line(MASTER_SECRET) + line(CLIENT_TRAFFIC, OTHER, bytes(32)) + line(SERVER_TRAFFIC, OTHER)
    assert keylog.add(b"# made by a program\r\n\r\n" + text.replace(b"\n", b"\r\n").upper()) == 3
    assert keylog.find(MASTER_SECRET, RANDOM) == MASTER
    assert keylog.find(CLIENT_TRAFFIC, OTHER) == bytes(32)
    assert keylog.find(CLIENT_TRAFFIC, RANDOM) is None
    assert keylog.find(EXPORTER, OTHER) is None
    assert keylog.knows(OTHER)
    assert not keylog.knows(bytes(32))
    assert len(keylog) == keylog.counters.secrets == 3
    assert keylog.counters.broken == 0


@pytest.mark.parametrize(
    "text",
    [
        b"CLIENT_RANDOM",
        b"CLIENT_RANDOM " + RANDOM.hex().encode(),
        line(MASTER_SECRET).rstrip() + b" 00",
        line(MASTER_SECRET, RANDOM[1:]),
        line(MASTER_SECRET, RANDOM, MASTER[1:]),
        line(MASTER_SECRET, RANDOM, bytes(32)),
        line(CLIENT_TRAFFIC, RANDOM, bytes(33)),
        line(MASTER_SECRET)[:-2],
        line(MASTER_SECRET).replace(b"2f", b"2g"),
        line(MASTER_SECRET).replace(b"2f", b"\xef\xbc\x92f"),
        line(MASTER_SECRET, RANDOM, bytes(LINE_MAX)),
        line(MASTER_SECRET).rstrip() + b" " * LINE_MAX + b"\t",
        b"\xff\xfe\x00",
    ],
)
def test_a_broken_line_is_counted_and_the_next_one_read(text: bytes) -> None:
    keylog = KeyLog()
    keylog.add(b"# first\n" + text.rstrip(b"\n") + b"\n" + line(MASTER_SECRET, OTHER))
    assert (keylog.counters.broken, keylog.counters.first_broken) == (1, 2)
    assert len(keylog) == 1
    assert not keylog.knows(RANDOM)


def test_what_is_not_of_use_is_counted() -> None:
    keylog = KeyLog(secrets_max=2)
    keylog.add(line("CLIENT_EARLY_TRAFFIC_SECRET") + line("RSA", RANDOM[:8]) + line(MASTER_SECRET))
    keylog.add(line(MASTER_SECRET) + line(MASTER_SECRET, RANDOM, MASTER[::-1]) + line(EXPORTER))
    keylog.add(line(MASTER_SECRET, OTHER))
    counters = keylog.counters
    assert (counters.ignored, counters.repeated, counters.conflicting, counters.dropped) == (2, 1, 1, 1)
    assert keylog.find(MASTER_SECRET, RANDOM) == MASTER
    assert len(keylog) == 2


def test_secrets_blocks_of_pcapng() -> None:
    keylog = KeyLog()
    assert keylog.add_block(SECRETS_BLOCK_TYPE, line(MASTER_SECRET))
    assert not keylog.add_block(0x57474B4C, line(MASTER_SECRET, OTHER))  # WireGuard's
    assert keylog.knows(RANDOM)
    assert not keylog.knows(OTHER)


def test_the_lines_of_some_sessions() -> None:
    keylog = KeyLog()
    keylog.add(line(MASTER_SECRET) + line(CLIENT_TRAFFIC, OTHER) + line(SERVER_TRAFFIC, OTHER) + line(EXPORTER))
    assert keylog.lines([OTHER, bytes(32), OTHER]) == line(CLIENT_TRAFFIC, OTHER) + line(SERVER_TRAFFIC, OTHER)
    assert keylog.lines([RANDOM]) == line(MASTER_SECRET) + line(EXPORTER)


def test_nothing_secret_is_shown_or_pickled() -> None:
    keylog = KeyLog()
    keylog.add(line(MASTER_SECRET) + line(MASTER_SECRET, RANDOM, MASTER[1:]))
    assert repr(keylog) == "KeyLog(<1 secrets>)"
    assert MASTER.hex()[:8] not in repr(keylog.counters)
    with pytest.raises(TypeError):
        pickle.dumps(keylog)


@given(st.binary(max_size=300))
def test_any_octets_are_taken(text: bytes) -> None:
    keylog = KeyLog()
    keylog.add(text)
    keylog.add(line(MASTER_SECRET))
    assert keylog.find(MASTER_SECRET, RANDOM) == MASTER
