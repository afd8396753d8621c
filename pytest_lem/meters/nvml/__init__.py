"""NVIDIA GPUs: the driver's total energy counter, or its power where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine import gpu as machine
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Telemetry
from pytest_lem.meters.nvml.readers import Readers
from pytest_lem.meters.nvml.watch import USUAL_PERIOD_S, WatchedGpu


class NvmlMeter:
    """The GPUs of a run, each read when its own counter is about to step.

    A read of the counter keeps a core of the host busy for 3 to 5 ms (seen on H100 and
    H200), and an edge takes two or three of them: 7 to 8 % of one core for each GPU,
    outside the worker. All other questions together take some 10 us; twice a second
    the driver's ring of power samples is taken over as well, in less than 1 ms, and
    its throttle counters are read, in 1 to 2 ms.

    Of several GPUs each has a thread of its own, so that none waits for another's
    read. A GPU that fails to answer is counted and asked again a period later; a poll
    in which nothing answered raises.
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
        self.period_s = USUAL_PERIOD_S
        uuids = dict.fromkeys(gpu.mig_parent or gpu.uuid for gpu in gpus)
        try:
            self._watched = [WatchedGpu(self._pynvml, uuid) for uuid in uuids]
        except BaseException:
            self._exit.close()
            raise
        self._readers = Readers(self._watched)
        self.version = self._driver_version()

    def _driver_version(self) -> str:
        question = self._pynvml.nvmlSystemGetDriverVersion
        return str(machine.text(machine.ask(self._pynvml, question)) or "unknown")

    @property
    def telemetry_s(self) -> float:
        """How often each GPU tells its cheap facts."""
        return max(watched.telemetry_s for watched in self._watched)

    @telemetry_s.setter
    def telemetry_s(self, seconds: float) -> None:
        for watched in self._watched:
            watched.telemetry_s = seconds

    def devices(self) -> list[Device]:
        """The GPUs, by UUID; a MIG instance is metered as the whole GPU."""
        return [
            Device(
                id=watched.uuid,
                scope="gpu",
                name=watched.name,
                boundary=machine.boundary(watched.name),
            )
            for watched in self._watched
        ]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What the GPUs told since the last poll."""
        told = self._readers.poll()
        periods = [watched.period_s for watched in self._watched]
        self.period_s = max(periods, default=USUAL_PERIOD_S)
        return told

    def facts(self) -> dict[str, Any]:
        """For each GPU what is told of it, and how its own thread fares."""
        return {
            watched.uuid: {**watched.facts(), **thread}
            for watched, thread in zip(
                self._watched, self._readers.facts(), strict=True
            )
        }

    def close(self) -> None:
        """Let go of NVML, unless one of its calls has not returned."""
        if self._readers.stop():
            self._exit.close()


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
