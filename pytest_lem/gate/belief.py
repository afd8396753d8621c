"""What may not be believed of a run, so that nothing is judged by it."""

from collections.abc import Iterator

from pytest_lem.analysis.metrics import QUALITIES
from pytest_lem.gate.side import Side, is_energy

# Of any metric: not steady, slowed, not alone.
UNSOUND = (
    "warmup_not_converged",
    "throttled_thermal",
    "throttled_power_brake",
    "throttled_slowdown",
    "throttled_after_reruns",
    "foreign_process",
    "shared_process",
    "partial",
    "mixed_backends",
    "processes_apart",
)
# Of any metric: no real engine, not measured by us.
_FOREIGN = ("fake_engine", "migrated")
# Of energy: nobody measured it, or the meter failed.
_NO_ENERGY = (
    "estimated_energy",
    "replayed_energy",
    "synthetic_energy",
    "sampler_failed",
    "counter_reset",
    "meters_disagree",
    "counter_ring_disagree",
)
# Of what answers are like: nobody trained the weights.
_NO_QUALITY = ("synthetic_perplexity",)


def doubts(side: Side, metric: str) -> Iterator[str]:
    """Why an experiment's values of a metric are not to be judged by; none if so."""
    flags = {*side.experiment.flags}
    bad = _FOREIGN + UNSOUND + (_NO_ENERGY if is_energy(metric) else ())
    bad += _NO_QUALITY if metric in QUALITIES else ()
    yield from (flag for flag in bad if flag in flags)
    lost = [c for c in side.experiment.cycles if c.status in ("failed", "interrupted")]
    if lost:
        yield f"{len(lost)} of {len(lost) + len(side.cycles)} cycles failed"
    if not side.cycles:
        yield "no complete cycle"
        return
    missing = len(side.cycles) - len(side.values(metric))
    if missing:
        nulls = side.experiment.nulls
        why = nulls.get(metric) or nulls.get(f"summary.{metric}", "not above zero")
        yield f"no {metric} in {missing} of {len(side.cycles)} cycles: {why}"
