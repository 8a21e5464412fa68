"""docs/decisions.md is written from the tables that decide, and by asking them every question there is:

SRTPGW_WRITE_DOCS=1 pytest tests/unit/control/test_decisions_page.py
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final

from support import ROOT

from srtpgw.control.media_policy import (
    DIRECT_TABLE,
    MEDIA_TABLE,
    MEDIA_TEXTS,
    OFFERS,
    DirectEnd,
    LegFacts,
    MediaReason,
    direct_media,
    media,
    our_offer,
    plain_allowed,
)
from srtpgw.control.model import PolicyNumber, Protocol, TerminalClass
from srtpgw.control.policy import (
    EXTENSION_TABLE,
    POLICY_NAMES,
    REGISTRATION_TABLES,
    REGISTRATION_TEXTS,
    TABLE_OF,
    ExtensionRule,
    RegistrationReason,
    registration,
)
from srtpgw.control.terminal_files import FILES, KEY, security_called_for
from srtpgw.control.terminals import DEFAULT_TYPES_TEXT, parse_types

PAGE = ROOT / "docs/decisions.md"
WRITE = os.environ.get("SRTPGW_WRITE_DOCS") == "1"

POLICIES: Final[tuple[PolicyNumber | None, ...]] = (None, 1, 2, 3)
TERMINALS: Final[tuple[TerminalClass, ...]] = ("secure", "insecure")
PROTOCOLS: Final[dict[Protocol, str]] = {"sip": "SIP", "h323": "H.323"}
BOTH = (False, True)

Row = tuple[str, ...]

HEAD = """\
# Decisions: who may register, and which media is encrypted

Written by `SRTPGW_WRITE_DOCS=1 pytest tests/unit/control/test_decisions_page.py` from the tables that decide
(`srtpgw/control/policy.py` and `media_policy.py`), and by asking them every question there is. What no row lists is
refused.
"""

TYPES = """\
## Terminals

The setting `terminal-types`, as shipped; the first pattern that matches the terminal's own name decides (`*` any
characters, `?` one, letters of either case). What is not listed is `by-logon`: secure exactly when it logs on over TLS
on the secure port. A listed type keeps its class whichever way it logs on.
"""

REGISTRATION = """\
## Registration

Which table judges:
"""

REGISTRATION_ROWS = """\
A blank signaling or a missing row is a registration that is not allowed. A RAC that is configured is always asked for
and validated; a wrong one is never let in. A number without a security exception on a secure terminal must log on
securely where there is a policy; elsewhere a logon may be either way, and the column says what is expected.
"""

REGISTRATION_ALL = """\
### Every registration

The logon is secure over TLS on the secure port. Each cell: allowed, with `PIN` where it is validated first; or refused,
with the reason. Who is refused is asked for no PIN.
"""

REGISTRATION_REASONS = """\
The texts of the reasons, as a Warning header and the audit log have them:
"""

REFRESHES = """\
A refresh of a live registration (same contact or instance, same transport, same Call-ID) is judged by the policy that
the registration was admitted under and by what the extension is now. Any other logon is judged by the current policy.

## Extensions

What `extension -i` and `-c` may make of an extension. A RAC that is needed under the current policy cannot be removed.
"""

MEDIA = """\
## Media

### The table

Per leg of a gateway call, and per m= line of RTP. The first column is the row's number.
"""

CLEAR = """\
### Where nothing usable may go on in clear

Such a leg is shown as `NOT ENCRYPTED`. Legs between media gateways never go on in clear.
"""

MEDIA_ALL = """\
### Every leg

"may" says that the table above lets the leg go on in clear. Wherever the result is not `srtp`, a=crypto lines are
removed. `refused` is 488 with a Warning that names the type of the leg. Our own offer is the last column: after "or",
how a 488 to it is retried, once.
"""

MEDIA_REASONS = """\
The texts of the reasons; a Warning begins with the type of the leg:
"""

DIRECT = """\
### Calls without a gateway in their media

A pair of ends that is not listed needs a gateway.
"""

DIRECT_ALL = """\
Between two SIP extensions with the flag off, a=crypto lines are removed and the profile becomes RTP/AVP. With it on:
`kept` passes keys and profile on, `gateway` relays the media because the ends need different things. "must" is an
extension that may not go on in clear, "may" one that may.
"""

REST = """\
### Lines and hops

* An m= line that cannot be encrypted (T.38 over UDPTL, MSRP, BFCP, anything that is not RTP) is taken where the leg may
  carry clear media and its RTP is not encrypted; otherwise it is rejected with port 0. DTLS-SRTP counts as RTP/SAVP
  with no usable a=crypto.
* Signaling is secure over TLS; that of the ng protocol also on a Unix socket and between loopback addresses.
* A `sips:` request goes over TLS or not at all.
"""

READINGS = """\
## How sentences that leave room are read

* Without a policy, rows that expect encrypted signaling take an insecure logon: only policies refuse it.
* Under `ALL_SECURE + EXC_EXT` a number with a security exception may log on insecurely on any terminal.
* A listed insecure type stays insecure when it logs on over TLS.
* RTP/SAVP with no usable a=crypto is refused even where the leg may go on in clear: it cannot be answered in clear
  (RFC 4568, section 5.1.2). The far end may offer RTP/AVP instead.
* `allow-sdes-over-clear` is for offers of RTP/SAVP. Keys in RTP/AVP over clear signaling are not used, and our own are
  not sent over it.
* Where every answer to an offer of RTP/AVP would be refused, nothing is offered and the call is refused at once.
* The exception by terminal type (policy 3) counts for the media of SIP extensions too. Under that policy only one that
  was logged on before can have an insecure terminal.
* One leg is encrypted in all it carries: a T.38 line beside SRTP is rejected, even where the leg might be in clear.
* Between an extension and a route without a gateway an offer passes unchanged, so keys go over whatever signaling the
  other end has. With the setting `direct-media` off there are no such calls.
* Between SIP extensions both ends must allow what is done, each by its own signaling; keys that came over TLS are not
  passed on in clear. A SIP and an H.323 end have no offer in common, so there is a gateway between them.
"""


def table(titles: Row, lines: Iterable[Row]) -> str:
    rows = (f"| {' | '.join(row)} |\n" for row in (titles, *lines))
    return next(rows) + f"|{'---|' * len(titles)}\n" + "".join(rows)


def yes_no(value: bool | None) -> str:
    return "any" if value is None else "yes" if value else "no"


def policy_name(number: PolicyNumber | None) -> str:
    return POLICY_NAMES[number] if number is None else f"{number} `{POLICY_NAMES[number]}`"


def which_table() -> Iterator[Row]:
    for number in POLICIES:
        yield policy_name(number), *(f"{TABLE_OF[number, protocol]}" for protocol in PROTOCOLS)


def registration_rows(number: int) -> Iterator[Row]:
    for index, row in enumerate(REGISTRATION_TABLES[number], 1):
        allowed = "allowed" if row.allowed else "not allowed"
        yield f"{index}", row.terminal, yes_no(row.exception), yes_no(row.code), allowed, row.signaling or ""


def every_registration() -> Iterator[Row]:
    columns: list[tuple[PolicyNumber | None, tuple[Protocol, ...]]] = [
        (None, ("sip", "h323")), (1, ("sip", "h323")), (2, ("sip", "h323")), (3, ("sip",)), (3, ("h323",)),
    ]  # fmt: skip
    for terminal, exception, code, secure in product(TERMINALS, (True, False), (False, True), (True, False)):
        cells = []
        for number, protocols in columns:
            said = {_registered(number, protocol, terminal, exception, code, secure) for protocol in protocols}
            cells.append(" or ".join(said))  # the protocols of a column agree; the test sees to it
        yield terminal, yes_no(exception), yes_no(code), "secure" if secure else "insecure", *cells


def _registered(
    number: PolicyNumber | None, protocol: Protocol, terminal: TerminalClass, exception: bool, code: bool, secure: bool
) -> str:
    decision = registration(
        number, protocol, terminal, security_exception=exception, code_configured=code, secure_logon=secure
    )
    if not decision.allowed:
        return f"`{decision.reason}`"
    return "allowed, PIN" if decision.authenticate else "allowed"


def extension_rows() -> Iterator[Row]:
    for number, rules in EXTENSION_TABLE.items():
        yield policy_name(number), *map(_ruled, rules)


def _ruled(rule: ExtensionRule) -> str:
    if rule.refusal:
        return f"rejected: `{rule.refusal}`"
    return f"accepted; warning: {rule.warning}" if rule.warning else "accepted"


def media_rows() -> Iterator[Row]:
    for index, row in enumerate(MEDIA_TABLE, 1):
        signaling = "any" if row.secure is None else "secure" if row.secure else "clear"
        offers = ", ".join(OFFERS[offer] for offer in row.offers)
        result = {"refused": "refused, 488", "nothing-usable": "nothing usable: clear or 488"}.get(
            row.result, row.result
        )
        unless = "; with `allow-sdes-over-clear` as over TLS" if row.reason == "keys-over-clear" else ""
        yield f"{index}", "on" if row.flag else "off", signaling, offers, result + unless


def clear_extensions() -> Iterator[Row]:
    for number, exception in product(POLICIES, BOTH):
        cells = []
        for terminal in TERMINALS:
            leg = LegFacts(type="extension", flag=True, secure_signaling=True, policy=number,
                           security_exception=exception, terminal=terminal)  # fmt: skip
            cells.append("clear" if plain_allowed(leg) else "488")
        yield policy_name(number), yes_no(exception), *cells


def clear_routes() -> Iterator[Row]:
    for fallback in BOTH:
        leg = LegFacts(type="route", flag=True, secure_signaling=True, fallback=fallback)
        yield yes_no(fallback), "clear" if plain_allowed(leg) else "488"


def _leg(secure: bool, may: bool, *, flag: bool = True, allow: bool = False) -> LegFacts:
    number: PolicyNumber | None = None if may else 1
    return LegFacts(
        type="extension", flag=flag, secure_signaling=secure, policy=number, allow_sdes_over_clear=allow
    )  # fmt: skip


def every_leg() -> Iterator[Row]:
    for flag, secure, allow, may in product(BOTH, (True, False), BOTH, (True, False)):
        leg = _leg(secure, may, flag=flag, allow=allow)
        own = our_offer(leg)
        ours = f"{own.profile or 'none'}{' or RTP/AVP' if own.retry_plain else ''}"
        results = (_marked(media(leg, offer).result, media(leg, offer).mark) for offer in OFFERS)
        yield "on" if flag else "off", _signaling(secure), yes_no(allow), "may" if may else "must", *results, ours


def _signaling(secure: bool) -> str:
    return "secure" if secure else "clear"


def _marked(text: str, mark: str) -> str:
    return f"{text}, `{mark}`" if mark else text


def direct_kinds() -> Iterator[Row]:
    for ends, decides in DIRECT_TABLE.items():
        named = sorted(f"{PROTOCOLS[protocol]} {kind}" for kind, protocol in ends)
        first, second = named if len(named) == 2 else named * 2
        yield first, second, "the flag `extension`" if decides == "flag" else "the ends: passed on unchanged"


def every_direct_call() -> Iterator[Row]:
    for secure, may, other_secure, other_may in product((True, False), repeat=4):
        offerer, other = _leg(secure, may), _leg(other_secure, other_may)
        ends = (DirectEnd("sip", offerer), DirectEnd("sip", other))
        decisions = (direct_media(*ends, offer) for offer in OFFERS)
        named = (
            f"{_signaling(one.secure_signaling)}, {'may' if plain_allowed(one) else 'must'}" for one in (offerer, other)
        )
        yield *named, *(_marked(decision.handling, decision.mark) for decision in decisions)


def reasons(texts: Iterable[tuple[RegistrationReason | MediaReason, str]]) -> str:
    return table(("reason", "text"), ((f"`{code}`", text) for code, text in texts))


def registration_part() -> Iterator[str]:
    yield REGISTRATION
    yield table(("policy", *PROTOCOLS.values()), which_table())
    yield REGISTRATION_ROWS
    for number in REGISTRATION_TABLES:
        yield f"Table {number}:\n"
        titles = ("row", "terminal", "exception", "RAC", "registration", "signaling")
        yield table(titles, registration_rows(number))
    yield REGISTRATION_ALL
    columns = ("no policy", "policy 1", "policy 2", "policy 3, SIP", "policy 3, H.323")
    yield table(("terminal", "exception", "RAC", "logon", *columns), every_registration())
    yield REGISTRATION_REASONS
    yield reasons(REGISTRATION_TEXTS.items())


def media_part() -> Iterator[str]:
    yield MEDIA
    yield table(("row", "flag", "signaling", "offer or answer", "result"), media_rows())
    yield CLEAR
    terminals = tuple(f"{terminal} terminal" for terminal in TERMINALS)
    yield table(("policy", "exception", *terminals), clear_extensions())
    yield table(("`-fallback` of the route", "result"), clear_routes())
    yield MEDIA_ALL
    titles = ("flag", "signaling", "`allow-sdes-over-clear`", "in clear", *OFFERS.values(), "our offer")
    yield table(titles, every_leg())
    yield MEDIA_REASONS
    yield reasons(MEDIA_TEXTS.items())
    yield DIRECT
    yield table(("one end", "other end", "who decides"), direct_kinds())
    yield DIRECT_ALL
    yield table(("who offered", "the other", *OFFERS.values()), every_direct_call())
    yield REST


def files_part() -> Iterator[str]:
    yield f"## Files of D4 and D5 terminals\n\nThe line `{KEY}` in {' and '.join(f'`{name}`' for name in FILES)}:\n"
    titles = ("policy", "media encryption of extensions off", "on")
    yield table(
        titles,
        ((policy_name(number), *(f"`{security_called_for(number, flag)}`" for flag in BOTH)) for number in POLICIES),
    )


def decisions_page() -> str:
    types = ((f"`{each.pattern}`", each.type_class) for each in parse_types(DEFAULT_TYPES_TEXT))
    return "\n".join([
        HEAD, TYPES, table(("pattern", "class"), types),
        *registration_part(),
        REFRESHES, table(("policy", "exception", "none, RAC configured", "none, no RAC"), extension_rows()),
        *media_part(), *files_part(), READINGS,
    ])  # fmt: skip


def test_the_page_matches_the_tables() -> None:
    page = decisions_page()
    assert " or `" not in page  # both protocols of a column say the same
    if WRITE:
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
