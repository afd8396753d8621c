"""The notebook of a cycle: what was found so far, and the record made from it."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pytest_lem.analysis.latency import batched, streamed
from pytest_lem.analysis.metrics import emissions_g, pooled
from pytest_lem.errors import LemError
from pytest_lem.machine.processes import Tenancy
from pytest_lem.measure.certainty import UNCERTAIN, judged, uncertain
from pytest_lem.measure.computing import Watched, computed
from pytest_lem.measure.derived import (
    compute_metrics,
    compute_reasons,
    index_metrics,
    phase_metrics,
    phase_reasons,
)
from pytest_lem.measure.idle_states import CycleIdle
from pytest_lem.measure.laboratory import Bench, Cooled, Laboratory
from pytest_lem.measure.netting import netting
from pytest_lem.measure.prompting import recipe
from pytest_lem.measure.warmup import WarmupOutcome
from pytest_lem.measure.window import Pass, cost, figures, stamps
from pytest_lem.records.record import Cycle, ErrorRecord, Idle, WarmupRecord, Window
from pytest_lem.spec.experiment import Experiment

_LATENCY = {
    "ttft_ms": ("mean", "p50", "p95", "p99"),
    "tpot_ms": ("mean",),
    "itl_ms": ("mean", "p50", "p95", "p99"),
    "e2e_ms": ("mean", "p50", "p95"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """A warm-up that has run and is not yet costed."""

    outcome: WarmupOutcome
    start_s: float
    end_s: float


@dataclass(slots=True, kw_only=True)
class Notebook:
    """What a cycle has found so far; what is in it when it fails is kept.

    `attempt` counts from 0 how often it was run again; None where it cannot be.
    `prompts` says how they were made, where the workload does not.
    """

    experiment: Experiment
    index: int
    started_at: str
    attempt: int | None = None
    bench: Bench | None = None
    warmed: Warmed | None = None
    idle: CycleIdle | None = None
    passes: list[Pass] = field(default_factory=list)
    tokenise_s: float | None = None
    tokenise_ms: float | None = None
    flags: set[str] = field(default_factory=set)
    nulls: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, Any] | None = None
    thermal_wait_s: float | None = None
    tenancies: dict[str, Tenancy] = field(default_factory=dict)
    watched: Watched = field(default_factory=Watched)

    @property
    def energy_passes(self) -> list[Pass]:
        """The passes whose energy counts; those of latency stamp each token."""
        return [one for one in self.passes if one.kind == "energy"]

    def note_cooling(self, cooled: Cooled | None) -> None:
        """Take in the wait for a temperature, if one was asked for."""
        if cooled is not None:
            self.thermal_wait_s = cooled.wait_s
            if not cooled.in_time:
                self.flags.add("thermal_wait_timeout")


def cycle_record(
    lab: Laboratory,
    notes: Notebook,
    status: Literal["complete", "failed", "interrupted"],
    error: BaseException | None = None,
) -> Cycle:
    """The record of a cycle, whole or as far as it came; costs what has run."""
    bench = notes.bench
    idle = _idle(notes)
    load, warmup = _load(lab, notes), _warmup(lab, notes)
    windows = _windows(lab, notes)
    return Cycle(
        index=notes.index,
        attempt=notes.attempt or 0,
        status=status,
        error=None if error is None else error_record(error),
        started_at=notes.started_at,
        ended_at=now(),
        worker=_worker(bench),
        engine=dict(bench.client.hello.get("engine", {})) if bench else {},
        effective=dict(bench.loaded.effective) if bench else {},
        model=_model(bench) if bench else {},
        load=load,
        warmup=warmup,
        idle=idle,
        native=_native(notes),
        windows=windows,
        metrics=_metrics(lab, notes, windows, load, warmup),
        timing={
            "tokenise_s": notes.tokenise_s,
            "thermal_wait_s": notes.thermal_wait_s,
        },
        machine={
            "gpus": {uuid: one.to_json() for uuid, one in notes.tenancies.items()},
            "memory": {
                "device_used_mb": notes.watched.device_used_mb,
                "process_used_mb": notes.watched.process_used_mb,
            },
        },
        prompts=notes.prompts or recipe(notes.experiment.workload),
        flags=sorted(notes.flags),
        nulls=notes.nulls,
    )


def error_record(error: BaseException) -> ErrorRecord:
    """A failure by its kind; an error of nobody's kind brings its traceback."""
    if isinstance(error, LemError):
        kind, message, detail = error.kind, error.message, error.detail
    else:
        kind = "error" if isinstance(error, Exception) else "interrupted"
        message, detail = str(error), "".join(traceback.format_exception(error))
    return ErrorRecord(
        kind=kind, type=type(error).__name__, message=message, detail=detail
    )


def now() -> str:
    """The wall clock, as a label."""
    return datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")


def _idle(notes: Notebook) -> Idle | None:
    """The idle readings with their age at the first window."""
    if notes.idle is None:
        return None
    if notes.idle.chosen.record is None:
        notes.nulls["idle"] = notes.idle.chosen.reason
    else:
        notes.nulls |= notes.idle.reasons()
    chosen = notes.idle.chosen
    first_s = notes.passes[0].start_s if notes.passes else chosen.ended_s
    return notes.idle.record(first_s)


def _load(lab: Laboratory, notes: Notebook) -> dict[str, float | None]:
    bench = notes.bench
    if bench is None:
        return {"duration_s": None, "energy_j": None}
    spent = lab.metering.energy(
        bench.load_start_s, bench.load_end_s, devices=bench.devices
    )
    if spent.gross_j is None:
        notes.nulls["load.energy_j"] = spent.reason or "unknown"
    return {
        "duration_s": bench.loaded.duration_s,
        "energy_j": spent.gross_j,
        **bench.loaded.memory,
    }


def _warmup(lab: Laboratory, notes: Notebook) -> WarmupRecord | None:
    warmed, bench = notes.warmed, notes.bench
    if warmed is None or bench is None:
        return None
    spent = lab.metering.energy(warmed.start_s, warmed.end_s, devices=bench.devices)
    if spent.gross_j is None:
        notes.nulls["warmup.energy_j"] = spent.reason or "unknown"
    return WarmupRecord(
        policy=str(notes.experiment.effort.warmup),
        converged=warmed.outcome.converged,
        cv=warmed.outcome.cv,
        iterations=warmed.outcome.iterations,
        duration_s=warmed.end_s - warmed.start_s,
        energy_j=spent.gross_j,
    )


def _windows(lab: Laboratory, notes: Notebook) -> list[Window]:
    if notes.bench is None:
        return []
    net = netting(
        notes.idle,
        lab.conditions.idle,
        flags=notes.flags,
        measured_s=sum(p.generation.duration_s for p in notes.energy_passes),
    )
    notes.flags |= net.flags
    if net.reason is not None:
        notes.nulls["windows.energy.net_j"] = net.reason
    windows = []
    for run in notes.passes:
        window, reason = cost(run, lab.metering, notes.bench.devices, net.idle)
        if reason:
            notes.nulls["windows.energy.gross_j"] = reason
        window, nulls = computed(
            window, run.generation, notes.bench, lab.conditions, notes.watched
        )
        notes.nulls |= nulls
        windows.append(judged(window, lab.conditions.max_uncertainty_pct))
    return windows


def _metrics(
    lab: Laboratory,
    notes: Notebook,
    windows: Sequence[Window],
    load: Mapping[str, float | None],
    warmup: WarmupRecord | None,
) -> dict[str, float | None]:
    idle = notes.idle.watts() if notes.idle else None
    memory = notes.bench.loaded.memory if notes.bench else {}
    sums = pooled([figures(w) for w in windows if w.kind == "energy"])
    peak_mb = _peak(windows, "inference_peak_mb")
    metrics = {
        **sums,
        **phase_metrics(windows),
        **index_metrics(windows, sums, peak_mb),
        **compute_metrics(windows),
        **_latency(notes),
        "idle_power_w": idle.power_w if idle else None,
        "load_duration_s": load["duration_s"],
        "load_energy_j": load["energy_j"],
        "warmup_duration_s": warmup.duration_s if warmup else None,
        "memory_model_mb": memory.get("model_mb"),
        "memory_peak_mb": peak_mb,
    }
    energy_j, half_width_j = sums["energy_gross_j"], sums["energy_uncertainty_j"]
    if uncertain(energy_j, half_width_j, lab.conditions.max_uncertainty_pct):
        notes.flags.add(UNCERTAIN)
    metrics["emissions_g_co2e"] = _emissions(lab, metrics["energy_gross_j"])
    notes.nulls |= _reasons(notes, windows, metrics)
    return metrics


def _emissions(lab: Laboratory, energy_j: float | None) -> float | None:
    intensity = lab.conditions.carbon_intensity_g_per_kwh
    if energy_j is None or intensity is None:
        return None
    return emissions_g(energy_j, intensity, lab.conditions.pue)


def _latency(notes: Notebook) -> dict[str, float | None]:
    streaming = [run for run in notes.passes if run.kind == "latency"]
    requests = [one for run in streaming or notes.passes for one in stamps(run)]
    block = streamed(requests) if streaming else batched(requests)
    return {
        f"{name.removesuffix('_ms')}_{part}_ms": (block[name] or {}).get(part)
        for name, parts in _LATENCY.items()
        for part in parts
    }


def _reasons(
    notes: Notebook, windows: Sequence[Window], metrics: Mapping[str, float | None]
) -> dict[str, str]:
    """Why each metric that does not exist does not, by what it is made from."""
    known = metrics["energy_gross_j"] is not None
    energy = notes.nulls.get("windows.energy.gross_j", "no_window")
    energy = "divisor_is_zero" if known else energy
    idle = notes.nulls.get("idle", "no_idle_reading")
    net = notes.nulls.get("windows.energy.net_j", "not_stated_by_meter")
    net = net if known else energy
    on_cpu = notes.bench is not None and notes.bench.devices == {"cpu"}
    memory = "no_device_memory" if on_cpu else "not_reported_by_engine"
    exceptions = {
        **phase_reasons(windows),
        **compute_reasons(notes.nulls, energy),
        "edp_js": energy,
        "token_efficiency_index": energy,
        "tokens_per_gb_vram": memory,
        "energy_per_output_token_net_j": net,
        "energy_net_j": net,
        "energy_net_uncertainty_j": net,
        "energy_uncertainty_j": "not_stated_by_meter" if known else energy,
        "idle_power_w": idle,
        "energy_cpu_j": "no_cpu_meter",
        "energy_ram_j": "no_dram_meter",
        "emissions_g_co2e": "no_carbon_intensity" if known else energy,
        "load_energy_j": notes.nulls.get("load.energy_j", "not_loaded"),
        "load_duration_s": "not_loaded",
        "memory_model_mb": "not_reported_by_engine",
        "memory_peak_mb": memory,
        "warmup_duration_s": "no_warmup",
    }
    return {
        name: exceptions.get(name) or _reason(notes, name, energy)
        for name, value in metrics.items()
        if value is None
    }


def _reason(notes: Notebook, name: str, energy: str) -> str:
    if name.startswith(("ttft_", "tpot_", "itl_")):
        if not notes.experiment.workload.streaming:
            return "not_streaming"
        seen = any(run.kind == "latency" for run in notes.passes)
        return "too_few_tokens" if seen else "no_window"
    return energy if "joule" in name or "energy" in name else "no_window"


def _peak(windows: Sequence[Window], key: str) -> float | None:
    values = [window.memory.get(key) for window in windows]
    return max((value for value in values if value is not None), default=None)


def _native(notes: Notebook) -> dict[str, Any]:
    """The engine's own figures of the last window, and its profile if one was made."""
    native = dict(notes.passes[-1].generation.native) if notes.passes else {}
    if notes.watched.profile is not None:
        native["torch_profile"] = notes.watched.profile
    return native


def _worker(bench: Bench | None) -> dict[str, Any]:
    if bench is None:
        return {}
    hello = bench.client.hello
    return {key: hello.get(key) for key in ("pid", "python", "packages", "devices")}


def _model(bench: Bench) -> dict[str, Any]:
    return {
        **bench.loaded.model,
        "path": bench.model.path,
        "synthetic_weights": bench.model.synthetic,
        "fingerprint": dict(bench.model.fingerprint),
    }
