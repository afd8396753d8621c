"""The timeline of a device: readings in, energy between any two instants out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from threading import Lock
from typing import Any

from pytest_lem.meters import Device, Reading
from pytest_lem.meters.timeline.counter import CounterSeries
from pytest_lem.meters.timeline.density import density
from pytest_lem.meters.timeline.power import PowerSeries
from pytest_lem.meters.timeline.series import Rhythm, Series, Span
from pytest_lem.meters.timeline.shaped import RING_GAP_PERIODS, ShapedSeries

__all__ = ["Span", "Timeline"]


class Timeline:
    """All readings of one device; one thread adds, any thread asks.

    Energy at an instant is the counter between the two edges around it, shaped by the
    driver's ring of power samples, or interpolated linearly where there is none: one
    function of time, so spans that partition a span add up to it. Without a counter
    it is the integral of the ring, or of polled power where the ring does not hold
    the span. Past the outermost edges the ring alone tells, for a step at most; nothing
    else is extrapolated.

    The 95 % half-width of a span that a ring shapes is told in `shaped`. Without a
    ring it joins in quadrature, for each of its two ends,

    - jitter: P x b, with P the mean power of the step that holds the end and b half
      the time in which its edges may lie, interpolated to the end;
    - fringe: min(f, 1 - f) x T x D, with f the place of the end within its step of
      length T, and D the largest difference between P and the power of the
      neighbouring steps (P itself where there are none, or in a gap): energy split by
      time inside a step errs by no more if power there keeps within D of its mean.

    For integrated power the fringe is, for each interval touched, half its length
    times the change of power over it.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._counter = CounterSeries(device.refresh_s)
        self._power = PowerSeries("power", Rhythm())
        self._ring = PowerSeries("ring", Rhythm(RING_GAP_PERIODS))
        self._shaped = ShapedSeries(self._counter, self._ring)
        self._lock = Lock()

    def add(self, reading: Reading) -> None:
        """Take in one reading; they must come in order of time."""
        with self._lock:
            if reading.energy_j is not None:
                self._counter.add(reading.before_s, reading.after_s, reading.energy_j)
            elif reading.power_w is not None:
                self._power.add(reading.before_s, reading.after_s, reading.power_w)
            elif reading.ring_w is not None:
                self._ring.add(reading.before_s, reading.after_s, reading.ring_w)
                self._shaped.learn()

    def _series(self) -> Series:
        if self._counter.reads:
            return self._shaped if self._ring.reads else self._counter
        return self._power if self._power.reads else self._ring

    def _series_of(self, start_s: float, end_s: float) -> Series:
        """The best series that tells of a span."""
        if not self._counter.reads and self._ring.holds(start_s, end_s):
            return self._ring
        return self._series()

    @property
    def period_s(self) -> float | None:
        """Measured median interval between steps; `None` before there are enough."""
        with self._lock:
            return self._series().rhythm.period_s

    def covers(self, end_s: float) -> bool:
        """Whether the energy up to then is known."""
        with self._lock:
            series = self._series()
            if not series.times or series.times[-1] < end_s:
                return False
            if series is not self._shaped or len(series.times) < 2:
                return True
            return not self._shaped.awaited(end_s)

    def energy(self, start_s: float, end_s: float) -> Span:
        """The energy between two instants, or null with the reason."""
        with self._lock:
            series = self._series_of(start_s, end_s)
            seen = density(series.times, series.rhythm.period_s, start_s, end_s)
            flags = series.rhythm.flags(start_s, end_s) + seen.flags
            reason = _why_null(series, start_s, end_s)
            if reason == "counter_reset":
                flags += ("counter_reset",)
            energy_j = uncertainty_j = None
            method = "none"
            if reason is None:
                energy_j, uncertainty_j = series.cut(start_s, end_s)
                if not energy_j > 0:  # nothing that is switched on draws nothing
                    energy_j = uncertainty_j = None
                    reason = "counter_unchanged" if self._counter.reads else "no_power"
            if energy_j is not None:
                method = series.method(start_s, end_s)
                if series is self._shaped:
                    flags += self._shaped.flags(start_s, end_s)
        return Span(
            start_s=start_s,
            end_s=end_s,
            energy_j=energy_j,
            uncertainty_j=uncertainty_j,
            method=method,
            flags=flags,
            reason=reason,
            density=seen,
        )

    def ring_energy(
        self, start_s: float, end_s: float
    ) -> tuple[float | None, str | None]:
        """Energy by the ring alone, moved by its lag; or `None` and the reason.

        It is not scaled to the counter: a second opinion on what the counter says.
        """
        with self._lock:
            if not self._ring.reads:
                return None, "no_ring"
            if not self._counter.reads:
                return None, "no_counter"
            ring_j = self._shaped.ring_energy(start_s, end_s)
        return ring_j, None if ring_j is not None else "ring_gap"

    def describe(self) -> dict[str, Any]:
        """The device, and what was found out about its ring if it has one."""
        device = self.device
        told = {"id": device.id, "scope": device.scope, "name": device.name}
        with self._lock:
            if not self._ring.reads:
                return dict(told)
            ring = {
                "spacing_s": self._ring.rhythm.period_s,
                "lag_s": self._shaped.lag.measured_s,
                "lag_steps": self._shaped.lag.steps,
            }
        return {**told, "ring": ring}

    def trim(self, before_s: float) -> None:
        """Forget what is not needed for spans that start at `before_s` or later."""
        with self._lock:
            self._shaped.trim(before_s)
            self._power.trim(before_s)


def _why_null(series: Series, start_s: float, end_s: float) -> str | None:
    """Why a span has no energy, in one word; `None` where it has one."""
    times = series.times
    if not end_s > start_s:
        return "empty_span"
    if not series.reads:
        return "no_readings"
    if series.broken(start_s, end_s):
        return "counter_reset"
    if not times:
        return "counter_unchanged"
    if not series.reaches(start_s, end_s):
        return "not_covered"
    enclosed = bisect_left(times, end_s) - bisect_right(times, start_s)
    if enclosed <= 0 and series.rhythm.gap_in(start_s, end_s):
        return "gap"
    return None
