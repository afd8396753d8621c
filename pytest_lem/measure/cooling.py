"""Waiting until the GPUs of a run are no warmer than asked, or warm no more."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from pytest_lem.errors import MeterError
from pytest_lem.meters import Telemetry
from pytest_lem.records.record import Window

FRESH_S = 5.0
STEADY_S = 10.0
STEADY_C = 1.0
# After throttling: so much cooler than it was then, or for so long at most.
REST_C = 10.0
REST_S = 120.0
REST_BLIND_S = 30.0
_STEP_S = 0.5

Wait = Callable[[float], None]


class Thermometer(Protocol):
    """What tells temperatures: the meters of a run."""

    def telemetry(self, start_s: float, end_s: float) -> list[Telemetry]:
        """The cheap facts of all GPUs between two instants, both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalPolicy:
    """Wait until each of `devices` is at or below a temperature, so long at most.

    Without a limit, until none of them changes by 1 C within 10 s.
    """

    limit_c: float | None
    timeout_s: float
    devices: Sequence[str]


def cool_down(
    meters: Thermometer,
    policy: ThermalPolicy,
    *,
    wait: Wait = time.sleep,
    show: Callable[[str], None],
) -> bool:
    """Whether every GPU is as cool, or as steady, as asked; False when time is up.

    Raises MeterError where nobody tells the temperature of a GPU.
    """
    began_s = time.monotonic()
    while True:
        hottest_c = hottest(meters, policy.devices, wait=wait)
        if _reached(meters, policy, hottest_c):
            return True
        left_s = began_s + policy.timeout_s - time.monotonic()
        if left_s <= 0:
            return False
        goal = "a steady one" if policy.limit_c is None else f"{policy.limit_c:g} C"
        show(f"cooling from {hottest_c:g} C to {goal}")
        wait(min(_STEP_S, left_s))


def _reached(meters: Thermometer, policy: ThermalPolicy, hottest_c: float) -> bool:
    if policy.limit_c is not None:
        return hottest_c <= policy.limit_c
    now_s = time.monotonic()
    told = meters.telemetry(now_s - STEADY_S, now_s)
    return all(_steady(told, device, now_s) for device in policy.devices)


def _steady(told: Sequence[Telemetry], device: str, now_s: float) -> bool:
    """Whether the last third of 10 s differs from the first by less than 1 C.

    Means, since a sensor of whole degrees may flicker between two of them for ever.
    """
    heat = [
        (one.time_s, one.temperature_c)
        for one in told
        if one.device == device and one.temperature_c is not None
    ]
    third_s = STEADY_S / 3
    first = [c for time_s, c in heat if time_s <= now_s - STEADY_S + third_s]
    last = [c for time_s, c in heat if time_s >= now_s - third_s]
    return bool(first and last) and abs(fmean(last) - fmean(first)) < STEADY_C


def rest(
    meters: Thermometer,
    windows: Sequence[Window],
    *,
    wait: Wait,
    show: Callable[[str], None],
) -> None:
    """Let GPUs that were slowed down in these windows cool by 10 C, 2 min at most.

    Where no temperature was told, for half a minute.
    """
    heat = [one.thermal["temperature_max_c"] for one in windows if one.thermal]
    known = [c for c in heat if c is not None]
    now_s = time.monotonic()
    told = meters.telemetry(now_s - FRESH_S, now_s)
    devices = sorted({one.device for one in told if one.temperature_c is not None})
    if not known or not devices:
        show(f"resting for {REST_BLIND_S:g} s")
        wait(REST_BLIND_S)
        return
    policy = ThermalPolicy(
        limit_c=max(known) - REST_C, timeout_s=REST_S, devices=devices
    )
    cool_down(meters, policy, wait=wait, show=show)


def hottest(
    meters: Thermometer,
    devices: Sequence[str],
    *,
    wait: Wait = time.sleep,
) -> float:
    """Temperature of the warmest GPU, each by its last word of the last 5 s.

    Waits as long for one that has not spoken; then raises MeterError.
    """
    until_s = time.monotonic() + FRESH_S
    while True:
        now_s = time.monotonic()
        heat = {
            one.device: one.temperature_c
            for one in meters.telemetry(now_s - FRESH_S, now_s)
            if one.temperature_c is not None
        }
        silent = [device for device in devices if device not in heat]
        if not silent:
            return max(heat[device] for device in devices)
        if now_s >= until_s:
            raise MeterError(
                f"--lem-thermal: no meter tells the temperature of {', '.join(silent)};"
                " --lem-meter=nvml does where there is NVML"
            )
        wait(min(_STEP_S, until_s - now_s))
