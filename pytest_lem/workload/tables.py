"""Tables that prompts and lengths are read from: JSON, JSONL, CSV, TSV, Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.parameters.prompts import COLUMNS
from pytest_lem.workload.prompts import read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows as pairs of the place that errors name and the row; all names of columns."""

    rows: Iterable[tuple[str, Any]]
    columns: Sequence[str]


def table(path: str) -> Table:
    """A file as rows and columns; raises ConfigError where it is no table."""
    form = FORMATS.get(Path(path).suffix.lower())
    if form is None:
        msg = f"file {path} is no table: its name ends in none of {', '.join(FORMATS)}"
        raise ConfigError(msg)
    return _READERS[form](path)


def column_of(columns: Sequence[str], path: str, wanted: str | None) -> str:
    """The column wanted, or the first there is that prompts are looked for in."""
    if wanted is not None:
        if wanted not in columns:
            raise ConfigError(f"file {path}: {unknown('column', wanted, columns)}")
        return wanted
    found = next((name for name in COLUMNS if name in columns), None)
    if found is None:
        msg = (
            f"file {path} has no column {', '.join(COLUMNS)}: name one of "
            f"{', '.join(columns) or 'none'} with prompt_options.column"
        )
        raise ConfigError(msg)
    return found


def texts_of(rows: Iterable[tuple[str, Any]], column: str, path: str) -> Iterator[str]:
    """The texts of a column, blank ones left out; ConfigError for what is no text."""
    for place, row in rows:
        value = row.get(column)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        if not isinstance(value, str):
            msg = (
                f"file {path}, {place}: {column!r} is "
                f"{type(value).__name__} and no text"
            )
            raise ConfigError(msg)
        if value.strip():
            yield value


def _jsonl(path: str) -> Table:
    lines = read_text(path).split("\n")
    rows = [
        (f"line {number}", _parsed(line, path, f", line {number}"))
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    return _objects(rows, path)


def _json(path: str) -> Table:
    found = _parsed(read_text(path), path, "")
    if not isinstance(found, list):
        msg = f"file {path} is no JSON list of objects"
        raise ConfigError(msg)
    return _objects([(f"item {k}", one) for k, one in enumerate(found, 1)], path)


def _parsed(text: str, path: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        msg = f"file {path}{where} is not JSON: {error}"
        raise ConfigError(msg) from error


def _objects(rows: list[tuple[str, Any]], path: str) -> Table:
    columns: dict[str, None] = {}
    for place, row in rows:
        if not isinstance(row, dict):
            msg = f"file {path}, {place} is no JSON object"
            raise ConfigError(msg)
        columns |= dict.fromkeys(row)
    return Table(rows=rows, columns=[*columns])


def _separated(delimiter: str) -> Callable[[str], Table]:
    def read(path: str) -> Table:
        # Newlines inside of quotes belong to the text.
        text = io.StringIO(read_text(path), newline="")
        reader = csv.DictReader(text, delimiter=delimiter, strict=True)
        try:
            rows = [(f"line {reader.line_num}", row) for row in reader]
        except csv.Error as error:
            msg = f"file {path}, line {reader.line_num} is not CSV: {error}"
            raise ConfigError(msg) from error
        long = next((place for place, row in rows if None in row), None)
        if long is not None:
            msg = f"file {path}, {long} has more fields than the first line"
            raise ConfigError(msg)
        return Table(rows=rows, columns=reader.fieldnames or [])

    return read


def _parquet(path: str) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(Path(path).expanduser()).read()
    except (OSError, pyarrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        msg = f"file {path} cannot be read: {reason}"
        raise ConfigError(msg) from error
    rows = ((f"row {k}", row) for k, row in enumerate(table.to_pylist(), 1))
    return Table(rows=rows, columns=table.column_names)


FORMATS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_READERS: dict[str, Callable[[str], Table]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _separated(","),
    "tsv": _separated("\t"),
    "parquet": _parquet,
}
