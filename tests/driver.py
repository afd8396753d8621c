"""A simulated NVIDIA driver; processes of their own import it without the fixtures."""

# ruff: noqa: N802  it has NVML's own names

import time
from types import SimpleNamespace


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
