"""Checks of the machine around the GPUs: meters of the CPU, memory, disks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pytest_lem.doctor import Check, Subject
from pytest_lem.errors import MeterError
from pytest_lem.machine.cache import user_cache
from pytest_lem.meters.rapl import POWERCAP, RaplMeter

GB = 1e9
SHARED_GB = 8.0
LEAST_GB = 1.0
WEIGHTS_GB = 20.0


def rapl(subject: Subject) -> Iterator[Check]:
    """Whether the energy of CPU and memory can be read."""
    check = partial(Check, name="RAPL")
    try:
        meter = RaplMeter(subject.root / POWERCAP.relative_to("/"))
    except MeterError as error:
        found, _, remedy = error.message.removeprefix("rapl: ").partition("; ")
        yield check(
            state="warning",
            found=f"{found}: the CPU's energy is a model's estimate or unknown",
            remedy=remedy or "needs a CPU whose RAPL counts",
        )
        return
    names = ", ".join(one.name for one in meter.devices())
    yield check(state="ok", found=f"reads {names}")


def perf(subject: Subject) -> Iterator[Check]:
    """Whether the kernel's power events can be read too; nothing here needs them."""
    check = partial(Check, name="perf")
    if not (subject.root / "sys/bus/event_source/devices/power").exists():
        yield check(state="skipped", found="the kernel offers no power events")
        return
    path = subject.root / "proc/sys/kernel/perf_event_paranoid"
    try:
        level = int(path.read_text())
    except (OSError, ValueError):
        yield check(state="skipped", found=f"{path} tells nothing")
        return
    if level <= 0 or os.geteuid() == 0:
        yield check(state="ok", found="power events can be read")
        return
    yield check(
        state="skipped",
        found=f"perf_event_paranoid is {level}: other tools cannot read power events; "
        "pytest-lem reads RAPL by powercap and needs none",
    )


def shared_memory(subject: Subject) -> Iterator[Check]:
    """Whether several processes of an engine have room to exchange tensors."""
    check = partial(Check, name="shared memory")
    path = subject.root / "dev/shm"
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        yield check(
            state="failed",
            found=f"{path} cannot be looked at ({error.strerror})",
            remedy="mount a tmpfs there",
        )
        return
    told = f"{path}: {usage.free / GB:.1f} of {usage.total / GB:.1f} GB free"
    if usage.free >= SHARED_GB * GB:
        yield check(state="ok", found=told)
        return
    needed = usage.free < LEAST_GB * GB and len(subject.gpus) > 1
    yield check(
        state="failed" if needed else "warning",
        found=f"{told}, and engines of several processes want {SHARED_GB:g}",
        remedy="sudo mount -o remount,size=8g /dev/shm; a container: --shm-size=8g or "
        "--ipc=host; remove what dead processes left there",
    )


def disk(subject: Subject) -> Iterator[Check]:
    """Whether results, models that are made here, and downloads have room."""
    del subject
    hub = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    yield _room("results", Path.cwd(), LEAST_GB, "run in another directory")
    cache = "set LEM_CACHE_DIR to another directory"
    yield _room("pytest-lem's cache", user_cache(), LEAST_GB, cache)
    yield _room("models", Path(hub), WEIGHTS_GB, "set HF_HOME to another directory")


def _room(what: str, folder: Path, wanted_gb: float, other: str) -> Check:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    check = partial(Check, name="disk")
    told = f"{what} ({folder}): {free / GB:.0f} GB free"
    if not os.access(there, os.W_OK | os.X_OK):
        found = f"{what} ({folder}): {there} cannot be written to"
        return check(state="failed", found=found, remedy=other)
    if free < LEAST_GB * GB:
        return check(state="failed", found=told, remedy=f"make room, or {other}")
    if free < wanted_gb * GB:
        found = f"{told}: little for weights"
        return check(state="warning", found=found, remedy=f"make room, or {other}")
    return check(state="ok", found=told)
