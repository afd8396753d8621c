"""Readings of one device in order of time, and the energy between two instants.

A counter that is refreshed every tenth of a second is a staircase. The difference
of two raw reads errs by up to a whole step, so no function here takes it: energy is
always interpolated between the edges of steps.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from pytest_lem.meters.timeline.density import Density

_ENOUGH_INTERVALS = 5
_GAP_PERIODS = 3.0
_SHORT_PERIODS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Energy of one device between two instants, or the reason why there is none.

    Times are CLOCK_MONOTONIC seconds. `uncertainty_j` is the half-width at 95 %,
    without the gain of the sensor itself, which repeats and ratios share.
    """

    start_s: float
    end_s: float
    energy_j: float | None
    uncertainty_j: float | None
    method: str
    flags: tuple[str, ...]
    reason: str | None
    density: Density

    @property
    def power_w(self) -> float | None:
        """Mean power over the span."""
        if self.energy_j is None:
            return None
        return self.energy_j / (self.end_s - self.start_s)


class Rhythm:
    """How regularly the points of a series come: their period, and the gaps.

    A gap is an interval of more than `gap_periods` periods.
    """

    def __init__(self, gap_periods: float = _GAP_PERIODS) -> None:
        self._gap_periods = gap_periods
        self._intervals: deque[float] = deque(maxlen=64)
        self._gaps: list[tuple[float, float]] = []

    @property
    def period_s(self) -> float | None:
        """Median of the recent intervals, `None` before there are five."""
        if len(self._intervals) < _ENOUGH_INTERVALS:
            return None
        return median(self._intervals)

    def note(self, earlier_s: float, later_s: float) -> None:
        """Take in the interval between two neighbouring points."""
        period_s = self.period_s
        if period_s is not None and later_s - earlier_s > self._gap_periods * period_s:
            self._gaps.append((earlier_s, later_s))
        self._intervals.append(later_s - earlier_s)

    def flags(self, start_s: float, end_s: float) -> tuple[str, ...]:
        """What the rhythm says against a span."""
        flags = []
        if self.period_s and end_s - start_s < _SHORT_PERIODS * self.period_s:
            flags.append("short_window")
        if self.gap_in(start_s, end_s):
            flags.append("reading_gap")
        return tuple(flags)

    def gap_in(self, start_s: float, end_s: float) -> bool:
        """Whether a gap overlaps the span."""
        first = bisect_right(self._gaps, start_s, key=lambda gap: gap[1])
        return first < len(self._gaps) and self._gaps[first][0] < end_s

    def trim(self, before_s: float) -> None:
        """Forget gaps that ended before then."""
        del self._gaps[: bisect_left(self._gaps, before_s, key=lambda gap: gap[1])]


class Series(Protocol):
    """What a timeline asks of the readings of a device."""

    @property
    def rhythm(self) -> Rhythm:
        """How regularly its points come."""

    @property
    def reads(self) -> int:
        """Readings taken in."""

    @property
    def times(self) -> array[float]:
        """Instants at which the energy so far is known."""

    def broken(self, start_s: float, end_s: float) -> bool:
        """Whether the counter started anew between the points around a span."""

    def reaches(self, start_s: float, end_s: float) -> bool:
        """Whether the points tell of a span; there is at least one."""

    def cut(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Energy of a covered span, and its 95 % half-width."""

    def method(self, start_s: float, end_s: float) -> str:
        """How the energy of a span is found."""

    def trim(self, before_s: float) -> None:
        """Forget what is not needed for spans that start at `before_s` or later."""
