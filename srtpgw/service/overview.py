"""What the store says, in a few plain values: the part of ``srtpgw status`` that is known whether or not one runs."""

from __future__ import annotations

from typing import Any, Final

from srtpgw.control.codes import configured
from srtpgw.control.license import VOIP_SECURITY, judged, notices
from srtpgw.control.model import State
from srtpgw.control.policy import POLICY_NAMES
from srtpgw.control.times import time_text
from srtpgw.errors import CertificateError, SrtpgwError
from srtpgw.terms import LEG_TYPES

COUNTED: Final = ("extensions", "sip_routes", "h323_routes")


def overview(state: State, *, now: float, host: str) -> dict[str, Any]:
    """Policy, flags, licence, certificates, settings and counts of a state at ``now`` (seconds since the epoch)."""
    return {
        "revision": state.revision,
        "policy": {"number": state.policy, "name": POLICY_NAMES[state.policy]},
        "media_encryption": flags(state),
        "licence": _licence(state, now, host),
        "certificates": certificates(state, now),
        "realm": state.realm,
        **{name: len(getattr(state, name)) for name in COUNTED},
        "authorization_codes": len(configured(state)),
        "registrations": sum(not row.ending and row.expires > now for row in state.registrations.values()),
        "settings": _settings(state),
        "warnings": list(warnings(state, now=now, host=host)),
    }


def flags(state: State) -> dict[str, bool]:
    """The media encryption flag of each leg type."""
    return {each: state.media_encryption.get(each, False) for each in LEG_TYPES}


def changed_settings(before: State, after: State) -> tuple[str, ...]:
    """The names of settings that are not what they were."""
    return tuple(sorted({name for name, _ in before.settings.items() ^ after.settings.items()}))


def warnings(state: State, *, now: float, host: str) -> tuple[str, ...]:
    """What an operator should look at: the licence, certificates that end soon, settings that cannot be read
    or that give something away (``allow-sdes-over-clear``)."""
    found = list(notices(state, VOIP_SECURITY, now=now, host=host))
    if state.certificates:
        from srtpgw.control.certificates import expiry_warnings

        found += expiry_warnings(state, now)
    settings = _settings(state)
    if "fault" in settings:
        found.append(settings["fault"])
    if state.settings:
        from srtpgw.control.settings import given_away

        found += given_away(state.settings)
    return tuple(found)


def _licence(state: State, now: float, host: str) -> dict[str, Any]:
    """The best that there is for VOIP-SECURITY."""
    having = [
        (one, one.document.terms)
        for one in judged(state, now=now, host=host)
        if one.document is not None and VOIP_SECURITY in one.document.terms.features
    ]
    if not having:
        return {"state": "missing"}
    best, terms = max(having, key=lambda each: (each[0].standing == "valid", each[1].expires))
    return {"state": best.standing, "testbed": best.testbed, "expires": time_text(terms.expires)}


def certificates(state: State, now: float) -> list[dict[str, Any]]:
    """What is shown on the TLS ports and trusted, each with its end."""
    if not state.certificates:
        return []
    from srtpgw.control.certificates import describe

    told: list[dict[str, Any]] = []
    for row in state.certificates.values():
        try:
            expires = time_text(describe(row, state, now).not_after)
        except CertificateError:
            expires = "damaged"
        told.append({"name": row.name, "role": row.role, "testbed": row.testbed, "expires": expires})
    return told


def _settings(state: State) -> dict[str, Any]:
    from srtpgw.control.settings import DECLARED, read_settings

    try:
        read_settings(state.settings)
    except SrtpgwError as error:
        return {"fault": str(error)}
    return {name: state.settings.get(name, one.default) for name, one in DECLARED.items()}
