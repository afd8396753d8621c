"""Where prompts come from: files of text and tables, datasets, or a list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_lem.errors import ConfigError
from pytest_lem.spec.parameters.prompts import PromptOptions
from pytest_lem.workload.datasets import is_dataset, of_dataset
from pytest_lem.workload.prompts import read_lines
from pytest_lem.workload.tables import FORMATS, column_of, table, texts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Prompts that somebody wrote, `texts` of the `available` ones.

    `format` is that of their source; `column` is None where it has none.
    """

    texts: list[str]
    format: str
    column: str | None
    available: int


def given(prompts: str | Sequence[str], options: PromptOptions, seed: int) -> Given:
    """The prompts of a list, a file or a dataset, in order, as many as are asked for.

    `hf:owner/name` is a dataset of the Hugging Face hub, a folder one that lies there.
    A file's name ends in .json, .jsonl, .csv, .tsv or .parquet; any other is text, one
    prompt a line. Blank prompts are left out. Raises ConfigError where there is
    nothing to read, or other than what the options say.
    """
    column = None
    if is_dataset(prompts):
        form = "dataset"
        column, texts = of_dataset(str(prompts), options)
    elif isinstance(prompts, str):
        form = FORMATS.get(Path(prompts).suffix.lower(), "text")
        if form == "text":
            _refuse_column(options, f"file {prompts}")
            texts = read_lines(prompts)
        else:
            found = table(prompts)
            column = column_of(found.columns, prompts, options.column)
            texts = list(texts_of(found.rows, column, prompts))
    else:
        form = "list"
        _refuse_column(options, "prompts is a list, which")
        texts = [text for text in prompts if text.strip()]
    if not texts:
        msg = f"file {prompts} is empty: column {column!r} holds no text"
        raise ConfigError(msg)
    _refuse_parts(options, form)
    taken = _taken(texts, options, seed)
    return Given(texts=taken, format=form, column=column, available=len(texts))


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


def _refuse_parts(options: PromptOptions, form: str) -> None:
    if form == "dataset":
        return
    for part in ("subset", "split", "revision"):
        if (value := getattr(options, part)) is not None:
            msg = f"prompt_options.{part}={value!r}: prompts are no dataset"
            raise ConfigError(msg)


def _refuse_column(options: PromptOptions, what: str) -> None:
    if options.column is not None:
        msg = f"prompt_options.column={options.column!r}: {what} has no columns"
        raise ConfigError(msg)
