"""What this machine can measure: each meter tried for a moment, or why it cannot."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters
from pytest_lem.meters.registry import check_names
from pytest_lem.meters.selfcheck import SelfCheck, Work, self_check

_TRIED_S = 3.0

METERS = ("nvml", "rapl", "zeus", "codecarbon")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFinding:
    """One GPU, as its meter found it; `None` where that is not known.

    `read_ms` has median and p99 of the cost of a read of its counter; `ring` the
    spacing of the driver's power samples and their lag behind the counter.
    """

    device: str
    name: str
    power_w: float | None
    period_s: float | None
    read_ms: Mapping[str, float] | None
    slow_reads: int | None
    missed_edges: int | None
    ring: Mapping[str, float | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One meter, tried: what it reads, or in `reason` why it cannot, with the remedy.

    `period_s` is how often its source has something new; `power_w` the mean power of
    its devices while it was tried, by scope; `core_share_pct` what sampling cost.
    """

    name: str
    works: bool
    reason: str | None = None
    basis: str | None = None
    version: str | None = None
    devices: tuple[str, ...] = ()
    period_s: float | None = None
    power_w: dict[str, float | None] | None = None
    core_share_pct: float | None = None
    accuracy: str | None = None
    gpus: tuple[GpuFinding, ...] = ()
    self_check: SelfCheck | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def survey(
    names: Sequence[str],
    gpus: Sequence[Gpu],
    *,
    seconds: float,
    work: Work | str | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Finding]:
    """Try each meter for so long, one after another; with `work` check it as well.

    `work` is what can be done meanwhile, or the reason why nothing can. A name that
    no meter has raises ConfigError.
    """
    check_names(names)
    for name in names:
        yield _try(name, gpus, seconds, work, wait)


def _try(
    name: str,
    gpus: Sequence[Gpu],
    seconds: float,
    work: Work | str | None,
    wait: Callable[[float], None],
) -> Finding:
    opened = partial(open_meters, [name], gpus=gpus)
    checked = None
    try:
        if work is not None:
            checked = self_check(opened, work, seconds=seconds, wait=wait)
            seconds = min(seconds, _TRIED_S)
        metering = opened()
    except MeterError as error:
        return Finding(name=name, works=False, reason=error.message)
    with metering:
        start_s, cost_s = time.monotonic(), time.process_time()
        wait(seconds)
        end_s = time.monotonic()
        metering.settle(end_s)
        cost_s = time.process_time() - cost_s
        return _finding(name, metering, (start_s, end_s, cost_s), checked)


def _finding(
    name: str,
    metering: Metering,
    tried: tuple[float, float, float],
    checked: SelfCheck | None,
) -> Finding:
    start_s, end_s, cost_s = tried
    reading = metering.energy(start_s, end_s)
    (told,) = metering.describe()
    energies = {"cpu": reading.cpu_j, "dram": reading.dram_j}
    if "gpu" in reading.scope:
        energies["gpu"] = reading.gross_j
    energies_j = {row["device"]: row["energy_j"] for row in reading.per_device}
    return Finding(
        name=name,
        works=reading.gross_j is not None,
        reason=reading.reason,
        basis=told["basis"],
        version=told["version"],
        devices=tuple(device["name"] for device in told["devices"]),
        period_s=metering.period_s,
        power_w={
            scope: energy / (end_s - start_s)
            for scope, energy in energies.items()
            if energy is not None
        },
        core_share_pct=100 * cost_s / (time.monotonic() - start_s),
        accuracy=told["accuracy"],
        gpus=tuple(
            _gpu(device, told, energies_j[device["id"]], end_s - start_s)
            for device in told["devices"]
            if device["scope"] == "gpu"
        ),
        self_check=checked,
    )


def _gpu(
    device: Mapping[str, Any],
    told: Mapping[str, Any],
    energy_j: float | None,
    duration_s: float,
) -> GpuFinding:
    facts = told["facts"].get(device["id"]) or {}
    return GpuFinding(
        device=device["id"],
        name=device["name"],
        power_w=None if energy_j is None else energy_j / duration_s,
        period_s=facts.get("period_s", told["period_s"]),
        read_ms=facts.get("read_ms"),
        slow_reads=facts.get("slow_reads"),
        missed_edges=facts.get("missed_edges"),
        ring=device.get("ring"),
    )
