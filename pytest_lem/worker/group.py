"""A worker's processes: who they are, their end, and the guard that sees to it.

They are its process group and whatever left that group: the guard, which leads it, is
the one that the kernel gives orphans to, so that nobody below it can get away.
Linux only; standard library only, since the worker's side imports it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
KILLED_WITHIN_S = 30.0
_GUARD_GRACE_S = 1.0
_POLL_S = 0.02

_PARENT_ENDED = signal.SIGUSR2
_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}
_HEARD = {signal.SIGCHLD, _PARENT_ENDED, *_PASSED_ON}


def members(leader: int) -> list[int]:
    """The living processes of a leader's group, and those below it that have left it.

    Those dead but unreaped are left out.
    """
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return []
    table = _table()
    inside = {pid for pid, one in table.items() if one.group == leader}
    found = inside | _below(leader, table)
    return sorted(pid for pid in found if table[pid].lives)


def end(leader: int, *, grace_s: float, spare: Collection[int] = ()) -> None:
    """Terminate them all; kill what is left, `spare` aside, after the grace."""
    signal_all(leader, signal.SIGTERM)
    if vanish(leader, within_s=grace_s, spare=spare):
        kill(leader, spare=spare)


def kill(
    leader: int, *, within_s: float = KILLED_WITHIN_S, spare: Collection[int] = ()
) -> list[int]:
    """Kill them all, the leader last, since the others are known by it; who is left."""
    deadline = time.monotonic() + within_s
    while True:
        left = [pid for pid in members(leader) if pid not in spare]
        others = [pid for pid in left if pid != leader]
        for pid in others or left:
            _send(pid, signal.SIGKILL)
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(_POLL_S)


def signal_all(leader: int, signum: int) -> None:
    """Send the signal to every process of a leader, if there is one."""
    for pid in members(leader):
        _send(pid, signum)


def vanish(leader: int, *, within_s: float, spare: Collection[int] = ()) -> list[int]:
    """Wait until only `spare` is left of them; who else is, when time is up."""
    deadline = time.monotonic() + within_s
    while True:
        left = [pid for pid in members(leader) if pid not in spare]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(_POLL_S)


def guard(
    *,
    parent: int | None,
    close: Collection[int],
    last: Callable[[], None] = lambda: None,
) -> None:
    """Become two processes: the worker, which returns from here, and its guard.

    The guard leads the group. Once the worker is dead, however it died, or the parent
    is, it ends every process below it, in or out of the group, and then itself in the
    way the worker did. Before it ends them it calls `last`, for what is not below it.
    It closes the given descriptors. Call it while there is one thread; the kernel means
    by a parent the thread that started this process.
    """
    leader, above = os.getpid(), os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if parent is not None:
        _prctl(_PR_SET_PDEATHSIG, _PARENT_ENDED)
        if above != parent and not Path(f"/proc/{parent}").exists():
            os._exit(1)  # it ended before the line above
    worker = os.fork()
    if not worker:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != leader:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        return
    status = 1
    try:
        for fd in close:
            os.close(fd)
        _prctl(_PR_SET_NAME, ctypes.c_char_p(b"lem-guard"))
        status = _watch(worker, None if parent is None else above, last)
    finally:
        os._exit(status)


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    group: int
    lives: bool


def _watch(worker: int, above: int | None, last: Callable[[], None]) -> int:
    """Wait for the end of the worker, or of what is above; the status to end with."""
    leader, ended = os.getpid(), None
    while ended is None and above in (None, os.getppid()):
        heard = signal.sigwait(_HEARD)
        if heard in _PASSED_ON:
            _send(worker, heard)
        ended = _reap(worker)
    last()
    end(leader, grace_s=_GUARD_GRACE_S, spare={leader})
    while ended is None:  # a process that does not even heed SIGKILL
        time.sleep(_POLL_S)
        ended = _reap(worker)
    if os.WIFSIGNALED(ended):
        _die_of(os.WTERMSIG(ended))
    return os.waitstatus_to_exitcode(ended)


def _die_of(signum: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has left its own
    if signum != signal.SIGKILL:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    os.kill(os.getpid(), signum)


def _reap(worker: int) -> int | None:
    """Bury all the dead; how the worker ended, if it is one of them."""
    ended = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if pid == worker:
                ended = status
    return ended


def _send(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _table() -> dict[int, _Process]:
    """All processes of this machine."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (one := _read(int(name))):
            found[int(name)] = one
    return found


def _read(pid: int) -> _Process | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    state, threads = fields[0], int(fields[17])
    # A zombie main thread whose other threads are still ending holds its memory.
    lives = state not in "ZX" or threads > 1
    return _Process(parent=int(fields[1]), group=int(fields[2]), lives=lives)


def _below(leader: int, table: Mapping[int, _Process]) -> set[int]:
    """The descendants of a process."""
    found: set[int] = set()
    while (
        more := {pid for pid, one in table.items() if one.parent in {leader, *found}}
        - found
    ):
        found |= more
    return found
