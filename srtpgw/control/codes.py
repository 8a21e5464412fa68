"""Which authorization codes count: those under the realm in force, for digest authentication can use no others.

The realm in force is the store's (``State.realm``). It comes there with the first code, and changes only where somebody
was told which numbers lose their code by it. The codes themselves stay: under the old realm they count again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from srtpgw.control.model import AuthorizationCode, Change, Put, Realm, State
from srtpgw.control.numbers import listed, order


def configured(state: State) -> Mapping[str, AuthorizationCode]:
    """The codes that a terminal can authenticate with, by number."""
    return {number: code for number, code in state.authorization_codes.items() if code.realm == state.realm}


@dataclass(frozen=True, slots=True)
class RealmChange:
    """What another realm means. ``question`` is empty where nobody loses a code; only then, or once it was answered
    with yes, may ``changes`` be made. ``losing`` and ``regaining`` are numbers in their order."""

    losing: tuple[str, ...]
    regaining: tuple[str, ...]
    question: str
    changes: tuple[Change, ...]


def realm_change(state: State, realm: str) -> RealmChange:
    """What comes of ``realm`` as the realm in force. It is one that ``digest.check_realm`` takes."""
    if realm == state.realm:
        return RealmChange((), (), "", ())
    losing = tuple(sorted(configured(state), key=order))
    regaining = tuple(sorted((n for n, code in state.authorization_codes.items() if code.realm == realm), key=order))
    question = ""
    if losing:
        question = (
            f"The realm changes from {state.realm!r} to {realm!r}. Authorization codes count under their realm only, so"
            f" these numbers lose theirs and must be given it again: {listed(losing)}. Change the realm?"
        )
    return RealmChange(losing, regaining, question, (Put(Realm(realm)),))
