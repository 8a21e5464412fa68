"""D4 and D5 files: what is kept, what is set, and files that are not what they should be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srtpgw.control.model import PolicyNumber
from srtpgw.control.terminal_files import (
    FILE_MAX,
    FILES,
    LINES_MAX,
    Security,
    read_terminal_file,
    security_called_for,
)
from srtpgw.errors import ConfigError

NAME = "d42x02-config.txt"
VALUES: tuple[Security, ...] = ("enabled", "disabled")


def test_the_files_of_the_specification() -> None:
    assert list(FILES) == ["d42x02-config.txt", "d44x01-config.txt"]


# Policy, media encryption of extensions: what the files are to say.
@pytest.mark.parametrize(
    ("policy", "flag", "expected"),
    [
        (None, False, "disabled"), (None, True, "enabled"), (1, False, "enabled"), (1, True, "enabled"),
        (2, False, "enabled"), (2, True, "enabled"), (3, False, "enabled"), (3, True, "enabled"),
    ],
)  # fmt: skip
def test_what_a_policy_calls_for(policy: PolicyNumber | None, flag: bool, expected: Security) -> None:
    assert security_called_for(policy, flag) == expected


def written(octets: bytes, value: Security = "enabled") -> bytes:
    return read_terminal_file(NAME, octets).with_security(value).octets


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"SECURITY = disabled\n", b"SECURITY = enabled\n"),
        (b"SECURITY = enabled\n", b"SECURITY = enabled\n"),
        (b"SECURITY=disabled", b"SECURITY=enabled"),
        (b" \tsecurity\t=  Disabled \t\r\n", b" \tsecurity\t=  enabled \t\r\n"),
        (b"SECURITY = ENABLED\n", b"SECURITY = enabled\n"),
        (b"SECURITY = disabled # why\r\n", b"SECURITY = enabled # why\r\n"),
        (b"SECURITY = disabled;why\n", b"SECURITY = enabled;why\n"),
        (b"SECURITY = not at all\n", b"SECURITY = enabled\n"),
        (b"SECURITY =\n", b"SECURITY =enabled\n"),
        (b"SECURITY = # unset\n", b"SECURITY = enabled # unset\n"),
        (b"\xef\xbb\xbfSECURITY = disabled\n", b"\xef\xbb\xbfSECURITY = enabled\n"),
        (b"a = 1\rSECURITY = off\rb = 2\r", b"a = 1\rSECURITY = enabled\rb = 2\r"),
        # every line with the key
        (b"SECURITY = disabled\nx\nSECURITY = disabled\n", b"SECURITY = enabled\nx\nSECURITY = enabled\n"),
        # none
        (b"", b"SECURITY = enabled\n"),
        (b"a = 1\n", b"a = 1\nSECURITY = enabled\n"),
        (b"a = 1", b"a = 1\nSECURITY = enabled\n"),
        (b"a = 1\r\nb = 2\r\n", b"a = 1\r\nb = 2\r\nSECURITY = enabled\r\n"),
        (b"a = 1\r\nb = 2", b"a = 1\r\nb = 2\r\nSECURITY = enabled\r\n"),
        (b"\r\n", b"\r\nSECURITY = enabled\r\n"),
        # not the key
        (b"# SECURITY = disabled\n", b"# SECURITY = disabled\nSECURITY = enabled\n"),
        (b"SECURITY_MODE = disabled\n", b"SECURITY_MODE = disabled\nSECURITY = enabled\n"),
        (b"MY SECURITY = disabled\n", b"MY SECURITY = disabled\nSECURITY = enabled\n"),
        (b"SECURITY disabled\n", b"SECURITY disabled\nSECURITY = enabled\n"),
        (b"SECURITY\n = disabled\n", b"SECURITY\n = disabled\nSECURITY = enabled\n"),
        (b"x\x0bSECURITY = disabled\n", b"x\x0bSECURITY = disabled\nSECURITY = enabled\n"),
        (b"caf\xe9 \x85 \xff\n", b"caf\xe9 \x85 \xff\nSECURITY = enabled\n"),
    ],
)
def test_only_the_value_is_replaced(before: bytes, after: bytes) -> None:
    assert written(before) == after


@pytest.mark.parametrize(
    ("octets", "security"),
    [
        (b"SECURITY = enabled\n", "enabled"),
        (b"a\r\nsecurity=Disabled ; no\r\n", "disabled"),
        (b"SECURITY = enabled\nSECURITY = ENABLED\n", "enabled"),
        (b"# SECURITY = enabled\n", None),
        (b"", None),
    ],
)
def test_reading(octets: bytes, security: Security | None) -> None:
    assert read_terminal_file(NAME, octets).security() == security


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"SECURITY = on\n", "is neither enabled nor disabled"),
        (b"SECURITY =\n", "is neither enabled nor disabled"),
        (b"SECURITY = enabled secret\n", "is neither enabled nor disabled"),
        (b"SECURITY = enabled\nSECURITY = on\n", "is neither enabled nor disabled"),
        (b"SECURITY = enabled\nSECURITY = disabled\n", "is both enabled and disabled"),
    ],
)
def test_a_file_that_says_nothing_clear(octets: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_terminal_file(NAME, octets).security()
    assert str(caught.value) == f"{NAME}: SECURITY: {reason}"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"#" * (FILE_MAX + 1), "is larger than 262144 octets"),
        (b"\n" * (LINES_MAX + 1), "has more than 16384 lines"),
        ("SECURITY = enabled\n".encode("utf-16"), "is not text in an encoding with ASCII in it: save it as UTF-8"),
        (b"SECURITY = enabled\0\n", "is not text in an encoding with ASCII in it: save it as UTF-8"),
    ],
)
def test_what_is_no_terminal_file(octets: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_terminal_file(NAME, octets)
    assert str(caught.value) == f"{NAME}: {reason}"


def test_the_largest_files_are_taken() -> None:
    assert len(read_terminal_file(NAME, b"\n" * LINES_MAX).lines) == LINES_MAX
    blanks = b"SECURITY =" + b" " * (FILE_MAX - 11) + b"x"
    assert written(blanks) == blanks[:-1] + b"enabled"


def test_no_repr_shows_what_is_in_a_file() -> None:
    assert repr(read_terminal_file(NAME, b"PASSWORD = 1234\n")) == "TerminalFile('d42x02-config.txt', ...)"


# Files of pieces that matter, and of anything.
PIECES = st.sampled_from([
    b"SECURITY", b"security", b" ", b"\t", b"=", b"enabled", b"disabled", b"\n", b"\r\n", b"\r", b"#", b";", b"x",
    b"\xef\xbb\xbf", b"\xe9", b"a = 1", b"SECURITY = enabled\r\n", b"\x0b", b"\x1c", b"\x85",
])  # fmt: skip
OCTETS = st.lists(PIECES, max_size=40).map(b"".join) | st.binary(max_size=200).map(
    lambda some: some.replace(b"\0", b"")
)


def lines_with_key(lines: tuple[bytes, ...]) -> list[int]:
    pattern = rb"(\xef\xbb\xbf)?[ \t]*SECURITY[ \t]*=[^\r\n]*[\r\n]*"
    return [index for index, line in enumerate(lines) if re.fullmatch(pattern, line, re.IGNORECASE)]


@given(octets=OCTETS, value=st.sampled_from(VALUES))
def test_all_else_is_kept_to_the_octet(octets: bytes, value: Security) -> None:
    before = read_terminal_file(NAME, octets)
    assert before.octets == octets
    after = before.with_security(value)
    again = read_terminal_file(NAME, after.octets)
    assert again == after
    assert again.security() == value
    assert again.with_security(value) == again
    keyed = lines_with_key(before.lines)
    assert lines_with_key(after.lines) == (keyed or [len(before.lines)])
    if not keyed:
        assert after.octets.startswith(octets)
        assert b"".join(after.lines[:-1]).rstrip(b"\r\n") == octets.rstrip(b"\r\n")
    else:
        assert len(after.lines) == len(before.lines)
    for index, line in enumerate(before.lines[: len(before.lines) if keyed else -1]):
        if index in keyed:
            was, now = line.partition(b"="), after.lines[index].partition(b"=")
            assert now[0] == was[0]
            assert now[2].strip().startswith(value.encode())
            assert now[2].endswith(re.sub(rb"^[^#;\r\n]*", b"", was[2]))  # the comment and the end of the line
        else:
            assert after.lines[index] == line


@given(octets=OCTETS)
def test_turning_it_on_and_off_again_changes_nothing_else(octets: bytes) -> None:
    off = written(octets, "disabled")
    assert written(written(off, "enabled"), "disabled") == off
