"""The security policy: who may register, what an extension may be, and what stands against a change of policy.

The tables are those of the specification (docs/decisions.md shows them with every combination). What no row lists is
not allowed, under any policy, so a value that nobody thought of ends here and not in a call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from srtpgw.control.model import Extension, PolicyNumber, Protocol, Registration, TerminalClass
from srtpgw.terms import LegType

POLICY_NAMES: Final[Mapping[PolicyNumber | None, str]] = MappingProxyType({
    None: "no policy",
    1: "ALL_SECURE",
    2: "ALL_SECURE + EXC_EXT",
    3: "ALL_SECURE + EXC_TYPE",
})  # fmt: skip

# --- registration (section 4.2) ---------------------------------------------------------------------------------------

Signaling = Literal["encrypted", "not encrypted"]
RegistrationReason = Literal[
    "allowed", "exception-not-allowed", "terminal-insecure", "insecure-logon", "code-missing", "unlisted"
]

REGISTRATION_TEXTS: Final[Mapping[RegistrationReason, str]] = MappingProxyType({
    "allowed": "registration is allowed",
    "exception-not-allowed": "the security policy allows no number with a security exception",
    "terminal-insecure": "the security policy allows no insecure terminal: not this type, or not without TLS",
    "insecure-logon": "this number must log on over TLS on the secure port",
    "code-missing": "the number needs an authorization code before it can register",
    "unlisted": "the security policy does not provide for this registration",
})  # fmt: skip


class RegistrationRow(NamedTuple):
    """One row: for a terminal, a security exception and a RAC (None: any), what follows. ``signaling`` is empty in the
    specification where the registration is not allowed."""

    terminal: TerminalClass
    exception: bool | None
    code: bool | None
    allowed: bool
    signaling: Signaling | None = None
    refusal: RegistrationReason = "allowed"


_Row = RegistrationRow

REGISTRATION_TABLES: Final[Mapping[int, tuple[RegistrationRow, ...]]] = MappingProxyType({
    1: (
        _Row("secure", True, False, True, "not encrypted"),
        _Row("secure", True, True, True, "encrypted"),
        _Row("secure", False, True, True, "encrypted"),
        _Row("insecure", True, True, True, "not encrypted"),
        _Row("insecure", True, False, True, "not encrypted"),
        _Row("insecure", False, True, True, "not encrypted"),
    ),
    2: (
        _Row("secure", True, False, False, refusal="exception-not-allowed"),
        _Row("secure", True, True, False, refusal="exception-not-allowed"),
        _Row("secure", False, True, True, "encrypted"),
        _Row("insecure", None, None, False, refusal="terminal-insecure"),
    ),
    3: (
        _Row("secure", True, False, True, "not encrypted"),
        _Row("secure", True, True, True, "encrypted"),
        _Row("secure", False, True, True, "encrypted"),
        _Row("insecure", True, None, True, "not encrypted"),
        _Row("insecure", False, True, False, refusal="terminal-insecure"),
    ),
    4: (
        _Row("secure", True, None, False, refusal="exception-not-allowed"),
        _Row("secure", False, True, True, "encrypted"),
        _Row("insecure", False, True, True, "not encrypted"),
    ),
})  # fmt: skip

# Which table judges. Exceptions by terminal type are for H.323: policy 3 is policy 1 for SIP.
TABLE_OF: Final[Mapping[tuple[PolicyNumber | None, Protocol], int]] = MappingProxyType({
    (None, "sip"): 1, (None, "h323"): 1,
    (1, "sip"): 2, (1, "h323"): 2,
    (2, "sip"): 3, (2, "h323"): 3,
    (3, "sip"): 2, (3, "h323"): 4,
})  # fmt: skip


def _choices(listed: bool | None) -> tuple[bool, ...]:
    return (False, True) if listed is None else (listed,)


_REGISTRATION_ROWS: Final[Mapping[tuple[int, TerminalClass, bool, bool], int]] = MappingProxyType({
    (table, row.terminal, exception, code): index
    for table, rows in REGISTRATION_TABLES.items()
    for index, row in enumerate(rows)
    for exception in _choices(row.exception)
    for code in _choices(row.code)
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RegistrationDecision:
    """Whether a terminal may register. ``authenticate``: the PIN must be asked for and validated first, and a wrong
    one is never let in. ``signaling`` is what the row expects. ``reason`` is a code that stays, ``text`` a sentence fit
    for a Warning header and the audit log. ``table`` and ``row`` (from 1) say what decided: 0 where no row lists it."""

    allowed: bool
    authenticate: bool
    signaling: Signaling | None
    reason: RegistrationReason
    table: int
    row: int

    @property
    def text(self) -> str:
        """The reason as a sentence; ASCII without quotes."""
        return REGISTRATION_TEXTS[self.reason]


def registration(
    policy: PolicyNumber | None,
    protocol: Protocol,
    terminal: TerminalClass,
    *,
    security_exception: bool,
    code_configured: bool,
    secure_logon: bool,
) -> RegistrationDecision:
    """Judge a logon (specification, section 4.2).

    ``terminal`` comes from ``terminals.classify``: a type that is secure by its logon is "insecure" on the insecure
    port, so a "secure" terminal without ``secure_logon`` is one of a listed type, and nothing more has to be known.
    ``secure_logon``: it arrived over TLS on the secure port.

    A number without an exception on a secure terminal must log on securely under each policy. Without a policy the rows
    that say "encrypted" take an insecure logon too, since only policies refuse it; so does a number with an exception
    under policy 2. Where a row says "not encrypted", a secure logon is welcome. Who is refused is asked for no PIN.
    """
    table = TABLE_OF.get((policy, protocol), 0)
    index = _REGISTRATION_ROWS.get((table, terminal, security_exception, code_configured))
    if index is None:
        missing = not security_exception and not code_configured
        return _registration_refused("code-missing" if missing else "unlisted", table, 0)
    row = REGISTRATION_TABLES[table][index]
    if not row.allowed:
        return _registration_refused(row.refusal, table, index + 1)
    if policy is not None and row.signaling == "encrypted" and not security_exception and not secure_logon:
        return _registration_refused("insecure-logon", table, index + 1)
    return RegistrationDecision(True, code_configured, row.signaling, "allowed", table, index + 1)


def _registration_refused(reason: RegistrationReason, table: int, row: int) -> RegistrationDecision:
    return RegistrationDecision(False, False, None, reason, table, row)


def admission_policy(
    current: PolicyNumber | None, live: Registration | None, logon: Registration, now: float
) -> PolicyNumber | None:
    """The policy that judges ``logon`` (as it would be stored): the one that ``live`` was admitted under where this is
    its refresh, else the ``current`` one.

    A refresh comes from the same contact or instance, over the same transport, with the same Call-ID, while the binding
    lives: one that expired (``now`` in seconds since the epoch) or that the operator ended is a new logon. What the
    extension is now counts in both cases (specification, section 4).
    """
    if live is None or not live.live(now):
        return current
    same_place = live.contact == logon.contact or (live.instance != "" and live.instance == logon.instance)
    fixed = (live.number, live.protocol, live.transport, live.call_id)
    if same_place and fixed == (logon.number, logon.protocol, logon.transport, logon.call_id):
        return live.policy
    return current


# --- extensions and codes (section 4.1) -------------------------------------------------------------------------------

EXCEPTION_NOT_ALLOWED: Final = "Security exception is not allowed."
PIN_BLANK: Final = "The PIN code may not be blank."
CODE_MANDATORY: Final = "RAC is mandatory if security-exception = no."
EXCEPTION_OMITTED: Final = "The security exception must be given: --security-exception no."
NO_CODE_WARNING: Final = "cannot register until a RAC is configured"  # reads on from a number


class ExtensionRule(NamedTuple):
    """Whether an extension may be so. ``refusal`` is the rule's text, empty where accepted; ``warning`` reads on from
    the number."""

    refusal: str = ""
    warning: str = ""

    @property
    def accepted(self) -> bool:
        """Whether nothing stands against it."""
        return not self.refusal


_ACCEPTED: Final = ExtensionRule()
_WARNED: Final = ExtensionRule(warning=NO_CODE_WARNING)
_NO_EXCEPTION: Final = ExtensionRule(refusal=EXCEPTION_NOT_ALLOWED)

# Per policy: security exception yes; no, with a RAC; no, without one.
EXTENSION_TABLE: Final[Mapping[PolicyNumber | None, tuple[ExtensionRule, ExtensionRule, ExtensionRule]]] = (
    MappingProxyType({
        None: (_ACCEPTED, _ACCEPTED, _WARNED),
        1: (_NO_EXCEPTION, _ACCEPTED, ExtensionRule(refusal=PIN_BLANK)),
        2: (_ACCEPTED, _ACCEPTED, _WARNED),
        3: (_NO_EXCEPTION, _ACCEPTED, ExtensionRule(refusal=CODE_MANDATORY)),
    })
)  # fmt: skip


def extension_rule(policy: PolicyNumber | None, *, security_exception: bool, code_configured: bool) -> ExtensionRule:
    """Whether ``extension -i`` or ``-c`` may make an extension so. KeyError for a policy that does not exist."""
    excepted, with_code, without_code = EXTENSION_TABLE[policy]
    if security_exception:
        return excepted
    return with_code if code_configured else without_code


def code_removal_rule(policy: PolicyNumber | None, extension: Extension | None) -> ExtensionRule:
    """Whether the RAC of a number may be removed: not where the policy takes its extension with one only. A number
    without an extension (None) is free: a code may be set before its extension, and taken back."""
    if extension is None:
        return _ACCEPTED
    exception = extension.security_exception
    without = extension_rule(policy, security_exception=exception, code_configured=False)
    mandatory = extension_rule(policy, security_exception=exception, code_configured=True).accepted
    return without if mandatory else _ACCEPTED


def omitted_exception(policy: PolicyNumber | None, current: bool | None) -> bool | None:
    """What the security exception is where ``--security-exception`` was left out: ``current`` (None: the extension is
    being initiated), else no. None: refused with ``EXCEPTION_OMITTED``, for under policies 1 and 3 it must be given."""
    if not EXTENSION_TABLE[policy][0].accepted:
        return None
    return bool(current)


# --- changes of policy and flags (sections 3 and 4) -------------------------------------------------------------------

EXCEPTIONS_EXIST: Final = "DIRECTORY NUMBERS WITH SECURITY EXCEPTION EXIST"
POLICY_STANDS: Final = "SECURITY POLICY IS SET"


class PolicyChange(NamedTuple):
    """What a new policy meets. ``refusal`` is the text behind NOT EXECUTED, empty where it may be set; ``excepted`` are
    the numbers that stand against it. ``without_code`` will not be able to register: a warning."""

    refusal: str
    excepted: tuple[str, ...]
    without_code: tuple[str, ...]


def policy_change(policy: PolicyNumber, extensions: Iterable[Extension], codes: Collection[str]) -> PolicyChange:
    """Whether ``sec_policy -set`` may set this policy; ``codes`` are the numbers with a RAC. Numbers in the order of
    the extensions. KeyError for a policy that does not exist."""
    takes_exceptions = EXTENSION_TABLE[policy][0].accepted
    excepted: list[str] = []
    without_code: list[str] = []
    for extension in extensions:
        if extension.security_exception:
            excepted.append(extension.number)
        elif extension.number not in codes:
            without_code.append(extension.number)
    if takes_exceptions or not excepted:
        return PolicyChange("", (), tuple(without_code))
    return PolicyChange(EXCEPTIONS_EXIST, tuple(excepted), tuple(without_code))


def disabling_refusal(leg_type: LegType, policy: PolicyNumber | None) -> str:
    """What stands against ``media_encryption_disable -type``: a policy, for extensions; the other types may always be
    disabled. Empty: nothing."""
    return POLICY_STANDS if leg_type == "extension" and policy is not None else ""
