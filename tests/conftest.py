"""A simulated NVIDIA driver, for machines without a GPU.

What is imported for nothing cannot be imported twice: pytester forgets the modules that
inner tests import.
"""

# ruff: noqa: N802  the simulated driver has NVML's own names

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy  # noqa: F401
import pytest
import rich.console
import rich.table  # noqa: F401
import scipy.special
import scipy.stats  # noqa: F401
import yaml  # noqa: F401

import pytest_lem.front.session  # noqa: F401
from pytest_lem.machine import gpu

with suppress(ImportError):
    import pyarrow.parquet  # noqa: F401
with suppress(ImportError):
    import alembic.operations  # noqa: F401
    import sqlalchemy  # noqa: F401
with suppress(ImportError):
    import codecarbon.output  # noqa: F401
with suppress(ImportError):
    import setuptools  # noqa: F401


# Speed is no matter of these tests, and their machine may be busy.
with suppress(ImportError):
    import hypothesis

    hypothesis.settings.register_profile("calm", deadline=None)
    hypothesis.settings.load_profile("calm")


# A shell's background job ignores Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(f"code {value}")
        self.value = value


class Driver:
    """As much of `pynvml` as is used: GPUs under constant power since boot.

    `fails` has the error that a GPU gives in place of its energy and power, `hanging`
    the event that a read of its counter waits for. A read takes `read_s`.
    `processes` has the numbers of those on a GPU, each of which uses 2 MB of the
    `used_bytes` of memory, `throttle` how fast the counter of a field grows, in
    seconds per second.
    """

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NO_PERMISSION = 4
    NVML_ERROR_NOT_FOUND = 6
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_TOTAL_POWER_SAMPLES = 0
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2

    def __init__(
        self,
        powers_w,
        *,
        no_counter=(),
        old_name=False,
        mig=(),
        ring=False,
        period_s=0.05,
        read_s=0.0,
    ):
        self.powers_w = powers_w
        self.period_s = period_s
        self.read_s = read_s
        self.hanging = {}
        self.no_counter = no_counter
        self.mig = mig
        if ring:
            self.nvmlDeviceGetSamples = self.samples
        self.fails = {}
        self.throttle = {}
        self.processes = {}
        self.name = b"Simulated"
        self.used_bytes = {}
        self.began_s = time.monotonic()
        self.users = 0
        if old_name:
            self.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 0x20
        else:
            self.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0x4

    def __getattr__(self, name):
        if not name.startswith("nvml"):
            raise AttributeError(name)
        if name.endswith(("ThrottleReasons", "EventReasons")):
            raise AttributeError(name)

        def unsupported(*args):
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)

        return unsupported

    def _check(self, handle):
        if handle in self.fails:
            raise NVMLError(self.fails[handle])

    def nvmlInit(self):
        self.users += 1

    def nvmlShutdown(self):
        self.users -= 1

    def nvmlDeviceGetCount(self):
        return len(self.powers_w)

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        uuid = uuid.decode() if isinstance(uuid, bytes) else uuid
        if not uuid.startswith("GPU-"):
            raise NVMLError(6)
        return int(uuid.removeprefix("GPU-"))

    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{handle}" if isinstance(handle, int) else handle

    def nvmlDeviceGetName(self, handle):
        return self.name if isinstance(handle, int) else f"Simulated MIG 1g.{handle}"

    def nvmlSystemGetDriverVersion(self):
        return "1.2"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self._check(handle)
        if handle in self.no_counter:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        steps = int(time.monotonic() / self.period_s)
        time.sleep(self.read_s)
        if handle in self.hanging:
            self.hanging[handle].wait(30)
        return round(steps * self.period_s * self.powers_w[handle] * 1e3)

    def nvmlDeviceGetPowerUsage(self, handle):
        self._check(handle)
        return self.powers_w[handle] * 1e3

    def samples(self, handle, kind, last_seen_us):
        self._check(handle)
        assert kind == self.NVML_TOTAL_POWER_SAMPLES
        last = int(time.time() / 0.02)
        value = SimpleNamespace(uiVal=round(self.powers_w[handle] * 1e3))
        stamps_us = [round(k * 20_000) for k in range(last - 119, last + 1)]
        return 1, [
            SimpleNamespace(timeStamp=stamp_us, sampleValue=value)
            for stamp_us in stamps_us
            if stamp_us > last_seen_us
        ]

    def nvmlDeviceGetFieldValues(self, handle, fields):
        self._check(handle)
        spent_ns = round((time.monotonic() - self.began_s) * 1e9)
        return [
            SimpleNamespace(
                nvmlReturn=0 if field in self.throttle else 3,
                valueType=3,
                value=SimpleNamespace(
                    ullVal=round(self.throttle.get(field, 0.0) * spent_ns)
                ),
            )
            for field in fields
        ]

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return 50 + handle

    def nvmlDeviceGetPerformanceState(self, handle):
        return 32

    def nvmlDeviceGetMigMode(self, handle):
        return (int(handle in self.mig), 0)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, place):
        if place > 1:
            raise NVMLError(6)
        return f"MIG-{handle}-{place}"

    def nvmlDeviceGetMemoryInfo(self, handle):
        if handle not in self.used_bytes:
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(total=80_000_000_000, used=self.used_bytes[handle])

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self._check(handle)
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=2_000_000)
            for pid in self.processes.get(handle, ())
        ]

    def nvmlSystemGetProcessName(self, pid):
        return f"/usr/bin/busy-{pid} --now"


@pytest.fixture
def cuda_driver(tmp_path, monkeypatch):
    """Put a simulated library of CUDA's driver before processes started later."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build a simulated driver with")
    source = Path(__file__).parent / "data" / "driver.c"
    folder = tmp_path / "cuda"
    folder.mkdir()
    command = [compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source]
    subprocess.run(command, check=True, capture_output=True)
    paths = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(paths))
    return folder


@pytest.fixture
def driver(monkeypatch):
    """Put a simulated driver in place of the real one, whose GPUs nothing names."""
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    # Who still reads the one, as a thread that hangs does, is no user of the other.
    monkeypatch.setattr(gpu, "_users", set())

    def put(powers_w, **kwargs):
        simulated = Driver(powers_w, **kwargs)
        monkeypatch.setitem(sys.modules, "pynvml", simulated)
        return simulated

    return put
