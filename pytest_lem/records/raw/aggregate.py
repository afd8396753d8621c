"""Late aggregation: what processes wrote of their runs, as one report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_lem.analysis.metrics import emissions_g
from pytest_lem.analysis.net import IdleWatts
from pytest_lem.errors import AggregationError
from pytest_lem.records.assemble import found_in
from pytest_lem.records.derived import window_metrics
from pytest_lem.records.raw.files import LOG, OF_RUN, RUN
from pytest_lem.records.raw.joining import NOT_JOINED, latency, windows
from pytest_lem.records.raw.reading import LEAST_OVERLAP, Read, read_run
from pytest_lem.records.record import Cycle, ExperimentRecord, Plan, Record

_OF_WINDOWS = (
    "phases",
    "thermal",
    "speculation",
    "scheduler",
    "arrivals",
    "attribution",
    "goodput",
    "energy.quality",
    "flops.decode_bytes",
    "flops.decode_duration_s",
    "flops.peak_bytes_per_s",
    "flops.mbu",
)


def aggregate(folder: Path, *, partial: bool = False, mixed: bool = False) -> Record:
    """The record of all runs in a folder, which are of one session.

    AggregationError where one is not whole, unless `partial` takes what is there, or
    where processes of one have several backends, unless `mixed` takes them together.
    What is so made is flagged, and gates refuse it.
    """
    found = [_read_cycle(one, partial, mixed) for one in _runs(folder)]
    sessions = {one.session.id: one.session for one, _ in found}
    if len(sessions) > 1:
        names = ", ".join(sorted(sessions))
        raise AggregationError(
            f"{folder}: runs of {len(sessions)} sessions ({names}): aggregate each by "
            "itself"
        )
    (session,) = sessions.values()
    groups: dict[str, list[tuple[ExperimentRecord, Cycle]]] = {}
    for record, cycle in found:
        (experiment,) = record.experiments
        groups.setdefault(experiment.id, []).append((experiment, cycle))
    whole = True
    experiments = []
    for name, some in groups.items():
        missing = _missing(some)
        if missing and not partial and not (folder / RUN).exists():
            raise AggregationError(
                f"{folder}: cycle {', '.join(map(str, missing))} of {name} is not there"
            )
        whole = whole and not missing
        experiments.append(_experiment(some))
    status = "complete" if whole else "interrupted"
    record = max((one for one, _ in found), key=lambda one: len(one.plan.executed))
    executed = [row for one in experiments for row in _executed(one)]
    plan = record.plan.model_dump() | {"executed": executed}
    return record.model_copy(
        update={
            "session": session.model_copy(update={"status": status}),
            "plan": Plan.model_validate(plan),
            "experiments": experiments,
        }
    )


def _runs(folder: Path) -> list[Path]:
    """The folders of runs, by any of the files that each has."""
    found = {path.parent for name in (RUN, LOG) for path in folder.rglob(name)}
    if not found:
        raise AggregationError(f"{folder}: no run in it: no {RUN}, no {LOG}")
    return sorted(found)


def _read_cycle(folder: Path, partial: bool, mixed: bool) -> tuple[Record, Cycle]:
    read = read_run(folder, partial=partial, mixed=mixed)
    return read.run.record, _cycle(read)


def _cycle(read: Read) -> Cycle:
    """The run's cycle with the windows of all processes, and its metrics."""
    run, flags = read.run, _flags(read)
    cycle, nulls = run.cycle, dict(run.cycle.nulls)
    idle = _idle(cycle)
    if read.missing and idle is not None:
        idle, nulls["windows.energy.net_j"] = None, "partial: idle power is of all GPUs"
    joined = list(windows(read, idle))
    delays = latency(read, joined)
    nulls |= {f"windows.{name}": NOT_JOINED for name in _OF_WINDOWS}
    nulls |= {"goodput": NOT_JOINED, "native": NOT_JOINED}
    metrics = window_metrics(joined, delays, None)
    metrics |= {name: cycle.metrics.get(name) for name in OF_RUN}
    metrics["emissions_g_co2e"] = _emissions(run.record, metrics["energy_gross_j"])
    net = nulls.get("windows.energy.net_j", NOT_JOINED)
    for name, value in metrics.items():
        if value is None:
            nulls.setdefault(name, net if "_net_" in name else NOT_JOINED)
        else:
            nulls.pop(name, None)
    for one in joined:
        for group, values in (("flops", one.flops or {}), ("memory", one.memory)):
            for name in (key for key, value in values.items() if value is None):
                nulls.setdefault(f"windows.{group}.{name}", NOT_JOINED)
        if one.energy.gross_j is None:
            nulls.setdefault("windows.energy.gross_j", NOT_JOINED)
    return cycle.model_copy(
        update={
            "windows": joined,
            "latency": delays,
            "metrics": metrics,
            "nulls": nulls,
            "flags": sorted({*cycle.flags, *flags}),
            "aggregation": {
                "partial": bool(read.checks.problems),
                "processes": len(read.parts),
                "expected": run.processes,
                "missing": read.missing,
                "backends": read.backends,
                "overlap": read.overlap,
                "checks": read.checks.rows,
            },
        }
    )


def _flags(read: Read) -> set[str]:
    """What a gate has to know of how the run was put together."""
    little = read.overlap is not None and read.overlap < LEAST_OVERLAP
    found = {
        "partial": bool(read.checks.problems),
        "mixed_backends": len(read.backends) > 1,
        "processes_apart": little,
    }
    return {name for name, so in found.items() if so}


def _idle(cycle: Cycle) -> IdleWatts | None:
    """What is subtracted, where the session itself subtracted it."""
    if cycle.idle is None or "windows.energy.net_j" in cycle.nulls:
        return None
    return IdleWatts(
        power_w=cycle.idle.power_w,
        uncertainty_w=cycle.idle.uncertainty_w or 0.0,
        spread_w=cycle.idle.spread_w or 0.0,
        state=cycle.idle.state,
    )


def _emissions(record: Record, energy_j: float | None) -> float | None:
    factors = record.session.carbon
    intensity = factors.get("intensity_g_per_kwh")
    if energy_j is None or intensity is None:
        return None
    return emissions_g(energy_j, intensity, factors["pue"])


def _missing(some: Sequence[tuple[ExperimentRecord, Cycle]]) -> list[int]:
    """Cycles that were asked for, or come before others, and are not there."""
    there = {cycle.index for _, cycle in some}
    asked = some[0][0].spec["effort"]["cycles"]
    count = asked if isinstance(asked, int) else max(there) + 1
    return [index for index in range(count) if index not in there]


def _experiment(some: Sequence[tuple[ExperimentRecord, Cycle]]) -> ExperimentRecord:
    cycles = sorted((cycle for _, cycle in some), key=lambda one: one.index)
    last = max(some, key=lambda one: one[1].index)[0]
    return last.model_copy(update=found_in(cycles))


def _executed(experiment: ExperimentRecord) -> list[dict[str, Any]]:
    return [
        {
            "experiment_id": experiment.id,
            "cycle": one.index,
            "attempt": one.attempt,
            "status": one.status,
            "started_at": one.started_at,
            "ended_at": one.ended_at,
        }
        for one in experiment.cycles
    ]
