"""One measuring session for each GPU: lock files in the user's cache."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.machine.cache import user_cache

_STAT_STARTED = 19  # of the fields behind the name in /proc/PID/stat, in clock ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who measures a GPU: a process, when it started, and its session."""

    pid: int
    started_at: str
    session: str


class GpuLocks:
    """The locks of a session: a file for each GPU, named by its UUID.

    The kernel holds the lock, not the file: it is free again the moment its process
    has ended, however it did, and the file that is left only says who had it last.
    A forked child lets go of it at once, so that none outlives its session in one.
    """

    def __init__(self) -> None:
        self._held: list[int] = []
        os.register_at_fork(after_in_child=self.release)

    def take(self, gpus: Iterable[str], *, session: str) -> None:
        """Lock these GPUs, or none of them.

        Raises ConfigError naming the process that has one, and since when.
        """
        holder = Holder(
            pid=os.getpid(),
            started_at=_started_at().isoformat(sep=" ", timespec="seconds"),
            session=session,
        )
        try:
            for gpu in gpus:
                self._take(gpu, holder)
        except BaseException:
            self.release()
            raise

    def _take(self, gpu: str, holder: Holder) -> None:
        path = _path(gpu)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._held.append(file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.write(file, json.dumps(asdict(holder)).encode())
        except BlockingIOError as error:
            raise ConfigError(_busy(gpu, _holder(path))) from error
        except OSError as error:
            raise ConfigError(
                f"the lock of GPU {gpu} cannot be taken: {path}: "
                f"{error.strerror or error}; set LEM_CACHE_DIR to a writable "
                "directory, or measure without a lock: --lem-no-lock"
            ) from error

    def release(self) -> None:
        """Let go of all of them."""
        while self._held:
            os.close(self._held.pop())


def neighbours(ours: Collection[str]) -> dict[str, Holder | None] | None:
    """The GPUs, beside `ours`, that sessions are measuring now, and who each is.

    Nobody is disturbed: the kernel's own list is read. None where it cannot be.
    """
    try:
        listed = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    held = {_inode(line) for line in listed if "FLOCK" in line}
    paths = sorted((user_cache() / "locks").glob("*.lock"))
    mine = {_path(gpu).name for gpu in ours}
    found = {}
    for path in paths:
        with suppress(OSError):
            if path.stat().st_ino in held and path.name not in mine:
                found[path.stem] = _holder(path)
    return found


def _inode(line: str) -> int | None:
    place = re.search(r" [0-9a-f]+:[0-9a-f]+:(\d+) ", line)
    return int(place[1]) if place else None


def _path(gpu: str) -> Path:
    return user_cache() / "locks" / f"{re.sub(r'[^A-Za-z0-9-]', '_', gpu)}.lock"


def _busy(gpu: str, holder: Holder | None) -> str:
    who = "another session"
    if holder is not None:
        who = (
            f"process {holder.pid} since {holder.started_at} (session {holder.session})"
        )
    return (
        f"GPU {gpu} is being measured by {who}: its energy would hold the work of "
        "both; wait for it, choose another with --lem-gpus, or --lem-no-lock"
    )


def _holder(path: Path) -> Holder | None:
    """What the lock's file says; `None` while its owner is still writing it."""
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        return Holder(**told)
    except (OSError, ValueError, TypeError):
        return None


def _started_at() -> datetime:
    """When this process was started, in local time."""
    stat = Path("/proc/self/stat").read_text()
    ticks = int(stat[stat.rindex(")") + 2 :].split()[_STAT_STARTED])
    running_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf(
        "SC_CLK_TCK"
    )
    return datetime.fromtimestamp(time.time() - running_s, UTC).astimezone()
