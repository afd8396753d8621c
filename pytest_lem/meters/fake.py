"""Counters that measure nothing: constant power, and one cranked by hand for tests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Telemetry

_DEFAULT_W = 200.0
_PERIOD_S = 0.1
_POLL_S = 0.02


class FakeMeter:
    """A staircase counter under constant power, from the first poll on."""

    name = "fake"
    version = "1"
    basis: Basis = "synthetic"
    accuracy = "none: no energy is measured"

    def __init__(
        self,
        power_w: float = _DEFAULT_W,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.power_w = power_w
        self.period_s = _PERIOD_S
        self._clock_s = clock_s
        self._start_s: float | None = None
        self._steps = 0

    def devices(self) -> list[Device]:
        """One device that stands for a GPU."""
        name = f"constant {self.power_w:g} W"
        return [Device(id="fake:0", scope="gpu", name=name, refresh_s=0.0)]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """The steps since the last poll, each seen at the instant it happened."""
        now_s = self._clock_s()
        if self._start_s is None:
            self._start_s = now_s
        readings: list[Reading] = []
        while (time_s := self._start_s + self._steps * _PERIOD_S) <= now_s:
            energy_j = self._steps * _PERIOD_S * self.power_w
            readings.append(_exact("fake:0", time_s, energy_j))
            self._steps += 1
        return readings, [], _POLL_S

    def facts(self) -> dict[str, Any]:
        """The power."""
        return {"power_w": self.power_w}

    def close(self) -> None:
        """Nothing is held open."""


class HandCranked:
    """A counter with a clock of its own, which moves only by `jump`.

    For tests of whatever reads meters: instants are `now_s`, and each jump becomes
    steps of at most `period_s`, delivered by the next poll.
    """

    name = "hand_cranked"
    version = "1"
    basis: Basis = "synthetic"
    accuracy = "exact: energy is what the test says"

    def __init__(self, *, start_s: float = 0.0, period_s: float = _PERIOD_S) -> None:
        self.now_s = start_s
        self.period_s = period_s
        self._energy_j = 0.0
        self._pending = [_exact("hand_cranked:0", start_s, 0.0)]
        self._telemetry: list[Telemetry] = []
        self._lock = Lock()

    def jump(self, joules: float, seconds: float) -> None:
        """Let time pass, in which that much energy is drawn at constant power."""
        steps = max(1, round(seconds / self.period_s))
        with self._lock:
            start_s, start_j = self.now_s, self._energy_j
            for step in range(1, steps + 1):
                self.now_s = start_s + seconds * step / steps
                self._energy_j = start_j + joules * step / steps
                self._pending.append(
                    _exact("hand_cranked:0", self.now_s, self._energy_j)
                )

    def tell(self, **facts: Any) -> None:
        """Add telemetry at the present instant."""
        with self._lock:
            self._telemetry.append(
                Telemetry(device="hand_cranked:0", time_s=self.now_s, **facts)
            )

    def devices(self) -> list[Device]:
        """One device that stands for a GPU."""
        return [
            Device(id="hand_cranked:0", scope="gpu", name="hand-cranked", refresh_s=0.0)
        ]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What was jumped and told since the last poll."""
        with self._lock:
            readings, self._pending = self._pending, []
            telemetry, self._telemetry = self._telemetry, []
        return readings, telemetry, 0.005

    def facts(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing is held open."""


def _exact(device: str, time_s: float, energy_j: float) -> Reading:
    return Reading(device=device, before_s=time_s, after_s=time_s, energy_j=energy_j)


def open_meter(argument: str, gpus: Sequence[Gpu]) -> FakeMeter:
    """The fake meter, with the power that the argument names in watts."""
    del gpus
    if not argument:
        return FakeMeter()
    try:
        power_w = float(argument)
    except ValueError:
        power_w = -1.0
    if not 0 <= power_w < math.inf:
        raise ConfigError(
            f"meter fake:{argument}: {argument!r} is no power in watts; "
            "write fake:200 for instance"
        )
    return FakeMeter(power_w)
