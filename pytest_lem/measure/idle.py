"""Idle power: what the device draws without work, in a named state."""

import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot, sqrt
from typing import Any, Literal, Self

from pytest_lem.errors import IdleError
from pytest_lem.measure.thermal import idle_flags
from pytest_lem.meters.energy import EnergyReading
from pytest_lem.meters.metering import Metering
from pytest_lem.records.record import IdlePower

State = Literal["no_context", "context", "model_loaded"]

_SLICES = 5
_LEAST_AFTER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePolicy:
    """`off`, `auto` (null with a reason where impossible) or `required` (an error).

    `kind` is the state that net energy is without. A `validated` reading is one of an
    earlier time, held against a short new one every so many cycles. `force` subtracts
    where the GPU is shared. Before a reading that follows work `settle_s` pass.
    """

    mode: Literal["off", "auto", "required"] = "auto"
    seconds: float = 5.0
    kind: State = "model_loaded"
    strategy: Literal["fresh", "validated", "cached"] = "fresh"
    every: int = 10
    drift_limit_pct: float = 2.0
    force: bool = False
    settle_s: float = 0.5

    @property
    def short_s(self) -> float:
        """Length of a reading that is held against an earlier one."""
        return min(self.seconds, max(_LEAST_AFTER_S, self.seconds / 2))

    @property
    def before_s(self) -> float:
        """What a load costs in time."""
        return 0.0 if self.mode == "off" else self.settle_s + self.seconds

    @property
    def after_s(self) -> float:
        """What a cycle costs in time, after its windows."""
        wanted = self.mode != "off" and self.strategy == "fresh"
        return self.settle_s + self.short_s if wanted else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleReading:
    """An idle reading, or the reason why there is none; `ended_s` dates it.

    `check_w` is the power of the short reading that it was held against.
    """

    record: IdlePower | None
    reason: str
    ended_s: float
    check_w: float | None = None

    def used_at(self, now_s: float) -> IdlePower | None:
        """The reading with its age when it is used."""
        if self.record is None:
            return None
        return self.record.model_copy(update={"age_s": max(0.0, now_s - self.ended_s)})

    def checked(self, check_w: float) -> Self:
        """The reading, validated by the power of a short one."""
        assert self.record is not None
        told = self.record.model_copy(update={"source": "validated"})
        return replace(self, record=told, check_w=check_w)


def of_earlier(record: IdlePower, age_s: float) -> IdleReading:
    """A reading that was made so long ago, in another session perhaps."""
    told = record.model_copy(update={"source": "cached"})
    return IdleReading(record=told, reason="", ended_s=time.monotonic() - age_s)


def none_of(policy: IdlePolicy, state: State, reason: str) -> IdleReading:
    """No reading, and why; raises IdleError where just that one is required."""
    if policy.mode == "required" and state == policy.kind:
        raise IdleError(
            f"idle power is required and cannot be measured: {reason} (state {state})"
        )
    return IdleReading(record=None, reason=reason, ended_s=time.monotonic())


def read_idle(
    metering: Metering,
    policy: IdlePolicy,
    devices: Collection[str],
    *,
    state: State = "model_loaded",
    seconds: float | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> IdleReading:
    """Mean power over `seconds`, or the policy's, in which nothing is asked."""
    reason = impossible(metering, policy)
    if reason is None:
        start_s = time.monotonic()
        wait(seconds or policy.seconds)
        end_s = time.monotonic()
        metering.settle(end_s)
        reading = _reading(metering, devices, state, start_s, end_s)
        if reading.record is not None:
            return reading
        reason = reading.reason
    return none_of(policy, state, reason)


def impossible(metering: Metering, policy: IdlePolicy) -> str | None:
    """Why no idle power can be read in this session; None where it can."""
    if policy.mode == "off":
        return "idle_off"
    if metering.basis is None:
        return "no_meter"
    if metering.basis == "estimated":
        return "idle_of_an_estimate_means_nothing"
    return None


def joined(one: IdlePower, other: IdlePower) -> IdlePower:
    """Two readings as one, weighted by their duration; the age is the first's."""
    length_s = one.duration_s + other.duration_s
    part, rest = one.duration_s / length_s, other.duration_s / length_s
    widths_w = (one.uncertainty_w, other.uncertainty_w)
    known_w = [width_w for width_w in widths_w if width_w is not None]
    later_w = {row["device"]: row["power_w"] for row in other.per_device}
    return one.model_copy(
        update={
            "power_w": part * one.power_w + rest * other.power_w,
            "uncertainty_w": (
                hypot(part * known_w[0], rest * known_w[1])
                if len(known_w) == len(widths_w)
                else None
            ),
            "std_w": _joined_std_w(one, other),
            "samples": one.samples + other.samples,
            "duration_s": length_s,
            "per_device": [
                {
                    **row,
                    "power_w": part * row["power_w"] + rest * later_w[row["device"]],
                }
                for row in one.per_device
                if row["device"] in later_w
            ],
            "system_w": (
                None
                if one.system_w is None or other.system_w is None
                else part * one.system_w + rest * other.system_w
            ),
            "flags": sorted({*one.flags, *other.flags}),
        }
    )


def _joined_std_w(one: IdlePower, other: IdlePower) -> float | None:
    """Standard deviation of the slices of both."""
    if one.std_w is None or other.std_w is None:
        return None
    within = (one.samples - 1) * one.std_w**2 + (other.samples - 1) * other.std_w**2
    both = one.samples + other.samples
    apart = one.samples * other.samples / both * (one.power_w - other.power_w) ** 2
    return sqrt((within + apart) / (both - 1))


def _reading(
    metering: Metering,
    devices: Collection[str],
    state: State,
    start_s: float,
    end_s: float,
) -> IdleReading:
    metering.mark("idle", start_s, end_s, devices=devices, state=state)
    whole = metering.energy(start_s, end_s, devices=devices)
    if whole.gross_j is None:
        return IdleReading(record=None, reason=whole.reason or "", ended_s=end_s)
    duration_s = end_s - start_s
    edges = [start_s + duration_s * k / _SLICES for k in range(_SLICES + 1)]
    parts = [metering.energy(a, b, devices=devices).gross_j for a, b in pairwise(edges)]
    powers = [p * _SLICES / duration_s for p in parts if p is not None]
    width_j = whole.uncertainty_j
    seen = metering.telemetry(start_s, end_s, devices=devices)
    record = IdlePower(
        state=state,
        power_w=whole.gross_j / duration_s,
        uncertainty_w=None if width_j is None else width_j / duration_s,
        std_w=statistics.stdev(powers) if len(powers) > 1 else None,
        samples=len(powers),
        duration_s=duration_s,
        method=whole.method or "",
        age_s=0.0,
        per_device=_per_device(whole, duration_s),
        system_w=_system_w(whole, duration_s),
        source="fresh",
        flags=[*whole.flags, *idle_flags(seen)],
    )
    return IdleReading(record=record, reason="", ended_s=end_s)


def _per_device(whole: EnergyReading, duration_s: float) -> list[dict[str, Any]]:
    """Idle power of each device whose energy is known."""
    return [
        {
            "device": row["device"],
            "scope": row["scope"],
            "power_w": row["energy_j"] / duration_s,
        }
        for row in whole.per_device
        if row["energy_j"] is not None
    ]


def _system_w(whole: EnergyReading, duration_s: float) -> float | None:
    """What CPU and memory drew, as far as they are metered."""
    known = [joules for joules in (whole.cpu_j, whole.dram_j) if joules is not None]
    return sum(known) / duration_s if known else None
