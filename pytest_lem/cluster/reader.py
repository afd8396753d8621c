"""The actor that reads a meter on its node, by that node's clock."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from threading import Lock
from typing import Any

from pytest_lem.errors import LemError
from pytest_lem.machine.gpu import discover
from pytest_lem.meters import Meter, Reading, Telemetry, Telling
from pytest_lem.meters.intake import close, told_by
from pytest_lem.meters.registry import Registry
from pytest_lem.meters.sampler import Sampler

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Reader:
    """Samples a meter in a thread of its own, and keeps what it reads until asked.

    Each answer has when the question was taken and when it was answered, on the
    node's own clock: an exchange of stamps, whatever else it tells.
    """

    def __init__(self, name: str) -> None:
        self._lock = Lock()
        self._readings: list[Reading] = []
        self._telemetry: list[Telemetry] = []
        self._meter: Meter | None = None
        self._sampler: Sampler | None = None
        self._reason: str | None = None
        try:
            self._meter = Registry().open(name, discover())
            self._sampler = Sampler([self._meter], self._keep)
        except LemError as error:
            self._reason = error.message

    def describe(self) -> dict[str, Any]:
        """The meter and its devices, or the `reason` why there is none."""
        here = {"host": platform.node(), "machine": _machine()}
        meter = self._meter
        if meter is None:
            return {**here, "reason": self._reason}
        return {
            **here,
            "reason": None,
            "devices": meter.devices(),
            "basis": meter.basis,
            "version": meter.version,
            "accuracy": meter.accuracy,
            "period_s": meter.period_s,
        }

    def start(self, telemetry_s: float) -> None:
        """Begin to sample."""
        assert self._sampler is not None
        if isinstance(self._meter, Telling):
            self._meter.telemetry_s = telemetry_s
        self._sampler.start()

    def stamp(self) -> tuple[float, float]:
        """An exchange and no more."""
        taken_s = time.monotonic()
        return taken_s, time.monotonic()

    def poll(self) -> dict[str, Any]:
        """What was read since the last time, and how the sampling goes."""
        taken_s = time.monotonic()
        assert self._sampler is not None
        assert self._meter is not None
        with self._lock:
            readings, self._readings = self._readings, []
            telemetry, self._telemetry = self._telemetry, []
        state = self._sampler.state(0)
        return {
            "readings": readings,
            "telemetry": telemetry,
            "period_s": self._meter.period_s,
            "failed": state.reason if state.failed else None,
            "taken_s": taken_s,
            "answered_s": time.monotonic(),
        }

    def facts(self) -> dict[str, Any]:
        """What the meter found out, and how the sampling went."""
        assert self._sampler is not None
        assert self._meter is not None
        return {**told_by(self._meter), "sampler": self._sampler.state(0).to_json()}

    def close(self) -> None:
        """Stop, and let go of the source, unless a poll of it hangs."""
        if self._meter is not None and self._sampler is not None:
            ended = self._sampler.stop()
            if ended:
                close(self._meter)

    def _keep(
        self, index: int, readings: list[Reading], telemetry: list[Telemetry]
    ) -> None:
        del index
        with self._lock:
            self._readings += readings
            self._telemetry += telemetry


def _machine() -> str | None:
    """What is the same for all containers and raylets of one running kernel."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return None
