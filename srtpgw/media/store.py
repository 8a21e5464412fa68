"""The sending state of static keys, kept across restarts.

A key that stands in a file is used again after every restart, so the indices it has protected must not come back: the
same (key, SSRC, index) twice is the same keystream twice. Two files see to it (docs/relay.md tells it at length):

* ``FILE.state`` beside the relay file: per sending context its per-SSRC indices, and whether they are exact. A context
  in use is marked inexact, on disk, before its first packet. Only an orderly stop writes final indices and marks it
  exact. After anything else every source goes on under a fresh random SSRC, so nothing has to be reserved ahead.
* the register of used keys, one per user: which run used a key last. A key that it knows and the state file does not,
  or knows from an earlier run (an old copy put back), has indices in use that the state file cannot tell.

Neither holds a key: keys are known by a hash under a random salt of the file, itself useless without the key.
Both are 0600, written to a new file, synced and renamed over the old one.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from srtpgw.errors import StateError
from srtpgw.media.leg import RenameSources
from srtpgw.srtp import MasterKey, fingerprint

FORMAT = 1
FILE_MAX = 256 << 20  # octets
RETIRED_MAX = 4096  # contexts out of use that are remembered; a key forgotten here is still in the register
SALT_LENGTH = 32
RUN_LENGTH = 16

Keys = Sequence[MasterKey]


class Resumption(NamedTuple):
    """How a sending context starts: the two settings of ``LegSettings`` that say so."""

    sending_state: bytes
    rename_sources: RenameSources


FRESH = Resumption(b"", "none")

_USED_BEFORE = (
    "was used before, but its sending state is not in this file: "
    "put the file back, take a new key, or start with --allow-index-reuse"
)


_NOT_A_STATE = (
    "is damaged, or of another version: put a good copy back, take new keys, or start with --allow-index-reuse"
)
_NOT_A_REGISTER = (
    "is damaged, so which keys were used before is not known: "
    "put a good copy back, take new keys with another SRTPGW_STATE_DIR, or start with --allow-index-reuse"
)
_WAYS_OUT = "its folder must be there and writable"
_REGISTER_WAYS_OUT = "set SRTPGW_STATE_DIR to a folder that is writable"


@dataclass(frozen=True, slots=True)
class _Context:
    """One sending context: the hashes of its keys and what is known of their indices."""

    keys: tuple[str, ...]
    state: bytes
    exact: bool  # final: nothing was sent after the state was exported
    renames: bool  # was inexact once, so there may be sources that it does not know
    run: str  # the run that used it last


class _Past(NamedTuple):
    """What is known of a list of keys before it is begun."""

    hashes: tuple[str, ...]
    found: list[_Context]
    exact: bool
    renames: bool
    resumption: Resumption


class SendingStates:
    """The state file of one relay, held under a lock from ``open`` to ``close``.

    ``begin`` before keys are used, ``keep`` now and then while they are, ``settle`` when their legs have stopped.
    Each writes to disk before it returns. Raises StateError. ``allow_reuse`` starts keys anew that were used before
    and whose indices are not known here, where otherwise they are refused; so it does with a damaged file.
    """

    def __init__(self, path: Path, register: Path, *, allow_reuse: bool = False) -> None:
        self.path = path
        self._allow_reuse = allow_reuse
        self._register = _Register(register)
        self._run = secrets.token_hex(RUN_LENGTH)
        self._salt = secrets.token_bytes(SALT_LENGTH)
        self._contexts: dict[tuple[str, ...], _Context] = {}
        self._by_key: dict[str, _Context] = {}
        self._before: dict[tuple[str, ...], tuple[_Context, ...]] = {}  # in use: what they were begun from
        self._lock, created = _open_locked(path)
        self._empty = created
        try:
            self._load()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let go of the lock. A file that this process made and never wrote to is removed."""
        if self._lock >= 0:
            if self._empty:
                self.path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> SendingStates:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self, contexts: Sequence[tuple[str, Keys]]) -> list[Resumption]:
        """Refuse what ``begin`` would refuse, unwritable files included, and mark nothing as in use.

        Says how each context would start if it were begun now; one that is in use at the moment, as after a crash.
        """
        with self._register.locked():
            runs = self._readable(contexts)
            self._save()
            self._register.write([], self._run)
            return [self._judge(keys, runs).resumption for _, keys in contexts]

    def begin(self, contexts: Sequence[tuple[str, Keys]]) -> list[Resumption]:
        """Mark sending contexts (each: a name for messages, its keys) as in use, and say how each is to start.

        A refusal comes before anything is written, and after a failure nothing is in use that was not before.
        """
        with self._register.locked():
            runs = self._readable(contexts)
            before = self._contexts.copy(), self._by_key.copy(), self._before.copy()
            try:
                resumptions = [self._begin(keys, runs) for _, keys in contexts]
                self._save()
                # Behind the state file: dying in between leaves an inexact state, and that is safe.
                self._register.write([key for _, keys in contexts for key in keys], self._run)
            except BaseException:
                self._contexts, self._by_key, self._before = before
                raise
        return resumptions

    def keep(self, contexts: Sequence[tuple[Keys, bytes]]) -> None:
        """Note the state of contexts that go on sending: after a crash none of its SSRCs is used again."""
        for keys, state in contexts:
            self._add(replace(self._contexts[self._hashes(keys)], state=state))
        if contexts:
            self._save()

    def unused(self, keys: Keys) -> bool:
        """Whether none of these keys was ever begun, here or elsewhere under this register."""
        with self._register.locked():
            runs = self._register.read(allow_damage=self._allow_reuse)
        fresh = all(self._register.name(key) not in runs for key in keys)
        return fresh and not any(each in self._by_key for each in self._hashes(keys))

    def settle(self, contexts: Sequence[tuple[Keys, bytes | None]], *, exact: bool = True) -> None:
        """Note the state of contexts that have stopped sending; None for one that never started.

        Not ``exact``: packets may have left after the state was exported.
        """
        for keys, state in contexts:
            hashes = self._hashes(keys)
            begun_from = self._before.pop(hashes)
            current = self._contexts[hashes]
            self._remove(current)
            if state is not None:
                self._add(replace(current, state=state, exact=exact))
            else:
                # A key without a past stays one that nothing was sent under: the register knows it from now on.
                for before in begun_from or [replace(current, state=b"", exact=True)]:
                    self._add(replace(before, run=self._run))
        self._save()

    # -- what is known of keys

    def _hashes(self, keys: Keys) -> tuple[str, ...]:
        return tuple(fingerprint(key, self._salt).hex() for key in keys)

    def _readable(self, contexts: Sequence[tuple[str, Keys]]) -> dict[str, str]:
        """The register, which says nothing against these contexts."""
        runs = self._register.read(allow_damage=self._allow_reuse)
        faults = [
            StateError(str(self.path), name, _USED_BEFORE)
            for name, keys in contexts
            if not self._allow_reuse and not self._known(keys, runs)
        ]
        if faults:
            raise StateError.of(faults)
        return runs

    def _known(self, keys: Keys, runs: dict[str, str]) -> bool:
        """Whether every key that the register knows has a context here."""
        return all(
            each in self._by_key or self._register.name(key) not in runs
            for key, each in zip(keys, self._hashes(keys), strict=True)
        )

    def _add(self, context: _Context) -> None:
        self._contexts[context.keys] = context
        self._by_key |= dict.fromkeys(context.keys, context)

    def _remove(self, context: _Context) -> None:
        del self._contexts[context.keys]
        for each in context.keys:
            if self._by_key.get(each) is context:
                del self._by_key[each]

    def _judge(self, keys: Keys, runs: dict[str, str]) -> _Past:
        """What is known of these keys, and how they start with it."""
        hashes = self._hashes(keys)
        found = list({id(c): c for each in hashes if (c := self._by_key.get(each)) is not None}.values())
        last_runs = {runs.get(self._register.name(key)) for key in keys} - {None}
        exact = all(context.exact and last_runs <= {context.run} for context in found) and len(found) <= 1
        renames = not exact or any(context.renames for context in found)
        state = found[0].state if found else b""
        rename: RenameSources = "all" if not exact else "unknown" if renames else "none"
        return _Past(hashes, found, exact, renames, Resumption(state, rename))

    def _begin(self, keys: Keys, runs: dict[str, str]) -> Resumption:
        past = self._judge(keys, runs)
        for context in past.found:
            # A context of several keys that go separate ways stays for those not begun here.
            rest = tuple(each for each in context.keys if each not in past.hashes)
            self._remove(context)
            if rest:
                self._add(replace(context, keys=rest))
        # What was judged inexact stays so, should it never be used: settle() gives it this run.
        self._before[past.hashes] = tuple(replace(context, exact=past.exact) for context in past.found)
        state = past.resumption.sending_state
        self._add(_Context(past.hashes, state, exact=False, renames=past.renames, run=self._run))
        return past.resumption

    # -- the file

    def _load(self) -> None:
        octets = _read(self._lock, self.path)
        if not octets:
            return
        try:
            body = _unseal(octets)
            self._salt = bytes.fromhex(body["salt"])
            contexts = [_context(entry) for entry in body["contexts"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            if self._allow_reuse:
                return
            raise StateError(str(self.path), "", _NOT_A_STATE) from None
        for context in contexts:
            self._add(context)

    def _save(self) -> None:
        retired = [keys for keys in self._contexts if keys not in self._before]
        for keys in retired[: max(0, len(retired) - RETIRED_MAX)]:
            self._remove(self._contexts[keys])
        entries = [
            {
                "keys": list(context.keys),
                "state": base64.b64encode(context.state).decode("ascii"),
                "exact": context.exact,
                "renames": context.renames,
                "run": context.run,
            }
            for context in self._contexts.values()
        ]
        fresh = _replace(self.path, _seal({"salt": self._salt.hex(), "contexts": entries}), lock=True)
        os.close(self._lock)
        self._lock = fresh
        self._empty = False


@dataclass(slots=True)
class _Register:
    """Which run used each key last. Shared by all relays of a user, so read and written under a lock of its own."""

    path: Path
    salt: bytes = b""
    runs: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def locked(self) -> Iterator[None]:
        lock = self.path.with_suffix(".lock")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _os_fault(lock, error, _REGISTER_WAYS_OUT) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def name(self, key: MasterKey) -> str:
        """What the register calls a key; good after ``read``."""
        return fingerprint(key, self.salt).hex()

    def read(self, *, allow_damage: bool) -> dict[str, str]:
        self.salt, self.runs = secrets.token_bytes(SALT_LENGTH), {}
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return self.runs
        except OSError as error:
            raise _os_fault(self.path, error, _REGISTER_WAYS_OUT) from None
        try:
            body = _unseal(_read(handle, self.path))
            salt, runs = bytes.fromhex(body["salt"]), {str(name): str(run) for name, run in body["runs"].items()}
            self.salt, self.runs = salt, runs
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            if not allow_damage:
                raise StateError(str(self.path), "", _NOT_A_REGISTER) from None
        finally:
            os.close(handle)
        return self.runs

    def write(self, keys: Sequence[MasterKey], run: str) -> None:
        self.runs |= {self.name(key): run for key in keys}
        _replace(self.path, _seal({"salt": self.salt.hex(), "runs": self.runs}))


def _context(entry: dict[str, Any]) -> _Context:
    keys, exact, renames, run = entry["keys"], entry["exact"], entry["renames"], entry["run"]
    if not isinstance(exact, bool) or not isinstance(renames, bool) or not isinstance(run, str):
        raise ValueError("wrong type")
    return _Context(tuple(map(str, keys)), base64.b64decode(entry["state"], validate=True), exact, renames, run)


# --- files -----------------------------------------------------------------------------------------------------------


def _seal(body: dict[str, Any]) -> bytes:
    """A body with its digest, so that a torn or edited file is never taken for a state."""
    text = json.dumps(body, separators=(",", ":"))
    digest = hashlib.blake2b(text.encode("ascii"), digest_size=32).hexdigest()
    return f'{{"srtpgw-state":{FORMAT},"digest":"{digest}","body":{text}}}\n'.encode("ascii")


def _unseal(octets: bytes) -> dict[str, Any]:
    """The body of a sealed file. Raises ValueError, KeyError or TypeError when it is anything else."""
    document = json.loads(octets.decode("ascii"))
    text = json.dumps(document["body"], separators=(",", ":"))
    digest = hashlib.blake2b(text.encode("ascii"), digest_size=32).hexdigest()
    body = document["body"]
    if document["srtpgw-state"] != FORMAT or not hmac.compare_digest(digest, document["digest"]):
        raise ValueError("not a state of this version")
    if not isinstance(body, dict):
        raise TypeError("not a table")
    return body


def _open_locked(path: Path) -> tuple[int, bool]:
    """The file, made if need be, and locked against other processes; with whether it had to be made."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise _os_fault(path, error, _WAYS_OUT) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder replaces the file, or removes it, and the lock goes with the new one.
            ours = os.fstat(handle)
            with suppress(FileNotFoundError):
                if os.path.samestat(ours, path.stat()):
                    # Nobody writes an empty one: it was made here, or left by who made it and died.
                    return handle, stat.S_ISREG(ours.st_mode) and ours.st_size == 0
        except BlockingIOError:
            os.close(handle)
            raise StateError(str(path), "", "is in use by another relay: stop that one first") from None
        except OSError as error:
            os.close(handle)
            raise _os_fault(path, error, _WAYS_OUT) from None
        os.close(handle)


def _read(handle: int, path: Path) -> bytes:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise StateError(str(path), "", "is not a regular file")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
        raise StateError(str(path), "", "can be changed by others, so what it says cannot be trusted")
    if status.st_size > FILE_MAX:
        raise StateError(str(path), "", f"is larger than {FILE_MAX} octets")
    return os.pread(handle, FILE_MAX, 0)


def _replace(path: Path, octets: bytes, *, lock: bool = False) -> int:
    """Put new contents in the file's place, all of them or none, on disk when this returns.

    With ``lock`` the new file is locked before it gets its name, and its descriptor returned; otherwise -1.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if lock:
                fcntl.flock(handle, fcntl.LOCK_EX)
            written = 0
            while written < len(octets):
                written += os.write(handle, octets[written:])
            os.fsync(handle)
            fresh.replace(path)
            _sync_directory(path.parent)
        except BaseException:
            os.close(handle)
            with suppress(OSError):
                fresh.unlink()
            raise
    except OSError as error:
        raise _os_fault(path, error, _WAYS_OUT if lock else _REGISTER_WAYS_OUT) from None
    if not lock:
        os.close(handle)
        return -1
    return handle


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _os_fault(path: Path, error: OSError, way_out: str) -> StateError:
    hint = f" ({way_out})" if error.errno not in (errno.ENOSPC, errno.EDQUOT) else ""
    return StateError(str(path), "", f"cannot be used: {error.strerror or type(error).__name__}{hint}")
