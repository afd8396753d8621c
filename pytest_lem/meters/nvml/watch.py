"""One NVIDIA GPU: what its driver can tell, and when to ask it next."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.machine import gpu as machine
from pytest_lem.meters import Reading, Telemetry
from pytest_lem.meters.nvml.phase import PhaseLock
from pytest_lem.meters.nvml.ring import PowerRing
from pytest_lem.meters.nvml.throttle import ThrottleCounters

# NVML documents no period; 0.1 s is what Volta to Hopper show, used until measured.
USUAL_PERIOD_S = 0.1
# Power of GPUs without the counter (Pascal and older) is renewed every 20 ms.
_POWER_POLL_S = 0.01
_SLOW_S = 0.010
_RECENT_READS = 1000
# Telemetry comes with a read of the counter, which is not just as regular.
_IN_TIME = 0.9


class WatchedGpu:
    """One GPU: what it can tell, and when to ask it next."""

    def __init__(self, pynvml: Any, uuid: str) -> None:
        self.uuid = uuid
        self.telemetry_s = USUAL_PERIOD_S
        self._source_due_s = 0.0
        self._answered = False
        self._pynvml = pynvml
        self._errors: Counter[str] = Counter()
        self._reads = 0
        self._slow_reads = 0
        self._costs_s: deque[float] = deque(maxlen=_RECENT_READS)
        self._telemetry_due_s = 0.0
        self._phase = PhaseLock()
        try:
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
            self.name = str(machine.text(pynvml.nvmlDeviceGetName(self._handle)))
        except pynvml.NVMLError as error:
            raise MeterError(f"nvml: GPU {uuid} cannot be opened ({error})") from error
        # Some virtual GPUs answer with a counter that stays zero.
        counter, power = (
            pynvml.nvmlDeviceGetTotalEnergyConsumption,
            pynvml.nvmlDeviceGetPowerUsage,
        )
        self._counts = self._probe("energy", counter)
        if not self._counts and not self._probe("power", power):
            why = "; ".join(self._errors) or "both are 0"
            raise MeterError(
                f"nvml: GPU {uuid} ({self.name}) tells neither energy nor power "
                f"({why}); use another meter, or none"
            )
        self._questions = _cheap_questions(pynvml, self._handle)
        self._ring = PowerRing(pynvml, self._handle, uuid)
        self._throttle = ThrottleCounters(pynvml, self._handle, uuid)

    def _probe(self, what: str, question: Callable[..., Any]) -> bool:
        try:
            return bool(self._ask(what, question))
        except self._pynvml.NVMLError:
            return False

    @property
    def period_s(self) -> float:
        """Period of its source, measured as soon as it can be."""
        if not self._counts:
            return _POWER_POLL_S
        return self._phase.period_s or USUAL_PERIOD_S

    @property
    def due_s(self) -> float:
        """When its source is due, or telemetry that is wanted more often than that."""
        if self._answered and self.telemetry_s < _IN_TIME * self.period_s:
            return min(self._source_due_s, self._telemetry_due_s)
        return self._source_due_s

    def look(self) -> tuple[list[Reading], list[Telemetry]]:
        """All that is due now; raises NVMLError where its source does not answer."""
        readings = []
        if time.monotonic() >= self._source_due_s:
            self._answered = False
            readings.append(self._read())
            self._answered = True
        telemetry = [*self._telemetry(), *self._throttle.poll()]
        return readings + self._ring.poll(), telemetry

    def _read(self) -> Reading:
        """One read of its source; sets when the next is due, also if it fails."""
        before_s = time.monotonic()
        self._source_due_s = before_s + self.period_s
        if not self._counts:
            power_w = self._ask("power", self._pynvml.nvmlDeviceGetPowerUsage) / 1e3
            return self._reading(before_s, time.monotonic(), power_w=power_w)
        question = self._pynvml.nvmlDeviceGetTotalEnergyConsumption
        energy_j = self._ask("energy", question) / 1e3
        after_s = time.monotonic()
        self._phase.observe(before_s, after_s, energy_j)
        self._source_due_s = self._phase.due_s
        return self._reading(before_s, after_s, energy_j=energy_j)

    def _ask(self, what: str, question: Callable[..., Any]) -> Any:
        try:
            return question(self._handle)
        except self._pynvml.NVMLError as error:
            self._errors[f"{what}: {error}"] += 1
            raise

    def _reading(self, before_s: float, after_s: float, **value: float) -> Reading:
        self._reads += 1
        self._costs_s.append(after_s - before_s)
        self._slow_reads += after_s - before_s > _SLOW_S
        return Reading(device=self.uuid, before_s=before_s, after_s=after_s, **value)

    def _telemetry(self) -> list[Telemetry]:
        """The cheap facts, every `telemetry_s`; empty in between."""
        now_s = time.monotonic()
        if now_s < self._telemetry_due_s:
            return []
        self._telemetry_due_s = now_s + _IN_TIME * self.telemetry_s
        answers: dict[str, Any] = {}
        for name, question in tuple(self._questions.items()):
            try:
                answers[name] = question()
            except self._pynvml.NVMLError as error:
                self._errors[f"{name}: {error}"] += 1
                if error.value == self._pynvml.NVML_ERROR_NOT_SUPPORTED:
                    del self._questions[name]
        return [Telemetry(device=self.uuid, time_s=now_s, **answers)]

    def facts(self) -> dict[str, Any]:
        """Source, period, reads and their cost, missed edges, errors, ring, throttle.

        A slow read took over 10 ms; it counts, in a bracket as wide as it was slow.
        """
        return {
            "source": "total_energy_counter" if self._counts else "power_usage",
            "period_s": self._phase.period_s if self._counts else None,
            "reads": self._reads,
            "slow_reads": self._slow_reads,
            "read_ms": _cost_ms(list(self._costs_s)),
            "missed_edges": self._phase.missed,
            "errors": dict(self._errors),
            "ring": self._ring.facts(),
            "throttle": self._throttle.facts(),
        }


def _cost_ms(costs_s: list[float]) -> dict[str, float] | None:
    if len(costs_s) < 2:
        return None
    p99_s = quantiles(costs_s, n=100, method="inclusive")[98]
    return {"median": median(costs_s) * 1e3, "p99": p99_s * 1e3}


def _cheap_questions(nv: Any, handle: Any) -> dict[str, Callable[[], Any]]:
    """What telemetry asks each period, by its field's name."""
    questions: dict[str, Callable[[], Any]] = {
        "power_w": lambda: nv.nvmlDeviceGetPowerUsage(handle) / 1e3,
        "temperature_c": lambda: nv.nvmlDeviceGetTemperature(
            handle, nv.NVML_TEMPERATURE_GPU
        ),
        "sm_clock_mhz": lambda: nv.nvmlDeviceGetClockInfo(handle, nv.NVML_CLOCK_SM),
        "memory_clock_mhz": lambda: nv.nvmlDeviceGetClockInfo(
            handle, nv.NVML_CLOCK_MEM
        ),
        "utilisation_pct": lambda: nv.nvmlDeviceGetUtilizationRates(handle).gpu,
        "memory_used_mb": lambda: nv.nvmlDeviceGetMemoryInfo(handle).used / 1e6,
        "pstate": lambda: machine.pstate(nv.nvmlDeviceGetPerformanceState(handle)),
    }
    if machine.current_throttle_reasons(nv, handle) is not None:
        questions["throttle_reasons"] = lambda: machine.current_throttle_reasons(
            nv, handle
        )
    return questions
