"""What a process does to itself before it holds a key: no core file and no debugger, no secret in its command line,
room for a relay's sockets and for keys in locked memory."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from srtpgw.errors import LimitReached

PR_SET_DUMPABLE: Final = 4  # <linux/prctl.h>
ARGUMENTS_AT: Final = 45  # arg_start and arg_end in /proc/PID/stat behind the name: fields 48 and 49 of proc(5)

DESCRIPTORS_PER_LEG = 2  # RTP and RTCP
DESCRIPTORS_SLACK = 128  # interpreter, workers, metrics, files
LOCKED_PER_LEG = 5 << 10  # octets: the key records of an SRTP leg's four contexts, twice for a re-key
LOCKED_SLACK = 1 << 20


def forbid_dumps() -> None:
    """No core file, no ptrace by the same user, no readable /proc/PID/mem: keys stay in this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_DUMPABLE): {os.strerror(number)}")


def hide_arguments(words: Sequence[str], spans: Iterable[tuple[int, int]]) -> bool:
    """Write asterisks over parts of the command line that the process list shows: for each (number of the word, its
    first character), the word from there on. ``words`` are the last of the command line.

    Whether they are; where not, nothing is written. What Python holds of them stays in this process.
    """
    octets = [os.fsencode(word) for word in words]
    shown = b"".join(word + b"\0" for word in octets)
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:  # no /proc: nobody can look there either
        return bool(words)
    start, end = (int(number) for number in fields[ARGUMENTS_AT : ARGUMENTS_AT + 2])
    if not 0 < len(shown) <= end - start or ctypes.string_at(end - len(shown), len(shown)) != shown:
        return False
    for place, first in spans:
        kept = len(os.fsencode(words[place][:first]))
        address = end - sum(len(word) + 1 for word in octets[place:]) + kept
        ctypes.memset(address, ord("*"), len(octets[place]) - kept)
    return True


def need_descriptors(legs: int) -> None:
    """Have room for the sockets of so many legs. Raises LimitReached."""
    needed = legs * DESCRIPTORS_PER_LEG + DESCRIPTORS_SLACK
    if not _raise_limit(resource.RLIMIT_NOFILE, needed):
        raise LimitReached(
            f"RLIMIT_NOFILE: {legs} legs need {needed} file descriptors, the hard limit is"
            f" {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}: raise it (ulimit -Hn, LimitNOFILE= of systemd)"
        )


def want_locked_memory(legs: int) -> str:
    """Have room to keep the keys of so many SRTP legs out of swap; else a warning that says so."""
    needed = legs * LOCKED_PER_LEG + LOCKED_SLACK
    if _raise_limit(resource.RLIMIT_MEMLOCK, needed):
        return ""
    return (
        f"RLIMIT_MEMLOCK: keys of {legs} SRTP legs may need {needed} octets of locked memory, the hard limit is"
        f" {resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]}: keys beyond it can be swapped out"
    )


def _raise_limit(which: int, needed: int) -> bool:
    """Raise a soft limit to ``needed``, and the hard one where that is allowed. Whether it holds."""
    soft, hard = resource.getrlimit(which)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return True
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(which, (needed, hard))
        return True
    try:
        resource.setrlimit(which, (needed, needed))
    except (ValueError, OSError):
        return False
    return True
