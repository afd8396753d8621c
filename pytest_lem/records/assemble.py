"""From the cycles of an experiment to its record: summary, flags, nulls, exclusions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pytest_lem.analysis.metrics import HEADLINES, METRICS
from pytest_lem.analysis.noise import autocorrelated, drifts
from pytest_lem.analysis.stats import (
    FEW_CYCLES,
    FEW_FOR_BOOTSTRAP,
    STANDARD,
    Statistics,
    Summary,
    summarise,
)
from pytest_lem.records.extended import UNREAD, Residue, extended
from pytest_lem.records.judged import quality_of
from pytest_lem.records.normalised import normalised
from pytest_lem.records.record import Cycle, ExperimentRecord, SummaryRecord
from pytest_lem.records.search import search_flags, search_record, without_trials
from pytest_lem.records.spread import spreads
from pytest_lem.records.stopping import stopping
from pytest_lem.spec.experiment import Experiment

SEVERAL_PLACES = "several_places"


def complete(cycles: Sequence[Cycle]) -> list[Cycle]:
    """The cycles that count."""
    return [cycle for cycle in cycles if cycle.status == "complete"]


def summaries(
    cycles: Sequence[Cycle], asked: Statistics = STANDARD
) -> dict[str, Summary]:
    """Each metric over the complete cycles that have it, in the table's order."""
    done = complete(cycles)
    found: dict[str, Summary] = {}
    for name, info in METRICS.items():
        if known := _known(done, name):
            found[name] = summarise(known, info.unit, asked)
    return found


def null_reasons(cycles: Sequence[Cycle]) -> dict[str, str]:
    """Why a metric does not exist, over all cycles; the last cycle's word counts."""
    reasons: dict[str, str] = {}
    for cycle in cycles:
        reasons |= cycle.nulls
    return reasons


def experiment_record(
    experiment: Experiment,
    identity: str,
    cycles: Sequence[Cycle],
    residue: Residue = UNREAD,
    asked: Statistics = STANDARD,
) -> ExperimentRecord:
    """The record of one experiment; `cycles` in the order they were run.

    Trials of a search are among them, and in nothing that is of the experiment.
    """
    measured = without_trials(cycles)
    return ExperimentRecord(
        id=experiment.id,
        identity=identity,
        spec=spec_json(experiment, measured[-1] if measured else None),
        provenance=dict(experiment.provenance),
        gate=None,
        notes=[one.to_json() for one in experiment.notes],
        **found_in(cycles, residue, asked),
    )


def found_in(
    cycles: Sequence[Cycle],
    residue: Residue = UNREAD,
    asked: Statistics = STANDARD,
) -> dict[str, Any]:
    """The fields of an experiment's record that its cycles tell."""
    everything, cycles = cycles, without_trials(cycles)
    summary = summaries(cycles, asked)
    last = cycles[-1] if cycles else None
    reasons = null_reasons(cycles)
    nulls = {
        **{name: reason for name, reason in reasons.items() if name not in summary},
        **{
            f"summary.{name}": reasons.get(name, "no_complete_cycle")
            for name in METRICS
            if name not in summary
        },
        "gate": "no_reference_asked_for",
    }
    flags = result_flags(cycles)
    flags |= _noise_flags(summary, asked) | _order_flags(complete(cycles))
    flags |= _place_flags(complete(cycles))
    flags |= {"residual_memory"} if residue.over else set()
    found = search_record(everything)
    flags |= search_flags(found)
    return {
        "effective": dict(last.effective) if last else {},
        "synthetic": bool(result_flags(everything) & SYNTHETIC_FLAGS),
        "synthetic_weights": bool(last and last.model.get("synthetic_weights")),
        "cold": "cold_start" in result_flags(everything),
        "cycles": list(everything),
        "summary": summary_records(summary, complete(cycles)),
        "quality": quality_of(complete(cycles), nulls),
        "normalised": normalised(summary, last.effective if last else {}, nulls),
        "extended": extended(complete(cycles), nulls, residue),
        "flags": sorted(flags),
        "nulls": nulls,
        "excluded": [_exclusion(c) for c in cycles if c.status != "complete"],
        "search": found,
        "stopping": stopping(complete(cycles), summary, asked),
    }


SYNTHETIC_FLAGS = {"fake_engine", "replayed_energy", "synthetic_energy"}


def result_flags(cycles: Sequence[Cycle]) -> set[str]:
    """The flags of all cycles but those that were run again, which is one itself."""
    again = [cycle for cycle in cycles if cycle.status == "rerun"]
    kept = [cycle for cycle in cycles if cycle.status != "rerun"]
    flags = {flag for cycle in kept for flag in all_flags(cycle)}
    return flags | ({"cycle_rerun"} if again else set())


_OF_WINDOWS = {"short_window", "uncertain_energy"}


def all_flags(cycle: Cycle) -> set[str]:
    """The flags of a cycle and of its windows.

    A short or uncertain window says nothing of a cycle that pools enough of them: that
    one is flagged itself, `short_cycle` or `uncertain_energy`, where they are too few.
    """
    flags = {*cycle.flags, *(flag for w in cycle.windows for flag in w.flags)}
    return flags - (_OF_WINDOWS - {*cycle.flags})


def spec_json(experiment: Experiment, last: Cycle | None) -> dict[str, Any]:
    """What was asked for: backend, model, engine section, workload and effort."""
    spec, effort = experiment.spec, experiment.effort
    facts = {k: v for k, v in last.model.items() if k != "name"} if last else {}
    return {
        "backend": spec.backend,
        "model": {
            "name": spec.model,
            "revision": spec.revision,
            "precision": spec.precision,
            "trust_remote_code": spec.trust_remote_code,
            "adapter": spec.adapter,
            **facts,
        },
        "engine": dict(spec.engine),
        "workload": experiment.workload.model_dump(),
        "effort": {
            "cycles": effort.cycles,
            "windows": effort.windows,
            "min_seconds": effort.min_seconds,
            "max_seconds": effort.max_seconds,
            "warmup": str(effort.warmup),
            "timeout": effort.timeout,
            "cold_start": effort.cold_start,
        },
    }


def _known(cycles: Sequence[Cycle], metric: str) -> list[float]:
    values = [cycle.metrics.get(metric) for cycle in cycles]
    return [value for value in values if value is not None]


def summary_records(
    summary: Mapping[str, Summary], cycles: Sequence[Cycle]
) -> dict[str, SummaryRecord]:
    """Each metric's summary as the record has it, with the spread of windows."""
    found = spreads(cycles)
    records = {}
    for name, one in summary.items():
        spread = found.get(name)
        records[name] = SummaryRecord(
            **asdict(one),
            within_cycle_std=spread.within_cycle if spread else None,
            between_cycles_std=spread.between_cycles if spread else None,
        )
    return records


def _noise_flags(summary: Mapping[str, Summary], asked: Statistics) -> set[str]:
    flags = set()
    if summary and all(one.n < FEW_CYCLES for one in summary.values()):
        flags.add("few_cycles")
    resampled = [
        one for one in summary.values() if one.ci_method in ("bootstrap", "bca")
    ]
    if any(one.n < FEW_FOR_BOOTSTRAP for one in resampled):
        flags.add("narrow_interval")
    for name in HEADLINES:
        one = summary.get(name)
        if one and one.cv is not None and one.cv > asked.max_cv:
            flags.add("unstable")
    return flags


def _order_flags(cycles: Sequence[Cycle]) -> set[str]:
    """What the order of the cycles that count shows in the headline metrics."""
    told = [values for name in HEADLINES if (values := _known(cycles, name))]
    tests = {"drifting": drifts, "autocorrelated": autocorrelated}
    return {flag for flag, test in tests.items() if any(map(test, told))}


def _place_flags(cycles: Sequence[Cycle]) -> set[str]:
    """Whether the cycles that count are of several places of a cluster."""
    places = {cycle.machine.get("node", {}).get("place") for cycle in cycles}
    return {SEVERAL_PLACES} if len(places) > 1 else set()


def _exclusion(cycle: Cycle) -> dict[str, Any]:
    kind = cycle.error.kind if cycle.error else cycle.status
    return {"cycle": cycle.index, "cause": kind}
