"""How many processes an engine runs as, and which GPU each of them gets."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_lem.engines import Capabilities
from pytest_lem.errors import ConfigError
from pytest_lem.worker.devices import environment_for

Kind = Literal["copies", "shards"]

_STARTED: Mapping[str, Sequence[Kind]] = {
    "direct": (),
    "accelerate": ("copies", "shards"),
    "torchrun": ("shards",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Several processes of one engine, and the variables that each is started with.

    Ranks are `copies` of the model, which divide the requests, or `shards` of one
    model, which all work on each request.
    """

    kind: Kind
    environments: Sequence[Mapping[str, str]]


def ranks_of(
    capabilities: Capabilities, section: Mapping[str, Any], gpus: Sequence[str]
) -> Ranks | None:
    """The ranks that a section asks for; None for one process, or where it is no task.

    Each rank gets a GPU of its own, in their order; without GPUs, or with `device` cpu,
    each works on the CPU. ConfigError where there are fewer GPUs than ranks.
    """
    counts = _started(capabilities, section)
    if not counts:
        return None
    ((kind, (path, count)),) = counts.items()
    gpus = [] if section.get("device") == "cpu" else gpus
    if 0 < len(gpus) < count:
        msg = (
            f"{path}={count} needs {count} GPUs and the run has {len(gpus)}: "
            "--lem-gpus names them"
        )
        raise ConfigError(msg)
    environments = [_environment(kind, k, count, gpus[k : k + 1]) for k in range(count)]
    return Ranks(kind=kind, environments=environments)


def gpus_for(capabilities: Capabilities, section: Mapping[str, Any]) -> tuple[int, str]:
    """How many GPUs an engine needs beside each other, and the parameters that say it.

    One where none does, or where the engine finds GPUs in a cluster by itself.
    ConfigError where one of them is no number of processes.
    """
    if section.get("device") == "cpu" or is_afar(capabilities, section):
        return 1, ""
    counts = [*_started(capabilities, section).values()]
    counts += [(path, _count(section, path)) for path in capabilities.parts]
    said = " x ".join(f"{path}={count}" for path, count in counts if count > 1)
    return math.prod(count for _, count in counts), said


def is_afar(capabilities: Capabilities, section: Mapping[str, Any]) -> bool:
    """Whether an engine starts its processes wherever a cluster has GPUs."""
    if capabilities.afar is None:
        return False
    name, value = capabilities.afar
    return bool(section.get(name) == value)


def _started(
    capabilities: Capabilities, section: Mapping[str, Any]
) -> dict[Kind, tuple[str, int]]:
    """What says how many processes the worker starts, if several; at most one does."""
    paths = {"copies": capabilities.copies, "shards": capabilities.shards}
    kinds = _STARTED[capabilities.launch]
    counts = {
        kind: (path, _count(section, path)) for kind in kinds if (path := paths[kind])
    }
    several = {kind: one for kind, one in counts.items() if one[1] > 1}
    if len(several) > 1:
        first, second = (path for path, _ in several.values())
        msg = f"{first} and {second} above 1 exclude each other"
        raise ConfigError(msg)
    return several


def _environment(
    kind: Kind, rank: int, count: int, gpus: Sequence[str]
) -> dict[str, str]:
    """Of its GPU and its place; copies of a model do not know of each other."""
    alone = kind == "copies"
    found = environment_for(gpus, place=(0, 1) if alone else (rank, count))
    if "OMP_NUM_THREADS" not in os.environ:  # all cores for each would be too many
        cores = len(os.sched_getaffinity(0))
        found["OMP_NUM_THREADS"] = str(max(1, cores // count))
    return found


def _count(section: Mapping[str, Any], path: str) -> int:
    value: Any = section
    for name in path.split("."):
        value = (value or {}).get(name)
    if value is None:
        return 1
    if not isinstance(value, int) or value < 1:
        msg = f"{path}={value!r}: a number of processes is whole and at least 1"
        raise ConfigError(msg)
    return value
