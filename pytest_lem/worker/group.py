"""A worker's process group: who is in it, its end, and the guard that sees to it.

Linux only; standard library only, since the worker's side imports it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_GUARD_GRACE_S = 1.0
_POLL_S = 0.02


def members(group: int) -> list[int]:
    """The living processes of a process group; those dead but unreaped are left out."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _lives_in(entry, group)
    ]


def end(group: int, *, grace_s: float, spare: Collection[int] = ()) -> None:
    """Terminate the group; kill what is left of it, `spare` aside, after the grace."""
    signal_all(group, signal.SIGTERM)
    if vanish(group, within_s=grace_s, spare=spare):
        signal_all(group, signal.SIGKILL)


def signal_all(group: int, signum: int) -> None:
    """Send the signal to every process of the group, if there is one."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signum)


def vanish(group: int, *, within_s: float, spare: Collection[int] = ()) -> list[int]:
    """Wait until only `spare` is left of the group; who else is, when time is up."""
    deadline = time.monotonic() + within_s
    while True:
        left = [pid for pid in members(group) if pid not in spare]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(_POLL_S)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends.

    The kernel means the thread that started this process, not the whole parent.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent and not Path(f"/proc/{parent}").exists():
        os.kill(os.getpid(), signal.SIGKILL)  # it ended before the line above


def guard(*, close: Collection[int]) -> None:
    """Fork a process that ends this group once this process is dead, however it died.

    A killed worker cannot clean up after itself, and nobody else may be alive to do
    it. Call it while there is one thread. The guard closes the given descriptors.
    """
    leader = os.getpid()
    if os.fork():
        return
    try:
        for fd in close:
            os.close(fd)
        _outlive(leader)
    finally:
        os._exit(0)


def _outlive(leader: int) -> None:
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    _prctl(_PR_SET_NAME, ctypes.c_char_p(b"lem-guard"))
    _prctl(_PR_SET_PDEATHSIG, signal.SIGUSR2)
    while os.getppid() == leader:
        signal.sigwait({signal.SIGUSR2})
    end(os.getpgrp(), grace_s=_GUARD_GRACE_S, spare={os.getpid()})


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _lives_in(entry: Path, group: int) -> bool:
    try:
        stat = (entry / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return False
    fields = stat[stat.rindex(")") + 2 :].split()
    state, pgrp, threads = fields[0], int(fields[2]), int(fields[17])
    # A zombie main thread whose other threads are still ending holds its memory.
    return pgrp == group and (state not in "ZX" or threads > 1)
