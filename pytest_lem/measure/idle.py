"""Idle power: what the device draws without work, in a named state."""

import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pytest_lem.errors import IdleError
from pytest_lem.meters.metering import Metering
from pytest_lem.records.record import Idle

_SLICES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePolicy:
    """`off`, `auto` (null with a reason where impossible) or `required` (an error)."""

    mode: Literal["off", "auto", "required"] = "auto"
    seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleReading:
    """An idle reading, or the reason why there is none; `ended_s` dates it."""

    record: Idle | None
    reason: str
    ended_s: float

    def used_at(self, now_s: float) -> Idle | None:
        """The reading with its age when it is used."""
        if self.record is None:
            return None
        return self.record.model_copy(update={"age_s": max(0.0, now_s - self.ended_s)})


def read_idle(
    metering: Metering,
    policy: IdlePolicy,
    devices: Collection[str],
    *,
    wait: Callable[[float], None] = time.sleep,
) -> IdleReading:
    """Mean power over `policy.seconds`: the model loaded and nothing asked of it."""
    reason = _impossible(metering, policy)
    if reason is None:
        start_s = time.monotonic()
        wait(policy.seconds)
        end_s = time.monotonic()
        metering.settle(end_s)
        reading = _reading(metering, devices, start_s, end_s)
        if reading.record is not None:
            return reading
        reason = reading.reason
    if policy.mode == "required":
        raise IdleError(f"idle power is required and cannot be measured: {reason}")
    return IdleReading(record=None, reason=reason, ended_s=time.monotonic())


def _impossible(metering: Metering, policy: IdlePolicy) -> str | None:
    if policy.mode == "off":
        return "idle_off"
    if metering.basis is None:
        return "no_meter"
    if metering.basis == "estimated":
        return "idle_of_an_estimate_means_nothing"
    return None


def _reading(
    metering: Metering, devices: Collection[str], start_s: float, end_s: float
) -> IdleReading:
    metering.mark("idle", start_s, end_s, devices=devices, state="model_loaded")
    whole = metering.energy(start_s, end_s, devices=devices)
    if whole.gross_j is None:
        return IdleReading(record=None, reason=whole.reason or "", ended_s=end_s)
    edges = [start_s + (end_s - start_s) * k / _SLICES for k in range(_SLICES + 1)]
    parts = [metering.energy(a, b, devices=devices).gross_j for a, b in pairwise(edges)]
    powers = [p * _SLICES / (end_s - start_s) for p in parts if p is not None]
    record = Idle(
        state="model_loaded",
        power_w=whole.gross_j / (end_s - start_s),
        std_w=statistics.stdev(powers) if len(powers) > 1 else None,
        samples=len(powers),
        duration_s=end_s - start_s,
        method=whole.method or "",
        age_s=0.0,
    )
    return IdleReading(record=record, reason="", ended_s=end_s)
