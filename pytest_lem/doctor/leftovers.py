"""Workers and engines that outlived the session that started them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytest_lem.doctor import Check, Subject

_WORKER = ["-m", "pytest_lem.worker"]
_TITLE = "VLLM::"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    pid: int
    parent: int
    arguments: list[str]

    @property
    def session(self) -> int | None:
        """The process that this worker belongs to; None of no worker."""
        places = range(len(self.arguments) - 1)
        if all(self.arguments[k : k + 2] != _WORKER for k in places):
            return None
        rest = self.arguments[self.arguments.index(_WORKER[1]) :]
        told = rest[rest.index("--parent") + 1 :][:1] if "--parent" in rest else []
        return int(told[0]) if told and told[0].isdecimal() else None


def workers(subject: Subject) -> Iterator[Check]:
    """Workers whose session is gone, and parts of engines that nobody waits for."""
    table = {one.pid: one for one in _all(subject.root / "proc")}
    found = {pid: one.session for pid, one in table.items() if one.session is not None}
    left = [pid for pid, session in found.items() if session not in table]
    orphans = [
        pid
        for pid, one in table.items()
        if one.arguments[:1] and one.arguments[0].startswith(_TITLE) and one.parent == 1
    ]
    check = partial(Check, name="leftover workers")
    if left or orphans:
        numbers = " ".join(map(str, sorted({*left, *orphans})))
        yield check(
            state="failed",
            found=f"processes {numbers} have outlived their session",
            remedy=f"kill -9 {numbers}",
        )
        return
    sessions = {session for session in found.values() if session not in found}
    running = ", ".join(map(str, sorted(sessions)))
    busy = f"; workers of sessions that run: {running}" if sessions else ""
    yield check(state="ok", found=f"none{busy}")


def _all(proc: Path) -> Iterator[_Process]:
    """Processes of this namespace: in a container's, numbers mean other processes."""
    ours = os.readlink(proc / "self/ns/pid")
    for folder in proc.glob("[0-9]*"):
        try:
            if os.readlink(folder / "ns/pid") != ours:
                continue
            stat = (folder / "stat").read_text(errors="replace")
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended, or is somebody else's
        parent = int(stat[stat.rindex(")") + 2 :].split()[1])
        arguments = line.rstrip("\0").split("\0") if line else []
        yield _Process(pid=int(folder.name), parent=parent, arguments=arguments)
