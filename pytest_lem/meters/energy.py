"""What all devices of a run drew together, and how far that may be trusted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_lem.meters import Basis, Device, Scope
from pytest_lem.meters.crosscheck import held_against
from pytest_lem.meters.parts import Part, half_width, total, why_null, worst_basis
from pytest_lem.meters.timeline.density import together

_BASIS_FLAGS: dict[Basis, str] = {
    "estimated": "estimated_energy",
    "replayed": "replayed_energy",
    "synthetic": "synthetic_energy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReading:
    """Energy of a run between two instants.

    `gross_j` sums what `scope` names: the GPUs alone where GPUs are metered, else CPU
    and memory; `cpu_j` and `dram_j` stand beside it, never silently in it.
    `uncertainty_j` is the half-width at 95 %, independent devices in quadrature,
    without the sensors' gain. `per_device` has a dict for each device: device, scope,
    energy_j, uncertainty_j, method, meter, boundary, quality, reason. A sum with a
    missing part is null. `quality` says how densely what is summed was observed.
    `crosscheck` has a dict for what each further meter of a scope says, which is in no
    sum; `meters_disagree` is flagged where that puts `gross_j` in doubt.
    """

    gross_j: float | None
    uncertainty_j: float | None
    method: str | None
    meter: str | None
    basis: Basis | None
    scope: list[str]
    per_device: list[dict[str, Any]]
    crosscheck: list[dict[str, Any]]
    cpu_j: float | None
    dram_j: float | None
    quality: dict[str, Any] | None
    flags: list[str]
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record."""
        return asdict(self)


def combine(
    parts: Sequence[Part],
    *,
    unmetered: Iterable[str] = (),
    others: Sequence[Sequence[Part]] = (),
) -> EnergyReading:
    """The sum over devices; `unmetered` names GPUs that drew and were not metered.

    `others` has, for each further meter of a scope, what it says of its devices.
    """
    gpus = [part for part in parts if part.device.scope == "gpu"]
    counted = gpus or list(parts)
    missing = sorted(unmetered)
    reason = f"not_metered: {', '.join(missing)}" if missing else why_null(counted)
    scope = _scopes(counted)
    checks = [held_against(parts, other) for other in others if other]
    doubted = any(doubt and row["scope"] in scope for row, doubt in checks)
    return EnergyReading(
        gross_j=None if reason else total(counted),
        uncertainty_j=None if reason else half_width(counted),
        method=_joined(part.span.method for part in counted),
        meter=_joined(part.meter for part in counted),
        basis=worst_basis(part.basis for part in counted),
        scope=scope,
        per_device=[_row(part) for part in parts],
        crosscheck=[row for row, _ in checks],
        cpu_j=total([part for part in parts if part.device.scope == "cpu"]),
        dram_j=total([part for part in parts if part.device.scope == "dram"]),
        quality=asdict(together(one.span.density for one in counted)),
        flags=[*_flags(counted), *(["meters_disagree"] if doubted else [])],
        reason=reason,
    )


def reckon(
    devices: Sequence[Sequence[Device]],
    part: Callable[[int, Device], Part],
    wanted: Collection[str] | None,
) -> EnergyReading:
    """The sum over those devices of several meters that count; `part` asks one.

    `wanted` names the GPUs that count, None means all. CPU and memory always count,
    and so do replayed and synthetic devices, which stand in for others.
    """
    counting, further = tellers(devices)
    asked = [part(index, device) for index, device in counting]
    parts = [one for one in asked if counts(one.device, one.basis, wanted)]
    told = {one.device.id for one in parts}
    stood_in = any(one.device.scope == "gpu" and _stands_in(one.basis) for one in parts)
    others = [[part(index, device) for device in own] for index, own in further]
    return combine(
        parts,
        unmetered=set() if wanted is None or stood_in else {*wanted} - told,
        others=[
            [one for one in own if counts(one.device, one.basis, wanted)]
            for own in others
        ],
    )


def counts(device: Device, basis: Basis, wanted: Collection[str] | None) -> bool:
    """Whether a device's energy belongs to what is wanted."""
    if wanted is None or device.scope != "gpu":
        return True
    return device.id in wanted or _stands_in(basis)


def _stands_in(basis: Basis) -> bool:
    return basis in ("replayed", "synthetic")


def nothing(reason: str) -> EnergyReading:
    """The reading of a run without any meter."""
    return EnergyReading(
        gross_j=None,
        uncertainty_j=None,
        method=None,
        meter=None,
        basis=None,
        scope=[],
        per_device=[],
        crosscheck=[],
        cpu_j=None,
        dram_j=None,
        quality=None,
        flags=[],
        reason=reason,
    )


def tellers(
    devices: Sequence[Sequence[Device]],
) -> tuple[list[tuple[int, Device]], list[tuple[int, list[Device]]]]:
    """Of the devices of several meters those that count, with their meter's place.

    Each scope is told by the first meter that has it. What the others have of it comes
    second, a list for each meter and scope.
    """
    first: dict[Scope, int] = {}
    further: dict[tuple[int, Scope], list[Device]] = {}
    counting: list[tuple[int, Device]] = []
    for index, own in enumerate(devices):
        for device in own:
            if first.setdefault(device.scope, index) == index:
                counting.append((index, device))
            else:
                further.setdefault((index, device.scope), []).append(device)
    return counting, [(index, own) for (index, _), own in further.items()]


def _joined(names: Iterable[str]) -> str | None:
    return "+".join(dict.fromkeys(names)) or None


def _scopes(parts: Sequence[Part]) -> list[str]:
    order: tuple[Scope, ...] = ("gpu", "cpu", "dram")
    present = {part.device.scope for part in parts}
    return [scope for scope in order if scope in present]


def _flags(parts: Sequence[Part]) -> list[str]:
    flags: dict[str, None] = {}
    for part in parts:
        flags |= dict.fromkeys([*part.span.flags, *part.flags])
        if part.basis in _BASIS_FLAGS:
            flags[_BASIS_FLAGS[part.basis]] = None
        if part.device.boundary == "module":
            flags["module_scope_energy"] = None
    return list(flags)


def _row(part: Part) -> dict[str, Any]:
    return {
        "device": part.device.id,
        "scope": part.device.scope,
        "energy_j": part.span.energy_j,
        "uncertainty_j": part.span.uncertainty_j,
        "method": part.span.method,
        "meter": part.meter,
        "boundary": part.device.boundary,
        "quality": asdict(part.span.density),
        "reason": part.span.reason,
    }
