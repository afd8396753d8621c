"""From the cycles of an experiment to its record: summary, flags, nulls, exclusions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_lem.analysis.metrics import METRICS, ratio
from pytest_lem.analysis.stats import FEW_CYCLES, Summary, summarise
from pytest_lem.records.record import (
    Cycle,
    ExperimentRecord,
    SummaryRecord,
    Window,
)
from pytest_lem.spec.experiment import Experiment

MAX_CV = 0.10


def complete(cycles: Sequence[Cycle]) -> list[Cycle]:
    """The cycles that count."""
    return [cycle for cycle in cycles if cycle.status == "complete"]


def summaries(cycles: Sequence[Cycle]) -> dict[str, Summary]:
    """Each metric over the complete cycles that have it, in the table's order."""
    done = complete(cycles)
    found: dict[str, Summary] = {}
    for name, info in METRICS.items():
        if known := _known(done, name):
            found[name] = summarise(known, info.unit)
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
) -> ExperimentRecord:
    """The record of one experiment; `cycles` in the order they were run."""
    summary = summaries(cycles)
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
    flags |= _noise_flags(summary)
    return ExperimentRecord(
        id=experiment.id,
        identity=identity,
        spec=spec_json(experiment, last),
        effective=dict(last.effective) if last else {},
        provenance=dict(experiment.provenance),
        synthetic=bool(flags & SYNTHETIC_FLAGS),
        synthetic_weights=bool(last and last.model.get("synthetic_weights")),
        cycles=list(cycles),
        summary={
            name: SummaryRecord.model_validate(one, from_attributes=True)
            for name, one in summary.items()
        },
        extended=extended(complete(cycles), nulls),
        quality={},
        flags=sorted(flags),
        nulls=nulls,
        gate=None,
        excluded=[_exclusion(c) for c in cycles if c.status != "complete"],
        notes=[one.to_json() for one in experiment.notes],
    )


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
    return {
        "backend": spec.backend,
        "model": {
            "name": spec.model,
            "revision": spec.revision,
            "precision": spec.precision,
            "trust_remote_code": spec.trust_remote_code,
            "adapter": spec.adapter,
            **(last.model if last else {}),
        },
        "engine": dict(spec.engine),
        "workload": experiment.workload.model_dump(),
        "effort": {
            "cycles": effort.cycles,
            "windows": effort.windows,
            "max_seconds": effort.max_seconds,
            "warmup": str(effort.warmup),
            "timeout": effort.timeout,
        },
    }


def extended(cycles: Sequence[Cycle], nulls: dict[str, str]) -> dict[str, Any]:
    """The groups beside the summary: always the same keys, null with a reason."""
    windows = [window for cycle in cycles for window in cycle.windows]
    groups: dict[str, dict[str, Any]] = {
        "memory": {
            "model_mb": max(_known(cycles, "memory_model_mb"), default=None),
            "load_peak_mb": _most(cycle.load.get("load_peak_mb") for cycle in cycles),
            **_largest(windows, "inference_peak_mb", "reserved_peak_mb", "rss_peak_mb"),
            **{
                key: _most(_machine_memory(cycle).get(key) for cycle in cycles)
                for key in ("device_used_mb", "process_used_mb")
            },
        },
        "gpu_utilisation": {"mean_pct": _utilisation(windows)},
        "batch": _batching(windows),
        "kv_cache": {
            "used_mb": _largest(windows, "kv_cache_mb")["kv_cache_mb"],
            "read_mb": _largest(windows, "kv_cache_read_mb")["kv_cache_read_mb"],
            "hit_rate": None,
        },
        "request_latency": {"e2e_ms": _last_latency(windows)},
    }
    found = {
        f"extended.{group}.{key}": value
        for group, values in groups.items()
        for key, value in values.items()
    }
    for name, value in found.items():
        if value is None:
            nulls.setdefault(name, _why_null(name, windows, nulls))
        else:
            nulls.pop(name, None)
    return groups


# Where the cycles have the reason for a value of the groups.
_REASONS = {
    "extended.memory.model_mb": "memory_model_mb",
    "extended.memory.load_peak_mb": "memory_peak_mb",
    "extended.memory.inference_peak_mb": "memory_peak_mb",
    "extended.memory.reserved_peak_mb": "memory_peak_mb",
    "extended.kv_cache.used_mb": "windows.memory.kv_cache_mb",
    "extended.kv_cache.read_mb": "windows.memory.kv_cache_read_mb",
}


def _why_null(name: str, windows: Sequence[Window], nulls: Mapping[str, str]) -> str:
    if not windows:
        return "no_complete_cycle"
    if name == "extended.gpu_utilisation.mean_pct":
        return "no_gpu_telemetry"
    return nulls.get(_REASONS.get(name, ""), "not_reported_by_engine")


def _machine_memory(cycle: Cycle) -> Mapping[str, float | None]:
    found: Mapping[str, float | None] = cycle.machine.get("memory") or {}
    return found


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _largest(windows: Sequence[Window], *keys: str) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for key in keys:
        found[key] = _most(w.memory.get(key) for w in windows)
    return found


def _known(cycles: Sequence[Cycle], metric: str) -> list[float]:
    values = [cycle.metrics.get(metric) for cycle in cycles]
    return [value for value in values if value is not None]


def _utilisation(windows: Sequence[Window]) -> float | None:
    seen = [w.thermal.get("utilisation_mean_pct") for w in windows if w.thermal]
    known = [value for value in seen if value is not None]
    return sum(known) / len(known) if known else None


def _batching(windows: Sequence[Window]) -> dict[str, float | None]:
    computed = sum(w.tokens.input + w.tokens.padding for w in windows)
    sizes = [size for window in windows for size in window.batches]
    return {
        "effective_batch_size": ratio(sum(sizes), len(sizes)),
        "padding_overhead": (
            sum(w.tokens.padding for w in windows) / computed if computed else None
        ),
    }


def _last_latency(windows: Sequence[Window]) -> Mapping[str, Any] | None:
    blocks = [w.latency for w in windows if w.latency]
    return blocks[-1]["e2e_ms"] if blocks else None


def _noise_flags(summary: Mapping[str, Summary]) -> set[str]:
    flags = set()
    if summary and all(one.n < FEW_CYCLES for one in summary.values()):
        flags.add("few_cycles")
    for name in ("energy_per_output_token_j", "output_throughput_tps"):
        one = summary.get(name)
        if one and one.cv is not None and one.cv > MAX_CV:
            flags.add("unstable")
    return flags


def _exclusion(cycle: Cycle) -> dict[str, Any]:
    kind = cycle.error.kind if cycle.error else cycle.status
    return {"cycle": cycle.index, "cause": kind}
