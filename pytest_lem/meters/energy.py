"""What all devices of a run drew together, and how far that may be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from pytest_lem.meters import Basis, Device, Scope
from pytest_lem.meters.series import Span

# From the best to the worst; a sum is worth as much as its worst part.
_BASES: tuple[Basis, ...] = ("measured", "estimated", "replayed", "synthetic")
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
    energy_j, uncertainty_j, method, meter, reason. A sum with a missing part is null.
    """

    gross_j: float | None
    uncertainty_j: float | None
    method: str | None
    meter: str | None
    basis: Basis | None
    scope: list[str]
    per_device: list[dict[str, Any]]
    cpu_j: float | None
    dram_j: float | None
    flags: list[str]
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one device drew, and the meter that says so."""

    device: Device
    span: Span
    meter: str
    basis: Basis
    flags: tuple[str, ...] = ()


def combine(parts: Sequence[Part], *, unmetered: Iterable[str] = ()) -> EnergyReading:
    """The sum over devices; `unmetered` names GPUs that drew and were not metered."""
    gpus = [part for part in parts if part.device.scope == "gpu"]
    counted = gpus or list(parts)
    missing = sorted(unmetered)
    reason = f"not_metered: {', '.join(missing)}" if missing else _why_null(counted)
    return EnergyReading(
        gross_j=None if reason else _total(counted),
        uncertainty_j=None if reason else _half_width(counted),
        method=_joined(part.span.method for part in counted),
        meter=_joined(part.meter for part in counted),
        basis=worst_basis(part.basis for part in counted),
        scope=_scopes(counted),
        per_device=[_row(part) for part in parts],
        cpu_j=_total([part for part in parts if part.device.scope == "cpu"]),
        dram_j=_total([part for part in parts if part.device.scope == "dram"]),
        flags=_flags(counted),
        reason=reason,
    )


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
        cpu_j=None,
        dram_j=None,
        flags=[],
        reason=reason,
    )


def primary(devices: Sequence[Sequence[Device]]) -> list[tuple[int, Device]]:
    """Of the devices of several meters those that count, with their meter's place.

    Each scope is told by the first meter that has it.
    """
    teller: dict[Scope, int] = {}
    for index, own in enumerate(devices):
        for device in own:
            teller.setdefault(device.scope, index)
    return [
        (index, device)
        for index, own in enumerate(devices)
        for device in own
        if teller[device.scope] == index
    ]


def worst_basis(bases: Iterable[Basis]) -> Basis | None:
    """What a sum of parts is worth; `None` of none."""
    return max(bases, key=_BASES.index, default=None)


def _why_null(parts: Sequence[Part]) -> str | None:
    if not parts:
        return "no_device"
    lacking = [part for part in parts if part.span.energy_j is None]
    return (
        "; ".join(f"{part.span.reason}: {part.device.id}" for part in lacking) or None
    )


def _total(parts: Sequence[Part]) -> float | None:
    energies = [part.span.energy_j for part in parts]
    known = [energy_j for energy_j in energies if energy_j is not None]
    return sum(known) if known and len(known) == len(energies) else None


def _half_width(parts: Sequence[Part]) -> float | None:
    widths = [part.span.uncertainty_j for part in parts]
    known = [width_j for width_j in widths if width_j is not None]
    if not known or len(known) != len(widths):
        return None
    return sqrt(sum(width_j**2 for width_j in known))


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
    return list(flags)


def _row(part: Part) -> dict[str, Any]:
    return {
        "device": part.device.id,
        "scope": part.device.scope,
        "energy_j": part.span.energy_j,
        "uncertainty_j": part.span.uncertainty_j,
        "method": part.span.method,
        "meter": part.meter,
        "reason": part.span.reason,
    }
