"""Scores that users found elsewhere: read from CSV or JSON, joined to a record."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pytest_lem.errors import ConfigError
from pytest_lem.records.quality import Score
from pytest_lem.records.record import ExperimentRecord, Record

Better = Literal["lower", "higher"]

EXPERIMENT = "experiment"
"""The column, or key, that has an experiment's id or identity."""

# Which way is better of what many people measure, by how the name begins.
_KNOWN: dict[str, Better] = {
    **dict.fromkeys(("accuracy", "bleu", "rouge", "f1", "exact_match"), "higher"),
    **dict.fromkeys(("wer", "cer"), "lower"),
}

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a file has: each score's direction, and values by id or identity."""

    path: Path
    sha256: str
    better: Mapping[str, Better | None]
    values: Mapping[str, Values]

    def unknown(self, names: Collection[str]) -> list[str]:
        """The experiments of the file that are none of these ids and identities."""
        return [name for name in self.values if name not in names]


def read_scores(path: Path) -> Scores:
    """The scores of a file; raises ConfigError with the row and column at fault.

    CSV has a column `experiment` and one for each score, `NAME`, `NAME:higher` or
    `NAME:lower`. JSON has a list of such rows, or `{"experiments": rows, "better":
    {NAME: "higher"}}`. An empty cell, or null, is a score that nobody found.
    """
    try:
        data = path.expanduser().read_bytes()
        text = data.decode("utf-8-sig")
        rows, told = (_json if path.suffix == ".json" else _csv)(text)
        better = {_name(key): _better(key, told) for row in rows for key in row}
        better.pop(EXPERIMENT, None)
        if not better:
            raise ConfigError(f"it has no score beside {EXPERIMENT!r}")
        return Scores(
            path=path,
            sha256=hashlib.sha256(data).hexdigest(),
            better=better,
            values=_values(rows),
        )
    except OSError as error:
        raise ConfigError(f"file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"file {path} is not UTF-8 text") from error
    except ConfigError as error:
        raise ConfigError(f"file {path}: {error.message}") from error


def with_scores(record: Record, scores: Scores) -> Record:
    """The record with the scores of its experiments, null where the file has none."""
    joined = [scored(one, scores) for one in record.experiments]
    return record.model_copy(update={"experiments": joined})


def names_of(record: Record) -> set[str]:
    """What its experiments are called: their ids and identities."""
    return {name for one in record.experiments for name in (one.id, one.identity)}


def scored(experiment: ExperimentRecord, scores: Scores) -> ExperimentRecord:
    """An experiment with its scores."""
    there = scores.values
    found = there.get(experiment.id, there.get(experiment.identity))
    nulls, told = dict(experiment.nulls), dict(experiment.quality.scores)
    for name, better in scores.better.items():
        value = (found or {}).get(name)
        told[name] = Score(value=value, better=better, sha256=scores.sha256)
        nulls.pop(f"quality.scores.{name}", None)
        if value is None:
            reason = "not_in_file" if found is None else "empty_in_file"
            nulls[f"quality.scores.{name}"] = reason
    quality = experiment.quality.model_copy(update={"scores": told})
    return experiment.model_copy(update={"quality": quality, "nulls": nulls})


def _csv(text: str) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(text), restkey="", strict=True)
    names = reader.fieldnames or []
    plain = [_name(name) for name in names]
    if EXPERIMENT not in plain:
        raise ConfigError(f"its first row names no column {EXPERIMENT!r}")
    if again := [name for name in plain if plain.count(name) > 1]:
        raise ConfigError(f"it has column {again[0]!r} twice")
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ConfigError(f"row {reader.line_num}: {error}") from error
    for k, row in enumerate(rows, 1):
        if "" in row or None in row.values():
            raise ConfigError(f"row {k} has other columns than the first row names")
    return [
        {key: cell.strip() or None for key, cell in row.items()} for row in rows
    ], {}


def _json(text: str) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"is no JSON: {error}") from error
    better: Any = {}
    if isinstance(told, dict):
        better, told = told.get("better", {}), told.get("experiments")
    if not (isinstance(told, list) and all(isinstance(one, dict) for one in told)):
        raise ConfigError("has no list of experiments, each an object")
    if not isinstance(better, dict):
        raise ConfigError("its 'better' is no object")
    return told, better


def _name(key: str) -> str:
    return key.partition(":")[0].strip()


def _better(key: str, told: Mapping[str, Any]) -> Better | None:
    name, said = _name(key), key.partition(":")[2].strip()
    if not name:
        raise ConfigError("a score has no name")
    said = said or told.get(name) or ""
    ways: dict[str, Better] = {way: way for way in get_args(Better)}
    if said and said not in ways:
        raise ConfigError(f"score {name!r} is better {said!r}: say higher or lower")
    known = (way for key, way in _KNOWN.items() if name.lower().startswith(key))
    return ways[said] if said else next(known, None)


def _values(rows: Iterable[Mapping[str, Any]]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for k, row in enumerate(rows, 1):
        plain = {_name(key): value for key, value in row.items()}
        name = plain.pop(EXPERIMENT, None)
        if not (name and isinstance(name, str)):
            raise ConfigError(f"row {k} names no {EXPERIMENT}")
        if name in found:
            raise ConfigError(f"row {k}: {EXPERIMENT} {name!r} was there before")
        found[name] = {key: _number(value, k, key) for key, value in plain.items()}
    return found


def _number(value: object, row: int, column: str) -> float | None:
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"row {row}, column {column!r}: {value!r} is no number")
    return number
