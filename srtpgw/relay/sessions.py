"""The sessions of a relay file inside a gateway: opened together, changed by their differences, closed in order.

A changed file is compared with what runs, session by session under its name::

    not there before        added       opened while the others run; if one cannot be, the file is refused
    not there any more      removed
    differs where a leg     changed     in place, no packet lost
      can change
    differs elsewhere       reopened    closed and opened again, like a removed and an added one
    the same                untouched

Sending state of static keys goes with it: keys are begun before their legs are joined and settled after they part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from srtpgw.errors import ConfigError, KeyReuse, LimitReached, MediaError, PortUnavailable, SrtpgwError, StateError
from srtpgw.media.gateway import SRTCP_SKIP, MediaGateway
from srtpgw.media.keys import same_keys
from srtpgw.media.leg import LegSettings
from srtpgw.media.session import Leg, Session
from srtpgw.media.store import FRESH, Keys, Resumption, SendingStates
from srtpgw.relay.file import RelayConfig, SessionConfig
from srtpgw.srtp import fingerprint

# What a leg takes while media flows. Keys only where nothing was sent under them before and no other session had them.
IN_PLACE: Final = frozenset({"remote", "remote_rtcp", "source", "dscp", "hold", "media_timeout", "clock_rate"})
IN_PLACE_KEYS: Final = frozenset({"receive_keys", "transmit_keys"})

# An inexact state is taken up SRTCP_SKIP indices on, so it has to be kept anew well before that many were sent.
SRTCP_KEEP: Final = SRTCP_SKIP >> 4


@dataclass(slots=True)
class Changes:
    """What applying a file did, by session name.

    ``failed`` maps those that are not running to the fault, ``refused`` those that run, but not as the file says.
    ``unsaved`` is why sending state could not be written: it is good as long as the relay runs.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    refused: dict[str, Exception] = field(default_factory=dict)
    unsaved: list[StateError] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


@dataclass(slots=True)
class _Running:
    config: SessionConfig
    legs: tuple[Leg, Leg]
    session: Session
    sources: tuple[bytes, ...] = ()  # what tells that a source came or went since the state was kept

    def sending(self) -> Iterator[tuple[Keys, Leg]]:
        return ((self.config.legs[number].transmit_keys, self.legs[number]) for number in sending_legs(self.config))


_OTHER_SETTINGS = "its transmit-key was used before: keep suite, keys and window as they were then, or take a new key"
_CANNOT_RESUME = "was used before, and libsrtp cannot take up its indices: take a new key, or --crypto native"

_GOES_ON = "the session goes on as it was"
_CHANGED_IN_PART = "the session goes on, changed in part"

_Edit = list[dict[str, Any]]  # per leg, the fields that change


def _unused(sessions: Sequence[SessionConfig]) -> list[tuple[Keys, bytes | None]]:
    return [(session.legs[number].transmit_keys, None) for session in sessions for number in sending_legs(session)]


def sending_legs(session: SessionConfig) -> Iterator[int]:
    """The legs (0, 1) that protect packets; one that passes on what the other received does not."""
    return (number for number, leg in enumerate(session.legs) if leg.transmit_keys and not session.forwards(1 - number))


class Relay:
    """One relay file at work. ``open_states`` is called once, when the first sending key needs it.

    ``keeps_state`` False: the provider tells nobody its indices (libsrtp), so a key is good for one run only, unless
    ``allow_reuse``.
    """

    def __init__(
        self,
        gateway: MediaGateway,
        open_states: Callable[[], SendingStates],
        *,
        keeps_state: bool = True,
        allow_reuse: bool = False,
    ) -> None:
        self._gateway = gateway
        self._open_states = open_states
        self._keeps_state = keeps_state
        self._allow_reuse = allow_reuse
        self._states: SendingStates | None = None
        self._running: dict[str, _Running] = {}
        self._unsaved: list[StateError] = []

    @property
    def names(self) -> list[str]:
        """Of the sessions that run."""
        return list(self._running)

    @property
    def legs(self) -> list[Leg]:
        """All legs, in the order of the file that opened them."""
        return [leg for running in self._running.values() for leg in running.legs]

    def open(self, config: RelayConfig) -> None:
        """Open every session of the file, or none. Raises ConfigError or MediaError."""
        self._open(config.file, config.sessions)

    def apply(self, config: RelayConfig) -> Changes:
        """Bring what runs to what the file says.

        Raises ConfigError or MediaError, with nothing changed, when an added session cannot be opened beside what
        runs, or the sending state forbids it. What fails later, because it has to wait for a port or key to come free,
        is told in ``failed`` and ``refused``.
        """
        wanted = {session.name: session for session in config.sessions}
        edits, changes = self._compare(wanted)
        leaving = changes.removed + changes.reopened
        held = {need for name in leaving + changes.changed for need in _needs(self._running[name].config)}
        early: list[SessionConfig] = []
        late = [wanted[name] for name in changes.reopened]
        for name in changes.added:
            (early if held.isdisjoint(_needs(wanted[name])) else late).append(wanted[name])
        self._check(late)
        self._open(config.file, early)
        before = {name: self._running[name].config for name in changes.reopened}
        self._part([self._running[name] for name in leaving])
        for name, edit in edits.items():
            if self._edit_running(config.file, wanted[name], edit, changes):
                before[name] = self._running[name].config
                late.append(wanted[name])
                self._part([self._running[name]])
        for session in late:
            self._open_late(config.file, session, before.get(session.name), changes)
        for names in (changes.added, changes.changed, changes.reopened):
            names[:] = [name for name in names if name not in changes.failed and name not in changes.refused]
        changes.unsaved, self._unsaved = self._unsaved, []
        return changes

    def keep_states(self, gate: AbstractContextManager[Any] | None = None) -> None:
        """Note the sending state of sessions where a source came or changed since the last time. The gateway is asked
        inside ``gate``; the disk is not waited for in it."""
        if self._states is None or not self._keeps_state:
            return
        kept: list[tuple[Keys, bytes]] = []
        seen: list[tuple[_Running, tuple[bytes, ...]]] = []
        with gate or nullcontext():
            marks = self._gateway.source_marks(SRTCP_KEEP)
            for running in self._running.values():
                sources = tuple(marks[leg.id] for leg in running.legs if leg.id in marks)
                if sources != running.sources:
                    seen.append((running, sources))
                    kept += [(keys, leg.export_sending_state()) for keys, leg in running.sending()]
        if kept:
            self._states.keep(kept)
        for running, told in seen:
            running.sources = told

    def close(self) -> None:
        """Stop every session, note final sending states and let go of their file."""
        try:
            self._close(list(self._running.values()))
        finally:
            if self._states is not None:
                self._states.close()

    # -- steps

    def _compare(self, wanted: Mapping[str, SessionConfig]) -> tuple[dict[str, _Edit], Changes]:
        """What is to be done, and how legs change in place, by session name."""
        changes = Changes(added=[name for name in wanted if name not in self._running])
        edits: dict[str, _Edit] = {}
        for name, running in self._running.items():
            if name not in wanted:
                changes.removed.append(name)
            elif not _same(running.config, wanted[name]):
                edit = self._edit(running.config, wanted[name])
                if edit is None:
                    changes.reopened.append(name)
                else:
                    edits[name] = edit
        changes.changed = list(edits)
        return edits, changes

    def _open(self, file: str, sessions: Sequence[SessionConfig]) -> None:
        """All of these or none: every leg is opened before the first two are joined, so that until then no packet
        has been sent and there is nothing to settle."""
        resumptions = self._begin(sessions)
        legs: dict[tuple[str, int], Leg] = {}
        started: list[_Running] = []
        try:
            for session, number in _opening_order(sessions):
                state, rename = resumptions.get((session.name, number), FRESH)
                settings = replace(session.legs[number], sending_state=state, rename_sources=rename)
                legs[session.name, number] = _open_leg(self._gateway, file, session.name, number, settings)
            self._keep_skipped(resumptions, legs, sessions)
            for session in sessions:
                pair = (legs[session.name, 0], legs[session.name, 1])
                started.append(_Running(session, pair, _join(self._gateway, file, session.name, pair)))
        except BaseException:
            self._part(started)
            idle = sessions[len(started) :]
            for session in idle:
                for number in (0, 1):
                    if (leg := legs.get((session.name, number))) is not None:
                        self._gateway.close(leg)
            self._settle_or_tell(_unused(idle))
            raise
        self._running |= {running.config.name: running for running in started}

    def _open_late(self, file: str, session: SessionConfig, before: SessionConfig | None, changes: Changes) -> None:
        """Open a session whose ports and keys have come free. One that ran before does so again if this fails."""
        try:
            self._open(file, [session])
            return
        except (SrtpgwError, OSError) as error:
            fault = error
        if before is None or not self._open_again(file, before):
            changes.failed[session.name] = fault
        else:
            changes.refused[session.name] = _told(file, session.name, fault, _GOES_ON)

    def _open_again(self, file: str, session: SessionConfig) -> bool:
        """A session as it was, whatever the flags of the new file say of its legs."""
        flags = self._gateway.media_encryption
        self._gateway.media_encryption = {**flags, **{leg.type: leg.encrypted for leg in session.legs}}
        try:
            self._open(file, [session])
        except (SrtpgwError, OSError):
            return False
        finally:
            self._gateway.media_encryption = flags
        return True

    def _part(self, stopping: Sequence[_Running]) -> None:
        """Close sessions while others run. State that cannot be written is told, and good as long as we run."""
        try:
            self._close(stopping)
        except StateError as error:
            self._unsaved.append(error)

    def _close(self, stopping: Sequence[_Running]) -> None:
        """Close sessions and note what was sent last: of a closed leg, so that nothing follows what it says."""
        final: list[tuple[Keys, bytes | None]] = []
        for running in stopping:
            self._gateway.close(running.session)
            self._running.pop(running.config.name, None)
            for keys, leg in running.sending():
                final.append((keys, leg.export_sending_state() if self._keeps_state else b""))
        self._settle(final, exact=self._keeps_state)

    def _edit_running(self, file: str, wanted: SessionConfig, edit: _Edit, changes: Changes) -> bool:
        """Change a session in place. Whether it has to be opened again instead."""
        before = self._running[wanted.name].config
        try:
            self._change(file, wanted, edit)
        except KeyReuse:
            # Back to a key that it received under before: only a leg without a past takes that.
            changes.changed.remove(wanted.name)
            try:
                self._check([wanted])
            except StateError as error:
                changes.refused[wanted.name] = _told(file, wanted.name, error, _GOES_ON)
                return False
            changes.reopened.append(wanted.name)
            return True
        except (SrtpgwError, OSError) as error:
            whole = _same(before, self._running[wanted.name].config)
            changes.refused[wanted.name] = _told(file, wanted.name, error, _GOES_ON if whole else _CHANGED_IN_PART)
        return False

    def _change(self, file: str, wanted: SessionConfig, edit: _Edit) -> None:
        """Change a running session's legs. A sending key that goes is left inexact: nobody saw its last packet."""
        running = self._running[wanted.name]
        for number, (leg, changes) in enumerate(zip(running.legs, edit, strict=True)):
            old, new = running.config.legs[number].transmit_keys, changes.get("transmit_keys", ())
            last = leg.export_sending_state() if new else b""
            if new and self._states is not None:
                self._states.begin([(_key_path(wanted.name, number), new)])
                changes = {**changes, "sending_state": b"", "rename_sources": "none"}
            try:
                if changes:
                    self._gateway.change(leg, **changes)
            except MediaError as error:
                self._settle_or_tell([(new, None)] if new else [])
                if isinstance(error, KeyReuse):
                    raise
                raise ConfigError(file, _leg_path(wanted.name, number), str(error)) from error
            if new:
                self._settle_or_tell([(old, last)], exact=False)
            # Leg by leg, so that what has changed is known should the next leg refuse.
            done = list(running.config.legs)
            done[number] = wanted.legs[number]
            running.config = SessionConfig(wanted.name, (done[0], done[1]))

    def _edit(self, old: SessionConfig, new: SessionConfig) -> _Edit | None:
        """Per leg what changes in place; None where the session has to be opened again."""
        edit = [_differences(*legs) for legs in zip(old.legs, new.legs, strict=True)]
        fields = {name for changes in edit for name in changes}
        if not fields <= IN_PLACE | IN_PLACE_KEYS:
            return None
        if fields & IN_PLACE_KEYS and not self._can_rekey(old, new):
            return None
        return edit

    def _can_rekey(self, old: SessionConfig, new: SessionConfig) -> bool:
        """Whether new keys may come in while media flows: none stands anywhere in what runs, and each sending key is
        new altogether, so that its context takes the old one's indices and needs no state of its own."""
        if any(session.forwards(number) for session in (old, new) for number in (0, 1)):
            return False
        taken = {need for running in self._running.values() for need in _needs(running.config)}
        for before, after in zip(old.legs, new.legs, strict=True):
            changes = _differences(before, after)
            coming = {each for name in IN_PLACE_KEYS & changes.keys() for each in _prints(changes[name])}
            if not coming.isdisjoint(taken):
                return False
            if "transmit_keys" in changes and (self._states is None or not self._states.unused(after.transmit_keys)):
                return False
        return True

    # -- sending state

    def _contexts(self, sessions: Sequence[SessionConfig]) -> list[tuple[SessionConfig, int]]:
        """The sending legs. No file is made for sessions without one."""
        places = [(session, number) for session in sessions for number in sending_legs(session)]
        if places and self._states is None:
            self._states = self._open_states()
        return places

    def _check(self, sessions: Sequence[SessionConfig]) -> None:
        """Refuse now what `_begin` would refuse when what runs has been closed for it."""
        places = self._contexts(sessions)
        if places and self._states is not None:
            contexts = _named(places)
            self._check_fresh(contexts, self._states.check(contexts))

    def _begin(self, sessions: Sequence[SessionConfig]) -> dict[tuple[str, int], Resumption]:
        """How each sending leg starts."""
        places = self._contexts(sessions)
        if not places or self._states is None:
            return {}
        contexts = _named(places)
        resumptions = self._states.begin(contexts)
        if not self._keeps_state:
            try:
                self._check_fresh(contexts, resumptions)
            except StateError:
                self._settle_or_tell(_unused(sessions))
                raise
            resumptions = [FRESH] * len(resumptions)
        return {(session.name, number): start for (session, number), start in zip(places, resumptions, strict=True)}

    def _check_fresh(self, contexts: Sequence[tuple[str, Keys]], resumptions: Sequence[Resumption]) -> None:
        """A provider that cannot take up indices takes new keys only."""
        if self._keeps_state or self._allow_reuse or self._states is None:
            return
        path = str(self._states.path)
        used = [name for (name, _), start in zip(contexts, resumptions, strict=True) if start != FRESH]
        if used:
            raise StateError.of([StateError(path, name, _CANNOT_RESUME) for name in used])

    def _settle(self, contexts: Sequence[tuple[Keys, bytes | None]], *, exact: bool = True) -> None:
        if contexts and self._states is not None:
            self._states.settle(contexts, exact=exact)

    def _settle_or_tell(self, contexts: Sequence[tuple[Keys, bytes | None]], *, exact: bool = True) -> None:
        try:
            self._settle(contexts, exact=exact)
        except StateError as error:
            self._unsaved.append(error)

    def _keep_skipped(
        self,
        resumptions: Mapping[tuple[str, int], Resumption],
        legs: Mapping[tuple[str, int], Leg],
        sessions: Sequence[SessionConfig],
    ) -> None:
        """Note, before the first packet, where SRTCP goes on after an inexact state: else a second crash would have the
        next run skip from the old place to the same indices."""
        if self._states is None:
            return
        self._states.keep(
            [
                (session.legs[number].transmit_keys, legs[session.name, number].export_sending_state())
                for session in sessions
                for number in sending_legs(session)
                if resumptions[session.name, number].rename_sources == "all"
            ]
        )


def _differences(old: LegSettings, new: LegSettings) -> dict[str, Any]:
    """The fields in which two settings differ, with the new values."""
    changes: dict[str, Any] = {}
    for each in fields(LegSettings):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if each.name in IN_PLACE_KEYS:
            equal = same_keys(before, after) and [key.lifetime for key in before] == [key.lifetime for key in after]
        else:
            equal = before == after
        if not equal:
            changes[each.name] = after
    return changes


def _same(old: SessionConfig, new: SessionConfig) -> bool:
    return not any(_differences(*legs) for legs in zip(old.legs, new.legs, strict=True))


def _prints(keys: Keys) -> set[bytes]:
    return {fingerprint(key) for key in keys}


def _needs(session: SessionConfig) -> Iterator[object]:
    """What no two sessions can have at a time: local addresses and keys."""
    for leg in session.legs:
        yield from (address for address in (leg.local, leg.local_rtcp) if address is not None)
        yield from _prints((*leg.receive_keys, *leg.transmit_keys))


def _opening_order(sessions: Sequence[SessionConfig]) -> list[tuple[SessionConfig, int]]:
    """Legs with a port of their own first, before the gateway gives that port to another."""
    places = [(session, number) for session in sessions for number in (0, 1)]
    return sorted(places, key=lambda place: place[0].legs[place[1]].local is None)


def _open_leg(gateway: MediaGateway, file: str, name: str, number: int, settings: LegSettings) -> Leg:
    try:
        return gateway.open_leg(settings)
    except LimitReached:
        raise
    except PortUnavailable as error:
        raise ConfigError(file, f"{_leg_path(name, number)}.local", str(error)) from error
    except MediaError as error:
        hint = f" ({_OTHER_SETTINGS})" if settings.sending_state else ""
        raise ConfigError(file, _leg_path(name, number), f"{error}{hint}") from error


def _join(gateway: MediaGateway, file: str, name: str, pair: tuple[Leg, Leg]) -> Session:
    try:
        return gateway.join(*pair)
    except LimitReached:
        raise
    except MediaError as error:
        raise ConfigError(file, f"session[{name}]", str(error)) from error


def _told(file: str, name: str, fault: Exception, what: str) -> ConfigError:
    """A fault that did not end its session, with what became of the session."""
    if isinstance(fault, ConfigError):
        return ConfigError(fault.file, fault.key, f"{fault.reason}: {what}")
    return ConfigError(file, f"session[{name}]", f"{fault}: {what}")


def _named(places: Sequence[tuple[SessionConfig, int]]) -> list[tuple[str, Keys]]:
    return [(_key_path(session.name, number), session.legs[number].transmit_keys) for session, number in places]


def _leg_path(name: str, number: int) -> str:
    return f"session[{name}].leg[{number + 1}]"


def _key_path(name: str, number: int) -> str:
    return f"{_leg_path(name, number)}.transmit-key"
