"""Signatures of engines that were written down: what stands in for an absent one."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from pytest_lem.engines.signatures import Signatures, read
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.spec import catalogue
from pytest_lem.spec.nearest import unknown

_FOLDER = "recorded"


def recordings(backend: str) -> dict[str, Path]:
    """The files that ship with this package, by version, the newest last."""
    found = (Path(__file__).parent / backend / _FOLDER).glob("*.json")
    ordered = sorted(found, key=lambda path: [int(n) for n in path.stem.split(".")])
    return {path.stem: path for path in ordered}


def recorded(backend: str, version: str | None = None) -> Signatures | None:
    """What was written down of that version, or of the newest; None without any."""
    files = recordings(backend)
    if not files:
        return None
    told = json.loads(files[version or [*files][-1]].read_text(encoding="utf-8"))
    wanted = catalogue.native(backend)
    objects = {name: one for name, one in told["objects"].items() if name in wanted}
    return Signatures(
        version=told["version"],
        arguments={name: [*one["arguments"]] for name, one in objects.items()},
        types={name: one["arguments"] for name, one in objects.items()},
    )


def record(backend: str, file: Path, python: str = sys.executable) -> str:
    """Write down what the engine of that Python takes; the version that it has.

    Raises EngineNotAvailable where it is not installed, or cannot be imported.
    """
    targets = catalogue.native(backend)
    found = read(targets, python)
    if found.version is None:
        msg = f"{backend} is not installed in {python}: there is nothing to record"
        raise EngineNotAvailable(msg)
    told: dict[str, Any] = {
        "library": next(iter(targets.values())).partition(".")[0].partition(":")[0],
        "version": found.version,
        "recorded": date.today().isoformat(),
        "how": "read from the installed package by `lem params --record`",
        "objects": {
            name: {"target": targets[name], "arguments": dict(arguments)}
            for name, arguments in found.types.items()
        },
    }
    file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return found.version


def check_backend(backend: str) -> None:
    """Refuse to record what has no signatures; ConfigError names those that have."""
    if backend not in catalogue.BACKENDS:
        raise ConfigError(unknown("backend", backend, catalogue.BACKENDS))
