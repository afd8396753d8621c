"""The steps of a cumulative energy counter."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from math import hypot
from statistics import median

from pytest_lem.meters.series import Rhythm

_STALE_PERIODS = 1.5
_RECENT = 9
_BLUR = 4.0


class CounterSeries:
    """Steps of a cumulative counter: when each happened and what it then showed.

    A step happened after the start of the last read that still showed the old value,
    and before the end of the read that showed the new one. The middle of that bracket
    is the edge. An edge seen far less sharply than those before it is left out, once:
    its neighbours tell more of it than it does. A device with a known `refresh_s` is
    read more slowly than it counts: each of its reads is an edge, no older than that.
    """

    method = "counter_interpolated"

    def __init__(self, refresh_s: float | None) -> None:
        self.rhythm = Rhythm()
        self.reads = 0
        self.times = array("d")
        self._energies = array("d")
        self._halves = array("d")
        self._resets: list[float] = []
        self._refresh_s = refresh_s
        self._last: tuple[float, float] | None = None
        self._skipped = False

    def add(self, before_s: float, after_s: float, energy_j: float) -> None:
        """Take in one read of the counter."""
        self.reads += 1
        last, self._last = self._last, (before_s, energy_j)
        if last is not None and energy_j < last[1]:
            self._resets.append(before_s)
            last = None
        if self._refresh_s is not None:
            self._append(before_s - self._refresh_s, after_s, energy_j)
        elif last is not None and energy_j > last[1]:
            period_s = self.rhythm.period_s
            stale_s = before_s - _STALE_PERIODS * period_s if period_s else last[0]
            earliest_s = max(last[0], stale_s)
            self._skipped = not self._skipped and self._blurred(after_s - earliest_s)
            if not self._skipped:
                self._append(earliest_s, after_s, energy_j)

    def _blurred(self, bracket_s: float) -> bool:
        recent = self._halves[-_RECENT:]
        if len(recent) < _RECENT or bracket_s == 0:
            return False
        return bracket_s / 2 > _BLUR * median(recent)

    def _append(self, earliest_s: float, latest_s: float, energy_j: float) -> None:
        time_s = (earliest_s + latest_s) / 2
        if self.times and time_s <= self.times[-1]:
            self._energies[-1] = energy_j
            return
        if self.times and not self._reset_in(self.times[-1], time_s):
            self.rhythm.note(self.times[-1], time_s)
        self.times.append(time_s)
        self._energies.append(energy_j)
        self._halves.append((latest_s - earliest_s) / 2)

    def _reset_in(self, start_s: float, end_s: float) -> bool:
        resets = self._resets
        return bisect_right(resets, start_s) < bisect_right(resets, end_s)

    def broken(self, start_s: float, end_s: float) -> bool:
        """Whether the counter started anew between the edges around a span."""
        first = bisect_right(self.times, start_s) - 1
        last = bisect_left(self.times, end_s)
        return self._reset_in(
            self.times[first] if first >= 0 else start_s,
            self.times[last] if last < len(self.times) else end_s,
        )

    def cut(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Energy of a covered span, and its 95 % half-width."""
        start_j, start_u = self._at(start_s)
        end_j, end_u = self._at(end_s)
        return end_j - start_j, hypot(start_u, end_u)

    def _at(self, time_s: float) -> tuple[float, float]:
        """The counter at an instant, and how wrong that may be."""
        step = min(bisect_right(self.times, time_s), len(self.times) - 1) - 1
        length_s = self.times[step + 1] - self.times[step]
        part = (time_s - self.times[step]) / length_s
        rise_j = self._energies[step + 1] - self._energies[step]
        half_s = (1 - part) * self._halves[step] + part * self._halves[step + 1]
        jitter_j = rise_j / length_s * half_s
        fringe_j = min(part, 1 - part) * length_s * self._swing(step)
        return self._energies[step] + part * rise_j, hypot(jitter_j, fringe_j)

    def _swing(self, step: int) -> float:
        """How far power inside a step may lie from its mean, by its neighbours."""
        power_w = self._power(step)
        if power_w is None:
            return 0.0
        around = [self._power(step - 1), self._power(step + 1)]
        swings = [abs(power_w - other) for other in around if other is not None]
        gap = self.rhythm.gap_in(self.times[step], self.times[step + 1])
        return max(swings) if swings and not gap else max([power_w, *swings])

    def _power(self, step: int) -> float | None:
        """Mean power of a step; none outside the series and across a reset."""
        if not 0 <= step < len(self.times) - 1:
            return None
        start_s, end_s = self.times[step], self.times[step + 1]
        if self._reset_in(start_s, end_s):
            return None
        return (self._energies[step + 1] - self._energies[step]) / (end_s - start_s)

    def trim(self, before_s: float) -> None:
        """Forget what is not needed for spans that start at `before_s` or later."""
        # One step more than encloses the instant: its power bounds the fringe.
        drop = bisect_right(self.times, before_s) - 2
        if drop > 0:
            del self.times[:drop], self._energies[:drop], self._halves[:drop]
            del self._resets[: bisect_right(self._resets, self.times[0])]
            self.rhythm.trim(self.times[0])
