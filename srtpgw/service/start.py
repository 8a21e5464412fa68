"""What the service does to the store before it starts: a testbed's certificate and licence on the first run, the realm
of the process settings, and the registrations that the operator ended.

Each is a pure function of a state; ``carry_out`` does one in a transaction, with an entry in the audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from srtpgw.control.codes import realm_change
from srtpgw.control.commands.license import testbed as testbed_licence
from srtpgw.control.commands.table import Request
from srtpgw.control.model import AuditEntry, Change, Registration, Remove, State
from srtpgw.control.store import Store
from srtpgw.control.vault import Vault
from srtpgw.errors import SrtpgwError

USER: Final = "srtpgw run"


class RealmRefused(SrtpgwError):
    """The realm of the process settings would take authorization codes away, and nobody has said yes to that. The text
    is the question."""


@dataclass(frozen=True, slots=True)
class Step:
    """Changes that belong together, what they are for, and a line for the log and the audit."""

    command: str
    line: str
    changes: tuple[Change, ...]


def first_certificate(state: State, vault: Vault, now: float, names: Sequence[str]) -> Step:
    """A testbed certificate where there is none to open the TLS ports with. CertificateError, VaultError."""
    from srtpgw.control.authority import first_run

    told = "A testbed certificate was made, and an authority that signed it: certificate_print shows both."
    return Step("certificate for the first run", told, first_run(state, vault, now, names))


def first_licence(state: State, vault: Vault, now: float, host: str, realm: str) -> Step:
    """A testbed licence for a store that has not run yet. Where one was taken away later, none comes back."""
    if state.licenses or state.license_issuers or state.certificates:
        return Step("", "", ())
    made = testbed_licence(Request(state=state, now=now, realm=realm, host=host, vault=vault))
    return Step("licence for the first run", " ".join(made.lines), made.changes)


def realm_step(state: State, realm: str, accepted: str | None) -> Step:
    """The realm of the process settings as the one in force. ``accepted``: the question that was said yes to; None
    takes any. Raises RealmRefused."""
    change = realm_change(state, realm)
    if change.question and accepted is not None and change.question != accepted:
        raise RealmRefused(change.question)
    told = f"The realm is {realm} now."
    if change.losing:
        told += f" {len(change.losing)} numbers lost their authorization code."
    if change.regaining:
        told += f" {len(change.regaining)} numbers have theirs again."
    return Step("realm of the process settings", told, change.changes if state.realm else ())


def ended_step(state: State) -> Step:
    """Takes away the registrations that the operator ended. No protocol is served yet by which to tell terminals."""
    ending = [row.binding for row in state.registrations.values() if row.ending]
    changes = tuple(Remove(Registration, binding) for binding in ending)
    return Step("end registrations", f"Registrations ended: {len(ending)}. The terminals were not told.", changes)


def carry_out(store: Store, step: Callable[[State], Step], now: float) -> str:
    """Do it, if there is something to do. What was done, or empty. Raises StoreError, and whatever ``step`` does."""
    if not step(store.read()).changes:
        return ""  # without waiting for those who write
    with store.change() as transaction:
        made = step(transaction.state)
        if not made.changes:
            return ""
        transaction.apply(made.changes)
        entry = AuditEntry(time=now, user=USER, command=made.command, result="done", lines=(made.line,))
        transaction.audit(entry)
    return made.line
