"""license_install, license_print: licences and whose signature on them counts (spec 2)."""

from __future__ import annotations

import math
from typing import Any, Final

from srtpgw.control import license as licence
from srtpgw.control.commands.table import Action, Command, FileContent, Option, Outcome, Request, refused
from srtpgw.control.license import TESTBED_DAYS, Document, Judged, Terms, public_text
from srtpgw.control.model import Change, License, LicenseIssuer, Put, Remove
from srtpgw.control.times import date_text, time_text
from srtpgw.errors import LicenseError

LICENSES_MAX = 32  # each is verified whenever something is to be enabled
ISSUERS_MAX = 16


def _issuer(text: str) -> bytes:
    try:
        return licence.read_public(text)
    except LicenseError:
        raise ValueError("is not a public key: 44 characters of base64, as the tool in certs/ prints it") from None


COMMANDS: Final = (
    Command(
        name="license_install",
        summary="Install a licence, issue a testbed licence, or say whose signature counts.",
        actions=(
            Action(
                key="file",
                effect="license:install",
                summary="Install the licence in a file.",
                chosen_by=Option(key="file", names=("--file",), kind="file", metavar="FILE",
                                 file_max=licence.DOCUMENT_MAX, help="The licence, as its issuer sent it."),
            ),
            Action(
                key="testbed",
                effect="license:testbed",
                summary=f"Issue a licence for this testbed, for {TESTBED_DAYS} days; it replaces the one before.",
                chosen_by=Option(key="testbed", names=("--testbed",), kind="flag", help="For testbeds and demos only."),
            ),
            Action(
                key="issuer",
                effect="license:trust",
                summary="Let the licences of an issuer count.",
                chosen_by=Option(key="issuer", names=("--issuer",), metavar="KEY", read=_issuer,
                                 help="The issuer's public key (Ed25519), in base64."),
            ),
            Action(
                key="remove",
                effect="license:remove",
                summary="Take a licence away, or let the licences of an issuer count no more.",
                chosen_by=Option(key="remove", names=("--remove",), metavar="SERIAL|KEY",
                                 help="The licence's serial, or the issuer's public key."),
            ),
        ),
        texts=(
            ("The licence was signed by an issuer that is not known here.",
             "license_install --issuer KEY was not given before, or someone else signed the file"),
            ("The signature is wrong.", "the file was changed after it was signed"),
            ("The licence is bound to another host.", "license_print shows the name of this one"),
            ("The licence expired on DATE.", "its time is over, or the clock is wrong"),
            ("The file is no licence.", "with the fault that was found"),
            ("Another licence has this serial.", "an issuer used one serial twice"),
        ),
        examples=("license_install --testbed",
                  "license_install --issuer 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
    ),
    Command(
        name="license_print",
        summary="Show the licences with what each is worth here and now.",
        actions=(Action(key="print", effect="license:show", summary="Show them.", changes=False),),
        examples=("license_print", "license_print --json"),
    ),
)  # fmt: skip


def install(request: Request) -> Outcome:
    """license_install --file."""
    file: FileContent = request.options["file"]
    try:
        document = licence.read(file.octets)
    except LicenseError as error:
        return refused("The file is no licence.", f"The licence {error}.")
    refusal = _refusal(request, document)
    if refusal:
        return refused(*refusal)
    serial = document.terms.serial
    row = License(serial, document.text(), request.now)
    known = request.state.licenses.get(serial)
    if known is not None and known.document == row.document:
        return _installed(request, row, ())
    if known is not None:
        return refused("Another licence has this serial.", f"license_install --remove {serial} takes it away.")
    if len(request.state.licenses) >= LICENSES_MAX:
        return refused(f"There are {LICENSES_MAX} licences already.", "license_install --remove SERIAL takes one away.")
    return _installed(request, row, (Put(row),))


def testbed(request: Request) -> Outcome:
    """license_install --testbed."""
    issuer, row = licence.testbed_rows(request.now)
    old = (
        *(Remove(License, one.serial) for one in _judged(request) if one.testbed),
        *(Remove(LicenseIssuer, one.public) for one in request.state.license_issuers.values() if one.testbed),
    )
    return _installed(request, row, (*old, Put(issuer), Put(row)))


def trust(request: Request) -> Outcome:
    """license_install --issuer."""
    public: bytes = request.options["issuer"]
    known = request.state.license_issuers.get(public)
    shown = public_text(public)
    if known is not None:
        which = "is this testbed's own" if known.testbed else "is known already"
        return Outcome(lines=(f"The issuer {shown} {which}.",), value={"issuer": shown})
    if len(request.state.license_issuers) >= ISSUERS_MAX:
        return refused(f"There are {ISSUERS_MAX} issuers already.", "license_install --remove KEY takes one away.")
    return Outcome(
        lines=(f"Licences of the issuer {shown} count from now on.",),
        value={"issuer": shown},
        changes=(Put(LicenseIssuer(public, False)),),
    )


def remove(request: Request) -> Outcome:
    """license_install --remove."""
    text: str = request.options["remove"]
    change = _removal(request, text)
    if change is None:
        return refused("There is no such licence or issuer.", "license_print shows those that are there.")
    what = "licence" if change.table is License else "issuer"
    outcome = Outcome(lines=(f"The {what} {text} is gone.",), value={"removed": text}, changes=(change,))
    left = [one for one in _judged(request) if one.serial != change.key and _issuer_of(one) != change.key]
    if any(one.allows(licence.VOIP_SECURITY) for one in left):
        return outcome
    warning = f"no licence for {licence.VOIP_SECURITY} is left: what is enabled stays, nothing new can be"
    return Outcome(lines=outcome.lines, value=outcome.value, changes=outcome.changes, warnings=(warning,))


def show(request: Request) -> Outcome:
    """license_print."""
    rows = [_shown(one, request.now) for one in _judged(request)]
    issuers = [{"key": public_text(one.public), "testbed": one.testbed}
               for one in request.state.license_issuers.values()]  # fmt: skip
    value = {"host": request.host, "licences": rows, "issuers": issuers}
    lines = [line for row in rows for line in _block(row)] or ["No licence is installed."]
    lines.append(f"host: {request.host}")
    lines += [f"issuer: {one['key']}{' (testbed)' if one['testbed'] else ''}" for one in issuers]
    return Outcome(lines=tuple(lines), value=value, warnings=_print_warnings(request))


def _judged(request: Request) -> tuple[Judged, ...]:
    return licence.judged(request.state, now=request.now, host=request.host)


def _refusal(request: Request, document: Document) -> tuple[str, ...]:
    """Why this licence is not installed; nothing: it is."""
    terms = document.terms
    if not document.authentic():
        return ("The signature is wrong.", "The file was changed after it was signed: ask its issuer for it again.")
    if document.issuer not in request.state.license_issuers:
        return (
            "The licence was signed by an issuer that is not known here.",
            f"If you trust its sender, license_install --issuer {public_text(document.issuer)} makes it known.",
        )
    if terms.host and not licence.same_host(terms.host, request.host):
        return ("The licence is bound to another host.", f"It is for {terms.host}; this is {request.host}.")
    if request.now >= terms.expires:
        return (f"The licence expired on {date_text(terms.expires)}.", f"The clock says {date_text(request.now)}, UTC.")
    return ()


def _installed(request: Request, row: License, changes: tuple[Change, ...]) -> Outcome:
    one = licence.judge(request.state, row, now=request.now, host=request.host)
    assert one.document is not None  # it was read and verified just now
    line = _installed_line(one.document.terms, one.testbed)
    if not changes:
        line = line.replace("is installed", "was installed before", 1)
    return Outcome(lines=(line,), value={"installed": row.serial, "testbed": one.testbed}, changes=changes)


def _installed_line(terms: Terms, is_testbed: bool) -> str:
    kind = "testbed licence" if is_testbed else "licence"
    return (
        f"The {kind} {terms.serial} is installed: {', '.join(terms.features)} for {terms.subject}"
        f" until {date_text(terms.expires)}."
    )


def _removal(request: Request, text: str) -> Remove | None:
    if text in request.state.licenses:
        return Remove(License, text)
    try:
        public = licence.read_public(text)
    except LicenseError:
        return None
    return Remove(LicenseIssuer, public) if public in request.state.license_issuers else None


def _issuer_of(one: Judged) -> bytes:
    return one.document.issuer if one.document is not None else b""


def _shown(one: Judged, now: float) -> dict[str, Any]:
    row: dict[str, Any] = {"serial": one.serial, "state": one.standing, "testbed": one.testbed}
    if one.document is None:
        return row
    terms = one.document.terms
    return row | {
        "subject": terms.subject,
        "features": list(terms.features),
        "issued": time_text(terms.issued),
        "expires": time_text(terms.expires),
        "days_left": max(0, math.ceil((terms.expires - now) / licence.DAY)),
        "host": terms.host,
        "issuer": public_text(one.document.issuer),
    }


def _block(row: dict[str, Any]) -> list[str]:
    """A licence on a terminal."""
    head = f"licence {row['serial']}: {row['state']}{', testbed' if row['testbed'] else ''}"
    if "subject" not in row:
        return [head]
    until = f"  until {row['expires']}"
    if row["state"] == "valid":
        until += f" ({row['days_left']} day{'' if row['days_left'] == 1 else 's'} left)"
    return [
        head,
        f"  for {row['subject']}" + (f" on host {row['host']}" if row["host"] else ""),
        f"  features {', '.join(row['features'])}",
        until,
    ]


def _print_warnings(request: Request) -> tuple[str, ...]:
    warnings = list(licence.notices(request.state, licence.VOIP_SECURITY, now=request.now, host=request.host))
    if any(one.document is not None and one.document.terms.issued > request.now for one in _judged(request)):
        warnings.append("a licence was issued after what the clock says now: is the clock right?")
    return tuple(warnings)
