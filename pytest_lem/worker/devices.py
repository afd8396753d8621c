"""Which GPUs a process gets: the only place that reads or sets the variables for it.

GPUs are named by UUID throughout: ordinals mean one thing to NVML, another to CUDA,
and a third inside a container. From the machine down: `select` holds what NVML shows
against what limits this process, `environment_for` tells a worker its GPUs, in a
process, a container or a rank alike, `inherited` keeps from it what was said to this
process, and in the worker `given` is what it was told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_lem.errors import ConfigError

_CUDA = "CUDA_VISIBLE_DEVICES"
_ORDER = "CUDA_DEVICE_ORDER"
_NVIDIA = "NVIDIA_VISIBLE_DEVICES"
_AMD = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")

# Of the process that starts a worker: which GPUs it may use, and which rank it is.
_ITS_OWN = re.compile(
    rf"{_CUDA}|{_ORDER}|{_NVIDIA}|{'|'.join(_AMD)}|GPU_DEVICE_ORDINAL|"
    r"((LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|"
    r"SLURM_(PROCID|LOCALID|NTASKS)|"
    r"(TORCHELASTIC|OMPI_COMM_WORLD|MV2_COMM_WORLD|PMIX?)_\w+)"
)
# CDI says `void` inside a container that has GPUs, and images say `all` without any.
_SAYS_NOTHING = {"", "all", "none", "void", "-1", "NoDevFiles"}


def environment_for(
    gpus: Sequence[str] | None, *, place: tuple[int, int] | None = None
) -> dict[str, str]:
    """The variables that give a worker exactly these GPUs, in this order.

    None, or none at all as `select` gives on a machine without GPUs, means the CPU.
    With a `place`, its rank and how many there are, it is one of several processes,
    and is told what torchrun would tell; its one GPU is its first. ConfigError for
    several instances of MIG, of which CUDA shows one process only the first.
    """
    if gpus and len(gpus) > 1 and any(_kind(one) == "MIG-" for one in gpus):
        msg = (
            f"CUDA gives a process one MIG instance, not {len(gpus)} "
            f"({', '.join(gpus)}); --lem-gpus names it"
        )
        raise ConfigError(msg)
    uuids = ",".join(gpus or ())
    found = {_CUDA: uuids, _NVIDIA: uuids or "void", _AMD[0]: "-1"}
    if gpus:
        found |= {_ORDER: "PCI_BUS_ID", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    if place is not None:
        rank, count = place
        found |= {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": "0"}
    return found


def granted(gpus: Sequence[str]) -> dict[str, str]:
    """The variables that have a container's runtime let these GPUs in, and no others.

    With what CUDA and NVML need of their driver. Who works inside is told apart.
    """
    if not gpus:
        return {_NVIDIA: "void"}
    return {_NVIDIA: ",".join(gpus), "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What a worker may have of the environment of the process that starts it.

    All but which GPUs and which rank that process was given: a worker has its own.
    """
    return {k: value for k, value in environ.items() if not _ITS_OWN.fullmatch(k)}


def as_assigned(
    machine: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a machine, with the GPUs that a cluster gave a process of it.

    Clusters count GPUs as NVML does.
    """
    found = inherited(machine)
    if _CUDA in environ:
        found |= {_CUDA: environ[_CUDA], _ORDER: "PCI_BUS_ID"}
    return found


def given(environ: Mapping[str, str]) -> list[str]:
    """The GPUs that a worker was given, in the order in which CUDA counts them."""
    return [one for one in environ.get(_CUDA, "").split(",") if one]


def select(
    machine: Mapping[str, str],
    *,
    environ: Mapping[str, str],
    asked: Sequence[str] | None,
    cpu_asked: bool = False,
) -> list[str]:
    """UUIDs of the GPUs to use, in the order asked for; empty where the CPU is meant.

    `machine` has the model of each GPU by its UUID, as NVML shows them, in PCI order,
    and in place of a GPU in MIG mode its instances. `asked` has indices into the
    visible ones, or UUIDs. ConfigError where a wish cannot be met, where variables
    contradict each other or the machine, and where they hide all GPUs: the CPU is
    used only if it was asked for, or if there is nothing else.
    """
    if cpu_asked and asked:
        msg = f"--lem-gpus {','.join(asked)} was asked for together with the CPU"
        raise ConfigError(msg)
    if cpu_asked:
        return []
    if not machine:
        _refuse_absent(environ)
    visible = _visible(machine, environ)
    return _asked(machine, visible, environ, asked) if asked else visible


def share(gpus: Sequence[str], place: tuple[int, int], each: int) -> list[str]:
    """The GPUs of one of several sessions that measure side by side, `each` so many.

    `place` is which of them it is, from 0, and how many there are; those of two have
    no GPU in common. ConfigError where there are too few for all of them.
    """
    which, count = place
    if len(gpus) < count * each:
        fit = len(gpus) // each
        msg = (
            f"pytest -n {count} needs {count * each} GPUs, {each} for each worker, "
            f"and has {len(gpus)} ({', '.join(gpus)}): "
            + (f"say -n {fit}" if fit else "say less by --lem-gpus-per-worker")
        )
        raise ConfigError(msg)
    return list(gpus[which * each : (which + 1) * each])


def _refuse_absent(environ: Mapping[str, str]) -> None:
    """Raise ConfigError where a variable names GPUs, and NVML shows none."""
    for name in (_CUDA, _NVIDIA, *_AMD):
        first, *_ = environ.get(name, "").split(",")
        if first.strip() not in _SAYS_NOTHING:
            msg = (
                f"{name}={environ[name]} names a GPU, and no NVIDIA GPU is to be seen "
                "here; unset it, or ask for the CPU"
            )
            raise ConfigError(msg)


def _visible(machine: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The GPUs that this process may use."""
    granted = _granted(machine, environ.get(_NVIDIA, ""))
    preset = environ.get(_CUDA)
    if preset is None:
        return granted
    found = _as_cuda_reads(preset, granted)
    if machine and not found:
        msg = (
            f"{_CUDA}={preset} hides all {len(granted)} GPUs of this machine; unset "
            "it, name GPUs that exist, or ask for the CPU"
        )
        if environ.get(_NVIDIA, "") not in _SAYS_NOTHING:
            msg += f" ({_NVIDIA}={environ[_NVIDIA]}: in a container indices begin anew)"
        raise ConfigError(msg)
    if found and _kind(preset.strip()) == "index":
        _refuse_unclear(preset, {one: machine[one] for one in granted}, environ)
    return found


def _granted(machine: Mapping[str, str], value: str) -> list[str]:
    """What a container's runtime was told to let in, held against what NVML shows.

    The runtime is the only reader of the variable, and NVML then shows no others;
    ConfigError where it does, or misses some: who set it means something else.
    """
    entries = [entry.strip() for entry in value.split(",")]
    kinds = {_kind(entry) for entry in entries}
    there = {_kind(uuid) for uuid in machine}
    if kinds <= {"GPU-", "MIG-"} and kinds <= there:
        found = {entry: _resolve(entry, machine) for entry in entries}
        absent = [entry for entry, uuid in found.items() if uuid is None]
        fits, told = not absent, f"{', '.join(absent)} is not among the GPUs here"
        granted = [uuid for uuid in machine if uuid in found.values()]
    else:
        count = len({*entries}) if all(map(str.isdecimal, entries)) else None
        fits = count in (None, len(machine)) or "MIG-" in there
        told = f"NVML shows {len(machine)} GPUs"
        granted = list(machine)
    if machine and not fits:
        msg = (
            f"{_NVIDIA}={value}: {told}; only a container's runtime reads it: unset it "
            f"here, and choose by {_CUDA} or --lem-gpus"
        )
        raise ConfigError(msg)
    return granted


def _as_cuda_reads(preset: str, gpus: Sequence[str]) -> list[str]:
    """What CUDA makes of the variable: it stops at the first entry it cannot use.

    The first entry decides whether indices, GPU or MIG UUIDs are read; an entry
    given twice leaves no device at all. As `torch.cuda` documents it in its own
    parser, `_parse_visible_devices`.
    """
    entries = [entry.strip() for entry in preset.split(",")]
    kind = _kind(entries[0])
    found: list[str] = []
    for entry in entries:
        uuid = _resolve(entry, gpus) if _kind(entry) == kind else None
        if uuid is None:
            break
        if uuid in found:
            return []
        found.append(uuid)
    return found


def _refuse_unclear(
    preset: str, gpus: Mapping[str, str], environ: Mapping[str, str]
) -> None:
    """Raise ConfigError where only CUDA knows which GPUs the indices mean."""
    models = list(dict.fromkeys(gpus.values()))
    if any(_kind(uuid) == "MIG-" for uuid in gpus):
        why = "an index is no MIG instance"
    elif len(models) > 1 and environ.get(_ORDER) != "PCI_BUS_ID":
        why = (
            f"CUDA counts the fastest first unless {_ORDER}=PCI_BUS_ID, and these "
            f"differ ({', '.join(models)})"
        )
    else:
        return
    raise ConfigError(f"{_CUDA}={preset}: {why}; name them: {', '.join(gpus)}")


def _kind(entry: str) -> str:
    return next((kind for kind in ("GPU-", "MIG-") if entry.startswith(kind)), "index")


def _resolve(entry: str, gpus: Mapping[str, str] | Sequence[str]) -> str | None:
    """The UUID that an index, a UUID or an unmistakable beginning of one means."""
    if _kind(entry) != "index":
        matches = [uuid for uuid in gpus if uuid.startswith(entry)]
        return matches[0] if len(matches) == 1 else None
    if not re.fullmatch(r"[0-9]+", entry) or int(entry) >= len(gpus):
        return None
    return list(gpus)[int(entry)]


def _asked(
    machine: Mapping[str, str],
    visible: Sequence[str],
    environ: Mapping[str, str],
    asked: Sequence[str],
) -> list[str]:
    chosen: list[str] = []
    for wish in asked:
        uuid = _resolve(wish, visible)
        if uuid is None or uuid in chosen:
            msg = f"--lem-gpus {','.join(asked)}: {_why_not(wish, uuid, machine)}"
            limits = [f"{k}={environ[k]}" for k in (_CUDA, _NVIDIA) if k in environ]
            msg += f"; visible are {', '.join(visible) or 'none'}"
            raise ConfigError(msg + (f" ({', '.join(limits)})" if limits else ""))
        chosen.append(uuid)
    return chosen


def _why_not(wish: str, uuid: str | None, machine: Mapping[str, str]) -> str:
    if uuid is not None:
        return f"{wish!r} names a GPU twice"
    if _kind(wish) != "index" and _resolve(wish, machine):
        return f"{wish!r} is hidden"
    return f"{wish!r} is no visible GPU"
