"""All checks of a machine, in the order in which people ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from pytest_lem.doctor import (
    Check,
    Look,
    Subject,
    at_once,
    containers,
    engines,
    gpus,
    host,
    leftovers,
)
from pytest_lem.machine.gpu import Gpu, discover

# Together below a minute.
DRIVER_WITHIN_S = 10.0
WITHIN_S = 48.0


def examine(subject: Subject) -> Iterator[Check]:
    """Every check, in less than a minute whatever hangs; looks the GPUs up itself."""
    found: list[Gpu] = []

    def driver() -> Iterator[Check]:
        yield gpus.driver(subject.root)
        found.extend(discover())

    yield from at_once({"driver": driver}, DRIVER_WITHIN_S)
    subject = replace(subject, gpus=tuple(found))
    looks = {
        "GPUs": gpus.listed,
        "visible GPUs": gpus.visible,
        "energy counter": gpus.counters,
        "device files": gpus.files,
        "CUDA": gpus.cuda,
        "other processes": gpus.tenants,
        "leftover workers": leftovers.workers,
        "RAPL": host.rapl,
        "perf": host.perf,
        "shared memory": host.shared_memory,
        "disk": host.disk,
    }
    named: dict[str, Look] = {k: partial(one, subject) for k, one in looks.items()}
    has_engine = bool(subject.images)
    named |= {**engines.looks(subject), **containers.looks(subject)}
    for one in at_once(named, WITHIN_S):
        has_engine |= one.name.startswith("engine ") and one.state != "skipped"
        yield one
    if not has_engine:
        yield engines.NONE
