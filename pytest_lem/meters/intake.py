"""What a meter may say: a number that cannot be is refused where it comes in."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, get_args

from pytest_lem.errors import LemError, MeterError
from pytest_lem.meters import Basis, Device, Meter, Reading, Scope

_NEEDED = ("name", "version", "basis", "accuracy", "period_s")
_CALLED = ("devices", "poll", "facts", "close")
_DAY_S = 86_400.0


class Intake:
    """Lets in the readings of one meter that may be, and counts the others.

    A reading is of a device that the meter has, tells joules or watts that are finite
    and not below zero, ends no earlier than it began, and begins no earlier than the
    one before it. A stamp of tomorrow is no CLOCK_MONOTONIC.
    """

    def __init__(self, meter: Meter) -> None:
        self.name = _described(meter)
        self.devices = _devices(self.name, meter)
        self._known = {device.id for device in self.devices}
        self._last_s: dict[str, float] = {}
        self.refused = 0

    def sift(self, readings: Iterable[Reading]) -> tuple[list[Reading], str | None]:
        """The readings that may be, and what is wrong with the first that may not."""
        good: list[Reading] = []
        faults: list[str] = []
        for reading in readings:
            fault = self._fault(reading)
            if fault is not None:
                faults.append(fault)
                continue
            good.append(reading)
            if reading.ring_w is None:
                self._last_s[reading.device] = reading.before_s
        self.refused += len(faults)
        return good, f"{self.name}: {faults[0]}" if faults else None

    def _fault(self, reading: Reading) -> str | None:
        device = reading.device
        if device not in self._known:
            known = ", ".join(sorted(self._known))
            return f"it read {device!r}, which is none of its devices ({known})"
        values = (reading.energy_j, reading.power_w, reading.ring_w)
        told = [value for value in values if value is not None]
        if not told or not all(isfinite(value) and value >= 0 for value in told):
            return (
                f"{device} told {', '.join(map(str, told)) or 'nothing'}; joules and "
                "watts are finite and not below zero"
            )
        return self._fault_of_time(reading)

    def _fault_of_time(self, reading: Reading) -> str | None:
        before_s, after_s = reading.before_s, reading.after_s
        if not (isfinite(before_s) and before_s <= after_s):
            return f"{reading.device} was read from {before_s} to {after_s} s"
        if after_s > time.monotonic() + _DAY_S:
            return (
                f"{reading.device} was read at {after_s:.0f} s, which is over a day "
                "ahead; stamps are those of time.monotonic()"
            )
        if reading.ring_w is not None:
            return None  # A ring's stamps start anew where the wall clock has stepped.
        last_s = self._last_s.get(reading.device, before_s)
        if before_s < last_s:
            return (
                f"{reading.device} was read {last_s - before_s:.3g} s before its last "
                "reading; readings come in order of time"
            )
        return None


def told_by(meter: Meter) -> dict[str, Any]:
    """A meter's facts as plain data, or the error that asking for them raised."""
    try:
        facts = meter.facts()
        if not isinstance(facts, dict):
            raise TypeError(f"facts() gave a {type(facts).__name__}, not a dict")
        plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    except Exception as error:  # noqa: BLE001  a third party's meter may raise anything
        return {"error": f"{type(error).__name__}: {error}"}
    return plain


def _described(meter: Meter) -> str:
    """Its name; raises MeterError if it lacks what every meter has."""
    kind = str(getattr(meter, "name", type(meter).__name__))
    lacking = [name for name in (*_NEEDED, *_CALLED) if not hasattr(meter, name)]
    if lacking:
        raise MeterError(f"{kind}: it has no {', '.join(lacking)}, as every meter has")
    if meter.basis not in get_args(Basis):
        raise MeterError(
            f"{kind}: its basis is {meter.basis!r}; a basis is one of "
            f"{', '.join(get_args(Basis))}"
        )
    if not (isfinite(meter.period_s) and meter.period_s > 0):
        raise MeterError(f"{kind}: its period_s is {meter.period_s}, which is no time")
    return kind


def _devices(name: str, meter: Meter) -> list[Device]:
    try:
        devices = list(meter.devices())
    except LemError:
        raise
    except Exception as error:
        raise MeterError(
            f"{name}: asking for its devices raised {type(error).__name__}: {error}"
        ) from error
    fault = _fault_of(devices)
    if fault is not None:
        raise MeterError(f"{name}: {fault}")
    return devices


def _fault_of(devices: Sequence[Device]) -> str | None:
    if not devices:
        return "it has no devices"
    known: set[str] = set()
    for device in devices:
        if device.scope not in get_args(Scope):
            return (
                f"{device.id} is of scope {device.scope!r}; a scope is one of "
                f"{', '.join(get_args(Scope))}"
            )
        if device.id in known:
            return f"it has two devices {device.id!r}"
        known.add(device.id)
    return None


def close(meter: Meter) -> None:
    """Let go of a meter; one that raises is warned of."""
    try:
        meter.close()
    except Exception as error:  # noqa: BLE001  a third party's meter may raise anything
        name = getattr(meter, "name", type(meter).__name__)
        what = f"{type(error).__name__}: {error}"
        warnings.warn(f"closing the meter {name} raised {what}", stacklevel=2)
