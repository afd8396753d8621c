"""A recorded trace, played in real time through the same estimator."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from typing import Any, Generic, TypeVar

from pytest_lem.errors import MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Telemetry
from pytest_lem.meters.parts import worst_basis
from pytest_lem.meters.trace import Trace, read_trace
from pytest_lem.meters.trace.track import Track

_POLL_S = 0.02

Told = TypeVar("Told", Reading, Telemetry)


class ReplayMeter:
    """Plays a trace over and over, in the time in which all its devices are told.

    That begins where the last of them has seen its first step, and ends where the
    first of them has seen its last; so counters rise from turn to turn without a seam.
    """

    name = "replay"
    accuracy = "none: the energy was drawn by another machine at another time"

    def __init__(
        self, path: Path, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._trace = read_trace(path)
        self._clock_s = clock_s
        self.version = str(self._trace.meta.get("driver", "unknown"))
        bases = [track.basis for track in self._trace.tracks]
        self.basis: Basis = worst_basis(["replayed", *bases]) or "replayed"
        points = [track.points() for track in self._trace.tracks]
        self._span = self._begin_s, self._end_s = _common(self._trace, points)
        self.period_s = max(map(_period_s, points))
        self._loops: list[_Loop[Reading]] = []
        self._told: list[_Loop[Telemetry]] = []

    def devices(self) -> list[Device]:
        """The devices of the trace, under names that no machine has."""
        return [
            replace(track.device, id=_name(place))
            for place, track in enumerate(self._trace.tracks)
        ]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What the recording saw up to now; the first poll starts the playing."""
        now_s = self._clock_s()
        if not self._loops:
            self._start(now_s)
        readings = [one for loop in self._loops for one in loop.until(now_s)]
        telemetry = [one for loop in self._told for one in loop.until(now_s)]
        return readings, telemetry, _POLL_S

    def _start(self, now_s: float) -> None:
        for place, track in enumerate(self._trace.tracks):
            move = self._mover(track, _name(place), now_s)
            for series in (track.counter, track.power, track.ring):
                self._loops.append(_Loop(self._turns(series, move)))
            for told in (track.telemetry, track.throttle):
                self._told.append(_Loop(self._turns(told, move)))

    def _mover(
        self, track: Track, name: str, start_s: float
    ) -> Callable[[Any, int], Any]:
        """Put what was told at its time in a turn, and the counter on top of it."""
        turn_s = self._end_s - self._begin_s
        turn_j, last_j = self._rise(track)
        turn_ns = self._slowed_ns(track)

        def move(one: Any, turn: int) -> Any:
            shift_s = start_s - self._begin_s + turn * turn_s
            if isinstance(one, Telemetry):
                told_ns = one.throttle_ns
                return replace(
                    one,
                    device=name,
                    time_s=one.time_s + shift_s,
                    throttle_ns=told_ns
                    and {k: ns + turn * turn_ns[k] for k, ns in told_ns.items()},
                )
            energy_j = one.energy_j
            if energy_j is not None:
                energy_j += turn * turn_j
            if energy_j is not None and turn:
                energy_j = max(energy_j, last_j + (turn - 1) * turn_j)
            return replace(
                one,
                device=name,
                before_s=one.before_s + shift_s,
                after_s=one.after_s + shift_s,
                energy_j=energy_j,
            )

        return move

    def _rise(self, track: Track) -> tuple[float, float]:
        """By how much the counter rises in a turn, and what it shows at its end.

        One that was reset in the trace is so in each turn, and starts it anew.
        """
        counts = [one.energy_j or 0.0 for one in track.counter]
        if not counts or any(later < one for one, later in pairwise(counts)):
            return 0.0, -math.inf
        points = track.points()
        turn_j = _counted(points, self._end_s) - _counted(points, self._begin_s)
        last = bisect_right(track.counter, self._end_s, key=_time_s) - 1
        return turn_j, counts[last]

    def _slowed_ns(self, track: Track) -> dict[str, int]:
        """By how much each throttle counter rises in a turn."""
        read = [one.throttle_ns or {} for one in _part(track.throttle, *self._span)]
        return {k: read[-1][k] - read[0][k] for k in read[0]} if read else {}

    def _turns(
        self, series: Sequence[Told], move: Callable[[Any, int], Any]
    ) -> Iterator[Told]:
        """What came before the first turn, once; then turn after turn."""
        lead = [one for one in series if _time_s(one) <= self._begin_s]
        turn = _part(series, *self._span)
        yield from (move(one, 0) for one in lead)
        for number in count() if turn else ():
            yield from (move(one, number) for one in turn)

    def facts(self) -> dict[str, Any]:
        """The file, the length of a turn, and what the trace says of itself."""
        return {
            "file": self._trace.path.name,
            "length_s": self._end_s - self._begin_s,
            "trace": dict(self._trace.meta),
        }

    def close(self) -> None:
        """Nothing is held open."""


class _Loop(Generic[Told]):
    """A series that never ends, handed on as far as its time has come."""

    def __init__(self, series: Iterator[Told]) -> None:
        self._series: Iterator[Told] = series
        self._next: Told | None = next(series, None)

    def until(self, now_s: float) -> list[Told]:
        """What is due and was not handed on before."""
        due: list[Told] = []
        while self._next is not None and _time_s(self._next) <= now_s:
            due.append(self._next)
            self._next = next(self._series, None)
        return due


def _name(place: int) -> str:
    return f"replay:{place}"


def _common(trace: Trace, points: Sequence[Sequence[Reading]]) -> tuple[float, float]:
    """The span that all devices tell of."""
    if all(points):
        begin_s = max(one[0].after_s for one in points)
        end_s = min(one[-1].after_s for one in points)
        if end_s > begin_s:
            return begin_s, end_s
    raise MeterError(
        f"trace {trace.path} cannot be played: it has no span in which every device "
        "has two steps"
    )


def _part(series: Sequence[Told], begin_s: float, end_s: float) -> list[Told]:
    return [one for one in series if begin_s < _time_s(one) <= end_s]


def _time_s(one: Reading | Telemetry) -> float:
    return one.time_s if isinstance(one, Telemetry) else one.after_s


def _period_s(points: Sequence[Reading]) -> float:
    return median(later.after_s - one.after_s for one, later in pairwise(points))


def _counted(points: Sequence[Reading], time_s: float) -> float:
    """The counter at an instant between two of its steps."""
    left = min(bisect_right(points, time_s, key=_time_s), len(points) - 1) - 1
    (start_s, start_j), (end_s, end_j) = (
        (one.after_s, one.energy_j or 0.0) for one in points[left : left + 2]
    )
    return start_j + (end_j - start_j) * (time_s - start_s) / (end_s - start_s)


def open_meter(argument: str, gpus: Sequence[Gpu]) -> ReplayMeter:
    """The meter that plays the named file."""
    del gpus
    return ReplayMeter(Path(argument).expanduser())
