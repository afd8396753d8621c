"""The files of a model on this machine: its configuration, and how it is quantised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError

_OF_METHODS = {"int4_awq": "AWQ", "int4_gptq": "GPTQ"}


def folder_of(spec: Mapping[str, Any]) -> Path | None:
    """Where the files of the model lie; None where they are not here yet."""
    if Path(spec["model"]).is_dir():
        return Path(spec["model"])
    from transformers.utils import cached_file

    try:
        found = cached_file(
            spec["model"],
            "config.json",
            revision=spec["revision"],
            local_files_only=True,
        )
    except OSError:
        return None
    return Path(found).parent


def config_of(folder: Path | None) -> dict[str, Any]:
    """The parsed config.json; empty where there is none."""
    return _read(folder, "config.json")


def quantisation_of(folder: Path | None) -> dict[str, Any] | None:
    """How the checkpoint says that it is quantised, as ModelOpt or the hub write it."""
    if own := _read(folder, "hf_quant_config.json").get("quantization"):
        return dict(own)
    told = config_of(folder).get("quantization_config")
    return dict(told) if told else None


def algorithm_of(quantisation: Mapping[str, Any] | None) -> str | None:
    """The name of the algorithm, in capitals; None where nothing is quantised."""
    told = quantisation or {}
    name = told.get("quant_algo") or told.get("quant_method")
    return None if name is None else str(name).upper()


def check_method(method: str | None, quantisation: Mapping[str, Any] | None) -> None:
    """Refuse a method that only reads a checkpoint of its own kind; ConfigError."""
    wanted = _OF_METHODS.get(str(method))
    if wanted is None:
        return
    there = algorithm_of(quantisation) or "not quantised"
    if wanted not in there:
        msg = (
            f"tensorrt.quantization.method={method} needs a checkpoint that is "
            f"quantised by {wanted}, and this one is {there}"
        )
        raise ConfigError(msg)


def _read(folder: Path | None, name: str) -> dict[str, Any]:
    if folder is None or not (folder / name).is_file():
        return {}
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found
