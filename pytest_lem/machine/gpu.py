"""NVIDIA GPUs of this machine: the only module that asks NVML for facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any, Literal

from pytest_lem.errors import MeterError
from pytest_lem.machine.peaks import peak_of

_THROTTLE_BITS: Mapping[int, str] = {
    0x001: "gpu_idle",
    0x002: "app_clocks",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal",
    0x040: "hw_thermal",
    0x080: "hw_power_brake",
    0x100: "display",
}

# The member of a value's union that holds it, by NVML's value type.
MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")

# Superchips: their energy counter is that of the whole module, the CPU included, as
# Zeus found on a GH200 (ml-energy/zeus, pull request 172).
_MODULES = re.compile(r"\bG[HB][23]00\b")
_MIG_PROFILE = re.compile(r"\bMIG (\S+)$")

_REFUSED = "the NVIDIA driver refuses"

_users: set[object] = set()
_users_lock = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, or one MIG instance of a GPU; `None` where NVML has no answer.

    Facts of a MIG instance other than its id, name and memory are those of the GPU it
    is part of, `mig_parent`. Memory is in MB of 1e6 bytes, clocks in MHz.
    """

    index: int
    uuid: str
    name: str
    memory_mb: float | None = None
    compute_capability: str | None = None
    driver_version: str | None = None
    cuda_version: str | None = None
    vbios: str | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    power_limit_max_w: float | None = None
    persistence_mode: bool | None = None
    ecc: bool | None = None
    mig_mode: bool | None = None
    mig_parent: str | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    app_sm_clock_mhz: float | None = None
    app_memory_clock_mhz: float | None = None
    pstate: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    temperature_c: float | None = None
    throttle_reasons: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record, with the peak of a known model beside them.

        `mig` has the profile and the parent of an instance, None of a whole GPU.
        """
        peak = peak_of(self.name)
        profile = _MIG_PROFILE.search(self.name)
        mig = {"profile": profile and profile[1], "parent": self.mig_parent}
        data = asdict(self) | {
            "peak": asdict(peak) if peak else None,
            "boundary": boundary(self.name),
            "mig": mig if self.mig_parent else None,
        }
        if self.throttle_reasons is not None:
            data["throttle_reasons"] = list(self.throttle_reasons)
        return data


@contextmanager
def nvml() -> Iterator[Any]:
    """The `pynvml` module, initialised while anybody in this process uses it.

    Raises `MeterError` if there is no NVML here.
    """
    try:
        import pynvml
    except ImportError as error:
        raise MeterError(
            "nvml: the module pynvml is missing; pip install nvidia-ml-py"
        ) from error
    users, user = _users, object()
    with _users_lock:
        if not users:
            try:
                pynvml.nvmlInit()
            except pynvml.NVMLError as error:
                raise MeterError(f"nvml: {_no_driver(pynvml, error)}") from error
        users.add(user)
    try:
        yield pynvml
    finally:
        with _users_lock:
            users.remove(user)
            if not users:
                pynvml.nvmlShutdown()


def _no_driver(pynvml: Any, error: Exception) -> str:
    missing = (
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    )
    if getattr(error, "value", None) in missing:
        return f"no NVIDIA driver ({error})"
    return f"{_REFUSED} ({error})"


def ask(pynvml: Any, question: Callable[..., Any], *args: Any) -> Any:
    """The answer of an NVML call, `None` where driver or device has none."""
    try:
        return question(*args)
    except (pynvml.NVMLError, UnicodeDecodeError):
        return None


def absence() -> str | None:
    """Why no GPU can be seen, in a few words; `None` if one can."""
    try:
        with nvml() as pynvml:
            return None if pynvml.nvmlDeviceGetCount() else "the driver sees no GPU"
    except MeterError as error:
        return error.message.removeprefix("nvml: ")


def refusal() -> str | None:
    """Why a driver that is here cannot be asked; `None` if it can, or there is none."""
    reason = absence()
    return reason if reason and reason.startswith(_REFUSED) else None


def discover() -> list[Gpu]:
    """All GPUs the driver shows, in its order; none without a driver.

    A GPU in MIG mode is told as its instances, which are what can be used.
    """
    if absence() is not None:
        return []
    gpus: list[Gpu] = []
    with nvml() as pynvml:
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            whole = _gpu(pynvml, index, handle)
            gpus += _instances(pynvml, whole, handle) or [whole]
    return gpus


def _gpu(pynvml: Any, index: int, handle: Any) -> Gpu:
    def tell(question: Callable[..., Any], *args: Any) -> Any:
        return ask(pynvml, question, handle, *args)

    capability = tell(pynvml.nvmlDeviceGetCudaComputeCapability)
    ecc = tell(pynvml.nvmlDeviceGetEccMode)
    mig = tell(pynvml.nvmlDeviceGetMigMode)
    persistence = tell(pynvml.nvmlDeviceGetPersistenceMode)
    limits = tell(pynvml.nvmlDeviceGetPowerManagementLimitConstraints)
    sm, memory = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
    return Gpu(
        index=index,
        uuid=text(pynvml.nvmlDeviceGetUUID(handle)),
        name=text(pynvml.nvmlDeviceGetName(handle)),
        memory_mb=_memory_mb(tell(pynvml.nvmlDeviceGetMemoryInfo)),
        compute_capability=capability and ".".join(map(str, capability)),
        driver_version=text(ask(pynvml, pynvml.nvmlSystemGetDriverVersion)),
        cuda_version=_cuda(ask(pynvml, pynvml.nvmlSystemGetCudaDriverVersion_v2)),
        vbios=text(tell(pynvml.nvmlDeviceGetVbiosVersion)),
        power_limit_w=_watts(tell(pynvml.nvmlDeviceGetEnforcedPowerLimit)),
        power_limit_default_w=_watts(
            tell(pynvml.nvmlDeviceGetPowerManagementDefaultLimit)
        ),
        power_limit_max_w=_watts(limits and limits[1]),
        persistence_mode=None if persistence is None else bool(persistence),
        ecc=None if ecc is None else bool(ecc[0]),
        mig_mode=None if mig is None else bool(mig[0]),
        sm_clock_mhz=tell(pynvml.nvmlDeviceGetClockInfo, sm),
        memory_clock_mhz=tell(pynvml.nvmlDeviceGetClockInfo, memory),
        app_sm_clock_mhz=tell(pynvml.nvmlDeviceGetApplicationsClock, sm),
        app_memory_clock_mhz=tell(pynvml.nvmlDeviceGetApplicationsClock, memory),
        pstate=pstate(tell(pynvml.nvmlDeviceGetPerformanceState)),
        pcie_generation=tell(pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
        pcie_width=tell(pynvml.nvmlDeviceGetCurrPcieLinkWidth),
        temperature_c=temperature_c(pynvml, handle),
        throttle_reasons=current_throttle_reasons(pynvml, handle),
    )


def _instances(pynvml: Any, whole: Gpu, handle: Any) -> list[Gpu]:
    if not whole.mig_mode:
        return []
    found = []
    for place in range(ask(pynvml, pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        part = ask(pynvml, pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, place)
        if part is None:
            continue
        facts = {name: getattr(whole, name) for name in Gpu.__slots__}
        facts |= {
            "uuid": text(pynvml.nvmlDeviceGetUUID(part)),
            "name": text(ask(pynvml, pynvml.nvmlDeviceGetName, part)) or whole.name,
            "memory_mb": _memory_mb(ask(pynvml, pynvml.nvmlDeviceGetMemoryInfo, part)),
            "mig_parent": whole.uuid,
        }
        found.append(Gpu(**facts))
    return found


def boundary(name: str) -> Literal["gpu", "module"]:
    """What the energy counter of a GPU of that name holds: it alone, or its module."""
    return "module" if _MODULES.search(name) else "gpu"


def text(value: Any) -> Any:
    """A string of NVML's, which older bindings give as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _memory_mb(info: Any) -> float | None:
    return None if info is None else info.total / 1e6


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1e3


def _cuda(version: int | None) -> str | None:
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"


def pstate(value: int | None) -> int | None:
    """A performance state, 0 (fastest) to 15; NVML says 32 where it knows none."""
    return value if value is not None and 0 <= value <= 15 else None


def temperature_c(pynvml: Any, handle: Any) -> float | None:
    """Temperature of the GPU's die in degrees Celsius."""
    sensor = pynvml.NVML_TEMPERATURE_GPU
    value: float | None = ask(pynvml, pynvml.nvmlDeviceGetTemperature, handle, sensor)
    return value


def current_throttle_reasons(pynvml: Any, handle: Any) -> tuple[str, ...] | None:
    """What holds the clocks down now; `None` where the driver cannot say.

    The call was renamed from throttle to event reasons; drivers know one or both.
    """
    for name in (
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    ):
        question = getattr(pynvml, name, None)
        bitmask = question and ask(pynvml, question, handle)
        if bitmask is not None:
            return throttle_reasons(bitmask)
    return None


def throttle_bits(reasons: Iterable[str]) -> int:
    """The NVML clocks event bitmask of those reasons."""
    return sum(bit for bit, name in _THROTTLE_BITS.items() if name in {*reasons})


def throttle_reasons(bitmask: int) -> tuple[str, ...]:
    """Names of the reasons set in an NVML clocks event bitmask."""
    return tuple(name for bit, name in _THROTTLE_BITS.items() if bitmask & bit)
