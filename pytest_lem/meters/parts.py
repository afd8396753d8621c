"""What each device drew by one meter, and what several of them drew together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import hypot

from pytest_lem.meters import Afar, Basis, Device, Meter
from pytest_lem.meters.timeline.series import Span

# From the best to the worst; a sum is worth as much as its worst part.
_BASES: tuple[Basis, ...] = ("measured", "estimated", "replayed", "synthetic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one device drew, and the meter that says so."""

    device: Device
    span: Span
    meter: str
    basis: Basis
    period_s: float
    flags: tuple[str, ...] = ()


def blurred(meter: Meter, span: Span, device: str) -> Span:
    """A span as uncertain as the clock by which another machine read it.

    Ends that are wrong by the residual move that much power in or out.
    """
    if not isinstance(meter, Afar) or span.uncertainty_j is None:
        return span
    residual_s = meter.residual_s(device, span.start_s, span.end_s)
    moved_j = (span.power_w or 0.0) * residual_s
    return replace(span, uncertainty_j=hypot(span.uncertainty_j, moved_j))


def worst_basis(bases: Iterable[Basis]) -> Basis | None:
    """What a sum of parts is worth; `None` of none."""
    return max(bases, key=_BASES.index, default=None)


def total(parts: Sequence[Part]) -> float | None:
    """Energy of all parts in joules; `None` where one is missing, and of none."""
    energies = [part.span.energy_j for part in parts]
    known = [energy_j for energy_j in energies if energy_j is not None]
    return sum(known) if known and len(known) == len(energies) else None


def half_width(parts: Sequence[Part]) -> float | None:
    """The 95 % half-width of that total; devices are independent."""
    widths = [part.span.uncertainty_j for part in parts]
    known = [width_j for width_j in widths if width_j is not None]
    if not known or len(known) != len(widths):
        return None
    return hypot(*known)


def why_null(parts: Sequence[Part]) -> str | None:
    """Why parts have no total; `None` where they have."""
    if not parts:
        return "no_device"
    lacking = [part for part in parts if part.span.energy_j is None]
    return (
        "; ".join(f"{part.span.reason}: {part.device.id}" for part in lacking) or None
    )
