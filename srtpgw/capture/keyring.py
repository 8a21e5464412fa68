"""The known keys of a capture by number, and what of them is tried against a stream.

A key may be known from several places and fit several suites; each pair of octets and suite is tried once. An *entry*
is such a pair, numbered as in ``TrialKeys``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from srtpgw import _native
from srtpgw.capture.calls import KnownKey
from srtpgw.capture.report import Address
from srtpgw.srtp import SUITES

_SUITE_NUMBERS: Final = {name: number for number, name in enumerate(SUITES)}
_SUITE_NAMES: Final = tuple(SUITES)


class Keyring:
    """``keys`` are numbered from 0 here, and from 1 in reports."""

    def __init__(self, keys: Iterable[KnownKey]) -> None:
        self.keys: tuple[KnownKey, ...] = tuple(keys)
        self._owners: list[list[int]] = []  # of each entry: numbers of the keys it is of
        self._of_key: list[list[int]] = [[] for _ in self.keys]
        self._suites: list[str] = []
        self._by_address: dict[Address, list[int]] = defaultdict(list)
        self._by_ssrc: dict[int, list[int]] = defaultdict(list)
        self.trial = _native.TrialKeys(self._entries())

    def __repr__(self) -> str:
        return f"Keyring(<{len(self.keys)} keys>)"

    def _entries(self) -> list[tuple[int, bytes, bytes]]:
        known: dict[tuple[int, bytes, bytes], int] = {}
        for number, key in enumerate(self.keys):
            for suite in key.suites:
                entry = known.setdefault((_SUITE_NUMBERS[suite], key.key_and_salt, key.mki), len(known))
                if entry == len(self._owners):
                    self._owners.append([])
                    self._suites.append(suite)
                self._owners[entry].append(number)
                self._of_key[number].append(entry)
                for address in {*key.senders, *key.receivers}:
                    self._by_address[address].append(entry)
                if key.ssrc is not None:
                    self._by_ssrc[key.ssrc].append(entry)
        return list(known)

    def suite(self, entry: int) -> str:
        return self._suites[entry]

    def owners(self, entry: int) -> list[int]:
        """Numbers of the keys that an entry is of."""
        return self._owners[entry]

    def owner(self, entry: int, source: Address, destination: Address) -> int:
        """Number of the key that an entry is of: where it is known from several places, the one announced for these
        ends."""
        owners = self._owners[entry]
        return next((each for each in owners if is_for(self.keys[each], source, destination)), owners[0])

    def hints(self, source: Address, destination: Address, ssrc: int) -> list[int]:
        """Entries to try first for a stream: those of its SSRC, those announced for its ends."""
        near = [*self._by_ssrc.get(ssrc, ()), *self._by_address.get(source, ()), *self._by_address.get(destination, ())]
        sure = [
            entry for entry in near if any(is_for(self.keys[each], source, destination) for each in self._owners[entry])
        ]
        return list(dict.fromkeys([*self._by_ssrc.get(ssrc, ()), *sure, *near]))

    def announced(self, source: Address, destination: Address) -> tuple[int, ...]:
        """Numbers of the keys that signaling announced for media from there to there."""
        near = {entry for end in (source, destination) for entry in self._by_address.get(end, ())}
        owners = {each for entry in near for each in self._owners[entry]}
        return tuple(
            sorted(
                each
                for each in owners
                if self.keys[each].frame is not None and is_for(self.keys[each], source, destination)
            )
        )

    def entries(self, numbers: Iterable[int]) -> list[int]:
        """Of keys by their numbers."""
        return [entry for number in numbers for entry in self._of_key[number]]

    def equal(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of keys with the same octets."""
        alike: dict[bytes, list[int]] = defaultdict(list)
        for number, key in enumerate(self.keys):
            alike[key.key_and_salt].append(number)
        return tuple(tuple(numbers) for numbers in alike.values() if len(numbers) > 1)


def is_for(key: KnownKey, source: Address, destination: Address) -> bool:
    """Whether a key was announced for media between these ends. Some send from another port than they hear at."""
    return destination in key.receivers or (
        source in key.senders and (not key.receivers or destination.host in hosts(key.receivers))
    )


def hosts(addresses: Sequence[Address]) -> set[str]:
    return {address.host for address in addresses}
