"""Who else uses a GPU: processes that its driver lists and that are not ours."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.machine.gpu import ask, nvml, text

# The inode of the first namespace of a Linux host, by its kernel's own headers.
_HOST_NAMESPACE = "pid:[4026531836]"
_KINDS: Mapping[str, str] = {
    "compute": "nvmlDeviceGetComputeRunningProcesses",
    "graphics": "nvmlDeviceGetGraphicsRunningProcesses",
    "mps": "nvmlDeviceGetMPSComputeRunningProcesses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A process on a GPU; its number is the driver's, its name None where unknown."""

    pid: int
    kind: str
    name: str | None
    memory_mb: float | None

    def __str__(self) -> str:
        """The process in a few words."""
        return f"{self.pid} ({self.name or 'name unknown'}, {self.kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """The processes on one GPU that are not ours; None, and why, where unknown."""

    processes: tuple[Tenant, ...] | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record."""
        known = self.processes is not None
        return {
            "foreign_processes": [asdict(one) for one in self.processes or ()]
            if known
            else None,
            "foreign_unknown": self.reason,
        }


def tenancies(
    uuids: Iterable[str], *, ours: Collection[int] = (), proc: Path = Path("/proc")
) -> dict[str, Tenancy]:
    """Who else is on each of these whole GPUs, beside the processes that are `ours`.

    A driver names processes by their numbers on the host. In a container's own
    namespace these mean nothing, and some drivers list none at all: there a process
    is foreign for certain only while none of ours runs, and an empty list is unknown.
    """
    wanted = list(uuids)
    if not wanted:
        return {}
    try:
        with nvml() as pynvml:
            listed = {uuid: _listed(pynvml, uuid) for uuid in wanted}
    except MeterError as error:
        return {uuid: _unknown(error.message) for uuid in wanted}
    on_host = _namespace(proc / "self") == _HOST_NAMESPACE
    return {
        uuid: _foreign(found, ours, on_host=on_host) for uuid, found in listed.items()
    }


def family(
    pid: int, *, inside: int | None = None, proc: Path = Path("/proc")
) -> set[int]:
    """A process, its descendants, and the living members of its group.

    A container is nobody's child: with a process `inside` of one, all of that as well.
    """
    parents: dict[int, int] = {}
    groups: dict[int, int] = {}
    for entry in proc.glob("[0-9]*/stat"):
        try:
            stat = entry.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended
        _, parent, group = stat[stat.rindex(")") + 2 :].split()[:3]
        parents[int(entry.parent.name)] = int(parent)
        groups[int(entry.parent.name)] = int(group)
    found = {pid, *(one for one, group in groups.items() if group == groups.get(pid))}
    while more := {one for one, up in parents.items() if up in found} - found:
        found |= more
    return found if inside is None else found | housemates(inside, proc=proc)


def housemates(pid: int, *, proc: Path = Path("/proc")) -> set[int]:
    """All processes in the PID namespace of this one, as far as they may be seen.

    In a container that is everybody, also who was put there from outside. None are told
    of this process's own namespace, where most are strangers.
    """
    at = _namespace(proc / str(pid))
    if at in (None, _namespace(proc / "self")):
        return set()
    return {int(entry.name) for entry in proc.glob("[0-9]*") if _namespace(entry) == at}


def _listed(pynvml: Any, uuid: str) -> list[Tenant] | None:
    """All processes on a GPU, each once; None where the driver does not tell."""
    handle = ask(pynvml, pynvml.nvmlDeviceGetHandleByUUID, uuid.encode())
    told = {
        kind: ask(pynvml, getattr(pynvml, question), handle)
        for kind, question in _KINDS.items()
        if handle is not None
    }
    if told.get("compute") is None:
        return None
    found: dict[int, Tenant] = {}
    for kind, processes in told.items():
        for one in processes or ():
            found.setdefault(one.pid, _tenant(pynvml, kind, one))
    return list(found.values())


def _tenant(pynvml: Any, kind: str, told: Any) -> Tenant:
    path = text(ask(pynvml, pynvml.nvmlSystemGetProcessName, told.pid))
    used = told.usedGpuMemory
    return Tenant(
        pid=told.pid,
        kind=kind,
        name=os.path.basename(path.split()[0]) if path and path.strip() else None,
        memory_mb=None if used is None else used / 1e6,
    )


def _foreign(
    listed: list[Tenant] | None, ours: Collection[int], *, on_host: bool
) -> Tenancy:
    if listed is None:
        return _unknown("the driver does not tell")
    others = tuple(one for one in listed if one.pid not in ours)
    # One of ours under its own number shows that the numbers are those of here.
    if on_host or len(others) < len(listed) or (listed and not ours):
        return Tenancy(processes=others)
    return _unknown("pid_namespace: the driver's process numbers are not those of here")


def _unknown(reason: str) -> Tenancy:
    return Tenancy(processes=None, reason=reason)


def _namespace(process: Path) -> str | None:
    try:
        return os.readlink(process / "ns/pid")
    except OSError:
        return None
