"""Prompts of datasets: of the Hugging Face hub, or of a folder; by the library."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.parameters.prompts import PromptOptions
from pytest_lem.workload.tables import column_of, texts_of

HUB = "hf:"
"""What the name of a dataset of the hub begins with."""

_SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")


def is_dataset(prompts: str | Sequence[str]) -> bool:
    """Whether prompts are of the hub, or of a folder."""
    if not isinstance(prompts, str):
        return False
    return prompts.startswith(HUB) or Path(prompts).expanduser().is_dir()


def of_dataset(name: str, options: PromptOptions) -> tuple[str, list[str]]:
    """The column and the texts of a split; raises ConfigError where there are none."""
    split = options.split or "train"
    found = _split(name, options.subset, options.revision, split)
    column = column_of(found.column_names, name, options.column)
    rows = enumerate(found.select_columns([column]), 1)
    return column, list(texts_of(((f"row {k}", row) for k, row in rows), column, name))


@lru_cache(maxsize=8)
def _split(name: str, subset: str | None, revision: str | None, split: str) -> Any:
    """One split, asked of the hub once in a session."""
    try:
        import datasets
    except ImportError as error:
        msg = f"prompts={name!r} needs the library datasets: pip install datasets"
        raise ConfigError(msg) from error
    quiet = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()  # the terminal is pytest's
    place = Path(name).expanduser()
    saved = any((place / one).is_file() for one in _SAVED)
    try:
        if saved:
            found = datasets.load_from_disk(str(place))
        else:
            found = datasets.load_dataset(
                name.removeprefix(HUB) if name.startswith(HUB) else str(place),
                subset,
                revision=revision,
            )
    except Exception as error:  # of whichever of its libraries
        lines = str(error).strip().splitlines() or [type(error).__name__]
        msg = f"dataset {name} cannot be loaded: {lines[0]}"
        raise ConfigError(msg) from error
    finally:
        if not quiet:
            datasets.enable_progress_bars()
    if not isinstance(found, dict):  # saved as one split, which has no name
        return found
    if split not in found:
        raise ConfigError(f"dataset {name}: {unknown('split', split, [*found])}")
    return found[split]
