"""Temperature, clocks and throttling over a span, from telemetry."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from pytest_lem.measure.throttle import FLAGS, throttle
from pytest_lem.meters import Telemetry

RISE_LIMIT_C = 10.0

# A GPU that shows less than this has nothing to do; decoding at batch 1 shows 40 %.
STARVED_PCT = 5.0
STARVED_SHARE = 0.5
BUSY_AT_IDLE_PCT = 5.0
STARVED_SAMPLES = 5


def thermal(
    samples: Sequence[Telemetry],
    duration_s: float,
    counted_s: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Any] | None:
    """What the samples of a span and its throttle counters say; None without either.

    `starved_share` is the share of a GPU's samples in which it had nothing to do, of
    the GPU with the most; None of less than five samples, or where none says so.
    """
    if not samples and not counted_s:
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
        "pstate": samples[-1].pstate if samples else None,
        "starved_share": max(_starved(samples), default=None),
        "throttle": throttle(samples, duration_s, counted_s or {}),
    }


def thermal_flags(block: dict[str, Any] | None) -> list[str]:
    """Flags for what happened: throttling by kind, power cap, a rise, starving."""
    if block is None:
        return []
    flags = {FLAGS[name] for name in block["throttle"]["reasons"] or ()}
    if (block["temperature_rise_c"] or 0.0) > RISE_LIMIT_C:
        flags.add("temperature_rise")
    if (block["starved_share"] or 0.0) >= STARVED_SHARE:
        flags.add("starved")
    return sorted(flags)


def idle_flags(samples: Sequence[Telemetry]) -> list[str]:
    """`gpu_busy_at_idle` where a GPU was at work in most samples of an idle reading.

    By the median, since utilisation trails what went before by up to a second.
    """
    for device in {sample.device for sample in samples}:
        busy_pct = _known(s.utilisation_pct for s in samples if s.device == device)
        if busy_pct and median(busy_pct) > BUSY_AT_IDLE_PCT:
            return ["gpu_busy_at_idle"]
    return []


def _rises_c(samples: Sequence[Telemetry]) -> Iterator[float]:
    """How much each GPU warmed above its first temperature."""
    for device in sorted({sample.device for sample in samples}):
        heat = _known(s.temperature_c for s in samples if s.device == device)
        if heat:
            yield max(heat) - heat[0]


def _starved(samples: Sequence[Telemetry]) -> Iterator[float]:
    """In which share of its samples each GPU waited for work."""
    for device in sorted({sample.device for sample in samples}):
        told = [
            one
            for one in samples
            if one.device == device
            and (one.utilisation_pct is not None or one.throttle_reasons is not None)
        ]
        if len(told) >= STARVED_SAMPLES:
            yield sum(map(_waits, told)) / len(told)


def _waits(sample: Telemetry) -> bool:
    busy_pct = sample.utilisation_pct
    idle = "gpu_idle" in (sample.throttle_reasons or ())
    return idle or (busy_pct is not None and busy_pct < STARVED_PCT)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
