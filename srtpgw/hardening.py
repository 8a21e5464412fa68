"""What a relay does to its own process before it holds a key: no core file and no debugger, room for its sockets and
for keys in locked memory."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

from srtpgw.errors import LimitReached

PR_SET_DUMPABLE: Final = 4  # <linux/prctl.h>

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
