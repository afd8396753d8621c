"""Whether, why and for how long GPUs were slowed down: by counters, else by samples."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.meters import Telemetry

# What is below this share of a span changes no number in it.
LEAST_SHARE = 0.001

FLAGS = {
    "thermal": "throttled_thermal",
    "sw_thermal": "throttled_thermal",
    "hw_thermal": "throttled_thermal",
    "hw_slowdown": "throttled_slowdown",
    "hw_power_brake": "throttled_power_brake",
    "board_limit": "throttled_board_limit",
    "sw_power_cap": "power_capped",
}
# The power cap is normal at full load; the others make a window less trustworthy.
_THROTTLES = frozenset(FLAGS) - {"sw_power_cap"}
# Drivers also tell `hw_slowdown` while a clock changes: it is flagged and no more.
_FAULTS = frozenset({"thermal", "sw_thermal", "hw_thermal", "hw_power_brake"})
_UNKNOWN: dict[str, Any] = {
    "throttled": None,
    "method": "unknown",
    "reasons": None,
    "duration_s": None,
}


def throttle(
    samples: Sequence[Telemetry],
    duration_s: float,
    counted_s: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """What slowed the GPUs of a span down, as shares of it; None where unknown.

    `counted_s` is by how much the throttle counters of each GPU grew. A GPU without
    them is told by the reasons in its samples, which miss what is shorter than they are
    apart. `per_device` has each GPU, with all that its counters say; above stands the
    worst of them for each reason, and nothing where one of them cannot tell and the
    others were not slowed down.
    """
    names = sorted({*counted_s, *(sample.device for sample in samples)})
    devices = {name: _device(name, samples, duration_s, counted_s) for name in names}
    known = [one for one in devices.values() if one["throttled"] is not None]
    told = len(known) == len(devices) or any(one["throttled"] for one in known)
    if not known or not told:
        return {**_UNKNOWN, "per_device": devices}
    reasons = {name for one in known for name in one["reasons"]}
    return {
        "throttled": any(one["throttled"] for one in known),
        "method": _joined(known),
        "reasons": {
            name: max(one["reasons"].get(name, 0.0) for one in known)
            for name in sorted(reasons)
        },
        "duration_s": max(one["duration_s"] for one in known),
        "per_device": devices,
    }


def faults(block: Mapping[str, Any] | None) -> list[str] | None:
    """Reasons of heat or power brake with their share of the span; None if unknown."""
    reasons = None if block is None else block["throttle"]["reasons"]
    if reasons is None:
        return None
    return [f"{k} {reasons[k]:.0%}" for k in sorted(_FAULTS.intersection(reasons))]


def _device(
    device: str,
    samples: Sequence[Telemetry],
    duration_s: float,
    counted_s: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    if counted_s.get(device) and duration_s > 0:
        grown = counted_s[device]
        shares = {name: min(grown[name] / duration_s, 1.0) for name in grown}
        # A GPU slowed down for two reasons at once counts in both.
        slowed = max((shares[k] for k in _THROTTLES.intersection(shares)), default=0.0)
        block = _block("violation_counters", shares, slowed, duration_s)
        return {**block, "counters_s": dict(sorted(grown.items()))}
    told = [
        one.throttle_reasons
        for one in samples
        if one.device == device and one.throttle_reasons is not None
    ]
    if not told:
        return dict(_UNKNOWN)
    names = {name for reasons in told for name in reasons}
    shares = {name: sum(name in r for r in told) / len(told) for name in names}
    slowed = sum(bool(_THROTTLES.intersection(r)) for r in told) / len(told)
    return _block("sampled_reasons", shares, slowed, duration_s)


def _block(
    method: str, shares: Mapping[str, float], slowed: float, duration_s: float
) -> dict[str, Any]:
    felt = {k: shares[k] for k in sorted(FLAGS.keys() & shares.keys())}
    return {
        "throttled": slowed >= LEAST_SHARE,
        "method": method,
        "reasons": {k: share for k, share in felt.items() if share >= LEAST_SHARE},
        "duration_s": slowed * duration_s,
    }


def _joined(devices: Sequence[Mapping[str, Any]]) -> str:
    """The method of all of them, or each that was used."""
    return "+".join(dict.fromkeys(one["method"] for one in devices))
