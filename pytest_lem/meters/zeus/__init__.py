"""GPUs, CPUs and systems on a chip as the library Zeus reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Telemetry
from pytest_lem.meters.nvml.readers import Readers
from pytest_lem.meters.zeus.sources import ZeusSource, cpus, gpus, socs


class ZeusMeter:
    """Zeus's device layer, read and stamped like every other meter.

    Zeus's own windows are not used: they take the difference of two reads, and the
    wall clock. What it meters is what it finds: NVIDIA or AMD GPUs, RAPL or its daemon
    zeusd, an Apple or Jetson chip.
    """

    name = "zeus"
    basis: Basis = "measured"
    accuracy = (
        "that of the vendor's counter which Zeus reads; on NVIDIA and RAPL these are "
        "the counters that nvml and rapl read, so that agreement vouches for the "
        "reading and not for the sensor"
    )

    def __init__(self, wanted: Sequence[str]) -> None:
        self.version = version("zeus")
        self._sources, self._absent = _find(wanted)
        if not self._sources:
            reasons = "; ".join(f"{what}: {why}" for what, why in self._absent.items())
            raise MeterError(
                f"zeus: it finds nothing to meter ({reasons}); it needs an NVIDIA or "
                "AMD GPU with its driver, readable RAPL counters, or its daemon zeusd"
            )
        self._readers = Readers(self._sources)
        self.period_s = max(source.period_s for source in self._sources)

    def devices(self) -> list[Device]:
        """NVIDIA GPUs by UUID, RAPL packages and their memory by name."""
        return [device for source in self._sources for device in source.devices]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What its sources told since the last poll."""
        told = self._readers.poll()
        self.period_s = max(source.period_s for source in self._sources)
        return told

    def facts(self) -> dict[str, Any]:
        """Each source by its first device, and why there are no others."""
        return {
            "sources": {
                source.devices[0].id: {**source.facts(), **thread}
                for source, thread in zip(
                    self._sources, self._readers.facts(), strict=True
                )
            },
            "absent": dict(self._absent),
        }

    def close(self) -> None:
        """End the threads; Zeus itself has no end but the interpreter's."""
        self._readers.stop()


def _find(wanted: Sequence[str]) -> tuple[list[ZeusSource], dict[str, str]]:
    """What Zeus can read, and why not the rest."""
    from zeus.exception import ZeusBaseError

    found: list[ZeusSource] = []
    absent: dict[str, str] = {}
    looks: tuple[tuple[str, Callable[[], list[ZeusSource]]], ...] = (
        ("gpu", partial(gpus, wanted)),
        ("cpu", cpus),
        ("soc", socs),
    )
    for what, look in looks:
        try:
            found += look()
        except (ZeusBaseError, ImportError) as error:
            absent[what] = _line(error)
        except ValueError as error:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            absent[what] = f"{_line(error)} (CUDA_VISIBLE_DEVICES is {visible!r})"
    return found, absent


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(". ")


def open_meter(argument: str, gpus: Sequence[Gpu]) -> ZeusMeter:
    """Zeus's meter for those GPUs, or for all that it sees if none are named."""
    if argument:
        raise ConfigError(f"meter zeus takes no argument, got {argument!r}")
    try:
        import_module("zeus.device")
    except ImportError as error:
        raise MeterError(
            f"zeus: cannot be imported ({error}); pip install 'pytest-lem[zeus]'"
        ) from error
    return ZeusMeter([gpu.mig_parent or gpu.uuid for gpu in gpus])
