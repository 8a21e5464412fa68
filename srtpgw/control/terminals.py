"""The terminal types list (specification, section 1): which terminals are secure, by the name they give themselves.

The list is one setting's text, looked through in its order; the first pattern that matches decides::

    *DBC42?02*=secure,*DBC42201*=insecure,*=by-logon
     pattern   class        * any characters, ? exactly one; letters of either case; the whole name must match

A name (User-Agent of SIP, vendor and product of H.323) is what the terminal claims, so no class of the list opens a
door that the unlisted do not have: what is listed as secure must log on securely where others need not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from srtpgw.control.model import TerminalClass

TypeClass = Literal["secure", "insecure", "by-logon"]
TYPE_CLASSES: Final[tuple[TypeClass, ...]] = ("secure", "insecure", "by-logon")

NAME_MAX = 256  # characters of a terminal's name that are looked at
PATTERN_MAX = 64  # characters
TYPES_MAX = 64


@dataclass(frozen=True, slots=True)
class TerminalType:
    """One entry of the list."""

    pattern: str
    type_class: TypeClass


# The types that the specification names; DBC42x02 is D4, DBC44601 is D5. SIP telephones were seen to call themselves
# "Aastra 6867i/4.5.0.41" (github.com/FreePBX/issue-tracker/issues/350), "Mitel 6869i/5.0.0.1008" and
# "Mitel-6920-SIP/6.4.0.140"; the 6700i and the first 6800 are named Aastra.
DEFAULT_TYPES_TEXT: Final = (
    "*DBC42?02*=secure,*DBC44601*=secure,"
    "*Mitel?69??*=secure,*Mitel?68??*=secure,*Aastra?68??*=secure,*Mitel?67??i*=secure,*Aastra?67??i*=secure,"
    "*DBC42201*=insecure,*DBC42501*=insecure"
)


def parse_types(text: str) -> tuple[TerminalType, ...]:
    """The list from its text. ValueError with a reason that reads on from the setting's name and repeats nothing."""
    entries = text.split(",", TYPES_MAX)
    if len(entries) > TYPES_MAX:
        raise ValueError(f"lists more than {TYPES_MAX} types")
    types = tuple(_parse_type(entry, number) for number, entry in enumerate(entries, 1))
    if len({each.pattern.lower() for each in types}) < len(types):
        raise ValueError("lists a pattern twice")
    return types


def _parse_type(entry: str, number: int) -> TerminalType:
    pattern, separator, named = (part.strip(" ") for part in entry.partition("="))
    if not separator:
        raise ValueError(f"has no PATTERN=CLASS as entry {number}")
    if not 1 <= len(pattern) <= PATTERN_MAX:
        raise ValueError(f"has a pattern that is not 1 to {PATTERN_MAX} characters long in entry {number}")
    if not (pattern.isascii() and pattern.isprintable()):
        raise ValueError(f"has a pattern that is not printable ASCII in entry {number}")
    for type_class in TYPE_CLASSES:
        if named == type_class:
            return TerminalType(pattern, type_class)
    raise ValueError(f"has a class that is not one of {', '.join(TYPE_CLASSES)} in entry {number}")


def format_types(types: Sequence[TerminalType]) -> str:
    """The one text of a list."""
    return ",".join(f"{each.pattern}={each.type_class}" for each in types)


def dropped_types(types: Sequence[TerminalType]) -> tuple[TerminalType, ...]:
    """Entries of the shipped list that this one does not have, or has with another class."""
    kept = {(each.pattern.lower(), each.type_class) for each in types}
    return tuple(each for each in parse_types(DEFAULT_TYPES_TEXT)
                 if (each.pattern.lower(), each.type_class) not in kept)  # fmt: skip


def classify(name: str, secure_logon: bool, types: Sequence[TerminalType]) -> TerminalClass:
    """What a terminal counts as where registrations and media are judged. ``secure_logon``: it logs on over TLS on the
    secure port. Whether a terminal that is secure can do SRTP is judged per call."""
    match listed_class(name, types):
        case "by-logon":
            return "secure" if secure_logon else "insecure"
        case listed:
            return listed


def listed_class(name: str, types: Sequence[TerminalType]) -> TypeClass:
    """The class of the first type that matches; by-logon where none does."""
    seen = name[:NAME_MAX].lower()
    return next((each.type_class for each in types if _matches(each.pattern, seen)), "by-logon")


@lru_cache(maxsize=4 * TYPES_MAX)
def _runs(pattern: str) -> tuple[re.Pattern[str], ...]:
    """What stands between the asterisks. Each run has a fixed length, so that finding one never backtracks."""
    runs = pattern.lower().split("*")
    return tuple(
        re.compile("".join("." if char == "?" else re.escape(char) for char in run), re.DOTALL) for run in runs
    )


def _matches(pattern: str, name: str) -> bool:
    """Whether the whole name (lower case) matches: each run at its first place behind the one before."""
    first, *others = _runs(pattern)
    if not others:
        return first.fullmatch(name) is not None
    found = first.match(name)
    for run in others[:-1]:
        if found is None:
            return False
        found = run.search(name, found.end())
    last_length = len(pattern.rpartition("*")[2])
    return found is not None and others[-1].fullmatch(name, max(found.end(), len(name) - last_length)) is not None
