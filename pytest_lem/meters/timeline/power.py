"""Readings of momentary power: to shape a counter, or to stand in for one."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from math import sqrt

from pytest_lem.meters.timeline.series import Rhythm


class PowerSeries:
    """Momentary power, integrated by trapezoids with both ends interpolated.

    `source` is whence it comes: `power` that is polled, or the driver's `ring`.
    """

    def __init__(self, source: str, rhythm: Rhythm) -> None:
        self.source = source
        self.rhythm = rhythm
        self.reads = 0
        self.times = array("d")
        self._powers = array("d")
        self._totals = array("d")
        self._squares = array("d")
        self._halves = array("d")

    def add(self, before_s: float, after_s: float, power_w: float) -> None:
        """Take in one read of the power; one at the instant of the last is dropped."""
        self.reads += 1
        time_s = (before_s + after_s) / 2
        total_j = square_j2 = 0.0
        if self.times:
            length_s = time_s - self.times[-1]
            if length_s <= 0:
                return
            self.rhythm.note(self.times[-1], time_s)
            total_j = self._totals[-1] + (self._powers[-1] + power_w) / 2 * length_s
            change_j = (power_w - self._powers[-1]) / 2 * length_s
            square_j2 = self._squares[-1] + change_j**2
        self.times.append(time_s)
        self._powers.append(power_w)
        self._totals.append(total_j)
        self._squares.append(square_j2)
        self._halves.append((after_s - before_s) / 2)

    def broken(self, start_s: float, end_s: float) -> bool:
        """Never: power has no count to lose."""
        del start_s, end_s
        return False

    def method(self, start_s: float, end_s: float) -> str:
        """Integration, wherever the span lies."""
        del start_s, end_s
        return f"{self.source}_integrated"

    def holds(self, start_s: float, end_s: float) -> bool:
        """Whether the readings tell all of a span, without a gap."""
        times = self.times
        if len(times) < 2 or not times[0] <= start_s < end_s <= times[-1]:
            return False
        return not self.rhythm.gap_in(start_s, end_s)

    def integral(self, time_s: float) -> float:
        """Energy from the first reading to an instant that the readings cover."""
        return self._at(time_s)[1]

    def power_at(self, time_s: float) -> tuple[float, float]:
        """Power at an instant, and how far the integral up to it may be out in joules.

        Between two readings that differ the change may have come all at once.
        """
        left = self._interval(time_s)
        length_s = self.times[left + 1] - self.times[left]
        part = (time_s - self.times[left]) / length_s
        change_w = self._powers[left + 1] - self._powers[left]
        return (
            self._powers[left] + part * change_w,
            part * (1 - part) * length_s * abs(change_w) / 2,
        )

    def reaches(self, start_s: float, end_s: float) -> bool:
        """Whether a span lies between the first and the last of the readings."""
        return self.times[0] <= start_s and end_s <= self.times[-1]

    def cut(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Energy of a covered span, and its 95 % half-width."""
        start, start_j, start_u = self._at(start_s)
        end, end_j, end_u = self._at(end_s)
        between_j2 = self._squares[end + 1] - self._squares[start]
        return end_j - start_j, sqrt(start_u**2 + end_u**2 + max(between_j2, 0.0))

    def _interval(self, time_s: float) -> int:
        return min(bisect_right(self.times, time_s), len(self.times) - 1) - 1

    def _at(self, time_s: float) -> tuple[int, float, float]:
        """The interval of an instant, the integral up to it, and its edge term."""
        left = self._interval(time_s)
        past_s = time_s - self.times[left]
        length_s = self.times[left + 1] - self.times[left]
        slope = (self._powers[left + 1] - self._powers[left]) / length_s
        power_w = self._powers[left] + slope * past_s
        total_j = self._totals[left] + (self._powers[left] + power_w) / 2 * past_s
        half_s = max(self._halves[left], self._halves[left + 1])
        return left, total_j, power_w * half_s

    def trim(self, before_s: float) -> None:
        """Forget what is not needed for spans that start at `before_s` or later."""
        drop = bisect_right(self.times, before_s) - 1
        if drop > 0:
            del self.times[:drop], self._powers[:drop], self._totals[:drop]
            del self._squares[:drop], self._halves[:drop]
            self.rhythm.trim(self.times[0])
