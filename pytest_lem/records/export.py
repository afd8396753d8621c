"""A record as JSON and as CSV."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TextIO

from pytest_lem.analysis.failures import FAILURES
from pytest_lem.analysis.metrics import METRICS, QUALITIES
from pytest_lem.records.assemble import all_flags, found_in
from pytest_lem.records.files import replacing
from pytest_lem.records.goodput import GOODPUT
from pytest_lem.records.joining import traces_of_experiment
from pytest_lem.records.percentiles import NAMES, interval_names
from pytest_lem.records.record import Cycle, ExperimentRecord, Record, read

SUMMARY_COLUMNS = (
    "energy_gross_j",
    "energy_net_j",
    "energy_uncertainty_j",
    "energy_per_output_token_j",
    "energy_per_output_token_net_j",
    "energy_per_total_token_j",
    "tokens_per_joule",
)
LATER_COLUMNS = (
    "energy_prefill_per_input_token_j",
    "energy_decode_per_output_token_j",
    "prefill_power_w",
    "decode_power_w",
    "prefill_throughput_tps",
    "decode_throughput_tps",
    "edp_js",
    "token_efficiency_index",
    "tokens_per_gb_vram",
    "flops_per_input_token",
    "flops_per_joule",
    "mfu",
    "mbu",
    "goodput_rps",
    "attainment",
    "goodput_per_joule",
)
EXTENDED_COLUMNS = {
    "memory": (
        "load_peak_mb",
        "reserved_peak_mb",
        "device_used_mb",
        "process_used_mb",
        "rss_peak_mb",
    ),
    "kv_cache": ("used_mb", "read_mb"),
    "goodput": GOODPUT,
    "percentiles": (
        *(
            end
            for kind, parts in NAMES.items()
            for part in parts
            for end in interval_names(kind, part)
        ),
        "unsupported",
    ),
    "requests": ("sent", "completed", *FAILURES),
}
CYCLE_COLUMNS = ("cycle", "attempt", "status", "error_kind")
_PERCENTILES = ("mean", "p50", "p95", "p99")

Row = dict[str, Any]


Take = Callable[[ExperimentRecord], object]
"""Takes in an experiment of a report, in its order."""


@contextmanager
def json_report(head: Record, path: Path) -> Iterator[Take]:
    """Write the report of experiments that are given one at a time.

    `head` has what they have in common. Equal records give equal bytes.
    """
    whole = head.model_copy(update={"experiments": []}).model_dump_json(indent=2)
    before, after = whole.split(_NO_EXPERIMENTS)
    with _draft(path) as file:
        file.write(before + _NO_EXPERIMENTS.removesuffix("]"))
        end = "]"

        def take(one: ExperimentRecord) -> None:
            nonlocal end
            text = "\n" + one.model_dump_json(indent=2)
            file.write("," * (end != "]") + text.replace("\n", "\n    "))
            end = "\n  ]"

        yield take
        file.write(f"{end}{after}\n")


_NO_EXPERIMENTS = '\n  "experiments": []'


def write_json(record: Record, path: Path) -> None:
    """Write the report; equal records give equal bytes."""
    _write_all(json_report, record, path)


def read_json(path: Path) -> Record:
    """The record of a report; raises pydantic's ValidationError where it is none."""
    return read(path.read_bytes())


def write_csv(record: Record, path: Path) -> None:
    """Write one row per experiment; a missing value is an empty cell."""
    _write_all(csv_report, record, path)


def write_rows(records: Sequence[Record], path: Path) -> None:
    """Write the rows of several reports under one header."""
    with _rows(columns(), path) as write:
        for one in records:
            for experiment in one.experiments:
                write(row(one, experiment))


def write_cycles(record: Record, path: Path) -> None:
    """Write one row per cycle, in the order they were run in their experiment.

    It has the columns of `write_csv`, for that cycle alone, and behind them which it is
    and how it ended; one that does not count has no more than these and its times.
    """
    _write_all(cycles_report, record, path)


@contextmanager
def csv_report(head: Record, path: Path) -> Iterator[Take]:
    """As `write_csv` does, of experiments that are given one at a time."""
    with _rows(columns(), path) as write:
        yield lambda one: write(row(head, one))


@contextmanager
def cycles_report(head: Record, path: Path) -> Iterator[Take]:
    """As `write_cycles` does, of experiments that are given one at a time."""
    with _rows([*columns(), *CYCLE_COLUMNS], path) as write:

        def take(one: ExperimentRecord) -> None:
            for cycle in one.cycles:
                write({**row(head, _of_one(one, cycle)), **_cycle(cycle)})

        yield take


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of any keys: those of all rows, in the order they come.

    What is neither a number nor text stands as JSON in its cell.
    """
    names = list(dict.fromkeys(key for one in rows for key in one))
    with _rows(names, path) as write:
        for one in rows:
            write({k: _plain(one.get(k)) for k in names})


def _write_all(
    report: Callable[[Record, Path], AbstractContextManager[Take]],
    record: Record,
    path: Path,
) -> None:
    with report(record, path) as take:
        for one in record.experiments:
            take(one)


@contextmanager
def _rows(names: Sequence[str], path: Path) -> Iterator[Callable[[Row], None]]:
    with _draft(path) as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        yield lambda one: writer.writerow({k: _cell(v) for k, v in one.items()})


@contextmanager
def _draft(path: Path) -> Iterator[TextIO]:
    """A file to write to, that is in its place at the end."""
    with (
        replacing(path) as draft,
        draft.open("w", encoding="utf-8", newline="") as file,
    ):
        yield file


def _of_one(experiment: ExperimentRecord, cycle: Cycle) -> ExperimentRecord:
    """The experiment as if it had this cycle alone, which no verdict is about."""
    flags = sorted(all_flags(cycle))
    update = {**found_in([cycle]), "flags": flags, "gate": None}
    return experiment.model_copy(update=update)


def _cycle(cycle: Cycle) -> dict[str, Any]:
    return {
        "start_time": cycle.started_at,
        "end_time": cycle.ended_at,
        "cycle": cycle.index,
        "attempt": cycle.attempt,
        "status": cycle.status,
        "error_kind": cycle.error.kind if cycle.error else None,
    }


def columns() -> list[str]:
    """The columns, in their fixed order."""
    return list(dict(_pairs(None, None)))


def row(record: Record, experiment: ExperimentRecord) -> dict[str, Any]:
    """One experiment's values by column."""
    return dict(_pairs(record, experiment))


def _trace(record: Record | None, experiment: ExperimentRecord | None) -> str | None:
    """The readings of the process that measured an experiment, if they were kept."""
    if record is None or experiment is None:
        return None
    files = traces_of_experiment(record, experiment.id)
    return None if files is None else str(files["trace_path"])


def _pairs(
    record: Record | None, experiment: ExperimentRecord | None
) -> Iterator[tuple[str, Any]]:
    done = (
        [c for c in experiment.cycles if c.status == "complete"] if experiment else []
    )
    yield from _what(experiment, done)
    for name in ("output", "total"):
        yield f"{name}_tokens_per_s", _mean(experiment, f"{name}_throughput_tps")
    for name in SUMMARY_COLUMNS:
        yield name, _mean(experiment, name)
    yield "idle_power_w", _mean(experiment, "idle_power_w")
    yield "idle_state", done[-1].idle.state if done and done[-1].idle else None
    for name in ("avg_power_w", "energy_cpu_j", "energy_ram_j", "emissions_g_co2e"):
        yield name, _mean(experiment, name)
    energy = done[-1].windows[0].energy if done and done[-1].windows else None
    yield "energy_method", energy.method if energy else None
    yield "meter", energy.meter if energy else None
    for kind in ("ttft", "itl"):
        for part in _PERCENTILES:
            yield f"{kind}_{part}_ms", _mean(experiment, f"{kind}_{part}_ms")
    yield "e2e_mean_ms", _mean(experiment, "e2e_mean_ms")
    yield "e2e_p95_ms", _mean(experiment, "e2e_p95_ms")
    for name in ("flops", "flops_per_output_token"):
        yield name, _mean(experiment, name)
    first = (done[-1].windows[0].flops or {}) if done and done[-1].windows else {}
    yield "flops_method", first.get("method")
    yield from _machine(record, done)
    yield from _engine(experiment, done)
    yield "traces_path", _trace(record, experiment)
    for name in METRICS:
        one = experiment.summary.get(name) if experiment else None
        yield f"{name}_ci_low", one.ci_low if one else None
        yield f"{name}_ci_high", one.ci_high if one else None
    for name in LATER_COLUMNS:
        yield name, _mean(experiment, name)
    yield from _extended(experiment)
    found = (experiment.search if experiment else None) or {}
    for name in ("rate_rps", "failed_rps", "confirmation"):
        yield f"search_{name}", found.get(name)
    yield from ((name, _mean(experiment, name)) for name in QUALITIES)
    yield "ed2p_js2", _mean(experiment, "ed2p_js2")


def _what(
    experiment: ExperimentRecord | None, done: list[Cycle]
) -> Iterator[tuple[str, Any]]:
    spec = experiment.spec if experiment else {}
    model, workload = spec.get("model", {}), spec.get("workload", {})
    yield "experiment_id", experiment.id if experiment else None
    yield "identity", experiment.identity if experiment else None
    yield "backend", spec.get("backend")
    yield "model", model.get("name")
    yield "precision", model.get("dtype")
    yield "batch_size", workload.get("batch_size")
    yield "cycles", len(done)
    yield "start_time", done[0].started_at if done else None
    yield "end_time", done[-1].ended_at if done else None
    yield "duration_s", _mean(experiment, "duration_s")
    for name in ("input", "output"):
        yield f"{name}_tokens", _tokens(done, name)


def _machine(record: Record | None, done: list[Cycle]) -> Iterator[tuple[str, Any]]:
    heat = [w.thermal for c in done for w in c.windows if w.thermal]
    throttled = [one["throttle"]["throttled"] for one in heat]
    seconds = [one["throttle"]["duration_s"] for one in heat]
    hottest = [one["temperature_max_c"] for one in heat]
    environment = record.environment if record else {}
    gpu = (environment.get("gpu") or [{}])[0]
    unknown = not heat or (None in throttled and not any(throttled))
    yield "throttled", None if unknown else any(throttled)
    yield "throttle_s", None if not heat or None in seconds else sum(seconds)
    yield "temperature_max_c", max((t for t in hottest if t is not None), default=None)
    yield "gpu_name", gpu.get("name")
    yield "gpu_memory_mb", gpu.get("memory_mb")
    yield "driver_version", gpu.get("driver_version")
    yield "cuda_version", gpu.get("cuda_version")
    yield "power_limit_w", gpu.get("power_limit_w")
    yield "cpu_governor", (environment.get("cpu") or {}).get("governor")
    yield "in_container", (environment.get("container") or {}).get("detected")


def _engine(
    experiment: ExperimentRecord | None, done: list[Cycle]
) -> Iterator[tuple[str, Any]]:
    groups = experiment.extended if experiment else {}
    yield (
        "gpu_utilisation_mean_pct",
        groups.get("gpu_utilisation", {}).get("mean_pct"),
    )
    yield "memory_peak_mb", _mean(experiment, "memory_peak_mb")
    yield "memory_model_mb", _mean(experiment, "memory_model_mb")
    yield "effective_batch_size", groups.get("batch", {}).get("effective_batch_size")
    yield "padding_overhead", groups.get("batch", {}).get("padding_overhead")
    yield "kv_cache_hit_rate", groups.get("kv_cache", {}).get("hit_rate")
    warm = [cycle.warmup.converged for cycle in done if cycle.warmup]
    yield "warmup_converged", None if not warm or None in warm else all(warm)
    yield "flags", " ".join(experiment.flags) if experiment else None
    yield "verdict", (experiment.gate or {}).get("verdict") if experiment else None


def _extended(experiment: ExperimentRecord | None) -> Iterator[tuple[str, Any]]:
    groups = experiment.extended if experiment else {}
    for group, keys in EXTENDED_COLUMNS.items():
        for key in keys:
            value = groups.get(group, {}).get(key)
            yield (
                f"{group}_{key}",
                " ".join(value) if isinstance(value, list) else value,
            )


def _tokens(done: list[Cycle], name: str) -> float | None:
    """Tokens of a cycle's energy windows, mean over cycles, like the energy."""
    windows = [w for cycle in done for w in cycle.windows if w.kind == "energy"]
    if not windows:
        return None
    mean = sum(getattr(w.tokens, name) for w in windows) / len(done)
    return int(mean) if mean.is_integer() else mean


def _mean(experiment: ExperimentRecord | None, metric: str) -> float | None:
    one = experiment.summary.get(metric) if experiment else None
    return one.value if one else None


def _plain(value: object) -> object:
    plain = value is None or isinstance(value, bool | float | int | str)
    return value if plain else json.dumps(value)


def _cell(value: object) -> object:
    """A value as a cell: truth in small letters, missing is empty, text is made safe.

    Spreadsheets run text that begins like a formula; a leading quote stops them. A
    bare carriage return would end the row.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return "" if value is None else value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n")) else text
