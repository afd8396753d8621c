"""Memory of GPUs in use, as their driver counts it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.machine.gpu import ask, nvml


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What is in use now over some GPUs together, in MB; None, and why, where unknown.

    `device_mb` is everybody's with the driver's own part, `process_mb` that of the
    processes asked for.
    """

    device_mb: float | None
    process_mb: float | None
    device_unknown: str | None = None
    process_unknown: str | None = None


def used(uuids: Sequence[str], pids: Collection[int]) -> Used:
    """Memory in use on all of these GPUs, and by these processes on them.

    In a container the driver's process numbers may be the host's: then nobody is
    found, which is no zero.
    """
    if not uuids:
        return _unknown("no_device_memory")
    try:
        with nvml() as pynvml:
            found = [_on_gpu(pynvml, uuid, pids) for uuid in uuids]
    except MeterError:
        return _unknown("no_driver")
    devices = [device for device, _ in found if device is not None]
    ours = [process for _, process in found if process is not None]
    whole, seen = len(devices) == len(found), len(ours) == len(found)
    return Used(
        device_mb=sum(devices) / 1e6 if whole else None,
        process_mb=sum(ours) / 1e6 if seen else None,
        device_unknown=None if whole else "not_reported_by_driver",
        process_unknown=None if seen else "process_not_seen_by_driver",
    )


def fullest(uuids: Sequence[str]) -> float | None:
    """The largest share of its memory in use on any of these GPUs; None if unknown."""
    if not uuids:
        return None
    try:
        with nvml() as pynvml:
            shares = [_share(pynvml, uuid) for uuid in uuids]
    except MeterError:
        return None
    return max((one for one in shares if one is not None), default=None)


def _share(pynvml: Any, uuid: str) -> float | None:
    handle = ask(pynvml, pynvml.nvmlDeviceGetHandleByUUID, uuid.encode())
    memory = ask(pynvml, pynvml.nvmlDeviceGetMemoryInfo, handle) if handle else None
    return memory.used / memory.total if memory and memory.total else None


def _on_gpu(
    pynvml: Any, uuid: str, pids: Collection[int]
) -> tuple[int | None, int | None]:
    """Bytes in use on a GPU, and those of the processes; None where not told."""
    handle = ask(pynvml, pynvml.nvmlDeviceGetHandleByUUID, uuid.encode())
    if handle is None:
        return None, None
    memory = ask(pynvml, pynvml.nvmlDeviceGetMemoryInfo, handle)
    listed = ask(pynvml, pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
    told = [one.usedGpuMemory for one in listed if one.pid in pids]
    known = [size for size in told if size is not None]
    return (
        None if memory is None else memory.used,
        sum(known) if known and len(known) == len(told) else None,
    )


def _unknown(reason: str) -> Used:
    return Used(
        device_mb=None,
        process_mb=None,
        device_unknown=reason,
        process_unknown=reason,
    )
