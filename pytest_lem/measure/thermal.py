"""Temperature, clocks and throttling over a span, from telemetry."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytest_lem.meters import Telemetry

RISE_LIMIT_C = 10.0

_FLAGS = {
    "sw_thermal": "throttled_thermal",
    "hw_thermal": "throttled_thermal",
    "hw_slowdown": "throttled_slowdown",
    "hw_power_brake": "throttled_power_brake",
    "sw_power_cap": "power_capped",
}
# The power cap is normal at full load; the others make a window less trustworthy.
_THROTTLES = frozenset(_FLAGS) - {"sw_power_cap"}
# Drivers also tell `hw_slowdown` while a clock changes: it is flagged and no more.
_FAULTS = frozenset({"sw_thermal", "hw_thermal", "hw_power_brake"})


def thermal(samples: Sequence[Telemetry], duration_s: float) -> dict[str, Any] | None:
    """What the samples of a span say; None without samples.

    `throttle.throttled` is None where the driver gives no reasons. Shares are of the
    samples, `duration_s` is that share of the span.
    """
    if not samples:
        return None
    heat = _known(s.temperature_c for s in samples)
    return {
        "samples": len(samples),
        "temperature_start_c": heat[0] if heat else None,
        "temperature_end_c": heat[-1] if heat else None,
        "temperature_max_c": max(heat, default=None),
        "temperature_rise_c": max(_rises_c(samples), default=None),
        "power_peak_w": max(_known(s.power_w for s in samples), default=None),
        "utilisation_mean_pct": _mean(_known(s.utilisation_pct for s in samples)),
        "sm_clock_mean_mhz": _mean(_known(s.sm_clock_mhz for s in samples)),
        "memory_clock_mean_mhz": _mean(_known(s.memory_clock_mhz for s in samples)),
        "pstate": samples[-1].pstate,
        "throttle": throttle(samples, duration_s),
    }


def throttle(samples: Sequence[Telemetry], duration_s: float) -> dict[str, Any]:
    """Which reasons were active and for which share; None where unknown."""
    known = [s.throttle_reasons for s in samples if s.throttle_reasons is not None]
    if not known:
        return {"throttled": None, "reasons": None, "duration_s": None}
    names = sorted({name for reasons in known for name in reasons if name in _FLAGS})
    shares = {name: sum(name in r for r in known) / len(known) for name in names}
    slowed = sum(bool(_THROTTLES.intersection(r)) for r in known) / len(known)
    return {
        "throttled": slowed > 0,
        "reasons": shares,
        "duration_s": slowed * duration_s,
    }


def faults(block: dict[str, Any] | None) -> list[str] | None:
    """Reasons of heat or power brake with their share of the span; None if unknown."""
    reasons = None if block is None else block["throttle"]["reasons"]
    if reasons is None:
        return None
    return [f"{k} {reasons[k]:.0%}" for k in sorted(_FAULTS.intersection(reasons))]


def thermal_flags(block: dict[str, Any] | None) -> list[str]:
    """Flags for what happened: throttling by kind, power cap, a large rise."""
    if block is None:
        return []
    flags = {_FLAGS[name] for name in block["throttle"]["reasons"] or ()}
    if (block["temperature_rise_c"] or 0.0) > RISE_LIMIT_C:
        flags.add("temperature_rise")
    return sorted(flags)


def _rises_c(samples: Sequence[Telemetry]) -> Iterator[float]:
    """How much each GPU warmed above its first temperature."""
    for device in sorted({sample.device for sample in samples}):
        heat = _known(s.temperature_c for s in samples if s.device == device)
        if heat:
            yield max(heat) - heat[0]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
