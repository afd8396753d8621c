"""A counter whose steps are shaped by the driver's ring of power samples."""

from __future__ import annotations

from array import array
from math import hypot, sqrt

from pytest_lem.meters.timeline.counter import CounterSeries
from pytest_lem.meters.timeline.lag import Lag
from pytest_lem.meters.timeline.power import PowerSeries
from pytest_lem.meters.timeline.series import Rhythm

# Samples come 20 ms apart and are stamped to 10 ms: an H100's intervals go up to 2.3
# times their median with none lost.
RING_GAP_PERIODS = 2.5
_DISAGREEMENT = 0.05
_COMPARED_S = 1.0
_LOST_S = 1.0
_KEPT_S = 1.0
# Calibrated on a trace of an H100, so that 93 to 99 % of the differences between this
# estimate and the ring's integral stay within the half-width from 0.1 to 5 s.
_WIDTH = 1.8
_SHARED = 0.05
_SHARED_STEPS = 30
_GAIN = 0.001


class ShapedSeries:
    """Counter and ring together: the counter says how much, the ring says when.

    Energy at an instant is the counter at the edge before it and that part of the
    step's rise that the ring, moved by its lag, puts before the instant. A step that
    the ring does not tell whole is interpolated linearly. The 95 % half-width joins
    in quadrature

    - for each end: the jitter of its step's edges; the smaller part of the step times
      the step's disagreement between counter and ring; the lag's uncertainty times
      the difference between power there and the step's mean; and the change of power
      between the two samples around it;
    - for an end that lies past the outermost edge, by a step at most: a twentieth of
      what the ring puts between the two, for there is no step to scale it to;
    - for the whole steps between: 1.8 times the root of the sum of their squared
      disagreements, with a twentieth of it shared from step to step, and 0.1 %.
    """

    def __init__(self, counter: CounterSeries, ring: PowerSeries) -> None:
        self.lag = Lag()
        self._counter = counter
        self._ring = ring

    @property
    def rhythm(self) -> Rhythm:
        """That of the counter."""
        return self._counter.rhythm

    @property
    def reads(self) -> int:
        """Reads of the counter."""
        return self._counter.reads

    @property
    def times(self) -> array[float]:
        """The counter's edges."""
        return self._counter.times

    def broken(self, start_s: float, end_s: float) -> bool:
        """Whether the counter started anew between the edges around a span."""
        return self._counter.broken(start_s, end_s)

    def learn(self) -> None:
        """Let the lag know of new samples."""
        self.lag.learn(self._counter, self._ring)

    def reaches(self, start_s: float, end_s: float) -> bool:
        """Whether a span lies between edges, or past them by a step that the ring has.

        The first step of a recording has only its later edge, the last its earlier.
        """
        times, step_s = self.times, self.rhythm.period_s or 0.0
        within = times[0] - step_s <= start_s and end_s <= times[-1] + step_s
        if not within or end_s <= times[0] or start_s >= times[-1]:
            return False
        outside = ((start_s, times[0]), (times[-1], end_s))
        return all(b <= a or self.ring_energy(a, b) is not None for a, b in outside)

    def awaited(self, end_s: float) -> bool:
        """Whether samples that shape the step of an instant are still to come."""
        if not self._ring.times:
            return False
        edge_s = self.times[self._counter.step(end_s) + 1]
        last_s = self._ring.times[-1] - self.lag.value_s
        return last_s < edge_s and self.times[-1] - last_s < _LOST_S

    def method(self, start_s: float, end_s: float) -> str:
        """Whether the ring shaped the steps of both ends."""
        held = (time_s for time_s in (start_s, end_s) if self._holds(time_s))
        shaped = all(self._told(self._counter.step(one)) is not None for one in held)
        return "counter_ring" if shaped else "counter_interpolated"

    def flags(self, start_s: float, end_s: float) -> tuple[str, ...]:
        """What the ring says against a span."""
        ring, lag_s = self._ring, self.lag.value_s
        if not ring.times:
            return ()
        if ring.rhythm.gap_in(start_s + lag_s, end_s + lag_s):
            return ("ring_gap",)
        if end_s - start_s < _COMPARED_S:
            return ()
        ring_j = self.ring_energy(start_s, end_s)
        if ring_j is None:
            return ()
        energy_j = self._at(end_s)[0] - self._at(start_s)[0]
        apart = abs(energy_j - ring_j) > _DISAGREEMENT * energy_j
        return ("counter_ring_disagree",) if apart else ()

    def ring_energy(self, start_s: float, end_s: float) -> float | None:
        """Energy by the moved ring alone; `None` where it has not all of it."""
        ring, lag_s = self._ring, self.lag.value_s
        if not ring.holds(start_s + lag_s, end_s + lag_s):
            return None
        return ring.integral(end_s + lag_s) - ring.integral(start_s + lag_s)

    def cut(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Energy of a covered span, and its 95 % half-width."""
        start_j, start_u = self._at(start_s)
        end_j, end_u = self._at(end_s)
        energy_j = end_j - start_j
        first, last = self._counter.step(start_s) + 1, self._counter.step(end_s)
        last += end_s > self.times[-1]
        between_j = self._disagreement(first, last)
        return energy_j, hypot(start_u, end_u, between_j, _GAIN * energy_j)

    def trim(self, before_s: float) -> None:
        """Forget what is not needed for spans that start at `before_s` or later."""
        self._counter.trim(before_s)
        first_s = self.times[0] if self.times else before_s
        self._ring.trim(min(before_s, first_s) - _KEPT_S)

    def _told(self, step: int) -> float | None:
        """Energy of a step by the ring; `None` where it does not tell it whole."""
        ring_j = self.ring_energy(self.times[step], self.times[step + 1])
        return ring_j if ring_j is not None and ring_j > 0 else None

    def _at(self, time_s: float) -> tuple[float, float]:
        """The counter at an instant, and how wrong that may be."""
        counter, lag_s = self._counter, self.lag.value_s
        if not self._holds(time_s):
            return self._past(time_s)
        step = counter.step(time_s)
        step_j = self._told(step)
        if step_j is None:
            return counter.at(time_s)
        start_s, end_s = self.times[step], self.times[step + 1]
        rise_j = counter.energies[step + 1] - counter.energies[step]
        part = (time_s - start_s) / (end_s - start_s)
        ring = self._ring
        past_j = ring.integral(time_s + lag_s) - ring.integral(start_s + lag_s)
        power_w, sample_j = ring.power_at(time_s + lag_s)
        mean_w, scale = rise_j / (end_s - start_s), rise_j / step_j
        half_s = (1 - part) * counter.halves[step] + part * counter.halves[step + 1]
        half_width_j = hypot(
            mean_w * half_s,
            min(part, 1 - part) * (rise_j - step_j),
            self.lag.uncertainty_s * (power_w * scale - mean_w),
            sample_j,
        )
        return counter.energies[step] + past_j * scale, half_width_j

    def _holds(self, time_s: float) -> bool:
        """Whether an instant lies between edges."""
        return self.times[0] <= time_s <= self.times[-1]

    def _past(self, time_s: float) -> tuple[float, float]:
        """The counter past its outermost edge, by the ring alone."""
        place = 0 if time_s < self.times[0] else -1
        edge_s, edge_j = self.times[place], self._counter.energies[place]
        ring_j = self.ring_energy(*sorted((time_s, edge_s))) or 0.0
        power_w, sample_j = self._ring.power_at(time_s + self.lag.value_s)
        half_width_j = hypot(
            _DISAGREEMENT * ring_j,
            power_w * self._counter.halves[place],
            self.lag.uncertainty_s * power_w,
            sample_j,
        )
        return edge_j + (ring_j if place else -ring_j), half_width_j

    def _disagreement(self, first: int, last: int) -> float:
        """By how much counter and ring may differ over whole steps, at 95 %."""
        counter, total_j2 = self._counter, 0.0
        for step in range(first, last):
            step_j = self._told(step)
            if step_j is not None:
                rise_j = counter.energies[step + 1] - counter.energies[step]
                total_j2 += (rise_j - step_j) ** 2
        shared = _SHARED * min(max(last - first, 0), _SHARED_STEPS)
        return _WIDTH * sqrt(total_j2 * (1 - _SHARED + shared))
