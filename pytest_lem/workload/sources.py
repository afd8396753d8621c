"""Where prompts come from: files of text, JSON, CSV and Parquet, or a list."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.parameters.prompts import COLUMNS, PromptOptions
from pytest_lem.workload.prompts import read_lines, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Prompts that somebody wrote, `texts` of the `available` ones.

    `format` is that of their source; `column` is None where it has none.
    """

    texts: list[str]
    format: str
    column: str | None
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows as pairs of the place that errors name and the row; all names of columns."""

    rows: Iterable[tuple[str, Any]]
    columns: Sequence[str]


def given(prompts: str | Sequence[str], options: PromptOptions, seed: int) -> Given:
    """The prompts of a list or of a file, in their order, as many as are asked for.

    A file's name ends in .json, .jsonl, .csv, .tsv or .parquet; any other is text, one
    prompt a line. Blank prompts are left out. Raises ConfigError where there is
    nothing to read, or other than what the options say.
    """
    column = None
    if isinstance(prompts, str):
        form = _FORMATS.get(Path(prompts).suffix.lower(), "text")
        if form == "text":
            _refuse_column(options, f"file {prompts}")
            texts = read_lines(prompts)
        else:
            column, texts = _of_table(_READERS[form](prompts), prompts, options.column)
    else:
        form = "list"
        _refuse_column(options, "prompts is a list, which")
        texts = [text for text in prompts if text.strip()]
    if not texts:
        msg = f"file {prompts} is empty: column {column!r} holds no text"
        raise ConfigError(msg)
    taken = _taken(texts, options, seed)
    return Given(texts=taken, format=form, column=column, available=len(texts))


def table(path: str) -> Table:
    """A file as rows and columns; raises ConfigError where it is no table."""
    form = _FORMATS.get(Path(path).suffix.lower())
    if form is None:
        msg = f"file {path} is no table: its name ends in none of {', '.join(_FORMATS)}"
        raise ConfigError(msg)
    return _READERS[form](path)


def _taken(texts: list[str], options: PromptOptions, seed: int) -> list[str]:
    places = range(len(texts))
    count = options.count or len(texts)
    if count > len(texts):
        msg = f"prompt_options.count={count}: there are {len(texts)} prompts"
        raise ConfigError(msg)
    if options.order == "shuffled":
        return [texts[place] for place in shuffled(places, seed)[:count]]
    return texts[:count]


def shuffled(places: Iterable[int], seed: int) -> list[int]:
    """Places in an order that follows from the seed, on every platform the same."""

    def drawn(place: int) -> bytes:
        return hashlib.sha256(f"order:{seed}:{place}".encode()).digest()

    return sorted(places, key=drawn)


def _refuse_column(options: PromptOptions, what: str) -> None:
    if options.column is not None:
        msg = f"prompt_options.column={options.column!r}: {what} has no columns"
        raise ConfigError(msg)


def _of_table(found: Table, path: str, wanted: str | None) -> tuple[str, list[str]]:
    """The column's name and its texts, blank ones left out."""
    column = _column(found.columns, path, wanted)
    return column, list(_texts(found.rows, column, path))


def _column(columns: Sequence[str], path: str, wanted: str | None) -> str:
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


def _texts(rows: Iterable[tuple[str, Any]], column: str, path: str) -> Iterator[str]:
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


_FORMATS = {
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
