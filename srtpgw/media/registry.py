"""Which keys are in use on which leg, by fingerprint.

One key in two places would use keystream twice, or let packets be reflected. The one exception is verify-and-forward:
what one leg receives under a key leaves its peer as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from srtpgw.errors import KeyReuse
from srtpgw.srtp import MasterKey, fingerprint


class KeyRegistry:
    """Fingerprints of receiving and of sending keys, with the leg that holds each."""

    def __init__(self) -> None:
        self._receiving: dict[bytes, int] = {}
        self._sending: dict[bytes, int] = {}
        self._held: dict[int, tuple[list[bytes], list[bytes]]] = {}
        self._spent: set[bytes] = set()
        self._borrowed: set[bytes] = set()
        self._heard: dict[int, set[bytes]] = {}
        self.refused = 0

    def check(self, leg: int, receive: Iterable[MasterKey], transmit: Iterable[MasterKey]) -> None:
        """KeyReuse where another leg receives or sends under one of these keys the same way."""
        for keys, held, way in ((receive, self._receiving, "receives"), (transmit, self._sending, "sends")):
            for key in keys:
                holder = held.get(fingerprint(key), leg)
                if holder != leg:
                    self.refuse(f"leg {holder} {way} under the same key")

    def check_unused(self, transmit: Iterable[MasterKey]) -> None:
        """KeyReuse where a key protected packets before: without the state of then its indices would start again."""
        if any(fingerprint(key) in self._spent for key in transmit):
            self.refuse("a sending key was in use before, and comes without the sending state of then")

    def check_use(self, transmit: Iterable[MasterKey], forwarded: bool) -> None:
        """KeyReuse where a key that protected is to forward, or the reverse: the far end's indices are not ours."""
        other = self._spent if forwarded else self._borrowed
        if any(fingerprint(key) in other for key in transmit):
            self.refuse("a sending key either protects, or belongs to what is forwarded: never both")

    def use(self, transmit: Iterable[MasterKey], forwarded: bool) -> None:
        """From now on packets leave under these keys, forwarded as they are or protected here."""
        (self._borrowed if forwarded else self._spent).update(map(fingerprint, transmit))

    def check_receiving(self, leg: int, receive: Iterable[MasterKey]) -> None:
        """KeyReuse where a leg would go back to a key it received under: recorded packets would be taken again."""
        if any(fingerprint(key) in self._heard.get(leg, ()) for key in receive):
            self.refuse(f"leg {leg} received under this key before")

    def check_join(self, leg: int, transmit: Iterable[MasterKey], forwarded_from: int) -> None:
        """KeyReuse where a sending key of `leg` is what another leg receives under, unless that leg's packets are
        forwarded as they are (`forwarded_from`, 0 for none)."""
        for key in transmit:
            holder = self._receiving.get(fingerprint(key), 0)
            if holder and holder != forwarded_from:
                self.refuse(f"leg {leg} would send under the key that leg {holder} receives under")

    def receivers(self, keys: Iterable[MasterKey]) -> set[int]:
        """Legs that receive under any of these keys."""
        return {self._receiving[mark] for mark in map(fingerprint, keys) if mark in self._receiving}

    def senders(self, keys: Iterable[MasterKey]) -> set[int]:
        """Legs that send under any of these keys."""
        return {self._sending[mark] for mark in map(fingerprint, keys) if mark in self._sending}

    def put(self, leg: int, receive: Iterable[MasterKey], transmit: Iterable[MasterKey]) -> None:
        """The leg holds these keys now, and none it held before."""
        self.remove(leg)
        self._held[leg] = ([fingerprint(key) for key in receive], [fingerprint(key) for key in transmit])
        self._heard.setdefault(leg, set()).update(self._held[leg][0])
        for held, marks in zip((self._receiving, self._sending), self._held[leg], strict=True):
            held.update(dict.fromkeys(marks, leg))

    def forget(self, leg: int) -> None:
        """The leg is closed."""
        self.remove(leg)
        self._heard.pop(leg, None)

    def remove(self, leg: int) -> None:
        """Take away the leg's present keys."""
        for held, marks in zip((self._receiving, self._sending), self._held.pop(leg, ([], [])), strict=True):
            for mark in marks:
                del held[mark]

    def refuse(self, reason: str) -> NoReturn:
        """Count and raise."""
        self.refused += 1
        raise KeyReuse(reason)
