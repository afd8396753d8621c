"""NVIDIA GPUs: the driver's total energy counter, or its power where there is none."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine import gpu as machine
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Telemetry
from pytest_lem.meters.nvml_ring import PowerRing
from pytest_lem.meters.phase import PhaseLock

# NVML documents no period; 0.1 s is what Volta to Hopper show, used until measured.
_USUAL_PERIOD_S = 0.1
# Power of GPUs without the counter (Pascal and older) is renewed every 20 ms.
_POWER_POLL_S = 0.01


class NvmlMeter:
    """The GPUs of a run, each read when its own counter is about to step.

    A read of the counter keeps a core of the host busy for 3 to 5 ms (seen on H100 and
    H200), and an edge takes two or three of them: 7 to 8 % of one core for each GPU,
    outside the worker. All other questions together take some 10 us; twice a second
    the driver's ring of power samples is taken over as well, in less than 1 ms.

    A GPU that fails to answer is counted and asked again a period later; a poll in
    which nothing answered raises.
    """

    name = "nvml"
    basis: Basis = "measured"
    accuracy = (
        "NVIDIA states +-5 % for the sensor; the counter steps about every 100 ms "
        "and energy is divided inside a step by the driver's power samples, or by time"
    )

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._exit = ExitStack()
        self._pynvml = self._exit.enter_context(machine.nvml())
        self.period_s = _USUAL_PERIOD_S
        uuids = dict.fromkeys(gpu.mig_parent or gpu.uuid for gpu in gpus)
        try:
            self._watched = [_Watched(self._pynvml, uuid) for uuid in uuids]
        except BaseException:
            self._exit.close()
            raise
        self.version = self._driver_version()

    def _driver_version(self) -> str:
        question = self._pynvml.nvmlSystemGetDriverVersion
        return str(machine.text(machine.ask(self._pynvml, question)) or "unknown")

    def devices(self) -> list[Device]:
        """The GPUs, by UUID; a MIG instance is metered as the whole GPU."""
        return [
            Device(id=watched.uuid, scope="gpu", name=watched.name)
            for watched in self._watched
        ]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """Read the GPUs that are due."""
        readings: list[Reading] = []
        telemetry: list[Telemetry] = []
        failures: list[Exception] = []
        for watched in self._watched:
            if watched.due_s > time.monotonic():
                continue
            try:
                readings.append(watched.read())
                telemetry += watched.telemetry()
                readings += watched.ring.poll()
            except self._pynvml.NVMLError as error:
                failures.append(error)
        if failures and not readings:
            raise failures[0]
        periods = [watched.period_s for watched in self._watched]
        self.period_s = max(periods, default=_USUAL_PERIOD_S)
        due_s = min(watched.due_s for watched in self._watched)
        return readings, telemetry, max(due_s - time.monotonic(), 0.0)

    def facts(self) -> dict[str, Any]:
        """For each GPU: source, period, reads, missed edges, errors, and its ring."""
        return {watched.uuid: watched.facts() for watched in self._watched}

    def close(self) -> None:
        """Let go of NVML."""
        self._exit.close()


class _Watched:
    """One GPU: what it can tell, and when to ask it next."""

    def __init__(self, pynvml: Any, uuid: str) -> None:
        self.uuid = uuid
        self.due_s = 0.0
        self._pynvml = pynvml
        self._errors: Counter[str] = Counter()
        self._reads = 0
        self._telemetry_due_s = 0.0
        self._phase = PhaseLock()
        try:
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
            self.name = str(machine.text(pynvml.nvmlDeviceGetName(self._handle)))
        except pynvml.NVMLError as error:
            raise MeterError(f"nvml: GPU {uuid} cannot be opened ({error})") from error
        # Some virtual GPUs answer with a counter that stays zero.
        self._counts = bool(self._probe(pynvml.nvmlDeviceGetTotalEnergyConsumption))
        if not self._counts and self._probe(pynvml.nvmlDeviceGetPowerUsage) is None:
            raise MeterError(
                f"nvml: GPU {uuid} ({self.name}) tells neither energy nor power; "
                "use another meter, or none"
            )
        self._questions = _cheap_questions(pynvml, self._handle)
        self.ring = PowerRing(pynvml, self._handle, uuid)

    def _probe(self, question: Callable[..., Any]) -> Any:
        return machine.ask(self._pynvml, question, self._handle)

    @property
    def period_s(self) -> float:
        """Period of its source, measured as soon as it can be."""
        if not self._counts:
            return _POWER_POLL_S
        return self._phase.period_s or _USUAL_PERIOD_S

    def read(self) -> Reading:
        """One read of its source; sets when the next is due, also if it fails."""
        before_s = time.monotonic()
        self.due_s = before_s + self.period_s
        if not self._counts:
            power_w = self._ask("power", self._pynvml.nvmlDeviceGetPowerUsage) / 1e3
            return self._reading(before_s, time.monotonic(), power_w=power_w)
        question = self._pynvml.nvmlDeviceGetTotalEnergyConsumption
        energy_j = self._ask("energy", question) / 1e3
        after_s = time.monotonic()
        self._phase.observe(before_s, after_s, energy_j)
        self.due_s = self._phase.due_s
        return self._reading(before_s, after_s, energy_j=energy_j)

    def _ask(self, what: str, question: Callable[..., Any]) -> Any:
        try:
            return question(self._handle)
        except self._pynvml.NVMLError as error:
            self._errors[f"{what}: {error}"] += 1
            raise

    def _reading(self, before_s: float, after_s: float, **value: float) -> Reading:
        self._reads += 1
        return Reading(device=self.uuid, before_s=before_s, after_s=after_s, **value)

    def telemetry(self) -> list[Telemetry]:
        """The cheap facts, once per period; empty in between."""
        now_s = time.monotonic()
        if now_s < self._telemetry_due_s:
            return []
        self._telemetry_due_s = now_s + max(self.period_s, _USUAL_PERIOD_S) * 0.9
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
        """Source, measured period, reads, missed edges, errors, and its ring."""
        return {
            "source": "total_energy_counter" if self._counts else "power_usage",
            "period_s": self._phase.period_s if self._counts else None,
            "reads": self._reads,
            "missed_edges": self._phase.missed,
            "errors": dict(self._errors),
            "ring": self.ring.facts(),
        }


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


def open_meter(argument: str, gpus: Sequence[Gpu]) -> NvmlMeter:
    """The NVML meter for those GPUs, or for all if none are named."""
    if argument:
        raise ConfigError(f"meter nvml takes no argument, got {argument!r}")
    reason = machine.absence()
    if reason is not None:
        raise MeterError(
            f"nvml: {reason}; run where nvidia-smi works (in a container: --gpus all)"
        )
    return NvmlMeter(gpus or machine.discover())
