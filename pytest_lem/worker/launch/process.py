"""A worker as a process of this machine, in a session and group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.worker import group
from pytest_lem.worker.devices import inherited

_POLL_S = 0.01
_TAIL_LINES = 40
_TAIL_BYTES = 8192


class WorkerProcess:
    """A started worker, its pipes, its log and its group, until nothing is left of it.

    The first process of the group is the worker's guard, which ends as the worker did.
    It stays unreaped until the group is gone, so that its number cannot pass to a
    stranger while signals are sent to it.
    """

    def __init__(
        self, popen: subprocess.Popen[bytes], log_path: Path, log_start: int
    ) -> None:
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._popen = popen
        self._owner = os.getpid()
        self.pid = popen.pid
        self._log_path = log_path
        self._log_start = log_start
        self.writer = popen.stdin.fileno()
        self.reader = popen.stdout.fileno()
        self.place: Mapping[str, Any] = {}

    def first_inside(self) -> int | None:
        """The first process of its container; None, as it is in none."""
        return None

    def wait(self, within_s: float) -> bool:
        """Whether the first process of the group has ended by then."""
        deadline = time.monotonic() + within_s
        while self._status() is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def ending(self) -> str:
        """How the first process ended: its exit status, or the signal."""
        status = self._status()
        if status is None:
            return "it closed its pipe and still runs"
        if status >= 0:
            return f"it ended with exit status {status}"
        told = f"it was ended by {signal.Signals(-status).name} ({-status})"
        if -status == signal.SIGKILL:
            told += ", as the kernel does when memory is short"
        return told

    def signal(self, signum: int) -> None:
        """Send a signal to the first process, which its guard passes on."""
        if self._status() is None:
            os.kill(self.pid, signum)

    def dump_stacks(self, within_s: float = 1.0) -> None:
        """Have it write the stacks of all its threads to the log, and wait for them."""
        if self._popen.returncode is not None:
            return
        before = self._log_bytes()
        os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + within_s
        size = before
        while time.monotonic() < deadline:
            time.sleep(0.1)
            last, size = size, self._log_bytes()
            if before < size == last:
                return

    def log_tail(self) -> str:
        """The last lines of the log, below where it is; nothing of an empty one."""
        with self._log_path.open("rb") as log:
            log.seek(max(self._log_start, self._log_bytes() - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"end of {self._log_path}:", *lines] if lines else [])

    def end(self, grace_s: float) -> str | None:
        """Terminate the group, then kill what is left; None, or who stays."""
        if self._popen.returncode is None and os.getpid() == self._owner:
            group.end(self.pid, grace_s=grace_s)
        return self.kill()

    def kill(self) -> str | None:
        """Kill the group at once and reap it; None, or one line on who does not end."""
        if self._popen.returncode is not None or os.getpid() != self._owner:
            return None
        if left := group.kill(self.pid):
            return f"processes {left} of the worker's group {self.pid} do not end"
        self._popen.wait()
        return None

    def close_pipes(self) -> None:
        """Close both pipes; nobody may use them any more."""
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()

    def _status(self) -> int | None:
        """As `Popen.returncode`, without reaping."""
        if self._popen.returncode is not None:
            return self._popen.returncode
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        ended = os.waitid(os.P_PID, self.pid, flags)
        if ended is None:
            return None
        exited = ended.si_code == os.CLD_EXITED
        return ended.si_status if exited else -ended.si_status

    def _log_bytes(self) -> int:
        return self._log_path.stat().st_size


def start(
    *,
    python: str,
    environment: Mapping[str, str],
    log_path: Path,
    meeting: int | None = None,
) -> WorkerProcess:
    """A worker under that interpreter, with additions to what it may inherit.

    With the descriptor of a `meeting` it is one of several ranks.
    ConfigError where the interpreter cannot be started.
    """
    command = [python, "-P", "-m", "pytest_lem.worker", "--parent", str(os.getpid())]
    if meeting is not None:
        command += ["--meeting", str(meeting)]
    fds = () if meeting is None else (meeting,)
    try:
        popen, log_start = spawn(
            command,
            env={**inherited(os.environ), **environment},
            log_path=log_path,
            fds=fds,
        )
    except OSError as error:
        msg = f"cannot start {python!r} ({error.strerror}); --lem-python names it"
        raise ConfigError(msg) from error
    return WorkerProcess(popen, log_path, log_start)


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log_path: Path,
    fds: Collection[int] = (),
    folder: str | None = None,
) -> tuple[subprocess.Popen[bytes], int]:
    """A command with two pipes, that leads a session, and where its log begins.

    It gets these descriptors too, and begins in that folder. OSError where it cannot
    be started.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        log_start = log.tell()
        popen = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=env,
            start_new_session=True,
            pass_fds=fds,
            cwd=folder,
        )
    return popen, log_start
