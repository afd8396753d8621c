"""Presets that a project keeps in files: `DIRECTORY/NAME.yaml`, one preset each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.presets import PRESETS, Preset, by_name


def read_presets(directories: Iterable[Path]) -> dict[str, Preset]:
    """The shipped presets and those in the files of these directories.

    A file has marker keys with their values, and may have `meaning` and `backend`.
    Raises ConfigError with a line for each directory or file that cannot be.
    """
    found: dict[str, Preset] = dict(PRESETS)
    problems = []
    for directory in directories:
        if not directory.is_dir():
            problems.append(f"{directory} is no directory")
        for path in sorted(directory.glob("*.yaml")):
            try:
                if path.stem in by_name(found):
                    raise ConfigError("a preset of this name is there already")
                found[path.stem] = _read(path)
            except ConfigError as error:
                problems.append(f"preset {path}: {error.message}")
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def _read(path: Path) -> Preset:
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    if not isinstance(content, Mapping):
        raise ConfigError("is no mapping of marker keys")
    values = {k: v for k, v in content.items() if k not in ("meaning", "backend")}
    return Preset(
        meaning=str(content.get("meaning", "")),
        backend=content.get("backend"),
        values=values,
    )
