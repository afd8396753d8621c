"""Result files of LLenergyMeasure (schema 2 and 3) as reports.

What such a file has under another meaning, or as a 0 that stands for nothing, is null
with the reason. The file itself is kept whole, as `x_llenergymeasure`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.records.assemble import result_flags, summaries, summary_records
from pytest_lem.records.extended import extended
from pytest_lem.records.record import Cycle, ExperimentRecord, Plan, Record, Session
from pytest_lem.records.result_file import MB_PER_MIB, figures
from pytest_lem.spec.effort import EFFORT_KEYS
from pytest_lem.spec.experiment import WORKLOAD_KEYS
from pytest_lem.spec.parameters import SECTION_ALIASES

RAW = "x_llenergymeasure"
_MAJORS = ("2", "3")
_NOT_THERE = "not_in_the_file"
_WARNINGS = "measurement_warnings"

Json = Mapping[str, Any]


def migrate(result: object) -> Record:
    """The report of a result file, or of a study's; raises ConfigError for others."""
    if not isinstance(result, dict):
        raise ConfigError("it holds no JSON object")
    if "session" in result:
        raise ConfigError("it is a report of pytest-lem already")
    if "process_index" in result:
        raise ConfigError(
            "it is the result of one process: migrate the aggregated file, which has "
            "all of them"
        )
    study = result.get("experiments")
    results = study if isinstance(study, list) else [result]
    for one in results:
        _check(one)
    groups: dict[str, list[Json]] = {}
    for one in results:
        groups.setdefault(_identity(one), []).append(one)
    if not groups:
        raise ConfigError("it is a study without results")
    name = result.get("name") or results[0]["experiment_id"]
    return Record(
        session=_session(f"llenergymeasure-{name}", results),
        environment=_environment(results[0]),
        plan=Plan(order="unknown", seed=0, planned=0, executed=[], skipped=[]),
        experiments=[_experiment(key, some) for key, some in groups.items()],
    )


def _check(result: object) -> None:
    needed = ("experiment_id", "total_energy_j", "start_time", "end_time")
    there = result if isinstance(result, dict) else {}
    if missing := [key for key in needed if key not in there]:
        raise ConfigError(f"it is no result of LLenergyMeasure: it has no {missing[0]}")
    version = str(there.get("schema_version"))
    if version.partition(".")[0] not in _MAJORS:
        raise ConfigError(f"its schema version is {version!r}, not 2.x or 3.x")
    for key in ("start_time", "end_time"):
        try:
            _moment(there[key])
        except (TypeError, ValueError):
            raise ConfigError(f"its {key} {there[key]!r} is no time") from None


def _identity(result: Json) -> str:
    """Of what was asked for there; never that of an experiment of ours."""
    asked = {
        "llenergymeasure": result.get("effective_config") or result["experiment_id"],
        "backend": _backend(result),
    }
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _session(name: str, results: Sequence[Json]) -> Session:
    tool = (results[0].get("environment_snapshot") or {}).get("tool_version")
    return Session(
        id=name,
        started_at=min(_moment(one["start_time"]) for one in results),
        plugin_version=f"llenergymeasure {tool or 'of unknown version'}",
        command=[],
        label=None,
        order="unknown",
        seed=0,
        git=None,
        meters=[],
        carbon={},
        status="complete",
    )


def _moment(text: str) -> str:
    """ISO with an offset; where none is written UTC is taken, which `nulls` says."""
    found = datetime.fromisoformat(text)
    known = found if found.tzinfo else found.replace(tzinfo=UTC)
    return known.isoformat(timespec="milliseconds")


def _experiment(identity: str, results: Sequence[Json]) -> ExperimentRecord:
    cycles = [_cycle(k, one) for k, one in enumerate(results)]
    summary = summaries(cycles)
    reasons = {name: why for one in cycles for name, why in one.nulls.items()}
    nulls = {k: why for k, why in reasons.items() if k not in summary}
    nulls |= {
        f"summary.{name}": reasons.get(name, _NOT_THERE)
        for name in METRICS
        if name not in summary
    }
    nulls |= {"gate": "no_reference_asked_for", "spec": _NOT_THERE}
    return ExperimentRecord.model_validate(
        {
            "id": str(results[0]["experiment_id"]),
            "identity": identity,
            "spec": _spec(results[0]),
            "effective": {},
            "provenance": {},
            "synthetic": False,
            "synthetic_weights": False,
            "cold": "cold_start" in result_flags(cycles),
            "cycles": cycles,
            "summary": summary_records(summary, cycles),
            "extended": extended(cycles, nulls),
            "quality": {},
            "flags": sorted(result_flags(cycles)),
            "nulls": nulls,
            "gate": None,
            "excluded": [],
            "notes": [one for result in results for one in _notes(result)],
            RAW: list(results),
        }
    )


def _cycle(index: int, result: Json) -> Cycle:
    found = figures(result)
    nulls = {name: _NOT_THERE for name in METRICS if name not in found.values}
    nulls |= dict.fromkeys(("windows", "warmup", "idle"), _NOT_THERE) | found.reasons
    if datetime.fromisoformat(result["start_time"]).tzinfo is None:
        nulls["started_at"] = "no_zone_in_the_file: UTC is assumed"
    config = result.get("effective_config") or {}
    return Cycle(
        index=index,
        status="complete",
        error=None,
        started_at=_moment(result["start_time"]),
        ended_at=_moment(result["end_time"]),
        worker={},
        engine={"name": _backend(result), "version": result.get("backend_version")},
        effective={},
        model={"name": _model(result)},
        load={"duration_s": None, "energy_j": None},
        warmup=None,
        idle=None,
        native={},
        windows=[],
        metrics=found.values,
        timing={},
        prompts={"dataset": config.get("dataset")},
        flags=sorted({"migrated", *found.flags, *_cold(config)}),
        nulls=nulls,
    )


def _cold(config: Json) -> set[str]:
    return {"cold_start"} if config.get("force_cold_start") is True else set()


def _backend(result: Json) -> str:
    name = str(result.get("backend") or "pytorch")
    return SECTION_ALIASES.get(name, name)


def _model(result: Json) -> str | None:
    config = result.get("effective_config") or {}
    processes = result.get("process_results") or [{}]
    named = config.get("model_name") or config.get("model")
    return str(named) if named else processes[0].get("model_name")


def _spec(result: Json) -> dict[str, Any]:
    """What was asked for, under our words; the rest is in the file that is kept."""
    config = result.get("effective_config") or {}
    own = config.get(str(result.get("backend") or "pytorch")) or {}
    batching = config.get("batching") or {}
    workload: dict[str, Any] = dict.fromkeys(WORKLOAD_KEYS)
    workload |= {
        "output_tokens": config.get("max_output_tokens"),
        "batch_size": batching.get("batch_size", own.get("batch_size")),
        "requests": config.get("num_input_prompts", config.get("n")),
        "streaming": config.get("streaming"),
        "seed": config.get("random_seed"),
    }
    precision = config.get("fp_precision") or config.get("precision")
    return {
        "backend": _backend(result),
        "model": {"name": _model(result), "precision": precision},
        "engine": own,
        "workload": workload,
        "effort": dict.fromkeys(EFFORT_KEYS),
    }


def _environment(result: Json) -> dict[str, Any]:
    snapshot = result.get("environment_snapshot") or {}
    there = snapshot.get("hardware") or result.get("environment") or {}
    gpu, cuda = there.get("gpu") or {}, there.get("cuda") or {}
    memory_mib = gpu.get("vram_total_mb")
    found = {
        "name": gpu.get("name"),
        "memory_mb": memory_mib and memory_mib * MB_PER_MIB,
        "compute_capability": gpu.get("compute_capability"),
        "driver_version": cuda.get("driver_version"),
        "cuda_version": cuda.get("version"),
        "power_limit_w": (there.get("thermal") or {}).get("power_limit_w"),
    }
    return {
        "gpu": [found] if found["name"] else [],
        "cpu": there.get("cpu") or {},
        "container": there.get("container") or {},
        "python": snapshot.get("python_version"),
    }


def _notes(result: Json) -> list[dict[str, str]]:
    """What that program said of its own numbers."""
    told = [*(result.get(_WARNINGS) or ()), *(result.get("config_warnings") or ())]
    return [
        {"path": "", "message": str(one), "suggestion": "", "severity": "info"}
        for one in told
    ]
