"""data_backup and data_restore: all settings in one file, and back in one transaction (spec 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from srtpgw.control import backup
from srtpgw.control.commands.table import Action, Command, FileContent, Option, Outcome, Request, not_executed
from srtpgw.control.license import LICENSE_MISSING
from srtpgw.control.numbers import lines_of, listed
from srtpgw.control.policy import EXCEPTIONS_EXIST, NO_CODE_WARNING
from srtpgw.control.restoring import Plan, plan, resealed, rows_of, without_secrets
from srtpgw.control.row_checks import unfit
from srtpgw.control.times import time_text
from srtpgw.errors import BackupError, StoreError, VaultError

PASSPHRASE_MIN: Final = 12  # characters: whoever has the file can try as many as there is time for
PASSPHRASE_MAX: Final = 1024

SECRETS_LEFT_OUT: Final = (
    "secrets are left out (authorization codes, passwords, private keys): -passphrase takes them along"
)

# What to do about a file that is refused.
NEXT: Final = {
    backup.NOT_A_BACKUP: "Give a file that data_backup wrote.",
    backup.DAMAGED: "It was changed or cut short on its way: copy it again, or take another backup.",
    backup.NEWER: "Upgrade this version first.",
    backup.TOO_LARGE: f"A backup has at most {backup.FILE_MAX >> 20} MiB.",
    backup.CHANGED: "No version of data_backup writes this: take another backup.",
    backup.WRONG_PASSPHRASE: "Or someone changed the file. Try again with its passphrase; without -passphrase its"
    " secrets stay out.",
    backup.NO_SECRETS: "Leave -passphrase away to restore the rest.",
}


def read_passphrase(text: str) -> str:
    """A new passphrase. ValueError where it is too short or too long."""
    if not PASSPHRASE_MIN <= len(text) <= PASSPHRASE_MAX:
        raise ValueError(f"has fewer than {PASSPHRASE_MIN} or more than {PASSPHRASE_MAX} characters")
    return text


COMMANDS: Final = (
    Command(
        name="data_backup",
        summary="Write all settings, without registrations, to a file.",
        options=(
            Option(key="file", names=("-f", "--file"), metavar="FILE",
                   help="The file to write, which must not be there; else one named for the time, in this directory."),
            Option(key="passphrase", names=("-passphrase", "--passphrase"), kind="secret", metavar="TEXT",
                   read=read_passphrase, prompt="Passphrase of the backup", twice=True,
                   help="Take secrets along (authorization codes, passwords, private keys), sealed under it. At least"
                   f" {PASSPHRASE_MIN} characters; -passphrase alone asks for it. Without it they are left out."),
        ),
        actions=(
            Action(key="write", effect="backup:write", summary="Write a backup.", takes=("file", "passphrase"),
                   changes=False, audited=True, waits="writing the backup"),
        ),
        examples=("data_backup", "data_backup -f before-upgrade.backup", "data_backup --json"),
    ),
    Command(
        name="data_restore",
        summary="Put back all settings of a backup, or none.",
        options=(
            Option(key="file", names=("-f", "--file"), kind="file", metavar="FILE", file_max=backup.FILE_MAX,
                   help="A file that data_backup wrote."),
            Option(key="passphrase", names=("-passphrase", "--passphrase"), kind="secret", metavar="TEXT",
                   prompt="Passphrase of the backup",
                   help="Restore its secrets too; -passphrase alone asks for it. Without it, secrets that match stay as"
                   " they are here, and what is left without one is listed."),
        ),
        actions=(
            Action(key="restore", effect="backup:restore", summary="Restore a backup.", needs=("file",),
                   takes=("passphrase",), waits="reading the backup"),
        ),
        texts=(
            *((text, f"behind NOT EXECUTED. {then}") for text, then in NEXT.items()),
            (EXCEPTIONS_EXIST, "behind NOT EXECUTED: the backup sets policy 1 or 3 beside them; the numbers follow"),
            (LICENSE_MISSING, "behind NOT EXECUTED: it enables what no licence, of it or installed here, allows"),
        ),
        examples=("data_restore -f before-upgrade.backup",),
    ),
)  # fmt: skip


# --- data_backup


def write(request: Request) -> Outcome:
    """data_backup."""
    rows = tuple(rows_of(backup.state_in(request.database())))
    passphrase: str = request.options.get("passphrase") or ""
    manifest = backup.Manifest(created=request.now, host=request.host, realm=request.realm)
    keys = None
    if passphrase:
        manifest = replace(manifest, salt=backup.new_salt(), work=backup.WORK)
        keys = backup.derive(passphrase, manifest.salt, manifest.work)
        kept = tuple(resealed(rows, request.vault, keys.vault))
    else:
        kept = tuple(without_secrets(rows))
    octets = backup.write(kept, manifest, keys)
    try:
        backup.read(octets, passphrase)
    except BackupError:
        raise StoreError(
            f"a backup could not be restored: {unfit(kept) or 'the store'} is none that a command makes;"
            " remove it, or make it anew"
        ) from None
    name = request.options.get("file") or default_name(request.now)
    value = {"file": name, "octets": len(octets), "sha256": backup.checksum(octets), "secrets": keys is not None}
    return Outcome(
        lines=(f"Backup: {name}", f"Size: {len(octets):,} octets", f"SHA-256: {value['sha256']}"),
        value=value,
        warnings=(SECRETS_LEFT_OUT,) if keys is None and kept != rows else (),
        write=FileContent(name, octets),
    )


def default_name(now: float) -> str:
    """``srtpgw-20270115T080000Z.backup``."""
    return datetime.fromtimestamp(now, UTC).strftime("srtpgw-%Y%m%dT%H%M%SZ.backup")


# --- data_restore


def restore(request: Request) -> Outcome:
    """data_restore."""
    file: FileContent = request.options["file"]
    try:
        found = backup.read(file.octets, request.options.get("passphrase") or "")
        planned = _planned(request, found)
    except BackupError as error:
        return not_executed(str(error), NEXT[str(error)])
    except VaultError:
        return not_executed(backup.CHANGED, NEXT[backup.CHANGED])
    if planned.faults:
        return not_executed(*(line for fault in planned.faults for line in (fault.text, *lines_of(fault.numbers))))
    if planned.replaces and not request.confirmed:
        return Outcome(question=_question(file, found, planned))
    done = f"Restored: {_named(file, found)}" if planned.changes else "Nothing is changed: all is as in the backup."
    return Outcome(
        lines=(done, *planned.summary),
        value={
            "restored": file.name,
            "created": time_text(found.manifest.created),
            "host": found.manifest.host,
            "changes": list(planned.summary),
            "codes_left_out": list(planned.lost_codes),
            "without_rac": list(planned.without_code),
            "routes_without_credentials": list(planned.lost_passwords),
            "certificates_without_key": list(planned.lost_keys),
            "registrations_ended": list(planned.ended),
        },
        warnings=tuple(_losses(planned)),
        changes=planned.changes,
    )


def _planned(request: Request, found: backup.Backup) -> Plan:
    return plan(
        request.state,
        found.rows,
        opening=found.vault,
        vault=request.vault,
        realm=request.realm,
        host=request.host,
        now=request.now,
    )


def _named(file: FileContent, found: backup.Backup) -> str:
    return f"{file.name}, of {time_text(found.manifest.created)} on {found.manifest.host or 'an unnamed host'}"


def _question(file: FileContent, found: backup.Backup, planned: Plan) -> str:
    """What would change and what would be lost, before it is."""
    told = [*planned.summary, *_losses(planned)]
    return f"{_named(file, found)}. This would change: {'; '.join(told)}. Restore it?"


def _losses(planned: Plan) -> Iterator[str]:
    """What is without the secret that it had, and what else an operator must look after."""
    if planned.lost_codes:
        yield f"left without their authorization code (auth_code -i sets it): {listed(planned.lost_codes)}"
    others = set(planned.without_code) - set(planned.lost_codes)
    if others:
        yield f"{listed(others)} {NO_CODE_WARNING}"
    if planned.lost_passwords:
        routes = ", ".join(map(str, planned.lost_passwords))
        yield f"SIP routes left without credentials (sip_route -set gives -authname and -password): {routes}"
    if planned.lost_keys:
        names = ", ".join(planned.lost_keys)
        yield f"certificates that are not restored, as their key is neither in the backup nor here: {names}"
    if planned.ended:
        yield f"registrations that end, as there is no such extension in the backup: {listed(planned.ended)}"
