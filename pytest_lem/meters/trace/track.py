"""What one meter read of one device, as a trace has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, get_args

from pytest_lem.machine.gpu import throttle_reasons
from pytest_lem.meters import Basis, Boundary, Device, Reading, Scope, Telemetry
from pytest_lem.meters.nvml.throttle import FIELDS
from pytest_lem.meters.timeline import Timeline

MB_PER_MIB = 1.048576
# The throttle counters of `violation` rows where nothing else is said.
VIOLATION_FIELDS = (74, 75, 76, 77, 269, 270, 271)
NEEDED = (
    "is no trace; it needs `counter`, three or more rows of [before_s, after_s, "
    "energy_mJ], or two or more rows of `reads`, `power` or `ring`"
)

Rows = list[list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What one meter read of one device, each series in the order of its readings."""

    device: Device
    meter: str
    basis: Basis
    counter: list[Reading]
    power: list[Reading]
    ring: list[Reading]
    telemetry: list[Telemetry]
    throttle: list[Telemetry]

    def timeline(self) -> Timeline:
        """All of it on a timeline, on the trace's own clock."""
        line = Timeline(self.device)
        for series in (self.counter, self.power, self.ring):
            for reading in series:
                line.add(reading)
        return line

    def points(self) -> list[Reading]:
        """The readings between which its energy is known: where its counter rose."""
        if not self.counter:
            return self.power or self.ring
        if self.device.refresh_s is not None:
            return self.counter
        steps = pairwise(self.counter)
        return [now for old, now in steps if _energy(now) > _energy(old)]


def track_of(place: int, data: Any, meta: Any) -> Track:
    """The track of a device as JSON has it; raises ValueError where it is none."""
    if not isinstance(data, dict):
        raise ValueError(NEEDED)
    device = _device(place, data, meta)
    basis = data.get("basis", "measured")
    if basis not in get_args(Basis):
        raise ValueError(
            f"has the basis {basis!r}, none of {', '.join(get_args(Basis))}"
        )
    steps, reads = _rows(data, "counter", 3), _rows(data, "reads", 3)
    power, ring = _rows(data, "power", 3), _rows(data, "ring", 2)
    if 0 < len(steps) < 3 or max(map(len, (steps, reads, power, ring))) < 2:
        raise ValueError(NEEDED)
    if any(new[0] < old[1] or new[2] < old[2] for old, new in pairwise(steps)):
        msg = "has `counter` rows out of order"
        raise ValueError(msg)
    for key, rows in (("reads", reads), ("power", power)):
        if any(new[0] < old[0] for old, new in pairwise(rows)):
            raise ValueError(f"has `{key}` rows out of order")
    return Track(
        device=device,
        meter=str(data.get("meter", "trace")),
        basis=basis,
        counter=_steps(device.id, steps) if steps else _reads(device.id, reads),
        power=[
            Reading(device=device.id, before_s=a, after_s=b, power_w=milliwatts / 1e3)
            for a, b, milliwatts in power
        ],
        ring=[
            Reading(device=device.id, before_s=t, after_s=t, ring_w=milliwatts / 1e3)
            for t, milliwatts in ring
        ],
        telemetry=[
            _telemetry(device.id, *row)
            for row in _rows(data, "telemetry", 8, 9, nullable=True)
        ],
        throttle=_throttle(device.id, data),
    )


def _device(place: int, data: Mapping[str, Any], meta: Any) -> Device:
    scope, refresh_s = data.get("scope", "gpu"), data.get("refresh_s")
    if scope not in get_args(Scope):
        raise ValueError(
            f"has the scope {scope!r}, none of {', '.join(get_args(Scope))}"
        )
    if refresh_s is not None and not is_number(refresh_s):
        raise ValueError(f"has `refresh_s` {refresh_s!r}, which is no number")
    boundary = data.get("boundary")
    if boundary not in (None, *get_args(Boundary)):
        choices = ", ".join(get_args(Boundary))
        raise ValueError(f"has the boundary {boundary!r}, none of {choices}")
    name = data.get("name") or (meta.get("gpu") if isinstance(meta, dict) else None)
    return Device(
        id=str(data.get("id", f"{scope}:{place}")),
        scope=scope,
        name=str(name or "unknown"),
        boundary=boundary,
        refresh_s=refresh_s,
    )


def _rows(
    data: Mapping[str, Any], key: str, *widths: int, nullable: bool = False
) -> Rows:
    """Rows of numbers; all but the first of a row may be null if `nullable`."""
    rows = data.get(key, [])
    good = isinstance(rows, list) and all(
        isinstance(row, list)
        and len(row) in widths
        and is_number(row[0])
        and all(is_number(one) or (nullable and one is None) for one in row)
        for row in rows
    )
    if not good:
        raise ValueError(f"has `{key}` rows that are not {widths[0]} numbers")
    return list(rows)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _reads(device: str, rows: Rows) -> list[Reading]:
    return [
        Reading(device=device, before_s=a, after_s=b, energy_j=millijoules / 1e3)
        for a, b, millijoules in rows
    ]


def _steps(device: str, rows: Rows) -> list[Reading]:
    """Each read that saw a step, and the one before it, which showed the old value.

    That one is not in the trace: it is taken to have ended when the other began, and
    to have lasted as long, and as much longer as the step is late.
    """
    first, *steps = rows
    period_s = median(new[1] - old[1] for old, new in pairwise(steps))
    old_mj, due_s = first[2], math.inf
    readings = []
    for before_s, after_s, energy_mj in steps:
        length_s = after_s - before_s + max(before_s - due_s, 0.0)
        old = [before_s - length_s, before_s, old_mj]
        readings += _reads(device, [old, [before_s, after_s, energy_mj]])
        old_mj, due_s = energy_mj, before_s + period_s
    return readings


def _telemetry(
    device: str,
    time_s: float,
    power_mw: float | None,
    temperature_c: float | None,
    sm_clock_mhz: float | None,
    memory_clock_mhz: float | None,
    reasons: int | None,
    utilisation_pct: float | None,
    memory_mib: float | None,
    pstate: int | None = None,
) -> Telemetry:
    return Telemetry(
        device=device,
        time_s=time_s,
        power_w=None if power_mw is None else power_mw / 1e3,
        temperature_c=temperature_c,
        sm_clock_mhz=sm_clock_mhz,
        memory_clock_mhz=memory_clock_mhz,
        utilisation_pct=utilisation_pct,
        memory_used_mb=None if memory_mib is None else memory_mib * MB_PER_MIB,
        throttle_reasons=None if reasons is None else throttle_reasons(int(reasons)),
        pstate=pstate,
    )


def _throttle(device: str, data: Mapping[str, Any]) -> list[Telemetry]:
    fields = data.get("violation_fields", VIOLATION_FIELDS)
    known = isinstance(fields, list | tuple) and all(
        isinstance(one, int) and one in FIELDS for one in fields
    )
    if not known:
        raise ValueError(
            f"has `violation_fields` that are not of {', '.join(map(str, FIELDS))}"
        )
    names = [FIELDS[one] for one in fields]
    return [
        Telemetry(
            device=device,
            time_s=time_s,
            throttle_ns={
                name: round(value)
                for name, value in zip(names, values, strict=True)
                if value is not None
            },
        )
        for time_s, *values in _rows(data, "violation", 1 + len(fields), nullable=True)
    ]


def _energy(reading: Reading) -> float:
    assert reading.energy_j is not None
    return reading.energy_j
