"""setting: policy-like settings (spec 10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, refused
from srtpgw.control.model import Change, Put, Remove, Setting
from srtpgw.control.settings import DECLARED, Declared, close_name, given_away, read_text, shown_name

COMMANDS: Final = (
    Command(
        name="setting",
        summary="Show, set and reset policy-like settings.",
        options=(Option(key="name", names=("-name",), metavar="NAME", help="Only this setting."),),
        actions=(
            Action(
                key="print",
                effect="setting:show",
                summary="Show one setting or all.",
                chosen_by=Option(key="print", names=("-print",), kind="flag", help="Show settings."),
                takes=("name",),
                changes=False,
            ),
            Action(
                key="set",
                effect="setting:set_value",
                summary="Give a setting a value, for calls and logons that come after it.",
                chosen_by=Option(key="set", names=("-set",), metavar="NAME VALUE", arity=2,
                                 help="The setting and its value."),
            ),
            Action(
                key="remove",
                effect="setting:remove",
                summary="Give a setting its default again.",
                chosen_by=Option(key="remove", names=("-remove",), metavar="NAME", help="The setting."),
            ),
        ),
        texts=(
            ("There is no setting NAME.", "with the one that was probably meant"),
            ("NAME REASON.", "the setting cannot have this value; the reason says what it may have"),
        ),
        examples=(
            "setting -print",
            "setting -print -name suite-order",
            "setting -set lockout-time 600",
            "setting -set suite-order AEAD_AES_256_GCM,AES_256_CM_HMAC_SHA1_80",
            "setting -remove suite-order",
        ),
    ),
)  # fmt: skip


def show(request: Request) -> Outcome:
    """setting -print."""
    stored = request.state.settings
    wanted: str | None = request.options.get("name")
    names = [*DECLARED, *sorted(stored.keys() - DECLARED.keys())]
    if wanted is not None and wanted not in names:
        return _unknown(wanted)
    rows = {name: _shown(name, stored.get(name)) for name in names if wanted in {None, name}}
    lines = [line for name, row in rows.items() for line in _block(name, row)]
    faults = [f"{name} {row['fault']}" for name, row in rows.items() if "fault" in row]
    asked = {name: text for name, text in stored.items() if name in rows}
    return Outcome(lines=tuple(lines), value={"settings": rows}, warnings=(*faults, *given_away(asked)))


def set_value(request: Request) -> Outcome:
    """setting -set."""
    name, text = request.options["set"]
    one = DECLARED.get(name)
    if one is None:
        return _unknown(name)
    try:
        value = read_text(one, text)
    except ValueError as error:
        return refused(f"{name} {error}.", f"Its default is {one.default}.")
    written = one.write(value)
    before = request.state.settings.get(name)
    changes = _changes(one, written, before)
    said = "is now" if changes else "is already"
    return Outcome(
        lines=(f"{name} {said} {written}.",),
        value={"name": name, **_shown(name, written)},
        warnings=given_away({name: written}),
        changes=changes,
    )


def remove(request: Request) -> Outcome:
    """setting -remove; also of one that another version stored."""
    name: str = request.options["remove"]
    one, stored = DECLARED.get(name), name in request.state.settings
    if one is None and not stored:
        return _unknown(name)
    line = f"{name} has its default again: {one.default}." if one else f"{shown_name(name)} is removed."
    return Outcome(
        lines=(line,),
        value={"name": name, **_shown(name, None)} if one else {"removed": name},
        changes=(Remove(Setting, name),) if stored else (),
    )


def _unknown(name: str) -> Outcome:
    close = close_name(name)
    more = f"Did you mean {close}?" if close else f"They are {', '.join(DECLARED)}."
    return refused(f"There is no setting {shown_name(name)}.", more)


def _changes(one: Declared, written: str, before: str | None) -> tuple[Change, ...]:
    """Only what differs from the default is kept, so that a better default of a later version comes to count."""
    if written == one.default:
        return (Remove(Setting, one.name),) if before is not None else ()
    return (Put(Setting(one.name, written)),) if written != before else ()


def _shown(name: str, stored: str | None) -> dict[str, Any]:
    """A setting as JSON. One that cannot be read has a fault and no value."""
    one = DECLARED.get(name)
    if one is None:
        return {"text": stored, "fault": "is not known to this version: setting -remove takes it away"}
    text = stored if stored is not None else one.default
    row = {"text": text, "default": one.default, "values": one.values, "help": one.help}
    try:
        return row | {"value": one.plain(read_text(one, text))}
    except ValueError as error:
        return row | {"fault": f"cannot be read by this version: it {error}"}


def _block(name: str, row: dict[str, Any]) -> Iterator[str]:
    """A setting on a terminal."""
    differs = "" if row["text"] == row.get("default") else f" (default {row['default']})" if "default" in row else ""
    text = shown_name(row["text"]) if "fault" in row else row["text"]
    yield f"{shown_name(name)} = {text}{differs}"
    if "help" in row:
        yield f"  {row['values']}. {row['help']}"
