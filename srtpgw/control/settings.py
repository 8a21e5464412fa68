"""Policy-like settings (spec 10), declared once as data: how each is read and written, its default, and what it does.

The store keeps texts of those that differ from their defaults. ``read_settings`` makes one frozen value of them, for
whoever acts by them. A text that this version cannot read is a fault and nothing is assumed in its place: a default
could be weaker than what the operator set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from srtpgw.control.reading import whole
from srtpgw.control.terminals import (
    DEFAULT_TYPES_TEXT,
    TYPE_CLASSES,
    TerminalType,
    dropped_types,
    format_types,
    parse_types,
)
from srtpgw.errors import StoreError

TEXT_MAX = 8192  # characters of one setting
NAME_SHOWN_MAX = 40  # characters

# Suites that a leg may use (srtpgw.media.keys.relay_suites, which loads the native module; a test holds them equal).
SUITES: Final = (
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AES_192_CM_HMAC_SHA1_80",
    "AES_192_CM_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_32",
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, read. Times in seconds."""

    suite_order: tuple[str, ...]
    allow_sdes_over_clear: bool
    direct_media: bool
    terminal_types: tuple[TerminalType, ...]
    lockout_number_failures: int
    lockout_source_failures: int
    lockout_window: int
    lockout_time: int
    lockout_delay: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One setting. ``read`` raises ValueError with a reason that reads on from the name and repeats nothing that was
    typed; ``write`` gives the one text of a value. ``warn`` tells what a value gives away; empty: nothing."""

    name: str
    default: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    values: str  # what it may be, in a few words
    help: str
    warn: Callable[[Any], str] = lambda _: ""
    plain: Callable[[Any], Any] = lambda value: value  # as JSON has it

    @property
    def field(self) -> str:
        """Its name in ``Settings``."""
        return self.name.replace("-", "_")


def _read_suites(text: str) -> tuple[str, ...]:
    names = [name.strip(" ") for name in text.split(",", len(SUITES))]
    if len(set(names)) < len(names):
        raise ValueError("names a suite twice")
    if not all(name in SUITES for name in names):
        raise ValueError(f"names what is not a suite: they are {', '.join(SUITES)}")
    return tuple(names)


def _write_list(names: tuple[str, ...]) -> str:
    return ",".join(names)


def _weak_tags(names: tuple[str, ...]) -> str:
    weak = [name for name in names if name.endswith("_32")]
    return f"{', '.join(weak)}: a tag of 32 bits is weaker (RFC 3711, 5.2)" if weak else ""


def _plain_types(types: tuple[TerminalType, ...]) -> list[dict[str, str]]:
    return [{"pattern": each.pattern, "class": each.type_class} for each in types]


def _dropped_types(types: tuple[TerminalType, ...]) -> str:
    dropped = dropped_types(types)
    return f"without {format_types(dropped)} of the shipped list" if dropped else ""


def _read_switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise ValueError("is neither on nor off")
    return text == "on"


def _write_switch(value: bool) -> str:
    return "on" if value else "off"


def _switch(name: str, text: str, warning: str) -> Declared:
    """Off by default."""
    return Declared(name=name, default="off", read=_read_switch, write=_write_switch, values="on or off", help=text,
                    warn=lambda value: warning if value else "")  # fmt: skip


def _whole(name: str, default: int, low: int, high: int, text: str) -> Declared:
    return Declared(
        name=name, default=str(default), read=whole(low, high), write=str, values=f"{low} to {high}", help=text
    )


DECLARED: Final[Mapping[str, Declared]] = MappingProxyType({one.name: one for one in (
    Declared(name="suite-order", read=_read_suites, write=_write_list, warn=_weak_tags, plain=list,
             default="AES_CM_128_HMAC_SHA1_80,AES_256_CM_HMAC_SHA1_80,AEAD_AES_128_GCM,AEAD_AES_256_GCM",
             values="names of suites with commas between",
             help="Suites that are offered, the most wanted first, and that are taken in an offer."),
    _switch("allow-sdes-over-clear", "Take the keys of an offer that comes over clear signaling (3.1). For testbeds.",
            "whoever sees the signaling can decrypt the media: for testbeds only"),
    _switch("direct-media", "Let media go directly between two ends that can reach each other (a non-gateway call); "
            "off: every call goes through a media gateway.", ""),
    Declared(name="terminal-types", read=parse_types, write=format_types, plain=_plain_types, warn=_dropped_types,
             default=DEFAULT_TYPES_TEXT, values=f"PATTERN=CLASS with commas between, CLASS {', '.join(TYPE_CLASSES)}",
             help="Which terminals are secure, by the name they give themselves; the first that matches decides."),
    _whole("lockout-number-failures", 10, 1, 1000, "Wrong PINs for one number until it is locked."),
    _whole("lockout-source-failures", 20, 1, 1000, "Wrong PINs from one source address until it is locked."),
    _whole("lockout-window", 900, 1, 86_400, "Seconds that a wrong PIN is counted for."),
    _whole("lockout-time", 900, 1, 86_400, "Seconds that a number or source stays locked."),
    _whole("lockout-delay", 1, 0, 10, "Seconds before a wrong PIN is answered."),
)})  # fmt: skip


def read_settings(stored: Mapping[str, str]) -> Settings:
    """All settings, of the texts that differ from the defaults (``State.settings``). Raises StoreError."""
    unknown = stored.keys() - DECLARED.keys()
    if unknown:
        raise StoreError(f"the store holds the setting {shown_name(min(unknown))}, which this version does not know: "
                         "setting -remove takes it away, or a newer version reads it")  # fmt: skip
    return Settings(**{one.field: _read(one, stored.get(name, one.default)) for name, one in DECLARED.items()})


def given_away(stored: Mapping[str, str]) -> tuple[str, ...]:
    """What settings with these texts give away, to warn of. Those that cannot be read are somebody else's to tell."""
    found = []
    for name, text in stored.items():
        one = DECLARED.get(name)
        with suppress(ValueError):
            told = one.warn(read_text(one, text)) if one is not None else ""
            found += [f"{name}: {told}"] if told else []
    return tuple(found)


def shown_name(name: str) -> str:
    """A name that someone typed, fit to be shown."""
    return name if name.isprintable() and len(name) <= NAME_SHOWN_MAX else ascii(name[:NAME_SHOWN_MAX])


def close_name(name: str) -> str:
    """The setting that was probably meant; empty: none is like it."""
    from difflib import get_close_matches

    found = get_close_matches(name[:NAME_SHOWN_MAX].lower().replace("_", "-"), DECLARED, n=1)
    return found[0] if found else ""


def read_text(one: Declared, text: str) -> Any:
    """The value of a text for this setting. ValueError as ``Declared.read``."""
    if len(text) > TEXT_MAX:
        raise ValueError(f"is longer than {TEXT_MAX} characters")
    return one.read(text)


def _read(one: Declared, text: str) -> Any:
    try:
        return read_text(one, text)
    except ValueError as error:
        raise StoreError(f"the stored setting {one.name} {error}: setting -set gives it a value that goes, "
                         "setting -remove its default") from None  # fmt: skip
