"""What this machine can measure: each meter tried for a moment, or why it cannot."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters.metering import Metering, open_meters

METERS = ("nvml", "rapl", "codecarbon")


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
    devices: tuple[str, ...] = ()
    period_s: float | None = None
    power_w: dict[str, float | None] | None = None
    core_share_pct: float | None = None
    accuracy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def survey(
    gpus: Sequence[Gpu],
    *,
    seconds: float,
    wait: Callable[[float], None] = time.sleep,
) -> list[Finding]:
    """Try each built-in meter for so long, one after another."""
    return [_try(name, gpus, seconds, wait) for name in METERS]


def _try(
    name: str, gpus: Sequence[Gpu], seconds: float, wait: Callable[[float], None]
) -> Finding:
    try:
        metering = open_meters([name], gpus=gpus)
    except MeterError as error:
        return Finding(name=name, works=False, reason=error.message)
    with metering:
        start_s, cost_s = time.monotonic(), time.process_time()
        wait(seconds)
        end_s = time.monotonic()
        metering.settle(end_s)
        cost_s = time.process_time() - cost_s
        return _finding(name, metering, start_s, end_s, cost_s)


def _finding(
    name: str, metering: Metering, start_s: float, end_s: float, cost_s: float
) -> Finding:
    reading = metering.energy(start_s, end_s)
    (told,) = metering.describe()
    energies = {"cpu": reading.cpu_j, "dram": reading.dram_j}
    if "gpu" in reading.scope:
        energies["gpu"] = reading.gross_j
    return Finding(
        name=name,
        works=reading.gross_j is not None,
        reason=reading.reason,
        basis=told["basis"],
        devices=tuple(device["name"] for device in told["devices"]),
        period_s=metering.period_s,
        power_w={
            scope: energy / (end_s - start_s)
            for scope, energy in energies.items()
            if energy is not None
        },
        core_share_pct=100 * cost_s / (time.monotonic() - start_s),
        accuracy=told["accuracy"],
    )
