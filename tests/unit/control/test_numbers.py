"""Directory numbers as they are typed and told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srtpgw.control.numbers import (
    LINE_MAX,
    NUMBERS_MAX,
    SPANS_MAX,
    chosen,
    lines_of,
    listed,
    order,
    read_number,
    read_numbers,
    read_numbers_or_all,
    spans,
)

NUMBERS = st.text("0123456789", min_size=1, max_size=16)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("12000", ("12000",)),
        ("100,200", ("100", "200")),
        ("200, 100", ("100", "200")),
        ("12000..12003", ("12000", "12001", "12002", "12003")),
        ("5,3..4,4", ("3", "4", "5")),
        ("0098..0101", ("0098", "0099", "0100", "0101")),
        ("7..7", ("7",)),
        ("100,99", ("99", "100")),
        ("100,0100", ("0100", "100")),
        ("9" * 16, ("9" * 16,)),
    ],
)
def test_what_is_read(text: str, numbers: tuple[str, ...]) -> None:
    assert read_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not a directory number"),
        ("12a", "'12a'"),
        ("100,,200", "not a directory number"),
        ("100,", "not a directory number"),
        ("-1", "not a directory number"),
        ("+100", "not a directory number"),
        ("1 2", "not a directory number"),
        ("1" * 17, "1 to 16 digits"),
        ("\u0661\u0662", "not a directory number"),  # digits of another script
        ("\u00b2", "not a directory number"),
        ("100..", "not a directory number"),
        ("..100", "not a directory number"),
        ("1..2..3", "not a directory number"),
        ("1...3", "not a directory number"),
        ("99..100", "same number of digits"),
        ("200..100", "from the lower number"),
        ("101..100", "from the lower number"),
        ("000000..100000", "at most 100,000 numbers"),
        ("0000000000000000..9999999999999999", "at most 100,000 numbers"),
        ("100000..199999,200000", "more than 100,000 numbers"),
        ("all", "not a directory number"),
        ("all,100", "not a directory number"),
    ],
)
def test_what_is_no_number(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_numbers(text)


def test_a_fault_is_short_and_on_one_line() -> None:
    with pytest.raises(ValueError, match="not a directory number") as caught:
        read_numbers("\n\x1b[2J" + "x" * 100_000)
    assert len(str(caught.value)) < 120
    assert str(caught.value).isprintable()


def test_as_many_as_one_command_takes() -> None:
    assert len(read_numbers("100000..199999")) == NUMBERS_MAX


def test_all() -> None:
    assert read_numbers_or_all("all") == read_numbers_or_all("ALL") == "all"
    assert read_numbers_or_all("1,2") == ("1", "2")
    assert chosen({"100": 1, "99": 2}, "all") == (("99", "100"), ())
    assert chosen({"100": 1, "99": 2}, ("99", "101")) == (("99",), ("101",))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((), ()),
        (("1",), ("1",)),
        (("12", "11"), ("11", "12")),
        (("11", "12", "13", "15"), ("11..13", "15")),
        (("99", "100", "101"), ("99", "100", "101")),
        (("098", "099", "100", "99", "98", "97"), ("97..99", "098..100")),
        (("9" * 16, "9" * 15 + "8"), ("9" * 15 + "8", "9" * 16)),
    ],
)
def test_spans(numbers: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert spans(numbers) == words


@given(st.sets(NUMBERS | st.integers(0, 300).map(str), max_size=60))
def test_spans_can_be_typed_again(numbers: set[str]) -> None:
    ordered = tuple(sorted(numbers, key=order))
    assert "".join(spans(numbers)) == "" if not numbers else read_numbers(",".join(spans(numbers))) == ordered
    assert all(len(line) <= LINE_MAX for line in lines_of(numbers))
    if numbers:
        assert read_numbers(",".join(lines_of(numbers))) == ordered


def test_a_sentence_is_cut_and_lines_are_not() -> None:
    odd = [str(number) for number in range(1001, 1001 + 2 * (SPANS_MAX + 5), 2)]
    assert listed(odd).endswith(", and 5 more")
    assert listed(odd).count(",") == SPANS_MAX
    assert listed(odd[:SPANS_MAX]).count(",") == SPANS_MAX - 1
    assert len(lines_of(odd)) > 1
    assert ", ".join(lines_of(odd)).split(", ") == odd


@given(st.text(max_size=40))
def test_any_text_is_a_number_or_a_fault(text: str) -> None:
    try:
        assert read_number(text).isascii()
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - both ends of it are asserted
