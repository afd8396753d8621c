"""One cycle of one experiment: engine ready, warm-up, idle, windows, record."""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pytest_lem.analysis.latency import streamed
from pytest_lem.analysis.metrics import emissions_g, pooled
from pytest_lem.engines import GenerateOptions, Generation
from pytest_lem.errors import GenerationError, LemError
from pytest_lem.measure.idle import IdleReading
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.prompting import WARMUP, prompts_for
from pytest_lem.measure.warmup import warm_up
from pytest_lem.measure.window import Pass, cost, figures, stamps
from pytest_lem.records.record import Cycle, ErrorRecord, WarmupRecord, Window
from pytest_lem.spec.experiment import Experiment
from pytest_lem.workload.prompts import token_sha256

LEAST_WINDOWS = 3
LEAST_SECONDS = 1.0
LEAST_PERIODS = 20
LEAST_LATENCY_REQUESTS = 10


@dataclass(slots=True, kw_only=True)
class Notebook:
    """What a cycle has found so far; what is in it when it fails is kept."""

    experiment: Experiment
    index: int
    started_at: str
    bench: Bench | None = None
    warmup: WarmupRecord | None = None
    idle: IdleReading | None = None
    passes: list[Pass] = field(default_factory=list)
    tokenise_s: float | None = None
    flags: set[str] = field(default_factory=set)
    nulls: dict[str, str] = field(default_factory=dict)


def run_cycle(
    lab: Laboratory,
    experiment: Experiment,
    index: int,
    keep: Callable[[Cycle], None],
) -> Cycle:
    """Measure one cycle and hand it to `keep`, also when it fails or is interrupted.

    Raises what went wrong, after `keep`; the engine is thrown away then.
    """
    notes = Notebook(experiment=experiment, index=index, started_at=_now())
    try:
        _measure(lab, notes)
        cycle = _record(lab, notes, "complete", None)
    except BaseException as error:
        status = "failed" if isinstance(error, Exception) else "interrupted"
        lab.drop()
        keep(_record(lab, notes, status, _error(error)))
        raise
    finally:
        lab.progress.clear()
    keep(cycle)
    return cycle


def _measure(lab: Laboratory, notes: Notebook) -> None:
    experiment = notes.experiment
    bench = lab.bench(experiment.spec, notes.index, experiment.effort.timeout)
    notes.bench = bench
    notes.flags |= set(bench.loaded.flags)
    if experiment.effort.warmup.kind != "off":
        notes.warmup = _warm_up(lab, notes, bench)
    # Read warm and just before the windows, so that the two share a temperature.
    notes.idle = lab.idle_of(bench)
    _energy_passes(lab, notes, bench)
    if experiment.workload.streaming:
        notes.passes.append(_latency_pass(lab, notes, bench))
    if notes.passes:
        lab.progress.phase("settle")
        lab.metering.settle(notes.passes[-1].end_s)


def _warm_up(lab: Laboratory, notes: Notebook, bench: Bench) -> WarmupRecord:
    policy = notes.experiment.effort.warmup
    options = _options(notes.experiment)

    def iterate(k: int) -> float:
        lab.progress.phase(f"warm-up {k + 1}")
        return _generate(notes, bench, WARMUP - k, options)[0].duration_s

    start_s = time.monotonic()
    outcome = warm_up(policy, iterate)
    end_s = time.monotonic()
    if outcome.converged is False:
        _unconverged(lab, notes, outcome.cv)
    energy = lab.metering.energy(start_s, end_s, devices=bench.devices)
    if energy.gross_j is None:
        notes.nulls["warmup.energy_j"] = energy.reason or "unknown"
    return WarmupRecord(
        policy=str(policy),
        converged=outcome.converged,
        cv=outcome.cv,
        iterations=outcome.iterations,
        duration_s=end_s - start_s,
        energy_j=energy.gross_j,
    )


def _unconverged(lab: Laboratory, notes: Notebook, cv: float | None) -> None:
    notes.flags.add("warmup_not_converged")
    if lab.conditions.warmup_unconverged == "fail":
        raise GenerationError(
            f"the warm-up did not converge: the last coefficient of variation is {cv}; "
            "allow more iterations with --lem-warmup, or set lem_warmup_unconverged=warn"
        )


def _energy_passes(lab: Laboratory, notes: Notebook, bench: Bench) -> None:
    effort, options = notes.experiment.effort, _options(notes.experiment)
    enough_s = _enough_s(lab)
    began_s, measured_s, count = time.monotonic(), 0.0, 0
    while True:
        if effort.windows == "auto":
            done = count >= LEAST_WINDOWS and measured_s >= enough_s
            spent = time.monotonic() - began_s >= effort.max_seconds
        else:
            done = count >= effort.windows
            spent = False
        if count and (done or spent):
            if not done:
                notes.flags.add("max_seconds_reached")
            return
        lab.progress.phase(f"window {count + 1}", max(0.0, enough_s - measured_s))
        generation, digest = _generate(notes, bench, count, options)
        notes.passes.append(
            Pass(kind="energy", index=count, token_sha256=digest, generation=generation)
        )
        measured_s += generation.duration_s
        count += 1


def _enough_s(lab: Laboratory) -> float:
    """Measured time that auto windows need; an estimate has no staircase to average."""
    if lab.metering.basis is None:
        return 0.0
    periods = 2 if lab.metering.basis == "estimated" else LEAST_PERIODS
    return max(LEAST_SECONDS, periods * lab.metering.period_s)


def _latency_pass(lab: Laboratory, notes: Notebook, bench: Bench) -> Pass:
    """Requests one at a time with a stamp for each token; the first ones left out."""
    workload = notes.experiment.workload
    left_out = workload.streaming_warmup_requests
    count = left_out + max(workload.request_count, LEAST_LATENCY_REQUESTS)
    options = _options(notes.experiment, batch_size=1, stamps=True)
    lab.progress.phase(f"latency window, {count} requests")
    index = len(notes.passes)
    generation, digest = _generate(notes, bench, index, options, count=count)
    return Pass(
        kind="latency",
        index=index,
        token_sha256=digest,
        generation=generation,
        left_out=left_out,
    )


def _generate(
    notes: Notebook,
    bench: Bench,
    window: int,
    options: GenerateOptions,
    *,
    count: int | None = None,
) -> tuple[Generation, str]:
    workload = notes.experiment.workload
    requests = prompts_for(
        workload, bench, notes.index, window, count or workload.request_count
    )
    notes.tokenise_s = requests.tokenise_s
    generation = bench.client.generate(requests.prompts, options)
    _check_work(requests.prompts, generation, options)
    return generation, token_sha256(requests.prompts)


def _check_work(
    prompts: Sequence[Sequence[int]], generation: Generation, options: GenerateOptions
) -> None:
    """The engine did what it was asked: every request, whole, no more."""
    done = generation.completions
    if len(done) != len(prompts):
        raise GenerationError(f"{len(prompts)} requests gave {len(done)} completions")
    for k, (prompt, one) in enumerate(zip(prompts, done, strict=True)):
        least, most = options.min_output_tokens or 0, options.output_tokens
        if one.input_tokens != len(prompt) or not least <= one.output_tokens <= most:
            raise GenerationError(
                f"request {k}: {len(prompt)} tokens in and {least} to {most} out were "
                f"asked for, {one.input_tokens} and {one.output_tokens} were done"
            )


def _options(
    experiment: Experiment, *, batch_size: int | None = None, stamps: bool = False
) -> GenerateOptions:
    workload = experiment.workload
    return GenerateOptions(
        output_tokens=workload.output_tokens,
        min_output_tokens=workload.forced_min_tokens,
        batch_size=batch_size or workload.batch_size,
        decoder=workload.decoder,
        seed=workload.seed,
        stamps=stamps,
    )


def _record(
    lab: Laboratory, notes: Notebook, status: Any, error: ErrorRecord | None
) -> Cycle:
    bench, idle = notes.bench, _idle_used(notes)
    windows = _windows(lab, notes, idle.power_w if idle else None)
    load = _load(lab, notes)
    metrics = _metrics(lab, notes, windows, load)
    return Cycle(
        index=notes.index,
        status=status,
        error=error,
        started_at=notes.started_at,
        ended_at=_now(),
        worker=_worker(bench),
        engine=dict(bench.client.hello.get("engine", {})) if bench else {},
        effective=dict(bench.loaded.effective) if bench else {},
        model=_model(bench) if bench else {},
        load=load,
        warmup=notes.warmup,
        idle=idle,
        native=dict(notes.passes[-1].generation.native) if notes.passes else {},
        windows=windows,
        metrics=metrics,
        timing={"tokenise_s": notes.tokenise_s},
        prompts=_prompts(notes),
        flags=sorted(notes.flags),
        nulls=notes.nulls,
    )


def _windows(lab: Laboratory, notes: Notebook, idle_w: float | None) -> list[Window]:
    windows = []
    devices = notes.bench.devices if notes.bench else frozenset[str]()
    for run in notes.passes:
        window, reading = cost(run, lab.metering, devices, idle_w)
        if reading.reason:
            notes.nulls["windows.energy.gross_j"] = reading.reason
        windows.append(window)
    if idle_w is None and notes.idle is not None:
        notes.nulls["windows.energy.net_j"] = notes.idle.reason
        notes.nulls["idle"] = notes.idle.reason
    return windows


def _metrics(
    lab: Laboratory,
    notes: Notebook,
    windows: Sequence[Window],
    load: dict[str, float | None],
) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {
        **pooled([figures(w) for w in windows if w.kind == "energy"]),
        **_latency_metrics(notes, windows),
        "emissions_g_co2e": None,
        "idle_power_w": notes.idle.record.power_w
        if notes.idle and notes.idle.record
        else None,
        "load_duration_s": load["duration_s"],
        "load_energy_j": load["energy_j"],
        "warmup_duration_s": notes.warmup.duration_s if notes.warmup else None,
        "memory_model_mb": notes.bench.loaded.memory.get("model_mb")
        if notes.bench
        else None,
        "memory_peak_mb": _peak(windows, "inference_peak_mb"),
    }
    gross, conditions = metrics["energy_gross_j"], lab.conditions
    if gross is not None and conditions.carbon_intensity_g_per_kwh is not None:
        metrics["emissions_g_co2e"] = emissions_g(
            gross, conditions.carbon_intensity_g_per_kwh, conditions.pue
        )
    notes.nulls |= _metric_nulls(lab, notes, metrics)
    return metrics


def _metric_nulls(
    lab: Laboratory, notes: Notebook, metrics: dict[str, float | None]
) -> dict[str, str]:
    """The reason of every metric that does not exist, by what it is made from."""
    energy = notes.nulls.get("windows.energy.gross_j", "no_window")
    net = energy if metrics["energy_gross_j"] is None else notes.nulls.get("idle", "")
    carbon = "no_carbon_intensity" if metrics["energy_gross_j"] is not None else energy
    reasons = {
        "energy_per_output_token_net_j": net,
        "energy_net_j": net,
        "idle_power_w": notes.nulls.get("idle", "no_idle_reading"),
        "energy_cpu_j": "no_cpu_meter",
        "energy_ram_j": "no_dram_meter",
        "emissions_g_co2e": carbon,
        "load_energy_j": notes.nulls.get("load.energy_j", "not_loaded"),
        "load_duration_s": "not_loaded",
        "memory_model_mb": "not_reported_by_engine",
        "memory_peak_mb": "not_reported_by_engine",
        "warmup_duration_s": "no_warmup",
    }
    found = {}
    for name, value in metrics.items():
        if value is None:
            fallback = "not_streaming" if name[:4] in ("ttft", "tpot") else energy
            fallback = "not_streaming" if name.startswith("itl") else fallback
            found[name] = reasons.get(name, fallback)
    return found


def _latency_metrics(
    notes: Notebook, windows: Sequence[Window]
) -> dict[str, float | None]:
    wanted = {
        "ttft_ms": ("mean", "p50", "p95", "p99"),
        "tpot_ms": ("mean",),
        "itl_ms": ("mean", "p50", "p95", "p99"),
        "e2e_ms": ("mean", "p50", "p95"),
    }
    block = _latency_block(notes, windows)
    found: dict[str, float | None] = {}
    for name, parts in wanted.items():
        values = block.get(name) or {}
        for part in parts:
            found[f"{name.removesuffix('_ms')}_{part}_ms"] = values.get(part)
    return found


def _latency_block(notes: Notebook, windows: Sequence[Window]) -> dict[str, Any]:
    streaming = [run for run in notes.passes if run.kind == "latency"]
    if streaming:
        return streamed([stamp for run in streaming for stamp in stamps(run)])
    from pytest_lem.analysis.latency import batched

    return batched([s for run in notes.passes for s in stamps(run)]) if windows else {}


def _peak(windows: Sequence[Window], key: str) -> float | None:
    values = [window.memory.get(key) for window in windows]
    return max((value for value in values if value is not None), default=None)


def _idle_used(notes: Notebook) -> Any:
    if notes.idle is None:
        return None
    first = notes.passes[0].start_s if notes.passes else notes.idle.ended_s
    return notes.idle.used_at(first)


def _load(lab: Laboratory, notes: Notebook) -> dict[str, float | None]:
    bench = notes.bench
    if bench is None:
        return {"duration_s": None, "energy_j": None}
    energy = lab.metering.energy(
        bench.load_start_s, bench.load_end_s, devices=bench.devices
    )
    if energy.gross_j is None:
        notes.nulls["load.energy_j"] = energy.reason or "unknown"
    return {"duration_s": bench.loaded.duration_s, "energy_j": energy.gross_j}


def _worker(bench: Bench | None) -> dict[str, Any]:
    if bench is None:
        return {}
    hello = bench.client.hello
    return {key: hello.get(key) for key in ("pid", "python", "packages", "devices")}


def _model(bench: Bench) -> dict[str, Any]:
    random = bench.model.weights == "random" or bench.model.synthetic
    return {
        **bench.loaded.model,
        "path": bench.model.path,
        "synthetic_weights": random,
        "fingerprint": dict(bench.model.fingerprint),
    }


def _prompts(notes: Notebook) -> dict[str, Any]:
    from pytest_lem.measure.prompting import recipe

    return recipe(notes.experiment.workload)


def _error(error: BaseException) -> ErrorRecord:
    kind = error.kind if isinstance(error, LemError) else "interrupted"
    if isinstance(error, Exception) and not isinstance(error, LemError):
        kind = "error"
    detail = (
        error.detail
        if isinstance(error, LemError)
        else "".join(traceback.format_exception(error))
    )
    message = error.message if isinstance(error, LemError) else str(error)
    return ErrorRecord(
        kind=kind, type=type(error).__name__, message=message, detail=detail
    )


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
