"""When to read a stepped counter, so that its edges are seen closely and cheaply."""

from __future__ import annotations

from collections import deque
from statistics import median

_BURST_S = 0.004
_SLOW_S = 0.02
_ENOUGH_INTERVALS = 5
_LOST_PERIODS = 3.0
_LEAD_S = 0.006
_LEAD_FLOOR_S = 0.002
# A missed edge costs a bracket of a whole period, an early read only itself: with
# these two steps about one edge in forty is missed.
_LEAD_GROWTH = 1.5
_LEAD_DECAY = 0.99
_PULL = 0.5


class PhaseLock:
    """Learns a counter's period and phase, and names the instant of the next read.

    Reads come in bursts, 4 ms apart, that begin `lead_s` before the next expected
    edge and end with the read that sees it. The lead grows when the first read of a
    burst already shows the new value and shrinks slowly otherwise. A counter that
    stands still for three periods is read every 20 ms until it moves.
    """

    def __init__(self) -> None:
        self.due_s = 0.0
        self.lead_s = _LEAD_S
        self.missed = 0
        self._value: float | None = None
        self._before_s = 0.0
        self._edge_s: float | None = None
        self._unchanged = 0
        self._intervals: deque[float] = deque(maxlen=32)

    @property
    def period_s(self) -> float | None:
        """Median interval between edges; `None` before there are five."""
        if len(self._intervals) < _ENOUGH_INTERVALS:
            return None
        return median(self._intervals)

    def observe(self, before_s: float, after_s: float, value: float) -> None:
        """Take in one read, and set when the next is due."""
        first, changed = self._value is None, value != self._value
        earliest_s, self._before_s, self._value = self._before_s, before_s, value
        if first:
            self.due_s = before_s + _BURST_S
        elif changed:
            self._step((earliest_s + after_s) / 2, before_s)
        else:
            self._unchanged += 1
            self.due_s = before_s + (_SLOW_S if self._lost(before_s) else _BURST_S)

    def _lost(self, now_s: float) -> bool:
        period_s = self.period_s
        if period_s is None or self._edge_s is None:
            return False
        return now_s - self._edge_s > _LOST_PERIODS * period_s

    def _step(self, edge_s: float, now_s: float) -> None:
        missed, self._unchanged = self._unchanged == 0, 0
        period_s, last_s = self.period_s, self._edge_s
        if last_s is not None and not missed:
            self._intervals.append(edge_s - last_s)
        if period_s is None or last_s is None:
            self._edge_s = edge_s
            self.due_s = now_s + _BURST_S
            return
        self._adapt(period_s, missed=missed)
        expected_s = last_s + round((edge_s - last_s) / period_s) * period_s
        # A missed edge was seen late by an unknown time: keep to the rhythm.
        self._edge_s = (
            expected_s if missed else expected_s + _PULL * (edge_s - expected_s)
        )
        self.due_s = max(self._edge_s + period_s - self.lead_s, now_s + _BURST_S)

    def _adapt(self, period_s: float, *, missed: bool) -> None:
        self.missed += missed
        lead_s = self.lead_s * (_LEAD_GROWTH if missed else _LEAD_DECAY)
        self.lead_s = min(max(lead_s, _LEAD_FLOOR_S), period_s / 2)
