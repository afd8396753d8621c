"""The steps of a cumulative energy counter."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from math import hypot
from statistics import median

from pytest_lem.meters.timeline.series import Rhythm

_STALE_PERIODS = 1.5
_RECENT = 9
_BLUR = 2.0
_BEATS = 32
_PULL = 0.2
_EARLY_BEATS = 0.1


class CounterSeries:
    """Steps of a cumulative counter: when each happened and what it then showed.

    A step happened after the start of the last read that still showed the old value,
    and before the end of the read that showed the new one. Steps keep their beat to a
    millisecond, so the edge is the instant in that bracket that is nearest to it, the
    beat being drawn a little to the middle of each bracket. A device with a known
    `refresh_s` is read more slowly than it counts: each of its reads is an edge, no
    older than that.
    """

    def __init__(self, refresh_s: float | None) -> None:
        self.rhythm = Rhythm()
        self.reads = 0
        self.times = array("d")
        self.energies = array("d")
        self.halves = array("d")
        self._resets: list[float] = []
        self._refresh_s = refresh_s
        self._last: tuple[float, float] | None = None

    def add(self, before_s: float, after_s: float, energy_j: float) -> None:
        """Take in one read; of one that took over a period the instant is unknown."""
        self.reads += 1
        if self._stalled(after_s - before_s):
            return
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
            self._append(earliest_s, after_s, energy_j)

    def _stalled(self, took_s: float) -> bool:
        period_s = self.rhythm.period_s
        if period_s is None or self._refresh_s is not None:
            return False
        return took_s > period_s

    def _append(self, earliest_s: float, latest_s: float, energy_j: float) -> None:
        time_s, half_s = self._edge(earliest_s, latest_s)
        if self.times and time_s <= self.times[-1]:
            self.energies[-1] = energy_j
            return
        if self.times and not self._reset_in(self.times[-1], time_s):
            self.rhythm.note(self.times[-1], time_s)
        self.times.append(time_s)
        self.energies.append(energy_j)
        self.halves.append(half_s)

    def _edge(self, earliest_s: float, latest_s: float) -> tuple[float, float]:
        """Where in its bracket a step most likely happened, and how sure that is."""
        middle_s, half_s = (earliest_s + latest_s) / 2, (latest_s - earliest_s) / 2
        beat_s = self._beat_s()
        if beat_s is None or self._refresh_s is not None:
            return middle_s, half_s
        # What is seen after a missed edge is the last step before the read.
        late_s = latest_s - _EARLY_BEATS * beat_s
        around_s = max(middle_s, late_s - beat_s / 2)
        steps = max(round((around_s - self.times[-1]) / beat_s), 1)
        expected_s = self.times[-1] + steps * beat_s
        pulled_s = expected_s + _PULL * (middle_s - expected_s)
        # The beat tells of an edge about as sharply as its neighbours were seen.
        sharp_s = _BLUR * median(self.halves[-_RECENT:])
        return min(max(pulled_s, earliest_s), latest_s), min(half_s, sharp_s)

    def _beat_s(self) -> float | None:
        """The period over the last edges together; `None` before there are enough."""
        period_s, back = self.rhythm.period_s, min(len(self.times) - 1, _BEATS)
        if period_s is None or back < _RECENT:
            return None
        long_s = self.times[-1] - self.times[-1 - back]
        return long_s / max(round(long_s / period_s), 1)

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

    def reaches(self, start_s: float, end_s: float) -> bool:
        """Whether a span lies between the first and the last of the edges."""
        return self.times[0] <= start_s and end_s <= self.times[-1]

    def cut(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Energy of a covered span, and its 95 % half-width."""
        start_j, start_u = self.at(start_s)
        end_j, end_u = self.at(end_s)
        return end_j - start_j, hypot(start_u, end_u)

    def method(self, start_s: float, end_s: float) -> str:
        """Interpolation, wherever the span lies."""
        del start_s, end_s
        return "counter_interpolated"

    def step(self, time_s: float) -> int:
        """The step that holds an instant."""
        return min(bisect_right(self.times, time_s), len(self.times) - 1) - 1

    def at(self, time_s: float) -> tuple[float, float]:
        """The counter at an instant, and how wrong that may be."""
        step = self.step(time_s)
        length_s = self.times[step + 1] - self.times[step]
        part = (time_s - self.times[step]) / length_s
        rise_j = self.energies[step + 1] - self.energies[step]
        half_s = (1 - part) * self.halves[step] + part * self.halves[step + 1]
        jitter_j = rise_j / length_s * half_s
        fringe_j = min(part, 1 - part) * length_s * self._swing(step)
        return self.energies[step] + part * rise_j, hypot(jitter_j, fringe_j)

    def _swing(self, step: int) -> float:
        """How far power inside a step may lie from its mean, by its neighbours."""
        power_w = self.power(step)
        if power_w is None:
            return 0.0
        around = [self.power(step - 1), self.power(step + 1)]
        swings = [abs(power_w - other) for other in around if other is not None]
        gap = self.rhythm.gap_in(self.times[step], self.times[step + 1])
        return max(swings) if swings and not gap else max([power_w, *swings])

    def power(self, step: int) -> float | None:
        """Mean power of a step; none outside the series and across a reset."""
        if not 0 <= step < len(self.times) - 1:
            return None
        start_s, end_s = self.times[step], self.times[step + 1]
        if self._reset_in(start_s, end_s):
            return None
        return (self.energies[step + 1] - self.energies[step]) / (end_s - start_s)

    def trim(self, before_s: float) -> None:
        """Forget what is not needed for spans that start at `before_s` or later."""
        # One step more than encloses the instant: its power bounds the fringe.
        drop = bisect_right(self.times, before_s) - 2
        if drop > 0:
            del self.times[:drop], self.energies[:drop], self.halves[:drop]
            del self._resets[: bisect_right(self._resets, self.times[0])]
            self.rhythm.trim(self.times[0])
