"""Runs a command inside a network namespace, on given cores, and ends it when the benchmark dies.

    python launch.py --netns /run/netns/NAME --cpus 0,1 --files 65536 --priority -20 -- command argument ...

Started as a file by its path, on the standard library alone, so that nothing of srtpgw is imported before the command
takes its place. `ip netns exec` would do the first part, but it also gives the command a mount namespace of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

CLONE_NEWNET = 0x40000000  # linux/sched.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def enter_namespace(path: str) -> None:
    """Move the calling thread into the network namespace behind a path (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(handle)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill us when the thread that started us is gone. It may be gone already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the benchmark is gone")


def raise_files(wanted: int) -> None:
    """Let the command open so many descriptors, a port each, or as many as this user may have: whoever needs more
    says so itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):  # not without CAP_SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def prefer(priority: int) -> None:
    """Take a nice value, and give it to our session: where sessions are scheduled as groups (autogroup, sched(7)), the
    nice value of a process counts within its session only. Left out where we may not."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:  # noqa: PTH123 - quick start
        group.write(str(priority))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--netns")
    parser.add_argument("--cpus", default="")
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--priority", type=int, default=0)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    die_with_parent(options.parent)
    if options.netns:
        enter_namespace(options.netns)
    if options.cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in options.cpus.split(",")})
    if options.files:
        raise_files(options.files)
    if options.priority:
        prefer(options.priority)
    os.execvp(options.command[0], options.command)  # noqa: S606 - an argument list, no shell


if __name__ == "__main__":
    main()
