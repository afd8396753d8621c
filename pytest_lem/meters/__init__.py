"""What a meter is: it reads energy or power; a timeline turns readings into joules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

Scope = Literal["gpu", "cpu", "dram"]
Boundary = Literal["gpu", "module"]
Basis = Literal["measured", "estimated", "replayed", "synthetic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A thing whose energy is metered; `id` is a GPU's UUID or a RAPL domain's name.

    `boundary` is what a GPU's counter holds: the GPU alone, or the module with its CPU
    as well; `None` where that is not known. `refresh_s` is how old a read of its
    counter can be, where the counter is known to be refreshed faster than it is read;
    `None` where its steps have to be seen.
    """

    id: str
    scope: Scope
    name: str
    boundary: Boundary | None = None
    refresh_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look at a device: cumulative `energy_j`, or momentary `power_w`, or both.

    `before_s` and `after_s` are CLOCK_MONOTONIC seconds on each side of the read.
    A meter whose driver keeps a ring of samples hands on each of them, once and in
    order, as a reading of `ring_w` alone: both times are then the driver's stamp,
    moved to that clock, and lie in the past by as much as the ring was left unread.
    """

    device: str
    before_s: float
    after_s: float
    energy_j: float | None = None
    power_w: float | None = None
    ring_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Cheap facts of one GPU at one instant; `None` where the driver has none.

    `throttle_ns` says for how long, by reason, the GPU has been slowed down since the
    driver was loaded. It costs more to read: an entry that has it has nothing else.
    """

    device: str
    time_s: float
    power_w: float | None = None
    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    utilisation_pct: float | None = None
    memory_used_mb: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    pstate: int | None = None
    throttle_ns: Mapping[str, int] | None = None


class Meter(Protocol):
    """Reads one kind of source. Only the sampler's thread calls `poll`.

    `basis` says what the numbers are worth; `accuracy` is one sentence for the record;
    `period_s` is how often the source has something new (its counter's period).
    """

    name: str
    version: str
    basis: Basis
    accuracy: str
    period_s: float

    def devices(self) -> list[Device]:
        """The devices it meters."""

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What is new, and the seconds until it wants to be asked again."""

    def facts(self) -> dict[str, Any]:
        """What it found out about its source, for the record."""

    def close(self) -> None:
        """Let go of the source."""


@runtime_checkable
class Telling(Protocol):
    """A meter whose telemetry can be asked for every so many seconds."""

    telemetry_s: float


@runtime_checkable
class Afar(Protocol):
    """A meter that reads other machines, by clocks which it relates to ours."""

    def residual_s(self, device: str, start_s: float, end_s: float) -> float:
        """By how many seconds the instants of a device's readings may be wrong."""
