"""Waiting until the GPUs of a run are no warmer than asked."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_lem.errors import MeterError
from pytest_lem.meters import Telemetry

FRESH_S = 5.0
_STEP_S = 0.5


class Thermometer(Protocol):
    """What tells temperatures: the meters of a run."""

    def telemetry(self, start_s: float, end_s: float) -> list[Telemetry]:
        """The cheap facts of all GPUs between two instants, both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalPolicy:
    """Wait until each of `devices` is at or below a temperature, so long at most."""

    limit_c: float
    timeout_s: float
    devices: Sequence[str]


def cool_down(
    meters: Thermometer,
    policy: ThermalPolicy,
    *,
    wait: Callable[[float], None] = time.sleep,
    show: Callable[[str], None],
) -> bool:
    """Whether every GPU is at or below the limit now; False when time is up.

    Raises MeterError where nobody tells the temperature of a GPU.
    """
    began_s = time.monotonic()
    while True:
        hottest_c = hottest(meters, policy.devices, wait=wait)
        if hottest_c <= policy.limit_c:
            return True
        left_s = began_s + policy.timeout_s - time.monotonic()
        if left_s <= 0:
            return False
        show(f"cooling from {hottest_c:g} C to {policy.limit_c:g} C")
        wait(min(_STEP_S, left_s))


def hottest(
    meters: Thermometer,
    devices: Sequence[str],
    *,
    wait: Callable[[float], None] = time.sleep,
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
