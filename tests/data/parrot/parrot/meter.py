"""A meter that takes the time the CPUs were busy, times watts, for their energy."""

import os
import time
from pathlib import Path

from pytest_lem.errors import MeterError
from pytest_lem.meters import Device, Reading

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class CpuLoad:
    """Polled by the sampler's thread alone."""

    name = "cpuload"
    version = "0.3.1"
    basis = "estimated"
    accuracy = "a model: busy seconds of all cores times watts"
    period_s = 0.1

    def __init__(self, watts):
        self._watts = watts

    def devices(self):
        return [Device(id="cpuload:0", scope="cpu", name="all cores", refresh_s=0.0)]

    def poll(self):
        before_s = time.monotonic()
        first = Path("/proc/stat").read_text().splitlines()[0]
        user, nice, system = map(int, first.split()[1:4])
        reading = Reading(
            device="cpuload:0",
            before_s=before_s,
            after_s=time.monotonic(),
            energy_j=(user + nice + system) * TICK_S * self._watts,
        )
        return [reading], [], self.period_s

    def facts(self):
        return {"watts_per_core": self._watts}

    def close(self):
        """No file stays open."""


def open_meter(argument, gpus):
    """`--lem-meter=cpuload:WATTS`: `argument` is what follows the colon."""
    del gpus
    try:
        return CpuLoad(float(argument or 10))
    except ValueError:
        raise MeterError(f"cpuload: {argument!r} is no power in watts") from None
