"""The processes that vLLM has started: told at once when one of them ends by itself.

`LLM.generate` waits for ever for a core that was killed. The kernel tells of its end
through a descriptor, on which a thread sleeps: watching costs no time of a CPU.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from pytest_lem.errors import WorkerDied

_SIGNAL = signal.SIGUSR2
_ENDS_WITHIN_S = 10.0
_TOLD_WITHIN_MS = 500  # a pipe that its end closes is noticed before the end itself

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="Watched")


class Watch:
    """Over the processes of an engine, from its load to its unload.

    `over` raises WorkerDied in its block, which must be in the main thread, as soon as
    one of them has ended; whatever the block waits for is interrupted.
    """

    def __init__(self) -> None:
        self._armed = False
        self._names = {pid: name for pid in _below(os.getpid()) if (name := _name(pid))}
        self._fds: dict[int, int] = {}
        for pid in self._names:
            with contextlib.suppress(ProcessLookupError):
                self._fds[os.pidfd_open(pid)] = pid
        self._woken, self._waker = os.pipe()
        signal.signal(_SIGNAL, self._interrupt)
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def over(self) -> Iterator[None]:
        """Raise WorkerDied where one of the processes ends in the block, or has."""
        self._armed = True
        try:
            self._tell()
            yield
        except WorkerDied:
            raise
        except Exception as error:
            self._armed = False
            # vLLM's own error names no process.
            if told := self._ended(_TOLD_WITHIN_MS):
                raise WorkerDied(told) from error
            raise
        finally:
            self._armed = False

    def stop(self) -> None:
        """Watch no longer: they are told to end."""
        os.close(self._waker)
        self._thread.join()
        os.close(self._woken)

    def left(self, within_s: float = _ENDS_WITHIN_S) -> list[str]:
        """Who of them still lives after that time; call it once, after `stop`."""
        deadline = time.monotonic() + within_s
        while self._fds and time.monotonic() < deadline:
            left_ms = (deadline - time.monotonic()) * 1e3
            for fd in _readable(self._fds, max(0.0, left_ms)):
                del self._fds[fd]
                os.close(fd)
        left = sorted(self._names[pid] for pid in self._fds.values())
        for fd in self._fds:
            os.close(fd)
        self._fds = {}
        return left

    def _wait(self) -> None:
        ended = _readable([self._woken, *self._fds], None)
        if self._woken not in ended:
            signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)

    def _interrupt(self, _signum: int, _frame: FrameType | None) -> None:
        self._tell()

    def _tell(self) -> None:
        if self._armed and (told := self._ended()):
            self._armed = False
            raise WorkerDied(told)

    def _ended(self, within_ms: float = 0) -> str:
        """Who has ended and how, as far as the kernel tells: a child's child not."""
        told = []
        for fd in _readable(self._fds, within_ms) if self._fds else ():
            pid = self._fds[fd]
            told.append(f"{self._names[pid]} (process {pid}) {_ending(fd)}")
        return "; ".join(told)


class Watched(Protocol):
    """An engine whose processes are watched while one is loaded."""

    _watch: Watch | None


def watched(
    method: Callable[Concatenate[_Self, _P], _T],
) -> Callable[Concatenate[_Self, _P], _T]:
    """Have a method of an engine raise WorkerDied once a process of it has ended."""

    @functools.wraps(method)
    def over(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self._watch.over() if self._watch else contextlib.nullcontext():
            return method(self, *args, **kwargs)

    return over


def _readable(fds: Iterable[int], timeout_ms: float | None) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(timeout_ms)]


def _ending(fd: int) -> str:
    with contextlib.suppress(ChildProcessError):
        found = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found and found.si_code == os.CLD_EXITED:
            return f"has ended with exit status {found.si_status}"
        if found:
            return f"was ended by {signal.Signals(found.si_status).name}"
    return "has ended"


def _below(pid: int) -> list[int]:
    """All descendants, each after its parent."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_below(child)]
    return found


def _name(pid: int) -> str | None:
    """What vLLM calls a process of its own; None of others, such as compilers."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        title = command.decode(errors="replace").strip()
        if title.startswith("VLLM::"):
            return title.split()[0]
        if "multiprocessing.spawn" in title:  # without setproctitle they have no name
            return "a process of vLLM"
    return None
