"""The terminal types list: the types that the specification names, patterns, and names made to mislead."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srtpgw.control.model import TerminalClass
from srtpgw.control.terminals import (
    DEFAULT_TYPES_TEXT,
    NAME_MAX,
    PATTERN_MAX,
    TYPE_CLASSES,
    TYPES_MAX,
    TerminalType,
    TypeClass,
    classify,
    format_types,
    listed_class,
    parse_types,
)

SHIPPED = parse_types(DEFAULT_TYPES_TEXT)

# Section 1 of the specification: secure terminals of H.323 and SIP, insecure terminals, everything else.
NAMED: list[tuple[str, TypeClass]] = [
    ("DBC42202", "secure"),
    ("DBC42302 R1A", "secure"),
    ("Vendor DBC42502/3.0", "secure"),
    ("DBC44601", "secure"),
    ("dbc44601/1", "secure"),
    ("Mitel 6920w/6.3.0.1020", "secure"),
    ("Mitel-6920-SIP/6.4.0.140", "secure"),
    ("Mitel 6869i/5.0.0.1008", "secure"),
    ("Aastra 6867i/4.5.0.41", "secure"),
    ("Aastra 6731i/3.2.2.1136", "secure"),
    ("Mitel 6739i/3.3.1.8167", "secure"),
    ("DBC42201", "insecure"),
    ("DBC42501 R2", "insecure"),
    ("", "by-logon"),
    ("baresip v1.0.0", "by-logon"),
    ("Aastra 51i/2.5.1.41", "by-logon"),
    ("Mitel-3300-ICP 8.0.9.18", "by-logon"),
    ("Mitel MiCollab 9.6800", "by-logon"),
    ("DBC42301", "by-logon"),
    ("DBC44602", "by-logon"),
    ("DBC4202", "by-logon"),
    ("Mitel 67301/1", "by-logon"),
]


@pytest.mark.parametrize(("name", "expected"), NAMED)
def test_the_types_that_are_shipped(name: str, expected: TypeClass) -> None:
    assert listed_class(name, SHIPPED) == expected


# The class in the list, whether the logon is secure, and what the terminal counts as.
CLASSES: list[tuple[TypeClass, bool, TerminalClass]] = [
    ("secure", True, "secure"),
    ("secure", False, "secure"),  # its logon is insecure all the same, and judged so
    ("insecure", True, "insecure"),
    ("insecure", False, "insecure"),
    ("by-logon", True, "secure"),
    ("by-logon", False, "insecure"),
]


@pytest.mark.parametrize(("listed", "secure_logon", "expected"), CLASSES)
def test_classes(listed: TypeClass, secure_logon: bool, expected: TerminalClass) -> None:
    assert classify("Phone", secure_logon, [TerminalType("phone", listed)]) == expected


@pytest.mark.parametrize(("secure_logon", "expected"), [(True, "secure"), (False, "insecure")])
def test_what_is_not_listed_is_judged_by_its_logon(secure_logon: bool, expected: TerminalClass) -> None:
    assert classify("Phone", secure_logon, ()) == expected


def test_the_first_pattern_that_matches_decides() -> None:
    types = parse_types("*Phone 2*=by-logon, *phone*=insecure, *=secure")
    assert [listed_class(name, types) for name in ("Phone 1", "Phone 2", "x")] == ["insecure", "by-logon", "secure"]
    both = parse_types("*DBC42201*=insecure,*DBC42?02*=secure")
    assert listed_class("DBC42202 DBC42201", both) == "insecure"


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("phone", "Phone", True), ("phone", "phone 2", False), ("phone", "a phone", False), ("phone*", "phone 2", True),
        ("*phone", "a phone", True), ("*phone", "a phone 2", False), ("*", "", True), ("?", "", False),
        ("a*b*c", "abc", True), ("a*b*c", "axxbxxcxxc", True), ("a*b*c", "acb", False), ("a*a", "a", False),
        ("ab*bc", "abc", False), ("*b*a*", "ab", False), ("*ab?*", "xab", False), ("a**b", "ab", True),
        ("?*?", "a", False), ("?*?", "ab", True),
        ("[a]", "a", False), ("[a]", "[a]", True), ("a.c", "abc", False), ("(", "(", True), ("\\d", "1", False),
        ("a?c", "a\nc", True), ("a*c", "a\n\nc", True), ("a", "a\n", False), ("*a", "a\n", False), ("a+", "aa", False),
    ],
)  # fmt: skip
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert listed_class(name, [TerminalType(pattern, "insecure")]) == ("insecure" if matches else "by-logon")


@given(pattern=st.text("ab?*", min_size=1, max_size=12), name=st.text("ab", max_size=20))
def test_patterns_match_as_those_of_a_shell(pattern: str, name: str) -> None:
    matches = listed_class(name, [TerminalType(pattern, "secure")]) == "secure"
    assert matches == fnmatchcase(name, pattern)


@given(st.text(max_size=2 * NAME_MAX))
def test_no_name_breaks_the_list(name: str) -> None:
    assert listed_class(name, SHIPPED) in TYPE_CLASSES


def test_only_the_beginning_of_a_name_is_looked_at() -> None:
    types = [TerminalType("*end", "secure")]
    assert listed_class("x" * (NAME_MAX - 3) + "end" + "y" * 100_000, types) == "secure"
    assert listed_class("x" * (NAME_MAX - 2) + "end", types) == "by-logon"


def test_a_name_that_is_made_to_be_slow_is_not() -> None:
    # A matcher that backtracks would try about 200 to the power of 31 ways and meet the time limit of the test run.
    pattern = "*a" * (PATTERN_MAX // 2 - 1) + "*b"
    assert listed_class("a" * 1_000_000, [TerminalType(pattern, "secure")]) == "by-logon"


# --- the text ---------------------------------------------------------------------------------------------------------

TYPES = st.builds(
    TerminalType,
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters=",="), min_size=1, max_size=64)
    .map(lambda text: text.strip(" "))
    .filter(bool),
    st.sampled_from(TYPE_CLASSES),
)


@given(st.lists(TYPES, min_size=1, max_size=TYPES_MAX, unique_by=lambda each: each.pattern.lower()))
def test_a_list_survives_its_text(types: list[TerminalType]) -> None:
    assert parse_types(format_types(types)) == tuple(types)


def test_blanks_around_the_parts_do_not_count() -> None:
    assert parse_types(" Mitel 68?? = secure , a=by-logon") == (
        TerminalType("Mitel 68??", "secure"),
        TerminalType("a", "by-logon"),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no PATTERN=CLASS as entry 1"),
        ("secret", "has no PATTERN=CLASS as entry 1"),
        ("a=secure,", "has no PATTERN=CLASS as entry 2"),
        ("a=secure,,b=secure", "has no PATTERN=CLASS as entry 2"),
        ("=secure", "has a pattern that is not 1 to 64 characters long in entry 1"),
        ("x" * 65 + "=secure", "has a pattern that is not 1 to 64 characters long in entry 1"),
        ("a=secure,caf\u00e9=secure", "has a pattern that is not printable ASCII in entry 2"),
        ("a\n=secure", "has a pattern that is not printable ASCII in entry 1"),
        ("a=", "has a class that is not one of secure, insecure, by-logon in entry 1"),
        ("a=Secure", "has a class that is not one of secure, insecure, by-logon in entry 1"),
        ("a=secret=secure", "has a class that is not one of secure, insecure, by-logon in entry 1"),
        ("a=secure,A=insecure", "lists a pattern twice"),
        (",".join(f"{number}=secure" for number in range(TYPES_MAX + 1)), "lists more than 64 types"),
        ("=" * 1_000_000, "has a pattern that is not 1 to 64 characters long in entry 1"),
        ("," * 1_000_000, "lists more than 64 types"),
    ],
)
def test_a_text_that_is_no_list(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$") as caught:
        parse_types(text)
    assert "secret" not in str(caught.value)


def test_a_full_list_is_taken() -> None:
    assert len(parse_types(",".join(f"{number}=secure" for number in range(TYPES_MAX)))) == TYPES_MAX
