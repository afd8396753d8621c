"""Whether an engine on disk is what was asked for, before anything loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError

FACTS = "lem.json"
"""What pytest-lem notes beside an engine that it had compiled."""

_PARTS = ("tensor_parallel_size", "pipeline_parallel_size")
_SIZES = ("tp_size", "pp_size")


def check(
    path: Path, section: Mapping[str, Any], version: str, capability: tuple[int, int]
) -> None:
    """Raises ConfigError where configuration, ranks, version or GPU do not fit."""
    if problem := _problem(path, section, version, capability):
        msg = f"tensorrt.engine_path={str(path)!r}: {problem}"
        raise ConfigError(msg)


def _problem(
    path: Path, section: Mapping[str, Any], version: str, capability: tuple[int, int]
) -> str | None:
    if not (path / "config.json").is_file():
        return "there is no config.json of an engine"
    told = json.loads((path / "config.json").read_text(encoding="utf-8"))
    if not {"pretrained_config", "build_config"} <= {*told}:
        return "config.json is that of a model, not of an engine"
    if told.get("version") not in (None, version):
        return (
            f"it was compiled by TensorRT-LLM {told['version']}, and this is {version}"
        )
    mapping, ranks = told["pretrained_config"].get("mapping") or {}, 1
    for name, size in zip(_PARTS, _SIZES, strict=True):
        there, asked = mapping.get(size, 1), section.get(name)
        ranks *= there
        if asked is not None and asked != there:
            return f"it was compiled for {size} {there}, and tensorrt.{name} is {asked}"
    missing = [
        name
        for rank in range(ranks)
        if not (path / (name := f"rank{rank}.engine")).is_file()
    ]
    if missing:
        return f"{', '.join(missing)} of {ranks} ranks is not there"
    return _other_gpu(path, capability)


def _other_gpu(path: Path, capability: tuple[int, int]) -> str | None:
    """Of an engine that others compiled nobody tells which GPU it is for."""
    facts = path / FACTS
    if not facts.is_file():
        return None
    there = json.loads(facts.read_text(encoding="utf-8"))["capability"]
    if there == list(capability):
        return None
    told, here = (".".join(map(str, one)) for one in (there, capability))
    return f"it was compiled for compute capability {told}, and this GPU has {here}"
