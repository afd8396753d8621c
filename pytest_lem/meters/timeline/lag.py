"""How far the stamps of the driver's power ring run behind those of the counter."""

from __future__ import annotations

from array import array

from pytest_lem.meters.timeline.counter import CounterSeries
from pytest_lem.meters.timeline.power import PowerSeries

_EARLIEST_S = -0.020
_SPACING_S = 0.002
_CANDIDATES = 41
_LATEST_S = _EARLIEST_S + (_CANDIDATES - 1) * _SPACING_S
# A step tells of the lag when power at its two ends differs by more than this share,
# and counts no more than a miss of this share: one odd step must not decide.
_TELLING_SHARE = 0.05
_WORST_SHARE = 0.05
_ENOUGH_STEPS = 20
_ALL_STEPS = 500
_UNSURE_S = 0.010
_UNKNOWN_S = 0.030


class Lag:
    """The shift of the ring that makes it agree best with the counter, step by step.

    For each candidate the squared relative differences between the rise of the
    counter and the integral of the ring are summed over the steps in which power
    changes. The least sum, refined by a parabola, is the lag. It is 0 until 20 such
    steps were seen, and fixed after 500.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._misses = array("d", [0.0] * _CANDIDATES)
        self._seen_s = float("-inf")
        self._measured_s: float | None = None

    @property
    def measured_s(self) -> float | None:
        """The lag as far as the data tell it, positive where the ring is later."""
        return self._measured_s

    @property
    def value_s(self) -> float:
        """The lag to reckon with."""
        return self._measured_s or 0.0

    @property
    def uncertainty_s(self) -> float:
        """How wrong that may be."""
        return _UNKNOWN_S if self._measured_s is None else _UNSURE_S

    def learn(self, counter: CounterSeries, ring: PowerSeries) -> None:
        """Take in the counter's steps that the ring has reached since the last time."""
        times = counter.times
        if self.steps >= _ALL_STEPS or len(times) < 2 or len(ring.times) < 2:
            return
        step = counter.step(self._seen_s) + 1 if self._seen_s > times[0] else 0
        while step < len(times) - 1 and times[step + 1] + _LATEST_S <= ring.times[-1]:
            self._seen_s = times[step + 1]
            self._weigh(counter, ring, step)
            step += 1

    def _weigh(self, counter: CounterSeries, ring: PowerSeries, step: int) -> None:
        start_s, end_s = counter.times[step], counter.times[step + 1]
        power_w = counter.power(step)
        if not power_w or not ring.holds(start_s + _EARLIEST_S, end_s + _LATEST_S):
            return
        change_w = ring.power_at(end_s)[0] - ring.power_at(start_s)[0]
        if abs(change_w) < _TELLING_SHARE * power_w:
            return
        rise_j = power_w * (end_s - start_s)
        for place in range(_CANDIDATES):
            lag_s = _EARLIEST_S + place * _SPACING_S
            ring_j = ring.integral(end_s + lag_s) - ring.integral(start_s + lag_s)
            self._misses[place] += min(abs(ring_j / rise_j - 1), _WORST_SHARE) ** 2
        self.steps += 1
        if self.steps >= _ENOUGH_STEPS:
            self._measured_s = self._least()

    def _least(self) -> float | None:
        """The bottom of the sums; `None` where it lies at the rim of the candidates."""
        misses = self._misses
        best = min(range(_CANDIDATES), key=misses.__getitem__)
        if best in (0, _CANDIDATES - 1):
            return None
        before, least, after = misses[best - 1 : best + 2]
        bend = before - 2 * least + after
        part = (before - after) / (2 * bend) if bend > 0 else 0.0
        return _EARLIEST_S + (best + part) * _SPACING_S
