"""The record of a cycle, made from its notebook: what has run is costed here."""

import traceback
from typing import Any, Literal

from pytest_lem.errors import LemError
from pytest_lem.measure.certainty import judged
from pytest_lem.measure.computing import computed
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.netting import netting
from pytest_lem.measure.notebook import Notebook, now
from pytest_lem.measure.pooling import cycle_latency, cycle_metrics
from pytest_lem.measure.prompting import recipe
from pytest_lem.measure.quality import note_no_quality
from pytest_lem.measure.serving import cycle_goodput
from pytest_lem.measure.window import cost
from pytest_lem.records.record import Cycle, ErrorRecord, Idle, WarmupRecord, Window

EARLIER = "loaded_in_an_earlier_cycle"


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
    if notes.stamps_path is None:
        notes.nulls.setdefault("stamps_path", "cycle_not_complete")
    latency = cycle_latency(notes)
    if latency is None:
        notes.nulls["latency"] = "no_window"
    served = cycle_goodput(windows)
    if served is None:
        limited = notes.experiment.workload.slo is not None
        notes.nulls["goodput"] = "no_window" if limited else "no_slo"
    note_no_quality(lab, notes)
    return Cycle(
        index=notes.index,
        attempt=notes.attempt or 0,
        status=status,
        error=None if error is None else error_record(error),
        started_at=notes.started_at,
        ended_at=now(),
        worker=_worker(bench),
        engine=dict(bench.client.hello.get("engine", {})) if bench else {},
        effective=_effective(notes),
        model=_model(bench) if bench else {},
        load=load,
        warmup=warmup,
        idle=idle,
        native=_native(notes),
        windows=windows,
        latency=latency,
        goodput=served,
        quality=notes.quality,
        metrics=cycle_metrics(
            lab, notes, windows, load, warmup, latency=latency, served=served
        ),
        timing={
            "tokenise_s": notes.tokenise_s,
            "thermal_wait_s": notes.thermal_wait_s,
            "thermal_floor_s": notes.thermal_floor_s,
            "gap_s": notes.gap_s,
        },
        machine={
            "gpus": {uuid: one.to_json() for uuid, one in notes.tenancies.items()},
            "neighbours": [
                {"gpu": gpu, "session": who} for gpu, who in notes.neighbours.items()
            ],
            "memory": {
                "device_used_mb": notes.watched.device_used_mb,
                "process_used_mb": notes.watched.process_used_mb,
            },
        },
        prompts=_prompts(notes),
        stamps_path=notes.stamps_path,
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
    if bench is None or bench.load_turn != notes.index:
        if bench is not None:
            names = ("duration_s", "energy_j", "start_s")
            notes.nulls |= {f"load.{name}": EARLIER for name in names}
        return {"duration_s": None, "energy_j": None, "start_s": None}
    spent = lab.metering.energy(
        bench.load_start_s, bench.load_end_s, devices=bench.devices
    )
    if spent.gross_j is None:
        notes.nulls["load.energy_j"] = spent.reason or "unknown"
    return {
        "duration_s": bench.loaded.duration_s,
        "energy_j": spent.gross_j,
        "start_s": bench.start_s,
        **bench.loaded.memory,
        **_compiling(notes),
    }


def _compiling(notes: Notebook) -> dict[str, float]:
    """Seconds of compiling before the first window, by an engine that compiles."""
    native = notes.passes[0].generation.native if notes.passes else {}
    told = native.get("compile")
    return {} if told is None else {"compile_s": told["before_s"]}


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
        durations_s=list(warmed.outcome.durations_s),
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
        window, reason = cost(
            run,
            lab.metering,
            notes.bench.devices,
            net.idle,
            request_rows=lab.conditions.request_rows,
        )
        if reason:
            notes.nulls["windows.energy.gross_j"] = reason
        window, nulls = computed(
            window, run, notes.bench, lab.conditions, notes.watched
        )
        notes.nulls |= nulls
        windows.append(judged(window, lab.conditions.max_uncertainty_pct))
        if window.speculation is None:
            notes.nulls["windows.speculation"] = _no_speculation(notes.bench)
    return windows


def _no_speculation(bench: Bench) -> str:
    """An engine that could draft tokens says whether it was to."""
    asked = bench.loaded.effective.get("speculation", "unknown")
    return "no_drafts" if asked is None else "not_reported_by_engine"


def _native(notes: Notebook) -> dict[str, Any]:
    """The engine's own figures of the last window, and its profile if one was made.

    Each window has what became of its drafts and what a scheduler did.
    """
    native = dict(notes.passes[-1].generation.native) if notes.passes else {}
    for key in ("speculation", "scheduler", "request_times_ms"):
        native.pop(key, None)
    if notes.watched.profile is not None:
        native["torch_profile"] = notes.watched.profile
    return native


def _prompts(notes: Notebook) -> dict[str, Any]:
    """How the prompts were made, how many were cut, and where the answers are kept."""
    kept = {
        "cut": notes.cut,
        "chat_template_sha256": notes.chat_template_sha256,
        "outputs_path": notes.outputs_path,
    }
    reasons = dict.fromkeys(kept, "not_asked_for") | {"cut": "not_tokenised"}
    for name in (one for one, value in kept.items() if value is None):
        notes.nulls.setdefault(f"prompts.{name}", reasons[name])
    return {**(notes.prompts or recipe(notes.experiment.workload)), **kept}


def _effective(notes: Notebook) -> dict[str, Any]:
    """What the engine says of itself, and what of the workload it does not look at."""
    if notes.bench is None:
        return {}
    found = notes.bench.loaded.effective
    workload = notes.experiment.workload
    dormant = [*found.get("dormant", ()), *workload.decoder.dormant()]
    return {**found, "dormant": dormant}


def _worker(bench: Bench | None) -> dict[str, Any]:
    if bench is None:
        return {}
    hello = bench.client.hello
    keys = ("pid", "python", "executable", "plugin", "packages", "devices")
    told = {key: hello.get(key) for key in keys}
    told |= {"ranks": hello["ranks"]} if "ranks" in hello else {}
    return told | ({"image": dict(place)} if (place := bench.client.place) else {})


def _model(bench: Bench) -> dict[str, Any]:
    return {
        **bench.loaded.model,
        "path": bench.model.path,
        "synthetic_weights": bench.model.synthetic,
        "fingerprint": dict(bench.model.fingerprint),
    }
