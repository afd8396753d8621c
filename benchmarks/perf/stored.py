"""A store of as many records as a team has after years, filled many at a time."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from blank import cycle, record
from sqlalchemy import insert, text

from pytest_lem.records.assemble import experiment_record
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload
from pytest_lem.store.database import connect, writing
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.rows import as_json, environment_row, experiment_rows, session_row
from pytest_lem.store.tables import (
    cycles,
    documents,
    environments,
    labels,
    metrics,
    records,
    sessions,
)

PER_SESSION = 100
# Each experiment is measured again in every tenth of the sessions.
IDENTITIES = 1000
SPEED = "output_throughput_tps"
COST = "energy_per_output_token_j"
BACKENDS = ("transformers", "vllm", "vllm", "tensorrt")
GPUS = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L4")
MODELS = 25
_METRICS = (SPEED, COST, "ttft_p50_ms", "itl_p95_ms", "avg_power_w", "duration_s")
_VERDICTS = (None, "pass", "pass", "inconclusive")
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)
_APART = timedelta(minutes=17)
_AT_ONCE = 10

Rows = Iterator[tuple[Any, dict[str, Any]]]


def fill(where: str, count: int) -> None:
    """Write the rows that `Store.put` would, those of ten sessions at once."""
    place = parse_place(where, Path.cwd())
    open_store(place, create=True).close()
    engine = connect(place, create=False)
    many = count // PER_SESSION
    for first in range(0, many, _AT_ONCE):
        rows: dict[Any, list[Any]] = {}
        for number in range(first, min(first + _AT_ONCE, many)):
            for table, row in _session(number):
                rows.setdefault(table, []).append(row)
        with writing(engine) as connection:
            for table, some in rows.items():
                connection.execute(insert(table), some)
    if place.path is None:
        with writing(engine) as connection:
            connection.execute(text("ANALYZE"))  # as a server does by itself, later
    engine.dispose()


def identity(which: int) -> str:
    """Of an experiment, by its number: 16 digits that begin in many ways."""
    return f"{which * 0x9E3779B97F4A7C15 % 2**64:016x}"


def _session(number: int) -> Rows:
    began = _FIRST + number * _APART
    environment = {"gpu": [{"name": GPUS[number % 3]}], "number": number}
    ids = {"id": number + 1}
    yield environments, {**environment_row(environment), **ids}
    report = record([], id=f"nightly-{number}", started_at=began.isoformat())
    told = report.model_dump(mode="json") | {"environment": environment}
    yield sessions, {**session_row(told), **ids, "environment_id": number + 1}
    for k in range(PER_SESSION):
        yield from _record(told, number, k, began + timedelta(seconds=9 * k))


def _record(report: dict[str, Any], number: int, k: int, began: datetime) -> Rows:
    id_ = number * PER_SESSION + k + 1
    which = (id_ - 1) % IDENTITIES
    experiment = json.loads(_experiment())
    experiment["id"] = f"benchmarks/test_{which % 40}.py::test_it[batch-{which}]"
    made = experiment_rows(report, experiment)
    yield (
        records,
        {
            **made.record,
            "id": id_,
            "session_id": number + 1,
            "position": k,
            "identity": identity(which),
            "backend": BACKENDS[which % 4],
            "model": f"meta-llama/Llama-{which % MODELS}B",
            "started_at": f"{began:%Y-%m-%dT%H:%M:%S}.000Z",
            "verdict": _VERDICTS[id_ % 4] if id_ % 997 else "regression",
            "flags": "few_cycles" if id_ % 499 else "few_cycles throttled",
        },
    )
    mine = {"record_id": id_}
    yield documents, {**mine, "document": made.document}
    factor = 1 + id_ % 9973 / 1e4
    for one in made.metrics:
        yield metrics, {**one, **mine, "value": one["value"] * factor}
    for one in made.cycles:
        yield cycles, {**one, **mine}
    if number % 2:
        yield labels, {**mine, "label": "main"}
    if number % 200 == 7:
        yield labels, {**mine, "label": f"v{number}"}


@cache
def _experiment() -> str:
    """The JSON of one of three cycles, to be taken to pieces anew each time."""
    ran = [cycle(k, metrics=dict.fromkeys(_METRICS, 1.0 + k)) for k in range(3)]
    asked = Experiment(
        id="it",
        spec=EngineSpec(backend="fake"),
        workload=Workload(),
        effort=Effort(),
        provenance={},
    )
    return as_json(experiment_record(asked, "0" * 16, ran).model_dump(mode="json"))
