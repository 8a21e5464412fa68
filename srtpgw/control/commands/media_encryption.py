"""media_encryption_enable, media_encryption_disable, media_encryption_print: the flag of each leg type (spec 3)."""

from __future__ import annotations

from typing import Final

from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, not_executed
from srtpgw.control.commands.wording import columns
from srtpgw.control.license import LICENSE_MISSING, VOIP_SECURITY, allows, notices
from srtpgw.control.model import MediaEncryption, Put
from srtpgw.control.policy import POLICY_STANDS, disabling_refusal
from srtpgw.terms import LEG_TYPES, LegType

_TYPE: Final = Option(
    key="type",
    names=("-type", "--type"),
    metavar="TYPE",
    choices=LEG_TYPES,
    help="extension, route (IP routes), or intermgw (between media gateways).",
)

COMMANDS: Final = (
    Command(
        name="media_encryption_enable",
        summary="Encrypt the media of a type, in calls set up from now on.",
        actions=(
            Action(key="enable", effect="media_encryption:enable", summary="Switch it on.", needs=("type",)),
        ),
        options=(_TYPE,),
        texts=((LICENSE_MISSING, "behind NOT EXECUTED: no valid licence gives the feature (license_print)"),),
        examples=("media_encryption_enable -type extension",),
    ),
    Command(
        name="media_encryption_disable",
        summary="Leave the media of a type in clear, in calls set up from now on.",
        actions=(
            Action(key="disable", effect="media_encryption:disable", summary="Switch it off.", needs=("type",)),
        ),
        options=(_TYPE,),
        texts=((POLICY_STANDS, "behind NOT EXECUTED: type extension, and sec_policy -remove was not done before"),),
        examples=("media_encryption_disable -type route",),
    ),
    Command(
        name="media_encryption_print",
        summary="Show which types are encrypted.",
        actions=(
            Action(key="print", effect="media_encryption:show", summary="Show one type, or all.", takes=("type",),
                   changes=False),
        ),
        options=(_TYPE,),
        examples=("media_encryption_print", "media_encryption_print -type intermgw"),
    ),
)  # fmt: skip


def enable(request: Request) -> Outcome:
    """media_encryption_enable."""
    if not allows(request.state, VOIP_SECURITY, now=request.now, host=request.host):
        return not_executed(LICENSE_MISSING)
    warnings = notices(request.state, VOIP_SECURITY, now=request.now, host=request.host)
    return _switch(request, True, warnings)


def disable(request: Request) -> Outcome:
    """media_encryption_disable. Needs no licence: what ended must not hold anybody in it."""
    refusal = disabling_refusal(request.options["type"], request.state.policy)
    return not_executed(refusal) if refusal else _switch(request, False)


def show(request: Request) -> Outcome:
    """media_encryption_print."""
    only: LegType | None = request.options.get("type")
    flags = request.state.media_encryption
    value = {each: flags.get(each, False) for each in LEG_TYPES if only in {None, each}}
    rows = [(each, _word(enabled)) for each, enabled in value.items()]
    return Outcome(lines=columns(("TYPE", "MEDIA ENCRYPTION"), rows), value={"media_encryption": value})


def _switch(request: Request, enabled: bool, warnings: tuple[str, ...] = ()) -> Outcome:
    leg_type: LegType = request.options["type"]
    value = {"type": leg_type, "enabled": enabled}
    if request.state.media_encryption.get(leg_type, False) == enabled:
        line = f"Media encryption of type {leg_type} is {_word(enabled)} already; nothing is changed."
        return Outcome(lines=(line,), value={**value, "changed": False}, warnings=warnings)
    return Outcome(
        lines=(f"Media encryption of type {leg_type} is {_word(enabled)} for calls set up from now on.",),
        value={**value, "changed": True},
        warnings=warnings,
        changes=(Put(MediaEncryption(leg_type, enabled)),),
    )


def _word(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"
