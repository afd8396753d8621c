"""Which GPUs a worker gets; the only place that sets the variables CUDA reads.

GPUs are named by UUID throughout: ordinals mean one thing to NVML, another to CUDA,
and a third inside a container.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_lem.errors import ConfigError

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def environment_for(gpu_uuids: Sequence[str] | None) -> dict[str, str]:
    """The variables that give a worker exactly these GPUs, in this order.

    None, or none at all as `select` gives on a machine without GPUs, means the CPU.
    """
    if not gpu_uuids:
        return {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
    uuids = ",".join(gpu_uuids)
    return {
        "CUDA_VISIBLE_DEVICES": uuids,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "NVIDIA_VISIBLE_DEVICES": uuids,
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    }


def select(
    uuids_on_machine: Sequence[str],
    *,
    environ: Mapping[str, str],
    asked: Sequence[str] | None,
    cpu_asked: bool = False,
) -> list[str]:
    """UUIDs of the GPUs to use, in the order asked for; empty where the CPU is meant.

    `uuids_on_machine` is in PCI order, and so are the indices of a preset
    CUDA_VISIBLE_DEVICES read. `asked` has indices into the visible GPUs, or UUIDs.
    ConfigError where a wish cannot be met, and where the environment hides all GPUs
    of a machine that has some: the CPU is used only if it was asked for.
    """
    if cpu_asked and asked:
        msg = f"--lem-gpus {','.join(asked)} was asked for together with the CPU"
        raise ConfigError(msg)
    if cpu_asked:
        return []
    preset = environ.get(_VISIBLE)
    visible = _visible(list(uuids_on_machine), preset)
    if uuids_on_machine and not visible:
        msg = (
            f"{_VISIBLE}={preset} hides all {len(uuids_on_machine)} GPUs of this "
            "machine; unset it, name GPUs that exist, or ask for the CPU"
        )
        raise ConfigError(msg)
    if not asked:
        return visible
    return _asked(list(uuids_on_machine), visible, preset, asked)


def _visible(machine: list[str], preset: str | None) -> list[str]:
    """What CUDA makes of the variable: it stops at the first entry it cannot use.

    The first entry decides whether indices, GPU or MIG UUIDs are read; an entry
    given twice leaves no device at all. As `torch.cuda` documents it in its own
    parser, `_parse_visible_devices`.
    """
    if preset is None:
        return machine
    entries = [entry.strip() for entry in preset.split(",")]
    kind = _kind(entries[0])
    found: list[str] = []
    for entry in entries:
        uuid = _resolve(entry, machine) if _kind(entry) == kind else None
        if uuid is None:
            break
        if uuid in found:
            return []
        found.append(uuid)
    return found


def _kind(entry: str) -> str:
    return next((kind for kind in ("GPU-", "MIG-") if entry.startswith(kind)), "index")


def _resolve(entry: str, gpus: list[str]) -> str | None:
    """The UUID that an index, a UUID or an unmistakable beginning of one means."""
    if _kind(entry) == "MIG-":
        return entry
    if _kind(entry) == "GPU-":
        matches = [uuid for uuid in gpus if uuid.startswith(entry)]
        return matches[0] if len(matches) == 1 else None
    if not re.fullmatch(r"[0-9]+", entry) or int(entry) >= len(gpus):
        return None
    return gpus[int(entry)]


def _asked(
    machine: list[str], visible: list[str], preset: str | None, asked: Sequence[str]
) -> list[str]:
    chosen: list[str] = []
    for wish in asked:
        uuid = _resolve(wish, visible)
        if preset is not None and uuid not in visible:
            uuid = None
        if uuid is None or uuid in chosen:
            msg = f"--lem-gpus {','.join(asked)}: {_why_not(wish, uuid, machine)}"
            limits = "" if preset is None else f" ({_VISIBLE}={preset})"
            msg += f"; visible are {', '.join(visible) or 'none'}{limits}"
            raise ConfigError(msg)
        chosen.append(uuid)
    return chosen


def _why_not(wish: str, uuid: str | None, machine: list[str]) -> str:
    if uuid is not None:
        return f"{wish!r} names a GPU twice"
    if _kind(wish) == "MIG-" or (_kind(wish) == "GPU-" and _resolve(wish, machine)):
        return f"{wish!r} is hidden by {_VISIBLE}"
    return f"{wish!r} is no visible GPU"
