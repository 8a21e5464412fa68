"""What an operator command is, as data: name, options, effect and texts. The command line, the help and the reference
in docs/ are made from it.

An effect is a pure function: it gets a ``Request`` and returns an ``Outcome`` with the changes that it wants. It runs
inside the store's write transaction, on the state that the transaction sees, so two commands at once never lose an
update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from srtpgw.control.model import AuditEntry, Change, State

if TYPE_CHECKING:
    from srtpgw.control.vault import Vault

NOT_EXECUTED: Final = "NOT EXECUTED"

Kind = Literal["value", "flag", "file", "secret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. ``names`` as typed, all equal: ``("-d", "--cil")``; ``key`` is its name in ``Request.options``, where
    every option of the command is: with ``default`` (a flag False, what is ``multiple`` an empty tuple) if not given.

    ``kind``: "value" (``read`` makes a value of the text; ValueError's text reads on from the option's name), "flag"
    (True or False), "file" (the value is the file's ``FileContent``, at most ``file_max`` octets; ``-`` is standard
    input), "secret" (text that no log, audit or process list may show; with a ``prompt`` it is asked for without echo,
    or read as a line of standard input, where its action needs it and it is not given, or its name stands alone).
    """

    key: str
    names: tuple[str, ...]
    help: str
    kind: Kind = "value"
    metavar: str = ""
    read: Callable[[str], Any] = str
    arity: int = 1  # words that it takes; of more than one the value is a tuple, each word read by ``read``
    multiple: bool = False  # may be given several times; the value is a tuple
    required: bool = False  # whatever the action
    choices: tuple[str, ...] = ()
    default: Any = None
    file_max: int = 1 << 20
    prompt: str = ""
    twice: bool = False  # a secret that is typed again at the prompt, to confirm


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One of several things that a command does, chosen by an option of its own: ``-i``, ``-set N``, ``-print``.

    ``needs`` and ``takes`` are keys of options that must or may stand beside it; others are wrong usage. ``chosen_by``
    is the option that selects the action; its value, if it takes one, is in ``Request.options`` too. A command with one
    thing to do has one action with ``chosen_by`` None.
    """

    key: str
    effect: str  # "module:function" under srtpgw.control.commands, imported when it runs
    summary: str
    chosen_by: Option | None = None
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    changes: bool = True  # False: it only reads; no write transaction, and an audit entry only where it is ``audited``
    audited: bool = False  # it changes nothing and is noted all the same, where the audit log can be written
    waits: str = ""  # what a command that takes long is doing, for the person who waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An operator command. ``texts`` are the results that rules give, in the words that users know, each with when."""

    name: str
    summary: str
    actions: tuple[Action, ...]
    options: tuple[Option, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    examples: tuple[str, ...] = ()
    form: Literal["options", "parameters"] = "options"  # "parameters": NAME:KEY=VALUE,KEY=VALUE;


@dataclass(frozen=True, slots=True, repr=False)
class FileContent:
    """A file that an option named. May hold a private key, so the repr shows the name only."""

    name: str
    octets: bytes

    def __repr__(self) -> str:
        return f"FileContent({self.name!r}, ...)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Request:
    """All that an effect may know. ``options`` holds secrets, so there is no repr of them."""

    state: State
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    now: float  # seconds since the epoch, UTC
    realm: str  # of the process configuration
    host: str  # what a licence may be bound to
    vault: Vault  # seals and opens secrets; its key file is read, or made, at first use
    database: Callable[[], bytes] = bytes  # the whole store as one file's octets, by SQLite's online backup
    audit: Callable[[int], tuple[AuditEntry, ...]] = lambda _: ()  # the newest entries of the audit log, oldest first
    confirmed: bool = False  # the operator said yes to ``Outcome.question``

    def __repr__(self) -> str:
        return f"Request(state={self.state!r}, ...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. ``lines`` go to standard output as they are; ``value`` is what ``--json`` prints (plain values);
    ``refused`` is exit status 1, and then nothing is changed. A ``question`` changes nothing either: the operator is
    asked, and the effect runs again as confirmed."""

    lines: tuple[str, ...] = ()
    value: Any = None
    refused: bool = False
    warnings: tuple[str, ...] = ()  # to standard output, behind the lines, each with "WARNING: " before it
    changes: tuple[Change, ...] = ()
    question: str = ""
    write: FileContent | None = None  # a file to write, 0600, whole or not at all, read back before it counts as done


Effect = Callable[[Request], Outcome]


def refused(*lines: str) -> Outcome:
    """A refusal by a rule, in the rule's own words."""
    return Outcome(lines=lines, refused=True, value={"refused": list(lines)})


def not_executed(*reasons: str) -> Outcome:
    """A refusal in the vendor's form: ``NOT EXECUTED``, then why."""
    return refused(NOT_EXECUTED, *reasons)


# Every command and the file of its family, so that running one imports one.
FAMILIES: Final[Mapping[str, str]] = MappingProxyType({
    "media_encryption_enable": "media_encryption",
    "media_encryption_disable": "media_encryption",
    "media_encryption_print": "media_encryption",
    "sec_policy": "sec_policy",
    "extension": "extension",
    "auth_code": "auth_code",
    "extension_unregistration": "registration",
    "ip_extension": "registration",
    "sip_route": "sip_route",
    "RIANI": "h323_route",
    "RIANC": "h323_route",
    "RIANP": "h323_route",
    "RIANE": "h323_route",
    "license_install": "license",
    "license_print": "license",
    "certificate_install": "certificate",
    "certificate_print": "certificate",
    "setting": "setting",
    "data_backup": "backup",
    "data_restore": "backup",
    "audit": "audit",
})  # fmt: skip


def find(name: str) -> Command:
    """The command of this name. Raises KeyError where there is none."""
    family = import_module(f"srtpgw.control.commands.{FAMILIES[name]}")
    commands: tuple[Command, ...] = family.COMMANDS
    return next(command for command in commands if command.name == name)


def effect_of(action: Action) -> Effect:
    """The function that carries it out, imported now."""
    module, _, name = action.effect.partition(":")
    effect: Effect = getattr(import_module(f"srtpgw.control.commands.{module}"), name)
    return effect
