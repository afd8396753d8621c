"""Net energy: gross less idle power times time, when it may be, and how sure it is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import hypot, sqrt

LEAST_MEASURED_S = 1.0

_ROUNDING = 1e-9

# Why the energy of a GPU is not that of the work alone, by the flag that says so.
_SHARED = {
    "mig_whole_gpu": "mig_slice: the energy is the whole GPU's",
    "foreign_process": "shared_gpu: other processes used it",
    "gpu_busy_at_idle": "busy_at_idle: a GPU was at work while idle power was read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleWatts:
    """The power that is subtracted, in a named state.

    `uncertainty_w` is the 95 % half-width of its reading; `spread_w` half the range of
    the idle powers seen, which is how far apart the states lie.
    """

    power_w: float
    uncertainty_w: float = 0.0
    spread_w: float = 0.0
    state: str = "model_loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """Net energy of a span; `uncertainty_j` is None where that of gross is not known.

    `share` is the part of gross that was removed; None where gross is 0.
    """

    energy_j: float
    uncertainty_j: float | None
    share: float | None
    clamped: bool


def net_energy(
    gross_j: float, uncertainty_j: float | None, duration_s: float, idle: IdleWatts
) -> Net:
    """Gross less idle power times time, never below zero.

    The half-widths of gross, of the idle reading and of the state join in quadrature.
    """
    removed_j = idle.power_w * duration_s
    energy_j = max(0.0, gross_j - removed_j)
    width_j = hypot(idle.uncertainty_w, idle.spread_w) * duration_s
    return Net(
        energy_j=energy_j,
        uncertainty_j=None if uncertainty_j is None else hypot(uncertainty_j, width_j),
        share=1 - energy_j / gross_j if gross_j else None,
        clamped=gross_j < removed_j * (1 - _ROUNDING),
    )


def pooled_uncertainty_j(widths_j: Sequence[tuple[float, float]]) -> float:
    """Half-width of a sum of net energies, from (gross, net) half-widths of each.

    Gross of one window is independent of the next's; all share one idle reading, so
    its part adds up.
    """
    gross_j = sqrt(sum(gross**2 for gross, _ in widths_j))
    shared_j = sum(sqrt(max(0.0, net**2 - gross**2)) for gross, net in widths_j)
    return hypot(gross_j, shared_j)


def half_range_w(powers_w: Collection[float]) -> float:
    """How far apart idle powers lie; 0 for a single one."""
    return (max(powers_w) - min(powers_w)) / 2


def drift_pct(before_w: float, after_w: float) -> float | None:
    """By how much idle power rose over a cycle; None from nothing."""
    return (after_w - before_w) / before_w * 100 if before_w else None


def why_not_net(
    *,
    flags: Collection[str],
    idle_flags: Collection[str],
    drift_pct: float | None,
    drift_limit_pct: float,
    measured_s: float,
    force: bool = False,
) -> str | None:
    """Why idle power may not be subtracted in a cycle; None where it may.

    `flags` are the cycle's, `idle_flags` those of its idle readings; `measured_s` is
    the time of its energy windows together. `force` allows a shared GPU.
    """
    for flag, reason in _SHARED.items():
        if flag in {*flags, *idle_flags} and not force:
            return reason
    if measured_s < LEAST_MEASURED_S:
        return f"short_cycle: measured for {measured_s:.3g} s, less than 1 s"
    if drift_pct is not None and abs(drift_pct) > drift_limit_pct:
        return f"idle_drift: {drift_pct:+.1f} %, the limit is {drift_limit_pct:g} %"
    if "counter_ring_disagree" in idle_flags:
        return "idle_counter_ring_disagree: counter and samples differ by over 5 %"
    return None


def is_shared(flags: Collection[str]) -> bool:
    """Whether the energy of the GPUs may hold that of others."""
    return not _SHARED.keys().isdisjoint(flags)
