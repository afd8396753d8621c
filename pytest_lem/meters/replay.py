"""A recorded trace of one GPU, played in real time through the same estimator."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.machine.gpu import Gpu, throttle_reasons
from pytest_lem.meters import Basis, Device, Reading, Telemetry
from pytest_lem.meters.nvml_throttle import FIELDS
from pytest_lem.meters.timeline import Timeline

_DEVICE = "replay:0"
_POLL_S = 0.02
_MB_PER_MIB = 1.048576
_VIOLATION_FIELDS = (74, 75, 76, 77, 269, 270, 271)


class ReplayMeter:
    """Plays a trace from its first counter step on, over and over.

    The trace is JSON, or JSON in gzip: `counter` holds [before_s, after_s, energy_mJ]
    of each read that saw a step, `ring` holds [time_s, power_mW] of the driver's power
    samples, `telemetry` holds [time_s, power_mW, temperature_C, sm_MHz, memory_MHz,
    event_reasons, utilisation_pct, memory_MiB], and `violation` holds [time_s, then
    the nanosecond counters of NVML's fields 74, 75, 76, 77, 269, 270, 271]; the last
    three may be missing. Reads
    that saw no step are not in it; the one before each step is taken to have ended
    when the recorded one began and to have lasted as long, and as much longer as the
    step is late. The last step of a turn is followed by the first of the next after
    one period.
    """

    name = "replay"
    basis: Basis = "replayed"
    accuracy = "none: the energy was drawn by another machine at another time"

    def __init__(
        self, path: Path, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        trace = _load(path)
        self._path = path
        self._clock_s = clock_s
        self._meta: dict[str, Any] = dict(trace.get("meta", {}))
        first, *steps = trace["counter"]
        self._steps: list[list[float]] = steps
        self._first_mj: float = first[2]
        edges: list[float] = [step[1] for step in steps]
        self.period_s = median(later - earlier for earlier, later in pairwise(edges))
        self._turn_s: float = edges[-1] - edges[0] + self.period_s
        self._telemetry = [
            row for row in trace.get("telemetry", []) if _within(row[0], edges)
        ]
        self._violation = [
            row for row in trace.get("violation", []) if _within(row[0], edges)
        ]
        self._ring = [
            row
            for row in trace.get("ring", [])
            if edges[0] <= row[0] < edges[0] + self._turn_s
        ]
        self.version = str(self._meta.get("driver", "unknown"))
        self._start_s: float | None = None
        self._next_step = 0
        self._next_sample = 0
        self._next_telemetry = 0
        self._next_violation = 0

    def devices(self) -> list[Device]:
        """The one GPU of the trace."""
        name = str(self._meta.get("gpu", self._path.name))
        return [Device(id=_DEVICE, scope="gpu", name=name)]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What the recording saw up to now; the first poll starts the playing."""
        now_s = self._clock_s()
        if self._start_s is None:
            self._start_s = now_s
        readings: list[Reading] = []
        while (pair := self._step(self._next_step))[1].after_s <= now_s:
            readings += pair
            self._next_step += 1
        while self._ring:
            sample = self._sample(self._next_sample)
            if sample.after_s > now_s:
                break
            readings.append(sample)
            self._next_sample += 1
        telemetry: list[Telemetry] = []
        while self._telemetry:
            entry = self._told(self._next_telemetry)
            if entry.time_s > now_s:
                break
            telemetry.append(entry)
            self._next_telemetry += 1
        while self._violation:
            entry = self._slowed(self._next_violation)
            if entry.time_s > now_s:
                break
            telemetry.append(entry)
            self._next_violation += 1
        return readings, telemetry, _POLL_S

    def _shift_s(self, turn: int) -> float:
        assert self._start_s is not None
        begin_s: float = self._start_s - self._steps[0][0]
        return begin_s + turn * self._turn_s

    def _step(self, number: int) -> tuple[Reading, Reading]:
        """The read before a step, which still showed the old value, and its own."""
        turn, place = divmod(number, len(self._steps))
        before_s, after_s, energy_mj = self._steps[place]
        old_mj = self._steps[place - 1][2] if place else self._first_mj
        shift_s = self._shift_s(turn)
        offset_mj = turn * (self._steps[-1][2] - self._first_mj)
        started_s, ended_s = before_s + shift_s, after_s + shift_s
        length_s = after_s - before_s + self._lateness_s(place)
        return (
            Reading(
                device=_DEVICE,
                before_s=started_s - length_s,
                after_s=started_s,
                energy_j=(old_mj + offset_mj) / 1e3,
            ),
            Reading(
                device=_DEVICE,
                before_s=started_s,
                after_s=ended_s,
                energy_j=(energy_mj + offset_mj) / 1e3,
            ),
        )

    def _lateness_s(self, place: int) -> float:
        """By how much more than a period a step came after the one before."""
        if not place:
            return 0.0
        interval_s = self._steps[place][0] - self._steps[place - 1][0]
        return max(interval_s - self.period_s, 0.0)

    def _sample(self, number: int) -> Reading:
        turn, place = divmod(number, len(self._ring))
        time_s, power_mw = self._ring[place]
        time_s += self._shift_s(turn)
        return Reading(
            device=_DEVICE, before_s=time_s, after_s=time_s, ring_w=power_mw / 1e3
        )

    def _told(self, number: int) -> Telemetry:
        turn, place = divmod(number, len(self._telemetry))
        time_s, power, temperature, sm, memory, reasons, busy, used = self._telemetry[
            place
        ]
        return Telemetry(
            device=_DEVICE,
            time_s=time_s + self._shift_s(turn),
            power_w=power / 1e3,
            temperature_c=temperature,
            sm_clock_mhz=sm,
            memory_clock_mhz=memory,
            utilisation_pct=busy,
            memory_used_mb=used * _MB_PER_MIB,
            throttle_reasons=throttle_reasons(int(reasons)),
        )

    def _slowed(self, number: int) -> Telemetry:
        turn, place = divmod(number, len(self._violation))
        time_s, *now_ns = self._violation[place]
        first_ns, last_ns = self._violation[0][1:], self._violation[-1][1:]
        told = {
            FIELDS[field]: round(ns + turn * (last - first))
            for field, ns, first, last in zip(
                _VIOLATION_FIELDS, now_ns, first_ns, last_ns, strict=True
            )
        }
        return Telemetry(
            device=_DEVICE, time_s=time_s + self._shift_s(turn), throttle_ns=told
        )

    def facts(self) -> dict[str, Any]:
        """The file, its length, and what it says of itself."""
        return {"file": self._path.name, "length_s": self._turn_s, "trace": self._meta}

    def close(self) -> None:
        """Nothing is held open."""


def whole_trace(path: Path) -> Timeline:
    """A trace on a timeline at once, from its second counter row, on its own clock."""
    steps = _load(path)["counter"]
    now_s = steps[1][0]
    meter = ReplayMeter(path, lambda: now_s)
    timeline = Timeline(meter.devices()[0])
    for time_s in (now_s, steps[-1][1]):
        now_s = time_s
        for reading in meter.poll()[0]:
            timeline.add(reading)
    return timeline


def _within(time_s: float, edges: Sequence[float]) -> bool:
    return edges[0] <= time_s <= edges[-1]


def _load(path: Path) -> dict[str, Any]:
    """The trace, checked as far as playing it needs."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        trace = json.loads(raw)
    except (OSError, EOFError, ValueError) as error:
        raise MeterError(f"replay: {path} cannot be read ({error})") from error
    if not isinstance(trace, dict) or not _rows(trace.get("counter"), 3, least=3):
        raise MeterError(
            f"replay: {path} is no trace; it needs `counter`, three or more rows of "
            "[before_s, after_s, energy_mJ]"
        )
    for key, width in (("telemetry", 8), ("ring", 2), ("violation", 8)):
        if not _rows(trace.get(key, []), width, least=0):
            raise MeterError(
                f"replay: {path} has `{key}` rows that are not {width} numbers"
            )
    counter = trace["counter"]
    if any(later[0] < row[1] or later[2] < row[2] for row, later in pairwise(counter)):
        raise MeterError(f"replay: {path} has `counter` rows out of order")
    return trace


def _rows(value: Any, width: int, *, least: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= least
        and all(
            isinstance(row, list)
            and len(row) == width
            and all(isinstance(number, int | float) for number in row)
            for row in value
        )
    )


def open_meter(argument: str, gpus: Sequence[Gpu]) -> ReplayMeter:
    """The meter that plays the named file."""
    del gpus
    return ReplayMeter(Path(argument).expanduser())
