"""What the library Zeus can read on this machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_lem.meters import Device, Reading, Scope, Telemetry
from pytest_lem.meters.nvml.phase import PhaseLock

_POLL_S = 0.1
_USUAL_PERIOD_S = 0.1
# Power of GPUs without a counter is renewed every 20 ms.
_POWER_POLL_S = 0.01
# RAPL counters are renewed about every millisecond (Intel SDM vol. 3B, 16.10).
_RAPL_REFRESH_S = 0.001
# Zeus's own process for a Jetson adds up power at least this often.
_JETSON_REFRESH_S = 0.1
_PACE_READS = 6
_PACE_S = 0.005
_SOC_FIELDS: dict[Scope, tuple[str, ...]] = {
    "gpu": ("gpu_mj", "gpu_energy_mj"),
    "cpu": ("cpu_total_mj", "cpu_energy_mj"),
    "dram": ("dram_mj",),
}


class ZeusSource:
    """One call of Zeus that tells of one or more devices, and when to make it next.

    `read` gives, by device, joules since some instant, or watts where `power` is set.
    A counter that stands still between reads 5 ms apart has steps, which are followed
    like NVML's; one that moves each time is read ten times a second. Raises what
    Zeus raises where it cannot be read.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        read: Callable[[], Mapping[str, float]],
        *,
        power: bool = False,
    ) -> None:
        self.due_s = 0.0
        self._read = read
        self._power = power
        self._reads = 0
        self._errors: Counter[str] = Counter()
        self._phase: PhaseLock | None = None
        self.devices = list(devices)
        read()
        if not power and any(device.refresh_s is None for device in devices):
            if _moves_each_time(read):
                self.devices = [replace(one, refresh_s=_PACE_S) for one in devices]
            else:
                self._phase = PhaseLock()

    @property
    def period_s(self) -> float:
        """How often it has something new, measured where it has steps."""
        if self._power:
            return _POWER_POLL_S
        steps_s = self._phase.period_s if self._phase else None
        return steps_s or (_USUAL_PERIOD_S if self._phase else _POLL_S)

    def look(self) -> tuple[list[Reading], list[Telemetry]]:
        """One read; raises what Zeus raises."""
        before_s = time.monotonic()
        self.due_s = before_s + self.period_s
        try:
            values = self._read()
        except Exception as error:
            self._errors[f"{type(error).__name__}: {error}"] += 1
            raise
        after_s = time.monotonic()
        self._reads += 1
        if self._phase is not None:
            self._phase.observe(before_s, after_s, values[self.devices[0].id])
            self.due_s = self._phase.due_s
        key = "power_w" if self._power else "energy_j"
        told: list[dict[str, Any]] = [
            {"device": one.id, key: values[one.id]} for one in self.devices
        ]
        readings = [Reading(before_s=before_s, after_s=after_s, **one) for one in told]
        return readings, []

    def facts(self) -> dict[str, Any]:
        """How it is read, how often it was, and errors."""
        return {
            "source": "power" if self._power else "energy_counter",
            "steps": self._phase is not None,
            "reads": self._reads,
            "missed_edges": self._phase.missed if self._phase else 0,
            "errors": dict(self._errors),
        }


def _moves_each_time(read: Callable[[], Mapping[str, float]]) -> bool:
    seen: list[float] = []
    for _ in range(_PACE_READS):
        seen.append(next(iter(read().values())))
        time.sleep(_PACE_S)
    return len(set(seen)) == len(seen)


def gpus(wanted: Sequence[str]) -> list[ZeusSource]:
    """The GPUs that Zeus sees, or those of them whose UUIDs are wanted."""
    from zeus.device import get_gpus

    found = [_gpu(one) for one in get_gpus().gpus]
    return [
        source
        for source in found
        if not wanted or {device.id for device in source.devices} & set(wanted)
    ]


def _gpu(one: Any) -> ZeusSource:
    name = one.get_name()
    device = Device(
        id=_gpu_id(one),
        scope="gpu",
        name=name.decode() if isinstance(name, bytes) else str(name),
    )
    if _answers(one.get_total_energy_consumption):
        return ZeusSource(
            [device], lambda: {device.id: one.get_total_energy_consumption() / 1e3}
        )
    return ZeusSource(
        [device], lambda: {device.id: one.get_instant_power_usage() / 1e3}, power=True
    )


def _gpu_id(one: Any) -> str:
    """Its UUID on NVIDIA, as NVML's meter has it; else its place."""
    from zeus.device.gpu import nvidia

    if not isinstance(one, nvidia.NVIDIAGPU):
        return f"zeus:gpu{one.gpu_index}"
    uuid = nvidia.pynvml.nvmlDeviceGetUUID(one.handle)
    return uuid.decode() if isinstance(uuid, bytes) else str(uuid)


def _answers(question: Callable[[], float]) -> bool:
    """Whether a counter is there and moves: some virtual GPUs answer with zero."""
    from zeus.exception import ZeusBaseError

    try:
        return question() > 0
    except ZeusBaseError:
        return False


def cpus() -> list[ZeusSource]:
    """CPU packages, with their memory; psys, which holds them, is left out."""
    from zeus.device.cpu.rapl import RAPLCPUs

    found = []
    for place, one in enumerate(RAPLCPUs().cpus):
        zone = getattr(one, "rapl_file", None)
        name = f"package-{place}" if zone is None else str(zone.name)
        if not name.startswith("package"):
            continue
        if zone is not None:
            one.rapl_file = _zone(zone)
            one.dram = None if one.dram is None else _zone(one.dram)
        found.append(_cpu(name, one))
    return found


def _cpu(name: str, one: Any) -> ZeusSource:
    scopes: dict[str, Scope] = {name: "cpu"}
    if one.supports_get_dram_energy_consumption():
        scopes[f"{name}/dram"] = "dram"

    def read() -> dict[str, float]:
        told = one.get_total_energy_consumption()
        values = (told.cpu_mj, told.dram_mj)
        return {key: mj / 1e3 for key, mj in zip(scopes, values, strict=False)}

    devices = [
        Device(id=key, scope=scope, name=key, refresh_s=_RAPL_REFRESH_S)
        for key, scope in scopes.items()
    ]
    return ZeusSource(devices, read)


def _zone(zone: Any) -> Any:
    """A RAPL zone that sees its wraps by itself.

    Zeus starts a process for each to look for them, which would outlive a pytest that
    was killed. We read so often that there is one wrap at most between two reads.
    """
    from zeus.device.cpu.rapl import RAPLFile

    class Zone(RAPLFile):  # type: ignore[misc]  # untyped base class
        """Counts wraps where the counter falls."""

        last_uj = 0.0
        wraps = 0

        def read(self) -> float:
            """Millijoules since some instant, over any wraps."""
            now_uj = float(Path(self.energy_uj_path).read_text())
            self.wraps += now_uj < self.last_uj
            self.last_uj = now_uj
            turned_uj: float = self.wraps * self.max_energy_range_uj
            return (now_uj + turned_uj) / 1e3

    return Zone(zone.path)


def socs() -> list[ZeusSource]:
    """The parts of a system on a chip that are a scope of ours; its total is none."""
    from zeus.device import get_soc
    from zeus.device.soc.jetson import Jetson

    chip = get_soc()
    available = chip.get_available_metrics()
    fields = {
        scope: next((name for name in names if name in available), None)
        for scope, names in _SOC_FIELDS.items()
    }
    stale_s = _JETSON_REFRESH_S if isinstance(chip, Jetson) else None
    ids = {f"zeus:soc-{scope}": name for scope, name in fields.items() if name}
    devices = [
        Device(
            id=f"zeus:soc-{scope}",
            scope=scope,
            name=f"{type(chip).__name__} {scope}",
            refresh_s=stale_s,
        )
        for scope, name in fields.items()
        if name
    ]

    def read() -> dict[str, float]:
        told = chip.get_total_energy_consumption()
        return {key: getattr(told, name) / 1e3 for key, name in ids.items()}

    return [ZeusSource(devices, read)] if devices else []
