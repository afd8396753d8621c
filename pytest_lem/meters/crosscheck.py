"""Two meters of one thing: the first tells, and the others are held against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_lem.meters.parts import Part, half_width, total, why_null, worst_basis

_DISAGREEMENT = 0.05
_LEAST_S = 1.0
_LEAST_PERIODS = 2.0


def held_against(
    told: Sequence[Part], other: Sequence[Part]
) -> tuple[dict[str, Any], bool]:
    """What another meter says of a scope, and whether that puts the first in doubt.

    `other` are one meter's devices of one scope. GPUs are compared one for one, CPU
    and memory as a whole. The row has meter, scope, energy_j, uncertainty_j,
    difference_pct (of what the first meter tells of the same devices), and where there
    is no difference the reason.
    """
    scope = other[0].device.scope
    same = [part for part in told if part.device.scope == scope]
    if scope == "gpu":
        ids = {part.device.id for part in same} & {part.device.id for part in other}
        same = [part for part in same if part.device.id in ids]
        other = [part for part in other if part.device.id in ids] or other
    told_j, other_j = total(same), total(other)
    difference_j = None if told_j is None or other_j is None else other_j - told_j
    row = {
        "meter": other[0].meter,
        "scope": scope,
        "energy_j": other_j,
        "uncertainty_j": half_width(other),
        "difference_pct": (
            100 * difference_j / told_j if difference_j is not None and told_j else None
        ),
        "reason": _why_null(same, other),
    }
    if told_j is None or difference_j is None:
        return row, False
    apart_j = max(
        _DISAGREEMENT * told_j, (half_width(same) or 0) + (half_width(other) or 0)
    )
    return row, abs(difference_j) > apart_j and _comparable(same, other)


def _why_null(same: Sequence[Part], other: Sequence[Part]) -> str | None:
    if not same:
        return "other_devices"
    return (
        why_null(same)
        or why_null(other)
        or (None if total(same) else "divisor_is_zero")
    )


def _comparable(same: Sequence[Part], other: Sequence[Part]) -> bool:
    """Whether a difference means anything: a short span, or a model's, does not."""
    both, span = [*same, *other], same[0].span
    least_s = max(_LEAST_S, _LEAST_PERIODS * max(part.period_s for part in both))
    worst = worst_basis(part.basis for part in both)
    return span.end_s - span.start_s >= least_s and worst == worst_basis(
        part.basis for part in same
    )
