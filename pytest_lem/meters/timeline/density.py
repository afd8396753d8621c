"""How densely a span was observed: points expected and got, and the largest gap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_LOSS_SHARE = 0.8
_ENOUGH = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """Points of a series in a span, how many its period promises, and the worst gap.

    A point is a step of a counter, or a reading of power. `largest_gap_s` is between
    two neighbouring points, of which the span may hold only one. What is not known
    yet, or never was, is None.
    """

    samples: int
    expected: float | None
    largest_gap_s: float | None

    @property
    def flags(self) -> tuple[str, ...]:
        """`sampling_loss` where more than a fifth is missing of five and more."""
        if self.expected is None or self.expected < _ENOUGH:
            return ()
        # The points at both ends may lie just outside.
        lost = self.samples + 1 < _LOSS_SHARE * self.expected
        return ("sampling_loss",) if lost else ()


def density(
    times: Sequence[float], period_s: float | None, start_s: float, end_s: float
) -> Density:
    """How densely points at these times tell of a span."""
    first, last = bisect_left(times, start_s), bisect_right(times, end_s)
    around = times[max(first - 1, 0) : last + 1]
    return Density(
        samples=max(last - first, 0),
        expected=(end_s - start_s) / period_s if period_s else None,
        largest_gap_s=max((b - a for a, b in pairwise(around)), default=None),
    )


def together(parts: Iterable[Density]) -> Density:
    """Of several devices: points summed up, and the largest of the gaps."""
    found = list(parts)
    expected = [one.expected for one in found if one.expected is not None]
    gaps = [one.largest_gap_s for one in found if one.largest_gap_s is not None]
    return Density(
        samples=sum(one.samples for one in found),
        expected=sum(expected) if found and len(expected) == len(found) else None,
        largest_gap_s=max(gaps, default=None),
    )
