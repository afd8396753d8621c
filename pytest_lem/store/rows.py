"""A record as rows of the tables, and back: two ways side by side."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pytest_lem.records.record import Record, read
from pytest_lem.store.arrays import digest, put_back, take_out

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRows:
    """One experiment's rows; `files` has the bulky arrays of its cycles by hash."""

    record: Row
    document: str
    metrics: list[Row]
    cycles: list[Row]
    windows: list[Row]
    files: Mapping[str, bytes]


def as_json(value: object) -> str:
    """JSON as it stands in a document; equal values give equal text."""
    return json.dumps(value, separators=(",", ":"))


def utc(moment: str) -> str:
    """An ISO time as UTC in milliseconds, so that text sorts as times do."""
    aware = datetime.fromisoformat(moment).astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.") + f"{aware.microsecond // 1000:03d}Z"


def key_of(session: Mapping[str, Any], experiment_id: str) -> str:
    """What a record is called in every store: 16 hex digits."""
    named = as_json([session["id"], session["started_at"], experiment_id])
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def environment_row(environment: Mapping[str, Any]) -> Row:
    """The row of an environment, known by its content."""
    document = as_json(environment)
    return {
        "sha256": digest(document.encode()),
        "driver_version": _gpu(environment).get("driver_version"),
        "document": document,
    }


def session_row(report: Mapping[str, Any]) -> Row:
    """The row of a session: a report without its experiments and environment."""
    session = report["session"]
    rest = {k: v for k, v in report.items() if k not in ("experiments", "environment")}
    return {
        "name": session["id"],
        "started_at": utc(session["started_at"]),
        "plugin_version": session["plugin_version"],
        "status": session["status"],
        "document": as_json(rest),
    }


def experiment_rows(
    report: Mapping[str, Any], experiment: dict[str, Any]
) -> ExperimentRows:
    """The rows of an experiment of a report; its JSON is taken to pieces."""
    session = report["session"]
    content = digest(as_json(experiment).encode())
    cycles = experiment.pop("cycles")
    done = [one for one in cycles if one["status"] == "complete"]
    spec, last = experiment["spec"], cycles[-1] if cycles else {}
    record = {
        "key": key_of(session, experiment["id"]),
        "experiment_id": experiment["id"],
        "identity": experiment["identity"],
        "backend": spec.get("backend"),
        "model": (spec.get("model") or {}).get("name"),
        "precision": (spec.get("model") or {}).get("precision"),
        "engine_version": (last.get("engine") or {}).get("version"),
        "gpu": _gpu(report["environment"]).get("name"),
        "started_at": utc((cycles[0] if cycles else session)["started_at"]),
        "cycles": len(done),
        "synthetic": experiment["synthetic"],
        "flags": " ".join(experiment["flags"]),
        "verdict": (experiment["gate"] or {}).get("verdict"),
        "sha256": content,
    }
    files: dict[str, bytes] = {}
    rows = [_cycle(k, one, files) for k, one in enumerate(cycles)]
    return ExperimentRows(
        record=record,
        document=as_json(experiment),
        metrics=[_metric(name, one) for name, one in experiment["summary"].items()],
        cycles=[cycle for cycle, _ in rows],
        windows=[window for _, windows in rows for window in windows],
        files=files,
    )


def _gpu(environment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Facts of the first GPU; none where there is none."""
    found: list[Mapping[str, Any]] = environment.get("gpu") or [{}]
    return found[0]


def _metric(name: str, one: Mapping[str, Any]) -> Row:
    return {"metric": name, **{k: one[k] for k in ("value", "ci_low", "ci_high", "n")}}


def _cycle(
    position: int, cycle: dict[str, Any], files: dict[str, bytes]
) -> tuple[Row, list[Row]]:
    arrays = take_out(cycle)
    name = None
    if arrays is not None:
        name = digest(arrays)
        files[name] = arrays
    windows = [
        {
            "cycle_position": position,
            "position": k,
            "kind": one["kind"],
            "duration_s": one["duration_s"],
            "gross_j": one["energy"]["gross_j"],
            "document": as_json(one),
        }
        for k, one in enumerate(cycle.pop("windows"))
    ]
    row = {
        "position": position,
        "cycle": cycle["index"],
        "attempt": cycle["attempt"],
        "status": cycle["status"],
        "started_at": utc(cycle["started_at"]),
        "arrays_sha256": name,
        "document": as_json(cycle),
    }
    return row, windows


def experiment_of(
    document: str,
    cycles: Sequence[tuple[str, bytes | None]],
    windows: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """The JSON of an experiment again; `cycles` with the file of their arrays."""
    experiment: dict[str, Any] = json.loads(document)
    experiment["cycles"] = []
    for (text, arrays), inside in zip(cycles, windows, strict=True):
        cycle = json.loads(text)
        cycle["windows"] = [json.loads(one) for one in inside]
        put_back(cycle, arrays)
        experiment["cycles"].append(cycle)
    return experiment


def record_of(
    session: str, environment: str, experiments: Sequence[dict[str, Any]]
) -> Record:
    """The report again, equal to the one that was put in."""
    report = json.loads(session)
    report |= {"environment": json.loads(environment), "experiments": experiments}
    return read(as_json(report).encode())
